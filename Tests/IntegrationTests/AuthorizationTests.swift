import Foundation
import TestSupport
import Testing

/// Who gets what a route gives, through the release binary.
@Suite struct AuthorizationTests {
    private static func edge(_ yaml: String) throws -> (HeadraceProcess, TemporaryFile) {
        let file = try TemporaryFile(yaml, name: "headrace.yaml")
        return (try HeadraceProcess(["--config", file.path]), file)
    }

    private static func ask(
        _ edge: HeadraceProcess, _ line: String = "GET / HTTP/1.1", _ fields: [String] = [], body: String = ""
    ) throws -> RawClient.Response {
        let head = ([line, "Host: a.example", "Connection: close"] + fields).joined(separator: "\r\n")
        return try RawClient.exchange(port: edge.port, "\(head)\r\n\r\n\(body)", hasBody: !line.hasPrefix("HEAD"))
    }

    private static func basic(_ credentials: String) -> String { "Authorization: Basic " + Data(credentials.utf8).base64EncodedString() }

    @Test func `a name and a password are asked for, before anything stored is given`() throws {
        // {SHA} of "secret", and bcrypt of "ünlü:x" at its lowest cost by htpasswd.
        let users = try TemporaryFile(
            "ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n" + (try Command.run("htpasswd", ["-nbB", "-C", "4", "bob", "ünlü:x"]).text))
        let origin = try ScriptedOrigin(fields: ["Cache-Control: public, max-age=600"], body: "page")
        let (edge, file) = try Self.edge(
            """
            edge:
              app: \(origin.url)
              routes:
                - {match: {header: {X-Open: "1"}}, upstream: app}
                - {match: {path: [/]}, upstream: app, basic_auth: {file: "\(users.path)", realm: "the shop"}}
            """)
        defer { _ = file }
        // What is stored by a route that is open to all is public, and still not for whoever does not log in.
        #expect(try Self.ask(edge, "GET / HTTP/1.1", ["X-Open: 1"]).text == "page")
        for _ in 0..<2 {
            #expect(try Self.ask(edge, "GET / HTTP/1.1", [Self.basic("ann:secret")]).text == "page")
            let refused = try Self.ask(edge)
            #expect(refused.status == 401)
            #expect(refused.field("WWW-Authenticate") == "Basic realm=\"the shop\", charset=\"UTF-8\"")
        }
        #expect(try Self.ask(edge, "GET / HTTP/1.1", [Self.basic("bob:ünlü:x")]).field("Cache-Status")?.contains("hit") == true)
        for wrong in ["ann:Secret", "ann:", "bob:secret", "eve:secret", "ann"] {
            #expect(try Self.ask(edge, "GET / HTTP/1.1", [Self.basic(wrong)]).status == 401)
        }
        // Who was found right is named in the log, and nobody else.
        let lines = try edge.logLines(atLeast: 11)
        #expect(lines.map { "\($0["status"] ?? "") \($0["user"] ?? "")" }.sorted() == Array(repeating: "200 ", count: 1) + ["200 ann", "200 ann", "200 bob"]
            + Array(repeating: "401 ", count: 7))
    }

    @Test func `a request's body waits for the password to be found right, and comes whole`() throws {
        let users = try TemporaryFile(try Command.run("htpasswd", ["-nbB", "-C", "8", "ann", "secret"]).text)
        let origin = try ScriptedOrigin { [.send(ScriptedOrigin.response(body: "\($0.body.utf8.count)"))] }
        let (edge, file) = try Self.edge(
            "edge:\n  app: \(origin.url)\n  routes:\n    - {upstream: app, basic_auth: {file: \"\(users.path)\"}}\n")
        defer { _ = file }
        let body = String(repeating: "x", count: 300_000)
        for _ in 0..<2 {
            let response = try Self.ask(
                edge, "POST / HTTP/1.1", [Self.basic("ann:secret"), "Content-Length: \(body.utf8.count)"], body: body)
            #expect(response.text == "300000")
        }
        #expect(try Self.ask(edge, "POST / HTTP/1.1", [Self.basic("ann:no"), "Content-Length: 3"], body: "abc").status == 401)
    }

    @Test func `another server's word decides, and its fields reach the application in the place of the client's`() throws {
        let judge = try ScriptedOrigin { request in
            switch request.field("Cookie") {
            case "user=ann": [.send(ScriptedOrigin.response(fields: ["X-User: ann"], body: "welcome"))]
            case "user=bob": [.send(ScriptedOrigin.response(fields: ["X-User: bob"], body: ""))]
            case "user=nameless": [.send(ScriptedOrigin.response(status: "204 No Content", body: ""))]
            case "user=eve": [.send(ScriptedOrigin.response(status: "403 Forbidden", fields: ["X-Why: eve"], body: "no"))]
            case "user=broken": [.send(ScriptedOrigin.response(status: "500 Oops", body: "oops"))]
            default: [.send(ScriptedOrigin.response(status: "302 Found", fields: ["Location: /login"], body: ""))]
            }
        }
        let origin = try ScriptedOrigin { request in
            [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=600"], body: request.field("X-User") ?? "nobody"))]
        }
        let (edge, file) = try Self.edge(
            """
            edge:
              app: \(origin.url)
              upstreams: {judge: "\(judge.url)"}
              routes:
                - match: {path: [/]}
                  upstream: app
                  forward_auth: {upstream: judge, path: /check, copy: [X-User]}
            """)
        defer { _ = file }
        func ask(_ user: String, _ line: String = "GET /page?q HTTP/1.1", _ fields: [String] = [], body: String = "") throws
            -> RawClient.Response
        {
            try Self.ask(edge, line, ["Cookie: user=\(user)", "X-User: root"] + fields, body: body)
        }
        for _ in 0..<2 {
            #expect(try ask("ann").text == "ann")
            #expect(try ask("bob").text == "bob")
        }
        #expect(try ask("nameless").text == "nobody")
        let denied = try ask("eve")
        #expect(denied.status == 403 && denied.text == "no" && denied.field("X-Why") == "eve")
        let sent = try ask("stranger")
        #expect(sent.status == 302 && sent.field("Location") == "/login")
        #expect(try ask("broken").status == 502)
        #expect(try ask("ann", "POST / HTTP/1.1", ["Content-Length: 3"], body: "abc").text == "ann")
        #expect(try ask("eve", "POST / HTTP/1.1", ["Content-Length: 3"], body: "abc").status == 403)
        #expect(origin.requests.last?.body == "abc")
        let asked = try #require(judge.requests.first)
        #expect(asked.head.hasPrefix("GET /check HTTP/1.1\r\n"))
        #expect(asked.field("X-Forwarded-Uri") == "/page?q" && asked.field("X-Forwarded-Method") == "GET")
        #expect(asked.field("X-Forwarded-For") == "127.0.0.1")
        #expect(judge.requests.allSatisfy { $0.body.isEmpty && $0.field("Content-Length") == nil })
    }

    @Test func `a server that gives no word lets nobody through`() throws {
        let gate = ScriptedOrigin.Gate()
        let judge = try ScriptedOrigin { _ in [.waitFor(gate), .close] }
        let origin = try ScriptedOrigin(body: "page")
        let (edge, file) = try Self.edge(
            """
            edge:
              app: \(origin.url)
              upstreams: {silent: "\(judge.url)", gone: "http://127.0.0.1:1"}
              routes:
                - {match: {path: [/silent]}, upstream: app, forward_auth: {upstream: silent, timeout: 300ms}}
                - {match: {path: [/gone]}, upstream: app, forward_auth: {upstream: gone}}
            """)
        defer { _ = file }
        #expect(try Self.ask(edge, "GET /silent HTTP/1.1").status == 504)
        #expect(try Self.ask(edge, "GET /gone HTTP/1.1").status == 502)
        gate.open()
        #expect(origin.requestCount == 0)
    }

    @Test func `in maintenance everybody gets the page, but for those who are excepted`() throws {
        let page = try TemporaryFile("<p>back soon</p>", name: "page.html")
        let origin = try ScriptedOrigin(body: "page")
        let (edge, file) = try Self.edge(
            """
            edge:
              app: \(origin.url)
              forwarded: {trusted: [127.0.0.1]}
              routes:
                - match: {path: [/]}
                  upstream: app
                  maintenance: {enabled: true, page: "\(page.path)", retry_after: 2m, except: [10.0.0.0/8]}
            """)
        defer { _ = file }
        let response = try Self.ask(edge)
        #expect(response.status == 503 && response.text == "<p>back soon</p>" && response.field("Retry-After") == "120")
        #expect(try Self.ask(edge, "GET / HTTP/1.1", ["X-Forwarded-For: 10.1.1.1"]).text == "page")
        #expect(try Self.ask(edge, "GET / HTTP/1.1", ["X-Forwarded-For: 11.1.1.1"]).status == 503)
    }

    @Test func `the client behind a trusted proxy is the client, in routes, log and metrics`() throws {
        let origin = try ScriptedOrigin { [.send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: $0.field("Forwarded") ?? ""))] }
        let (edge, file) = try Self.edge(
            """
            edge:
              app: \(origin.url)
              forwarded: {trusted: [127.0.0.0/8]}
              routes:
                - {match: {client: [203.0.113.0/24]}, respond: {status: 403}}
            """)
        defer { _ = file }
        #expect(try Self.ask(edge, "GET / HTTP/1.1", ["X-Forwarded-For: 203.0.113.7"]).status == 403)
        let passed = try Self.ask(edge, "GET / HTTP/1.1", ["X-Forwarded-For: 198.51.100.1", "X-Forwarded-Proto: https"])
        #expect(passed.text == "for=198.51.100.1;proto=https;host=\"a.example\", for=127.0.0.1")
        // The proxy is on this machine, whoever is behind it is not.
        #expect(!(try Self.ask(edge, "GET /metrics HTTP/1.1", ["X-Forwarded-For: 198.51.100.1"]).text.contains("headrace_edge_")))
        let lines = try edge.logLines(atLeast: 3)
        #expect(lines.compactMap { $0["client"] as? String }.sorted() == ["198.51.100.1", "198.51.100.1", "203.0.113.7"])
    }

    @Test func `who asks more often than a route lets is told when to come again, before a password and past the cache`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: public, max-age=600"], body: "page")
        let (edge, file) = try Self.edge(
            """
            edge:
              app: \(origin.url)
              routes:
                - {match: {path: [/limited]}, upstream: app, limits: {rate: 2/h, burst: 3, per: "header:X-Api-Key"}}
            """)
        defer { _ = file }
        for left in [2, 1, 0] {
            let response = try Self.ask(edge, "GET /limited HTTP/1.1", ["X-Api-Key: one"])
            #expect(response.text == "page" && response.field("RateLimit") == "\"client\";r=\(left)")
            #expect(response.field("RateLimit-Policy") == "\"client\";q=3;w=5400")
        }
        for _ in 0..<2 {
            let refused = try Self.ask(edge, "GET /limited HTTP/1.1", ["X-Api-Key: one"])
            let wait = Int(refused.field("Retry-After") ?? "") ?? 0
            #expect(refused.status == 429 && (1700...1800).contains(wait), "\(wait)")
            #expect(refused.field("RateLimit") == "\"client\";r=0;t=\(wait)" && refused.field("Cache-Status")?.contains("detail=rate-limit") == true)
        }
        #expect(try Self.ask(edge, "GET /limited HTTP/1.1", ["X-Api-Key: two"]).status == 200, "another client has its own")
        let free = try Self.ask(edge, "GET /other HTTP/1.1", ["X-Api-Key: one"])
        #expect(free.status == 200 && free.field("RateLimit") == nil, "another route has no limit")
        #expect(origin.requestCount == 2, "what is refused asks nobody, and hits are counted, too")

        // The buckets live on over a reload that leaves the limit as it was.
        try Data(try String(contentsOfFile: file.path, encoding: .utf8).replacing("edge:\n", with: "edge:\n  access_log_sample: 50%\n").utf8).write(to: URL(filePath: file.path))
        kill(edge.processIdentifier, SIGHUP)
        #expect(eventually { edge.errorOutput.contains("edge.access_log_sample") })
        #expect(try Self.ask(edge, "GET /limited HTTP/1.1", ["X-Api-Key: one"]).status == 429)
        let explained = try Command.run(
            "env", [HeadraceProcess.binary.path, "explain", "http://a.example/limited", "--config", file.path])
        #expect(explained.text.contains("2 in 3600 s for each value of X-Api-Key, 3 of them at once; 429 beyond"), "\(explained.text)\(explained.errors)")
    }

    @Test func `addresses that may not are told so, as a trusted proxy names them, and a denied one though it be allowed`() throws {
        let origin = try ScriptedOrigin(body: "page")
        let (edge, file) = try Self.edge(
            """
            edge:
              app: \(origin.url)
              forwarded: {trusted: [127.0.0.1]}
              routes:
                - {match: {path: [/staff]}, upstream: app, clients: {allow: [10.0.0.0/8, "2001:db8::/32"], deny: [10.6.6.6]}}
            """)
        defer { _ = file }
        for (client, status) in [
            ("10.1.2.3", 200), ("2001:db8::7", 200), ("10.6.6.6", 403), ("192.0.2.1", 403), ("::ffff:10.6.6.6", 403), ("2001:db9::1", 403),
        ] {
            let response = try Self.ask(edge, "GET /staff HTTP/1.1", ["X-Forwarded-For: \(client)"])
            #expect(response.status == status, "\(client)")
            if status == 403 { #expect(response.field("Cache-Status")?.contains("detail=client-denied") == true) }
        }
        #expect(try Self.ask(edge, "GET /staff HTTP/1.1").status == 403, "the proxy itself is nobody who is allowed")
        #expect(try Self.ask(edge, "GET /else HTTP/1.1", ["X-Forwarded-For: 192.0.2.1"]).status == 200)
    }
}
