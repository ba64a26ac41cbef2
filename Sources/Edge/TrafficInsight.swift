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
    static let reasonsMax = 64
    static let hitStride = 16

    struct Path: Sendable {
        var requests = 0
        var nanoseconds: UInt64 = 0
        var bytes = 0
        var hits = 0
        /// The last named reason for which an answer was not stored or not looked up.
        var detail = ""
        /// Of those that are large enough for it and were sent as they are.
        var uncoded = 0
    }

    struct Reason: Hashable, Sendable {
        var outcome: String
        var word: String
    }

    private struct State {
        var paths: [String: Path] = [:]
        var reasons: [Reason: Int] = [:]
        var hits = 0
    }

    private let state = Lock(State())

    /// Called on the event loop, when an exchange has ended.
    func ended(_ exchange: borrowing Exchange, _ request: borrowing RequestHead, nanoseconds: UInt64) {
        let isHit = exchange.cacheResult == .hit
        if exchange.isStream { return }
        let (result, bytes) = (exchange.cacheResult, exchange.bodyBytes)
        let detail = isHit ? "" : exchange.reason?.word ?? ""
        let isUncoded = exchange.coding == .identity && exchange.status == 200 && bytes >= 1024
        let target = isHit ? nil : Self.pattern(request.fields.bytes.span.extracting(request.target))
        state.withLock { state in
            var weight = 1
            var pattern = target
            if isHit {
                state.hits += 1
                guard state.hits % Self.hitStride == 0 else { return }
                weight = Self.hitStride
                pattern = Self.pattern(request.fields.bytes.span.extracting(request.target))
            } else if !detail.isEmpty, result != .none {
                let reason = Reason(outcome: result.rawValue, word: detail)
                if state.reasons.count < Self.reasonsMax || state.reasons[reason] != nil { state.reasons[reason, default: 0] += 1 }
            }
            guard let pattern, result != .none else { return }
            if state.paths.count >= Self.pathsMax, state.paths[pattern] == nil {
                let median = state.paths.values.map(\.nanoseconds).sorted()[Self.pathsMax / 2]
                state.paths = state.paths.filter { $0.value.nanoseconds > median }
            }
            var path = state.paths[pattern] ?? Path()
            path.requests += weight
            path.nanoseconds &+= nanoseconds &* UInt64(weight)
            path.bytes &+= bytes &* weight
            if isHit { path.hits += weight }
            if !isHit, !detail.isEmpty { path.detail = detail }
            if isUncoded { path.uncoded += weight }
            state.paths[pattern] = path
        }
    }

    var paths: [String: Path] { state.withLock { $0.paths } }
    var reasons: [Reason: Int] { state.withLock { $0.reasons } }

    /// A target without its query, a star for each segment that is a number, a long word of hexadecimal digits, or longer than 40 bytes.
    static func pattern(_ target: Span<UInt8>) -> String {
        var bytes: [UInt8] = []
        var index = 0
        var start = 0
        func isVariable(_ range: Range<Int>) -> Bool {
            guard !range.isEmpty else { return false }
            if range.count > 40 { return true }
            var (digits, hexadecimal) = (0, 0)
            for index in range {
                switch target[index] {
                case UInt8(ascii: "0")...UInt8(ascii: "9"): digits += 1
                case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"), UInt8(ascii: "-"): hexadecimal += 1
                default: break
                }
            }
            return digits == range.count || digits > 0 && digits + hexadecimal == range.count && range.count >= 16
        }
        func close(_ end: Int) {
            if isVariable(start..<end) {
                bytes.append(UInt8(ascii: "*"))
            } else {
                for index in start..<end { bytes.append(target[index]) }
            }
        }
        while index < target.count, target[index] != UInt8(ascii: "?"), bytes.count < pathBytesMax {
            if target[index] == UInt8(ascii: "/") {
                close(index)
                bytes.append(UInt8(ascii: "/"))
                start = index + 1
            }
            index += 1
        }
        close(index)
        return String(decoding: bytes.prefix(pathBytesMax), as: UTF8.self)
    }
}
