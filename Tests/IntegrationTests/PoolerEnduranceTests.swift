import Foundation
import Synchronization
import TestSupport
import Testing

/// Debian's: a developer's own may have none of the modules.
private let python = "/usr/bin/python3"
private let hasDrivers = (try? Command.run("env", [python, "-c", "import psycopg, psycopg2"]).status) == 0

/// Much of everything: faults of all kinds under load, and thousands of clients.
@Suite(
    .serialized,
    .enabled(
        if: PostgresCluster.programs != nil && Command.find("psql") != nil && hasDrivers, "PostgreSQL, psycopg or psycopg2 is not installed: run scripts/setup test"))
struct PoolerEnduranceTests {
    private static let folder = HeadraceProcess.repository.appending(path: "Tests/IntegrationTests/PoolerPeers")
    private static let isLong = ProcessInfo.processInfo.environment["HEADRACE_LONG"] != nil

    private func pooler(_ url: String, _ settings: [String: String]) throws -> HeadraceProcess {
        try HeadraceProcess(
            ["--pooler", "127.0.0.1:0", "--postgres", url] + settings.sorted { $0.key < $1.key }.flatMap { ["--set", "pooler.\($0.key)=\($0.value)"] },
            saying: "pooler: ")
    }

    /// A day in ten minutes with `HEADRACE_LONG`, in ten seconds without; what happens in it stands in `day.py`.
    @Test func `a day of traffic: backends end, the primary is stopped, killed and replaced by its standby, and nothing is lost`() throws {
        // A commit is answered when the standby has it: what was acknowledged before the primary ended for good is there afterwards.
        let primary = try PostgresCluster()
        try primary.query("CREATE TABLE day (n bigint)")
        let standby = try PostgresCluster(standbyOf: primary)
        try primary.query("ALTER SYSTEM SET synchronous_standby_names = '*'")
        try primary.query("SELECT pg_reload_conf()")
        let pooler = try pooler(
            "postgres://127.0.0.1:\(primary.port),127.0.0.1:\(standby.port)/shop?target_session_attrs=primary",
            ["limits.pool_size": "6", "limits.min_pool_size": "2", "limits.reserve_pool_size": "2"])
        let day = Program()
        let (questions, answers, errors) = (Pipe(), Pipe(), try TemporaryFile("", name: "errors"))
        day.executableURL = URL(filePath: "/usr/bin/env")
        let (limit, seconds) = Self.isLong ? ("1200", "600") : ("300", "10")
        day.arguments = ["timeout", limit, python, "-B", Self.folder.appending(path: "day.py").path, "\(pooler.port)", seconds, "20261128"]
        day.standardInput = answers
        day.standardOutput = questions
        day.standardError = try FileHandle(forWritingTo: errors.url)
        try day.start()
        var text = ""
        while true {
            let part = questions.fileHandleForReading.availableData
            if part.isEmpty { break }
            text += String(decoding: part, as: UTF8.self)
            while let end = text.range(of: "\n"), text.hasPrefix("CONTROL ") {
                let word = text[..<end.lowerBound].dropFirst(8)
                let answer = try perform(word, primary, standby)
                text = String(text[end.upperBound...])
                try answers.fileHandleForWriting.write(contentsOf: Data("\(answer)\n".utf8))
            }
        }
        day.waitForEnd()
        let said = try String(contentsOf: errors.url, encoding: .utf8)
        #expect(day.terminationStatus == 0, "\(text)\(said)")
        let words = text.split(whereSeparator: \.isWhitespace)
        func count(_ name: String) -> Int { words.first { $0.hasPrefix("\(name)=") }.flatMap { Int($0.dropFirst(name.count + 1)) } ?? 0 }
        #expect(text.contains("promoted=True") && count("stop") >= 1 && count("kill") >= 1 && count("vanished") > 10, "\(text)")
        #expect(count("acknowledged") > 200 && count("told") > 5, "\(text)")
        #expect(count("servers") <= 8, "\(text)")
        #expect(pooler.isRunning)
    }

    private func perform(_ word: Substring, _ primary: PostgresCluster, _ standby: PostgresCluster) throws -> Int {
        switch word {
        case "port": return primary.port
        case "stop": try primary.stop()
        case "kill": try primary.stop(SIGKILL)
        case "start":
            // Backends of the one that was killed may be there for a moment, and hold its memory.
            let end = Date().addingTimeInterval(60)
            while true {
                do {
                    try primary.start()
                    break
                } catch { guard Date() < end else { throw error } }
            }
        case "promote":
            // With a standby that reads along, the primary ends when that has all.
            #expect(try eventually(seconds: 60) { try primary.query("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1" })
            try primary.stop()
            try standby.query("SELECT pg_promote()")
            return standby.port
        default: Issue.record("what is '\(word)'?")
        }
        return 0
    }

    @Test(arguments: [(1000, false), (5000, false), (1000, true)])
    func `idle clients cost next to nothing, and are served when they ask`(count: Int, hasTLS: Bool) throws {
        let postgres = try PostgresCluster.shared.get()
        let folder = try TemporaryFolder()
        var settings = ["limits.client_connections": "6000", "limits.pool_size": "5"]
        if hasTLS {
            let (key, certificate) = (folder.url.appending(path: "key").path, folder.url.appending(path: "certificate").path)
            let made = try Command.run(
                "openssl",
                [
                    "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=pooler", "-keyout", key,
                    "-out", certificate,
                ])
            try #require(made.status == 0, "\(made.errors)")
            settings.merge(["tls.clients": "allow", "tls.certificate": certificate, "tls.key": key]) { $1 }
        }
        let pooler = try pooler("postgres://127.0.0.1:\(postgres.port)", settings)
        let script = Self.folder.appending(path: "idle.py").path
        let result = try Command.run(
            "timeout", ["300", python, "-B", script, "\(pooler.port)", "\(pooler.processIdentifier)", "\(count)", hasTLS ? "tls" : "plain"])
        let numbers = result.text.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
        try #require(result.status == 0 && numbers.count == 2, "\(result.text)\(result.errors)")
        // `Benchmarks/pooler` measures against 6 and 17 kB; memory comes in large pieces, and this tells what has grown manifold.
        #expect(numbers[0] < (hasTLS ? 50_000 : 18_000), "\(numbers[0]) bytes for each")
        #expect(numbers[1] == count)
        #expect(try Int(postgres.query("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT 1______'")).map { $0 <= 5 + 5 } == true)
    }
}
