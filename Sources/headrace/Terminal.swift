import Foundation

/// Talk, which goes to standard error; standard output is for data.
enum Terminal {
    /// Whether standard error shows colours: a terminal, and the user has not said `NO_COLOR` (no-color.org).
    static let isColourful: Bool = {
        let environment = ProcessInfo.processInfo.environment
        return isatty(STDERR_FILENO) == 1 && (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
    }()

    static func say(_ text: String) {
        FileHandle.standardError.write(Data((text + "\n").utf8))
    }

    static func fail(_ text: String) {
        say((isColourful ? "\u{1B}[31merror:\u{1B}[0m " : "error: ") + text)
    }

    /// Data, whole lines of it.
    static func print(_ text: String) {
        FileHandle.standardOutput.write(Data((text.hasSuffix("\n") ? text : text + "\n").utf8))
    }
}
