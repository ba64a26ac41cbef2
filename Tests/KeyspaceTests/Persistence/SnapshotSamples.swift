import TestSupport

@testable import Keyspace

func octets(_ text: String) -> [UInt8] { Array(text.utf8) }

/// Values for tests: every type, small and large, of the bytes at the edges.
enum SnapshotSamples {
    static let texts: [[UInt8]] = [
        [], octets("a"), octets("-1"), octets("0"), octets("-0"), octets("007"), octets("+5"), octets("127"), octets("128"), octets("-128"), octets("-129"),
        octets("32767"), octets("32768"), octets("2147483647"), octets("2147483648"), octets("-2147483648"), octets("-2147483649"),
        octets("9223372036854775807"), [0, 1, 2, 255, 13, 10], Array(repeating: 97, count: 63), Array(repeating: 98, count: 64),
        Array(repeating: 99, count: 16_383), Array(repeating: 100, count: 16_384), mixed,
    ]
    private static let mixed: [UInt8] = (0..<5000).map { UInt8(truncatingIfNeeded: $0 * $0 >> 3) }

    static func numbers(_ count: Int) -> [[UInt8]] { (0..<count).map { octets("element:\($0)") } }

    private static func streamEntry(_ number: Int) -> SnapshotStream.Entry {
        let id = SnapshotStream.ID(1_700_000_000_000 + UInt64(number / 3), UInt64(number % 3))
        let fields = number % 7 == 0 ? ["other", "\(number)", "more", "x"] : ["name", "value \(number)"]
        return SnapshotStream.Entry(id: id, fields: fields.map(octets))
    }

    static let stream = SnapshotStream(
        entries: (0..<250).map(streamEntry),
        lastID: SnapshotStream.ID(1_700_000_000_999, 0),
        groups: [
            SnapshotStream.Group(
                name: octets("workers"), lastDelivered: SnapshotStream.ID(1_700_000_000_001, 0), entriesRead: -1,
                pending: [
                    SnapshotStream.Pending(id: SnapshotStream.ID(1_700_000_000_000, 0), deliveryTime: 1_700_000_000_500, deliveryCount: 2),
                    SnapshotStream.Pending(id: SnapshotStream.ID(1_700_000_000_000, 1), deliveryTime: 1_700_000_000_501, deliveryCount: 1),
                ],
                consumers: [
                    SnapshotStream.Consumer(
                        name: octets("one"), seenTime: 1_700_000_000_600, activeTime: -1, pending: [SnapshotStream.ID(1_700_000_000_000, 1)]),
                    SnapshotStream.Consumer(
                        name: octets("two"), seenTime: 1_700_000_000_601, activeTime: -1, pending: [SnapshotStream.ID(1_700_000_000_000, 0)]),
                ])
        ])

    static let values: [SnapshotValue] =
        texts.map(SnapshotValue.string) + [
            .list([octets("one")]), .list(texts), .list(numbers(3000)),
            .set([octets("1"), octets("2"), octets("-70000")]), .set(texts), .set(numbers(1000)),
            .hash([SnapshotValue.Field(name: octets("f"), value: [])]),
            .hash(texts.map { SnapshotValue.Field(name: $0, value: $0) }),
            .hash(numbers(1000).map { SnapshotValue.Field(name: $0, value: Array($0.reversed())) }),
            .sortedSet([
                SnapshotValue.Member(bytes: octets("low"), score: -.infinity), SnapshotValue.Member(bytes: octets("half"), score: 0.5),
                SnapshotValue.Member(bytes: octets("large"), score: 1.7976931348623157e308), SnapshotValue.Member(bytes: [], score: -0.0),
                SnapshotValue.Member(bytes: octets("high"), score: .infinity),
            ]),
            .sortedSet(numbers(1000).enumerated().map { SnapshotValue.Member(bytes: $0.element, score: Double($0.offset) / 3) }),
            .stream(stream), .stream(SnapshotStream()),
        ]

    /// Each value under a key of its own, some with an expiry far ahead, in two databases.
    static let entries: [SnapshotEntry] = values.enumerated().map { index, value in
        SnapshotEntry(
            database: index % 2 * 3, key: octets("key:\(index)"), value: value, expiry: index % 4 == 0 ? 4_000_000_000_000 + Int64(index) : nil)
    }.sorted { $0.database < $1.database }

    /// The entries as a file.
    static func file(_ entries: [SnapshotEntry] = entries) -> [UInt8] {
        var writer = RDBWriter(auxiliary: [("redis-ver", "7.2.0"), ("redis-bits", "64")])
        for entry in entries { writer.write(entry) }
        let bytes = writer.takeBytes()
        return bytes + writer.finish()
    }
}

/// A checksum that says that there is none.
let noChecksum = [UInt8](repeating: 0, count: 8)

/// Everything in a file, up to its end.
func readSnapshot(_ bytes: [UInt8], databaseCount: Int = 16, now: Int64 = 0) throws(RDBError) -> [RDBReader.Event] {
    try bytes.withUnsafeBufferPointer { buffer throws(RDBError) in
        var reader = try RDBReader(UnsafeRawBufferPointer(buffer), databaseCount: databaseCount, now: now)
        var events: [RDBReader.Event] = []
        while true {
            let event = try reader.next()
            events.append(event)
            if event == .end { return events }
        }
    }
}

func entries(in bytes: [UInt8]) throws(RDBError) -> [SnapshotEntry] {
    try readSnapshot(bytes).compactMap { if case .entry(let entry) = $0 { entry } else { nil } }
}

func readPayload(_ bytes: [UInt8]) throws(DumpPayload.Refusal) -> SnapshotValue {
    try bytes.withUnsafeBufferPointer { buffer throws(DumpPayload.Refusal) in
        try DumpPayload.read(UnsafeRawBufferPointer(buffer), now: 0)
    }
}

extension SnapshotFile.Target {
    /// Takes strings as it takes all else.
    init(_ entry: @escaping (SnapshotEntry) -> String?) {
        self.init(
            string: { string in
                guard let value = string.copiedValue else { return "malformed" }
                return entry(SnapshotEntry(database: string.database, key: [UInt8](string.key), value: .string(value), expiry: string.expiry))
            }, entry: entry)
    }
}
