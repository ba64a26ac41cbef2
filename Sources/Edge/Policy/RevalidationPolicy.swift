import HTTPSemantics
import NIOCore

/// What a route says about answering from the store.
struct ReuseRules: Sendable, Equatable {
    /// How long a stale response is served while it is fetched anew, where the application does not say.
    var staleWhileRevalidateSeconds = 0
    /// How long one is served when fetching fails, where the application does not say.
    var staleIfErrorSeconds = 0
    /// Heed `no-cache`, `max-age` and `min-fresh` of requests.
    var heedsRequests = true
    /// The last share of a lifetime in which what is asked for often is fetched anew, while it is served still; 0 for none.
    var refreshAheadShare = 0.0

    init() {}
}

/// Whether a stored response may answer a request as it is, or has to be asked for again.
///
/// | | the response is fresh | stale, within a permission | stale |
/// |---|---|---|---|
/// | nothing that forbids | `fresh` | `servedStale` | `stale` |
/// | request: `no-cache`, `max-age`, `min-fresh` not met | `stale` | `stale` | `stale` |
/// | response: `must-revalidate`, `proxy-revalidate`, `s-maxage` | `fresh` | `stale` | `stale` |
/// | response: `no-cache` | `stale` | `stale` | `stale` |
///
/// Permissions are the request's `max-stale`, and the response's `stale-while-revalidate` or that of the route.
/// - Source: RFC 9111 §4, §4.2, §4.2.4, §5.2.1; RFC 5861; RFC 8246.
enum RevalidationPolicy {
    enum Verdict: Equatable {
        /// With so many seconds of freshness left.
        case fresh(secondsLeft: Int)
        /// Stale since so many seconds, and good enough all the same.
        case servedStale(secondsOver: Int, Permission)
        case stale(Reason)
    }

    /// Why a stale response is served. The raw value is the `detail` of `Cache-Status`.
    enum Permission: String, CaseIterable, Sendable {
        /// It is being fetched anew meanwhile.
        case whileRevalidate = "stale-while-revalidate"
        /// The client takes it.
        case requestMaxStale = "request-max-stale"
        /// A newer one could not be had.
        case ifError = "stale-if-error"
    }

    /// Why a stored response may not answer as it is. The raw value is the `detail` of `Cache-Status`.
    enum Reason: String, CaseIterable, Sendable {
        /// Its lifetime is over.
        case expired
        /// A soft purge ended its lifetime.
        case purged
        /// The application wants to be asked each time.
        case responseNoCache = "response-no-cache"
        /// The client wants the application to be asked.
        case requestNoCache = "request-no-cache"
        /// It is older than the client accepts.
        case requestMaxAge = "request-max-age"
        /// It will not be fresh for as long as the client needs.
        case requestMinFresh = "request-min-fresh"

        /// Whether the response would have answered another request.
        var isOfRequest: Bool {
            switch self {
            case .expired, .purged, .responseNoCache: false
            case .requestNoCache, .requestMaxAge, .requestMinFresh: true
            }
        }
    }

    static func verdict(
        _ response: StoredResponse, _ request: CacheControl, _ fields: borrowing FieldSection, _ rules: ReuseRules = ReuseRules(),
        now: NIODeadline
    ) -> Verdict {
        let age = response.ageSeconds(now: now)
        let left = response.lifetimeSeconds - age
        if response.cacheControl.noCache { return .stale(.responseNoCache) }
        if left <= 0 { return staleVerdict(response, request, fields, rules, age: age, over: -left) }
        if !rules.heedsRequests { return .fresh(secondsLeft: left) }
        return requestReason(response, request, fields, age: age, left: left).map(Verdict.stale) ?? .fresh(secondsLeft: left)
    }

    /// Whether a fresh response is so near its end that one who asks often should find the next one there.
    ///
    /// One second is the least: ages are whole seconds. A lifetime of less than two has no end that comes before its beginning.
    static func isNearItsEnd(_ response: StoredResponse, secondsLeft: Int, _ rules: ReuseRules) -> Bool {
        guard rules.refreshAheadShare > 0 else { return false }
        let whole = response.lifetimeSeconds - response.initialAgeSeconds
        return whole >= 2 && Double(secondsLeft) <= max(1, Double(whole) * rules.refreshAheadShare)
    }

    private static func staleVerdict(
        _ response: StoredResponse, _ request: CacheControl, _ fields: borrowing FieldSection, _ rules: ReuseRules, age: Int, over seconds: Int
    ) -> Verdict {
        let reason = response.isPurged ? Reason.purged : .expired
        guard !response.forbidsStale else { return .stale(reason) }
        if rules.heedsRequests {
            if request.noCache || isNoCachePragma(fields) || request.minFresh != nil { return .stale(reason) }
            if let maxAge = request.maxAge, age >= maxAge { return .stale(reason) }
        }
        if let most = response.cacheControl.staleWhileRevalidate ?? positive(rules.staleWhileRevalidateSeconds), seconds < most {
            return .servedStale(secondsOver: seconds, .whileRevalidate)
        }
        // Ages are whole seconds, rounded down: less than the bound is within it.
        if let maxStale = request.maxStale, seconds < maxStale { return .servedStale(secondsOver: seconds, .requestMaxStale) }
        return .stale(reason)
    }

    private static func requestReason(
        _ response: StoredResponse, _ request: CacheControl, _ fields: borrowing FieldSection, age: Int, left: Int
    ) -> Reason? {
        if request.noCache { return .requestNoCache }
        // RFC 8246 §2: what is immutable gets no better by asking for something younger.
        if let maxAge = request.maxAge, age >= maxAge, !response.cacheControl.immutable { return .requestMaxAge }
        if let minFresh = request.minFresh, left < minFresh { return .requestMinFresh }
        return isNoCachePragma(fields) ? .requestNoCache : nil
    }

    /// Whether a stored response may answer when no newer one can be had.
    /// - Returns: the seconds since which it is stale, negative while it is fresh; `nil` when it may not.
    /// - Source: RFC 5861 §4, for which both a response and a request may say it; RFC 9111 §4.2.4.
    static func secondsOverOnError(
        _ response: StoredResponse, _ request: CacheControl, _ fields: borrowing FieldSection, _ rules: ReuseRules, now: NIODeadline
    ) -> Int? {
        guard !response.forbidsStale else { return nil }
        if rules.heedsRequests, request.noCache || isNoCachePragma(fields) { return nil }
        let over = response.ageSeconds(now: now) - response.lifetimeSeconds
        let permitted = max(response.cacheControl.staleIfError ?? rules.staleIfErrorSeconds, request.staleIfError ?? 0)
        return over < permitted ? over : nil
    }

    /// Statuses that count as an error for `stale-if-error`.
    /// - Source: RFC 5861 §4.
    static func isError(_ status: Int) -> Bool { [500, 502, 503, 504].contains(status) }

    private static func positive(_ seconds: Int) -> Int? { seconds > 0 ? seconds : nil }

    /// `Pragma: no-cache`, for clients that know no `Cache-Control`.
    /// - Source: RFC 9111 §5.4.
    private static func isNoCachePragma(_ fields: borrowing FieldSection) -> Bool {
        guard fields.contains(.pragma), !fields.contains(.cacheControl) else { return false }
        return CacheControl(copy fields, .pragma).noCache
    }
}
