import Foundation
import TestSupport
import Testing

/// Where the pooler is to be had, and for how long a client may keep what it has.
@Suite(.enabled(if: PostgresCluster.programs != nil && Command.find("psql") != nil, "PostgreSQL is not installed: run scripts/setup test"))
struct PoolerReachTests {
    private let postgres: PostgresCluster

    init() throws {
        postgres = try PostgresCluster.shared.get()
    }

    @Test func `IPv4, IPv6 and a Unix socket for clients, a Unix socket to the server`() throws {
        let folder = try TemporaryFolder()
        // The cluster's socket, under the name of the usual port.
        try FileManager.default.createSymbolicLink(
            atPath: "\(folder.path)/.s.PGSQL.5432", withDestinationPath: "\(postgres.folder.path)/.s.PGSQL.\(postgres.port)")
        let pooler = try HeadraceProcess(
            [
                "--set", "pooler.listen=127.0.0.1:0,unix:\(folder.path)/.s.PGSQL.6432,[::1]:0", "--postgres",
                "postgres:///shop?host=\(folder.path)",
            ], saying: "pooler: ")
        let pattern = #/\[::1\]:([0-9]+) /#
        #expect(eventually(seconds: 30) { pooler.errorOutput.contains(pattern) })
        let said = pooler.errorOutput.firstMatch(of: pattern).map { String($0.1) } ?? "none"
        for (host, port) in [("127.0.0.1", "\(pooler.port)"), ("::1", "\(said)"), (folder.path, "6432")] {
            // On the server's side there is no address.
            let result = try Command.run(
                "psql", ["-X", "-A", "-t", "-w", "-d", "host=\(host) port=\(port) user=postgres dbname=shop", "-c", "SELECT inet_server_port() IS NULL"])
            #expect(result.text == "t\n", "\(host): \(result.errors)")
        }
    }

    @Test(arguments: [
        ("query", "SELECT pg_sleep(60);"), ("transaction", "BEGIN; SELECT pg_sleep(60);"), ("client_idle", "SELECT 1;\n\\! sleep 3\nSELECT 2;"),
        ("idle_transaction", "BEGIN;\n\\! sleep 3\nSELECT 2;"),
    ])
    func `who keeps what he has for too long is told, and the server connection is free`(timeout: String, script: String) throws {
        let pooler = try HeadraceProcess(
            [
                "--pooler", "127.0.0.1:0", "--postgres", postgres.url(user: nil), "--set", "pooler.timeouts.\(timeout)=500ms", "--set", "pooler.limits.pool_size=1",
                "--set", "pooler.limits.min_pool_size=0", "--set", "pooler.limits.reserve_pool_size=0",
            ], saying: "pooler: ")
        let target = ["-X", "-A", "-t", "-w", "-d", "host=127.0.0.1 port=\(pooler.port) user=postgres dbname=shop"]
        let told = try Command.run("psql", target + ["-f", "-"], input: Data("\(script)\n".utf8))
        #expect(told.errors.contains("FATAL:  \(timeout)_timeout"), "\(told.text)\(told.errors)")
        // Under the same limits, which a slow machine may exceed.
        #expect(try eventually(seconds: 60) { try Command.run("psql", target + ["-c", "SELECT 3"]).text == "3\n" })
    }

    @Test(.enabled(if: Command.find("prlimit") != nil, "prlimit is not installed"))
    func `without a descriptor left, who comes waits, no core is burnt for it, and who goes makes room`() throws {
        let pooler = try HeadraceProcess(
            ["--pooler", "127.0.0.1:0", "--postgres", postgres.url(user: nil), "--set", "pooler.limits.min_pool_size=0"], saying: "pooler: ")
        // With it there is a server connection, and others log in without one.
        let served = try PostgresSession(port: pooler.port)
        #expect(try served.value("SELECT 1") == "1")
        let limit = try descriptors(of: pooler).count + 2
        let limited = try Command.run("prlimit", ["--pid", "\(pooler.processIdentifier)", "--nofile=\(limit)"])
        try #require(limited.status == 0, "\(limited.errors)")
        let words = Array("user\0postgres\0database\0shop\0\0".utf8)
        var clients = try (0..<8).map { _ in
            let client = try RawClient(port: pooler.port)
            client.send([0, 0, 0, UInt8(words.count + 8), 0, 3, 0, 0] + words)
            return client
        }
        #expect(try eventually { try descriptors(of: pooler).count { $0 < limit } == limit })
        let before = try loopNanoseconds(of: pooler)
        usleep(400_000)
        let spent = try loopNanoseconds(of: pooler) - before
        #expect(spent < 20_000_000, "in 0.4 seconds, of a core that others may want, too")
        #expect(try served.value("SELECT 2") == "2")
        let last = clients.removeLast()
        #expect(last.peek() == "")
        clients = []
        // The server says so: it is logged in.
        #expect(eventually { last.peek().hasPrefix("R") })
    }

    private func descriptors(of process: HeadraceProcess) throws -> [Int] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.processIdentifier)/fd").compactMap { Int($0) }
    }

    /// CPU time of the event loops.
    /// - Source: Linux, Documentation/scheduler/sched-stats.rst, /proc/pid/schedstat.
    private func loopNanoseconds(of process: HeadraceProcess) throws -> Int {
        let folder = "/proc/\(process.processIdentifier)/task"
        let loops = try FileManager.default.contentsOfDirectory(atPath: folder).filter {
            (try? String(contentsOfFile: "\(folder)/\($0)/comm", encoding: .utf8)) == "socket-loop\n"
        }
        try #require(!loops.isEmpty)
        return try loops.reduce(0) {
            try $0 + (Int(String(contentsOfFile: "\(folder)/\($1)/schedstat", encoding: .utf8).split(separator: " ").first ?? "") ?? 0)
        }
    }
}
