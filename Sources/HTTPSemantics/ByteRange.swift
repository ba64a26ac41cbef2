/// A range of bytes as a client asks for it, before it is known how many there are.
/// - Source: RFC 9110 §14.1.2.
public enum ByteRange: Equatable, Sendable {
    /// `500-`, `500-999`; both count from 0, and the last is in it.
    case from(Int, last: Int?)
    /// `-500`: so many at the end.
    case suffix(Int)

    /// The members of a `Range` in bytes.
    /// - Returns: `nil` for other units and for what is malformed: such a field is passed over, as §14.2 allows.
    public static func parse(_ value: Span<UInt8>) -> [ByteRange]? {
        guard value.count > 6, ASCII.equals(value.extracting(0..<5), "bytes"), value[5] == UInt8(ascii: "=") else { return nil }
        var ranges: [ByteRange] = []
        var start = 6
        while start < value.count {
            var end = start
            while end < value.count, value[end] != UInt8(ascii: ",") { end += 1 }
            let member = ASCII.trimmed(value, start..<end)
            start = end + 1
            // A list may have empty members (§5.6.1.2).
            if member.isEmpty { continue }
            guard let range = ByteRange(value, member) else { return nil }
            ranges.append(range)
        }
        return ranges.isEmpty ? nil : ranges
    }

    private init?(_ value: Span<UInt8>, _ member: Range<Int>) {
        var position = member.lowerBound
        let first = Self.number(value, &position, member.upperBound)
        guard position < member.upperBound, value[position] == UInt8(ascii: "-") else { return nil }
        position += 1
        let last = Self.number(value, &position, member.upperBound)
        guard position == member.upperBound else { return nil }
        switch (first, last) {
        case (let first?, let last):
            if let last, last < first { return nil }
            self = .from(first, last: last)
        case (nil, let count?): self = .suffix(count)
        case (nil, nil): return nil
        }
    }

    /// Digits, if there are any; more than an `Int` holds are as many as it holds.
    static func number(_ value: Span<UInt8>, _ position: inout Int, _ end: Int) -> Int? {
        let start = position
        var number = 0
        while position < end, ASCII.isDigit(value[position]) {
            let (product, overflow) = number.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(Int(value[position] &- 0x30))
            number = overflow || carry ? .max : sum
            position += 1
        }
        return position == start ? nil : number
    }

    /// Which bytes of so many are meant; `nil` when there are none (§14.1.2).
    public func resolved(count: Int) -> Range<Int>? {
        switch self {
        case .from(let first, let last):
            guard first < count else { return nil }
            let end = min(last ?? count - 1, count - 1) + 1
            return first..<end
        case .suffix(let length):
            guard length > 0, count > 0 else { return nil }
            return max(0, count - length)..<count
        }
    }
}
