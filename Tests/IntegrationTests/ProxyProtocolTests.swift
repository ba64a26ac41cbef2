import Foundation
import TestSupport
import Testing

/// The PROXY protocol in front of the edge and behind it, with HAProxy, curl and nginx on the other side.
@Suite struct ProxyProtocolTests {
    /// The address from which proxies come here; what the tests ask themselves comes from 127.0.0.1, which is none.
    private static let proxy = "127.0.0.2"

    private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
    /// 192.0.2.77:4660 to 192.0.2.2:443, and a TLV that nobody knows.
    private static let second = signature + [0x21, 0x11, 0, 16, 192, 0, 2, 77, 192, 0, 2, 2, 0x12, 0x34, 1, 187, 0xEE, 0, 1, 7]

    private static func edge(_ origin: ScriptedOrigin, _ settings: [String] = [], saying prefix: String = "http://") throws -> HeadraceProcess {
        try HeadraceProcess(
            ["--app", origin.url] + (["edge.proxies=\(proxy),unix"] + settings).flatMap { ["--set", $0] }, saying: prefix)
    }

    private static func ask(_ edge: HeadraceProcess, _ header: [UInt8], _ target: String = "/", host: String = "a.example") throws -> RawClient.Response {
        let client = try RawClient(port: edge.port, from: proxy)
        client.send(header + Array("GET \(target) HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\r\n".utf8))
        return try client.readResponse()
    }

    private static func ask(_ edge: HeadraceProcess, _ header: String, _ target: String = "/", host: String = "a.example") throws -> RawClient.Response {
        try ask(edge, Array(header.utf8), target, host: host)
    }

    // MARK: In front

    @Test func `the client of the header is the client everywhere`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: no-store"], body: "x")
        let edge = try Self.edge(origin)
        #expect(try Self.ask(edge, "PROXY TCP4 192.0.2.77 192.0.2.2 56324 443\r\n").status == 200)
        #expect(try Self.ask(edge, Self.second).status == 200)
        #expect(try Self.ask(edge, "PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n").status == 200)
        #expect(origin.requests.map { $0.field("X-Forwarded-For") } == ["192.0.2.77", "192.0.2.77", "2001:db8::7"])
        // Each event loop writes its own.
        #expect(try edge.logLines(atLeast: 3).compactMap { $0["client"] as? String }.sorted() == ["192.0.2.77", "192.0.2.77", "2001:db8::7"])
        #expect(try edge.metric("headrace_edge_proxy_headers_total{outcome=\"client\"}") == 3)
    }

    @Test func `a header may come byte by byte, and with the request behind it`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: no-store"], body: "x")
        let edge = try Self.edge(origin)
        for header in [Array("PROXY TCP4 192.0.2.77 192.0.2.2 56324 443\r\n".utf8), Self.second] {
            let request = header + Array("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n".utf8)
            for split in stride(from: 1, to: request.count, by: 5) {
                let client = try RawClient(port: edge.port, from: Self.proxy)
                client.send(Array(request[..<split]))
                _ = client.readAvailable(milliseconds: 1)
                client.send(Array(request[split...]))
                #expect(try client.readResponse().status == 200)
            }
            let client = try RawClient(port: edge.port, from: Self.proxy)
            for byte in request { client.send([byte]) }
            #expect(try client.readResponse().status == 200)
        }
        #expect(Set(origin.requests.map { $0.field("X-Forwarded-For") }) == ["192.0.2.77"])
    }

    private static let malformed: [(outcome: String, bytes: [UInt8])] = [
        ("missing", Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)),
        ("syntax", Array("PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n".utf8)),
        ("oversize", Array("PROXY ".utf8) + [UInt8](repeating: 0x78, count: 200)),
        ("oversize", signature + [0x21, 0x11, 0xFF, 0xFF] as [UInt8]),
        ("syntax", signature + [0x35, 0x11, 0, 0] as [UInt8]),
    ]

    @Test(arguments: malformed)
    func `what is no header is closed and counted`(outcome: String, bytes: [UInt8]) throws {
        let edge = try Self.edge(try ScriptedOrigin(body: "x"))
        let client = try RawClient(port: edge.port, from: Self.proxy)
        client.send(bytes)
        #expect(client.readToEnd(seconds: 20).isEmpty)
        #expect(client.isClosedByPeer)
        #expect(try edge.metric("headrace_edge_proxy_headers_total{outcome=\"\(outcome)\"}") == 1)
        #expect(eventually { edge.errorOutput.contains("no PROXY header from a proxy of edge.proxies") })
        #expect(try eventually { try edge.metric("headrace_edge_connections") == 1 }, "that of the metrics")
    }

    @Test func `a header that does not come in time, or not to its end, is counted`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try Self.edge(origin, ["edge.deadlines.request_head=1s"])
        let late = try RawClient(port: edge.port, from: Self.proxy)
        late.send("PROXY TCP4 192.0.2.1")
        #expect(late.isClosed(seconds: 20))
        #expect(try edge.metric("headrace_edge_proxy_headers_total{outcome=\"deadline\"}") == 1)
        do {
            let leaving = try RawClient(port: edge.port, from: Self.proxy)
            leaving.send("PROXY ")
            leaving.finishSending()
            #expect(leaving.isClosed(seconds: 20))
        }
        #expect(try eventually { try edge.metric("headrace_edge_proxy_headers_total{outcome=\"cut\"}") == 1 })
        // Who only looks whether somebody is there.
        _ = try RawClient(port: edge.port, from: Self.proxy)
        #expect(try Self.ask(edge, Self.second).status == 200)
        #expect(try edge.metric("headrace_edge_proxy_headers_total{outcome=\"cut\"}") == 1)
        #expect(origin.requestCount == 1)
    }

    @Test func `who is no proxy cannot say who he is`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try Self.edge(origin)
        let client = try RawClient(port: edge.port, from: "127.0.0.4")
        client.send("PROXY TCP4 192.0.2.77 192.0.2.2 56324 443\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(try client.readResponse().status == 400)
        #expect(origin.requestCount == 0)
    }

    @Test func `nobody becomes an operator through a proxy`() throws {
        let origin = try ScriptedOrigin(status: "404 Not Found", fields: ["Cache-Control: no-store"], body: "x")
        let edge = try Self.edge(origin)
        func metrics(_ header: String) throws -> Int { try Self.ask(edge, header, "/metrics", host: "localhost").status }
        #expect(try metrics("PROXY TCP4 127.0.0.1 127.0.0.1 1 80\r\n") == 404)
        #expect(try metrics("PROXY TCP6 ::1 ::1 1 80\r\n") == 404)
        #expect(try metrics("PROXY UNKNOWN\r\n") == 404)
        #expect(try Self.ask(edge, Self.signature + [0x21, 0x31, 0, 0], "/metrics", host: "localhost").status == 404)
        // LOCAL: the proxy itself, or whoever came to it by a Unix socket.
        #expect(try Self.ask(edge, Self.signature + [0x20, 0, 0, 0], "/metrics", host: "localhost").status == 404)
        #expect(try edge.metric("headrace_edge_proxy_headers_total{outcome=\"unknown\"}") == 2)
        #expect(try edge.metric("headrace_edge_proxy_headers_total{outcome=\"itself\"}") == 1)
        #expect(origin.requests.map(\.target) == ["/metrics", "/metrics", "/metrics", "/metrics", "/metrics"])
    }

    @Test func `a proxy that looks whether we are there is told so, and nothing else`() throws {
        let origin = try ScriptedOrigin(status: "404 Not Found", fields: ["Cache-Control: no-store"], body: "x")
        let edge = try Self.edge(origin)
        let local = Self.signature + [0x20, 0, 0, 0]
        let answer = try Self.ask(edge, local, "/healthz", host: "a.example")
        #expect(answer.status == 200 && origin.requestCount == 0)
        for target in ["/readyz", "/performance", "/metrics", "/healthz/"] { #expect(try Self.ask(edge, local, target, host: "localhost").status == 404, "\(target)") }
        // Nor is anybody for whom it speaks, or may speak.
        #expect(try Self.ask(edge, "PROXY UNKNOWN\r\n", "/healthz", host: "localhost").status == 404)
        #expect(try Self.ask(edge, "PROXY TCP4 192.0.2.77 192.0.2.2 56324 443\r\n", "/healthz", host: "localhost").status == 404)
    }

    @Test func `fields of a client that its header does not name are not believed`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: no-store"], body: "x")
        let edge = try Self.edge(origin, ["edge.forwarded.trusted=\(Self.proxy)"])
        let unnamed = [Array("PROXY UNKNOWN\r\n".utf8), Self.signature + [0x20, 0, 0, 0]] as [[UInt8]]
        for header in unnamed + [Array("PROXY TCP4 \(Self.proxy) 192.0.2.2 1 80\r\n".utf8)] {
            let client = try RawClient(port: edge.port, from: Self.proxy)
            client.send(header + Array("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7\r\nConnection: close\r\n\r\n".utf8))
            #expect(try client.readResponse().status == 200)
        }
        #expect(origin.requests.map { $0.field("X-Forwarded-For") } == [Self.proxy, Self.proxy, "203.0.113.7, \(Self.proxy)"])
    }

    @Test func `limits count the clients behind the proxy, and rules heed them`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let file = try TemporaryFile(
            """
            edge:
              proxies: [\(Self.proxy)]
              limits: {connections_per_client: 2}
              upstreams: {app: "\(origin.url)"}
              routes:
                - {match: {client: [192.0.2.7]}, respond: {status: 403, body: "no"}}
                - {upstream: app, limits: {rate: 1/h, burst: 1}}
            """, name: "headrace.yaml")
        let edge = try HeadraceProcess(["--config", file.path])
        #expect(try Self.ask(edge, "PROXY TCP4 192.0.2.7 192.0.2.2 1 80\r\n").status == 403)
        #expect(try Self.ask(edge, "PROXY TCP4 192.0.2.8 192.0.2.2 1 80\r\n").status == 200)
        #expect(try Self.ask(edge, "PROXY TCP4 192.0.2.8 192.0.2.2 2 80\r\n").status == 429)
        #expect(try Self.ask(edge, "PROXY TCP4 192.0.2.9 192.0.2.2 2 80\r\n").status == 200)
        let two = try (0..<2).map { _ in
            let client = try RawClient(port: edge.port, from: Self.proxy)
            client.send("PROXY TCP4 192.0.2.7 192.0.2.2 1 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readResponse().status == 403)
            return client
        }
        let third = try RawClient(port: edge.port, from: Self.proxy)
        third.send("PROXY TCP4 192.0.2.7 192.0.2.2 1 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(third.readToEnd(seconds: 20).isEmpty)
        #expect(try edge.metric("headrace_edge_connections_refused_total{reason=\"client-connections\"}") == 1)
        #expect(try Self.ask(edge, "PROXY TCP4 192.0.2.10 192.0.2.2 2 80\r\n").status == 200)
        _ = two
    }

    @Test func `a connection without its header does not hold the end up`() throws {
        let edge = try Self.edge(try ScriptedOrigin(body: "x"))
        let client = try RawClient(port: edge.port, from: Self.proxy)
        client.send("PROXY")
        #expect(try eventually { try edge.metric("headrace_edge_connections") == 2 })
        edge.terminate()
        #expect(edge.waitForExit(seconds: 20) == 0)
        #expect(client.isClosed(seconds: 20))
    }

    @Test(.enabled(if: Command.find("haproxy") != nil, "haproxy is not installed: run scripts/setup"), arguments: ["send-proxy", "send-proxy-v2"])
    func `HAProxy in front`(option: String) throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: no-store"], body: "hello")
        let edge = try Self.edge(origin)
        let front = try HAProxy(server: "127.0.0.1:\(edge.port) source \(Self.proxy) \(option) check inter 100ms")
        let answer = try Command.run("curl", ["-sS", "--max-time", "20", "--interface", "127.0.0.9", "http://\(HAProxy.host):\(front.port)/"])
        #expect(answer.text == "hello", "\(answer.errors)")
        #expect(origin.requests.map { $0.field("X-Forwarded-For") } == ["127.0.0.9"])
        // Its checks are LOCAL, or UNKNOWN: nothing that is wrong.
        for outcome in ["missing", "syntax", "oversize"] { #expect(try edge.metric("headrace_edge_proxy_headers_total{outcome=\"\(outcome)\"}") == 0) }
    }

    @Test func `the header comes before TLS, from curl and through HAProxy`() throws {
        let folder = try TemporaryFolder()
        let made = try Command.run(
            "openssl",
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:\(HAProxy.host)", "-keyout", folder.url.appending(path: "key").path, "-out",
             folder.url.appending(path: "pem").path])
        try #require(made.status == 0, "\(made.errors)")
        let origin = try ScriptedOrigin(fields: ["Cache-Control: no-store"], body: "hello")
        let edge = try Self.edge(
            origin,
            ["edge.tls.listen=127.0.0.1:0", "edge.tls.certificates=\(folder.url.appending(path: "pem").path)", "edge.tls.keys=\(folder.url.appending(path: "key").path)"],
            saying: "https://")
        let trust = ["-sS", "--max-time", "20", "--cacert", folder.url.appending(path: "pem").path]
        for version in ["--http1.1", "--http2"] {
            let answer = try Command.run(
                "curl", trust + [version, "--haproxy-protocol", "--interface", Self.proxy, "https://127.0.0.1:\(edge.port)/"])
            #expect(answer.text == "hello", "\(answer.errors)")
        }
        let front = try HAProxy(server: "127.0.0.1:\(edge.port) source \(Self.proxy) send-proxy-v2")
        let answer = try Command.run("curl", trust + ["--http2", "--interface", "127.0.0.9", "https://\(HAProxy.host):\(front.port)/"])
        #expect(answer.text == "hello", "\(answer.errors)")
        #expect(origin.requests.map { $0.field("X-Forwarded-For") } == [Self.proxy, Self.proxy, "127.0.0.9"])
        #expect(origin.requests.allSatisfy { $0.field("X-Forwarded-Proto") == "https" })
    }

    // MARK: Behind

    @Test func `a connection to a member serves the client that its header names, and no other`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: no-store"], body: "x")
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.upstream.proxy_protocol=v1", "--set", "edge.threads=1"])
        let clients = try (0..<3).map { try RawClient(port: edge.port, from: "127.0.0.\($0 + 5)") }
        for _ in 0..<3 {
            for client in clients {
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(try client.readResponse().status == 200)
            }
        }
        let heads = origin.requests.map { $0.head.split(separator: "\r\n").map(String.init) }
        try #require(heads.count == 9)
        for (index, head) in heads.enumerated() {
            let client = "127.0.0.\(index % 3 + 5)"
            if index < 3 {
                #expect(head[0].hasPrefix("PROXY TCP4 \(client) 127.0.0.1 ") && head[0].hasSuffix(" \(edge.port)"), "\(head)")
                #expect(head[1] == "GET / HTTP/1.1")
            } else {
                // Its own connection goes on.
                #expect(head[0] == "GET / HTTP/1.1", "\(head)")
            }
        }
        #expect(try edge.metric("headrace_edge_upstream_connects_total") == 3)
    }

    @Test func `with two members each client has a connection to each, and none is closed for another`() throws {
        let origins = try (0..<2).map { _ in try ScriptedOrigin(fields: ["Cache-Control: no-store"], body: "x") }
        let file = try TemporaryFile(
            """
            edge:
              threads: 1
              upstreams:
                app: {members: ["\(origins[0].url)", "\(origins[1].url)"], proxy_protocol: v1}
            """, name: "headrace.yaml")
        let edge = try HeadraceProcess(["--config", file.path])
        let clients = try (0..<3).map { try RawClient(port: edge.port, from: "127.0.0.\($0 + 5)") }
        for _ in 0..<8 {
            for client in clients {
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                #expect(try client.readResponse().status == 200)
            }
        }
        #expect(try edge.metric("headrace_edge_upstream_connects_total") <= 6)
    }

    @Test func `where there is no room for another, a connection of another client makes it`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: no-store"], body: "x")
        let edge = try HeadraceProcess(
            ["--app", origin.url, "--set", "edge.upstream.proxy_protocol=v1", "--set", "edge.upstream.max_connections=1", "--set", "edge.threads=2"])
        for round in 0..<6 {
            let client = try RawClient(port: edge.port, from: "127.0.0.\(round % 2 + 5)")
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readResponse().status == 200)
        }
        #expect(origin.requests.allSatisfy { $0.head.hasPrefix("PROXY TCP4 127.0.0.") })
        for (round, request) in origin.requests.enumerated() { #expect(request.head.hasPrefix("PROXY TCP4 127.0.0.\(round % 2 + 5) ")) }
    }

    @Test(.enabled(if: Command.find("nginx") != nil, "nginx is not installed: run scripts/setup"), arguments: ["v1", "v2"])
    func `nginx hears of the client, and of probes`(version: String) throws {
        let nginx = try Nginx(
            server: "location / { add_header Cache-Control no-store; return 200 \"$proxy_protocol_addr $proxy_protocol_server_addr\"; }", listening: "proxy_protocol")
        let edge = try HeadraceProcess(
            ["--app", nginx.url]
                + [
                    "edge.upstream.proxy_protocol=\(version)", "edge.upstream.probe.path=/", "edge.upstream.probe.interval=50ms", "edge.upstream.probe.fall=1",
                    "edge.forwarded.trusted=127.0.0.5",
                ].flatMap { ["--set", $0] })
        for round in 0..<4 {
            let client = try RawClient(port: edge.port, from: "127.0.0.\(round % 2 + 6)")
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readResponse().text == "127.0.0.\(round % 2 + 6) 127.0.0.1")
        }
        for client in ["203.0.113.7", "2001:db8::7"] {
            let trusted = try RawClient(port: edge.port, from: "127.0.0.5")
            trusted.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: \(client)\r\n\r\n")
            #expect(try trusted.readResponse().text.hasPrefix(client + " "))
        }
        #expect(!edge.errorOutput.contains("member down"))
    }

    @Test(.enabled(if: Command.find("nginx") != nil, "nginx is not installed: run scripts/setup"))
    func `a member with TLS hears of the client before TLS`() throws {
        let folder = try TemporaryFolder()
        let (key, pem) = (folder.url.appending(path: "key").path, folder.url.appending(path: "pem").path)
        let made = try Command.run(
            "openssl",
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=a", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", key, "-out", pem])
        try #require(made.status == 0, "\(made.errors)")
        let nginx = try Nginx(
            server: "ssl_certificate \(pem); ssl_certificate_key \(key); location / { add_header Cache-Control no-store; return 200 $proxy_protocol_addr; }",
            listening: "ssl proxy_protocol")
        let file = try TemporaryFile(
            """
            edge:
              upstreams:
                app: {members: ["https://127.0.0.1:\(nginx.port)"], proxy_protocol: v2, tls: {authorities: "\(pem)"}}
            """, name: "headrace.yaml")
        let edge = try HeadraceProcess(["--config", file.path])
        for client in ["127.0.0.6", "127.0.0.7", "127.0.0.6"] {
            let raw = try RawClient(port: edge.port, from: client)
            raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try raw.readResponse().text == client)
        }
    }

    @Test func `one connection of HTTP 2 has no room for many clients`() throws {
        let result = try Command.run(
            "env",
            [HeadraceProcess.binary.path, "check", "--app", "http://127.0.0.1:1", "--set", "edge.upstream.proxy_protocol=v2", "--set", "edge.upstream.protocol=h2"])
        #expect(result.status != 0 && (result.text + result.errors).contains("proxy_protocol names one client"), "\(result.text)\(result.errors)")
    }
}
