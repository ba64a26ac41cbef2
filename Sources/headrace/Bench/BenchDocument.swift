import Foundation
import LoadGenerator
import Telemetry

/// The results as JSON; ``BenchCommand`` says what the keys mean. Keys are sorted, so that two documents can be compared.
struct BenchDocument: Codable {
    struct Level: Codable, Sendable {
        var users: Int
        var seconds: Double
        var requests: Int
        var requestsPerSecond: Double
        var meanMs: Double
        var p50Ms: Double
        var p95Ms: Double
        var p99Ms: Double
        var maxMs: Double
        var bytesPerRequest: Double
        var failed: Int
        var failures: [String: Int]
        var generatorCpuShare: Double
        var p999Ms = 0.0
        var serviceMs = Times()
        var scheduledPerSecond: Double?
        var scheduled: Int?
        var delayed: Int?
        var lagP99Ms: Double?
        var seed: UInt64?
        var streams: Int?
        var generatorLimits: [String] = []
        var connections = 0
        var warmUpSeconds = 0.0
        var isWarmUpSteady: Bool?
        var isCutShort = false
        /// Seconds since 1970.
        var startedAt = 0.0
        var classes: [Class] = []
        var course: [Second] = []
    }

    /// Milliseconds.
    struct Times: Codable, Sendable {
        var mean = 0.0
        var p50 = 0.0
        var p95 = 0.0
        var p99 = 0.0
        var max = 0.0
    }

    struct Class: Codable, Sendable {
        var name: String
        var requests: Int
        var failed: Int
        var responseMs: Times
        var bytesPerRequest: Double
    }

    struct Second: Codable, Sendable {
        var seconds: Double
        var isWarmUp: Bool
        var requestsPerSecond: Double
        var failed: Int
        var p50Ms: Double
        var p95Ms: Double
        var p99Ms: Double
    }

    struct Knee: Codable, Sendable {
        var objective: String
        var holdsPerSecond: Double?
        var failsPerSecond: Double?
        var isGeneratorLimited: Bool
    }

    /// The machine that the generator ran on, at the end of the run: what else it had to do.
    struct Machine: Codable, Sendable {
        var cores: Int
        /// Of the last minute, the run's own among it; `nil` where the system does not say.
        var loadAverage: Double?
        var availableMemoryBytes: Double?

        /// - Source: proc(5), /proc/meminfo; getloadavg(3).
        static func now() -> Machine {
            var loads = [0.0]
            let hasLoad = getloadavg(&loads, 1) == 1
            let lines = ((try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8)) ?? "").split(separator: "\n")
            let available = lines.first { $0.hasPrefix("MemAvailable:") }.flatMap { Double($0.split(separator: " ").dropFirst().first ?? "") }
            return Machine(
                cores: ProcessInfo.processInfo.activeProcessorCount, loadAverage: hasLoad ? loads[0] : nil, availableMemoryBytes: available.map { $0 * 1024 })
        }
    }

    var headrace = "bench"
    var schema = 2
    var model = "closed-loop"
    var url: [String]
    var levels: [Level]
    var knee: Knee?
    var machine: Machine?

    init(urls: [String], reports: [LoadReport]) {
        url = urls
        if reports.contains(where: { $0.open != nil }) { model = "open-loop" }
        levels = reports.map { Level($0) }
        machine = .now()
    }

    /// Reads what ``text()`` wrote.
    init(text: String) throws {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        self = try decoder.decode(Self.self, from: Data(text.utf8))
    }

    func text() throws -> String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}

extension BenchDocument.Level {
    init(_ report: LoadReport) {
        self.init(
            users: report.users, seconds: report.seconds, requests: report.requests,
            requestsPerSecond: report.requestsPerSecond, meanMs: report.meanMilliseconds,
            p50Ms: report.milliseconds(percentile: 50), p95Ms: report.milliseconds(percentile: 95),
            p99Ms: report.milliseconds(percentile: 99), maxMs: report.maxMilliseconds,
            bytesPerRequest: report.bytesPerRequest, failed: report.failed,
            failures: Dictionary(uniqueKeysWithValues: FailureKind.allCases.map { ($0.rawValue, report.failures[$0] ?? 0) }),
            generatorCpuShare: report.generatorCPUShare)
        p999Ms = report.milliseconds(percentile: 99.9)
        serviceMs = .init(report.serviceTimes)
        if let open = report.open {
            scheduledPerSecond = open.scheduledRate
            scheduled = open.scheduled
            delayed = open.delayed
            lagP99Ms = Double(open.scheduleLag.percentile(99)) / 1e6
            seed = open.seed
        }
        streams = report.streams
        generatorLimits = report.limits.map(\.rawValue)
        connections = report.connections
        warmUpSeconds = report.warmUp?.seconds ?? 0
        isWarmUpSteady = report.warmUp?.isSteady
        isCutShort = report.isCutShort
        startedAt = Double(report.startedAt) / 1e9
        classes = report.classes.map { one in
            let succeeded = Int(clamping: one.responseTimes.count)
            return .init(
                name: one.name, requests: succeeded + one.failed, failed: one.failed, responseMs: .init(one.responseTimes),
                bytesPerRequest: succeeded > 0 ? Double(one.bodyBytes) / Double(succeeded) : 0)
        }
        course = report.samples.map { sample in
            .init(
                seconds: sample.seconds, isWarmUp: sample.isWarmUp, requestsPerSecond: sample.requestsPerSecond, failed: sample.failed,
                p50Ms: sample.p50, p95Ms: sample.p95, p99Ms: sample.p99)
        }
    }
}

extension BenchDocument.Times {
    init(_ times: HistogramSnapshot) {
        func milliseconds(_ percentile: Double) -> Double { Double(times.percentile(percentile)) / 1e6 }
        self.init(mean: times.mean / 1e6, p50: milliseconds(50), p95: milliseconds(95), p99: milliseconds(99), max: Double(times.max) / 1e6)
    }
}
