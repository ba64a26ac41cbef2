import CCodecs
import Glibc
import HTTPSemantics
import NIOCore

/// Compresses at a high level what is stored, on one thread of low priority, while the fast variant is being served.
///
/// `BackgroundQueue` decides what runs when; this class owns the thread, the lock and the compressor. A full queue drops
/// the job: the page stays served in its fast variant, and its next hit may ask again. So a client that makes up pages
/// as fast as it can costs the configured share of one core and not more.
///
/// `@unchecked Sendable`: `queue` and `counts` are touched only between `lock()` and `unlock()`; `condition`, `mutex` and
/// `thread` are set in `init` and never change; the compressor belongs to the thread alone.
final class BackgroundCompression: @unchecked Sendable {
    /// Receives the smaller body, or `nil` when there is none: the codec failed, the result was not smaller, or
    /// `shutdown()` came first. Called once for each accepted job, on the background thread (or on the thread that shuts
    /// down), with no lock held; it should hop to where the result belongs at once.
    typealias Completion = @Sendable (StoredBody?) -> Void

    /// What has happened since the start.
    struct Counts: Sendable, Equatable {
        var accepted: UInt64 = 0
        var droppedFull: UInt64 = 0
        var droppedTooManyBytes: UInt64 = 0
        var droppedClosed: UInt64 = 0
        /// Jobs that gave a smaller body.
        var compressed: UInt64 = 0
        /// Jobs that gave none.
        var withoutGain: UInt64 = 0
        var bytesIn: UInt64 = 0
        var bytesOut: UInt64 = 0
        var cpuNanoseconds: UInt64 = 0
        /// Jobs that wait now.
        var waiting = 0

        var dropped: UInt64 { droppedFull + droppedTooManyBytes + droppedClosed }
    }

    /// What the bodies that wait may take together. They are the response cache's own bytes, unless they were evicted
    /// while they waited; 64 MB bounds that case, and is eight of the largest bodies that are stored by default.
    static let waitingBytesMax = 64 << 20

    /// How much the thread gives way to others: 10 takes a tenth of the weight of a normal thread when the core is busy,
    /// and all of it when nobody else wants it.
    private static let niceness: CInt = 10

    private struct Job {
        let body: StoredBody
        let coding: ContentCoding
        let level: Int
        let done: Completion
    }

    /// Whether it does anything at all; without it what is wanted is made at the fast level, while a client waits.
    let isOn: Bool

    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var queue: BackgroundQueue<Job>
    private var counts = Counts()
    private var thread: pthread_t?

    /// - Parameters:
    ///   - queueMax: jobs that may wait; `backgroundQueueMax`.
    ///   - share: of one core, 0…1; `backgroundShare`. At 0 no thread is started and every job is refused.
    init(queueMax: Int, share: Double, waitingBytesMax: Int = BackgroundCompression.waitingBytesMax) {
        queue = BackgroundQueue(countMax: queueMax, bytesMax: waitingBytesMax, share: share)
        isOn = queue.share > 0
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        condition.initialize(to: pthread_cond_t())
        // Rests are reckoned on the monotonic clock, which no operator sets back.
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
        if isOn { startThread() }
    }

    convenience init(_ configuration: EdgeConfiguration.Compression) {
        self.init(queueMax: configuration.backgroundQueueMax, share: configuration.backgroundShare)
    }

    deinit {
        // The thread keeps `self` alive, so it has ended; or it never started.
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Asks for a body to be compressed. Takes a microsecond; may be called from any thread.
    /// - Returns: whether the job was taken. If not, `done` is not called, and ``snapshot()`` counts the drop by reason.
    @discardableResult
    func submit(_ body: StoredBody, coding: ContentCoding, level: Int, done: @escaping Completion) -> Bool {
        let job = Job(body: body, coding: coding, level: level, done: done)
        lock()
        defer { unlock() }
        switch queue.submitted(job, bytes: body.byteCount) {
        case .accepted:
            counts.accepted += 1
            pthread_cond_signal(condition)
            return true
        case .full: counts.droppedFull += 1
        case .tooManyBytes: counts.droppedTooManyBytes += 1
        case .closed: counts.droppedClosed += 1
        }
        return false
    }

    func snapshot() -> Counts {
        lock()
        defer { unlock() }
        var counts = counts
        counts.waiting = queue.waitingCount
        return counts
    }

    /// Takes no more jobs, answers the waiting ones with `nil`, and returns when the running one and the thread have ended.
    ///
    /// Blocks for as long as one job may take (with ``CompressionPolicy``'s levels about a second for 8 MB), so never call
    /// it on an event loop, and not from a completion. May be called again; then it only returns.
    func shutdown() {
        lock()
        let abandoned = queue.stopped()
        let thread = self.thread
        self.thread = nil
        pthread_cond_signal(condition)
        unlock()
        for job in abandoned { job.done(nil) }
        if let thread { pthread_join(thread, nil) }
    }

    private func lock() { pthread_mutex_lock(mutex) }
    private func unlock() { pthread_mutex_unlock(mutex) }

    private func startThread() {
        var thread = pthread_t()
        let retained = Unmanaged.passRetained(self)
        let status = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<BackgroundCompression>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, retained.toOpaque())
        if status == 0 {
            self.thread = thread
        } else {
            // No thread to be had: serve without background compression rather than not at all. Jobs are refused as closed.
            retained.release()
            _ = queue.stopped()
        }
    }

    /// The thread's life.
    private func run() {
        // On Linux a priority set for "process 0" is the calling thread's alone. A refusal is no harm: the budget holds.
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, Self.niceness)
        let compressor = OneShotCompressor()
        while let job = nextJob() {
            let started = Self.threadCPUNanoseconds()
            let result = Self.compress(job, compressor)
            let cpuNanoseconds = Self.threadCPUNanoseconds() - started
            jobFinished(job, result, cpuNanoseconds: cpuNanoseconds)
            job.done(result)
        }
    }

    /// Bodies in pieces up to here are joined for as long as it takes: a codec that sees all at once makes less of it.
    private static let joinedBytesMax = 4 << 20

    /// - Returns: `nil` when it does not get smaller.
    private static func compress(_ job: Job, _ compressor: OneShotCompressor) -> StoredBody? {
        if job.body.byteCount <= joinedBytesMax {
            return compressor.compress(job.body.joined(), as: job.coding, level: job.level).map { StoredBody(cutting: $0) }
        }
        guard let stream = StreamingCompressor(coding: job.coding, level: job.level) else { return nil }
        var pieces: [ByteBuffer] = []
        var output = ByteBuffer()
        var byteCount = 0
        do {
            for piece in job.body.pieces.isEmpty ? [job.body.whole] : job.body.pieces {
                try stream.compress(piece, flush: false, into: &output)
                guard output.readableBytes >= StoredBody.pieceBytes else { continue }
                byteCount += output.readableBytes
                guard byteCount < job.body.byteCount else { return nil }
                pieces.append(.exact(joining: [output]))
                output.clear()
            }
            try stream.finish(into: &output)
        } catch {
            return nil
        }
        guard byteCount + output.readableBytes < job.body.byteCount else { return nil }
        if output.readableBytes > 0 { pieces.append(.exact(joining: [output])) }
        return StoredBody(parts: pieces)
    }

    /// Waits for the next job; `nil` when the thread has to end.
    private func nextJob() -> Job? {
        lock()
        defer { unlock() }
        while true {
            switch queue.next(now: .now()) {
            case .run(let job): return job
            case .stop: return nil
            case .wait: pthread_cond_wait(condition, mutex)
            case .rest(let until):
                let nanoseconds = until.uptimeNanoseconds
                var time = timespec(
                    tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
                pthread_cond_timedwait(condition, mutex, &time)
            }
        }
    }

    private func jobFinished(_ job: Job, _ result: StoredBody?, cpuNanoseconds: Int64) {
        lock()
        defer { unlock() }
        queue.jobFinished(cpuTime: .nanoseconds(cpuNanoseconds), now: .now())
        counts.cpuNanoseconds += UInt64(max(cpuNanoseconds, 0))
        counts.bytesIn += UInt64(job.body.byteCount)
        if let result {
            counts.compressed += 1
            counts.bytesOut += UInt64(result.byteCount)
        } else {
            counts.withoutGain += 1
        }
    }

    /// CPU time and not time passed: a thread of low priority that waits for a core has not used any.
    private static func threadCPUNanoseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
