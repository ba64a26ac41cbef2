import HTTPSemantics

/// What a route takes off the beginning of a path for who answers: see ``RouteConfiguration/strippedPrefix``.
struct PathPrefix: Sendable, Equatable {
    /// Whole segments, without a slash at the end; empty when nothing is taken off.
    private let bytes: [UInt8]

    init(_ text: String?) {
        var bytes = Array((text ?? "").utf8)
        while bytes.last == UInt8(ascii: "/") { bytes.removeLast() }
        self.bytes = bytes
    }

    /// The bytes that are taken off; 0 when the path does not begin so. It is compared as it is spelled: no percent sign is understood.
    /// - Parameter target: path and query.
    func count(in target: Span<UInt8>) -> Int {
        guard !bytes.isEmpty, target.count >= bytes.count else { return 0 }
        for index in bytes.indices where target[index] != bytes[index] { return 0 }
        return isEnd(bytes.count, of: target) || target[bytes.count] == UInt8(ascii: "/") ? bytes.count : 0
    }

    /// Whether the path is the prefix and nothing else.
    func isAll(of target: Span<UInt8>) -> Bool {
        let count = count(in: target)
        return count > 0 && isEnd(count, of: target)
    }

    private func isEnd(_ index: Int, of target: Span<UInt8>) -> Bool { index == target.count || target[index] == UInt8(ascii: "?") }
}
