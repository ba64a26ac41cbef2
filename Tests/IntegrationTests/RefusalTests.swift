import Foundation
import TestSupport
import Testing

/// What can be read in two ways is refused, towards the client with 400 and a close, towards the application with 502 and a close;
/// and what has a limit is let through at the limit and refused one beyond.
@Suite struct RefusalTests {
    /// What is sent, the status, and the named reason.
    private static let requests: [(String, Int, String)] = [
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
            "lengthAndTransferEncoding"
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400,
            "lengthAndTransferEncoding"
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, "lengthRepeated"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", 400, "lengthMalformed"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc", 400, "lengthMalformed"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", 400, "lengthMalformed"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nabc", 400, "lengthMalformed"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400, "lengthMalformed"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n", 400, "bareCR"),
        ("GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", 400, "bareLF"),
        ("GET / HTTP/1.1\nHost: a\n\n", 400, "bareLF"), ("GET / HTTP/1.1\r\nHost: a\r\nX: \u{0}\r\n\r\n", 400, "fieldValueByte"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \u{1B}[1m\r\n\r\n", 400, "fieldValueByte"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", 400, "foldedLine"),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "spaceBeforeColon"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400, "chunkedNotFinal"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 400, "chunkedNotFinal"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400, "transferCodingUnknown"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 400, "transferCodingUnknown"),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "transferEncodingInOldVersion"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "chunkSizeMalformed"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n", 400, "chunkSizeTooLarge"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n", 400, "chunkEndMissing"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\(String(repeating: "b", count: 300))\r\n", 400,
            "chunkExtensionTooLong"
        ),
        ("GET / HTTP/1.1\r\n\r\n", 400, "hostMissing"), ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "hostRepeated"),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "hostInvalid"),
        ("GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "hostDisagrees"),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "versionMalformed"),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "versionUnsupported"),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 200-maybe\r\n\r\nabc", 417, "expectationUnknown"),
    ]

    @Test func `an ambiguous request is refused by name, the connection closed, and the application not asked`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess(["--app", origin.url])
        for (text, status, reason) in Self.requests {
            let client = try RawClient(port: edge.port)
            // Behind it a request that would be smuggled if the refused one were given a meaning.
            client.send(text + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
            let response = try client.readResponse()
            #expect(response.status == status, "\(text.debugDescription): \(response.head)")
            #expect(response.text.contains(reason), "\(text.debugDescription): \(response.text)")
            #expect(response.field("Connection") == "close")
            #expect(response.field("Server-Timing") != nil && response.field("Cache-Status") != nil)
            #expect(client.readToEnd() == "" && client.isClosedByPeer, "\(text.debugDescription)")
        }
        #expect(origin.requestCount == 0)
        let lines = try edge.logLines(atLeast: Self.requests.count)
        // In the order of the event loops' batches.
        #expect(lines.map { $0["detail"] as? String ?? "" }.sorted() == Self.requests.map(\.2).sorted())
        #expect(try edge.metric("headrace_edge_refused_total{reason=\"bareLF\"}") == 2)
    }

    @Test func `what was read of a head that is refused or does not come stands in the log`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.limits.fields=3", "--set", "edge.deadlines.request_head=200ms"])
        let begun = "GET /log?x HTTP/1.1\r\nHost: a.example\r\n"
        for (text, status) in [(begun + "A: 1\r\nB: 1\r\nC: 1\r\n\r\n", 431), (begun + "A: 1", 408)] {
            let client = try RawClient(port: edge.port)
            client.send(text)
            #expect(try client.readResponse().status == status)
        }
        let lines = try edge.logLines(atLeast: 2)
        #expect(lines.map { "\($0["status"] ?? "") \($0["method"] ?? "") \($0["host"] ?? "") \($0["target"] ?? "")" }.sorted()
            == ["408 GET a.example /log?x", "431 GET a.example /log?x"])
    }

    private static let responses = [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\nCache-Control: max-age=60\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3x\r\nCache-Control: max-age=60\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\nCache-Control: max-age=60\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\nCache-Control: max-age=60\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 1\n\nx", "HTTP/1.1 200 OK\r\nX: 1\rY: 2\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nX : 1\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nX: \u{0}\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 20 OK\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/2.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "nonsense\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ]

    @Test func `an ambiguous response is a 502, its connection is not used again, and it is never stored`() throws {
        // Not closed by the application: a connection that the edge kept would be asked for the next answer.
        let origin = try ScriptedOrigin { request in [.send(Self.responses[Int(request.target.dropFirst()) ?? 0])] }
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.threads=1"])
        for index in Self.responses.indices {
            for _ in 0..<2 {
                let response = try RawClient.get(port: edge.port, "/\(index)")
                #expect(response.status == 502, "\(Self.responses[index].debugDescription): \(response.head)")
            }
        }
        #expect(origin.requestCount == 2 * Self.responses.count)
        #expect(try edge.metric("headrace_edge_upstream_connects_total") == Double(2 * Self.responses.count))
    }

    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n5\r\nhello\r\nzz\r\n", "malformed"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n5\r\nhelloX", "malformed"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: no-store\r\n\r\n5\r\nhello\r\n", "truncated"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n5\r\nhello\r\n0\r\n", "truncated"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 400000\r\nCache-Control: max-age=60\r\n\r\nhello", "truncated"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 400000\r\nContent-Type: text/html\r\nCache-Control: no-store\r\n\r\nhello",
            "truncated"
        ),
    ])
    func `a body that breaks is not passed on as whole, not stored, and told of once`(text: String, failure: String) throws {
        let origin = try ScriptedOrigin { _ in [.send(text), .close] }
        let edge = try HeadraceProcess(["--app", origin.url])
        for coding in ["identity", "gzip"] {
            let client = try RawClient(port: edge.port)
            client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: \(coding)\r\n\r\n")
            #expect(throws: RawClient.Failure.self) { try client.readResponse() }
            #expect(client.isClosedByPeer)
        }
        #expect(origin.requestCount == 2)
        _ = try RawClient.getOwnPage(port: edge.port, "/metrics")
        let lines = try edge.logLines(atLeast: 3)
        #expect(lines.count == 3, "\(lines)")
        // Two event loops write the log: the page of metrics may stand anywhere in it.
        #expect(lines.filter { $0["target"] as? String == "/" }.allSatisfy { $0["error"] as? String == failure })
    }

    @Test func `a small body that breaks before anything went out is a 502`() throws {
        let origin = try ScriptedOrigin { _ in
            [.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nCache-Control: max-age=60\r\n\r\nhello"), .close]
        }
        let edge = try HeadraceProcess(["--app", origin.url])
        for _ in 0..<2 { #expect(try RawClient.get(port: edge.port, "/").status == 502) }
        #expect(origin.requestCount == 2)
    }

    @Test func `an HTTP 1.0 client is told by a reset that its body is not whole`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { _ in
            [.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), .waitFor(gate), .close]
        }
        let edge = try HeadraceProcess(["--app", origin.url])
        let client = try RawClient(port: edge.port)
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        #expect(eventually { client.peek().contains("hello") })
        gate.open()
        _ = client.readToEnd()
        #expect(client.isReset)
    }

    @Test(arguments: ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"])
    func `a request body that the client cuts short does not reach the application as complete`(rest: String) throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess(["--app", origin.url])
        for isReset in [true, false] {
            let client = try RawClient(port: edge.port)
            client.send("POST / HTTP/1.1\r\nHost: a\r\n" + rest)
            if isReset { client.reset() } else { client.finishSending() }
            #expect(client.isClosed())
        }
        let lines = try edge.logLines(atLeast: 2).filter { $0["method"] as? String == "POST" }
        #expect(lines.count == 2 && lines.allSatisfy { $0["detail"] as? String == "client-gone" }, "\(lines)")
        #expect(origin.requestCount == 0)
    }

    // MARK: Limits

    private func status(_ edge: HeadraceProcess, _ text: String) throws -> Int {
        try RawClient.exchange(port: edge.port, text).status
    }

    @Test func `the request line, the head and the fields may be as large as their limits, and not a byte larger`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: no-store"], body: "x")
        let edge = try HeadraceProcess([
            "--app", origin.url, "--set", "edge.limits.request_line=300B", "--set", "edge.limits.head=1000B", "--set",
            "edge.limits.fields=10",
        ])
        func line(_ count: Int) -> String { "GET /" + String(repeating: "x", count: count - 14) + " HTTP/1.1" }
        #expect(line(300).utf8.count == 300)
        #expect(try status(edge, line(300) + "\r\nHost: a\r\n\r\n") == 200)
        #expect(try status(edge, line(301) + "\r\nHost: a\r\n\r\n") == 414)

        func head(_ count: Int) -> String {
            let start = "GET / HTTP/1.1\r\nHost: a\r\nX: "
            return start + String(repeating: "x", count: count - start.utf8.count - 4) + "\r\n\r\n"
        }
        #expect(head(1000).utf8.count == 1000)
        #expect(try status(edge, head(1000)) == 200)
        #expect(try status(edge, head(1001)) == 431)

        func fields(_ count: Int) -> String {
            "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "X: y\r\n", count: count - 1) + "\r\n"
        }
        #expect(try status(edge, fields(10)) == 200)
        #expect(try status(edge, fields(11)) == 431)
    }

    @Test func `a body may be as large as its limit, and not a byte larger, however it is framed`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.limits.body=1000B"])
        func chunked(_ count: Int) -> String {
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + String(count, radix: 16) + "\r\n"
                + String(repeating: "x", count: count) + "\r\n0\r\n\r\n"
        }
        func counted(_ count: Int) -> String {
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(count)\r\n\r\n" + String(repeating: "x", count: count)
        }
        #expect(try status(edge, counted(1000)) == 200)
        #expect(try status(edge, counted(1001)) == 413)
        #expect(try status(edge, chunked(1000)) == 200)
        #expect(try status(edge, chunked(1001)) == 413)
        #expect(origin.requestCount == 2)
    }

    @Test func `as many connections as the limit are served, and one more is closed`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.limits.connections=3"])
        var clients = try (0..<3).map { _ in try RawClient(port: edge.port) }
        for client in clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readResponse().status == 200)
        }
        #expect(try RawClient(port: edge.port).isClosed())
        clients.removeLast()
        #expect(eventually { (try? RawClient.get(port: edge.port, "/").status) == 200 })
    }

    @Test func `a client has as many connections as it may, and one more is closed and counted`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.limits.connections_per_client=3"])
        var clients = try (0..<3).map { _ in try RawClient(port: edge.port) }
        for client in clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readResponse().status == 200)
        }
        #expect(try RawClient(port: edge.port).isClosed())
        clients.removeLast()
        let metric = "headrace_edge_connections_refused_total{reason=\"client-connections\"}"
        #expect(eventually { ((try? edge.metric(metric)) ?? 0) >= 1 })
    }

    // MARK: Deadlines

    @Test func `a client that sends its body drop by drop gets a 408, for all that it is never silent`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess([
            "--app", origin.url, "--set", "edge.deadlines.request_body=300ms", "--set", "edge.limits.transfer_rate=64KB/s",
        ])
        let client = try RawClient(port: edge.port)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        let isOver = eventually {
            client.send("abc")
            return client.peek().contains("request-rate")
        }
        #expect(isOver && client.peek().hasPrefix("HTTP/1.1 408 "))
        #expect(try edge.metric("headrace_edge_deadlines_total{reason=\"request-rate\"}") == 1)
        #expect(origin.requestCount == 0)
    }

    @Test(arguments: [("512B/s", 0, "write-deadline", "write"), ("1GB/s", 48 << 10, "response-rate", "response-rate")])
    func `a client that takes nothing, or too little, is cut, and the log says why`(rate: String, step: Int, detail: String, deadline: String) throws {
        let body = String(repeating: "x", count: 8_000_000)
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=600"], body: body)
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.deadlines.write=1s", "--set", "edge.limits.transfer_rate=\(rate)"])
        #expect(try RawClient.get(port: edge.port, "/?slow").body.count == body.utf8.count)
        let client = try RawClient(port: edge.port, receiveBuffer: 64 << 10)
        client.send("GET /?slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        var count = 0
        #expect(try eventually(seconds: 60) {
            if step > 0 { count += client.readSlowly(upTo: step) }
            Thread.sleep(forTimeInterval: 0.1)
            return try edge.metric("headrace_edge_deadlines_total{reason=\"\(deadline)\"}") == 1
        })
        while !client.isClosedByPeer { count += client.readSlowly(upTo: 1 << 20) }
        #expect(count < body.utf8.count)
        let isSaid = try eventually {
            try edge.logLines(atLeast: 2).contains { $0["target"] as? String == "/?slow" && detail == $0["detail"] as? String }
        }
        #expect(isSaid)
    }

    /// The rest of its request is not read, and must not take the end of the response with it.
    @Test func `who is answered before its request has ended has all of the answer, however slowly it takes it`() throws {
        let body = String(repeating: "x", count: 12 << 20)
        let origin = try ScriptedOrigin(readsBodies: false) { _ in [.send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: body))] }
        let edge = try HeadraceProcess(["--app", origin.url])
        let client = try RawClient(port: edge.port)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
        var count = 0
        while !client.isClosedByPeer {
            count += client.readSlowly(upTo: 64 << 10)
            Thread.sleep(forTimeInterval: 0.025)
        }
        #expect(count > 12 << 20)
    }

    @Test func `a client that does not finish its head in time gets a 408`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.deadlines.request_head=300ms"])
        let (silent, slow) = (try RawClient(port: edge.port), try RawClient(port: edge.port))
        slow.send("GET / HTTP/1.1\r\nHo")
        let response = try slow.readResponse()
        #expect(response.status == 408 && response.text.contains("request-head-deadline"))
        #expect(slow.isClosed())
        #expect(silent.readToEnd() == "" && silent.isClosedByPeer, "who has said nothing is told nothing")
        #expect(try edge.metric("headrace_edge_deadlines_total{reason=\"request-head\"}") == 2)
    }

    @Test func `a client that sends its head drop by drop does not stretch the deadline`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.deadlines.request_head=300ms"])
        let client = try RawClient(port: edge.port)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n")
        let isOver = eventually {
            client.send("X: y\r\n")
            return client.peek().contains(" 408 ") || client.isClosedByPeer
        }
        #expect(isOver)
    }

    @Test func `a client that stops in its body gets a 408, and the application not a whole request`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.deadlines.request_body=300ms"])
        let client = try RawClient(port: edge.port)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        #expect(try client.readResponse().status == 408)
        #expect(client.isClosed())
        #expect(origin.requestCount == 0)
    }

    @Test func `an idle connection is closed without a word`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.deadlines.keep_alive=300ms"])
        let client = try RawClient(port: edge.port)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readResponse().status == 200)
        #expect(client.readToEnd() == "" && client.isClosedByPeer)
    }

    /// The kernel has room for more only when a third of its buffer is free, which this client would need twelve seconds for.
    @Test func `a client that takes nothing is given up, one that takes little is not`() throws {
        let body = String(repeating: "0123456789abcdef", count: 1 << 19)  // 8 MiB
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=60", "Content-Type: image/png"], body: body)
        let edge = try HeadraceProcess([
            "--app", origin.url, "--set", "edge.deadlines.write=2s", "--set", "edge.cache.max_object_size=16MB",
        ])
        #expect(try RawClient.get(port: edge.port, "/", seconds: 20).body.count == body.utf8.count)
        let (dead, slow) = (try RawClient(port: edge.port, receiveBuffer: 8 << 10), try RawClient(port: edge.port, receiveBuffer: 8 << 10))
        for client in [dead, slow] { client.send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n") }
        var received = 0
        let until = Date() + 6
        while Date() < until, !slow.isClosedByPeer {
            received += slow.readSlowly(upTo: 10 << 10)
            usleep(100_000)
        }
        while !slow.isClosedByPeer { received += slow.readSlowly(upTo: 1 << 20) }
        #expect(received > body.utf8.count, "head and body, whole")
        #expect(try eventually(seconds: 20) { try edge.metric("headrace_edge_deadlines_total{reason=\"write\"}") == 1 })
    }
}
