#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What a comparison of two arms may be said to show, and the words for it.
///
/// The measure is a logarithm of a ratio of times, arm over reference: 0 is no difference, negative is faster.
public struct Verdict: Sendable, Equatable {
    public enum Kind: String, Sendable {
        case faster
        case slower
        /// The interval lies within the smallest effect that matters.
        case noEffect = "no-measurable-effect"
        /// There is an effect, but it is smaller than what matters.
        case negligible
        /// Neither: more rounds are needed.
        case inconclusive
        /// The two arms had no round in common.
        case noData = "no-data"
    }

    /// The smallest change of a time that anybody should act on: 3 %.
    public static let smallestEffect = 0.03
    public static let confidence = 0.95

    public var kind: Kind
    /// Of the log-ratio.
    public var estimate: SignedRank.Estimate?
    /// After Holm over all that were asked in the same experiment.
    public var pValue: Double

    /// - Parameter pValue: adjusted.
    public init(_ estimate: SignedRank.Estimate?, pValue: Double) {
        self.estimate = estimate
        self.pValue = pValue
        guard let estimate else {
            kind = .noData
            return
        }
        let bound = log(1 + Self.smallestEffect)
        let isFound = estimate.excludesZero && pValue < 1 - Self.confidence
        if isFound, abs(estimate.middle) >= bound {
            kind = estimate.middle < 0 ? .faster : .slower
        } else if estimate.low > -bound, estimate.high < bound {
            kind = isFound ? .negligible : .noEffect
        } else {
            kind = .inconclusive
        }
    }

    /// Whether the interval is as narrow as it needs to be. Experiments stop on this, never on significance: to stop when it is
    /// "significant" finds something every time, if one waits.
    public var isPrecise: Bool {
        guard let estimate else { return false }
        return estimate.halfWidth <= Self.targetHalfWidth(estimate.middle)
    }

    /// The smallest effect, or a tenth of a large one: nobody needs to know 60 % to three points.
    private static func targetHalfWidth(_ middle: Double) -> Double { max(log(1 + smallestEffect), abs(middle) / 10) }

    /// Rounds that are likely to be missing: an interval shrinks with the square root of their number.
    public var roundsMissing: Int? {
        guard let estimate, estimate.halfWidth.isFinite else { return nil }
        let ratio = estimate.halfWidth / Self.targetHalfWidth(estimate.middle)
        guard ratio > 1 else { return 0 }
        return Int(min((Double(estimate.count) * (ratio * ratio - 1)).rounded(.up), 1e6))
    }

    /// - Parameters:
    ///   - secondsPerRound: for the estimate of how long it would take.
    ///   - costs: says "costs you" in the place of "slower by": the arm is a layer that is there to help.
    public func words(secondsPerRound: Double, costs: Bool = false) -> String {
        guard let estimate else { return "no data" }
        let pairs = "\(estimate.count) pair\(estimate.count == 1 ? "" : "s")"
        // The ends in the order of their size, as people read them.
        let percentages = [estimate.low, estimate.high].map { Self.percent($0) }
        func range(_ sign: Double) -> String {
            let ends = percentages.map { $0 * sign }.sorted()
            return "95 % CI \(Self.number(ends[0])) to \(Self.number(ends[1])) %, \(pairs)"
        }
        switch kind {
        case .faster: return "faster by \(Self.number(-Self.percent(estimate.middle))) % (\(range(-1)))"
        case .slower:
            return "\(costs ? "costs you" : "slower by") \(Self.number(Self.percent(estimate.middle))) % (\(range(1)))"
        case .noEffect: return "no measurable effect (\(range(1)))"
        case .negligible: return "no effect that matters: below \(Self.number(Self.smallestEffect * 100)) % (\(range(1)))"
        case .inconclusive:
            guard let rounds = roundsMissing else { return "inconclusive: too few rounds (\(pairs))" }
            let minutes = Double(max(rounds, 1)) * secondsPerRound / 60
            let time = minutes < 1 ? "about a minute" : "about \(Self.number(minutes.rounded(.up))) minutes"
            return "inconclusive: \(time) more (\(range(1)))"
        case .noData: return "no data"
        }
    }

    /// A log-ratio as a change in per cent.
    public static func percent(_ logRatio: Double) -> Double { (exp(logRatio) - 1) * 100 }

    /// At most one decimal, and none above 10.
    private static func number(_ value: Double) -> String {
        guard value.isFinite else { return value < 0 ? "−∞" : "∞" }
        let sign = value < 0 ? "−" : ""
        let tenths = Int(min(abs(value) * 10, 1e12).rounded())
        return tenths >= 100 || tenths % 10 == 0 ? "\(sign)\((tenths + 5) / 10)" : "\(sign)\(tenths / 10).\(tenths % 10)"
    }
}
