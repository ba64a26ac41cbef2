import NIOCore

/// A setting under PgBouncer's name, as far as there is the same one: what `SHOW CONFIG` shows, and `SET` changes until the next start or
/// `RELOAD`.
/// - Source: pgbouncer.org, "Configuration" and "Admin console".
struct ConsoleSetting: Sendable {
    private enum Kind: Sendable {
        case count(any WritableKeyPath<PoolerConfiguration, Int> & Sendable, ClosedRange<Int>)
        /// In seconds, with as many decimals as somebody likes.
        case seconds(any WritableKeyPath<PoolerConfiguration, TimeAmount> & Sendable, ClosedRange<TimeAmount>)
        /// What the process has begun with.
        case fixed(@Sendable (PoolerConfiguration) -> String)
    }

    /// Why a setting cannot have a value.
    struct Problem: Error, Equatable {
        let message: String
        /// - Source: PostgreSQL 15, Appendix A.
        let sqlState: String
    }

    let name: String
    private let kind: Kind

    var isChangeable: Bool {
        if case .fixed = kind { false } else { true }
    }

    func value(in configuration: PoolerConfiguration) -> String {
        switch kind {
        case .count(let path, _): String(configuration[keyPath: path])
        case .seconds(let path, _): Self.seconds(configuration[keyPath: path])
        case .fixed(let read): read(configuration)
        }
    }

    /// Sets what an operator typed.
    static func set(_ name: String, to text: String, in configuration: inout PoolerConfiguration) throws(Problem) {
        guard let setting = all.first(where: { $0.name == name }) else {
            throw Problem(message: "unknown setting '\(name)', use SHOW CONFIG;", sqlState: "42704")
        }
        switch setting.kind {
        case .count(let path, let range):
            guard let value = Int(text), range.contains(value) else {
                throw Problem(message: "\(name) = '\(text)': expected a number from \(range.lowerBound) to \(range.upperBound)", sqlState: "22023")
            }
            configuration[keyPath: path] = value
        case .seconds(let path, let range):
            // Far more than any range has, and far less than an Int64 of nanoseconds.
            guard let seconds = Double(text), (0...1e9).contains(seconds), range.contains(.nanoseconds(Int64(seconds * 1e9))) else {
                let expected = "expected seconds from \(Self.seconds(range.lowerBound)) to \(Self.seconds(range.upperBound))"
                throw Problem(message: "\(name) = '\(text)': \(expected)", sqlState: "22023")
            }
            configuration[keyPath: path] = .nanoseconds(Int64(seconds * 1e9))
        case .fixed:
            throw Problem(message: "\(name) cannot be changed while the pooler runs: change the configuration, and start it anew", sqlState: "55P02")
        }
    }

    private static func seconds(_ time: TimeAmount) -> String {
        let (whole, part) = time.nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        guard part != 0 else { return String(whole) }
        let digits = String(1_000_000_000 + part).dropFirst()
        return "\(whole).\(digits[...(digits.lastIndex { $0 != "0" } ?? digits.startIndex)])"
    }

    private static let month = TimeAmount.seconds(0)...TimeAmount.hours(24 * 30)

    /// In the order of their names. Ranges are those of `docs/configuration.md`.
    static let all: [ConsoleSetting] = [
        .init(name: "auth_type", kind: .fixed { $0.authentication.method.rawValue }),
        .init(name: "client_idle_timeout", kind: .seconds(\.timeouts.clientIdle, month)),
        .init(name: "client_login_timeout", kind: .seconds(\.timeouts.clientLogin, .milliseconds(100)...(.minutes(10)))),
        .init(name: "client_tls_sslmode", kind: .fixed { $0.tls.client.rawValue }),
        .init(name: "default_pool_size", kind: .count(\.limits.poolSize, 1...10_000)),
        .init(name: "idle_transaction_timeout", kind: .seconds(\.timeouts.idleTransaction, month)),
        .init(name: "max_client_conn", kind: .count(\.limits.clientConnectionsMax, 1...1_000_000)),
        .init(name: "max_db_connections", kind: .count(\.limits.databaseConnectionsMax, 0...100_000)),
        .init(name: "max_prepared_statements", kind: .count(\.limits.preparedStatementsMax, 1...100_000)),
        .init(name: "max_user_connections", kind: .count(\.limits.userConnectionsMax, 0...100_000)),
        .init(name: "min_pool_size", kind: .count(\.limits.minPoolSize, 0...10_000)),
        .init(name: "pool_mode", kind: .fixed { $0.mode.rawValue }),
        .init(name: "query_timeout", kind: .seconds(\.timeouts.query, month)),
        .init(name: "query_wait_timeout", kind: .seconds(\.timeouts.queryWait, .milliseconds(10)...(.hours(24)))),
        .init(name: "reserve_pool_size", kind: .count(\.limits.reserveSize, 0...10_000)),
        .init(name: "reserve_pool_timeout", kind: .seconds(\.timeouts.reserve, .seconds(0)...(.hours(24)))),
        .init(name: "server_connect_timeout", kind: .seconds(\.timeouts.serverConnect, .milliseconds(10)...(.minutes(10)))),
        .init(name: "server_idle_timeout", kind: .seconds(\.timeouts.serverIdle, month)),
        .init(name: "server_lifetime", kind: .seconds(\.timeouts.serverLifetime, month)),
        .init(name: "server_tls_sslmode", kind: .fixed { $0.tls.server.rawValue }),
        .init(name: "transaction_timeout", kind: .seconds(\.timeouts.transaction, month)),
    ]
}
