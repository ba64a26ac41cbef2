#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What paired differences say: where their middle is, how sure that is, and how easily chance alone would have made them.
///
/// Blocks of one run are the unit, never requests: requests of one run share its luck (a neighbour on the machine, a cold cache), so that
/// tests over pooled requests call most identical pairs different. Nothing is assumed of the differences but that they are symmetric
/// around their middle, which the random order of a pair brings about when there is no effect.
/// - Source: Hodges, Lehmann, "Estimates of location based on rank tests", Ann. Math. Statist. 34 (1963); Hollander, Wolfe, Chicken,
///   "Nonparametric Statistical Methods", 3rd ed., §3.1–3.3.
public enum SignedRank {
    /// An estimate with its interval.
    public struct Estimate: Sendable, Equatable {
        /// The Hodges–Lehmann estimate: the median of the averages of all pairs of differences.
        public var middle: Double
        /// The ends of the interval; infinite when there are too few differences for the confidence that is asked for.
        public var low: Double
        public var high: Double
        /// Differences.
        public var count: Int

        public var halfWidth: Double { (high - low) / 2 }
        public var excludesZero: Bool { low > 0 || high < 0 }
    }

    /// More differences than anybody waits for; the averages of their pairs grow with the square.
    static let countMax = 2000
    /// Up to here the exact distribution is computed; beyond, the normal one is as good as anybody can tell.
    static let exactMax = 60

    /// - Parameters:
    ///   - differences: at least one; those beyond ``countMax`` are not looked at.
    ///   - confidence: 0…1.
    public static func estimate(_ differences: [Double], confidence: Double = 0.95) -> Estimate {
        let values = Array(differences.prefix(countMax))
        precondition(!values.isEmpty, "an estimate of nothing")
        var averages: [Double] = []
        averages.reserveCapacity(values.count * (values.count + 1) / 2)
        for (index, first) in values.enumerated() {
            for second in values[index...] { averages.append((first + second) / 2) }
        }
        averages.sort()
        let count = averages.count
        let middle = (averages[(count - 1) / 2] + averages[count / 2]) / 2
        guard let rank = criticalRank(values.count, confidence: confidence) else {
            return Estimate(middle: middle, low: -.infinity, high: .infinity, count: values.count)
        }
        return Estimate(middle: middle, low: averages[rank - 1], high: averages[count - rank], count: values.count)
    }

    /// The interval goes from this average, counted from the smallest as 1, to the same from the largest.
    /// - Returns: `nil` when even the whole range has less confidence: below six differences at 95 %.
    static func criticalRank(_ count: Int, confidence: Double) -> Int? {
        if confidence == 0.95, exactRanks95.indices.contains(count) { return exactRanks95[count] }
        return computedRank(count, confidence: confidence)
    }

    /// What everybody asks for, once.
    private static let exactRanks95 = [nil] + (1...exactMax).map { computedRank($0, confidence: 0.95) }

    private static func computedRank(_ count: Int, confidence: Double) -> Int? {
        let tail = (1 - confidence) / 2
        if count > exactMax {
            let (mean, deviation) = moments(count)
            return max(1, Int((mean - quantile(1 - tail) * deviation).rounded(.down)))
        }
        // The largest k with P(W ≤ k − 1) ≤ tail.
        let probabilities = distribution(ranks: (1...count).map { 2 * $0 })
        var below = 0.0
        var rank = 0
        while 2 * rank < probabilities.count {
            below += probabilities[2 * rank]
            guard below <= tail else { break }
            rank += 1
        }
        return rank > 0 ? rank : nil
    }

    /// How probable it is, without an effect, that the differences lean so far to one side, either side.
    ///
    /// Zeros say nothing and are left out (Wilcoxon); equal sizes share their ranks, and the distribution is that of the shared ones.
    public static func pValue(_ differences: [Double]) -> Double {
        let values = differences.prefix(countMax).filter { $0 != 0 && !$0.isNaN }
        guard !values.isEmpty else { return 1 }
        let order = values.indices.sorted { abs(values[$0]) < abs(values[$1]) }
        // Twice the rank, so that shared ones are whole numbers.
        var ranks = Array(repeating: 0, count: values.count)
        var start = 0
        while start < order.count {
            var end = start
            while end + 1 < order.count, abs(values[order[end + 1]]) == abs(values[order[start]]) { end += 1 }
            for place in start...end { ranks[order[place]] = start + end + 2 }
            start = end + 1
        }
        let positive = values.indices.reduce(0) { values[$1] > 0 ? $0 + ranks[$1] : $0 }
        let all = ranks.reduce(0, +)
        let smaller = min(positive, all - positive)
        if values.count > exactMax {
            let deviation = (ranks.reduce(0.0) { $0 + Double($1) * Double($1) }).squareRoot() / 2
            let distance = (Double(all) / 2 - Double(smaller) - 1) / deviation
            return min(1, erfc(max(distance, 0) / 2.0.squareRoot()))
        }
        let tail = distribution(ranks: ranks)[...smaller].reduce(0, +)
        return min(1, 2 * tail)
    }

    /// The probability of each sum of ranks when each has a fair coin's chance to be in it.
    private static func distribution(ranks: [Int]) -> [Double] {
        var probabilities = [1.0]
        for rank in ranks {
            var next = Array(repeating: 0.0, count: probabilities.count + rank)
            for (sum, probability) in probabilities.enumerated() {
                next[sum] += probability / 2
                next[sum + rank] += probability / 2
            }
            probabilities = next
        }
        return probabilities
    }

    private static func moments(_ count: Int) -> (mean: Double, deviation: Double) {
        let number = Double(count)
        return (number * (number + 1) / 4, (number * (number + 1) * (2 * number + 1) / 24).squareRoot())
    }

    /// The standard normal quantile, found by halving: it is asked for once per report.
    static func quantile(_ probability: Double) -> Double {
        var (low, high) = (-10.0, 10.0)
        for _ in 0..<80 {
            let middle = (low + high) / 2
            if erfc(-middle / 2.0.squareRoot()) / 2 < probability { low = middle } else { high = middle }
        }
        return (low + high) / 2
    }
}
