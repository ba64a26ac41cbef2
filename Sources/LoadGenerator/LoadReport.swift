public import Telemetry

/// What a run, or several of the same plan, came to.
public struct LoadReport: Sendable, Equatable {
    /// What only an open loop knows.
    public struct Open: Sendable, Equatable {
        /// Requests per second that the schedule asked for, on average.
        public var scheduledRate: Double
        public var shape: ArrivalShape
        public var seed: UInt64
        public var connectionsMax: Int
        /// Requests that began in the measured time, or should have.
        public var scheduled = 0
        /// Those of them that found no free connection at their time.
        public var delayed = 0
        /// How late requests went out although nothing but the generator itself was in their way.
        public var scheduleLag = HistogramSnapshot()
    }

    /// How the warm-up ended.
    public struct WarmUpEnd: Sendable, Equatable {
        public var seconds: Double
        /// Whether two successive blocks agreed; `nil` when its length was fixed.
        public var isSteady: Bool?
    }

    /// The figures of one kind of request.
    public struct ClassReport: Sendable, Equatable {
        public var name: String
        public var failed = 0
        public var bodyBytes = 0
        /// Of those that succeeded.
        public var responseTimes = HistogramSnapshot()
    }

    /// A closed loop's users, each with one request at a time; an open loop's limit of connections.
    public var users: Int
    /// `nil` for a closed loop.
    public var open: Open?
    /// Requests under way on one connection at the same time, at most; `nil` when it has one.
    public var streams: Int?
    public var threads = 1
    public var warmUp: WarmUpEnd?
    /// The measured time. When the run ended with its last request (``LoadPlan/requestsMax``), until that one's response.
    public var seconds: Double
    /// Nanoseconds since 1970 at which the measured time began; 0 when it did not.
    public var startedAt: Int64 = 0
    /// Whether somebody stopped the run before its time.
    public var isCutShort = false
    /// Requests that count, by how they ended.
    public var succeeded: Int
    public var failures: [FailureKind: Int]
    /// Bytes of the bodies of those that succeeded, as they were transferred.
    public var bodyBytes: Int
    /// Of those that succeeded, from the moment when the response was wanted (in an open loop: the intended start) until it was
    /// complete. Those that failed are not mixed in: a refusal is quick.
    public var responseTimes: HistogramSnapshot
    /// Of those that succeeded, from the moment when the request was written: what the server took, without the wait for a connection.
    public var serviceTimes = HistogramSnapshot()
    /// In the order of the workload; one when all requests are of one kind.
    public var classes: [ClassReport] = []
    /// The course of the run, warm-up included: a second each.
    public var samples: [LoadSample] = []
    /// Connections that were made.
    public var connections = 0
    /// Connections for which the system had no descriptor, port or memory.
    public var socketShortages = 0
    /// CPU seconds that the generator's process took in the measured time.
    public var generatorCPUSeconds: Double
    /// The time in which it took them: ``seconds``, and the wait for the last responses.
    public var generatorSeconds: Double

    public init(users: Int) {
        self.users = users
        seconds = 0
        succeeded = 0
        failures = [:]
        bodyBytes = 0
        responseTimes = HistogramSnapshot()
        generatorCPUSeconds = 0
        generatorSeconds = 0
    }

    public var failed: Int { failures.values.reduce(0, +) }
    /// Succeeded and failed.
    public var requests: Int { succeeded + failed }
    /// The share of requests that failed, 0…1.
    public var failedShare: Double { requests > 0 ? Double(failed) / Double(requests) : 0 }
    /// Successful requests per second.
    public var requestsPerSecond: Double { seconds > 0 ? Double(succeeded) / seconds : 0 }
    /// Body bytes per successful request.
    public var bytesPerRequest: Double { succeeded > 0 ? Double(bodyBytes) / Double(succeeded) : 0 }
    /// The generator's use of CPU; 1 is one core. Near 1 for each of its threads, it measures itself.
    public var generatorCPUShare: Double { generatorSeconds > 0 ? generatorCPUSeconds / generatorSeconds : 0 }

    /// Milliseconds; 0 when nothing succeeded.
    public var meanMilliseconds: Double { responseTimes.mean / 1e6 }
    public var maxMilliseconds: Double { Double(responseTimes.max) / 1e6 }
    public func milliseconds(percentile: Double) -> Double { Double(responseTimes.percentile(percentile)) / 1e6 }

    /// Adds another run of the same plan.
    public mutating func merge(_ other: LoadReport) {
        seconds += other.seconds
        succeeded += other.succeeded
        failures.merge(other.failures, uniquingKeysWith: +)
        bodyBytes += other.bodyBytes
        responseTimes.merge(other.responseTimes)
        serviceTimes.merge(other.serviceTimes)
        if let other = other.open {
            open?.scheduled += other.scheduled
            open?.delayed += other.delayed
            open?.scheduleLag.merge(other.scheduleLag)
        }
        for (index, other) in other.classes.enumerated() where index < classes.count {
            classes[index].failed += other.failed
            classes[index].bodyBytes += other.bodyBytes
            classes[index].responseTimes.merge(other.responseTimes)
        }
        connections += other.connections
        socketShortages += other.socketShortages
        isCutShort = isCutShort || other.isCutShort
        generatorCPUSeconds += other.generatorCPUSeconds
        generatorSeconds += other.generatorSeconds
    }
}

/// A second of a run, by the requests that ended in it.
public struct LoadSample: Sendable, Equatable {
    /// From the run's start to the sample's end.
    public var seconds: Double
    /// The sample's own length.
    public var length: Double
    public var isWarmUp: Bool
    public var succeeded: Int
    public var failed: Int
    /// Response times of those that succeeded, in milliseconds; 0 when none did.
    public var p50: Double
    public var p95: Double
    public var p99: Double
    /// Of those that succeeded, how many took up to each of ``histogramBounds``, and more than the one before.
    public var histogram: [Int] = []

    /// Milliseconds: three to a factor of ten.
    public static let histogramBounds = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000]

    public init(
        seconds: Double, length: Double, isWarmUp: Bool, succeeded: Int, failed: Int, p50: Double, p95: Double, p99: Double
    ) {
        self.seconds = seconds
        self.length = length
        self.isWarmUp = isWarmUp
        self.succeeded = succeeded
        self.failed = failed
        self.p50 = p50
        self.p95 = p95
        self.p99 = p99
    }

    public var requestsPerSecond: Double { length > 0 ? Double(succeeded) / length : 0 }
}
