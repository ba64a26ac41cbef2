import Testing

@testable import LoadGenerator

@Suite struct SignedRankTests {
    /// Depression scores before and after, Hollander & Wolfe's table 3.1, as R's `wilcox.test(paired = TRUE, conf.int = TRUE)` has them.
    private static let differences: [Double] = {
        let before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
        let after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
        return zip(before, after).map { $0 - $1 }
    }()

    @Test func `a table of the literature comes out as there`() {
        let estimate = SignedRank.estimate(Self.differences, confidence: 0.95)
        #expect(abs(estimate.middle - 0.46) < 0.005)
        #expect(abs(estimate.low - 0.01) < 0.005 && abs(estimate.high - 0.786) < 0.005)
        #expect(abs(SignedRank.pValue(Self.differences) - 0.03906) < 0.0001)
    }

    /// Lower critical values of the signed-rank statistic at 2.5 % in each tail, as tables print them; the rank is one more.
    @Test(arguments: [(5, nil), (6, 0), (7, 2), (8, 3), (9, 5), (10, 8), (15, 25), (20, 52), (25, 89), (30, 137), (50, 434)] as [(Int, Int?)])
    func `critical values are those of the tables`(count: Int, value: Int?) {
        #expect(SignedRank.criticalRank(count, confidence: 0.95) == value.map { $0 + 1 })
    }

    @Test func `the normal approximation begins where the exact values end`() throws {
        let exact = try #require(SignedRank.criticalRank(60, confidence: 0.95))
        let next = try #require(SignedRank.criticalRank(61, confidence: 0.95))
        #expect(exact < next && next - exact < 40)
    }

    @Test func `too few differences have an estimate and no interval`() {
        let estimate = SignedRank.estimate([1, 2, 3], confidence: 0.95)
        #expect(estimate.middle == 2 && estimate.low == -.infinity && estimate.high == .infinity && !estimate.excludesZero)
    }

    @Test(arguments: [([], 1), ([0, 0], 1), ([1], 1), ([1, 1, 1, 1, 1, 1], 2.0 / 64), ([1, -1], 1), ([0, 1, 2, 3], 0.25)] as [([Double], Double)])
    func `p-values of few, of equal and of no differences are exact`(differences: [Double], value: Double) {
        #expect(abs(SignedRank.pValue(differences) - value) < 1e-12)
    }

    @Test func `a sign changes nothing but the side`() {
        let one = SignedRank.estimate(Self.differences)
        let other = SignedRank.estimate(Self.differences.map { -$0 })
        #expect(one.middle == -other.middle && one.low == -other.high)
        #expect(SignedRank.pValue(Self.differences) == SignedRank.pValue(Self.differences.map { -$0 }))
    }

    @Test(arguments: [(0.975, 1.959964), (0.5, 0), (0.95, 1.644854)] as [(Double, Double)])
    func `normal quantiles`(probability: Double, value: Double) {
        #expect(abs(SignedRank.quantile(probability) - value) < 1e-6)
    }

    @Test func `the bound on differences holds`() {
        #expect(SignedRank.estimate(Array(repeating: 1, count: SignedRank.countMax + 1)).count == SignedRank.countMax)
    }
}

@Suite struct HolmTests {
    @Test func `p-values grow by what is asked besides, and keep their order`() {
        let adjusted = Holm.adjusted([0.01, 0.04, 0.03, 0.005])
        for (value, expected) in zip(adjusted, [0.03, 0.06, 0.06, 0.02]) { #expect(abs(value - expected) < 1e-12) }
        #expect(Holm.adjusted([]) == [])
        #expect(Holm.adjusted([0.04]) == [0.04])
        #expect(Holm.adjusted([0.9, 0.8]) == [1, 1])
    }
}

@Suite struct RandomisedBlocksTests {
    @Test func `each round has each arm once, in an order of its seed`() {
        var (one, same, other) = (RandomisedBlocks(armCount: 5, seed: 7), RandomisedBlocks(armCount: 5, seed: 7), RandomisedBlocks(armCount: 5, seed: 8))
        let rounds = (0..<50).map { _ in one.next() }
        #expect(rounds.allSatisfy { $0.sorted() == [0, 1, 2, 3, 4] })
        #expect(rounds == (0..<50).map { _ in same.next() })
        #expect(rounds != (0..<50).map { _ in other.next() })
        // Each arm is at each place about as often as at any other.
        for arm in 0..<5 { #expect(rounds.count { $0[0] == arm } > 2) }
    }
}
