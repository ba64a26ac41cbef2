import Foundation
import TestSupport
import Testing

/// One process with all layers under load, and all who count: the page's document, the metrics, redis-cli, psql and the history of
/// `headrace bench` say the same.
///
/// How it works: 1. Three runs of `bench` at the same time load edge, keyspace and pooler; the first is kept in the history that the page
/// reads. 2. They end, and all are asked until the document before and the document behind the others say the same: nothing is counted any
/// more but those who ask. 3. What asking does not change is compared exactly; what it does change must lie between the two documents.
@Suite struct AgreementTests {
    private static let isInstalled = Command.find("redis-cli") != nil && Command.find("psql") != nil && PostgresCluster.programs != nil

    /// Series of the document, and families of the metrics that add up to them. None of them changes by being asked for.
    private static let exact: [(series: String, metrics: [String])] = [
        ("cache_hits", ["headrace_edge_requests_total{cache=\"hit\"}"]), ("cache_misses", ["headrace_edge_requests_total{cache=\"miss\"}"]),
        ("cache_coalesced", ["headrace_edge_requests_total{cache=\"coalesced\"}"]), ("cache_stale", ["headrace_edge_requests_total{cache=\"stale\"}"]),
        ("cache_revalidated", ["headrace_edge_requests_total{cache=\"revalidated\"}"]),
        ("cache_served_stale", ["headrace_edge_requests_total{cache=\"served-stale\"}"]),
        ("cache_bypassed", ["headrace_edge_requests_total{cache=\"bypass\"}"]), ("responses_4xx", ["headrace_edge_responses_total{class=\"4xx\"}"]),
        ("responses_5xx", ["headrace_edge_responses_total{class=\"5xx\"}"]), ("not_modified", ["headrace_edge_not_modified_total"]),
        ("cache_entries", ["headrace_response_cache_entries"]), ("cache_bytes", ["headrace_response_cache_bytes"]),
        ("cache_evictions", ["headrace_response_cache_evictions_total"]), ("upstream_requests", ["headrace_edge_upstream_seconds_count"]),
        ("upstream_connects", ["headrace_edge_upstream_connects_total"]), ("saved_by_not_modified_bytes", ["headrace_edge_not_modified_saved_bytes_total"]),
        ("keyspace_hits", ["redis_keyspace_hits_total"]), ("keyspace_misses", ["redis_keyspace_misses_total"]),
        ("keyspace_keys", ["redis_db_keys{db=\"db0\"}"]), ("keyspace_expired", ["redis_expired_keys_total"]), ("keyspace_evictions", ["redis_evicted_keys_total"]),
        ("pool_queries", ["pgbouncer_stats_totals_queries_pooled_total{database=\"shop\"}"]),
        ("pool_transactions", ["pgbouncer_stats_totals_sql_transactions_pooled_total{database=\"shop\"}"]),
    ]
    /// Who asks is counted, too.
    private static let growing: [(series: String, metrics: [String])] = [
        (
            "requests",
            ["hit", "miss", "coalesced", "stale", "revalidated", "served-stale", "bypass", "none"].map { "headrace_edge_requests_total{cache=\"\($0)\"}" }
        ), ("responses_2xx", ["headrace_edge_responses_total{class=\"2xx\"}"]), ("body_bytes", ["headrace_edge_body_bytes_total"]),
        ("keyspace_commands", ["redis_commands_processed_total"]), ("cpu_seconds", ["process_cpu_seconds_total"]),
    ]

    /// What everybody says at one moment.
    private struct Said {
        var before: [String: Any]
        var after: [String: Any]
        /// By the whole name of a series.
        var metrics: [String: Double]
        /// `INFO`, by field.
        var info: [String: String]
        /// `SHOW STATS`, of the database `shop`, by column.
        var stats: [String: Double]

        func total(_ document: [String: Any], _ name: String) -> Double? { (document["totals"] as? [String: Any])?[name] as? Double }

        var isQuiet: Bool { exact.allSatisfy { total(before, $0.series) == total(after, $0.series) } }
    }

    private func ask(_ headrace: HeadraceProcess, keyspace: Int, pooler: Int) throws -> Said {
        let before = try DashboardIntegrationTests.document(headrace)
        var metrics: [String: Double] = [:]
        for line in try RawClient.getOwnPage(port: headrace.port, "/metrics").text.split(separator: "\n") where !line.hasPrefix("#") {
            guard let space = line.lastIndex(of: " ") else { continue }
            metrics[String(line[..<space])] = Double(line[line.index(after: space)...])
        }
        var info: [String: String] = [:]
        for line in try Command.run("redis-cli", ["-h", "127.0.0.1", "-p", "\(keyspace)", "INFO"]).text.split(whereSeparator: \.isNewline) {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 { info[String(parts[0])] = String(parts[1]) }
        }
        let shown = try Command.run(
            "psql", ["-X", "-A", "-q", "-w", "-h", "127.0.0.1", "-p", "\(pooler)", "-U", "postgres", "-d", "pgbouncer", "-c", "SHOW STATS"])
        #expect(shown.status == 0, "\(shown.errors)")
        let rows = shown.text.split(separator: "\n").map { $0.split(separator: "|").map(String.init) }
        let row = try #require(rows.first { $0.first == "shop" }, "\(shown.text)")
        let stats = Dictionary(uniqueKeysWithValues: zip(try #require(rows.first), row).compactMap { name, value in Double(value).map { (name, $0) } })
        // A reading that is not older than what was asked.
        let time = try #require(metricsTime(before))
        let isNewer = { (document: [String: Any]) in (self.metricsTime(document) ?? 0) >= time + 2 }
        var after = before
        _ = try eventually(seconds: 30) {
            after = try DashboardIntegrationTests.document(headrace)
            return isNewer(after)
        }
        return Said(before: before, after: after, metrics: metrics, info: info, stats: stats)
    }

    private func metricsTime(_ document: [String: Any]) -> Int? { document["time"] as? Int }

    @Test(.enabled(if: isInstalled, "redis-cli, psql or PostgreSQL is not installed: run scripts/setup"))
    func `after load on all layers the document, the metrics, INFO, SHOW STATS and the history agree, figure by figure`() throws {
        let postgres = try PostgresCluster.shared.get()
        let origin = try DashboardIntegrationTests.application()
        let folder = try TemporaryFolder()
        let headrace = try HeadraceProcess([
            "--app", origin.url, "--keyspace", "127.0.0.1:0", "--pooler", "127.0.0.1:0", "--postgres", postgres.url(), "--set",
            "dashboard.state=\(folder.path)", "--set", "pooler.auth.admins=postgres",
        ])
        func port(_ layer: String) throws -> Int {
            // What follows the port has been said, too.
            #expect(eventually(seconds: 60) { headrace.errorOutput.contains(/\n$/) && headrace.errorOutput.contains("\(layer): 127.0.0.1:") })
            let text = headrace.errorOutput
            let start = try #require(text.range(of: "\(layer): 127.0.0.1:")?.upperBound)
            return try #require(Int(text[start...].prefix { $0.isNumber }))
        }
        let (keyspace, pooler) = (try port("keyspace"), try port("pooler"))
        let history = "\(folder.path)/history.sqlite"
        let edge = "http://127.0.0.1:\(headrace.port)"
        // No warm-up: each request is measured, and each is the server's.
        let common = "--warm-up 0s --duration 120s"
        let script = """
            "$1" bench \(common) --concurrency 2,5 --requests 300 --history "$2" --header 'Accept-Encoding: gzip' --fail-if 'errors>100%' \
            \(edge)/kept/1 \(edge)/kept/2 \(edge)/other/3 >"$3/edge" 2>&1 & one=$!
            "$1" bench \(common) --concurrency 4 --requests 2000 --keys 500 --history none redis://127.0.0.1:\(keyspace) >"$3/keyspace" 2>&1 & two=$!
            "$1" bench \(common) --concurrency 4 --requests 400 --history none postgres://postgres@127.0.0.1:\(pooler)/shop >"$3/pooler" 2>&1 & three=$!
            wait $one; a=$?; wait $two; b=$?; wait $three; echo $a $b $?
            """
        let ran = try Command.run("sh", ["-c", script, "sh", HeadraceProcess.binary.path, history, folder.path])
        // 3: on a slow machine the generator says of itself that it was the limit. What it counted it counted.
        let codes = ran.text.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
        let logs = ["edge", "keyspace", "pooler"].map { (try? String(contentsOfFile: "\(folder.path)/\($0)", encoding: .utf8)) ?? "" }
        #expect(codes.count == 3 && codes.allSatisfy { [0, 3].contains($0) }, "\(ran.text) \(logs)")

        var said = try ask(headrace, keyspace: keyspace, pooler: pooler)
        for _ in 0..<20 where !said.isQuiet || (said.after["benches"] as? [Any])?.isEmpty != false {
            said = try ask(headrace, keyspace: keyspace, pooler: pooler)
        }
        #expect(said.isQuiet)
        let document = said.after
        for (series, metrics) in Self.exact {
            let sum = metrics.reduce(0) { $0 + (said.metrics[$1] ?? 0) }
            #expect(said.total(document, series) == sum, "\(series)")
        }
        for (series, metrics) in Self.growing {
            let sum = metrics.reduce(0) { $0 + (said.metrics[$1] ?? 0) }
            let (low, high) = (try #require(said.total(said.before, series)), try #require(said.total(document, series)))
            #expect(sum > 0 && low <= sum * 1.0001 && sum <= high * 1.0001, "\(series): \(low), \(sum), \(high)")
        }

        // redis-cli INFO.
        for (series, field) in [
            ("keyspace_hits", "keyspace_hits"), ("keyspace_misses", "keyspace_misses"), ("keyspace_expired", "expired_keys"), ("keyspace_evictions", "evicted_keys"),
        ] {
            #expect(said.info[field].flatMap(Double.init) == said.total(document, series), "\(field): \(said.info[field] ?? "")")
        }
        let keys = said.info["db0"].flatMap { $0.firstMatch(of: /keys=(\d+)/) }.flatMap { Double($0.1) }
        #expect(keys == said.total(document, "keyspace_keys"))
        let commands = try #require(said.info["total_commands_processed"].flatMap(Double.init))
        #expect(try commands >= #require(said.total(said.before, "keyspace_commands")) && commands <= #require(said.total(document, "keyspace_commands")))
        // 2000 requests of the load generator are 2000 lookups or settings; its lookups are nine of ten.
        #expect(try #require(said.total(document, "keyspace_hits")) + #require(said.total(document, "keyspace_misses")) > 1500)

        // psql … SHOW STATS: times are microseconds there.
        for (series, column, scale) in [
            ("pool_queries", "total_query_count", 1.0), ("pool_transactions", "total_xact_count", 1), ("pool_query_seconds", "total_query_time", 1e6),
            ("pool_transaction_seconds", "total_xact_time", 1e6), ("pool_wait_seconds", "total_wait_time", 1e6),
        ] {
            let (shown, own) = (try #require(said.stats[column]), try #require(said.total(document, series)))
            // Six digits of a number that is not whole.
            #expect(abs(own - shown / scale) <= 1e-5 * shown / scale, "\(column): \(shown), \(own)")
        }
        #expect(said.stats["total_xact_count"] == 401, "each of the load generator's, the one that it rehearses with, and nothing else's")

        // headrace bench: what the history has, and what the edge counted of it.
        let kept = try Command.run("env", [HeadraceProcess.binary.path, "report", "1", "--json", "--history", history])
        let run = try #require(try JSONSerialization.jsonObject(with: kept.output) as? [String: Any], "\(kept.text) \(kept.errors)")
        let levels = try #require(run["levels"] as? [[String: Any]])
        let onPage = try #require(document["load_levels"] as? [[String: Any]])
        #expect(levels.count == 2 && onPage.count == 2)
        for (level, shown) in zip(levels, onPage) {
            #expect(level["users"] as? Int == shown["users"] as? Int)
            #expect(level["failed"] as? Int == shown["failed_requests"] as? Int)
            for (own, theirs) in [("requests_per_second", "requests_per_second"), ("mean_ms", "average_response_time_ms")] {
                let (value, figure) = (try #require(level[own] as? Double), try #require(shown[theirs] as? Double))
                #expect(abs(value - figure) <= 1e-5 * value, "\(own): \(value), \(figure)")
            }
        }
        let asked = levels.reduce(0) { $0 + ($1["requests"] as? Int ?? 0) }
        let answered = ["cache_hits", "cache_misses", "cache_coalesced", "cache_stale", "cache_revalidated", "cache_served_stale", "cache_bypassed"]
            .reduce(0) { $0 + (said.total(document, $1) ?? 0) }
        #expect(Double(asked) == answered && asked == 600)
        // The states that the page shows are those of the metrics, as far as no probe has changed them while these were asked for.
        func states(_ document: [String: Any]) -> [String: String] {
            let services = (document["services"] as? [[String: Any]] ?? []).map { ($0["name"] as? String ?? "", $0["state"] as? String ?? "") }
            return Dictionary(services) { $1 }
        }
        let earlier = states(said.before)
        #expect(!earlier.isEmpty)
        for service in document["services"] as? [[String: Any]] ?? [] {
            let name = service["name"] as? String ?? ""
            guard earlier[name] == service["state"] as? String else { continue }
            #expect((service["state"] as? String == "up") == (said.metrics["headrace_service_up{service=\"\(name)\"}"] == 1), "\(name)")
        }
    }

    /// An application that connects for each request and never says COMMIT, as psycopg2 by itself: its transactions end with their connections.
    @Test(.enabled(if: isInstalled, "redis-cli, psql or PostgreSQL is not installed: run scripts/setup"))
    func `transactions that clients leave without an end are counted, as PostgreSQL counts them`() throws {
        let postgres = try PostgresCluster.shared.get()
        let database = "left_\(UUID().uuidString.prefix(8).lowercased())"
        try postgres.query("CREATE DATABASE \(database)")
        func counted() throws -> Int {
            try #require(Int(postgres.query("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = '\(database)'")))
        }
        let origin = try DashboardIntegrationTests.application()
        // Any database, and no user of our own: nobody probes.
        let headrace = try HeadraceProcess(["--app", origin.url, "--pooler", "127.0.0.1:0", "--postgres", "postgres://127.0.0.1:\(postgres.port)"])
        var port: Int?
        _ = eventually(seconds: 60) {
            port = headrace.errorOutput.firstMatch(of: /pooler: 127\.0\.0\.1:(\d+)\s/).flatMap { Int($0.1) }
            return port != nil
        }
        let before = try counted()
        func session(_ texts: String...) throws {
            let session = try PostgresSession(port: #require(port), database: database)
            for text in texts { _ = try? session.value(text) }
        }
        for _ in 0..<20 { try session("BEGIN", "SELECT count(*) FROM pg_class") }
        for _ in 0..<5 { try session("BEGIN", "SELECT 1/0") }
        for _ in 0..<10 { try session("BEGIN", "SELECT count(*) FROM pg_class", "COMMIT") }
        for _ in 0..<5 { try session("SELECT count(*) FROM pg_class") }
        func total(_ name: String) throws -> Double? {
            (try DashboardIntegrationTests.document(headrace)["totals"] as? [String: Any])?[name] as? Double
        }
        #expect(try eventually(seconds: 30) { try total("pool_transactions") == 40 }, "\((try? total("pool_transactions")) ?? -1)")
        #expect(try total("pool_queries") == 85)
        // Logins, resets behind those whose statement had failed, parameters. Of who leaves nothing behind the transaction is rolled back, and no more.
        let own = Int(try headrace.metric("headrace_pooler_own_transactions_total"))
        #expect(own >= 5, "a reset behind each that left after a failure")
        headrace.terminate()
        #expect(headrace.waitForExit() == 0)
        // A session says what it has done when it ends, at the latest. What remains is autovacuum's.
        #expect(try eventually(seconds: 30) { try counted() - before >= 40 + own })
        let all = try counted() - before
        print("left: PostgreSQL counts \(all), the pooler 40 of its clients and \(own) of its own")
        #expect(all <= 40 + own + 5)
    }
}
