import Foundation
import HTTP2Wire
import HTTPSemantics
import Logging
import NIOCore
import Synchronization
import TestSupport
import Testing

@testable import Edge

/// An application that is asked by HTTP/2: a good one, which is an edge of our own, and one that sends what it is told frame by frame.
@Suite(.serialized) struct HTTP2UpstreamTests {
    typealias F = HTTP2Frames

    private final class Site: Sendable {
        let server: EdgeServer
        let port: Int

        static func start(_ ports: [Int], _ change: (inout EdgeConfiguration, inout UpstreamGroup) -> Void = { _, _ in }) async throws -> Site {
            var configuration = EdgeConfiguration()
            configuration.listen = [.tcp(host: "127.0.0.1", port: 0)]
            configuration.threads = 1
            configuration.accessLog = .off
            var group = UpstreamGroup(members: ports.map { .init(.tcp(host: "127.0.0.1", port: $0)) })
            group.version = .h2
            change(&configuration, &group)
            configuration.application = group
            let server = try EdgeServer(configuration: configuration, logger: Logger(label: "edge") { _ in SwiftLogNoOpLogHandler() })
            return Site(server, try await server.start().plain.first?.port ?? 0)
        }

        private init(_ server: EdgeServer, _ port: Int) { (self.server, self.port) = (server, port) }

        func metric(_ series: String) throws -> Double {
            let text = try RawClient.getOwnPage(port: port, "/metrics").text
            return text.split(separator: "\n").first { $0.hasPrefix(series + " ") }.flatMap { Double($0.dropFirst(series.count + 1)) } ?? 0
        }

        func failures(_ reason: String) throws -> Double { try metric("headrace_edge_upstream_failures_total{reason=\"\(reason)\"}") }
    }

    /// An application of HTTP/1.1 behind an edge, which is asked by HTTP/2.
    private static func edge(before origin: ScriptedOrigin) async throws -> Site {
        try await Site.start([origin.port]) { configuration, group in
            group.version = .http1
            configuration.cache.isEnabled = false
            configuration.compression.isEnabled = false
        }
    }

    private static func echo() throws -> ScriptedOrigin {
        try ScriptedOrigin { request in
            [.send(ScriptedOrigin.response(fields: ["Cache-Control: no-store", "X-Via: \(request.field("Via") ?? "")"], body: "\(request.method) \(request.target) \(request.body)"))]
        }
    }

    /// Answers every request with its target.
    private static func answering(_ settings: [(UInt16, UInt32)] = []) throws -> HTTP2Origin {
        try HTTP2Origin(settings: settings) { event, link in
            guard case .headers(let stream, let fields, endsStream: true) = event else { return }
            link.send(F.answer(stream, fields.first { $0.0 == ":path" }?.1 ?? ""))
        }
    }

    // MARK: A good application

    @Test func `requests share a connection, and each has its answer`() async throws {
        let origin = try Self.echo()
        let back = try await Self.edge(before: origin)
        let site = try await Site.start([back.port])
        let clients = try (0..<30).map { _ in try RawClient(port: site.port) }
        for (number, client) in clients.enumerated() { client.send("POST /\(number) HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\nConnection: X-Own\r\nX-Own: 1\r\n\r\nhi") }
        for (number, client) in clients.enumerated() { #expect(try client.readResponse().text == "POST /\(number) hi") }
        #expect(try site.metric("headrace_edge_upstream_http2_connections") == 1 && site.metric("headrace_edge_upstream_connects_total") == 1)
        #expect(try site.metric("headrace_edge_upstream_http2_requests_total") == 30)
        #expect(try back.metric("headrace_edge_protocol_requests_total{version=\"2\"}") == 30)
        let request = try #require(origin.requests.first)
        #expect(request.field("Host") == "a.example" && request.field("X-Own") == nil && request.field("Content-Length") == "2")
        #expect(request.field("Via")?.contains("headrace") ?? false)
        await site.server.drain()
        await back.server.drain()
    }

    @Test func `bodies without a length, trailers, HEAD, 304 and 204 pass, over HTTP-1 and HTTP-2`() async throws {
        let origin = try ScriptedOrigin { request in
            switch request.target {
            case "/trailers":
                [.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: \(request.body.count)\r\n\r\n")]
            case "/none": [.send("HTTP/1.1 204 No Content\r\n\r\n")]
            case "/same": [.send("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n")]
            case "/empty": [.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n")]
            default: [.send("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 5\r\n\r\n\(request.method == "HEAD" ? "" : "hello")")]
            }
        }
        let back = try await Self.edge(before: origin)
        let site = try await Site.start([back.port])
        let chunked = "POST /trailers HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        let client = try RawClient(port: site.port)
        client.send(chunked)
        let answer = try client.readResponse()
        #expect(answer.status == 200 && answer.text == "hello", "\(answer)")
        #expect(try RawClient.get(port: site.port, "/none").status == 204)
        #expect(try RawClient.get(port: site.port, "/same", ["If-None-Match: \"a\""]).status == 304)
        #expect(try RawClient.get(port: site.port, "/empty").field("Content-Length") == "0")
        let head = try RawClient.exchange(port: site.port, "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n", hasBody: false)
        #expect(head.status == 200 && head.field("Content-Length") == "5")
        let peer = try HTTP2Peer(port: site.port)
        peer.send(F.headers(1, F.request("/trailers", [("te", "trailers")])))
        #expect(peer.response(1).text == "hello" && peer.responses[1]?.trailers.first?.0 == "x-sum")
        #expect(try site.metric("headrace_edge_upstream_http2_errors_total{code=\"protocol-error\"}") == 0)
        await site.server.drain()
        await back.server.drain()
    }

    @Test func `large bodies arrive whole in both directions`() async throws {
        let origin = try ScriptedOrigin { request in
            let body = String(repeating: "0123456789abcdef", count: 200_000)
            return [.send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: request.method == "GET" ? body : "\(request.body.utf8.count)"))]
        }
        let back = try await Self.edge(before: origin)
        let site = try await Site.start([back.port])
        let clients = try (0..<4).map { _ in try RawClient(port: site.port) }
        for client in clients { client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n") }
        for client in clients { #expect(try client.readResponse().text.utf8.count == 3_200_000) }
        let body = String(repeating: "u", count: 3 << 20)
        #expect(try RawClient.exchange(port: site.port, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\n\r\n" + body).text == "\(body.utf8.count)")
        await site.server.drain()
        await back.server.drain()
    }

    @Test func `a WebSocket has a connection of HTTP-1 of its own`() async throws {
        let origin = try ScriptedOrigin { request in
            [.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhi")]
        }
        let site = try await Site.start([origin.port])
        let client = try RawClient(port: site.port)
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        var text = ""
        #expect(eventually {
            text += client.readAvailable(milliseconds: 20)
            return text.hasSuffix("\r\n\r\nhi")
        })
        #expect(text.hasPrefix("HTTP/1.1 101 "))
        await site.server.drain()
    }

    // MARK: TLS

    private static func certificate(in folder: TemporaryFolder) throws -> (certificate: String, key: String) {
        let (certificate, key) = (folder.path + "/certificate.pem", folder.path + "/key.pem")
        let made = try Command.run("openssl", [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=app.test",
            "-addext", "subjectAltName=DNS:app.test", "-keyout", key, "-out", certificate,
        ])
        try #require(made.status == 0, "openssl: \(made.errors)")
        return (certificate, key)
    }

    @Test(.enabled(if: Command.find("openssl") != nil, "openssl is not installed: run scripts/setup"), arguments: [true, false])
    func `over TLS it is HTTP-2 if the member agrees, and HTTP-1 if not; who has another certificate gets nothing`(agrees: Bool) async throws {
        let folder = try TemporaryFolder()
        let (certificate, key) = try Self.certificate(in: folder)
        let origin = try Self.echo()
        var configuration = EdgeConfiguration()
        configuration.listen = []
        configuration.tls.listen = [.tcp(host: "127.0.0.1", port: 0)]
        (configuration.tls.certificates, configuration.tls.keys) = ([certificate], [key])
        configuration.isHTTP2Enabled = agrees
        configuration.threads = 1
        configuration.accessLog = .off
        configuration.application = UpstreamGroup(endpoint: .tcp(host: "127.0.0.1", port: origin.port))
        let back = try EdgeServer(configuration: configuration, logger: Logger(label: "edge") { _ in SwiftLogNoOpLogHandler() })
        let port = try await back.start().secure.first?.port ?? 0
        func site(_ change: @escaping (inout UpstreamGroup) -> Void) async throws -> Site {
            try await Site.start([]) { _, group in
                group.members = [.init(.tcp(host: "127.0.0.1", port: port), isSecure: true)]
                group.tls.files.authorities = certificate
                group.tls.serverName = "app.test"
                change(&group)
            }
        }
        func ask(_ site: Site) throws -> [String] {
            let clients = try (0..<5).map { _ in try RawClient(port: site.port) }
            for (number, client) in clients.enumerated() { client.send("POST /\(number) HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi") }
            return try clients.map { try $0.readResponse().text }
        }
        let expected = (0..<5).map { "POST /\($0) hi" }
        let good = try await site { group in
            group.healthCheck.path = "/up"
            group.healthCheck.interval = .milliseconds(50)
        }
        #expect(try ask(good) == expected && ask(good) == expected)
        #expect(try good.metric("headrace_edge_upstream_http2_requests_total") == (agrees ? 10 : 0))
        #expect(try good.metric("headrace_edge_upstream_http2_connections") == (agrees ? 1 : 0))
        #expect(eventually { origin.requests.contains { $0.target == "/up" } })
        let byAddress = try await site { $0.tls.serverName = nil }
        #expect(try RawClient.get(port: byAddress.port, "/").status == 502, "it is for no address")
        let plain = try await site { $0.version = .http1 }
        #expect(try ask(plain) == expected && plain.metric("headrace_edge_upstream_http2_requests_total") == 0)
        let wrong = try await site { $0.tls.serverName = "other.test" }
        #expect(try RawClient.get(port: wrong.port, "/").status == 502)
        let unknown = try await site { $0.tls.files.authorities = nil }
        #expect(try RawClient.get(port: unknown.port, "/").status == 502)
        let trusting = try await site {
            $0.tls.files.authorities = nil
            $0.tls.isVerified = false
        }
        #expect(try ask(trusting) == expected)
        for one in [good, byAddress, plain, wrong, unknown, trusting] { await one.server.drain() }
        await back.drain()
    }

    @Test func `files that cannot be read are refused at the start`() async throws {
        await #expect(throws: RouteResources.Problem.self) {
            try await Site.start([]) { _, group in
                group.members = [.init(.tcp(host: "127.0.0.1", port: 1), isSecure: true)]
                group.tls.files.authorities = "/nowhere.pem"
            }
        }
    }

    // MARK: Limits

    @Test func `as many requests on a connection as the application allows, and then another connection`() async throws {
        let waiting = WaitingAnswers()
        let origin = try HTTP2Origin(settings: [(3, 4)]) { event, link in
            guard case .headers(let stream, let fields, _) = event else { return }
            waiting.add((link.number, stream)) { link.send(F.answer(stream, fields.first { $0.0 == ":path" }?.1 ?? "")) }
        }
        let site = try await Site.start([origin.port])
        let clients = try (0..<10).map { _ in try RawClient(port: site.port) }
        for (number, client) in clients.enumerated() { client.send("GET /\(number) HTTP/1.1\r\nHost: a\r\n\r\n") }
        #expect(eventually { origin.requests.count == 10 })
        #expect(origin.connectionCount == 3 && waiting.mostOnOne == 4)
        waiting.answerAll()
        for (number, client) in clients.enumerated() { #expect(try client.readResponse().text == "/\(number)") }
        await site.server.drain()
    }

    @Test func `our own limit, the group's, and its queue`() async throws {
        let waiting = WaitingAnswers()
        let origin = try HTTP2Origin { event, link in
            guard case .headers(let stream, _, _) = event else { return }
            waiting.add((link.number, stream)) { link.send(F.answer(stream, "x")) }
        }
        let site = try await Site.start([origin.port]) { _, group in
            group.connectionStreamsMax = 2
            group.connectionsMax = 4
            group.waitingMax = 1
        }
        let clients = try (0..<4).map { _ in try RawClient(port: site.port) }
        for (number, client) in clients.enumerated() { client.send("GET /\(number) HTTP/1.1\r\nHost: a\r\n\r\n") }
        #expect(eventually { origin.requests.count == 4 })
        #expect(origin.connectionCount == 2 && waiting.mostOnOne == 2)
        let fifth = try RawClient(port: site.port)
        fifth.send("GET /5 HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try eventually { try site.metric("headrace_upstream_waiting{group=\"app\"}") == 1 })
        #expect(try RawClient.get(port: site.port, "/6").status == 503)
        waiting.answerAll()
        #expect(eventually { origin.requests.count == 5 })
        waiting.answerAll()
        for client in clients + [fifth] { #expect(try client.readResponse().status == 200) }
        #expect(try site.metric("headrace_upstream_connections{group=\"app\"}") == 0, "none is under way")
        await site.server.drain()
    }

    @Test func `a client that takes nothing holds its own stream alone`() async throws {
        let origin = try HTTP2Origin { event, link in
            guard case .headers(let stream, let fields, _) = event else {
                if case .other(let frame) = event, frame.type == 8, frame.stream > 0 { link.send(F.data(frame.stream, [UInt8](repeating: 1, count: 16_384))) }
                return
            }
            guard fields.contains(where: { $0.1 == "/slow" }) else { return link.send(F.answer(stream, "fast")) }
            // The whole window; then a frame for each that it opens.
            link.send(F.response(stream), F.times(16, F.data(stream, [UInt8](repeating: 1, count: 16_384))))
        }
        let site = try await Site.start([origin.port])
        let slow = try RawClient(port: site.port, receiveBuffer: 4096)
        slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(eventually { origin.frames(8).contains { $0.stream > 0 } })
        for _ in 0..<20 { #expect(try RawClient.get(port: site.port, "/").text == "fast") }
        #expect(origin.connectionCount == 1)
        // What the kernel takes is some MB; the rest stays where it was.
        var last = -1
        #expect(eventually {
            defer { last = origin.frames(8).count }
            usleep(200_000)
            return last == origin.frames(8).count
        })
        slow.reset()
        #expect(eventually { origin.frames(3).contains { $0.number(at: 0) == 8 } }, "who leaves gives up its stream")
        #expect(try RawClient.get(port: site.port, "/").text == "fast")
        #expect(origin.connectionCount == 1)
        await site.server.drain()
    }

    @Test func `an application that takes no more has the client wait, and a body that comes early ends it`() async throws {
        let origin = try HTTP2Origin(takesBodies: false) { event, link in
            guard case .headers(let stream, _, _) = event else { return }
            if stream == 1 { link.send(F.answer(stream, "enough", status: 413), F.reset(stream, 0)) }
        }
        let site = try await Site.start([origin.port])
        let client = try RawClient(port: site.port)
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n" + String(repeating: "x", count: 100_000))
        let answer = try client.readResponse()
        #expect(answer.status == 413 && answer.text == "enough")
        #expect(origin.bodyBytes <= 65_535)

        let second = try RawClient(port: site.port)
        second.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n")
        var sent = 0
        let piece = [UInt8](repeating: 1, count: 64 << 10)
        // It stops somewhere: two sockets' buffers and what the edge holds.
        var idle = 0
        while idle < 20, sent < 40 << 20 {
            let count = second.sendWithoutWaiting(piece)
            sent += max(0, count)
            idle = count > 0 ? 0 : idle + 1
            if count <= 0 { usleep(50_000) }
        }
        #expect(sent < 30 << 20)
        second.reset()
        #expect(eventually { origin.frames(3).contains { $0.stream == 3 } })
        await site.server.drain()
    }

    // MARK: Failures

    @Test(arguments: ["GET", "POST"]) func `what GOAWAY has left is asked anew, whatever the method`(method: String) async throws {
        let origin = try HTTP2Origin { event, link in
            guard case .headers(let stream, let fields, let ends) = event else {
                if case .data(let stream, _, endsStream: true) = event, link.number > 0 { link.send(F.answer(stream, "again")) }
                return
            }
            if link.number == 0, stream == 1, fields.contains(where: { $0.1 == "/first" }) { return link.send(F.answer(1, "first")) }
            if link.number == 0 { return link.send(F.goAway(last: 1)) }
            if ends { link.send(F.answer(stream, "again")) }
        }
        let site = try await Site.start([origin.port])
        #expect(try RawClient.get(port: site.port, "/first").text == "first")
        let answer = try RawClient.exchange(port: site.port, "\(method) / HTTP/1.1\r\nHost: a\r\nContent-Length: \(method == "POST" ? "2\r\n\r\nhi" : "0\r\n\r\n")")
        #expect(answer.status == 200 && answer.text == "again")
        #expect(origin.connectionCount == 2)
        #expect(eventually { origin.closedCount == 1 })
        #expect(try site.metric("headrace_edge_upstream_http2_goaways_total") == 1)
        await site.server.drain()
    }

    @Test func `a request that is refused goes elsewhere, and to the same one if there is no other, so many times`() async throws {
        let refusing = try HTTP2Origin { event, link in
            if case .headers(let stream, _, _) = event { link.send(F.reset(stream, 7)) }
        }
        let good = try Self.answering()
        let site = try await Site.start([refusing.port, good.port])
        for number in 0..<4 {
            let answer = try RawClient.exchange(port: site.port, "POST /\(number) HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            #expect(answer.status == 200 && answer.text == "/\(number)")
        }
        let only = try await Site.start([refusing.port])
        let before = refusing.requests.count
        #expect(try RawClient.exchange(port: only.port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").status == 503)
        #expect(refusing.requests.count == before + 3)
        #expect(try only.failures("refused") == 1)
        await site.server.drain()
        await only.server.drain()
    }

    @Test func `HTTP_1_1_REQUIRED is heeded`() async throws {
        let origin = try HTTP2Origin { event, link in
            if case .headers(let stream, _, _) = event { link.send(F.reset(stream, 13)) }
        }
        let site = try await Site.start([origin.port])
        #expect(try RawClient.exchange(port: site.port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").text == "plain")
        #expect(origin.requests.count == 1)
        await site.server.drain()
    }

    struct Hostile: Sendable, CustomTestStringConvertible {
        let claim: String
        let frames: @Sendable (UInt32) -> [UInt8]
        var status = 502
        var code: HTTP2ErrorCode?
        var flood: HTTP2Flood?
        var testDescription: String { claim }
    }

    private static let hostile: [Hostile] = [
        .init(claim: "malformed: a field of HTTP/1", frames: { F.response($0, [("transfer-encoding", "chunked")]) + F.data($0, [1], endsStream: true) }),
        .init(claim: "malformed: a line in a value", frames: { F.answer($0, "x", [("x-a", "b\r\nset-cookie: c=d")]) }),
        .init(claim: "malformed: two lengths", frames: { F.answer($0, "x", [("content-length", "1"), ("content-length", "1")]) }),
        .init(claim: "malformed: no status", frames: { F.headers($0, [("a", "b")]) }),
        .init(claim: "malformed: 101", frames: { F.response($0, status: 101, endsStream: true) }),
        .init(claim: "a reset", frames: { F.reset($0, 2) }),
        .init(claim: "the connection's error", frames: { F.headers($0 + 2, [(":status", "200")]) }, code: .protocolError),
        .init(claim: "a promise", frames: { F.frame(5, flags: 4, stream: $0, F.number(2) + F.block([(":method", "GET")])) }, code: .protocolError),
        .init(claim: "a bomb of CONTINUATION", frames: { F.headers($0, [(":status", "200")], endsHeaders: false) + F.times(20, F.frame(9, stream: $0)) }, code: .enhanceYourCalm, flood: .continuations),
        .init(claim: "a bomb of HPACK", frames: { stream in
            // A field of 4,000 bytes into the table, and 10,000 times from there.
            F.frame(1, flags: 5, stream: stream, [0x88, 0x40, 1, UInt8(ascii: "a"), 0x7F, 0xA1, 0x1E] + [UInt8](repeating: 0x62, count: 4000) + [UInt8](repeating: 0xBE, count: 10_000))
        }),
        .init(claim: "a table that cannot be", frames: { F.frame(1, flags: 5, stream: $0, [0x88, 0xBE]) }, code: .compressionError),
        .init(claim: "too many PINGs", frames: { _ in F.times(2000, F.ping()) }, code: .enhanceYourCalm, flood: .pings),
        .init(claim: "too many SETTINGS", frames: { _ in F.times(2000, F.settings()) }, code: .enhanceYourCalm, flood: .settings),
        .init(claim: "too many resets", frames: { F.reset($0, 2) + F.times(6000, F.reset($0, 2)) }, code: .enhanceYourCalm, flood: .resets),
        .init(claim: "bodies of nothing", frames: { F.response($0) + F.times(30_000, F.data($0, [])) }, status: 0, code: .enhanceYourCalm, flood: .tinyData),
    ]

    @Test(arguments: hostile) func `what no application may send is an error for its client, never stored, and counted`(one: Hostile) async throws {
        let origin = try HTTP2Origin { event, link in
            if case .headers(let stream, _, _) = event { link.send(one.frames(stream)) }
        }
        let site = try await Site.start([origin.port]) { _, group in group.retry.attemptsMax = 1 }
        for count in 1...2 {
            let client = try RawClient(port: site.port)
            client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
            if one.status > 0 { #expect(try client.readResponse().status == one.status) } else { #expect(client.isClosed(seconds: 60)) }
            #expect(origin.requests.count == count, "it is asked each time")
            // What ends the connection may come behind what ended the request.
            if one.code != nil { #expect(eventually { origin.closedCount == count }) }
        }
        if let code = one.code {
            #expect(try site.metric("headrace_edge_upstream_http2_errors_total{code=\"\(code.word)\"}") == 2)
            #expect(eventually { origin.frames(7).contains { $0.number(at: 4) == code.rawValue } }, "it is told why")
        } else {
            #expect(origin.connectionCount == 1, "the connection goes on")
        }
        if let flood = one.flood { #expect(try site.metric("headrace_edge_upstream_http2_floods_total{kind=\"\(flood.rawValue)\"}") == 2) }
        await site.server.drain()
    }

    @Test func `a response that breaks off is cut, and the next request has another connection`() async throws {
        let origin = try HTTP2Origin { event, link in
            guard case .headers(let stream, let fields, _) = event else { return }
            if fields.contains(where: { $0.1 == "/a" }) {
                link.send(F.response(stream, [("cache-control", "max-age=600"), ("content-length", "1000000")]), F.data(stream, [1, 2, 3]))
                link.close()
            } else {
                link.send(F.answer(stream, "whole"))
            }
        }
        let site = try await Site.start([origin.port]) { _, group in group.retry.attemptsMax = 1 }
        for _ in 0..<2 {
            let client = try RawClient(port: site.port)
            client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(client.isClosed(seconds: 60))
        }
        #expect(try RawClient.get(port: site.port, "/b").text == "whole")
        #expect(try site.failures("truncated") == 2)
        await site.server.drain()
    }

    @Test func `an application of HTTP-1 is no application of HTTP-2, and nobody's request reaches it`() async throws {
        let origin = try ScriptedOrigin { request in request.method == "PRI" ? [.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")] : [.close] }
        let site = try await Site.start([origin.port])
        let answer = try RawClient.exchange(port: site.port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        #expect(answer.status == 502)
        #expect(try site.failures("connect-failed") == 1)
        await site.server.drain()
    }

    @Test func `an application that says nothing is waited for as long as may be`() async throws {
        let silent = try HTTP2Origin(settings: nil) { _, _ in }
        let site = try await Site.start([silent.port]) { _, group in group.connectTimeout = .milliseconds(300) }
        #expect(try RawClient.get(port: site.port, "/").status == 504)
        #expect(try site.failures("connect-timeout") == 1)
        await site.server.drain()
    }

    @Test func `each request has its own deadlines`() async throws {
        let origin = try HTTP2Origin { event, link in
            guard case .headers(let stream, let fields, _) = event else { return }
            switch fields.first(where: { $0.0 == ":path" })?.1 {
            case "/head": break
            case "/body": link.send(F.response(stream), F.data(stream, [1]))
            default: link.send(F.answer(stream, "x"))
            }
        }
        let site = try await Site.start([origin.port]) { _, group in
            group.firstByteTimeout = .seconds(2)
            group.readTimeout = .seconds(2)
            group.retry.attemptsMax = 1
        }
        #expect(try RawClient.get(port: site.port, "/").text == "x")
        let client = try RawClient(port: site.port)
        client.send("GET /body HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(client.isClosed(seconds: 60))
        #expect(try RawClient.get(port: site.port, "/head").status == 504)
        #expect(try site.failures("first-byte-timeout") == 1 && site.failures("read-timeout") == 1)
        #expect(eventually { origin.frames(3).map { $0.number(at: 0) } == [8, 8] })
        // Nothing was heard of it while that one waited: it may not be there any more.
        #expect(try RawClient.get(port: site.port, "/").text == "x")
        #expect(origin.connectionCount == 2)
        await site.server.drain()
    }

    // MARK: A connection's life

    @Test func `a connection that is idle or old is ended with GOAWAY`() async throws {
        let origin = try Self.answering()
        let site = try await Site.start([origin.port]) { _, group in group.idleTimeout = .milliseconds(300) }
        #expect(try RawClient.get(port: site.port, "/a").text == "/a")
        #expect(eventually { origin.closedCount == 1 && origin.frames(7).count == 1 })
        let old = try await Site.start([origin.port]) { _, group in group.connectionLifetime = .milliseconds(100) }
        #expect(try RawClient.get(port: old.port, "/a").text == "/a")
        #expect(eventually { origin.closedCount == 2 })
        await site.server.drain()
        await old.server.drain()
    }

    @Test func `a drain ends the connections, and a member that is none any more loses its own`() async throws {
        let (first, second) = (try Self.answering(), try Self.answering())
        let site = try await Site.start([first.port])
        #expect(try RawClient.get(port: site.port, "/a").text == "/a")
        var configuration = EdgeConfiguration()
        var group = UpstreamGroup(members: [.init(.tcp(host: "127.0.0.1", port: second.port))])
        group.version = .h2
        configuration.application = group
        try site.server.reload(configuration)
        #expect(eventually { first.closedCount == 1 })
        #expect(try RawClient.get(port: site.port, "/b").text == "/b")
        #expect(second.requests.count == 1)
        await site.server.drain()
        #expect(eventually { second.closedCount == 1 && second.frames(7).count == 1 })
    }

    @Test func `members are probed by HTTP-2`() async throws {
        let isWell = ScriptedOrigin.Gate()
        let origin = try HTTP2Origin { event, link in
            guard case .headers(let stream, let fields, _) = event else { return }
            let isProbe = fields.contains { $0.1 == "/up" }
            link.send(F.answer(stream, "x", status: isProbe && !isWell.isOpen ? 500 : 200))
        }
        let site = try await Site.start([origin.port]) { _, group in
            group.healthCheck.path = "/up"
            group.healthCheck.interval = .milliseconds(50)
            group.healthCheck.fall = 2
        }
        #expect(try eventually { try RawClient.get(port: site.port, "/").status == 503 })
        isWell.open()
        #expect(try eventually { try RawClient.get(port: site.port, "/").status == 200 })
        await site.server.drain()
    }
}

/// Answers that wait for the test's word, by connection.
private final class WaitingAnswers: Sendable {
    private let answers = Mutex<[(connection: Int, send: @Sendable () -> Void)]>([])

    func add(_ place: (Int, UInt32), _ send: @escaping @Sendable () -> Void) {
        answers.withLock { $0.append((place.0, send)) }
    }

    var mostOnOne: Int { answers.withLock { Dictionary(grouping: $0, by: \.connection).values.map(\.count).max() ?? 0 } }

    func answerAll() {
        let all = answers.withLock { answers in
            defer { answers = [] }
            return answers
        }
        for answer in all { answer.send() }
    }
}
