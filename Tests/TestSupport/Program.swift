public import Foundation
import Synchronization

/// A program of the system while it runs, with the names that `Foundation.Process` has for what tests want of it. That one reads beyond its memory, and
/// crashes now and then, where this process has more than some 1,300 descriptors (`findMaximumOpenFromProcSelfFD` copies 256 bytes of each name).
public final class Program: Sendable {
    private struct State {
        var executableURL: URL?
        var arguments: [String] = []
        var environment: [String: String]?
        var currentDirectoryURL: URL?
        /// Standard input, output and error.
        var streams: [(any Stream)?] = [nil, nil, nil]
        var processIdentifier: Int32 = 0
    }

    /// What a standard stream of a program may be: a `FileHandle` or a `Pipe`.
    public protocol Stream: Sendable {}

    private let state = Mutex(State())
    private let ending = Ending()

    public init() {}

    public var executableURL: URL? {
        get { state.withLock { $0.executableURL } }
        set { state.withLock { $0.executableURL = newValue } }
    }

    public var arguments: [String] {
        get { state.withLock { $0.arguments } }
        set { state.withLock { $0.arguments = newValue } }
    }

    /// This process' without one, and what tests measure is nothing to look back at.
    public var environment: [String: String]? {
        get { state.withLock { $0.environment } }
        set { state.withLock { $0.environment = newValue } }
    }

    public var currentDirectoryURL: URL? {
        get { state.withLock { $0.currentDirectoryURL } }
        set { state.withLock { $0.currentDirectoryURL = newValue } }
    }

    /// This process' without one, as the two others.
    public var standardInput: (any Stream)? {
        get { state.withLock { $0.streams[0] } }
        set { state.withLock { $0.streams[0] = newValue } }
    }

    public var standardOutput: (any Stream)? {
        get { state.withLock { $0.streams[1] } }
        set { state.withLock { $0.streams[1] = newValue } }
    }

    public var standardError: (any Stream)? {
        get { state.withLock { $0.streams[2] } }
        set { state.withLock { $0.streams[2] = newValue } }
    }

    public var processIdentifier: Int32 { state.withLock { $0.processIdentifier } }
    public var isRunning: Bool { processIdentifier > 0 && ending.status == nil }
    /// The signal that has ended it, if one has; 0 while it runs.
    public var terminationStatus: Int32 { ending.status.map { $0 & 0x7F == 0 ? $0 >> 8 & 0xFF : $0 & 0x7F } ?? 0 }

    /// Starts it in a process group of its own, with no descriptors but its three.
    /// - Throws: when it cannot be started.
    public func start() throws {
        try Starter.shared.perform { try self.spawn() }
    }

    /// Sends SIGTERM.
    public func terminate() {
        if isRunning { kill(processIdentifier, SIGTERM) }
    }

    public func waitForEnd() {
        while isRunning { usleep(3_000) }
    }

    private func spawn() throws {
        try state.withLock { state in
            var attributes = posix_spawnattr_t()
            posix_spawnattr_init(&attributes)
            defer { posix_spawnattr_destroy(&attributes) }
            posix_spawnattr_setpgroup(&attributes, 0)
            posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
            var files = posix_spawn_file_actions_t()
            posix_spawn_file_actions_init(&files)
            defer { posix_spawn_file_actions_destroy(&files) }
            for (number, stream) in state.streams.enumerated() {
                let handle = stream as? FileHandle ?? (stream as? Pipe).map { number == 0 ? $0.fileHandleForReading : $0.fileHandleForWriting }
                guard let handle else { continue }
                if handle === FileHandle.nullDevice {
                    posix_spawn_file_actions_addopen(&files, Int32(number), "/dev/null", O_RDWR, 0)
                } else {
                    posix_spawn_file_actions_adddup2(&files, handle.fileDescriptor, Int32(number))
                }
            }
            for descriptor in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap(Int32.init) where descriptor > 2 {
                posix_spawn_file_actions_addclose(&files, descriptor)
            }
            var command = [state.executableURL?.path ?? ""] + state.arguments
            if let folder = state.currentDirectoryURL { command = ["/usr/bin/env", "-C", folder.path] + command }
            let path = command[0]
            let environment = state.environment ?? ProcessInfo.processInfo.environment.merging(["HEADRACE_HISTORY": "none"]) { given, _ in given }
            var words: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
            var variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
            defer { for text in words + variables { free(text) } }
            let problem = posix_spawn(&state.processIdentifier, path, &files, &attributes, &words, &variables)
            guard problem == 0 else {
                state.processIdentifier = 0
                throw HeadraceProcess.Failure(description: "\(path) cannot be run: \(String(cString: strerror(problem)))")
            }
            // What it has of them is its own: the other end sees its end.
            for (number, stream) in state.streams.enumerated() {
                guard let pipe = stream as? Pipe else { continue }
                try? (number == 0 ? pipe.fileHandleForReading : pipe.fileHandleForWriting).close()
            }
            Thread.detachNewThread { [ending, process = state.processIdentifier] in ending.wait(for: process) }
        }
    }
}

extension FileHandle: Program.Stream {}
extension Pipe: Program.Stream {}

/// How a program has ended.
private final class Ending: Sendable {
    private let box = Mutex<Int32?>(nil)

    /// As waitpid(2) gives it.
    var status: Int32? { box.withLock { $0 } }

    /// Those that run. At the end of this process they are asked to end, too: no test lets go of what is shared by all.
    private static let running = Running()

    private final class Running: Sendable {
        let processes = Mutex<Set<Int32>>([])

        init() { atexit { Ending.running.processes.withLock { for process in $0 { kill(process, SIGTERM) } } } }
    }

    func wait(for process: Int32) {
        _ = Self.running.processes.withLock { $0.insert(process) }
        defer { _ = Self.running.processes.withLock { $0.remove(process) } }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 {
            if errno != EINTR { break }
        }
        box.withLock { $0 = status }
    }
}
