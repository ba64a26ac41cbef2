import HTTPSemantics
import NIOCore
import Testing

@testable import HTTP1Wire

@Suite struct HTTP1BodyDecoderTests {
    /// The body's bytes, and what is left in the buffer behind it.
    private func decode(
        _ framing: BodyFraming, _ wire: String, limits: HTTP1Limits = HTTP1Limits()
    ) throws(HTTP1Error) -> (body: String, trailers: FieldSection, rest: String)? {
        var decoder = HTTP1BodyDecoder(framing, limits: limits)
        var buffer = ByteBuffer(bytes: wire.latin1)
        var body: [UInt8] = []
        while true {
            switch try decoder.next(&buffer) {
            case .bytes(let slice): body += slice.readableBytesView
            case .needMore: return nil
            case .end:
                #expect(decoder.isComplete)
                return (String(latin1: body), decoder.trailers, String(latin1: buffer.readableBytesView))
            }
        }
    }

    // MARK: Whose bytes are whose

    @Test func `what follows a body is left for the next message`() throws {
        #expect(try decode(.none, "next")?.rest == "next")
        let length = try #require(try decode(.length(3), "abcnext"))
        #expect(length.body == "abc" && length.rest == "next")
        let chunked = try #require(try decode(.chunked, "2\r\nab\r\n1\r\nc\r\n0\r\n\r\nnext"))
        #expect(chunked.body == "abc" && chunked.rest == "next")
    }

    @Test func `a body of nothing is complete at once`() throws {
        #expect(HTTP1BodyDecoder(.none).isComplete)
        #expect(HTTP1BodyDecoder(.length(0)).isComplete)
        #expect(!HTTP1BodyDecoder(.chunked).isComplete)
        #expect(!HTTP1BodyDecoder(.untilClose).isComplete)
    }

    @Test func `the end is said again and again`() throws {
        var decoder = HTTP1BodyDecoder(.length(1))
        var buffer = ByteBuffer(string: "ab")
        guard case .bytes = try decoder.next(&buffer), case .end = try decoder.next(&buffer),
            case .end = try decoder.next(&buffer)
        else {
            Issue.record("not bytes, end, end")
            return
        }
        #expect(buffer.readableBytes == 1)
        #expect(throws: Never.self) { try decoder.inputClosed() }
    }

    @Test func `a chunk comes out as soon as some of it is there`() throws {
        var decoder = HTTP1BodyDecoder(.chunked)
        var buffer = ByteBuffer(string: "7fffffffffffffff\r\nab")
        guard case .bytes(let slice) = try decoder.next(&buffer) else {
            Issue.record("nothing came")
            return
        }
        #expect(String(buffer: slice) == "ab")
        guard case .needMore = try decoder.next(&buffer) else {
            Issue.record("more came")
            return
        }
    }

    // MARK: Chunk lines

    @Test(arguments: [
        "3", "03", "0000000000000003", "3;a", "3;a=b", "3 ; a", "3\t;\ta = b", "3;a=\"b\"", "3;a=\"\"",
        "3;a=\"\\\"\\\\\\\u{9}\u{80}\"", "3;a;b;c=d",
        "3;a=\"b\" ;c", "3;a=b ;c", "3;a ;b", "3;!#$%&'*+-.^_`|~=1", "3;a=\";=\"",
    ])
    func `RFC 9112 §7.1.1: extensions are read over`(line: String) throws {
        let decoded = try #require(
            try decode(.chunked, "\(line)\r\nabc\r\n\(line.replacing("3", with: "0", maxReplacements: 1))\r\n\r\n"))
        #expect(decoded.body == "abc")
    }

    @Test(arguments: [("a", 10), ("A", 10), ("F", 15), ("1f", 31), ("10", 16), ("Ff", 255)] as [(String, Int)])
    func `a size is hexadecimal in any case`(digits: String, size: Int) throws {
        let decoded = try #require(try decode(.chunked, "\(digits)\r\n\(String(repeating: "x", count: size))\r\n0\r\n\r\n"))
        #expect(decoded.body.count == size)
    }

    // MARK: Trailers

    @Test func `trailers that would change how a message is read are dropped`() throws {
        let wire =
            "0\r\nX-Sum: 1\r\nContent-Length: 5\r\nETag: \"x\"\r\nTransfer-Encoding: chunked\r\nHost: b\r\nSet-Cookie: a=b\r\n"
            + "Authorization: x\r\nCache-Control: public\r\nContent-Type: text/html\r\nServer-Timing: db\r\nX-Sum: 2\r\n\r\n"
        let trailers = try #require(try decode(.chunked, wire)).trailers
        let names = trailers.lines.indices.map { String(copying: trailers.name(at: $0)) }
        #expect(names == ["X-Sum", "ETag", "Server-Timing", "X-Sum"])
        #expect(String(copying: trailers.value(at: 3)) == "2")
    }

    @Test func `no trailer may have what frames, routes or authorises`() {
        let allowed = FieldName.allCases.filter(\.isAllowedInTrailers)
        #expect(allowed == [.other, .etag, .serverTiming])
    }

    // MARK: Limits

    @Test func `an extension of the limit passes, one byte more does not`() throws {
        let limits = HTTP1Limits(chunkExtensionBytesMax: 20)
        func body(_ count: Int) -> String { "1;\(String(repeating: "a", count: count - 1))\r\nx\r\n0\r\n\r\n" }
        #expect(try decode(.chunked, body(20), limits: limits)?.body == "x")
        #expect(throws: HTTP1Error(.chunkExtensionTooLong)) { try decode(.chunked, body(21), limits: limits) }
        // As soon as that is certain.
        #expect(throws: HTTP1Error(.chunkExtensionTooLong)) {
            try decode(.chunked, "1;\(String(repeating: "a", count: 20))", limits: limits)
        }
        // The limit is for one chunk, not for all together.
        #expect(try decode(.chunked, "1;aaaaaaaaaaaaaaaa\r\nx\r\n0;aaaaaaaaaaaaaaaa\r\n\r\n", limits: limits)?.body == "x")
    }

    @Test func `a trailer section of the limit passes, one byte more does not`() throws {
        let limits = HTTP1Limits(trailerBytesMax: 30)
        func body(_ count: Int) -> String { "0\r\nX: \(String(repeating: "a", count: count - 7))\r\n\r\n" }
        #expect(try decode(.chunked, body(30), limits: limits) != nil)
        #expect(throws: HTTP1Error(.trailersTooLarge)) { try decode(.chunked, body(31), limits: limits) }
    }

    @Test func `as many trailers as the limit pass, one more does not, dropped ones included`() throws {
        let limits = HTTP1Limits(fieldCountMax: 2)
        #expect(try decode(.chunked, "0\r\nX: y\r\nHost: a\r\n\r\n", limits: limits)?.trailers.lines.count == 1)
        #expect(throws: HTTP1Error(.fieldsTooMany)) {
            try decode(.chunked, "0\r\nHost: a\r\nHost: a\r\nHost: a\r\n\r\n", limits: limits)
        }
    }

    @Test func `a size of 63 bits passes, of 64 does not`() throws {
        #expect(try decode(.chunked, "7FFFFFFFFFFFFFFF\r\n") == nil)
        #expect(throws: HTTP1Error(.chunkSizeTooLarge)) { try decode(.chunked, "8000000000000000") }
        #expect(throws: HTTP1Error(.chunkSizeMalformed)) { try decode(.chunked, "00000000000000000") }
    }

    // MARK: The connection ends

    @Test(
        arguments: [
            (BodyFraming.length(3), "ab"), (.length(3), ""), (.chunked, ""), (.chunked, "3"), (.chunked, "3\r"),
            (.chunked, "3\r\n"), (.chunked, "3\r\nab"),
            (.chunked, "3\r\nabc"), (.chunked, "3\r\nabc\r"), (.chunked, "3\r\nabc\r\n"), (.chunked, "0\r\n"),
            (.chunked, "0\r\nX: y\r\n"),
            (.chunked, "0\r\n\r"), (.chunked, "0;a"),
        ] as [(BodyFraming, String)])
    func `a body cut short is never complete`(framing: BodyFraming, wire: String) throws {
        var decoder = HTTP1BodyDecoder(framing)
        var buffer = ByteBuffer(string: wire)
        while case .bytes = try decoder.next(&buffer) {}
        #expect(!decoder.isComplete)
        #expect(throws: HTTP1Error(.truncated)) { try decoder.inputClosed() }
    }

    @Test func `a body that ends with its connection has all bytes that came before`() throws {
        var decoder = HTTP1BodyDecoder(.untilClose)
        var buffer = ByteBuffer(string: "ab")
        guard case .bytes = try decoder.next(&buffer), case .needMore = try decoder.next(&buffer) else {
            Issue.record("not bytes, then more")
            return
        }
        #expect(!decoder.isComplete)
        buffer.writeString("cd")
        try decoder.inputClosed()
        try decoder.inputClosed()
        guard case .bytes(let last) = try decoder.next(&buffer), case .end = try decoder.next(&buffer) else {
            Issue.record("not the last bytes, then the end")
            return
        }
        #expect(String(buffer: last) == "cd")
    }

    // MARK: Work

    @Test func `trailers that come one byte at a time are looked at once`() {
        let wire =
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
            + String(repeating: "X: \(String(repeating: "x", count: 75))\r\n", count: 98) + "\r\n"
        let elapsed = ContinuousClock().measure {
            #expect(Conversation.eventsByteByByte(.client, wire.latin1).count == 2)
        }
        #expect(elapsed < .seconds(10))
    }
}
