import Foundation
import Synchronization
import TestSupport
import Testing

/// A real Prometheus beside a running Headrace with all layers under traffic: it scrapes, evaluates the rules that are shipped, and answers
/// every expression of the dashboards.
@Suite(.serialized) struct PrometheusTests {
    private static let isInstalled = Command.find("prometheus") != nil && Command.find("promtool") != nil && Command.find("curl") != nil
    private static let monitoring = HeadraceProcess.repository.appending(path: "Monitoring")

    @Test(.enabled(if: isInstalled, "Prometheus is not installed: run scripts/setup"))
    func `promtool has nothing to say against configuration and rules, and the rules do what their tests say`() throws {
        for arguments in [["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"], ["check", "config", "--syntax-only", "prometheus.yml"]] {
            let result = try Command.run("sh", ["-c", "cd \"$1\" && shift && exec promtool \"$@\"", "sh", Self.monitoring.path] + arguments)
            #expect(result.status == 0, "\(arguments): \(result.text)\(result.errors)")
        }
    }

    private struct NoPrometheus: Error {}

    /// Ends with the test.
    private final class Child: Sendable {
        private let process: Mutex<Program>
        let output: URL

        init(_ program: URL, _ arguments: [String], output: URL) throws {
            self.output = output
            try Data().write(to: output)
            let process = Program()
            process.executableURL = program
            process.arguments = arguments
            let handle = try FileHandle(forWritingTo: output)
            (process.standardOutput, process.standardError, process.standardInput) = (handle, handle, FileHandle.nullDevice)
            try process.start()
            self.process = Mutex(process)
        }

        deinit { process.withLock { if $0.isRunning { kill($0.processIdentifier, SIGKILL) } } }

        var isRunning: Bool { process.withLock { $0.isRunning } }
        var text: String { (try? String(contentsOf: output, encoding: .utf8)) ?? "" }
    }

    /// On an address that nobody else takes ports of.
    private func prometheus(_ folder: URL, scraping port: Int) throws -> (Child, String) {
        var text = try String(contentsOf: Self.monitoring.appending(path: "prometheus.yml"), encoding: .utf8)
        #expect(text.contains("127.0.0.1:8080") && text.contains("scrape_interval: 15s"))
        text = text.replacing("127.0.0.1:8080", with: "127.0.0.1:\(port)").replacing("_interval: 15s", with: "_interval: 1s")
        try text.write(to: folder.appending(path: "prometheus.yml"), atomically: true, encoding: .utf8)
        try FileManager.default.copyItem(at: Self.monitoring.appending(path: "rules.yml"), to: folder.appending(path: "rules.yml"))
        for attempt in 0..<20 {
            let address = "127.7.9.\(1 + attempt):\(20_000 + Int(getpid()) % 30_000)"
            let child = try Child(
                try #require(Command.find("prometheus")),
                [
                    "--config.file=\(folder.path)/prometheus.yml", "--storage.tsdb.path=\(folder.path)/data", "--web.listen-address=\(address)",
                    "--storage.tsdb.retention.time=15d", "--query.lookback-delta=30s",
                ], output: folder.appending(path: "prometheus-\(attempt).log"))
            if eventually(seconds: 120, { child.text.contains("Server is ready to receive web requests") || !child.isRunning }), child.isRunning {
                return (child, "http://\(address)")
            }
        }
        throw NoPrometheus()
    }

    private func ask(_ url: String, _ parameters: [String] = []) throws -> [String: Any] {
        let result = try Command.run("curl", ["-s", "-G", "--max-time", "30", url] + parameters.flatMap { ["--data-urlencode", $0] })
        return try #require(try JSONSerialization.jsonObject(with: result.output) as? [String: Any], "\(url): \(result.text) \(result.errors)")
    }

    /// The samples that an expression has now, and what is wrong with it.
    private func query(_ prometheus: String, _ expression: String) throws -> (count: Int, error: String?) {
        let answer = try ask(prometheus + "/api/v1/query", ["query=\(expression)"])
        let samples = (answer["data"] as? [String: Any])?["result"] as? [Any]
        return (samples?.count ?? 0, answer["status"] as? String == "success" ? nil : "\(answer["error"] ?? answer)")
    }

    private func expressions() throws -> [(panel: String, expression: String)] {
        let folder = Self.monitoring.appending(path: "grafana/dashboards")
        return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().flatMap { name -> [(String, String)] in
            let document = try #require(
                try JSONSerialization.jsonObject(with: Data(contentsOf: folder.appending(path: name))) as? [String: Any])
            return (document["panels"] as? [[String: Any]] ?? []).flatMap { panel in
                (panel["targets"] as? [[String: Any]] ?? []).map { target in
                    let text = (target["expr"] as? String ?? "").replacing("$instance", with: ".*").replacing("$__rate_interval", with: "15s")
                    return ("\(name): \(panel["title"] ?? "")", text)
                }
            }
        }
    }

    @Test(.enabled(if: isInstalled && PostgresCluster.programs != nil, "Prometheus or PostgreSQL is not installed: run scripts/setup"))
    func `a real Prometheus answers every expression of rules and dashboards, with data`() throws {
        let postgres = try PostgresCluster.shared.get()
        let origin = try DashboardIntegrationTests.application()
        let headrace = try HeadraceProcess([
            "--app", origin.url, "--keyspace", "127.0.0.1:0", "--pooler", "127.0.0.1:0", "--postgres", postgres.url(),
        ])
        func port(_ layer: String) throws -> Int {
            #expect(eventually(seconds: 60) { headrace.errorOutput.contains("\(layer): 127.0.0.1:") })
            let text = headrace.errorOutput
            let start = try #require(text.range(of: "\(layer): 127.0.0.1:")?.upperBound)
            return try #require(Int(text[start...].prefix { $0.isNumber }))
        }
        let temporary = try TemporaryFolder()
        let folder = temporary.url
        let common = ["--duration", "400s", "--warm-up", "0s", "--history", "none"]
        let edge = "http://127.0.0.1:\(headrace.port)"
        let loads = try [
            ["--rate", "20", "--header", "Accept-Encoding: gzip", "\(edge)/kept/1", "\(edge)/other/2"],
            ["--rate", "20", "redis://127.0.0.1:\(port("keyspace"))"], ["--rate", "10", "postgres://postgres@127.0.0.1:\(port("pooler"))/shop"],
        ].enumerated().map { index, arguments in
            try Child(HeadraceProcess.binary, ["bench"] + common + arguments, output: folder.appending(path: "load-\(index).log"))
        }
        let (server, address) = try prometheus(folder, scraping: headrace.port)
        // From four scrapes on rates are known; the rules are evaluated as often.
        let isThere = eventually(seconds: 180) {
            let counts = ["count_over_time(up{job=\"headrace\"}[2m]) > 4", "headrace_postgresql_sessions", "instance:headrace_errors:ratio_rate6h"]
            return counts.allSatisfy { ((try? query(address, $0))?.count ?? 0) > 0 }
        }
        #expect(isThere, "\(server.text.suffix(2000))")
        #expect(try query(address, "up{job=\"headrace\"} == 1").count == 1)
        let panels = try expressions()
        #expect(panels.count > 60)
        for (panel, expression) in panels {
            let (count, error) = try query(address, expression)
            #expect(error == nil, "\(panel): \(expression): \(error ?? "")")
            #expect(count > 0, "\(panel): nothing for \(expression)")
        }
        // Every rule was evaluated without an error, and none of them calls anybody while all is well.
        let rules = ((try ask(address + "/api/v1/rules")["data"] as? [String: Any])?["groups"] as? [[String: Any]] ?? []).flatMap { $0["rules"] as? [[String: Any]] ?? [] }
        #expect(rules.count > 25)
        for rule in rules { #expect(rule["health"] as? String == "ok", "\(rule["name"] ?? ""): \(rule["lastError"] ?? "")") }
        // Prometheus asks for OpenMetrics, and understood it all.
        let targets = (try ask(address + "/api/v1/targets")["data"] as? [String: Any])?["activeTargets"] as? [[String: Any]]
        #expect(targets?.first?["lastError"] as? String == "", "\(targets ?? [])")
        // What it holds is what the page itself says.
        let stored = try ask(address + "/api/v1/query", ["query=redis_keyspace_hits_total + redis_keyspace_misses_total"])
        let sample = ((stored["data"] as? [String: Any])?["result"] as? [[String: Any]])?.first?["value"] as? [Any]
        #expect(try Double(#require(sample?.last as? String)) ?? 0 > 0)
        withExtendedLifetime((loads, temporary)) {}
    }
}
