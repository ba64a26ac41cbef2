/// What a page makes a browser fetch with it: style sheets, scripts, images, icons.
///
/// A scan for tags, not a parser of HTML: it must never fail, and what a script adds later it cannot see. Comments are passed over.
public enum PageLinks {
    public static let linksMax = 200

    /// References as they are written in the page, each once, in order.
    public static func subresources(_ html: [UInt8]) -> [String] {
        var references: [String] = []
        var seen: Set<String> = []
        var place = 0
        while place < html.count, references.count < linksMax {
            guard let open = html[place...].firstIndex(of: UInt8(ascii: "<")) else { break }
            if html[open...].starts(with: "<!--".utf8) {
                place = endOfComment(html, from: open + 4)
                continue
            }
            let (tag, end) = readTag(html, from: open + 1)
            place = end
            guard let reference = tag.subresource?.trimmed, !reference.isEmpty, seen.insert(reference).inserted else { continue }
            references.append(reference)
        }
        return references
    }

    /// What a style sheet names: `url(…)`, and `@import "…"`. Comments are passed over; `data:` URLs and the like lead nowhere.
    /// - Source: CSS Values 4 §4.5; CSS Cascading 4 §2.
    public static func styleReferences(_ css: [UInt8]) -> [String] {
        var references: [String] = []
        var seen: Set<String> = []
        var place = 0
        func starts(_ word: String) -> Bool {
            let bytes = Array(word.utf8)
            guard place + bytes.count <= css.count else { return false }
            return bytes.indices.allSatisfy { css[place + $0] | 0x20 == bytes[$0] | 0x20 }
        }
        func skipSpace() {
            while place < css.count, css[place] == 0x20 || 0x09...0x0D ~= css[place] { place += 1 }
        }
        /// What is quoted, or stands until one of those signs.
        func word(until ends: Set<UInt8>) -> String {
            skipSpace()
            guard place < css.count else { return "" }
            let quote = css[place]
            let isQuoted = quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'")
            if isQuoted { place += 1 }
            let start = place
            while place < css.count, isQuoted ? css[place] != quote : !ends.contains(css[place]) { place += 1 }
            return String(decoding: css[start..<place], as: UTF8.self).trimmed
        }
        while place < css.count, references.count < linksMax {
            if css[place] == UInt8(ascii: "/"), place + 1 < css.count, css[place + 1] == UInt8(ascii: "*") {
                place += 2
                while place < css.count, !(css[place] == UInt8(ascii: "*") && place + 1 < css.count && css[place + 1] == UInt8(ascii: "/")) { place += 1 }
                place += 2
                continue
            }
            var reference = ""
            if starts("url(") {
                place += 4
                reference = word(until: [UInt8(ascii: ")")])
            } else if starts("@import") {
                place += 7
                skipSpace()
                // `@import url(…)` is met at its `url(`.
                guard place < css.count, css[place] == UInt8(ascii: "\"") || css[place] == UInt8(ascii: "'") else { continue }
                reference = word(until: [UInt8(ascii: ";")])
            }
            place += 1
            if !reference.isEmpty, seen.insert(reference).inserted { references.append(reference) }
        }
        return references
    }

    private struct Tag {
        var name = ""
        var attributes: [String: String] = [:]

        var subresource: String? {
            switch name {
            case "script", "img": return attributes["src"]
            case "link":
                let kinds = (attributes["rel"] ?? "").lowercased().split(separator: " ")
                let isFetched = kinds.contains { ["stylesheet", "icon", "preload", "modulepreload", "apple-touch-icon", "manifest"].contains($0) }
                return isFetched ? attributes["href"] : nil
            default: return nil
            }
        }
    }

    private static func endOfComment(_ html: [UInt8], from start: Int) -> Int {
        var place = start
        while place < html.count {
            if html[place] == UInt8(ascii: "-"), html[place...].starts(with: "-->".utf8) { return place + 3 }
            place += 1
        }
        return html.count
    }

    /// - Returns: the tag, and where what follows it begins.
    private static func readTag(_ html: [UInt8], from start: Int) -> (Tag, Int) {
        var place = start
        var tag = Tag()
        func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || 0x09...0x0D ~= byte }
        func text(_ range: Range<Int>) -> String { String(decoding: html[range], as: UTF8.self) }
        while place < html.count, !isSpace(html[place]), html[place] != UInt8(ascii: ">"), place - start < 32 { place += 1 }
        tag.name = text(start..<place).lowercased()
        while place < html.count, html[place] != UInt8(ascii: ">") {
            if isSpace(html[place]) || html[place] == UInt8(ascii: "/") {
                place += 1
                continue
            }
            let nameStart = place
            while place < html.count, !isSpace(html[place]), html[place] != UInt8(ascii: "="), html[place] != UInt8(ascii: ">") { place += 1 }
            let name = text(nameStart..<place).lowercased()
            while place < html.count, isSpace(html[place]) { place += 1 }
            var value = ""
            if place < html.count, html[place] == UInt8(ascii: "=") {
                place += 1
                while place < html.count, isSpace(html[place]) { place += 1 }
                if place < html.count, html[place] == UInt8(ascii: "\"") || html[place] == UInt8(ascii: "'") {
                    let quote = html[place]
                    let valueStart = place + 1
                    place = html[valueStart...].firstIndex(of: quote) ?? html.count
                    value = text(valueStart..<place)
                    place = min(place + 1, html.count)
                } else {
                    let valueStart = place
                    while place < html.count, !isSpace(html[place]), html[place] != UInt8(ascii: ">") { place += 1 }
                    value = text(valueStart..<place)
                }
            } else if place == nameStart {
                // Nothing was taken: a stray sign.
                place += 1
            }
            if tag.attributes[name] == nil, tag.attributes.count < 64 { tag.attributes[name] = value }
        }
        return (tag, min(place + 1, html.count))
    }
}

extension String {
    /// Without white space around it, and with the one entity that URLs in HTML have.
    fileprivate var trimmed: String {
        var text = Substring(self)
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        while let last = text.last, last.isWhitespace { text.removeLast() }
        guard text.contains("&amp;") else { return String(text) }
        var result = ""
        var rest = text
        while !rest.isEmpty {
            if rest.hasPrefix("&amp;") {
                result += "&"
                rest = rest.dropFirst(5)
            } else {
                result.append(rest.removeFirst())
            }
        }
        return result
    }
}
