public import NIOCore

/// How often one client may ask a route.
public struct RateLimit: Sendable, Hashable {
    /// Who counts as one client.
    public enum Client: Sendable, Hashable {
        /// Its address, as trusted proxies name it; of IPv6 its /64 (RFC 6177).
        case address
        /// The value of a header field, such as an API key; without the field, the address.
        case header(String)
        /// The value of a cookie; without it, the address.
        case cookie(String)
    }

    /// So many requests within a time, on average.
    public struct Rate: Sendable, Hashable {
        public let count: Int
        public let period: TimeAmount

        /// - Parameters:
        ///   - count: 1…1,000,000.
        ///   - period: at least a microsecond for each of them.
        public init(count: Int, per period: TimeAmount) {
            (self.count, self.period) = (count, period)
        }
    }

    /// `nil` for as often as it likes.
    public var rate: Rate?
    /// How many it may ask for at once, after it has asked for nothing for a while; `nil` for what ``rate`` gives in a second, but one at least.
    public var burst: Int?
    public var client = Client.address

    public init() {}

    /// ``burst``, if it is set.
    var burstMax: Int {
        guard let rate else { return 0 }
        return max(1, burst ?? Int(clamping: Int64(rate.count) * 1_000_000_000 / max(1, rate.period.nanoseconds)))
    }
}

/// Token buckets by client, in a bounded table. A value with the time as an argument; see ``RateLimiter``.
///
/// A bucket is one number: when it will be full again (GCRA, ITU-T I.371 Annex A: the theoretical arrival time). A full bucket and none are the same, so
/// that nothing needs to be removed. Where a set of eight has no place, the bucket that is fullest makes room: that client may ask a
/// little more often than it should, and memory stays what it is.
struct RateLimitTable {
    enum Verdict: Equatable, Sendable {
        /// - Parameter left: how many more it may ask for at once.
        case accepted(left: Int)
        /// - Parameter wait: nanoseconds until the next one is accepted.
        case refused(wait: Int64)
    }

    private struct Bucket {
        var client: UInt64 = 0
        var fullAt: Int64 = 0
    }

    private static let ways = 8

    /// Nanoseconds that one request takes of a bucket.
    private let interval: Int64
    /// Nanoseconds by which a bucket may be less than full when a request comes.
    private let tolerance: Int64
    private var buckets: [Bucket]

    /// - Parameter setCount: sets of eight buckets; a power of two.
    init(rate: RateLimit.Rate, burst: Int, setCount: Int) {
        precondition(setCount > 0 && setCount & (setCount - 1) == 0)
        interval = max(1, rate.period.nanoseconds / Int64(max(1, rate.count)))
        let (product, isTooMuch) = interval.multipliedReportingOverflow(by: Int64(max(0, burst - 1)))
        // A century: what is more is no limit.
        tolerance = isTooMuch ? 1 << 61 : min(product, 1 << 61)
        buckets = Array(repeating: Bucket(), count: setCount * Self.ways)
    }

    /// - Parameters:
    ///   - client: a hash of who asks.
    ///   - now: nanoseconds of a clock that never goes back.
    mutating func take(_ client: UInt64, now: Int64) -> Verdict {
        let place = place(of: client)
        let known = buckets[place]
        let missing = known.client == client ? max(0, known.fullAt - now) : 0
        guard missing <= tolerance else { return .refused(wait: missing - tolerance) }
        buckets[place] = Bucket(client: client, fullAt: now + missing + interval)
        return .accepted(left: Int((tolerance - missing) / interval))
    }

    /// The client's own bucket, or the one that makes room for it.
    private func place(of client: UInt64) -> Int {
        let first = Int(truncatingIfNeeded: client & UInt64(buckets.count / Self.ways - 1)) * Self.ways
        var best = first
        for place in first..<first + Self.ways {
            if buckets[place].client == client { return place }
            if buckets[place].fullAt < buckets[best].fullAt { best = place }
        }
        return best
    }
}
