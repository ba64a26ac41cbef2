public import Transport

/// Where several processes keep the buckets of their rate limits together: a keyspace, ours or Redis' or Valkey's.
public struct RateStore: Sendable, Equatable {
    public var endpoint: SocketEndpoint
    public var user: String?
    public var password: String?
    public var database: Int

    public init(_ endpoint: SocketEndpoint, user: String? = nil, password: String? = nil, database: Int = 0) {
        (self.endpoint, self.user, self.password, self.database) = (endpoint, user, password, database)
    }
}

/// What a process says to the store of its rate limits, and what that answers. Words in, numbers out.
///
/// The store has one key for each bucket that is not full: when it will be (GCRA's theoretical arrival time, as in ``RateLimitTable``), in
/// microseconds of the store's own clock, so that no two clocks are compared. It expires when the bucket is full. A process decides each
/// request by itself, tells the store four to ten times a second what it let through, and takes over what the store answers: how much is
/// missing from the bucket, all processes together. No request waits for it.
///
/// What N processes let through can be more than one bucket holds only by what they do not know of each other yet. Each knows all that was
/// told before its own last word, and lets through at most a burst, and what the rate gives, until the next one: so
///
///     admitted(T) ≤ N × burst + rate × (T + (N − 1) × Δ),    Δ = ``interval`` + the store's answer
///
/// and what was too much is a debt that all pay: the bucket is filled later. Without the store each process has a bucket of its own.
/// No debt is larger than ``RateLimitTable/missingMax``, so that a clock of the store that is set back keeps nobody out for that long.
enum RateStoreWords {
    /// ARGV[1]: microseconds that the bucket is to be filled later; ARGV[2]: in how many it is full at the latest. Answers in how many it will be.
    static let script = """
        local t = redis.call('TIME')
        local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
        local full = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
        if full < now then full = now end
        full = math.min(full + tonumber(ARGV[1]), now + tonumber(ARGV[2]))
        local missing = full - now
        if missing > 0 then redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', math.ceil(missing / 1000)) end
        return math.ceil(missing)
        """

    /// The number that clients are hashed with, which has to be the same for all and no client's to know.
    static let seedKey = "headrace:rate:seed"

    static func greeting(_ store: RateStore, seed: UInt64) -> [[String]] {
        var commands: [[String]] = []
        if let password = store.password { commands.append(store.user.map { ["AUTH", $0, password] } ?? ["AUTH", password]) }
        if store.database != 0 { commands.append(["SELECT", "\(store.database)"]) }
        return commands + [["SCRIPT", "LOAD", script]] + seeding(seed)
    }

    /// Makes the seed, if nobody has yet, and asks which it is. Said again from time to time, in case the store has forgotten it.
    static func seeding(_ seed: UInt64) -> [[String]] {
        [["SET", seedKey, "\(seed)", "NX"], ["GET", seedKey]]
    }

    /// - Parameters:
    ///   - limit: what tells this limit from others.
    ///   - nanoseconds: what the requests of a client took from its bucket.
    ///   - missingMax: the most nanoseconds that may be missing from it.
    static func spending(script: String, limit: String, client: UInt64, nanoseconds: Int64, missingMax: Int64) -> [String] {
        let digits = String(client, radix: 16)
        let key = "headrace:rate:\(limit):" + String(repeating: "0", count: 16 - digits.count) + digits
        return ["EVALSHA", script, "1", key, microseconds(nanoseconds), microseconds(missingMax)]
    }

    private static func microseconds(_ nanoseconds: Int64) -> String {
        let (whole, part) = (nanoseconds / 1000, nanoseconds % 1000)
        return "\(whole).\(part < 10 ? "00" : part < 100 ? "0" : "")\(part)"
    }
}
