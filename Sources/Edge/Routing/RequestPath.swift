import HTTPSemantics

/// The path of a request as routes look at it.
///
/// Servers differ in what they make of `%61`, `//`, `/../` and `%2F`, so a rule for `/admin` that looks at bytes alone is gone round
/// with `/%61dmin` or `/x/..%2Fadmin`. A path in which nothing of this occurs, which is nearly every one, is matched where it lies. Any
/// other is matched in two readings, the plainest and the most eager; where they lead to different routes the request is refused,
/// since one of the two servers in its way would take it for something else than the other.
/// - Source: RFC 3986 §6.2.2 (what is equivalent), §5.2.4 (dot segments).
struct RequestPath {
    /// Percent-encoding undone, but for that of slashes; nothing else changed.
    private(set) var plain: [UInt8] = []
    /// All percent-encoding undone, `//` made `/`, and dot segments removed.
    private(set) var eager: [UInt8] = []

    /// Where the path of a target ends, and whether it reads the same everywhere.
    static func scan(_ bytes: Span<UInt8>, _ target: Range<Int>) -> (end: Int, isPlain: Bool) {
        var isPlain = true
        var index = target.lowerBound
        var last: UInt8 = 0
        while index < target.upperBound {
            let byte = bytes[index]
            if byte == UInt8(ascii: "?") { break }
            // A backslash is a slash to some.
            if byte == UInt8(ascii: "%") || byte == UInt8(ascii: "\\") { isPlain = false }
            if last == UInt8(ascii: "/"), byte == UInt8(ascii: "/") || byte == UInt8(ascii: ".") { isPlain = false }
            last = byte
            index += 1
        }
        return (index, isPlain)
    }

    init(_ bytes: Span<UInt8>, _ path: Range<Int>) {
        var index = path.lowerBound
        while index < path.upperBound {
            let (byte, count) = Self.byte(bytes, at: index, end: path.upperBound)
            index += count
            if count > 1, byte == UInt8(ascii: "/") || byte == UInt8(ascii: "\\") {
                plain += [UInt8(ascii: "%"), UInt8(ascii: "2"), UInt8(ascii: "f")]
            } else {
                plain.append(byte)
            }
            eager.append(byte == UInt8(ascii: "\\") ? UInt8(ascii: "/") : byte)
        }
        eager = Self.withoutDotSegments(eager)
    }

    /// The byte that stands there, decoded, and how many bytes spell it. A percent sign without two digits behind it is one.
    static func byte(_ bytes: Span<UInt8>, at index: Int, end: Int) -> (byte: UInt8, count: Int) {
        guard bytes[index] == UInt8(ascii: "%"), end - index > 2, let high = hexValue(bytes[index + 1]), let low = hexValue(bytes[index + 2])
        else { return (bytes[index], 1) }
        return (high << 4 | low, 3)
    }

    private static func withoutDotSegments(_ path: [UInt8]) -> [UInt8] {
        guard path.first == UInt8(ascii: "/") else { return path }
        var segments: [ArraySlice<UInt8>] = []
        let all = path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: true)
        var isFolder = path.last == UInt8(ascii: "/")
        for (index, segment) in all.enumerated() {
            let isLast = index == all.count - 1
            if segment.elementsEqual(".".utf8) {
                if isLast { isFolder = true }
            } else if segment.elementsEqual("..".utf8) {
                _ = segments.popLast()
                if isLast { isFolder = true }
            } else {
                segments.append(segment)
            }
        }
        var result: [UInt8] = []
        for segment in segments {
            result.append(UInt8(ascii: "/"))
            result += segment
        }
        if isFolder || result.isEmpty { result.append(UInt8(ascii: "/")) }
        return result
    }

    private static func hexValue(_ byte: UInt8) -> UInt8? {
        if byte &- 0x30 < 10 { return byte &- 0x30 }
        let letter = (byte | 0x20) &- 0x61
        return letter < 6 ? letter + 10 : nil
    }
}
