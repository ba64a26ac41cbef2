import TestSupport
import Testing

@testable import Keyspace

@Suite struct RDBReaderTests {
    @Test func `every value comes back from a file as it went in`() throws {
        #expect(try entries(in: SnapshotSamples.file()) == SnapshotSamples.entries)
    }

    @Test(arguments: SnapshotSamples.values)
    func `every value comes back from a payload as it went in`(value: SnapshotValue) throws {
        guard !value.isEmptyCollection else { return }
        #expect(try readPayload(DumpPayload.make(value)) == value)
    }

    @Test func `what idle time and frequency a file gives is kept`() throws {
        let entry = SnapshotEntry(key: octets("k"), value: .string(octets("v")), expiry: 5, idleSeconds: 70_000, frequency: 200)
        #expect(try entries(in: SnapshotSamples.file([entry])) == [entry])
    }

    @Test func `strings are the same where they lie`() throws {
        let texts = ["", "a", "12345", "-7", String(repeating: "x", count: 300), String(repeating: "long ", count: 70_000), "no run of it twice, 0123456789"]
        let strings = texts.enumerated().flatMap { index, text in
            [nil, Int64(index) + 5].map { SnapshotEntry(database: 3, key: octets(text + ($0 == nil ? "" : "!")), value: .string(octets(text)), expiry: $0) }
        }
        let bytes = SnapshotSamples.file(SnapshotSamples.entries + strings)
        for keepsExpired in [true, false] {
            var found: [SnapshotEntry] = []
            var recovery = AppendLogDirectory.Recovery()
            let end = try bytes.withUnsafeBytes {
                try SnapshotFile.read($0, databaseCount: 16, now: 8, keepsExpired: keepsExpired, into: .init { entry in
                    found.append(entry)
                    return nil
                }, &recovery)
            }
            #expect(end == bytes.count && recovery.expiredCount == (keepsExpired ? 0 : 4))
            #expect(try found == entries(in: bytes).filter { keepsExpired || $0.expiry ?? .max > 8 })
        }
    }

    @Test func `a file that is cut anywhere is refused`() {
        let small = SnapshotSamples.entries.filter { DumpPayload.make($0.value).count < 300 }
        let file = SnapshotSamples.file(small)
        for count in 0..<file.count {
            #expect(throws: RDBError.self, "cut after \(count) bytes") { try readSnapshot(Array(file[..<count])) }
        }
    }

    @Test func `a file with one bit changed is refused or means the same`() throws {
        let small = SnapshotSamples.entries.filter { DumpPayload.make($0.value).count < 300 }
        var file = SnapshotSamples.file(small)
        for index in file.indices {
            file[index] ^= 1 << UInt8(index % 8)
            // Of the version's digits only the value is looked at, and the checksum covers them.
            #expect(throws: RDBError.self, "byte \(index)") { try readSnapshot(file) }
            file[index] ^= 1 << UInt8(index % 8)
        }
        #expect(try entries(in: file) == small)
    }

    @Test func `a checksum of zero is not looked at`() throws {
        var file = SnapshotSamples.file([SnapshotEntry(key: octets("k"), value: .string(octets("v")))])
        file.replaceSubrange(file.count - 8..<file.count, with: repeatElement(0, count: 8))
        #expect(try entries(in: file).count == 1)
    }

    @Test(arguments: [("0000", false), ("0001", true), ("0004", true), ("0012", true), ("0013", false), ("00x9", false)])
    func `versions from 1 to 12 are read`(digits: String, isRead: Bool) throws {
        // Before version 5 nothing follows the end; a checksum of zero follows it here.
        let body: [UInt8] = [0, 1, 0x6B, 1, 0x76, 255, 0, 0, 0, 0, 0, 0, 0, 0]
        let bytes = octets("REDIS" + digits) + body
        let read = try? entries(in: bytes)
        #expect((read?.first?.value == .string(octets("v"))) == isRead)
    }

    @Test func `a database beyond the last is refused, the last is not`() throws {
        let last = SnapshotSamples.file([SnapshotEntry(database: 15, key: octets("k"), value: .string([]))])
        #expect(try entries(in: last).first?.database == 15)
        let beyond = SnapshotSamples.file([SnapshotEntry(database: 16, key: octets("k"), value: .string([]))])
        #expect(throws: RDBError.self) { try readSnapshot(beyond) }
    }

    // MARK: Forms that we do not write

    /// A value behind its type, in a file without checksum.
    private func value(_ type: UInt8, _ body: [UInt8], now: Int64 = 0) throws -> SnapshotValue? {
        let file = octets("REDIS0012") + [type, 1, 0x6B] + body + [255] + noChecksum
        for case .entry(let entry) in try readSnapshot(file, now: now) { return entry.value }
        return nil
    }

    @Test func `scores in digits, and the infinities`() throws {
        let body: [UInt8] = [3, 1, 0x61, 3] + octets("1.5") + [1, 0x62, 254, 1, 0x63, 255]
        #expect(
            try value(3, body)
                == .sortedSet([
                    SnapshotValue.Member(bytes: octets("a"), score: 1.5), SnapshotValue.Member(bytes: octets("b"), score: .infinity),
                    SnapshotValue.Member(bytes: octets("c"), score: -.infinity),
                ]))
        #expect(throws: RDBError.self) { try value(3, [1, 1, 0x61, 253]) }
    }

    @Test func `a score that is no number is refused`() {
        let nan = withUnsafeBytes(of: Double.nan.bitPattern.littleEndian) { Array($0) }
        #expect(throws: RDBError.self) { try value(5, [1, 1, 0x61] + nan) }
    }

    @Test func `a zipmap of Redis 2`() throws {
        // The example in the head of zipmap.c: "foo" => "bar", "hello" => "world".
        let map: [UInt8] = [2, 3] + octets("foo") + [3, 0] + octets("bar") + [5] + octets("hello") + [5, 2] + octets("world") + [0, 0, 255]
        #expect(
            try value(9, [UInt8(map.count)] + map)
                == .hash([
                    SnapshotValue.Field(name: octets("foo"), value: octets("bar")),
                    SnapshotValue.Field(name: octets("hello"), value: octets("world")),
                ]))
    }

    @Test func `a ziplist with every form of integer`() throws {
        // The example in the head of ziplist.c, "2" and "5", and the other encodings behind them.
        let entries: [[UInt8]] = [
            [0xF3], [0xF6], [0xFE, 0x9C], [0xC0, 0x00, 0x80], [0xF0, 0x00, 0x00, 0x80], [0xD0, 0xFF, 0xFF, 0xFF, 0x7F],
            [0xE0, 1, 0, 0, 0, 0, 0, 0, 0x80], [0x02, 0x68, 0x69], [0x40, 0x01, 0x78], [0x80, 0, 0, 0, 1, 0x79],
        ]
        var list: [UInt8] = []
        var before = 0
        var tail = 10
        for entry in entries {
            tail = 10 + list.count
            list += [UInt8(before)] + entry
            before = entry.count + 1
        }
        let total = 10 + list.count + 1
        let bytes: [UInt8] = [UInt8(total), 0, 0, 0, UInt8(tail), 0, 0, 0, UInt8(entries.count), 0] + list + [255]
        let expected = ["2", "5", "-100", "-32768", "-8388608", "2147483647", "-9223372036854775807", "hi", "x", "y"]
        #expect(try value(10, [0x40, UInt8(total)] + bytes) == .list(expected.map(octets)))
    }

    @Test func `fields whose expiry has passed are gone, the others stay`() throws {
        // Redis 7.4: the soonest expiry, then of each field: distance to it plus 1, name, value.
        let soonest = withUnsafeBytes(of: UInt64(1000).littleEndian) { Array($0) }
        let body: [UInt8] = soonest + [3, 1, 1, 0x61, 1, 0x31, 0, 1, 0x62, 1, 0x32, 11, 1, 0x63, 1, 0x33]
        let b = SnapshotValue.Field(name: octets("b"), value: octets("2"))
        let c = SnapshotValue.Field(name: octets("c"), value: octets("3"))
        #expect(try value(24, body, now: 1005) == .hash([b, c]))
        #expect(try value(24, body, now: 1010) == .hash([b]))
    }

    @Test func `counts that the bytes cannot hold are refused before memory is taken`() {
        for type in [1, 2, 3, 4, 5, 14, 18, 15, 24] as [UInt8] {
            let body: [UInt8] = (type == 24 ? noChecksum : []) + [0x81, 0x7F] + Array(repeating: 0xFF, count: 7)
            #expect(throws: RDBError.self, "type \(type)") { try value(type, body) }
        }
        // A compressed string that announces 2^60 bytes.
        #expect(throws: RDBError.self) { try value(0, [0xC3, 3, 0x81, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0x61, 0x61]) }
    }

    @Test func `a module's value is refused, what it keeps beside the keys is skipped`() throws {
        #expect(throws: RDBError(.moduleValue, at: 12)) { try value(7, [1, 0]) }
        let file = octets("REDIS0011") + [247, 5, 2, 2, 5, 1, 0x61, 1, 7, 4, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 255]
        #expect(try readSnapshot(file + noChecksum) == [.moduleAuxiliary, .end])
    }

    // MARK: Payloads

    @Test func `a payload that is cut or changed anywhere is refused`() {
        for value in SnapshotSamples.values where DumpPayload.make(value).count < 200 && !value.isEmptyCollection {
            let payload = DumpPayload.make(value)
            for count in 0..<payload.count {
                #expect(throws: DumpPayload.Refusal.envelope) { try readPayload(Array(payload[..<count])) }
            }
            for index in payload.indices {
                var changed = payload
                changed[index] ^= 0x10
                #expect(throws: DumpPayload.Refusal.envelope) { try readPayload(changed) }
            }
        }
    }

    @Test func `elements that come twice, and none at all, are refused in payloads`() {
        let twice = octets("a")
        let hostile: [SnapshotValue] = [
            .set([twice, twice]), .set([]), .list([]), .hash([]), .sortedSet([]),
            .hash([SnapshotValue.Field(name: twice, value: []), SnapshotValue.Field(name: twice, value: [])]),
            .sortedSet([SnapshotValue.Member(bytes: twice, score: 1), SnapshotValue.Member(bytes: twice, score: 2)]),
        ]
        for value in hostile {
            #expect(throws: DumpPayload.Refusal.value(.elementsMalformed)) { try readPayload(DumpPayload.make(value)) }
        }
    }
}
