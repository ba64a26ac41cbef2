import CEpoll
public import Dispatch
import Glibc
public import NIOCore
import NIOPosix
import Synchronization
import Telemetry

/// An event loop for connections whose messages are small: one `epoll_wait` for all that are ready, one `recv` for each, and then at once who reads.
///
/// NIO's own takes some 2,800 instructions in user space from the wait to the handler for each read, and 40,000 for each connection that is made, of the
/// 12,400 and 110,000 that a transaction and a log-in of the pooler took; a GET of the keyspace took 7.2 µs with it, and takes 6.5. To NIO this is an event loop as any other: its futures, pipelines and TLS run on it;
/// its connections are ``SocketChannel``s.
///
/// `@unchecked Sendable`: all but `others`, `thread` and what never changes is touched on the loop's own thread only.
public final class SocketLoop: EventLoop, @unchecked Sendable {
    /// What is read at once.
    static let readBytes = 64 << 10
    private static let eventsMax = 256

    private let epoll: CInt
    private let timer: CInt
    private let wakeup: CInt
    private let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: eventsMax)
    /// By descriptor.
    private var places: [Place] = []
    private var tasks: [() -> Void] = []
    /// Memory for them, while those before are run.
    private var dueTasks: [() -> Void] = []
    /// The next one last; of those that go off together the one that came first.
    private var timers: [Timer] = []
    private var timerCount: UInt64 = 0
    private var timerDeadline = NIODeadline.distantFuture
    private var busyPoll: BusyPoll.Turn?
    private var batchScheduling: BatchScheduling?
    private var isEnding = false
    private var spare: ByteBuffer?
    /// What other threads have brought.
    private let others = Lock(Others())
    private let thread = Atomic<UInt>(0)

    private struct Place {
        var watcher: (any DescriptorWatcher)?
        /// A number of its own for each connection that has had the descriptor: events of one are not another's.
        var generation: UInt32 = 0
    }

    private struct Others: Sendable {
        var tasks: [@Sendable () -> Void] = []
        var hasEnded = false
        var waitForEnd: [(DispatchQueue, @Sendable ((any Error)?) -> Void)] = []
    }

    /// `@unchecked Sendable`: its action is touched on the loop's thread only.
    private final class Timer: @unchecked Sendable {
        let deadline: NIODeadline
        /// Set when it is inserted.
        var number: UInt64 = 0
        /// `nil`: it is cancelled, or has gone off. Called with whether its time has come, which it never does on a loop that ends.
        var action: ((Bool) -> Void)?

        init(_ deadline: NIODeadline, _ action: @escaping (Bool) -> Void) {
            self.deadline = deadline
            self.action = action
        }
    }

    private final class Signal: DescriptorWatcher {
        private let action: () -> Void

        init(_ action: @escaping () -> Void) {
            self.action = action
        }

        func happened(_ events: UInt32) { action() }
        func loopEnds() {}
    }

    /// Begins a thread that runs it until it is shut down.
    /// - Parameters:
    ///   - busyPoll: the same for all loops of a server; `nil`: it sleeps whenever there is nothing to do.
    ///   - isOneOfMany: it is not its server's only one, and does not take the core from the others while it is busy (see `BatchScheduling`).
    public init(busyPoll: BusyPoll? = nil, isOneOfMany: Bool = false) {
        epoll = epoll_create1(CInt(EPOLL_CLOEXEC))
        timer = headrace_timerfd()
        wakeup = headrace_eventfd()
        precondition(epoll >= 0 && timer >= 0 && wakeup >= 0, "no descriptor is left for an event loop")
        self.busyPoll = busyPoll.map { BusyPoll.Turn($0, loop: UInt(epoll) + 1) }
        // Who has given the process another policy wants that one.
        if isOneOfMany, headrace_is_scheduled_as_other() != 0 { batchScheduling = BatchScheduling() }
        let me = Unmanaged.passRetained(self).toOpaque()
        var id = pthread_t()
        let result = pthread_create(
            &id, nil,
            { argument in
                if let argument { Unmanaged<SocketLoop>.fromOpaque(argument).takeRetainedValue().run() }
                return nil
            }, me)
        precondition(result == 0, "no thread is to be had for an event loop")
        pthread_detach(id)
    }

    deinit { events.deallocate() }

    // MARK: The thread

    private static var threadNumber: UInt { UInt(pthread_self()) }

    private func run() {
        headrace_name_thread("socket-loop")
        thread.store(Self.threadNumber, ordering: .relaxed)
        _ = watch(wakeup, Signal { [unowned self] in takeOthers() }, EPOLLIN.rawValue)
        _ = watch(timer, Signal { [unowned self] in timersWentOff() }, EPOLLIN.rawValue)
        while !isEnding {
            // Below 0: a signal came between.
            let count = wait()
            for index in 0..<max(Int(count), 0) {
                let (data, happened) = (events[index].data.u64, events[index].events)
                let place = places[Int(truncatingIfNeeded: data & 0xffff_ffff)]
                if place.generation == UInt32(truncatingIfNeeded: data >> 32) { place.watcher?.happened(happened) }
            }
            runTasks()
            if batchScheduling?.turned() == true { headrace_schedule_as_batch(batchScheduling?.isOn == true ? 1 : 0) }
        }
        end()
    }

    private func wait() -> CInt {
        func look(_ timeout: CInt) -> CInt { epoll_wait(epoll, events, CInt(Self.eventsMax), timeout) }
        guard tasks.isEmpty else { return look(0) }
        guard busyPoll != nil else { return look(-1) }
        var count = busyPoll?.isDue == true ? busyPoll?.poll { look(0) } ?? 0 : 0
        if count == 0 {
            count = look(-1)
            busyPoll?.woken()
        }
        if count == 1 { busyPoll?.happened(CInt(truncatingIfNeeded: events[0].data.u64 & 0xffff_ffff)) } else { busyPoll?.othersHappened() }
        return count
    }

    private func runTasks() {
        guard !tasks.isEmpty else { return }
        swap(&tasks, &dueTasks)
        for task in dueTasks { task() }
        dueTasks.removeAll(keepingCapacity: dueTasks.count <= Self.eventsMax)
    }

    private func takeOthers() {
        var count: UInt64 = 0
        _ = read(wakeup, &count, 8)
        let taken = others.withLock { others in
            defer { others.tasks = [] }
            return others.tasks
        }
        for task in taken { tasks.append(task) }
    }

    private func end() {
        closeAll()
        let waiting = others.withLock { others in
            others.hasEnded = true
            // Brought while the last turn went on: somebody may wait for it.
            for task in others.tasks { tasks.append(task) }
            others.tasks = []
            Glibc.close(wakeup)
            defer { others.waitForEnd = [] }
            return others.waitForEnd
        }
        closeAll()
        thread.store(0, ordering: .relaxed)
        tasks = []
        places = []
        Glibc.close(timer)
        Glibc.close(epoll)
        for (queue, callback) in waiting { queue.async { callback(nil) } }
    }

    private func closeAll() {
        runAll()
        for place in places { place.watcher?.loopEnds() }
        for timer in timers { timer.action?(false) }
        timers = []
        runAll()
    }

    /// With what follows from it, as far as that does not go on for ever.
    private func runAll() {
        for _ in 0..<100 where !tasks.isEmpty { runTasks() }
    }

    // MARK: Descriptors

    /// - Parameter interest: events of epoll(7).
    /// - Returns: whether that could be done.
    func watch(_ descriptor: CInt, _ watcher: any DescriptorWatcher, _ interest: UInt32) -> Bool {
        let place = Int(descriptor)
        while places.count <= place { places.append(Place()) }
        places[place].watcher = watcher
        places[place].generation &+= 1
        return control(EPOLL_CTL_ADD, descriptor, interest)
    }

    func change(_ descriptor: CInt, _ interest: UInt32) -> Bool { control(EPOLL_CTL_MOD, descriptor, interest) }

    /// - Parameter isClosed: it is about to be, with which the kernel forgets it.
    func unwatch(_ descriptor: CInt, isClosed: Bool) {
        places[Int(descriptor)].watcher = nil
        places[Int(descriptor)].generation &+= 1
        if !isClosed { _ = control(EPOLL_CTL_DEL, descriptor, 0) }
    }

    private func control(_ operation: CInt, _ descriptor: CInt, _ interest: UInt32) -> Bool {
        var event = epoll_event()
        event.events = interest
        event.data.u64 = UInt64(places[Int(descriptor)].generation) << 32 | UInt64(UInt32(bitPattern: descriptor))
        return epoll_ctl(epoll, operation, descriptor, &event) == 0
    }

    /// Memory of ``readBytes``, empty: one for all sockets, one after the other. Who keeps what was read into it copies that.
    func takeBuffer() -> ByteBuffer {
        defer { spare = nil }
        // What somebody still holds part of is not written over.
        if spare?.modifyIfUniquelyOwned({ $0.clear() }) != nil, let spare { return spare }
        return ByteBufferAllocator().buffer(capacity: Self.readBytes)
    }

    func giveBack(_ buffer: consuming ByteBuffer) { spare = buffer }

    // MARK: Tasks

    public var inEventLoop: Bool { thread.load(ordering: .relaxed) == Self.threadNumber }

    public func execute(_ task: @escaping @Sendable () -> Void) {
        if inEventLoop { return tasks.append(task) }
        others.withLock { others in
            guard !others.hasEnded else { return }
            others.tasks.append(task)
            guard others.tasks.count == 1 else { return }
            var one: UInt64 = 1
            _ = write(wakeup, &one, 8)
        }
    }

    /// Called on the loop: runs it when what has happened meanwhile is dealt with.
    func afterwards(_ task: @escaping () -> Void) { tasks.append(task) }

    @discardableResult
    public func scheduleTask<T>(deadline: NIODeadline, _ task: @escaping @Sendable () throws -> T) -> Scheduled<T> {
        let promise = makePromise(of: T.self)
        let timer = Timer(deadline) { isDue in
            guard isDue else { return promise.fail(EventLoopError.shutdown) }
            do { promise.assumeIsolated().succeed(try task()) } catch { promise.fail(error) }
        }
        if inEventLoop { insert(timer) } else { execute { [self] in insert(timer) } }
        return Scheduled(promise: promise) { [weak self] in self?.cancel(timer) }
    }

    @discardableResult
    public func scheduleTask<T>(in time: TimeAmount, _ task: @escaping @Sendable () throws -> T) -> Scheduled<T> {
        scheduleTask(deadline: .now() + time, task)
    }

    private func cancel(_ timer: Timer) {
        if inEventLoop { remove(timer) } else { execute { [self] in remove(timer) } }
    }

    private func insert(_ timer: Timer) {
        timerCount += 1
        timer.number = timerCount
        timers.insert(timer, at: place(of: timer))
        setTimer()
    }

    private func remove(_ timer: Timer) {
        timer.action = nil
        let place = place(of: timer)
        if place < timers.count, timers[place] === timer { timers.remove(at: place) }
    }

    /// Where it is, or belongs. Those before it go off later.
    private func place(of timer: Timer) -> Int {
        var range = 0..<timers.count
        while !range.isEmpty {
            let middle = (range.lowerBound + range.upperBound) / 2
            let other = timers[middle]
            if (other.deadline, other.number) > (timer.deadline, timer.number) { range = middle + 1..<range.upperBound } else { range = range.lowerBound..<middle }
        }
        return range.lowerBound
    }

    /// Timers that have not gone off.
    var timersPending: Int { timers.count }

    private func setTimer() {
        guard let next = timers.last?.deadline, next < timerDeadline else { return }
        timerDeadline = next
        headrace_timerfd_set(timer, max((next - .now()).nanoseconds, 1))
    }

    private func timersWentOff() {
        var count: UInt64 = 0
        _ = read(timer, &count, 8)
        timerDeadline = .distantFuture
        let now = NIODeadline.now()
        var due: [Timer] = []
        while let next = timers.last, next.deadline <= now { due.append(timers.removeLast()) }
        for timer in due {
            let action = timer.action
            timer.action = nil
            action?(true)
        }
        setTimer()
    }

    // MARK: The end

    /// Closes what it has, and ends. What is brought afterwards is dropped.
    public func shutdownGracefully(queue: DispatchQueue, _ callback: @escaping @Sendable ((any Error)?) -> Void) {
        let hasEnded = others.withLock { others in
            if !others.hasEnded { others.waitForEnd.append((queue, callback)) }
            return others.hasEnded
        }
        if hasEnded { queue.async { callback(nil) } } else { execute { [self] in isEnding = true } }
    }
}

/// Whom a ``SocketLoop`` tells of a descriptor's events.
protocol DescriptorWatcher: AnyObject {
    /// - Parameter events: of epoll(7).
    func happened(_ events: UInt32)
    /// It closes what it has.
    func loopEnds()
}
