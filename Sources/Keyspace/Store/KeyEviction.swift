import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Notes uses of entries, and chooses who makes room.
///
/// By samples, as Redis does: of some keys drawn at random the one goes that was not used for the longest time, or least often. A
/// key costs no more than eight bits for its frequency and 32 for its last use, and no order has to be kept.
/// `allkeys-s3fifo` alone keeps an order: ``KeyQueues``.
final class KeyEviction: Sendable {
    /// 10: of twice as many samples as Redis draws by default the best is nearly the best of all.
    static let sampleCount = 10

    private let current: Atomic<Int>

    init(_ policy: EvictionPolicy) {
        current = Atomic(EvictionPolicy.allCases.firstIndex(of: policy) ?? 0)
    }

    var policy: EvictionPolicy {
        get { EvictionPolicy.allCases[current.load(ordering: .relaxed)] }
        set { current.store(EvictionPolicy.allCases.firstIndex(of: newValue) ?? 0, ordering: .relaxed) }
    }

    /// Time in steps of 128 ms: 32 bits last for 17 years.
    @inline(__always)
    static func tick(_ now: Int64) -> UInt32 { UInt32(truncatingIfNeeded: now >> 7) }

    @inline(__always)
    func used(_ entry: Entry, now: Int64, _ shard: Shard) {
        // The frequency counts for whatever policy: it is a byte, and the policy may change. So do the uses.
        let tick = Self.tick(now)
        entry.frequency = frequency(entry, tick, shard)
        entry.lastUse = tick
        let uses = entry.uses
        if uses < 3 { entry.uses = uses + 1 }
    }

    /// A use, too; but commands that read before they write have counted theirs.
    @inline(__always)
    func overwritten(_ entry: Entry, now: Int64) {
        entry.lastUse = Self.tick(now)
        if entry.uses == 0 { entry.uses = 1 }
    }

    func added(_ entry: Entry, _ hash: UInt64, now: Int64, _ shard: Shard, _ database: Int) {
        entry.frequency = Self.frequencyAtFirst
        entry.lastUse = Self.tick(now)
        if policy == .allkeysS3FIFO { shard[database].queue(entry, hash) } else { shard[database].forgetQueues() }
    }

    // MARK: Frequency

    private static let frequencyAtFirst: UInt8 = 5
    /// 468 ticks are a minute.
    private static let ticksPerMinute = 468

    private let currentLogFactor = Atomic<Int>(10)
    private let currentDecay = Atomic<UInt32>(UInt32(ticksPerMinute))

    /// `lfu-log-factor`: how much more rarely a frequency grows with each step, 0 to 2,147,483,647; with 0 each use is a step.
    var logFactor: Int {
        get { currentLogFactor.load(ordering: .relaxed) }
        set { currentLogFactor.store(newValue, ordering: .relaxed) }
    }

    /// `lfu-decay-time`: after so many minutes without a use a frequency is one less. 0 is never, and so is what 32 bits of ticks do not hold: 17 years.
    func setDecay(minutes: Int) {
        let (ticks, isOver) = minutes.multipliedReportingOverflow(by: Self.ticksPerMinute)
        currentDecay.store(isOver || minutes == 0 ? .max : UInt32(clamping: ticks), ordering: .relaxed)
    }

    /// The frequency after one more use: it decays without one, and grows ever more rarely.
    /// - Source: Redis `evict.c`, `LFULogIncr`, `LFUDecrAndReturn`.
    @inline(__always)
    private func frequency(_ entry: Entry, _ tick: UInt32, _ shard: Shard) -> UInt8 {
        let decayed = decayed(entry, tick)
        if decayed == 255 { return 255 }
        let over = decayed > Self.frequencyAtFirst ? UInt64(decayed - Self.frequencyAtFirst) : 0
        if over == 0 { return decayed + 1 }
        // One chance of so many.
        let odds = over &* UInt64(logFactor) &+ 1
        let (drawn, isOver) = (shard.random.next() >> 32).multipliedReportingOverflow(by: odds)
        return !isOver && drawn < 1 << 32 ? decayed + 1 : decayed
    }

    func decayed(_ entry: Entry, _ tick: UInt32) -> UInt8 {
        let (elapsed, ticks) = (tick &- entry.lastUse, currentDecay.load(ordering: .relaxed))
        if elapsed < ticks { return entry.frequency }
        let steps = elapsed / ticks
        return steps >= UInt32(entry.frequency) ? 0 : entry.frequency - UInt8(steps)
    }

    // MARK: Victims

    /// Removes one key of a database in a shard.
    /// - Returns: whether there was one that the policy lets go.
    func evict(_ shard: Shard, _ database: Int, now: Int64, _ removed: (Entry) -> Void) -> Bool {
        let policy = policy
        var victim: Entry?
        var worst: UInt64 = 0
        switch policy {
        case .noeviction: return false
        case .allkeysS3FIFO:
            if shard[database].hasUnqueued { victim = unqueued(shard, database) }
            if victim == nil { victim = shard[database].nextByQueue() }
            // All that is queued has gone by itself.
            if victim == nil { victim = shard[database].random(&shard.random) }
        case .volatileTTL: victim = shard[database].nextToExpire
        case .allkeysRandom: victim = shard[database].random(&shard.random)
        case .volatileRandom: victim = shard[database].randomExpiring(&shard.random)
        case .allkeysLRU, .allkeysLFU, .volatileLRU, .volatileLFU:
            let tick = Self.tick(now)
            for _ in 0..<Self.sampleCount {
                let drawn =
                    policy.isVolatile ? shard[database].randomExpiring(&shard.random) : shard[database].random(&shard.random)
                guard let entry = drawn else { return false }
                let idle = UInt64(tick &- entry.lastUse)
                let isByFrequency = policy == .allkeysLFU || policy == .volatileLFU
                // One more than it is worth, so that any entry beats none.
                let badness = 1 + (isByFrequency ? UInt64(255 - decayed(entry, tick)) << 32 | idle : idle)
                if badness > worst {
                    worst = badness
                    victim = entry
                }
            }
        }
        guard let victim else { return false }
        removed(victim)
        return true
    }

    /// Of the keys that came before the policy, those that were used since are queued when they are met; the first that was not goes.
    private func unqueued(_ shard: Shard, _ database: Int) -> Entry? {
        for _ in 0..<Self.sampleCount {
            guard let entry = shard[database].random(&shard.random), entry.place == .none else { continue }
            guard entry.uses > 0 else { return entry }
            entry.uses = 0
            shard[database].adopt(entry, KeyHash.hash(entry.key))
        }
        return nil
    }
}
