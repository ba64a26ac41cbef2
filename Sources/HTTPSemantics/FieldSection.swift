/// A header or trailer section: the bytes as they came, and where each field line lies in them.
///
/// One array of bytes and one of offsets, both reused from request to request, so that a head in steady state costs no
/// allocation. Order, spelling and repetition of the lines are kept: a proxy must not reorder what it does not know.
/// - Source: RFC 9110 §5.
public struct FieldSection: Sendable {
    /// One field line. Offsets count from the start of ``FieldSection/bytes``.
    public struct Line: Sendable, Equatable {
        public var name: FieldName
        public var nameStart: UInt32
        public var valueStart: UInt32
        public var nameCount: UInt16
        public var valueCount: UInt16

        public init(name: FieldName, nameStart: Int, nameCount: Int, valueStart: Int, valueCount: Int) {
            self.name = name
            self.nameStart = UInt32(truncatingIfNeeded: nameStart)
            self.nameCount = UInt16(truncatingIfNeeded: nameCount)
            self.valueStart = UInt32(truncatingIfNeeded: valueStart)
            self.valueCount = UInt16(truncatingIfNeeded: valueCount)
        }
    }

    /// The longest name and the longest value that a line can describe. Parsers enforce a lower limit.
    public static let partBytesMax = Int(UInt16.max)

    /// What the lines point into. For a parsed head this is the whole head, the start line included.
    public private(set) var bytes: [UInt8]
    public private(set) var lines: [Line]
    /// Bit `n` is set when a line with the name of raw value `n` is there.
    private var present: UInt64

    public init() {
        bytes = []
        lines = []
        present = 0
    }

    public var isEmpty: Bool { lines.isEmpty }

    /// Empties the section and keeps its memory for the next head.
    public mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        lines.removeAll(keepingCapacity: true)
        present = 0
    }

    /// Takes a copy of a head's bytes, to which lines are added by ``append(_:)``.
    public mutating func replaceBytes(_ head: Span<UInt8>) {
        removeAll()
        head.withUnsafeBufferPointer { bytes.append(contentsOf: $0) }
    }

    /// Takes a copy of a head's bytes, and the lines that a parser found in them. The parser gets the memory of the lines
    /// that were here, emptied, for its next head.
    /// - Precondition: the lines' ranges lie within `head`.
    public mutating func replace(bytes head: Span<UInt8>, lines found: inout [Line]) {
        replaceBytes(head)
        swap(&lines, &found)
        for line in lines {
            assert(Int(line.nameStart) + Int(line.nameCount) <= bytes.count)
            assert(Int(line.valueStart) + Int(line.valueCount) <= bytes.count)
            present |= 1 &<< UInt64(line.name.rawValue)
        }
    }

    /// Adds bytes that belong to no line, such as a request target that was not spelled out.
    /// - Returns: where they lie.
    @discardableResult
    public mutating func appendBytes(_ text: StaticString) -> Range<Int> {
        let start = bytes.count
        text.withUTF8Buffer { bytes.append(contentsOf: $0) }
        return start..<bytes.count
    }

    @discardableResult
    public mutating func appendBytes(_ text: Span<UInt8>) -> Range<Int> {
        let start = bytes.count
        text.withUnsafeBufferPointer { bytes.append(contentsOf: $0) }
        return start..<bytes.count
    }

    /// Adds a copy of some of ``bytes`` behind them.
    @discardableResult
    public mutating func appendBytes(copying range: Range<Int>) -> Range<Int> {
        let start = bytes.count
        bytes.append(contentsOf: Array(bytes[range]))
        return start..<bytes.count
    }

    /// Adds a line that lies in ``bytes`` already.
    /// - Precondition: its ranges lie within ``bytes``.
    public mutating func append(_ line: Line) {
        assert(Int(line.nameStart) + Int(line.nameCount) <= bytes.count)
        assert(Int(line.valueStart) + Int(line.valueCount) <= bytes.count)
        lines.append(line)
        present |= 1 &<< UInt64(line.name.rawValue)
    }

    /// Adds a line, copying name and value.
    /// - Precondition: each is at most ``partBytesMax`` long.
    public mutating func append(name: Span<UInt8>, value: Span<UInt8>) {
        precondition(name.count <= Self.partBytesMax && value.count <= Self.partBytesMax, "a field part over 65,535 bytes")
        let nameStart = bytes.count
        name.withUnsafeBufferPointer { bytes.append(contentsOf: $0) }
        let valueStart = bytes.count
        value.withUnsafeBufferPointer { bytes.append(contentsOf: $0) }
        append(
            Line(
                name: FieldName(name), nameStart: nameStart, nameCount: name.count, valueStart: valueStart,
                valueCount: value.count))
    }

    /// Adds a line as HTTP/1 writes it, so that neighbours leave in one piece.
    /// - Precondition: name and value are at most ``partBytesMax`` long each.
    public mutating func appendLine(_ known: FieldName, name: Span<UInt8>, value: Span<UInt8>) {
        precondition(name.count <= Self.partBytesMax && value.count <= Self.partBytesMax, "a field part over 65,535 bytes")
        let nameStart = bytes.count
        name.withUnsafeBufferPointer { bytes.append(contentsOf: $0) }
        bytes.append(UInt8(ascii: ":"))
        bytes.append(UInt8(ascii: " "))
        let valueStart = bytes.count
        value.withUnsafeBufferPointer { bytes.append(contentsOf: $0) }
        bytes.append(UInt8(ascii: "\r"))
        bytes.append(UInt8(ascii: "\n"))
        append(Line(name: known, nameStart: nameStart, nameCount: name.count, valueStart: valueStart, valueCount: value.count))
    }

    /// Adds a line whose value lies in ``bytes`` already.
    public mutating func appendLine(_ known: FieldName, name: Span<UInt8>, valueAt value: Range<Int>) {
        let nameStart = appendBytes(name).lowerBound
        append(Line(name: known, nameStart: nameStart, nameCount: name.count, valueStart: value.lowerBound, valueCount: value.count))
    }

    /// Makes one line of several `Cookie` lines, in the place of the first.
    /// - Source: RFC 9113 §8.2.3.
    public mutating func joinCookies() {
        guard let first = firstIndex(of: .cookie) else { return }
        var joined: [UInt8] = []
        for line in lines where line.name == .cookie {
            if !joined.isEmpty { joined += [UInt8(ascii: ";"), UInt8(ascii: " ")] }
            joined += bytes[Int(line.valueStart)..<Int(line.valueStart) + Int(line.valueCount)]
        }
        guard joined.count <= Self.partBytesMax else { return }
        let value = appendBytes(joined.span)
        let line = lines[first]
        lines.removeAll { $0.name == .cookie }
        lines.insert(
            Line(
                name: .cookie, nameStart: Int(line.nameStart), nameCount: Int(line.nameCount), valueStart: value.lowerBound,
                valueCount: value.count), at: first)
    }

    /// Adds a line from text, for tests and for the few fields that we make ourselves.
    public mutating func append(_ name: String, _ value: String) {
        append(name: Array(name.utf8).span, value: Array(value.utf8).span)
    }

    /// Takes all lines of that name off; ``bytes`` stay as they are.
    public mutating func removeLines(of name: FieldName) {
        lines.removeAll { $0.name == name }
        present &= ~(1 &<< UInt64(name.rawValue))
    }

    /// Whether a line of that name is there. One bit test; ``FieldName/other`` has no answer and gives `false`.
    public func contains(_ name: FieldName) -> Bool {
        name != .other && present & (1 &<< UInt64(name.rawValue)) != 0
    }

    /// The index of the first line of that name.
    public func firstIndex(of name: FieldName) -> Int? {
        guard contains(name) else { return nil }
        return lines.firstIndex { $0.name == name }
    }

    /// How many lines have that name.
    public func count(of name: FieldName) -> Int {
        guard contains(name) else { return 0 }
        return lines.reduce(into: 0) { if $1.name == name { $0 += 1 } }
    }

    /// The value of a line, without the white space around it.
    @_lifetime(borrow self)
    public func value(at index: Int) -> Span<UInt8> {
        let line = lines[index]
        return bytes.span.extracting(Int(line.valueStart)..<Int(line.valueStart) + Int(line.valueCount))
    }

    /// The name of a line as it was spelled.
    @_lifetime(borrow self)
    public func name(at index: Int) -> Span<UInt8> {
        let line = lines[index]
        return bytes.span.extracting(Int(line.nameStart)..<Int(line.nameStart) + Int(line.nameCount))
    }

    /// The first value under that name as text, for logs and tests; off the hot path only.
    public func string(_ name: FieldName) -> String? {
        guard let index = firstIndex(of: name) else { return nil }
        return String(copying: value(at: index))
    }
}

extension String {
    /// The bytes as text; what is not UTF-8 becomes U+FFFD.
    public init(copying bytes: Span<UInt8>) {
        self = bytes.withUnsafeBufferPointer { String(decoding: $0, as: UTF8.self) }
    }
}
