public import ArgumentParser
import Foundation
import History
public import LoadGenerator
import UnixSignals

/// `headrace compare A B`: which of two is faster, by how much, and how sure that is.
///
/// Two URLs are measured in turns: rounds of three blocks (A, B, and A again as a control) in random order, the same arrivals in each.
/// Two documents of `headrace bench --json` are set side by side; a finding is made of them only when their runs took turns.
///
/// Exit codes: 0, whatever the verdict; 1 when a request failed or the control differs from itself; 3 when the generator was the limit;
/// 130 when it was interrupted.
struct CompareCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Say which of two is faster, with a confidence interval.",
        discussion: """
            EXAMPLES:
              headrace compare http://127.0.0.1:8080/ http://127.0.0.1:9090/
              headrace compare http://127.0.0.1:8080/a http://127.0.0.1:8080/b --rate 200 --measure p99
              headrace compare before.json after.json      two documents of headrace bench --json
              headrace compare 12 15                       two runs of the history

            Two URLs are measured in turns, in random order, with the first one measured twice as a control: about two and a half minutes. \
            Two runs that were made one after the other are shown side by side, and never called a finding: identical servers measured so \
            differ by 14 % in the median.
            """)

    @Argument(help: ArgumentHelp("A URL, a file that headrace bench --json wrote, or the number of a run.", valueName: "a"))
    var first: String

    @Argument(help: ArgumentHelp("Another one of the same kind.", valueName: "b"))
    var second: String

    @Option(help: "Requests per second, of each.")
    var rate = 50.0

    @Option(help: "How requests follow each other: constant or poisson.")
    var arrivals: ArrivalShape = .constant

    @Option(help: "What is compared: p50, p95, p99 or mean of each block's response times.")
    var measure: Comparison.Measure = .median

    @Option(help: "Rounds, at least; more follow until the interval is narrow enough.")
    var rounds = 20

    @Option(help: "Rounds, at most.")
    var roundsMax: Int?

    @Option(help: "How long each block is measured.")
    var block = "2s"

    @Option(help: "Of the order and of Poisson arrivals.")
    var seed: UInt64 = 1

    @OptionGroup(title: "What is sent") var options: WorkloadOptions

    @Flag(help: "Print one JSON document instead of the table.")
    var json = false

    @OptionGroup var history: HistoryOptions

    func validate() throws {
        guard (1...10_000).contains(rounds), roundsMax ?? rounds >= rounds else { throw ValidationError("--rounds, --rounds-max: 1 to 10000") }
        guard rate > 0, rate <= RateText.rateMax else { throw ValidationError("--rate: above 0") }
        guard try WorkloadOptions.duration(block, "--block") > .zero else { throw ValidationError("--block: above 0") }
        if isURL(first) != isURL(second) { throw ValidationError("\(first) and \(second): two URLs, or two documents") }
        if isURL(first) { _ = try arms() }
    }

    private func isURL(_ text: String) -> Bool { text.contains("://") }

    func run() async throws {
        guard isURL(first) else { return try compareDocuments() }
        var experiment = Experiment.Options()
        experiment.rate = rate
        experiment.shape = arrivals
        experiment.measure = measure
        experiment.roundsMin = rounds
        experiment.roundsMax = roundsMax ?? max(3 * rounds, rounds)
        experiment.seed = seed
        let length = try WorkloadOptions.duration(block, "--block")
        experiment.blockSeconds = Double(length.components.seconds) + Double(length.components.attoseconds) / 1e18
        let secondsPerRound = experiment.secondsPerRound(arms: 3)
        Terminal.say(
            "\(rounds) rounds of 3 blocks: about \(Int((Double(rounds) * secondsPerRound / 60).rounded(.up))) minutes; seed \(seed)")
        let startedAt = Date().timeIntervalSince1970
        let stop = LoadStop()
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        let interruption = Task { for await _ in signals { stop.set() } }
        defer { interruption.cancel() }
        let result: Experiment.Result
        do {
            result = try await Experiment(arms: try arms(), options: experiment).run(reference: 0, control: 2, stop: stop)
        } catch let error as LoadRun.Unreachable {
            Terminal.fail("\(error)")
            throw ExitCode.failure
        }
        let table = ComparisonTable(result: result, measure: measure, secondsPerRound: secondsPerRound)
        let document = try ComparisonTable.json(table.document("compare", seed: seed))
        if json {
            Terminal.print(document)
        } else {
            Terminal.print("A  \(first)\nB  \(second)\n\n\(table.rendered())")
        }
        history.keep(.compare, startedAt: startedAt, subject: "\(first) \(second)", document: document)
        if result.isInterrupted { throw ExitCode(130) }
        if result.reports.contains(where: \.isGeneratorLimited) { throw ExitCode(3) }
        if result.comparison.isTooNoisy(measure) || result.reports.contains(where: { $0.failed > 0 }) { throw ExitCode.failure }
    }

    /// The two, and the first one over again.
    private func arms() throws -> [Experiment.Arm] {
        try [("A", first), ("B", second), ("A again", first)].map { name, text in
            do {
                guard let request = try RequestLine.parse(text, base: nil) else { throw ValidationError("\(text): no URL") }
                let workload = try options.workload([request])
                var plan = LoadPlan(
                    workload: workload, endpoint: options.endpoint, open: .init(.init(steady: rate, seconds: 1)),
                    timeout: try options.timeLimit())
                plan.tls = try options.tls(workload)
                return Experiment.Arm(name: name, plan: plan)
            } catch let error as RequestLine.Invalid {
                throw ValidationError("\(error)")
            }
        }
    }

    private func compareDocuments() throws {
        func document(_ path: String) throws -> BenchDocument {
            do {
                if let number = Int64(path) {
                    guard let run = try history.open().run(number) else { throw ValidationError("") }
                    return try BenchDocument(text: run.document)
                }
                return try BenchDocument(text: try String(contentsOfFile: path, encoding: .utf8))
            } catch let error as ExitCode {
                throw error
            } catch {
                Terminal.fail("\(path) is no document of headrace bench --json, nor a run of bench in the history")
                throw ExitCode.failure
            }
        }
        let documents = [try document(first), try document(second)]
        var table = TextTable(columns: [
            .left(""), .right("run"), .right("requests/s"), .right("p50 ms"), .right("p95 ms"), .right("p99 ms"), .right("failed"),
        ])
        for (name, document) in zip(["A", "B"], documents) {
            for (index, level) in document.levels.enumerated() {
                let figures = [level.requestsPerSecond, level.p50Ms, level.p95Ms, level.p99Ms].map { String(format: "%.2f", $0) }
                table.add([name, "\(index + 1)"] + figures + ["\(level.failed)"])
            }
        }
        Terminal.print(table.rendered())
        Terminal.print(try Self.finding(documents[0].levels, documents[1].levels, measure))
    }

    /// What may be said of two series of runs.
    static func finding(_ first: [BenchDocument.Level], _ second: [BenchDocument.Level], _ measure: Comparison.Measure) throws -> String {
        func times(_ levels: [BenchDocument.Level]) -> [(start: Double, end: Double)] { levels.map { ($0.startedAt, $0.startedAt + $0.seconds) } }
        guard Comparison.areInterleaved(times(first), times(second)) else {
            return "No finding: the runs did not take turns, so that the difference may be the machine's. Measure both in turns: headrace compare URL URL"
        }
        func value(_ level: BenchDocument.Level) -> Double? {
            let value =
                switch measure {
                case .median: level.p50Ms
                case .p95: level.p95Ms
                case .p99: level.p99Ms
                case .mean: level.meanMs
                }
            return value > 0 ? value : nil
        }
        var comparison = Comparison(arms: ["A", "B"], reference: 0)
        for (one, other) in zip(first, second) { comparison.add([.init(milliseconds: value(one)), .init(milliseconds: value(other))]) }
        let seconds = (first + second).reduce(0) { $0 + $1.seconds } / Double(first.count)
        return "B is \(comparison.verdicts(measure)[1]?.words(secondsPerRound: seconds) ?? "no data") beside A, by \(measure.rawValue)"
    }
}

extension Comparison.Measure: ExpressibleByArgument {}
