#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Testing

@testable import LoadGenerator

/// Whether the statistics are right, on worlds whose truth is known.
///
/// How it works:
/// 1. A world is a machine whose logarithmic speed wanders: an AR(1) process over blocks (a neighbour that comes and stays), noise of
///    each block on top, and now and then a block that is half as fast again, as a shared machine has them.
/// 2. An arm multiplies its times by its effect, which the world knows.
/// 3. Rounds are randomised as in a real run; the comparison sees nothing but the blocks' medians.
/// 4. Over 2,000 worlds the share of findings where there is nothing, and of intervals that hold the truth, is counted.
@Suite struct TruthTests {
    private struct World {
        private var random: SeededNumbers
        private var drift = 0.0

        init(seed: UInt64) {
            random = SeededNumbers(seed: seed)
        }

        private mutating func normal() -> Double {
            (-2 * log(random.unit())).squareRoot() * cos(2 * .pi * random.unit())
        }

        /// The median of a block, in milliseconds.
        mutating func block(effect: Double) -> Double {
            drift = 0.9 * drift + 0.05 * normal()
            let spike = random.unit() < 0.04 ? 0.4 : 0
            return 20 * effect * exp(drift + 0.06 * normal() + spike)
        }
    }

    private static func comparison(seed: UInt64, rounds: Int, effects: [Double]) -> Comparison {
        var world = World(seed: seed)
        var blocks = RandomisedBlocks(armCount: effects.count, seed: seed ^ 0xABCD)
        var comparison = Comparison(arms: effects.map { "\($0)" }, reference: 0)
        for _ in 0..<rounds {
            var round = Array(repeating: Comparison.Block?.none, count: effects.count)
            for arm in blocks.next() { round[arm] = .init(milliseconds: world.block(effect: effects[arm])) }
            comparison.add(round)
        }
        return comparison
    }

    private static let worlds = 2000

    @Test func `two of the same are called different in six per cent of worlds at most`() {
        let found = (0..<Self.worlds).count { seed in
            let verdict = Self.comparison(seed: UInt64(seed), rounds: 20, effects: [1, 1]).verdicts(.median)[1]
            return verdict?.estimate?.excludesZero == true
        }
        #expect(Double(found) / Double(Self.worlds) <= 0.06, "\(found) of \(Self.worlds)")
        #expect(found > 0, "at 95 % some must be: else the test sees nothing")
    }

    @Test func `over seven layers without effect, six per cent of worlds have a finding at most`() {
        let found = (0..<Self.worlds / 4).count { seed in
            Self.comparison(seed: UInt64(seed) &+ 77_000, rounds: 20, effects: Array(repeating: 1, count: 8)).verdicts(.median).values
                .contains { $0.pValue < 0.05 }
        }
        // 500 worlds: three standard errors above 5 % are 8 %.
        #expect(Double(found) / Double(Self.worlds / 4) <= 0.08, "\(found)")
    }

    @Test(arguments: [1.1, 1.2, 0.9, 0.8])
    func `intervals hold the planted truth in 93 per cent of worlds at least`(effect: Double) {
        let held = (0..<Self.worlds).count { seed in
            let estimate = Self.comparison(seed: UInt64(seed) &+ 900_000, rounds: 20, effects: [1, effect]).verdicts(.median)[1]?.estimate
            return estimate.map { $0.low <= log(effect) && log(effect) <= $0.high } ?? false
        }
        #expect(Double(held) / Double(Self.worlds) >= 0.93, "\(held) of \(Self.worlds)")
    }

    /// A pair's difference has the variance of two blocks' own noise (2 · 0.06²), of their spikes (2 · 0.04 · 0.96 · 0.4²) and of one step
    /// of the drift (about 2 · 0.05² / (1 + 0.9)); a t-test of 20 pairs has then these powers, and the ranks, which mind spikes less, no
    /// smaller ones.
    @Test(arguments: [(1.1, 0.75), (1.2, 0.99)])
    func `a planted slowdown is found, with the power that the noise allows`(effect: Double, power: Double) {
        let found = (0..<500).count { seed in
            Self.comparison(seed: UInt64(seed) &+ 5_000_000, rounds: 20, effects: [1, effect]).verdicts(.median)[1]?.kind == .slower
        }
        #expect(Double(found) / 500 >= power, "\(found) of 500")
    }

    @Test func `a test over pooled requests would call most identical pairs different`() {
        // Why blocks: 400 requests of each of two runs, one after the other, each with its own luck; a rank-sum test over all of them.
        let found = (0..<200).count { seed in
            var random = SeededNumbers(seed: UInt64(seed) &+ 31)
            func normal() -> Double { (-2 * log(random.unit())).squareRoot() * cos(2 * .pi * random.unit()) }
            let (luckOne, luckOther) = (0.1 * normal(), 0.1 * normal())
            let one = (0..<400).map { _ in luckOne + 0.3 * normal() }
            let other = (0..<400).map { _ in luckOther + 0.3 * normal() }
            let order = (one.map { ($0, true) } + other.map { ($0, false) }).sorted { $0.0 < $1.0 }
            let sum = order.enumerated().reduce(0.0) { $1.element.1 ? $0 + Double($1.offset + 1) : $0 }
            let deviation = (400.0 * 400 * 801 / 12).squareRoot()
            return abs(sum - 400 * 801 / 2) / deviation > 1.96
        }
        #expect(found > 130, "\(found) of 200")
    }
}
