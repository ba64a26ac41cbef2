import Edge
import Foundation
import HTTPSemantics
import LoadGenerator
import Transport

/// What each layer of an edge is worth that serves: nothing is started, and nothing restarts. Layers are switched for the requests of this
/// command alone, by a signed field (``ProofField``); visitors' requests take their usual way all the while, and share the store.
///
/// 1. A signed request has to come back with the edge's own answer to it: else the address, the secret, the clock or the network is wrong.
/// 2. Each arm is asked for each page, so that cold starts are no part of what follows.
/// 3. Randomised complete blocks (``Experiment``), each block signed anew.
/// 4. The edge counts signed requests by the layers that they went past: exact figures, whatever visitors do meanwhile.
///
/// It never looks for a knee, sends GET alone, and gives up when visitors would feel it (``Guard``).
struct DeployedProof {
    struct Options: Sendable {
        var front: HTTPURL
        var secret: String
        var verifies = true
        /// The edge's page of metrics, which a signed request may read from anywhere that may sign.
        var metricsPath = "/metrics"
        /// What the edge's process may take in a round; `nil`: whatever it does.
        var coresMax: Double?
        /// Layers that may be switched for everybody while their arm is measured.
        var sharedLayers: [ProvedLayer] = []
        /// What the requests accept.
        var acceptEncoding = ""
    }

    /// Without `--rate`: what any site has to spare.
    static let rateDefault = 10.0

    private let deployed: Options
    private let options: Prove.Options

    init(_ deployed: Options, _ options: Prove.Options) {
        self.deployed = deployed
        self.options = options
    }

    static func layers(_ deployed: Options) -> [ProvedLayer] {
        ProvedLayer.deployed(acceptEncoding: deployed.acceptEncoding) + deployed.sharedLayers
    }

    /// Everything that this command may switch.
    static func all(_ deployed: Options) -> EdgeLayers { deployed.sharedLayers.reduce(.all) { $0.union($1.layers) } }

    /// The arms of a tier, with what is taken away; the reference first.
    static func arms(_ deployed: Options, isQuick: Bool, isFull: Bool = false) -> [(name: String, without: EdgeLayers)] {
        let layers = layers(deployed)
        return [("everything on", []), ("everything off", all(deployed))] + (isQuick ? [] : layers.map { ("without \($0.name)", $0.layers) })
            + (isFull ? layers.map { ("only \($0.name)", all(deployed).subtracting($0.layers)) } : [])
    }

    func run(stop: LoadStop) async throws -> ProofReport {
        try await check()
        let layers = Self.layers(deployed)
        let measured = Self.arms(deployed, isQuick: options.isQuick, isFull: options.isFull)
        let all = options.isQuick ? measured + layers.map { ("without \($0.name)", $0.layers) } : measured
        for arm in all { try await warm(arm.without) }
        let rate = options.rate ?? Self.rateDefault
        var experiment = Experiment.Options()
        experiment.rate = rate
        experiment.roundsMin = options.roundsMin
        experiment.roundsMax = options.roundsMax
        experiment.seed = options.seed
        experiment.measure = options.measure
        Terminal.say("\(String(format: "%.1f", rate)) requests/s; \(Prove.arithmetic(options, arms: measured.count + 1))")

        let before = try await metrics()
        var arms = try measured.map { arm in
            Experiment.Arm(name: arm.name, plan: try plan(arm.without), renewed: { try self.plan(arm.without) })
        }
        arms.append(.init(name: "everything on, again", plan: arms[0].plan, renewed: arms[0].renewed))
        var watch = Guard(before, coresMax: deployed.coresMax)
        var result = try await Experiment(arms: arms, options: experiment).run(
            reference: 0, control: arms.count - 1, stop: stop,
            meter: {
                // Which process the application is, nobody says here.
                var readings = isLocal ? BlockReadings(applicationPort: nil) : BlockReadings()
                readings.add(metrics: try await self.metrics())
                return try await self.options.completed(readings)
            },
            watch: { blocks in watch.judge(everythingOn: blocks[0], metrics: try await self.metrics(), now: .now) })
        result.comparison.judgesReference = true
        var bytes = result.reports.map(\.bytesPerRequest)
        bytes.removeLast()
        if options.isQuick, result.abortion == nil {
            for layer in layers where !stop.isSet { bytes.append(try await exactFigures(layer.layers, rate: rate, stop: stop)) }
        }
        let after = try await metrics()
        let figures = zip(all, bytes).enumerated().map { index, pair in
            let (arm, bytes) = pair
            let counters = ProvedLayer.Counters(metrics: after, without: arm.without) - ProvedLayer.Counters(metrics: before, without: arm.without)
            return ProofReport.Arm(
                name: arm.name, counters: counters, bytesPerRequest: bytes,
                readings: index < measured.count ? result.readings(arm: index, requests: counters.requests) : nil)
        }
        var report = ProofReport(
            application: deployed.front.origin, isSameHost: isLocal, rate: rate, seed: options.seed, measure: options.measure,
            secondsPerRound: experiment.secondsPerRound(arms: arms.count), result: result, arms: figures,
            layerArms: layers.enumerated().map { ($1, options.isQuick ? nil : $0 + 2) }, offArm: 1)
        report.isHTTP2 = options.http2Streams != nil
        if result.abortion == nil, !stop.isSet { report.returning = try await returningVisitors(stop: stop) }
        if options.isFull { report.aloneArms = layers.enumerated().map { ($1, $0 + 2 + layers.count) } }
        return report
    }

    private func returningVisitors(stop: LoadStop) async throws -> ReturningVisitors.Result? {
        let pages = try options.paths.map { try HTTPURL(deployed.front.origin + $0) }
        let visitors = ReturningVisitors(.init(pages: pages, rounds: options.visitRounds, seed: options.seed, timeout: options.timeout, verifies: deployed.verifies))
        func arm(_ name: String, _ without: EdgeLayers) -> ReturningVisitors.Arm {
            .init(name: name) { [options, deployed] in
                options.fields + [ProofSecret.field(without, secret: deployed.secret)]
            }
        }
        return try await visitors.run(on: arm("everything on", []), off: arm("without browser caching", .browserCaching), stop: stop)
    }

    private var isLocal: Bool { ProofReport.isLocal(deployed.front.host) }

    private func signature(_ without: EdgeLayers) -> Workload.Field { ProofSecret.field(without, secret: deployed.secret) }

    private func plan(_ without: EdgeLayers) throws -> LoadPlan {
        let requests = try options.paths.map { RequestSpecification(try HTTPURL(deployed.front.origin + $0)) }
        let workload = try Workload(requests, fields: options.fields + [signature(without)], http2Streams: options.http2Streams)
        var plan = LoadPlan(workload: workload, open: .init(.init(steady: 1, seconds: 1)), timeout: options.timeout)
        if deployed.front.isSecure {
            let protocols = (options.http2Streams == nil ? [] : ["h2"]) + ["http/1.1"]
            plan.tls = try TLSClient(host: deployed.front.host, verifies: deployed.verifies, protocols: protocols)
        }
        return plan
    }

    private func get(_ path: String, _ fields: [Workload.Field]) async throws -> PageFetch.Page {
        try await PageFetch(timeout: options.timeout, verifies: deployed.verifies).get(try HTTPURL(deployed.front.origin + path), fields: fields)
    }

    /// Whether the edge at that address knows the secret, and lets us.
    private func check() async throws {
        let field = signature([])
        let page = try await get(options.paths[0], options.fields + [field])
        guard page.head.fields.string(.headraceProof) == ProofField.answer(to: field.value, without: [], secret: deployed.secret) else {
            let clock = page.clockAheadSeconds.map { abs($0) > ProofField.secondsMax ? "; its clock is \(abs($0)) s \($0 > 0 ? "ahead of" : "behind") ours, which is too much" : "" }
            throw Prove.Failure(
                description: """
                    \(deployed.front.origin) did not take the signed request: no Headrace answers there, its prove.secret is another, or this \
                    machine is not in its prove.clients (headrace_edge_proof_refused_total says which)\(clock ?? "")
                    """)
        }
    }

    private func metrics() async throws -> String {
        let page = try await get(deployed.metricsPath, [signature([]), Workload.Field("Accept-Encoding", "identity")])
        let text = String(decoding: page.body, as: UTF8.self)
        guard page.head.status == 200, text.contains("headrace_edge_proved_requests_total") else {
            throw Prove.Failure(description: "\(deployed.front.origin)\(deployed.metricsPath) is not the edge's page of metrics: --metrics-path PATH")
        }
        return text
    }

    /// Each page, and a moment for what is compressed in the background.
    private func warm(_ without: EdgeLayers) async throws {
        var plan = try plan(without)
        plan.arrivals = .closed(users: 1)
        plan.warmUp = .fixed(.zero)
        plan.duration = .seconds(20)
        plan.requestsMax = 3 * options.paths.count
        let report = try await LoadRun(plan).run()
        guard report.failed == 0 else {
            throw Prove.Failure(
                description: "\(report.failed) of \(report.requests) requests failed before anything was measured: \(report.failures.keys.map(\.rawValue).sorted().joined(separator: ", "))")
        }
    }

    /// One block, for counters alone.
    private func exactFigures(_ without: EdgeLayers, rate: Double, stop: LoadStop) async throws -> Double {
        var plan = try plan(without)
        plan.arrivals = .open(.init(.init(steady: rate, seconds: 2)))
        plan.duration = .seconds(2)
        plan.warmUp = .fixed(.zero)
        return try await LoadRun(plan, stop: stop).run().bytesPerRequest
    }

    /// Gives up when visitors feel it: their answers fail, or what they would have got takes much longer than it did.
    struct Guard {
        /// Of all answers in a round.
        static let failedShareMax = 0.01
        /// Beside the first rounds', of requests that go through all layers, as visitors' do.
        static let slowdownMax = 3.0
        /// One slow round is anybody's.
        static let slowRoundsMax = 3
        private static let firstRounds = 3
        /// 20 ms: below it nobody feels three times as much.
        private static let millisecondsMin = 20.0

        private let coresMax: Double?
        private var last: Counts
        private var lastAt: ContinuousClock.Instant
        private var first: [Double] = []
        private var slowRounds = 0

        init(_ metrics: String, coresMax: Double? = nil, now: ContinuousClock.Instant = .now) {
            self.coresMax = coresMax
            last = Counts(metrics)
            lastAt = now
        }

        /// A round is over.
        /// - Returns: why to give up; `nil` to go on.
        mutating func judge(everythingOn block: Comparison.Block?, metrics: String, now: ContinuousClock.Instant = .now) -> String? {
            let counts = Counts(metrics)
            let (answers, failed) = (counts.answers - last.answers, counts.failed - last.failed)
            let cores = (counts.cpuSeconds - last.cpuSeconds) / max((now - lastAt) / .seconds(1), 1e-9)
            last = counts
            lastAt = now
            if let coresMax, cores > coresMax { return String(format: "the edge took %.2f cores in the last round, and may take %.2f", cores, coresMax) }
            if failed > 1, failed > Self.failedShareMax * answers { return "\(Int(failed)) of \(Int(answers)) answers failed (5xx) in the last round" }
            guard let p99 = block?.p99 else { return nil }
            guard first.count == Self.firstRounds else {
                first.append(p99)
                return nil
            }
            let usual = first.sorted()[Self.firstRounds / 2]
            slowRounds = p99 > max(Self.slowdownMax * usual, Self.millisecondsMin) ? slowRounds + 1 : 0
            guard slowRounds >= Self.slowRoundsMax else { return nil }
            return String(format: "what goes through all layers took %.0f ms (p99) in %d rounds running, and %.0f ms at first", p99, slowRounds, usual)
        }

        /// What the edge has counted.
        private struct Counts {
            var answers = 0.0
            var failed = 0.0
            var cpuSeconds = 0.0

            init(_ metrics: String) {
                for line in metrics.split(separator: "\n") {
                    guard let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...]) else { continue }
                    if line.hasPrefix("process_cpu_seconds_total ") { cpuSeconds = value }
                    guard line.hasPrefix("headrace_edge_responses_total{") else { continue }
                    answers += value
                    if line.contains("\"5xx\"") { failed += value }
                }
            }
        }
    }
}
