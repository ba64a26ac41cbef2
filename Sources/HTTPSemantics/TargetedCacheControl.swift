/// What a response says to a shared cache, by the field that speaks to it most closely.
///
/// | field | written as | whom it is for |
/// |---|---|---|
/// | `Headrace-Cache-Control` | a structured dictionary | this cache |
/// | `CDN-Cache-Control` | a structured dictionary | caches in front of the application |
/// | `Surrogate-Control` | `max-age=60+30, no-store` | surrogates; the second number is how long stale answers are let go on |
/// | `Cache-Control` | as it occurs in the wild | everybody |
///
/// The first that is there, well-formed and not empty counts alone, without `Cache-Control` and `Expires`. Malformed, it is as if it were
/// not there; a directive of the wrong type is as if it were not there either. `no-transform` is no affair of storing, and counts from
/// `Cache-Control` also.
/// - Source: RFC 9213 §2.1, §2.2; Edge Architecture Specification 1.0 §2.2.
extension CacheControl {
    public static func forSharedCache(_ fields: borrowing FieldSection) -> CacheControl {
        let plain = CacheControl(fields)
        guard fields.contains(.headraceCacheControl) || fields.contains(.cdnCacheControl) || fields.contains(.surrogateControl) else {
            return plain
        }
        guard
            var targeted = targeted(fields, .headraceCacheControl) ?? targeted(fields, .cdnCacheControl) ?? surrogate(fields)
        else { return plain }
        targeted.isTargeted = true
        if plain.noTransform { targeted.noTransform = true }
        return targeted
    }

    private static func targeted(_ fields: borrowing FieldSection, _ name: FieldName) -> CacheControl? {
        guard let dictionary = StructuredDictionary(fields, name), !dictionary.members.isEmpty else { return nil }
        return CacheControl(dictionary)
    }

    /// - Source: RFC 9213 §2.2: parameters are ignored; seconds are integers, the rest is a Boolean that is true.
    init(_ dictionary: StructuredDictionary) {
        self.init()
        func seconds(_ key: String) -> Int? {
            guard case .item(let item)? = dictionary[key], case .integer(let seconds) = item.value else { return nil }
            return min(max(seconds, 0), Self.secondsMax)
        }
        func isSet(_ key: String) -> Bool {
            guard case .item(let item)? = dictionary[key] else { return false }
            return item.value == .boolean(true)
        }
        noStore = isSet("no-store")
        noCache = isSet("no-cache")
        isPrivate = isSet("private")
        isPublic = isSet("public")
        mustRevalidate = isSet("must-revalidate")
        proxyRevalidate = isSet("proxy-revalidate")
        mustUnderstand = isSet("must-understand")
        noTransform = isSet("no-transform")
        immutable = isSet("immutable")
        maxAge = seconds("max-age")
        sMaxAge = seconds("s-maxage")
        staleWhileRevalidate = seconds("stale-while-revalidate")
        staleIfError = seconds("stale-if-error")
        namesFields = !Self.fieldNames(dictionary).isEmpty
    }

    /// The fields that `private` and `no-cache` name: as one text with commas, or as an inner list of texts or tokens.
    static func fieldNames(_ dictionary: StructuredDictionary) -> [[UInt8]] {
        var found: [[UInt8]] = []
        for key in ["private", "no-cache"] {
            switch dictionary[key] {
            case .item(let item)?:
                if case .string(let text) = item.value { found += names(text.span, 0..<text.count) }
            case .innerList(let items, _)?:
                for item in items {
                    switch item.value {
                    case .string(let text), .token(let text): found += names(text.span, 0..<text.count)
                    default: continue
                    }
                }
            case nil: continue
            }
        }
        return found
    }

    private static func surrogate(_ fields: borrowing FieldSection) -> CacheControl? {
        guard fields.contains(.surrogateControl) else { return nil }
        var result = CacheControl()
        var isKnown = false
        for index in fields.lines.indices where fields.lines[index].name == .surrogateControl {
            let value = fields.value(at: index)
            var start = 0
            var isOpen = false
            while let member = nextMember(value, &start, &isOpen) {
                var end = member.lowerBound
                while end < member.upperBound, ASCII.isToken(value[end]) { end += 1 }
                let name = value.extracting(member.lowerBound..<end)
                if ASCII.equals(name, "no-store") {
                    (result.noStore, isKnown) = (true, true)
                } else if ASCII.equals(name, "max-age"), end < member.upperBound, value[end] == UInt8(ascii: "=") {
                    var plus = end + 1
                    while plus < member.upperBound, value[plus] != UInt8(ascii: "+") { plus += 1 }
                    result.maxAge = min(result.maxAge ?? .max, seconds(value, end + 1..<plus))
                    isKnown = true
                    if plus < member.upperBound {
                        result.staleWhileRevalidate = seconds(value, plus + 1..<member.upperBound)
                        result.staleIfError = result.staleWhileRevalidate
                    }
                }
            }
            // What a quote that does not end was to say may have been `no-store`.
            if isOpen { (result.noStore, isKnown) = (true, true) }
        }
        // ESI and the like are not done here: whoever asks for it with `content` alone says nothing about storing.
        return isKnown ? result : nil
    }
}

/// Header fields that are sent to the one who asked and kept for nobody: those that `private="…"` and `no-cache="…"` name.
///
/// The second could be sent again once the application has confirmed the response; it is left out for good, which needs no second copy
/// of the header section and can only be too careful.
/// - Source: RFC 9111 §5.2.2.4, §5.2.2.7.
public struct WithheldFields: Equatable, Sendable {
    /// Lower-case names.
    public private(set) var names: [[UInt8]] = []

    public init() {}

    /// - Parameter directives: ``CacheControl/forSharedCache(_:)`` of these fields.
    public init(_ fields: borrowing FieldSection, _ directives: CacheControl) {
        guard directives.namesFields else { return }
        if directives.isTargeted {
            let dictionary = StructuredDictionary(fields, .headraceCacheControl).flatMap { $0.members.isEmpty ? nil : $0 }
                ?? StructuredDictionary(fields, .cdnCacheControl)
            names = dictionary.map(CacheControl.fieldNames) ?? []
            return
        }
        for index in fields.lines.indices where fields.lines[index].name == .cacheControl {
            let value = fields.value(at: index)
            var start = 0
            var isOpen = false
            while let member = CacheControl.nextMember(value, &start, &isOpen) {
                var end = member.lowerBound
                while end < member.upperBound, ASCII.isToken(value[end]) { end += 1 }
                let name = value.extracting(member.lowerBound..<end)
                guard ASCII.equals(name, "private") || ASCII.equals(name, "no-cache"), end < member.upperBound,
                    value[end] == UInt8(ascii: "=")
                else { continue }
                names += CacheControl.quotedNames(value, end + 1..<member.upperBound)
            }
        }
    }

    public var isEmpty: Bool { names.isEmpty }

    public func contains(_ fieldName: Span<UInt8>) -> Bool {
        names.contains { name in
            guard name.count == fieldName.count else { return false }
            for index in name.indices where ASCII.lowercased(fieldName[index]) != name[index] { return false }
            return true
        }
    }
}
