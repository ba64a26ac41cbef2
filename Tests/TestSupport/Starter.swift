public import Foundation

/// Starts processes, and writes programs, on one thread that never ends and blocks no signal.
///
/// A child inherits the signals that its thread blocks, and threads of a pool block nearly all: such a child hears no SIGTERM. And to
/// the kernel the end of the thread that started a child is the end of its parent (prctl(2), `PR_SET_PDEATHSIG`), while threads of a
/// pool end when they are idle for some seconds.
public final class Starter: @unchecked Sendable {
    // Unchecked: `jobs` is touched only while `condition` is locked.
    private let condition = NSCondition()
    private var jobs: [() -> Void] = []

    public static let shared = Starter()

    private init() {
        Thread.detachNewThread { [self] in
            var none = sigset_t()
            sigemptyset(&none)
            pthread_sigmask(SIG_SETMASK, &none, nil)
            while true { next()() }
        }
    }

    private func next() -> () -> Void {
        condition.lock()
        defer { condition.unlock() }
        while jobs.isEmpty { condition.wait() }
        return jobs.removeFirst()
    }

    /// Writes a program that is to be run. On this thread nothing starts meanwhile: a child holds whatever is open until it has become its
    /// program, and what is open for writing cannot be run (`ETXTBSY`, execve(2)).
    public func write(program text: String, to file: URL) throws {
        try perform {
            try Data(text.utf8).write(to: file)
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: file.path)
        }
    }

    /// - Throws: what the job throws.
    func perform(_ job: @escaping () throws -> Void) throws {
        let done = DispatchSemaphore(value: 0)
        var failure: (any Error)?
        condition.lock()
        jobs.append {
            do { try job() } catch { failure = error }
            done.signal()
        }
        condition.signal()
        condition.unlock()
        done.wait()
        if let failure { throw failure }
    }
}
