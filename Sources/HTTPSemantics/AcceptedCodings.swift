/// What a client's `Accept-Encoding` accepts: a weight from 0 to 1000 per coding that we know.
///
/// Fixed size and without allocation, since every request is asked. All spellings that mean the same give the same value.
/// - Source: RFC 9110 §12.5.3, §12.4.2.
public struct AcceptedCodings: Equatable, Sendable {
    private var weights: InlineArray<4, UInt16>

    /// No field: nothing but the plain representation was asked for. (RFC 9110 would allow any coding; no client that can
    /// decode one leaves the field out, and those that cannot would break.)
    public static let identityOnly = AcceptedCodings(weights: [1000, 0, 0, 0])
    /// `*`.
    public static let any = AcceptedCodings(weights: [1000, 1000, 1000, 1000])

    private init(weights: InlineArray<4, UInt16>) {
        self.weights = weights
    }

    public static func == (left: AcceptedCodings, right: AcceptedCodings) -> Bool {
        for index in left.weights.indices where left.weights[index] != right.weights[index] { return false }
        return true
    }

    /// Reads all `Accept-Encoding` lines; ``identityOnly`` when there is none.
    ///
    /// Identity is acceptable unless `identity;q=0`, or `*;q=0` without naming it. A coding named twice counts with its
    /// larger weight. One with a malformed weight is not sent, whatever `*` says: it could be a page that the client cannot read.
    public init(_ fields: borrowing FieldSection) {
        weights = [0, 0, 0, 0]
        guard fields.contains(.acceptEncoding) else {
            self = .identityOnly
            return
        }
        var named: UInt8 = 0
        var others: UInt16?
        for index in fields.lines.indices where fields.lines[index].name == .acceptEncoding {
            let value = fields.value(at: index)
            var start = 0
            while start < value.count {
                var end = start
                while end < value.count, value[end] != UInt8(ascii: ",") { end += 1 }
                read(value, ASCII.trimmed(value, start..<end), &named, &others)
                start = end + 1
            }
        }
        for coding in ContentCoding.allCases where named & (1 << coding.rawValue) == 0 {
            let isIdentity = coding == .identity
            weights[Int(coding.rawValue)] = isIdentity && others != 0 ? max(others ?? 1, 1) : others ?? 0
        }
    }

    private mutating func read(_ value: Span<UInt8>, _ member: Range<Int>, _ named: inout UInt8, _ others: inout UInt16?) {
        var end = member.lowerBound
        while end < member.upperBound, value[end] != UInt8(ascii: ";") { end += 1 }
        let name = ASCII.trimmed(value, member.lowerBound..<end)
        guard !name.isEmpty else { return }
        let weight = Weight.parse(value, end..<member.upperBound)
        if name.count == 1, value[name.lowerBound] == UInt8(ascii: "*") {
            if let weight { others = max(others ?? 0, weight) }
        } else if let coding = ContentCoding(token: value.extracting(name)), weight != nil || coding != .identity {
            let position = Int(coding.rawValue)
            weights[position] = max(weights[position], weight ?? 0)
            named |= 1 << coding.rawValue
        }
    }

    /// The same without some codings; identity stays as it is.
    public func without(_ codings: CodingSet) -> AcceptedCodings {
        var left = self
        for coding in ContentCoding.allCases where coding != .identity && codings.contains(CodingSet(coding)) { left.weights[Int(coding.rawValue)] = 0 }
        return left
    }

    public func accepts(_ coding: ContentCoding) -> Bool { weights[Int(coding.rawValue)] > 0 }

    /// The coding to send: the highest weight wins, and among equals the first of `serverOrder`, identity last.
    /// - Returns: `nil` when none of those available is acceptable.
    public func best(of available: CodingSet, serverOrder: [ContentCoding]) -> ContentCoding? {
        var best: ContentCoding?
        var bestWeight: UInt16 = 0
        for coding in serverOrder where coding != .identity && available.contains(CodingSet(coding)) {
            let weight = weights[Int(coding.rawValue)]
            if weight > bestWeight { (best, bestWeight) = (coding, weight) }
        }
        let identity = weights[0]
        // A client that lists a coding at all wants it: identity's own weight counts only when it was given one.
        if available.contains(.identity), identity > bestWeight { best = .identity }
        return best
    }

    /// The order in which the codings are liked, as a number that is the same for all spellings: a part of secondary cache keys.
    ///
    /// The weights themselves do not count, for ``best(of:serverOrder:)`` only compares them: else a client could make a
    /// thousand variants of a response. A coding's rank is the number of accepted ones that are liked no better, 0 for
    /// one that is not accepted; identity comes after its equals, as it does in ``best(of:serverOrder:)``.
    public var signature: UInt64 {
        var value: UInt64 = 0
        for index in weights.indices {
            var rank: UInt64 = 0
            for other in weights.indices where weights[other] > 0 {
                let isIdentityBefore = index == 0 && other != 0
                if isIdentityBefore ? weights[other] < weights[index] : weights[other] <= weights[index] { rank += 1 }
            }
            value = value << 16 | rank
        }
        return value
    }
}

/// `;q=0.5`, in thousandths.
enum Weight {
    /// - Returns: 1000 without a weight, `nil` when it is malformed. Other parameters are passed over.
    static func parse(_ bytes: Span<UInt8>, _ range: Range<Int>) -> UInt16? {
        var weight: UInt16 = 1000
        var start = range.lowerBound
        while start < range.upperBound {
            guard bytes[start] == UInt8(ascii: ";") else { return nil }
            var end = start + 1
            while end < range.upperBound, bytes[end] != UInt8(ascii: ";") { end += 1 }
            let parameter = ASCII.trimmed(bytes, start + 1..<end)
            if parameter.count >= 2, ASCII.lowercased(bytes[parameter.lowerBound]) == UInt8(ascii: "q"),
                bytes[parameter.lowerBound + 1] == UInt8(ascii: "=")
            {
                guard let value = thousandths(bytes, parameter.lowerBound + 2..<parameter.upperBound) else { return nil }
                weight = value
            }
            start = end
        }
        return weight
    }

    /// `qvalue`: `0`, `1`, and up to three decimals.
    private static func thousandths(_ bytes: Span<UInt8>, _ range: Range<Int>) -> UInt16? {
        guard let first = range.first, bytes[first] == UInt8(ascii: "0") || bytes[first] == UInt8(ascii: "1") else { return nil }
        var value = UInt16(bytes[first] &- 0x30) * 1000
        guard range.count > 1 else { return value }
        guard bytes[first + 1] == UInt8(ascii: "."), range.count <= 5 else { return nil }
        var place: UInt16 = 100
        for index in first + 2..<range.upperBound {
            guard ASCII.isDigit(bytes[index]) else { return nil }
            value += UInt16(bytes[index] &- 0x30) * place
            place /= 10
        }
        return value <= 1000 ? value : nil
    }
}
