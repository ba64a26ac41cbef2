import Foundation
import Synchronization
import TestSupport
import Testing

/// The response cache as a client and an application see it: what is kept, for whom, for how long, and what is said about it.
@Suite struct CacheTests {
    private func edge(_ origin: ScriptedOrigin, _ more: [String] = []) throws -> HeadraceProcess {
        try HeadraceProcess(["--app", origin.url] + more)
    }

    /// GETs twice, and says how often the application was asked.
    private func fetches(_ fields: [String], status: String = "200 OK", request: [String] = []) throws -> Int {
        let origin = try ScriptedOrigin(status: status, fields: fields, body: "hello")
        let edge = try edge(origin)
        for _ in 0..<2 { #expect(try RawClient.get(port: edge.port, "/", request).text == "hello") }
        return origin.requestCount
    }

    private static func date(_ seconds: Double) -> String {
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(identifier: "GMT")
        format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        return format.string(from: Date().addingTimeInterval(seconds))
    }

    @Test(arguments: [
        ["Cache-Control: max-age=60"], ["Cache-Control: s-maxage=60"], ["Cache-Control: max-age=0, s-maxage=60"],
        ["Date: \(date(0))", "Expires: \(date(3600))"], ["Cache-Control: public, max-age=60"],
        ["Cache-Control: max-age=60", "Expires: 0"],
    ])
    func `what the application says is fresh is asked for once`(fields: [String]) throws {
        #expect(try fetches(fields) == 1)
    }

    @Test(arguments: [
        ["Cache-Control: no-store"], ["Cache-Control: private, max-age=60"], ["Cache-Control: max-age=60", "Set-Cookie: a=b"], [],
        ["Cache-Control: max-age=60", "Vary: *"], ["Cache-Control: max-age=60, s-maxage=0"], ["Cache-Control: max-age=x"],
        ["Date: \(date(0))", "Expires: \(date(-60))"], ["Expires: nonsense"], ["Cache-Control: max-age=60", "Age: 60"],
        ["Cache-Control: no-cache", "ETag: \"a\""],
    ])
    func `what it does not is asked for each time`(fields: [String]) throws {
        #expect(try fetches(fields) == 2)
    }

    @Test func `a page behind credentials is kept only if it is for everybody (RFC 9111 §3.5)`() throws {
        let authorization = ["Authorization: Basic eDp5"]
        #expect(try fetches(["Cache-Control: max-age=60"], request: authorization) == 2)
        let origin = try ScriptedOrigin(fields: ["Cache-Control: public, max-age=60"], body: "x")
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/")
        #expect(try RawClient.get(port: edge.port, "/", authorization).field("Cache-Status")?.contains("; hit") == true)
        #expect(origin.requestCount == 1)
    }

    @Test func `a request that may not be answered from the store takes nothing from those that may`() throws {
        let page = String(repeating: "<p>the same again</p>", count: 100)
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=60", "Content-Type: text/html"], body: page)
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/")
        _ = try RawClient.get(port: edge.port, "/", ["Accept-Encoding: gzip", "Authorization: Basic eDp5"])
        #expect(try RawClient.get(port: edge.port, "/", ["Accept-Encoding: gzip"]).field("Content-Encoding") == "gzip")
    }

    @Test(arguments: ["301 Moved Permanently", "404 Not Found", "410 Gone"])
    func `other statuses are kept as the application says`(status: String) throws {
        #expect(try fetches(["Cache-Control: max-age=60"], status: status) == 1)
        #expect(try fetches(["ETag: \"a\""], status: status) == 2)
    }

    @Test func `a freshness that is over is over`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=1"], body: "x")
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/")
        let hit = try RawClient.get(port: edge.port, "/")
        #expect(hit.field("Age") == "0" && hit.field("Cache-Status") == "headrace; hit; ttl=1")
        #expect(try eventually { try RawClient.get(port: edge.port, "/").field("Cache-Status")?.contains("fwd=stale") == true })
        #expect(origin.requestCount == 2)
    }

    @Test func `a response varies by what it names, and by nothing else`() throws {
        let origin = try ScriptedOrigin { request in
            [
                .send(
                    ScriptedOrigin.response(
                        fields: ["Cache-Control: max-age=60", "Vary: Accept-Language"],
                        body: request.field("Accept-Language") ?? "none"))
            ]
        }
        let edge = try edge(origin)
        for _ in 0..<2 {
            for language in ["de", "en"] {
                for agent in ["a", "b"] {
                    let response = try RawClient.get(
                        port: edge.port, "/", ["Accept-Language: \(language)", "User-Agent: \(agent)"])
                    #expect(response.text == language)
                }
            }
            #expect(try RawClient.get(port: edge.port, "/").text == "none")
        }
        #expect(origin.requestCount == 3)
    }

    @Test(arguments: [[], ["Vary: Accept-Encoding"]])
    func `five spellings of gzip are one variant and one fetch`(vary: [String]) throws {
        let page = String(repeating: "<p>the same again</p>", count: 100)
        let origin = try ScriptedOrigin(
            fields: ["Cache-Control: max-age=60", "Content-Type: text/html", "ETag: \"v\""] + vary, body: page)
        let edge = try edge(origin)
        var tags: Set<String> = []
        for spelling in ["gzip", "GZIP", " gzip ;q=1.0", "deflate;q=0.5, gzip;q=0.8, x-new", "x-gzip, identity;q=0"] {
            let response = try RawClient.get(port: edge.port, "/", ["Accept-Encoding: \(spelling)"])
            #expect(response.field("Content-Encoding") == "gzip", "\(spelling)")
            #expect(response.field("Vary") == "Accept-Encoding")
            tags.insert(response.field("ETag") ?? "")
        }
        #expect(origin.requestCount == 1)
        #expect(tags.isSubset(of: ["\"v~gz1\"", "\"v~gz\""]), "the fast one, and perhaps the better one that replaced it")
        #expect(try edge.metric("headrace_response_cache_entries") == 1)
    }

    @Test func `fifty simultaneous misses are one fetch`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { _ in
            [.waitFor(gate), .send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=60"], body: "once"))]
        }
        let edge = try edge(origin)
        let clients = try (0..<50).map { _ in try RawClient(port: edge.port) }
        for client in clients { client.send("GET /page HTTP/1.1\r\nHost: a\r\n\r\n") }
        #expect(try eventually { try edge.metric("headrace_edge_connections") >= 51 && origin.requestCount > 0 })
        gate.open()
        var collapsed = 0
        for client in clients {
            let response = try client.readResponse()
            #expect(response.text == "once")
            if response.field("Cache-Status")?.contains("collapsed") == true { collapsed += 1 }
        }
        #expect(origin.requestCount == 1)
        #expect(collapsed > 0)
    }

    @Test func `those who waited for what cannot be shared are all served, and each with an answer of its own`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { request in
            [.waitFor(gate), .send(ScriptedOrigin.response(fields: ["Cache-Control: private"], body: "\(request.number)"))]
        }
        let edge = try edge(origin)
        let clients = try (0..<20).map { _ in try RawClient(port: edge.port) }
        for client in clients { client.send("GET /page HTTP/1.1\r\nHost: a\r\n\r\n") }
        #expect(try eventually { try edge.metric("headrace_edge_connections") >= 21 && origin.requestCount > 0 })
        gate.open()
        #expect(Set(try clients.map { try $0.readResponse().text }).count == 20)
    }

    @Test func `a leader that fails tells those who wait, without a stampede`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { _ in [.waitFor(gate), .close] }
        let edge = try edge(origin)
        let clients = try (0..<20).map { _ in try RawClient(port: edge.port) }
        for client in clients { client.send("GET /page HTTP/1.1\r\nHost: a\r\n\r\n") }
        #expect(try eventually { try edge.metric("headrace_edge_connections") >= 21 && origin.requestCount > 0 })
        gate.open()
        for client in clients { #expect(try client.readResponse().status == 502) }
        #expect(origin.requestCount < 5)
    }

    @Test func `a leader's client that leaves does not take the others' answer along`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { _ in
            [.waitFor(gate), .send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=60"], body: "once"))]
        }
        let edge = try edge(origin)
        let (leader, follower) = (try RawClient(port: edge.port), try RawClient(port: edge.port))
        leader.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(eventually { origin.requestCount == 1 })
        follower.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        leader.reset()
        #expect(try edge.logLines(atLeast: 1).first?["detail"] as? String == "client-gone")
        gate.open()
        #expect(try follower.readResponse().text == "once")
        #expect(origin.requestCount == 1)
    }

    // MARK: Revalidation

    /// An application whose page is fresh for a second and has a validator.
    private func validated(_ validator: String, page: String, _ more: [String] = []) throws -> ScriptedOrigin {
        let name = validator.hasPrefix("ETag") ? "If-None-Match" : "If-Modified-Since"
        let value = validator.split(separator: " ", maxSplits: 1).last.map(String.init)
        return try ScriptedOrigin { request in
            request.field(name) == value
                ? [
                    .send(
                        "HTTP/1.1 304 Not Modified\r\n\(validator)\r\nCache-Control: max-age=1\r\nX-Confirmed: \(request.number)\r\n\r\n"
                    )
                ]
                : [
                    .send(
                        ScriptedOrigin.response(
                            fields: [validator, "Cache-Control: max-age=1", "Content-Type: text/html"] + more, body: page))
                ]
        }
    }

    @Test(
        arguments: ["ETag: \"v1\"", "ETag: W/\"v1\"", "Last-Modified: Sat, 31 Jan 2026 12:00:00 GMT"],
        ["identity", "gzip", "br", "zstd"])
    func `a confirmed response is the same in every coding as it was`(validator: String, coding: String) throws {
        let page = String(repeating: "<p>the same again</p>", count: 200)
        let origin = try validated(validator, page: page)
        let edge = try edge(origin)
        let fields = ["Accept-Encoding: \(coding)"]
        let first = try RawClient.get(port: edge.port, "/", fields)
        #expect(try Decoded.text(first) == page)
        var confirmed: RawClient.Response?
        let isConfirmed = try eventually {
            let response = try RawClient.get(port: edge.port, "/", fields)
            confirmed = response
            return response.field("Cache-Status")?.contains("fwd-status=304") == true
        }
        #expect(isConfirmed)
        let response = try #require(confirmed)
        #expect(response.status == 200 && response.field("X-Confirmed") == "1")
        #expect(try Decoded.text(response) == page)
        #expect(response.field("Content-Encoding") == first.field("Content-Encoding"))
        for other in ["identity", "gzip", "br", "zstd"] {
            #expect(try Decoded.text(RawClient.get(port: edge.port, "/", ["Accept-Encoding: \(other)"])) == page, "\(other)")
        }
        #expect(origin.requests[1].field("Accept-Encoding") == "identity")
    }

    @Test func `a confirmation that forbids keeping lets everybody go on`() throws {
        let origin = try ScriptedOrigin { request in
            request.field("If-None-Match") == "\"v1\""
                ? [.send("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: no-store\r\n\r\n")]
                : [.send(ScriptedOrigin.response(fields: ["ETag: \"v1\"", "Cache-Control: no-cache"], body: "page"))]
        }
        let edge = try edge(origin)
        for _ in 0..<4 { #expect(try RawClient.get(port: edge.port, "/").text == "page") }
    }

    @Test func `a changed response replaces the stale one`() throws {
        let origin = try ScriptedOrigin { request in
            [
                .send(
                    ScriptedOrigin.response(
                        fields: ["ETag: \"v\(request.number)\"", "Cache-Control: no-cache"], body: "page \(request.number)"))
            ]
        }
        let edge = try edge(origin)
        for number in 0..<3 { #expect(try RawClient.get(port: edge.port, "/").text == "page \(number)") }
        #expect(origin.requests.map { $0.field("If-None-Match") ?? "" } == ["", "\"v0\"", "\"v1\""])
    }

    @Test func `a client's own condition is answered from the store`() throws {
        let page = String(repeating: "<p>the same again</p>", count: 100)
        let origin = try ScriptedOrigin(
            fields: ["ETag: \"v\"", "Cache-Control: max-age=60", "Content-Type: text/html"], body: page)
        let edge = try edge(origin)
        let first = try RawClient.get(port: edge.port, "/", ["Accept-Encoding: gzip"])
        let tag = try #require(first.field("ETag"))
        let second = try RawClient.get(port: edge.port, "/", ["Accept-Encoding: gzip", "If-None-Match: \(tag)"])
        #expect(second.status == 304 && second.field("ETag") == tag && second.field("Cache-Status")?.contains("; hit") == true)
        #expect(second.field("Content-Length") == nil)
        #expect(try RawClient.get(port: edge.port, "/", ["If-None-Match: \"other\""]).status == 200)
        #expect(try RawClient.get(port: edge.port, "/", ["If-Match: \"other\""]).status == 412)
        #expect(origin.requestCount == 1)
    }

    @Test func `a reload asks the application, and says so`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=60"], body: "x")
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/")
        let reload = try RawClient.get(port: edge.port, "/", ["Cache-Control: no-cache"])
        #expect(reload.field("Cache-Status") == "headrace; fwd=request; stored; detail=request-no-cache")
        #expect(origin.requestCount == 2)
        #expect(try RawClient.get(port: edge.port, "/", ["Cache-Control: only-if-cached"]).status == 200)
        #expect(try RawClient.get(port: edge.port, "/other", ["Cache-Control: only-if-cached"]).status == 504)
        #expect(origin.requestCount == 2)
    }

    // MARK: Invalidation

    @Test(arguments: [
        ("POST", "200 OK", 2), ("PUT", "204 No Content", 2), ("DELETE", "303 See Other", 2), ("POST", "500 Oops", 1),
        ("OPTIONS", "200 OK", 1),
    ])
    func `a change through the edge makes the stored copy useless (RFC 9111 §4.4)`(method: String, status: String, fetches: Int)
        throws
    {
        let origin = try ScriptedOrigin { request in
            request.method == "GET"
                ? [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=60"], body: "x"))]
                : [.send("HTTP/1.1 \(status)\r\n" + (status.hasPrefix("204") ? "\r\n" : "Content-Length: 0\r\n\r\n"))]
        }
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/a")
        _ = try RawClient.exchange(port: edge.port, "\(method) /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n")
        _ = try RawClient.get(port: edge.port, "/a")
        #expect(origin.requests.filter { $0.method == "GET" }.count == fetches)
    }

    // MARK: What is said, and what is not cached

    @Test func `every answer says how it came about and how long it took`() throws {
        let origin = try ScriptedOrigin { request in
            switch request.target {
            case "/kept": [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=60"], body: "x"))]
            case "/private": [.send(ScriptedOrigin.response(fields: ["Cache-Control: private"], body: "x"))]
            case "/gone": [.close]
            default: [.send(ScriptedOrigin.response(body: "x"))]
            }
        }
        let edge = try edge(origin)
        let expected: [(String, [String], String)] = [
            ("/kept", [], "headrace; fwd=uri-miss; stored"), ("/kept", [], "headrace; hit; ttl=60"),
            ("/private", [], "headrace; fwd=uri-miss; detail=private"),
            ("/plain", [], "headrace; fwd=uri-miss; detail=no-lifetime"),
            ("/gone", [], "headrace; fwd=uri-miss; detail=closed-early"),
            ("/kept2", ["Content-Length: 1"], "headrace; fwd=bypass; detail=request-body"),
        ]
        for (target, fields, value) in expected {
            let body = fields.isEmpty ? "" : "x"
            let lines = ["GET \(target) HTTP/1.1", "Host: a"] + fields
            let response = try RawClient.exchange(port: edge.port, lines.joined(separator: "\r\n") + "\r\n\r\n" + body)
            #expect(response.field("Cache-Status")?.replacing("ttl=59", with: "ttl=60") == value, "\(target)")
            let timing = try #require(response.field("Server-Timing"))
            #expect(try timing.wholeMatch(of: ServerTiming.form) != nil, "\(timing)")
            #expect(timing.contains("first_byte;") == !value.contains("hit"), "\(target): \(timing)")
        }
        let post = try RawClient.exchange(port: edge.port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        #expect(post.field("Cache-Status") == "headrace; fwd=method; detail=method")
    }

    @Test func `what is fetched past the store says why each time, by its own fields`() throws {
        let origin = try ScriptedOrigin { request in
            let control = switch request.target {
            case "/private": "private"
            case "/no-store": "no-store"
            case "/public": "public, max-age=60"
            default: "max-age=60"
            }
            if request.method == "HEAD" { return [.send("HTTP/1.1 200 OK\r\nCache-Control: \(control)\r\nContent-Length: 1\r\n\r\n")] }
            if request.field("If-None-Match") != nil { return [.send("HTTP/1.1 304 Not Modified\r\nCache-Control: \(control)\r\n\r\n")] }
            return [.send(ScriptedOrigin.response(fields: ["Cache-Control: \(control)"], body: "x"))]
        }
        let edge = try edge(origin)
        let credentials = "Authorization: Basic eDp5"
        let rows: [(String, [String], String)] = [
            ("GET /private", [], "; detail=private"), ("GET /private", [], "; detail=private"), ("HEAD /private", [], "; detail=private"),
            ("GET /no-store", [], "; detail=no-store"), ("GET /no-store", ["If-None-Match: \"a\""], "; detail=no-store"), ("HEAD /no-store", [], "; detail=no-store"),
            ("GET /public", [credentials], "; detail=authorization"), ("GET /public", [credentials], "; detail=authorization"),
            ("GET /plain", [credentials], "; detail=authorization"), ("HEAD /plain", [], ""), ("GET /private", [credentials], "; detail=private"),
        ]
        for (line, fields, expected) in rows {
            let text = (["\(line) HTTP/1.1", "Host: a"] + fields).joined(separator: "\r\n") + "\r\n\r\n"
            let hasBody = line.hasPrefix("GET") && fields.first?.hasPrefix("If-") != true
            let response = try RawClient.exchange(port: edge.port, text, hasBody: hasBody)
            #expect(response.field("Cache-Status") == "headrace; fwd=uri-miss" + expected, "\(line) \(fields)")
        }
        #expect(try edge.logLines(atLeast: 11).count { $0["detail"] == nil } == 1)
    }

    @Test func `HEAD is answered from what GET stored, and fills nothing itself`() throws {
        let origin = try ScriptedOrigin { request in
            [
                .send(
                    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\n"
                        + (request.method == "GET" ? "hello" : ""))
            ]
        }
        let edge = try edge(origin)
        for _ in 0..<2 {
            #expect(
                try RawClient.exchange(port: edge.port, "HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n", hasBody: false).field(
                    "Content-Length") == "5")
        }
        #expect(origin.requestCount == 2)
        _ = try RawClient.get(port: edge.port, "/")
        let head = try RawClient.exchange(port: edge.port, "HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n", hasBody: false)
        #expect(head.field("Content-Length") == "5" && head.field("Cache-Status")?.contains("; hit") == true)
        #expect(origin.requestCount == 3)
    }

    @Test func `what is larger than may be kept passes whole, each time`() throws {
        let body = String(repeating: "0123456789abcdef", count: 8 << 10)
        let origin = try ScriptedOrigin { request in
            request.target == "/counted"
                ? [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=60"], body: body))]
                : [.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n")]
                    + (0..<8).map { _ in .send("4000\r\n\(body.prefix(0x4000))\r\n") } + [.send("0\r\n\r\n")]
        }
        let edge = try edge(origin, ["--set", "edge.cache.max_object_size=100KB"])
        for target in ["/counted", "/chunked"] {
            for _ in 0..<2 { #expect(try RawClient.get(port: edge.port, target).body.count == body.utf8.count) }
        }
        #expect(origin.requestCount == 4)
    }

    @Test func `a chunked response is kept whole, and served by its length`() throws {
        let origin = try ScriptedOrigin { _ in
            [.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")]
        }
        let edge = try edge(origin)
        #expect(try RawClient.get(port: edge.port, "/").text == "hello")
        let hit = try RawClient.get(port: edge.port, "/")
        #expect(hit.text == "hello" && hit.field("Content-Length") == "5" && origin.requestCount == 1)
    }

    @Test func `a response that ends with its connection is not kept: a broken one looks the same`() throws {
        let origin = try ScriptedOrigin { _ in [.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\nhello"), .close] }
        let edge = try edge(origin)
        for _ in 0..<2 { #expect(try RawClient.get(port: edge.port, "/").text == "hello") }
        #expect(origin.requestCount == 2)
    }

    @Test func `a GET that announces an empty body is one like the others`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=60"], body: "x")
        let edge = try edge(origin)
        let client = try RawClient(port: edge.port)
        for expected in ["fwd=uri-miss; stored", "hit"] {
            client.send("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            let response = try client.readResponse()
            #expect(response.text == "x" && response.field("Connection") == nil)
            #expect(response.field("Cache-Status")?.contains(expected) == true)
        }
    }

    @Test func `switched off, nothing is kept`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=60"], body: "x")
        let edge = try edge(origin, ["--set", "edge.cache.enabled=false"])
        for _ in 0..<2 {
            #expect(try RawClient.get(port: edge.port, "/").field("Cache-Status") == "headrace; fwd=bypass; detail=disabled")
        }
        #expect(origin.requestCount == 2)
    }

    @Test func `the budget holds under more than fits`() throws {
        let body = String(repeating: "x", count: 1000)
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=60"], body: body)
        let edge = try edge(origin, ["--set", "edge.cache.size=2MB", "--set", "edge.cache.max_object_size=100KB"])
        let client = try RawClient(port: edge.port)
        for number in 0..<2500 {
            client.send("GET /\(number) HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try client.readResponse().body.count == 1000)
        }
        #expect(try edge.metric("headrace_response_cache_bytes") < 2.2 * 1024 * 1024)
        #expect(try edge.metric("headrace_response_cache_evictions_total") > 1000)
    }

    @Test func `responses may take so much until they are whole, and no more`() throws {
        let origin = try ScriptedOrigin { request in
            // Parts count with what they take besides their bytes.
            let count = request.target == "/more" ? (1 << 20) + 1 : 1_000_000
            return [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=60"], body: String(repeating: "x", count: count)))]
        }
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.limits.buffered_responses=1MB"])
        for target in ["/n", "/n", "/more", "/more"] { #expect(try RawClient.get(port: edge.port, target).status == 200) }
        #expect(origin.requests.map(\.target) == ["/n", "/more", "/more"])
        // Loops write their lines in turns.
        let lines = try edge.logLines(atLeast: 4)
        #expect(lines.filter { $0["target"] as? String == "/more" }.map { $0["detail"] as? String } == ["buffers-full", "buffers-full"])
        #expect(lines.filter { $0["target"] as? String == "/n" }.map { $0["detail"] as? String } == [nil, nil])
        #expect(try edge.metric("headrace_edge_response_buffers_full_total") >= 2)
        #expect(try edge.metric("headrace_edge_response_buffers_bytes") == 0)
    }
}
