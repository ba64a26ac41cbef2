public import Telemetry
import Transport

/// All that the pooler tells Prometheus, at one moment: counters of its own, and the tables of the console under the names that
/// prometheus-community's pgbouncer_exporter gives them, so that dashboards made for it go on.
/// - Source: github.com/prometheus-community/pgbouncer_exporter, collector.go.
public struct PoolerReport: Sendable {
    var console = ConsoleSnapshot()
    var clients = 0
    var counters = Counters()
    var wait = HistogramSnapshot()
    /// That clients are shown; `nil` where they are not asked for TLS.
    var certificate: TLSCertificates.Description?

    /// Sums over the event loops.
    struct Counters: Sendable {
        var clientLogins: UInt64 = 0
        var clientsRefused: UInt64 = 0
        var memoryCuts: UInt64 = 0
        var leases: UInt64 = 0
        var serverLogins: UInt64 = 0
        var serverLoginFailures: UInt64 = 0
        var moves: UInt64 = 0
        var cancels: UInt64 = 0
        var waitsExpired: UInt64 = 0
        var bytesReceived: UInt64 = 0
        var bytesSent: UInt64 = 0
        var parameterChanges: UInt64 = 0
        var pins: UInt64 = 0
        var dedications: UInt64 = 0
        var resets: UInt64 = 0
        var ownTransactions: UInt64 = 0
        var notifications: UInt64 = 0

        mutating func add(_ metrics: PoolerMetrics) {
            clientLogins &+= metrics.clientLogins.value
            clientsRefused &+= metrics.clientsRefused.value
            memoryCuts &+= metrics.memoryCuts.value
            leases &+= metrics.leases.value
            serverLogins &+= metrics.serverLogins.value
            serverLoginFailures &+= metrics.serverLoginFailures.value
            moves &+= metrics.moves.value
            cancels &+= metrics.cancels.value
            waitsExpired &+= metrics.waitsExpired.value
            bytesReceived &+= metrics.bytesReceived.value
            bytesSent &+= metrics.bytesSent.value
            parameterChanges &+= metrics.parameterChanges.value
            pins &+= metrics.pins.value
            dedications &+= metrics.dedications.value
            resets &+= metrics.resets.value
            ownTransactions &+= metrics.ownTransactions.value
            notifications &+= metrics.notifications.value
        }
    }

    /// Databases and users are those of the configuration, or who logged in; so many pools have series of their own, and no more.
    private static let poolsMax = 500

    public func append(to text: inout PrometheusText) {
        text.gauge("headrace_pooler_clients", help: "Open connections of clients.", value: Double(clients))
        if let certificate {
            text.gauge(
                "headrace_pooler_tls_certificate_expiry_timestamp_seconds", help: "When the certificate ends that clients are shown, in Unix seconds.",
                labels: [("file", certificate.file)], value: Double(certificate.expires))
        }
        let rows: [(String, String, UInt64)] = [
            ("client_logins", "Clients that proved who they are.", counters.clientLogins),
            ("clients_refused", "Clients that were refused.", counters.clientsRefused),
            ("memory_cut", "Clients that were cut because the process has nearly all memory.total.", counters.memoryCuts),
            ("leases", "Times that a server connection was given to a client.", counters.leases),
            ("server_logins", "Server connections that were made.", counters.serverLogins),
            ("server_login_failures", "Server connections that could not be made.", counters.serverLoginFailures),
            ("moves", "Server connections that went from one event loop to another.", counters.moves),
            ("cancels", "Requests to cancel that were passed on.", counters.cancels),
            ("waits_expired", "Clients that waited too long for a server connection and were refused.", counters.waitsExpired),
            ("received_bytes", "Bytes from clients.", counters.bytesReceived), ("sent_bytes", "Bytes to clients.", counters.bytesSent),
            ("parameter_changes", "Statements about session parameters that a lease needed.", counters.parameterChanges),
            ("pins", "Times that a client kept its server connection because a transaction left something behind.", counters.pins),
            ("dedications", "Server connections made for one client each, to measure what sharing them is worth.", counters.dedications),
            ("resets", "Server connections that were reset before another client got them.", counters.resets),
            (
                "own_transactions", "Transactions at PostgreSQL that are the pooler's and no client's: logins, parameters, resets, questions about sessions and passwords.",
                counters.ownTransactions
            ),
            ("notifications", "Notifications that came for listeners in transaction mode.", counters.notifications),
        ]
        for (name, help, value) in rows { text.counter("headrace_pooler_\(name)_total", help: help, value: value) }
        text.histogram(
            "headrace_pooler_wait_seconds", help: "How long clients waited that got a server connection.", snapshot: wait,
            bounds: [0.000_1, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60])
        text.gauge("pgbouncer_up", help: "Whether the pooler answers.", value: 1)
        appendPools(to: &text)
        appendDatabases(to: &text)
        appendStats(to: &text)
        let lists: [(String, String, Int)] = [
            ("databases", "Count of databases.", console.databases.count), ("users", "Count of users.", console.users.count),
            ("pools", "Count of pools.", console.pools.count), ("used_clients", "Count of used clients.", clients),
            ("login_clients", "Count of clients in login state.", console.loginClients),
            ("free_servers", "Count of free servers.", console.pools.reduce(0) { $0 + $1.serversIdle }),
            ("used_servers", "Count of used servers.", console.pools.reduce(0) { $0 + $1.serversActive }),
        ]
        for (name, help, value) in lists { text.gauge("pgbouncer_\(name)", help: "\(help) As pgbouncer_exporter names it.", value: Double(value)) }
        for (key, name, help) in [
            ("max_client_conn", "client", "Client connections that may be open."), ("max_user_connections", "user", "Server connections per user."),
        ] {
            guard let value = console.settings.first(where: { $0.key == key })?.value.flatMap(Double.init) else { continue }
            text.gauge("pgbouncer_config_max_\(name)_connections", help: "\(help) As pgbouncer_exporter names it.", value: value)
        }
    }

    private func appendPools(to text: inout PrometheusText) {
        typealias Row = ConsoleSnapshot.Pool
        let columns: [(String, String, (Row) -> Double)] = [
            ("client_active_connections", "Clients that are linked to a server connection, or idle.", { Double($0.clientsActive) }),
            ("client_waiting_connections", "Clients that wait for a server connection.", { Double($0.clientsWaiting) }),
            ("client_active_cancel_connections", "Requests to cancel that were passed on.", { Double($0.cancelsActive) }),
            ("client_waiting_cancel_connections", "Requests to cancel that wait.", { Double($0.cancelsWaiting) }),
            ("server_active_connections", "Server connections that are linked to a client.", { Double($0.serversActive) }),
            ("server_active_cancel_connections", "Server connections that pass on a request to cancel.", { Double($0.serversCancelling) }),
            ("server_being_canceled_connections", "Server connections whose statement is being cancelled.", { Double($0.serversBeingCancelled) }),
            ("server_idle_connections", "Server connections that are ready for a client.", { Double($0.serversIdle) }),
            ("server_used_connections", "Server connections that are checked before their next use.", { Double($0.serversUsed) }),
            ("server_testing_connections", "Server connections that are being reset or checked.", { Double($0.serversTested) }),
            ("server_login_connections", "Server connections that are being made.", { Double($0.serversLoggingIn) }),
            ("client_maxwait_seconds", "How long the client has waited that waits the longest.", { Double($0.maxWait) / 1e6 }),
        ]
        for (name, help, value) in columns {
            for pool in console.pools.prefix(Self.poolsMax) {
                text.gauge(
                    "pgbouncer_pools_\(name)", help: "\(help) As pgbouncer_exporter names it.",
                    labels: [("database", pool.database), ("user", pool.user)], value: value(pool))
            }
        }
    }

    private func appendDatabases(to text: inout PrometheusText) {
        typealias Row = ConsoleSnapshot.Database
        let columns: [(String, String, (Row) -> Double)] = [
            ("pool_size", "Server connections that a pool may have.", { Double($0.poolSize) }),
            ("reserve_pool", "Server connections beyond them.", { Double($0.reservePoolSize) }),
            ("max_connections", "Server connections that the database may have; 0 is no bound.", { Double($0.connectionsMax) }),
            ("current_connections", "Server connections of the database.", { Double($0.connections) }),
            ("paused", "Whether it is paused.", { $0.isPaused ? 1 : 0 }), ("disabled", "Whether it is disabled.", { $0.isDisabled ? 1 : 0 }),
        ]
        for (name, help, value) in columns {
            for row in console.databases.prefix(Self.poolsMax) {
                text.gauge(
                    "pgbouncer_databases_\(name)", help: "\(help) As pgbouncer_exporter names it.",
                    labels: [
                        ("name", row.name), ("host", row.host ?? ""), ("port", String(row.port)), ("database", row.database),
                        ("force_user", row.forcedUser ?? ""), ("pool_mode", row.poolMode ?? ""),
                    ], value: value(row))
            }
        }
    }

    private func appendStats(to text: inout PrometheusText) {
        typealias Row = ConsoleSnapshot.Stats.Counts
        let columns: [(String, String, (Row) -> Double)] = [
            ("queries_pooled", "Queries.", { Double($0.queries) }), ("sql_transactions_pooled", "Transactions.", { Double($0.transactions) }),
            ("queries_duration_seconds", "Time in which servers worked for queries.", { Double($0.queryTime) / 1e6 }),
            ("server_in_transaction_seconds", "Time in transactions.", { Double($0.transactionTime) / 1e6 }),
            ("client_wait_seconds", "Time that clients waited for a server connection.", { Double($0.waitTime) / 1e6 }),
            ("received_bytes", "Bytes from clients.", { Double($0.bytesReceived) }), ("sent_bytes", "Bytes to clients.", { Double($0.bytesSent) }),
            ("client_parses", "Parse messages from clients.", { Double($0.clientParses) }),
            ("server_parses", "Parse messages to servers.", { Double($0.serverParses) }), ("binds", "Bind messages.", { Double($0.binds) }),
        ]
        for (name, help, value) in columns {
            for row in console.stats.prefix(Self.poolsMax) {
                text.counter(
                    "pgbouncer_stats_totals_\(name)_total", help: "\(help) As pgbouncer_exporter names it.", labels: [("database", row.database)],
                    amount: value(row.totals))
            }
        }
    }

    /// One of a pooler that has served nothing, for the reference.
    public static var example: PoolerReport {
        var report = PoolerReport()
        report.console.pools = [.init(database: "shop", user: "app", poolMode: "transaction")]
        report.console.databases = [
            .init(
                name: "shop", host: "127.0.0.1", port: 5432, database: "shop", forcedUser: nil, poolSize: 20, minPoolSize: 0, reservePoolSize: 0,
                serverLifetime: 3600, poolMode: "transaction", loadBalanceHosts: nil, connectionsMax: 0, connections: 0, clientConnectionsMax: 0,
                clientConnections: 0, isPaused: false, isDisabled: false)
        ]
        report.console.stats = [.init(database: "shop")]
        report.certificate = .init(file: "", names: [], expires: 0)
        report.console.settings = ["max_client_conn", "max_user_connections"].map { .init(key: $0, value: "0", standard: "0", isChangeable: false) }
        return report
    }
}

extension PoolerServer {
    /// What Prometheus is told, gathered from one event loop after the other.
    /// - Returns: `nil` before it has started, and once it drains: its loops may be gone.
    public func report() async -> PoolerReport? {
        let (workers, runner) = gathering()
        guard !workers.isEmpty else { return nil }
        var report = PoolerReport()
        report.console = ConsoleSnapshot(runner)
        report.certificate = runner.tls.certificate
        for (eventLoop, worker) in workers {
            let before = report
            let next = try? await eventLoop.submit { () -> PoolerReport in
                var after = before
                worker.value.describe(in: &after)
                return after
            }.get()
            guard let next else { return nil }
            report = next
        }
        return report
    }
}
