import Foundation
import LoadGenerator

/// A comparison in words and as JSON.
struct ComparisonTable {
    let result: Experiment.Result
    let measure: Comparison.Measure
    let secondsPerRound: Double
    /// Says "costs you" of an arm that is slower than without it.
    var isAboutLayers = false

    static let stamp = "environment too noisy: the same arm measured twice differs from itself; believe none of this"

    func rendered() -> String {
        let comparison = result.comparison
        var table = TextTable(columns: [
            .left("arm"), .right("requests"), .right("p50 ms"), .right("p95 ms"), .right("p99 ms"), .right("bytes/request"), .right("failed"),
            .left("beside \(comparison.arms[comparison.reference]), by \(measure.rawValue)"),
        ])
        let verdicts = comparison.verdicts(measure)
        for (index, (name, report)) in zip(comparison.arms, result.reports).enumerated() {
            let times = [50.0, 95, 99].map { report.succeeded > 0 ? String(format: "%.2f", report.milliseconds(percentile: $0)) : "–" }
            let words =
                index == comparison.reference
                ? "" : verdicts[index]?.words(secondsPerRound: secondsPerRound, costs: isAboutLayers) ?? "no data"
            table.add(
                [name, "\(report.requests)"] + times + [String(format: "%.0f", report.bytesPerRequest), "\(report.failed)", words])
        }
        let stamp = comparison.isTooNoisy(measure) ? Self.stamp.uppercased() + "\n\n" : ""
        let limits = Set(result.reports.flatMap(\.limits)).sorted().map { "generator-limited: \($0.advice)\n" }.joined()
        return stamp + limits + table.rendered()
    }

    struct Document: Codable, Sendable {
        struct Arm: Codable, Sendable {
            var name: String
            var requests: Int
            var failed: Int
            var p50Ms: Double
            var p95Ms: Double
            var p99Ms: Double
            var bytesPerRequest: Double
            var generatorLimits: [String]
            /// `nil` for the reference.
            var verdict: String?
            var words: String?
            var changePercent: Double?
            var changePercentLow: Double?
            var changePercentHigh: Double?
            var pValue: Double?
            var pairs: Int?
            var isControl: Bool
        }

        var headrace: String
        var schema = 1
        var measure: String
        var seed: UInt64
        var rounds: Int
        var isTooNoisy: Bool
        var isInterrupted: Bool
        var arms: [Arm]
        /// By round, then by arm: the measure in milliseconds.
        var blocks: [[Double?]]
    }

    func document(_ name: String, seed: UInt64) -> Document {
        let comparison = result.comparison
        let verdicts = comparison.verdicts(measure)
        func finite(_ value: Double?) -> Double? { value.flatMap { $0.isFinite ? $0 : nil } }
        let arms = zip(comparison.arms, result.reports).enumerated().map { index, pair in
            let (name, report) = pair
            let verdict = verdicts[index]
            return Document.Arm(
                name: name, requests: report.requests, failed: report.failed, p50Ms: report.milliseconds(percentile: 50),
                p95Ms: report.milliseconds(percentile: 95), p99Ms: report.milliseconds(percentile: 99), bytesPerRequest: report.bytesPerRequest,
                generatorLimits: report.limits.map(\.rawValue), verdict: verdict?.kind.rawValue,
                words: verdict?.words(secondsPerRound: secondsPerRound, costs: isAboutLayers),
                changePercent: finite((verdict?.estimate?.middle).map(Verdict.percent)),
                changePercentLow: finite((verdict?.estimate?.low).map(Verdict.percent)),
                changePercentHigh: finite((verdict?.estimate?.high).map(Verdict.percent)), pValue: verdict?.pValue,
                pairs: verdict?.estimate?.count, isControl: index == comparison.control)
        }
        return Document(
            headrace: name, measure: measure.rawValue, seed: seed, rounds: comparison.rounds.count, isTooNoisy: comparison.isTooNoisy(measure),
            isInterrupted: result.isInterrupted, arms: arms,
            blocks: comparison.rounds.map { round in
                round.map { block in
                    switch measure {
                    case .median: block?.p50
                    case .p95: block?.p95
                    case .p99: block?.p99
                    case .mean: block?.mean
                    }
                }
            })
    }

    static func json(_ document: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(document), as: UTF8.self)
    }
}
