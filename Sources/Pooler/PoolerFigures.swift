import NIOCore
public import Telemetry

/// Statements by the HTTP request that they say they are of. A request may come in several parts, of several loops and takings.
public struct PoolerTraces: Sendable, Codable {
    public struct Trace: Sendable, Codable {
        public struct Statement: Sendable, Codable {
            public var text: String
            public var database: String
            public var calls: UInt64
        }

        /// 32 hexadecimal digits.
        public var id: String
        public var calls: UInt64
        /// In which a server worked for it.
        public var microseconds: UInt64
        /// By normalised text, the first few of them.
        public var statements: [Statement]
    }

    public internal(set) var traces: [Trace] = []
    /// False when there were more than are held.
    public internal(set) var isComplete = true
}

/// The pooler's numbers at one moment, summed over its event loops. Counters since the start.
public struct PoolerFigures: Sendable, Codable {
    public struct Pool: Sendable, Codable {
        public var database: String
        public var user: String
        public var clientsWaiting = 0
        public var serversActive = 0
        public var serversIdle = 0
        public var serversOpening = 0
        /// How long the client has waited that waits the longest.
        public var maxWaitMicroseconds: UInt64 = 0
    }

    /// What one normalised statement has cost.
    public struct Statement: Sendable, Codable {
        public var text: String
        public var database: String
        public var calls: UInt64
        public var rows: UInt64
        public var errors: UInt64
        /// In which a server worked for it.
        public var microseconds: UInt64
        public var waitMicroseconds: UInt64
        /// The largest of the loops'.
        public var p95Microseconds: UInt64
    }

    public internal(set) var pools: [Pool] = []
    public internal(set) var clients = 0
    public internal(set) var transactions: UInt64 = 0
    /// On server connections, and no client's: logins, parameters, resets, questions about sessions and passwords.
    public internal(set) var ownTransactions: UInt64 = 0
    public internal(set) var queries: UInt64 = 0
    public internal(set) var transactionMicroseconds: UInt64 = 0
    public internal(set) var queryMicroseconds: UInt64 = 0
    public internal(set) var waitMicroseconds: UInt64 = 0
    public internal(set) var waitsExpired: UInt64 = 0
    public internal(set) var serverLogins: UInt64 = 0
    public internal(set) var serverLoginFailures: UInt64 = 0
    public internal(set) var cpuNanoseconds: UInt64 = 0
    /// Of the time in which servers worked, and of that for which clients waited: what statements took that say which HTTP request they
    /// are of.
    public internal(set) var tracedMicroseconds: UInt64 = 0
    public internal(set) var tracedWaitMicroseconds: UInt64 = 0
    /// What PostgreSQL says of its server connections' processes.
    public internal(set) var serverProcesses: Set<UInt32> = []
    /// Of clients for a server connection.
    public internal(set) var wait = HistogramSnapshot()
    /// What took the servers longest comes first.
    public internal(set) var statements: [Statement] = []

    public var clientsWaiting: Int { pools.reduce(0) { $0 + $1.clientsWaiting } }
    public var serversActive: Int { pools.reduce(0) { $0 + $1.serversActive } }
    public var serversIdle: Int { pools.reduce(0) { $0 + $1.serversIdle } }
    public var serversOpening: Int { pools.reduce(0) { $0 + $1.serversOpening } }

    init(_ state: (pools: [PoolMachine.Pool], connections: [PoolMachine.Connection]), now: NIODeadline) {
        pools = state.pools.map { Pool(database: $0.database, user: $0.user) }
        for connection in state.connections where pools.indices.contains(connection.pool) {
            switch connection.state {
            case .connecting: pools[connection.pool].serversOpening += 1
            case .idle: pools[connection.pool].serversIdle += 1
            case .leased, .moving: pools[connection.pool].serversActive += 1
            case .closing, .free: break
            }
        }
        for (index, pool) in state.pools.enumerated() {
            pools[index].clientsWaiting = pool.waiterCount
            if let oldest = pool.oldest { pools[index].maxWaitMicroseconds = UInt64(clamping: (now - oldest.waiter.since).nanoseconds / 1000) }
        }
    }

    /// The same statement of several loops becomes one.
    mutating func mergeStatements() {
        struct Key: Hashable {
            var text: String
            var database: String
        }
        var merged: [Key: Statement] = [:]
        for statement in statements {
            let key = Key(text: statement.text, database: statement.database)
            guard var sum = merged[key] else {
                merged[key] = statement
                continue
            }
            sum.calls &+= statement.calls
            sum.rows &+= statement.rows
            sum.errors &+= statement.errors
            sum.microseconds &+= statement.microseconds
            sum.waitMicroseconds &+= statement.waitMicroseconds
            sum.p95Microseconds = max(sum.p95Microseconds, statement.p95Microseconds)
            merged[key] = sum
        }
        statements = merged.values.sorted { $0.microseconds > $1.microseconds }
    }
}
