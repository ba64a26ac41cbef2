public import Telemetry

/// What a run, or several of the same plan, came to.
public struct LoadReport: Sendable, Equatable {
    public var users: Int
    /// The measured time. When the run ended with its last request (``LoadPlan/requestsMax``), until that one's response.
    public var seconds: Double
    /// Requests that count, by how they ended.
    public var succeeded: Int
    public var failures: [FailureKind: Int]
    /// Bytes of the bodies of those that succeeded, as they were transferred.
    public var bodyBytes: Int
    /// Response times of those that succeeded, from the moment when the user wanted the response until it was complete. Those
    /// that failed are not mixed in: a refusal is quick.
    public var responseTimes: HistogramSnapshot
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
        generatorCPUSeconds += other.generatorCPUSeconds
        generatorSeconds += other.generatorSeconds
    }
}
