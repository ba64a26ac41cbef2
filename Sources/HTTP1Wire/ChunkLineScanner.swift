/// Reads the line before a chunk, a byte at a time; extensions are checked and forgotten.
///
/// ```
/// chunk-size [ chunk-ext ] CRLF
/// chunk-ext = *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )
/// ```
/// - Source: RFC 9112 §7.1, §7.1.1.
struct ChunkLineScanner {
    private var size = 0
    private var digitCount: UInt8 = 0
    private var place = Place.size
    private var extensionCount = 0

    /// What the next byte belongs to.
    private enum Place {
        /// The size, or what ends it.
        case size
        /// White space before a semicolon.
        case beforeSemicolon
        /// White space before a name, or its first byte.
        case beforeName
        case name
        /// White space before the equals sign or the next semicolon.
        case afterName
        /// White space before a value, or its first byte.
        case beforeValue
        case value
        case quoted
        /// The byte behind a backslash.
        case escaped
        /// Behind the closing quote.
        case afterQuoted
        /// The CR was there.
        case lineFeed
    }

    /// - Returns: the chunk's size once its line is complete.
    @inline(__always)
    mutating func read(_ byte: UInt8, extensionBytesMax: Int) throws(HTTP1Error) -> Int? {
        switch place {
        case .size:
            if let digit = Octets.hexValue(byte) {
                // Sixteen digits say every 64-bit number; more are zeros that only serve to make the line long.
                guard digitCount < 16 else { throw HTTP1Error(.chunkSizeMalformed) }
                guard size <= Int.max >> 4 else { throw HTTP1Error(.chunkSizeTooLarge) }
                size = size << 4 | digit
                digitCount += 1
                return nil
            }
            guard digitCount > 0 else { throw HTTP1Error(byte == Octets.lf ? .bareLF : .chunkSizeMalformed) }
            if byte == Octets.cr {
                place = .lineFeed
                return nil
            }
            if byte == Octets.lf { throw HTTP1Error(.bareLF) }
            guard byte == UInt8(ascii: ";") || Self.isSpace(byte) else { throw HTTP1Error(.chunkSizeMalformed) }
        case .lineFeed:
            guard byte == Octets.lf else { throw HTTP1Error(.bareCR) }
            return size
        default:
            break
        }
        try readExtension(byte, bytesMax: extensionBytesMax)
        return nil
    }

    private mutating func readExtension(_ byte: UInt8, bytesMax: Int) throws(HTTP1Error) {
        if byte == Octets.lf { throw HTTP1Error(.bareLF) }
        if byte == Octets.cr {
            switch place {
            case .name, .value, .afterQuoted: place = .lineFeed
            default: throw HTTP1Error(.chunkExtensionMalformed)
            }
            return
        }
        extensionCount += 1
        if extensionCount > bytesMax { throw HTTP1Error(.chunkExtensionTooLong) }
        guard let next = placeAfter(byte) else { throw HTTP1Error(.chunkExtensionMalformed) }
        place = next
    }

    private func placeAfter(_ byte: UInt8) -> Place? {
        let isToken = Octets.is(byte, Octets.token)
        return switch (place, byte) {
        case (.quoted, UInt8(ascii: "\"")): .afterQuoted
        case (.quoted, UInt8(ascii: "\\")): .escaped
        case (.quoted, _): Octets.is(byte, Octets.quoted) ? .quoted : nil
        case (.escaped, _): Octets.is(byte, Octets.value) ? .quoted : nil
        case (.size, UInt8(ascii: ";")), (.beforeSemicolon, UInt8(ascii: ";")), (.name, UInt8(ascii: ";")),
            (.afterName, UInt8(ascii: ";")), (.value, UInt8(ascii: ";")), (.afterQuoted, UInt8(ascii: ";")):
            .beforeName
        case (.name, UInt8(ascii: "=")), (.afterName, UInt8(ascii: "=")): .beforeValue
        case (.beforeValue, UInt8(ascii: "\"")): .quoted
        case (.size, _), (.beforeSemicolon, _), (.afterQuoted, _): Self.isSpace(byte) ? .beforeSemicolon : nil
        case (.beforeName, _): isToken ? .name : Self.isSpace(byte) ? .beforeName : nil
        case (.name, _): isToken ? .name : Self.isSpace(byte) ? .afterName : nil
        case (.afterName, _): Self.isSpace(byte) ? .afterName : nil
        case (.beforeValue, _): isToken ? .value : Self.isSpace(byte) ? .beforeValue : nil
        case (.value, _): isToken ? .value : Self.isSpace(byte) ? .beforeSemicolon : nil
        case (.lineFeed, _): nil
        }
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == Octets.space || byte == Octets.tab
    }
}
