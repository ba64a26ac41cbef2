import HTTPSemantics
import Testing

@testable import Edge

@Suite struct RouteExplanationTests {
    private let edge: EdgeConfiguration = {
        var edge = EdgeConfiguration()
        edge.application = UpstreamGroup(endpoint: .tcp(host: "127.0.0.1", port: 1))
        var old = RouteConfiguration()
        old.match.paths = ["/old"]
        old.redirect.location = "/new"
        var admin = RouteConfiguration()
        admin.name = "admin"
        admin.match.paths = ["/admin"]
        admin.match.methods = ["GET"]
        admin.match.clients = [AddressRange("10.0.0.0/8")!]
        admin.upstream = "app"
        admin.isCached = false
        admin.responseRules.set = [HeaderField(name: "X-A", value: "1")]
        edge.routes = [old, admin]
        return edge
    }()

    @Test func `each route before the one that is taken says what it lacks`() throws {
        let explanation = edge.explain(try .get("/admin/x"), peer: "10.1.2.3")
        #expect(explanation.steps.map(\.name) == ["edge.metrics_path", "edge.routes[1]", "admin"])
        #expect(explanation.steps.map(\.lacks) == ["path", "path", nil])
        #expect(explanation.refusal == nil)
        #expect(
            explanation.policies == [
                .init(name: "client", value: "10.1.2.3"), .init(name: "body", value: "at most 67108864 bytes"),
                .init(name: "cache", value: "past it: disabled"), .init(name: "answer", value: "group app"),
                .init(name: "compression", value: "on"), .init(name: "response_headers", value: "set X-A: 1"),
            ])
    }

    @Test(arguments: [
        ("POST /admin HTTP/1.1", "10.0.0.1", "method"), ("GET /admin HTTP/1.1", "192.0.2.1", "client"),
        ("GET /adm HTTP/1.1", "10.0.0.1", "path"),
    ])
    func `what is lacking is named`(line: String, peer: String, lacks: String) throws {
        let explanation = edge.explain(try .parsed(line), peer: peer)
        #expect(explanation.steps.map(\.lacks) == ["path", "path", lacks, nil])
        #expect(explanation.steps.last?.name == "edge.app")
    }

    @Test func `what gets nothing says why`() throws {
        #expect(edge.explain(try .get("/x/../admin"), peer: "10.0.0.1").refusal?.hasPrefix("400") == true)
        #expect(EdgeConfiguration().explain(try .get("/x"), peer: "10.0.0.1").refusal?.hasPrefix("404") == true)
        #expect(edge.explain(try .parsed("CONNECT a:1 HTTP/1.1", host: "a:1"), peer: nil).refusal?.hasPrefix("501") == true)
    }
}
