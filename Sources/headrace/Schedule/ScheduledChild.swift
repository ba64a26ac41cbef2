import Foundation

/// A measurement that runs beside what serves, and gives way to it: `nice`, with a limit of CPU time that the kernel keeps, its output in
/// a file. It ends with this process, however that ends: its standard input is a connection whose other end is ours alone. Not by `Foundation.Process`: a child inherits the signals that its thread blocks, and threads of a pool block nearly all.
struct ScheduledChild {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// The last lines that are shown, and how much of the file is looked at for them.
    private static let logLinesMax = 20
    private static let logBytesMax = 8 << 10

    private let process: pid_t
    private let log: String
    private var stops = 0
    private let lifeline: Lifeline

    /// A connection that nothing is said by. A pipe would do; this one closes itself in what others start meanwhile.
    private final class Lifeline {
        let forChild: Int32
        private let own: Int32

        init() throws {
            var ends: [Int32] = [-1, -1]
            guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else { throw Failure(description: "no socket: \(String(cString: strerror(errno)))") }
            (forChild, own) = (ends[0], ends[1])
        }

        deinit {
            close(own)
            close(forChild)
        }
    }

    /// - Parameters:
    ///   - arguments: of this same program.
    ///   - cpuSeconds: more, and the kernel ends it.
    ///   - seconds: the same for time, if nobody has ended it before.
    ///   - log: the file for what it says, which is made anew.
    init(_ arguments: [String], cpuSeconds: Int, seconds: Int, log: String) throws {
        self.log = log
        lifeline = try Lifeline()
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var (none, all) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        // A group of its own: what it starts ends with it, and a terminal's Ctrl-C is not for it.
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
        var files = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&files)
        defer { posix_spawn_file_actions_destroy(&files) }
        posix_spawn_file_actions_adddup2(&files, lifeline.forChild, 0)
        posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0)
        // A file of its own, whoever else may write to the folder.
        unlink(log)
        posix_spawn_file_actions_addopen(&files, 2, log, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
        // NIO's sockets are not closed by exec: it would keep listeners, and clients' connections open that the server has closed. What is
        // accepted between this look and the spawn it keeps all the same.
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? [] {
            if let descriptor = Int32(name), descriptor > 2 { posix_spawn_file_actions_addclose(&files, descriptor) }
        }
        // `timeout` ends it, too, should nobody do it in time.
        let words = [
            "/bin/sh", "-c", "ulimit -t \"$1\"; limit=$2; shift 2; exec nice -n 15 timeout -k 10 \"$limit\" \"$@\"", "sh", String(cpuSeconds), String(seconds),
            ChildProcess.ownBinary.path,
        ] + arguments
        var pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        // What it says to a service manager would be taken for ours.
        let unsaid = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"]
        var variables: [UnsafeMutablePointer<CChar>?] = ProcessInfo.processInfo.environment.filter { !unsaid.contains($0.key) }
            .map { strdup("\($0.key)=\($0.value)") }
        variables.append(nil)
        defer { for variable in variables { free(variable) } }
        var process: pid_t = 0
        let problem = posix_spawn(&process, "/bin/sh", &files, &attributes, pointers, variables)
        guard problem == 0 else { throw Failure(description: "/bin/sh cannot be run: \(String(cString: strerror(problem)))") }
        self.process = process
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
