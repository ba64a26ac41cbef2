import Dispatch
import Telemetry
import Transport

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Encodes and writes the pieces of a snapshot when nobody else wants the core: an event loop takes it as soon as it is woken.
///
/// Beside threads that never sleep it would have a three hundredth of a core: see ``SnapshotPatience``.
/// And nobody else may wait for a lock that it has: it takes no keys. It ends with its snapshot: a process has ended when each of its threads has had a core once
/// more, which this one waits for where others compute, and so would who takes the process' place (more than a second was measured).
final class SnapshotThread: Sendable {
    /// What the thread waits for; the end when there is no piece then.
    private let asked = DispatchSemaphore(value: 0)
    private let piece = Lock<(@Sendable () -> Void)?>(nil)
    private let longNanoseconds: UInt64
    private let patience = Lock(SnapshotPatience())
    /// There is a thread.
    private let isServed = Lock(false)

    /// - Parameter longNanoseconds: a piece that takes more has taken long; a millisecond is what it needs.
    init(longNanoseconds: UInt64 = 50_000_000) {
        self.longNanoseconds = longNanoseconds
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { pointer in
                if let pointer { Unmanaged<SnapshotThread>.fromOpaque(pointer).takeRetainedValue().serve() }
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        if status == 0 {
            pthread_detach(thread)
            isServed.withLock { $0 = true }
        } else {
            Unmanaged.passUnretained(self).release()
        }
    }

    /// Behind the last piece: nobody has another one. Does not wait.
    func end() { asked.signal() }

    /// Blocks until it is done. One at a time.
    func run<Success: Sendable, Failure: Error>(_ piece: @escaping @Sendable () throws(Failure) -> Success) throws(Failure) -> Success {
        guard isServed.withLock({ $0 }), patience.withLock({ $0.mayAsk() }) else { return try piece() }
        let began = MonotonicClock.nanoseconds()
        let result = Lock<Result<Success, Failure>?>(nil)
        let isDone = DispatchSemaphore(value: 0)
        self.piece.withLock {
            $0 = {
                let made = Result { () throws(Failure) in try piece() }
                result.withLock { $0 = made }
                isDone.signal()
            }
        }
        asked.signal()
        isDone.wait()
        patience.withLock { $0.asked(isLong: MonotonicClock.nanoseconds() &- began > longNanoseconds) }
        guard let made = result.withLock({ $0 }) else { return try piece() }
        return try made.get()
    }

    private func serve() {
        IdleScheduling.begin()
        while true {
            asked.wait()
            guard let piece = piece.withLock({ piece in piece.take() }) else { return }
            piece()
        }
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
