/// Parts SQL text into tokens, as far as is needed to see which commands and which function calls are in it.
///
/// It knows what hides text from the eye: comments (nested ones too), strings in quotes and in dollars, `E''`, quoted identifiers. It
/// takes `standard_conforming_strings` to be on, as it is everywhere since PostgreSQL 9.1. Unterminated text ends at the end: the
/// server will say what is wrong with it.
/// - Source: PostgreSQL 15, "Lexical Structure".
struct SQLScanner {
    enum Kind: Equatable {
        /// A keyword or an identifier without quotes.
        case word
        case quotedIdentifier
        /// Any string constant.
        case string
        case number
        /// `$1`.
        case parameter
        /// One byte: a parenthesis, a comma, an operator's.
        case symbol(UInt8)
        case semicolon
        case end
    }

    struct Token: Equatable {
        var kind: Kind
        /// Where it stands, quotes and prefix included.
        var range: Range<Int>

        static func symbol(_ character: Character) -> Kind { .symbol(character.asciiValue ?? 0) }
    }

    private(set) var position = 0

    mutating func next(in sql: Span<UInt8>) -> Token {
        skipBlanks(sql)
        let start = position
        guard position < sql.count else { return Token(kind: .end, range: start..<start) }
        let byte = sql[position]
        if Self.beginsWord(byte) {
            position += 1
            while position < sql.count, Self.continuesWord(sql[position]) { position += 1 }
            // E'', B'', X'', N'', U&'', U&"": a prefix and its constant are one token.
            if position < sql.count, sql[position] == UInt8(ascii: "'"), position - start == 1, "eEbBxXnN".utf8.contains(byte) {
                skipQuoted(sql, UInt8(ascii: "'"), hasEscapes: byte | 0x20 == UInt8(ascii: "e"))
                return Token(kind: .string, range: start..<position)
            }
            if position + 1 < sql.count, position - start == 1, byte | 0x20 == UInt8(ascii: "u"), sql[position] == UInt8(ascii: "&") {
                let quote = sql[position + 1]
                if quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") {
                    position += 1
                    skipQuoted(sql, quote, hasEscapes: false)
                    return Token(kind: quote == UInt8(ascii: "'") ? .string : .quotedIdentifier, range: start..<position)
                }
            }
            return Token(kind: .word, range: start..<position)
        }
        switch byte {
        case UInt8(ascii: "'"):
            skipQuoted(sql, byte, hasEscapes: false)
            return Token(kind: .string, range: start..<position)
        case UInt8(ascii: "\""):
            skipQuoted(sql, byte, hasEscapes: false)
            return Token(kind: .quotedIdentifier, range: start..<position)
        case UInt8(ascii: "0")...UInt8(ascii: "9"):
            while position < sql.count, Self.continuesWord(sql[position]) || sql[position] == UInt8(ascii: ".") { position += 1 }
            return Token(kind: .number, range: start..<position)
        case UInt8(ascii: "$"):
            position += 1
            if position < sql.count, Self.isDigit(sql[position]) {
                while position < sql.count, Self.isDigit(sql[position]) { position += 1 }
                return Token(kind: .parameter, range: start..<position)
            }
            if skipDollarQuoted(sql, from: start) { return Token(kind: .string, range: start..<position) }
            return Token(kind: .symbol(byte), range: start..<position)
        case UInt8(ascii: ";"):
            position += 1
            return Token(kind: .semicolon, range: start..<position)
        default:
            position += 1
            return Token(kind: .symbol(byte), range: start..<position)
        }
    }

    private mutating func skipBlanks(_ sql: Span<UInt8>) {
        while position < sql.count {
            let byte = sql[position]
            let next = position + 1 < sql.count ? sql[position + 1] : 0
            if byte == 0x20 || (0x09...0x0D).contains(byte) {
                position += 1
            } else if byte == UInt8(ascii: "-"), next == byte {
                while position < sql.count, sql[position] != 0x0A, sql[position] != 0x0D { position += 1 }
            } else if byte == UInt8(ascii: "/"), next == UInt8(ascii: "*") {
                skipComment(sql)
            } else {
                return
            }
        }
    }

    private mutating func skipComment(_ sql: Span<UInt8>) {
        var depth = 0
        while position < sql.count {
            let next = position + 1 < sql.count ? sql[position + 1] : 0
            if sql[position] == UInt8(ascii: "/"), next == UInt8(ascii: "*") {
                depth += 1
                position += 2
            } else if sql[position] == UInt8(ascii: "*"), next == UInt8(ascii: "/") {
                depth -= 1
                position += 2
                if depth == 0 { return }
            } else {
                position += 1
            }
        }
    }

    /// From the opening quote to behind the closing one; a quote written twice is one of the text.
    private mutating func skipQuoted(_ sql: Span<UInt8>, _ quote: UInt8, hasEscapes: Bool) {
        position += 1
        while position < sql.count {
            let byte = sql[position]
            if byte == UInt8(ascii: "\\"), hasEscapes {
                position = min(position + 2, sql.count)
            } else if byte == quote {
                position += 1
                guard position < sql.count, sql[position] == quote else { return }
                position += 1
            } else {
                position += 1
            }
        }
    }

    /// `$tag$ … $tag$`.
    /// - Returns: `false` when no such string begins here; the position is behind the first `$` then.
    private mutating func skipDollarQuoted(_ sql: Span<UInt8>, from start: Int) -> Bool {
        var end = start + 1
        while end < sql.count, Self.continuesWord(sql[end]), sql[end] != UInt8(ascii: "$") { end += 1 }
        guard end < sql.count, sql[end] == UInt8(ascii: "$") else { return false }
        let tagLength = end + 1 - start
        position = end + 1
        while position < sql.count {
            if sql[position] == UInt8(ascii: "$"), position + tagLength <= sql.count {
                var isTag = true
                for offset in 0..<tagLength where sql[start + offset] != sql[position + offset] {
                    isTag = false
                    break
                }
                if isTag {
                    position += tagLength
                    return true
                }
            }
            position += 1
        }
        return true
    }

    private static func beginsWord(_ byte: UInt8) -> Bool {
        let lower = byte | 0x20
        return (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(lower) || byte == UInt8(ascii: "_") || byte >= 0x80
    }

    private static func continuesWord(_ byte: UInt8) -> Bool {
        beginsWord(byte) || isDigit(byte) || byte == UInt8(ascii: "$")
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
}

extension SQLScanner.Token {
    /// The word in lower case, as PostgreSQL folds it; `nil` for anything but a word.
    func keyword(in sql: Span<UInt8>) -> String? {
        guard kind == .word else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(range.count)
        for index in range {
            let byte = sql[index]
            bytes.append((UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// An identifier's name: a word folded, or what is between quotes. `nil` for `U&""`, which would have to be decoded.
    func name(in sql: Span<UInt8>) -> String? {
        if let keyword = keyword(in: sql) { return keyword }
        guard kind == .quotedIdentifier, sql[range.lowerBound] == UInt8(ascii: "\"") else { return nil }
        return unquoted(sql)
    }

    /// A string constant's value: `nil` for those with escapes, and for all but `''` and `$$`.
    func stringValue(in sql: Span<UInt8>) -> String? {
        guard kind == .string else { return nil }
        switch sql[range.lowerBound] {
        case UInt8(ascii: "'"): return unquoted(sql)
        case UInt8(ascii: "$"):
            var tagEnd = range.lowerBound + 1
            while tagEnd < range.upperBound, sql[tagEnd] != UInt8(ascii: "$") { tagEnd += 1 }
            let tagLength = tagEnd + 1 - range.lowerBound
            guard range.count >= 2 * tagLength else { return nil }
            return text(sql, tagEnd + 1..<range.upperBound - tagLength)
        default: return nil
        }
    }

    func text(in sql: Span<UInt8>) -> String { text(sql, range) ?? "" }

    private func text(_ sql: Span<UInt8>, _ range: Range<Int>) -> String? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(range.count)
        for index in range { bytes.append(sql[index]) }
        return String(validating: bytes, as: UTF8.self)
    }

    private func unquoted(_ sql: Span<UInt8>) -> String? {
        let quote = sql[range.lowerBound]
        guard range.count >= 2, sql[range.upperBound - 1] == quote else { return nil }
        var bytes: [UInt8] = []
        var index = range.lowerBound + 1
        while index < range.upperBound - 1 {
            bytes.append(sql[index])
            index += sql[index] == quote ? 2 : 1
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
