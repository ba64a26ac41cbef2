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
        entry.frequency = Self.frequency(entry, tick, shard)
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
    private static let logFactor = 10

    /// The frequency after one more use: it decays by one per minute without one, and grows ever more rarely.
    /// - Source: Redis `evict.c`, `LFULogIncr`, `LFUDecrAndReturn`; the defaults of `lfu-log-factor` and `lfu-decay-time`.
    @inline(__always)
    private static func frequency(_ entry: Entry, _ tick: UInt32, _ shard: Shard) -> UInt8 {
        let decayed = Self.decayed(entry, tick)
        if decayed == 255 { return 255 }
        let over = decayed > frequencyAtFirst ? Int(decayed - frequencyAtFirst) : 0
        if over == 0 { return decayed + 1 }
        // One chance of so many.
        let odds = UInt64(over * logFactor + 1)
        return (shard.random.next() >> 32) &* odds < 1 << 32 ? decayed + 1 : decayed
    }

    static func decayed(_ entry: Entry, _ tick: UInt32) -> UInt8 {
        // 468 ticks are a minute.
        let minutes = (tick &- entry.lastUse) / 468
        return minutes >= UInt32(entry.frequency) ? 0 : entry.frequency - UInt8(minutes)
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
                let badness = 1 + (isByFrequency ? UInt64(255 - Self.decayed(entry, tick)) << 32 | idle : idle)
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
