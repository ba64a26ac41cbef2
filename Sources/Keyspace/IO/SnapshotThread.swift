import Dispatch
import NIOPosix
import Telemetry
import Transport

/// Encodes and writes the pieces of snapshots when nobody else wants the core: an event loop takes it as soon as it is woken.
///
/// Beside threads that never sleep it would have a three hundredth of a core. So when a piece has taken long, the next ten are done by whoever asks; twice as
/// many when the piece after them takes long again. And nobody may wait for a lock that it has: it takes none.
final class SnapshotThread: Sendable {
    private static let (othersMin, othersMax) = (10, 1280)

    private let pool = NIOThreadPool(numberOfThreads: 1)
    private let longNanoseconds: UInt64
    private let others = Lock(Others())

    /// Pieces that whoever asks is to do.
    private struct Others {
        var left = 0
        /// After the next piece that takes long.
        var next = SnapshotThread.othersMin
    }

    /// - Parameter longNanoseconds: a piece that takes more has taken long; a millisecond is what it needs.
    init(longNanoseconds: UInt64 = 50_000_000) {
        self.longNanoseconds = longNanoseconds
    }

    func start() {
        pool.start()
        pool.submit { _ in IdleScheduling.begin() }
    }

    /// Blocks until it is done.
    func run<Success: Sendable, Failure: Error>(_ piece: @escaping @Sendable () throws(Failure) -> Success) throws(Failure) -> Success {
        let isOthers = others.withLock { others in
            guard others.left > 0 else { return false }
            others.left -= 1
            return true
        }
        if isOthers { return try piece() }
        let began = MonotonicClock.nanoseconds()
        let result = Lock<Result<Success, Failure>?>(nil)
        let isDone = DispatchSemaphore(value: 0)
        pool.submit { _ in
            let made = Result { () throws(Failure) in try piece() }
            result.withLock { $0 = made }
            isDone.signal()
        }
        isDone.wait()
        let isLong = MonotonicClock.nanoseconds() &- began > longNanoseconds
        others.withLock { others in
            others.left = isLong ? others.next : 0
            others.next = isLong ? min(others.next * 2, Self.othersMax) : Self.othersMin
        }
        guard let made = result.withLock({ $0 }) else { return try piece() }
        return try made.get()
    }
}
