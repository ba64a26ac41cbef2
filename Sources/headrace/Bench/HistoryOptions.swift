import ArgumentParser
import Foundation
import History

/// Where runs are kept: the part of the command line that all measuring commands share.
struct HistoryOptions: ParsableArguments {
    @Option(
        name: .customLong("history"),
        help: ArgumentHelp(
            "The file that keeps every run, or none. Without it $HEADRACE_HISTORY, else headrace/history.sqlite in $XDG_STATE_HOME or ~/.local/state.",
            valueName: "file"))
    var file: String?

    static let none = "none"

    /// - Returns: `nil` when nothing is kept.
    var path: String? {
        let environment = ProcessInfo.processInfo.environment
        if let named = file ?? environment["HEADRACE_HISTORY"], !named.isEmpty { return named == Self.none ? nil : named }
        return Self.inStateFolder(environment)
    }

    /// Where runs are kept when nothing else is said; `nil` when the environment says that none are, or there is no home.
    static var standardPath: String? {
        let environment = ProcessInfo.processInfo.environment
        if let named = environment["HEADRACE_HISTORY"], !named.isEmpty { return named == none ? nil : named }
        return inStateFolder(environment)
    }

    private static func inStateFolder(_ environment: [String: String]) -> String? {
        StateFolder.path(environment).map { $0 + "/history.sqlite" }
    }

    /// Keeps a run that was printed already: when it cannot be kept, that is said, and is no failure of the measurement.
    func keep(_ kind: RunHistory.Kind, startedAt: Double, subject: String, document: String) {
        guard let path else { return }
        do throws(RunHistory.Unusable) {
            let number = try RunHistory(path: path).add(kind, startedAt: startedAt, subject: subject, document: document)
            Terminal.say("kept as run \(number): headrace report \(number)")
        } catch {
            Terminal.say("not kept in the history: \(error)")
        }
    }

    func open() throws -> RunHistory {
        guard let path else { throw ValidationError("--history none: there is nothing to look into") }
        do {
            return try RunHistory(path: path)
        } catch {
            Terminal.fail("\(error)")
            throw ExitCode.unavailable
        }
    }
}
