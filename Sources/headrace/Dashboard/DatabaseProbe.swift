import Dashboard
import Telemetry

/// What PostgreSQL itself says, asked past the pooler: who is connected, whether it follows another, and its dearest statements.
///
/// It asks as the user of `pooler.postgres`. Where that names none, or the login is refused, nothing is known and nothing is guessed.
enum DatabaseProbe {
    /// Sessions that are looked at; a server with more of them has other troubles.
    private static let sessionsMax = 20_000
    private static let statementsMax = 10
    private static let seconds = 2

    /// Waits for the network.
    /// - Parameter pooled: process numbers of the pooler's server connections.
    /// - Returns: with the number of transactions that asking took.
    static func read(_ postgres: PostgresURL, password: String?, pooled: Set<UInt32>) -> (facts: DatabaseFacts, asked: Int)? {
        guard let user = postgres.user,
            let session = try? BlockingPostgres(
                postgres, user: user, password: password ?? postgres.password, applicationName: "headrace dashboard", seconds: seconds)
        else { return nil }
        defer { session.sayGoodbye() }
        guard let facts = try? read(session, pooled: pooled) else { return nil }
        // A login is one, too.
        return (facts, session.questions + 1)
    }

    /// Others' rows hide most of their columns from who is no superuser, but neither number nor database.
    private static let sessions = """
        SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename IS NOT NULL AND datname IS NOT NULL \
        AND coalesce(backend_type, 'client backend') = 'client backend'
        """
    private static let standing = """
        SELECT current_setting('server_version'), pg_is_in_recovery(), \
        CASE WHEN pg_is_in_recovery() THEN extract(epoch FROM now() - pg_last_xact_replay_timestamp()) \
        ELSE (SELECT extract(epoch FROM max(replay_lag)) FROM pg_stat_replication) END, \
        EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements'), extract(epoch FROM clock_timestamp()), \
        floor(extract(epoch FROM pg_postmaster_start_time()))::bigint, pg_backend_pid(), \
        (SELECT extract(epoch FROM backend_start) FROM pg_stat_activity WHERE pid = pg_backend_pid()), \
        (SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database)
        """

    private static func statements(by column: String) -> String {
        """
        SELECT left(query, 2000), calls, total_exec_time / 1000, rows FROM pg_stat_statements WHERE calls > 0 \
        ORDER BY \(column) DESC LIMIT \(statementsMax)
        """
    }

    private static func read(_ session: BlockingPostgres, pooled: Set<UInt32>) throws -> DatabaseFacts {
        var facts = DatabaseFacts()
        let processes = try session.rows(sessions, rowsMax: sessionsMax).compactMap { $0.first.flatMap { $0 }.flatMap { UInt32($0) } }
        facts.sessionsPooled = processes.count { pooled.contains($0) }
        facts.sessionsPast = processes.count - facts.sessionsPooled
        let asked = WallClock.nanoseconds()
        guard let row = try session.rows(standing, rowsMax: 1).first, row.count == 9 else { return facts }
        // It read its clock somewhere between the question and the answer.
        let middle = Double(asked + (WallClock.nanoseconds() - asked) / 2) / 1e9
        facts.clockAheadSeconds = row[4].flatMap(Double.init).map { $0 - middle }
        facts.version = row[0]
        facts.startedAt = row[5].flatMap { Int64($0) }
        facts.isStandby = row[1] == "t"
        facts.lagSeconds = row[2].flatMap(Double.init)
        facts.transactions = row[8].flatMap(Double.init)
        if let process = row[6].flatMap({ Int($0) }), let start = row[7].flatMap(Double.init), let found = DatabaseProcesses(session: process, startedAt: start) {
            (facts.cpuSeconds, facts.memoryBytes) = (found.cpuSeconds, found.memoryBytes)
        } else {
            facts.areProcessesHidden = DatabaseProcesses.areHidden()
        }
        guard row[3] == "t" else { return facts }
        func list(_ column: String) -> [Facts.Statement]? {
            try? session.rows(statements(by: column), rowsMax: statementsMax).map { row in
                func number(_ place: Int) -> Double { place < row.count ? row[place].flatMap(Double.init) ?? 0 : 0 }
                return .init(
                    text: row.first.flatMap { $0 } ?? "", database: "", calls: number(1), rows: number(3), errors: 0, seconds: number(2),
                    waitSeconds: 0, p95Seconds: .nan)
            }
        }
        facts.statementsByTotal = list("total_exec_time")
        facts.statementsByMean = list("mean_exec_time")
        return facts
    }
}
