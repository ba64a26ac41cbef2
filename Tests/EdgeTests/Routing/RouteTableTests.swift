import HTTPSemantics
import TestSupport
import Testing

@testable import Edge

@Suite struct RouteTableTests {
    /// A table of `match` blocks, and which of them a request takes.
    private static func choose(
        _ line: String, host: String = "a.example", fields: [String] = [], _ matches: [RouteMatch]
    ) throws -> RouteTable.Choice {
        let routes = matches.map { match in
            var route = RouteConfiguration()
            route.match = match
            return route
        }
        return RouteTable(routes).choose(try .parsed(line, host: host, fields), client: nil, isOperator: false)
    }

    private static func match(
        hosts: [String] = [], paths: [String] = [], exact: [String] = [], methods: [String] = [], fields: [RouteMatch.Field] = []
    ) -> RouteMatch {
        var match = RouteMatch()
        (match.hosts, match.paths, match.exactPaths, match.methods, match.fields) = (hosts, paths, exact, methods, fields)
        return match
    }

    @Test(arguments: [
        ("/api", "/api", true), ("/api", "/api/", true), ("/api", "/api/x", true), ("/api", "/api?x", true), ("/api", "/apis", false),
        ("/api", "/ap", false), ("/api", "/", false), ("/api/", "/api", false), ("/api/", "/api/x", true), ("/", "/", true),
        ("/", "/anything/at/all", true), ("/a-long-prefix/of-two", "/a-long-prefix/of-two/x", true),
        ("/a-long-prefix/of-two", "/a-long-prefix/of-tw", false), ("/a-long-prefix/of-two", "/a-long-prefix/of-twox", false),
        ("/api", "/Api", false), ("/api", "/?/api", false),
    ])
    func `a prefix is of whole segments`(prefix: String, target: String, isFor: Bool) throws {
        #expect(try Self.choose("GET \(target) HTTP/1.1", [Self.match(paths: [prefix])]) == (isFor ? .route(0) : .none))
    }

    @Test(arguments: [
        ("/a%20b", "/a%20b"), ("/a b", "/a%20b"), ("/é", "/%C3%A9"), ("/é", "/%c3%a9"), ("/%C3%A9", "/%C3%A9"), ("/%61bc", "/abc"), ("/%61bc", "/a%62c"),
        ("/100%25", "/100%25"), ("/100%", "/100%25"), ("/a%3Fb", "/a%3fb"), ("/zürich/a b", "/z%C3%BCrich/a%20b"),
    ])
    func `a path is the same however it is spelled, in the configuration too`(path: String, target: String) throws {
        #expect(ConfiguredPath.problem(path) == nil)
        #expect(try Self.choose("GET \(target)?q HTTP/1.1", [Self.match(exact: [path])]) == .route(0))
        #expect(try Self.choose("GET \(target)/x HTTP/1.1", [Self.match(paths: [path])]) == .route(0))
        #expect(try Self.choose("GET \(target)x HTTP/1.1", [Self.match(paths: [path], exact: [path])]) == .none)
    }

    @Test(arguments: [
        "", "a", "é", "/a?b", "//", "/a//b", "/.", "/..", "/a/../b", "/a/./b", "/a/..", "/%2e%2e/a", "/a%2Fb", "/a%5cb", "/a\\b", "/%00", "/a\n", "/\u{7F}",
    ])
    func `a path that no request can be for is none`(path: String) {
        #expect(ConfiguredPath.problem(path) != nil)
    }

    @Test func `an exact path is the whole path, whatever the query`() throws {
        let table = [Self.match(exact: ["/a"])]
        #expect(try Self.choose("GET /a HTTP/1.1", table) == .route(0))
        #expect(try Self.choose("GET /a?b HTTP/1.1", table) == .route(0))
        #expect(try Self.choose("GET /a/ HTTP/1.1", table) == .none)
        #expect(try Self.choose("GET /ab HTTP/1.1", table) == .none)
    }

    @Test(arguments: [
        ("a.example", 0), ("A.EXAMPLE", 0), ("a.example:8080", 0), ("a.example.", 0), ("b.example", 2), ("x.b.example", 1),
        ("y.x.b.example", 1), ("b.example.evil", 3), ("xb.example", 2), ("c.example", 2), ("example", 3), ("[::1]:80", 4), ("[::2]", 3),
    ])
    func `a host is a name or below a wildcard, in any case and on any port`(host: String, expected: Int) throws {
        let table = [
            Self.match(hosts: ["a.example"]), Self.match(hosts: ["*.b.example"]), Self.match(hosts: ["*.example"]),
            Self.match(paths: ["/"]), Self.match(hosts: ["[::1]"]),
        ]
        let ordered = host.hasPrefix("[::1]") ? [table[4], table[3]] : table
        let number = host.hasPrefix("[::1]") ? 0 : expected
        #expect(try Self.choose("GET / HTTP/1.1", host: host, ordered) == .route(number))
    }

    @Test func `the first route wins, though a later one is nearer`() throws {
        let table = [Self.match(paths: ["/a"]), Self.match(hosts: ["a.example"], paths: ["/a/b"]), Self.match()]
        #expect(try Self.choose("GET /a/b HTTP/1.1", table) == .route(0))
        #expect(try Self.choose("GET /b HTTP/1.1", table) == .route(2))
    }

    @Test func `a method is one of those, GET is for HEAD, and one without a name of its own counts by its bytes`() throws {
        let table = [Self.match(methods: ["GET"]), Self.match(methods: ["PROPFIND", "POST"])]
        #expect(try Self.choose("GET / HTTP/1.1", table) == .route(0))
        #expect(try Self.choose("HEAD / HTTP/1.1", table) == .route(0))
        #expect(try Self.choose("POST / HTTP/1.1", table) == .route(1))
        #expect(try Self.choose("PROPFIND / HTTP/1.1", table) == .route(1))
        #expect(try Self.choose("PROPPATCH / HTTP/1.1", table) == .none)
        #expect(try Self.choose("PUT / HTTP/1.1", table) == .none)
    }

    @Test func `all header fields must be there, with their value where one is given`() throws {
        let table = [Self.match(fields: [.init(name: "X-A", value: "1"), .init(name: "cookie", value: nil)])]
        #expect(try Self.choose("GET / HTTP/1.1", fields: ["x-a: 1", "Cookie: z"], table) == .route(0))
        #expect(try Self.choose("GET / HTTP/1.1", fields: ["X-A: 2", "X-A: 1", "Cookie: z"], table) == .route(0))
        #expect(try Self.choose("GET / HTTP/1.1", fields: ["X-A: 2", "Cookie: z"], table) == .none)
        #expect(try Self.choose("GET / HTTP/1.1", fields: ["X-A: 1"], table) == .none)
    }

    @Test(arguments: [
        ("/admin", RouteTable.Choice.route(0)), ("/%61dmin", .route(0)), ("/%61%64min/x", .route(0)),
        ("/x/../admin", .ambiguous), ("/x/%2e%2e/admin", .ambiguous), ("//admin", .ambiguous), ("/./admin", .ambiguous),
        ("/x/..%2Fadmin", .ambiguous), ("/admin%2Fx", .ambiguous), ("/admin/..%2fpublic", .ambiguous), ("/x\\..\\admin", .ambiguous),
        ("/admin/../public", .ambiguous), ("/admin/%2e", .route(0)), ("/admin//x", .route(0)), ("/a%2Fb", .route(1)),
        ("/public//x", .route(1)), ("/.well-known/x", .route(1)), ("/%zz", .route(1)), ("/%", .route(1)), ("/%2", .route(1)),
        ("/x?/../admin", .route(1)), ("/%00", .route(1)),
    ])
    func `a path that another server could read differently goes where it would, or nowhere`(
        target: String, expected: RouteTable.Choice
    ) throws {
        let table = [Self.match(paths: ["/admin"]), Self.match()]
        #expect(try Self.choose("GET \(target) HTTP/1.1", table) == expected)
    }

    /// How it works: 1. a table and requests are drawn from few hosts, paths and methods, so that much matches. 2. The compiled table
    /// and the plain questions of ``CompiledMatch/mismatch(_:host:path:isOperator:)`` are asked. 3. They must agree.
    @Test(arguments: 0..<60)
    func `the compiled table chooses what asking each route in turn does`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let hosts = ["a.example", "*.example", "b.example", "*.b.example", "c", "x.b.example", "*.x.b.example"]
        let paths = ["/", "/a", "/a/b", "/a/b/c/d/e/f", "/ab", "/longer-than-a-word", "/longer-than-a-word/x"]
        let methods = ["GET", "POST", "DELETE", "PROPFIND"]
        func some(_ all: [String]) -> [String] {
            random.chance(oneIn: 2) ? [] : (0..<Int.random(in: 1...3, using: &random)).map { _ in random.pick(all) }
        }
        let routes = (0..<Int.random(in: 0...80, using: &random)).map { _ in
            var route = RouteConfiguration()
            route.match = Self.match(hosts: some(hosts), paths: some(paths), exact: some(paths), methods: some(methods))
            if random.chance(oneIn: 5) { route.match.fields = [.init(name: "X-A", value: random.pick([nil, "1"]))] }
            return route
        }
        let table = RouteTable(routes)
        for _ in 0..<100 {
            let host = random.pick(hosts).replacing("*", with: "z")
            let path = random.pick(paths)
            let target = path + random.pick(path == "/" ? ["", "b", "?q"] : ["", "/", "/b", "?q", "x"])
            let head = try RequestHead.parsed(
                "\(random.pick(methods + ["HEAD"])) \(target) HTTP/1.1", host: host, random.chance(oneIn: 2) ? [] : ["X-A: 1"])
            let asked = table.mismatches(head, client: nil, isOperator: false)
            let expected: RouteTable.Choice = asked.last == .some(nil) ? .route(asked.count - 1) : .none
            #expect(table.choose(head, client: nil, isOperator: false) == expected, "seed \(seed): \(host) \(target)")
        }
    }
}
