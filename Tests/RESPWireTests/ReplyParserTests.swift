import Testing

@testable import RESPWire

@Suite struct ReplyParserTests {
    private static let samples: [(text: String, reply: RESPReply)] = [
        ("+OK\r\n", .simple(Array("OK".utf8))), ("-ERR no\r\n", .error(Array("ERR no".utf8))), (":-12\r\n", .integer(-12)),
        ("$3\r\na\r\n\r\n", .bulk(Array("a\r\n".utf8))), ("$0\r\n\r\n", .bulk([])), ("$-1\r\n", .null), ("*-1\r\n", .null), ("_\r\n", .null),
        ("#t\r\n", .integer(1)), (",1.5\r\n", .simple(Array("1.5".utf8))), ("=7\r\ntxt:abc\r\n", .bulk(Array("abc".utf8))),
        ("*2\r\n:1\r\n*1\r\n$-1\r\n", .array([.integer(1), .array([.null])])), ("%1\r\n+a\r\n:1\r\n", .array([.simple([0x61]), .integer(1)])),
        (">1\r\n+x\r\n", .push([.simple([0x78])])), ("*0\r\n", .array([])),
    ]

    @Test func `replies are read whole, and at every split`() throws {
        for (text, reply) in Self.samples {
            let bytes = Array(text.utf8) + Array("+next".utf8)
            for count in 0...bytes.count {
                var parser = ReplyParser()
                let found = try bytes[..<count].withUnsafeBytes { try parser.next($0) }
                if count < text.utf8.count {
                    #expect(found == nil, "\(text) at \(count)")
                    #expect(count + parser.missingBytes <= text.utf8.count)
                } else {
                    #expect(found?.reply == reply && found?.bytes == text.utf8.count, "\(text)")
                }
            }
        }
    }

    @Test func `what is no reply, or too large, is refused`() {
        let bad = [
            "?\r\n", "\r\n", ":x\r\n", "$x\r\n", "$-2\r\n", "$1\r\nab\r\n", "+a\n", "*-2\r\n", "$536870913\r\n", "*1048577\r\n",
            String(repeating: "*1\r\n", count: 18) + ":1\r\n", "*1048576\r\n*1\r\n:1\r\n", "%1048576\r\n", "+" + String(repeating: "x", count: 70_000),
        ]
        for text in bad {
            var parser = ReplyParser()
            #expect(throws: RESPError.self, "\(text.prefix(20))") { try Array(text.utf8).withUnsafeBytes { try parser.next($0) } }
        }
    }
}
