import ArgumentParser
import Foundation
import LoadGenerator
import Transport

/// `headrace bench URL…`: a closed-loop load test, one level of concurrency after the other.
///
/// The table goes to stdout, progress to stderr. With `--json` stdout has one JSON document instead:
///
/// | key | |
/// |---|---|
/// | `headrace` | `"bench"` |
/// | `model` | `"closed-loop"` |
/// | `url` | the URLs, as given |
/// | `levels` | an object per level of concurrency, in the order given |
///
/// | key of a level | unit |
/// |---|---|
/// | `users` | connections that ask at the same time |
/// | `seconds` | the measured time |
/// | `requests` | succeeded and failed |
/// | `requests_per_second` | those that succeeded |
/// | `mean_ms`, `p50_ms`, `p95_ms`, `p99_ms`, `max_ms` | response times of those that succeeded; 0 if none did |
/// | `bytes_per_request` | body bytes as transferred, of those that succeeded |
/// | `failed` | |
/// | `failures` | an object with a number for every `FailureKind`, zeros too |
/// | `generator_cpu_share` | of one core; near 1, the generator measures itself |
///
/// Exit codes: 0; 1 when a request failed, a level has none, or the origin could not be reached; 64 when the command line is
/// wrong.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure how many requests a server answers, and how fast.",
        discussion: """
            EXAMPLES:
              headrace bench http://127.0.0.1:8080/
              headrace bench http://127.0.0.1:8080/ --concurrency 50 --duration 30s
              headrace bench http://127.0.0.1:8080/ -H 'Accept-Encoding: gzip'
              headrace bench http://127.0.0.1:8080/a http://127.0.0.1:8080/b --json

            The loop is closed: each user waits for its response before the next request, so stalls are under-reported. Without \
            more words: 5, then 20, then 50 users, 10 seconds each. Exits with 1 if a request failed.
            """
    )

    @Argument(help: ArgumentHelp("What to ask for; several URLs of one origin are asked for in rotation.", valueName: "url"))
    var urls: [String]

    @Option(help: "Users that ask at the same time; several numbers are measured one after the other.")
    var concurrency = "5,20,50"

    @Option(help: "How long each level is measured.")
    var duration = "10s"

    @Option(help: "How long each level runs before it is measured.")
    var warmUp = "1s"

    @Option(help: "End a level after so many measured requests, if its time is not over before.")
    var requests: Int?

    @Option(name: [.customLong("header"), .customShort("H")], help: "A field to send with each request; may be repeated.")
    var headers: [String] = []

    @Option(help: "A response that is not complete after this time is a failure.")
    var timeout = "10s"

    @Flag(name: .customLong("no-keep-alive"), help: "Make a new connection for each request.")
    var isConnectionPerRequest = false

    @Option(help: "The one status that is a success; without it any from 200 to 399 is.")
    var expectStatus: Int?

    @Option(help: "Connect to this Unix domain socket instead of the URL's host.")
    var unixSocket: String?

    @Flag(help: "Print one JSON document instead of the table.")
    var json = false

    func validate() throws {
        _ = try plans()
    }

    func run() async throws {
        let plans = try plans()
        var reports: [LoadReport] = []
        for plan in plans {
            Terminal.say("\(plan.users) users: \(warmUp) of warm-up, then \(duration) …")
            do {
                reports.append(try await LoadRun(plan).run())
            } catch let error as LoadRun.Unreachable {
                Terminal.fail("\(error)")
                throw ExitCode.failure
            }
        }
        if json {
            Terminal.print(try BenchDocument(urls: urls, reports: reports).text())
        } else {
            let shown = urls.count <= 4 ? urls.joined(separator: " ") : "\(urls[0]) and \(urls.count - 1) more"
            Terminal.print("\(shown)\n\(BenchTable.text(reports))")
        }
        for report in reports where report.generatorCPUShare > 0.9 {
            Terminal.say("At \(report.users) users the load generator itself was busy: the server may be able to do more.")
        }
        for report in reports where report.requests == 0 {
            Terminal.say("At \(report.users) users no request began in the measured time: measure for longer.")
        }
        if reports.contains(where: { $0.failed > 0 || $0.requests == 0 }) { throw ExitCode.failure }
    }

    /// One plan for each level of concurrency.
    private func plans() throws -> [LoadPlan] {
        let levels = try Self.levels(concurrency)
        let duration = try Self.duration(duration, "--duration")
        let warmUp = try Self.duration(warmUp, "--warm-up")
        let timeout = try Self.duration(timeout, "--timeout")
        guard duration > .zero else { throw ValidationError("--duration: nothing can be measured in no time") }
        guard timeout > .zero else { throw ValidationError("--timeout: no response takes no time") }
        if let requests, requests < 1 { throw ValidationError("--requests: at least 1") }
        if let expectStatus, !(200...999).contains(expectStatus) {
            throw ValidationError("--expect-status: a final status has three digits, from 200")
        }
        let expectation = ResponseExpectation(status: expectStatus.map { .exactly($0) } ?? .successOrRedirection)
        let workload: Workload
        do {
            workload = try Workload(
                urls: try urls.map { try HTTPURL($0) }, fields: try headers.map { try Self.field($0) },
                keepsAlive: !isConnectionPerRequest, expecting: expectation)
        } catch {
            throw ValidationError("\(error)")
        }
        return levels.map { users in
            LoadPlan(
                workload: workload, endpoint: unixSocket.map { .unix(path: $0) }, users: users, warmUp: warmUp,
                duration: duration, requestsMax: requests, timeout: timeout)
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

    private static func field(_ text: String) throws -> Workload.Field {
        guard let colon = text.firstIndex(of: ":") else { throw Workload.Invalid.field(text) }
        let value = text[text.index(after: colon)...].trimmingCharacters(in: .whitespaces)
        return Workload.Field(String(text[..<colon]), value)
    }

    private static func duration(_ text: String, _ option: String) throws -> Duration {
        do {
            return .nanoseconds(try DurationText.parse(text).nanoseconds)
        } catch {
            throw ValidationError("\(option): \(error.text)")
        }
    }
}
