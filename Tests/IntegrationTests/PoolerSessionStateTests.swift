import Foundation
import TestSupport
import Testing

/// What one client's session leaves behind, and whether the next client on the same server connection sees it: two psql, one server
/// connection, a real PostgreSQL.
@Suite(.serialized, .enabled(if: PostgresCluster.programs != nil && Command.find("psql") != nil, "PostgreSQL is not installed: run scripts/setup test"))
struct PoolerSessionStateTests {
    private let postgres: PostgresCluster

    /// Functions, a view and a role for what no text reveals.
    private static let prepared: Result<Void, any Error> = Result {
        try PostgresCluster.shared.get().query(
            """
            CREATE OR REPLACE FUNCTION sets_work_mem() RETURNS text LANGUAGE sql AS $$ SELECT set_config('work_mem', '7MB', false) $$;
            CREATE OR REPLACE FUNCTION locks() RETURNS text LANGUAGE sql AS $$ SELECT pg_advisory_lock(77)::text $$;
            CREATE OR REPLACE VIEW setting_view AS SELECT sets_work_mem();
            CREATE SEQUENCE IF NOT EXISTS session_sequence;
            DROP ROLE IF EXISTS session_role; CREATE ROLE session_role;
            """)
    }

    init() throws {
        postgres = try PostgresCluster.shared.get()
        try Self.prepared.get()
    }

    private func pooler(_ more: [String: String] = [:]) throws -> HeadraceProcess {
        let standard = [
            "limits.pool_size": "1", "limits.min_pool_size": "0", "limits.reserve_pool_size": "0", "timeouts.query_wait": "400ms", "threads": "1",
            "auth.admins": "postgres",
        ]
        let settings = standard.merging(more) { $1 }.sorted { $0.key < $1.key }.flatMap { ["--set", "pooler.\($0.key)=\($0.value)"] }
        return try HeadraceProcess(["--pooler", "127.0.0.1:0", "--postgres", postgres.url(user: nil)] + settings, saying: "pooler: ")
    }

    enum Sight: String {
        /// The other client sees it.
        case leaks
        /// It does not.
        case clean
        /// The connection is kept: the other client waits for another.
        case waits
    }

    struct Leak: CustomTestStringConvertible {
        let name: String
        /// What the first client does.
        let act: String
        /// What the second asks, with `t` for an answer when it sees it.
        let question: String
        let strict: Sight
        let pgbouncer: Sight
        let resetAlways: Sight

        var testDescription: String { name }
    }

    static let leaks: [Leak] = [
        .init(
            name: "SET", act: "SET work_mem = '7MB'", question: "current_setting('work_mem') = '7MB'", strict: .clean, pgbouncer: .leaks,
            resetAlways: .clean),
        .init(
            name: "SET search_path", act: "SET search_path = a, \"B\"", question: "current_setting('search_path') LIKE 'a,%'", strict: .clean,
            pgbouncer: .leaks, resetAlways: .clean),
        .init(
            name: "set_config", act: "SELECT set_config('work_mem', '7MB', false)", question: "current_setting('work_mem') = '7MB'", strict: .clean,
            pgbouncer: .leaks, resetAlways: .clean),
        .init(name: "SET ROLE", act: "SET ROLE session_role", question: "current_user = 'session_role'", strict: .clean, pgbouncer: .leaks, resetAlways: .clean),
        .init(
            name: "a parameter that PostgreSQL reports", act: "SET TimeZone = 'Asia/Tokyo'", question: "current_setting('timezone') = 'Asia/Tokyo'",
            strict: .clean, pgbouncer: .clean, resetAlways: .clean),
        .init(
            name: "a temporary table", act: "CREATE TEMPORARY TABLE kept (n int)", question: "to_regclass('pg_temp.kept') IS NOT NULL", strict: .waits,
            pgbouncer: .leaks, resetAlways: .waits),
        .init(
            name: "an advisory lock", act: "SELECT pg_advisory_lock(7)",
            question: "EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())", strict: .waits, pgbouncer: .leaks,
            resetAlways: .waits),
        .init(
            name: "a WITH HOLD cursor", act: "DECLARE c CURSOR WITH HOLD FOR SELECT 1", question: "EXISTS (SELECT FROM pg_cursors WHERE name = 'c')",
            strict: .waits, pgbouncer: .leaks, resetAlways: .waits),
        .init(
            name: "SQL's PREPARE", act: "PREPARE p AS SELECT 1", question: "EXISTS (SELECT FROM pg_prepared_statements WHERE name = 'p')",
            strict: .waits, pgbouncer: .leaks, resetAlways: .waits),
        .init(
            name: "LISTEN in a transaction", act: "BEGIN; LISTEN news; COMMIT", question: "EXISTS (SELECT pg_listening_channels())", strict: .waits,
            pgbouncer: .leaks, resetAlways: .waits),
        .init(
            name: "a setting made by a function", act: "SELECT sets_work_mem()", question: "current_setting('work_mem') = '7MB'", strict: .clean,
            pgbouncer: .leaks, resetAlways: .clean),
        .init(
            name: "an advisory lock taken by a function", act: "SELECT locks()",
            question: "EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())", strict: .waits, pgbouncer: .leaks,
            resetAlways: .waits),
        // What `strict` cannot know: see docs/pooler.md.
        .init(
            name: "a setting made by a function in a view", act: "SELECT * FROM setting_view", question: "current_setting('work_mem') = '7MB'",
            strict: .leaks, pgbouncer: .leaks, resetAlways: .clean),
    ]

    private func sight(_ leak: Leak, mode: String) throws -> Sight {
        let pooler = try pooler(["session_state": mode])
        let first = try PsqlSession(port: pooler.port)
        _ = try first.ask(leak.act)
        let second = try PsqlSession(port: pooler.port)
        let answer = try second.ask("SELECT 'seen: ' || (\(leak.question))::text")
        if answer.contains("query_wait_timeout") { return .waits }
        try #require(answer.contains("seen: "), "\(answer)")
        return answer.contains("seen: true") ? .leaks : .clean
    }

    @Test(arguments: leaks) func `what a session leaves behind is seen by the next as the mode says`(leak: Leak) throws {
        #expect(try sight(leak, mode: "strict") == leak.strict)
        #expect(try sight(leak, mode: "pgbouncer") == leak.pgbouncer)
        #expect(try sight(leak, mode: "reset-always") == leak.resetAlways)
    }

    @Test func `settings follow their client from lease to lease, also where another was between`() throws {
        let pooler = try pooler()
        let first = try PsqlSession(port: pooler.port, options: "options='-c work_mem=5MB'")
        let second = try PsqlSession(port: pooler.port)
        _ = try first.ask("SET lock_timeout = '5s'; SET search_path = a, \"B c\"; SET my.own = 'it''s'")
        #expect(try second.ask("SELECT current_setting('lock_timeout'), current_setting('work_mem')") == "0|4MB")
        #expect(
            try first.ask("SELECT current_setting('lock_timeout'), current_setting('search_path'), current_setting('my.own'), current_setting('work_mem')")
                == "5s|a, \"B c\"|it's|5MB")
        // RESET goes back to what the startup message said.
        _ = try first.ask("SET work_mem = '9MB'")
        _ = try first.ask("RESET work_mem")
        #expect(try second.ask("SHOW work_mem") == "4MB")
        #expect(try first.ask("SHOW work_mem") == "5MB")
        _ = try first.ask("DISCARD ALL")
        #expect(try first.ask("SELECT current_setting('lock_timeout'), current_setting('work_mem')") == "0|5MB")
    }

    @Test func `ROLLBACK takes a SET back, and ROLLBACK TO what came after the savepoint`() throws {
        let pooler = try pooler()
        let (first, second) = (try PsqlSession(port: pooler.port), try PsqlSession(port: pooler.port))
        _ = try first.ask("BEGIN;\nSET work_mem = '7MB';\nROLLBACK")
        #expect(try second.ask("SHOW work_mem") == "4MB")
        #expect(try first.ask("SHOW work_mem") == "4MB")
        _ = try first.ask("BEGIN;\nSET work_mem = '7MB';\nSAVEPOINT s;\nSET work_mem = '8MB';\nROLLBACK TO s;\nCOMMIT")
        #expect(try second.ask("SHOW work_mem") == "4MB")
        #expect(try first.ask("SHOW work_mem") == "7MB")
        _ = try first.ask("BEGIN;\nSET LOCAL work_mem = '8MB';\nCOMMIT")
        #expect(try second.ask("SHOW work_mem") == "4MB")
        #expect(try first.ask("SHOW work_mem") == "7MB")
    }

    @Test func `a role follows, with settings that only the session's own user may make`() throws {
        let pooler = try pooler()
        let (first, second) = (try PsqlSession(port: pooler.port), try PsqlSession(port: pooler.port))
        _ = try first.ask("SET log_min_messages = 'error'; SET ROLE session_role")
        #expect(try second.ask("SELECT current_user, current_setting('log_min_messages')") == "postgres|warning")
        #expect(try first.ask("SELECT current_user, current_setting('log_min_messages')") == "session_role|error")
        #expect(try second.ask("SELECT current_user") == "postgres")
        _ = try first.ask("RESET ROLE")
        #expect(try first.ask("SELECT current_user") == "postgres")
    }

    @Test func `a pin lasts as long as what it is for, and the console shows it with its statement`() throws {
        let pooler = try pooler()
        let (first, second) = (try PsqlSession(port: pooler.port), try PsqlSession(port: pooler.port))
        let console = try PsqlSession(port: pooler.port, database: "headrace")
        _ = try first.ask("CREATE TEMP TABLE mine (n int)")
        let pinned = try console.ask("SHOW PINNED")
        #expect(pinned.contains("|temporaryTable|") && pinned.contains("CREATE TEMP TABLE mine (n int)"), "\(pinned)")
        _ = try first.ask("INSERT INTO mine VALUES (3)")
        #expect(try first.ask("SELECT n FROM mine") == "3")
        _ = try first.ask("DROP TABLE mine")
        // The server is asked after the reply whether that was all.
        #expect(try eventually { try console.ask("SHOW PINNED") == "" })
        #expect(try second.ask("SELECT 5") == "5")
        // One that goes with its pin leaves a clean connection.
        _ = try first.ask("SELECT pg_advisory_lock(8)")
        #expect(try console.ask("SHOW PINNED").contains("advisoryLock"))
        first.end()
        #expect(try eventually { try second.ask("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory')") == "f" })
    }

    @Test func `the console knows what was asked, who waits and who forgot his transaction`() throws {
        let pooler = try pooler(["timeouts.query_wait": "20s"])
        let (first, second) = (try PsqlSession(port: pooler.port, options: "application_name=forgetful"), try PsqlSession(port: pooler.port))
        let console = try PsqlSession(port: pooler.port, database: "headrace")
        for number in 1...3 { _ = try first.ask("SELECT 'secret', generate_series(1, \(number))") }
        _ = try first.ask("SELECT 1/0")
        let queries = try console.ask("SHOW QUERIES").split(separator: "\n").map { $0.split(separator: "|", omittingEmptySubsequences: false) }
        let series = try #require(queries.first { $0[1] == "select ?,generate_series(?)" })
        #expect(series[2...5] == ["shop", "3", "6", "0"])
        #expect(queries.contains { $0[1] == "select ?/?" && $0[5] == "1" })
        #expect(!queries.joined().contains { $0.contains("secret") })
        let trace = "0af7651916cd43dd8448eb211c80319c"
        // Both have been let in, for which a server connection is needed once.
        _ = try second.ask("SELECT 0")
        _ = try first.ask("BEGIN")
        _ = try first.ask("SELECT 2 /*traceparent='00-\(trace)-b7ad6b7169203331-01'*/")
        second.send("SELECT 3")
        var waiters = ""
        let isShown = try eventually(seconds: 20) {
            waiters = try console.ask("SHOW WAITERS")
            return waiters.hasPrefix("shop|postgres|psql|127.0.0.1|")
        }
        #expect(isShown, "\(waiters)")
        let leak = try console.ask("SHOW LEAKS")
        #expect(leak.hasPrefix("shop|postgres|forgetful|") && leak.contains("|select ?|\(trace)|"), "\(leak)")
        _ = try first.ask("COMMIT")
        #expect(try second.ask("SELECT 4") == "3\n4")
        #expect(try console.ask("SHOW LEAKS") == "")
    }

    @Test func `who would keep one connection too many is told so`() throws {
        let pooler = try pooler(["limits.pool_size": "3", "limits.pinned": "1"])
        let (first, second) = (try PsqlSession(port: pooler.port), try PsqlSession(port: pooler.port))
        _ = try first.ask("CREATE TEMP TABLE mine (n int)")
        let answer = try second.ask("CREATE TEMP TABLE yours (n int)")
        #expect(try answer.contains("pooler.limits.pinned") || second.ask("SELECT 1").contains("pooler.limits.pinned"), "\(answer)")
        _ = try first.ask("DROP TABLE mine")
        let third = try PsqlSession(port: pooler.port)
        _ = try third.ask("CREATE TEMP TABLE theirs (n int)")
        #expect(try third.ask("SELECT count(*) FROM theirs") == "0")
    }

    @Test func `LISTEN keeps no server connection, and hears what is notified on another, between its transactions`() throws {
        let pooler = try pooler(["threads": "2"])
        let clients = try (0..<3).map { _ in try PsqlSession(port: pooler.port) }
        let console = try PsqlSession(port: pooler.port, database: "headrace")
        for client in clients { #expect(try client.ask("LISTEN \"News\"; LISTEN other") == "") }
        #expect(try console.ask("SHOW PINNED") == "")
        try postgres.query("NOTIFY \"News\", 'one'; NOTIFY nobody, 'two'")
        // psql looks for notifications after each query.
        for client in clients {
            #expect(try eventually { try client.ask("SELECT 1").contains("Asynchronous notification \"News\" with payload \"one\"") })
        }
        #expect(try postgres.query("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'") == "1")
        // One that is notified in a transaction hears of it at its end.
        #expect(try clients[0].ask("BEGIN") == "")
        _ = try clients[0].ask("NOTIFY other, 'three'")
        #expect(try !clients[0].ask("SELECT 1").contains("three"))
        let end = try clients[0].ask("COMMIT")
        #expect(try end.contains("three") || eventually { try clients[0].ask("SELECT 1").contains("three") })
        #expect(try eventually { try clients[1].ask("SELECT 1").contains("three") })
        #expect(try clients[1].ask("UNLISTEN \"News\"") == "")
        try postgres.query("NOTIFY \"News\", 'four'")
        #expect(try eventually { try clients[2].ask("SELECT 1").contains("four") })
        #expect(try !clients[1].ask("SELECT 1").contains("four"))
        for client in clients { client.end() }
        // Nobody listens any more.
        #expect(try eventually { try postgres.query("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%LISTEN %' AND query NOT LIKE '%pg_stat%'") == "0" })
    }

    @Test func `when the listening connection dies its clients are told`() throws {
        let pooler = try pooler()
        let client = try PsqlSession(port: pooler.port)
        #expect(try client.ask("LISTEN news") == "")
        try postgres.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'")
        #expect(try eventually { try client.ask("SELECT 1").contains("listened for this client is gone") })
        let next = try PsqlSession(port: pooler.port)
        #expect(try next.ask("LISTEN news") == "")
    }

    @Test func `a server connection survives clients that leave with a session of their own`() throws {
        let pooler = try pooler(["mode": "session"])
        var servers: Set<String> = []
        for number in 1...3 {
            let client = try PsqlSession(port: pooler.port)
            servers.insert(try client.ask("SELECT pg_backend_pid()"))
            _ = try client.ask("CREATE TEMP TABLE t\(number) (n int)")
            client.end()
        }
        #expect(servers.count == 1)
    }
}

/// psql that is kept, and asked one thing after the other.
final class PsqlSession {
    private let process = Program()
    private let input = Pipe()
    private let output = Pipe()
    private var text = ""
    private var count = 0

    init(port: Int, user: String = "postgres", database: String = "shop", options: String = "") throws {
        process.executableURL = Command.find("psql")
        process.arguments = ["-X", "-A", "-t", "-q", "-w", "-d", "host=127.0.0.1 port=\(port) user=\(user) dbname=\(database) \(options)", "-f", "-"]
        process.standardInput = input
        process.standardOutput = output
        process.standardError = output
        try process.start()
    }

    deinit { end() }

    /// Asks without waiting for the answer, which comes with the next one.
    func send(_ sql: String) {
        try? input.fileHandleForWriting.write(contentsOf: Data("\(sql);\n".utf8))
    }

    /// - Returns: what psql writes, errors included, up to the end of its answer, or of itself.
    func ask(_ sql: String) throws -> String {
        count += 1
        let mark = "== \(count) =="
        try? input.fileHandleForWriting.write(contentsOf: Data("\(sql);\n\\echo '\(mark)'\n".utf8))
        while true {
            if let range = text.range(of: mark + "\n") {
                defer { text = String(text[range.upperBound...]) }
                return text[..<range.lowerBound].trimmingCharacters(in: .newlines)
            }
            let data = output.fileHandleForReading.availableData
            guard !data.isEmpty else { return text }
            text += String(decoding: data, as: UTF8.self)
        }
    }

    /// Leaves, as a client does that says goodbye.
    func end() {
        try? input.fileHandleForWriting.close()
        process.waitForEnd()
    }
}
