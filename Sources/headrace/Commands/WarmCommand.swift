import ArgumentParser
import Foundation
import LoadGenerator
import Telemetry

/// `headrace warm`: asks for pages so that they are stored before somebody else asks.
///
/// Exit codes: 0 when every page was answered, 1 when one was not.
struct WarmCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "warm",
        abstract: "Have pages stored before somebody asks for them.",
        discussion: """
            EXAMPLES:
              headrace warm --sitemap https://shop.example/sitemap.xml
              headrace warm --sitemap sitemap.xml --to http://127.0.0.1:8080 --rate 20
              headrace warm --access-log access.log --to http://127.0.0.1:8080 --host shop.example --top 1000
              headrace warm https://shop.example/ --accept-encoding br --accept-encoding gzip --variant 'Accept-Language: de'

            A sitemap may be an index, and compressed. Of an access log the targets that were asked for most come first. Each URL is asked for \
            once per accepted coding, and once more for each of these with each --variant. With --to the connection goes there, and Host says \
            the URL's own.
            """)

    /// URLs, each with its variants; more are not warmed in one run.
    static let requestsMax = 1_000_000

    @Argument(help: ArgumentHelp("What to ask for.", valueName: "url"))
    var urls: [String] = []

    @Option(help: ArgumentHelp("A sitemap or an index of some: a URL or a file; may be repeated.", valueName: "sitemap"))
    var sitemap: [String] = []

    @Option(help: ArgumentHelp("A file with a URL, or a path of --host, on each line.", valueName: "file"))
    var urlFile: String?

    @Option(help: ArgumentHelp("An access log: Apache's and nginx's combined format, or JSON lines. Its GETs that succeeded in it.", valueName: "file"))
    var accessLog: String?

    @Option(help: ArgumentHelp("Of the URLs, the first; of an access log, the most asked for.", valueName: "number"))
    var top: Int?

    @Option(help: ArgumentHelp("The host of paths without one.", valueName: "name"))
    var host: String?

    @Option(help: ArgumentHelp("Connect here, whatever the URLs' hosts.", valueName: "url"))
    var to: String?

    @Option(help: "Requests at the same time.")
    var concurrency = 8

    @Option(help: ArgumentHelp("At most so many requests per second.", valueName: "number"))
    var rate: Double?

    @Option(help: ArgumentHelp("What clients accept; may be repeated. As browsers say it, unless said.", valueName: "codings"))
    var acceptEncoding: [String] = []

    @Option(help: ArgumentHelp("Ask once more with this field, Name: value; may be repeated.", valueName: "field"))
    var variant: [String] = []

    @Option(name: [.customLong("header"), .customShort("H")], help: "A field to send with each request; may be repeated.")
    var headers: [String] = []

    @Option(help: "For each response.")
    var timeout = "30s"

    @Flag(name: .customLong("insecure"), help: "Take any certificate.")
    var isInsecure = false

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        guard !urls.isEmpty || !sitemap.isEmpty || urlFile != nil || accessLog != nil else {
            throw ValidationError("what? URLs, --sitemap, --url-file or --access-log")
        }
        guard (1...1000).contains(concurrency) else { throw ValidationError("--concurrency: 1…1000") }
        if let rate, !(rate > 0 && rate <= 100_000) { throw ValidationError("--rate: above 0, at most 100000") }
        if let top, top < 1 { throw ValidationError("--top: at least 1") }
        _ = try WorkloadOptions.duration(timeout, "--timeout")
        _ = try connectTo()
        _ = try (headers + variant).map(Self.field)
    }

    private static func field(_ text: String) throws -> Workload.Field {
        guard let colon = text.firstIndex(of: ":") else { throw ValidationError("\(text): 'Name: value'") }
        return Workload.Field(String(text[..<colon]), text[text.index(after: colon)...].trimmingCharacters(in: .whitespaces))
    }

    private func connectTo() throws -> HTTPURL? {
        guard let to else { return nil }
        do {
            return try HTTPURL(to.contains("://") ? to : "http://" + to)
        } catch {
            throw ValidationError("--to \(to): \(error)")
        }
    }

    struct Request: Sendable {
        let url: HTTPURL
        let fields: [Workload.Field]
    }

    struct Answer: Sendable {
        let outcome: WarmOutcome
        /// Why it was not stored, or what failed.
        let reason: String
        let url: String
    }

    func run() async throws {
        let fetch = PageFetch(timeout: try WorkloadOptions.duration(timeout, "--timeout"), verifies: !isInsecure)
        let to = try connectTo()
        let requests: [Request]
        do {
            requests = try self.requests(try await targets(fetch, to: to))
        } catch let error as any CustomStringConvertible & Error {
            Terminal.fail(error.description)
            throw ExitCode.unavailable
        }
        let answers = await warm(requests, fetch, to: to)
        try report(answers)
    }

    // MARK: What

    private func targets(_ fetch: PageFetch, to: HTTPURL?) async throws -> [HTTPURL] {
        let base = try host.map { try HTTPURL("http://\($0)") } ?? to
        var texts: [String] = urls
        let pages = SitemapPages { url in
            let page = try await Self.get(url, [Workload.Field("Accept-Encoding", "identity")], fetch, to: to)
            guard page.head.status == 200 else { throw SitemapPages.Failure(description: "\(url.origin)\(url.target): \(page.head.status)") }
            return page.body
        }
        for source in sitemap { texts += try await pages.urls(source) }
        var targets: [HTTPURL] = []
        for text in texts {
            guard !text.hasPrefix("/") else {
                guard let base else { throw ValidationError("\(text): --host says whose path this is") }
                targets.append(try HTTPURL(base.origin + text))
                continue
            }
            targets.append(try HTTPURL(text))
        }
        if let urlFile { targets += try RequestSources.urlFile(urlFile, base: base).map(\.url) }
        if let accessLog {
            guard let base else { throw ValidationError("--access-log: a log names paths: --host or --to says whose") }
            targets += Self.mostAskedFor(try RequestSources.accessLog(accessLog, base: base, methods: ["GET"]).map(\.url))
        }
        return Array(targets.prefix(top ?? Self.requestsMax))
    }

    /// Each once, the one that is there most often first; among equals, in their order.
    static func mostAskedFor(_ urls: [HTTPURL]) -> [HTTPURL] {
        var counts: [String: (count: Int, first: Int)] = [:]
        for (index, url) in urls.enumerated() { counts[url.target, default: (0, index)].count += 1 }
        return counts.values.sorted { $0.count == $1.count ? $0.first < $1.first : $0.count > $1.count }.map { urls[$0.first] }
    }

    private func requests(_ targets: [HTTPURL]) throws -> [Request] {
        let codings = acceptEncoding.isEmpty ? ["gzip, deflate, br, zstd"] : acceptEncoding
        let common = try headers.map(Self.field)
        let variants = try [[]] + variant.map { [try Self.field($0)] }
        guard targets.count * codings.count * variants.count <= Self.requestsMax else {
            throw ValidationError("more than \(Self.requestsMax) requests; --top bounds the URLs")
        }
        return targets.flatMap { url in
            variants.flatMap { more in codings.map { Request(url: url, fields: common + more + [Workload.Field("Accept-Encoding", $0)]) } }
        }
    }

    // MARK: Asking

    private static func get(_ url: HTTPURL, _ fields: [Workload.Field], _ fetch: PageFetch, to: HTTPURL?) async throws -> PageFetch.Page {
        guard let to else { return try await fetch.get(url, fields: fields) }
        let hasHost = fields.contains { $0.name.lowercased() == "host" }
        return try await fetch.get(
            try HTTPURL(to.origin + url.target), fields: hasHost ? fields : fields + [Workload.Field("Host", url.authority)])
    }

    private static func ask(_ request: Request, _ fetch: PageFetch, to: HTTPURL?) async -> Answer {
        let text = request.url.origin + request.url.target
        do {
            let page = try await get(request.url, request.fields, fetch, to: to)
            let cacheStatus = page.head.fields.string(.cacheStatus)
            let outcome = WarmOutcome(status: page.head.status, cacheStatus: cacheStatus)
            let reason = outcome == .failed ? "\(page.head.status)" : WarmOutcome.detail(cacheStatus) ?? (cacheStatus == nil ? "no-cache-status" : "")
            return Answer(outcome: outcome, reason: reason, url: text)
        } catch let failure as PageFetch.Failure {
            return Answer(outcome: .failed, reason: "\(failure.kind)", url: text)
        } catch {
            return Answer(outcome: .failed, reason: "\(error)", url: text)
        }
    }

    private func warm(_ requests: [Request], _ fetch: PageFetch, to: HTTPURL?) async -> [Answer] {
        let progress = WarmProgress(total: requests.count)
        let start = MonotonicClock.nanoseconds()
        var answers: [Answer] = []
        await withTaskGroup(of: Answer.self) { group in
            var running = 0
            for (index, request) in requests.enumerated() {
                if running == concurrency, let answer = await group.next() {
                    running -= 1
                    answers.append(answer)
                    progress.show(answers)
                }
                if let rate {
                    // By the schedule and not by what came before: a slow answer is caught up with.
                    let due = start + UInt64(Double(index) / rate * 1e9)
                    let now = MonotonicClock.nanoseconds()
                    if due > now { try? await Task.sleep(for: .nanoseconds(Int64(due - now))) }
                }
                running += 1
                group.addTask { await Self.ask(request, fetch, to: to) }
            }
            for await answer in group {
                answers.append(answer)
                progress.show(answers)
            }
        }
        progress.end()
        return answers
    }

    // MARK: Telling

    private struct Document: Encodable {
        var headrace = "warm"
        var schema = 1
        var requests: Int
        var stored: Int
        var there: Int
        var not_stored: Int
        var failed: Int
        var reasons: [String: Int]
    }

    private func report(_ answers: [Answer]) throws {
        func count(_ outcome: WarmOutcome) -> Int { answers.count { $0.outcome == outcome } }
        var reasons: [String: (count: Int, example: String)] = [:]
        for answer in answers where answer.outcome == .notStored || answer.outcome == .failed {
            reasons["\(answer.outcome.rawValue): \(answer.reason)", default: (0, answer.url)].count += 1
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            let document = Document(
                requests: answers.count, stored: count(.stored), there: count(.there), not_stored: count(.notStored), failed: count(.failed),
                reasons: reasons.mapValues(\.count))
            Terminal.print(String(decoding: try encoder.encode(document), as: UTF8.self))
        } else {
            var table = TextTable(columns: [.left("outcome"), .right("requests"), .left("such as")])
            for outcome in WarmOutcome.allCases where outcome == .stored || outcome == .there {
                table.add([outcome.rawValue, "\(count(outcome))", answers.first { $0.outcome == outcome }?.url ?? ""])
            }
            for (reason, found) in reasons.sorted(by: { $0.value.count > $1.value.count }) { table.add([reason, "\(found.count)", found.example]) }
            Terminal.print(table.rendered())
        }
        if count(.failed) > 0 { throw ExitCode.failure }
    }
}
