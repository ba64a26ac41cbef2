/// The pairs of a request's cookies, one after the other, as places in the section's bytes; white space around a pair is no part of it.
/// - Source: RFC 6265 §4.2.1: `name=value` pairs with `; ` between them; §5.4: names are case-sensitive.
public struct CookiePairs {
    public struct Pair: Equatable, Sendable {
        public let name: Range<Int>
        public let value: Range<Int>
    }

    private var line = -1
    private var next = 0
    private var end = 0

    public init() {}

    /// - Returns: `nil` behind the last one. What has no `=` is a name without a value.
    public mutating func next(in fields: borrowing FieldSection) -> Pair? {
        while next >= end {
            line += 1
            guard line < fields.lines.count else { return nil }
            guard fields.lines[line].name == .cookie else { continue }
            next = Int(fields.lines[line].valueStart)
            end = next + Int(fields.lines[line].valueCount)
        }
        var first = next
        var last = next
        while last < end, fields.bytes[last] != UInt8(ascii: ";") { last += 1 }
        next = last + 1
        while first < last, Self.isSpace(fields.bytes[first]) { first += 1 }
        while last > first, Self.isSpace(fields.bytes[last - 1]) { last -= 1 }
        var equals = first
        while equals < last, fields.bytes[equals] != UInt8(ascii: "=") { equals += 1 }
        return Pair(name: first..<equals, value: min(equals + 1, last)..<last)
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}

extension FieldSection {
    /// Where the value of the first cookie of that name is; `nil` without one.
    public func cookieValue(_ name: some Collection<UInt8>) -> Range<Int>? {
        guard contains(.cookie) else { return nil }
        var pairs = CookiePairs()
        while let pair = pairs.next(in: self) {
            if pair.name.count == name.count, bytes[pair.name].elementsEqual(name) { return pair.value }
        }
        return nil
    }

    /// Where the value of the first line of that name is, in any case; `nil` without one.
    public func value(named name: String) -> Range<Int>? {
        for line in lines where Int(line.nameCount) == name.utf8.count {
            let spelled = bytes[Int(line.nameStart)..<Int(line.nameStart) + Int(line.nameCount)]
            guard zip(spelled, name.utf8).allSatisfy({ ASCII.lowercased($0) == ASCII.lowercased($1) }) else { continue }
            return Int(line.valueStart)..<Int(line.valueStart) + Int(line.valueCount)
        }
        return nil
    }
}
