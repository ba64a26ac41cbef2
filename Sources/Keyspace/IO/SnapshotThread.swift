import Dispatch
import NIOPosix
import Telemetry
import Transport

/// Encodes and writes the pieces of snapshots when nobody else wants the core: an event loop takes it as soon as it is woken.
///
/// Beside threads that never sleep it would have a three hundredth of a core: see ``SnapshotPatience``.
/// And nobody may wait for a lock that it has: it takes none.
final class SnapshotThread: Sendable {
    private let pool = NIOThreadPool(numberOfThreads: 1)
    private let longNanoseconds: UInt64
    private let patience = Lock(SnapshotPatience())

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
        guard patience.withLock({ $0.mayAsk() }) else { return try piece() }
        let began = MonotonicClock.nanoseconds()
        let result = Lock<Result<Success, Failure>?>(nil)
        let isDone = DispatchSemaphore(value: 0)
        pool.submit { _ in
            let made = Result { () throws(Failure) in try piece() }
            result.withLock { $0 = made }
            isDone.signal()
        }
        isDone.wait()
        patience.withLock { $0.asked(isLong: MonotonicClock.nanoseconds() &- began > longNanoseconds) }
        guard let made = result.withLock({ $0 }) else { return try piece() }
        return try made.get()
    }
}

/// Who does a piece of a snapshot: another, who has been asked, or whoever asks. When the other has taken long, the next ten are done by whoever asks; twice
/// as many when the piece after them takes long again.
struct SnapshotPatience {
    private static let (othersMin, othersMax) = (10, 1280)
    private var left = 0
    private var next = Self.othersMin

    mutating func mayAsk() -> Bool {
        guard left > 0 else { return true }
        left -= 1
        return false
    }

    mutating func asked(isLong: Bool) {
        left = isLong ? next : 0
        next = isLong ? min(next * 2, Self.othersMax) : Self.othersMin
    }
}
