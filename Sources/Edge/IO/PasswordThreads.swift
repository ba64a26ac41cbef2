import NIOCore
import NIOPosix
import Telemetry

/// Where passwords are compared: a thread of its own, since each takes a tenth of a second and no event loop has that.
///
/// What waits is bounded: whoever sends wrong passwords as fast as they can keeps others who log in waiting, and nobody else.
final class PasswordThreads: Sendable {
    static let waitingMax = 64

    private let pool = NIOThreadPool(numberOfThreads: 1)
    private let waiting = Lock(0)

    init() {
        pool.start()
    }

    func shutdown() {
        pool.shutdownGracefully { _ in }
    }

    deinit {
        // The last reference may go on the pool's own thread, for which it cannot wait.
        pool.shutdownGracefully { _ in }
    }

    /// - Returns: `nil` when too many wait already.
    func isRight(
        _ credentials: BasicAuthenticator.Credentials, _ authenticator: BasicAuthenticator, on eventLoop: any EventLoop
    ) -> EventLoopFuture<Bool>? {
        let isAdmitted = waiting.withLock { count in
            guard count < Self.waitingMax else { return false }
            count += 1
            return true
        }
        guard isAdmitted else { return nil }
        return pool.runIfActive(eventLoop: eventLoop) { [self] in
            defer { waiting.withLock { $0 -= 1 } }
            return authenticator.isRight(credentials)
        }
    }
}
