import NIOCore
import PostgresWire

/// `DEALLOCATE name` as a simple query: drivers give statements back so that have no Close message.
enum Deallocation {
    /// What is longer is no such query, or one with a comment.
    private static let bytesMax = 200

    /// Whether it is not all here, and may turn out to be such a query. It is so short that to wait for its end costs nothing.
    static func isIncomplete(_ head: MessageFraming.Head, in buffer: ByteBuffer, at index: Int) -> Bool {
        guard head.bytes <= bytesMax, index + head.bytes > buffer.writerIndex else { return false }
        let first = buffer.getInteger(at: index + MessageFraming.headBytes, as: UInt8.self)
        return first.map { $0 | 0x20 == UInt8(ascii: "d") } ?? true
    }

    /// The name, folded and unquoted as SQL does it.
    /// - Returns: `nil` for any other query, `DEALLOCATE ALL` among them.
    static func name(_ head: MessageFraming.Head, in buffer: ByteBuffer, at index: Int) -> String? {
        let start = index + MessageFraming.headBytes
        // One comparison tells most queries apart.
        guard head.bytes <= bytesMax, let first = buffer.getInteger(at: start, as: UInt8.self), first | 0x20 == UInt8(ascii: "d"),
            let bytes = buffer.getBytes(at: start, length: head.bytes - MessageFraming.headBytes), bytes.last == 0
        else { return nil }
        var rest = Substring(decoding: bytes.dropLast(), as: UTF8.self)
        guard word(&rest) == "deallocate" else { return nil }
        var after = rest
        if word(&after) == "prepare", !after.isEmpty, after != ";" { rest = after }
        if rest.hasSuffix(";") { rest = rest.dropLast() }
        while rest.last?.isWhitespace == true { rest = rest.dropLast() }
        if rest.first == "\"", rest.last == "\"", rest.count > 2 {
            let inner = String(rest.dropFirst().dropLast()).replacing("\"\"", with: "\u{1}")
            return inner.contains("\"") ? nil : inner.replacing("\u{1}", with: "\"")
        }
        // As the server folds UTF-8: no letter beyond ASCII.
        let name = String(decoding: rest.utf8.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
        guard name != "all", let head = name.utf8.first, head == UInt8(ascii: "_") || head >= 0x80 || (0x61...0x7A).contains(head),
            name.utf8.allSatisfy({ $0 >= 0x80 || $0 == 0x5F || $0 == 0x24 || (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) })
        else { return nil }
        return name
    }

    /// Takes the first word and the white space behind it.
    private static func word(_ rest: inout Substring) -> String {
        let word = rest.prefix { $0.isLetter }
        rest = rest[word.endIndex...].drop { $0.isWhitespace }
        return word.lowercased()
    }
}
