import Foundation

/// Starts programs with posix_spawn. Not by `Foundation.Process`: a child inherits the signals that its thread blocks, and threads of a pool block nearly all.
enum ProcessSpawn {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Starts one in a process group of its own, so that a terminal's Ctrl-C is not for it, with no signal blocked or ignored.
    ///
    /// It gets no descriptors but those that are given to it. NIO's sockets are not closed by exec: it would keep listeners, and clients' connections open
    /// that the server has closed. What is accepted between the look at them and the spawn it keeps all the same.
    /// - Parameters:
    ///   - words: of the command line, the program's name first.
    ///   - descriptors: ours, and the numbers that they have there, which are none of ours beyond 2.
    ///   - more: what else is to be done with its descriptors.
    /// - Returns: the process.
    static func start(
        _ program: String, _ words: [String], environment: [String: String], descriptors: [(own: Int32, there: Int32)],
        more: (UnsafeMutablePointer<posix_spawn_file_actions_t>) -> Void = { _ in }
    ) throws(Failure) -> pid_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var (none, all) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
        var files = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&files)
        defer { posix_spawn_file_actions_destroy(&files) }
        for descriptor in descriptors { posix_spawn_file_actions_adddup2(&files, descriptor.own, descriptor.there) }
        more(&files)
        let given = Set(descriptors.map(\.there))
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? [] {
            if let descriptor = Int32(name), descriptor > 2, !given.contains(descriptor) { posix_spawn_file_actions_addclose(&files, descriptor) }
        }
        var pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        var variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0.key)=\($0.value)") }
        variables.append(nil)
        defer { for variable in variables { free(variable) } }
        var process: pid_t = 0
        let problem = posix_spawn(&process, program, &files, &attributes, pointers, variables)
        guard problem == 0 else { throw Failure(description: "\(program) cannot be run: \(String(cString: strerror(problem)))") }
        return process
    }

    /// Makes this process another program, with no signal blocked, and with the rights of the thread that this is called on. Descriptors stay as they are.
    /// - Parameter words: of the command line, the program's name first.
    /// - Throws: or else does not return.
    static func replace(_ program: String, _ words: [String]) throws(Failure) {
        var none = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, nil)
        var pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        execv(program, pointers)
        throw Failure(description: "\(program) cannot be run: \(String(cString: strerror(errno)))")
    }
}

/// A connection that nothing is said by, and whose end in a child says that this process is gone, however it went. A pipe would do; this one closes itself
/// in what others start meanwhile.
final class Lifeline: Sendable {
    let forChild: Int32
    private let own: Int32

    init() throws(ProcessSpawn.Failure) {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw ProcessSpawn.Failure(description: "no socket: \(String(cString: strerror(errno)))")
        }
        (forChild, own) = (ends[0], ends[1])
    }

    deinit {
        close(own)
        close(forChild)
    }
}
