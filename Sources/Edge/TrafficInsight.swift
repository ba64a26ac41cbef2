import HTTPSemantics
import Telemetry

/// What one event loop's requests have in common, for people who ask what is slow and why: targets that differ in numbers only, and the
/// named reasons for which the cache had no answer.
///
/// Bounded, whatever clients ask for: when the table of targets is full, the half that took the least time goes, and what comes again
/// begins anew. Requests that the cache answers are counted one in ``hitStride``, for that many: they take 10 µs each, and looking a
/// target up would be a tenth of that.
final class TrafficInsight: Sendable {
    static let pathsMax = 200
    static let pathBytesMax = 100
    static let hitStride = 16

    struct Path: Sendable {
        var pattern = ""
        var requests = 0
        var nanoseconds: UInt64 = 0
        var bytes = 0
        var hits = 0
        /// The last named reason for which an answer was not stored or not looked up.
        var reason: AnswerReason?
        /// Of those that are large enough for it and were sent as they are.
        var uncoded = 0
    }

    private struct State {
        /// By the hash of their pattern. Who makes two of them collide finds both in one line of the dashboard.
        var paths: [UInt64: Path] = [:]
        /// By outcome, and in it by reason.
        var reasons = [Int](repeating: 0, count: Exchange.CacheResult.allCases.count * AnswerReason.allCases.count)
        var hits = 0
        /// Requests that the application answered, by trace, until they are taken.
        var traces: [(id: (UInt64, UInt64), pattern: UInt64)] = []
    }

    /// Between two takings, which are a second apart; those beyond are not known by their trace.
    static let tracesMax = 2_000

    private static let reasonsPerOutcome = AnswerReason.allCases.count

    private let state = Lock(State())

    /// Called on the event loop, when an exchange has ended.
    func ended(_ exchange: borrowing Exchange, _ request: borrowing RequestHead, nanoseconds: UInt64) {
        let result = exchange.cacheResult
        if exchange.isStream || result == .none { return }
        let (isHit, reason, bytes) = (result == .hit, exchange.reason, exchange.bodyBytes)
        let (trace, wentUpstream) = (exchange.trace.traceID, exchange.upstreamNanoseconds > 0)
        let isUncoded = exchange.coding == .identity && exchange.status == 200 && bytes >= 1024
        let target = request.fields.bytes.span.extracting(request.target)
        state.withLock { state in
            var weight = 1
            if isHit {
                state.hits &+= 1
                guard state.hits % Self.hitStride == 0 else { return }
                weight = Self.hitStride
            } else if let reason {
                state.reasons[caseNumber(result) * Self.reasonsPerOutcome + reason.number] += 1
            }
            var hash: UInt64 = 0xCBF2_9CE4_8422_2325
            Self.forEachByte(ofPattern: target) { hash = (hash ^ UInt64($0)) &* 0x0000_0100_0000_01B3 }
            if state.paths[hash] == nil {
                if state.paths.count >= Self.pathsMax {
                    let median = state.paths.values.map(\.nanoseconds).sorted()[Self.pathsMax / 2]
                    state.paths = state.paths.filter { $0.value.nanoseconds > median }
                }
                state.paths[hash] = Path(pattern: Self.pattern(target))
            }
            if wentUpstream, state.traces.count < Self.tracesMax { state.traces.append((trace, hash)) }
            state.paths[hash]?.add(
                weight, nanoseconds: nanoseconds, bytes: bytes, isHit: isHit, reason: isHit ? nil : reason, isUncoded: isUncoded)
        }
    }

    /// Hands over which requests the application answered since the last time.
    func takeTraces() -> [(trace: (UInt64, UInt64), pattern: String)] {
        let (traces, patterns) = state.withLock { state in
            defer { state.traces = [] }
            let traces = state.traces
            return (traces, traces.isEmpty ? [:] : state.paths.mapValues(\.pattern))
        }
        return traces.compactMap { trace in patterns[trace.pattern].map { (trace.id, $0) } }
    }

    var paths: [Path] { state.withLock { Array($0.paths.values) } }

    /// How often each reason was given, by outcome; those that were.
    var reasons: [(outcome: Exchange.CacheResult, reason: AnswerReason, count: Int)] {
        let counts = state.withLock { $0.reasons }
        return Exchange.CacheResult.allCases.enumerated().flatMap { place, outcome in
            AnswerReason.allCases.enumerated().compactMap { number, reason in
                let count = counts[place * Self.reasonsPerOutcome + number]
                return count > 0 ? (outcome, reason, count) : nil
            }
        }
    }

    /// A target without its query, a star for each segment that is a number, a long word of hexadecimal digits, or longer than 40 bytes.
    static func pattern(_ target: Span<UInt8>) -> String {
        var bytes: [UInt8] = []
        forEachByte(ofPattern: target) { bytes.append($0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// At most ``pathBytesMax`` of them.
    private static func forEachByte(ofPattern target: Span<UInt8>, _ body: (UInt8) -> Void) {
        var count = 0
        var start = 0
        func put(_ byte: UInt8) {
            if count < pathBytesMax { body(byte) }
            count += 1
        }
        func close(_ end: Int) {
            if isVariable(target, start..<end) { return put(UInt8(ascii: "*")) }
            for index in start..<end { put(target[index]) }
        }
        var index = 0
        while index < target.count, target[index] != UInt8(ascii: "?"), count < pathBytesMax {
            if target[index] == UInt8(ascii: "/") {
                close(index)
                put(UInt8(ascii: "/"))
                start = index + 1
            }
            index += 1
        }
        close(index)
    }

    private static func isVariable(_ target: Span<UInt8>, _ segment: Range<Int>) -> Bool {
        if segment.count > 40 { return true }
        var (digits, hexadecimal) = (0, 0)
        for index in segment {
            switch target[index] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digits += 1
            case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"), UInt8(ascii: "-"): hexadecimal += 1
            default: return false
            }
        }
        return digits > 0 && (digits == segment.count || digits + hexadecimal == segment.count && segment.count >= 16)
    }
}

extension TrafficInsight.Path {
    mutating func add(_ weight: Int, nanoseconds: UInt64, bytes: Int, isHit: Bool, reason: AnswerReason?, isUncoded: Bool) {
        requests += weight
        self.nanoseconds &+= nanoseconds &* UInt64(weight)
        self.bytes &+= bytes &* weight
        if isHit { hits += weight }
        if let reason { self.reason = reason }
        if isUncoded { uncoded += weight }
    }

    /// The same path on another event loop.
    mutating func add(_ other: Self) {
        requests += other.requests
        nanoseconds &+= other.nanoseconds
        bytes &+= other.bytes
        hits += other.hits
        uncoded += other.uncoded
        reason = other.reason ?? reason
    }
}
