import Foundation
import TestSupport
import Testing

/// PostgreSQL's own programs for replication through the pooler.
@Suite(
    .serialized, .enabled(if: PostgresCluster.programs != nil && Command.find("psql") != nil, "PostgreSQL is not installed: run scripts/setup test"))
struct PoolerReplicationTests {
    private let postgres: PostgresCluster

    init() throws {
        postgres = try PostgresCluster.shared.get()
    }

    private func pooler(_ more: [String: String] = [:], url: String? = nil) throws -> HeadraceProcess {
        let settings = more.sorted { $0.key < $1.key }.flatMap { ["--set", "pooler.\($0.key)=\($0.value)"] }
        return try HeadraceProcess(["--pooler", "127.0.0.1:0", "--postgres", url ?? postgres.url(user: nil)] + settings, saying: "pooler: ")
    }

    private func run(_ program: String, _ arguments: [String], seconds: Int = 60) throws -> Command.Result {
        let path = PostgresCluster.programs?.appending(path: program).path ?? program
        return try Command.run("timeout", ["\(seconds)", path] + arguments)
    }

    private static func target(_ pooler: HeadraceProcess, _ more: String, database: String = "shop") -> String {
        "host=127.0.0.1 port=\(pooler.port) user=postgres dbname=\(database) \(more)"
    }

    @Test(arguments: ["database", "true"]) func `IDENTIFY_SYSTEM is answered, and parameters are the server's to read`(replication: String) throws {
        let pooler = try pooler()
        let answer = try Command.run(
            "psql",
            [
                "-X", "-A", "-t", "-w", "-d", Self.target(pooler, "replication=\(replication) options='-c work_mem=7MB'"), "-c", "IDENTIFY_SYSTEM",
                "-c", "SHOW work_mem",
            ])
        let fields = answer.text.split(whereSeparator: { "|\n".contains($0) })
        #expect(fields.first?.count == 19, "\(answer.errors)")
        #expect(fields.contains("shop") == (replication == "database"))
        #expect(fields.last == "7MB")
        // Others have connections beside it.
        #expect(try Command.run("psql", ["-X", "-A", "-t", "-w", "-d", Self.target(pooler, ""), "-c", "SHOW work_mem"]).text == "4MB\n")
    }

    @Test func `pg_basebackup copies a whole cluster through the pooler, and it is right`() throws {
        let pooler = try pooler()
        let folder = postgres.folder.appending(path: "backup-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        // With its WAL on a second replication connection, as by default.
        let backup = try run(
            "pg_basebackup", ["-h", "127.0.0.1", "-p", "\(pooler.port)", "-U", "postgres", "-w", "-D", folder.path, "--checkpoint=fast"], seconds: 120)
        #expect(backup.status == 0, "\(backup.errors)")
        let verified = try run("pg_verifybackup", [folder.path], seconds: 120)
        #expect(verified.status == 0, "\(verified.errors)")
    }

    @Test func `pg_recvlogical and pg_receivewal stream through the pooler`() throws {
        let own = try PostgresCluster(settings: ["wal_level": "logical"])
        let pooler = try pooler(url: own.url(user: nil))
        let server = ["-h", "127.0.0.1", "-p", "\(pooler.port)", "-U", "postgres", "-w"]
        let created = try run("pg_recvlogical", server + ["-d", "shop", "--slot=changes", "--create-slot", "--plugin=test_decoding"])
        #expect(created.status == 0, "\(created.errors)")
        try own.query("CREATE TABLE streamed (n int); INSERT INTO streamed SELECT generate_series(1, 1000)")
        let end = try own.query("SELECT pg_current_wal_lsn()")
        let changes = try run(
            "pg_recvlogical", server + ["-d", "shop", "--slot=changes", "--start", "--no-loop", "--endpos=\(end)", "-f", "-"])
        #expect(changes.status == 0, "\(changes.errors)")
        #expect(changes.text.split(separator: "\n").count { $0.contains("streamed: INSERT") } == 1_000)
        // `pg_receivewal` ends at a position, too, once the segment is there.
        let folder = own.folder.appending(path: "wal")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try own.query("SELECT pg_switch_wal()")
        let position = try own.query("SELECT pg_current_wal_lsn()")
        let received = try run("pg_receivewal", server + ["-D", folder.path, "--no-loop", "--endpos=\(position)"])
        #expect(received.status == 0, "\(received.errors)")
        #expect(try !FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
        // All that was replicated is given back.
        #expect(try eventually { try own.query("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'") == "0" })
    }

    @Test func `as many replicate as may keep connections; the console says who; a client that goes frees its place`() throws {
        let pooler = try pooler(["limits.pinned": "1", "auth.admins": "postgres"])
        let only = try PsqlSession(port: pooler.port, options: "replication=database")
        #expect(try only.ask("SELECT 1") == "1")
        let second = try Command.run("psql", ["-X", "-w", "-d", Self.target(pooler, "replication=database"), "-c", "SELECT 1"])
        #expect(second.errors.contains("pooler.limits.pinned"), "\(second.errors)")
        let clients = try Command.run("psql", ["-X", "-A", "-t", "-w", "-d", Self.target(pooler, "", database: "pgbouncer"), "-c", "SHOW CLIENTS"])
        #expect(clients.text.contains("|logical|"), "\(clients.text) \(clients.errors)")
        only.end()
        #expect(
            try eventually {
                try Command.run("psql", ["-X", "-A", "-t", "-w", "-d", Self.target(pooler, "replication=database"), "-c", "SELECT 1"]).text == "1\n"
            })
    }

    @Test func `what PostgreSQL has against it comes in PostgreSQL's words`() throws {
        let own = try PostgresCluster(settings: ["max_wal_senders": "0", "wal_level": "minimal"])
        let pooler = try pooler(url: own.url(user: nil))
        let answer = try Command.run("psql", ["-X", "-w", "-d", Self.target(pooler, "replication=true"), "-c", "IDENTIFY_SYSTEM"])
        #expect(answer.errors.contains("max_wal_senders"), "\(answer.errors)")
    }
}
