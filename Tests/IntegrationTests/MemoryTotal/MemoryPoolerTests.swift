import Foundation
import TestSupport
import Testing

extension MemoryTotalTests {
    /// Messages that do not end, results that are not taken.
    @Suite(.enabled(if: PostgresCluster.programs != nil && Command.find("psql") != nil, "PostgreSQL is not installed: run scripts/setup test"))
    struct Pooler {
        private static let isLong = MemoryStand.isLong

        @Test func `messages that do not come whole, and results that are not taken`() throws {
            let count = Self.isLong ? 10_000 : 1800
            let folder = try TemporaryFolder()
            try Data("page".utf8).write(to: folder.url.appending(path: "page"))
            let postgres = try PostgresCluster.shared.get()
            let stand = try MemoryStand(
                total: Self.isLong ? 384 : 96, ["--root", folder.path, "--pooler", "127.0.0.1:0", "--postgres", postgres.url(user: nil)],
                ["pooler.limits.client_connections=\(count + 100)", "pooler.limits.pool_size=10", "pooler.auth.admins=postgres", "edge.limits.connections=500"])
            let port = try stand.port(of: "pooler")
            // There before anything is given up, each in a pool that nobody holds up.
            _ = try? postgres.query("CREATE ROLE patient LOGIN")
            let (other, console) = (try PostgresSession(port: port, user: "patient"), try PostgresSession(port: port, database: "pgbouncer"))
            #expect(try other.value("SELECT 1") == "1")
            // They are let in before there is anything to refuse them for.
            var clients = try (0..<count).map { _ in try PostgresSession(port: port) }
            let part = [UInt8](repeating: UInt8(ascii: " "), count: 62_000)
            for (number, client) in clients.enumerated() {
                switch number % 10 {
                // It has a server connection at once, and keeps it; the next ones wait for one, and their messages with them.
                case 0: client.send("Q", part, length: 10_000_000)
                case 1: client.send("Q", Array("SELECT repeat('x', 1000000) FROM generate_series(1, 100)".utf8) + part + [0])
                // Too little of it for a server connection.
                default: client.send("Q", part, length: 64_000)
                }
            }
            #expect(stand.settles())
            #expect(try other.value("SELECT 2") == "2")
            #expect(throws: Never.self) { try console.value("SHOW VERSION") }
            #expect(stand.answers())
            stand.expectBounded("\(count) clients of the pooler that stop in a message, or take no result")
            #expect(try stand.metric("headrace_memory_pressure_rises_total") >= 1)
            #expect(try stand.metric("headrace_pooler_memory_cut_total") >= 1)
            clients = []
            #expect(stand.recovers("/page"))
            #expect(eventually(seconds: 60) { (try? PostgresSession(port: port).value("SELECT 3")) == "3" })
        }
    }
}
