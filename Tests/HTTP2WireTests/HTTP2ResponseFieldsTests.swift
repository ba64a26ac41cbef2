import HTTPSemantics
import NIOCore
import Testing

@testable import HTTP2Wire

/// What a response of HTTP/2 must be, and what a request becomes on its way there, by section of RFC 9113.
@Suite struct HTTP2ResponseFieldsTests {
    private static func read(
        _ fields: [(String, String)], answering method: HTTPSemantics.Method = .get, endsStream: Bool = false, isTrailers: Bool = false
    ) -> (fault: HTTP2ResponseFields.Fault?, head: ResponseHead) {
        var head = ResponseHead()
        var reading = HTTP2ResponseFields(limits: .init(headBytesMax: 4096, fieldCountMax: 20), isTrailers: isTrailers)
        for (name, value) in fields {
            let (name, value) = (Array(name.utf8), Array(value.utf8))
            reading.add(FieldName(name.span), name.span, value.span, to: &head.fields)
        }
        return (reading.finish(&head, answering: method, endsStream: endsStream), head)
    }

    @Test func `where a body ends is said by its length, or by its stream`() {
        let ok = (":status", "200")
        #expect(Self.read([ok]).head.framing == .chunked)
        #expect(Self.read([ok], endsStream: true).head.framing == .length(0))
        #expect(Self.read([ok, ("content-length", "5")]).head.framing == .length(5))
        #expect(Self.read([ok, ("content-length", "0")], endsStream: true).fault == nil)
        #expect(Self.read([ok, ("content-length", "5")], endsStream: true).fault == .contentLength)
        #expect(Self.read([ok, ("content-length", "5")], answering: .head, endsStream: true) .head.framing == .none)
        #expect(Self.read([(":status", "304"), ("content-length", "5")], endsStream: true).fault == nil)
        #expect(Self.read([(":status", "204")], endsStream: true).head.framing == .none)
        #expect(Self.read([(":status", "103"), ("link", "</a>")]).fault == nil)
        #expect(Self.read([(":status", "103")], endsStream: true).fault == .interim)
    }

    @Test func `fields are those of HTTP-1`() {
        let (fault, head) = Self.read([(":status", "200"), ("content-type", "text/plain"), ("x-a", "b"), ("set-cookie", "a=1"), ("set-cookie", "b=2")])
        #expect(fault == nil && head.status == 200 && head.keepsAlive)
        #expect(head.fields.string(.contentType) == "text/plain" && head.fields.count(of: .setCookie) == 2)
    }

    @Test(arguments: [
        ([], .status), ([(":status", "20")], .status), ([(":status", "2000")], .status), ([(":status", "2 0")], .status), ([(":status", "099")], .status),
        ([(":status", "101")], .status), ([(":status", "200"), (":status", "200")], .pseudoField), ([("a", "b"), (":status", "200")], .pseudoField),
        ([(":path", "/"), (":status", "200")], .pseudoField), ([(":Status", "200")], .pseudoField),
        ([(":status", "200"), ("Content-Type", "a")], .field), ([(":status", "200"), ("a b", "c")], .field), ([(":status", "200"), ("", "c")], .field),
        ([(":status", "200"), ("a", "b\r\nc: d")], .field), ([(":status", "200"), ("a", "b\0")], .field), ([(":status", "200"), ("a", " b")], .field),
        ([(":status", "200"), ("connection", "close")], .connectionSpecific), ([(":status", "200"), ("transfer-encoding", "chunked")], .connectionSpecific),
        ([(":status", "200"), ("keep-alive", "1")], .connectionSpecific), ([(":status", "200"), ("proxy-connection", "a")], .connectionSpecific),
        ([(":status", "200"), ("upgrade", "a")], .connectionSpecific), ([(":status", "200"), ("te", "trailers")], .connectionSpecific),
        ([(":status", "200"), ("content-length", "5"), ("content-length", "5")], .contentLength), ([(":status", "200"), ("content-length", "+5")], .contentLength),
        ([(":status", "200"), ("a", String(repeating: "b", count: 5000))], .tooLarge),
        ([(":status", "200")] + (0..<20).map { ("a\($0)", "b") }, .tooLarge),
    ] as [([(String, String)], HTTP2ResponseFields.Fault)])
    func `what is malformed has its reason`(fields: [(String, String)], fault: HTTP2ResponseFields.Fault) {
        #expect(Self.read(fields).fault == fault)
    }

    @Test func `trailers have no pseudo-fields, and only what may stand there is kept`() {
        let (fault, head) = Self.read([("x-sum", "7"), ("content-length", "3"), ("etag", "\"a\"")], isTrailers: true)
        #expect(fault == nil && head.fields.lines.count == 2)
        #expect(Self.read([(":status", "200")], isTrailers: true).fault == .trailers)
        #expect(Self.read([("X-Sum", "200")], isTrailers: true).fault == .field)
    }

    // MARK: Requests

    private static func write(_ head: String, isSecure: Bool = false) throws -> [String] {
        var block = ByteBuffer()
        block.writeHPACKRequest(ByteBuffer(string: head), isSecure: isSecure)
        var fields: [String] = []
        var decoder = HeaderBlockDecoder()
        try decoder.decode(block.readableBytesUInt8Span) { _, name, value in fields.append("\(String(copying: name)): \(String(copying: value))") }
        return fields
    }

    @Test func `a request of HTTP-1 becomes one of HTTP-2, and nothing of its connection goes along`() throws {
        let head = "GET /a?b HTTP/1.1\r\nX-First: 1\r\nHost: a.example\r\nConnection: TE, close\r\nKeep-Alive: 5\r\nTransfer-Encoding: chunked\r\n"
            + "Upgrade: h2c\r\nProxy-Connection: x\r\nTE: trailers\r\nHost: b.example\r\nCookie: a=1; b=2\r\nX-Empty:\r\n\r\n"
        #expect(try Self.write(head) == [
            ":method: GET", ":scheme: http", ":authority: a.example", ":path: /a?b", "x-first: 1", "te: trailers", "cookie: a=1; b=2", "x-empty: ",
        ])
        #expect(try Self.write("POST / HTTP/1.1\r\nHost: a\r\nTE: gzip\r\n\r\n", isSecure: true) == [":method: POST", ":scheme: https", ":authority: a", ":path: /"])
        #expect(try Self.write("OPTIONS * HTTP/1.1\r\n\r\n") == [":method: OPTIONS", ":scheme: http", ":path: *"])
        #expect(try Self.write("M-SEARCH /x HTTP/1.1\r\nHost: \(String(repeating: "h", count: 300))\r\n\r\n")[2].count == 312)
    }

    @Test func `a head that is cut anywhere makes a block that can be read`() throws {
        let head = "GET /a?b HTTP/1.1\r\nHost: a.example\r\nTE: trailers\r\n\r\n"
        for count in 0...head.utf8.count { #expect(throws: Never.self) { try Self.write(String(head.prefix(count))) } }
    }
}
