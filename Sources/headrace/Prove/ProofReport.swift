import Foundation
import LoadGenerator

/// What `headrace prove` found, as tables and as JSON.
struct ProofReport {
    /// An arm with its exact figures.
    struct Arm: Sendable {
        var name: String
        var counters: ProvedLayer.Counters
        var bytesPerRequest: Double
    }

    struct Row: Codable, Sendable {
        var layer: String
        var verdict: String
        var words: String
        var changePercent: Double?
        var changePercentLow: Double?
        var changePercentHigh: Double?
        var isUsed: Bool
    }

    struct Figures: Codable, Sendable {
        var arm: String
        var requests: Int
        var bytesPerRequest: Double
        var upstreamRequestsPerRequest: Double
        var upstreamConnectsPerRequest: Double
        var edgeCpuMicrosecondsPerRequest: Double
    }

    struct Document: Codable, Sendable {
        var headrace = "prove"
        var schema = 1
        var application: String
        var isSameHost: Bool
        var rate: Double
        var rounds: Int
        var isTooNoisy: Bool
        var isInterrupted: Bool
        var generatorLimits: [String]
        var layers: [Row]
        var figures: [Figures]
        var measurements: ComparisonTable.Document
    }

    let application: String
    let rate: Double
    let seed: UInt64
    let measure: Comparison.Measure
    let secondsPerRound: Double
    let result: Experiment.Result
    let arms: [Arm]
    /// The place of each layer's arm; `nil` when the tier measured none.
    let layerArms: [(layer: ProvedLayer, arm: Int?)]
    /// The place of the arm without any layer.
    let offArm: Int

    /// What taking a layer away does, turned around: what having it is worth.
    func rows() -> [Row] {
        let verdicts = result.comparison.verdicts(measure)
        func row(_ name: String, _ arm: Int?, isUsed: Bool) -> Row {
            let verdict = arm.flatMap { verdicts[$0] }
            func finite(_ value: Double?) -> Double? { value.flatMap { $0.isFinite ? Verdict.percent($0) : nil } }
            let words: String
            if !isUsed {
                words = "no traffic: not one request made use of it"
            } else if let verdict {
                words = verdict.words(secondsPerRound: secondsPerRound, costs: true)
            } else {
                words = "only exact figures; the standard tier gives an interval"
            }
            return Row(
                layer: name, verdict: isUsed ? verdict?.kind.rawValue ?? "not-measured" : "no-traffic", words: words,
                changePercent: finite(verdict?.estimate?.middle), changePercentLow: finite(verdict?.estimate?.low),
                changePercentHigh: finite(verdict?.estimate?.high), isUsed: isUsed)
        }
        let everything = arms[result.comparison.reference].counters
        return [row("all layers together", offArm, isUsed: true)]
            + layerArms.map { row($0.layer.name, $0.arm, isUsed: $0.layer.isUsed(everything)) }
    }

    func figures() -> [Figures] {
        arms.map { arm in
            let requests = max(arm.counters.requests, 1)
            return Figures(
                arm: arm.name, requests: Int(arm.counters.requests), bytesPerRequest: arm.bytesPerRequest,
                upstreamRequestsPerRequest: arm.counters.upstreamRequests / requests,
                upstreamConnectsPerRequest: arm.counters.upstreamConnects / requests,
                edgeCpuMicrosecondsPerRequest: arm.counters.cpuSeconds / requests * 1e6)
        }
    }

    var limits: [GeneratorLimit] { Set(result.reports.flatMap(\.limits)).sorted() }

    func rendered() -> String {
        var lines = ["\(application) at \(String(format: "%.1f", rate)) requests/s, seed \(seed); from this machine: generator and edge share its cores"]
        if result.comparison.isTooNoisy(measure) { lines.insert(ComparisonTable.stamp.uppercased(), at: 0) }
        if result.isInterrupted { lines.append("cut short: what follows is what was measured until then") }
        for limit in limits { lines.append("generator-limited: \(limit.advice)") }
        var exact = TextTable(columns: [
            .left("exact figures, per request"), .right("requests"), .right("bytes"), .right("application's requests"), .right("its connections"),
            .right("edge CPU µs"),
        ])
        for figures in figures() {
            exact.add([
                figures.arm, "\(figures.requests)", String(format: "%.0f", figures.bytesPerRequest),
                String(format: "%.4f", figures.upstreamRequestsPerRequest), String(format: "%.4f", figures.upstreamConnectsPerRequest),
                String(format: "%.0f", figures.edgeCpuMicrosecondsPerRequest),
            ])
        }
        var times = TextTable(columns: [.left("response times"), .right("p50 ms"), .right("p95 ms"), .right("p99 ms"), .right("failed")])
        for (name, report) in zip(result.comparison.arms, result.reports) {
            let values = [50.0, 95, 99].map { report.succeeded > 0 ? String(format: "%.2f", report.milliseconds(percentile: $0)) : "–" }
            times.add([name] + values + ["\(report.failed)"])
        }
        var verdicts = TextTable(columns: [.left("layer"), .left("what it is worth, by \(measure.rawValue) of the response time")])
        for row in rows() { verdicts.add([row.layer, row.words]) }
        return lines.joined(separator: "\n") + "\n\n" + exact.rendered() + "\n" + times.rendered() + "\n" + verdicts.rendered()
            + "\nLayers overlap: what each is worth beside all others does not add up to what they are worth together.\n"
    }

    func document() -> Document {
        let table = ComparisonTable(result: result, measure: measure, secondsPerRound: secondsPerRound)
        return Document(
            application: application, isSameHost: true, rate: rate, rounds: result.comparison.rounds.count,
            isTooNoisy: result.comparison.isTooNoisy(measure), isInterrupted: result.isInterrupted, generatorLimits: limits.map(\.rawValue),
            layers: rows(), figures: figures(), measurements: table.document("prove", seed: seed))
    }
}

extension ProofReport.Document {
    /// Reads what `headrace prove --json` printed.
    init(text: String) throws {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        self = try decoder.decode(Self.self, from: Data(text.utf8))
    }
}
