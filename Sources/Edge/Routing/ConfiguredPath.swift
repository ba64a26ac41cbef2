import HTTPSemantics

/// A path as a route's match has it: typed as it is, or percent-encoded as a URL shows it. Both mean the same, since the paths of requests are
/// decoded before they are compared (``RequestPath``).
public enum ConfiguredPath {
    /// Why no request can be for this path; `nil` when one can.
    public static func problem(_ text: String) -> String? {
        let bytes = Array(text.utf8)
        guard bytes.first == UInt8(ascii: "/") else { return "is no path such as /metrics" }
        if bytes.contains(UInt8(ascii: "?")) { return "has a query: a path ends before the question mark, and one that is meant is %3F" }
        let path = RequestPath(bytes.span, 0..<bytes.count)
        if bytes.contains(where: { $0 < 0x20 || $0 == 0x7F }) || path.plain.contains(0) { return "has a control character" }
        guard path.plain == path.eager else {
            return "matches nothing: // and . and .. as segments, backslashes and encoded slashes read differently to different servers"
        }
        return nil
    }

    /// What the path of a request is compared with.
    static func decoded(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        return RequestPath(bytes.span, 0..<bytes.count).plain
    }

    /// How much of a request's path, as it is spelled, is this one, by whole segments; `nil` when it does not begin so.
    static func spelledCount(of text: String, in path: Span<UInt8>) -> Int? {
        let prefix = decoded(text)
        var index = 0
        for byte in prefix {
            guard index < path.count else { return nil }
            let next = RequestPath.byte(path, at: index, end: path.count)
            guard next.byte == byte, next.count == 1 || byte != UInt8(ascii: "/") else { return nil }
            index += next.count
        }
        return index == path.count || prefix.last == UInt8(ascii: "/") || path[index] == UInt8(ascii: "/") ? index : nil
    }
}
