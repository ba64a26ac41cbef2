import Foundation

/// A sequence of requests for keys, as caches before web applications see them. The same one for the same seed.
public enum Trace: String, CaseIterable, Sendable {
    /// Popularity falls as 1 / rank^0.99 and never changes.
    case zipf
    /// A quarter of the requests is for keys that never come again: crawlers, cache-busters.
    case oneHitWonders
    /// Every hundredth of the requests, a hundredth of the keys change places in the order of popularity.
    case drift
    /// Ten times, three of ten requests in a row are for as many cold keys one after the other: a crawler, a backup, a report.
    case scanMixed

    public func requests(_ count: Int, keys keyCount: Int, seed: UInt64) -> [Int] {
        var random = SeededRandom(seed: seed)
        let popularity = Zipf(count: keyCount, exponent: 0.99)
        var keyOfRank = Array(0..<keyCount)
        keyOfRank.shuffle(using: &random)
        var nextNewKey = keyCount
        return (0..<count).map { index in
            switch self {
            case .oneHitWonders where random.chance(oneIn: 4):
                nextNewKey += 1
                return nextNewKey - 1
            case .scanMixed where index % (count / 10) < count / 10 * 3 / 10:
                nextNewKey += 1
                return nextNewKey - 1
            case .drift where index % (count / 100) == 0:
                for _ in 0..<keyCount / 200 {
                    keyOfRank.swapAt(Int.random(in: 0..<keyCount, using: &random), Int.random(in: 0..<keyCount, using: &random))
                }
            default: break
            }
            return keyOfRank[popularity.rank(using: &random)]
        }
    }
}

/// Ranks with probabilities that fall as a power of them, by bisection in their sums.
private struct Zipf {
    private var sums: [Double] = []

    init(count: Int, exponent: Double) {
        sums.reserveCapacity(count)
        var sum = 0.0
        for rank in 1...count {
            sum += pow(Double(rank), -exponent)
            sums.append(sum)
        }
    }

    func rank(using random: inout SeededRandom) -> Int {
        let point = Double.random(in: 0..<sums[sums.count - 1], using: &random)
        var (low, high) = (0, sums.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if sums[middle] > point { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
