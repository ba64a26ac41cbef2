/// How long a response is fresh, and how old it is when it comes.
public enum Freshness {
    /// Freshness lifetime of a response in a shared cache, in seconds.
    ///
    /// The first that applies: `s-maxage`, `max-age`, `Expires` − `Date`, where a `Date` that is missing is the time of receipt; 0 when
    /// nothing is said. An `Expires` or `Date` that is no date, or that is repeated, makes it 0.
    /// - Parameter received: Unix seconds.
    /// - Source: RFC 9111 §4.2.1, §5.3; RFC 9110 §6.6.1; RFC 9213 §2.1.
    public static func lifetimeSeconds(response: ResponseHead, cacheControl: CacheControl, received: Int64? = nil) -> Int {
        if let seconds = cacheControl.sMaxAge ?? cacheControl.maxAge { return seconds }
        let fields = response.fields
        guard !cacheControl.isTargeted, fields.count(of: .expires) == 1, let expires = date(fields, .expires),
            let date = fields.contains(.date) ? date(fields, .date) : received
        else { return 0 }
        return Int(max(0, min(expires.subtractingReportingOverflow(date).partialValue, Int64(CacheControl.secondsMax))))
    }

    /// Whether the application said how long the response is fresh, and that it is so at all.
    public static func hasExplicitLifetime(response: ResponseHead, cacheControl: CacheControl, received: Int64? = nil) -> Bool {
        lifetimeSeconds(response: response, cacheControl: cacheControl, received: received) > 0
    }

    /// Whether the application said anything about it, be it that it is stale.
    static func isSilent(_ response: ResponseHead, _ cacheControl: CacheControl) -> Bool {
        cacheControl.sMaxAge == nil && cacheControl.maxAge == nil && (cacheControl.isTargeted || !response.fields.contains(.expires))
    }

    /// Freshness lifetime of a response that says nothing about it, by what the route adds; 0 for none.
    ///
    /// What the route says of a status comes first (negative caching). Otherwise only for statuses that are cacheable by heuristic, and
    /// what is `public`. Never for what the application wants to be asked about.
    /// - Source: RFC 9111 §4.2.2; RFC 9110 §15.1.
    public static func addedLifetimeSeconds(
        response: ResponseHead, cacheControl: CacheControl, rules: StoringRules, received: Int64
    ) -> Int {
        guard isSilent(response, cacheControl), !cacheControl.noCache else { return 0 }
        if let negative = rules.negativeLifetimes.first(where: { $0.status == response.status }) {
            return max(0, min(negative.seconds, CacheControl.secondsMax))
        }
        guard rules.defaultLifetimeSeconds > 0 || rules.heuristicShare > 0,
            isHeuristicallyCacheable(response.status) || cacheControl.isPublic
        else { return 0 }
        let fields = response.fields
        if rules.heuristicShare > 0, fields.count(of: .lastModified) == 1, let modified = date(fields, .lastModified),
            let date = fields.contains(.date) ? date(fields, .date) : received, date > modified
        {
            // Dates are of years 1 to 9999, so that their difference fits everywhere.
            let seconds = Double(date - modified) * min(rules.heuristicShare, 1)
            return min(Int(seconds), max(0, rules.heuristicSecondsMax))
        }
        return max(0, min(rules.defaultLifetimeSeconds, CacheControl.secondsMax))
    }

    /// A freshness lifetime, shortened by a random part of what is left of it: what was stored in one moment does not expire in one.
    /// Never lengthened: nothing is served as fresh for longer than the application said.
    /// - Parameters:
    ///   - age: Seconds, when the response came.
    ///   - share: 0…1; the most that is taken off.
    ///   - random: Any number; all are alike.
    public static func jittered(_ lifetime: Int, age: Int, share: Double, random: UInt64) -> Int {
        let left = lifetime.subtractingReportingOverflow(age)
        guard share > 0, !left.overflow, left.partialValue > 0 else { return lifetime }
        // 53 bits make a number below 1 that a Double holds.
        let part = Double(random >> 11) / Double(1 << 53)
        return lifetime - Int(Double(left.partialValue) * min(share, 1) * part)
    }

    /// - Source: RFC 9110 §15.1, without 206.
    static func isHeuristicallyCacheable(_ status: Int) -> Bool {
        [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501].contains(status)
    }

    private static func date(_ fields: FieldSection, _ name: FieldName) -> Int64? {
        fields.firstIndex(of: name).flatMap { HTTPDate.parse(fields.value(at: $0)) }
    }

    /// The age of a response when it was received, in seconds: what other caches held it for, or what clocks and delays say,
    /// whichever is more.
    /// - Parameters:
    ///   - requestSent: Unix seconds.
    ///   - responseReceived: Unix seconds.
    /// - Source: RFC 9111 §4.2.3. An `Age` that is no number, or negative, counts as too old to use (§5.1 lets us ignore it; that
    ///   could serve a stale answer as fresh). Of several values the largest counts.
    public static func initialAgeSeconds(response: ResponseHead, requestSent: Int64, responseReceived: Int64) -> Int {
        let fields = response.fields
        var ageValue = 0
        if fields.contains(.age) {
            for index in fields.lines.indices where fields.lines[index].name == .age {
                ageValue = max(ageValue, age(fields.value(at: index)))
            }
        }
        var apparentAge: Int64 = 0
        if let date = fields.firstIndex(of: .date).flatMap({ HTTPDate.parse(fields.value(at: $0)) }) {
            apparentAge = max(0, min(responseReceived - date, Int64(CacheControl.secondsMax)))
        }
        let delay = max(0, min(responseReceived - requestSent, Int64(CacheControl.secondsMax)))
        return max(Int(apparentAge), ageValue + Int(delay))
    }

    private static func age(_ value: Span<UInt8>) -> Int {
        guard value.count > 0 else { return CacheControl.secondsMax }
        var seconds = 0
        for index in value.indices {
            guard ASCII.isDigit(value[index]) else { return CacheControl.secondsMax }
            seconds = min(seconds * 10 + Int(value[index] &- 0x30), CacheControl.secondsMax)
        }
        return seconds
    }
}
