public import Transport

/// Everything the keyspace is told, as one immutable value.
public struct KeyspaceConfiguration: Sendable, Equatable {
    /// Where clients connect. Without any address there is no keyspace.
    public var listen: [SocketEndpoint] = []
    /// Event loops; 0 is one per core.
    public var threads = 0
    public var databases = 16
    /// Memory of all keys, values and bookkeeping; 0 for no bound.
    public var bytesMax = 256 << 20
    public var policy = EvictionPolicy.allkeysLRU
    /// What clients must say in AUTH; empty for nothing.
    public var password = ""
    public var clientsMax = 10_000
    /// Answers that a client has not taken yet; one that lets more pile up is closed.
    public var outputBytesMax = 256 << 20
    /// Requests that have been read and not carried out.
    public var inputBytesMax = 1 << 30

    /// Where snapshot and append log are; empty for a keyspace that is gone with its process.
    public var directory = ""
    public var snapshotName = "dump.rdb"
    /// Whether every change is logged.
    public var appendOnly = false
    public var fsync = FsyncPolicy.everysec

    public init() {}

    public typealias SocketEndpoint = Transport.SocketEndpoint
}

/// Which keys make room when the memory is full; the names are `maxmemory-policy`'s.
public enum EvictionPolicy: String, Sendable, CaseIterable {
    case noeviction
    case allkeysLRU = "allkeys-lru"
    case allkeysLFU = "allkeys-lfu"
    case allkeysRandom = "allkeys-random"
    case volatileLRU = "volatile-lru"
    case volatileLFU = "volatile-lfu"
    case volatileRandom = "volatile-random"
    case volatileTTL = "volatile-ttl"

    var isVolatile: Bool {
        switch self {
        case .volatileLRU, .volatileLFU, .volatileRandom, .volatileTTL: true
        case .noeviction, .allkeysLRU, .allkeysLFU, .allkeysRandom: false
        }
    }
}
