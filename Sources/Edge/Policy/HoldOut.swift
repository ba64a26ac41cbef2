import HTTPSemantics

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A share of all visitors' requests, chosen one by one at random, goes past one layer: what the layer is worth on real traffic, without a
/// load generator.
///
/// Tests over requests of two *runs* are wrong, since a run's requests share its luck. Here each request is assigned by a throw of its own,
/// and both kinds meet the same minutes, machine and mix of pages: whatever else differs between two requests is as likely on one side as on
/// the other. So the difference of the mean logarithms of their response times is what the layer does, and its variance is the sum of
/// both means' (Neyman's, which errs on the safe side).
///
/// Only requests take part that change nothing (GET, with no body) and are nobody's own (neither `Authorization` nor `Cookie`), and that
/// might have made use of the layer.
public enum HoldOut {
    public enum Layer: String, Sendable, CaseIterable {
        case responseCache = "response-cache"
        case compression
    }

    /// Which part a request has: it goes past the layer, or takes its usual way.
    struct Part: Sendable, Equatable {
        var layer: Layer
        var isPast: Bool
    }

    /// Whether a request may be sent either way.
    static func mayTakePart(_ request: borrowing RequestHead) -> Bool {
        request.method == .get && request.framing.isEmpty && !request.fields.contains(.authorization) && !request.fields.contains(.cookie)
            && !request.fields.contains(.range)
    }

    /// What the requests of one part came to.
    public struct Sums: Sendable, Equatable {
        /// Requests that were answered, and not by 5xx.
        public var requests: UInt64 = 0
        public var failed: UInt64 = 0
        public var bodyBytes: UInt64 = 0
        /// Of their response times.
        public var seconds = 0.0
        var logarithms = 0.0
        var squares = 0.0

        public init() {}

        mutating func add(seconds time: Double, bytes: Int) {
            requests &+= 1
            bodyBytes &+= UInt64(clamping: bytes)
            seconds += time
            // 1 µs: no answer is faster, and a clock that stood still has no logarithm.
            let logarithm = log(max(time, 1e-6))
            logarithms += logarithm
            squares += logarithm * logarithm
        }

        mutating func add(_ other: Self) {
            requests &+= other.requests
            failed &+= other.failed
            bodyBytes &+= other.bodyBytes
            seconds += other.seconds
            logarithms += other.logarithms
            squares += other.squares
        }

        var mean: Double { logarithms / Double(max(requests, 1)) }
        /// Of the mean.
        var variance: Double {
            guard requests > 1 else { return .infinity }
            let count = Double(requests)
            return max(squares - logarithms * logarithms / count, 0) / (count - 1) / count
        }
    }

    /// What the layer does to the response time, as a share of it: −0.6 is "shorter by 60 %". The interval is at 95 %.
    public struct Estimate: Sendable, Equatable {
        public var middle: Double
        public var low: Double
        public var high: Double
    }

    /// Requests that each part must have: with fewer, a mean of logarithms is not yet normal.
    public static let requestsMin: UInt64 = 30

    static func estimate(through: Sums, past: Sums) -> Estimate? {
        guard through.requests >= requestsMin, past.requests >= requestsMin else { return nil }
        let difference = through.mean - past.mean
        let half = 1.96 * (through.variance + past.variance).squareRoot()
        return Estimate(middle: exp(difference) - 1, low: exp(difference - half) - 1, high: exp(difference + half) - 1)
    }

    /// The result since the process started, for the dashboard.
    public struct Figures: Sendable, Equatable {
        public var layer: Layer
        public var through = Sums()
        public var past = Sums()
        public var share: Double { Double(past.requests) / Double(max(past.requests &+ through.requests, 1)) }
        /// `nil` until each part has ``requestsMin``.
        public var estimate: Estimate? { HoldOut.estimate(through: through, past: past) }

        public init(layer: Layer) {
            self.layer = layer
        }

        /// An answer has come to its end. Those of which the client was gone say nothing about how long they would have taken.
        mutating func ended(isPast: Bool, status: Int, seconds: Double, bytes: Int) {
            guard status != 499 else { return }
            if status >= 500 {
                if isPast { past.failed &+= 1 } else { through.failed &+= 1 }
            } else if isPast {
                past.add(seconds: seconds, bytes: bytes)
            } else {
                through.add(seconds: seconds, bytes: bytes)
            }
        }

        mutating func add(_ other: Self) {
            through.add(other.through)
            past.add(other.past)
        }
    }
}

/// Which requests go past the layer.
struct HoldOutThrow: Equatable {
    let layer: HoldOut.Layer
    /// Numbers below it do.
    private let threshold: UInt64

    /// - Returns: `nil` when none does.
    init?(_ configuration: ProofConfiguration) {
        guard configuration.holdOutShare > 0 else { return nil }
        layer = configuration.holdOutLayer
        threshold = configuration.holdOutShare >= 1 ? .max : UInt64(configuration.holdOutShare * 0x1p64)
    }

    /// - Parameter number: drawn for this request, each one as likely.
    func isPast(_ number: UInt64) -> Bool { number < threshold }
}
