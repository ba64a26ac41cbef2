import Dashboard
import Foundation
import History
import Telemetry
import Testing

@testable import headrace

/// The pages about numbers are held to the program.
@Suite struct DashboardReferenceTests {
    private static let docs = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "docs")

    @Test func `docs-metrics is what the program prints`() throws {
        let page = try String(contentsOf: Self.docs.appending(path: "metrics.md"), encoding: .utf8)
        #expect(page == MetricsReference.markdown(), "run `make docs`")
        let families = MetricsReference.families(page.isEmpty ? "" : "# HELP a_total b.\n# TYPE a_total counter\na_total{x=\"1\",le=\"2\"} 3\n")
        #expect(families == [.init(name: "a_total", type: "counter", help: "b.", labels: ["x"])])
    }

    @Test func `docs-dashboard has a row for each series, and says the same of it`() throws {
        let page = try String(contentsOf: Self.docs.appending(path: "dashboard.md"), encoding: .utf8)
        for series in Series.allCases {
            #expect(page.contains("| `\(series.rawValue)` | \(series.kind.rawValue) | \(series.help) |\n"), "\(series.rawValue)")
        }
    }

    // MARK: The schema

    /// What of a value a schema does not allow; the few words of JSON Schema that ours has.
    private func problems(_ value: Any, _ schema: [String: Any], _ place: String) -> [String] {
        if let constant = schema["const"] as? Int { return value as? Int == constant ? [] : ["\(place) is not \(constant)"] }
        if let words = schema["enum"] as? [String] { return words.contains(value as? String ?? "") ? [] : ["\(place) is none of \(words)"] }
        let types = schema["type"] as? [String] ?? [schema["type"] as? String ?? ""]
        let type: String
        switch value {
        case is NSNull: type = "null"
        case is String: type = "string"
        case is [Any]: type = "array"
        case is [String: Any]: type = "object"
        case is NSNumber: type = "number"
        default: type = "?"
        }
        // Foundation has one type for numbers and booleans.
        let isAllowed = types.contains(type) || type == "number" && (types.contains("integer") || types.contains("boolean"))
        guard isAllowed else { return ["\(place) is \(type), not \(types)"] }
        if let members = value as? [String: Any] {
            let known = schema["properties"] as? [String: [String: Any]] ?? [:]
            let rest = schema["additionalProperties"] as? [String: Any]
            let missing = (schema["required"] as? [String] ?? []).filter { members[$0] == nil }.map { "\(place).\($0) is missing" }
            return missing
                + members.flatMap { name, member -> [String] in
                    guard let part = known[name] ?? rest else { return ["\(place).\(name) is not described"] }
                    return problems(member, part, "\(place).\(name)")
                }
        }
        if let members = value as? [Any], let part = schema["items"] as? [String: Any] {
            return members.enumerated().flatMap { problems($1, part, "\(place)[\($0)]") }
        }
        return []
    }

    @Test func `latest-json is what its schema says, full and empty`() throws {
        let schema = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: Self.docs.appending(path: "dashboard.schema.json"))) as? [String: Any])
        let history = try SampleHistory(path: nil, values: Series.allCases.map(\.rawValue), distributions: Timed.allCases.map(\.rawValue))
        let dashboard = Dashboard(options: .init(), history: history, now: 100) { Issue.record("\($0)") }
        func check(isOperator: Bool) throws {
            guard case .whole(_, _, _, let body) = dashboard.answer(.init(path: "/latest.json", query: "", isOperator: isOperator, now: 100)) else { return }
            let found = problems(try JSONSerialization.jsonObject(with: Data(body)), schema, "document")
            #expect(found.isEmpty, "\(found)")
        }
        try check(isOperator: true)
        var facts = Facts()
        facts.paths = [.init(pattern: "/", requests: 1, seconds: 1, bytes: 1, hitShare: 0, hint: "x")]
        facts.routes = [.init(name: "edge.app", classes: [0, 0, 1, 0, 0, 0])]
        facts.reasons = [.init(outcome: "miss", reason: "no-lifetime", count: 1)]
        facts.upstreams = [.init(group: "app", address: "a:1", isUp: true, active: 0, requests: 1, failures: 0)]
        facts.pools = [.init(database: "d", user: "u", clientsWaiting: 0, serversActive: 1, serversIdle: 2, maxWaitSeconds: 0)]
        facts.statements = [.init(text: "SELECT 1", database: "d", calls: 1, rows: 1, errors: 0, seconds: 1, waitSeconds: 0, p95Seconds: 1)]
        facts.benches = [.init(number: 1, startedAt: 1, subject: "s", levels: [.init(users: 5, requestsPerSecond: 1, band: 1...2, meanMs: 1, p95Ms: 1, failed: 0)])]
        facts.proof = .init(
            number: 2, startedAt: 1, subject: "s", rate: 1, rounds: 1, isTooNoisy: false,
            rows: [.init(layer: "response cache", verdict: "faster", words: "w", change: -1, low: -2, high: 0)])
        dashboard.know(facts)
        var health = ServiceHealth()
        health.probed(error: "refused", now: 1)
        dashboard.know([ServiceReport(name: "edge", health: health, version: "1", upSince: 90, detail: "here")])
        for time in 101...103 {
            var reading = Reading(time: Int64(time))
            for series in Series.allCases { reading[series] = Double(time) }
            dashboard.add(reading)
        }
        try check(isOperator: true)
        try check(isOperator: false)
    }

    @Test func `a series and an event are what their schema says, full and empty`() throws {
        let schema = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: Self.docs.appending(path: "dashboard-series.schema.json"))) as? [String: Any])
        let history = try SampleHistory(path: nil, values: Series.allCases.map(\.rawValue), distributions: Timed.allCases.map(\.rawValue))
        let dashboard = Dashboard(options: .init(), history: history, now: 100) { Issue.record("\($0)") }
        func check(_ body: some Sequence<UInt8>) throws {
            let found = problems(try JSONSerialization.jsonObject(with: Data(body)), schema, "document")
            #expect(found.isEmpty, "\(found)")
        }
        func check(_ query: String) throws {
            guard case .whole(200, _, _, let body) = dashboard.answer(.init(path: "/api/series", query: query, isOperator: true, now: 110)) else {
                Issue.record("no series")
                return
            }
            try check(body)
        }
        try check("")
        let events = Lock<[[UInt8]]>([])
        _ = dashboard.watch(client: nil) { event in events.withLock { $0.append(event) } }
        for kind in ["start", "deploy", "reload", "test", "mark"] { dashboard.mark(Marker(time: 101, kind: kind, text: "x")) }
        let histogram = Histogram()
        for time in 101...104 {
            histogram.record(nanoseconds: 5_000_000)
            var reading = Reading(time: Int64(time))
            for series in Series.allCases { reading[series] = Double(time) }
            reading[.response] = histogram.snapshot()
            dashboard.add(reading)
        }
        try check("range=1h")
        try check("range=60s&names=requests&points=2")
        let sent = events.withLock { $0 }
        #expect(sent.count == 3)
        for event in sent {
            let data = String(decoding: event, as: UTF8.self).split(separator: "\n").last { $0.hasPrefix("data: ") }?.dropFirst(6) ?? ""
            try check(Array(data.utf8))
        }
    }

    /// What prometheus-community's pgbouncer_exporter and oliver006's redis_exporter call it, with the labels that dashboards group by.
    /// - Source: github.com/prometheus-community/pgbouncer_exporter, collector.go, `metricMaps`.
    @Test func `dashboards that were made for pgbouncer_exporter and redis_exporter find their names and labels`() {
        let families = Dictionary(MetricsReference.families(MetricsPage.example()).map { ($0.name, $0) }) { first, _ in first }
        let pools = [
            "client_active_connections", "client_active_cancel_connections", "client_waiting_connections", "client_waiting_cancel_connections",
            "server_active_connections", "server_active_cancel_connections", "server_being_canceled_connections", "server_idle_connections",
            "server_used_connections", "server_testing_connections", "server_login_connections", "client_maxwait_seconds",
        ]
        for name in pools {
            let family = families["pgbouncer_pools_\(name)"]
            #expect(family?.type == "gauge" && family?.labels.sorted() == ["database", "user"], "\(name)")
        }
        for name in ["queries_pooled", "queries_duration_seconds", "received_bytes", "sent_bytes", "client_wait_seconds", "sql_transactions_pooled", "server_in_transaction_seconds"] {
            let family = families["pgbouncer_stats_totals_\(name)_total"]
            #expect(family?.type == "counter" && family?.labels == ["database"], "\(name)")
        }
        for name in ["pgbouncer_up", "redis_up", "redis_memory_used_bytes", "redis_memory_max_bytes", "redis_connected_clients"] { #expect(families[name]?.type == "gauge", "\(name)") }
        for name in ["redis_keyspace_hits_total", "redis_keyspace_misses_total", "redis_evicted_keys_total", "redis_expired_keys_total"] {
            #expect(families[name]?.type == "counter", "\(name)")
        }
    }
}
