import CProcess
import Foundation
import Telemetry
import Transport

/// What a process that serves may: as another user, or without the capabilities of who has started it.
///
/// To Linux, rights are a thread's, and what a thread starts or makes is done with them. So they are given up on a thread made for it, and a program that is
/// started there never had more. (The C library would do so for all threads, but for those that are at their end, as Swift's main thread is.) What lies in
/// folders of that user is written there, too: who may put a link in its place has root write nowhere else.
/// - Source: credentials(7), nptl(7), "Thread-specific credentials".
struct WorkerRights: Sendable {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// `nil`: whoever the supervisor is.
    let user: ServingUser?
    /// Whether they are fewer than the supervisor's.
    let areFewer: Bool

    init(_ user: ServingUser?) {
        self.user = user
        areFewer = user != nil || geteuid() != 0 && headrace_has_capabilities() != 0
    }

    /// Binds an address, whose file is theirs.
    func bind(_ endpoint: SocketEndpoint) throws(Listener.BindFailure) -> Int32 {
        let descriptor = try ListeningSocket.bind(endpoint)
        if case .unix(let path) = endpoint { user?.own(path) }
        return descriptor
    }

    /// What nobody with them can have led elsewhere.
    var paths: PathGuard {
        if let user { return PathGuard(user: user.user, groups: Set(user.groups)) }
        var groups = [gid_t](repeating: 0, count: 65_536)
        let count = getgroups(Int32(groups.count), &groups)
        return PathGuard(user: geteuid(), groups: Set(groups.prefix(Int(max(0, count))) + [getegid()]))
    }

    private final class Outcome<Value: Sendable>: Sendable {
        let result = Lock(Result<Value, any Error>?.none)
    }

    /// Does something with these rights, and waits for it.
    /// - Throws: what it throws; `Failure` when they cannot be had.
    func perform<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) throws -> Value {
        guard areFewer else { return try body() }
        let (outcome, done) = (Outcome<Value>(), DispatchSemaphore(value: 0))
        Thread.detachNewThread { [self] in
            let result = Result {
                try give()
                return try body()
            }
            outcome.result.withLock { $0 = result }
            done.signal()
        }
        done.wait()
        guard let result = outcome.result.withLock({ $0 }) else { preconditionFailure("signalled behind the result") }
        return try result.get()
    }

    /// To the calling thread, for good.
    private func give() throws(Failure) {
        if let user, headrace_become_on_thread(user.user, user.group, user.groups, user.groups.count) != 0 {
            throw Failure(description: "user: this process cannot become \(user.name): \(String(cString: strerror(errno)))")
        }
        guard headrace_give_up_capabilities() == 0 else {
            throw Failure(description: "capabilities cannot be given up: \(String(cString: strerror(errno)))")
        }
    }
}
