import Synchronization

/// A latency histogram after HdrHistogram's scheme: 128 buckets for each power of two, so that a value is known to within
/// 1/128 (0.78 %) whatever its size.
///
/// From 1 ns to about 73 minutes; what is longer counts in the last bucket, and its true size stays in ``HistogramSnapshot/max``.
/// One writer, its event loop; anybody may take a snapshot, which may be a few records behind. 36 × 128 counts of eight bytes:
/// 36 KB each.
/// - Source: hdrhistogram.org, "HdrHistogram: a better latency capture method".
public final class Histogram: Sendable {
    private let counts: CounterRow
    private let sum = Atomic<UInt64>(0)
    private let minimum = Atomic<UInt64>(.max)
    private let maximum = Atomic<UInt64>(0)

    public init() {
        counts = CounterRow(count: HistogramScale.bucketCount)
    }

    /// Counts a value. One writer.
    public func record(nanoseconds value: UInt64) {
        counts.add(HistogramScale.bucket(value))
        sum.store(sum.load(ordering: .relaxed) &+ value, ordering: .relaxed)
        if value < minimum.load(ordering: .relaxed) { minimum.store(value, ordering: .relaxed) }
        if value > maximum.load(ordering: .relaxed) { maximum.store(value, ordering: .relaxed) }
    }

    public func snapshot() -> HistogramSnapshot {
        HistogramSnapshot(
            counts: counts.values(), sum: sum.load(ordering: .relaxed), min: minimum.load(ordering: .relaxed),
            max: maximum.load(ordering: .relaxed))
    }
}

/// Which bucket a value counts in, and what a bucket stands for.
enum HistogramScale {
    static let subBucketBits = 7
    static let subBucketCount = 1 << subBucketBits
    /// Values below 128 have a bucket each; then 128 buckets for each of 35 powers of two, up to 2⁴² ns.
    static let bucketCount = 36 * subBucketCount
    static let valueMax: UInt64 = (1 << 42) - 1

    static func bucket(_ value: UInt64) -> Int {
        let bounded = min(value, valueMax)
        guard bounded >= UInt64(subBucketCount) else { return Int(bounded) }
        let exponent = 63 - bounded.leadingZeroBitCount - subBucketBits
        let position = Int(bounded >> UInt64(exponent)) - subBucketCount
        return (exponent + 1) * subBucketCount + position
    }

    /// The smallest and the largest value of a bucket.
    static func range(_ bucket: Int) -> ClosedRange<UInt64> {
        guard bucket >= subBucketCount else { return UInt64(bucket)...UInt64(bucket) }
        let exponent = UInt64(bucket / subBucketCount - 1)
        let low = UInt64(subBucketCount + bucket % subBucketCount) << exponent
        return low...(low + (1 << exponent) - 1)
    }
}

/// A histogram's counts at one moment; a value to be merged, read and sent elsewhere.
public struct HistogramSnapshot: Sendable, Equatable, Codable {
    public private(set) var counts: [UInt64]
    /// Nanoseconds.
    public private(set) var sum: UInt64
    /// The exact extremes, in nanoseconds; `.max` and 0 when nothing was recorded.
    public private(set) var min: UInt64
    public private(set) var max: UInt64

    public init() {
        self.init(counts: Array(repeating: 0, count: HistogramScale.bucketCount), sum: 0, min: .max, max: 0)
    }

    init(counts: [UInt64], sum: UInt64, min: UInt64, max: UInt64) {
        self.counts = counts
        self.sum = sum
        self.min = min
        self.max = max
    }

    public var count: UInt64 { counts.reduce(0, &+) }

    /// The smallest and the largest value, in nanoseconds, that the bucket stands for which is counted at this place of ``counts``.
    public static func range(ofBucket place: Int) -> ClosedRange<UInt64> { HistogramScale.range(place) }

    /// Nanoseconds; 0 when nothing was recorded.
    public var mean: Double {
        let count = count
        return count == 0 ? 0 : Double(sum) / Double(count)
    }

    public mutating func merge(_ other: HistogramSnapshot) {
        for index in counts.indices where index < other.counts.count { counts[index] &+= other.counts[index] }
        sum &+= other.sum
        min = Swift.min(min, other.min)
        max = Swift.max(max, other.max)
    }

    /// What was recorded since an earlier snapshot of the same histogram. The extremes are those of the buckets that have grown: to
    /// within 1/128.
    public func since(_ earlier: HistogramSnapshot) -> HistogramSnapshot {
        var part = HistogramSnapshot()
        for index in counts.indices where index < earlier.counts.count && counts[index] > earlier.counts[index] {
            part.counts[index] = counts[index] - earlier.counts[index]
            let range = HistogramScale.range(index)
            part.min = Swift.min(part.min, Swift.max(range.lowerBound, min))
            part.max = Swift.max(part.max, index == counts.count - 1 ? max : Swift.min(range.upperBound, max))
        }
        part.sum = sum &- earlier.sum
        return part
    }

    /// The value below which this share of the records lies, in nanoseconds: the upper end of its bucket, but never more than
    /// the largest value recorded.
    /// - Parameter percentile: 0…100.
    public func percentile(_ percentile: Double) -> UInt64 {
        let count = count
        guard count > 0 else { return 0 }
        // A product that should be a whole number can come out a little larger, which would be the next rank.
        let share = (Double(count) * Swift.min(Swift.max(percentile, 0), 100) / 100).nextDown.nextDown
        let rank = Swift.max(1, UInt64(Swift.max(share, 0).rounded(.up)))
        var seen: UInt64 = 0
        for (bucket, number) in counts.enumerated() where number > 0 {
            seen &+= number
            if seen >= rank {
                // The last bucket also holds what is beyond the scale.
                return bucket == counts.count - 1 ? max : Swift.min(HistogramScale.range(bucket).upperBound, max)
            }
        }
        return max
    }

    /// The same in between: within its bucket by the share of its records that lie below, so that two series of records which differ by
    /// less than a bucket's width do not look the same.
    /// - Returns: nanoseconds, to within a bucket's width; 0 when nothing was recorded.
    public func interpolatedPercentile(_ percentile: Double) -> Double {
        let count = count
        guard count > 0 else { return 0 }
        let rank = Double(count) * Swift.min(Swift.max(percentile, 0), 100) / 100
        var seen = 0.0
        for (bucket, number) in counts.enumerated() where number > 0 {
            if seen + Double(number) >= rank {
                guard bucket < counts.count - 1 else { return Double(max) }
                let range = HistogramScale.range(bucket)
                let width = Double(range.upperBound - range.lowerBound) + 1
                let value = Double(range.lowerBound) + width * (rank - seen) / Double(number)
                return Swift.min(Swift.max(value, Double(min)), Double(max))
            }
            seen += Double(number)
        }
        return Double(max)
    }

    /// How many records are at most this large, to within a bucket.
    public func count(upTo nanoseconds: UInt64) -> UInt64 {
        let last = HistogramScale.bucket(nanoseconds)
        return counts[...last].reduce(0, &+)
    }
}
