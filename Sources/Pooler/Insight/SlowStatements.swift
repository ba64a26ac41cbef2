/// The slow-statement log of one event loop: which statements are written down, and how. No I/O.
///
/// A statement counts with its wait for a server connection and its time at the server together, since that is what its client waited; the
/// line says both. Its text is the normalised one of ``QueryFingerprint``: at most ``QueryInsight/textBytesMax`` bytes, and no value of
/// anybody's in it.
struct SlowStatements {
    /// A statement that was slow, and what is to be said of it.
    struct Line: Equatable {
        var database: String
        var user: String
        var applicationName: String
        /// Microseconds, both.
        var wait: UInt64
        var server: UInt64
        var rows: UInt64
        var end: End
        var traceID: String?
        var text: String

        /// Names and values in the order in which they matter.
        var fields: [(name: String, value: String)] {
            var fields = [
                ("database", Self.cleaned(database)), ("user", Self.cleaned(user)), ("application_name", Self.cleaned(applicationName)),
                ("wait_ms", Self.milliseconds(wait)), ("run_ms", Self.milliseconds(server)), ("rows", "\(rows)"), ("end", end.rawValue),
            ]
            if let traceID { fields.append(("trace_id", traceID)) }
            fields.append(("query", Self.cleaned(text)))
            return fields
        }

        /// A line of a log stays one line, whatever a name has in it.
        private static func cleaned(_ text: String) -> String {
            guard text.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) else { return text }
            return String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? " " : $0 }))
        }

        private static func milliseconds(_ microseconds: UInt64) -> String {
            let fraction = String(microseconds % 1000)
            return "\(microseconds / 1000).\(String(repeating: "0", count: 3 - fraction.count))\(fraction)"
        }
    }

    /// How the statement ended.
    enum End: String {
        case complete
        case failed
        /// Its client, or its server connection, was gone before it had ended.
        case unfinished
    }

    /// Lines between two sweeps, which are a quarter of a second apart: a log is read by people, and a thousand slow statements in a
    /// second are one matter.
    static let linesMax = 25

    /// Microseconds from which on a statement is slow.
    /// Microseconds; 0: no statement is slow.
    var limit: UInt64
    private var lines = 0
    private var omitted = 0

    /// - Parameter limit: microseconds; 0: no statement is slow.
    init(limit: UInt64) {
        self.limit = limit
    }

    func isSlow(wait: UInt64, server: UInt64) -> Bool { limit > 0 && wait &+ server >= limit }

    /// Whether one more line may be written; otherwise it is counted.
    mutating func admitsLine() -> Bool {
        guard lines < Self.linesMax else {
            omitted += 1
            return false
        }
        lines += 1
        return true
    }

    /// - Returns: how many lines were left out since the last time.
    mutating func periodEnded() -> Int {
        defer { (lines, omitted) = (0, 0) }
        return omitted
    }
}
