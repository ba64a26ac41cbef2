/// What a request says in `Accept-Language`, asked of a list of languages that there are.
public enum AcceptedLanguages {
    /// Ranges that are looked at; no browser sends more than a dozen.
    static let rangesMax = 32

    /// Which of some languages suits best: the one with the highest weight, and among equals the first of the list.
    ///
    /// A range means the languages that begin as it does (`de` means `de-AT`), and where there is none the one that it begins with
    /// (`de-AT` is content with `de`), so that a browser's `de-AT` finds the only German there is. Of several ranges the most specific counts.
    /// - Parameter languages: in lower case, `de`, `pt-br`.
    /// - Returns: the place in the list; the first when nothing is said or nothing suits, as RFC 9110 §12.5.4 leaves to us. 0 for an empty list.
    /// - Source: RFC 9110 §12.5.4; RFC 4647 §3.3.1, §3.4.
    public static func best(of languages: [[UInt8]], _ fields: borrowing FieldSection) -> Int {
        var matches = [Match](repeating: Match(), count: languages.count)
        var count = 0
        for index in fields.lines.indices where fields.lines[index].name == .acceptLanguage {
            let value = fields.value(at: index)
            var start = 0
            while start < value.count, count < rangesMax {
                var end = start
                while end < value.count, value[end] != UInt8(ascii: ",") { end += 1 }
                let member = ASCII.trimmed(value, start..<end)
                start = end + 1
                guard !member.isEmpty else { continue }
                count += 1
                var stop = member.lowerBound
                while stop < member.upperBound, value[stop] != UInt8(ascii: ";") { stop += 1 }
                let range = ASCII.trimmed(value, member.lowerBound..<stop)
                // A weight that is malformed makes the range say nothing.
                guard !range.isEmpty, let weight = Weight.parse(value, stop..<member.upperBound) else { continue }
                for (place, language) in languages.enumerated() {
                    if let rank = rank(value, range, language) { matches[place].met(rank, weight) }
                }
            }
        }
        var best = 0
        for place in matches.indices where matches[place].weight > matches[best].weight { best = place }
        return best
    }

    private struct Match {
        var rank = -1
        var weight: UInt16 = 0

        mutating func met(_ new: Int, _ newWeight: UInt16) {
            if new > rank {
                (rank, weight) = (new, newWeight)
            } else if new == rank {
                weight = max(weight, newWeight)
            }
        }
    }

    /// How closely a range means a language: the longer the closer; `*` is farthest, and before it comes one that is only content with it.
    private static func rank(_ value: Span<UInt8>, _ range: Range<Int>, _ language: [UInt8]) -> Int? {
        if range.count == 1, value[range.lowerBound] == UInt8(ascii: "*") { return 0 }
        let common = min(range.count, language.count)
        for offset in 0..<common where ASCII.lowercased(value[range.lowerBound + offset]) != language[offset] { return nil }
        if range.count <= language.count {
            return range.count == language.count || language[common] == UInt8(ascii: "-") ? 1 + range.count : nil
        }
        return value[range.lowerBound + common] == UInt8(ascii: "-") ? 1 : nil
    }
}
