import HTTPSemantics
import Testing

@testable import Edge

@Suite struct RouterTests {
    private func route(
        _ line: String, root: Bool = false, app: Bool = true, metrics: String? = "/metrics", host: String = "localhost", fields: [String] = [], isFromLoopback: Bool = true
    ) throws -> String {
        var configuration = EdgeConfiguration()
        configuration.metricsPath = metrics
        if root { configuration.root = "/srv" }
        if app { configuration.application = .init(endpoint: .tcp(host: "127.0.0.1", port: 1)) }
        let host = line.hasPrefix("CONNECT") ? "a.example:443" : host
        switch Router(configuration).route(try .parsed(line, host: host, fields), from: ClientIdentity(peer: isFromLoopback ? "127.0.0.1" : "192.0.2.1")) {
        case .route(let number): return configuration.routeTable[number].name
        case .tunnel: return "tunnel"
        case .ambiguous: return "ambiguous"
        case .none: return "none"
        }
    }

    @Test(arguments: [
        ("/metrics", "edge.metrics_path"), ("/metrics?x", "edge.metrics_path"), ("/metricsx", "edge.app"), ("/metrics/", "edge.app"),
        ("/Metrics", "edge.app"), ("/", "edge.app"), ("/metric", "edge.app"),
    ])
    func `only the very path answers with the metrics`(target: String, expected: String) throws {
        #expect(try route("GET \(target) HTTP/1.1") == expected)
    }

    @Test func `the metrics are for this machine, and can be switched off`() throws {
        #expect(try route("GET /metrics HTTP/1.1", isFromLoopback: false) == "edge.app")
        #expect(try route("GET /metrics HTTP/1.1", metrics: nil) == "edge.app")
    }

    @Test(arguments: ["localhost", "LOCALHOST:8080", "app.localhost", "127.0.0.1:8080", "127.8.9.1", "[::1]:8080", "[::1]"])
    func `an operator asks for this machine`(host: String) throws {
        #expect(try route("GET /metrics HTTP/1.1", host: host) == "edge.metrics_path")
        #expect(try route("GET /metrics HTTP/1.1", host: host, isFromLoopback: false) == "edge.app")
    }

    @Test(arguments: ["a.example", "localhost.a.example", "10.0.0.1", "[::2]", "127.0.0.1.a.example", "notlocalhost"])
    func `whoever asks for another name came through somebody`(host: String) throws {
        #expect(try route("GET /metrics HTTP/1.1", host: host) == "edge.app")
    }

    @Test(arguments: ["Forwarded: for=192.0.2.1", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: a", "X-Forwarded-Proto: http", "X-Real-IP: 127.0.0.1", "Via: 1.1 a"])
    func `behind a proxy that nobody trusts nobody is an operator`(field: String) throws {
        #expect(try route("GET /metrics HTTP/1.1", fields: [field]) == "edge.app")
    }

    @Test func `files come before the application for what reads, and alone they get everything`() throws {
        #expect(try route("GET /a HTTP/1.1", root: true) == "edge.root")
        #expect(try route("HEAD /a HTTP/1.1", root: true) == "edge.root")
        #expect(try route("POST /a HTTP/1.1", root: true) == "edge.app")
        #expect(try route("POST /a HTTP/1.1", root: true, app: false) == "edge.root")
    }

    @Test func `a tunnel is made for nobody`() throws {
        #expect(try route("CONNECT a.example:443 HTTP/1.1") == "tunnel")
    }

    @Test func `where there is no route there is none`() throws {
        #expect(try route("GET /a HTTP/1.1", app: false) == "none")
    }
}
