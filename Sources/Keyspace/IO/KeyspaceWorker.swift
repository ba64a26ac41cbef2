import Logging
import NIOCore
import Telemetry

/// What the clients of one event loop share. Belongs to its event loop: no lock, not Sendable.
final class KeyspaceWorker {
    let eventLoop: any EventLoop
    let keyspace: Keyspace
    let call: Call
    let counters: CallCounters
    let logger: Logger
    private(set) var isDraining = false
    private var handlers: [ObjectIdentifier: RESPClientHandler] = [:]
    private var outputs: [ByteBuffer] = []
    private var tasks: [RepeatedTask] = []
    /// Which of the loops this is, and how many there are: each looks after its share of the shards.
    private let index: Int
    private let loopCount: Int

    /// How often keys are looked for whose deadline has passed: ten times within the second that they may stay.
    private static let expiryInterval = TimeAmount.milliseconds(100)
    /// Keys of a shard that expire under one taking of its lock: some 50 µs.
    private static let expiryBatch = 128
    /// A quarter of the interval, as Redis' active cycle: clients are served in between.
    private static let expiryBudget = TimeAmount.milliseconds(25)

    init(eventLoop: any EventLoop, keyspace: Keyspace, index: Int, loopCount: Int, logger: Logger) {
        self.eventLoop = eventLoop
        self.keyspace = keyspace
        self.index = index
        self.loopCount = loopCount
        self.logger = logger
        counters = CallCounters()
        call = Call(keyspace: keyspace, session: ClientSession(internalOf: keyspace), counters: counters)
        keyspace.loops.withLock { [counters] in $0.append(counters) }
    }

    /// Begins what happens by itself. Called on the event loop.
    func start() {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        tasks.append(
            eventLoop.scheduleRepeatedTask(initialDelay: Self.expiryInterval, delay: Self.expiryInterval) { _ in bound.value.expire() })
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
        for task in tasks { task.cancel() }
        for handler in handlers.values { handler.close() }
    }

    func beginDraining() {
        isDraining = true
        for handler in handlers.values { handler.drainBegan() }
    }

    func add(_ handler: RESPClientHandler) { handlers[ObjectIdentifier(handler)] = handler }
    func remove(_ handler: RESPClientHandler) { handlers[ObjectIdentifier(handler)] = nil }

    private func expire() {
        counters.cpuTime.set(Int(clamping: ThreadClock.nanoseconds()))
        let now = WallClock.nanoseconds() / 1_000_000
        let end = NIODeadline.now() + Self.expiryBudget
        let began = MonotonicClock.nanoseconds()
        for shard in keyspace.shards where shard.index % loopCount == index {
            while keyspace.expireDue(shard, now: now, countMax: Self.expiryBatch) {
                guard NIODeadline.now() < end else {
                    counters.expiryCutShort.add()
                    break
                }
            }
        }
        counters.expiryTime.add(Int(clamping: MonotonicClock.nanoseconds() &- began))
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
