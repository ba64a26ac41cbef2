import HTTPSemantics
import Testing

@testable import Edge

@Suite struct RouterTests {
    private func route(
        _ line: String, root: Bool = false, app: Bool = true, metrics: String? = "/metrics", isFromLoopback: Bool = true
    ) throws -> Route {
        var configuration = EdgeConfiguration()
        configuration.metricsPath = metrics
        if root { configuration.root = "/srv" }
        if app { configuration.application = .init(endpoint: .tcp(host: "127.0.0.1", port: 1)) }
        let host = line.hasPrefix("CONNECT") ? "a.example:443" : "a.example"
        return Router(configuration).route(try .parsed(line, host: host), isFromLoopback: isFromLoopback)
    }

    @Test(arguments: [
        ("/metrics", Route.metrics), ("/metrics?x", .metrics), ("/metricsx", .application), ("/metrics/", .application),
        ("/Metrics", .application), ("/", .application), ("/metric", .application),
    ])
    func `only the very path answers with the metrics`(target: String, expected: Route) throws {
        #expect(try route("GET \(target) HTTP/1.1") == expected)
    }

    @Test func `the metrics are for this machine, and can be switched off`() throws {
        #expect(try route("GET /metrics HTTP/1.1", isFromLoopback: false) == .application)
        #expect(try route("GET /metrics HTTP/1.1", metrics: nil) == .application)
    }

    @Test func `files come before the application for what reads, and alone they get everything`() throws {
        #expect(try route("GET /a HTTP/1.1", root: true) == .files)
        #expect(try route("HEAD /a HTTP/1.1", root: true) == .files)
        #expect(try route("POST /a HTTP/1.1", root: true) == .application)
        #expect(try route("POST /a HTTP/1.1", root: true, app: false) == .files)
    }

    @Test func `a tunnel is made for nobody`() throws {
        #expect(try route("CONNECT a.example:443 HTTP/1.1") == .tunnel)
    }
}
