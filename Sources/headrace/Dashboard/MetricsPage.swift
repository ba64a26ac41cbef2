import Dashboard
import Edge
import Keyspace
import Pooler
import Telemetry
import Transport

/// What `edge.metrics_path` serves: the edge's own families, and those of all that runs beside it. The edge need not know of them.
enum MetricsPage {
    /// - Parameters:
    ///   - edge: in Prometheus' text format, as the edge makes it.
    ///   - layers: the families of the pooler and of the keyspace, in the same format, where they are.
    ///   - standing: `nil` when there is no dashboard: then nobody probes services, and nothing is known of proofs.
    static func text(
        edge: String, layers: [String], process: ProcessFigures, workers: [(layer: Layer, process: ProcessFigures)] = [],
        pressure: MemoryPressure = MemoryPressure(), standing: Dashboard.Standing?
    ) -> String {
        var text = PrometheusText()
        if let standing { append(standing, to: &text) }
        append(process, to: &text)
        text.gauge("headrace_memory_total_bytes", help: "The most memory of the process, as configured; 0 for no bound.", value: Double(pressure.bytesMax))
        text.gauge(
            "headrace_memory_pressure", help: "What is given up for want of memory: 0 nothing, 1 new connections, 2 new requests too, 3 those who hold most too.",
            value: Double(pressure.level.rawValue))
        text.counter("headrace_memory_pressure_rises_total", help: "Times that more was given up.", value: UInt64(clamping: pressure.riseCount))
        append(workers, to: &text)
        return edge + layers.joined() + text.finish()
    }

    private static func append(_ workers: [(layer: Layer, process: ProcessFigures)], to text: inout PrometheusText) {
        for (layer, process) in workers {
            text.counter(
                "headrace_worker_cpu_seconds_total", help: "CPU time of a layer's own process, with processes: per-layer.", labels: [("layer", layer.rawValue)],
                amount: Double(process.cpuNanoseconds) / 1e9)
        }
        for (layer, process) in workers {
            text.gauge(
                "headrace_worker_resident_memory_bytes", help: "Resident memory of a layer's own process, with processes: per-layer.",
                labels: [("layer", layer.rawValue)], value: Double(process.residentBytes))
        }
        for (layer, process) in workers {
            text.gauge(
                "headrace_worker_start_time_seconds", help: "When a layer's own process began, in Unix seconds: a later one than before means that it crashed.",
                labels: [("layer", layer.rawValue)], value: process.startedAt)
        }
    }

    static func families(_ append: (inout PrometheusText) -> Void) -> String {
        var text = PrometheusText()
        append(&text)
        return text.finish()
    }

    /// - Parameter accept: what the client says that it takes.
    static func answer(_ text: String, accept: String) -> BuiltInPages.Answer {
        let isOpenMetrics = OpenMetricsText.isPreferred(accept)
        return .whole(
            status: 200, contentType: isOpenMetrics ? OpenMetricsText.contentType : OpenMetricsText.plainContentType, fields: [("Vary", "Accept")],
            body: Array((isOpenMetrics ? OpenMetricsText.made(of: text) : text).utf8))
    }

    /// Under the names that Prometheus' own clients give to what every process has.
    /// - Source: prometheus.io, "Writing client libraries", "Process metrics".
    private static func append(_ process: ProcessFigures, to text: inout PrometheusText) {
        text.counter(
            "process_cpu_seconds_total", help: "User and system CPU time of the process.", amount: Double(process.cpuNanoseconds) / 1e9)
        text.gauge("process_resident_memory_bytes", help: "Resident memory.", value: Double(process.residentBytes))
        text.gauge("process_virtual_memory_bytes", help: "Virtual memory.", value: Double(process.virtualBytes))
        text.gauge("process_open_fds", help: "Open descriptors.", value: Double(process.openFiles))
        text.gauge("process_max_fds", help: "Descriptors that may be open.", value: Double(process.openFilesMax))
        text.gauge("process_threads", help: "Threads.", value: Double(process.threads))
        text.gauge("process_start_time_seconds", help: "When the process began, in Unix seconds.", value: process.startedAt)
        text.gauge("headrace_build_info", help: "Always 1; the label says the version.", labels: [("version", Headrace.version)], value: 1)
        text.gauge("headrace_cores", help: "Cores of the machine.", value: Double(process.cores))
    }

    private static func append(_ standing: Dashboard.Standing, to text: inout PrometheusText) {
        for service in standing.services where service.health.state != .unknown {
            text.gauge(
                "headrace_service_up", help: "Whether a service can be used, by what its probes found; down after three failures in a row.",
                labels: [("service", service.name)], value: service.health.state == .up ? 1 : 0)
        }
        let traffic = layers(standing)
        for (name, isOn, _) in traffic {
            text.gauge("headrace_layer_enabled", help: "Whether a layer is switched on.", labels: [("layer", name)], value: isOn ? 1 : 0)
        }
        for (name, isOn, count) in traffic where isOn {
            text.counter(
                "headrace_layer_traffic_total", help: "What a layer had to do: it is on, and this stands still, means that traffic goes past it.",
                labels: [("layer", name)], amount: count)
        }
        if let reading = standing.reading {
            for (layer, series) in [
                ("edge", Series.cpu_edge_seconds), ("compression", .compression_cpu_seconds), ("pooler", .cpu_pooler_seconds),
                ("keyspace", .cpu_keyspace_seconds),
            ] where !reading[series].isNaN {
                text.counter(
                    "headrace_layer_cpu_seconds_total", help: "CPU time of a layer's threads; compression's is part of the edge's, and of its own thread.",
                    labels: [("layer", layer)], amount: reading[series])
            }
        }
        if let database = standing.database {
            if let seconds = database.cpuSeconds {
                text.counter(
                    "headrace_postgresql_cpu_seconds_total", help: "CPU time of PostgreSQL's processes, where they are on this machine and seen from here.",
                    amount: seconds)
            }
            if let bytes = database.memoryBytes {
                text.gauge(
                    "headrace_postgresql_memory_bytes", help: "Memory of PostgreSQL's processes: what each has for itself, and once what they share.",
                    value: bytes)
            }
            if let count = database.transactions {
                text.counter("headrace_postgresql_transactions_total", help: "Transactions of all of PostgreSQL's databases, whoever asked.", amount: count)
            }
            for (path, count) in [("pooled", database.sessionsPooled), ("past", database.sessionsPast)] {
                text.gauge(
                    "headrace_postgresql_sessions", help: "Sessions of PostgreSQL's clients: through the pooler, and past it. Not there when it cannot be asked.",
                    labels: [("path", path)], value: Double(count))
            }
            if let lag = database.lagSeconds {
                text.gauge("headrace_postgresql_replication_lag_seconds", help: "How far it is behind, or its slowest standby.", value: lag)
            }
        }
        if let lag = standing.loopLagSeconds {
            text.gauge("headrace_edge_loop_lag_seconds", help: "How late an event loop of the edge came to what was due, at worst in the last minute.", value: lag)
        }
        text.gauge(
            "headrace_objective_response_seconds", help: "95 of 100 requests should take no longer: dashboard.objective_time.",
            value: standing.options.objectiveP95)
        text.gauge(
            "headrace_objective_availability_ratio", help: "The share of requests that should not fail: dashboard.objective_availability.",
            value: standing.options.objectiveAvailability)
        guard let proof = standing.facts.proof else { return }
        text.gauge("headrace_proof_timestamp_seconds", help: "When the latest proof began, in Unix seconds.", value: proof.startedAt)
        for row in proof.rows {
            for (bound, value) in [("estimate", row.change), ("low", row.low), ("high", row.high)] {
                guard let value else { continue }
                text.gauge(
                    "headrace_proof_change_ratio",
                    help: "What having a layer changes of the median response time, by the latest proof, with the bounds of its 95 % interval; below 0 is faster.",
                    labels: [("layer", row.layer), ("bound", bound)], value: value / 100)
            }
        }
    }

    /// Which layers are on, and what each has had to do since the start.
    private static func layers(_ standing: Dashboard.Standing) -> [(name: String, isOn: Bool, traffic: Double)] {
        func total(_ series: [Series]) -> Double {
            series.reduce(0) { sum, series in
                let value = standing.reading?[series] ?? 0
                return sum + (value.isNaN ? 0 : value)
            }
        }
        let switches = standing.facts.switches
        let looked: [Series] = [.cache_hits, .cache_served_stale, .cache_revalidated, .cache_coalesced, .cache_misses, .cache_stale]
        return [
            ("edge", switches.edge, total([.requests])),
            ("compression", switches.compression, total([.responses_gzip, .responses_br, .responses_zstd])),
            ("browser_caching", switches.browserCaching, total([.not_modified])), ("response_cache", switches.responseCache, total(looked)),
            ("keyspace", switches.keyspace, total([.keyspace_hits, .keyspace_misses])), ("pooler", switches.pooler, total([.pool_queries])),
            ("upstreams", switches.upstreams, total([.upstream_requests])),
        ]
    }

    /// Every family, of a process that has served nothing: what `docs/metrics.md` is printed from, and what rules and dashboards may ask for.
    static func example() -> String {
        var reading = Reading(time: 0)
        for series in Series.allCases { reading[series] = 0 }
        var facts = Facts()
        facts.switches = .all
        facts.proof = .init(
            number: 1, startedAt: 0, subject: "", rate: 0, rounds: 0, isTooNoisy: false,
            rows: [.init(layer: "response cache", verdict: "", words: "", change: 0, low: 0, high: 0)])
        var health = ServiceHealth()
        health.probed(error: nil, now: 1)
        var database = DatabaseFacts()
        (database.lagSeconds, database.transactions, database.cpuSeconds, database.memoryBytes) = (0, 0, 0, 0)
        var keyspace = KeyspaceFigures()
        keyspace.databaseKeys = [0]
        keyspace.certificates = [.init(file: "", names: [], expires: 0)]
        return text(
            edge: MetricsExample.text(), layers: [families { PoolerReport.example.append(to: &$0) }, families { keyspace.append(to: &$0) }], process: ProcessFigures(),
            workers: [(.edge, ProcessFigures())],
            standing: .init(facts: facts, services: [ServiceReport(name: "edge", health: health)], reading: reading, loopLagSeconds: 0, database: database))
    }
}

extension LayerSwitches {
    /// All of them on.
    fileprivate static var all: Self {
        var switches = Self()
        (switches.edge, switches.compression, switches.browserCaching, switches.responseCache) = (true, true, true, true)
        (switches.keyspace, switches.pooler, switches.upstreams, switches.postgres) = (true, true, true, true)
        return switches
    }
}
