public import History

/// What a folder of samples says of a stretch of days, for `headrace report --html`: few numbers of many.
public struct SampleCourse: Sendable {
    public struct Point: Sendable {
        /// Seconds since 1970.
        public var time: Int64
        public var requestsPerSecond: Double
        /// Of the requests; 0 when there were none.
        public var failedShare: Double
        public var cacheShare: Double
        /// `nil` when there were none.
        public var p50Ms: Double?
        public var p95Ms: Double?
        public var p99Ms: Double?
    }

    /// By stages of a request, as `Server-Timing` names them: seconds, added up.
    public private(set) var stages: [(name: String, seconds: Double)] = []
    public private(set) var points: [Point] = []
    public private(set) var requests = 0.0
    public private(set) var failed = 0.0
    public private(set) var savedBytes = 0.0

    /// As many as are told apart on paper.
    private static let pointsMax = 400

    /// Reads what another process keeps; it may go on meanwhile.
    /// - Parameter times: seconds since 1970; of the last 15 days there are samples.
    /// - Throws: `SampleHistory.Unusable` when there are none.
    public init(path: String, _ times: Range<Int64>) throws(SampleHistory.Unusable) {
        let history = try SampleHistory(reading: path, values: Series.allCases.map(\.rawValue), distributions: Timed.allCases.map(\.rawValue))
        self.init(try history.samples(.minute, times), times)
    }

    init(_ samples: [Sample], _ times: Range<Int64>) {
        let all = SampleRollup.points(samples, times, countMax: Self.pointsMax, tier: .minute).points
        points = all.map { sample in
            let requests = Self.sum(sample, [.requests])
            let cached = Self.sum(sample, [.cache_hits, .cache_served_stale, .cache_revalidated, .cache_coalesced])
            let distribution = sample.distributions[Timed.response.place]
            func milliseconds(_ percentile: Double) -> Double? { distribution.percentile(percentile).map { $0 * 1000 } }
            return Point(
                time: sample.time, requestsPerSecond: requests / Double(max(sample.seconds, 1)),
                failedShare: requests > 0 ? Self.sum(sample, [.responses_5xx]) / requests : 0, cacheShare: requests > 0 ? min(cached / requests, 1) : 0,
                p50Ms: milliseconds(50), p95Ms: milliseconds(95), p99Ms: milliseconds(99))
        }
        func total(_ series: [Series]) -> Double { all.reduce(0) { $0 + Self.sum($1, series) } }
        (requests, failed) = (total([.requests]), total([.responses_5xx]))
        savedBytes = total([.saved_by_compression_bytes, .saved_by_not_modified_bytes])
        stages = Series.stages.map { ($0.name, total([$0.series])) }
    }

    private static func sum(_ sample: Sample, _ series: [Series]) -> Double {
        series.reduce(0) { sum, series in sample.values[series.place].isNaN ? sum : sum + sample.values[series.place] }
    }
}
