public import Transport

/// The keyspace's numbers at one moment, as `INFO` says them. Counters since the start, or since `CONFIG RESETSTAT`.
public struct KeyspaceFigures: Sendable, Codable {
    public var commands: UInt64 = 0
    public var hits = 0
    public var misses = 0
    public var evicted = 0
    public var expired = 0
    public var keys = 0
    public var bytes = 0
    public var bytesMax = 0
    /// Of values that were removed and are freed on a thread of their own; not in ``bytes``.
    public var freeingBytes = 0
    public var policy = ""
    public var clients = 0
    public var connections: UInt64 = 0
    /// Connections beyond the limit.
    public var refused: UInt64 = 0
    /// Clients that were cut because the process was short of memory.
    public var memoryCuts: UInt64 = 0
    /// Connections on which TLS was agreed on, and those that ended before.
    public var tlsHandshakes: UInt64 = 0
    public var tlsFailures: UInt64 = 0
    public var bytesIn: UInt64 = 0
    public var bytesOut: UInt64 = 0
    /// By database.
    public var databaseKeys: [Int] = []
    /// Whether there is an event loop to answer.
    public var isServing = false
    /// CPU time of the event loops' threads.
    public var cpuNanoseconds: UInt64 = 0
    /// Those that clients are shown.
    public var certificates: [TLSCertificates.Description] = []

    public init() {}

    init(_ keyspace: Keyspace) {
        let sums = keyspace.sums(nil)
        commands = sums.commands
        (connections, refused, bytesIn, bytesOut) = (sums.connections, sums.refused, sums.bytesIn, sums.bytesOut)
        (hits, misses, evicted, expired) = (sums.hits, sums.misses, sums.evicted, sums.expired)
        databaseKeys = (0..<keyspace.configuration.databases).map { keyspace.keyCount($0, nil).keys }
        keys = databaseKeys.reduce(0, +)
        (tlsHandshakes, tlsFailures) = (sums.tlsHandshakes, sums.tlsFailures)
        memoryCuts = keyspace.loops.withLock { $0.reduce(0) { $0 &+ $1.memoryCuts.value } }
        isServing = keyspace.loops.withLock { !$0.isEmpty }
        bytes = keyspace.exactBytes(nil)
        bytesMax = keyspace.bytesLimit
        freeingBytes = keyspace.discarder.pendingBytes
        policy = keyspace.eviction.policy.rawValue
        clients = keyspace.clients.all.count
        cpuNanoseconds = keyspace.loops.withLock { $0.reduce(0) { $0 &+ UInt64(clamping: $1.cpuTime.value) } }
    }
}
