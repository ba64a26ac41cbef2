import HTTP1Wire
import HTTP2Wire
import HTTPSemantics
import NIOCore
import Telemetry
import Transport

/// The edge's numbers for one event loop, which alone writes them; ``EdgeReport`` reads them, and sums over the loops.
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
    let upstreamHTTP2Floods = CounterRow(count: HTTP2Flood.allCases.count)
    let upstreamHTTP2Errors = CounterRow(count: HTTP2ErrorCode.allCases.count)
    let tunnels = Gauge()
    /// Bytes of large stored responses that clients have begun to take and not taken yet: they stay in memory when the store drops them.
    let heldBodyBytes = Gauge()
    let requests = CounterRow(count: Exchange.CacheResult.allCases.count)
    let statusClasses = CounterRow(count: 6)
    let codings = CounterRow(count: ContentCoding.allCases.count)
    let refusals = CounterRow(count: HTTP1Error.Code.allCases.count)
    let failures = CounterRow(count: GatewayFailure.allCases.count)
    let bodyBytes = Counter()
    let notModified = Counter()
    let deadlines = CounterRow(count: DeadlineReason.allCases.count)
    let connectionRefusals = CounterRow(count: ConnectionRefusal.allCases.count)
    let proxyHeaders = CounterRow(count: ProxyHeaderOutcome.allCases.count)
    let shed = Counter()
    let tlsHandshakes = Counter()
    let http2Connections = Gauge()
    let http2Requests = Counter()
    let http2Floods = CounterRow(count: HTTP2Flood.allCases.count)
    let http2Errors = CounterRow(count: HTTP2ErrorCode.allCases.count)
    let tlsFailures = Counter()
    let compressedFrom = Counter()
    let compressedTo = Counter()
    let reasons = CounterRow(count: AnswerReason.allCases.count)
    let purges = CounterRow(count: PurgeRequest.Kind.allCases.count)
    let purgeRefusals = CounterRow(count: PurgeRefusal.allCases.count)
    let purgedResponses = Counter()
    let refreshes = CounterRow(count: 2)
    let hintedLinks = CounterRow(count: 2)
    let proofRefusals = CounterRow(count: ProofRefusal.allCases.count)
    /// Signed requests by the layers that they went past: at most ``provedMax`` kinds, of which only who has the secret can make one.
    let proved = Lock<[EdgeLayers: ProvedCounts]>([:])
    let heldOut = Lock<[HoldOut.Layer: HoldOut.Figures]>([:])
    let savedByCompression = Counter()
    let savedByNotModified = Counter()
    let compressionTime = Counter()
    /// Of the loop's own thread, in nanoseconds.
    let cpuTime = Gauge()
    /// How late the loop came to its sweep at worst, in nanoseconds, since it was last asked for.
    let lag = Gauge()
    let insight = TrafficInsight()
    let originClock = Lock(OriginClock())
    let stages = CounterRow(count: StageTimes.Stage.allCases.count)
    let responseTime = Histogram()
    let upstreamTime = Histogram()
    /// Responses by route and first digit of their status; the routes are those of the configuration, at most
    /// ``RouteConfiguration/countMax`` and what stands behind them.
    let routes = Lock<[String: CounterRow]>([:])

    /// What signed requests came to that went past the same layers.
    struct ProvedCounts {
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
}
