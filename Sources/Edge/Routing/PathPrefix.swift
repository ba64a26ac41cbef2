import HTTPSemantics

/// What a route takes off the beginning of a path for who answers: see ``RouteConfiguration/strippedPrefix``.
struct PathPrefix: Sendable, Equatable {
    /// Whole segments, without a slash at the end; empty when nothing is taken off.
    let bytes: [UInt8]

    init(_ text: String?) {
        var bytes = Array((text ?? "").utf8)
        while bytes.last == UInt8(ascii: "/") { bytes.removeLast() }
        self.bytes = bytes
    }

    var isEmpty: Bool { bytes.isEmpty }

    /// The bytes that are taken off; 0 when the path does not begin so. It is compared as it is spelled: no percent sign is understood, see
    /// ``isHidden(in:)``. One slash is left of several: `//host` would be another host to whoever makes a link of it (RFC 3986 §4.2).
    /// - Parameter target: path and query.
    func count(in target: Span<UInt8>) -> Int {
        guard !bytes.isEmpty, target.count >= bytes.count else { return 0 }
        for index in bytes.indices where target[index] != bytes[index] { return 0 }
        var count = bytes.count
        guard !isEnd(count, of: target) else { return count }
        guard target[count] == Self.slash else { return 0 }
        while count + 1 < target.count, target[count + 1] == Self.slash { count += 1 }
        return count
    }

    /// Whether the path is the prefix and nothing else.
    func isAll(of target: Span<UInt8>) -> Bool {
        let count = count(in: target)
        return count > 0 && isEnd(count, of: target)
    }

    /// Whether the path begins so to those who decode it first, and not as it is spelled.
    func isHidden(in target: Span<UInt8>) -> Bool {
        guard !bytes.isEmpty, count(in: target) == 0 else { return false }
        let (end, isPlain) = RequestPath.scan(target, 0..<target.count)
        guard !isPlain else { return false }
        let path = RequestPath(target, 0..<end)
        return count(in: path.plain.span) > 0 || count(in: path.eager.span) > 0
    }

    private static let slash = UInt8(ascii: "/")

    private func isEnd(_ index: Int, of target: Span<UInt8>) -> Bool { index == target.count || target[index] == UInt8(ascii: "?") }
}
