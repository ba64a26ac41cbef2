import NIOCore
import NIOPosix
import Synchronization
import Telemetry

/// The users of one event loop, and what has been counted for them.
///
/// Deadlines are looked through twenty times a second; no timer is made per request.
final class LoadWorker {
    /// What the workers of a run share.
    final class Shared: Sendable {
        let window: LoadWindow
        /// Requests that may still begin and count.
        private let budget: Atomic<Int>
        private let stops = Atomic<Bool>(false)

        init(window: LoadWindow, requestsMax: Int?) {
            self.window = window
            budget = Atomic(requestsMax ?? .max)
        }

        var isStopped: Bool { stops.load(ordering: .relaxed) }
        /// Whether the run ended because all requests that it may send were sent.
        var isSpent: Bool { budget.load(ordering: .relaxed) <= 0 }

        func stop() { stops.store(true, ordering: .relaxed) }

        func admit(now: UInt64) -> LoadWindow.Admission {
            switch isStopped ? .over : window.admission(at: now) {
            case .warmUp: .warmUp
            case .measured: budget.subtract(1, ordering: .relaxed).oldValue > 0 ? .measured : .over
            case .over: .over
            }
        }
    }

    /// What one worker counted.
    struct Tally: Sendable {
        var succeeded = 0
        var failures: [FailureKind: Int] = [:]
        var bodyBytes = 0
        var responseTimes = HistogramSnapshot()
        /// When the last request that counts ended, in nanoseconds of the monotonic clock.
        var lastEnd: UInt64 = 0
    }

    private static let sweepInterval = TimeAmount.milliseconds(50)

    let workload: Workload
    /// Nanoseconds.
    let timeout: UInt64
    private let eventLoop: any EventLoop
    private let address: SocketAddress
    private let shared: Shared
    private var users: [LoadUser] = []
    private var runningCount = 0
    private var sweep: RepeatedTask?
    private let histogram = Histogram()
    private var tally = Tally()
    private let done: EventLoopPromise<Tally>

    init(plan: LoadPlan, address: SocketAddress, shared: Shared, eventLoop: any EventLoop) {
        workload = plan.workload
        timeout = plan.timeout.nanosecondsClamped
        self.address = address
        self.shared = shared
        self.eventLoop = eventLoop
        done = eventLoop.makePromise()
    }

    /// Lets users loose. On the event loop.
    /// - Returns: the counts, when all users have stopped: at the latest when the last request's time is up.
    func run(users numbers: [Int]) -> EventLoopFuture<Tally> {
        runningCount = numbers.count
        users = numbers.map { LoadUser(worker: self, position: $0 % workload.requests.count) }
        guard !users.isEmpty else {
            done.succeed(tally)
            return done.futureResult
        }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        sweep = eventLoop.scheduleRepeatedTask(initialDelay: Self.sweepInterval, delay: Self.sweepInterval) { _ in
            bound.value.swept(now: MonotonicClock.nanoseconds())
        }
        let now = MonotonicClock.nanoseconds()
        for user in users { user.proceed(now: now) }
        return done.futureResult
    }

    func admit(now: UInt64) -> LoadWindow.Admission {
        shared.admit(now: now)
    }

    @inline(__always)
    func record(_ failure: FailureKind?, began: UInt64, ended: UInt64, bodyByteCount: Int) {
        guard shared.window.counts(began: began, ended: ended, isFailure: failure != nil) else { return }
        tally.lastEnd = ended
        if let failure {
            tally.failures[failure, default: 0] += 1
        } else {
            histogram.record(nanoseconds: ended &- began)
            tally.succeeded += 1
            tally.bodyBytes += bodyByteCount
        }
    }

    func userStopped() {
        runningCount -= 1
        if runningCount == 0 { finish() }
    }

    func afterPause(_ pause: TimeAmount, _ action: @escaping () -> Void) {
        let bound = NIOLoopBound(action, eventLoop: eventLoop)
        eventLoop.scheduleTask(in: pause) { bound.value() }
    }

    /// Makes a connection; the answer comes in a later tick.
    func connect(_ completion: @escaping (Result<LoadConnection, any Error>) -> Void) {
        let bootstrap = LoadRun.bootstrap(eventLoop, timeout: .nanoseconds(Int64(clamping: timeout)), to: address)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(LoadConnection()) }
            }
        let bound = NIOLoopBound(completion, eventLoop: eventLoop)
        bootstrap.connect(to: address).whenComplete { result in
            bound.value(
                result.flatMap { channel in Result { try channel.pipeline.syncOperations.handler(type: LoadConnection.self) } })
        }
    }

    private func swept(now: UInt64) {
        if shared.isStopped { return finish() }
        for user in users where user.deadline <= now { user.deadlinePassed() }
    }

    private func finish() {
        guard let sweep else { return }
        sweep.cancel()
        self.sweep = nil
        // Users know their worker: this ends the circle.
        users.removeAll()
        tally.responseTimes = histogram.snapshot()
        done.succeed(tally)
    }
}
