import HTTPSemantics
import NIOCore
import Telemetry

/// A ``RateLimit`` with its buckets, for all event loops: one lock for each sixteenth of the clients.
final class RateLimiter: Sendable {
    private final class Shard: Sendable {
        let table: Lock<RateLimitTable>
        init(_ table: RateLimitTable) { self.table = Lock(table) }
    }

    /// 16 × 1,024 × 8 clients: 2 MiB.
    private static let shardCount = 16
    private static let setCount = 1024

    let limit: RateLimit
    private let shards: [Shard]
    private let seed = UInt64.random(in: .min ... .max)
    /// `RateLimit-Policy: "client";q=20;w=2`: how many at once, and in how many seconds a bucket is full again.
    private let policyLine: String

    /// - Returns: `nil` for no limit.
    init?(_ limit: RateLimit) {
        guard let rate = limit.rate else { return nil }
        self.limit = limit
        let burst = limit.burstMax
        shards = (0..<Self.shardCount).map { _ in Shard(RateLimitTable(rate: rate, burst: burst, setCount: Self.setCount)) }
        let (filling, isTooMuch) = rate.period.nanoseconds.multipliedReportingOverflow(by: Int64(burst))
        let window = isTooMuch ? 1 << 31 : Self.seconds(filling / Int64(max(1, rate.count)))
        policyLine = "RateLimit-Policy: \"client\";q=\(burst);w=\(window)\r\n"
    }

    func take(_ fields: borrowing FieldSection, _ client: ClientIdentity, now: NIODeadline) -> RateLimitTable.Verdict {
        let hash = hash(fields, client)
        let nanoseconds = Int64(clamping: now.uptimeNanoseconds)
        return shards[Int(truncatingIfNeeded: hash >> 60)].table.withLock { $0.take(hash, now: nanoseconds) }
    }

    private func hash(_ fields: borrowing FieldSection, _ client: ClientIdentity) -> UInt64 {
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
