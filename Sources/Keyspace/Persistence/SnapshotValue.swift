/// A key's value in a form that belongs to no store and to no file: what snapshots, append logs, `DUMP` and `RESTORE` give and take.
public enum SnapshotValue: Sendable, Equatable {
    case string([UInt8])
    /// From the head to the tail.
    case list([[UInt8]])
    case set([[UInt8]])
    case hash([Field])
    /// In the order of the set: by score, then by member.
    case sortedSet([Member])
    /// A stream as the payload of its RDB object, kept whole.
    case stream(OpaqueStream)

    public struct Field: Sendable, Equatable {
        public var name: [UInt8]
        public var value: [UInt8]

        public init(name: [UInt8], value: [UInt8]) {
            self.name = name
            self.value = value
        }
    }

    public struct Member: Sendable, Equatable {
        public var bytes: [UInt8]
        public var score: Double

        public init(bytes: [UInt8], score: Double) {
            self.bytes = bytes
            self.score = score
        }
    }

    public struct OpaqueStream: Sendable, Equatable {
        /// The RDB object type that says how the payload is written.
        public var type: UInt8
        public var payload: [UInt8]

        public init(type: UInt8, payload: [UInt8]) {
            self.type = type
            self.payload = payload
        }
    }
}

/// A key of a database with its value, as snapshots have it.
public struct SnapshotEntry: Sendable, Equatable {
    public var database: Int
    public var key: [UInt8]
    public var value: SnapshotValue
    /// Milliseconds since 1970-01-01 UTC; `nil` when the key does not expire.
    public var expiry: Int64?

    public init(database: Int, key: [UInt8], value: SnapshotValue, expiry: Int64?) {
        self.database = database
        self.key = key
        self.value = value
        self.expiry = expiry
    }
}
