import History
public import Telemetry

/// All counters at one moment, as the layers have them. Two of them make a ``Sample``.
public struct Reading: Sendable {
    /// Seconds since 1970.
    public var time: Int64
    /// By ``Series/place``: counters since the start, levels as they are; NaN for what is not there.
    public private(set) var values: [Double]
    /// By ``Timed/place``, since the start.
    public private(set) var times: [HistogramSnapshot?]

    public init(time: Int64) {
        self.time = time
        values = Array(repeating: .nan, count: Series.allCases.count)
        times = Array(repeating: nil, count: Timed.allCases.count)
    }

    public subscript(_ series: Series) -> Double {
        get { values[series.place] }
        set { values[series.place] = newValue }
    }

    public subscript(_ timed: Timed) -> HistogramSnapshot? {
        get { times[timed.place] }
        set { times[timed.place] = newValue }
    }

    /// What happened since an earlier reading. A counter that went down began anew (`CONFIG RESETSTAT`): what it has is what happened.
    func sample(since earlier: Reading) -> Sample {
        var sample = Sample(
            time: earlier.time, seconds: max(1, Int(clamping: time - earlier.time)), values: values,
            distributions: Array(repeating: Distribution(), count: Timed.allCases.count))
        for series in Series.allCases where series.kind == .counter {
            let (now, before) = (values[series.place], earlier.values[series.place])
            sample.values[series.place] = before.isNaN || now < before ? now : now - before
        }
        for (place, snapshot) in times.enumerated() {
            if let snapshot { sample.distributions[place] = Distribution(snapshot, since: earlier.times[place]) }
        }
        return sample
    }
}

extension Distribution {
    /// 16 of the histogram's 128 buckets of each power of two become one, so that a value is known to within an eighth: some 40 buckets
    /// are in use at a time, where the histogram has 4,608.
    static let mergedBuckets = 16

    init(_ snapshot: HistogramSnapshot, since earlier: HistogramSnapshot?) {
        self.init()
        let old = earlier?.counts ?? []
        var bucket = 0
        while bucket < snapshot.counts.count {
            let end = min(bucket + Self.mergedBuckets, snapshot.counts.count)
            var count: UInt64 = 0
            for index in bucket..<end {
                let before = index < old.count ? old[index] : 0
                if snapshot.counts[index] > before { count &+= snapshot.counts[index] - before }
            }
            append(place: UInt16(bucket / Self.mergedBuckets), count: count)
            bucket = end
        }
    }

    /// The smallest and the largest value of a bucket, in seconds.
    static func range(_ place: UInt16) -> ClosedRange<Double> {
        let first = HistogramSnapshot.range(ofBucket: Int(place) * mergedBuckets).lowerBound
        let last = HistogramSnapshot.range(ofBucket: Int(place) * mergedBuckets + mergedBuckets - 1).upperBound
        return Double(first) / 1e9...Double(last) / 1e9
    }

    /// The value below which this share of the records lies, in seconds, to within its bucket; `nil` when there is none.
    /// - Parameter percentile: 0…100.
    func percentile(_ percentile: Double) -> Double? {
        let total = Double(self.total)
        guard total > 0 else { return nil }
        let rank = total * min(max(percentile, 0), 100) / 100
        var seen = 0.0
        for (place, count) in zip(places, counts) {
            if seen + Double(count) >= rank {
                let range = Self.range(place)
                return range.lowerBound + (range.upperBound - range.lowerBound) * max(0, rank - seen) / Double(count)
            }
            seen += Double(count)
        }
        return places.last.map { Self.range($0).upperBound }
    }
}
