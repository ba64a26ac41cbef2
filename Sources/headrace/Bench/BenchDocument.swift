import Foundation
import LoadGenerator

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
    }

    var headrace = "bench"
    var model = "closed-loop"
    var url: [String]
    var levels: [Level]

    init(urls: [String], reports: [LoadReport]) {
        url = urls
        levels = reports.map { report in
            Level(
                users: report.users, seconds: report.seconds, requests: report.requests,
                requestsPerSecond: report.requestsPerSecond, meanMs: report.meanMilliseconds,
                p50Ms: report.milliseconds(percentile: 50), p95Ms: report.milliseconds(percentile: 95),
                p99Ms: report.milliseconds(percentile: 99), maxMs: report.maxMilliseconds,
                bytesPerRequest: report.bytesPerRequest, failed: report.failed,
                failures: Dictionary(uniqueKeysWithValues: FailureKind.allCases.map { ($0.rawValue, report.failures[$0] ?? 0) }),
                generatorCpuShare: report.generatorCPUShare)
        }
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
