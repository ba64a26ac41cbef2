import Foundation
import HTTP2Wire
import HTTPSemantics
import Logging
import NIOCore
import TestSupport
import Testing
import Transport

@testable import Edge

/// HTTP/2 with prior knowledge, over a socket: an edge within this process, a scripted application behind it, and a client that sends what
/// it is told frame by frame.
@Suite(.serialized) struct HTTP2HandlerTests {
    typealias F = HTTP2Frames

    /// An edge in front of an application, and what it has counted.
    private final class Site: Sendable {
        let origin: ScriptedOrigin
        let server: EdgeServer
        let port: Int

        static func start(
            _ origin: ScriptedOrigin, pressure: MemoryPressure = MemoryPressure(), _ change: (inout EdgeConfiguration) -> Void = { _ in }
        ) async throws -> Site {
            var configuration = EdgeConfiguration()
            configuration.listen = [.tcp(host: "127.0.0.1", port: 0)]
            configuration.application = UpstreamGroup(endpoint: .tcp(host: "127.0.0.1", port: origin.port))
            configuration.threads = 1
            configuration.accessLog = .off
            change(&configuration)
            let server = try EdgeServer(configuration: configuration, pressure: pressure, logger: Logger(label: "edge") { _ in SwiftLogNoOpLogHandler() })
            let port = try await server.start().plain.first?.port ?? 0
            return Site(origin, server, port)
        }

        private init(_ origin: ScriptedOrigin, _ server: EdgeServer, _ port: Int) {
            (self.origin, self.server, self.port) = (origin, server, port)
        }

        func metric(_ series: String) throws -> Double {
            let text = try RawClient.getOwnPage(port: port, "/metrics").text
            return text.split(separator: "\n").first { $0.hasPrefix(series + " ") }.flatMap { Double($0.dropFirst(series.count + 1)) } ?? 0
        }
    }

    private static func hello(_ fields: [String] = ["Cache-Control: max-age=600"]) throws -> ScriptedOrigin {
        try ScriptedOrigin { request in [.send(ScriptedOrigin.response(fields: fields, body: "\(request.method) \(request.target) \(request.body)"))] }
    }

    // MARK: Exchanges

    @Test func `a page is fetched, then answered from the store, on one connection`() async throws {
        let site = try await Site.start(Self.hello())
        let peer = try HTTP2Peer(port: site.port)
        peer.send(F.headers(1, F.request("/a", [("cookie", "a=1"), ("cookie", "b=2")])))
        let miss = peer.response(1)
        #expect(miss.status == 200 && miss.text == "GET /a " && miss.isComplete)
        #expect(miss.field("cache-status")?.contains("uri-miss") ?? false)
        #expect(miss.field("connection") == nil && miss.field("transfer-encoding") == nil && miss.field("via") == "1.1 headrace")
        peer.send(F.headers(3, F.request("/a")), F.headers(5, F.request("/a", method: "HEAD")), F.headers(7, F.request("/a", [("if-none-match", "*")])))
        #expect(peer.response(3).text == "GET /a " && peer.response(3).field("cache-status")?.contains("hit") ?? false)
        #expect(peer.response(5).status == 200 && peer.response(5).body.isEmpty && peer.response(5).field("content-length") == "7")
        #expect(peer.response(7).status == 304 && peer.response(7).isComplete)
        let request = try #require(site.origin.requests.first)
        #expect(request.field("Via") == "2.0 headrace" && request.field("Host") == "a.example" && request.field("Cookie") == "a=1; b=2")
        #expect(site.origin.requestCount == 1)
        #expect(try site.metric("headrace_edge_protocol_requests_total{version=\"2\"}") == 4)
        #expect(try site.metric("headrace_edge_protocol_connections{version=\"2\"}") == 1)
        await site.server.drain()
    }

    @Test func `where new requests are refused for memory, a header block that grows cuts its connection`() async throws {
        let pressure = MemoryPressure(bytesMax: 1000)
        let site = try await Site.start(Self.hello(), pressure: pressure)
        let peer = try HTTP2Peer(port: site.port)
        peer.send(F.headers(1, F.request("/a")))
        #expect(peer.response(1).status == 200)
        pressure.measured(residentBytes: 880)
        // Little of it is kept.
        peer.send(F.headers(3, F.request("/b"), endsHeaders: false))
        #expect(!peer.read(seconds: 0.2) { $0.client.isClosedByPeer })
        peer.send(F.frame(9, stream: 3, F.block([("x-long", String(repeating: "x", count: 3000))])))
        #expect(peer.read { $0.client.isClosedByPeer })
        pressure.measured(residentBytes: 0)
        #expect(try site.metric("headrace_edge_memory_cut_total") == 1)
        await site.server.drain()
    }

    @Test func `what is for https is refused without TLS`() async throws {
        let site = try await Site.start(Self.hello())
        let peer = try HTTP2Peer(port: site.port)
        peer.send(F.headers(1, [(":method", "GET"), (":scheme", "https"), (":path", "/a"), (":authority", "a.example")]), F.headers(3))
        #expect(peer.response(1).status == 421 && peer.response(3).status == 200)
        #expect(site.origin.requestCount == 1)
        await site.server.drain()
    }

    @Test func `many streams at a time have each their own answer`() async throws {
        let site = try await Site.start(Self.hello(["Cache-Control: no-store"]))
        let peer = try HTTP2Peer(port: site.port)
        peer.send(F.streams(100) { id in F.headers(id, F.request("/\(id)")) })
        for id in stride(from: 1, to: 200, by: 2) as StrideTo<UInt32> { #expect(peer.response(id).text == "GET /\(id) ") }
        await site.server.drain()
    }

    @Test(arguments: ["max-age=600", "private"]) func `streams that wait for another's fetch get what it brings, or fetch for themselves`(caching: String) async throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { request in
            [.waitFor(gate), .send(ScriptedOrigin.response(fields: ["Cache-Control: \(caching)"], body: "\(request.number)"))]
        }
        let site = try await Site.start(origin)
        let peer = try HTTP2Peer(port: site.port)
        peer.send(F.streams(20) { id in F.headers(id, F.request("/a")) })
        #expect(eventually { origin.requestCount == 1 })
        gate.open()
        let bodies = (0..<20).map { peer.response(UInt32(2 * $0 + 1)).text }
        #expect(Set(bodies).count == (caching == "private" ? 20 : 1) && !bodies.contains(""), "\(bodies)")
        #expect(origin.requestCount == (caching == "private" ? 20 : 1))
        await site.server.drain()
    }

    @Test func `a request's body goes on with its length or without, and its trailers with it`() async throws {
        let site = try await Site.start(Self.hello(["Cache-Control: no-store"]))
        let peer = try HTTP2Peer(port: site.port)
        peer.send(
            F.headers(1, F.request("/a", method: "POST", [("content-length", "5")]), endsStream: false), F.data(1, Array("hel".utf8)),
            F.data(1, Array("lo".utf8), endsStream: true))
        #expect(peer.response(1).text == "POST /a hello")
        peer.send(F.headers(3, F.request("/b", method: "POST"), endsStream: false), F.data(3, Array("hello".utf8)), F.headers(3, [("x-sum", "1")]))
        #expect(peer.response(3).text.hasPrefix("POST /b "))
        #expect(site.origin.requests.first?.field("Content-Length") == "5")
        #expect(site.origin.requests.last?.field("Transfer-Encoding") == "chunked")
        await site.server.drain()
    }

    @Test func `a large upload arrives whole, through its windows`() async throws {
        let body = [UInt8](repeating: UInt8(ascii: "u"), count: 3 << 20)
        let origin = try ScriptedOrigin { request in [.send(ScriptedOrigin.response(body: "\(request.body.utf8.count)"))] }
        let site = try await Site.start(origin)
        let peer = try HTTP2Peer(port: site.port)
        peer.send(F.headers(1, F.request("/up", method: "PUT", [("content-length", "\(body.count)")]), endsStream: false))
        var (position, stream, connection) = (0, 65_535, 65_535)
        var seen = 0
        while position < body.count {
            peer.read { (peer: HTTP2Peer) -> Bool in
                for frame in peer.frames[seen...] {
                    if frame.type == 4, frame.flags & 1 == 0 { stream += (256 << 10) - 65_535 }
                    if frame.type == 8 { if frame.stream == 0 { connection += Int(frame.number(at: 0)) } else { stream += Int(frame.number(at: 0)) } }
                }
                seen = peer.frames.count
                return min(stream, connection) > 0
            }
            let count = min(stream, connection, body.count - position, 16_384)
            try #require(count > 0)
            peer.send(F.data(1, Array(body[position..<position + count]), endsStream: position + count == body.count))
            position += count
            stream -= count
            connection -= count
        }
        #expect(peer.response(1).text == "\(body.count)")
        await site.server.drain()
    }

    @Test func `100 Continue, early hints and trailers pass`() async throws {
        let origin = try ScriptedOrigin { request in
            [
                .send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"),
                .send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n"),
            ]
        }
        let site = try await Site.start(origin)
        let peer = try HTTP2Peer(port: site.port)
        peer.send(F.headers(1, F.request("/", [("te", "trailers")])))
        let response = peer.response(1)
        #expect(response.interim.first?.last?.1 == "</a.css>; rel=preload")
        #expect(response.text == "hello")
        #expect(response.trailers.first?.1 == "7")
        peer.send(F.headers(3, F.request("/", method: "POST", [("expect", "100-continue"), ("content-length", "2")]), endsStream: false))
        #expect(peer.read { $0.responses[3]?.interim.first?.first?.1 == "100" })
        peer.send(F.data(3, [1, 2], endsStream: true))
        #expect(peer.response(3).text == "hello")
        await site.server.drain()
    }

    // MARK: Early hints

    private static let navigation = [("sec-fetch-mode", "navigate")]
    private static let style = "</a.css>; rel=preload; as=style"

    /// The links of the heads that came before a response's own.
    private static func hints(_ response: HTTP2Peer.Response) -> [[String]] {
        response.interim.filter { $0.first?.1 == "103" }.map { $0.filter { $0.0 == "link" }.map(\.1) }
    }

    @Test func `configured hints come before the application has answered, for pages that it is asked for`() async throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { request in
            [.waitFor(gate), .send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=600"], body: request.target))]
        }
        let site = try await Site.start(origin) { $0.earlyHints.links = [Self.style, "<https://cdn.example>; rel=preconnect"] }
        let peer = try HTTP2Peer(port: site.port)
        peer.send(F.headers(1, F.request("/", Self.navigation)), F.headers(3, F.request("/", Self.navigation)))
        // The one that asks the application, and the one that waits for it.
        #expect(peer.read { $0.responses[1]?.interim.count == 1 && $0.responses[3]?.interim.count == 1 })
        gate.open()
        #expect(peer.response(1).text == "/" && peer.response(3).text == "/" && origin.requestCount == 1)
        #expect(Self.hints(peer.response(1)) == [[Self.style, "<https://cdn.example>; rel=preconnect"]])
        peer.send(F.headers(5, F.request("/", Self.navigation)), F.headers(7, F.request("/image")))
        #expect(peer.response(5).field("cache-status")?.contains("hit") ?? false)
        #expect(peer.response(5).interim.isEmpty, "what is there needs no hint")
        #expect(peer.response(7).text == "/image" && peer.response(7).interim.isEmpty, "no page")
        let client = try RawClient(port: site.port)
        client.send("GET /1 HTTP/1.1\r\nHost: a\r\nSec-Fetch-Mode: navigate\r\n\r\n")
        #expect(try client.readResponse().status == 200)
        #expect(try site.metric("headrace_edge_early_hints_total{source=\"configured\"}") == 4)
        await site.server.drain()
    }

    @Test func `a client of HTTP-1_1 gets them where the route says so, and the application's own adds what is new`() async throws {
        let origin = try ScriptedOrigin { request in
            [
                .send("HTTP/1.1 103 Early Hints\r\nLink: \(Self.style)\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </own.js>; rel=preload\r\n\r\n"),
                .send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: "hello")),
            ]
        }
        let site = try await Site.start(origin) {
            $0.earlyHints.links = [Self.style]
            var route = RouteConfiguration()
            route.match.paths = ["/off"]
            route.upstream = "app"
            route.earlyHints.isEnabled = false
            var bold = RouteConfiguration()
            bold.match.paths = ["/bold"]
            bold.upstream = "app"
            bold.earlyHints.includesHTTP1 = true
            $0.routes = [route, bold]
        }
        let client = try RawClient(port: site.port)
        client.send("GET /bold HTTP/1.1\r\nHost: a\r\nSec-Fetch-Mode: navigate\r\n\r\n")
        let (own, more, last) = (try client.readResponse(), try client.readResponse(), try client.readResponse())
        #expect(own.status == 103 && own.field("Link") == Self.style)
        #expect(more.status == 103 && more.field("Link") == "</own.js>; rel=preload")
        #expect(last.text == "hello")
        client.send("GET /off HTTP/1.1\r\nHost: a\r\nSec-Fetch-Mode: navigate\r\n\r\n")
        // The application's own pass as they are.
        #expect(try client.readResponse().field("Link") == Self.style)
        await site.server.drain()
    }

    @Test func `what a page said is hinted the next time it is fetched, until it says something else`() async throws {
        let origin = try ScriptedOrigin { request in
            let caching = request.field("Cookie") == nil ? "max-age=600" : "private"
            let links = request.number < 3 ? ["Link: \(Self.style), </next>; rel=next"] : []
            return [.send(ScriptedOrigin.response(fields: ["Content-Type: text/html", "Cache-Control: \(caching)"] + links, body: "\(request.number)"))]
        }
        let site = try await Site.start(origin) { $0.earlyHints.learns = true }
        let peer = try HTTP2Peer(port: site.port)
        var stream = UInt32(1)
        func get(_ path: String, _ more: [(String, String)] = []) -> HTTP2Peer.Response {
            peer.send(F.headers(stream, F.request(path, Self.navigation + more)))
            stream += 2
            return peer.response(stream - 2)
        }
        #expect(Self.hints(get("/")) == [] && get("/").field("cache-status")?.contains("hit") ?? false)
        let again = get("/", [("cache-control", "no-cache")])
        #expect(again.text == "1" && Self.hints(again) == [[Self.style]])
        #expect(Self.hints(get("/", [("authorization", "Basic YTpi")])) == [[Self.style]], "links that all get are no secret")
        #expect(try site.metric("headrace_edge_early_hints_total{source=\"learnt\"}") == 2)
        // The answer to this one no longer has it.
        #expect(Self.hints(get("/", [("cache-control", "no-cache")])) == [[Self.style]])
        #expect(Self.hints(get("/", [("cache-control", "no-cache")])) == [])
        await site.server.drain()
    }

    @Test func `nothing is learnt from what is private, and nothing is said on another host`() async throws {
        let origin = try ScriptedOrigin { request in
            let caching = request.target == "/private" ? "private, max-age=600" : "max-age=600"
            return [.send(ScriptedOrigin.response(fields: ["Content-Type: text/html", "Cache-Control: \(caching)", "Link: \(Self.style)"], body: "x"))]
        }
        let site = try await Site.start(origin) { $0.earlyHints.learns = true }
        let peer = try HTTP2Peer(port: site.port)
        let other = [(":method", "GET"), (":scheme", "http"), (":path", "/shared"), (":authority", "b.example")] + Self.navigation
        peer.send(F.headers(1, F.request("/private", Self.navigation)), F.headers(3, F.request("/shared", Self.navigation)))
        #expect(peer.response(1).status == 200 && peer.response(3).status == 200)
        let noCache = [("cache-control", "no-cache")]
        peer.send(F.headers(5, F.request("/private", Self.navigation + noCache)), F.headers(7, other), F.headers(9, F.request("/shared", Self.navigation + noCache)))
        #expect(Self.hints(peer.response(5)) == [] && Self.hints(peer.response(7)) == [] && Self.hints(peer.response(9)) == [[Self.style]])
        await site.server.drain()
    }

    @Test func `a page that is purged, gone or only for some hints nothing any more, nor one whose links the route takes away`() async throws {
        let origin = try ScriptedOrigin { request in
            let isGone = request.target == "/page" && request.number == 4
            return [
                .send(ScriptedOrigin.response(
                    status: isGone ? "404 Not Found" : "200 OK",
                    fields: ["Content-Type: text/html", "Cache-Control: \(isGone ? "no-store" : "max-age=600")", "Link: \(Self.style)"], body: "x"))
            ]
        }
        let site = try await Site.start(origin) {
            $0.earlyHints.learns = true
            $0.purge.token = "secret"
            var inner = RouteConfiguration()
            inner.match.paths = ["/inner"]
            inner.upstream = "app"
            inner.responseRules.removed = ["Link"]
            $0.routes = [inner]
        }
        let peer = try HTTP2Peer(port: site.port)
        var stream = UInt32(1)
        func hints(_ path: String) -> [[String]] {
            peer.send(F.headers(stream, F.request(path, Self.navigation + [("cache-control", "no-cache")])))
            stream += 2
            return Self.hints(peer.response(stream - 2))
        }
        // Requests 0 and 1: what the route takes away.
        #expect(hints("/inner") == [] && hints("/inner") == [])
        // 2 and 3; then it is purged.
        #expect(hints("/page") == [] && hints("/page") == [[Self.style]])
        peer.send(F.headers(stream, F.request("/page", method: "PURGE", [("headrace-key", "secret")])))
        #expect(peer.response(stream).status == 200)
        stream += 2
        // 4, which is gone: nothing is learnt of it.
        #expect(hints("/page") == [])
        #expect(hints("/page") == [])
        await site.server.drain()
    }

    @Test func `a page that has moved or gone is hinted once more, and then no more`() async throws {
        let origin = try ScriptedOrigin { request in
            let isGone = request.number >= 1
            return [
                .send(ScriptedOrigin.response(
                    status: isGone ? "302 Found" : "200 OK",
                    fields: ["Content-Type: text/html", "Cache-Control: \(isGone ? "no-store" : "max-age=600")", "Link: \(Self.style)"], body: "x"))
            ]
        }
        let site = try await Site.start(origin) { $0.earlyHints.learns = true }
        let peer = try HTTP2Peer(port: site.port)
        for (stream, expected) in [(UInt32(1), []), (3, [[Self.style]]), (5, []), (7, [])] {
            peer.send(F.headers(stream, F.request("/", Self.navigation + [("cache-control", "no-cache")])))
            #expect(Self.hints(peer.response(stream)) == expected, "\(stream)")
        }
        await site.server.drain()
    }

    @Test func `a response that cannot be completed resets its stream, and no other`() async throws {
        let origin = try ScriptedOrigin { request in
            request.target == "/broken"
                ? [.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 100\r\n\r\nhello"), .close]
                : [.send(ScriptedOrigin.response(body: "whole"))]
        }
        let site = try await Site.start(origin)
        let peer = try HTTP2Peer(port: site.port)
        peer.send(F.headers(1, F.request("/broken")), F.headers(3, F.request("/whole")))
        #expect(peer.response(1).resetCode == 2 && !peer.response(1).isComplete)
        #expect(peer.response(3).text == "whole")
        await site.server.drain()
    }

    @Test func `heads over the limits are answered, and the connection goes on`() async throws {
        let site = try await Site.start(Self.hello())
        let peer = try HTTP2Peer(port: site.port)
        let large = String(repeating: "v", count: 16_000)
        peer.send(
            F.headers(1, F.request("/", [("x-a", large)]), endsHeaders: false), F.frame(9, flags: 0, stream: 1, F.block([("x-b", large)])),
            F.frame(9, flags: 4, stream: 1, F.block([("x-c", String(repeating: "v", count: 500))])))
        #expect(peer.response(1).status == 431)
        var many: [(String, String)] = []
        for number in 0..<120 { many.append(("x-\(number)", "v")) }
        peer.send(F.headers(3, F.request("/", many)), F.headers(5, F.request("/" + String(repeating: "p", count: 9000))))
        #expect(peer.response(3).status == 431 && peer.response(5).status == 431)
        peer.send(F.headers(7, F.request("/", method: "POST", [("expect", "a miracle")]), endsStream: false))
        #expect(peer.response(7).status == 417)
        peer.send(F.headers(9, F.request("/fine")))
        #expect(peer.response(9).status == 200)
        await site.server.drain()
    }

    @Test func `a body over the limit is refused with 413, told beforehand or not`() async throws {
        let site = try await Site.start(Self.hello()) { $0.limits.requestBodyBytesMax = 1000 }
        let peer = try HTTP2Peer(port: site.port)
        peer.send(F.headers(1, F.request("/", method: "POST", [("content-length", "1001")]), endsStream: false))
        #expect(peer.response(1).status == 413)
        peer.send(F.headers(3, F.request("/", method: "POST"), endsStream: false), F.data(3, [UInt8](repeating: 0, count: 1001)))
        #expect(peer.response(3).status == 413)
        peer.send(F.headers(5, F.request("/")))
        #expect(peer.response(5).status == 200)
        await site.server.drain()
    }

    // MARK: Flow control

    @Test func `who reads one stream slowly does not hold the others, and nothing is held without bound`() async throws {
        let large = String(repeating: "l", count: 4 << 20)
        let origin = try ScriptedOrigin { request in [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=600"], body: request.target == "/large" ? large : "small"))] }
        let site = try await Site.start(origin)
        let peer = try HTTP2Peer(port: site.port)
        peer.takesBodies = false
        peer.send(F.window(0, 1 << 20), F.headers(1, F.request("/large")))
        #expect(peer.read { ($0.responses[1]?.body.count ?? 0) == 65_535 })
        peer.send(F.headers(3, F.request("/small")))
        #expect(peer.response(3).text == "small")
        #expect(peer.responses[1]?.body.count == 65_535 && !(peer.responses[1]?.isComplete ?? true))
        peer.takesBodies = true
        peer.send(F.window(1, 8 << 20), F.window(0, 8 << 20))
        #expect(peer.response(1).body.count == large.utf8.count)
        await site.server.drain()
    }

    @Test func `no window at all gives the head, and the body when it opens`() async throws {
        let site = try await Site.start(Self.hello())
        let peer = try HTTP2Peer(port: site.port, settings: [(4, 0)])
        peer.takesBodies = false
        peer.send(F.headers(1, F.request("/a")))
        #expect(peer.read { $0.responses[1]?.status == 200 })
        // One byte at a time.
        for count in 1...3 {
            peer.send(F.window(1, 1))
            #expect(peer.read { $0.responses[1]?.body.count == count })
        }
        // A change of the setting is one of the streams that are there (§6.9.2).
        peer.send(F.settings([(4, 100)]))
        #expect(peer.response(1).text == "GET /a ")
        await site.server.drain()
    }

    @Test func `a window that stays shut ends the stream at the write deadline`() async throws {
        let site = try await Site.start(Self.hello()) { $0.deadlines.write = .milliseconds(300) }
        let peer = try HTTP2Peer(port: site.port, settings: [(4, 0)])
        peer.send(F.headers(1, F.request("/a")))
        #expect(peer.response(1).resetCode != nil)
        #expect(try site.metric("headrace_edge_deadlines_total{reason=\"write\"}") == 1)
        await site.server.drain()
    }

    @Test func `the more urgent leaves first, RFC 9218`() async throws {
        let body = String(repeating: "b", count: 200_000)
        let site = try await Site.start(try ScriptedOrigin(fields: ["Cache-Control: max-age=600", "Content-Type: image/png"], body: body))
        let peer = try HTTP2Peer(port: site.port)
        peer.send(F.headers(1, F.request("/")))
        #expect(peer.response(1).body.count == body.utf8.count)
        peer.takesBodies = false
        // Everything waits until the window of the connection opens.
        peer.send(
            F.settings([(4, 1 << 20)]), F.headers(3, F.request("/", [("priority", "u=6")])), F.headers(5, F.request("/", [("priority", "u=1")])),
            F.headers(7, F.request("/", [("priority", "u=2, i")])), F.headers(9, F.request("/", [("priority", "u=2, i")])))
        peer.read(seconds: 5) { $0.order.count > 15 }
        peer.send(F.window(0, 4 << 20))
        for id in [3, 5, 7, 9] as [UInt32] { #expect(peer.response(id).body.count == body.utf8.count) }
        func last(_ id: UInt32) -> Int { peer.order.lastIndex(of: id) ?? -1 }
        func first(_ id: UInt32) -> Int { peer.order.firstIndex(of: id) ?? -1 }
        #expect(last(5) < first(7) && last(5) < first(9), "\(peer.order)")
        #expect(max(last(7), last(9)) < last(3))
        #expect(first(9) < last(7) && first(7) < last(9), "parts of both are of use")
        await site.server.drain()
    }

    // MARK: The connection

    @Test func `draining says so, serves what is on its way and what comes a moment later, and ends`() async throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { request in
            (request.target == "/slow" ? [.waitFor(gate)] : []) + [.send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: request.target))]
        }
        let site = try await Site.start(origin)
        let peer = try HTTP2Peer(port: site.port)
        peer.send(F.headers(1, F.request("/slow")))
        #expect(eventually { origin.requestCount == 1 })
        let drained = Task { await site.server.drain() }
        #expect(peer.read { $0.isTold(lastStream: 0x7FFF_FFFF, 0) })
        peer.send(F.headers(3, F.request("/late")))
        #expect(peer.response(3).text == "/late")
        #expect(peer.read { $0.isTold(lastStream: 3, 0) })
        // Sent before the client could know: nobody looks at it, and what is served goes on.
        peer.send(F.headers(5, F.request("/too-late", method: "POST"), endsStream: false), F.data(5, Array("body".utf8), endsStream: true))
        gate.open()
        #expect(peer.response(1).text == "/slow")
        #expect(peer.client.isClosed(seconds: 20))
        await drained.value
    }

    @Test func `a connection without requests is told to go`() async throws {
        let site = try await Site.start(Self.hello()) { $0.deadlines.keepAlive = .milliseconds(300) }
        let peer = try HTTP2Peer(port: site.port)
        peer.send(F.headers(1))
        #expect(peer.response(1).status == 200)
        #expect(peer.read { $0.isTold(lastStream: 1, 0) })
        #expect(peer.client.isClosed(seconds: 20))
        await site.server.drain()
    }

    @Test func `a preface without anything behind it is given up`() async throws {
        let site = try await Site.start(Self.hello()) { $0.deadlines.requestHead = .milliseconds(300) }
        for bytes in [F.preface, Array(F.preface.prefix(10)), F.preface + F.settings() + F.headers(1, endsHeaders: false)] {
            let client = try RawClient(port: site.port)
            client.send(bytes)
            #expect(client.isClosed(seconds: 20))
        }
        await site.server.drain()
    }

    @Test func `the preface may come in any pieces, and HTTP-1 is served as before`() async throws {
        let site = try await Site.start(Self.hello())
        let client = try RawClient(port: site.port)
        for byte in F.preface + F.settings() { client.send([byte]) }
        client.send(F.headers(1))
        var bytes: [UInt8] = []
        #expect(eventually {
            bytes += client.takeBytes(milliseconds: 20)
            var copy = bytes
            return F.take(&copy).contains { $0.endsStream && $0.stream == 1 }
        })
        #expect(try RawClient.exchange(port: site.port, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").status == 200)
        #expect(try RawClient.exchange(port: site.port, "PRI * HTTP/1.1\r\nHost: a\r\n\r\n").status == 400)
        await site.server.drain()
    }

    @Test func `switched off, the preface is no request`() async throws {
        let site = try await Site.start(Self.hello()) { $0.isHTTP2Enabled = false }
        let client = try RawClient(port: site.port)
        client.send(F.preface)
        #expect(client.readToEnd(seconds: 20).hasPrefix("HTTP/1.1 505 "))
        await site.server.drain()
    }

    @Test func `a client that leaves takes its requests with it`() async throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { _ in [.waitFor(gate), .send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: "x"))] }
        let site = try await Site.start(origin)
        let peer = try HTTP2Peer(port: site.port)
        peer.send(F.streams(10) { id in F.headers(id, F.request("/\(id)", method: "POST")) })
        #expect(eventually { origin.requestCount == 10 })
        peer.send(F.reset(1))
        #expect(try eventually { try site.metric("headrace_edge_reasons_total{kind=\"edge\",reason=\"client-gone\"}") == 1 })
        peer.client.reset()
        #expect(try eventually { try site.metric("headrace_edge_reasons_total{kind=\"edge\",reason=\"client-gone\"}") == 10 })
        #expect(try eventually { try site.metric("headrace_edge_protocol_connections{version=\"2\"}") == 0 })
        gate.open()
        await site.server.drain()
    }

    @Test func `a flood is told what it is and counted`() async throws {
        let site = try await Site.start(Self.hello())
        let peer = try HTTP2Peer(port: site.port)
        peer.send(F.streams(1100) { id in F.headers(id) + F.reset(id) })
        #expect(peer.read { $0.goAways.contains { $0.code == 11 } })
        #expect(peer.client.isClosed(seconds: 20))
        #expect(try site.metric("headrace_edge_http2_floods_total{kind=\"resets\"}") == 1)
        #expect(try site.metric("headrace_edge_http2_errors_total{code=\"enhance-your-calm\"}") == 1)
        await site.server.drain()
    }

    // MARK: Tunnels

    @Test func `a WebSocket goes through a stream, RFC 8441`() async throws {
        let origin = try ScriptedOrigin(readsBodies: false, afterHead: { $0 == "bye" ? [.send("<bye>"), .close] : [.send("<\($0)>")] }) { request in
            [.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n")]
        }
        let site = try await Site.start(origin)
        let peer = try HTTP2Peer(port: site.port)
        let fields = [
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/chat"), (":authority", "a.example"),
            ("sec-websocket-version", "13"),
        ]
        #expect(peer.read { $0.frames.contains { $0.type == 4 && $0.payload.contains(8) } }, "SETTINGS_ENABLE_CONNECT_PROTOCOL")
        peer.send(F.headers(1, fields, endsStream: false))
        #expect(peer.read { $0.responses[1]?.status == 200 })
        #expect(peer.responses[1]?.field("sec-websocket-protocol") == "chat" && peer.responses[1]?.field("upgrade") == nil)
        let request = try #require(origin.requests.first)
        #expect(request.head.hasPrefix("GET /chat HTTP/1.1\r\n") && request.field("Upgrade") == "websocket" && request.field("Sec-WebSocket-Key")?.count == 24)
        peer.send(F.data(1, Array("hello".utf8)))
        #expect(peer.read { $0.responses[1]?.text == "<hello>" })
        peer.send(F.headers(3, F.request("/other", method: "CONNECT")))
        #expect(peer.response(3).resetCode == 1)
        // The application's end passes, though nothing else happens on the connection.
        peer.send(F.data(1, Array("bye".utf8)))
        #expect(peer.read { $0.responses[1]?.isComplete == true && $0.responses[1]?.text == "<hello><bye>" })
        peer.client.reset()
        #expect(try eventually { try site.metric("headrace_edge_tunnels") == 0 })
        await site.server.drain()
    }

    @Test func `what is no WebSocket does not say 2xx to who wants one, RFC 8441 §5`() async throws {
        let site = try await Site.start(Self.hello())
        let peer = try HTTP2Peer(port: site.port)
        let fields = [
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/page"), (":authority", "a.example"),
            ("sec-websocket-version", "13"),
        ]
        peer.send(F.headers(1, fields, endsStream: false))
        #expect(peer.read { $0.responses[1]?.status == 502 })
        peer.send(F.headers(3, F.request("/page")))
        #expect(peer.response(3).status == 200)
        await site.server.drain()
    }
}
