import HTTPSemantics
import NIOCore

/// Whether a stored response may answer a request as it is, or has to be asked for again.
/// - Source: RFC 9111 §4, §4.2, §5.2.1.
enum RevalidationPolicy {
    enum Verdict: Equatable {
        /// With so many seconds of freshness left.
        case fresh(secondsLeft: Int)
        case stale(Reason)
    }

    /// Why a stored response may not answer as it is. The raw value is the `detail` of `Cache-Status`.
    enum Reason: String, CaseIterable, Sendable {
        /// Its lifetime is over.
        case expired
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
            case .expired, .responseNoCache: false
            case .requestNoCache, .requestMaxAge, .requestMinFresh: true
            }
        }
    }

    static func verdict(
        _ response: StoredResponse, _ request: CacheControl, _ fields: borrowing FieldSection, now: NIODeadline
    ) -> Verdict {
        let age = response.ageSeconds(now: now)
        let left = response.lifetimeSeconds - age
        if response.cacheControl.noCache { return .stale(.responseNoCache) }
        if left <= 0 { return .stale(.expired) }
        if request.noCache { return .stale(.requestNoCache) }
        if let maxAge = request.maxAge, age >= maxAge { return .stale(.requestMaxAge) }
        if let minFresh = request.minFresh, left < minFresh { return .stale(.requestMinFresh) }
        if !fields.contains(.cacheControl), fields.contains(.pragma), isNoCachePragma(fields) {
            return .stale(.requestNoCache)
        }
        return .fresh(secondsLeft: left)
    }

    /// `Pragma: no-cache`, for clients that know no `Cache-Control`.
    /// - Source: RFC 9111 §5.4.
    private static func isNoCachePragma(_ fields: borrowing FieldSection) -> Bool {
        CacheControl(copy fields, .pragma).noCache
    }
}
