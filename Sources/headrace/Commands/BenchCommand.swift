public import ArgumentParser
import Foundation
import History
public import LoadGenerator
import Transport
import UnixSignals

/// `headrace bench URL…`: a load test; an open loop unless `--concurrency` asks for the closed one.
///
/// The table goes to stdout, progress to stderr. With `--json` stdout has one JSON document instead:
///
/// | key | |
/// |---|---|
/// | `headrace`, `schema` | `"bench"`; 2, which grows when a key changes its meaning |
/// | `model` | `"open-loop"` or `"closed-loop"` |
/// | `url` | the URLs, as given |
/// | `levels` | an object per run: one for each level of concurrency or step of a search, in order |
/// | `machine` | the generator's, at the end: `cores`, `load_average`, `available_memory_bytes` |
/// | `knee` | with `--find-knee`: `objective`, `holds_per_second`, `fails_per_second`, `is_generator_limited` |
///
/// | key of a level | unit |
/// |---|---|
/// | `users` | connections at the same time: a closed loop's users, an open loop's limit |
/// | `seconds`, `started_at` | the measured time; its beginning in seconds since 1970 |
/// | `requests`, `failed` | succeeded and failed; failed |
/// | `requests_per_second` | those that succeeded |
/// | `mean_ms`, `p50_ms`, `p95_ms`, `p99_ms`, `p999_ms`, `max_ms` | response times of those that succeeded, from the intended start |
/// | `service_ms` | the same from the send: `mean`, `p50`, `p95`, `p99`, `max` |
/// | `bytes_per_request` | body bytes as transferred, of those that succeeded |
/// | `failures` | an object with a number for every `FailureKind`, zeros too |
/// | `scheduled_per_second`, `scheduled`, `delayed`, `lag_p99_ms`, `seed` | of an open loop: what should begin, how many began, waited for a connection; the generator's lag |
/// | `generator_cpu_share`, `generator_limits` | of one core; the names of `GeneratorLimit`s, empty when the figures are the server's |
/// | `connections` | that were made |
/// | `streams` | with HTTP/2: requests under way on one connection, at most |
/// | `warm_up_seconds`, `is_warm_up_steady`, `is_cut_short` | |
/// | `classes` | for each kind of path: `name`, `requests`, `failed`, `response_ms`, `bytes_per_request` |
/// | `course` | for each second: `seconds`, `is_warm_up`, `requests_per_second`, `failed`, `p50_ms`, `p95_ms`, `p99_ms` |
///
/// Exit codes, the first that applies: 99 when a condition of `--fail-if` holds; 3 when the generator was the limit; 1 when a request
/// failed, a level has none, the objective never held, or the origin could not be reached; 130 when it was interrupted; 0. 64 when the
/// command line is wrong.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure how a server answers at a rate of requests, or how many it can answer.",
        discussion: """
            EXAMPLES:
              headrace bench http://127.0.0.1:8080/                          50 requests/s for 10 s
              headrace bench http://127.0.0.1:8080/ --rate 1000 --arrivals poisson
              headrace bench http://127.0.0.1:8080/ --rate 100:30s,100-1000:2m
              headrace bench 3@http://127.0.0.1:8080/a http://127.0.0.1:8080/b --json
              headrace bench http://127.0.0.1:8080/ --access-log access.log --rate 200
              headrace bench https://127.0.0.1:8443/ --http2 --streams 32
              headrace bench http://127.0.0.1:8080/ --find-knee --slo 'p99<250ms,errors<0.1%'
              headrace bench http://127.0.0.1:8080/ --fail-if 'p95>300ms'
              headrace bench http://127.0.0.1:8080/ --concurrency 5,20,50    the closed loop of old
              headrace bench http://127.0.0.1:8080/ --access-log access.log --replay-speed 2     with its timing, twice as fast
              headrace bench http://127.0.0.1:8080/ --visitor                browsers: first and repeated views
              headrace bench --suite --fail-if 'p95>500ms'                   light, medium, heavy, at the configured edge
              headrace bench redis://127.0.0.1:6379 --rate 20000 --pipeline 16 --value-size 1KB
              headrace bench postgres://app@127.0.0.1:6432/shop --script select-only --protocol prepared

            Requests begin by a schedule, whatever became of those before (an open loop), and response times count from the intended \
            start: a server that stalls cannot hide it. --concurrency asks in the old way, where each user waits for its response before \
            the next request, and stalls are under-reported. Exits with 1 if a request failed, 3 if the generator itself was the limit, 99 \
            if a condition of --fail-if holds.
            """
    )

    @Argument(
        help: ArgumentHelp(
            "What to ask for, of one origin: [WEIGHT@]URL; asked for in rotation, each as often as its weight says. Or one redis:// or postgres:// address.",
            valueName: "url"))
    var urls: [String] = []

    @Option(help: ArgumentHelp("Requests per second: a number, or stages such as 100:30s,100-1000:2m. 50 unless said.", valueName: "rate"))
    var rate: String?

    @Option(help: "How requests follow each other: constant or poisson.")
    var arrivals: ArrivalShape = .constant

    @Option(help: "Of Poisson arrivals: the same seed gives the same schedule.")
    var seed: UInt64 = 1

    @Option(help: "Connections that an open loop may have at the same time.")
    var connections = 2000

    @Option(help: "Closed loop: users that ask at the same time; several numbers are measured one after the other.")
    var concurrency: String?

    @Option(help: "Closed loop: how long a user waits between a response and the next request.")
    var thinkTime = "0s"

    @Option(help: "How long is measured, each time.")
    var duration = "10s"

    @Option(help: "How long it runs before it is measured: a time, or auto: until two seconds agree, ten at most. 1s in a closed loop.")
    var warmUp: String?

    @Option(help: "End after so many measured requests, if the time is not over before.")
    var requests: Int?

    @Option(help: "Event loops of the generator.")
    var threads = 1

    @Option(help: ArgumentHelp("Ask for what this file lists: [WEIGHT@][METHOD ]URL or path, a line each.", valueName: "file"))
    var urlFile: String?

    @Option(help: ArgumentHelp("Ask for the pages of this sitemap, at the origin of the URL.", valueName: "file"))
    var sitemap: String?

    @Option(help: ArgumentHelp("Ask for what this access log has (combined, or JSON), with its mix, at the origin of the URL.", valueName: "file"))
    var accessLog: String?

    @Option(help: "Methods that are replayed from an access log.")
    var replayMethods = "GET,HEAD"

    @Option(help: ArgumentHelp("With --access-log: begin requests when the log says, so many times as fast; 1 is its own timing.", valueName: "n"))
    var replaySpeed: Double?

    @Flag(help: "Visitors with browsers: pages with their style sheets, scripts, images and fonts, and once more with what the browser kept. --rate is visitors per second, 2 unless said.")
    var visitor = false

    @Option(help: "Visitors: views of the same page behind the first.")
    var repeatViews = 1

    @Option(help: "Visitors: how long each waits between two views.")
    var viewPause = "1s"

    @OptionGroup(title: "What is sent") var options: WorkloadOptions

    @OptionGroup(title: "What is sent to redis://") var commandOptions: CommandOptions
    @OptionGroup(title: "What is sent to postgres://") var transactionOptions: TransactionOptions

    @Flag(help: "Light, medium and heavy: --concurrency 5,20,50; without a URL against the edge of the configuration, at /.")
    var suite = false

    @Option(name: [.customShort("c"), .long], help: ArgumentHelp("With --suite: the configuration; without it $HEADRACE_CONFIG, else ./headrace.yaml.", valueName: "file"))
    var config: String?

    @Flag(help: "Find the highest rate at which the objective of --slo holds, beginning at --rate.")
    var findKnee = false

    @Option(help: ArgumentHelp("What must hold, as in 'p99<250ms,errors<0.1%'.", valueName: "conditions"))
    var slo: String?

    @Option(help: ArgumentHelp("Exit with 99 if this holds, as in 'p95>300ms'; may be repeated.", valueName: "condition"))
    var failIf: [String] = []

    @Flag(help: "Print one JSON document instead of the table.")
    var json = false

    @Option(help: ArgumentHelp("Write the course of the run to this file, a second per line.", valueName: "file"))
    var csv: String?

    @Option(help: ArgumentHelp("Write a page with tables and charts to this file.", valueName: "file"))
    var html: String?

    @Option(help: ArgumentHelp("Write the percentile distribution to this file, as HdrHistogram's tools do.", valueName: "file"))
    var hdr: String?

    @OptionGroup var history: HistoryOptions

    mutating func validate() throws {
        if suite {
            guard rate == nil, !findKnee else { throw ValidationError("--suite: has levels of concurrency, and no rate") }
            concurrency = concurrency ?? "5,20,50"
            if urls.isEmpty {
                let options = try ConfigurationOptions.parse(config.map { ["--config", $0] } ?? [])
                urls = [try RunningEdge(options.loadOrExit().settings.edgeConfiguration, to: nil).address.origin + "/"]
            }
        }
        if visitor { _ = try visitorPlan() } else { _ = try plans() }
        _ = try conditions()
        if findKnee {
            guard slo != nil else { throw ValidationError("--find-knee: say what must hold with --slo") }
            guard concurrency == nil else { throw ValidationError("--find-knee: a closed loop has no rate to look for") }
        } else if slo != nil {
            throw ValidationError("--slo: is for --find-knee; --fail-if judges a single run")
        }
    }

    @Flag(name: .customLong("until-eof"), help: ArgumentHelp("End, too, when standard input ends: for a parent that may be killed."))
    var untilEOF = false

    func run() async throws {
        if untilEOF { StandardInput.endProcessAtEnd() }
        let stop = LoadStop()
        if visitor { return try await runVisitors(stop) }
        let plans = try plans()
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        let interruption = Task {
            for await _ in signals { stop.set() }
        }
        defer { interruption.cancel() }
        var reports: [LoadReport] = []
        var knee: BenchDocument.Knee?
        do {
            if findKnee {
                knee = try await findKnee(from: plans[0], stop: stop, &reports)
            } else {
                for plan in plans where !stop.isSet { reports.append(try await measure(plan, stop)) }
            }
        } catch let error as LoadRun.Unreachable {
            Terminal.fail("\(error)")
            throw ExitCode.failure
        }
        var document = BenchDocument(urls: shownURLs, reports: reports)
        document.knee = knee
        try print(document, reports)
        try writeFiles(reports)
        if let startedAt = document.levels.first?.startedAt, startedAt > 0 {
            history.keep(.bench, startedAt: startedAt, subject: shownURLs.joined(separator: " "), document: try document.text())
        }
        try judge(reports, knee, isInterrupted: stop.isSet)
    }

    /// Visitors instead of requests.
    private func visitorPlan() throws -> VisitorPlan {
        guard !options.isHTTP2 else { throw ValidationError("--visitor: its browsers speak HTTP/1.1, over six connections") }
        guard concurrency == nil, !findKnee, !suite, failIf.isEmpty, accessLog == nil, csv == nil, html == nil, hdr == nil else {
            throw ValidationError("--visitor: comes by --rate, and has none of --concurrency, --find-knee, --suite, --fail-if, --access-log, --csv, --html, --hdr")
        }
        let pages = try specifications().map(\.url)
        for page in pages where page.origin != pages[0].origin { throw ValidationError("--visitor: \(page.origin) is not \(pages[0].origin)") }
        var plan = VisitorPlan(pages: pages) { Decoding.decoded($0, $1) }
        let rate = Double(self.rate ?? "2")
        guard let rate, rate > 0, rate <= 10_000 else { throw ValidationError("--visitor: --rate is a number of visitors per second") }
        let duration = try WorkloadOptions.duration(duration, "--duration")
        guard duration > .zero else { throw ValidationError("--duration: nothing can be measured in no time") }
        guard (0...100).contains(repeatViews) else { throw ValidationError("--repeat-views: from 0 to 100") }
        plan.fields = try options.fields()
        if !plan.fields.contains(where: { $0.name.lowercased() == "accept-encoding" }) { plan.fields.append(.init("Accept-Encoding", "gzip, br, zstd")) }
        plan.rate = rate
        plan.seconds = Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
        plan.shape = arrivals
        plan.seed = seed
        plan.repeatedViews = repeatViews
        plan.pause = try WorkloadOptions.duration(viewPause, "--view-pause")
        plan.timeout = try options.timeLimit()
        plan.verifies = !options.isInsecure
        return plan
    }

    private func runVisitors(_ stop: LoadStop) async throws {
        let plan = try visitorPlan()
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        let interruption = Task { for await _ in signals { stop.set() } }
        defer { interruption.cancel() }
        Terminal.say("\(plan.rate) visitors/s for \(duration), \(1 + plan.repeatedViews) views each …")
        let report = try await VisitorRun(plan, stop: stop).run()
        let document = VisitorDocument(urls: shownURLs, rate: plan.rate, report)
        let text = try ComparisonTable.json(document)
        Terminal.print(json ? text : document.rendered())
        history.keep(.bench, startedAt: document.startedAt, subject: shownURLs.joined(separator: " "), document: text)
        if stop.isSet { throw ExitCode(130) }
        if report.first.failed + report.repeated.failed > 0 || report.first.views == 0 { throw ExitCode.failure }
    }

    private func measure(_ plan: LoadPlan, _ stop: LoadStop) async throws -> LoadReport {
        let seconds = Double(plan.duration.components.seconds) + Double(plan.duration.components.attoseconds) / 1e18
        switch plan.arrivals {
        case .open(let open):
            Terminal.say("\(String(format: "%.1f", open.profile.arrivals / open.profile.seconds)) requests/s for \(DurationText.render(.nanoseconds(Int64(seconds * 1e9)))) …")
        case .closed(let users, _): Terminal.say("\(users) users for \(duration) …")
        }
        let view = LiveView(planned: seconds)
        defer { view.end() }
        return try await LoadRun(plan, stop: stop) { view.show($0) }.run()
    }

    private func findKnee(from plan: LoadPlan, stop: LoadStop, _ reports: inout [LoadReport]) async throws -> BenchDocument.Knee {
        let (objective, _) = try conditions()
        guard case .open(let first) = plan.arrivals else { preconditionFailure("validated: a search is an open loop") }
        var search = KneeSearch(start: first.profile.rateMax)
        var found: KneeSearch.Knee?
        search: while !stop.isSet {
            switch search.step {
            case .done(let knee):
                found = knee
                break search
            case .measure(let rate):
                var open = first
                open.profile = RateProfile(steady: rate, seconds: first.profile.seconds)
                var step = plan
                step.arrivals = .open(open)
                let report = try await measure(step, stop)
                guard !stop.isSet else { break search }
                reports.append(report)
                let holds = objective.allSatisfy { $0.holds(report) }
                let isOurs = report.limits.contains { $0 != .connections }
                search.judged(holds ? .holds : isOurs ? .unknown : .fails)
                let values = objective.map { "\($0) (\(String(format: "%.2f", $0.value(report))))" }.joined(separator: ", ")
                Terminal.say("  \(holds ? "holds" : "does not hold"): \(values)")
            }
        }
        return .init(
            objective: objective.map(\.description).joined(separator: ","), holdsPerSecond: found?.holds, failsPerSecond: found?.fails,
            isGeneratorLimited: found?.isGeneratorLimited ?? false)
    }

    private func print(_ document: BenchDocument, _ reports: [LoadReport]) throws {
        if json { return Terminal.print(try document.text()) }
        let shown = urls.count <= 4 ? shownURLs.joined(separator: " ") : "\(shownURLs[0]) and \(urls.count - 1) more"
        var text = "\(shown)\n\(BenchTable.text(reports))"
        if let knee = document.knee {
            func rate(_ value: Double) -> String { String(format: "%.1f", value) }
            switch (knee.holdsPerSecond, knee.failsPerSecond) {
            case (let low?, let high?): text += "\n\(knee.objective) holds up to \(rate(low)) requests/s, and no more at \(rate(high))\n"
            case (let low?, nil):
                text += "\n\(knee.objective) holds at \(rate(low)) requests/s; \(knee.isGeneratorLimited ? "the generator can do no more" : "no limit was found")\n"
            case (nil, _): text += "\n\(knee.objective) holds at no rate that was tried\n"
            }
        }
        Terminal.print(text)
    }

    private func writeFiles(_ reports: [LoadReport]) throws {
        func write(_ text: String, _ path: String?) throws {
            guard let path else { return }
            do {
                try Data(text.utf8).write(to: URL(filePath: path))
            } catch {
                Terminal.fail("\(path): \(error.localizedDescription)")
                throw ExitCode.failure
            }
        }
        try write(BenchFiles.csv(reports), csv)
        try write(BenchFiles.hdr(reports.dropFirst().reduce(into: reports.first?.responseTimes ?? .init()) { $0.merge($1.responseTimes) }), hdr)
        try write(BenchPage.text(title: shownURLs.joined(separator: " "), reports), html)
    }

    private func judge(_ reports: [LoadReport], _ knee: BenchDocument.Knee?, isInterrupted: Bool) throws {
        let (_, failing) = try conditions()
        let met = failing.filter { condition in reports.contains { condition.holds($0) } }
        for condition in met { Terminal.fail("\(condition) holds") }
        if !met.isEmpty { throw ExitCode(99) }
        if isInterrupted { throw ExitCode(130) }
        if let knee {
            if knee.isGeneratorLimited { throw ExitCode(3) }
            if knee.holdsPerSecond == nil { throw ExitCode.failure }
            return
        }
        if reports.contains(where: \.isGeneratorLimited) { throw ExitCode(3) }
        for report in reports where report.requests == 0 {
            Terminal.say("No request began in the measured time\(report.open == nil ? " at \(report.users) users" : ""): measure for longer.")
        }
        if reports.contains(where: { $0.failed > 0 || $0.requests == 0 }) { throw ExitCode.failure }
    }

    private func conditions() throws -> (objective: [Condition], failing: [Condition]) {
        do {
            return (try slo.map { try Condition.list($0) } ?? [], try failIf.flatMap { try Condition.list($0) })
        } catch {
            throw ValidationError("\(error)")
        }
    }

    /// One plan for an open loop, one for each level of concurrency of a closed one.
    private func plans() throws -> [LoadPlan] {
        let duration = try WorkloadOptions.duration(duration, "--duration")
        guard duration > .zero else { throw ValidationError("--duration: nothing can be measured in no time") }
        if let requests, requests < 1 { throw ValidationError("--requests: at least 1") }
        guard (1...64).contains(threads) else { throw ValidationError("--threads: from 1 to 64") }
        guard (1...100_000).contains(connections) else { throw ValidationError("--connections: from 1 to 100000") }
        let workload = try workload()
        let tls = try options.tls(workload)
        let timeout = try options.timeLimit()
        if let concurrency {
            guard rate == nil else { throw ValidationError("--rate and --concurrency: a loop is open or closed") }
            let warmUp = try WorkloadOptions.duration(warmUp ?? "1s", "--warm-up")
            let thinkTime = try WorkloadOptions.duration(thinkTime, "--think-time")
            return try Self.levels(concurrency).map { users in
                var plan = LoadPlan(
                    workload: workload, endpoint: options.endpoint, users: users, thinkTime: thinkTime, warmUp: warmUp, duration: duration,
                    requestsMax: requests, timeout: timeout, threads: threads)
                plan.tls = tls
                return plan
            }
        }
        let replayed = try replay()
        let profile = try replayed.map { offsets in
            let seconds = (offsets.last ?? 0) + 0.001
            return RateProfile(steady: Double(offsets.count) / seconds, seconds: seconds)
        } ?? RateText.parse(rate ?? "50", duration: duration)
        let warmUp: WarmUp =
            switch self.warmUp ?? (replayed == nil ? "auto" : "0s") {
            case "auto": .untilSteady(block: .seconds(1), blocksMax: 10)
            case let text: .fixed(try WorkloadOptions.duration(text, "--warm-up"))
            }
        var open = LoadPlan.OpenLoop(profile, shape: arrivals, seed: seed, connectionsMax: connections)
        open.recorded = replayed
        var plan = LoadPlan(
            workload: workload, endpoint: options.endpoint, open: open, warmUp: warmUp, requestsMax: requests,
            timeout: timeout, threads: threads)
        plan.tls = tls
        return [plan]
    }

    /// When the requests of an access log begin that is replayed with its timing; `nil` without one.
    private func replay() throws -> [Double]? {
        guard let replaySpeed else { return nil }
        guard let accessLog else { throw ValidationError("--replay-speed: is the timing of --access-log") }
        guard replaySpeed >= 0.001, replaySpeed <= 1_000_000 else { throw ValidationError("--replay-speed: above 0, as in 1 or 10") }
        guard rate == nil, !findKnee, threads == 1 else { throw ValidationError("--replay-speed: the log says when, and one thread sends: no --rate, --find-knee, --threads") }
        do {
            let base = try urls.first.flatMap { try RequestLine.parse($0, base: nil) }?.url
            return try RequestSources.replay(accessLog, base: base, methods: replayedMethods, speed: replaySpeed).offsets
        } catch {
            throw ValidationError("\(error)")
        }
    }

    private var replayedMethods: Set<String> { Set(replayMethods.split(separator: ",").map(String.init)) }

    private var shownURLs: [String] { urls.map { RedisURL.withoutPassword($0) } }

    private func workload() throws -> Workload {
        let first = urls.first ?? ""
        let isKeyspace = first.hasPrefix(RedisURL.scheme)
        guard isKeyspace || first.hasPrefix("postgres://") || first.hasPrefix("postgresql://") else {
            return try options.workload(try specifications())
        }
        guard !options.isHTTP2 else { throw ValidationError("--http2: is for http:// and https://") }
        guard urls.count == 1 else { throw ValidationError("\(RedisURL.withoutPassword(first)): one address, and nothing beside it") }
        let keepsAlive = !options.isConnectionPerRequest
        do {
            if isKeyspace {
                let url = try RedisURL(first)
                return try commandOptions.workload(url, endpoint: options.endpoint, seed: seed, keepsAlive: keepsAlive)
            }
            let url = try PostgresURL(first)
            return try transactionOptions.workload(url, endpoint: options.endpoint, seed: seed, keepsAlive: keepsAlive)
        } catch let error as ValueProblem {
            throw ValidationError(error.text)
        }
    }

    /// What is asked for: with a file the URLs of the command line only name the origin, unless it is a list of URLs beside them.
    private func specifications() throws -> [RequestSpecification] {
        do {
            var named: [RequestSpecification] = []
            for text in urls { if let request = try RequestLine.parse(text, base: nil) { named.append(request) } }
            let base = named.first?.url
            guard [urlFile, sitemap, accessLog].count(where: { $0 != nil }) <= 1 else {
                throw ValidationError("--url-file, --sitemap, --access-log: one of them")
            }
            if let urlFile { return try RequestSources.urlFile(urlFile, base: base) }
            if let sitemap { return try RequestSources.sitemap(sitemap, base: base) }
            if let accessLog {
                guard let replaySpeed else { return try RequestSources.accessLog(accessLog, base: base, methods: replayedMethods) }
                return try RequestSources.replay(accessLog, base: base, methods: replayedMethods, speed: replaySpeed).requests
            }
            guard !named.isEmpty else { throw ValidationError("there is no URL") }
            return named
        } catch let error as ValidationError {
            throw error
        } catch {
            throw ValidationError("\(error)")
        }
    }

    /// Users per level: at most 10,000, as each has a socket.
    private static func levels(_ text: String) throws -> [Int] {
        try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
            guard let users = Int(part), (1...10_000).contains(users) else {
                throw ValidationError("--concurrency \(text): numbers from 1 to 10000, as in 5,20,50")
            }
            return users
        }
    }
}

extension ArrivalShape: ExpressibleByArgument {}
extension TransactionScript.Mode: ExpressibleByArgument {}
