/// How many requests shall begin per second, over the time of a run: one steady rate, steps, ramps, in any order.
public struct RateProfile: Sendable, Equatable {
    /// A time in which the rate goes evenly from one value to another; the same value twice is a steady rate.
    public struct Stage: Sendable, Equatable {
        public var seconds: Double
        /// Requests per second.
        public var from: Double
        public var to: Double

        public init(seconds: Double, from: Double, to: Double) {
            self.seconds = seconds
            self.from = from
            self.to = to
        }

        /// Requests that begin in it.
        var arrivals: Double { (from + to) / 2 * seconds }

        /// When so many requests of the stage have begun: the inverse of its cumulative rate, `from·t + (to − from)·t²/2·seconds`,
        /// in the form that neither divides by a slope of zero nor loses digits at small ones.
        func seconds(ofArrival number: Double) -> Double {
            guard number > 0 else { return 0 }
            let slope = (to - from) / seconds
            let root = max(from * from + 2 * slope * number, 0).squareRoot()
            return min(2 * number / (from + root), seconds)
        }
    }

    public let stages: [Stage]

    /// - Precondition: there is a stage; times are positive, rates not negative, both finite.
    public init(_ stages: [Stage]) {
        precondition(!stages.isEmpty, "a profile without a stage")
        for stage in stages {
            precondition(stage.seconds > 0 && stage.from >= 0 && stage.to >= 0 && (stage.seconds * (stage.from + stage.to)).isFinite)
        }
        self.stages = stages
    }

    /// One rate for the whole time.
    public init(steady rate: Double, seconds: Double) {
        self.init([Stage(seconds: seconds, from: rate, to: rate)])
    }

    public var seconds: Double { stages.reduce(0) { $0 + $1.seconds } }
    /// Requests that begin in the whole time.
    public var arrivals: Double { stages.reduce(0) { $0 + $1.arrivals } }
    /// Requests per second at its beginning.
    public var rateAtStart: Double { stages[0].from > 0 ? stages[0].from : stages[0].to / 10 }
    /// The highest rate that is reached.
    public var rateMax: Double { stages.reduce(0) { max($0, $1.from, $1.to) } }

    /// When the request begins before which so many have begun, in seconds from the profile's start.
    /// - Returns: `nil` behind the last.
    func seconds(ofArrival number: Double) -> Double? {
        var rest = number
        var start = 0.0
        for stage in stages {
            let arrivals = stage.arrivals
            if rest < arrivals { return start + stage.seconds(ofArrival: rest) }
            rest -= arrivals
            start += stage.seconds
        }
        return nil
    }
}
