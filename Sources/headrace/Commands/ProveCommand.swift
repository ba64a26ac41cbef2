import ArgumentParser
import Foundation
import History
import LoadGenerator
import UnixSignals

/// `headrace prove --app URL PATH…`, `headrace prove --against URL PATH…`: what is each layer of the edge worth on this application?
///
/// Exit codes: 0, whatever the verdicts; 1 when a request failed or the control differs from itself; 3 when the generator was the limit;
/// 69 when the application cannot be reached; 130 when it was interrupted, after printing what there was.
struct ProveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prove",
        abstract: "Say what each layer of the edge is worth on your application, with a confidence interval.",
        discussion: """
            EXAMPLES:
              headrace prove --app http://127.0.0.1:3000 / /products     each layer, six arms in turns
              headrace prove --app http://127.0.0.1:3000 / --quick       all on, all off; two minutes
              headrace prove --app http://127.0.0.1:3000 / --rate 20 --dry-run
              headrace prove --against https://shop.example / /products --secret env:PROOF

            With --app it starts an edge for each arm on a free port, in front of the application, and drives them in turns, in random order, \
            with the same arrivals: everything on, everything off, everything but one layer, and everything on once more as a control. The \
            edges that serve your users are not touched, but the application feels the load: half of what it can take, or --rate.

            With --against nothing is started: the edge that serves at that address lets this command's requests go past layers, because \
            they are signed with its prove.secret and come from its prove.clients. Your users' requests are served as ever. Without --rate \
            it is 10 requests/s; it gives up when answers fail or become slow.

            Only GET requests are sent.
            """)

    @Argument(help: ArgumentHelp("Paths that are asked for in rotation.", valueName: "path"))
    var paths: [String] = ["/"]

    @Option(help: ArgumentHelp("The application behind the edge.", valueName: "url"))
    var app: String?

    @Option(help: ArgumentHelp("An edge that serves: its layers are switched for this command's requests alone.", valueName: "url"))
    var against: String?

    @Option(help: ArgumentHelp(
        "prove.secret of that edge: env:NAME or file:PATH. Without it the one in the configuration (--config, $HEADRACE_CONFIG, ./headrace.yaml).",
        valueName: "secret"))
    var secret: String?

    @Option(help: ArgumentHelp("Where that edge's metrics are.", valueName: "path"))
    var metricsPath = "/metrics"

    @Flag(help: "With --against: what the keyspace is worth, too. Keys of prove.keyspace are missing for everybody while that is measured.")
    var keyspace = false

    @Flag(help: "With --against: what the pooler's sharing is worth, too. Each of its clients has a server connection of its own while that is measured.")
    var pooler = false

    @Flag(name: .customLong("insecure"), help: "Take any certificate of that edge.")
    var isInsecure = false

    @Option(help: ArgumentHelp("A configuration file for the edges; the application and the address are this command's.", valueName: "file"))
    var config: String?

    @Flag(help: "Everything on and everything off alone; exact figures for each layer.")
    var quick = false

    @Flag(help: "Each layer alone, too; and with --app the rates that hold with and without layers, and a cold start.")
    var full = false

    @Option(help: "Requests per second; without it half of what the application holds without layers.")
    var rate: Double?

    @Option(help: ArgumentHelp("What \"holds\" means in that.", valueName: "conditions"))
    var slo = "p95<500ms,errors<1%"

    @Option(help: "Rounds, at least: 20, or 12 with --quick.")
    var rounds: Int?

    @Option(help: "Rounds, at most: three times as many, or no more with --quick.")
    var roundsMax: Int?

    @Option(help: "What is compared: p50, p95, p99 or mean of each block's response times.")
    var measure: Comparison.Measure = .median

    @Option(help: "Of the order of the blocks.")
    var seed: UInt64 = 1

    @Option(name: [.customLong("header"), .customShort("H")], help: "A field to send with each request; may be repeated.")
    var headers = ["Accept-Encoding: gzip"]

    @Flag(name: .customLong("http2"), help: "Speak HTTP/2: by ALPN over https, with prior knowledge over http. Returning visitors speak HTTP/1.1.")
    var isHTTP2 = false

    @Option(help: ArgumentHelp(
        "PostgreSQL that the application uses, postgres://USER@HOST/DATABASE: its own counts of statements (pg_stat_statements) and sessions are read around each block. Without it the pooler's counts, where there is one.",
        valueName: "url"))
    var postgres: String?

    @Flag(help: "Say what would be done and how long it would take, and do nothing.")
    var dryRun = false

    @Flag(help: "Print one JSON document in the place of the tables.")
    var json = false

    @Option(help: ArgumentHelp("Write a page with a forest plot there, too.", valueName: "file"))
    var html: String?

    @Option(help: ArgumentHelp(
        "With --against: give up when that edge's process takes more cores than these in a round, visitors' requests included.", valueName: "cores"))
    var cpuMax: Double?

    @OptionGroup var history: HistoryOptions

    func validate() throws {
        _ = try options()
    }

    @Flag(name: .customLong("until-eof"), help: ArgumentHelp("End, too, when standard input ends: for a parent that may be killed."))
    var untilEOF = false

    func run() async throws {
        if untilEOF { StandardInput.endProcessAtEnd() }
        let options = try options()
        let deployed = try deployed(options)
        if dryRun {
            let arms = deployed.map { DeployedProof.arms($0, isQuick: quick, isFull: full).map { ($0.name, $0.without.isEmpty ? "" : $0.without.text) } }
                ?? Prove.arms(isQuick: quick, isFull: full).map { ($0.name, $0.off.joined(separator: " ")) }
            let lines = arms.map { "  \($0.0)\($0.1.isEmpty ? "" : ": \($0.1)")" } + ["  everything on, again: the control"]
            let usual = deployed == nil ? "half of what holds \(slo)" : "\(DeployedProof.rateDefault)"
            return Terminal.print(
                """
                \(Prove.arithmetic(options, arms: arms.count + 1))
                \(lines.joined(separator: "\n"))
                GET \(paths.joined(separator: " ")) at \(rate.map { "\($0)" } ?? usual) requests/s, to \(subject)
                """)
        }
        let folder = FileManager.default.temporaryDirectory.appending(path: "headrace-prove-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let startedAt = Date().timeIntervalSince1970
        let stop = LoadStop()
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        let interruption = Task { for await _ in signals { stop.set() } }
        defer { interruption.cancel() }
        let report: ProofReport
        let counters: DatabaseCounters?
        do {
            counters = try postgres.map { try DatabaseCounters(PostgresURL($0), password: nil) }
            // Whether it can be read at all is said before anything is sent.
            _ = try await counters?.read()
            var options = options
            options.database = counters
            report = if let deployed {
                try await DeployedProof(deployed, options).run(stop: stop)
            } else {
                try await Prove(options, folder: folder).run(stop: stop)
            }
        } catch {
            Terminal.fail("\(error)")
            throw ExitCode.unavailable
        }
        await counters?.close()
        let document = try ComparisonTable.json(report.document())
        Terminal.print(json ? document : report.rendered())
        if let html {
            do {
                try Data(ProofPage.text(report.document(), tables: report.rendered()).utf8).write(to: URL(filePath: html))
            } catch {
                Terminal.fail("\(html): \(error.localizedDescription)")
                throw ExitCode.failure
            }
        }
        history.keep(.prove, startedAt: startedAt, subject: "\(subject) \(paths.joined(separator: " "))", document: document)
        if report.result.abortion != nil { throw ExitCode.failure }
        if report.result.isInterrupted { throw ExitCode(130) }
        if !report.limits.isEmpty { throw ExitCode(3) }
        if report.result.comparison.isTooNoisy(measure) || report.result.reports.contains(where: { $0.failed > 0 }) { throw ExitCode.failure }
    }

    private var subject: String { against ?? app ?? "" }

    /// - Returns: `nil` without --against.
    private func deployed(_ options: Prove.Options) throws -> DeployedProof.Options? {
        guard let against else { return nil }
        let front: HTTPURL
        do {
            front = try HTTPURL(against)
        } catch {
            throw ValidationError("--against: \(error)")
        }
        var deployed = DeployedProof.Options(front: front, secret: dryRun ? "" : try ProofSecret.read(secret, file: config))
        deployed.verifies = !isInsecure
        deployed.metricsPath = metricsPath
        deployed.sharedLayers = (keyspace ? [.keyspace] : []) + (pooler ? [.pooler] : [])
        deployed.coresMax = cpuMax
        deployed.acceptEncoding = options.fields.last { $0.name.lowercased() == "accept-encoding" }?.value ?? ""
        return deployed
    }

    private func options() throws -> Prove.Options {
        guard against != nil || !keyspace && !pooler else { throw ValidationError("--\(keyspace ? "keyspace" : "pooler") is for --against: what serves is switched") }
        if let cpuMax {
            guard against != nil, cpuMax > 0, cpuMax <= 1024 else { throw ValidationError("--cpu-max \(cpuMax): cores, above 0, and with --against") }
        }
        guard (app == nil) != (against == nil) else { throw ValidationError("which one? --app URL, or --against URL of an edge that serves") }
        for path in paths where !path.hasPrefix("/") { throw ValidationError("\(path): a path begins with /") }
        do {
            var options = Prove.Options(application: subject, paths: paths)
            for path in paths { _ = try HTTPURL("http://localhost\(path)") }
            options.fields = try headers.map { text in
                guard let colon = text.firstIndex(of: ":") else { throw ValidationError("--header \(text): 'Name: value'") }
                return Workload.Field(String(text[..<colon]), text[text.index(after: colon)...].trimmingCharacters(in: .whitespaces))
            }
            options.serveArguments = config.map { ["--config", $0] } ?? []
            // A pooler that the configuration has would take the address of the one that serves.
            if against == nil {
                var sources = try ConfigurationOptions.sources(config)
                sources.flags.append(("--app", "edge.app", [subject]))
                if try sources.load().settings.poolerConfiguration != nil { options.serveArguments += ["--pooler", "127.0.0.1:0"] }
            }
            if let rate {
                guard rate > 0, rate <= RateText.rateMax else { throw ValidationError("--rate: above 0") }
            }
            options.rate = rate
            guard !(quick && full) else { throw ValidationError("--quick and --full: one of them") }
            options.isQuick = quick
            options.isFull = full
            options.isDeployed = against != nil
            options.roundsMin = rounds ?? (quick ? 12 : 20)
            options.roundsMax = roundsMax ?? (quick ? options.roundsMin : 3 * options.roundsMin)
            guard (1...10_000).contains(options.roundsMin), (options.roundsMin...10_000).contains(options.roundsMax) else {
                throw ValidationError("--rounds, --rounds-max: 1 to 10000")
            }
            options.seed = seed
            options.measure = measure
            if let postgres {
                do { _ = try PostgresURL(postgres) } catch { throw ValidationError("--postgres: \(error.text)") }
            }
            // As many as bench has under way on one connection.
            options.http2Streams = isHTTP2 ? WorkloadOptions.streamsDefault : nil
            options.objective = try Condition.list(slo)
            return options
        } catch let error as ValidationError {
            throw error
        } catch {
            throw ValidationError("\(error)")
        }
    }
}
