import HTTP1Wire
import HTTP2Wire
import HTTPSemantics
import Telemetry
import Transport

extension EdgeReport {
    /// All loops' numbers in Prometheus' text format.
    func text() -> String {
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
        if let store = rateStore() {
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
        for certificate in certificates() {
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
        UpstreamMetrics.append(upstreams(), to: &text)
        let totals = store.totals
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
            value: Double(responseBuffers.bytes))
        text.counter(
            "headrace_edge_response_buffers_full_total", help: "Times that a response was passed on because there was no room to hold it.",
            value: UInt64(responseBuffers.refusalCount))
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
        appendStudies(to: &text)
        let background = self.background.snapshot()
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
            value: UInt64(max(0, accessLogDropped())))
        return text.finish()
    }

    /// What is known of requests that went past layers.
    private func appendStudies(to text: inout PrometheusText) {
        // Every family is there from the start.
        var proved: [EdgeLayers: EdgeMetrics.ProvedCounts] = [[]: .init()]
        for loop in loops {
            for (without, counts) in loop.proved.withLock({ $0 }) { proved[without, default: .init()].add(counts) }
        }
        let arms = proved.sorted { $0.key.rawValue < $1.key.rawValue }
        for (without, counts) in arms {
            for (name, value) in zip(EdgeMetrics.ProvedCounts.names, counts.values) {
                text.counter(
                    "headrace_edge_proved_requests_total", help: "Signed requests by the layers that they went past, and what became of them.",
                    labels: [("without", without.text), ("what", name)], value: value)
            }
        }
        for (without, counts) in arms {
            text.counter(
                "headrace_edge_proved_body_bytes_total", help: "Body bytes sent to them.", labels: [("without", without.text)], value: counts.bodyBytes)
        }
        let ways = holdOut.flatMap { figures in
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

    /// Upper bounds in seconds: from a hit's tens of microseconds to the longest deadline.
    private static let bounds: [Double] = [
        0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
        60,
    ]
}
