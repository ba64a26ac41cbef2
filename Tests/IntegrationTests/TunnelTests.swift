import Foundation
import TestSupport
import Testing

/// Connections that switch to another protocol, WebSocket above all.
@Suite struct TunnelTests {
    private static let request = [
        "GET /chat HTTP/1.1", "Host: a.example", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ].joined(separator: "\r\n") + "\r\n\r\n"

    private static let accepted = [
        "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ].joined(separator: "\r\n") + "\r\n\r\n"

    /// An application that switches, and then answers to each line that it gets with these steps.
    private func origin(_ steps: @escaping @Sendable (String) -> [ScriptedOrigin.Step] = { [.send($0.uppercased())] }) throws -> ScriptedOrigin {
        try ScriptedOrigin(readsBodies: false, afterHead: steps) { _ in [.send(Self.accepted)] }
    }

    private func open(_ edge: HeadraceProcess) throws -> RawClient {
        let client = try RawClient(port: edge.port)
        client.send(Self.request)
        let response = try client.readResponse(hasBody: false)
        #expect(response.status == 101 && response.field("Upgrade") == "websocket" && response.field("Connection") == "Upgrade")
        #expect(response.field("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        return client
    }

    @Test func `bytes pass in both directions, and the exchange is logged when it has ended`() throws {
        let origin = try origin()
        let stages = ["lookup", "queue", "connect", "first_byte", "compress", "write"].map { $0 + "_ms" }
        let fields = ["target", "status", "bytes", "head_ms"] + stages
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.access_log_fields=\(fields.joined(separator: ","))"])
        let client = try open(edge)
        #expect(origin.requests[0].field("Upgrade") == "websocket" && origin.requests[0].field("Connection") == "Upgrade")
        for word in ["one", "two"] {
            client.send(word)
            #expect(eventually { client.peek() == word.uppercased() })
            _ = client.readAvailable(milliseconds: 1)
        }
        #expect(try edge.metric("headrace_edge_tunnels") == 1)
        client.reset()
        #expect(try eventually { try edge.metric("headrace_edge_tunnels") == 0 })
        let line = try #require(try edge.logLines(atLeast: 1).first { $0["target"] as? String == "/chat" })
        #expect(line["status"] as? Int == 101 && line["bytes"] as? Int == 6)
        // What led to the 101 is what its head took; each is cut to three digits.
        let sum = stages.compactMap { line[$0] as? Double }.reduce(0, +)
        #expect(abs(sum - (line["head_ms"] as? Double ?? 0)) < 0.008 && line["first_byte_ms"] != nil, "\(line)")
    }

    @Test func `what a client sends right behind its request is not lost`() throws {
        let origin = try origin()
        let edge = try HeadraceProcess(["--app", origin.url])
        let client = try RawClient(port: edge.port)
        client.send(Self.request + "early")
        #expect(try client.readResponse(hasBody: false).status == 101)
        #expect(eventually { client.peek() == "EARLY" })
    }

    @Test func `a side that sends no more still gets what the other has to say`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try origin { _ in [.waitFor(gate), .send("late words"), .close] }
        let edge = try HeadraceProcess(["--app", origin.url])
        let client = try open(edge)
        client.send("last")
        client.finishSending()
        #expect(client.readAvailable(milliseconds: 100) == "" && !client.isClosedByPeer)
        gate.open()
        #expect(client.readToEnd() == "late words")
        #expect(client.isClosedByPeer)
    }

    @Test func `a tunnel without a byte for too long is closed, and one in all for too long`() throws {
        for (key, isKeptBusy) in [("idle_timeout", false), ("total_timeout", true)] {
            let origin = try origin()
            let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.upstream.tunnel.\(key)=400ms"])
            let client = try open(edge)
            #expect(
                eventually {
                    if isKeptBusy { client.send("x") }
                    _ = client.readAvailable(milliseconds: 20)
                    return client.isClosedByPeer
                })
        }
    }

    @Test func `a client that takes nothing stops the application, not the edge's memory`() throws {
        let block = [UInt8](repeating: 7, count: 1 << 20)
        let origin = try origin { _ in (0..<200).map { _ in .sendBytes(block) } }
        let edge = try HeadraceProcess(["--app", origin.url])
        let client = try open(edge)
        let before = try edge.residentBytes()
        client.send("go")
        // A moment that is long on a busy machine: what comes in it counts, or nothing may be left to wait for.
        var count = client.readAvailable(milliseconds: 300).utf8.count
        #expect(count > 0)
        #expect(try edge.residentBytes() - before < 60 << 20)
        while count < 150 << 20, !client.isClosedByPeer { count += client.readSlowly(upTo: 1 << 20) }
        #expect(count >= 150 << 20)
    }

    @Test func `an application that does not switch answers as always`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=60"], body: "a page")
        let edge = try HeadraceProcess(["--app", origin.url])
        for _ in 0..<2 { #expect(try RawClient.exchange(port: edge.port, Self.request).text == "a page") }
        #expect(origin.requestCount == 2, "an upgrade never comes from the cache")
    }

    @Test func `a switch to something that nobody offered is a 502`() throws {
        let origin = try ScriptedOrigin { _ in [.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n")] }
        let edge = try HeadraceProcess(["--app", origin.url])
        #expect(try RawClient.exchange(port: edge.port, Self.request).status == 502)
        #expect(try RawClient.get(port: edge.port, "/").status == 502)
    }

    @Test func `a tunnel lives through a reload, and ends with the drain's deadline`() throws {
        let origin = try origin()
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.deadlines.drain=500ms"])
        let client = try open(edge)
        kill(edge.processIdentifier, SIGHUP)
        #expect(eventually { edge.errorOutput.contains("read anew") })
        client.send("still there")
        #expect(eventually { client.peek() == "STILL THERE" })
        _ = client.readAvailable(milliseconds: 1)
        let began = Date()
        edge.terminate()
        client.send("and now")
        #expect(eventually { client.peek() == "AND NOW" }, "it goes on while the others drain")
        #expect(edge.waitForExit() == 0)
        #expect((0.5..<5).contains(Date().timeIntervalSince(began)))
        #expect(client.isClosed())
        let line = try #require(try edge.logLines(atLeast: 1).first)
        #expect(line["status"] as? Int == 101 && line["bytes"] as? Int == 18 && line["detail"] as? String == "drain-deadline", "it has its line all the same")
    }

    @Test(.enabled(if: WebSocketEcho.isInstalled, "Python's websockets is not installed: run scripts/setup"))
    func `WebSockets of a real server and real clients`() throws {
        let server = try WebSocketEcho()
        let edge = try HeadraceProcess(["--app", server.url])
        #expect(try WebSocketEcho.exchange(port: edge.port, clients: 20, messages: 42) == "ok")
        #expect(try eventually { try edge.metric("headrace_edge_tunnels") == 0 })
    }
}
