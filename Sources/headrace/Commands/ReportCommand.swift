public import ArgumentParser
import Dashboard
import Foundation
public import History
import LoadGenerator

/// `headrace report`: what was measured before.
///
/// Without a number a table of runs, the oldest first; with `--json` an array of `number`, `kind`, `started_at` (seconds since 1970),
/// `subject` and `document`, which is what the run's own `--json` printed. With a number that run's document.
struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Show the runs that were kept.",
        discussion: """
            EXAMPLES:
              headrace report                     the last 30 days
              headrace report --since 7d --kind bench
              headrace report --since 7d --html   a page, for a file or a mail
              headrace report 12                  one run, as its --json printed it
              headrace compare 12 15              two runs side by side
            """)

    @Argument(help: "A run's number.")
    var number: Int64?

    @Option(help: "How far back.")
    var since = "30d"

    @Option(help: "bench, compare or prove; all of them unless said.")
    var kind: RunHistory.Kind?

    @Flag(help: "Print one JSON document instead of the table.")
    var json = false

    @Flag(help: "Print a page in the place of the table: runs, the last proof, and visitors' traffic as dashboard.state keeps it in the history's folder.")
    var html = false

    @OptionGroup var history: HistoryOptions

    func validate() throws {
        _ = try WorkloadOptions.duration(since, "--since")
        if html, json || number != nil { throw ValidationError("--html: is for a list of runs, and in the place of --json") }
    }

    func run() throws {
        let folder = history.path.map { URL(filePath: $0).deletingLastPathComponent().path }
        let history = try history.open()
        if let number {
            guard let run = try history.run(number) else {
                Terminal.fail("there is no run \(number)")
                throw ExitCode.failure
            }
            return Terminal.print(run.document)
        }
        let seconds = Double(try WorkloadOptions.duration(since, "--since").components.seconds)
        let now = Date().timeIntervalSince1970
        let runs = try history.runs(since: now - seconds, kind: kind)
        if html {
            let times = Int64(max(now - seconds, 0))..<Int64(now) + 1
            var course: SampleCourse?
            var courseError: String?
            if let path = folder.map({ $0 + "/samples.sqlite" }), FileManager.default.fileExists(atPath: path) {
                do { course = try SampleCourse(path: path, times) } catch { courseError = "\(error)" }
            }
            return Terminal.print(
                ReportPage.text(since: since, now: now, runs: runs, table: Self.table(runs), course: course, courseError: courseError))
        }
        Terminal.print(json ? try Self.json(runs) : Self.table(runs))
    }

    private static func table(_ runs: [RunHistory.Run]) -> String {
        guard !runs.isEmpty else { return "no run was kept in this time\n" }
        var table = TextTable(columns: [
            .right("run"), .left("began (UTC)"), .left("kind"), .left("what"), .right("requests/s"), .right("p50 ms"), .right("p95 ms"), .right("p99 ms"),
            .right("failed"),
        ])
        for run in runs {
            let when = Date(timeIntervalSince1970: run.startedAt).formatted(.iso8601.dateSeparator(.dash).timeSeparator(.colon).year().month().day().time(includingFractionalSeconds: false))
            let what = run.subject.count > 60 ? run.subject.prefix(59) + "…" : run.subject[...]
            let levels = (try? BenchDocument(text: run.document))?.levels ?? []
            guard !levels.isEmpty else {
                table.add(["\(run.number)", when, run.kind.rawValue, String(what), "–", "–", "–", "–", "–"])
                continue
            }
            for level in levels {
                let figures = [level.requestsPerSecond, level.p50Ms, level.p95Ms, level.p99Ms].map { String(format: "%.2f", $0) }
                let name = levels.count > 1 ? "\(what), \(level.users) users" : String(what)
                table.add(["\(run.number)", when, run.kind.rawValue, name] + figures + ["\(level.failed)"])
            }
        }
        return table.rendered()
    }

    private static func json(_ runs: [RunHistory.Run]) throws -> String {
        let objects = try runs.map { run -> [String: Any] in
            [
                "number": run.number, "kind": run.kind.rawValue, "started_at": run.startedAt, "subject": run.subject,
                "document": try JSONSerialization.jsonObject(with: Data(run.document.utf8)),
            ]
        }
        let data = try JSONSerialization.data(withJSONObject: objects, options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
        return String(decoding: data, as: UTF8.self) + "\n"
    }
}

extension RunHistory.Kind: ExpressibleByArgument {}
