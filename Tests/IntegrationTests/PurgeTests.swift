import Foundation
import TestSupport
import Testing

/// Purges, keys and warming as an operator, a client and an application see them.
@Suite struct PurgeTests {
    private static let open = ["--set", "edge.purge.clients=127.0.0.1", "--set", "edge.threads=2"]

    private func edge(_ origin: ScriptedOrigin, _ more: [String] = PurgeTests.open) throws -> HeadraceProcess {
        try HeadraceProcess(["--app", origin.url] + more)
    }

    /// Answers every request with its number and what it was asked for.
    private func origin(_ fields: [String] = ["Cache-Control: max-age=600"]) throws -> ScriptedOrigin {
        try ScriptedOrigin { request in [.send(ScriptedOrigin.response(fields: fields, body: "\(request.number) \(request.target)"))] }
    }

    @discardableResult
    private func purge(_ edge: HeadraceProcess, _ target: String = "/", _ fields: [String] = [], method: String = "PURGE") throws -> RawClient.Response {
        let client = try RawClient(port: edge.port)
        client.send((["\(method) \(target) HTTP/1.1", "Host: a.example"] + fields).joined(separator: "\r\n") + "\r\n\r\n")
        return try client.readResponse()
    }

    private func isHit(_ edge: HeadraceProcess, _ target: String, _ fields: [String] = []) throws -> Bool {
        let response = try RawClient.get(port: edge.port, target, fields)
        return response.field("Cache-Status")?.contains("; hit") == true
    }

    // MARK: Who may

    @Test func `nobody may purge unless it is configured; it is refused, counted, and no business of the application's`() throws {
        let origin = try origin()
        let edge = try edge(origin, [])
        let response = try purge(edge)
        #expect(response.status == 405 && response.text.contains("purge-disabled"))
        #expect(response.field("Cache-Status")?.contains("detail=purge-disabled") == true)
        #expect(try purge(edge, method: "EXPLAIN").status == 405)
        #expect(origin.requestCount == 0)
        #expect(try edge.metric("headrace_response_cache_purges_refused_total{reason=\"purge-disabled\"}") == 2)
    }

    @Test func `a token is asked for where one is set`() throws {
        let origin = try origin()
        let token = FileManager.default.temporaryDirectory.appending(path: "token-\(UUID().uuidString)")
        try Data("hush\n".utf8).write(to: token)
        defer { try? FileManager.default.removeItem(at: token) }
        let edge = try edge(origin, ["--set", "edge.purge.token=file:\(token.path)"])
        #expect(try !isHit(edge, "/a"))
        for fields in [[], ["Headrace-Key: wrong"], ["Fastly-Key: hushh"], ["Authorization: Basic aHVzaA=="]] {
            let response = try purge(edge, "/a", fields)
            #expect(response.status == 403 && response.text.contains("purge-token"), "\(fields)")
        }
        #expect(try isHit(edge, "/a"))
        #expect(try purge(edge, "/a", ["Fastly-Key: hush"]).status == 200)
        #expect(try !isHit(edge, "/a"))
    }

    @Test func `a network that may not is refused`() throws {
        let origin = try origin()
        let edge = try edge(origin, ["--set", "edge.purge.clients=192.0.2.0/24"])
        #expect(try purge(edge).status == 403)
    }

    // MARK: What

    @Test func `a purge by URL drops all its variants, and effects every loop before it is answered`() throws {
        let origin = try ScriptedOrigin { request in
            [
                .send(
                    ScriptedOrigin.response(fields: ["Cache-Control: max-age=600", "Vary: Accept-Language"], body: request.field("Accept-Language") ?? ""))
            ]
        }
        let edge = try edge(origin)
        // Connections of both loops: they go to them in turn.
        let clients = try (0..<4).map { _ in try RawClient(port: edge.port) }
        func ask(_ client: RawClient, _ language: String) throws -> Bool {
            client.send("GET /a HTTP/1.1\r\nHost: a.example\r\nAccept-Language: \(language)\r\n\r\n")
            return try client.readResponse().field("Cache-Status")?.contains("; hit") == true
        }
        for round in 1...5 {
            for language in ["de", "en"] { for (index, client) in clients.enumerated() { #expect(try ask(client, language) == (index > 0)) } }
            let response = try purge(edge, "/a")
            #expect(response.status == 200 && response.text.contains("\"purged\":2"), "\(response.text)")
            #expect(origin.requestCount == 2 * round)
        }
        #expect(try edge.metric("headrace_response_cache_purges_total{kind=\"url\"}") == 5)
        #expect(try edge.metric("headrace_response_cache_purged_total") == 10)
    }

    @Test func `a change of one URL keeps nobody from joining the fetch of another, whatever its route's key has besides`() throws {
        let gates = ["/a": ScriptedOrigin.Gate(), "/b": ScriptedOrigin.Gate()]
        let origin = try ScriptedOrigin { request in
            let answer = ScriptedOrigin.Step.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=600"], body: "\(request.number)"))
            guard request.method == "GET", let gate = gates[request.target] else { return [answer] }
            return [.waitFor(gate), answer]
        }
        let edge = try edge(origin, Self.open + ["--set", "edge.cache.key.headers=X-Region"])
        func ask(_ target: String) throws -> RawClient {
            let client = try RawClient(port: edge.port)
            client.send("GET \(target) HTTP/1.1\r\nHost: a.example\r\nX-Region: north\r\n\r\n")
            return client
        }
        let first = [try ask("/a"), try ask("/b")]
        #expect(eventually { origin.requestCount == 2 })
        let post = try RawClient(port: edge.port)
        post.send("POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n")
        #expect(try post.readResponse().status == 200)
        // Twenty come after the change: those of /b to the fetch that is under way, the one of /a to a new one.
        let joining = try (0..<20).map { _ in try ask("/b") }
        let late = try ask("/a")
        #expect(eventually { origin.requestCount == 4 })
        for gate in gates.values { gate.open() }
        for client in first + joining + [late] { #expect(try client.readResponse().status == 200) }
        #expect(origin.requestCount == 4)
        #expect(origin.requests.filter { $0.target == "/b" }.count == 1)
        #expect(try RawClient.get(port: edge.port, "/a", ["X-Region: north"]).text == "3", "what began before the change is not stored")
        #expect(try isHit(edge, "/b", ["X-Region: north"]))
    }

    @Test(arguments: ["Surrogate-Key: article-7 front", "Cache-Tag: front,article-7", "xkey: article-7"])
    func `a purge by key drops what carries it; clients never see the keys`(field: String) throws {
        let origin = try ScriptedOrigin { request in
            let fields = ["Cache-Control: max-age=600"] + (request.target == "/7" ? [field] : ["Surrogate-Key: other"])
            return [.send(ScriptedOrigin.response(fields: fields, body: request.target))]
        }
        let edge = try edge(origin)
        for _ in 0..<2 {
            for target in ["/7", "/8"] {
                let response = try RawClient.get(port: edge.port, target)
                #expect(response.field("Surrogate-Key") == nil && response.field("Cache-Tag") == nil && response.field("xkey") == nil)
            }
        }
        #expect(try purge(edge, "/anything", ["Surrogate-Key: article-7 nobody"]).text.contains("\"purged\":1"))
        #expect(try !isHit(edge, "/7"))
        #expect(try isHit(edge, "/8"))
    }

    @Test func `an answer that passes through uncached shows no keys either`() throws {
        let origin = try origin(["Cache-Control: no-store", "Surrogate-Key: a"])
        let edge = try edge(origin)
        #expect(try RawClient.get(port: edge.port, "/").field("Surrogate-Key") == nil)
    }

    @Test func `more keys than are kept track of, and it is not stored`() throws {
        let origin = try origin(["Cache-Control: max-age=600", "Surrogate-Key: " + (0...256).map { "t\($0)" }.joined(separator: " ")])
        let edge = try edge(origin)
        let response = try RawClient.get(port: edge.port, "/")
        #expect(response.field("Cache-Status")?.contains("detail=tags") == true)
        #expect(try !isHit(edge, "/"))
    }

    @Test func `purges by prefix, by expression, and of everything`() throws {
        let origin = try origin()
        let edge = try edge(origin)
        let targets = ["/img/a.png", "/img/b.gif", "/list?page=2"]
        func fill() throws { for target in targets { _ = try isHit(edge, target) } }
        func left() throws -> [String] { try targets.filter { try isHit(edge, $0) } }
        try fill()
        #expect(try purge(edge, "/img/", ["Headrace-Purge: prefix"]).status == 200)
        #expect(try left() == ["/list?page=2"])
        #expect(try left() == targets, "they were fetched again, and the purge is over")
        #expect(try purge(edge, "/", ["Headrace-Purge-Regex: \\.(png|jpe?g)$|page=\\d"]).status == 200)
        #expect(try left() == ["/img/b.gif"])
        #expect(try purge(edge, "/", ["Headrace-Purge: all", "Headrace-Purge-Host: other.example"]).status == 200)
        #expect(try left() == targets)
        #expect(try purge(edge, "/", ["Headrace-Purge: all", "Headrace-Purge-Host: *"]).status == 200)
        #expect(try left() == [])
        #expect(try purge(edge, "/", ["Headrace-Purge-Regex: (a"]).status == 400)
    }

    @Test func `a soft purge leaves it to be revalidated`() throws {
        let origin = try ScriptedOrigin { request in
            let fields = ["Cache-Control: max-age=600", "ETag: \"v\""]
            return [.send(request.field("If-None-Match") == nil ? ScriptedOrigin.response(fields: fields, body: "x") : "HTTP/1.1 304 Not Modified\r\nETag: \"v\"\r\n\r\n")]
        }
        let edge = try edge(origin)
        _ = try isHit(edge, "/a")
        #expect(try purge(edge, "/a", ["Fastly-Soft-Purge: 1"]).text.contains("\"soft\":true"))
        let response = try RawClient.get(port: edge.port, "/a")
        #expect(response.field("Cache-Status")?.contains("fwd=stale") == true)
        #expect(origin.requests.last?.field("If-None-Match") == "\"v\"")
        #expect(try isHit(edge, "/a"))
    }

    @Test(arguments: [
        ["Surrogate-Key: k"], [], ["Headrace-Purge: prefix"], ["Headrace-Purge-Regex: ^/page$"], ["Headrace-Purge: all"], ["Surrogate-Key: k", "Fastly-Soft-Purge: 1"],
    ])
    func `a purge that overtakes a fetch in flight wins`(fields: [String]) throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { request in
            let answer = ScriptedOrigin.response(fields: ["Cache-Control: max-age=600", "Surrogate-Key: k"], body: "\(request.number)")
            return request.number == 0 ? [.waitFor(gate), .send(answer)] : [.send(answer)]
        }
        let edge = try edge(origin)
        let early = try RawClient(port: edge.port)
        early.send("GET /page HTTP/1.1\r\nHost: a.example\r\n\r\n")
        #expect(eventually { origin.requestCount == 1 })
        #expect(try purge(edge, "/page", fields).status == 200)
        // Who comes now waits for nothing that began before.
        let late = try RawClient.get(port: edge.port, "/page")
        #expect(late.text == "1")
        gate.open()
        #expect(try early.readResponse().text == "0")
        #expect(try RawClient.get(port: edge.port, "/page").text == "1", "what the purge was for is not stored over it")
        #expect(origin.requestCount == 2)
    }

    // MARK: Keys

    @Test func `a route's rules make one key of many requests, and many of one`() throws {
        let origin = try origin()
        let folder = FileManager.default.temporaryDirectory.appending(path: "key-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "headrace.yaml")
        try Data(
            """
            edge:
              purge: {clients: [127.0.0.1]}
              upstreams: {shop: {members: [\(origin.url)]}}
              routes:
                - match: {path: [/list]}
                  upstream: shop
                  cache: {key: {sort_query: true, ignore_query: [utm_*, fbclid]}}
                - match: {path: [/page]}
                  upstream: shop
                  cache: {key: {select_query: [id], cookies: [plan], headers: [X-Region], device: true}}
            """.utf8
        ).write(to: file)
        let edge = try HeadraceProcess(["--config", file.path])
        #expect(try !isHit(edge, "/list?b=2&a=1&utm_campaign=x"))
        #expect(try isHit(edge, "/list?a=1&fbclid=7&b=2"))
        #expect(origin.requests.last?.target == "/list?a=1&b=2")
        #expect(try !isHit(edge, "/list?a=1&b=3"))
        #expect(try purge(edge, "/list?fbclid=1&b=2&a=1").text.contains("\"purged\":1"))
        #expect(try !isHit(edge, "/list?a=1&b=2"))

        let phone = "User-Agent: Mozilla/5.0 (iPhone) Mobile"
        #expect(try !isHit(edge, "/page?id=1&x=2"))
        #expect(try isHit(edge, "/page?x=3&id=1", ["Cookie: session=secret"]))
        #expect(try !isHit(edge, "/page?id=1", ["Cookie: plan=pro"]))
        #expect(try !isHit(edge, "/page?id=1", ["X-Region: eu"]))
        #expect(try !isHit(edge, "/page?id=1", [phone]))
        #expect(origin.requests.last?.field("X-Device-Class") == "phone")
        #expect(try isHit(edge, "/page?id=1", [phone]))
        #expect(try purge(edge, "/page?id=1").text.contains("\"purged\":4"), "of all clients")
        #expect(try !isHit(edge, "/page?id=1", [phone]))
    }

    // MARK: Commands

    private func headrace(_ arguments: [String]) throws -> Command.Result {
        try Command.run("env", ["-C", FileManager.default.temporaryDirectory.path, "-u", "HEADRACE_CONFIG", HeadraceProcess.binary.path] + arguments)
    }

    @Test func `headrace purge asks the running edge`() throws {
        let origin = try origin(["Cache-Control: max-age=600", "Surrogate-Key: k"])
        let edge = try edge(origin)
        let to = ["--to", "127.0.0.1:\(edge.port)", "--app", origin.url]
        _ = try isHit(edge, "/a")
        #expect(try headrace(["purge", "http://a.example/a"] + to).text == "http://a.example/a: 1 response dropped\n")
        #expect(try !isHit(edge, "/a"))
        #expect(try headrace(["purge", "--key", "k", "--soft", "--json"] + to).text.contains("\"purged\":1"))
        for arguments in [["--prefix", "/"], ["--prefix", "http://a.example/a"], ["--regex", "^/a$"], ["--all", "--host", "a.example"]] {
            _ = try isHit(edge, "/a")
            #expect(try isHit(edge, "/a"))
            #expect(try headrace(["purge"] + arguments + to).status == 0)
            #expect(try !isHit(edge, "/a"), "\(arguments)")
        }
        #expect(try headrace(["purge"] + to).status == 64)
        #expect(try headrace(["purge", "--all", "--key", "k"] + to).status == 64)
        let closed = try self.edge(origin, [])
        let refused = try headrace(["purge", "--all", "--to", "127.0.0.1:\(closed.port)", "--app", origin.url])
        #expect(refused.status == 69 && refused.errors.contains("purge-disabled: set edge.purge.token"), "\(refused.errors)")
    }

    @Test func `headrace explain --stored says what the running edge has`() throws {
        let origin = try origin(["Cache-Control: max-age=600", "Surrogate-Key: article-7", "ETag: \"v\""])
        let edge = try edge(origin, Self.open + ["--set", "edge.cache.key.ignore_query=utm_*"])
        let to = ["--stored", "--to", "127.0.0.1:\(edge.port)", "--app", origin.url]
        #expect(try headrace(["explain", "http://a.example/a"] + to).text.contains("miss: uri-miss"))
        _ = try isHit(edge, "/a")
        let text = try headrace(["explain", "http://a.example/a?utm_x=1"] + to).text
        for part in ["hit", "a.example/a", "600 s", "fresh", "identity", "article-7", "first to make room"] { #expect(text.contains(part), "\(part): \(text)") }
        let json = try headrace(["explain", "http://a.example/a", "--json"] + to)
        let document = try #require(try JSONSerialization.jsonObject(with: json.output) as? [String: Any])
        #expect(document["decision"] as? String == "hit" && (document["variants"] as? [Any])?.count == 1)
        try purge(edge, "/a", ["Headrace-Soft-Purge: 1"])
        #expect(try headrace(["explain", "http://a.example/a"] + to).text.contains("stale: purged"))
        #expect(origin.requestCount == 1, "asking costs the application nothing")
    }

    @Test func `headrace warm has a sitemap's pages stored, and says what could not be`() throws {
        let origin = try ScriptedOrigin { request in
            switch request.target {
            case "/sitemap.xml":
                [.send(ScriptedOrigin.response(body: "<sitemapindex><sitemap><loc>http://shop.example/one.xml</loc></sitemap></sitemapindex>"))]
            case "/one.xml":
                [
                    .send(
                        ScriptedOrigin.response(
                            body: "<urlset>" + ["a", "b", "private", "gone"].map { "<url><loc>http://shop.example/\($0)</loc></url>" }.joined() + "</urlset>"))
                ]
            case "/private": [.send(ScriptedOrigin.response(fields: ["Cache-Control: private"], body: "x"))]
            case "/gone": [.send(ScriptedOrigin.response(status: "404 Not Found", body: "x"))]
            default: [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=600", "Vary: Accept-Language"], body: "x"))]
            }
        }
        let edge = try edge(origin)
        let result = try headrace([
            "warm", "--sitemap", "http://shop.example/sitemap.xml", "--to", "127.0.0.1:\(edge.port)", "--variant", "Accept-Language: de", "--concurrency", "3",
            "--rate", "200", "--json",
        ])
        let document = try #require(try JSONSerialization.jsonObject(with: result.output) as? [String: Any], "\(result.errors)")
        #expect(document["requests"] as? Int == 8 && document["stored"] as? Int == 4 && document["failed"] as? Int == 2, "\(result.text)")
        #expect(result.status == 1, "one page is gone")
        #expect(origin.requests.allSatisfy { $0.field("Host") == "shop.example" })
        for language in [[], ["Accept-Language: de"]] {
            let client = try RawClient(port: edge.port)
            client.send((["GET /a HTTP/1.1", "Host: shop.example"] + language).joined(separator: "\r\n") + "\r\n\r\n")
            let response = try client.readResponse()
            #expect(response.field("Cache-Status")?.contains("; hit") == true)
        }
    }

    @Test func `headrace warm takes what an access log asked for most`() throws {
        let origin = try origin()
        let edge = try edge(origin)
        let log = FileManager.default.temporaryDirectory.appending(path: "access-\(UUID().uuidString).log")
        defer { try? FileManager.default.removeItem(at: log) }
        let lines = ["/rare", "/often", "/often", "/post"].map { "192.0.2.1 - - [31/Jan/2026:12:00:00 +0000] \"\($0 == "/post" ? "POST" : "GET") \($0) HTTP/1.1\" 200 5" }
        try Data(lines.joined(separator: "\n").utf8).write(to: log)
        let result = try headrace(["warm", "--access-log", log.path, "--to", "127.0.0.1:\(edge.port)", "--top", "1"])
        #expect(result.status == 0 && result.text.contains("stored"), "\(result.text)\(result.errors)")
        #expect(origin.requests.map(\.target) == ["/often"])
    }
}
