import TestSupport
import Testing

@testable import Telemetry

@Suite struct HistogramTests {
    private func recorded(_ values: [UInt64]) -> HistogramSnapshot {
        let histogram = Histogram()
        for value in values { histogram.record(nanoseconds: value) }
        return histogram.snapshot()
    }

    // MARK: The scale

    @Test func `buckets follow each other without gap or overlap, each at most 1/128 of its values wide`() {
        var next: UInt64 = 0
        for bucket in 0..<HistogramScale.bucketCount {
            let range = HistogramScale.range(bucket)
            #expect(range.lowerBound == next)
            #expect(HistogramScale.bucket(range.lowerBound) == bucket)
            #expect(HistogramScale.bucket(range.upperBound) == bucket)
            let error = Double(range.upperBound - range.lowerBound) / Double(max(range.lowerBound, 1))
            #expect(error <= 1.0 / 128)
            next = range.upperBound + 1
        }
        #expect(next == HistogramScale.valueMax + 1)
    }

    @Test(arguments: 0..<42) func `at every magnitude a value is known to within 1/128`(power: Int) {
        var random = SeededRandom(seed: UInt64(power))
        let low = UInt64(1) << UInt64(power)
        for value in [low, low + low - 1] + (0..<200).map({ _ in UInt64.random(in: low...(low + low - 1), using: &random) }) {
            let read = HistogramScale.range(HistogramScale.bucket(value)).upperBound
            #expect(read >= value)
            #expect(Double(read - value) <= Double(value) / 128)
        }
    }

    @Test func `what is beyond the scale counts in the last bucket, and its true size is kept`() {
        let largest: UInt64 = 1 << 62
        let snapshot = recorded([HistogramScale.valueMax, HistogramScale.valueMax + 1, largest])
        #expect(snapshot.counts.last == 3)
        #expect(snapshot.max == largest)
        #expect(snapshot.percentile(100) == largest)
    }

    // MARK: Percentiles

    @Test(arguments: UInt64(1)...12) func `percentiles agree with the sorted values to within 1/128`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let values = (0..<Int.random(in: 1...3000, using: &random)).map { _ in
            // All magnitudes alike: most of uniformly chosen numbers would be of the largest.
            UInt64.random(in: 0...(1 << UInt64.random(in: 0...41, using: &random)), using: &random)
        }
        let sorted = values.sorted()
        let snapshot = recorded(values)
        for permille in [0, 1, 10, 250, 500, 750, 900, 950, 990, 999, 1000] {
            // The smallest value that at least this share of all does not exceed.
            let rank = max(1, (sorted.count * permille + 999) / 1000)
            let exact = sorted[rank - 1]
            let read = snapshot.percentile(Double(permille) / 10)
            #expect(
                read >= exact && Double(read - exact) <= Double(exact) / 128, "seed \(seed), \(permille) ‰ of \(sorted.count)")
        }
        #expect(snapshot.min == sorted.first && snapshot.max == sorted.last)
        #expect(snapshot.count == UInt64(values.count))
        #expect(abs(snapshot.mean - Double(values.reduce(0, +)) / Double(values.count)) <= snapshot.mean / 1e9)
    }

    @Test func `no percentile exceeds the largest value`() {
        #expect(recorded([1_000_001]).percentile(50) == 1_000_001)
        #expect(recorded([1_000_001]).percentile(100) == 1_000_001)
    }

    @Test func `percentiles outside 0 to 100 are the nearest of these`() {
        let snapshot = recorded([1, 2, 3])
        #expect(snapshot.percentile(-5) == 1)
        #expect(snapshot.percentile(500) == 3)
    }

    @Test func `of nothing, everything is zero`() {
        let snapshot = Histogram().snapshot()
        #expect(snapshot == HistogramSnapshot())
        #expect(
            snapshot.count == 0 && snapshot.mean == 0 && snapshot.percentile(99) == 0 && snapshot.max == 0
                && snapshot.min == .max)
    }

    @Test func `counting up to a value takes its whole bucket`() {
        let snapshot = recorded([5, 100, 1000, 1001, 1_000_000])
        #expect(snapshot.count(upTo: 4) == 0)
        #expect(snapshot.count(upTo: 5) == 1)
        #expect(snapshot.count(upTo: 999) == 2)
        #expect(snapshot.count(upTo: 1003) == 4)
        #expect(snapshot.count(upTo: .max) == 5)
    }

    // MARK: Merging

    @Test(arguments: UInt64(1)...5) func `merged parts are what one histogram of all would say`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let values = (0..<2000).map { _ in UInt64.random(in: 0...(1 << 35), using: &random) }
        var merged = HistogramSnapshot()
        for start in stride(from: 0, to: values.count, by: 300) {
            merged.merge(recorded(Array(values[start..<min(start + 300, values.count)])))
        }
        #expect(merged == recorded(values))
    }

    @Test func `merging nothing changes nothing`() {
        var snapshot = recorded([3, 7])
        snapshot.merge(HistogramSnapshot())
        #expect(snapshot == recorded([3, 7]))
    }

    @Test func `a snapshot can be taken while its writer goes on`() async {
        let histogram = Histogram()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for value in UInt64(0)..<20_000 { histogram.record(nanoseconds: value) } }
            group.addTask {
                var before: UInt64 = 0
                for _ in 0..<20 {
                    let count = histogram.snapshot().count
                    #expect(count >= before && count <= 20_000)
                    before = count
                }
            }
        }
        #expect(histogram.snapshot().count == 20_000)
    }
}
