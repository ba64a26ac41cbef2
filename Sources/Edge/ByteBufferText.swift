import NIOCore

extension ByteBuffer {
    /// Asks for room once and lets `body` fill it with text.
    ///
    /// A line of the access log is twenty pieces. Written one by one, each asks anew whether the memory is ours alone, large
    /// enough and where it ends: 130 instructions for ten bytes, and a third of what a hit cost in user space.
    /// - Parameter bytesMax: at least what `body` writes.
    @inline(__always)
    mutating func writeText(bytesMax: Int, _ body: (inout TextOutput) -> Void) {
        writeWithUnsafeMutableBytes(minimumWritableBytes: bytesMax) { room in
            var output = TextOutput(room)
            body(&output)
            return output.count
        }
    }
}

/// Room for text, of which the caller has said how much is needed. Every write is checked against its end.
struct TextOutput {
    private let room: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    /// What a byte may grow to in a JSON string.
    static let jsonBytesMax = 6
    /// What a byte may grow to in a line of text.
    static let escapedBytesMax = 4
    /// Digits and sign of any `Int`.
    static let decimalBytesMax = 20

    @inline(__always)
    init(_ room: UnsafeMutableRawBufferPointer) {
        self.room = room
    }

    @inline(__always)
    mutating func text(_ text: StaticString) {
        copy(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    @inline(__always)
    mutating func bytes(_ bytes: Span<UInt8>) {
        bytes.withUnsafeBytes { copy($0) }
    }

    mutating func string(_ string: String) {
        bytes(string.utf8.span)
    }

    @inline(__always)
    private mutating func copy(_ source: UnsafeRawBufferPointer) {
        precondition(source.count <= room.count - count, "more text than was asked room for")
        guard let from = source.baseAddress, let to = room.baseAddress else { return }
        (to + count).copyMemory(from: from, byteCount: source.count)
        count += source.count
    }

    @inline(__always)
    private mutating func byte(_ byte: UInt8) {
        room[count] = byte
        count += 1
    }

    mutating func decimal(_ value: Int) {
        if value < 0 { byte(UInt8(ascii: "-")) }
        // `magnitude` cannot overflow, `-value` can.
        var rest = value.magnitude
        var end = count + 1
        var bound: UInt = 10
        while rest >= bound, end < count + 19 {
            end += 1
            bound &*= 10
        }
        precondition(end <= room.count, "more text than was asked room for")
        count = end
        repeat {
            end -= 1
            room[end] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        } while rest > 0
    }

    /// - Precondition: 0…999.
    mutating func threeDigits(_ value: Int) {
        byte(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / 100 % 10))
        byte(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / 10 % 10))
        byte(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value % 10))
    }

    /// Milliseconds with three decimals: `12.034`.
    mutating func milliseconds(_ nanoseconds: Int64) {
        let microseconds = Int(max(nanoseconds, 0) / 1000)
        decimal(microseconds / 1000)
        byte(UInt8(ascii: "."))
        threeDigits(microseconds % 1000)
    }

    /// All digits of a number, in lower case: sixteen of a `UInt64`, two of a `UInt8`.
    @inline(__always)
    mutating func hexadecimal<Number: FixedWidthInteger & UnsignedInteger>(_ value: Number) {
        let digitCount = Number.bitWidth / 4
        precondition(digitCount <= room.count - count, "more text than was asked room for")
        for position in 0..<digitCount {
            let nibble = UInt8(truncatingIfNeeded: value &>> Number(Number.bitWidth &- 4 &- 4 &* position)) & 0xF
            room[count &+ position] = nibble < 10 ? UInt8(ascii: "0") &+ nibble : UInt8(ascii: "a") &- 10 &+ nibble
        }
        count += digitCount
    }

    /// Bytes as the inside of a quoted part of a log line: quotes, backslashes and what is not ASCII text become `\xHH`, so that no
    /// client writes lines of its own.
    mutating func escaped(_ bytes: Span<UInt8>) {
        for index in bytes.indices {
            let byte = bytes[index]
            if byte >= 0x20, byte < 0x7F, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") {
                self.byte(byte)
            } else {
                text("\\x")
                hexadecimal(byte)
            }
        }
    }

    /// Bytes as the inside of a JSON string: quotes, backslashes and what is not ASCII text are escaped.
    /// - Parameter isUTF8: they are known to be text; then its letters stay as they are.
    mutating func json(_ bytes: Span<UInt8>, isUTF8: Bool = false) {
        var plainFrom = 0
        for index in bytes.indices {
            let byte = bytes[index]
            if byte >= 0x20, byte < 0x7F || isUTF8 && byte > 0x7F, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") { continue }
            self.bytes(bytes.extracting(plainFrom..<index))
            plainFrom = index + 1
            // One byte above 0x7F is taken for the Latin-1 character of that number: the line stays valid JSON whatever
            // a client sends, and the byte can be told from it.
            text("\\u00")
            hexadecimal(byte)
        }
        self.bytes(bytes.extracting(plainFrom..<bytes.count))
    }
}
