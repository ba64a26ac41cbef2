/// The rules that `Monitoring/rules.yml` is printed from: what is recorded, and what somebody is told of. Each metric that they name is
/// in the table of `docs/metrics.md`, to which a test holds them.
///
/// In four groups: what clients feel (RED: rate, errors, duration), how fast the error budget is used up, what runs out (USE: utilisation,
/// saturation, errors), and paths: a layer that is on and does nothing has no errors, and no other rule would say so.
/// - Source: Google, "The Site Reliability Workbook", chapter 5, "Multiwindow, Multi-Burn-Rate Alerts".
enum AlertRules {
    enum Severity: String {
        /// Somebody is called.
        case page
        /// Somebody looks within the day.
        case ticket
    }

    struct Alert {
        var name: String
        var expression: String
        /// For how long it must hold.
        var time: String
        var severity: Severity
        /// Prometheus' templates: `{{ $labels.service }}`, `{{ $value }}`.
        var summary: String
        /// What to do about it.
        var description: String
    }

    struct Recording {
        var name: String
        var expression: String
    }

    /// The windows of the burn rates.
    static let windows = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"]

    static let recordings: [Recording] = windows.map { window in
        Recording(
            name: ratio(window),
            expression: "sum by (instance) (rate(headrace_edge_responses_total{class=\"5xx\"}[\(window)]))"
                + " / (sum by (instance) (rate(headrace_edge_responses_total[\(window)])) > 0)")
    }

    static func ratio(_ window: String) -> String { "instance:headrace_errors:ratio_rate\(window)" }

    /// Burns so many times what the objective allows, over the long window and still over the short one.
    private static func burns(_ factor: Double, _ long: String, _ short: String) -> String {
        let allowed = "on (instance) (\(factor) * (1 - headrace_objective_availability_ratio))"
        return "\(ratio(long)) > \(allowed) and \(ratio(short)) > \(allowed)"
    }

    static let groups: [(name: String, alerts: [Alert])] = [
        (
            "headrace-requests",
            [
                Alert(
                    name: "HeadraceDown", expression: "up{job=\"headrace\"} == 0", time: "1m", severity: .page,
                    summary: "{{ $labels.instance }} does not answer Prometheus",
                    description: "See whether the process runs, and whether edge.metrics_path or the token has changed."),
                Alert(
                    name: "HeadraceServiceDown", expression: "headrace_service_up == 0", time: "1m", severity: .page,
                    summary: "{{ $labels.service }} is down", description: "headrace status shows its last error."),
                Alert(
                    name: "HeadraceSlow",
                    expression: "histogram_quantile(0.95, sum by (instance, le) (rate(headrace_edge_response_seconds_bucket[5m])))"
                        + " > on (instance) headrace_objective_response_seconds",
                    time: "10m", severity: .ticket, summary: "5 of 100 requests take longer than {{ $value | humanizeDuration }}",
                    description: "\"Where requests' time goes\" on the performance page says which stage it is."),
                Alert(
                    name: "HeadraceUpstreamFails",
                    expression: "sum by (instance) (rate(headrace_edge_upstream_failures_total[5m]))"
                        + " / (sum by (instance) (rate(headrace_edge_requests_total[5m])) > 0) > 0.05",
                    time: "5m", severity: .page, summary: "{{ $value | humanizePercentage }} of the requests get no whole response from the application",
                    description: "The label reason of headrace_edge_upstream_failures_total says why."),
                Alert(
                    name: "HeadraceMemberOut", expression: "headrace_upstream_member_up == 0", time: "2m", severity: .ticket,
                    summary: "{{ $labels.member }} of {{ $labels.group }} is given no requests", description: "Its requests or its probes failed."),
            ]
        ),
        (
            "headrace-budget",
            [
                Alert(
                    name: "HeadraceBudgetBurnsFast", expression: burns(14.4, "1h", "5m"), time: "2m", severity: .page,
                    summary: "{{ $value | humanizePercentage }} of the requests fail: a month's error budget is gone in two days",
                    description: "dashboard.objective_availability says what may fail."),
                Alert(
                    name: "HeadraceBudgetBurns", expression: burns(6, "6h", "30m"), time: "15m", severity: .page,
                    summary: "{{ $value | humanizePercentage }} of the requests fail: a month's error budget is gone in five days",
                    description: "dashboard.objective_availability says what may fail."),
                Alert(
                    name: "HeadraceBudgetBurnsSlowly", expression: burns(1, "3d", "6h"), time: "1h", severity: .ticket,
                    summary: "{{ $value | humanizePercentage }} of the requests fail: the month's error budget will not last",
                    description: "dashboard.objective_availability says what may fail."),
            ]
        ),
        (
            "headrace-resources",
            [
                Alert(
                    name: "HeadraceCPU", expression: "rate(process_cpu_seconds_total{job=\"headrace\"}[5m]) / on (instance) headrace_cores > 0.9",
                    time: "10m", severity: .ticket, summary: "{{ $value | humanizePercentage }} of all cores are busy with Headrace",
                    description: "headrace_layer_cpu_seconds_total says which layer it is."),
                Alert(
                    name: "HeadraceDescriptors", expression: "process_open_fds{job=\"headrace\"} / process_max_fds{job=\"headrace\"} > 0.8", time: "5m",
                    severity: .page, summary: "{{ $value | humanizePercentage }} of the descriptors are in use",
                    description: "Raise LimitNOFILE, or lower edge.limits.connections."),
                Alert(
                    name: "HeadraceLoopLag", expression: "headrace_edge_loop_lag_seconds > 0.5", time: "5m", severity: .ticket,
                    summary: "An event loop came {{ $value | humanizeDuration }} late",
                    description: "The machine is overloaded, or something blocks an event loop."),
                Alert(
                    name: "HeadraceMemoryShort", expression: "headrace_memory_pressure > 0", time: "1m", severity: .page,
                    summary: "Headrace gives up work for want of memory", description: "memory.total is nearly used up; the value says how much is given up."),
                Alert(
                    name: "HeadraceRateStoreAway", expression: "headrace_edge_rate_store_up == 0", time: "2m", severity: .ticket,
                    summary: "The store of the rate limits does not answer", description: "Each process limits by itself meanwhile: a client has a share at each."),
                Alert(
                    name: "HeadraceUpstreamQueue", expression: "headrace_upstream_waiting > 0", time: "5m", severity: .ticket,
                    summary: "{{ $value }} requests wait for a connection to {{ $labels.group }}",
                    description: "The application is at its limit, or the limit of connections is too low."),
                Alert(
                    name: "HeadracePoolQueue", expression: "pgbouncer_pools_client_waiting_connections > 0", time: "2m", severity: .ticket,
                    summary: "{{ $value }} clients wait for a server connection to {{ $labels.database }}",
                    description: "SHOW LEAKS and SHOW PINNED on the console say who holds them; else raise the pool's size."),
                Alert(
                    name: "HeadracePoolRefuses", expression: "increase(headrace_pooler_waits_expired_total[5m]) > 0", time: "0s", severity: .page,
                    summary: "{{ printf \"%.0f\" $value }} clients waited too long for a server connection and were refused",
                    description: "SHOW LEAKS and SHOW PINNED on the console say who holds them."),
                Alert(
                    name: "HeadraceKeyspaceFull",
                    expression: "headrace_keyspace_memory_bytes / (headrace_keyspace_memory_limit_bytes > 0) > 0.95"
                        + " and on (instance) rate(headrace_keyspace_evicted_keys_total[15m]) > 10",
                    time: "30m", severity: .ticket, summary: "The keyspace is full and evicts",
                    description: "Raise keyspace.memory if its hit rate falls."),
                Alert(
                    name: "HeadraceCertificateEnds", expression: ["edge", "pooler", "keyspace"].map { "headrace_\($0)_tls_certificate_expiry_timestamp_seconds - time() < 14 * 86400" }
                        .joined(separator: " or "),
                    time: "1h", severity: .ticket, summary: "{{ $labels.file }} ends in {{ $value | humanizeDuration }}",
                    description: "Renew it: the file is read anew when it changes."),
                Alert(
                    name: "HeadraceAccessLogLoses", expression: "increase(headrace_access_log_dropped_bytes_total[10m]) > 0", time: "0s", severity: .ticket,
                    summary: "Lines of the access log are lost", description: "The disk is too slow for it."),
            ]
        ),
        (
            "headrace-paths",
            [
                Alert(
                    name: "HeadraceLayerWithoutTraffic",
                    expression: "headrace_layer_enabled == 1 and on (instance, layer) rate(headrace_layer_traffic_total[30m]) == 0"
                        + " and on (instance) sum by (instance) (rate(headrace_edge_requests_total[30m])) > 1",
                    time: "30m", severity: .ticket, summary: "The layer {{ $labels.layer }} is on, and nothing goes through it",
                    description: "The application goes past it: still on port 5432 or 6379, or its responses forbid it. headrace doctor says more."),
                Alert(
                    name: "HeadraceCacheMisses",
                    expression: "sum by (instance) (rate(headrace_edge_requests_total{cache=~\"hit|served-stale|revalidated|coalesced\"}[30m]))"
                        + " / (sum by (instance) (rate(headrace_edge_requests_total{cache!=\"none\"}[30m])) > 5) < 0.01",
                    time: "30m", severity: .ticket, summary: "The response cache answers next to nothing under load",
                    description: "\"Why the cache had no answer\" on the performance page, or headrace explain URL."),
                Alert(
                    name: "HeadraceKeyspaceMisses",
                    expression: "sum by (instance) (rate(headrace_keyspace_lookups_total{result=\"hit\"}[30m]))"
                        + " / (sum by (instance) (rate(headrace_keyspace_lookups_total[30m])) > 10) < 0.01",
                    time: "30m", severity: .ticket, summary: "The keyspace finds next to nothing under load",
                    description: "Keys are written under other names than they are read, or expire before they are."),
                Alert(
                    name: "HeadraceSessionsPastPooler", expression: "headrace_postgresql_sessions{path=\"past\"} > 0 and on (instance) headrace_layer_enabled{layer=\"pooler\"} == 1",
                    time: "15m", severity: .ticket, summary: "{{ $value }} sessions of PostgreSQL go past the pooler",
                    description: "Somebody's connection string names PostgreSQL itself: pg_stat_activity says who."),
                Alert(
                    name: "HeadraceEffectGone",
                    expression: "headrace_proof_change_ratio{bound=\"high\"} >= 0"
                        + " and min_over_time(headrace_proof_change_ratio{bound=\"high\"}[15d]) < 0",
                    time: "0s", severity: .ticket, summary: "{{ $labels.layer }} was proven to make it faster, and is so no longer",
                    description: "Compare the last two proofs: headrace report."),
            ]
        ),
    ]

    static func yaml() -> String {
        func quoted(_ text: String) -> String { "'" + text.replacing("'", with: "''") + "'" }
        var text = "# Printed by `headrace reference monitoring`; a test holds this file to the program.\ngroups:\n"
        text += "  - name: headrace-recorded\n    rules:\n"
        for rule in recordings { text += "      - record: \(rule.name)\n        expr: \(quoted(rule.expression))\n" }
        for group in groups {
            text += "  - name: \(group.name)\n    rules:\n"
            for alert in group.alerts {
                text += "      - alert: \(alert.name)\n        expr: \(quoted(alert.expression))\n"
                if alert.time != "0s" { text += "        for: \(alert.time)\n" }
                text += "        labels: {severity: \(alert.severity.rawValue)}\n        annotations:\n"
                text += "          summary: \(quoted(alert.summary))\n          description: \(quoted(alert.description))\n"
            }
        }
        return text
    }
}
