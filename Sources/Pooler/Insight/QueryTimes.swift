/// How long queries took, in few bytes: four buckets for each power of two, so that a percentile is known to within a fifth.
///
/// 512 bytes, where `Telemetry.Histogram` takes 36 KB: there is one for each of hundreds of statements.
struct QueryTimes: Sendable, Equatable {
    private static let bucketCount = 128
    private var counts: [UInt32] = []

    /// - Parameter microseconds: beyond 2³³, which are two hours, the last bucket counts.
    mutating func record(_ microseconds: UInt64) {
        if counts.isEmpty { counts = Array(repeating: 0, count: Self.bucketCount) }
        let bucket = Self.bucket(microseconds)
        if counts[bucket] < .max { counts[bucket] += 1 }
    }

    mutating func merge(_ other: Self) {
        guard !other.counts.isEmpty else { return }
        if counts.isEmpty { return counts = other.counts }
        for (index, count) in other.counts.enumerated() { counts[index] = counts[index].addingReportingOverflow(count).overflow ? .max : counts[index] + count }
    }

    /// - Returns: the largest value of the bucket in which it lies; 0 when nothing was recorded.
    func percentile(_ percentile: Double) -> UInt64 {
        let total = counts.reduce(UInt64(0)) { $0 + UInt64($1) }
        guard total > 0 else { return 0 }
        let wanted = max(1, UInt64((Double(total) * percentile / 100).rounded(.up)))
        var seen: UInt64 = 0
        for (bucket, count) in counts.enumerated() {
            seen += UInt64(count)
            if seen >= wanted { return Self.last(bucket) }
        }
        return Self.last(Self.bucketCount - 1)
    }

    static func bucket(_ value: UInt64) -> Int {
        guard value >= 4 else { return Int(value) }
        let exponent = 63 - value.leadingZeroBitCount
        return min((exponent - 1) * 4 + Int(value >> UInt64(exponent - 2) & 3), bucketCount - 1)
    }

    /// The largest value of a bucket.
    static func last(_ bucket: Int) -> UInt64 {
        guard bucket >= 4 else { return UInt64(bucket) }
        let exponent = bucket / 4 + 1
        return (UInt64(4 + bucket % 4 + 1) << UInt64(exponent - 2)) - 1
    }
}
