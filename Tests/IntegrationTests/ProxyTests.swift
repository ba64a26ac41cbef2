import Foundation
import TestSupport
import Testing

/// The release binary between a raw client and an application that says what it is told: what HTTP/1.1 asks of a proxy.
@Suite struct ProxyTests {
    private func edge(_ origin: ScriptedOrigin, _ more: [String] = []) throws -> HeadraceProcess {
        try HeadraceProcess(["--app", origin.url] + more)
    }

    @Test func `a request reaches the application and its answer the client, unchanged`() throws {
        let origin = try ScriptedOrigin(
            fields: ["Content-Type: text/plain", "X-Odd:  spaced  ", "Cache-Control: no-store"], body: "hello")
        let edge = try edge(origin)
        let response = try RawClient.get(port: edge.port, "/a/b?c=%20d", ["X-Mine: 1"])
        #expect(response.status == 200)
        #expect(response.text == "hello")
        #expect(response.field("X-Odd")?.trimmingCharacters(in: .whitespaces) == "spaced")
        let request = try #require(origin.requests.first)
        #expect(request.target == "/a/b?c=%20d")
        #expect(request.field("Host") == "a.example")
        #expect(request.field("X-Mine") == "1")
    }

    @Test func `hop-by-hop fields and what Connection names go no further, in both directions`() throws {
        let origin = try ScriptedOrigin(
            fields: [
                "Connection: X-Private, keep-alive", "X-Private: 1", "Keep-Alive: timeout=5", "Proxy-Authenticate: Basic",
                "X-Public: 1",
            ],
            body: "x")
        let edge = try edge(origin)
        let response = try RawClient.get(
            port: edge.port, "/",
            ["Connection: X-Secret", "X-Secret: 1", "TE: trailers", "Upgrade: websocket", "Proxy-Authorization: Basic x"])
        for name in ["X-Private", "Keep-Alive", "Proxy-Authenticate"] { #expect(response.field(name) == nil, "\(name)") }
        #expect(response.field("X-Public") == "1")
        let request = try #require(origin.requests.first)
        for name in ["X-Secret", "TE", "Upgrade", "Proxy-Authorization", "Connection"] {
            #expect(request.field(name) == nil, "\(name)")
        }
    }

    @Test func `the application learns who asked, and clients cannot pretend`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try edge(origin)
        _ = try RawClient.get(
            port: edge.port, "/",
            ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "Forwarded: for=6.6.6.6"])
        let request = try #require(origin.requests.first)
        #expect(request.field("X-Forwarded-For") == "127.0.0.1")
        #expect(request.field("X-Forwarded-Host") == "a.example")
        #expect(request.field("X-Forwarded-Proto") == "http")
        #expect(request.field("Forwarded") == "for=127.0.0.1;proto=http;host=\"a.example\"")
        #expect(request.field("Via") == "1.1 headrace")
        #expect(!request.head.contains("6.6.6.6") && !request.head.contains("evil"))
    }

    @Test func `a trace is passed on with a span of ours, and begun where there is none`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try edge(origin)
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        _ = try RawClient.get(port: edge.port, "/1", ["traceparent: 00-\(trace)-00f067aa0ba902b7-01", "tracestate: a=b"])
        _ = try RawClient.get(port: edge.port, "/2")
        let requests = origin.requests
        let passed = try #require(requests[0].field("traceparent"))
        #expect(passed.hasPrefix("00-\(trace)-") && passed.hasSuffix("-01") && !passed.contains("00f067aa0ba902b7"))
        #expect(requests[0].field("tracestate") == "a=b")
        let begun = try #require(requests[1].field("traceparent"))
        #expect(begun.wholeMatch(of: /00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]/) != nil)
        let traces = try edge.logLines(atLeast: 2).map { $0["trace"] as? String }
        #expect(Set(traces) == [trace, String(begun.dropFirst(3).prefix(32))])
    }

    @Test func `pipelined requests are answered in their order`() throws {
        let origin = try ScriptedOrigin { request in
            let delay = request.target == "/0" ? 150 : 0
            return [
                .wait(milliseconds: delay),
                .send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: request.target)),
            ]
        }
        let edge = try edge(origin)
        let client = try RawClient(port: edge.port)
        client.send((0..<5).map { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
        for number in 0..<5 { #expect(try client.readResponse().text == "/\(number)") }
    }

    @Test func `pipelined hits are all answered, however slowly the client takes them`() throws {
        let body = String(repeating: "x", count: 8273)
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=60"], body: body)
        let edge = try edge(origin)
        let client = try RawClient(port: edge.port, receiveBuffer: 16 << 10)
        let requests = String(repeating: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", count: 500)
        client.send(requests)
        for number in 0..<500 {
            #expect(try client.readResponse().body.count == body.utf8.count, "answer \(number)")
        }
        #expect(origin.requestCount == 1)
    }

    @Test func `a tunnel is made for nobody`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try edge(origin)
        let response = try RawClient.exchange(
            port: edge.port, "CONNECT db.internal:5432 HTTP/1.1\r\nHost: db.internal:5432\r\n\r\n")
        #expect(response.status == 501 && origin.requestCount == 0)
    }

    @Test func `a request may come byte by byte`() throws {
        let origin = try ScriptedOrigin(body: "whole")
        let edge = try edge(origin)
        let client = try RawClient(port: edge.port)
        for byte in "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".utf8 { client.send([byte]) }
        #expect(try client.readResponse().text == "whole")
        #expect(origin.requests.first?.body == "abc")
    }

    @Test func `a chunked request body arrives with its trailers`() throws {
        let origin = try ScriptedOrigin(body: "ok")
        let edge = try edge(origin)
        let response = try RawClient.exchange(
            port: edge.port,
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;note=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 9\r\n\r\n"
        )
        #expect(response.status == 200)
        let body = try #require(origin.requests.first?.body)
        #expect(body.contains("hello") && body.contains(" world") && body.contains("X-Sum: 9") && !body.contains("note"))
        #expect(origin.requests.first?.field("Trailer") == "X-Sum")
    }

    @Test func `a chunked response arrives with its trailers`() throws {
        let origin = try ScriptedOrigin { _ in
            [
                .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n"),
                .wait(milliseconds: 30),
                .send("6\r\n world\r\n0\r\nX-Sum: 9\r\n\r\n"),
            ]
        }
        let edge = try edge(origin)
        let response = try RawClient.get(port: edge.port, "/")
        #expect(response.text == "hello world")
        #expect(response.trailers.contains("X-Sum: 9") && response.field("Trailer") == "X-Sum")
    }

    @Test func `an HTTP 1.0 client gets a chunked response until the connection ends`() throws {
        let origin = try ScriptedOrigin { _ in
            [.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")]
        }
        let edge = try edge(origin)
        let response = try RawClient.exchange(port: edge.port, "GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        #expect(response.text == "hello")
        #expect(response.field("Transfer-Encoding") == nil)
        #expect(response.field("Connection") == "close")
    }

    @Test func `HTTP 1.0 keep-alive is honoured`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try edge(origin)
        let client = try RawClient(port: edge.port)
        for _ in 0..<2 {
            client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            let response = try client.readResponse()
            #expect(response.field("Connection") == "keep-alive")
        }
    }

    @Test func `HEAD gets the head of GET and no body`() throws {
        let origin = try ScriptedOrigin { request in
            request.method == "HEAD"
                ? [.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=60\r\n\r\n")]
                : [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=60"], body: "hello"))]
        }
        let edge = try edge(origin)
        let client = try RawClient(port: edge.port)
        for _ in 0..<2 {
            client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
            let head = try client.readResponse(hasBody: false)
            #expect(head.field("Content-Length") == "5")
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readResponse().text == "hello")
        }
    }

    @Test func `Expect 100-continue is answered before the body is sent`() throws {
        let origin = try ScriptedOrigin(body: "got it")
        let edge = try edge(origin)
        let client = try RawClient(port: edge.port)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        #expect(try client.readResponse(hasBody: false).status == 100)
        client.send("abc")
        #expect(try client.readResponse().text == "got it")
        let request = try #require(origin.requests.first)
        #expect(request.body == "abc" && request.field("Expect") == "100-continue")
    }

    @Test func `no application behind the address is a 502 that says so`() throws {
        let edge = try HeadraceProcess(["--app", "http://127.0.0.1:1"])
        let response = try RawClient.get(port: edge.port, "/")
        #expect(response.status == 502)
        #expect(response.text.contains("connect-failed"))
        let line = try #require(try edge.logLines(atLeast: 1).first)
        #expect(line["error"] as? String == "connect-failed")
    }

    @Test func `an application that is too slow is a 504`() throws {
        let origin = try ScriptedOrigin { _ in [.wait(milliseconds: 3000)] }
        let edge = try edge(origin, ["--set", "edge.upstream.first_byte_timeout=300ms"])
        #expect(try RawClient.get(port: edge.port, "/").status == 504)
    }

    @Test func `a request that finds all connections busy waits for one, and not for ever`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { _ in [.waitFor(gate), .send(ScriptedOrigin.response(body: "x"))] }
        let limits = ["edge.threads=1", "edge.upstream.max_connections=1", "edge.upstream.wait_timeout=1s"]
        let edge = try edge(origin, limits.flatMap { ["--set", $0] })
        let clients = try (0..<2).map { _ in try RawClient(port: edge.port) }
        for (number, client) in clients.enumerated() {
            client.send("POST /\(number) HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            #expect(eventually { origin.requestCount == 1 })
        }
        let late = try clients[1].readResponse()
        #expect(late.status == 503 && late.text.contains("queue-timeout") && late.field("Retry-After") == "1")
        clients[1].send("POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        gate.open()
        for client in clients { #expect(try client.readResponse().text == "x") }
        #expect(origin.requestCount == 2)
        #expect(try edge.metric("headrace_edge_upstream_connects_total") == 1)
    }

    @Test func `an answer that comes before the whole request reaches the client`() throws {
        let origin = try ScriptedOrigin(readsBodies: false) { _ in
            [.send(ScriptedOrigin.response(status: "413 Content Too Large", fields: ["Connection: close"], body: "too much"))]
        }
        let edge = try edge(origin)
        let client = try RawClient(port: edge.port)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + String(repeating: "x", count: 100_000))
        let response = try client.readResponse()
        #expect(response.status == 413 && response.text == "too much" && response.field("Connection") == "close")
        client.send(String(repeating: "x", count: 100_000))
        #expect(client.isClosed())
    }

    @Test func `an application that stops reading a body is late, not the client`() throws {
        let origin = try StalledOrigin()
        let edge = try HeadraceProcess(["--app", "http://127.0.0.1:\(origin.port)", "--set", "edge.deadlines.request_body=500ms"])
        let client = try RawClient(port: edge.port)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n")
        let isAnswered = eventually(seconds: 10) {
            client.sendWithoutWaiting([UInt8](repeating: 0x78, count: 64 << 10))
            return client.peek().contains("request-body-deadline")
        }
        #expect(isAnswered)
        #expect(try client.readResponse().status == 504)
    }

    @Test func `who asks before sending a body is not told to send what nobody will read`() throws {
        let edge = try HeadraceProcess(["--app", "http://127.0.0.1:1"])
        let response = try RawClient.exchange(
            port: edge.port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        #expect(response.status == 502 && response.field("Connection") == "close")
    }

    @Test func `a kept-alive connection that the application closed is not the client's error`() throws {
        let origin = try ScriptedOrigin { request in
            // Each connection is closed 30 ms after its response, as the edge may find out only when it writes.
            [.send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: "x")), .wait(milliseconds: 30), .close]
        }
        let edge = try edge(origin)
        let client = try RawClient(port: edge.port)
        for _ in 0..<40 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readResponse().status == 200)
            usleep(29_500)
        }
    }

    @Test func `large bodies stream both ways without being held`() throws {
        let chunk = String(repeating: "0123456789abcdef", count: 4096)
        let origin = try ScriptedOrigin { request in
            request.method == "POST"
                ? [.send(ScriptedOrigin.response(body: "\(request.body.utf8.count)"))]
                : [.send("HTTP/1.1 200 OK\r\nContent-Length: \(chunk.utf8.count * 200)\r\nCache-Control: no-store\r\n\r\n")]
                    + Array(repeating: .send(chunk), count: 200)
        }
        let edge = try edge(origin)
        let before = try memoryKilobytes(edge)
        let response = try RawClient.get(port: edge.port, "/", seconds: 20)
        #expect(response.body.count == chunk.utf8.count * 200)
        let upload = try RawClient(port: edge.port)
        upload.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(chunk.utf8.count * 100)\r\n\r\n")
        for _ in 0..<100 { upload.send(chunk) }
        #expect(try upload.readResponse(seconds: 20).text == "\(chunk.utf8.count * 100)")
        #expect(try memoryKilobytes(edge) - before < 8 << 10)
    }

    @Test func `a slow client slows the application down, not the edge's memory up`() throws {
        let chunk = String(repeating: "0123456789abcdef", count: 4096)
        let origin = try ScriptedOrigin { _ in
            [.send("HTTP/1.1 200 OK\r\nContent-Length: \(chunk.utf8.count * 1000)\r\nCache-Control: no-store\r\n\r\n")]
                + Array(repeating: .send(chunk), count: 1000)
        }
        let edge = try edge(origin)
        let before = try memoryKilobytes(edge)
        let clients = try (0..<4).map { _ in try RawClient(port: edge.port) }
        for client in clients { client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }
        usleep(800_000)
        #expect(try memoryKilobytes(edge) - before < 16 << 10, "4 × 64 MB are on their way, and nobody reads them")
    }

    @Test func `a slow application slows uploads down, not the edge's memory up`() throws {
        let origin = try StalledOrigin()
        let edge = try HeadraceProcess(["--app", "http://127.0.0.1:\(origin.port)", "--set", "edge.limits.body=1GB", "--set", "edge.deadlines.request_body=10m"])
        let before = try memoryKilobytes(edge)
        let clients = try (0..<4).map { _ in try RawClient(port: edge.port) }
        for client in clients { client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000000\r\n\r\n") }
        let piece = [UInt8](repeating: 0x78, count: 256 << 10)
        var (sent, quiet) = (0, 0)
        // Until nobody takes more: what the kernels of both connections hold is some 10 MB for each.
        while quiet < 20, sent < 4 * 200 << 20 {
            let taken = clients.reduce(0) { $0 + $1.sendWithoutWaiting(piece) }
            sent += taken
            quiet = taken == 0 ? quiet + 1 : 0
            if taken == 0 { usleep(100_000) }
        }
        #expect(sent < 4 * 64 << 20, "the edge takes what the application does not: \(sent >> 20) MB")
        #expect(try memoryKilobytes(edge) - before < 16 << 10, "\(sent >> 20) MB were sent, and nobody reads them")
    }

    private func memoryKilobytes(_ edge: HeadraceProcess) throws -> Int {
        let status = try String(contentsOfFile: "/proc/\(edge.processIdentifier)/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
        return Int(line.split(separator: " ").dropFirst().first ?? line.split(separator: "\t")[1].split(separator: " ")[0]) ?? 0
    }
}
