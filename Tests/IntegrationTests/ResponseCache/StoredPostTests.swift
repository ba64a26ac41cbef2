import TestSupport
import Testing

/// What a POST brings, kept for those who GET its URL: RFC 9110 §9.3.3.
@Suite struct StoredPostTests {
    private let file: TemporaryFile
    private let origin: ScriptedOrigin
    private let edge: HeadraceProcess

    /// - Parameter stores: what the route says.
    private init(stores: Bool = true, _ script: @escaping ScriptedOrigin.Script) throws {
        origin = try ScriptedOrigin(script)
        file = try TemporaryFile(
            """
            edge:
              purge: {clients: [127.0.0.1]}
              upstreams: {shop: {members: [\(origin.url)]}}
              routes:
                - match: {path: [/]}
                  upstream: shop
                  cache: {store_post: \(stores), key: {ignore_query: [utm_*]}}
            """, name: "headrace.yaml")
        edge = try HeadraceProcess(["--config", file.path])
    }

    init() throws {
        try self.init { request in
            let fields = ["Cache-Control: max-age=600", "Content-Location: /a", "Vary: Accept-Language"]
            return [.send(ScriptedOrigin.response(fields: fields, body: "\(request.method) \(request.number)"))]
        }
    }

    private func send(_ method: String, _ target: String, _ fields: [String] = [], host: String = "a.example") throws -> RawClient.Response {
        let lines = ["\(method) \(target) HTTP/1.1", "Host: \(host)", "Content-Length: 3"] + fields
        return try RawClient.exchange(port: edge.port, lines.joined(separator: "\r\n") + "\r\n\r\nx=1")
    }

    @Test func `its answer is what GET and HEAD get, for its variant, until the next POST, which is always asked`() throws {
        #expect(try RawClient.get(port: edge.port, "/a").text == "GET 0")
        let posted = try send("POST", "/a")
        #expect(posted.text == "POST 1" && posted.field("Cache-Status") == "headrace; fwd=method; stored; detail=method")
        let got = try RawClient.get(port: edge.port, "/a")
        #expect(got.text == "POST 1" && got.field("Cache-Status")?.contains("; hit") == true && got.field("Content-Location") == "/a")
        #expect(try RawClient.get(port: edge.port, "/a", ["Accept-Language: de"]).text == "GET 2")
        #expect(try send("POST", "/a").text == "POST 3", "a POST is never answered from the store")
        #expect(try RawClient.get(port: edge.port, "/a").text == "POST 3")
        #expect(try RawClient.get(port: edge.port, "/a", ["Accept-Language: de"]).text == "GET 4", "its change has dropped the other variants")
    }

    @Test func `unless the route says so, it is not kept`() throws {
        let test = try StoredPostTests(stores: false) { request in
            let fields = ["Cache-Control: max-age=600", "Content-Location: /a"]
            return [.send(ScriptedOrigin.response(fields: fields, body: "\(request.method) \(request.number)"))]
        }
        #expect(try test.send("POST", "/a").field("Cache-Status") == "headrace; fwd=method; detail=method")
        #expect(try RawClient.get(port: test.edge.port, "/a").text == "GET 1")
    }

    /// Each with a reason not to be kept.
    @Test(arguments: [
        ("200 OK", "Content-Location: /b"), ("200 OK", "X: no Content-Location"), ("200 OK", "Content-Location: http://b.example/a"),
        ("200 OK", "Content-Location: /a?x"), ("200 OK", "Content-Location: /a\r\nCache-Control: private"), ("201 Created", "Content-Location: /a"),
        ("200 OK", "Content-Location: /a\r\nContent-Location: /a"), ("200 OK", "Content-Location: /a\r\nSet-Cookie: a=b"),
        ("200 OK", "Content-Location: /a\r\nVary: *"), ("404 Not Found", "Content-Location: /a"),
    ])
    func `what does not say that it is the resource itself, for everybody, is not kept`(status: String, fields: String) throws {
        let test = try StoredPostTests { request in
            [.send(ScriptedOrigin.response(status: status, fields: ["Cache-Control: max-age=600", fields], body: request.method))]
        }
        #expect(try test.send("POST", "/a").text == "POST")
        #expect(try RawClient.get(port: test.edge.port, "/a").text == "GET", "\(fields)")
    }

    /// Each is passed on as it is with a POST, and would not be with a GET that fills the store.
    @Test(arguments: [
        ["X-Forwarded-Port: 666"], ["X_Custom: 1"], ["Connection: Accept-Language", "Accept-Language: de"], ["If-Match: \"a\""], ["Range: bytes=0-1"],
        ["Cache-Control: no-store"], ["Authorization: Basic x"],
    ])
    func `what was asked in a way of its own is not kept`(fields: [String]) throws {
        #expect(try send("POST", "/a", fields).text.hasPrefix("POST"))
        #expect(try RawClient.get(port: edge.port, "/a").text == "GET 1", "\(fields)")
    }

    @Test func `nor is what another spelling of the host or the query made`() throws {
        _ = try send("POST", "/a", host: "A.example")
        #expect(try RawClient.get(port: edge.port, "/a").text == "GET 1")
        _ = try send("POST", "/a?utm_x=1")
        #expect(try RawClient.get(port: edge.port, "/a").text != "POST 2")
    }

    @Test(arguments: ["DELETE", "PURGE"]) func `a change that overtakes it wins`(method: String) throws {
        let gate = ScriptedOrigin.Gate()
        let test = try StoredPostTests { request in
            let fields = ["Cache-Control: max-age=600", "Content-Location: /a"]
            let answer = ScriptedOrigin.response(fields: fields, body: "\(request.method) \(request.number)")
            guard request.method == "POST" else { return [.send(answer)] }
            return [.send(String(answer.dropLast(3))), .waitFor(gate), .send(String(answer.suffix(3)))]
        }
        let client = try RawClient(port: test.edge.port)
        client.send("POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n")
        // Its head is here and has changed what it changes, when the first bytes of its body are.
        #expect(eventually { client.peek().contains("POS") })
        _ = try RawClient.exchange(port: test.edge.port, "\(method) /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n")
        gate.open()
        #expect(try client.readResponse().text == "POST 0")
        #expect(try RawClient.get(port: test.edge.port, "/a").text.hasPrefix("GET"))
    }

    @Test func `without a lifetime it is not kept, a validator is not enough`() throws {
        let test = try StoredPostTests { request in
            [.send(ScriptedOrigin.response(fields: ["Content-Location: /a", "ETag: \"a\""], body: request.method))]
        }
        _ = try test.send("POST", "/a")
        #expect(try RawClient.get(port: test.edge.port, "/a").text == "GET")
    }
}
