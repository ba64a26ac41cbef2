import HTTPSemantics
import Testing

@testable import Edge

@Suite struct RouterTests {
    private func route(
        _ line: String, root: Bool = false, app: Bool = true, metrics: String? = "/metrics", isFromLoopback: Bool = true
    ) throws -> String {
        var configuration = EdgeConfiguration()
        configuration.metricsPath = metrics
        if root { configuration.root = "/srv" }
        if app { configuration.application = .init(endpoint: .tcp(host: "127.0.0.1", port: 1)) }
        let host = line.hasPrefix("CONNECT") ? "a.example:443" : "a.example"
        switch Router(configuration).route(try .parsed(line, host: host), from: ClientIdentity(peer: isFromLoopback ? "127.0.0.1" : "192.0.2.1")) {
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
