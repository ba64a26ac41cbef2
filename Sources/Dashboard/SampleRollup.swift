import History

/// Makes one sample of several: counters are added up, levels averaged over the time in which they were known, peaks kept.
struct SampleRollup {
    private let time: Int64
    private(set) var seconds = 0
    private var values = Array(repeating: Double.nan, count: Series.allCases.count)
    private var known = Array(repeating: 0.0, count: Series.allCases.count)
    private var distributions = Array(repeating: Distribution(), count: Timed.allCases.count)
    private static let kinds = Series.allCases.map(\.kind)

    init(time: Int64) {
        self.time = time
    }

    mutating func add(_ sample: Sample) {
        let length = Double(sample.seconds)
        seconds += sample.seconds
        for place in values.indices where place < sample.values.count && !sample.values[place].isNaN {
            let value = sample.values[place]
            let before = values[place]
            switch Self.kinds[place] {
            case .counter: values[place] = (before.isNaN ? 0 : before) + value
            case .level:
                values[place] = ((before.isNaN ? 0 : before) * known[place] + value * length) / (known[place] + length)
                known[place] += length
            case .peak: values[place] = before.isNaN ? value : max(before, value)
            }
        }
        for place in distributions.indices where place < sample.distributions.count { distributions[place].merge(sample.distributions[place]) }
    }

    /// `nil` when nothing was added.
    var sample: Sample? {
        seconds > 0 ? Sample(time: time, seconds: seconds, values: values, distributions: distributions) : nil
    }

    /// Samples put together so that there are at most so many: whole stretches of a length that divides time evenly, so that the same
    /// moment is always in the same point whenever one asks.
    /// - Returns: the length of a point in seconds, and a point for each stretch in which something was measured.
    static func points(_ samples: [Sample], _ times: Range<Int64>, countMax: Int, tier: SampleTier) -> (step: Int64, points: [Sample]) {
        let step = step(times, countMax: countMax, tier: tier)
        var points: [Sample] = []
        var rollup: SampleRollup?
        var start: Int64 = 0
        for sample in samples where times.contains(sample.time) {
            let own = sample.time - sample.time % step
            if own != start || rollup == nil {
                if let sample = rollup?.sample { points.append(sample) }
                rollup = SampleRollup(time: own)
                start = own
            }
            rollup?.add(sample)
        }
        if let sample = rollup?.sample { points.append(sample) }
        return (step, points.suffix(countMax))
    }

    /// The shortest step of a table that people can read off an axis.
    static func step(_ times: Range<Int64>, countMax: Int, tier: SampleTier) -> Int64 {
        let length = times.upperBound - times.lowerBound
        let steps: [Int64] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400, 172_800, 259_200, 432_000, 864_000, 1_728_000]
        // One more point than the length has steps: the range seldom begins where a step does.
        return steps.first { $0 >= Int64(tier.seconds) && $0 % Int64(tier.seconds) == 0 && (length + $0 - 1) / $0 + 1 <= Int64(max(2, countMax)) } ?? 1_728_000
    }
}

/// The latest samples of a second each; older ones go.
struct SampleRing {
    let countMax: Int
    private var samples: [Sample] = []
    private var start = 0

    init(countMax: Int) {
        precondition(countMax > 0)
        self.countMax = countMax
    }

    var count: Int { samples.count }

    mutating func append(_ sample: Sample) {
        if samples.count < countMax {
            samples.append(sample)
        } else {
            samples[start] = sample
            start = (start + 1) % countMax
        }
    }

    /// The newest, the oldest of them first.
    func suffix(_ number: Int) -> [Sample] {
        let number = min(max(number, 0), samples.count)
        return (samples.count - number..<samples.count).map { samples[(start + $0) % samples.count] }
    }
}
