/// Patterns as `KEYS`, `SCAN` and `PSUBSCRIBE` take them: `*`, `?`, `[a-z]`, `[^a]`, `\`.
///
/// A star that does not fit where it first could is moved on, and only the last star ever is: time is at most pattern times text,
/// where a recursive matcher's grows without bound.
/// - Source: Redis `util.c`, `stringmatchlen`.
struct GlobPattern {
    private let pattern: [UInt8]
    /// Whether everything matches.
    let isAny: Bool

    init(_ pattern: UnsafeRawBufferPointer) {
        self.pattern = [UInt8](pattern)
        isAny = self.pattern == [UInt8(ascii: "*")]
    }

    func matches(_ text: UnsafeRawBufferPointer) -> Bool {
        if isAny { return true }
        var (position, index) = (0, 0)
        var star: (pattern: Int, text: Int)?
        while index < text.count {
            if position < pattern.count, pattern[position] == UInt8(ascii: "*") {
                star = (position + 1, index)
                position += 1
                continue
            }
            if position < pattern.count, let next = single(position, text[index]) {
                position = next
                index += 1
                continue
            }
            guard let last = star else { return false }
            star = (last.pattern, last.text + 1)
            position = last.pattern
            index = last.text + 1
        }
        while position < pattern.count, pattern[position] == UInt8(ascii: "*") { position += 1 }
        return position == pattern.count
    }

    /// Where the pattern goes on when its element at a position fits a byte.
    private func single(_ start: Int, _ byte: UInt8) -> Int? {
        switch pattern[start] {
        case UInt8(ascii: "?"): return start + 1
        case UInt8(ascii: "["):
            var position = start + 1
            let isNegated = position < pattern.count && pattern[position] == UInt8(ascii: "^")
            if isNegated { position += 1 }
            var isIn = false
            while true {
                if position + 1 < pattern.count, pattern[position] == UInt8(ascii: "\\") {
                    position += 1
                    if pattern[position] == byte { isIn = true }
                } else if position < pattern.count, pattern[position] == UInt8(ascii: "]") {
                    break
                } else if position >= pattern.count {
                    // Not closed: the end closes it.
                    position -= 1
                    break
                } else if position + 2 < pattern.count, pattern[position + 1] == UInt8(ascii: "-") {
                    let (low, high) = (min(pattern[position], pattern[position + 2]), max(pattern[position], pattern[position + 2]))
                    if (low...high).contains(byte) { isIn = true }
                    position += 2
                } else if pattern[position] == byte {
                    isIn = true
                }
                position += 1
            }
            return isIn != isNegated ? position + 1 : nil
        case UInt8(ascii: "\\") where start + 1 < pattern.count:
            return pattern[start + 1] == byte ? start + 2 : nil
        default:
            return pattern[start] == byte ? start + 1 : nil
        }
    }
}
