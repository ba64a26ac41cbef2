/// The eight bytes `HTTP/1.1`.
/// - Source: RFC 9112 §2.3: the name is case-sensitive, each number one digit.
enum VersionText {
    /// - Returns: 0 or 1; a higher minor version counts as 1 (RFC 9110 §2.5). `nil` when bytes are missing and those that
    ///   are there are right.
    /// - Throws: `versionMalformed` or `versionUnsupported` at the first wrong byte.
    static func parse(_ bytes: Span<UInt8>, at start: Int) throws(HTTP1Error) -> UInt8? {
        let name: StaticString = "HTTP/"
        let available = min(8, bytes.count - start)
        for offset in 0..<available {
            let byte = bytes[start + offset]
            let isRight =
                switch offset {
                case 0..<5: byte == name.utf8Start[offset]
                case 6: byte == UInt8(ascii: ".")
                default: Octets.isDigit(byte)
                }
            guard isRight else { throw HTTP1Error(.versionMalformed) }
        }
        guard available == 8 else { return nil }
        guard bytes[start + 5] == UInt8(ascii: "1") else { throw HTTP1Error(.versionUnsupported) }
        return bytes[start + 7] == UInt8(ascii: "0") ? 0 : 1
    }
}
