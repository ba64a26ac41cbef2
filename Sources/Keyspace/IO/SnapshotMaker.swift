import Dispatch
import NIOPosix
import Telemetry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Makes the pieces of a snapshot on a thread of the lowest priority: an event loop on the same core takes it as soon as it is woken. While snapshots are
/// written p99.9 of SET is 1.8 times that of quiet; made by a thread like any other, 4.5 times.
///
/// Beside threads that never sleep it would have a seventieth of a core. So when a piece has taken long, the next ones are made by whoever asks.
final class SnapshotMaker: Sendable {
    private static let niceness: CInt = 19
    private static let othersAfterLong = 10

    private let pool = NIOThreadPool(numberOfThreads: 1)
    private let longNanoseconds: UInt64
    /// Pieces that whoever asks is to make.
    private let left = Lock(0)

    /// - Parameter longNanoseconds: a piece that takes more has taken long; a millisecond is what it needs.
    init(longNanoseconds: UInt64 = 50_000_000) {
        self.longNanoseconds = longNanoseconds
    }

    func start() {
        pool.start()
        // Of the calling thread alone, on Linux. A refusal is no harm.
        pool.submit { _ in setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, Self.niceness) }
    }

    /// Blocks until it is made.
    func make(_ piece: @escaping @Sendable () -> [UInt8]?) -> [UInt8]? {
        let isOthers = left.withLock { left in
            guard left > 0 else { return false }
            left -= 1
            return true
        }
        if isOthers { return piece() }
        let began = MonotonicClock.nanoseconds()
        let made = Lock<[UInt8]?>(nil)
        let isMade = DispatchSemaphore(value: 0)
        pool.submit { _ in
            let bytes = piece()
            made.withLock { $0 = bytes }
            isMade.signal()
        }
        isMade.wait()
        if MonotonicClock.nanoseconds() &- began > longNanoseconds { left.withLock { $0 = Self.othersAfterLong } }
        return made.withLock { $0 }
    }
}
