import NIOCore
import Pooler

/// What can be said of the pooler.
enum PoolerKeys {
    static let all: [ConfigurationKey] = [
        .init(
            "pooler.listen", \.pooler.listen, .list("addresses", of: .poolerAddress, isEmptyAllowed: true),
            "Where clients of PostgreSQL connect, such as 127.0.0.1:6432; without an address there is no pooler."),
        .init(
            "pooler.postgres", \.postgres, .optional(.postgres),
            "The server behind the pooler. With a database only that one is offered, with a user all clients are that user there."),
        .init(
            "pooler.password", \.postgresPassword, .optional(.text("password")), isSecret: true,
            "For logging in to the server."),
        .init(
            "pooler.proxies", \.pooler.proxies, .list("networks", of: .network, isEmptyAllowed: true),
            "Load balancers in front, which must say with the PROXY protocol, version 1 or 2, who the client is."),
        .init(
            "pooler.client_address", \.pooler.addsClientAddress, .boolean,
            "Whether a client's address follows its application_name at the server."),
        .init("pooler.threads", \.pooler.threads, .number(0...256), "Event loops; 0 is one per core."),
        .init(
            "pooler.busy_poll", \.pooler.busyPolls, .boolean,
            "Whether an event loop that carries the queries of one client alone looks 100 µs for the next message before it sleeps: less latency, more CPU."),
        .init(
            "pooler.mode", \.pooler.mode, .poolMode,
            "When a server connection goes back to its pool: at the end of the client's session, of each transaction, of each statement."),
        .init(
            "pooler.session_state", \.pooler.sessionState, .sessionMode,
            "What sessions leave behind: strict carries it or keeps the server connection, pgbouncer does neither, reset-always resets before each client."),

        .init(
            "pooler.limits.pool_size", \.pooler.limits.poolSize, .number(1...10_000), isReloadable: true, "Server connections of one pool: one database and user."),
        .init(
            "pooler.limits.min_pool_size", \.pooler.limits.minPoolSize, .number(0...10_000), isReloadable: true,
            "Server connections that are kept ready of each pool that has been used."),
        .init(
            "pooler.limits.reserve_pool_size", \.pooler.limits.reserveSize, .number(0...10_000), isReloadable: true,
            "Server connections beyond the pool's size, once a client has waited for pooler.timeouts.reserve."),
        .init(
            "pooler.limits.database_connections", \.pooler.limits.databaseConnectionsMax, .number(0...100_000), isReloadable: true,
            "Server connections to one database, from all users together; 0: no limit of its own."),
        .init(
            "pooler.limits.user_connections", \.pooler.limits.userConnectionsMax, .number(0...100_000), isReloadable: true,
            "Server connections as one user, to all databases together; 0: no limit of its own."),
        .init(
            "pooler.limits.server_connections", \.pooler.limits.serverConnectionsMax, .number(1...100_000), isReloadable: true, "Server connections in all."),
        .init(
            "pooler.limits.pinned", \.pooler.limits.pinnedMax, .number(0...100_000), isReloadable: true,
            "Server connections of one pool that clients may keep between transactions; who is one more is disconnected."),
        .init(
            "pooler.limits.server_logins", \.pooler.limits.loginsMax, .number(1...1_000), isReloadable: true, "Server connections of a pool that log in at a time."),
        .init(
            "pooler.limits.client_connections", \.pooler.limits.clientConnectionsMax, .number(1...1_000_000), isReloadable: true,
            "Client connections in all; more get SQLSTATE 53300."),
        .init(
            "pooler.limits.prepared_statements", \.pooler.limits.preparedStatementsMax, .number(1...100_000), isReloadable: true,
            "Statements that are kept prepared on each server connection."),
        .init(
            "pooler.limits.client_statements", \.pooler.limits.clientStatementsMax, .number(1...100_000), isReloadable: true,
            "Statements that one client may have prepared at a time."),
        .init(
            "pooler.limits.prepared_text", \.pooler.limits.preparedTextBytesMax, .size(1 << 10...64 << 20), isReloadable: true,
            "The longest statement that may be prepared under a name."),

        .init(
            "pooler.timeouts.query_wait", \.pooler.timeouts.queryWait, .duration(.milliseconds(10)...(.hours(24))), isReloadable: true,
            "How long a client waits for a server connection, and how long the rest of a message that must be whole may keep one waiting."),
        .init(
            "pooler.timeouts.reserve", \.pooler.timeouts.reserve, .duration(.seconds(0)...(.hours(24))), isReloadable: true,
            "After how long a wait the reserve is touched."),
        .init(
            "pooler.timeouts.server_connect", \.pooler.timeouts.serverConnect, .duration(.milliseconds(10)...(.minutes(10))), isReloadable: true,
            "For a connection to a server."),
        .init(
            "pooler.timeouts.server_login", \.pooler.timeouts.serverLogin, .duration(.milliseconds(10)...(.minutes(10))), isReloadable: true,
            "For the login that follows."),
        .init(
            "pooler.timeouts.server_lifetime", \.pooler.timeouts.serverLifetime, .duration(.seconds(0)...(.hours(24 * 30))), isReloadable: true,
            "How old a server connection may grow; 0s: any age."),
        .init(
            "pooler.timeouts.server_idle", \.pooler.timeouts.serverIdle, .duration(.seconds(0)...(.hours(24 * 30))), isReloadable: true,
            "How long a server connection beyond the minimum is kept unused; 0s: for ever."),
        .init(
            "pooler.timeouts.client_login", \.pooler.timeouts.clientLogin, .duration(.milliseconds(100)...(.minutes(10))), isReloadable: true,
            "From a client's connecting to the end of its login."),
        .init(
            "pooler.timeouts.client_idle", \.pooler.timeouts.clientIdle, .duration(.seconds(0)...(.hours(24 * 30))), isReloadable: true,
            "A client that asks nothing for so long is disconnected; 0s: never."),
        .init(
            "pooler.timeouts.idle_transaction", \.pooler.timeouts.idleTransaction, .duration(.seconds(0)...(.hours(24 * 30))), isReloadable: true,
            "A client that is idle in a transaction for so long is disconnected; 0s: never."),
        .init(
            "pooler.timeouts.query", \.pooler.timeouts.query, .duration(.seconds(0)...(.hours(24 * 30))), isReloadable: true,
            "A query that takes so long is cancelled, and its client disconnected; 0s: never."),
        .init(
            "pooler.timeouts.transaction", \.pooler.timeouts.transaction, .duration(.seconds(0)...(.hours(24 * 30))), isReloadable: true,
            "A transaction that takes so long is ended with its client; 0s: never."),
        .init(
            "pooler.timeouts.slow_statement", \.pooler.timeouts.slowStatement, .duration(.seconds(0)...(.hours(24))), isReloadable: true,
            "A statement that takes so long, its wait for a server connection included, is logged, without its values; 0s: none is."),
        .init(
            "pooler.timeouts.drain", \.pooler.timeouts.drain, .duration(.seconds(0)...(.hours(24))), isReloadable: true,
            "After SIGTERM: how long transactions may take to finish."),
    ]
}

extension ValueFormat where Value == PoolMode {
    static var poolMode: Self {
        let words = ValueFormat<String>.choice(PoolMode.allCases.map(\.rawValue))
        return Self(
            "pool mode", units: words.units, parse: { PoolMode(rawValue: try words.parse([$0])) ?? .transaction }, render: { $0.rawValue })
    }
}

extension ValueFormat where Value == IPNetwork {
    static var network: Self {
        Self(
            "network", units: "10.0.0.0/8, 2001:db8::/32, 192.0.2.1",
            parse: { word in
                guard let network = IPNetwork(word) else { throw ValueProblem("\"\(word)\" is no network such as 10.0.0.0/8 or 2001:db8::/32, nor an address") }
                return network
            }, render: { $0.text })
    }
}

extension ValueFormat where Value == SessionMode {
    static var sessionMode: Self {
        let words = ValueFormat<String>.choice(SessionMode.allCases.map(\.rawValue))
        return Self(
            "session state", units: words.units, parse: { SessionMode(rawValue: try words.parse([$0])) ?? .strict }, render: { $0.rawValue })
    }
}

extension ValueFormat where Value == PoolerConfiguration.SocketEndpoint {
    /// `127.0.0.1:6432`, `unix:/run/headrace/.s.PGSQL.6432`.
    static var poolerAddress: Self {
        Self("address", units: "HOST:PORT, unix:/PATH", parse: { try AddressText.parse($0) }, render: { "\($0)" })
    }
}

extension ValueFormat where Value == PostgresURL {
    static var postgres: Self {
        Self(
            "url", units: "postgres://USER@HOST:PORT/DATABASE", parse: { try PostgresURL($0) }, render: { $0.text })
    }
}
