import Foundation
import TestSupport
import Testing

/// Many clients and one fetch, whose body takes its time.
@Suite struct ReadAlongTests {
    private func edge(_ origin: ScriptedOrigin, _ settings: [String] = []) throws -> HeadraceProcess {
        try HeadraceProcess(["--app", origin.url] + settings.flatMap { ["--set", $0] })
    }

    private static let first = String(repeating: "first ", count: 2000)
    private static let second = String(repeating: "second ", count: 2000)

    private static func chunk(_ text: String) -> String { "\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n" }

    /// A body in two pieces, between which a gate stands.
    private static func halves(_ fields: String, isChunked: Bool, _ gate: ScriptedOrigin.Gate) -> [ScriptedOrigin.Step] {
        isChunked
            ? [
                .send("HTTP/1.1 200 OK\r\n\(fields)Transfer-Encoding: chunked\r\n\r\n" + chunk(first)), .waitFor(gate),
                .send(chunk(second) + "0\r\n\r\n"),
            ]
            : [
                .send("HTTP/1.1 200 OK\r\n\(fields)Content-Length: \((first + second).utf8.count)\r\n\r\n" + first), .waitFor(gate),
                .send(second),
            ]
    }

    private func get(_ edge: HeadraceProcess, _ fields: [String] = []) throws -> RawClient {
        let client = try RawClient(port: edge.port)
        client.send((["GET /page HTTP/1.1", "Host: a.example"] + fields).joined(separator: "\r\n") + "\r\n\r\n")
        return client
    }

    @Test(arguments: [true, false]) func `who comes in mid-body starts at once, and there is one fetch`(isChunked: Bool) throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { _ in Self.halves("Cache-Control: max-age=60\r\n", isChunked: isChunked, gate) }
        let edge = try edge(origin)
        let leader = try get(edge)
        #expect(eventually { leader.peek().contains("first ") }, "bytes as they arrive")
        let followers = try (0..<10).map { _ in try get(edge) }
        for follower in followers { #expect(eventually { follower.peek().contains("first first") }, "before the gate is open") }
        #expect(!gate.isOpen && origin.requestCount == 1)
        gate.open()
        for client in [leader] + followers {
            let response = try client.readResponse()
            #expect(response.text == Self.first + Self.second)
            guard client !== leader else { continue }
            #expect(response.field("Cache-Status") == "headrace; fwd=uri-miss; collapsed")
            #expect(response.field("Age").flatMap { Int($0) } != nil, "seconds since the leader's answer began")
        }
        let hit = try RawClient.get(port: edge.port, "/page")
        #expect(hit.text == Self.first + Self.second && hit.field("Cache-Status")?.contains("; hit") == true && origin.requestCount == 1)
    }

    @Test(arguments: ["gzip", "br", "zstd"]) func `each reads along in a coding of its own`(coding: String) throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { _ in
            Self.halves("Cache-Control: max-age=60\r\nContent-Type: text/plain\r\nETag: \"v\"\r\n", isChunked: true, gate)
        }
        let edge = try edge(origin)
        let leader = try get(edge)
        #expect(eventually { leader.peek().contains("first ") })
        let follower = try get(edge, ["Accept-Encoding: \(coding)"])
        #expect(eventually { follower.peek().contains("\r\n\r\n") })
        gate.open()
        let response = try follower.readResponse()
        #expect(response.field("Content-Encoding") == coding && response.field("ETag")?.hasPrefix("W/\"v~") == true)
        #expect(try Decoded.text(response) == Self.first + Self.second)
        #expect(try leader.readResponse().text == Self.first + Self.second && origin.requestCount == 1)
    }

    @Test func `the first one leaves in mid-body, and the others and the store have all of it`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { _ in Self.halves("Cache-Control: max-age=60\r\n", isChunked: true, gate) }
        let edge = try edge(origin)
        let leader = try get(edge)
        #expect(eventually { leader.peek().contains("first ") })
        let follower = try get(edge)
        #expect(eventually { follower.peek().contains("first ") })
        leader.reset()
        #expect(try edge.logLines(atLeast: 1).first?["detail"] as? String == "client-gone")
        gate.open()
        #expect(try follower.readResponse().text == Self.first + Self.second)
        #expect(try RawClient.get(port: edge.port, "/page").text == Self.first + Self.second && origin.requestCount == 1)
    }

    @Test func `a body that breaks off is cut for all, and not stored`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { request in
            request.number == 0
                ? [
                    .send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n" + Self.chunk(Self.first)),
                    .waitFor(gate), .close,
                ] : [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=60"], body: "whole"))]
        }
        let edge = try edge(origin)
        let clients = [try get(edge), try get(edge)]
        for client in clients { #expect(eventually { client.peek().contains("first ") }) }
        gate.open()
        for client in clients {
            #expect(client.isClosed())
        }
        #expect(try RawClient.get(port: edge.port, "/page").text == "whole" && origin.requestCount == 2)
    }

    @Test func `what turns out too large is read along to its end, and is not stored`() throws {
        let gate = ScriptedOrigin.Gate()
        let piece = String(repeating: "0123456789abcdef", count: 1024)
        let origin = try ScriptedOrigin { request in
            [.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n" + Self.chunk(piece)), .waitFor(gate)]
                + (0..<200).map { _ in .send(Self.chunk(piece)) } + [.send("0\r\n\r\n")]
        }
        let edge = try edge(origin, ["edge.cache.max_object_size=100KB"])
        let clients = [try get(edge), try get(edge), try get(edge)]
        for client in clients { #expect(eventually { client.peek().contains("0123") }) }
        gate.open()
        for client in clients { #expect(try client.readResponse(seconds: 20).body.count == 201 * piece.utf8.count) }
        #expect(origin.requestCount == 1)
        #expect(try edge.metric("headrace_response_cache_bytes") < 100_000)
        _ = try RawClient.get(port: edge.port, "/page")
        #expect(origin.requestCount == 2)
    }

    @Test func `a slow reader does not hold the others up`() throws {
        let body = String(repeating: "0123456789abcdef", count: 256 << 10)
        let origin = try ScriptedOrigin { _ in
            [.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n" + Self.chunk(body) + "0\r\n\r\n")]
        }
        let edge = try edge(origin)
        let slow = try RawClient(port: edge.port, receiveBuffer: 4096)
        slow.send("GET /page HTTP/1.1\r\nHost: a.example\r\n\r\n")
        #expect(eventually { slow.peek().contains("0123") })
        #expect(try RawClient.get(port: edge.port, "/page", seconds: 20).body.count == body.utf8.count)
        #expect(origin.requestCount == 1)
        #expect(try slow.readResponse(seconds: 20).body.count == body.utf8.count)
    }

    @Test func `nobody is given another's variant`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { request in
            let language = request.field("Accept-Language") ?? "none"
            return [
                .send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nVary: Accept-Language\r\nTransfer-Encoding: chunked\r\n\r\n" + Self.chunk(language)),
                .waitFor(gate), .send("0\r\n\r\n"),
            ]
        }
        let edge = try edge(origin)
        let german = try get(edge, ["Accept-Language: de"])
        #expect(eventually { german.peek().contains("de") })
        let others = [try get(edge, ["Accept-Language: en"]), try get(edge), try get(edge, ["Accept-Language: de"])]
        #expect(eventually { others[2].peek().hasSuffix("de\r\n") && others[0].peek().hasSuffix("en\r\n") })
        gate.open()
        #expect(try others.map { try $0.readResponse().text } == ["en", "none", "de"])
        #expect(try german.readResponse().text == "de" && origin.requestCount == 3)
    }

    @Test func `a private page releases all who wait as soon as its head is here`() throws {
        let (head, rest) = (ScriptedOrigin.Gate(), ScriptedOrigin.Gate())
        let origin = try ScriptedOrigin { request in
            [
                .waitFor(head), .send("HTTP/1.1 200 OK\r\nCache-Control: private\r\nTransfer-Encoding: chunked\r\n\r\n" + Self.chunk("\(request.number)")),
                .waitFor(rest), .send("0\r\n\r\n"),
            ]
        }
        let edge = try edge(origin)
        let clients = try (0..<20).map { _ in try get(edge) }
        #expect(try eventually { try edge.metric("headrace_edge_connections") >= 21 && origin.requestCount > 0 })
        head.open()
        #expect(eventually { origin.requestCount == 20 }, "all at once, while none is answered")
        rest.open()
        #expect(Set(try clients.map { try $0.readResponse().text }).count == 20)
        // It is remembered: the next ones do not wait for each other.
        _ = try RawClient.get(port: edge.port, "/page")
        #expect(origin.requestCount == 21)
    }

    @Test func `in a folder of private pages nobody with a cookie waits for a page that is not known, and what can be stored is fetched once`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { request in
            let isPrivate = request.target.hasPrefix("/account/")
            let answer = ScriptedOrigin.response(fields: [isPrivate ? "Cache-Control: private" : "Cache-Control: max-age=600"], body: "\(request.number)")
            return request.target.hasSuffix("/new") ? [.waitFor(gate), .send(answer)] : [.send(answer)]
        }
        let edge = try edge(origin)
        let cookie = "Cookie: session=1"
        for page in ["a", "b"] { _ = try RawClient.get(port: edge.port, "/account/\(page)", [cookie]) }
        func ask(_ target: String, _ fields: [String]) throws -> [RawClient] {
            try (0..<20).map { _ in
                let client = try RawClient(port: edge.port)
                client.send((["GET \(target) HTTP/1.1", "Host: a.example"] + fields).joined(separator: "\r\n") + "\r\n\r\n")
                return client
            }
        }
        let own = try ask("/account/new", [cookie])
        #expect(eventually { origin.requestCount == 22 }, "all at once, while none is answered")
        let others = try ask("/news/new", ["Cookie: theme=dark"])
        #expect(try eventually { try edge.metric("headrace_edge_connections") >= 41 && origin.requestCount == 23 })
        gate.open()
        #expect(Set(try own.map { try $0.readResponse().text }).count == 20)
        #expect(Set(try others.map { try $0.readResponse().text }).count == 1 && origin.requestCount == 23)
    }

    @Test func `who carries a session waits for nobody's page in a folder that nobody knows yet`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { request in
            [.waitFor(gate), .send(ScriptedOrigin.response(fields: ["Cache-Control: private"], body: "\(request.number)"))]
        }
        let edge = try edge(origin)
        let clients = try (0..<20).map { number in
            let client = try RawClient(port: edge.port)
            client.send("GET /account/new HTTP/1.1\r\nHost: a.example\r\nCookie: theme=dark; sessionid=\(number)\r\n\r\n")
            return client
        }
        #expect(eventually { origin.requestCount == 20 }, "all at once, while none is answered")
        gate.open()
        #expect(Set(try clients.map { try $0.readResponse().text }).count == 20)
    }
}
