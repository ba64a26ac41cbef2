import NIOCore
import NIOPosix
import Synchronization
import Telemetry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The clients of one event loop: lets requests begin, by a schedule or one after the other, and counts what they came to.
///
/// Deadlines are looked through twenty times a second; no timer is made per request. An open loop has one timer, for the next
/// intended start.
final class LoadWorker {
    /// What the workers of a run share.
    final class Shared: Sendable {
        private let measuredFrom: Atomic<UInt64>
        private let end: Atomic<UInt64>
        /// Requests that may still begin and count.
        private let budget: Atomic<Int>
        private let stops = Atomic<Bool>(false)
        /// When the last request that counts ended, in nanoseconds of the monotonic clock.
        let lastEnd = Atomic<UInt64>(0)

        init(window: LoadWindow, requestsMax: Int?) {
            measuredFrom = Atomic(window.measuredFrom)
            end = Atomic(window.end)
            budget = Atomic(requestsMax ?? .max)
        }

        var window: LoadWindow {
            // The end is written before the start: who sees the one sees the other.
            let start = measuredFrom.load(ordering: .acquiring)
            return LoadWindow(measuredFrom: start, end: end.load(ordering: .relaxed))
        }

        /// Ends a warm-up that had no end. Once.
        func begin(_ window: LoadWindow) {
            end.store(window.end, ordering: .relaxed)
            measuredFrom.store(window.measuredFrom, ordering: .releasing)
        }

        var isStopped: Bool { stops.load(ordering: .relaxed) }
        /// Whether the run ended because all requests that it may send were sent.
        var isSpent: Bool { budget.load(ordering: .relaxed) <= 0 }

        func stop() { stops.store(true, ordering: .relaxed) }

        func admit(now: UInt64) -> LoadWindow.Admission {
            switch isStopped ? .over : window.admission(at: now) {
            case .warmUp: .warmUp
            case .measured: takeFromBudget() ? .measured : .over
            case .over: .over
            }
        }

        func takeFromBudget() -> Bool { budget.subtract(1, ordering: .relaxed).oldValue > 0 }
    }

    private static let sweepInterval = TimeAmount.milliseconds(50)
    /// How long the event loop's other tasks may wait for one look at the sockets.
    private static let turnMax: UInt64 = 2_000_000
    /// A refusal takes microseconds: without a pause a server that is down would be asked a hundred thousand times a second.
    static let pauseAfterRefusal = TimeAmount.milliseconds(50)
    /// Timers that are closer than this are one, so that above 5,000 requests/s those go out together that became due in a fifth of a millisecond. A
    /// timer each would cost more than the request: to sleep, to be woken and to wake the server are each a visit to the kernel, and on a virtual
    /// machine to what is below it.
    static let wakeDistance: UInt64 = 200_000

    let workload: Workload
    /// Nanoseconds.
    let timeout: UInt64
    private let plan: LoadPlan
    private let share: (index: Int, count: Int)
    private let eventLoop: any EventLoop
    private let address: SocketAddress
    private let shared: Shared
    private let counts: LoadCounts
    private var clients: [LoadClient] = []
    /// Of HTTP/2: its clients in the order of ``clients``, so many each.
    private var groups: [HTTP2Group] = []
    private let gathering = HTTP2LoadConnection.Gathering()
    private let buffers = ReadBuffers()
    /// `nil` where connections are NIO's channels.
    private var sockets: PlainSockets?
    private var sweep: RepeatedTask?
    private let done: EventLoopPromise<Void>

    /// Closed: users that have not stopped. Open: clients with a request.
    private var busyCount = 0

    // An open loop's.
    private var pacer: Pacer?
    private var isMeasuring = false
    /// Clients without a request; the last that was used first, so that few connections are kept warm.
    private var idle: [LoadClient] = []
    private let clientsMax: Int
    private var position: Int
    private var isPolling = false
    /// When the timer rings, `.max` when there is none.
    private var wakesAt = UInt64.max
    /// The time since which a free client has been there; a request that was due before could not go out earlier.
    private var freeSince: UInt64 = 0
    private var isStarved = false
    /// Whether the schedule is behind because no connection was free; until it is on time again, its pace is not the generator's fault.
    private var isBehindForServer = false

    init(
        plan: LoadPlan, address: SocketAddress, shared: Shared, counts: LoadCounts, share: (index: Int, count: Int),
        eventLoop: any EventLoop
    ) {
        self.plan = plan
        workload = plan.workload
        timeout = plan.timeout.nanosecondsClamped
        self.address = address
        self.shared = shared
        self.counts = counts
        self.share = share
        self.eventLoop = eventLoop
        done = eventLoop.makePromise()
        // Rounded up: a loop without a connection could send nothing.
        clientsMax = (plan.requestsAtOnceMax + share.count - 1) / share.count
        position = share.index * workload.order.count / share.count
    }

    /// Lets requests begin. On the event loop.
    /// - Returns: when all have ended: at the latest when the last one's time is up.
    func run() -> EventLoopFuture<Void> {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        sweep = eventLoop.scheduleRepeatedTask(initialDelay: Self.sweepInterval, delay: Self.sweepInterval) { _ in
            bound.value.swept(now: MonotonicClock.nanoseconds())
        }
        if usesPlainSockets { sockets = PlainSockets(buffers) }
        if sockets != nil { eventLoop.execute { bound.value.turn() } }
        let now = MonotonicClock.nanoseconds()
        switch plan.arrivals {
        case .closed(let users, _):
            let numbers = stride(from: share.index, to: users, by: share.count)
            for number in numbers { _ = addClient(position: number % workload.order.count) }
            busyCount = clients.count
            guard !clients.isEmpty else {
                finish()
                break
            }
            for client in clients { proceed(client, now: now) }
        case .open(let open):
            // As long as the longest warm-up; it gives way to the measured schedule.
            let warmUp = RateProfile(steady: max(open.profile.rateAtStart, 0.001), seconds: 8_640_000)
            pacer = makePacer(warmUp, open, seed: open.seed ^ 0x5741_524D, start: now)
            poll(now: now)
        }
        return done.futureResult
    }

    private func makePacer(
        _ profile: RateProfile, _ open: LoadPlan.OpenLoop, seed: UInt64, start: UInt64, recorded: [Double]? = nil
    ) -> Pacer {
        Pacer(ArrivalSequence(profile, shape: open.shape, share: share, seed: seed, start: start, recorded: recorded), timeout: timeout)
    }

    // MARK: Closed loop

    /// A user wants the next response, or stops.
    private func proceed(_ client: LoadClient, now: UInt64) {
        let admission = shared.admit(now: now)
        guard admission != .over else {
            client.close()
            busyCount -= 1
            if busyCount == 0 { finish() }
            return
        }
        let request = workload.requests[Int(workload.order[client.position])]
        client.position = client.position + 1 < workload.order.count ? client.position + 1 : 0
        client.begin(request, intended: now, isMeasured: admission == .measured)
    }

    // MARK: Open loop

    /// Sends what is due.
    private func poll(now: UInt64) {
        guard !isPolling else { return }
        isPolling = true
        gathering.begin()
        defer {
            isPolling = false
            gathering.end()
        }
        var now = now
        while sweep != nil {
            beginMeasuring()
            guard let step = pacer?.step(now: now) else { return }
            switch step {
            case .over:
                if busyCount == 0 { finish() }
                return
            case .wait(let until): return wake(at: max(until, now &+ Self.wakeDistance))
            case .expire(let intended):
                guard admitScheduled() else { return }
                pacer?.taken(now: now)
                let asked = LoadClient.Asked(
                    request: nextRequest(), intended: intended, written: nil, isMeasured: isMeasuring)
                if isMeasuring {
                    counts.scheduled.add()
                    counts.delayed.add()
                }
                record(asked, .unsent, now: now)
            case .send(let intended, let released):
                guard let client = freeClient() else {
                    isStarved = true
                    isBehindForServer = true
                    return
                }
                guard admitScheduled() else {
                    idle.append(client)
                    return
                }
                pacer?.taken(now: now)
                if released == intended, freeSince <= intended { isBehindForServer = false }
                if isMeasuring {
                    // A backlog that the generator made itself, by waking late, is its lag, and so is the pace at which it is worked off.
                    let possible = isBehindForServer ? max(released, freeSince) : intended
                    counts.scheduled.add()
                    counts.scheduleLag.record(nanoseconds: now &- min(possible, now))
                    if freeSince > intended { counts.delayed.add() }
                }
                busyCount += 1
                client.begin(nextRequest(), intended: intended, isMeasured: isMeasuring)
                now = MonotonicClock.nanoseconds()
            }
        }
    }

    /// Goes over from the warm-up's schedule to the measured one, once its beginning is known and near.
    private func beginMeasuring() {
        guard !isMeasuring, case .open(let open) = plan.arrivals, let pacer else { return }
        let start = shared.window.measuredFrom
        guard start != .max, pacer.nextIntended >= start else { return }
        isMeasuring = true
        if open.recorded != nil { position = 0 }
        self.pacer = makePacer(open.profile, open, seed: open.seed, start: start, recorded: open.recorded)
    }

    /// Whether the next request may begin; when not, none begins any more.
    private func admitScheduled() -> Bool {
        guard isMeasuring, !shared.takeFromBudget() else { return true }
        pacer = pacer?.ended()
        if busyCount == 0 { finish() }
        return false
    }

    private func nextRequest() -> Workload.Request {
        defer { position = position + 1 < workload.order.count ? position + 1 : 0 }
        return workload.requests[Int(workload.order[position])]
    }

    private func freeClient() -> LoadClient? {
        if let client = idle.popLast() { return client }
        guard clients.count < clientsMax else { return nil }
        return addClient(position: 0)
    }

    private func wake(at time: UInt64) {
        guard time < wakesAt else { return }
        wakesAt = time
        // Who waits for sockets waits no longer than that.
        guard sockets == nil else { return }
        // It fails of a loop that has been shut down, whose run is over.
        _ = try? eventLoop.scheduleCallback(at: .uptimeNanoseconds(time), handler: Waker(worker: self))
    }

    /// A timer without a promise, which would be an allocation or two for each.
    private struct Waker: NIOScheduledCallbackHandler, @unchecked Sendable {
        // Sendable because it is made and called on the worker's event loop.
        let worker: LoadWorker

        func handleScheduledCallback(eventLoop: some EventLoop) {
            let now = MonotonicClock.nanoseconds()
            if now >= worker.wakesAt { worker.wakesAt = .max }
            worker.poll(now: now)
        }
    }

    // MARK: Both

    /// One look at the plain sockets, and at what is due; tasks and timers of the event loop get their turn in between. Channels do not: while there is
    /// always a task, it never asks its own selector.
    private func turn() {
        guard sweep != nil, let sockets else { return }
        var now = MonotonicClock.nanoseconds()
        let until = min(wakesAt, now &+ Self.turnMax)
        sockets.wait(nanoseconds: until - min(now, until))
        if wakesAt != .max {
            now = MonotonicClock.nanoseconds()
            if now >= wakesAt {
                wakesAt = .max
                poll(now: now)
            }
        }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.execute { bound.value.turn() }
    }

    /// NIO's channels are there for TLS and HTTP/2, and its timers for users who think, which a wait for sockets would make late.
    private var usesPlainSockets: Bool {
        if case .http2 = workload.speech { return false }
        if case .closed(_, let thinkTime) = plan.arrivals, thinkTime > .zero { return false }
        return plan.tls == nil
    }

    private func addClient(position: Int) -> LoadClient {
        var group: HTTP2Group?
        if case .http2(let streams) = workload.speech {
            // Without keep-alive nothing is shared.
            let shared = workload.keepsAlive ? streams : 1
            if clients.count == groups.count * shared { groups.append(HTTP2Group(isAlone: !workload.keepsAlive)) }
            group = groups.last
        }
        let client = LoadClient(worker: self, position: position, group: group)
        clients.append(client)
        return client
    }

    func requestEnded(_ asked: LoadClient.Asked, failure: FailureKind?, by client: LoadClient) {
        let now = MonotonicClock.nanoseconds()
        record(asked, failure, now: now)
        switch plan.arrivals {
        case .closed(_, let thinkTime):
            let pause = TimeAmount.nanoseconds(Int64(clamping: thinkTime.nanosecondsClamped))
            let least = failure == .connect ? Self.pauseAfterRefusal : .zero
            guard max(pause, least) > .zero else { return proceed(client, now: now) }
            let bound = NIOLoopBound((self, client), eventLoop: eventLoop)
            eventLoop.scheduleTask(in: max(pause, least)) {
                let (worker, client) = bound.value
                if worker.sweep != nil { worker.proceed(client, now: MonotonicClock.nanoseconds()) }
            }
        case .open:
            busyCount -= 1
            idle.append(client)
            if isStarved {
                isStarved = false
                freeSince = now
                poll(now: now)
            } else if wakesAt == .max {
                poll(now: now)
            }
            // Else the timer sends what is due, together: a server that has not been woken yet is woken once for all of it.
        }
    }

    @inline(__always)
    private func record(_ asked: LoadClient.Asked, _ failure: FailureKind?, now: UInt64) {
        let responseTime = now &- min(asked.intended, now)
        if failure == nil { counts.allResponseTimes.record(nanoseconds: responseTime) } else { counts.allFailed.add() }
        guard asked.isMeasured || failure != nil && now >= shared.window.measuredFrom else { return }
        shared.lastEnd.store(now, ordering: .relaxed)
        if let failure {
            counts.failed(failure, class: asked.request.classIndex)
        } else {
            counts.succeeded(
                class: asked.request.classIndex, responseTime: responseTime,
                serviceTime: now &- min(asked.written ?? asked.intended, now), bodyByteCount: asked.bodyByteCount)
        }
    }

    /// Makes a connection, or finds a place on the one that the client shares; then the answer may come at once.
    func connect(_ client: LoadClient, _ completion: @escaping (Result<any RequestLink, any Error>) -> Void) {
        guard let group = client.group else {
            let (isSecure, workload) = (plan.tls != nil, self.workload)
            if let sockets {
                let connection = LoadConnection(workload.conversation(), isSecure: false)
                return sockets.begin(connection, to: address, now: MonotonicClock.nanoseconds()) { result in
                    self.count(result)
                    completion(result)
                }
            }
            return connect(
                LoadConnectionHandler.self, into: buffers, { LoadConnectionHandler(LoadConnection(workload.conversation(), isSecure: isSecure)) }
            ) { completion($0.map { $0.connection }) }
        }
        guard group.join(completion) else { return }
        let bound = NIOLoopBound(gathering, eventLoop: eventLoop)
        let (isSecure, workload) = (plan.tls != nil, self.workload)
        connect(
            HTTP2LoadConnection.self, into: nil,
            {
                HTTP2LoadConnection(
                    streamsMax: workload.streams, isSecure: isSecure, keepsFields: workload.readsFields, gathering: bound.value)
            }, group.connected)
    }

    private func connect<Connection: ChannelInboundHandler & SendableMetatype>(
        _ type: Connection.Type, into buffers: ReadBuffers?, _ make: @escaping @Sendable () -> Connection,
        _ completion: @escaping (Result<Connection, any Error>) -> Void
    ) {
        let tls = plan.tls
        let bootstrap = LoadRun.bootstrap(eventLoop, timeout: .nanoseconds(Int64(clamping: timeout)), to: address, into: buffers)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(make())
                    try tls?.add(to: channel)
                }
            }
        let bound = NIOLoopBound((self, completion), eventLoop: eventLoop)
        bootstrap.connect(to: address).whenComplete { result in
            let (worker, completion) = bound.value
            worker.count(result)
            completion(
                result.flatMap { channel in Result { try channel.pipeline.syncOperations.handler(type: Connection.self) } })
        }
    }

    private func count<Connection>(_ result: Result<Connection, any Error>) {
        switch result {
        case .success: counts.connections.add()
        case .failure(let error): if Self.isShortage(error) { counts.socketShortages.add() }
        }
    }

    /// Whether this system, and not the server, refused a connection.
    private static func isShortage(_ error: any Error) -> Bool {
        guard let error = error as? IOError else { return false }
        return [EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL].contains(error.errnoCode)
    }

    private func swept(now: UInt64) {
        if shared.isStopped { return finish() }
        gathering.begin()
        for client in clients where client.deadline <= now { client.deadlinePassed() }
        gathering.end()
        sockets?.expire(before: now - min(timeout, now))
        if pacer != nil { poll(now: now) }
    }

    private func finish() {
        guard let sweep else { return }
        sweep.cancel()
        self.sweep = nil
        // First: else each request that is given up would let one begin that waits, to be given up, too.
        for group in groups { group.close() }
        // Clients know their worker: this ends the circle.
        for client in clients { client.close() }
        sockets?.end()
        groups.removeAll()
        clients.removeAll()
        idle.removeAll()
        done.succeed()
    }
}
