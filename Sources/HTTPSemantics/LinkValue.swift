/// One member of a `Link` field, and what it says of how a page and its target belong together.
///
/// Read strictly: a member that is malformed is none, and the next one is looked for behind the next comma outside of quotes and brackets.
/// - Source: RFC 8288 §3, §3.3, Appendix B.
public struct LinkValue: Equatable, Sendable {
    /// Relations that let a browser fetch something before it has read the page.
    public struct Relations: OptionSet, Sendable {
        public let rawValue: UInt8

        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// - Source: HTML §4.6.7 Link types.
        public static let preload = Relations(rawValue: 1)
        public static let modulePreload = Relations(rawValue: 2)
        public static let preconnect = Relations(rawValue: 4)
    }

    /// Where it lies in the field's value: from `<` to the end of its last parameter.
    public let range: Range<Int>
    public let relations: Relations
    /// It is about something else than the page (RFC 8288 §3.2).
    public let hasAnchor: Bool

    /// All members of one line, at most `countMax` of them.
    public static func all(_ value: Span<UInt8>, countMax: Int) -> [LinkValue] {
        var links: [LinkValue] = []
        var position = 0
        while position < value.count, links.count < countMax {
            guard !ASCII.isSpace(value[position]), value[position] != UInt8(ascii: ",") else {
                position += 1
                continue
            }
            let start = position
            if let link = link(value, &position) { links.append(link) } else { position = endOfMember(value, from: start) }
        }
        return links
    }

    /// - Parameter position: at the member's first byte; on return, behind its last, if it is well formed.
    private static func link(_ value: Span<UInt8>, _ position: inout Int) -> LinkValue? {
        let start = position
        guard isNext(UInt8(ascii: "<"), value, position) else { return nil }
        position += 1
        let target = position
        while position < value.count, isOfTarget(value[position]) { position += 1 }
        guard position > target, isNext(UInt8(ascii: ">"), value, position) else { return nil }
        position += 1
        var end = position
        var relations: Relations?
        var hasAnchor = false
        while true {
            skipSpace(value, &position)
            if position == value.count || isNext(UInt8(ascii: ","), value, position) { break }
            guard isNext(UInt8(ascii: ";"), value, position) else { return nil }
            position += 1
            skipSpace(value, &position)
            let name = token(value, &position)
            // Appendix B.3: parameters without a name are passed over.
            if name.isEmpty { continue }
            end = position
            skipSpace(value, &position)
            var argument = position..<position
            if isNext(UInt8(ascii: "="), value, position) {
                position += 1
                skipSpace(value, &position)
                guard let found = Self.argument(value, &position) else { return nil }
                argument = found
                end = position
            }
            // §3.3: the first `rel` counts.
            if relations == nil, ASCII.equals(value.extracting(name), "rel") { relations = Self.relations(value, argument) }
            if ASCII.equals(value.extracting(name), "anchor") { hasAnchor = true }
        }
        return LinkValue(range: start..<end, relations: relations ?? [], hasAnchor: hasAnchor)
    }

    private static func isNext(_ byte: UInt8, _ value: Span<UInt8>, _ position: Int) -> Bool { position < value.count && value[position] == byte }

    private static func skipSpace(_ value: Span<UInt8>, _ position: inout Int) {
        while position < value.count, ASCII.isSpace(value[position]) { position += 1 }
    }

    private static func token(_ value: Span<UInt8>, _ position: inout Int) -> Range<Int> {
        let start = position
        while position < value.count, ASCII.isToken(value[position]) { position += 1 }
        return start..<position
    }

    /// What is behind `=`, without quotes.
    private static func argument(_ value: Span<UInt8>, _ position: inout Int) -> Range<Int>? {
        guard isNext(UInt8(ascii: "\""), value, position) else {
            let token = token(value, &position)
            return token.isEmpty ? nil : token
        }
        position += 1
        let start = position
        while position < value.count {
            if value[position] == UInt8(ascii: "\\") {
                position += 1
            } else if value[position] == UInt8(ascii: "\"") {
                position += 1
                return start..<position - 1
            }
            position += 1
        }
        return nil
    }

    /// Where a malformed member ends.
    private static func endOfMember(_ value: Span<UInt8>, from start: Int) -> Int {
        var end = start
        var closing: UInt8?
        while end < value.count {
            let byte = value[end]
            if let until = closing {
                if byte == UInt8(ascii: "\\"), until == UInt8(ascii: "\"") { end += 1 } else if byte == until { closing = nil }
            } else if byte == UInt8(ascii: ",") {
                return end
            } else if byte == UInt8(ascii: "\"") {
                closing = byte
            } else if byte == UInt8(ascii: "<") {
                closing = UInt8(ascii: ">")
            }
            end += 1
        }
        return value.count
    }

    /// What a URI-reference may have, loosely (RFC 3986 §2): nothing that ends it, and no white space.
    private static func isOfTarget(_ byte: UInt8) -> Bool {
        byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "<") && byte != UInt8(ascii: ">") && byte != UInt8(ascii: "\"")
    }

    private static func relations(_ value: Span<UInt8>, _ range: Range<Int>) -> Relations {
        var relations: Relations = []
        var start = range.lowerBound
        while start < range.upperBound {
            var end = start
            while end < range.upperBound, !ASCII.isSpace(value[end]) { end += 1 }
            let word = value.extracting(start..<end)
            if ASCII.equals(word, "preload") { relations.insert(.preload) }
            if ASCII.equals(word, "modulepreload") { relations.insert(.modulePreload) }
            if ASCII.equals(word, "preconnect") { relations.insert(.preconnect) }
            start = end + 1
        }
        return relations
    }
}
