import Foundation
import TestSupport
import Testing

/// Where requests go, through the release binary.
@Suite struct RouteTests {
    private static func edge(_ yaml: String) throws -> (HeadraceProcess, TemporaryFile) {
        let file = try TemporaryFile(yaml, name: "headrace.yaml")
        return (try HeadraceProcess(["--config", file.path]), file)
    }

    private static func get(_ edge: HeadraceProcess, _ target: String, host: String = "a.example", _ fields: [String] = []) throws
        -> RawClient.Response
    {
        let lines = ["GET \(target) HTTP/1.1", "Host: \(host)", "Connection: close"] + fields
        return try RawClient.exchange(port: edge.port, lines.joined(separator: "\r\n") + "\r\n\r\n")
    }

    @Test func `each route does what it says`() throws {
        let (shop, blog) = (try ScriptedOrigin(body: "shop"), try ScriptedOrigin(body: "blog"))
        let (edge, file) = try Self.edge(
            """
            edge:
              upstreams: {shop: "\(shop.url)", blog: "\(blog.url)"}
              routes:
                - {match: {path_exact: [/health]}, page: health}
                - {match: {path_exact: [/numbers]}, page: metrics}
                - {match: {path: [/old]}, redirect: {to: "https://b.example/new", keep_path: true, status: 308}}
                - {match: {path: [/gone]}, respond: {status: 410, body: "gone\\n"}}
                - {match: {path: [/empty]}, respond: {status: 204}}
                - {match: {path: [/only], header: {X-Blog: "1"}}, upstream: blog}
                - {match: {host: ["*.shop.example"]}, upstream: shop}
                - {match: {host: [blog.example]}, upstream: blog}
            """)
        defer { _ = file }
        #expect(try Self.get(edge, "/health").text == "ok\n")
        #expect(try Self.get(edge, "/numbers", host: "localhost").text.contains("headrace_edge_connections"))
        let redirect = try Self.get(edge, "/old/1?a=b")
        #expect(redirect.status == 308)
        #expect(redirect.field("Location") == "https://b.example/new/1?a=b")
        let gone = try Self.get(edge, "/gone")
        #expect(gone.status == 410 && gone.text == "gone\n")
        let empty = try Self.get(edge, "/empty")
        #expect(empty.status == 204 && empty.field("Content-Length") == nil)
        #expect(try Self.get(edge, "/only", ["X-Blog: 1"]).text == "blog")
        #expect(try Self.get(edge, "/", host: "www.Shop.example:8080").text == "shop")
        #expect(try Self.get(edge, "/", host: "blog.example").text == "blog")
        #expect(try Self.get(edge, "/", host: "other.example").status == 404)
        #expect(try Self.get(edge, "/x/../old/1", host: "blog.example").status == 400)
    }

    @Test func `a prefix is taken off for who answers, and he is told which`() throws {
        let origin = try ScriptedOrigin { request in
            [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=600"], body: request.target + " " + (request.field("X-Forwarded-Prefix") ?? "-")))]
        }
        let folder = try TemporaryFolder()
        for name in ["sub", "bare"] { try FileManager.default.createDirectory(at: folder.url.appending(path: name), withIntermediateDirectories: true) }
        try Data("sub".utf8).write(to: folder.url.appending(path: "sub/index.html"))
        try Data("a file".utf8).write(to: folder.url.appending(path: "a.txt"))
        try Data("index".utf8).write(to: folder.url.appending(path: "index.html"))
        let (edge, file) = try Self.edge(
            """
            edge:
              upstreams: {app: "\(origin.url)"}
              routes:
                - {match: {path: [/static]}, files: {root: "\(folder.url.path)"}, strip_prefix: /static}
                - {match: {path: [/both]}, files: {root: "\(folder.url.path)/sub"}, upstream: app, strip_prefix: /both}
                - {match: {path: [/bare]}, files: {root: "\(folder.url.path)/bare"}, upstream: app, strip_prefix: /bare}
                - {match: {path: [/app, /apple]}, upstream: app, strip_prefix: /app/}
                - {match: {path: [/]}, upstream: app}
            """)
        defer { _ = file }
        #expect(try Self.get(edge, "/static/a.txt").text == "a file" && Self.get(edge, "/static/").text == "index")
        #expect(try Self.get(edge, "/a.txt").text == "/a.txt -")
        for (target, location) in [("/static?x", "/static/?x"), ("/static/sub", "/static/sub/"), ("/both", "/both/")] {
            let moved = try Self.get(edge, target)
            #expect(moved.status == 301 && moved.field("Location") == location)
        }
        for (target, asked) in [
            ("/app/x?y=1", "/x?y=1 /app"), ("/app", "/ /app"), ("/app?y", "/?y /app"), ("/app/", "/ /app"), ("/bare", "/ /bare"), ("/app//evil.example/", "/evil.example/ /app"),
            ("/apple/x", "/apple/x -"), ("/apple/a%20b", "/apple/a%20b -"),
        ] {
            // Twice: the second answer is stored.
            for _ in 0..<2 { #expect(try Self.get(edge, target, ["X-Forwarded-Prefix: /evil", "X_Forwarded_Prefix: /evil"]).text == asked) }
        }
        // To the route it begins so, to the application it would not.
        #expect(try Self.get(edge, "/%61pp/x").status == 400)
    }

    @Test func `no route is answered with what another stored for the same URL`() throws {
        let fields = ["Cache-Control: max-age=600"]
        let (one, two) = (try ScriptedOrigin(fields: fields, body: "one"), try ScriptedOrigin(fields: fields, body: "two"))
        let tenant = try ScriptedOrigin { request in
            [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=600"], body: request.field("X-Tenant") ?? "nobody"))]
        }
        let (edge, file) = try Self.edge(
            """
            edge:
              upstreams: {one: "\(one.url)", two: "\(two.url)", tenant: "\(tenant.url)"}
              routes:
                - {match: {header: {X-To: "1"}}, upstream: one}
                - {match: {header: {X-To: "2"}}, upstream: two}
                - {match: {header: {X-To: a}}, upstream: tenant, request_headers: {set: {X-Tenant: a}}}
                - {match: {header: {X-To: b}}, upstream: tenant, request_headers: {set: {X-Tenant: b}}}
                - {upstream: tenant, request_headers: {remove: [X-Tenant]}}
            """)
        defer { _ = file }
        for _ in 0..<2 {
            for (name, text) in [("1", "one"), ("2", "two"), ("a", "a"), ("b", "b"), ("c", "nobody")] {
                #expect(try Self.get(edge, "/", ["X-To: \(name)", "X-Tenant: mallory"]).text == text)
            }
        }
        #expect(one.requests.count == 1 && two.requests.count == 1 && tenant.requests.count == 3)
    }

    @Test func `a change by one route makes what others stored useless`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=600"], body: "x")
        let (edge, file) = try Self.edge(
            """
            edge:
              upstreams: {a: "\(origin.url)", b: "\(origin.url)"}
              routes:
                - {match: {method: [GET]}, upstream: a}
                - {upstream: b}
            """)
        defer { _ = file }
        _ = try Self.get(edge, "/page")
        #expect(try Self.get(edge, "/page").field("Cache-Status")?.contains("hit") == true)
        _ = try RawClient.exchange(port: edge.port, "POST /page HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        #expect(try Self.get(edge, "/page").field("Cache-Status")?.contains("hit") == false)
    }

    @Test func `header rules hold for misses, hits, not-modified and the edge's own answers, both ways`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=600", "Server: secret", "ETag: \"1\"", "X-A: 1"], body: "x")
        let (edge, file) = try Self.edge(
            """
            edge:
              app: \(origin.url)
              routes:
                - match: {path: [/]}
                  upstream: app
                  request_headers: {remove: [Cookie], set: {X-From: edge}, add: {X-List: "2"}}
                  response_headers: {remove: [Server, Via], set: {X-A: "2"}, add: {X-Frame-Options: DENY}}
            """)
        defer { _ = file }
        for (condition, status, result) in [
            ([], 200, "fwd"), ([], 200, "hit"), (["If-None-Match: \"1\""], 304, "hit"), (["If-Match: \"2\""], 412, "hit"),
        ] as [([String], Int, String)] {
            let fields = ["Cookie: a=b", "X-From: client", "X-List: 1"] + condition
            let response = try RawClient.exchange(
                port: edge.port,
                (["GET / HTTP/1.1", "Host: a", "Connection: close"] + fields).joined(separator: "\r\n") + "\r\n\r\n",
                hasBody: status != 304)
            #expect(response.status == status)
            #expect(response.field("Cache-Status")?.contains(result) == true)
            #expect(response.field("Server") == nil && response.field("Via") == nil)
            #expect(response.field("X-A") == "2" && response.field("X-Frame-Options") == "DENY")
        }
        let request = try #require(origin.requests.first)
        #expect(request.field("Cookie") == nil && request.field("X-From") == "edge")
        #expect(request.head.contains("\r\nX-List: 1\r\n") && request.head.hasSuffix("\r\nX-List: 2"))
    }

    @Test func `compression, caching and the limit of a body are the route's own`() throws {
        let body = String(repeating: "text that compresses ", count: 100)
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=600", "Content-Type: text/plain"], body: body)
        let (edge, file) = try Self.edge(
            """
            edge:
              app: \(origin.url)
              routes:
                - {match: {path: [/plain]}, upstream: app, compression: {enabled: false}}
                - {match: {path: [/fresh]}, upstream: app, cache: {enabled: false}}
                - {match: {path: [/small]}, upstream: app, limits: {body: 10B}}
            """)
        defer { _ = file }
        let gzip = ["Accept-Encoding: gzip"]
        #expect(try Self.get(edge, "/plain", gzip).field("Content-Encoding") == nil)
        #expect(try Self.get(edge, "/", gzip).field("Content-Encoding") == "gzip")
        for _ in 0..<2 { #expect(try Self.get(edge, "/fresh").field("Cache-Status")?.contains("detail=disabled") == true) }
        func post(_ count: Int, chunked: Bool) throws -> Int {
            let body = String(repeating: "x", count: count)
            let framed = chunked ? "\(String(count, radix: 16))\r\n\(body)\r\n0\r\n\r\n" : body
            let framing = chunked ? "Transfer-Encoding: chunked" : "Content-Length: \(count)"
            return try RawClient.exchange(
                port: edge.port, "POST /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\(framing)\r\n\r\n\(framed)"
            ).status
        }
        for chunked in [false, true] {
            #expect(try post(10, chunked: chunked) == 200)
            #expect(try post(11, chunked: chunked) == 413)
        }
    }
}
