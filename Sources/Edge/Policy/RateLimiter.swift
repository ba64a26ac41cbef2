import HTTPSemantics
import NIOCore
import Synchronization
import Telemetry

/// A ``RateLimit`` with its buckets, for all event loops: one lock for each sixteenth of the clients.
final class RateLimiter: Sendable {
    private final class Shard: Sendable {
        let table: Lock<RateLimitTable>
        init(_ table: RateLimitTable) { self.table = Lock(table) }
    }

    /// 16 × 1,024 × 8 clients: 2 MiB.
    static let shardCount = 16
    private static let setCount = 1024
    static let tableBytes = shardCount * setCount * RateLimitTable.setBytes

    /// Of how many clients of a shard it is kept what a store is to be told: 8,192 of each limit.
    static let spentMax = 512

    let limit: RateLimit
    /// What tells it from others in the store; `nil` when its buckets are this process' alone.
    let storeName: String?
    /// See ``RateLimitTable/missingMax``.
    let missingMax: Int64
    private let shards: [Shard]
    private let seed = Atomic(UInt64.random(in: .min ... .max))
    /// `RateLimit-Policy: "client";q=20;w=2`: how many at once, and in how many seconds a bucket is full again.
    private let policyLine: String

    /// - Parameter storeName: of the route whose buckets others share; `nil` for buckets of this process.
    /// - Returns: `nil` for no limit.
    init?(_ limit: RateLimit, storeName: String? = nil) {
        guard let rate = limit.rate else { return nil }
        self.limit = limit
        // A limit that was changed begins anew.
        self.storeName = storeName.map { "\($0):\(rate.count)/\(rate.period.nanoseconds)" }
        let burst = limit.burstMax
        let shards = (0..<Self.shardCount).map { _ in Shard(RateLimitTable(rate: rate, burst: burst, setCount: Self.setCount, spentMax: storeName == nil ? 0 : Self.spentMax)) }
        self.shards = shards
        missingMax = shards[0].table.withLock { $0.missingMax }
        let (filling, isTooMuch) = rate.period.nanoseconds.multipliedReportingOverflow(by: Int64(burst))
        let window = isTooMuch ? 1 << 31 : Self.seconds(filling / Int64(max(1, rate.count)))
        policyLine = "RateLimit-Policy: \"client\";q=\(burst);w=\(window)\r\n"
    }

    func take(_ fields: borrowing FieldSection, _ client: ClientIdentity, now: NIODeadline) -> RateLimitTable.Verdict {
        let hash = hash(fields, client)
        let nanoseconds = Int64(clamping: now.uptimeNanoseconds)
        return shard(hash).table.withLock { $0.take(hash, now: nanoseconds) }
    }

    private func shard(_ hash: UInt64) -> Shard { shards[Int(truncatingIfNeeded: hash >> 60)] }

    // MARK: The store

    /// What was let through since this was last asked, of the clients of one shard, ``spentMax`` at most; see ``RateLimitTable/takeSpent()``.
    func takeSpent(shard: Int) -> (requests: Int, untold: Int, nanoseconds: [UInt64: Int64]) { shards[shard].table.withLock { $0.takeSpent() } }

    func learnt(_ client: UInt64, missing: Int64, now: NIODeadline) {
        let nanoseconds = Int64(clamping: now.uptimeNanoseconds)
        shard(client).table.withLock { $0.learnt(client, missing: missing, now: nanoseconds) }
    }

    /// What clients are hashed with, for all processes that share the store. With another one than before, all buckets begin full.
    func use(seed new: UInt64) {
        guard seed.exchange(new, ordering: .relaxed) != new else { return }
        for shard in shards { shard.table.withLock { $0.forget() } }
    }

    private func hash(_ fields: borrowing FieldSection, _ client: ClientIdentity) -> UInt64 {
        let seed = seed.load(ordering: .relaxed)
        switch limit.client {
        case .address: break
        case .header(let name):
            if let range = fields.value(named: name) { return KeyHash.hash(fields.bytes.span.extracting(range), seed: seed) }
        case .cookie(let name):
            if let range = fields.cookieValue(name.utf8) { return KeyHash.hash(fields.bytes.span.extracting(range), seed: seed) }
        }
        // Another seed, so that nobody takes from an address's bucket by writing it into a field.
        guard let ip = client.ip else { return KeyHash.hash("unix:".utf8.span, seed: ~seed) }
        let network = withUnsafeBytes(of: (ip.high, ip.isIPv4 ? ip.low : 0)) { Array($0) }
        return KeyHash.hash(network.span, seed: ~seed)
    }

    /// What an answer says of it.
    /// - Source: draft-ietf-httpapi-ratelimit-headers-10 §3, §4.
    func lines(left: Int) -> String { policyLine + "RateLimit: \"client\";r=\(left)\r\n" }

    /// What 429 says besides.
    /// - Source: RFC 6585 §4, RFC 9110 §10.2.3; `t`: seconds until there is more.
    func lines(wait: Int64) -> String {
        let seconds = Self.seconds(wait)
        return "Retry-After: \(seconds)\r\n\(policyLine)RateLimit: \"client\";r=0;t=\(seconds)\r\n"
    }

    private static func seconds(_ nanoseconds: Int64) -> Int { max(1, Int(clamping: nanoseconds / 1_000_000_000 + (nanoseconds % 1_000_000_000 > 0 ? 1 : 0))) }
}
