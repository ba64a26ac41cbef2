import Testing

@testable import LoadGenerator

@Suite struct RateProfileTests {
    private func starts(_ profile: RateProfile, _ shape: ArrivalShape = .constant, share: (index: Int, count: Int) = (0, 1), seed: UInt64 = 1) -> [UInt64] {
        var sequence = ArrivalSequence(profile, shape: shape, share: share, seed: seed, start: 1_000_000_000)
        var starts: [UInt64] = []
        while let start = sequence.next() { starts.append(start) }
        return starts
    }

    @Test func `a steady rate begins as many requests as it says, at even distances`() {
        let starts = starts(RateProfile(steady: 1000, seconds: 10))
        #expect(starts.count == 10_000)
        #expect(starts[0] == 1_000_000_000)
        #expect(zip(starts, starts.dropFirst()).allSatisfy { abs(Int($1 - $0) - 1_000_000) <= 1 })
    }

    @Test func `a ramp's requests are the area below it, and come ever faster`() {
        let profile = RateProfile([.init(seconds: 10, from: 0, to: 200)])
        let starts = starts(profile)
        #expect(starts.count == 1000)
        // Half the time has a quarter of the area.
        #expect(abs(starts.count { $0 < 6_000_000_000 } - 250) <= 1)
        let gaps = zip(starts, starts.dropFirst()).map { $1 - $0 }
        #expect(zip(gaps, gaps.dropFirst()).allSatisfy { $0 >= $1 })
        #expect(profile.rateMax == 200 && profile.rateAtStart == 20)
    }

    @Test func `stages follow each other, a pause among them`() {
        let profile = RateProfile([
            .init(seconds: 1, from: 100, to: 100), .init(seconds: 2, from: 0, to: 0), .init(seconds: 1, from: 300, to: 100),
        ])
        let starts = starts(profile)
        #expect(starts.count == 300)
        #expect(!starts.contains { (2_000_000_000..<4_000_000_000).contains($0) })
        #expect(profile.seconds == 4)
    }

    @Test(arguments: ArrivalShape.allCases)
    func `shares of event loops are the whole, without a double`(shape: ArrivalShape) {
        let profile = RateProfile(steady: 1000, seconds: 5)
        let shares = (0..<3).flatMap { starts(profile, shape, share: ($0, 3)) }.sorted()
        if shape == .constant { #expect(shares == starts(profile)) }
        #expect(abs(shares.count - 5000) < 300)
        #expect(Set(shares).count > shares.count - 3)
    }

    @Test func `Poisson arrivals have exponential distances, and a seed`() {
        let profile = RateProfile(steady: 1000, seconds: 100)
        let starts = starts(profile, .poisson)
        #expect(starts == self.starts(profile, .poisson))
        #expect(starts != self.starts(profile, .poisson, seed: 2))
        // 100,000 on average, ± 316.
        #expect(abs(starts.count - 100_000) < 1600)
        let gaps = zip(starts, starts.dropFirst()).map { Double($1 - $0) / 1e6 }
        let mean = gaps.reduce(0, +) / Double(gaps.count)
        let deviation = (gaps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(gaps.count)).squareRoot()
        #expect(abs(deviation / mean - 1) < 0.03, "an exponential distribution's deviation is its mean")
        #expect(abs(Double(gaps.count { $0 > 1 }) / Double(gaps.count) - 0.368) < 0.01)
    }
}
