import HTTP1Wire
import HTTP2Wire
import HTTPSemantics
import NIOCore
import Telemetry
import Transport

/// The edge's numbers for one event loop, which alone writes them; whoever reads sums over the loops.
///
/// Labels come from closed enums and from the configuration, so that no client can make a new series.
final class EdgeMetrics: Sendable {
    let connections = Gauge()
    let upstreamConnections = Gauge()
    let upstreamIdle = Gauge()
    let upstreamConnects = Counter()
    let upstreamHTTP2Connections = Gauge()
    let upstreamHTTP2Requests = Counter()
    let upstreamHTTP2GoAways = Counter()
    private let upstreamHTTP2Floods = CounterRow(count: HTTP2Flood.allCases.count)
    private let upstreamHTTP2Errors = CounterRow(count: HTTP2ErrorCode.allCases.count)
    let tunnels = Gauge()
    /// Bytes of large stored responses that clients have begun to take and not taken yet: they stay in memory when the store drops them.
    let heldBodyBytes = Gauge()
    private let requests = CounterRow(count: Exchange.CacheResult.allCases.count)
    private let statusClasses = CounterRow(count: 6)
    private let codings = CounterRow(count: ContentCoding.allCases.count)
    private let refusals = CounterRow(count: HTTP1Error.Code.allCases.count)
    private let failures = CounterRow(count: GatewayFailure.allCases.count)
    private let bodyBytes = Counter()
    private let notModified = Counter()
    private let deadlines = CounterRow(count: DeadlineReason.allCases.count)
    private let connectionRefusals = CounterRow(count: ConnectionRefusal.allCases.count)
    private let proxyHeaders = CounterRow(count: ProxyHeaderOutcome.allCases.count)
    let shed = Counter()
    let tlsHandshakes = Counter()
    let http2Connections = Gauge()
    let http2Requests = Counter()
    private let http2Floods = CounterRow(count: HTTP2Flood.allCases.count)
    private let http2Errors = CounterRow(count: HTTP2ErrorCode.allCases.count)
    let tlsFailures = Counter()
    private let compressedFrom = Counter()
    private let compressedTo = Counter()
    private let reasons = CounterRow(count: AnswerReason.allCases.count)
    private let purges = CounterRow(count: PurgeRequest.Kind.allCases.count)
    private let purgeRefusals = CounterRow(count: PurgeRefusal.allCases.count)
    private let purgedResponses = Counter()
    private let refreshes = CounterRow(count: 2)
    private let hintedLinks = CounterRow(count: 2)
    private let proofRefusals = CounterRow(count: ProofRefusal.allCases.count)
    /// Signed requests by the layers that they went past: at most ``provedMax`` kinds, of which only who has the secret can make one.
    private let proved = Lock<[EdgeLayers: ProvedCounts]>([:])
    private let heldOut = Lock<[HoldOut.Layer: HoldOut.Figures]>([:])
    private let savedByCompression = Counter()
    private let savedByNotModified = Counter()
    private let compressionTime = Counter()
    /// Of the loop's own thread, in nanoseconds.
    let cpuTime = Gauge()
    /// How late the loop came to its sweep at worst, in nanoseconds, since it was last asked for.
    let lag = Gauge()
    let insight = TrafficInsight()
    let originClock = Lock(OriginClock())
    private let stages = CounterRow(count: StageTimes.Stage.allCases.count)
    private let responseTime = Histogram()
    private let upstreamTime = Histogram()
    /// Responses by route and first digit of their status; the routes are those of the configuration, at most
    /// ``RouteConfiguration/countMax`` and what stands behind them.
    private let routes = Lock<[String: CounterRow]>([:])
    private let process: ProcessNumbers

    /// What all loops share: the store's totals and the like.
    struct ProcessNumbers: Sendable {
        let loops: @Sendable () -> [EdgeMetrics]
        let store: ResponseStore
        let background: BackgroundCompression
        let upstreams: @Sendable () -> [(name: String, machine: UpstreamMachine)]
        let certificates: @Sendable () -> [TLSCertificates.Description]
        let responseBuffers: FillBudget
        let accessLogDropped: @Sendable () -> Int
        /// `nil` where rate limits are this process' own.
        var rateStore: @Sendable () -> RateStoreClient.Figures? = { nil }
    }

    init(_ process: ProcessNumbers) {
        self.process = process
    }

    /// What signed requests came to that went past the same layers.
    private struct ProvedCounts {
        /// ``values`` in words, for the metric.
        static let names = ["answered", "upstream", "connected", "coalesced", "hit", "gzip", "br", "zstd"]
        var values = [UInt64](repeating: 0, count: names.count)
        var bodyBytes: UInt64 = 0

        init() {}

        init(_ exchange: borrowing Exchange) {
            let isHit = exchange.cacheResult == .hit || exchange.cacheResult == .servedStale
            let facts = [
                true, exchange.upstreamNanoseconds > 0, exchange.hasConnected, exchange.cacheResult == .coalesced, isHit, exchange.coding == .gzip,
                exchange.coding == .brotli, exchange.coding == .zstd,
            ]
            values = facts.map { $0 ? 1 : 0 }
            bodyBytes = UInt64(clamping: exchange.bodyBytes)
        }

        mutating func add(_ other: Self) {
            for index in values.indices { values[index] &+= other.values[index] }
            bodyBytes &+= other.bodyBytes
        }
    }

    private static let provedMax = 64

    // MARK: Counting, on the event loop

    func ended(_ exchange: borrowing Exchange, now: NIODeadline) {
        requests.add(caseNumber(exchange.cacheResult))
        statusClasses.add(min(max(exchange.status / 100, 0), 5))
        codings.add(Int(exchange.coding.rawValue))
        bodyBytes.add(exchange.bodyBytes)
        if exchange.status == 304 { notModified.add() }
        if let reason = exchange.reason { reasons.add(reason.number) }
        if exchange.savedBytes > 0 { (exchange.status == 304 ? savedByNotModified : savedByCompression).add(exchange.savedBytes) }
        let time = exchange.isStream ? exchange.headNanoseconds : (now - exchange.started).nanoseconds
        responseTime.record(nanoseconds: UInt64(clamping: time))
        count(exchange.stages, end: exchange.isStream ? nil : now)
        if exchange.holdOut != nil || !exchange.proofAnswer.isEmpty { studied(exchange, nanoseconds: time) }
    }

    /// Nanoseconds by stage.
    private func count(_ times: borrowing StageTimes, end: NIODeadline?) {
        func add(_ stage: StageTimes.Stage) { stages.add(caseNumber(stage), UInt64(times.nanoseconds(stage, end: end))) }
        add(.lookup)
        add(.write)
        if times.isPlain { return }
        add(.queue)
        add(.connect)
        add(.firstByte)
        add(.compress)
    }

    private func studied(_ exchange: borrowing Exchange, nanoseconds: Int64) {
        let bytes = exchange.bodyBytes
        if let part = exchange.holdOut {
            let status = exchange.status
            heldOut.withLock {
                $0[part.layer, default: .init(layer: part.layer)].ended(
                    isPast: part.isPast, status: status, seconds: Double(nanoseconds) / 1e9, bytes: bytes)
            }
        } else {
            let without = exchange.without
            let one = ProvedCounts(exchange)
            proved.withLock { counts in
                guard counts[without] != nil || counts.count < Self.provedMax else { return }
                counts[without, default: .init()].add(one)
            }
        }
    }

    func proofRefused(_ refusal: ProofRefusal) {
        proofRefusals.add(caseNumber(refusal))
    }

    /// The routes are these now: their rows, which those that were there before keep.
    func rows(ofRoutes titles: [String]) -> [String: CounterRow] {
        routes.withLock { rows in
            let known = rows
            rows = Dictionary(titles.map { ($0, known[$0] ?? CounterRow(count: 6)) }) { first, _ in first }
            return rows
        }
    }

    func refused(_ error: HTTP1Error) {
        refusals.add(HTTP1Error.Code.allCases.firstIndex(of: error.code) ?? 0)
    }

    func gatewayFailed(_ failure: GatewayFailure) {
        failures.add(GatewayFailure.allCases.firstIndex(of: failure) ?? 0)
    }

    func upstreamAnswered(status: Int, nanoseconds: Int64) {
        upstreamTime.record(nanoseconds: UInt64(clamping: nanoseconds))
    }

    func deadlinePassed(_ reason: DeadlineReason) {
        deadlines.add(DeadlineReason.allCases.firstIndex(of: reason) ?? 0)
    }

    func connectionRefused(_ reason: ConnectionRefusal) {
        connectionRefusals.add(ConnectionRefusal.allCases.firstIndex(of: reason) ?? 0)
    }

    func proxyHeader(_ outcome: ProxyHeaderOutcome) {
        proxyHeaders.add(caseNumber(outcome))
    }

    /// A connection of HTTP/2 was ended for what its client did.
    func http2Failed(_ code: HTTP2ErrorCode, _ flood: HTTP2Flood?) {
        http2Errors.add(HTTP2ErrorCode.allCases.firstIndex(of: code) ?? 0)
        if let flood { http2Floods.add(HTTP2Flood.allCases.firstIndex(of: flood) ?? 0) }
    }

    /// A connection of HTTP/2 was ended for what its server did.
    func upstreamHTTP2Failed(_ code: HTTP2ErrorCode, _ flood: HTTP2Flood?) {
        upstreamHTTP2Errors.add(HTTP2ErrorCode.allCases.firstIndex(of: code) ?? 0)
        if let flood { upstreamHTTP2Floods.add(caseNumber(flood)) }
    }

    func purged(_ kind: PurgeRequest.Kind, responses: Int) {
        purges.add(PurgeRequest.Kind.allCases.firstIndex(of: kind) ?? 0)
        purgedResponses.add(responses)
    }

    func purgeRefused(_ reason: PurgeRefusal) {
        purgeRefusals.add(PurgeRefusal.allCases.firstIndex(of: reason) ?? 0)
    }

    func refreshed(isAhead: Bool) {
        refreshes.add(isAhead ? 0 : 1)
    }

    func hinted(configured: Int, learnt: Int) {
        hintedLinks.add(0, UInt64(configured))
        hintedLinks.add(1, UInt64(learnt))
    }

    func compressed(from: Int, to: Int, nanoseconds: Int64) {
        compressedFrom.add(from)
        compressedTo.add(to)
        compressionTime.add(Int(clamping: max(0, nanoseconds)))
    }

    // MARK: Reading, on any thread

    /// All loops' numbers in Prometheus' text format.
    func text() -> String {
        let loops = process.loops()
        func sum(_ read: (EdgeMetrics) -> UInt64) -> UInt64 { loops.reduce(0) { $0 &+ read($1) } }
        var text = PrometheusText()
        text.gauge(
            "headrace_edge_connections", help: "Open client connections.",
            value: Double(loops.reduce(0) { $0 + $1.connections.value }))
        for (index, result) in Exchange.CacheResult.allCases.enumerated() {
            text.counter(
                "headrace_edge_requests_total", help: "Exchanges by what the response cache had to do with them.",
                labels: [("cache", result.rawValue)], value: sum { $0.requests.value(index) })
        }
        for (index, reason) in AnswerReason.allCases.enumerated() {
            text.counter(
                "headrace_edge_reasons_total", help: "Exchanges by the reason that their answer and their log line give.",
                labels: [("kind", reason.kind.rawValue), ("reason", reason.word)], value: sum { $0.reasons.value(index) })
        }
        for index in 1...5 {
            text.counter(
                "headrace_edge_responses_total", help: "Responses by the first digit of their status.",
                labels: [("class", "\(index)xx")], value: sum { $0.statusClasses.value(index) })
        }
        let routes = loops.map { $0.routes.withLock { $0 } }
        for route in Set(routes.flatMap(\.keys)).sorted() {
            for index in 1...5 {
                text.counter(
                    "headrace_edge_route_responses_total", help: "Responses by route and the first digit of their status.",
                    labels: [("route", route), ("class", "\(index)xx")],
                    value: routes.reduce(0) { $0 &+ ($1[route]?.value(index) ?? 0) })
            }
        }
        text.counter(
            "headrace_edge_not_modified_total", help: "Responses with status 304: the client's copy was current.",
            value: sum { $0.notModified.value })
        for coding in ContentCoding.allCases {
            text.counter(
                "headrace_edge_codings_total", help: "Responses by the content coding that the edge applied.",
                labels: [("coding", "\(coding.token)")], value: sum { $0.codings.value(Int(coding.rawValue)) })
        }
        text.counter(
            "headrace_edge_body_bytes_total", help: "Body bytes sent to clients.", value: sum { $0.bodyBytes.value })
        for (index, code) in HTTP1Error.Code.allCases.enumerated() {
            text.counter(
                "headrace_edge_refused_total", help: "Requests that were refused before they were understood.",
                labels: [("reason", code.rawValue)], value: sum { $0.refusals.value(index) })
        }
        for (index, failure) in GatewayFailure.allCases.enumerated() {
            text.counter(
                "headrace_edge_upstream_failures_total", help: "Exchanges for which no whole response came from upstream.",
                labels: [("reason", failure.rawValue)], value: sum { $0.failures.value(index) })
        }
        for (index, reason) in DeadlineReason.allCases.enumerated() where reason != .none {
            text.counter(
                "headrace_edge_deadlines_total", help: "Connections that were ended because of what did not come in time.",
                labels: [("reason", reason.rawValue)], value: sum { $0.deadlines.value(index) })
        }
        for (index, reason) in ConnectionRefusal.allCases.enumerated() {
            text.counter(
                "headrace_edge_connections_refused_total", help: "Connections that were closed as soon as they were made.",
                labels: [("reason", reason.rawValue)], value: sum { $0.connectionRefusals.value(index) })
        }
        for (index, outcome) in ProxyHeaderOutcome.allCases.enumerated() {
            text.counter(
                "headrace_edge_proxy_headers_total", help: "Connections of proxies that must begin with a PROXY header, by what came.",
                labels: [("outcome", outcome.rawValue)], value: sum { $0.proxyHeaders.value(index) })
        }
        if let store = process.rateStore() {
            text.gauge(
                "headrace_edge_rate_store_up", help: "Whether the store of the rate limits answers: 0 while each process limits by itself.",
                value: store.isUp ? 1 : 0)
            for (kind, count) in [("shared", store.shared), ("local", store.local)] {
                text.counter(
                    "headrace_edge_rate_store_requests_total",
                    help: "Requests that a rate limit let through: told to the store, or known to this process alone.", labels: [("known", kind)],
                    value: UInt64(clamping: count))
            }
            text.counter(
                "headrace_edge_rate_store_failures_total", help: "Times that the store of the rate limits went away, or could not be reached.",
                value: UInt64(clamping: store.failures))
        }
        text.counter(
            "headrace_edge_memory_cut_total", help: "Connections and streams that were cut because the process has nearly all memory.total.",
            value: sum { $0.shed.value })
        let http2 = loops.reduce(0) { $0 + $1.http2Connections.value }
        let (all, requests) = (loops.reduce(0) { $0 + $1.connections.value }, sum { $0.http2Requests.value })
        let answered = Exchange.CacheResult.allCases.indices.reduce(UInt64(0)) { total, index in total &+ sum { $0.requests.value(index) } }
        for (version, open) in [("1", all - http2), ("2", http2)] {
            text.gauge(
                "headrace_edge_protocol_connections", help: "Open client connections by the version of HTTP.", labels: [("version", version)],
                value: Double(max(0, open)))
        }
        for (version, count) in [("1", answered &- min(answered, requests)), ("2", requests)] {
            text.counter(
                "headrace_edge_protocol_requests_total", help: "Exchanges by the version of HTTP.", labels: [("version", version)], value: count)
        }
        for (index, flood) in HTTP2Flood.allCases.enumerated() {
            text.counter(
                "headrace_edge_http2_floods_total", help: "Connections of HTTP/2 that were ended because there was too much of something.",
                labels: [("kind", flood.rawValue)], value: sum { $0.http2Floods.value(index) })
        }
        for (index, code) in HTTP2ErrorCode.allCases.enumerated() {
            text.counter(
                "headrace_edge_http2_errors_total", help: "Connections of HTTP/2 that were ended for an error of the client's, by its code.",
                labels: [("code", code.word)], value: sum { $0.http2Errors.value(index) })
        }
        for (index, source) in ["configured", "learnt"].enumerated() {
            text.counter(
                "headrace_edge_early_hints_total", help: "Links that the edge sent in 103 Early Hints of its own, by where they came from.",
                labels: [("source", source)], value: sum { $0.hintedLinks.value(index) })
        }
        text.counter(
            "headrace_edge_tls_handshakes_total", help: "Connections on which TLS was agreed on.", value: sum { $0.tlsHandshakes.value })
        text.counter(
            "headrace_edge_tls_failures_total", help: "Connections that ended because TLS could not be agreed on.",
            value: sum { $0.tlsFailures.value })
        for certificate in process.certificates() {
            text.gauge(
                "headrace_edge_tls_certificate_expiry_timestamp_seconds", help: "When a certificate ends, in Unix seconds.",
                labels: [("file", certificate.file)], value: Double(certificate.expires))
        }
        var response = HistogramSnapshot()
        var upstream = HistogramSnapshot()
        for loop in loops {
            response.merge(loop.responseTime.snapshot())
            upstream.merge(loop.upstreamTime.snapshot())
        }
        text.histogram(
            "headrace_edge_response_seconds", help: "From a request's head to its response's last byte.",
            snapshot: response, bounds: Self.bounds)
        for stage in StageTimes.Stage.allCases {
            text.counter(
                "headrace_edge_stage_seconds_total", help: "Where requests' time went; the stages add up to it.",
                labels: [("stage", stage.rawValue)], amount: Double(sum { $0.stages.value(caseNumber(stage)) }) / 1e9)
        }
        text.histogram(
            "headrace_edge_upstream_seconds", help: "From asking the application to its response's head.",
            snapshot: upstream, bounds: Self.bounds)
        text.gauge(
            "headrace_edge_upstream_connections", help: "Open connections to the application.",
            value: Double(loops.reduce(0) { $0 + $1.upstreamConnections.value }))
        text.gauge(
            "headrace_edge_upstream_idle_connections", help: "Connections to the application that wait for use.",
            value: Double(loops.reduce(0) { $0 + $1.upstreamIdle.value }))
        text.counter(
            "headrace_edge_upstream_connects_total", help: "Connections made to the application.",
            value: sum { $0.upstreamConnects.value })
        text.gauge(
            "headrace_edge_upstream_http2_connections", help: "Open connections to the application by HTTP/2.",
            value: Double(loops.reduce(0) { $0 + $1.upstreamHTTP2Connections.value }))
        text.counter(
            "headrace_edge_upstream_http2_requests_total", help: "Requests that were sent to the application by HTTP/2.",
            value: sum { $0.upstreamHTTP2Requests.value })
        text.counter(
            "headrace_edge_upstream_http2_goaways_total", help: "Times that the application said that it ends a connection of HTTP/2.",
            value: sum { $0.upstreamHTTP2GoAways.value })
        for (index, flood) in HTTP2Flood.allCases.enumerated() {
            text.counter(
                "headrace_edge_upstream_http2_floods_total", help: "Connections of HTTP/2 to the application that were ended because it sent too much of something.",
                labels: [("kind", flood.rawValue)], value: sum { $0.upstreamHTTP2Floods.value(index) })
        }
        for (index, code) in HTTP2ErrorCode.allCases.enumerated() where code != .noError {
            text.counter(
                "headrace_edge_upstream_http2_errors_total", help: "Connections of HTTP/2 to the application that were ended for what it did, by the code that it was told.",
                labels: [("code", code.word)], value: sum { $0.upstreamHTTP2Errors.value(index) })
        }
        text.gauge(
            "headrace_edge_tunnels", help: "Connections that were switched to another protocol, such as WebSocket.",
            value: Double(loops.reduce(0) { $0 + $1.tunnels.value }))
        UpstreamMetrics.append(process.upstreams(), to: &text)
        let totals = process.store.totals
        text.gauge(
            "headrace_response_cache_entries", help: "Stored responses, and marks of responses that cannot be shared.",
            value: Double(totals.entries))
        text.gauge(
            "headrace_response_cache_bytes", help: "Memory of the stored responses, bookkeeping included.",
            value: Double(totals.memoryBytes))
        text.counter(
            "headrace_response_cache_evictions_total", help: "Stored responses that made room for others.",
            value: UInt64(totals.evicted))
        text.gauge(
            "headrace_response_cache_held_bytes",
            help: "Bytes of large stored responses that clients are taking; they stay until they are taken, stored or not.",
            value: Double(loops.reduce(0) { $0 + $1.heldBodyBytes.value }))
        text.gauge(
            "headrace_edge_response_buffers_bytes", help: "Memory of responses that are not whole yet.",
            value: Double(process.responseBuffers.bytes))
        text.counter(
            "headrace_edge_response_buffers_full_total", help: "Times that a response was passed on because there was no room to hold it.",
            value: UInt64(process.responseBuffers.refusalCount))
        for (index, kind) in PurgeRequest.Kind.allCases.enumerated() {
            text.counter(
                "headrace_response_cache_purges_total", help: "Purges by what they named.", labels: [("kind", kind.rawValue)],
                value: sum { $0.purges.value(index) })
        }
        for (index, reason) in PurgeRefusal.allCases.enumerated() {
            text.counter(
                "headrace_response_cache_purges_refused_total", help: "Purges that were refused.", labels: [("reason", reason.rawValue)],
                value: sum { $0.purgeRefusals.value(index) })
        }
        text.counter(
            "headrace_response_cache_purged_total", help: "Stored responses that purges by URL or key removed or made stale.",
            value: sum { $0.purgedResponses.value })
        for (index, when) in ["ahead", "stale"].enumerated() {
            text.counter(
                "headrace_response_cache_refreshes_total", help: "Fetches in the background, before a response's end or after it.",
                labels: [("when", when)], value: sum { $0.refreshes.value(index) })
        }
        text.counter(
            "headrace_compression_saved_bytes_total", help: "Bytes of bodies that were not sent because they were compressed.",
            value: sum { $0.savedByCompression.value })
        text.counter(
            "headrace_edge_not_modified_saved_bytes_total", help: "Bytes of stored bodies that an answer 304 spared.",
            value: sum { $0.savedByNotModified.value })
        text.counter(
            "headrace_compression_in_bytes_total", help: "Bytes that were compressed while a client waited.",
            value: sum { $0.compressedFrom.value })
        text.counter(
            "headrace_compression_out_bytes_total", help: "What those bytes became.", value: sum { $0.compressedTo.value })
        for (index, reason) in ProofRefusal.allCases.enumerated() {
            text.counter(
                "headrace_edge_proof_refused_total", help: "Requests whose Headrace-Proof field did nothing.", labels: [("reason", reason.rawValue)],
                value: sum { $0.proofRefusals.value(index) })
        }
        appendStudies(loops, to: &text)
        let background = process.background.snapshot()
        text.gauge(
            "headrace_compression_queue_jobs", help: "Jobs that wait for background compression.",
            value: Double(background.waiting))
        text.counter(
            "headrace_compression_jobs_total", help: "Background compressions that were done.", value: UInt64(background.compressed))
        text.counter(
            "headrace_compression_jobs_dropped_total", help: "Background compressions that found the queue full.",
            value: UInt64(background.dropped))
        text.counter(
            "headrace_access_log_dropped_bytes_total", help: "Access-log bytes that were lost because the disk was slow.",
            value: UInt64(max(0, process.accessLogDropped())))
        return text.finish()
    }

    /// What is known of requests that went past layers.
    private func appendStudies(_ loops: [EdgeMetrics], to text: inout PrometheusText) {
        // Every family is there from the start.
        var proved: [EdgeLayers: ProvedCounts] = [[]: .init()]
        for loop in loops {
            for (without, counts) in loop.proved.withLock({ $0 }) { proved[without, default: .init()].add(counts) }
        }
        let arms = proved.sorted { $0.key.rawValue < $1.key.rawValue }
        for (without, counts) in arms {
            for (name, value) in zip(ProvedCounts.names, counts.values) {
                text.counter(
                    "headrace_edge_proved_requests_total", help: "Signed requests by the layers that they went past, and what became of them.",
                    labels: [("without", without.text), ("what", name)], value: value)
            }
        }
        for (without, counts) in arms {
            text.counter(
                "headrace_edge_proved_body_bytes_total", help: "Body bytes sent to them.", labels: [("without", without.text)], value: counts.bodyBytes)
        }
        let ways = Self.holdOut(loops).flatMap { figures in
            [("past", figures.past), ("through", figures.through)].map { (labels: [("layer", figures.layer.rawValue), ("way", $0.0)], sums: $0.1) }
        }
        for (labels, sums) in ways {
            text.counter(
                "headrace_edge_hold_out_requests_total", help: "Visitors' requests that were drawn to go past a layer, and through it.",
                labels: labels, value: sums.requests)
        }
        for (labels, sums) in ways {
            text.counter(
                "headrace_edge_hold_out_failed_total", help: "Of those that were drawn, the ones that failed (5xx).", labels: labels, value: sums.failed)
        }
        for (labels, sums) in ways {
            text.counter("headrace_edge_hold_out_body_bytes_total", help: "Body bytes sent to them.", labels: labels, value: sums.bodyBytes)
        }
    }

    private static func holdOut(_ loops: [EdgeMetrics]) -> [HoldOut.Figures] {
        HoldOut.Layer.allCases.map { layer in
            var figures = HoldOut.Figures(layer: layer)
            for loop in loops {
                if let own = loop.heldOut.withLock({ $0[layer] }) { figures.add(own) }
            }
            return figures
        }
    }

    /// The same as values.
    func figures() -> EdgeFigures {
        let loops = process.loops()
        func sum(_ read: (EdgeMetrics) -> UInt64) -> UInt64 { loops.reduce(0) { $0 &+ read($1) } }
        func level(_ read: (EdgeMetrics) -> Int) -> Int { loops.reduce(0) { $0 + read($1) } }
        var figures = EdgeFigures()
        for (index, result) in Exchange.CacheResult.allCases.enumerated() {
            let count = sum { $0.requests.value(index) }
            figures.results[result.rawValue] = count
            figures.requests &+= count
        }
        figures.statusClasses = (0..<6).map { index in sum { $0.statusClasses.value(index) } }
        for coding in ContentCoding.allCases { figures.codings["\(coding.token)"] = sum { $0.codings.value(Int(coding.rawValue)) } }
        figures.refused = sum { $0.refusals.values().reduce(0, &+) }
        figures.upstreamFailures = sum { $0.failures.values().reduce(0, &+) }
        figures.notModified = sum { $0.notModified.value }
        figures.bodyBytes = sum { $0.bodyBytes.value }
        figures.savedByCompressionBytes = sum { $0.savedByCompression.value }
        figures.savedByNotModifiedBytes = sum { $0.savedByNotModified.value }
        let background = process.background.snapshot()
        figures.compressionInBytes = sum { $0.compressedFrom.value }
        figures.compressionOutBytes = sum { $0.compressedTo.value }
        figures.compressionNanoseconds = sum { $0.compressionTime.value } &+ background.cpuNanoseconds
        for loop in loops {
            figures.response.merge(loop.responseTime.snapshot())
            figures.upstream.merge(loop.upstreamTime.snapshot())
            figures.loopLagNanoseconds = max(figures.loopLagNanoseconds, UInt64(clamping: loop.lag.value))
            loop.lag.set(0)
        }
        figures.stageNanoseconds = Dictionary(
            uniqueKeysWithValues: StageTimes.Stage.allCases.map { stage in (stage.rawValue, sum { $0.stages.value(caseNumber(stage)) }) })
        figures.upstreamConnects = sum { $0.upstreamConnects.value }
        figures.upstreamConnections = level { $0.upstreamConnections.value }
        figures.upstreamWaiting = process.upstreams().reduce(0) { $0 + $1.machine.waitingCount }
        figures.connections = level { $0.connections.value }
        figures.tunnels = level { $0.tunnels.value }
        let totals = process.store.totals
        figures.cacheEntries = totals.entries
        figures.cacheBytes = totals.memoryBytes
        figures.cacheEvictions = UInt64(totals.evicted)
        figures.cpuNanoseconds = UInt64(clamping: level { $0.cpuTime.value })
        figures.holdOut = Self.holdOut(loops).filter { $0.past != HoldOut.Sums() || $0.through != HoldOut.Sums() }
        return figures
    }

    func takeTraces() -> [(trace: String, pattern: String)] {
        process.loops().flatMap { $0.insight.takeTraces() }.map { (Self.hexadecimal($0.trace.0) + Self.hexadecimal($0.trace.1), $0.pattern) }
    }

    private static func hexadecimal(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    func lists(now: NIODeadline) -> EdgeInsight {
        let loops = process.loops()
        var insight = EdgeInsight()
        insight.certificates = process.certificates().map { ($0.file, Int64($0.expires)) }
        let clocks = loops.compactMap { $0.originClock.withLock { $0.ahead(now: WallClock.nanoseconds() / 1_000_000_000) } }
        insight.originClockAhead = clocks.min { $0.magnitude < $1.magnitude }
        let rows = loops.map { $0.routes.withLock { $0 } }
        for name in Set(rows.flatMap(\.keys)) {
            var classes = [UInt64](repeating: 0, count: 6)
            for row in rows {
                guard let counts = row[name]?.values() else { continue }
                for (index, count) in counts.enumerated() where index < classes.count { classes[index] &+= count }
            }
            insight.routes.append(EdgeInsight.Route(name: name, classes: classes))
        }
        insight.routes.sort { $0.classes.reduce(0, &+) > $1.classes.reduce(0, &+) }
        var paths: [String: TrafficInsight.Path] = [:]
        var reasons: [[String]: Int] = [:]
        for loop in loops {
            for path in loop.insight.paths { paths[path.pattern, default: .init()].add(path) }
            for (outcome, reason, count) in loop.insight.reasons {
                reasons[[outcome.rawValue, reason.word], default: 0] += count
            }
        }
        for (pattern, path) in paths {
            insight.paths.append(
                EdgeInsight.Path(
                    pattern: pattern, requests: path.requests, nanoseconds: path.nanoseconds, bytes: path.bytes, hits: path.hits,
                    detail: path.reason?.word ?? "", uncoded: path.uncoded))
        }
        insight.paths.sort { $0.nanoseconds > $1.nanoseconds }
        for (reason, count) in reasons { insight.reasons.append(EdgeInsight.Reason(outcome: reason[0], word: reason[1], count: count)) }
        insight.reasons.sort { $0.count > $1.count }
        for (name, machine) in process.upstreams() {
            for (index, member) in machine.members.enumerated() where !member.isRemoved {
                insight.members.append(
                    EdgeInsight.Member(
                        group: name, address: member.endpoint.description, isUp: member.health.isAvailable(now: now),
                        active: machine.active(index), requests: member.requests, failures: member.failures))
            }
        }
        return insight
    }

    /// Upper bounds in seconds: from a hit's tens of microseconds to the longest deadline.
    private static let bounds: [Double] = [
        0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
        60,
    ]
}
