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
    /// What the buckets of one limit take, from the beginning.
    public static let tableBytes = RateLimiter.tableBytes

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
    static let setBytes = ways * MemoryLayout<Bucket>.stride

    /// Nanoseconds that one request takes of a bucket.
    private let interval: Int64
    /// Nanoseconds by which a bucket may be less than full when a request comes.
    private let tolerance: Int64
    /// Nanoseconds that can be missing from a bucket that others take from as well: eight bursts, and half a minute for what many processes let through
    /// before they hear of each other. What a store says beyond is a clock that was set.
    let missingMax: Int64
    private var buckets: [Bucket]
    /// Requests since the store was last told of them, by client, where there is one.
    private var spent: [UInt64: Int] = [:]
    private let spentMax: Int
    /// Requests since then that were let through and are too many to be told of.
    private var untold = 0

    /// - Parameters:
    ///   - setCount: sets of eight buckets; a power of two.
    ///   - spentMax: of how many clients a store is told at a time; 0 without one.
    init(rate: RateLimit.Rate, burst: Int, setCount: Int, spentMax: Int = 0) {
        self.spentMax = spentMax
        precondition(setCount > 0 && setCount & (setCount - 1) == 0)
        interval = max(1, rate.period.nanoseconds / Int64(max(1, rate.count)))
        let (product, isTooMuch) = interval.multipliedReportingOverflow(by: Int64(max(0, burst - 1)))
        // A century: what is more is no limit.
        tolerance = isTooMuch ? 1 << 61 : min(product, 1 << 61)
        missingMax = 8 * (min(tolerance, 1 << 57) + min(interval, 1 << 57)) + 30_000_000_000
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
        if spentMax > 0 { note(client) }
        return .accepted(left: Int((tolerance - missing) / interval))
    }

    private mutating func note(_ client: UInt64) {
        if spent[client] == nil, spent.count >= spentMax { untold += 1 } else { spent[client, default: 0] += 1 }
    }

    // MARK: A store that others write to as well

    /// What was let through since this was last asked, by client, in nanoseconds of its bucket.
    mutating func takeSpent() -> (requests: Int, untold: Int, nanoseconds: [UInt64: Int64]) {
        var taken: [UInt64: Int] = [:]
        swap(&taken, &spent)
        let missed = untold
        untold = 0
        return (taken.values.reduce(0, +), missed, taken.mapValues(cost))
    }

    /// The store has said how much of a client's bucket is missing, all processes together.
    /// - Parameter missing: nanoseconds; what was let through since the store was told is not in it.
    mutating func learnt(_ client: UInt64, missing: Int64, now: Int64) {
        let place = place(of: client)
        guard missing > 0 || buckets[place].client == client else { return }
        let all = min(max(0, missing), missingMax) + min(cost(spent[client] ?? 0), 1 << 61)
        buckets[place] = Bucket(client: client, fullAt: now + all)
    }

    private func cost(_ requests: Int) -> Int64 {
        let (product, isTooMuch) = interval.multipliedReportingOverflow(by: Int64(clamping: requests))
        return isTooMuch ? .max : product
    }

    /// Clients are other numbers from here on.
    mutating func forget() {
        for place in buckets.indices { buckets[place] = Bucket() }
        spent = [:]
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
