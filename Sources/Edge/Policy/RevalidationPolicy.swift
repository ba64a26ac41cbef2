import HTTPSemantics
import NIOCore

/// Whether a stored response may answer a request as it is, or has to be asked for again.
/// - Source: RFC 9111 §4, §4.2, §5.2.1.
enum RevalidationPolicy {
    enum Verdict: Equatable {
        /// With so many seconds of freshness left.
        case fresh(secondsLeft: Int)
        /// With a named reason.
        case stale(String)
    }

    static func verdict(
        _ response: StoredResponse, _ request: CacheControl, _ fields: borrowing FieldSection, now: NIODeadline
    ) -> Verdict {
        let age = response.ageSeconds(now: now)
        let left = response.lifetimeSeconds - age
        if response.cacheControl.noCache { return .stale("response-no-cache") }
        if left <= 0 { return .stale("expired") }
        if request.noCache { return .stale("request-no-cache") }
        if let maxAge = request.maxAge, age >= maxAge { return .stale("request-max-age") }
        if let minFresh = request.minFresh, left < minFresh { return .stale("request-min-fresh") }
        if !fields.contains(.cacheControl), fields.contains(.pragma), isNoCachePragma(fields) {
            return .stale("request-no-cache")
        }
        return .fresh(secondsLeft: left)
    }

    /// `Pragma: no-cache`, for clients that know no `Cache-Control`.
    /// - Source: RFC 9111 §5.4.
    private static func isNoCachePragma(_ fields: borrowing FieldSection) -> Bool {
        CacheControl(copy fields, .pragma).noCache
    }
}
