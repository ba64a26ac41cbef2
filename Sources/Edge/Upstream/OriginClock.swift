/// How far the application's clock is ahead of ours, by the `Date` of its responses. No clock of its own: time is `now:`, in seconds since 1970.
///
/// A response may have been made long before it is sent, by a cache of the application's own; none is made before its time. So of a window's
/// dates the one counts that is nearest to our time, and one a second is looked at.
/// - Source: RFC 9110 §6.6.1: `Date` is to the second.
struct OriginClock: Sendable {
    static let windowSeconds: Int64 = 10
    /// What was found longer ago says nothing of now.
    static let keptSeconds: Int64 = 300

    private var begun: Int64 = 0
    private var nearest: Int64?
    private var lookedAt: Int64 = 0
    private var found: (ahead: Int64, at: Int64)?

    func isDue(now: Int64) -> Bool { now != lookedAt }

    mutating func answered(date: Int64, now: Int64) {
        lookedAt = now
        // Or our own clock was set.
        if now - begun >= Self.windowSeconds || now < begun {
            if let nearest, now - begun < 2 * Self.windowSeconds, now >= begun { found = (nearest, now) }
            (begun, nearest) = (now, nil)
        }
        let ahead = date.subtractingReportingOverflow(now)
        guard !ahead.overflow else { return }
        if nearest.map({ ahead.partialValue.magnitude < $0.magnitude }) ?? true { nearest = ahead.partialValue }
    }

    /// - Returns: `nil` when nothing was found of late.
    func ahead(now: Int64) -> Int64? {
        guard let found, now >= found.at, now - found.at <= Self.keptSeconds else { return nil }
        return found.ahead
    }
}
