import ArgumentParser
import Foundation
import LoadGenerator

/// `headrace warm`: asks for pages so that they are stored before somebody else asks, or fills a keyspace with keys.
///
/// Exit codes: 0 when every page was answered and every key set, 1 when one was not, 69 when the pages' list, the keys' source or the keyspace
/// could not be had to the end.
struct WarmCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "warm",
        abstract: "Have pages stored, or a keyspace filled, before somebody asks.",
        discussion: """
            EXAMPLES:
              headrace warm --sitemap https://shop.example/sitemap.xml
              headrace warm --sitemap sitemap.xml --to http://127.0.0.1:8080 --rate 20
              headrace warm --access-log access.log --to http://127.0.0.1:8080 --host shop.example --top 1000
              headrace warm https://shop.example/ --accept-encoding br --accept-encoding gzip --variant 'Accept-Language: de'
              headrace warm --keyspace 127.0.0.1:6379 --file prices.tsv --ttl 1h
              headrace warm --keyspace redis://:secret@cache.example/2 --command './export-sessions' --format jsonl --rate 5000
              headrace warm --keyspace 127.0.0.1:6379 --postgres postgres://app@127.0.0.1/shop --ttl 10m --for-helper \\
                --sql "SELECT 'product:' || id, to_json(p) FROM product p"

            A sitemap may be an index, and compressed. Of an access log the targets that were asked for most come first. Each URL is asked for \
            once per accepted coding, and once more for each of these with each --variant. With --to the connection goes there, and Host says \
            the URL's own.

            With --keyspace it is keys: of a keyspace, Redis or Valkey. Each line has a key, a tab, a value, and perhaps another tab and a \
            lifetime (3600, 1h), escaped as PostgreSQL's COPY does it (\\t, \\n, \\\\); or it is {"key": "a", "value": 1, "ttl": 3600}, which \
            --format jsonl says, or a file's name that ends in .jsonl. A query's rows have the same two or three columns. Lifetimes are shortened \
            by up to --jitter, so that what is filled together does not end together. What is wrong with a line is said with its number, \
            and the others are set.
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

    @OptionGroup(title: "KEYS")
    var keys: KeyOptions

    @Option(help: ArgumentHelp("Of the URLs or keys, the first; of an access log, the most asked for.", valueName: "number"))
    var top: Int?

    @Option(help: ArgumentHelp("The host of paths without one.", valueName: "name"))
    var host: String?

    @Option(help: ArgumentHelp("Connect here, whatever the URLs' hosts.", valueName: "url"))
    var to: String?

    @Option(help: ArgumentHelp("Requests at the same time: 8 unless said, of keys 64.", valueName: "number"))
    var concurrency: Int?

    @Option(help: ArgumentHelp("At most so many requests, or keys, per second.", valueName: "number"))
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
        let isForPages = !urls.isEmpty || !sitemap.isEmpty || urlFile != nil || accessLog != nil
        if keys.keyspace != nil {
            guard !isForPages else { throw ValidationError("--keyspace fills keys: pages are for a run of their own") }
        } else {
            guard isForPages else { throw ValidationError("what? URLs, --sitemap, --url-file or --access-log; or --keyspace and what to fill it with") }
        }
        guard (1...1000).contains(concurrency ?? 1) else { throw ValidationError("--concurrency: 1…1000") }
        if let rate, !(0.001...100_000).contains(rate) { throw ValidationError("--rate: 0.001…100000") }
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
        if let fill = try keys.fill(
            concurrency: concurrency, rate: rate, countMax: top, timeout: try WorkloadOptions.duration(timeout, "--timeout"), json: json)
        {
            return try await fill.run()
        }
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
        let concurrency = concurrency ?? 8
        let schedule = EvenSchedule(rate: rate)
        var answers: [Answer] = []
        await withTaskGroup(of: Answer.self) { group in
            var running = 0
            for (index, request) in requests.enumerated() {
                if running == concurrency, let answer = await group.next() {
                    running -= 1
                    answers.append(answer)
                    progress.show(done: answers.count, failed: answers.count { $0.outcome == .failed })
                }
                let wait = schedule.wait(before: index)
                if wait > 0 { try? await Task.sleep(for: .nanoseconds(Int64(wait))) }
                running += 1
                group.addTask { await Self.ask(request, fetch, to: to) }
            }
            for await answer in group {
                answers.append(answer)
                progress.show(done: answers.count, failed: answers.count { $0.outcome == .failed })
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
