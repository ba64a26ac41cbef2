import Foundation

/// Three dashboards for Grafana, printed from one table: a panel is a title, a unit and its expressions. Each metric that they name is in
/// the table of `docs/metrics.md`; a test asks a running Prometheus for all of them.
enum GrafanaDashboards {
    /// Of Grafana's units, those that are needed here.
    enum Unit: String {
        case count = "short"
        case perSecond = "reqps"
        case seconds = "s"
        case bytes
        case bytesPerSecond = "Bps"
        case share = "percentunit"
        case cores = "none"
    }

    struct Panel {
        enum Kind: String {
            case graph = "timeseries"
            case figure = "stat"
        }

        var kind = Kind.graph
        var title: String
        var description = ""
        var unit: Unit
        var isStacked = false
        /// Expression and legend.
        var queries: [(String, String)]
    }

    struct Board {
        /// The file, and Grafana's uid.
        var name: String
        var title: String
        var panels: [Panel]
    }

    /// A selector of a metric, of the instance that is chosen.
    private static func of(_ metric: String, _ labels: String = "") -> String {
        "\(metric){instance=~\"$instance\"\(labels.isEmpty ? "" : ", " + labels)}"
    }

    private static func rate(_ metric: String, _ labels: String = "", by: String? = nil) -> String {
        "sum\(by.map { " by (\($0)) " } ?? " ")(rate(\(of(metric, labels))[$__rate_interval]))"
    }

    private static func quantile(_ share: Double, _ metric: String) -> String {
        "histogram_quantile(\(share), sum by (le) (rate(\(of(metric + "_bucket"))[$__rate_interval])))"
    }

    private static func quantiles(_ metric: String) -> [(String, String)] {
        [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")].map { (quantile($0, metric), $1) }
    }

    private static let hits = "cache=~\"hit|served-stale|revalidated|coalesced\""

    static let all: [Board] = [overview, cache, database]

    static let overview = Board(
        name: "headrace-overview", title: "Headrace: overview",
        panels: [
            Panel(kind: .figure, title: "Requests", unit: .perSecond, queries: [(rate("headrace_edge_requests_total"), "")]),
            Panel(
                kind: .figure, title: "Failing", unit: .share,
                queries: [(rate("headrace_edge_responses_total", "class=\"5xx\"") + " / " + rate("headrace_edge_responses_total"), "")]),
            Panel(kind: .figure, title: "p95", unit: .seconds, queries: [(quantile(0.95, "headrace_edge_response_seconds"), "")]),
            Panel(
                kind: .figure, title: "From the response cache", unit: .share,
                queries: [(rate("headrace_edge_requests_total", hits) + " / " + rate("headrace_edge_requests_total", "cache!=\"none\""), "")]),
            Panel(
                kind: .figure, title: "Services down", unit: .count, queries: [("count(\(of("headrace_service_up")) == 0) or vector(0)", "")]),
            Panel(
                kind: .figure, title: "CPU", description: "Cores in use.", unit: .cores,
                queries: [(rate("process_cpu_seconds_total", "job=\"headrace\""), "")]),
            Panel(title: "Requests by class", unit: .perSecond, isStacked: true, queries: [(rate("headrace_edge_responses_total", by: "class"), "{{class}}")]),
            Panel(
                title: "Requests by route", description: "The ten busiest.", unit: .perSecond,
                queries: [("", "{{route}}"), ("class=\"5xx\"", "{{route}}, failed")].map { labels, legend in
                    ("topk(10, " + rate("headrace_edge_route_responses_total", labels, by: "route") + ")", legend)
                }),
            Panel(
                title: "Response time", description: "With the objective for p95.", unit: .seconds,
                queries: quantiles("headrace_edge_response_seconds") + [("max(\(of("headrace_objective_response_seconds")))", "objective")]),
            Panel(
                title: "Where requests' time goes", description: "Seconds per second, by the stages of Server-Timing.", unit: .seconds, isStacked: true,
                queries: [(rate("headrace_edge_stage_seconds_total", by: "stage"), "{{stage}}")]),
            Panel(
                title: "Error budget burn", description: "1 is just what the objective allows.", unit: .count,
                queries: ["1h", "6h"].map { window in
                    (
                        "max(\(of(AlertRules.ratio(window))) / on (instance) (1 - \(of("headrace_objective_availability_ratio"))))",
                        window
                    )
                }),
            Panel(title: "What each layer has to do", unit: .perSecond, queries: [(rate("headrace_layer_traffic_total", by: "layer"), "{{layer}}")]),
            Panel(
                title: "CPU by layer", unit: .cores,
                queries: [(rate("headrace_layer_cpu_seconds_total", by: "layer"), "{{layer}}"), (rate("process_cpu_seconds_total", "job=\"headrace\""), "process")]),
            Panel(
                title: "Memory", unit: .bytes,
                queries: [
                    ("sum(\(of("process_resident_memory_bytes", "job=\"headrace\"")))", "resident"), ("sum(\(of("headrace_response_cache_bytes")))", "response cache"),
                    ("sum(\(of("headrace_keyspace_memory_bytes")))", "keyspace"),
                ]),
            Panel(
                title: "Connections", unit: .count,
                queries: [
                    ("sum(\(of("headrace_edge_connections")))", "clients"), ("sum(\(of("headrace_edge_upstream_connections")))", "application"),
                    ("sum(\(of("process_open_fds", "job=\"headrace\"")))", "descriptors"),
                ]),
            Panel(
                title: "Event loop lag", description: "At worst, in a minute.", unit: .seconds,
                queries: [("max(\(of("headrace_edge_loop_lag_seconds")))", "lag")]),
            Panel(title: "Services", description: "1 is up.", unit: .count, queries: [("min by (service) (\(of("headrace_service_up")))", "{{service}}")]),
            Panel(
                title: "Failures of the application", unit: .perSecond,
                queries: [(rate("headrace_edge_upstream_failures_total", by: "reason") + " > 0 or vector(0)", "{{reason}}")]),
        ])

    static let cache = Board(
        name: "headrace-cache", title: "Headrace: caches and compression",
        panels: [
            Panel(title: "Requests by what the response cache did", unit: .perSecond, isStacked: true, queries: [(rate("headrace_edge_requests_total", by: "cache"), "{{cache}}")]),
            Panel(
                title: "Answered without asking the application", unit: .share,
                queries: [(rate("headrace_edge_requests_total", hits) + " / " + rate("headrace_edge_requests_total", "cache!=\"none\""), "share")]),
            Panel(title: "Stored responses", unit: .count, queries: [("sum(\(of("headrace_response_cache_entries")))", "responses")]),
            Panel(title: "Memory of the response cache", unit: .bytes, queries: [("sum(\(of("headrace_response_cache_bytes")))", "bytes")]),
            Panel(
                title: "Evictions, purges and refreshes", unit: .perSecond,
                queries: [
                    (rate("headrace_response_cache_evictions_total"), "evicted"), (rate("headrace_response_cache_purged_total"), "purged"),
                    (rate("headrace_response_cache_refreshes_total", by: "when"), "refreshed, {{when}}"),
                ]),
            Panel(
                title: "Why the cache had no answer", unit: .perSecond,
                queries: [("topk(10, " + rate("headrace_edge_reasons_total", by: "kind, reason") + " > 0) or vector(0)", "{{kind}}: {{reason}}")]),
            Panel(
                title: "Bytes spared", unit: .bytesPerSecond,
                queries: [
                    (rate("headrace_compression_saved_bytes_total"), "by compression"), (rate("headrace_edge_not_modified_saved_bytes_total"), "by 304"),
                    (rate("headrace_edge_body_bytes_total"), "sent"),
                ]),
            Panel(title: "Codings", unit: .perSecond, isStacked: true, queries: [(rate("headrace_edge_codings_total", by: "coding"), "{{coding}}")]),
            Panel(
                title: "Compression", unit: .cores,
                queries: [
                    (rate("headrace_layer_cpu_seconds_total", "layer=\"compression\""), "cores"),
                    ("sum(\(of("headrace_compression_queue_jobs")))", "jobs that wait"),
                ]),
            Panel(title: "Keyspace: commands", unit: .perSecond, queries: [(rate("headrace_keyspace_commands_total"), "commands")]),
            Panel(
                title: "Keyspace: hit rate", unit: .share,
                queries: [(rate("headrace_keyspace_lookups_total", "result=\"hit\"") + " / " + rate("headrace_keyspace_lookups_total"), "share")]),
            Panel(
                title: "Keyspace: memory", unit: .bytes,
                queries: [
                    ("sum(\(of("headrace_keyspace_memory_bytes")))", "used"), ("sum(\(of("headrace_keyspace_memory_limit_bytes")))", "limit"),
                ]),
            Panel(
                title: "Keyspace: keys that go", unit: .perSecond,
                queries: [(rate("headrace_keyspace_evicted_keys_total"), "evicted"), (rate("headrace_keyspace_expired_keys_total"), "expired")]),
            Panel(
                title: "Keyspace: keys and clients", unit: .count,
                queries: [("sum(\(of("headrace_keyspace_keys")))", "keys"), ("sum(\(of("headrace_keyspace_clients")))", "clients")]),
        ])

    static let database = Board(
        name: "headrace-database", title: "Headrace: database",
        panels: [
            Panel(
                title: "Clients of the pools", unit: .count,
                queries: [
                    ("sum by (database) (\(of("pgbouncer_pools_client_active_connections")))", "{{database}} active"),
                    ("sum by (database) (\(of("pgbouncer_pools_client_waiting_connections")))", "{{database}} waiting"),
                ]),
            Panel(
                title: "Server connections", unit: .count, isStacked: true,
                queries: [
                    ("sum(\(of("pgbouncer_pools_server_active_connections")))", "busy"), ("sum(\(of("pgbouncer_pools_server_idle_connections")))", "idle"),
                    ("sum(\(of("pgbouncer_pools_server_login_connections")))", "being made"),
                ]),
            Panel(
                title: "Sessions of PostgreSQL", description: "Through the pooler, and past it.", unit: .count,
                queries: [("sum by (path) (\(of("headrace_postgresql_sessions")))", "{{path}}")]),
            Panel(
                title: "Longest wait", unit: .seconds, queries: [("max by (database) (\(of("pgbouncer_pools_client_maxwait_seconds")))", "{{database}}")]),
            Panel(title: "Waits for a server connection", description: "Of clients that got one.", unit: .seconds, queries: quantiles("headrace_pooler_wait_seconds")),
            Panel(
                title: "Transactions", unit: .perSecond, queries: [(rate("pgbouncer_stats_totals_sql_transactions_pooled_total", by: "database"), "{{database}}")]),
            Panel(title: "Queries", unit: .perSecond, queries: [(rate("pgbouncer_stats_totals_queries_pooled_total", by: "database"), "{{database}}")]),
            Panel(
                title: "Mean time", unit: .seconds,
                queries: [
                    (
                        rate("pgbouncer_stats_totals_queries_duration_seconds_total") + " / " + rate("pgbouncer_stats_totals_queries_pooled_total"), "of a query"
                    ),
                    (
                        rate("pgbouncer_stats_totals_server_in_transaction_seconds_total") + " / "
                            + rate("pgbouncer_stats_totals_sql_transactions_pooled_total"), "of a transaction"
                    ),
                ]),
            Panel(
                title: "Bytes", unit: .bytesPerSecond,
                queries: [
                    (rate("pgbouncer_stats_totals_received_bytes_total"), "from clients"), (rate("pgbouncer_stats_totals_sent_bytes_total"), "to clients"),
                ]),
            Panel(
                title: "Logins", unit: .perSecond,
                queries: [
                    (rate("headrace_pooler_client_logins_total"), "clients"), (rate("headrace_pooler_server_logins_total"), "servers"),
                    (rate("headrace_pooler_server_login_failures_total"), "servers, failed"),
                ]),
            Panel(
                title: "What pooling costs", unit: .perSecond,
                queries: [
                    (rate("headrace_pooler_pins_total"), "pinned"), (rate("headrace_pooler_resets_total"), "reset"),
                    (rate("headrace_pooler_parameter_changes_total"), "parameters set"), (rate("headrace_pooler_waits_expired_total"), "waited too long"),
                ]),
            Panel(title: "CPU of the pooler", unit: .cores, queries: [(rate("headrace_layer_cpu_seconds_total", "layer=\"pooler\""), "cores")]),
        ])

    /// The dashboard as Grafana reads it from a file.
    /// - Source: grafana.com, "Dashboard JSON model".
    static func json(_ board: Board) -> String {
        let source = ["type": "prometheus", "uid": sourceName]
        var panels: [[String: Any]] = []
        var (x, y, height) = (0, 0, 0)
        for (index, panel) in board.panels.enumerated() {
            // Six figures, or two graphs, to a row of 24.
            let (width, own) = panel.kind == .figure ? (4, 4) : (12, 8)
            if x + width > 24 || (height != own && x > 0) { (x, y) = (0, y + height) }
            height = own
            var custom: [String: Any] = [:]
            if panel.kind == .graph {
                custom = ["fillOpacity": panel.isStacked ? 30 : 8, "showPoints": "never", "stacking": ["mode": panel.isStacked ? "normal" : "none"]]
            }
            panels.append([
                "id": index + 1, "type": panel.kind.rawValue, "title": panel.title, "description": panel.description, "datasource": source,
                "gridPos": ["x": x, "y": y, "w": width, "h": own],
                "fieldConfig": ["defaults": ["unit": panel.unit.rawValue, "min": 0, "custom": custom] as [String: Any], "overrides": [Any]()] as [String: Any],
                "options": panel.kind == .figure
                    ? ["reduceOptions": ["calcs": ["lastNotNull"]], "graphMode": "area"] as [String: Any]
                    : ["legend": ["displayMode": "list", "placement": "bottom"], "tooltip": ["mode": "multi", "sort": "desc"]],
                "targets": panel.queries.enumerated().map { number, query in
                    [
                        "refId": String(UnicodeScalar(UInt8(65 + number % 26))), "datasource": source, "expr": query.0,
                        "legendFormat": query.1.isEmpty ? "__auto" : query.1,
                    ] as [String: Any]
                },
            ])
            x += width
        }
        let document: [String: Any] = [
            "uid": board.name, "title": board.title, "tags": ["headrace"], "schemaVersion": 38, "version": 1, "editable": true, "refresh": "30s",
            "timezone": "browser", "time": ["from": "now-6h", "to": "now"], "graphTooltip": 1, "panels": panels, "annotations": ["list": [Any]()],
            "links": all.filter { $0.name != board.name }.map { ["type": "link", "title": $0.title, "url": "d/\($0.name)", "keepTime": true] as [String: Any] },
            "templating": [
                "list": [
                    [
                        "name": "instance", "label": "Instance", "type": "query", "datasource": source, "refresh": 2, "includeAll": true, "multi": true,
                        "allValue": ".*", "current": ["text": "All", "value": "$__all"],
                        "query": ["query": "label_values(up{job=\"headrace\"}, instance)", "refId": "instance"],
                    ] as [String: Any]
                ]
            ],
        ]
        let data = (try? JSONSerialization.data(withJSONObject: document, options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])) ?? Data()
        return String(decoding: data, as: UTF8.self) + "\n"
    }

    /// The uid of the data source that is provisioned beside them.
    static let sourceName = "headrace-prometheus"
}
