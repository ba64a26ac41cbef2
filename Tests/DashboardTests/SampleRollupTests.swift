import History
import Testing

@testable import Dashboard

extension Sample {
    /// A second with some values, nothing else measured.
    static func second(_ time: Int64, _ values: [Series: Double], seconds: Int = 1, buckets: [(UInt16, UInt64)] = []) -> Sample {
        var sample = Sample(
            time: time, seconds: seconds, values: Array(repeating: .nan, count: Series.allCases.count),
            distributions: Array(repeating: Distribution(), count: Timed.allCases.count))
        for (series, value) in values { sample.values[series.place] = value }
        for (place, count) in buckets { sample.distributions[Timed.response.place].append(place: place, count: count) }
        return sample
    }

    subscript(_ series: Series) -> Double { values[series.place] }
}

@Suite struct SampleRollupTests {
    @Test func `counters add up, levels are averaged by time, peaks stay`() throws {
        var rollup = SampleRollup(time: 100)
        rollup.add(.second(100, [.requests: 10, .connections: 4, .loop_lag_seconds: 0.1]))
        rollup.add(.second(101, [.requests: 30, .connections: 10, .loop_lag_seconds: 0.5], seconds: 3))
        let sample = try #require(rollup.sample)
        #expect(sample.seconds == 4)
        #expect(sample[.requests] == 40)
        #expect(sample[.connections] == 8.5)
        #expect(sample[.loop_lag_seconds] == 0.5)
        #expect(sample[.keyspace_keys].isNaN, "what nobody measured is no zero")
    }

    @Test func `a layer that came later is averaged over its own time`() throws {
        var rollup = SampleRollup(time: 0)
        rollup.add(.second(0, [:], seconds: 9))
        rollup.add(.second(9, [.connections: 6]))
        #expect(rollup.sample?[.connections] == 6)
    }

    @Test func `nothing added up is nothing`() {
        #expect(SampleRollup(time: 0).sample == nil)
    }

    private static let ranges: [(Int64, SampleTier)] = [
        (3600, .second), (300, .second), (86_400, .tenSeconds), (15 * 86_400, .minute), (601, .second),
    ]

    @Test(arguments: ranges)
    func `at most as many points as are wanted, whatever the range`(length: Int64, tier: SampleTier) {
        let end: Int64 = 1_700_000_007
        let times = end - length..<end
        let samples = stride(from: times.lowerBound - times.lowerBound % Int64(tier.seconds), to: end, by: tier.seconds).map {
            Sample.second($0, [.requests: 1], seconds: tier.seconds)
        }
        for countMax in [2, 100, 600] {
            let (step, points) = SampleRollup.points(samples, times, countMax: countMax, tier: tier)
            #expect(points.count <= countMax)
            #expect(step % Int64(tier.seconds) == 0)
            #expect(points.allSatisfy { $0.time % step == 0 })
            // Nothing is lost but what a cut at the beginning takes, which two points alone need.
            if countMax == 600 { #expect(points.reduce(0) { $0 + $1[.requests] } == Double(samples.count { times.contains($0.time) })) }
        }
    }

    @Test func `points of merged samples have the percentiles of all of them`() throws {
        let samples = (0..<10).map { Sample.second(Int64($0), [:], buckets: [(UInt16($0 < 9 ? 100 : 140), 10)]) }
        let (_, points) = SampleRollup.points(samples, 0..<10, countMax: 2, tier: .second)
        let point = try #require(points.first)
        let distribution = point.distributions[Timed.response.place]
        #expect(distribution.total == 100)
        #expect(Distribution.range(100).contains(try #require(distribution.percentile(50))))
        #expect(Distribution.range(140).contains(try #require(distribution.percentile(99))))
    }
}

@Suite struct SampleRingTests {
    @Test func `the newest stay, in their order, at the bound and beyond`() {
        var ring = SampleRing(countMax: 3)
        #expect(ring.suffix(5).isEmpty)
        for time in 1...3 { ring.append(.second(Int64(time), [:])) }
        #expect(ring.suffix(10).map(\.time) == [1, 2, 3])
        ring.append(.second(4, [:]))
        #expect(ring.count == 3)
        #expect(ring.suffix(10).map(\.time) == [2, 3, 4])
        #expect(ring.suffix(2).map(\.time) == [3, 4])
        for time in 5...9 { ring.append(.second(Int64(time), [:])) }
        #expect(ring.suffix(3).map(\.time) == [7, 8, 9])
    }
}
