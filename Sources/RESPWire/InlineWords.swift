/// The words of an inline request: separated by white space, in double quotes with escapes, in single quotes without.
/// - Source: Redis `sds.c`, `sdssplitargs`.
enum InlineWords {
    static func split(
        _ line: UnsafeRawBufferPointer, into words: inout [UInt8], _ places: inout ContiguousArray<RESPArgument>
    ) throws(RESPError) {
        var index = 0
        while true {
            while index < line.count, isSpace(line[index]) { index += 1 }
            guard index < line.count else { return }
            let start = words.count
            var quote: UInt8 = 0
            word: while true {
                guard index < line.count else {
                    if quote != 0 { throw RESPError(.quotesUnbalanced) }
                    break word
                }
                let byte = line[index]
                if quote == UInt8(ascii: "\"") {
                    if byte == UInt8(ascii: "\\"), index + 3 < line.count, line[index + 1] == UInt8(ascii: "x"),
                        let high = hexDigit(line[index + 2]), let low = hexDigit(line[index + 3])
                    {
                        words.append(high << 4 | low)
                        index += 3
                    } else if byte == UInt8(ascii: "\\"), index + 1 < line.count {
                        index += 1
                        words.append(escaped(line[index]))
                    } else if byte == quote {
                        if index + 1 < line.count, !isSpace(line[index + 1]) { throw RESPError(.quotesUnbalanced) }
                        index += 1
                        break word
                    } else {
                        words.append(byte)
                    }
                } else if quote == UInt8(ascii: "'") {
                    if byte == UInt8(ascii: "\\"), index + 1 < line.count, line[index + 1] == quote {
                        index += 1
                        words.append(quote)
                    } else if byte == quote {
                        if index + 1 < line.count, !isSpace(line[index + 1]) { throw RESPError(.quotesUnbalanced) }
                        index += 1
                        break word
                    } else {
                        words.append(byte)
                    }
                } else if isSpace(byte) || byte == 0 {
                    break word
                } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
                    quote = byte
                } else {
                    words.append(byte)
                }
                index += 1
            }
            places.append(RESPArgument(offset: start, count: words.count - start))
            // A zero byte ends the line: Redis reads it as a C string.
            if index < line.count, line[index] == 0 { return }
        }
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 32 || (9...13).contains(byte) }

    private static func escaped(_ byte: UInt8) -> UInt8 {
        switch byte {
        case UInt8(ascii: "n"): 10
        case UInt8(ascii: "r"): 13
        case UInt8(ascii: "t"): 9
        case UInt8(ascii: "b"): 8
        case UInt8(ascii: "a"): 7
        default: byte
        }
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
