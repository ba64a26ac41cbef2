/// When scheduled measurements begin and what ends them. Events in, actions out; no I/O, no clock, no chance.
///
/// | state | waits for | next |
/// |---|---|---|
/// | waiting | a job's time | running |
/// | running | the child's end, the limit of its time, live traffic that suffers, another instance that may begin | waiting |
///
/// One at a time: what becomes due while another runs waits for its next time. What would begin while traffic suffers is left out.
public struct TestSchedule: Sendable {
    public enum Kind: String, CaseIterable, Sendable {
        /// Light, medium and heavy load.
        case load
        /// What each layer is worth.
        case proof
    }

    /// How a run ended. The raw value is the word in the document.
    public enum Ending: String, Sendable {
        case finished
        /// With another status than it should, or by a signal.
        case failed
        /// It was ended because live traffic suffered.
        case aborted
        /// It was ended because its time was over.
        case tooLong = "too-long"
        /// It did not begin, because live traffic suffered, or another instance's ran.
        case skipped
    }

    public struct Last: Sendable {
        public var startedAt: Int64
        public var endedAt: Int64
        public var ending: Ending
        public var words: String
        /// The end of what it said.
        public var log: [String] = []
    }

    public struct Job: Sendable {
        public let kind: Kind
        public let cron: CronExpression
        /// Seconds since 1970.
        public fileprivate(set) var nextAt: Int64?
        public internal(set) var last: Last?
    }

    /// How live traffic fares; `nil` without any.
    public struct Traffic: Sendable {
        /// 99 of 100 requests take no longer, in seconds.
        public var p99: Double?
        /// Of requests, failed.
        public var errorShare: Double?

        public init(p99: Double? = nil, errorShare: Double? = nil) {
            self.p99 = p99
            self.errorShare = errorShare
        }
    }

    public struct Limits: Sendable, Equatable {
        /// A run takes no longer, in seconds.
        public var seconds: Int64 = 1200
        /// Traffic suffers beyond these.
        public var p99 = 2.0
        public var errorShare = 0.05
        /// A run begins up to so many seconds later than its time says, so that not all instances begin at once.
        public var jitterSeconds: Int64 = 120

        public init() {}
    }

    public enum Action: Sendable, Equatable {
        case wait
        case start(Kind)
        /// The child that runs is to end.
        case stop
    }

    /// 3: a single slow second is no suffering.
    private static let sufferingMax = 3
    /// How long a child that was told to end may take, before it is told again.
    private static let stopSeconds: Int64 = 10

    public private(set) var jobs: [Job]
    private let limits: Limits
    private var running: (job: Int, startedAt: Int64)?
    private var stopping: (ending: Ending, words: String, at: Int64)?
    private var suffering = 0

    /// - Parameter chance: a number up to and with its argument.
    public init(_ jobs: [(Kind, CronExpression)], limits: Limits, now: Int64, chance: (Int64) -> Int64) {
        self.limits = limits
        self.jobs = jobs.map { Job(kind: $0, cron: $1, nextAt: nil, last: nil) }
        for index in self.jobs.indices { plan(index, now: now, chance: chance) }
    }

    public var isRunning: Kind? { running.map { jobs[$0.job].kind } }

    private mutating func plan(_ index: Int, now: Int64, chance: (Int64) -> Int64) {
        jobs[index].nextAt = jobs[index].cron.next(after: now).map { $0 + min(max(chance(limits.jitterSeconds), 0), limits.jitterSeconds) }
    }

    private func complaint(_ traffic: Traffic) -> String? {
        if let p99 = traffic.p99, p99 > limits.p99 { return "live traffic suffered: 1 of 100 requests took longer than \(Self.text(p99)) s" }
        if let share = traffic.errorShare, share > limits.errorShare { return "live traffic suffered: \(Self.text(share * 100)) % of the requests failed" }
        return nil
    }

    private static func text(_ value: Double) -> String { String((value * 10).rounded() / 10) }

    /// A second has passed.
    public mutating func secondPassed(now: Int64, traffic: Traffic, chance: (Int64) -> Int64) -> Action {
        let complaint = complaint(traffic)
        suffering = complaint == nil ? 0 : suffering + 1
        for index in jobs.indices {
            // A clock that was set back makes the next time lie far away.
            if let next = jobs[index].nextAt, let due = jobs[index].cron.next(after: now), next > due + limits.jitterSeconds {
                plan(index, now: now, chance: chance)
            }
        }
        if let running {
            if let stopping {
                guard now - stopping.at >= Self.stopSeconds || now < stopping.at else { return .wait }
                self.stopping?.at = now
                return .stop
            }
            if let complaint, suffering >= Self.sufferingMax {
                stopping = (.aborted, complaint, now)
                return .stop
            }
            if now - running.startedAt > limits.seconds {
                stopping = (.tooLong, "it was not done within \(limits.seconds) s", now)
                return .stop
            }
            return .wait
        }
        guard let due = jobs.indices.filter({ jobs[$0].nextAt.map { $0 <= now } ?? false }).min(by: { (jobs[$0].nextAt ?? 0) < (jobs[$1].nextAt ?? 0) })
        else { return .wait }
        plan(due, now: now, chance: chance)
        if let complaint {
            jobs[due].last = Last(startedAt: now, endedAt: now, ending: .skipped, words: complaint)
            return .wait
        }
        running = (due, now)
        return .start(jobs[due].kind)
    }

    /// What was to start must not: another instance's runs, or nobody knows whether one does.
    public mutating func refused(_ words: String, now: Int64) {
        guard let running else { return }
        jobs[running.job].last = Last(startedAt: now, endedAt: now, ending: .skipped, words: words)
        (self.running, stopping) = (nil, nil)
    }

    /// Another instance may begin: this one's run is to end.
    public mutating func lost(_ words: String, now: Int64) -> Action {
        guard running != nil, stopping == nil else { return .wait }
        stopping = (.aborted, words, now)
        return .stop
    }

    /// The child has ended, or could not begin.
    /// - Parameters:
    ///   - problem: why it is no good result, in words; `nil` when it is one.
    ///   - log: the end of what it said.
    public mutating func ended(problem: String?, log: [String], now: Int64) {
        guard let running else { return }
        let ending = stopping?.ending ?? (problem == nil ? .finished : .failed)
        jobs[running.job].last = Last(
            startedAt: running.startedAt, endedAt: now, ending: ending, words: stopping?.words ?? problem ?? "", log: log)
        (self.running, stopping) = (nil, nil)
    }
}
