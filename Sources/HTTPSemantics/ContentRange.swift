/// Which bytes of a whole representation a part is.
/// - Source: RFC 9110 §14.4.
public struct ContentRange: Equatable, Sendable {
    /// Not empty, and within ``count``.
    public let range: Range<Int>
    /// Bytes of the whole.
    public let count: Int

    /// Reads `bytes 0-499/1234`.
    /// - Returns: `nil` for other units, for a whole whose length is not known (`*`), for `bytes */1234`, and for what is malformed or
    ///   contradicts itself: such a part is passed on and not stored.
    public init?(_ value: Span<UInt8>) {
        guard value.count > 6, ASCII.equals(value.extracting(0..<5), "bytes"), value[5] == UInt8(ascii: " ") else { return nil }
        var position = 6
        guard let first = ByteRange.number(value, &position, value.count), position < value.count, value[position] == UInt8(ascii: "-") else {
            return nil
        }
        position += 1
        guard let last = ByteRange.number(value, &position, value.count), position < value.count, value[position] == UInt8(ascii: "/") else {
            return nil
        }
        position += 1
        guard let count = ByteRange.number(value, &position, value.count), position == value.count, first <= last, last < count, count < .max
        else { return nil }
        range = first..<last + 1
        self.count = count
    }
}
