/// How long a response is fresh, and how old it is when it comes.
public enum Freshness {
    /// Freshness lifetime of a response in a shared cache, in seconds.
    ///
    /// The first that applies: `s-maxage`, `max-age`, `Expires` − `Date`; 0 when nothing is said. An `Expires` that is no date, or
    /// that is repeated, is in the past.
    /// - Source: RFC 9111 §4.2.1, §5.3.
    public static func lifetimeSeconds(response: ResponseHead, cacheControl: CacheControl) -> Int {
        if let seconds = cacheControl.sMaxAge ?? cacheControl.maxAge { return seconds }
        let fields = response.fields
        guard fields.count(of: .expires) == 1, let expires = fields.firstIndex(of: .expires).flatMap({ HTTPDate.parse(fields.value(at: $0)) })
        else { return 0 }
        guard let date = fields.firstIndex(of: .date).flatMap({ HTTPDate.parse(fields.value(at: $0)) }) else { return 0 }
        return Int(max(0, min(expires - date, Int64(CacheControl.secondsMax))))
    }

    /// Whether the application said how long the response is fresh, be it not at all.
    public static func hasExplicitLifetime(response: ResponseHead, cacheControl: CacheControl) -> Bool {
        guard cacheControl.sMaxAge == nil, cacheControl.maxAge == nil else {
            return lifetimeSeconds(response: response, cacheControl: cacheControl) > 0
        }
        return response.fields.contains(.expires) && lifetimeSeconds(response: response, cacheControl: cacheControl) > 0
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
