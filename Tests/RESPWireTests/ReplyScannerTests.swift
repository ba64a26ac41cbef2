import RESPWire
import Testing

@Suite struct ReplyScannerTests {
    /// Whether each reply is an error, whatever the pieces in which the bytes come.
    private static func scan(_ text: String, pieceBytes: Int) throws(ReplyScanner.Malformed) -> [Bool] {
        var scanner = ReplyScanner()
        var errors: [Bool] = []
        var pending: [UInt8] = []
        var rest = Array(text.utf8)[...]
        repeat {
            pending += rest.prefix(pieceBytes)
            rest = rest.dropFirst(pieceBytes)
            var index = 0
            while true {
                let pieces = pending
                var next = index
                let found = try withBytes(pieces) { bytes throws(ReplyScanner.Malformed) in try scanner.next(bytes, from: &next) }
                index = next
                guard case .reply(let isError) = found else { break }
                errors.append(isError)
            }
            pending.removeFirst(index)
        } while !rest.isEmpty
        guard scanner.isBetweenReplies, pending.isEmpty else { return errors + [true, true, true] }
        return errors
    }

    private static func withBytes<T>(
        _ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws(ReplyScanner.Malformed) -> T
    ) throws(ReplyScanner.Malformed) -> T {
        let result = bytes.withUnsafeBytes { pointer in Result { () throws(ReplyScanner.Malformed) in try body(pointer) } }
        return try result.get()
    }

    @Test(arguments: [
        "+OK\r\n", ":-7\r\n", "$5\r\nhello\r\n", "$0\r\n\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n", "*2\r\n$1\r\na\r\n*1\r\n:1\r\n", "%1\r\n+k\r\n+v\r\n",
        "~2\r\n+a\r\n+b\r\n", "|1\r\n+ttl\r\n:3\r\n$1\r\nv\r\n", ",3.14\r\n", "#t\r\n", "_\r\n", "(12345678901234567890\r\n", "=7\r\ntxt:abc\r\n",
        "$10\r\n+OK\r\n-ERR \r\n",
    ])
    func `one reply is one reply, in pieces of any size`(_ text: String) throws {
        for bytes in 1...text.utf8.count { #expect(try Self.scan(text, pieceBytes: bytes) == [false]) }
    }

    @Test func `errors are told apart from the rest, and only where they are the whole reply`() throws {
        let text = "-ERR no\r\n+OK\r\n!5\r\nERR x\r\n*1\r\n-ERR inside\r\n:1\r\n"
        for bytes in 1...text.utf8.count { #expect(try Self.scan(text, pieceBytes: bytes) == [true, false, true, false, false]) }
    }

    @Test(arguments: ["?\r\n", "\r\n", "$abc\r\n", "$-2\r\n", "*99999999999999999999\r\n", "$600000000\r\n", "*4294967296\r\n*4294967296\r\n", "%4294967296\r\n"])
    func `what is no reply is malformed`(_ text: String) {
        #expect(throws: ReplyScanner.Malformed.self) { try Self.scan(text, pieceBytes: 64) }
    }

    @Test func `a line without an end is refused at its limit`() throws {
        #expect(throws: ReplyScanner.Malformed.self) { try Self.scan("+" + String(repeating: "a", count: ReplyScanner.lineBytesMax), pieceBytes: 1 << 20) }
    }
}
