import Foundation
import TestSupport
import Testing

/// What HTTP/1.1 has besides a request and its response: interim responses, expectations, half-closed connections, the last hop.
@Suite struct ProtocolTests {
    private func edge(_ origin: ScriptedOrigin, _ more: [String] = []) throws -> HeadraceProcess {
        try HeadraceProcess(["--app", origin.url] + more)
    }

    private static let hello = ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: "hello")

    // MARK: 1xx

    @Test func `early hints reach the client before the response is there`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { _ in
            [
                .send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: close\r\n\r\n"),
                .waitFor(gate), .send(Self.hello),
            ]
        }
        let edge = try edge(origin)
        let client = try RawClient(port: edge.port)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readResponse().status == 102)
        let hints = try client.readResponse()
        #expect(hints.status == 103 && hints.field("Link") == "</a.css>; rel=preload" && hints.field("Connection") == nil)
        gate.open()
        #expect(try client.readResponse().text == "hello")
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        #expect(try client.readResponse().status == 200, "RFC 9110 §15.2: a client of HTTP/1.0 gets none")
    }

    @Test func `early hints are no part of what is stored`() throws {
        let origin = try ScriptedOrigin { _ in
            [
                .send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"),
                .send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=60"], body: "kept")),
            ]
        }
        let edge = try edge(origin)
        let client = try RawClient(port: edge.port)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readResponse().status == 103)
        #expect(try client.readResponse().text == "kept")
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        let hit = try client.readResponse()
        #expect(hit.status == 200 && hit.text == "kept" && hit.field("Link") == nil && origin.requestCount == 1)
    }

    // MARK: The target's scheme

    /// RFC 9110 §7.4; RFC 9112 §3.2.2.
    @Test func `what is for https is answered without TLS only where a proxy may have ended it`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: no-store"], body: "x")
        let edge = try edge(origin)
        func ask(_ edge: HeadraceProcess, _ target: String, from source: String? = nil) throws -> RawClient.Response {
            let client = try RawClient(port: edge.port, from: source)
            client.send("GET \(target) HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
            return try client.readResponse()
        }
        #expect(try ask(edge, "http://a.example/x").status == 200)
        let refused = try ask(edge, "https://a.example/x")
        #expect(refused.status == 421 && refused.text.contains("Misdirected Request"))
        for target in ["ftp://a.example/x", "httpsx://a.example/", "x"] { #expect(try ask(edge, target).status == 400, "\(target)") }
        #expect(origin.requests.map(\.target) == ["/x"])
        #expect(try edge.metric("headrace_edge_reasons_total{kind=\"edge\",reason=\"misdirected\"}") == 1)
        // The client's TLS may have ended there.
        let behind = try self.edge(origin, ["--set", "edge.forwarded.trusted=127.0.0.2"])
        #expect(try ask(behind, "https://a.example/y", from: "127.0.0.2").status == 200)
        #expect(try ask(behind, "https://a.example/y", from: "127.0.0.3").status == 421)
    }

    // MARK: Expect

    @Test func `the application is asked whether it wants the body, and says so`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin(readsBodies: false) { _ in
            [.waitFor(gate), .send("HTTP/1.1 100 Continue\r\n\r\n"), .wait(milliseconds: 100), .send(Self.hello)]
        }
        let edge = try edge(origin)
        let client = try RawClient(port: edge.port)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        #expect(eventually { origin.requestCount == 1 })
        #expect(origin.requests[0].field("Expect") == "100-continue")
        #expect(client.readAvailable(milliseconds: 100) == "", "nobody has said yes yet")
        gate.open()
        #expect(try client.readResponse().status == 100)
        client.send("body")
        #expect(try client.readResponse().text == "hello")
    }

    @Test func `a refusal comes instead of the permission to send`() throws {
        let origin = try ScriptedOrigin(readsBodies: false) { _ in
            [.send(ScriptedOrigin.response(status: "413 Content Too Large", fields: ["Connection: close"], body: "no")), .close]
        }
        let edge = try edge(origin)
        let client = try RawClient(port: edge.port)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40000000\r\nExpect: 100-continue\r\n\r\n")
        let response = try client.readResponse()
        #expect(response.status == 413 && response.text == "no" && response.field("Connection") == "close")
    }

    @Test func `an application that does not know the question does not hold up who asked`() throws {
        let origin = try ScriptedOrigin { request in [.send(ScriptedOrigin.response(body: request.body))] }
        let edge = try edge(origin)
        let client = try RawClient(port: edge.port)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        #expect(try client.readResponse().status == 100)
        client.send("body")
        #expect(try client.readResponse().text == "body")
    }

    // MARK: Bodies

    @Test func `a body that is buffered reaches the application in one piece, and only when it is whole`() throws {
        let origin = try ScriptedOrigin { request in [.send(ScriptedOrigin.response(body: "\(request.body.utf8.count)"))] }
        let edge = try edge(origin, ["--set", "edge.upstream.buffer_request_body=64KB"])
        let client = try RawClient(port: edge.port)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
        #expect(client.readAvailable(milliseconds: 200) == "")
        #expect(try edge.metric("headrace_edge_upstream_connects_total") == 0)
        client.send("def")
        #expect(try client.readResponse().text == "6")
        // One over the limit is passed on as it comes.
        for count in [65_536, 65_537, 300_000] {
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(count)\r\n\r\n" + String(repeating: "x", count: count))
            #expect(try client.readResponse().text == "\(count)")
        }
    }

    @Test func `trailers are asked for when the client reads them`() throws {
        let origin = try ScriptedOrigin { _ in
            [.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: no-store\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 9\r\n\r\n")]
        }
        let edge = try edge(origin)
        #expect(try RawClient.get(port: edge.port, "/", ["TE: gzip;q=0.5, trailers", "Connection: TE"]).trailers == "X-Sum: 9")
        #expect(origin.requests[0].field("TE") == "trailers" && origin.requests[0].field("Connection") == "TE")
        _ = try RawClient.get(port: edge.port, "/")
        #expect(origin.requests[1].field("TE") == nil)
    }

    // MARK: Half-closed clients

    @Test(arguments: [0, 60])
    func `all requests before a half-close are answered`(freshness: Int) throws {
        let origin = try ScriptedOrigin { request in
            [
                .wait(milliseconds: 10),
                .send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=\(freshness)"], body: request.target)),
            ]
        }
        let edge = try edge(origin)
        if freshness > 0 { for number in 0..<5 { _ = try RawClient.get(port: edge.port, "/\(number)") } }
        let client = try RawClient(port: edge.port)
        client.send((0..<5).map { "GET /\($0) HTTP/1.1\r\nHost: a.example\r\n\r\n" }.joined())
        client.finishSending()
        for number in 0..<5 { #expect(try client.readResponse().text == "/\(number)") }
        #expect(client.isClosed() && !client.isReset)
    }

    @Test func `half a request behind a half-close ends the connection, when those before it are answered`() throws {
        let origin = try ScriptedOrigin { _ in [.wait(milliseconds: 50), .send(Self.hello)] }
        let edge = try edge(origin)
        let client = try RawClient(port: edge.port)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\nHo")
        client.finishSending()
        #expect(try client.readResponse().text == "hello")
        #expect(client.isClosed() && origin.requestCount == 1)
    }

    @Test func `a client that closes its half while a large answer is on its way gets all of it`() throws {
        let body = String(repeating: "0123456789abcdef", count: 200_000)
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=60", "Content-Type: image/png"], body: body)
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/")
        let client = try RawClient(port: edge.port, receiveBuffer: 16 << 10)
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        #expect(eventually { client.peek().hasPrefix("HTTP/1.1 200") })
        client.finishSending()
        #expect(try client.readResponse(seconds: 20).body.count == body.utf8.count)
    }

    @Test func `what a client had sent on does not take its last response away`() throws {
        let origin = try ScriptedOrigin { _ in [.send(Self.hello)] }
        let edge = try edge(origin)
        for _ in 0..<20 {
            let client = try RawClient(port: edge.port)
            client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + String(repeating: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", count: 200))
            #expect(try client.readResponse().text == "hello")
            client.finishSending()
            #expect(client.isClosed() && !client.isReset, "RFC 9112 §9.6")
        }
        #expect(origin.requestCount == 20)
    }

    // MARK: OPTIONS, TRACE

    @Test func `OPTIONS goes to the application, the asterisk too, until its hops are used up`() throws {
        let origin = try ScriptedOrigin { request in [.send(ScriptedOrigin.response(fields: ["Allow: GET"], body: request.target))] }
        let edge = try edge(origin)
        func ask(_ line: String, _ fields: [String] = []) throws -> RawClient.Response {
            try RawClient.exchange(port: edge.port, ([line, "Host: a"] + fields).joined(separator: "\r\n") + "\r\n\r\n")
        }
        #expect(try ask("OPTIONS /a HTTP/1.1").text == "/a")
        #expect(try ask("OPTIONS * HTTP/1.1").text == "*")
        #expect(try ask("OPTIONS /b HTTP/1.1", ["Max-Forwards: 1"]).text == "/b")
        #expect(origin.requests[2].field("Max-Forwards") == "0")
        let own = try ask("OPTIONS * HTTP/1.1", ["Max-Forwards: 0"])
        #expect(own.status == 200 && own.field("Allow")?.contains("OPTIONS") == true && own.body.isEmpty)
        let trace = try ask("TRACE /t HTTP/1.1", ["Max-Forwards: 0", "Cookie: a=b"])
        #expect(trace.field("Content-Type") == "message/http" && trace.text.hasPrefix("TRACE /t HTTP/1.1\r\n") && !trace.text.contains("a=b"))
        #expect(origin.requestCount == 3)
    }
}
