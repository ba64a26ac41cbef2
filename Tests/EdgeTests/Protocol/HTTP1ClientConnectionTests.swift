import HTTPSemantics
import NIOCore
import Testing

@testable import Edge

@Suite struct HTTP1ClientConnectionTests {
    private func describe(_ input: HTTP1ClientConnection.Input, _ connection: HTTP1ClientConnection) -> String {
        switch input {
        case .wait: "wait"
        case .interim: "interim \(connection.head.status)"
        case .upgraded: "upgraded"
        case .head: "head"
        case .body(let part): "body \(String(buffer: part))"
        case .end: "end"
        case .failed(let failure): "failed \(failure.rawValue)"
        }
    }

    private func events(_ connection: inout HTTP1ClientConnection, _ buffer: inout ByteBuffer) -> [String] {
        var events: [String] = []
        while true {
            let input = connection.next(&buffer)
            let event = describe(input, connection)
            events.append(event)
            if event == "wait" || event == "end" || event == "upgraded" || event.hasPrefix("failed") { return events }
        }
    }

    private func events(_ text: String, answering method: Method = .get) -> ([String], HTTP1ClientConnection) {
        var connection = HTTP1ClientConnection()
        connection.requestSent(method)
        var buffer = ByteBuffer(string: text)
        return (events(&connection, &buffer), connection)
    }

    @Test func `a response by length leaves the connection for the next request`() {
        var (result, connection) = events("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
        #expect(result == ["head", "body abc", "end"])
        #expect(connection.isIdle)
        connection.requestSent(.get)
        var buffer = ByteBuffer(string: "HTTP/1.1 204 No Content\r\n\r\n")
        #expect(events(&connection, &buffer) == ["head", "end"])
        #expect(connection.isIdle)
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    ])
    func `a response that ends its connection leaves none`(text: String) {
        let (result, connection) = events(text)
        #expect(result.last == "end")
        #expect(!connection.isIdle)
    }

    @Test func `HEAD has no body whatever its length says`() {
        let (result, connection) = events("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", answering: .head)
        #expect(result == ["head", "end"])
        #expect(connection.isIdle)
    }

    @Test func `every split of a chunked response gives the same bytes`() {
        let text = Array(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX: 1\r\n\r\n"
                .utf8)
        for split in 1..<text.count {
            var connection = HTTP1ClientConnection()
            connection.requestSent(.get)
            var buffer = ByteBuffer(bytes: text[..<split])
            var all = events(&connection, &buffer)
            buffer.writeBytes(text[split...])
            all += events(&connection, &buffer)
            let body = all.filter { $0.hasPrefix("body") }.map { $0.dropFirst(5) }.joined()
            #expect(body == "abcde" && all.last == "end" && connection.trailers.lines.count == 1, "split at \(split): \(all)")
        }
    }

    @Test func `interim responses come one by one, so many and no more`() {
        let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        let final = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        let most = HTTP1ClientConnection.interimMax
        let all = [String](repeating: "interim 103", count: most)
        #expect(events(String(repeating: interim, count: most) + final).0 == all + ["head", "end"])
        #expect(events(String(repeating: interim, count: most + 1) + final).0 == all + ["failed malformed"])
    }

    @Test func `a switch of protocols that was offered leaves what follows it alone`() {
        var connection = HTTP1ClientConnection()
        connection.requestSent(.get, offersUpgrade: true)
        var buffer = ByteBuffer(string: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\u{81}\u{02}hi")
        #expect(events(&connection, &buffer) == ["upgraded"])
        #expect(connection.head.fields.string(.upgrade) == "websocket")
        #expect(String(buffer: buffer) == "\u{81}\u{02}hi")
        #expect(!connection.isIdle)
        #expect(describe(connection.inputClosed(), connection) == "wait")
    }

    @Test(arguments: [
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "failed unexpected-upgrade"), ("nonsense\r\n\r\n", "failed malformed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", "failed malformed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "failed malformed"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz", "failed malformed"),
    ])
    func `what cannot be passed on safely fails, and the connection with it`(text: String, expected: String) {
        var (result, connection) = events(text)
        #expect(result.last == expected)
        #expect(!connection.isIdle)
        var more = ByteBuffer(string: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        #expect(events(&connection, &more) == ["wait"], "nothing on it is believed any more")
    }

    @Test func `bytes that nobody asked for end the connection`() {
        var connection = HTTP1ClientConnection()
        var buffer = ByteBuffer(string: "HTTP/1.1 200 OK\r\n")
        #expect(events(&connection, &buffer) == ["failed malformed"])
        #expect(!connection.isIdle)
    }

    @Test(arguments: [
        ("", "failed closed-early"), ("HTTP/1.1 200", "failed closed-early"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "failed truncated"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "failed truncated"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", "failed truncated"),
        ("HTTP/1.1 200 OK\r\n\r\nabc", "end"),
    ])
    func `a connection that ends says whether the response was whole`(text: String, expected: String) {
        var (_, connection) = events(text)
        #expect(describe(connection.inputClosed(), connection) == expected)
        #expect(!connection.isIdle)
    }
}
