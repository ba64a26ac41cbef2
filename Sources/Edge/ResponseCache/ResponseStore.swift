import HTTPSemantics
import NIOCore
import Telemetry

/// The response cache of the process: shards of a value-type machine, each behind a lock of its own, shared by all event
/// loops. A lookup holds one lock for some hundred nanoseconds; nothing is called, logged or awaited under it.
final class ResponseStore: Sendable {
    private final class Shard: Sendable {
        let machine: Lock<ResponseShard>

        init(_ machine: ResponseShard) {
            self.machine = Lock(machine)
        }
    }

    private let shards: [Shard]
    private let mask: UInt64
    /// The largest body that is worth storing, whatever the configuration says: half of what a shard may hold. What is larger would make all
    /// else leave and go with the next.
    let objectBytesMax: Int
    let forecast: SharingForecast
    let hints = LearntHints()
    /// Mixed into every key's hash; see ``KeyHash``.
    let seed = UInt64.random(in: .min ... .max)

    init(configuration: EdgeConfiguration.Cache, codingOrder: [ContentCoding]) {
        forecast = SharingForecast(seed: seed)
        // Many, because a shard's arrays grow under its lock: with four thousand responses in each of 256 that takes 100 µs.
        // A shard must hold a few of the largest objects, or the budget could not be filled.
        var count = 256
        while count > 1, configuration.bytesMax / count < 2 * configuration.objectBytesMax { count /= 2 }
        shards = (0..<count).map { _ in
            Shard(ResponseShard(bytesMax: configuration.bytesMax / count, codingOrder: codingOrder))
        }
        mask = UInt64(count - 1)
        objectBytesMax = configuration.bytesMax / count / 2
    }

    /// The top bits choose the shard, the low ones the place within it.
    private func shard(_ key: borrowing CacheKey) -> Shard {
        shards[Int(truncatingIfNeeded: key.hash >> 48 & mask)]
    }

    /// Runs `body` on the shard of a key, under its lock.
    func withShard<Result: Sendable>(_ key: borrowing CacheKey, _ body: (inout ResponseShard) -> Result) -> Result {
        shard(key).machine.withLock { body(&$0) }
    }

    var shardCount: Int { shards.count }

    func withShard<Result: Sendable>(at index: Int, _ body: (inout ResponseShard) -> Result) -> Result {
        shards[index].machine.withLock { body(&$0) }
    }

    /// Runs `body` on one shard after the other.
    func withAllShards<Result: Sendable>(_ body: (inout ResponseShard) -> Result) -> [Result] {
        shards.map { $0.machine.withLock { body(&$0) } }
    }

    /// Ends a leader's fetch and tells those who waited, outside the lock.
    /// - Returns: whether the response is stored now.
    @discardableResult
    func finish(
        _ lease: ResponseShard.Lease, _ outcome: ResponseShard.FetchOutcome, key: borrowing CacheKey, now: NIODeadline
    ) -> Bool {
        let ended = withShard(key) { $0.finish(lease, outcome, now: now) }
        for follower in ended.followers { follower.resume(ended.told) }
        return ended.isStored
    }

    /// Ends the fetch of a part. What is made of it and of what is stored is made outside the lock, and once more when somebody else has
    /// added a part meanwhile.
    func finish(
        _ lease: ResponseShard.Lease, key: CacheKey, _ request: RequestHead, now: NIODeadline,
        making outcome: (StoredParts?) -> ResponseShard.FetchOutcome
    ) {
        // 8: more at the same moment have their parts fetched again.
        for _ in 0..<8 {
            let known = withShard(key) { $0.knownParts(key, request) }
            let made = outcome(known)
            let isDone = withShard(key) { shard in
                guard shard.knownParts(key, request) === known else { return false }
                _ = shard.finish(lease, made, now: now)
                return true
            }
            if isDone { return }
        }
        finish(lease, .notStored, key: key, now: now)
    }

    /// Says that a leader's response has begun, and tells those who waited, outside the lock.
    func begin(_ lease: ResponseShard.Lease, _ live: LiveResponse, key: borrowing CacheKey) {
        let begun = withShard(key) { $0.begin(lease, live) }
        for follower in begun.followers { follower.resume(begun.told) }
    }

    /// Sums over all shards, for the metrics.
    var totals: (entries: Int, memoryBytes: Int, evicted: Int) {
        shards.reduce(into: (0, 0, 0)) { sum, shard in
            let part = shard.machine.withLock { ($0.entryCount, $0.memoryBytes, $0.evictedCount) }
            sum.0 += part.0
            sum.1 += part.1
            sum.2 += part.2
        }
    }
}
