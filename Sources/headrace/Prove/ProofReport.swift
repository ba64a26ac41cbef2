import Foundation
import LoadGenerator

/// What `headrace prove` found, as tables and as JSON.
struct ProofReport {
    /// An arm with its exact figures.
    struct Arm: Sendable {
        var name: String
        var counters: ProvedLayer.Counters
        var bytesPerRequest: Double
        /// Per request, of what all arms share; `nil` for one without blocks.
        var readings: BlockReadings?
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
        /// `nil` where the process serves others at the same time.
        var edgeCpuMicrosecondsPerRequest: Double?
        /// Of processes on this machine; and what PostgreSQL, pooler and keyspace counted. `nil` where nobody can tell.
        var applicationCpuMicrosecondsPerRequest: Double?
        var databaseCpuMicrosecondsPerRequest: Double?
        var statementsPerRequest: Double?
        var transactionsPerRequest: Double?
        var databaseConnectionsPerRequest: Double?
        var keyspaceCommandsPerRequest: Double?
    }

    struct Document: Codable, Sendable {
        var headrace = "prove"
        var schema = 1
        var application: String
        var isSameHost: Bool
        /// Requests were sent by HTTP/2; those of returning visitors never are. `nil` in documents of before.
        var isHttp2: Bool?
        var rate: Double
        var rounds: Int
        var isTooNoisy: Bool
        var isInterrupted: Bool
        /// Why it was given up before its end.
        var abortion: String?
        var generatorLimits: [String]
        var layers: [Row]
        /// With `--full`: each layer alone; the rates that hold; a cold start.
        var alone: [Row]?
        var knees: Knees?
        var coldStart: ColdStart?
        /// Repeated views with and without what the edge tells browsers.
        var returningVisitors: [ReturningVisitors.Figures]?
        var figures: [Figures]
        var measurements: ComparisonTable.Document
    }

    let application: String
    /// The generator runs where the edge does.
    var isSameHost = true
    var isHTTP2 = false
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
    /// The place of the arm that has this layer alone; with `--full`.
    var aloneArms: [(layer: ProvedLayer, arm: Int)] = []
    var knees: Knees?
    var coldStart: ColdStart?
    var returning: ReturningVisitors.Result?

    /// Requests per second at which the objective holds.
    struct Knees: Codable, Sendable {
        var on: Double
        var off: Double
    }

    /// The mean time of each page's first request to an edge that has just started, and that of a warm one.
    struct ColdStart: Codable, Sendable {
        var starts: Int
        var coldMs: Double
        var warmMs: Double
    }

    /// Whether an address is of the machine that the generator runs on, as far as it says so itself.
    static func isLocal(_ host: String) -> Bool { host == "localhost" || host.hasPrefix("127.") || host == "::1" }

    /// What having one layer is worth to who has none of the others.
    func aloneRows() -> [Row] {
        guard !aloneArms.isEmpty else { return [] }
        var comparison = Comparison(arms: ["off"] + aloneArms.map(\.layer.name), reference: 0)
        for round in result.comparison.rounds { comparison.add([round[offArm]] + aloneArms.map { round[$0.arm] }) }
        let verdicts = comparison.verdicts(measure)
        return aloneArms.enumerated().map { index, entry in
            let verdict = verdicts[index + 1]
            func percent(_ value: Double?) -> Double? { value.flatMap { $0.isFinite ? Verdict.percent($0) : nil } }
            return Row(
                layer: entry.layer.name, verdict: verdict?.kind.rawValue ?? "no-data",
                words: verdict?.words(secondsPerRound: secondsPerRound, costs: true) ?? "no data", changePercent: percent(verdict?.estimate?.middle),
                changePercentLow: percent(verdict?.estimate?.low), changePercentHigh: percent(verdict?.estimate?.high), isUsed: true)
        }
    }

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
            + layerArms.map { row($0.layer.name, $0.arm, isUsed: $0.layer.isUsed(everything)) } + (browserCachingRow.map { [$0] } ?? [])
    }

    /// Of those who come again, by the times of their repeated views; the other layers' are those of single requests.
    private var browserCachingRow: Row? {
        guard let returning else { return nil }
        let (on, off) = (returning.figures[0], returning.figures[1])
        // The very same requests, and as many bytes: browsers were told nothing that they heeded.
        let isUsed = on.requestsPerView < 0.999 * off.requestsPerView || on.bytesPerView < 0.999 * off.bytesPerView
        let verdict = returning.comparison.rounds.count > 1 ? returning.comparison.verdicts(.median)[1] : nil
        func percent(_ value: Double?) -> Double? { value.flatMap { $0.isFinite ? Verdict.percent($0) : nil } }
        let words =
            if !isUsed { "no traffic: nobody's second view was spared a request or a byte" }
            else if let verdict { verdict.words(secondsPerRound: returning.secondsPerRound, costs: true) + ", for those who come again" }
            else { "only exact figures; the standard tier gives an interval" }
        return Row(
            layer: "browser caching", verdict: isUsed ? verdict?.kind.rawValue ?? "not-measured" : "no-traffic", words: words,
            changePercent: percent(verdict?.estimate?.middle), changePercentLow: percent(verdict?.estimate?.low),
            changePercentHigh: percent(verdict?.estimate?.high), isUsed: isUsed)
    }

    func figures() -> [Figures] {
        arms.map { arm in
            let requests = max(arm.counters.requests, 1)
            return Figures(
                arm: arm.name, requests: Int(arm.counters.requests), bytesPerRequest: arm.bytesPerRequest,
                upstreamRequestsPerRequest: arm.counters.upstreamRequests / requests,
                upstreamConnectsPerRequest: arm.counters.upstreamConnects / requests,
                edgeCpuMicrosecondsPerRequest: arm.counters.cpuSeconds.map { $0 / requests * 1e6 },
                applicationCpuMicrosecondsPerRequest: arm.readings?.applicationSeconds.map { $0 * 1e6 },
                databaseCpuMicrosecondsPerRequest: arm.readings?.databaseSeconds.map { $0 * 1e6 },
                statementsPerRequest: arm.readings?.statements, transactionsPerRequest: arm.readings?.transactions,
                databaseConnectionsPerRequest: arm.readings?.databaseConnections, keyspaceCommandsPerRequest: arm.readings?.keyspaceCommands)
        }
    }

    var limits: [GeneratorLimit] { Set(result.reports.flatMap(\.limits)).sorted() }

    func rendered() -> String {
        var lines = ["\(application) at \(String(format: "%.1f", rate)) requests/s\(isHTTP2 ? " over HTTP/2" : ""), seed \(seed)\(isSameHost ? "; from this machine: generator and edge share its cores" : "")"]
        if result.comparison.isTooNoisy(measure) { lines.insert(ComparisonTable.stamp.uppercased(), at: 0) }
        if let abortion = result.abortion { lines.append("GIVEN UP: \(abortion)") }
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
                figures.edgeCpuMicrosecondsPerRequest.map { String(format: "%.0f", $0) } ?? "–",
            ])
        }
        // What nobody could read has no column.
        let columns = BlockReadings.columns.filter { column in arms.contains { $0.readings.flatMap(column.value) != nil } }
        var shared = TextTable(columns: [.left("besides, per request")] + columns.map { .right($0.title) })
        for arm in arms {
            shared.add([arm.name] + columns.map { column in arm.readings.flatMap(column.value).map { String(format: "%.\(column.digits)f", $0) } ?? "–" })
        }
        var times = TextTable(columns: [.left("response times"), .right("p50 ms"), .right("p95 ms"), .right("p99 ms"), .right("failed")])
        for (name, report) in zip(result.comparison.arms, result.reports) {
            let values = [50.0, 95, 99].map { report.succeeded > 0 ? String(format: "%.2f", report.milliseconds(percentile: $0)) : "–" }
            times.add([name] + values + ["\(report.failed)"])
        }
        var verdicts = TextTable(columns: [.left("layer"), .left("what it is worth, by \(measure.rawValue) of the response time")])
        for row in rows() { verdicts.add([row.layer, row.words]) }
        var more = ""
        if !aloneArms.isEmpty {
            var alone = TextTable(columns: [.left("layer, alone"), .left("what it is worth to who has none of the others")])
            for row in aloneRows() { alone.add([row.layer, row.words]) }
            more += "\n" + alone.rendered()
        }
        if let knees { more += String(format: "\nThe objective holds up to %.0f requests/s with all layers, %.0f without.\n", knees.on, knees.off) }
        if let coldStart {
            more += String(
                format: "\nBehind a restart each page's first request takes %.1f ms, %.1f once it is warm (the mean of %d starts).\n", coldStart.coldMs,
                coldStart.warmMs, coldStart.starts)
        }
        if let returning {
            var views = TextTable(columns: [
                .left("a returning visitor's view"), .right("views"), .right("requests"), .right("not modified"), .right("from its cache"), .right("bytes"),
                .right("failed"),
            ])
            for figures in returning.figures {
                func number(_ value: Double) -> String { String(format: "%.1f", value) }
                views.add([
                    figures.arm, "\(figures.views)", number(figures.requestsPerView), number(figures.notModifiedPerView), number(figures.fromCachePerView),
                    String(format: "%.0f", figures.bytesPerView), "\(figures.failed)",
                ])
            }
            more += "\n" + views.rendered()
            for figures in returning.figures {
                for (words, count) in (figures.failures ?? [:]).sorted(by: { $0.key < $1.key }) { more += "failed, \(figures.arm): \(words) (\(count))\n" }
            }
        }
        return lines.joined(separator: "\n") + "\n\n" + exact.rendered() + "\n" + (columns.isEmpty ? "" : shared.rendered() + "\n") + times.rendered() + "\n" + verdicts.rendered() + more
            + "\nLayers overlap: what each is worth beside all others does not add up to what they are worth together.\n"
    }

    func document() -> Document {
        let table = ComparisonTable(result: result, measure: measure, secondsPerRound: secondsPerRound)
        return Document(
            application: application, isSameHost: isSameHost, isHttp2: isHTTP2, rate: rate, rounds: result.comparison.rounds.count,
            isTooNoisy: result.comparison.isTooNoisy(measure), isInterrupted: result.isInterrupted, abortion: result.abortion, generatorLimits: limits.map(\.rawValue),
            layers: rows(), alone: aloneArms.isEmpty ? nil : aloneRows(), knees: knees, coldStart: coldStart,
            returningVisitors: returning?.figures, figures: figures(),
            measurements: table.document("prove", seed: seed))
    }
}

extension Experiment.Result {
    /// Per request, of an arm whose requests its edge has counted: the reference's with those of its control, which is the same edge.
    func readings(arm: Int, requests: Double) -> BlockReadings? {
        let control = arm == comparison.reference ? comparison.control : nil
        return readings.perRequest([arm] + (control.map { [$0] } ?? []), requests: requests)
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
