internal import HTTPSemantics

/// Finds the lines of a header or trailer section, and can stop and go on at any byte.
///
/// Lines are kept as offsets from the start of the bytes that ``scan(_:bytesMax:countMax:)`` is given; those bytes are
/// the same at each call, with more behind them. An unfinished line is not begun anew: who sends one byte at a time
/// costs one step per byte.
/// - Source: RFC 9112 §5.
struct FieldLineScanner {
    var lines: [FieldSection.Line] = []
    /// Where the unfinished line starts.
    private var lineStart = 0
    /// Where its colon is; zero until that is found (a colon at zero is a missing name).
    private var colon = 0
    /// The first byte that has not been looked at.
    private var position = 0

    /// Starts a section at an offset. The memory for lines is kept.
    mutating func begin(at offset: Int) {
        lines.removeAll(keepingCapacity: true)
        lineStart = offset
        colon = 0
        position = offset
    }

    /// Reads on until the section's empty line.
    /// - Returns: the offset behind the empty line, `nil` when it has not come yet.
    /// - Throws: on the first byte that cannot be right; `tooLarge` when the section cannot end within `bytesMax`.
    mutating func scan(
        _ bytes: Span<UInt8>, bytesMax: Int, countMax: Int, tooLarge: HTTP1Error.Code
    ) throws(HTTP1Error) -> Int? {
        let limit = min(bytes.count, bytesMax)
        var lineStart = self.lineStart
        var colon = self.colon
        var position = self.position
        precondition(position <= bytes.count, "an HTTP/1 parser was called with fewer bytes than before")

        while position < limit {
            if colon == 0 {
                position = OctetScan.endOfToken(in: bytes, from: position, to: limit)
                if position == limit { break }
                let byte = bytes[unchecked: position]
                if byte != UInt8(ascii: ":") || position == lineStart {
                    guard byte == Octets.cr, position == lineStart else {
                        throw HTTP1Error(Self.fault(of: byte, atLineStart: position == lineStart))
                    }
                    if position &+ 1 == limit { break }
                    if bytes[unchecked: position &+ 1] != Octets.lf { throw HTTP1Error(.bareCR) }
                    return position &+ 2
                }
                colon = position
                position &+= 1
            }
            position = OctetScan.endOfFieldValue(in: bytes, from: position, to: limit)
            // The CR is looked at again when its LF comes.
            if position >= limit &- 1 {
                if position == limit || bytes[unchecked: position] == Octets.cr { break }
            }
            if bytes[unchecked: position] != Octets.cr {
                throw HTTP1Error(bytes[unchecked: position] == Octets.lf ? .bareLF : .fieldValueByte)
            }
            if bytes[unchecked: position &+ 1] != Octets.lf { throw HTTP1Error(.bareCR) }

            var valueStart = colon &+ 1
            while Self.isSpace(bytes[unchecked: valueStart]) { valueStart &+= 1 }
            var valueEnd = position
            while valueEnd > valueStart, Self.isSpace(bytes[unchecked: valueEnd &- 1]) { valueEnd &-= 1 }

            if lines.count >= countMax { throw HTTP1Error(.fieldsTooMany) }
            let nameCount = colon &- lineStart
            let valueCount = valueEnd &- valueStart
            if max(nameCount, valueCount) > FieldSection.partBytesMax { throw HTTP1Error(.fieldTooLong) }
            lines.append(
                FieldSection.Line(
                    name: FieldName(bytes.extracting(lineStart..<colon)), nameStart: lineStart, nameCount: nameCount,
                    valueStart: valueStart, valueCount: valueCount))
            position &+= 2
            lineStart = position
            colon = 0
        }
        if bytes.count >= bytesMax { throw HTTP1Error(tooLarge) }
        self.lineStart = lineStart
        self.colon = colon
        self.position = position
        return nil
    }

    /// What is wrong with a byte that ends a name and is not its colon.
    private static func fault(of byte: UInt8, atLineStart: Bool) -> HTTP1Error.Code {
        switch byte {
        case Octets.space, Octets.tab: atLineStart ? .foldedLine : .spaceBeforeColon
        case Octets.lf: .bareLF
        case Octets.cr: .colonMissing
        case UInt8(ascii: ":"): .fieldNameMissing
        default: .fieldNameNotToken
        }
    }

    /// Ends at the CR, which is no space: no bound is needed.
    @inline(__always)
    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == Octets.space || byte == Octets.tab
    }
}
