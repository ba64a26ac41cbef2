import NIOCore

/// Which background job runs when, so that background work never takes more than its share of one core and never more
/// than its share of memory. A value without threads or clocks: `BackgroundCompression` runs what it says.
///
/// After a job that took `t` of CPU time, the worker rests for `t · (1 / share − 1)`: over any stretch of time that begins
/// and ends between jobs, at most `share` of a core was used. The rest is reckoned from the job's end.
struct BackgroundQueue<Job> {
    /// What the worker does next.
    enum Next {
        case run(Job)
        /// Ask again at that time.
        case rest(until: NIODeadline)
        /// Ask again after the next submission.
        case wait
        /// Never ask again.
        case stop
    }

    /// A job taken or refused, with its reason; the raw value is the metric's label.
    enum Submission: String, CaseIterable {
        case accepted
        /// As many jobs wait as may wait.
        case full
        /// The waiting jobs' bodies would take more memory than they may.
        case tooManyBytes = "too-many-bytes"
        /// The share is zero, or the queue is shutting down.
        case closed
    }

    let countMax: Int
    let bytesMax: Int
    let share: Double

    private var waiting = CircularBuffer<(job: Job, bytes: Int)>()
    private(set) var waitingBytes = 0
    private var restsUntil = NIODeadline.uptimeNanoseconds(0)
    private(set) var isStopped = false

    /// - Parameters:
    ///   - countMax: jobs that may wait, besides the one that runs.
    ///   - bytesMax: what their bodies may take together.
    ///   - share: of one core, 0…1; from 1 on it never rests, at 0 (and for what is no number) it takes no jobs.
    init(countMax: Int, bytesMax: Int, share: Double) {
        self.countMax = max(countMax, 0)
        self.bytesMax = max(bytesMax, 0)
        self.share = share > 0 ? min(share, 1) : 0
    }

    var waitingCount: Int { waiting.count }

    mutating func submitted(_ job: Job, bytes: Int) -> Submission {
        guard !isStopped, share > 0 else { return .closed }
        guard waiting.count < countMax else { return .full }
        guard bytes <= bytesMax - waitingBytes else { return .tooManyBytes }
        waiting.append((job, bytes))
        waitingBytes += bytes
        return .accepted
    }

    /// The worker is free and asks.
    mutating func next(now: NIODeadline) -> Next {
        if isStopped { return .stop }
        if waiting.isEmpty { return .wait }
        if now < restsUntil { return .rest(until: restsUntil) }
        let (job, bytes) = waiting.removeFirst()
        waitingBytes -= bytes
        return .run(job)
    }

    /// The job that ``next(now:)`` gave out last has ended, after so much CPU time.
    mutating func jobFinished(cpuTime: TimeAmount, now: NIODeadline) {
        // An hour at most: a job of minutes with a tiny share must not overflow, and it is no rest then but a switch-off.
        let restNanoseconds = min(Double(max(cpuTime.nanoseconds, 0)) * (1 / share - 1), 3.6e12)
        restsUntil = now + .nanoseconds(Int64(restNanoseconds))
    }

    /// Takes no more jobs. Returns those that were waiting; they are never run.
    mutating func stopped() -> [Job] {
        isStopped = true
        defer {
            waiting.removeAll()
            waitingBytes = 0
        }
        return waiting.map(\.job)
    }
}
