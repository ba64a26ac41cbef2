import Edge
import Foundation
import LoadGenerator

/// What each layer is worth on an application.
///
/// 1. An edge for each arm starts in front of the application, on a free port, in a process of its own: one with everything, one with
///    nothing, one without each layer, and the control is the first one over again. All have the same configuration otherwise.
/// 2. The rate is half of what the edge without layers can take at the objective, unless it is given.
/// 3. Each arm is asked for each page once, so that cold starts are no part of what follows.
/// 4. Randomised complete blocks (``Experiment``), the same arrivals in each arm of a round.
/// 5. Counters of each edge before and after: exact figures, whatever the noise.
struct Prove {
    struct Options: Sendable {
        var application: String
        /// More arguments of each edge: `--config FILE`.
        var serveArguments: [String] = []
        var paths: [String]
        var fields: [Workload.Field] = []
        /// Requests per second; found if it is `nil`.
        var rate: Double?
        var isQuick = false
        /// Each layer alone besides, a cold start, and the knees.
        var isFull = false
        /// The edge is one that serves: its knee is not looked for.
        var isDeployed = false
        var roundsMin = 20
        var roundsMax = 60
        var seed: UInt64 = 1
        var measure = Comparison.Measure.median
        var objective: [Condition] = []
        var timeout = Duration.seconds(10)
        /// Requests under way on one connection of HTTP/2; `nil` for HTTP/1.1.
        var http2Streams: Int?
        /// PostgreSQL's own, where its address is known.
        var database: DatabaseCounters?

        /// With what PostgreSQL counts.
        func completed(_ readings: BlockReadings) async throws -> BlockReadings {
            guard let database else { return readings }
            var readings = readings
            readings.add(try await database.read())
            return readings
        }

        /// Of returning visitors: see ``ReturningVisitors``.
        var visitRounds: Int { isQuick ? 1 : min(roundsMin, 20) }
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// The rate of the objective's search begins here; an application in a slow language takes some tens.
    private static let firstRate = 8.0
    private static let searchSeconds = 1.5
    /// Whatever the edge without layers could take: nobody needs more to see a difference.
    static let rateMax = 500.0
    static let rateMin = 2.0
    private static let coldStarts = 3

    private let options: Options
    private let folder: URL

    init(_ options: Options, folder: URL) {
        self.options = options
        self.folder = folder
    }

    /// The arms of a tier, with what is taken away; the reference first.
    static func arms(isQuick: Bool, isFull: Bool = false) -> [(name: String, off: [String])] {
        let layers = ProvedLayer.all.map { (name: "without \($0.name)", off: $0.off) }
        let alone = ProvedLayer.all.map { layer in (name: "only \(layer.name)", off: ProvedLayer.allOff.filter { !layer.off.contains($0) }) }
        return [("everything on", []), ("everything off", ProvedLayer.allOff)] + (isQuick ? [] : layers) + (isFull ? alone : [])
    }

    /// How long it takes, said before it begins.
    static func arithmetic(_ options: Options, arms count: Int) -> String {
        let experiment = Experiment.Options()
        let perRound = experiment.secondsPerRound(arms: count)
        let minutes = Double(options.roundsMin) * perRound / 60
        let most = Double(options.roundsMax) * perRound / 60
        func shown(_ minutes: Double) -> String { minutes < 1.05 ? "about a minute" : "about \(Int(minutes.rounded(.up))) minutes" }
        return "\(count) arms × \(String(format: "%.1f", perRound / Double(count))) s × \(options.roundsMin) rounds: \(shown(minutes))"
            + (options.roundsMax > options.roundsMin ? ", up to \(options.roundsMax) rounds (\(shown(most))) until the intervals are narrow enough" : "")
            + (options.isQuick
                ? "" : "; then returning visitors, \(shown(Double(options.visitRounds) * ReturningVisitors.secondsPerRound(options.visitRounds) / 60))")
            + (options.rate == nil && !options.isDeployed ? "; before that a search for the rate, about a minute" : "")
    }

    func run(stop: LoadStop) async throws -> ProofReport {
        var edges: [EdgeUnderTest] = []
        defer { for edge in edges { edge.stop() } }
        let arms = Self.arms(isQuick: options.isQuick, isFull: options.isFull)
        // In the quick tier, layers have exact figures and no rounds.
        let layerArms = ProvedLayer.all.map { (name: "without \($0.name)", off: $0.off) }
        for (index, arm) in (options.isQuick ? arms + layerArms : arms).enumerated() {
            edges.append(
                try await EdgeUnderTest(
                    "edge-\(index)", arguments: ["--app", options.application] + options.serveArguments, off: arm.off, folder: folder))
        }
        let plans = try edges.map { try plan($0.front) }
        for plan in plans { try await warm(plan) }
        var rate = options.rate ?? 0
        var knees: ProofReport.Knees?
        if options.isFull {
            let found = ProofReport.Knees(on: try await knee(plans[0], "with all layers", stop: stop), off: try await knee(plans[1], "without layers", stop: stop))
            if options.rate == nil { rate = min(max(found.off / 2, Self.rateMin), Self.rateMax) }
            knees = found
        } else if options.rate == nil {
            rate = min(max(try await knee(plans[1], "without layers", stop: stop) / 2, Self.rateMin), Self.rateMax)
        }
        Terminal.say("\(String(format: "%.1f", rate)) requests/s; \(Self.arithmetic(options, arms: arms.count + 1))")

        var before: [ProvedLayer.Counters] = []
        for edge in edges { before.append(try await edge.counters()) }
        var experiment = Experiment.Options()
        experiment.rate = rate
        experiment.roundsMin = options.roundsMin
        experiment.roundsMax = options.roundsMax
        experiment.seed = options.seed
        experiment.measure = options.measure
        var measured = zip(arms, plans).map { Experiment.Arm(name: $0.name, plan: $1) }
        measured.append(.init(name: "everything on, again", plan: plans[0]))
        let address = try? HTTPURL(options.application + "/")
        let applicationPort = address.flatMap { ProofReport.isLocal($0.host) ? $0.port : nil }
        var result = try await Experiment(arms: measured, options: experiment).run(
            reference: 0, control: measured.count - 1, stop: stop, meter: { [options] in try await options.completed(BlockReadings(applicationPort: applicationPort)) })
        result.comparison.judgesReference = true
        var bytes = result.reports.map(\.bytesPerRequest)
        bytes.removeLast()
        if options.isQuick {
            for plan in plans[arms.count...] where !stop.isSet { bytes.append(try await exactFigures(plan, rate: rate, stop: stop)) }
        }
        var figures: [ProofReport.Arm] = []
        for (index, arm) in (options.isQuick ? arms + layerArms : arms).enumerated() where index < bytes.count {
            var counters = try await edges[index].counters() - before[index]
            // The reading before is a request of its own, counted when it was answered.
            counters.requests = max(counters.requests - 1, 0)
            figures.append(
                .init(name: arm.name, counters: counters, bytesPerRequest: bytes[index],
                    readings: index < arms.count ? result.readings(arm: index, requests: counters.requests) : nil))
        }
        var report = ProofReport(
            application: options.application, rate: rate, seed: options.seed, measure: options.measure,
            secondsPerRound: experiment.secondsPerRound(arms: measured.count), result: result, arms: figures,
            layerArms: ProvedLayer.all.enumerated().map { ($1, options.isQuick ? nil : $0 + 2) }, offArm: 1)
        report.isHTTP2 = options.http2Streams != nil
        if !stop.isSet { report.returning = try await returningVisitors(stop: stop) }
        if options.isFull {
            report.aloneArms = ProvedLayer.all.enumerated().map { ($1, $0 + 2 + ProvedLayer.all.count) }
            report.knees = knees
            report.coldStart = try await coldStart(warm: result.reports[0].meanMilliseconds, stop: stop)
        }
        return report
    }

    /// Each page once, of an edge that has just started and knows nothing: what the first visitor has behind a restart.
    private func coldStart(warm: Double, stop: LoadStop) async throws -> ProofReport.ColdStart? {
        var times: [Double] = []
        for start in 0..<Self.coldStarts where !stop.isSet {
            let edge = try await EdgeUnderTest(
                "edge-cold-\(start)", arguments: ["--app", options.application] + options.serveArguments, off: [], folder: folder)
            defer { edge.stop() }
            var plan = try plan(edge.front)
            plan.arrivals = .closed(users: 1)
            plan.warmUp = .fixed(.zero)
            plan.duration = .seconds(60)
            plan.requestsMax = options.paths.count
            let report = try await LoadRun(plan, stop: stop).run()
            if report.succeeded > 0 { times.append(report.meanMilliseconds) }
        }
        guard !times.isEmpty else { return nil }
        return ProofReport.ColdStart(starts: times.count, coldMs: times.reduce(0, +) / Double(times.count), warmMs: warm)
    }

    /// Both arms come to one edge, whose browser caching signed requests go past.
    private func returningVisitors(stop: LoadStop) async throws -> ReturningVisitors.Result? {
        let secret = (0..<4).map { _ in String(format: "%016llx", UInt64.random(in: .min ... .max)) }.joined()
        let file = folder.appending(path: "secret")
        try Data(secret.utf8).write(to: file)
        let edge = try await EdgeUnderTest(
            "edge-visitors", arguments: ["--app", options.application] + options.serveArguments,
            off: ["prove.secret=file:\(file.path)", "prove.clients=127.0.0.0/8"], folder: folder)
        defer { edge.stop() }
        try await warm(try plan(edge.front))
        let visitors = ReturningVisitors(
            .init(pages: try options.paths.map { try HTTPURL(edge.front + $0) }, rounds: options.visitRounds, seed: options.seed, timeout: options.timeout))
        func arm(_ name: String, _ without: EdgeLayers) -> ReturningVisitors.Arm {
            .init(name: name) { [options] in options.fields + [ProofSecret.field(without, secret: secret)] }
        }
        return try await visitors.run(on: arm("everything on", []), off: arm("without browser caching", .browserCaching), stop: stop)
    }

    private func plan(_ front: String) throws -> LoadPlan {
        let workload = try Workload(
            try options.paths.map { RequestSpecification(try HTTPURL(front + $0)) }, fields: options.fields, http2Streams: options.http2Streams)
        return LoadPlan(workload: workload, open: .init(.init(steady: 1, seconds: 1)), timeout: options.timeout)
    }

    /// Each page once, and a moment for what is compressed in the background.
    private func warm(_ plan: LoadPlan) async throws {
        var plan = plan
        plan.arrivals = .closed(users: 1)
        plan.warmUp = .fixed(.zero)
        plan.duration = .seconds(60)
        plan.requestsMax = 3 * options.paths.count
        let report = try await LoadRun(plan).run()
        guard report.failed == 0 else {
            throw Failure(description: "\(report.failed) of \(report.requests) requests failed before anything was measured: \(report.failures.keys.map(\.rawValue).sorted().joined(separator: ", "))")
        }
    }

    /// The highest rate at which an edge holds the objective, as far as anybody needs to know it.
    private func knee(_ plan: LoadPlan, _ which: String, stop: LoadStop) async throws -> Double {
        Terminal.say("looking for the rate that it holds \(which) …")
        var search = KneeSearch(start: Self.firstRate)
        while !stop.isSet, case .measure(let rate) = search.step {
            // What is twice of what we would use anyway need not be known.
            if rate > 2 * Self.rateMax { break }
            var step = plan
            step.arrivals = .open(.init(.init(steady: rate, seconds: Self.searchSeconds)))
            step.duration = .nanoseconds(Int64(Self.searchSeconds * 1e9))
            step.warmUp = .fixed(.milliseconds(300))
            let report = try await LoadRun(step, stop: stop).run()
            search.judged(options.objective.allSatisfy { $0.holds(report) } ? .holds : .fails)
            if search.bracketRatio < 1.3 { break }
        }
        return search.highestHeld ?? Self.rateMin
    }

    /// One block, for counters alone.
    private func exactFigures(_ plan: LoadPlan, rate: Double, stop: LoadStop) async throws -> Double {
        var plan = plan
        plan.arrivals = .open(.init(.init(steady: rate, seconds: 2)))
        plan.duration = .seconds(2)
        plan.warmUp = .fixed(.zero)
        return try await LoadRun(plan, stop: stop).run().bytesPerRequest
    }
}
