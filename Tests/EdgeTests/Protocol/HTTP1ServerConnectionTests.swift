import HTTP1Wire
import HTTPSemantics
import NIOCore
import Testing

@testable import Edge

@Suite struct HTTP1ServerConnectionTests {
    private func connection(_ change: (inout EdgeConfiguration.Limits) -> Void = { _ in }) -> HTTP1ServerConnection {
        var limits = EdgeConfiguration.Limits()
        change(&limits)
        return HTTP1ServerConnection(limits: limits)
    }

    private func describe(_ input: HTTP1ServerConnection.Input) -> String {
        switch input {
        case .wait: "wait"
        case .head: "head"
        case .body(let part): "body \(String(buffer: part))"
        case .bodyEnd: "end"
        case .refused(let error): "refused \(error.code.rawValue)"
        }
    }

    /// All events up to the next wait or refusal.
    private func events(_ connection: inout HTTP1ServerConnection, _ buffer: inout ByteBuffer) -> [String] {
        var events: [String] = []
        while true {
            let event = describe(connection.next(&buffer))
            events.append(event)
            if event == "wait" || event.hasPrefix("refused") { return events }
        }
    }

    @Test func `a request without a body is complete with its head, and the next one waits for the response`() {
        var connection = connection()
        var buffer = ByteBuffer(string: "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(events(&connection, &buffer) == ["head", "wait"])
        #expect(connection.isRequestComplete && connection.mayKeepAlive && !connection.isAwaitingHead)
        #expect(connection.responseEnded(keepsAlive: true) == .request)
        #expect(events(&connection, &buffer) == ["head", "wait"])
        #expect(String(copying: connection.head.fields.bytes.span.extracting(connection.head.target)) == "/2")
        #expect(connection.responseEnded(keepsAlive: false) == .close)
    }

    /// What was sent, and what is known of it once it was refused: method, target and host.
    @Test(arguments: [
        ("GET /a?b HTTP/1.1\r\nHost: a.example\r\nX: 1\r\nY: 2\r\nZ: 3\r\n\r\n", ["GET", "/a?b", "a.example"]),
        ("GET /a HTTP/1.1\r\nX: 1\r\nhOST:\ta:80 \r\nX : 1\r\n\r\n", ["GET", "/a", "a:80"]),
        ("GET /a HTTP/1.1\r\nX: \0\r\n\r\n", ["GET", "/a", ""]), ("GET /a HTTP/9.9\r\n\r\n", ["GET", "/a", ""]), ("nonsense\r\n\r\n", ["", "", ""]),
        ("\u{16}\u{3}\u{1} /a HTTP/1.1\r\nHost: a\r\n\r\n", ["", "", ""]), ("GET /\(String(repeating: "a", count: 300))", ["GET", "/" + String(repeating: "a", count: 300), ""]),
    ])
    func `what was read of a refused head is kept for the log, and nothing of the request before`(text: String, expected: [String]) {
        var connection = connection {
            $0.requestLineBytesMax = 200
            $0.fieldCountMax = 3
        }
        var buffer = ByteBuffer(string: "POST /before HTTP/1.1\r\nHost: before\r\nReferer: before\r\n\r\n")
        #expect(events(&connection, &buffer) == ["head", "wait"] && connection.responseEnded(keepsAlive: true) == .request)
        buffer = ByteBuffer(string: text)
        #expect(events(&connection, &buffer).last?.hasPrefix("refused") == true)
        let head = connection.head
        #expect([head.methodRange, head.target, head.authority].map { String(copying: head.fields.bytes.span.extracting($0)) } == expected)
        #expect(head.method == .other && head.fields.isEmpty)
    }

    @Test func `a body of no bytes is none`() {
        var connection = connection()
        var buffer = ByteBuffer(string: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET")
        #expect(events(&connection, &buffer) == ["head", "wait"])
        #expect(connection.mayKeepAlive && String(buffer: buffer) == "GET")
    }

    @Test func `a body is given in the parts in which it comes, up to its end`() {
        var connection = connection()
        var buffer = ByteBuffer(string: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
        #expect(events(&connection, &buffer) == ["head", "body he", "wait"])
        #expect(!connection.mayKeepAlive && !connection.isRequestComplete)
        buffer.writeString("lloGET")
        #expect(events(&connection, &buffer) == ["body llo", "end", "wait"])
        #expect(connection.mayKeepAlive && String(buffer: buffer) == "GET")
    }

    @Test func `every split of two requests gives the same events`() {
        let text = Array("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: 1\r\n\r\n".utf8)
        for split in 1..<text.count {
            var connection = connection()
            var buffer = ByteBuffer(bytes: text[..<split])
            var all = events(&connection, &buffer).filter { $0 != "wait" }
            buffer.writeBytes(text[split...])
            all += events(&connection, &buffer).filter { $0 != "wait" }
            let body = all.filter { $0.hasPrefix("body") }.map { $0.dropFirst(5) }.joined()
            #expect(all.first == "head" && all.last == "end" && body == "abc", "split at \(split): \(all)")
            #expect(connection.trailers.lines.count == 1)
            #expect(connection.responseEnded(keepsAlive: true) == .request)
        }
    }

    @Test func `a response before the end of its request is followed by a lingering close`() {
        var connection = connection()
        var buffer = ByteBuffer(string: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
        _ = events(&connection, &buffer)
        #expect(connection.responseEnded(keepsAlive: true) == .linger)
        buffer.writeString("llo and more")
        #expect(events(&connection, &buffer) == ["wait"])
        #expect(buffer.readableBytes == 0, "what comes now is thrown away")
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false), ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", true), ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ])
    func `the client says whether the connection is kept (RFC 9112 §9.3)`(text: String, expected: Bool) {
        var connection = connection()
        var buffer = ByteBuffer(string: text)
        _ = events(&connection, &buffer)
        #expect(connection.mayKeepAlive == expected)
    }

    @Test func `what is refused ends the connection, whatever follows`() {
        var connection = connection()
        var buffer = ByteBuffer(string: "GET / HTTP/1.1\nHost: a\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(events(&connection, &buffer) == ["refused bareLF"])
        #expect(events(&connection, &buffer) == ["wait"])
        #expect(connection.responseEnded(keepsAlive: true) == .linger)
    }

    @Test func `a body may be as long as the limit, and not a byte longer`() {
        for (length, expected) in [(10, "head"), (11, "refused bodyTooLarge")] {
            var connection = connection { $0.requestBodyBytesMax = 10 }
            var buffer = ByteBuffer(string: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(length)\r\n\r\n")
            #expect(events(&connection, &buffer).first == expected)
        }
        for (chunk, expected) in [("a\r\n0123456789", "wait"), ("b\r\n0123456789x", "refused bodyTooLarge")] {
            var connection = connection { $0.requestBodyBytesMax = 10 }
            var buffer = ByteBuffer(string: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk)
            #expect(events(&connection, &buffer).last == expected)
        }
    }

    @Test func `after many chunked bodies the limit is still per request`() {
        var connection = connection { $0.requestBodyBytesMax = 10 }
        for _ in 0..<5 {
            var buffer = ByteBuffer(
                string: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n0\r\n\r\n")
            #expect(events(&connection, &buffer) == ["head", "body 01234567", "end", "wait"])
            #expect(connection.responseEnded(keepsAlive: true) == .request)
        }
    }

    @Test func `once a response has ended, nothing of its request is said of what comes next`() {
        var connection = connection()
        var buffer = ByteBuffer(string: "HEAD /old HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\nnonsense\r\n")
        _ = events(&connection, &buffer)
        #expect(connection.responseEnded(keepsAlive: true) == .request)
        #expect(events(&connection, &buffer).last?.hasPrefix("refused") == true)
        #expect(connection.head.method == .other && connection.head.target.isEmpty && connection.head.minorVersion == 1)
    }
}
