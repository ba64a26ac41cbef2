import TestSupport
import Testing

@testable import Keyspace

/// The collections beside the simplest thing that does the same.
@Suite struct ObjectTests {
    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func `a list is an array`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let list = ListObject()
        var model: [[UInt8]] = []
        for step in 0..<6000 {
            let value = [UInt8](repeating: UInt8(truncatingIfNeeded: step), count: random.pick([1, 10, 100, 3000, 9000]))
            value.withUnsafeBytes { bytes in
                let place = model.isEmpty ? 0 : Int.random(in: 0..<model.count, using: &random)
                switch Int.random(in: 0..<8, using: &random) {
                case 0, 1:
                    list.append(bytes)
                    model.append(value)
                case 2, 3:
                    list.prepend(bytes)
                    model.insert(value, at: 0)
                case 4 where !model.isEmpty:
                    list.insert(bytes, at: place)
                    model.insert(value, at: place)
                case 5 where !model.isEmpty:
                    list.set(place, bytes)
                    model[place] = value
                case 6 where !model.isEmpty, 7 where model.count > 60:
                    let range = place..<min(model.count, place + Int.random(in: 0...(step % 500 == 0 ? 60 : 3), using: &random))
                    list.remove(range)
                    model.removeSubrange(range)
                default: break
                }
            }
            if step % 500 == 0 { #expect(list.snapshot() == .list(model)) }
            if let place = model.indices.randomElement(using: &random) { #expect(list.element(place).map { [UInt8]($0) } == model[place]) }
        }
        var backwards: [[UInt8]] = []
        list.walk(fromTail: true) { _, element in
            backwards.append([UInt8](element))
            return true
        }
        #expect(backwards == model.reversed() && list.count == model.count)
        list.remove(0..<list.count)
        #expect(list.count == 0)
        list.append(UnsafeRawBufferPointer(start: nil, count: 0))
        #expect(list.snapshot() == .list([[]]))
    }

    @Test(arguments: [true, false])
    func `a list takes an eighth more than its elements, and a long one a piece, at whichever end they come`(isFront: Bool) {
        let list = ListObject()
        var tooLarge: Int?
        for count in 1...1500 {
            let value = [UInt8](repeating: UInt8(truncatingIfNeeded: count), count: 100)
            value.withUnsafeBytes { if isFront { list.prepend($0) } else { list.append($0) } }
            // What leads to the elements besides: of each piece of 80 an object, a block's head and a place.
            let others = 1000 + 100 * (count / 80)
            if list.bytes >= 102 * count * 9 / 8 + others + (count > 640 ? ListObject.pieceBytesMax : 0) { tooLarge = tooLarge ?? count }
        }
        #expect(tooLarge == nil)
        var next = isFront ? 1500 : 1
        var wrong = 0
        list.forEach(0..<1500) {
            if $0.first != UInt8(truncatingIfNeeded: next) { wrong += 1 }
            next += isFront ? -1 : 1
        }
        #expect(wrong == 0)
    }

    @Test func `elements that come in front and go behind do not make a list larger`() {
        let list = ListObject()
        let value = [UInt8](repeating: 1, count: 60)
        var largest = 0
        for count in 1...1000 {
            value.withUnsafeBytes { list.prepend($0) }
            if list.count > 50 { list.remove(50..<51) }
            if count > 100 { largest = max(largest, list.bytes) }
        }
        #expect(largest < 2 * 50 * 62)
        #expect(list.count == 50 && (0..<50).allSatisfy { list.element($0).map { [UInt8]($0) } == value })
    }

    /// From numbers of two bytes to longer ones, and from those to text, packed or not.
    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func `a set is a set, whatever it keeps its members as`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let set = SetObject()
        var model: Set<[UInt8]> = []
        var encodings: [String] = []
        let rises: [ClosedRange<Int64>] = [-100...100, -40_000...40_000, -3_000_000_000...3_000_000_000, .min ... .max]
        for step in 0..<4000 {
            let number = Int64.random(in: rises[min(step / 200, 3)], using: &random)
            let text = step > 1500 && random.chance(oneIn: 20) ? random.pick(["", "-", "+1", "01", "9223372036854775808", "-0", "text \(number)"]) : "\(number)"
            let known = model.randomElement(using: &random).map { String(decoding: $0, as: UTF8.self) } ?? text
            let member = Array((random.chance(oneIn: 2) ? known : text).utf8)
            member.withUnsafeBytes { bytes in
                #expect(set.contains(bytes) == model.contains(member))
                // As many go as come, but for a time in which it grows.
                if random.chance(oneIn: 2), !(2500..<3500).contains(step) {
                    #expect(set.remove(bytes) == (model.remove(member) != nil))
                } else {
                    #expect(set.insert(bytes) == model.insert(member).inserted)
                }
            }
            if encodings.last != "\(set.encoding)" { encodings.append("\(set.encoding)") }
            guard step % 100 == 0 else { continue }
            var members: [[UInt8]] = []
            set.forEach { members.append([UInt8]($0)) }
            #expect(Set(members) == model && members.count == model.count && set.count == model.count)
            if encodings == ["intset"] {
                let numbers = members.compactMap { Int64(String(decoding: $0, as: UTF8.self)) }
                #expect(numbers == numbers.sorted())
            }
            #expect(set.random(&random).map { model.contains($0) } ?? model.isEmpty)
        }
        #expect(encodings.first == "intset" && encodings.last == "hashtable", "\(encodings)")
    }

    @Test func `numbers are a table when there are more than an intset has, and packed when one is no number`() {
        for (text, encoding) in [("513", "hashtable"), ("512", "intset"), ("x", "hashtable")] {
            let set = SetObject()
            for number in 1...512 { bytes("\(number)") { _ = set.insert($0) } }
            #expect("\(set.encoding)" == "intset" && !bytes("7") { set.insert($0) })
            bytes(text) { _ = set.insert($0) }
            #expect("\(set.encoding)" == encoding && set.count == (text == "512" ? 512 : 513))
            for number in 1...512 { #expect(bytes("\(number)") { set.contains($0) }) }
        }
        let set = SetObject()
        for member in ["3", "-5", "x"] { bytes(member) { _ = set.insert($0) } }
        #expect("\(set.encoding)" == "listpack" && set.snapshot() == .set(["-5", "3", "x"].map { Array($0.utf8) }))
    }

    /// What takes an element's place may be as long as a string.
    @Test func `an element that becomes longer leaves its block, and one of the same length does not`() {
        let list = ListObject()
        for _ in 0..<100 { bytes(String(repeating: "x", count: 78)) { list.append($0) } }
        let before = list.bytes
        for index in 0..<100 { bytes(String(repeating: "y", count: 78)) { list.set(index, $0) } }
        #expect(list.bytes == before && "\(list.encoding)" == "listpack")
        let long = String(repeating: "z", count: 9000)
        for index in 0..<100 { bytes(long) { list.set(index, $0) } }
        // Each is alone.
        #expect(list.count == 100 && "\(list.encoding)" == "quicklist" && list.bytes < 100 * (9000 * 9 / 8 + 200))
        #expect((0..<100).allSatisfy { list.element($0).map { $0.count == 9000 && $0[0] == UInt8(ascii: "z") } == true })
    }

    @Test func `a small object of each kind takes 48 bytes besides its elements`() {
        // `malloc` gives 16 more where they are too few for another block.
        func expect(_ bytes: Int, _ wanted: Int) { #expect(bytes == wanted || bytes == wanted + 16) }
        for object in [HashObject(), SetObject(), ListObject(), SortedSetObject()] { expect(object.bytes, 48) }
        let (hash, list, set, sorted) = (HashObject(), ListObject(), SetObject(), SortedSetObject())
        _ = bytes("field") { field in bytes("value") { hash.set(field, $0) } }
        for _ in 0..<2 { bytes("element") { list.append($0) } }
        for number in 0..<10 { bytes("\(number * 1000)") { _ = set.insert($0) } }
        for number in 0..<5 { bytes("m\(number)") { _ = sorted.set($0, Double(number)) } }
        // A head of 12 bytes, of numbers 8; two for the lengths of each element; `malloc`'s word, and its steps of 16 bytes.
        for object in [hash, list, set] { expect(object.elementBytes, 48) }
        expect(sorted.elementBytes, 64)
    }

    private func bytes<Result>(_ text: String, _ body: (UnsafeRawBufferPointer) -> Result) -> Result { Array(text.utf8).withUnsafeBytes(body) }

    /// As a fraction, a small and a large number, and zeros of both signs.
    @Test func `a packed score is as it was given`() {
        let set = SortedSetObject()
        let scores: [Double] = [0, -0.0, 1, -1, 127, -128, 128, -129, 32_767, 32_768, -32_769, 2_147_483_647, 2_147_483_648, -2_147_483_648, 0.5, 1e300, .infinity, -.infinity, .leastNonzeroMagnitude]
        for (number, score) in scores.enumerated() { bytes("m\(number)") { _ = set.set($0, score) } }
        set.checkInvariants()
        for (number, score) in scores.enumerated() { #expect(bytes("m\(number)") { set.score($0)?.bitPattern } == score.bitPattern) }
        #expect("\(set.encoding)" == "listpack")
    }

    /// With 100 members it is packed all the while.
    @Test(arguments: 1...4 as ClosedRange<UInt64>, [100, 1500])
    func `a sorted set is in order, and its ranks are positions`(seed: UInt64, memberCount: Int) {
        var random = SeededRandom(seed: seed)
        let set = SortedSetObject()
        var model: [[UInt8]: Double] = [:]
        for step in 0..<8000 {
            let member = Array("m\(Int.random(in: 0..<memberCount, using: &random))".utf8)
            member.withUnsafeBytes { bytes in
                if random.chance(oneIn: 4) {
                    #expect(set.remove(bytes) == (model.removeValue(forKey: member) != nil))
                } else {
                    let score = random.pick([0, 1, -1, 0.5, .infinity, -.infinity, Double(step % 100)])
                    set.set(bytes, score)
                    model[member] = score
                }
            }
            guard step % 1000 == 999 else { continue }
            set.checkInvariants()
            #expect("\(set.encoding)" == (memberCount == 100 ? "listpack" : "skiplist"))
            for (member, score) in model { #expect(member.withUnsafeBytes { set.score($0) } == score) }
            let sorted = model.sorted { ($0.value, $0.key.map(Int.init)) < ($1.value, $1.key.map(Int.init)) }
            #expect(set.snapshot() == .sortedSet(sorted.map { .init(bytes: $0.key, score: $0.value) }))
            for rank in stride(from: 0, to: sorted.count, by: 37) {
                #expect(sorted[rank].key.withUnsafeBytes { set.rank($0) } == rank)
            }
            var reversed: [[UInt8]] = []
            set.forEachReversed(3..<sorted.count - 5) { member, _ in reversed.append([UInt8](member)) }
            #expect(reversed == sorted[3..<sorted.count - 5].reversed().map(\.key))
            #expect(set.rank(score: 1, inclusive: false) == sorted.count { $0.value < 1 })
            #expect(set.rank(score: 1, inclusive: true) == sorted.count { $0.value <= 1 })
        }
    }

    @Test func `a sorted set of few members is small`() {
        let set = SortedSetObject()
        let empty = set.bytes
        var largest = 0
        for number in 0..<20 {
            Array("m\(number)".utf8).withUnsafeBytes { _ = set.set($0, Double(number)) }
            set.checkInvariants()
            if number < 2 { largest = max(largest, set.bytes - empty) }
        }
        // A length of one byte on both sides of member and score, which is a small number.
        #expect(largest <= 48, "\(largest)")
        #expect(set.bytes - empty < 20 * (2 + 3 + 2 + 1) * 9 / 8 + 12 + 32, "\(set.bytes - empty)")
        for number in 0..<20 {
            Array("m\(number)".utf8).withUnsafeBytes { _ = set.remove($0) }
            set.checkInvariants()
        }
    }

    @Test func `a sorted set loses ranks, packed or not`() {
        for count in [20, 600] {
            let set = SortedSetObject()
            var model: [Int] = Array(0..<count)
            for number in model { Array("m\(number)".utf8).withUnsafeBytes { _ = set.set($0, Double(number)) } }
            for ranks in [3..<7, 0..<2, 0..<0, 4..<5] {
                set.remove(ranks)
                model.removeSubrange(ranks)
                set.remove(model.count - 1..<model.count)
                model.removeLast()
                set.checkInvariants()
                var found: [Int] = []
                set.forEach(0..<set.count) { found.append(Int($1)) }
                #expect(found == model)
            }
        }
    }

    @Test func `a hash changes to a table beyond n fields, and beyond n bytes`() {
        func hash(fields: Int, bytes: Int) -> HashObject {
            let hash = HashObject(entriesMax: 8, valueBytesMax: 10)
            for number in 0..<fields {
                Array("f\(number)".utf8).withUnsafeBytes { name in
                    [UInt8](repeating: 1, count: bytes).withUnsafeBytes { value in #expect(hash.set(name, value)) }
                }
            }
            return hash
        }
        #expect("\(hash(fields: 8, bytes: 10).encoding)" == "listpack")
        #expect("\(hash(fields: 9, bytes: 10).encoding)" == "hashtable")
        #expect("\(hash(fields: 1, bytes: 11).encoding)" == "hashtable")
        #expect(hash(fields: 9, bytes: 10).count == 9)
    }
}


private func < (first: (Double, [Int]), second: (Double, [Int])) -> Bool {
    first.0 != second.0 ? first.0 < second.0 : first.1.lexicographicallyPrecedes(second.1)
}
