import ArgumentParser
import Foundation
import UnixSignals

struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Show what the edge is worth: the sample application, with and without it.",
        discussion: """
            EXAMPLES:
              headrace demo                          measures, then stays up until Ctrl-C
              headrace demo --once                   the same, and ends by itself
              headrace demo --rounds 5 --duration 10s

            Starts Examples/scanner (Flask, gunicorn, PostgreSQL: scripts/setup demo installs them) on free ports and a headrace in front
            of it, holds the pages to each other byte for byte, and drives both at 5, 20 and 50 users, in turn. Then it says what to open, and
            stays up; Ctrl-C ends all that it started.

            EXIT CODES:
              0   nothing failed; or it was ended after the tables
              1   a page differs, gzip saves less than 80 % of the page, a request failed, or it was ended before the tables
              69  there is no program to start

            With --json the document has the rows of each table (edge, pooler, keyspace), all measurements behind them, the sizes of the page,
            and what headrace prove --json says.
            """)

    @Option(help: ArgumentHelp("The program that starts the sample application.", valueName: "program"))
    var application = "Examples/scanner/run"

    @Option(help: ArgumentHelp("Where the edge listens; another port if it is taken.", valueName: "address"))
    var listen = "127.0.0.1:8080"

    @Option(help: ArgumentHelp("Keep the database and the logs here; else a temporary folder, removed at the end.", valueName: "folder"))
    var state: String?

    @Option(help: "How often each measurement is taken.")
    var rounds = 3

    @Option(help: "How long each measurement is.")
    var duration = "3s"

    @Option(help: "Rounds of headrace prove at the end, about 8 s each; 0 leaves it out.")
    var proofRounds = 12

    @Flag(help: "End after the table.")
    var once = false

    @Flag(help: "Print one JSON document in the place of the table.")
    var json = false

    func validate() throws {
        guard (0...1000).contains(proofRounds) else { throw ValidationError("--proof-rounds \(proofRounds): expected 0…1000") }
        guard (1...100).contains(rounds) else { throw ValidationError("--rounds \(rounds): expected 1…100") }
        do {
            _ = try DurationText.parse(duration)
        } catch {
            throw ValidationError("--duration: \(error.text)")
        }
    }

    private struct Interrupted: Error {}

    func run() async throws {
        let program = URL(filePath: application)
        guard FileManager.default.isExecutableFile(atPath: program.path) else {
            Terminal.fail("there is no program \(application): run this in Headrace's own folder, or say --application")
            throw ExitCode.unavailable
        }
        var options = Demo.Options(application: program, listen: listen)
        options.state = state.map { URL(filePath: $0) }
        options.rounds = rounds
        options.duration = duration
        options.proofRounds = proofRounds
        options.isOnce = once
        options.isJSON = json
        let demo = try Demo(options)
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await demo.run() }
                group.addTask {
                    for await _ in signals { throw Interrupted() }
                }
                // Whoever is first ends the other; the demo stops its children on the way out.
                defer { group.cancelAll() }
                try await group.next()
            }
        } catch is Interrupted {
            Terminal.say("ended")
            guard !demo.isMeasured else { return }
            throw ExitCode.failure
        } catch {
            Terminal.fail("\(error)")
            throw ExitCode.failure
        }
    }
}
