import NIOCore

/// The numbers and texts that every answer carries, written without making a `String`.
extension ByteBuffer {
    mutating func writeDecimal(_ value: Int) {
        guard value >= 0 else {
            writeInteger(UInt8(ascii: "-"))
            // `magnitude` cannot overflow, `-value` can.
            return writeDigits(UInt64(value.magnitude))
        }
        writeDigits(UInt64(value))
    }

    private mutating func writeDigits(_ value: UInt64) {
        writeWithUnsafeMutableBytes(minimumWritableBytes: 20) { space in
            var count = 1
            var rest = value
            while rest >= 10 {
                rest /= 10
                count += 1
            }
            rest = value
            for position in stride(from: count - 1, through: 0, by: -1) {
                space[position] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            }
            return count
        }
    }

    mutating func writeThreeDigits(_ value: Int) {
        writeInteger(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / 100 % 10))
        writeInteger(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / 10 % 10))
        writeInteger(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value % 10))
    }

    /// Milliseconds with three decimals: `12.034`.
    mutating func writeMilliseconds(_ nanoseconds: Int64) {
        let microseconds = Int(max(nanoseconds, 0) / 1000)
        writeDecimal(microseconds / 1000)
        writeInteger(UInt8(ascii: "."))
        writeThreeDigits(microseconds % 1000)
    }

    /// Sixteen lower-case digits.
    mutating func writeHexadecimal(_ value: UInt64) {
        writeWithUnsafeMutableBytes(minimumWritableBytes: 16) { space in
            for position in 0..<16 {
                let nibble = UInt8(truncatingIfNeeded: value &>> UInt64(60 - 4 * position)) & 0xF
                space[position] = nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") - 10 + nibble
            }
            return 16
        }
    }

    /// Bytes as the inside of a JSON string: quotes, backslashes and what is not ASCII text are escaped.
    mutating func writeJSONText(_ bytes: Span<UInt8>) {
        var plainFrom = 0
        for index in bytes.indices {
            let byte = bytes[index]
            if byte >= 0x20, byte < 0x7F, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") { continue }
            writeBytes(bytes.extracting(plainFrom..<index).bytes)
            plainFrom = index + 1
            // One byte above 0x7F is taken for the Latin-1 character of that number: the line stays valid JSON whatever
            // a client sends, and the byte can be told from it.
            writeStaticString("\\u00")
            let digits: StaticString = "0123456789abcdef"
            writeInteger(digits.utf8Start[Int(byte >> 4)])
            writeInteger(digits.utf8Start[Int(byte & 0xF)])
        }
        writeBytes(bytes.extracting(plainFrom..<bytes.count).bytes)
    }
}
