import Logging
import NIOCore
import Telemetry
import Transport

/// What the clients of one event loop share. Belongs to its event loop: no lock, not Sendable.
final class KeyspaceWorker {
    let eventLoop: any EventLoop
    let keyspace: Keyspace
    let call: Call
    let counters: CallCounters
    let logger: Logger
    let pressure: MemoryPressure
    private var memory: MemoryShare?
    private(set) var isDraining = false
    private var handlers: [ObjectIdentifier: RESPClientHandler] = [:]
    private var outputs: [ByteBuffer] = []
    private var inputs: [ByteBuffer] = []
    private var tasks: [RepeatedTask] = []
    /// Which of the loops this is.
    private let index: Int

    /// How often keys are looked for whose deadline has passed: ten times within the second that they may stay.
    private static let expiryInterval = TimeAmount.milliseconds(100)
    /// Keys of a shard that expire under one taking of its lock: some 50 µs.
    private static let expiryBatch = 128
    /// So long the loop looks after nothing else; then clients are served for as long. Half of the loop's time takes some million keys a
    /// second out, and nobody waits longer for it than for anything else.
    private static let expirySlice: UInt64 = 500_000
    /// Of a loop whose clients take longer at a time, a third at least, up to this: else long pipelines would leave keys in memory.
    private static let expirySliceMax: UInt64 = 25_000_000
    /// The next slice, when the last left keys.
    private var nextSlice: Scheduled<Void>?
    private var sliceEnded: UInt64 = 0
    /// The shards that this loop looks after, and whose turn it is.
    private let ownShards: [Shard]
    private var shardTurn = 0
    /// Whose command found the memory full, with its bytes, in the order in which they came; and the slice that is to make room for them.
    private var roomWaiters: [(handler: RESPClientHandler, bytes: Int)] = []
    private var nextRoom: Scheduled<Void>?
    /// Nanoseconds that a request waits for room at most. 1 s: time to evict far more than any request brings, if nobody else writes.
    static let roomWaitMax: UInt64 = 1_000_000_000

    init(eventLoop: any EventLoop, keyspace: Keyspace, index: Int, loopCount: Int, pressure: MemoryPressure = MemoryPressure(), logger: Logger) {
        self.pressure = pressure
        self.eventLoop = eventLoop
        self.keyspace = keyspace
        self.index = index
        ownShards = keyspace.shards.filter { $0.index % loopCount == index }
        self.logger = logger
        counters = CallCounters()
        call = Call(keyspace: keyspace, session: ClientSession(internalOf: keyspace), counters: counters)
        call.roomTime = Keyspace.evictionSlice
        call.mayPostpone = true
        call.out.bytesMax = keyspace.configuration.outputBytesMax
        keyspace.loops.withLock { [counters] in $0.append(counters) }
    }

    /// Begins what happens by itself. Called on the event loop.
    func start() {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        memory = pressure.join { [eventLoop] in eventLoop.execute { bound.value.reviewMemory() } }
        tasks.append(
            eventLoop.scheduleRepeatedTask(initialDelay: Self.expiryInterval, delay: Self.expiryInterval) { _ in bound.value.expire() })
        tasks.append(eventLoop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in bound.value.closeIdle() })
        if index == 0 {
            tasks.append(
                eventLoop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
                    let keyspace = bound.value.keyspace
                    keyspace.persistence.tick(keyspace)
                    keyspace.rate.counted(keyspace.sums(nil))
                })
        }
    }

    func stop() {
        memory?.leave()
        for task in tasks { task.cancel() }
        nextSlice?.cancel()
        nextRoom?.cancel()
        for handler in handlers.values { handler.close() }
    }

    func beginDraining() {
        isDraining = true
        for handler in handlers.values { handler.drainBegan() }
    }

    func add(_ handler: RESPClientHandler) { handlers[ObjectIdentifier(handler)] = handler }
    func remove(_ handler: RESPClientHandler) {
        handlers[ObjectIdentifier(handler)] = nil
        // Nothing is evicted for who is gone.
        guard !roomWaiters.isEmpty else { return }
        roomWaiters.removeAll { $0.handler === handler }
        if roomWaiters.isEmpty { call.isRoomAwaited = false }
    }

    /// Cuts who holds most memory besides keys, until this loop's part of what has to go is gone.
    private func reviewMemory() {
        memory?.review(handlers.values, bytes: \.heldBytes) { $0.memoryShort() }
    }

    /// `timeout`: closes who has asked for nothing in so many seconds.
    private func closeIdle() {
        let seconds = keyspace.settings.values.withLock { $0.timeout }
        guard seconds > 0 else { return }
        let deadline = WallClock.nanoseconds() / 1_000_000 - Int64(seconds) * 1000
        for handler in Array(handlers.values) where handler.isIdle(since: deadline) { handler.close() }
    }

    private func expire() {
        counters.cpuTime.set(Int(clamping: ThreadClock.nanoseconds()))
        if nextSlice == nil { expireSlice(after: 0) }
        // A bound that was lowered: it holds also where nobody writes.
        if nextRoom == nil, keyspace.isFull() { makeRoom() }
    }

    /// Goes round the shards, a batch of each: one whose keys come due faster than they go keeps no other waiting.
    /// - Parameter servingTime: Nanoseconds since the last slice, in which clients were served.
    private func expireSlice(after servingTime: UInt64) {
        let now = WallClock.nanoseconds() / 1_000_000
        let began = MonotonicClock.nanoseconds()
        let end = began &+ min(max(servingTime / 2, Self.expirySlice), Self.expirySliceMax)
        var emptyCount = 0
        while emptyCount < ownShards.count {
            let isMore = keyspace.expireDue(ownShards[shardTurn], now: now, countMax: Self.expiryBatch)
            shardTurn = (shardTurn + 1) % ownShards.count
            emptyCount = isMore ? 0 : emptyCount + 1
            if MonotonicClock.nanoseconds() >= end { break }
        }
        sliceEnded = MonotonicClock.nanoseconds()
        counters.expiryTime.add(Int(clamping: sliceEnded &- began))
        guard emptyCount < ownShards.count else { return }
        counters.expiryCutShort.add()
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        nextSlice = eventLoop.scheduleTask(in: .nanoseconds(Int64(Self.expirySlice))) {
            bound.value.nextSlice = nil
            bound.value.expireSlice(after: MonotonicClock.nanoseconds() &- bound.value.sliceEnded)
        }
    }

    // MARK: Room

    /// Has a client wait for room for its request, which is made in slices, between which the others are served. After each, those who wait may write
    /// half of what went, the first first: so the memory falls until it is within its bound, nobody's write makes it more, and nobody waits for long
    /// who wants little. Who wants much while others on all loops write as fast as can be evicted is served after ``roomWaitMax`` all the same, as
    /// Redis does at once.
    func awaitRoom(_ handler: RESPClientHandler, bytes: Int) {
        roomWaiters.append((handler, bytes))
        call.isRoomAwaited = true
        scheduleRoom()
    }

    private func scheduleRoom() {
        guard nextRoom == nil else { return }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        nextRoom = eventLoop.scheduleTask(in: .nanoseconds(Int64(Keyspace.evictionSlice))) {
            bound.value.nextRoom = nil
            bound.value.makeRoom()
        }
    }

    private func makeRoom() {
        let wanted = roomWaiters.first?.bytes ?? 0
        let room = keyspace.makeRoom(adding: wanted, now: WallClock.nanoseconds() / 1_000_000, time: Keyspace.evictionSlice)
        var isMade = true
        // What nobody has taken of it is worth nothing once the memory has been within its bound.
        call.roomCredit = 0
        if case .later(let freed) = room {
            isMade = false
            call.roomCredit = freed / 2
            scheduleRoom()
        }
        let waiters = roomWaiters
        roomWaiters = []
        // With room for the first all try again; who finds it full once more waits once more.
        call.isRoomAwaited = !isMade
        var left: [(handler: RESPClientHandler, bytes: Int)] = []
        for waiter in waiters {
            let isNext = isMade || call.roomCredit >= Call.roomCost(waiter.bytes) || waiter.handler.hasAwaitedRoomLongEnough
            if isNext { waiter.handler.pausePassed() } else { left.append(waiter) }
        }
        // Of whom some may have gone with what the others were answered.
        roomWaiters = left.filter { handlers[ObjectIdentifier($0.handler)] != nil } + roomWaiters
        if roomWaiters.isEmpty { call.isRoomAwaited = false }
    }

    // MARK: Input

    /// 16: those of clients that send large pipelines at the same time; 4 MB at most.
    private static let inputsMax = 16
    private static let inputBytes = (128 << 10)...(256 << 10)

    /// An empty buffer for what was read and is not whole yet; `nil` for less than half of the smallest, and for more than the largest that is kept. From
    /// `malloc` it is of new pages each time, since it lies at the heap's end and goes back to the system when it is freed: 0.75 page faults for each SET of 8 KB.
    func takeInput(_ bytes: Int) -> ByteBuffer? {
        let (least, most) = (Self.inputBytes.lowerBound, Self.inputBytes.upperBound)
        guard bytes > least / 2, bytes <= most else { return nil }
        if let last = inputs.popLast() {
            if last.capacity >= bytes { return last }
            inputs.append(last)
        }
        return ByteBufferAllocator().buffer(capacity: bytes <= least ? least : most)
    }

    func giveBackInput(_ buffer: consuming ByteBuffer) {
        guard inputs.count < Self.inputsMax, Self.inputBytes.contains(buffer.storageCapacity) else { return }
        buffer.clear()
        inputs.append(buffer)
    }

    // MARK: Output

    /// 2: the turn's own, and one that a slow client's write still holds.
    private static let outputsMax = 2
    private static let outputBytes = 16 << 10

    /// What ``Call/out`` has, in a buffer that is lent as ``EdgeWorker`` of the edge lends its own: written, flushed, given back.
    func takeOutput(_ bytes: UnsafeRawBufferPointer) -> ByteBuffer {
        var taken = outputs.popLast() ?? ByteBufferAllocator().buffer(capacity: max(Self.outputBytes, bytes.count))
        taken.clear()
        taken.writeBytes(bytes)
        return taken
    }

    func giveBack(_ buffer: consuming ByteBuffer) {
        let isUsual = buffer.storageCapacity >= Self.outputBytes && buffer.storageCapacity <= 256 << 10
        if isUsual, outputs.count < Self.outputsMax { outputs.append(buffer) }
    }
}
