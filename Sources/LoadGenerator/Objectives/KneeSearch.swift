/// Looks for the highest rate at which an objective holds. Rates out, verdicts in; no I/O.
///
/// It doubles the rate until the objective fails, then halves the bracket, in logarithms, until its ends are within ``precision`` of each
/// other. A failure at a rate, be it the generator's, is tried once more before it is believed: one hiccup of the machine would end the
/// search far too low.
///
/// | state | waits for | next |
/// |---|---|---|
/// | rising | the verdict at a rate above all that held | rising, bracketed, done (the generator is the limit, or `rateMax`) |
/// | bracketed | the verdict at a rate between the ends | bracketed, done |
/// | done | nothing | – |
public struct KneeSearch: Sendable {
    public enum Verdict: Sendable, Equatable {
        case holds
        case fails
        /// The generator itself was the limit: nothing is known of the server at this rate.
        case unknown
    }

    public enum Step: Sendable, Equatable {
        case measure(rate: Double)
        case done(Knee)
    }

    public struct Knee: Sendable, Equatable {
        /// The highest rate that held; `nil` when not even the lowest did.
        public var holds: Double?
        /// The lowest rate that failed; `nil` when none did.
        public var fails: Double?
        /// Whether the search ended because the generator could do no more.
        public var isGeneratorLimited: Bool
    }

    /// The bracket's ends, at the end: 5 %.
    static let precision = 1.05
    static let rateMin = 0.5
    static let rateMax = 1_000_000.0

    private var low: Double?
    private var high: Double?
    private var rate: Double
    private var hasFailedOnce = false
    private var isOver = false
    private var isGeneratorLimited = false

    /// - Parameter start: requests per second.
    public init(start: Double) {
        rate = min(max(start, Self.rateMin), Self.rateMax)
    }

    public var step: Step {
        isOver ? .done(Knee(holds: low, fails: high, isGeneratorLimited: isGeneratorLimited)) : .measure(rate: rate)
    }

    /// The highest rate that held so far.
    public var highestHeld: Double? { low }
    /// The bracket's end over its beginning; infinite while it has one end.
    public var bracketRatio: Double {
        guard let low, let high else { return .infinity }
        return high / low
    }

    /// The objective has been judged at ``step``'s rate.
    public mutating func judged(_ verdict: Verdict) {
        guard !isOver else { return }
        switch verdict {
        case .holds:
            low = max(low ?? 0, rate)
            hasFailedOnce = false
        case .fails:
            guard hasFailedOnce else {
                hasFailedOnce = true
                return
            }
            high = min(high ?? .infinity, rate)
            hasFailedOnce = false
        case .unknown:
            guard hasFailedOnce else {
                hasFailedOnce = true
                return
            }
            // What lies above cannot be seen from here.
            isGeneratorLimited = true
            isOver = true
            return
        }
        switch (low, high) {
        case (let low?, let high?):
            if high / low <= Self.precision { isOver = true } else { rate = (low * high).squareRoot() }
        case (let low?, nil):
            rate = min(low * 2, Self.rateMax)
            if low >= Self.rateMax { isOver = true }
        case (nil, let high?):
            rate = high / 2
            if rate < Self.rateMin { isOver = true }
        case (nil, nil): break
        }
    }
}
