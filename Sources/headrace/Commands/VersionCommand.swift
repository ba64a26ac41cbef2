import ArgumentParser
import Foundation

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version",
        abstract: "Print the version.",
        discussion: """
            EXAMPLES:
              headrace version
              headrace version --json
            """)

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() throws {
        guard json else { return Terminal.print("headrace \(Headrace.version)") }
        Terminal.print(#"{"headrace":"\#(Headrace.version)"}"#)
    }
}
