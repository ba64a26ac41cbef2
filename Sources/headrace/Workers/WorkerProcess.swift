import CProcess
import Foundation
import Telemetry

/// A layer's own process, as its supervisor has it.
final class WorkerProcess: Sendable {
    /// How it has ended, as waitpid(2) gives it.
    struct Ending: Sendable, Equatable, CustomStringConvertible {
        let status: Int32

        /// `nil`: by a signal.
        var code: Int32? { signal == 0 ? status >> 8 & 0xFF : nil }
        /// 0: by itself.
        var signal: Int32 { status & 0x7F }

        var description: String {
            if let code { return "status \(code)" }
            return "signal \(signal), \(strsignal(signal).map { String(cString: $0) } ?? "unknown")"
        }
    }

    let process: pid_t
    /// Its standard input, whose end tells it that we are gone.
    private let lifeline: Lifeline
    private let errors: LastWords

    /// - Parameters:
    ///   - sockets: where it listens, in the order in which it binds.
    ///   - arguments: those that this process was started with.
    ///   - folder: where the processes meet.
    ///   - watchdog: how often it has to say that it lives.
    ///   - rights: what it may.
    ///   - broker: opens for it what it may not; `nil` where it may all that this process may.
    ///   - ended: called once, on a thread of its own.
    init(
        _ layer: Layer, sockets: [WorkerPlace.Socket], arguments: [String], folder: String, watchdog: Duration, rights: WorkerRights, broker: FileBroker?,
        ended: @escaping @Sendable (Ending, pid_t) -> Void
    ) throws {
        let lifeline = try Lifeline()
        self.lifeline = lifeline
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw ProcessSpawn.Failure(description: "no pipe: \(String(cString: strerror(errno)))") }
        let (source, target) = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(target) }
        var environment = ProcessInfo.processInfo.environment
        environment["NOTIFY_SOCKET"] = WorkerNotices.path(of: layer, in: folder)
        environment["WATCHDOG_USEC"] = String(Int64(watchdog / .microseconds(1)))
        environment["WATCHDOG_PID"] = nil
        var files: [Int32] = [-1, -1]
        if broker != nil {
            guard socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &files) == 0 else {
                close(source)
                throw ProcessSpawn.Failure(description: "no socket: \(String(cString: strerror(errno)))")
            }
        }
        let (door, asker) = (files[0], files[1])
        defer { if asker >= 0 { close(asker) } }
        let place = WorkerPlace(layer: layer, sockets: sockets, folder: folder, files: broker == nil ? nil : asker)
        do {
            process = try rights.perform { [environment] in
                try ProcessSpawn.start(
                    ChildProcess.ownBinary.path, [ChildProcess.ownBinary.path] + arguments + place.arguments, environment: environment,
                    descriptors: [(lifeline.forChild, 0), (target, 2)] + place.descriptors)
            }
        } catch {
            for end in [source, door] where end >= 0 { close(end) }
            throw error
        }
        broker?.serve(layer, on: door)
        let (process, errors) = (process, LastWords())
        self.errors = errors
        Thread.detachNewThread { errors.pass(from: source) }
        Thread.detachNewThread {
            var status: Int32 = 0
            while waitpid(process, &status, 0) < 0, errno == EINTR {}
            // What it said last may be under way still.
            usleep(5_000)
            ended(Ending(status: status), process)
        }
    }

    /// The end of what it said on standard error.
    var lastWords: String { errors.text }

    func send(_ signal: Int32) { kill(process, signal) }
}

/// Passes on what a process says, and keeps the last of it.
private final class LastWords: Sendable {
    private static let bytesMax = 16 << 10

    private let bytes = Lock([UInt8]())

    var text: String { String(decoding: bytes.withLock { $0 }, as: UTF8.self) }

    /// Until nobody can say any more.
    func pass(from source: Int32) {
        defer { close(source) }
        var part = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(source, &part, part.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            var sent = 0
            while sent < count {
                let more = part.withUnsafeBytes { bytes in
                    let rest = UnsafeRawBufferPointer(rebasing: bytes[sent..<count])
                    return write(STDERR_FILENO, rest.baseAddress, rest.count)
                }
                if more < 0, errno == EINTR { continue }
                // Nobody listens: it is kept all the same.
                guard more > 0 else { break }
                sent += more
            }
            bytes.withLock { bytes in
                bytes += part[..<count]
                if bytes.count > Self.bytesMax { bytes.removeFirst(bytes.count - Self.bytesMax) }
            }
        }
    }
}
