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
        #expect(explanation.steps.map(\.name) == ["edge.metrics_path", "dashboard.path", "dashboard.alive_path", "dashboard.ready_path", "edge.routes[1]", "admin"])
        #expect(explanation.steps.map(\.lacks) == ["path", "path", "path", "path", "path", nil])
        #expect(explanation.refusal == nil)
        #expect(
            explanation.policies.map { "\($0.name): \($0.value)" } == [
                "head: at most 32768 bytes, 8192 of them in its first line, and 100 fields, within 10 s", "client: 10.1.2.3",
                "body: at most 67108864 bytes, 30 s between two reads, 512 bytes per second at least", "cache: past it: disabled",
                "answer: group app",
                "upstream: 5 s to connect, 60 s to the first byte, 60 s between two reads; 3 attempts at most",
                "compression: text-like types of 256 bytes and more, in br, zstd, gzip: this client accepts none", "browser_caching: off",
                "response_headers: set X-A: 1", "delivery: given up when the client takes nothing for 60 s, 512 bytes per second at least",
            ])
    }

    private func policy(_ name: String, _ target: String, _ fields: [String] = [], of edge: EdgeConfiguration) throws -> String? {
        edge.explain(try .get(target, fields), peer: "10.0.0.1").policies.first { $0.name == name }?.value
    }

    @Test func `early hints say what of, and whether they are for this request`() throws {
        var edge = edge
        #expect(try policy("early_hints", "/", of: edge) == nil)
        edge.earlyHints.learns = true
        edge.earlyHints.links = ["</a>; rel=preload"]
        #expect(try policy("early_hints", "/", ["Accept: text/html"], of: edge) == "1 links and what the page said last while the application is asked, by HTTP/2")
        #expect(try policy("early_hints", "/", of: edge)?.hasSuffix(", but not for this request, which asks for no page") == true)
    }

    @Test func `compression says what this client gets`() throws {
        var edge = edge
        #expect(try policy("compression", "/", ["Accept-Encoding: gzip, zstd"], of: edge)?.hasSuffix("in br, zstd, gzip: zstd for this client") == true)
        edge.compression.codings = ["gzip"]
        #expect(try policy("compression", "/", ["Accept-Encoding: zstd"], of: edge)?.hasSuffix("in gzip: this client accepts none") == true)
        edge.compression.isEnabled = false
        #expect(try policy("compression", "/", ["Accept-Encoding: gzip"], of: edge) == "off")
    }

    @Test(arguments: [
        ("/", "", "private, max-age=300; Vary: Cookie, Authorization"), ("/", "Cookie: a=b", "private, no-cache"),
        ("/app.3f2a9c1b.css", "", "public, max-age=31536000, immutable"),
        ("/app.css?v=3", "", "private, max-age=31536000; Vary: Cookie, Authorization"),
    ])
    func `browser caching says what an answer of that name would get`(target: String, field: String, said: String) throws {
        var edge = edge
        edge.browserCaching = "standard"
        #expect(try policy("browser_caching", target, field.isEmpty ? [] : [field], of: edge)?.hasSuffix("gets Cache-Control: " + said) == true)
    }

    @Test func `a file is for everybody, unless the route asks who is there`() throws {
        var edge = EdgeConfiguration()
        edge.root = "/srv"
        edge.browserCaching = "standard"
        #expect(try policy("browser_caching", "/x.html", of: edge) == "standard: a 200 of text/html that says nothing of it gets Cache-Control: private, max-age=300")
        #expect(try policy("browser_caching", "/x.tar", of: edge) == "standard: a 200 of application/x-tar that says nothing of it gets nothing")
        var route = RouteConfiguration()
        route.files.root = "/srv"
        route.browserCaching = "off"
        edge.routes = [route]
        #expect(try policy("browser_caching", "/x.html", of: edge) == "off")
    }

    @Test func `who is refused is told so, and of what follows only what holds for a refusal`() throws {
        var edge = edge
        edge.routes[1].match.clients = []
        edge.routes[1].basicAuth.file = "/users"
        #expect(try policy("basic_auth", "/admin", of: edge)?.hasSuffix("/users: 401 for this request, which has no name and password") == true)
        #expect(try policy("basic_auth", "/admin", ["Authorization: basic YTpi"], of: edge)?.hasSuffix("/users: 401 if name and password are not in it") == true)
        edge.routes[1].clients.allowed = [AddressRange("192.0.2.0/24")!]
        let denied = edge.explain(try .get("/admin"), peer: "10.0.0.1").policies
        #expect(denied.map(\.name) == ["head", "client", "clients", "response_headers", "delivery"])
        #expect(denied[2].value == "403 for this client, whatever else the route says")
        edge.routes[1].maintenance.isEnabled = true
        let down = edge.explain(try .get("/admin"), peer: "10.0.0.1").policies
        #expect(down.map(\.name) == ["head", "client", "maintenance", "response_headers", "delivery"])
        #expect(down[2].value == "503 for this client, whatever else the route says")
    }

    @Test func `files are for GET and HEAD, and the rest is for the group if there is one`() throws {
        var edge = EdgeConfiguration()
        edge.root = "/srv"
        func answer(_ line: String, _ edge: EdgeConfiguration) throws -> String? {
            edge.explain(try .parsed(line, ["Content-Length: 0"]), peer: "10.0.0.1").policies.first { $0.name == "answer" }?.value
        }
        #expect(try answer("HEAD /a HTTP/1.1", edge) == "files of /srv")
        #expect(try answer("POST /a HTTP/1.1", edge) == "405: files are for GET and HEAD alone")
        edge.application = UpstreamGroup(endpoint: .tcp(host: "127.0.0.1", port: 1))
        #expect(try answer("POST /a HTTP/1.1", edge) == "group app")
        var route = RouteConfiguration()
        (route.files.root, route.upstream) = ("/srv", "app")
        edge.routes = [route]
        #expect(try answer("POST /a HTTP/1.1", edge) == "group app: files are for GET and HEAD alone")
        #expect(try answer("GET /a HTTP/1.1", edge) == "files of /srv, then group app")
    }

    @Test func `what is fetched with Authorization is not kept`() throws {
        var edge = edge
        edge.cache.isEnabled = true
        #expect(try policy("cache", "/", of: edge)?.hasPrefix("looked up; kept if") == true)
        #expect(try policy("cache", "/", ["Authorization: Bearer x"], of: edge)?.contains("what comes is not kept") == true)
    }

    @Test(arguments: [
        ("POST /admin HTTP/1.1", "10.0.0.1", "method"), ("GET /admin HTTP/1.1", "192.0.2.1", "client"),
        ("GET /adm HTTP/1.1", "10.0.0.1", "path"),
    ])
    func `what is lacking is named`(line: String, peer: String, lacks: String) throws {
        let explanation = edge.explain(try .parsed(line), peer: peer)
        #expect(explanation.steps.map(\.lacks) == ["path", "path", "path", "path", "path", lacks, nil])
        #expect(explanation.steps.last?.name == "edge.app")
    }

    @Test func `what gets nothing says why`() throws {
        #expect(edge.explain(try .get("/x/../admin"), peer: "10.0.0.1").refusal?.hasPrefix("400") == true)
        #expect(EdgeConfiguration().explain(try .get("/x"), peer: "10.0.0.1").refusal?.hasPrefix("404") == true)
        #expect(edge.explain(try .parsed("CONNECT a:1 HTTP/1.1", host: "a:1"), peer: nil).refusal?.hasPrefix("501") == true)
    }
}
