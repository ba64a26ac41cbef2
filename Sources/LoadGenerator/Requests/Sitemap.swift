/// The pages that a sitemap names.
/// - Source: sitemaps.org, protocol 0.9: `<loc>` in `<url>`, entity-escaped.
public enum Sitemap {
    /// As the protocol bounds a file.
    public static let locationsMax = 50_000

    /// The text of each `<loc>`, in order; what is not one is passed over.
    public static func locations(_ text: String) -> [String] {
        var locations: [String] = []
        var rest = text.utf8[...]
        while locations.count < locationsMax, let start = rest.end(of: "<loc>") {
            rest = rest[start...]
            guard let end = rest.start(of: "</loc>") else { break }
            var location = Substring(rest[..<end])
            if location.hasPrefix("<![CDATA[") { location = location.dropFirst(9).dropLast(3) }
            let words = unescaped(location).split { $0.isWhitespace }
            if words.count == 1 { locations.append(String(words[0])) }
            rest = rest[end...]
        }
        return locations
    }

    private static func unescaped(_ text: Substring) -> String {
        guard text.contains("&") else { return String(text) }
        var result = ""
        var rest = text
        while let mark = rest.firstIndex(of: "&") {
            result += rest[..<mark]
            rest = rest[mark...]
            let entities = [("&amp;", "&"), ("&apos;", "'"), ("&quot;", "\""), ("&gt;", ">"), ("&lt;", "<"), ("&#38;", "&")]
            if let (entity, character) = entities.first(where: { rest.hasPrefix($0.0) }) {
                result += character
                rest = rest.dropFirst(entity.count)
            } else {
                result += "&"
                rest = rest.dropFirst()
            }
        }
        return result + rest
    }
}

extension Substring.UTF8View {
    fileprivate func start(of text: StaticString) -> Index? {
        let first = UInt8(ascii: "<")
        var place = startIndex
        while place < endIndex {
            if self[place] == first, self[place...].starts(with: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)) {
                return place
            }
            place = index(after: place)
        }
        return nil
    }

    fileprivate func end(of text: StaticString) -> Index? {
        start(of: text).map { index($0, offsetBy: text.utf8CodeUnitCount) }
    }
}
