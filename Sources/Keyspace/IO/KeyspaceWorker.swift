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
    /// So long the loop looks after nothing else; then clients are served for as long. Half of the loop's time takes some million keys a
    /// second out, and nobody waits longer for it than he may for anything.
    private static let expirySlice = TimeAmount.microseconds(500)
    /// Keys are left from the last slice: the next is on its way.
    private var isExpiring = false
    /// Of ``Keyspace/shards``: where the last slice ended.
    private var expiringShard = 0

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
        if !isExpiring { expireSlice() }
    }

    private func expireSlice() {
        let now = WallClock.nanoseconds() / 1_000_000
        let began = MonotonicClock.nanoseconds()
        let end = began &+ UInt64(Self.expirySlice.nanoseconds)
        isExpiring = false
        for _ in keyspace.shards {
            let shard = keyspace.shards[expiringShard]
            while shard.index % loopCount == index, !isExpiring, keyspace.expireDue(shard, now: now, countMax: Self.expiryBatch) {
                isExpiring = MonotonicClock.nanoseconds() >= end
            }
            if isExpiring { break }
            expiringShard = (expiringShard + 1) % keyspace.shards.count
        }
        counters.expiryTime.add(Int(clamping: MonotonicClock.nanoseconds() &- began))
        guard isExpiring else { return }
        counters.expiryCutShort.add()
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.scheduleTask(in: Self.expirySlice) { bound.value.expireSlice() }
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
