/// The pooler as the console shows it: what each part knows of itself at one moment. Times are microseconds, as PgBouncer has them.
struct ConsoleSnapshot: Sendable {
    var version = ""
    var isPaused = false
    var isSuspended = false
    var databases: [Database] = []
    var users: [User] = []
    var pools: [Pool] = []
    var clients: [Socket] = []
    var servers: [Socket] = []
    var stats: [Stats] = []
    var settings: [Setting] = []
    var memory: [Memory] = []
    var hosts: [Host] = []
    var loginClients = 0
    var queries: [Query] = []
    /// Where the query of a fingerprint and a database is.
    var queryIndex: [String: Int] = [:]
    var waiters: [Waiter] = []
    var leaks: [Leak] = []
    var pins: [Pin] = []

    struct Database: Sendable {
        var name: String
        /// `nil`: a Unix socket.
        var host: String?
        var port: Int
        var database: String
        var forcedUser: String?
        var poolSize: Int
        var minPoolSize: Int
        var reservePoolSize: Int
        /// Seconds.
        var serverLifetime: Int
        var poolMode: String?
        var loadBalanceHosts: String?
        var connectionsMax: Int
        var connections: Int
        var clientConnectionsMax: Int
        var clientConnections: Int
        var isPaused: Bool
        var isDisabled: Bool
    }

    struct User: Sendable {
        var name: String
        var poolSize: Int
        var reservePoolSize: Int
        var poolMode: String?
        var connectionsMax: Int
        var connections: Int
        var clientConnectionsMax: Int
        var clientConnections: Int
    }

    struct Pool: Sendable {
        var database: String
        var user: String
        var clientsActive = 0
        var clientsWaiting = 0
        var cancelsActive = 0
        var cancelsWaiting = 0
        var serversActive = 0
        var serversCancelling = 0
        var serversBeingCancelled = 0
        var serversIdle = 0
        var serversUsed = 0
        var serversTested = 0
        var serversLoggingIn = 0
        /// How long the longest waiter has waited.
        var maxWait: UInt64 = 0
        var poolMode: String
        var loadBalanceHosts: String?
    }

    struct Socket: Sendable {
        /// `C` or `S`.
        var type: String
        var user: String
        var database: String
        var replication = "none"
        var state: String
        /// `unix` for a Unix socket.
        var address: String
        var port: Int
        var localAddress: String
        var localPort: Int
        /// `2026-01-31 12:00:00 UTC`.
        var connectTime: String
        var requestTime: String
        var wait: UInt64 = 0
        var closeNeeded = false
        var link: UInt64?
        var remotePID = 0
        /// Such as `TLSv1.3/TLS_AES_128_GCM_SHA256`; empty without TLS.
        var tls = ""
        var applicationName = ""
        var preparedStatements = 0
        var id: UInt64
        var isActive = true
    }

    /// Totals since the start, and what came of them per second in the last period.
    struct Stats: Sendable {
        var database: String
        var totals = Counts()
        var averages = Counts()

        struct Counts: Sendable, Equatable {
            var serverAssignments: UInt64 = 0
            var transactions: UInt64 = 0
            var queries: UInt64 = 0
            var bytesReceived: UInt64 = 0
            var bytesSent: UInt64 = 0
            var transactionTime: UInt64 = 0
            var queryTime: UInt64 = 0
            var waitTime: UInt64 = 0
            var clientParses: UInt64 = 0
            var serverParses: UInt64 = 0
            var binds: UInt64 = 0
            var clientLogins: UInt64 = 0

            /// In the order of the columns.
            var values: [UInt64] {
                [
                    serverAssignments, transactions, queries, bytesReceived, bytesSent, transactionTime, queryTime, waitTime, clientParses,
                    serverParses, binds, clientLogins,
                ]
            }
        }
    }

    struct Setting: Sendable {
        var key: String
        var value: String?
        var standard: String?
        var isChangeable: Bool
    }

    struct Memory: Sendable {
        var name: String
        /// Bytes of one.
        var size: Int
        var used: Int
        var free: Int
    }

    struct Host: Sendable {
        var name: String
        /// Seconds.
        var lifetime: Int
        var addresses: [String]
    }

    struct Query: Sendable {
        var fingerprint: String
        var text: String
        var database: String
        var calls: UInt64
        var rows: UInt64
        var errors: UInt64
        var wait: UInt64
        var server: UInt64
        var p50: UInt64
        var p95: UInt64
        var p99: UInt64
        var traceID: String?
        /// Of which the percentiles are made.
        var times = QueryTimes()
    }

    /// Who a client is, in our own tables.
    struct Client: Sendable {
        var database: String
        var user: String
        var applicationName: String
        var address: String
        var port: Int
        var id: UInt64

        func isSamePool(as other: Client) -> Bool { database == other.database && user == other.user }
    }

    struct Waiter: Sendable {
        var client: Client
        var wait: UInt64
        /// From 1.
        var position: Int
    }

    struct Leak: Sendable {
        var client: Client
        var idleInTransaction: UInt64
        var query: String
        var traceID: String?
        var remotePID: Int
    }

    struct Pin: Sendable {
        var client: Client
        var cause: String
        var since: UInt64
        var query: String
        var remotePID: Int
    }
}

extension ConsoleSnapshot {
    /// The rows of a table, cells in the order of ``ConsoleTable/columns``. None for HELP.
    func rows(of table: ConsoleTable) -> [[ConsoleCell]] {
        switch table {
        case .help, .peers, .peerPools, .dnsZones: []
        case .version: [[.text(version)]]
        case .state:
            [
                ["active", isPaused || isSuspended ? "no" : "yes"], ["paused", isPaused ? "yes" : "no"],
                ["suspended", isSuspended ? "yes" : "no"],
            ]
        case .databases: databases.map(Self.cells)
        case .users: users.map(Self.cells)
        case .pools: pools.map(Self.cells)
        case .clients: clients.map(Self.cells)
        case .servers: servers.map(Self.cells)
        case .sockets: (clients + servers).map { Self.cells($0) + Self.positions }
        case .activeSockets: (clients + servers).filter(\.isActive).map { Self.cells($0) + Self.positions }
        case .fds: []
        case .stats: stats.map { [.text($0.database)] + ($0.totals.values + $0.averages.values).map { ConsoleCell($0) } }
        case .statsTotals: stats.map { [.text($0.database)] + $0.totals.values.map { ConsoleCell($0) } }
        case .statsAverages: stats.map { [.text($0.database)] + $0.averages.values.map { ConsoleCell($0) } }
        case .totals: totals
        case .config:
            settings.map { [.text($0.key), ConsoleCell($0.value), ConsoleCell($0.standard), $0.isChangeable ? "yes" : "no"] }
        case .lists: lists
        case .mem:
            memory.map {
                [.text($0.name), ConsoleCell($0.size), ConsoleCell($0.used), ConsoleCell($0.free), ConsoleCell($0.size * ($0.used + $0.free))]
            }
        case .dnsHosts: hosts.map { [.text($0.name), ConsoleCell($0.lifetime), .text($0.addresses.joined(separator: ","))] }
        case .queries: queries.map(Self.cells)
        case .waiters: waiters.map { Self.cells($0.client) + [ConsoleCell($0.wait), ConsoleCell($0.position), ConsoleCell($0.client.id)] }
        case .leaks:
            leaks.map { leak in
                Self.cells(leak.client) + [
                    ConsoleCell(leak.idleInTransaction), .text(leak.query), ConsoleCell(leak.traceID), ConsoleCell(leak.remotePID),
                    ConsoleCell(leak.client.id),
                ]
            }
        case .pinned:
            pins.map { pin in
                Self.cells(pin.client) + [
                    .text(pin.cause), ConsoleCell(pin.since), .text(pin.query), ConsoleCell(pin.remotePID), ConsoleCell(pin.client.id),
                ]
            }
        }
    }

    /// PgBouncer shows where it stands in its socket buffers; we have no such buffers.
    private static let positions: [ConsoleCell] = Array(repeating: .number(0), count: 7)

    private static func cells(_ row: Database) -> [ConsoleCell] {
        [
            .text(row.name), ConsoleCell(row.host), ConsoleCell(row.port), .text(row.database), ConsoleCell(row.forcedUser),
            ConsoleCell(row.poolSize), ConsoleCell(row.minPoolSize), ConsoleCell(row.reservePoolSize), ConsoleCell(row.serverLifetime),
            ConsoleCell(row.poolMode), ConsoleCell(row.loadBalanceHosts), ConsoleCell(row.connectionsMax), ConsoleCell(row.connections),
            ConsoleCell(row.clientConnectionsMax), ConsoleCell(row.clientConnections), ConsoleCell(row.isPaused), ConsoleCell(row.isDisabled),
        ]
    }

    private static func cells(_ row: User) -> [ConsoleCell] {
        [
            .text(row.name), ConsoleCell(row.poolSize), ConsoleCell(row.reservePoolSize), ConsoleCell(row.poolMode),
            ConsoleCell(row.connectionsMax), ConsoleCell(row.connections), ConsoleCell(row.clientConnectionsMax),
            ConsoleCell(row.clientConnections),
        ]
    }

    private static func cells(_ row: Pool) -> [ConsoleCell] {
        let counts = [
            row.clientsActive, row.clientsWaiting, row.cancelsActive, row.cancelsWaiting, row.serversActive, row.serversCancelling,
            row.serversBeingCancelled, row.serversIdle, row.serversUsed, row.serversTested, row.serversLoggingIn,
        ]
        return [.text(row.database), .text(row.user)] + counts.map { ConsoleCell($0) }
            + [
                ConsoleCell(row.maxWait / 1_000_000), ConsoleCell(row.maxWait % 1_000_000), .text(row.poolMode),
                ConsoleCell(row.loadBalanceHosts),
            ]
    }

    private static func cells(_ row: Socket) -> [ConsoleCell] {
        [
            .text(row.type), .text(row.user), .text(row.database), .text(row.replication), .text(row.state), .text(row.address),
            ConsoleCell(row.port), .text(row.localAddress), ConsoleCell(row.localPort), .text(row.connectTime), .text(row.requestTime),
            ConsoleCell(row.wait / 1_000_000), ConsoleCell(row.wait % 1_000_000), ConsoleCell(row.closeNeeded), .text(pointer(row.id)),
            .text(row.link.map(pointer) ?? ""), ConsoleCell(row.remotePID), .text(row.tls), .text(row.applicationName),
            ConsoleCell(row.preparedStatements), ConsoleCell(row.id),
        ]
    }

    /// PgBouncer shows addresses in memory, by which `link` names the other side; ours are made of the id.
    private static func pointer(_ id: UInt64) -> String { "0x" + String(id, radix: 16) }

    private static func cells(_ row: Query) -> [ConsoleCell] {
        [
            .text(row.fingerprint), .text(row.text), .text(row.database), ConsoleCell(row.calls), ConsoleCell(row.rows),
            ConsoleCell(row.errors), ConsoleCell(row.wait), ConsoleCell(row.server), ConsoleCell(row.p50), ConsoleCell(row.p95),
            ConsoleCell(row.p99), ConsoleCell(row.traceID),
        ]
    }

    private static func cells(_ row: Client) -> [ConsoleCell] {
        [.text(row.database), .text(row.user), .text(row.applicationName), .text(row.address), ConsoleCell(row.port)]
    }

    /// All databases together; the names are those of SHOW STATS.
    private var totals: [[ConsoleCell]] {
        var sums = [UInt64](repeating: 0, count: ConsoleTable.stats.columns.count - 1)
        for row in stats {
            for (index, value) in (row.totals.values + row.averages.values).enumerated() { sums[index] &+= value }
        }
        return zip(ConsoleTable.stats.columns.dropFirst(), sums).map { [.text($0.name), ConsoleCell($1)] }
    }

    private var lists: [[ConsoleCell]] {
        let idle = servers.count { $0.state == "idle" }
        let counts: [(String, Int)] = [
            ("databases", databases.count), ("users", users.count), ("pools", pools.count), ("free_clients", 0),
            ("used_clients", clients.count), ("login_clients", loginClients), ("free_servers", idle), ("used_servers", servers.count - idle),
            ("dns_names", hosts.count), ("dns_zones", 0), ("dns_queries", 0), ("dns_pending", 0),
        ]
        return counts.map { [.text($0), ConsoleCell($1)] }
    }
}
