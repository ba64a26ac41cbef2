#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import Testing

@testable import LoadGenerator

@Suite struct ComparisonTests {
    /// Rounds in which arm 1 takes `ratio` of arm 0's time, give or take.
    private func comparison(_ ratio: Double, rounds: Int = 20, spread: Double = 0.01, control: Double? = nil) -> Comparison {
        var comparison = Comparison(arms: control == nil ? ["a", "b"] : ["a", "b", "a again"], reference: 0, control: control == nil ? nil : 2)
        for round in 0..<rounds {
            let wobble = exp(spread * Double(round % 5 - 2))
            var blocks: [Comparison.Block?] = [.init(milliseconds: 10), .init(milliseconds: 10 * ratio * wobble)]
            if let control { blocks.append(.init(milliseconds: 10 * control * wobble)) }
            comparison.add(blocks)
        }
        return comparison
    }

    private func words(_ comparison: Comparison, costs: Bool = false) -> String {
        comparison.verdicts(.median)[1]?.words(secondsPerRound: 6, costs: costs) ?? ""
    }

    @Test func `a finding is said with its interval and its pairs`() {
        #expect(words(comparison(0.39)).hasPrefix("faster by 61 % (95 % CI 61 to 61 %, 20 pairs)"))
        #expect(words(comparison(1.07)) == "slower by 7 % (95 % CI 6.5 to 7.5 %, 20 pairs)")
        #expect(words(comparison(1.07), costs: true).hasPrefix("costs you 7 % ("))
    }

    @Test func `nothing is said to be nothing only when the interval is narrow`() {
        #expect(words(comparison(1, spread: 0.005)).hasPrefix("no measurable effect ("))
        #expect(words(comparison(1.01, spread: 0.001)).hasPrefix("no effect that matters: below 3 % ("))
        #expect(words(comparison(1.05, spread: 0.2)).hasPrefix("inconclusive: about "))
        #expect(words(comparison(0.5, rounds: 3)) == "inconclusive: too few rounds (3 pairs)")
    }

    @Test func `a round without both arms is no pair`() {
        var comparison = comparison(0.5)
        comparison.add([.init(milliseconds: 10), nil])
        comparison.add([.init(milliseconds: nil), .init(milliseconds: 5)])
        #expect(comparison.logRatios(1, .median).count == 20)
        let empty = Comparison(arms: ["a", "b"], reference: 0)
        #expect(empty.verdicts(.median)[1]?.kind == .noData && words(empty) == "no data")
    }

    @Test func `a control that differs from itself stamps the environment`() {
        #expect(!comparison(0.5, control: 1).isTooNoisy(.median))
        #expect(comparison(0.5, control: 1.1).isTooNoisy(.median))
    }

    @Test func `it stops on precision, not on significance`() {
        #expect(comparison(0.5, spread: 0.01).isPrecise(.median))
        let significant = comparison(0.7, rounds: 8, spread: 0.15)
        #expect(significant.verdicts(.median)[1]?.kind == .faster && !significant.isPrecise(.median))
        #expect((significant.verdicts(.median)[1]?.roundsMissing ?? 0) > 8)
    }

    @Test func `only runs that took turns can be paired`() {
        func runs(_ starts: [Double]) -> [(start: Double, end: Double)] { starts.map { ($0, $0 + 1) } }
        let turns = runs([0, 5, 8, 12, 17, 20])
        #expect(Comparison.areInterleaved(turns, runs([2, 6, 10, 14, 16, 22])))
        #expect(!Comparison.areInterleaved(turns, runs([30, 32, 34, 36, 38, 40])), "one after the other")
        #expect(!Comparison.areInterleaved(turns, runs([0.5, 6, 10, 14, 16, 22])), "at the same time")
        #expect(!Comparison.areInterleaved(runs([0]), runs([2])), "too few")
        #expect(!Comparison.areInterleaved(turns, runs([2])))
    }
}
