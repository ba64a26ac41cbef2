import CProcess
import Foundation
import Logging
import Telemetry
import Transport

/// Opens for the processes of layers what only the supervisor may read: private keys, above all.
///
/// A process that serves may be taken over by whom it serves. So it has no more rights than it needs, and asks for such a file by its path, at the start and
/// whenever it reads it again; what it gets is a descriptor to read from (SCM_RIGHTS, unix(7)). Only of files that the configuration names, as the supervisor
/// itself has read it, and whose paths the layers' user cannot lead elsewhere (``PathGuard``): so a process that was taken over can get
/// what it was given anyway, and nothing else.
///
/// A request is a datagram of a number (4 bytes) and a path, an answer one of that number and an errno (4 bytes each), with the descriptor where that is 0. What is
/// no request ends the door of that process. A file that was named once is given as long as the supervisor runs: layers keep a configuration
/// that the next one cannot replace.
/// - Source: OpenSSH's privilege separation: Provos, Friedl, Honeyman: Preventing Privilege Escalation, USENIX Security 2003.
final class FileBroker: Sendable {
    /// PATH_MAX, less the zero behind it.
    static let pathBytesMax = 4095
    /// The configuration is read anew for a name that is not known no oftener: who asks for anything costs nothing by it.
    private static let pause = Duration.seconds(1)
    /// How long one side waits for the other.
    private static let wait = Duration.seconds(2)
    /// Of how many paths the log says that they were refused.
    private static let saidMax = 64

    enum Refusal: Error, Equatable, CustomStringConvertible {
        case notNamed
        case guarded(PathGuard.Refusal)
        case notRegular
        case tooLarge
        case system(Int32)

        /// For who asks: nothing of files that are not named.
        var code: Int32 { if case .system(let code) = self { code } else { EACCES } }

        var description: String {
            switch self {
            case .notNamed: "the configuration does not name it"
            case .guarded(let refusal): "\(refusal)"
            case .notRegular: "it is no file with content"
            case .tooLarge: "it is larger than \(ConfiguredFile.bytesMax >> 20) MB"
            case .system(let code): String(cString: strerror(code))
            }
        }
    }

    private struct State {
        var names: Set<String> = []
        var read = ContinuousClock.now
        var said: Set<String> = []
    }

    private let paths: PathGuard
    private let logger: Logger
    private let readAgain: @Sendable () throws -> ConfigurationSources.Loaded
    private let state = Lock(State())

    /// - Parameters:
    ///   - paths: for the user of those who ask.
    ///   - readAgain: Reads the configuration anew.
    init(
        _ loaded: ConfigurationSources.Loaded, paths: PathGuard, logger: Logger, readAgain: @escaping @Sendable () throws -> ConfigurationSources.Loaded
    ) {
        (self.paths, self.logger, self.readAgain) = (paths, logger, readAgain)
        adopt(loaded)
    }

    /// Takes the names of a configuration that was read again; not of one that who asks may have written.
    func adopt(_ loaded: ConfigurationSources.Loaded) {
        do throws(PathGuard.Refusal) {
            if let file = loaded.fileName { try paths.resolveTrusted(file) }
        } catch {
            return say("files that only root can read are not given to layers: \(error)", once: "")
        }
        let names = NamedFile.paths(loaded)
        state.withLock { $0.names.formUnion(names) }
    }

    /// Opens one for reading.
    /// - Parameter path: as the configuration has it.
    func open(_ path: String, now: ContinuousClock.Instant = .now) throws(Refusal) -> Int32 {
        guard isNamed(path, now) else { throw .notNamed }
        let resolved: String
        do throws(PathGuard.Refusal) {
            resolved = try paths.resolve(path)
        } catch .isMissing(_, let code) {
            throw .system(code)
        } catch {
            throw .guarded(error)
        }
        let descriptor = Glibc.open(resolved, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { throw .system(errno) }
        var status = stat()
        let refusal: Refusal? =
            if fstat(descriptor, &status) != 0 { .system(errno) } else if status.st_mode & S_IFMT != S_IFREG { .notRegular } else if status.st_size > ConfiguredFile.bytesMax {
                .tooLarge
            } else { nil }
        if let refusal {
            close(descriptor)
            throw refusal
        }
        return descriptor
    }

    private func isNamed(_ path: String, _ now: ContinuousClock.Instant) -> Bool {
        let isDue = state.withLock { state -> Bool? in
            guard !state.names.contains(path) else { return nil }
            guard now - state.read >= Self.pause else { return false }
            state.read = now
            return true
        }
        guard let isDue else { return true }
        // A process that is started anew, or told to by its console, reads what is there now.
        guard isDue, let loaded = try? readAgain() else { return false }
        adopt(loaded)
        return state.withLock { $0.names.contains(path) }
    }

    // MARK: The door

    /// Answers one process on a thread of its own, until that is gone.
    /// - Parameter socket: of datagrams that keep their order (SOCK_SEQPACKET); is closed at the end.
    func serve(_ layer: Layer, on socket: Int32) {
        // Who does not take his answers gets no more.
        Self.bound(socket, [SO_SNDTIMEO], Self.wait)
        Thread.detachNewThread { [self] in
            defer { close(socket) }
            // One byte more than there may be shows that there are more.
            var bytes = [UInt8](repeating: 0, count: 4 + Self.pathBytesMax + 1)
            while true {
                let count = recv(socket, &bytes, bytes.count, 0)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return }
                guard let (number, path) = Self.request(bytes[..<count]) else {
                    return logger.error("\(layer.rawValue): its process asks for a file by what is no request, and is not listened to any more")
                }
                guard answer(number, path, layer, on: socket) else { return }
            }
        }
    }

    private func answer(_ number: [UInt8], _ path: String, _ layer: Layer, on socket: Int32) -> Bool {
        var (descriptor, code) = (Int32(-1), Int32(0))
        do throws(Refusal) {
            descriptor = try open(path)
        } catch {
            code = error.code
            say("\(layer.rawValue): the file \(path.debugDescription.prefix(200)) is not given to its process: \(error)", once: path)
        }
        defer { if descriptor >= 0 { close(descriptor) } }
        let bytes = number + withUnsafeBytes(of: code.littleEndian) { Array($0) }
        return headrace_send(socket, bytes, bytes.count, descriptor) == bytes.count
    }

    private static func bound(_ socket: Int32, _ options: [Int32], _ wait: Duration) {
        let microseconds = Int(wait / .microseconds(1))
        var time = timeval(tv_sec: microseconds / 1_000_000, tv_usec: microseconds % 1_000_000)
        for option in options { setsockopt(socket, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size)) }
    }

    /// - Returns: number and path; `nil` when it is no request.
    static func request(_ bytes: ArraySlice<UInt8>) -> (number: [UInt8], path: String)? {
        guard bytes.count > 4, bytes.count <= 4 + pathBytesMax else { return nil }
        let path = bytes.dropFirst(4)
        guard !path.contains(0), let text = String(validating: path, as: UTF8.self) else { return nil }
        return (Array(bytes.prefix(4)), text)
    }

    private func say(_ text: String, once: String) {
        let isNew = state.withLock { $0.said.count < Self.saidMax && $0.said.insert(once).inserted }
        if isNew { logger.warning("\(text)") }
    }

    /// The other side, in the process of a layer.
    final class Client: Sendable {
        private let socket: Int32
        private let wait: Duration
        /// The last request's. Locked until its answer is there: who asks meanwhile waits.
        private let number = Lock(UInt32(0))

        /// - Parameters:
        ///   - socket: belongs to this from now on.
        ///   - wait: how long it takes for no answer that there is none.
        init(_ socket: Int32, wait: Duration = .seconds(2)) {
            (self.socket, self.wait) = (socket, wait)
            _ = fcntl(socket, F_SETFD, FD_CLOEXEC)
            FileBroker.bound(socket, [SO_RCVTIMEO, SO_SNDTIMEO], wait)
        }

        deinit { close(socket) }

        /// - Returns: a descriptor to read from; `nil` when it is refused, or nobody answers in time.
        func open(_ path: String) -> Int32? {
            number.withLock { number in
                number &+= 1
                let own = withUnsafeBytes(of: number.littleEndian) { Array($0) }
                let request = own + Array(path.utf8)
                // What is none would end the door.
                guard FileBroker.request(request[...]) != nil, headrace_send(socket, request, request.count, -1) == request.count else { return nil }
                var bytes = [UInt8](repeating: 0, count: 8)
                let end = ContinuousClock.now + wait
                while ContinuousClock.now < end {
                    var descriptor: Int32 = -1
                    let count = headrace_receive(socket, &bytes, bytes.count, &descriptor)
                    if count == bytes.count, bytes[..<4].elementsEqual(own) { return descriptor >= 0 ? descriptor : nil }
                    // An answer that came too late, and is another request's.
                    if descriptor >= 0 { close(descriptor) }
                    guard count == bytes.count else { return nil }
                }
                return nil
            }
        }
    }
}
