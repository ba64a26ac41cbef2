import HTTPSemantics
import NIOCore
import Testing

@testable import HTTP1Wire

@Suite struct HTTP1ResponseParserTests {
    private func parse(
        _ wire: String, answering method: Method = .get, limits: HTTP1Limits = HTTP1Limits()
    ) throws(HTTP1Error) -> ResponseHead? {
        var parser = HTTP1ResponseParser(limits: limits)
        var buffer = ByteBuffer(bytes: wire.latin1)
        var head = ResponseHead()
        return try parser.parse(&buffer, into: &head, answering: method) ? head : nil
    }

    @Test(arguments: Examples.refusals.filter { $0.example.sender != .client })
    func `what is wrong with a response is the upstream's fault: 502`(refusal: Refusal) {
        // Bodies are decoded by who does not know whose they are: see HTTP1BodyDecoderTests.
        var parser = HTTP1ResponseParser()
        var buffer = ByteBuffer(bytes: refusal.example.wire)
        var head = ResponseHead()
        do throws(HTTP1Error) {
            _ = try parser.parse(&buffer, into: &head, answering: .get)
        } catch {
            #expect(error.status == 502)
            #expect(error.code == refusal.code)
        }
    }

    @Test(arguments: [100, 101, 199, 200, 204, 299, 304, 404, 599, 600, 999])
    func `any status of three digits from 100 on is read`(status: Int) throws {
        #expect(try parse("HTTP/1.1 \(status) X\r\n\r\n")?.status == status)
    }

    @Test(
        arguments: [
            (200, "", Method.get, BodyFraming.untilClose, false), (200, "Content-Length: 5", .get, .length(5), true),
            (200, "Content-Length: 0", .get, .length(0), true), (200, "Transfer-Encoding: chunked", .get, .chunked, true),
            (200, "Content-Length: 5\r\nConnection: close", .get, .length(5), false),
            (200, "Content-Length: 5", .head, .none, true), (200, "Transfer-Encoding: chunked", .head, .none, true),
            (200, "", .head, .none, true),
            (304, "Content-Length: 5", .get, .none, true), (304, "Transfer-Encoding: chunked", .get, .none, true),
            (304, "", .get, .none, true),
            (204, "", .get, .none, true), (204, "Content-Length: 0", .get, .none, true),
            // A body may follow all the same: it must not be taken for the next response.
            (204, "Content-Length: 5", .get, .none, false), (204, "Transfer-Encoding: chunked", .get, .none, false),
            (103, "", .get, .none, true), (103, "Content-Length: 5", .get, .none, false), (101, "", .get, .none, true),
            (200, "", .connect, .none, true), (299, "Content-Length: 5", .connect, .none, false),
            (404, "Content-Length: 5", .connect, .length(5), true), (205, "Content-Length: 0", .get, .length(0), true),
            (500, "", .post, .untilClose, false),
        ] as [(Int, String, Method, BodyFraming, Bool)])
    func `RFC 9112 §6.3: what follows a response's head`(
        status: Int, lines: String, method: Method, framing: BodyFraming, keepsAlive: Bool
    ) throws {
        let fields = lines.isEmpty ? "" : lines + "\r\n"
        let head = try #require(try parse("HTTP/1.1 \(status) X\r\n\(fields)\r\n", answering: method))
        #expect(head.framing == framing)
        #expect(head.keepsAlive == keepsAlive)
    }

    @Test func `an upstream of HTTP/1.0 keeps its connection only if it says so`() throws {
        #expect(try parse("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n")?.keepsAlive == false)
        #expect(try parse("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n")?.keepsAlive == true)
        #expect(try parse("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n")?.keepsAlive == false)
    }

    @Test func `a response needs no Host, may repeat it, and expects nothing`() {
        #expect(throws: Never.self) { try parse("HTTP/1.1 200 OK\r\nHost: a b\r\nHost: c\r\nExpect: tea\r\n\r\n") }
    }

    @Test func `the head is untouched until a new one is whole`() throws {
        var parser = HTTP1ResponseParser()
        var head = ResponseHead()
        var buffer = ByteBuffer(string: "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\nETag: \"x\"\r\n")
        #expect(try parser.parse(&buffer, into: &head, answering: .get))
        #expect(try !parser.parse(&buffer, into: &head, answering: .get))
        #expect(head.status == 103)
        buffer.writeString("\r\n")
        #expect(try parser.parse(&buffer, into: &head, answering: .get))
        #expect(head.status == 200)
        #expect(head.fields.string(.etag) == "\"x\"")
        #expect(!head.fields.contains(.link))
    }

    // MARK: Limits

    @Test func `a status line of the limit passes, one byte more does not`() throws {
        let limits = HTTP1Limits(requestLineBytesMax: 60)
        func line(_ count: Int) -> String { "HTTP/1.1 200 \(String(repeating: "a", count: count - 13))\r\n\r\n" }
        #expect(try parse(line(60), limits: limits) != nil)
        #expect(throws: HTTP1Error(.statusLineTooLong)) { try parse(line(61), limits: limits) }
        // And without its end, as soon as that is certain.
        #expect(try parse(String(line(61).prefix(60)), limits: limits) == nil)
        #expect(throws: HTTP1Error(.statusLineTooLong)) { try parse(String(line(61).prefix(61)), limits: limits) }
    }

    @Test func `a head of the limit passes, one byte more does not`() throws {
        let limits = HTTP1Limits(headBytesMax: 100)
        func head(_ count: Int) -> String { "HTTP/1.1 200 OK\r\nX: \(String(repeating: "a", count: count - 24))\r\n\r\n" }
        #expect(try parse(head(100), limits: limits) != nil)
        #expect(throws: HTTP1Error(.headTooLarge).fromUpstream) { try parse(head(101), limits: limits) }
    }

    @Test func `as many fields as the limit pass, one more does not`() throws {
        let limits = HTTP1Limits(fieldCountMax: 3)
        func head(_ count: Int) -> String { "HTTP/1.1 200 OK\r\n\(String(repeating: "X: y\r\n", count: count))\r\n" }
        #expect(try parse(head(3), limits: limits) != nil)
        #expect(throws: HTTP1Error(.fieldsTooMany).fromUpstream) { try parse(head(4), limits: limits) }
    }
}
