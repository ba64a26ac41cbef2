/// Other resources of the same origin that a response names: what a change makes stale besides its own target.
public enum RelatedTarget {
    /// Resolves the value of `Location` or `Content-Location`.
    ///
    /// The scheme does not count: behind a TLS proxy the edge cannot know which one the client used.
    /// - Parameters:
    ///   - authority: of the request.
    ///   - target: path and query of the request.
    /// - Returns: path and query; `nil` for another origin, and for what is no reference to HTTP.
    /// - Source: RFC 9111 §4.4; RFC 3986 §5.2.
    public static func sameOrigin(_ reference: Span<UInt8>, authority: Span<UInt8>, target: Span<UInt8>) -> [UInt8]? {
        var text: [UInt8] = []
        for index in reference.indices {
            if reference[index] == UInt8(ascii: "#") { break }
            // What no target can have in it is none.
            guard reference[index] > 0x20, reference[index] != 0x7F else { return nil }
            text.append(reference[index])
        }
        var rest = text[...]
        if let colon = rest.firstIndex(where: { ":/?".utf8.contains($0) }), rest[colon] == UInt8(ascii: ":") {
            let scheme = Array(rest[..<colon])
            guard ASCII.equals(scheme.span, "http") || ASCII.equals(scheme.span, "https") else { return nil }
            rest = rest[(colon + 1)...]
            guard rest.starts(with: "//".utf8) else { return nil }
        }
        if rest.starts(with: "//".utf8) {
            rest = rest.dropFirst(2)
            let end = rest.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? rest.endIndex
            guard normalised(rest[..<end]) == normalised(bytes(authority)[...]) else { return nil }
            rest = rest[end...]
            return withoutDots(rest.first == UInt8(ascii: "/") ? Array(rest) : [UInt8(ascii: "/")] + rest)
        }
        let base = bytes(target)
        let path = base.prefix { $0 != UInt8(ascii: "?") }
        switch rest.first {
        case nil: return base
        case UInt8(ascii: "/"): return withoutDots(Array(rest))
        case UInt8(ascii: "?"): return Array(path + rest)
        default:
            guard let slash = path.lastIndex(of: UInt8(ascii: "/")) else { return nil }
            return withoutDots(Array(path[...slash] + rest))
        }
    }

    private static func bytes(_ span: Span<UInt8>) -> [UInt8] { span.withUnsafeBufferPointer { Array($0) } }

    /// In lower case, without user information and a port that is the default.
    private static func normalised(_ authority: ArraySlice<UInt8>) -> [UInt8] {
        var host = authority
        if let at = host.lastIndex(of: UInt8(ascii: "@")) { host = host[(at + 1)...] }
        for port in [":80", ":443", ":"] where host.count > port.utf8.count && host.suffix(port.utf8.count).elementsEqual(port.utf8) {
            host = host.dropLast(port.utf8.count)
            break
        }
        return host.map(ASCII.lowercased)
    }

    /// - Source: RFC 3986 §5.2.4.
    private static func withoutDots(_ target: [UInt8]) -> [UInt8] {
        let path = target.prefix { $0 != UInt8(ascii: "?") }
        var kept: [ArraySlice<UInt8>] = []
        let segments = path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).dropFirst()
        for (index, segment) in segments.enumerated() {
            let isLast = index == segments.count - 1
            if segment.elementsEqual(".".utf8) {
                if isLast { kept.append([]) }
            } else if segment.elementsEqual("..".utf8) {
                _ = kept.popLast()
                if isLast { kept.append([]) }
            } else {
                kept.append(segment)
            }
        }
        var result: [UInt8] = []
        for segment in kept {
            result.append(UInt8(ascii: "/"))
            result.append(contentsOf: segment)
        }
        if result.isEmpty { result = [UInt8(ascii: "/")] }
        return result + target.dropFirst(path.count)
    }
}
