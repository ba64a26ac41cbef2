import Foundation

/// The end of standard input says that the parent is gone, however it went: the other end of the pipe was its own.
enum StandardInput {
    static func raiseSignalAtEnd(_ signal: Int32) {
        atEnd { kill(getpid(), signal) }
    }

    /// Ends this process then: as SIGTERM does, and if that does not, for good.
    static func endProcessAtEnd() {
        atEnd {
            kill(getpid(), SIGTERM)
            sleep(graceSeconds)
            kill(getpid(), SIGKILL)
        }
    }

    /// Less than the lock of scheduled measurements holds behind who has died.
    private static let graceSeconds: UInt32 = 10

    private static func atEnd(_ body: @escaping @Sendable () -> Void) {
        Thread.detachNewThread {
            var byte: UInt8 = 0
            while true {
                let count = read(STDIN_FILENO, &byte, 1)
                if count == 0 || count < 0 && ![EINTR, EAGAIN].contains(errno) { break }
                guard count < 0 else { continue }
                // Whoever shares it may have it not block.
                var place = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
                poll(&place, 1, -1)
            }
            body()
        }
    }
}
