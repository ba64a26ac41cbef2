import Foundation

/// A measurement that runs beside what serves, and gives way to it: `nice`, with a limit of CPU time that the kernel keeps, its output in
/// a file. It ends with this process, however that ends: its standard input is a connection whose other end is ours alone. What it starts ends with it, as
/// they are a group of their own.
struct ScheduledChild {
    /// The last lines that are shown, and how much of the file is looked at for them.
    private static let logLinesMax = 20
    private static let logBytesMax = 8 << 10

    private let process: pid_t
    private let log: String
    private var stops = 0
    private let lifeline: Lifeline

    /// - Parameters:
    ///   - arguments: of this same program.
    ///   - cpuSeconds: more, and the kernel ends it.
    ///   - seconds: the same for time, if nobody has ended it before.
    ///   - log: the file for what it says, which is made anew.
    init(_ arguments: [String], cpuSeconds: Int, seconds: Int, log: String) throws {
        self.log = log
        lifeline = try Lifeline()
        // A file of its own, whoever else may write to the folder.
        unlink(log)
        // `timeout` ends it, too, should nobody do it in time.
        let words = [
            "/bin/sh", "-c", "ulimit -t \"$1\"; limit=$2; shift 2; exec nice -n 15 timeout -k 10 \"$limit\" \"$@\"", "sh", String(cpuSeconds), String(seconds),
            ChildProcess.ownBinary.path,
        ] + arguments
        // What it says to a service manager would be taken for ours.
        let unsaid = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"]
        process = try ProcessSpawn.start(
            "/bin/sh", words, environment: ProcessInfo.processInfo.environment.filter { !unsaid.contains($0.key) }, descriptors: [(lifeline.forChild, 0)]
        ) { files in
            posix_spawn_file_actions_addopen(files, 1, "/dev/null", O_WRONLY, 0)
            posix_spawn_file_actions_addopen(files, 2, log, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
        }
    }

    /// - Returns: `nil` while it runs; then why it ended badly, or an empty text.
    func ending() -> String? {
        var status: Int32 = 0
        let result = waitpid(process, &status, WNOHANG)
        if result == 0 || (result < 0 && errno == EINTR) { return nil }
        guard result == process else { return "its end was not seen" }
        let signal = status & 0x7F
        if signal == SIGXCPU || signal == SIGKILL && stops == 0 { return "it took more CPU time than it may" }
        if signal != 0 { return "it was ended by signal \(signal)" }
        let code = status >> 8 & 0xFF
        return code == 0 ? "" : "it ended with status \(code)"
    }

    /// Asks it to end, and the second time does not ask.
    mutating func stop() {
        stops += 1
        kill(-process, stops == 1 ? SIGTERM : SIGKILL)
    }

    /// The end of what it said.
    var lines: [String] {
        guard let handle = FileHandle(forReadingAtPath: log) else { return [] }
        defer { try? handle.close() }
        let size = (try? handle.seekToEnd()) ?? 0
        try? handle.seek(toOffset: size > UInt64(Self.logBytesMax) ? size - UInt64(Self.logBytesMax) : 0)
        let text = String(decoding: (try? handle.read(upToCount: Self.logBytesMax)) ?? Data(), as: UTF8.self)
        return text.split(whereSeparator: \.isNewline).suffix(Self.logLinesMax).map { String($0.prefix(300)) }
    }
}
