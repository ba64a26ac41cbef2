/// How a cache behaves where a call says nothing else.
public struct CacheOptions: Sendable {
    /// Before each key.
    public var prefix = ""
    public var username: String?
    public var password: String?
    /// What `SELECT` is told.
    public var database = 0
    /// By which share a lifetime is shortened by chance at most, so that what was stored together does not end together. 0…1.
    public var jitter = 0.1
    /// How early a value is renewed before its end; 0 for never.
    public var beta = 1.0
    /// How long a computation may take before another begins.
    public var lock = Duration.seconds(30)
    /// How long who finds nothing waits for the one that computes.
    public var wait = Duration.seconds(10)
    /// How long the server may take to answer.
    public var timeout = Duration.milliseconds(500)
    /// After so long a server that failed is asked again; twice as long each time, up to 30 s.
    public var retryAfter = Duration.seconds(1)
    /// Commands that wait for their answer at a time; more are refused, and count as errors.
    public var pendingMax = 10_000

    public init() {}
}

/// What became of the calls of a cache.
public struct CacheStatistics: Sendable, Equatable {
    public var hits = 0
    public var misses = 0
    /// Hits whose value was beyond its end.
    public var stale = 0
    public var computed = 0
    /// Pauses that were made for another who computes.
    public var waited = 0
    /// Times that the server failed.
    public var errors = 0
    /// Times that it was not asked, because it had failed a moment ago.
    public var skipped = 0

    public init() {}
}
