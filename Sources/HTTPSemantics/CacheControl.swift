/// The directives of `Cache-Control`, of a request or a response.
///
/// Read as they occur in the wild: any case, arguments quoted or not, several lines, unknown directives passed over. Where the
/// RFC leaves a choice, the choice is the one that cannot serve a stale answer as fresh:
/// - a lifetime that is no number, negative, or has junk behind it counts as 0 (RFC 9111 §4.2.1: "encouraged to consider
///   stale"); one too large for 2³¹ seconds is 2³¹ (§1.2.2);
/// - of a repeated lifetime the smallest counts;
/// - behind a quote that does not end may be anything, `no-store` too: it counts as that;
/// - `private` and `no-cache` with field names in quotes are about those fields (``WithheldFields``); with anything else behind them
///   they are about the whole response.
/// - Source: RFC 9111 §5.2; RFC 5861 (stale-…); RFC 8246 (immutable).
public struct CacheControl: Equatable, Sendable {
    public var noStore = false
    /// `private` or `no-cache` names fields: the rest of the response is not affected.
    public var namesFields = false
    /// Read from a field that speaks to us or our kind: `Expires` counts no more (RFC 9213 §2.1).
    public var isTargeted = false
    public var noCache = false
    public var isPrivate = false
    public var isPublic = false
    public var mustRevalidate = false
    public var proxyRevalidate = false
    public var mustUnderstand = false
    public var noTransform = false
    public var onlyIfCached = false
    public var immutable = false
    /// Seconds.
    public var maxAge: Int?
    public var sMaxAge: Int?
    public var staleWhileRevalidate: Int?
    public var staleIfError: Int?
    public var minFresh: Int?
    /// `max-stale`; without an argument any staleness is fine, which is the largest number.
    public var maxStale: Int?

    /// RFC 9111 §1.2.2.
    public static let secondsMax = 1 << 31

    public init() {}

    public init(_ fields: borrowing FieldSection, _ name: FieldName = .cacheControl) {
        guard fields.contains(name) else { return }
        for index in fields.lines.indices where fields.lines[index].name == name {
            let value = fields.value(at: index)
            // Where the members lie is collected first: a span cannot be captured by the closure that changes us.
            var start = 0
            var isOpen = false
            while let member = Self.nextMember(value, &start, &isOpen) { read(value, member) }
            if isOpen { noStore = true }
        }
    }

    /// - Parameter isQuoted: on return, whether the member ended within quotes.
    static func nextMember(_ value: Span<UInt8>, _ start: inout Int, _ isQuoted: inout Bool) -> Range<Int>? {
        while start < value.count {
            var end = start
            while end < value.count {
                let byte = value[end]
                if isQuoted, byte == UInt8(ascii: "\\") {
                    end += 1
                } else if byte == UInt8(ascii: "\"") {
                    isQuoted.toggle()
                } else if byte == UInt8(ascii: ","), !isQuoted {
                    break
                }
                end += 1
            }
            let member = ASCII.trimmed(value, start..<min(end, value.count))
            start = end + 1
            if !member.isEmpty { return member }
        }
        return nil
    }

    private mutating func read(_ value: Span<UInt8>, _ member: Range<Int>) {
        var end = member.lowerBound
        while end < member.upperBound, ASCII.isToken(value[end]) { end += 1 }
        let name = value.extracting(member.lowerBound..<end)
        let argument = end < member.upperBound && value[end] == UInt8(ascii: "=") ? end + 1..<member.upperBound : nil
        // Anything but "=" behind the name is junk; the name counts nevertheless, for a restriction that is misspelled still
        // is meant to restrict. A lifetime needs its argument.
        func seconds() -> Int { argument.map { Self.seconds(value, $0) } ?? 0 }
        func smallest(_ old: Int?, _ new: Int) -> Int { min(old ?? new, new) }
        func hasNames() -> Bool { argument.map { !Self.quotedNames(value, $0).isEmpty } ?? false }
        switch name.count {
        case 6 where ASCII.equals(name, "public"): isPublic = true
        case 7 where ASCII.equals(name, "max-age"): maxAge = smallest(maxAge, seconds())
        case 7 where ASCII.equals(name, "private"): if hasNames() { namesFields = true } else { isPrivate = true }
        case 8 where ASCII.equals(name, "no-store"): noStore = true
        case 8 where ASCII.equals(name, "no-cache"): if hasNames() { namesFields = true } else { noCache = true }
        case 8 where ASCII.equals(name, "s-maxage"): sMaxAge = smallest(sMaxAge, seconds())
        case 9 where ASCII.equals(name, "max-stale"): maxStale = argument == nil ? Int.max : seconds()
        case 9 where ASCII.equals(name, "min-fresh"): minFresh = argument.map { _ in seconds() }
        case 9 where ASCII.equals(name, "immutable"): immutable = true
        case 12 where ASCII.equals(name, "no-transform"): noTransform = true
        case 14 where ASCII.equals(name, "only-if-cached"): onlyIfCached = true
        case 14 where ASCII.equals(name, "stale-if-error"): staleIfError = smallest(staleIfError, seconds())
        case 15 where ASCII.equals(name, "must-revalidate"): mustRevalidate = true
        case 15 where ASCII.equals(name, "must-understand"): mustUnderstand = true
        case 16 where ASCII.equals(name, "proxy-revalidate"): proxyRevalidate = true
        case 22 where ASCII.equals(name, "stale-while-revalidate"):
            staleWhileRevalidate = smallest(staleWhileRevalidate, seconds())
        default: break
        }
    }

    /// `delta-seconds`, quoted or not; 0 for what is none.
    static func seconds(_ value: Span<UInt8>, _ argument: Range<Int>) -> Int {
        var range = argument
        if range.count >= 2, value[range.lowerBound] == UInt8(ascii: "\""), value[range.upperBound - 1] == UInt8(ascii: "\"") {
            range = range.lowerBound + 1..<range.upperBound - 1
        }
        guard !range.isEmpty else { return 0 }
        var seconds = 0
        for index in range {
            guard ASCII.isDigit(value[index]) else { return 0 }
            seconds = min(seconds * 10 + Int(value[index] &- 0x30), secondsMax)
        }
        return seconds
    }

    /// The field names of a quoted argument, in lower case.
    /// - Returns: none, unless it is a list of names and nothing else.
    static func quotedNames(_ value: Span<UInt8>, _ argument: Range<Int>) -> [[UInt8]] {
        guard argument.count >= 2, value[argument.lowerBound] == UInt8(ascii: "\""), value[argument.upperBound - 1] == UInt8(ascii: "\"")
        else { return [] }
        return names(value, argument.lowerBound + 1..<argument.upperBound - 1)
    }

    static func names(_ value: Span<UInt8>, _ range: Range<Int>) -> [[UInt8]] {
        var names: [[UInt8]] = []
        var start = range.lowerBound
        while start < range.upperBound {
            var end = start
            while end < range.upperBound, value[end] != UInt8(ascii: ",") { end += 1 }
            let member = ASCII.trimmed(value, start..<end)
            start = end + 1
            if member.isEmpty { continue }
            var name: [UInt8] = []
            for position in member {
                guard ASCII.isToken(value[position]) else { return [] }
                name.append(ASCII.lowercased(value[position]))
            }
            names.append(name)
        }
        return names
    }
}
