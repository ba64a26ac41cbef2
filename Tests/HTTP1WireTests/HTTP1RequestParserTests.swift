import HTTPSemantics
import NIOCore
import Testing

@testable import HTTP1Wire

@Suite struct HTTP1RequestParserTests {
    private func parse(_ wire: String, limits: HTTP1Limits = HTTP1Limits()) throws(HTTP1Error) -> RequestHead? {
        var parser = HTTP1RequestParser(limits: limits)
        var buffer = ByteBuffer(bytes: wire.latin1)
        var head = RequestHead()
        return try parser.parse(&buffer, into: &head) ? head : nil
    }

    private func text(_ head: RequestHead, _ range: Range<Int>) -> String { String(latin1: head.fields.bytes[range]) }

    // MARK: What a head says

    @Test func `a head has its method, target, authority and fields`() throws {
        let head = try #require(try parse("PATCH /a?b HTTP/1.1\r\nhOsT: Example.org:81\r\nX-Odd:  v w \t\r\nAccept:\r\n\r\n"))
        #expect(head.method == .patch)
        #expect(text(head, head.methodRange) == "PATCH")
        #expect(text(head, head.target) == "/a?b")
        #expect(text(head, head.authority) == "Example.org:81")
        #expect(head.minorVersion == 1)
        #expect(head.framing == .none)
        #expect(head.fields.lines.map(\.name) == [.host, .other, .accept])
        #expect(String(copying: head.fields.name(at: 0)) == "hOsT")
        #expect(String(copying: head.fields.value(at: 1)) == "v w")
        #expect(head.fields.lines[2].valueCount == 0)
    }

    @Test(
        arguments: [
            ("GET", Method.get), ("HEAD", .head), ("POST", .post), ("PUT", .put), ("DELETE", .delete), ("OPTIONS", .options),
            ("TRACE", .trace), ("PATCH", .patch), ("get", .other), ("GETS", .other), ("PROPFIND", .other),
            ("!#$%&'*+-.^_`|~", .other),
        ] as [(String, Method)])
    func `methods are known by their exact bytes`(name: String, method: Method) throws {
        let head = try #require(try parse("\(name) / HTTP/1.1\r\nHost: a\r\n\r\n"))
        #expect(head.method == method)
        #expect(text(head, head.methodRange) == name)
    }

    @Test(
        arguments: [
            ("GET /x?y HTTP/1.1", "a", "/x?y", "a"),
            ("GET http://a/x?y HTTP/1.1", "a", "/x?y", "a"),
            ("GET http://A:80/x HTTP/1.1", "a", "/x", "A:80"),
            ("GET https://a/x HTTP/1.1", "a:443", "/x", "a"),
            ("GET HtTp://a HTTP/1.1", "a", "/", "a"),
            ("GET http://a? HTTP/1.1", "a", "/?", "a"),
            ("GET http://a?q=/ HTTP/1.1", "a:", "/?q=/", "a"),
            ("GET http://[::1]:8080/ HTTP/1.1", "[::1]:8080", "/", "[::1]:8080"),
            ("OPTIONS * HTTP/1.1", "a", "*", "a"),
            ("OPTIONS http://a HTTP/1.1", "a", "*", "a"),
            ("OPTIONS http://a?q HTTP/1.1", "a", "/?q", "a"),
            ("OPTIONS http://a/ HTTP/1.1", "a", "/", "a"),
            ("CONNECT a:443 HTTP/1.1", "A:443", "a:443", "a:443"),
            ("GET //a/x HTTP/1.1", "b", "//a/x", "b"),
        ] as [(String, String, String, String)])
    func `the four forms of a target give path and authority`(line: String, host: String, target: String, authority: String)
        throws
    {
        let head = try #require(try parse("\(line)\r\nHost: \(host)\r\nX: y\r\n\r\n"))
        #expect(text(head, head.target) == target)
        #expect(text(head, head.authority) == authority)
        #expect(head.fields.string(.host) == host)
    }

    @Test(arguments: [
        ("a", true), ("A.example", true), ("a:", true), ("a:0", true), ("a:65535", true), ("a:00080", true),
        ("127.0.0.1:80", true),
        ("[::1]", true), ("[::ffff:1.2.3.4]:8", true), ("%41b", true), ("a_b~c!$&'()*+,;=", true), ("a:65536", false),
        ("a:99999999999999999999", false), ("a:8 ", true), ("a:8x", false), ("[:]", false), ("[g::1]", false),
        ("[::1]]", false),
    ])
    func `a Host is a host and perhaps a port`(host: String, isValid: Bool) {
        if isValid {
            #expect(throws: Never.self) { try parse("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n") }
        } else {
            #expect(throws: HTTP1Error(.hostInvalid)) { try parse("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n") }
        }
    }

    @Test(
        arguments: [
            ("1.1", "", true), ("1.1", "Connection: keep-alive", true), ("1.1", "Connection: close", false),
            ("1.1", "Connection: CLOSE", false), ("1.1", "Connection: x, , close ,", false),
            ("1.1", "Connection: x\r\nConnection: close", false),
            ("1.1", "Connection: closed", true), ("1.1", "Connection: keep-alive, close", false), ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive", true), ("1.0", "Connection: x,keep-alive", true),
            ("1.0", "Connection: keep-alive, close", false),
            ("1.2", "", true),
        ] as [(String, String, Bool)])
    func `RFC 9112 §9.3: who keeps the connection`(version: String, connection: String, keepsAlive: Bool) throws {
        let lines = connection.isEmpty ? "" : connection + "\r\n"
        let head = try #require(try parse("GET / HTTP/\(version)\r\nHost: a\r\n\(lines)\r\n"))
        #expect(head.keepsAlive == keepsAlive)
    }

    @Test func `a later minor version counts as 1`() throws {
        #expect(try parse("GET / HTTP/1.9\r\nHost: a\r\n\r\n")?.minorVersion == 1)
        #expect(try parse("GET / HTTP/1.0\r\n\r\n")?.minorVersion == 0)
    }

    @Test func `framing is none, a length, or chunked`() throws {
        func framing(_ lines: String) throws -> BodyFraming? {
            try parse("POST / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n\r\n")?.framing
        }
        #expect(try framing("X: y") == BodyFraming.none)
        #expect(try framing("Content-Length: 0") == .length(0))
        #expect(try framing("Content-Length:\t007 ") == .length(7))
        #expect(try framing("Content-Length: 9223372036854775807") == .length(.max))
        #expect(try framing("Transfer-Encoding: CHUNKED") == .chunked)
    }

    @Test func `an expectation counts when a body follows and the client knows of interim answers`() throws {
        func expects(_ version: String, _ lines: String) throws -> Bool? {
            try parse("POST / HTTP/\(version)\r\nHost: a\r\nExpect: 100-continue\r\n\(lines)\r\n\r\n")?.expectsContinue
        }
        #expect(try expects("1.1", "Content-Length: 1") == true)
        #expect(try expects("1.1", "Transfer-Encoding: chunked") == true)
        #expect(try expects("1.1", "Content-Length: 0") == false)
        #expect(try expects("1.1", "X: y") == false)
        #expect(try expects("1.0", "Content-Length: 1") == false)
    }

    @Test func `an empty Host is refused, for http has none`() {
        #expect(throws: HTTP1Error(.hostInvalid)) { try parse("GET / HTTP/1.1\r\nHost:\r\n\r\n") }
        #expect(throws: HTTP1Error(.hostInvalid)) { try parse("GET / HTTP/1.0\r\nHost: \r\n\r\n") }
    }

    // MARK: Reuse

    @Test func `the head is untouched until a new one is whole`() throws {
        var parser = HTTP1RequestParser()
        var head = RequestHead()
        var buffer = ByteBuffer(string: "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n")
        #expect(try parser.parse(&buffer, into: &head))
        #expect(try !parser.parse(&buffer, into: &head))
        #expect(text(head, head.target) == "/1")
        #expect(head.fields.string(.host) == "a")
        buffer.writeString("\r\n")
        #expect(try parser.parse(&buffer, into: &head))
        #expect(text(head, head.target) == "/2")
        #expect(head.fields.string(.host) == "b")
        #expect(buffer.readableBytes == 0)
    }

    @Test func `a head says nothing of the one whose memory it took`() throws {
        var parser = HTTP1RequestParser()
        var head = RequestHead()
        var buffer = ByteBuffer(
            string:
                "POST http://a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\nCookie: x\r\n\r\n"
                + "GET /2 HTTP/1.1\r\nHost: b\r\n\r\n"
        )
        #expect(try parser.parse(&buffer, into: &head))
        #expect(try parser.parse(&buffer, into: &head))
        #expect(head.framing == .none)
        #expect(head.keepsAlive)
        #expect(!head.fields.contains(.cookie) && !head.fields.contains(.connection))
        #expect(text(head, head.authority) == "b")
    }

    @Test func `one empty line may precede each request, not only the first`() {
        let wire = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
        let events = Conversation.events(.client, wire.latin1[...])
        #expect(events.count == 4)
        #expect(events.last == .end("[]"))
    }

    // MARK: Limits

    /// - Returns: whether a head is accepted; `code` when not.
    private func accepts(_ wire: String, _ limits: HTTP1Limits, else code: HTTP1Error.Code) -> Bool {
        do throws(HTTP1Error) {
            return try parse(wire, limits: limits) != nil
        } catch {
            #expect(error.code == code)
            return false
        }
    }

    @Test func `a request line of the limit passes, one byte more does not`() {
        let limits = HTTP1Limits(requestLineBytesMax: 100)
        func line(_ count: Int) -> String { "GET /\(String(repeating: "a", count: count - 14)) HTTP/1.1\r\nHost: a\r\n\r\n" }
        #expect(accepts(line(100), limits, else: .requestLineTooLong))
        #expect(!accepts(line(101), limits, else: .requestLineTooLong))
        #expect(HTTP1Error(.requestLineTooLong).status == 414)
    }

    @Test(
        arguments: [
            ("GET /\(String(repeating: "a", count: 95))", 100), (String(repeating: "G", count: 100), 100), ("GET / H", 13),
        ] as [(String, Int)])
    func `a request line that cannot end within the limit is refused before it ends`(start: String, limit: Int) {
        #expect(throws: HTTP1Error(.requestLineTooLong)) { try parse(start, limits: HTTP1Limits(requestLineBytesMax: limit)) }
    }

    @Test func `a head of the limit passes, one byte more does not`() {
        let limits = HTTP1Limits(headBytesMax: 200)
        func head(_ count: Int) -> String {
            let start = "GET / HTTP/1.1\r\nHost: a\r\nX: "
            return start + String(repeating: "x", count: count - start.utf8.count - 4) + "\r\n\r\n"
        }
        #expect(accepts(head(200), limits, else: .headTooLarge))
        #expect(!accepts(head(201), limits, else: .headTooLarge))
        #expect(HTTP1Error(.headTooLarge).status == 431)
        // What follows the head is no part of it.
        #expect(accepts(head(200) + String(repeating: "y", count: 500), limits, else: .headTooLarge))
    }

    @Test func `a head that cannot end within the limit is refused before it ends`() {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: "
        let limits = HTTP1Limits(headBytesMax: 200)
        #expect(throws: HTTP1Error(.headTooLarge)) {
            try parse(start + String(repeating: "x", count: 200 - start.utf8.count), limits: limits)
        }
        #expect(throws: Never.self) { try parse(start + String(repeating: "x", count: 199 - start.utf8.count), limits: limits) }
    }

    @Test func `as many fields as the limit pass, one more does not`() {
        let limits = HTTP1Limits(fieldCountMax: 7)
        func head(_ count: Int) -> String {
            "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "X: y\r\n", count: count - 1) + "\r\n"
        }
        #expect(accepts(head(7), limits, else: .fieldsTooMany))
        #expect(!accepts(head(8), limits, else: .fieldsTooMany))
        #expect(HTTP1Error(.fieldsTooMany).status == 431)
    }

    @Test func `as many connection options as the limit pass, on one line or several, one more does not`() {
        func head(_ count: Int, by separator: String) -> String {
            let options = Array(repeating: "x", count: count).joined(separator: separator)
            return "GET / HTTP/1.1\r\nHost: a\r\nConnection: \(options)\r\n\r\n"
        }
        for separator in [", ", ",,", "\r\nConnection: "] {
            #expect(accepts(head(64, by: separator), HTTP1Limits(), else: .connectionMalformed))
            #expect(!accepts(head(65, by: separator), HTTP1Limits(), else: .connectionMalformed))
        }
    }

    @Test func `a name and a value of 65,535 bytes pass, one byte more does not`() {
        let limits = HTTP1Limits(headBytesMax: 1 << 20)
        func name(_ count: Int) -> String { "GET / HTTP/1.1\r\nHost: a\r\n\(String(repeating: "n", count: count)): y\r\n\r\n" }
        func value(_ count: Int) -> String { "GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "v", count: count))\r\n\r\n" }
        #expect(accepts(name(65_535), limits, else: .fieldTooLong))
        #expect(!accepts(name(65_536), limits, else: .fieldTooLong))
        #expect(accepts(value(65_535), limits, else: .fieldTooLong))
        #expect(!accepts(value(65_536), limits, else: .fieldTooLong))
    }

    @Test func `white space around a value is not of it, and does not count for its length`() throws {
        let spaces = String(repeating: " ", count: 70_000)
        let head = try #require(
            try parse("GET / HTTP/1.1\r\nHost:\(spaces)a\(spaces)\r\n\r\n", limits: HTTP1Limits(headBytesMax: 1 << 20)))
        #expect(head.fields.string(.host) == "a")
    }

    // MARK: Work

    @Test func `a head that comes one byte at a time is looked at once`() throws {
        // A parser that began anew with each byte would take 32,000² / 2 steps here: half a minute, not a moment.
        let wire =
            "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "X: \(String(repeating: "x", count: 300))\r\n", count: 98)
            + "\r\n"
        let clock = ContinuousClock()
        let elapsed = clock.measure {
            #expect(Conversation.eventsByteByByte(.client, wire.latin1).count == 2)
        }
        #expect(elapsed < .seconds(10))
    }
}
