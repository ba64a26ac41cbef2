import Edge
import Testing

@testable import headrace

/// Sections that may be there any number of times, with the mistakes that can be made in them.
@Suite struct RepeatedSectionTests {
    private func load(_ yaml: String) throws -> ConfigurationSources.Loaded {
        var sources = ConfigurationSources()
        sources.file = ("headrace.yaml", yaml)
        return try sources.load()
    }

    private func problems(_ yaml: String, set: [String] = []) -> String {
        var sources = ConfigurationSources()
        sources.file = ("headrace.yaml", yaml)
        sources.flags = set.map(ConfigurationSources.assignment)
        do {
            _ = try sources.load()
            return ""
        } catch {
            return error.rendered
        }
    }

    @Test func `routes keep their order, groups have names`() throws {
        let loaded = try load(
            """
            edge:
              upstreams:
                app: http://127.0.0.1:3000
                shop: {members: ["http://127.0.0.1:3001 weight=2 backup", "unix:/run/shop.sock"], connect_timeout: 1s}
              routes:
                - name: shop
                  match:
                    host: ["*.Shop.example"]
                    path: [/a, /b]
                    header: {X-Debug: "1", X-Any: }
                  upstream: shop
                  response_headers: {set: {X-A: "b: c"}, remove: [Server]}
                - redirect: {to: /new, status: 308}
            """)
        let edge = loaded.settings.edgeConfiguration
        #expect(edge.upstreams.keys.sorted() == ["app", "shop"])
        #expect(edge.upstreams["shop"]?.members == [.init(.tcp(host: "127.0.0.1", port: 3001), weight: 2, isBackup: true), .init(.unix(path: "/run/shop.sock"))])
        #expect(edge.upstreams["shop"]?.connectTimeout == .seconds(1))
        #expect(edge.upstreams["app"]?.connectTimeout == .seconds(5))
        #expect(edge.routes.map(\.name) == ["shop", ""])
        #expect(edge.routes[0].match.hosts == ["*.shop.example"])
        #expect(edge.routes[0].match.paths == ["/a", "/b"])
        #expect(edge.routes[0].match.fields == [.init(name: "X-Debug", value: "1"), .init(name: "X-Any", value: nil)])
        #expect(edge.routes[0].responseRules.set == [.init(name: "X-A", value: "b: c")])
        #expect(edge.routes[1].redirect.status == 308)
        #expect(loaded.origins["edge.routes[1].match.host"] == .file)
    }

    @Test func `paths are as typed or as a URL shows them, and those that no request can be for are refused`() throws {
        #expect(problems("edge: {app: http://a:1, routes: [{match: {path: [/é, /a b, /a%20b], path_exact: [/%C3%A9]}, redirect: {to: /x}}]}") == "")
        for (path, problem) in [("/a//b", "matches nothing: "), ("/a/%2e%2e", "matches nothing: "), ("/%00", "has a control character"), ("/a?b", "has a query: ")] {
            let text = problems("edge: {routes: [{match: {path: ['\(path)']}, redirect: {to: /x}}]}")
            #expect(text.contains("edge.routes[1].match.path: \"\(path)\" \(problem)"), "\(text)")
        }
    }

    @Test func `mistakes in them are said with their place, all at once`() {
        let text = problems(
            """
            edge:
              upstreams:
                shop: {members: [http://a:1], conect_timeout: 1s}
                "a b": http://a:1
              routes:
                - macth: {path: [/a]}
                  upstream: shop
                - match: {path: [a]}
                  redirect: {to: /x, status: 304}
            """)
        #expect(
            text == """
                headrace.yaml:3:35: there is no key "conect_timeout" in edge.upstreams.shop: did you mean connect_timeout?
                  3 |     shop: {members: [http://a:1], conect_timeout: 1s}
                    |                                   ^~~~~~~~~~~~~~
                  allowed here: \(ConfigurationKeys.shape.repeated["edge.upstreams"]!.element.names(in: []).joined(separator: ", "))
                headrace.yaml:4:5: edge.upstreams: "a b" is no name: letters, digits, - and _, at most 64
                  4 |     "a b": http://a:1
                    |     ^~~
                headrace.yaml:6:7: there is no key "macth" in edge.routes[1]: did you mean match?
                  6 |     - macth: {path: [/a]}
                    |       ^~~~~
                  allowed here: \(ConfigurationKeys.shape.repeated["edge.routes"]!.element.names(in: []).joined(separator: ", "))
                headrace.yaml:8:22: edge.routes[2].match.path: "a" is no path such as /metrics
                  8 |     - match: {path: [a]}
                    |                      ^
                headrace.yaml:9:34: edge.routes[2].redirect.status: "304" is none of 301, 302, 303, 307, 308
                  9 |       redirect: {to: /x, status: 304}
                    |                                  ^~~
                """)
    }

    @Test(arguments: [
        ("edge:\n  routes: {a: 1}", "edge.routes is a list"), ("edge:\n  routes: 3", "edge.routes is a list"),
        ("edge:\n  upstreams: [a]", "edge.upstreams holds names"),
        ("edge:\n  routes: [3]", "edge.routes[1] holds keys, not a value"),
        ("edge:\n  routes:\n    - {match: {path: [/a]}}", "edge.routes[1] says nothing of what requests get"),
        ("edge:\n  routes:\n    - {page: health, redirect: {to: /}}", "edge.routes[1] says more than one thing"),
        ("edge:\n  routes:\n    - {page: health, upstream: app}", "edge.routes[1] says more than one thing"),
        ("edge:\n  routes:\n    - {upstream: ap}\n  app: http://a:1", "no group \"ap\" in edge.upstreams: did you mean app?"),
        ("edge:\n  app: http://a:1\n  upstreams: {app: http://b:1}", "leave one of them out"),
        ("edge:\n  app: http://a:1\n  upstreams: {shop: {host: a}}", "edge.upstreams.shop has no members"),
        ("edge:\n  routes:\n    - {name: a, page: health}\n    - {name: a, page: health}", "more than one route is named a"),
        ("keyspace: {tls: {listen: [127.0.0.1:0]}}", "keyspace.tls.listen is set, but no certificate: keyspace.tls.certificates"),
        ("keyspace: {tls: {listen: [127.0.0.1:0], certificates: [a, b], keys: [a]}}", "keyspace.tls.keys has 1 members and keyspace.tls.certificates 2"),
        ("edge:\n  app: http://a:1\n  early_hints: {links: [</a>]}", "\"</a>\" is no link with rel=preload"),
        ("edge:\n  app: http://a:1\n  early_hints:\n    links: [\(String(repeating: "</a>;rel=preload, ", count: 17))]", "edge.early_hints.links has 17 members; 16 is the most"),
        ("edge:\n  routes:\n    - {page: health, early_hints: {links: [</\(String(repeating: "p", count: 2048))>;rel=preload]}}", "edge.routes[1].early_hints.links has 2063 bytes"),
    ])
    func `what does not make sense is refused`(yaml: String, message: String) {
        let text = problems(yaml)
        #expect(text.contains(message), "\(text)")
    }

    /// Each of these would let everybody in, or bound nothing, and be called fine.
    @Test(arguments: [
        ("basic_auth: {realm: staff}", "basic_auth", "basic_auth.file"), ("basic_auth: {}", "basic_auth", "basic_auth.file"),
        ("basic_auth:", "basic_auth", "basic_auth.file"), ("forward_auth: {path: /auth}", "forward_auth", "forward_auth.upstream"),
        ("forward_auth: {}", "forward_auth", "forward_auth.upstream"), ("limits: {burst: 5}", "limits.burst", "limits.rate"),
        ("limits: {per: client}", "limits.per", "limits.rate"),
    ])
    func `a rule that lacks what it goes by is refused where it stands`(rule: String, key: String, missing: String) {
        let text = problems("edge:\n  app: http://a:1\n  routes:\n    - upstream: app\n      \(rule)\n")
        #expect(text.hasPrefix("headrace.yaml:5:") && text.contains(": edge.routes[1].\(key) ") && text.contains(": edge.routes[1].\(missing)\n"), "\(text)")
        #expect(text.split(separator: "\n").count == 3, "\(text)")
    }

    @Test func `a rule with what it goes by is none`() throws {
        _ = try load(
            """
            edge:
              app: http://a:1
              routes:
                - {match: {path: [/a]}, upstream: app, basic_auth: {file: users, realm: staff}, limits: {rate: 1/s, burst: 5, per: client}}
                - {upstream: app, forward_auth: {upstream: app, path: /auth}, limits: {body: 1KB}}
            """)
    }

    @Test func `they are set in the file only`() {
        #expect(problems("edge: {app: http://a:1}", set: ["edge.routes=x"]).contains("edge.routes can be set in the file only"))
    }

    @Test func `a file with the most routes is read, one more is refused`() {
        func file(_ count: Int) -> String {
            "edge:\n  routes:\n" + String(repeating: "    - page: health\n", count: count)
        }
        #expect(problems(file(RouteConfiguration.countMax)) == "")
        #expect(problems(file(RouteConfiguration.countMax + 1)).contains("1024 is the most"))
    }

    @Test(arguments: ConfigurationKeys.table.repeated.map(\.path))
    func `the example of a section is a configuration`(path: String) throws {
        let section = try #require(ConfigurationKeys.table.repeated.first { $0.path == path })
        let application = path == "edge.upstreams" ? "  app: http://a:1" : "  upstreams: {app: http://a:1}"
        let loaded = try load((ConfigurationReference.fileLines(section) + [application]).joined(separator: "\n"))
        #expect(!section.settings(loaded.settings).isEmpty)
    }

    @Test func `the default of a key, as it is written, is read as the default`() throws {
        // Every row of every section that has a default, in one element each.
        for section in ConfigurationKeys.table.repeated {
            for row in section.rows where !row.standard.isEmpty && !row.path.contains("[") {
                var content = SectionContent()
                let words = row.standard.hasPrefix("[")
                    ? row.standard.dropFirst().dropLast().split(separator: ", ").map(String.init) : [row.standard]
                content.entries = [.init(path: row.path, words: words, place: .together)]
                let element = SectionContent.Element(path: "\(section.path).x", name: "x", place: .together, content: content)
                let reader = SettingReader(environment: [:], readSecret: { _ in "" })
                var settings = Settings()
                section.assign([element], reader, &settings)
                #expect(reader.problems == [], "\(section.path) \(row.path)")
                #expect(section.settings(settings).isEmpty, "\(section.path) \(row.path)")
            }
        }
    }
}
