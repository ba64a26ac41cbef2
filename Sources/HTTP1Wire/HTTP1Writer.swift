public import HTTPSemantics
public import NIOCore

// Heads and chunk lines, written straight into the buffer that goes out. Nothing is formatted through `String`, and each
// call asks for room once.
//
// A value that we are given may come from a peer or from a configuration. CR, LF and NUL in it would begin a field, or a
// message, of somebody else's making; they are written as spaces, as RFC 9110 §5.5 says. Lines of a `FieldSection` that
// a parser made have none.

extension ByteBuffer {
    /// Writes `HTTP/1.1 200 OK` and CRLF.
    /// - Precondition: `status` has three digits.
    /// - Source: RFC 9112 §4.
    public mutating func writeStatusLine(_ status: Int) {
        if let line = StatusLine.text(status) {
            writeStaticString(line)
            return
        }
        precondition((100...999).contains(status), "a status has three digits")
        writeStaticString("HTTP/1.1 ")
        writeDecimal(status)
        // The space stays when there is no reason.
        writeStaticString(" \r\n")
    }

    /// Writes `GET /path HTTP/1.1` and CRLF.
    /// - Precondition: `method` is a token, `target` has neither white space nor control bytes.
    /// - Source: RFC 9112 §3.
    public mutating func writeRequestLine(method: Span<UInt8>, target: Span<UInt8>) {
        assert(!method.isEmpty && OctetScan.endOfToken(in: method, from: 0, to: method.count) == method.count)
        assert(!target.isEmpty && OctetScan.endOfTarget(in: target, from: 0, to: target.count) == target.count)
        append(count: method.count + target.count + 12) { output in
            output.copy(method)
            output.store(Octets.space)
            output.copy(target)
            output.copy(" HTTP/1.1\r\n")
        }
    }

    /// Writes the request line of a known method.
    /// - Precondition: `method` is not `other`.
    public mutating func writeRequestLine(method: Method, target: Span<UInt8>) {
        precondition(method != .other, "a method without a name")
        writeRequestLine(method: Span(_unsafeElements: method.spelling.utf8Buffer), target: target)
    }

    /// Writes the request line of a head as it was received, with the target in origin-form.
    public mutating func writeRequestLine(of head: RequestHead) {
        let bytes = head.fields.bytes.span
        writeRequestLine(method: bytes.extracting(head.methodRange), target: bytes.extracting(head.target))
    }

    /// Writes a field line; see this file's head for what becomes of CR, LF and NUL.
    public mutating func writeField(_ name: FieldName, _ value: Span<UInt8>) {
        let name = name.spelling
        let start = writerIndex + name.utf8CodeUnitCount + 2
        append(count: name.utf8CodeUnitCount + value.count + 4) { output in
            output.copy(name)
            output.store(UInt8(ascii: ":"), Octets.space)
            output.copy(value)
            output.store(Octets.cr, Octets.lf)
        }
        if OctetScan.endOfFieldValue(in: value, from: 0, to: value.count) < value.count {
            blankLineEnds(in: start..<start + value.count)
        }
    }

    public mutating func writeField(_ name: FieldName, _ value: StaticString) {
        let name = name.spelling
        append(count: name.utf8CodeUnitCount + value.utf8CodeUnitCount + 4) { output in
            output.copy(name)
            output.store(UInt8(ascii: ":"), Octets.space)
            output.copy(value)
            output.store(Octets.cr, Octets.lf)
        }
    }

    public mutating func writeField(_ name: FieldName, _ value: String) {
        writeField(name, value.utf8.span)
    }

    public mutating func writeField(_ name: FieldName, _ value: Int) {
        let name = name.spelling
        append(count: name.utf8CodeUnitCount + 24) { output in
            output.copy(name)
            output.store(UInt8(ascii: ":"), Octets.space)
            output.decimal(value)
            output.store(Octets.cr, Octets.lf)
        }
    }

    /// Writes a line of a section as it was spelled there.
    public mutating func writeFieldLine(of fields: FieldSection, at index: Int) {
        let name = fields.name(at: index)
        let value = fields.value(at: index)
        append(count: name.count + value.count + 4) { output in
            output.copy(name)
            output.store(UInt8(ascii: ":"), Octets.space)
            output.copy(value)
            output.store(Octets.cr, Octets.lf)
        }
    }

    /// Writes the lines of a section that are chosen, as they were spelled there. Neighbours leave in one piece.
    public mutating func writeFieldLines(of fields: FieldSection, where isChosen: (Int) -> Bool) {
        let bytes = fields.bytes.span
        var run = 0..<0
        for index in fields.lines.indices where isChosen(index) {
            let line = fields.lines[index]
            let (name, value) = (Int(line.nameStart), Int(line.valueStart))
            let end = value + Int(line.valueCount)
            guard value == name + Int(line.nameCount) + 2, bytes[value - 2] == UInt8(ascii: ":"), bytes[value - 1] == Octets.space else {
                // It was not received like this: white space is another, or it was added by us.
                writeRun(bytes, run)
                run = 0..<0
                writeFieldLine(of: fields, at: index)
                continue
            }
            if !run.isEmpty, name == run.upperBound + 2, bytes[name - 2] == Octets.cr, bytes[name - 1] == Octets.lf {
                run = run.lowerBound..<end
            } else {
                writeRun(bytes, run)
                run = name..<end
            }
        }
        writeRun(bytes, run)
    }

    private mutating func writeRun(_ bytes: Span<UInt8>, _ run: Range<Int>) {
        guard !run.isEmpty else { return }
        append(count: run.count + 2) { output in
            output.copy(bytes.extracting(run))
            output.store(Octets.cr, Octets.lf)
        }
    }

    /// Writes the empty line that ends a head.
    public mutating func writeEndOfHead() {
        writeStaticString("\r\n")
    }

    /// Writes a number in decimal digits.
    public mutating func writeDecimal(_ value: Int) {
        append(count: 20) { output in output.decimal(value) }
    }

    /// Writes the line before a chunk: its size in hexadecimal digits.
    /// - Precondition: `byteCount` is at least 1, for an empty chunk ends the body.
    /// - Source: RFC 9112 §7.1.
    public mutating func writeChunkHeader(byteCount: Int) {
        precondition(byteCount > 0, "an empty chunk would end the body")
        append(count: 18) { output in
            var shift = (63 - byteCount.leadingZeroBitCount) & ~3
            while shift >= 0 {
                let digit = UInt8(truncatingIfNeeded: byteCount >> shift) & 15
                output.store(digit < 10 ? 0x30 + digit : 0x57 + digit)
                shift -= 4
            }
            output.store(Octets.cr, Octets.lf)
        }
    }

    /// Writes the CRLF behind a chunk's bytes.
    public mutating func writeChunkTrailerCRLF() {
        writeStaticString("\r\n")
    }

    /// Writes the last chunk and the trailer section, which is all that remains of the body.
    public mutating func writeLastChunk(trailers: FieldSection? = nil) {
        writeStaticString("0\r\n")
        if let trailers {
            for index in 0..<trailers.lines.count { writeFieldLine(of: trailers, at: index) }
        }
        writeStaticString("\r\n")
    }

    private mutating func blankLineEnds(in range: Range<Int>) {
        for index in range {
            let byte = getInteger(at: index, as: UInt8.self) ?? 0
            if byte == 0 || byte == Octets.cr || byte == Octets.lf { setInteger(Octets.space, at: index) }
        }
    }

    /// Makes room for `count` bytes and lets `body` write as many or fewer.
    @inline(__always)
    private mutating func append(count: Int, _ body: (inout RawOutput) -> Void) {
        writeWithUnsafeMutableBytes(minimumWritableBytes: count) { room in
            var output = RawOutput(room)
            body(&output)
            return output.count
        }
    }
}

/// A place to write to, of which the caller has said how much is needed. Each store is checked against its end.
private struct RawOutput {
    private let room: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    @inline(__always)
    init(_ room: UnsafeMutableRawBufferPointer) {
        self.room = room
    }

    @inline(__always)
    mutating func store(_ bytes: UInt8...) {
        for byte in bytes {
            room[count] = byte
            count += 1
        }
    }

    @inline(__always)
    mutating func copy(_ bytes: Span<UInt8>) {
        bytes.withUnsafeBytes { source in copy(source) }
    }

    @inline(__always)
    mutating func copy(_ text: StaticString) {
        copy(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    @inline(__always)
    private mutating func copy(_ source: UnsafeRawBufferPointer) {
        guard let base = source.baseAddress else { return }
        precondition(source.count <= room.count - count, "more was written than was asked for")
        (room.baseAddress! + count).copyMemory(from: base, byteCount: source.count)
        count += source.count
    }

    /// At most 20 bytes: a sign and 19 digits.
    @inline(__always)
    mutating func decimal(_ value: Int) {
        if value < 0 { store(UInt8(ascii: "-")) }
        var rest = value.magnitude
        var digitCount = 1
        var bound: UInt = 10
        while rest >= bound, digitCount < 19 {
            digitCount += 1
            bound &*= 10
        }
        precondition(digitCount <= room.count - count, "more was written than was asked for")
        var index = count + digitCount
        count = index
        repeat {
            index -= 1
            room[index] = 0x30 + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        } while rest > 0
    }
}

extension StaticString {
    fileprivate var utf8Buffer: UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: utf8Start, count: utf8CodeUnitCount)
    }
}
