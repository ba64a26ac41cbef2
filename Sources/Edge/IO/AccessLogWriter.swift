import Logging
import NIOCore
import NIOPosix
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Writes batches of access-log lines to a file descriptor, from a thread of its own: a slow disk never holds an event loop.
///
/// What waits has a bound; what does not fit is dropped and counted.
final class AccessLogWriter: Sendable {
    /// Bytes that may wait for the disk. 8 MiB: some 30,000 lines, half a second at full speed of one core.
    static let waitingBytesMax = 8 << 20

    private let descriptor: Int32
    private let ownsDescriptor: Bool
    private let path: String?
    /// One thread, so that batches are written in their order.
    private let pool = NIOThreadPool(numberOfThreads: 1)
    private let waitingBytes = Atomic<Int>(0)
    /// Bytes that were lost: the queue was full, or the disk refused them.
    let droppedBytes = Atomic<Int>(0)

    /// - Returns: `nil` when the log is off.
    /// - Throws: when the file cannot be opened.
    init?(_ destination: EdgeConfiguration.AccessLog) throws {
        switch destination {
        case .off: return nil
        case .stdout: (descriptor, ownsDescriptor, path) = (STDOUT_FILENO, false, nil)
        case .stderr: (descriptor, ownsDescriptor, path) = (STDERR_FILENO, false, nil)
        case .file(let path):
            self.path = path
            descriptor = Self.open(path)
            guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "cannot open the access log \(path)") }
            ownsDescriptor = true
        }
        pool.start()
    }

    private static func open(_ path: String) -> Int32 {
        Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
    }

    /// Opens the file anew, behind the batches that are waiting: what was handed over before lies in the old one.
    ///
    /// The new file takes the place of the old one under the same descriptor. When it cannot be opened, the old one stays.
    func reopen(_ logger: Logger) {
        guard let path else { return }
        pool.submit { [descriptor] state in
            guard case .active = state else { return }
            let new = Self.open(path)
            guard new >= 0, dup2(new, descriptor) >= 0 else {
                logger.error("cannot open the access log \(path) anew: \(String(cString: strerror(errno)))")
                if new >= 0 { close(new) }
                return
            }
            close(new)
            // The copy has not inherited that.
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        }
    }

    deinit {
        if ownsDescriptor { close(descriptor) }
    }

    /// Hands over a batch of whole lines. Any thread.
    func write(_ batch: ByteBuffer) {
        let count = batch.readableBytes
        let (waiting, _) = waitingBytes.add(count, ordering: .relaxed)
        guard waiting + count <= Self.waitingBytesMax else {
            waitingBytes.subtract(count, ordering: .relaxed)
            droppedBytes.add(count, ordering: .relaxed)
            return
        }
        pool.submit { [self] state in
            if case .active = state { writeAll(batch) }
            waitingBytes.subtract(count, ordering: .relaxed)
        }
    }

    /// Writes what is waiting and ends the thread.
    func finish() async {
        // Behind the batches that are waiting, since the pool has one thread.
        try? await pool.runIfActive {}
        try? await pool.shutdownGracefully()
    }

    private func writeAll(_ batch: ByteBuffer) {
        batch.withUnsafeReadableBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let written = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if written < 0 {
                    if errno == EINTR { continue }
                    droppedBytes.add(rest.count, ordering: .relaxed)
                    return
                }
                rest = rest.dropFirst(written)
            }
        }
    }
}
