import TestSupport
import Testing

@testable import Keyspace

@Suite struct EntryTableTests {
    private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test(arguments: 1...5 as ClosedRange<UInt64>)
    func `a table holds what a dictionary holds`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var table = EntryTable()
        var model: [String: String] = [:]
        for step in 0..<20_000 {
            let name = "key\(Int.random(in: 0..<3000, using: &random))"
            bytes(name).withUnsafeBytes { key in
                let hash = KeyHash.hash(key)
                let found = table.find(key, hash)
                #expect((found != nil) == (model[name] != nil))
                if let found {
                    table.remove(found, hash)
                    found.free()
                    model[name] = nil
                } else {
                    table.insert(Entry.make(key: key, valueCount: 0), hash)
                    model[name] = ""
                }
            }
            if step % 2000 == 0 { table.checkInvariants() }
        }
        #expect(table.count == model.count)
        table.checkInvariants()
        var seen: Set<String> = []
        table.forEach { seen.insert(String(decoding: $0.key, as: UTF8.self)) }
        #expect(seen == Set(model.keys))
        table.freeEntries()
        #expect(table.count == 0 && table.bytes == 0)
    }

    /// Numbers at which as good as all segments of one depth have split: in between, chance says how many have.
    @Test(arguments: [0, 1, 62, 700, 5_000]) func `a table that was reserved for is as large as one that has grown, and one for keys that did not come is made anew`(count: Int) {
        func filled(reservedFor reserved: Int) -> (bytes: Int, settled: Int) {
            var table = EntryTable()
            table.reserve(reserved)
            for number in 0..<count {
                bytes("key\(number)").withUnsafeBytes { table.insert(Entry.make(key: $0, valueCount: 0), KeyHash.hash($0)) }
            }
            table.checkInvariants()
            let before = table.bytes
            table.giveBackReserve()
            table.checkInvariants()
            for number in 0..<count {
                let isThere = bytes("key\(number)").withUnsafeBytes { table.find($0, KeyHash.hash($0)) != nil }
                #expect(isThere)
            }
            let settled = table.bytes
            table.freeEntries()
            #expect(table.count == 0 && table.bytes == 0)
            return (before, settled)
        }
        let grown = filled(reservedFor: 0)
        #expect(grown.bytes == grown.settled)
        let right = filled(reservedFor: count)
        #expect(right.bytes == right.settled && right.settled <= grown.bytes * 11 / 10 + 1024)
        let wrong = filled(reservedFor: 100_000)
        #expect(wrong.bytes > 1_000_000 && wrong.settled <= grown.bytes * 11 / 10 + 1024)
    }

    @Test(arguments: [UInt32.max, 1 << 22])
    func `a scan shows every key that is there all the while, though the table grows and shrinks under it`(hashesMax: UInt32) {
        var table = EntryTable()
        func insert(_ name: String) {
            bytes(name).withUnsafeBytes { table.insert(Entry.make(key: $0, valueCount: 0), KeyHash.hash($0)) }
        }
        func remove(_ name: String) {
            bytes(name).withUnsafeBytes { key in
                if let entry = table.find(key, KeyHash.hash(key)) {
                    table.remove(entry, KeyHash.hash(key))
                    entry.free()
                }
            }
        }
        for number in 0..<1000 { insert("stays\(number)") }
        var seen: [String: Int] = [:]
        var cursor: UInt32? = 0
        var turn = 0
        while let place = cursor {
            cursor = table.scan(place, hashesMax: hashesMax) { seen[String(decoding: $0.key, as: UTF8.self), default: 0] += 1 }
            for number in 0..<50 { insert("new\(turn)-\(number)") }
            if turn > 3 { for number in 0..<50 { remove("new\(turn - 3)-\(number)") } }
            turn += 1
        }
        for number in 0..<1000 { #expect(seen["stays\(number)"] == 1) }
        table.freeEntries()
    }

    @Test func `a table from which most keys went is small again, and a throw at it finds one`() {
        var table = EntryTable()
        func change(_ number: Int, _ isThere: Bool) {
            bytes("key:\(number)").withUnsafeBytes { key in
                let hash = KeyHash.hash(key)
                if isThere {
                    table.insert(Entry.make(key: key, valueCount: 0), hash)
                } else if let entry = table.find(key, hash) {
                    table.remove(entry, hash)
                    entry.free()
                }
            }
        }
        for number in 0..<100_000 { change(number, true) }
        let full = table.bytes
        for number in 0..<100_000 where number % 100 != 0 { change(number, false) }
        table.checkInvariants()
        #expect(table.count == 1000 && table.bytes < full / 16, "\(full) → \(table.bytes)")
        var random = SeededRandom(seed: 1)
        // Each is met about as often as any other: of 100,000 throws 100 are for each, and by its segment's width four times as many.
        var counts: [String: Int] = [:]
        for _ in 0..<100_000 {
            guard let entry = table.random(&random) else { continue }
            counts[String(decoding: entry.key, as: UTF8.self), default: 0] += 1
        }
        #expect(counts.count == 1000 && (counts.values.max() ?? 0) < 800 && (counts.values.min() ?? 0) > 10, "\(counts.values.sorted())")
        // What comes and goes at a segment's edge moves nothing by turns.
        for round in 0..<5 {
            for number in 0..<50_000 { change(200_000 + number, true) }
            table.checkInvariants()
            for number in 0..<50_000 { change(200_000 + number, false) }
            table.checkInvariants()
            #expect(table.count == 1000, "\(round)")
        }
        for number in 0..<100_000 { change(number, false) }
        #expect(table.count == 0 && table.bytes == 0)
    }

    @Test func `a scan shows what stays once, though segments become one under it`() {
        var table = EntryTable()
        for number in 0..<20_000 {
            bytes("key:\(number)").withUnsafeBytes { table.insert(Entry.make(key: $0, valueCount: 0), KeyHash.hash($0)) }
        }
        var seen: [String: Int] = [:]
        var cursor: UInt32? = 0
        var turn = 0
        while let place = cursor {
            cursor = table.scan(place) { seen[String(decoding: $0.key, as: UTF8.self), default: 0] += 1 }
            // All but every fiftieth go while it is on its way.
            for number in turn * 200..<turn * 200 + 200 where number < 20_000 && number % 50 != 0 {
                bytes("key:\(number)").withUnsafeBytes { key in
                    guard let entry = table.find(key, KeyHash.hash(key)) else { return }
                    table.remove(entry, KeyHash.hash(key))
                    entry.free()
                }
            }
            turn += 1
        }
        #expect(turn > 50 && table.count == 400)
        for number in stride(from: 0, to: 20_000, by: 50) { #expect(seen["key:\(number)"] == 1) }
        table.freeEntries()
    }

    @Test func `no insertion moves more than two segments' entries`() {
        // The directory doubles with pointers only; what is rehashed is one segment of at most 64.
        var table = EntryTable()
        var worst = 0.0
        for number in 1...100_000 {
            bytes("key:\(number)").withUnsafeBytes { table.insert(Entry.make(key: $0, valueCount: 0), KeyHash.hash($0)) }
            // More than twice as many at the end: all sides of a moment at which most segments split.
            if number >= 40_000, number % 1000 == 0 { worst = max(worst, Double(table.bytes) / Double(number)) }
        }
        // 11 to 14 bytes of slot, segment and directory a key.
        #expect(worst < 15)
        table.checkInvariants()
        table.freeEntries()
    }
}

@Suite struct PackedBytesTests {
    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func `packed bytes are an array of byte strings`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var packed = PackedBytes()
        defer { packed.deallocate() }
        var model: [[UInt8]] = []
        for _ in 0..<4000 {
            let value = [UInt8](repeating: .random(in: 0...255, using: &random), count: random.pick([0, 1, 5, 127, 128, 300, 20_000]))
            let place = model.isEmpty ? 0 : Int.random(in: 0..<model.count, using: &random)
            value.withUnsafeBytes { bytes in
                switch Int.random(in: 0..<6, using: &random) {
                case 0:
                    packed.append(bytes)
                    model.append(value)
                case 1:
                    packed.prepend(bytes)
                    model.insert(value, at: 0)
                case 2 where !model.isEmpty:
                    packed.insert(bytes, at: packed.offset(of: place)!)
                    model.insert(value, at: place)
                case 3 where !model.isEmpty:
                    packed.replace(at: packed.offset(of: place)!, with: bytes)
                    model[place] = value
                case 4 where !model.isEmpty, 5 where model.count > 20:
                    packed.remove(at: packed.offset(of: place)!)
                    model.remove(at: place)
                default: break
                }
            }
        }
        var read: [[UInt8]] = []
        packed.forEach { read.append([UInt8]($0)) }
        #expect(read == model && packed.count == model.count)
        var backwards: [[UInt8]] = []
        var place = packed.last
        while let offset = place {
            backwards.append([UInt8](packed.element(offset)))
            place = packed.previous(offset)
        }
        #expect(backwards == model.reversed())
    }
}

extension EntryTable {
    fileprivate mutating func freeEntries() {
        forEach { $0.free() }
        removeAll()
    }
}
