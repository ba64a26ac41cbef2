/// A value of the keyspace in the form that files, payloads and the store have in common: what it holds, not how it is kept.
package enum SnapshotValue: Equatable, Sendable {
    case string([UInt8])
    /// From head to tail.
    case list([[UInt8]])
    /// In any order.
    case set([[UInt8]])
    /// In any order.
    case hash([Field])
    /// In any order; no score is NaN.
    case sortedSet([Member])
    case stream(SnapshotStream)

    /// A field of a hash.
    package struct Field: Equatable, Sendable {
        package var name: [UInt8]
        package var value: [UInt8]

        package init(name: [UInt8], value: [UInt8]) {
            self.name = name
            self.value = value
        }
    }

    /// A member of a sorted set.
    package struct Member: Equatable, Sendable {
        package var bytes: [UInt8]
        package var score: Double

        package init(bytes: [UInt8], score: Double) {
            self.bytes = bytes
            self.score = score
        }
    }

    /// Whether it is a collection without elements, which the keyspace never holds. A string and a stream may be empty.
    package var isEmptyCollection: Bool {
        switch self {
        case .string, .stream: false
        case .list(let elements), .set(let elements): elements.isEmpty
        case .hash(let fields): fields.isEmpty
        case .sortedSet(let members): members.isEmpty
        }
    }

    /// Whether a set, hash or sorted set names an element twice: no keyspace writes such a value, but a payload may hold one.
    package var hasRepeatedElements: Bool {
        switch self {
        case .string, .list, .stream: false
        case .set(let elements): Set(elements).count != elements.count
        case .hash(let fields): Set(fields.map(\.name)).count != fields.count
        case .sortedSet(let members): Set(members.map(\.bytes)).count != members.count
        }
    }
}

/// A key and the string that it holds, in the memory of a file: valid as long as that is mapped.
package struct MappedString {
    package var database: Int
    package var key: UnsafeRawBufferPointer
    var value: UnsafeRawBufferPointer
    /// How many bytes ``value`` has uncompressed (see ``LZF``); `nil` where it is not compressed.
    var unpackedCount: Int?
    /// Milliseconds since 1970-01-01 UTC.
    package var expiry: Int64?

    /// `nil` where the compressed bytes are malformed.
    package var copiedValue: [UInt8]? {
        guard let unpackedCount else { return [UInt8](value) }
        return LZF.decompress(value, count: unpackedCount)
    }
}

/// A key with all that a file says about it.
package struct SnapshotEntry: Equatable, Sendable {
    package var database: Int
    package var key: [UInt8]
    package var value: SnapshotValue
    /// Milliseconds since 1970-01-01 UTC.
    package var expiry: Int64?
    /// Seconds since it was last used, where the file says so (LRU policies of Redis write it).
    package var idleSeconds: UInt64?
    /// Redis' logarithmic counter of use, where the file says so (LFU policies write it).
    package var frequency: UInt8?

    package init(
        database: Int = 0, key: [UInt8], value: SnapshotValue, expiry: Int64? = nil, idleSeconds: UInt64? = nil, frequency: UInt8? = nil
    ) {
        self.database = database
        self.key = key
        self.value = value
        self.expiry = expiry
        self.idleSeconds = idleSeconds
        self.frequency = frequency
    }
}
