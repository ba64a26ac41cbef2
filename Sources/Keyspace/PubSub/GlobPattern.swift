/// Redis' patterns: `*`, `?`, `[abc]`, `[^a-z]`, `\x`; matched byte for byte.
///
/// - Source: `stringmatchlen` in `util.c` of Redis 7.
enum GlobPattern {
    /// Matches in time proportional to both lengths multiplied, at most: of several `*` only the last one is ever tried again, because a
    /// shorter match of an earlier one cannot help what the last one cannot.
    static func matches(_ pattern: [UInt8], _ text: [UInt8]) -> Bool {
        pattern.withUnsafeBufferPointer { pattern in
            text.withUnsafeBufferPointer { text in matches(pattern, text) }
        }
    }

    private static func matches(_ pattern: UnsafeBufferPointer<UInt8>, _ text: UnsafeBufferPointer<UInt8>) -> Bool {
        var place = 0
        var index = 0
        /// Behind the last `*`, and where in the text it was tried last.
        var star: (place: Int, index: Int)?
        while true {
            if place < pattern.count, pattern[place] == UInt8(ascii: "*") {
                place += 1
                star = (place, index)
                continue
            }
            if index == text.count {
                // Only stars may be left.
                if place == pattern.count { return true }
                return false
            }
            if place < pattern.count, let next = matchOne(pattern, place, text[index]) {
                place = next
                index += 1
                continue
            }
            guard let last = star, last.index < text.count else { return false }
            star = (last.place, last.index + 1)
            place = last.place
            index = last.index + 1
        }
    }

    /// - Returns: behind the element at `place`, if it matches the byte.
    private static func matchOne(_ pattern: UnsafeBufferPointer<UInt8>, _ place: Int, _ byte: UInt8) -> Int? {
        switch pattern[place] {
        case UInt8(ascii: "?"): return place + 1
        case UInt8(ascii: "["): return matchClass(pattern, place, byte)
        case UInt8(ascii: "\\") where place + 1 < pattern.count: return pattern[place + 1] == byte ? place + 2 : nil
        case let literal: return literal == byte ? place + 1 : nil
        }
    }

    private static func matchClass(_ pattern: UnsafeBufferPointer<UInt8>, _ start: Int, _ byte: UInt8) -> Int? {
        var place = start + 1
        var isNegated = false
        if place < pattern.count, pattern[place] == UInt8(ascii: "^") {
            isNegated = true
            place += 1
        }
        var isMatch = false
        // A class that does not end ends with the pattern, as in Redis.
        while place < pattern.count, pattern[place] != UInt8(ascii: "]") {
            if pattern[place] == UInt8(ascii: "\\"), place + 1 < pattern.count {
                place += 1
                if pattern[place] == byte { isMatch = true }
                place += 1
            } else if place + 2 < pattern.count, pattern[place + 1] == UInt8(ascii: "-") {
                let low = min(pattern[place], pattern[place + 2])
                let high = max(pattern[place], pattern[place + 2])
                if byte >= low, byte <= high { isMatch = true }
                place += 3
            } else {
                if pattern[place] == byte { isMatch = true }
                place += 1
            }
        }
        if place < pattern.count { place += 1 }
        return isMatch != isNegated ? place : nil
    }
}
