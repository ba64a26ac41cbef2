import Foundation
import NIOPosix

/// What PostgreSQL itself has counted of its clients, whichever way they come: statements, and sessions that were begun. Read on one session that
/// stays open, so that the reading is none of what it counts.
///
/// Statements are those of `pg_stat_statements`, which counts each when it ends. Sessions are of `pg_stat_database`, which learns of them when they end,
/// or within some seconds.
/// - Source: PostgreSQL 17, F.30 "pg_stat_statements", 27.2 "The Cumulative Statistics System"; `sessions` is there since 14.
final class DatabaseCounters: @unchecked Sendable {
    // Sendable because the session and the sum are used on the one thread only.
    private let thread = NIOThreadPool(numberOfThreads: 1)
    private let session: BlockingPostgres
    /// Processor time of PostgreSQL's that the readings so far have taken, in seconds.
    private var ownSeconds = 0.0

    struct Reading: Sendable, Equatable {
        /// `nil` without `pg_stat_statements`.
        var statements: Double?
        var sessions: Double?
        /// Processor time that all readings before this one took.
        var ownSeconds = 0.0
    }

    // The name of the column keeps our own questions out of the sum.
    private static let isInstalled = "SELECT to_regclass('pg_stat_statements') IS NOT NULL AS headrace_prove"
    private static let sessions = "SELECT to_jsonb(d) ->> 'sessions' AS headrace_prove FROM pg_stat_database d WHERE datname = current_database()"
    private static let statements = """
        SELECT coalesce(sum(calls), 0) AS headrace_prove FROM pg_stat_statements \
        WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND query NOT LIKE '%headrace_prove%'
        """

    /// Logs in. Blocks.
    /// - Throws: `BlockingPostgres.Failure`, `BlockingSocket.Failure`.
    init(_ url: PostgresURL, password: String?, seconds: Int = 5) throws {
        let environment = ProcessInfo.processInfo.environment
        session = try BlockingPostgres(
            url, user: url.user ?? environment["PGUSER"] ?? environment["USER"] ?? "postgres", password: password ?? url.password ?? environment["PGPASSWORD"],
            applicationName: "headrace prove", seconds: seconds)
        thread.start()
    }

    /// - Throws: `BlockingPostgres.Failure`, in the server's words.
    func read() async throws -> Reading {
        try await thread.runIfActive { [self] in
            func number(_ query: String) throws -> Double? { try session.rows(query, rowsMax: 1).first?.first.flatMap { $0 }.flatMap(Double.init) }
            func seconds() -> Double { ProcessorTime.seconds(of: ProcessorTime.processes(named: "postgres")) ?? 0 }
            let began = seconds()
            let hasStatements = try session.rows(Self.isInstalled, rowsMax: 1) == [["t"]]
            let reading = Reading(statements: hasStatements ? try number(Self.statements) : nil, sessions: try number(Self.sessions), ownSeconds: ownSeconds)
            ownSeconds += max(seconds() - began, 0)
            return reading
        }
    }

    func close() async {
        try? await thread.runIfActive { [self] in session.sayGoodbye() }
        try? await thread.shutdownGracefully()
    }
}
