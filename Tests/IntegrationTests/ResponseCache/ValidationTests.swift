import Foundation
import TestSupport
import Testing

/// What keeps the store true: confirmations, HEAD, changes; and what the application says to a shared cache alone.
@Suite struct ValidationTests {
    private func edge(_ origin: ScriptedOrigin, _ settings: [String] = []) throws -> HeadraceProcess {
        try HeadraceProcess(["--app", origin.url] + settings.flatMap { ["--set", $0] })
    }

    private func head(_ edge: HeadraceProcess, _ fields: String...) throws -> RawClient.Response {
        let lines = ["HEAD / HTTP/1.1", "Host: a.example"] + fields
        return try RawClient.exchange(port: edge.port, lines.joined(separator: "\r\n") + "\r\n\r\n", hasBody: false)
    }

    @Test func `RFC 9111 §4.3.4: a 304 about another entity tag confirms nothing`() throws {
        let origin = try ScriptedOrigin { request in
            switch request.number {
            case 0: [.send(ScriptedOrigin.response(fields: ["Cache-Control: no-cache", "ETag: \"a\""], body: "old"))]
            case 1: [.send("HTTP/1.1 304 Not Modified\r\nETag: \"b\"\r\n\r\n")]
            default: [.send(ScriptedOrigin.response(fields: ["Cache-Control: no-cache", "ETag: \"b\""], body: "new"))]
            }
        }
        let edge = try edge(origin)
        #expect(try RawClient.get(port: edge.port, "/").text == "old")
        #expect(try RawClient.get(port: edge.port, "/").text == "new")
        #expect(origin.requests.map { $0.field("If-None-Match") ?? "" } == ["", "\"a\"", ""])
    }

    private func softPurge(_ edge: HeadraceProcess) throws {
        let request = "PURGE / HTTP/1.1\r\nHost: a.example\r\nHeadrace-Soft-Purge: 1\r\n\r\n"
        #expect(try RawClient.exchange(port: edge.port, request).status == 200)
    }

    @Test func `RFC 9111 §4.3.4: a 304 is about the variant that was asked about, and about no other`() throws {
        let origin = try ScriptedOrigin { request in
            let language = request.field("Accept-Language") ?? ""
            let fields = ["Cache-Control: max-age=600", "Vary: Accept-Language", "ETag: \"\(language)\"", "X-Number: \(request.number)"]
            guard request.field("If-None-Match") == "\"\(language)\"" else { return [.send(ScriptedOrigin.response(fields: fields, body: language))] }
            return [.send("HTTP/1.1 304 Not Modified\r\n\(fields.joined(separator: "\r\n"))\r\n\r\n")]
        }
        let edge = try edge(origin, ["edge.purge.clients=127.0.0.1"])
        func get(_ language: String, _ fields: String...) throws -> RawClient.Response {
            try RawClient.get(port: edge.port, "/", ["Accept-Language: \(language)"] + fields)
        }
        for language in ["de", "en"] { #expect(try get(language).text == language) }
        try softPurge(edge)
        let confirmed = try get("de")
        #expect(confirmed.text == "de" && confirmed.field("X-Number") == "2" && confirmed.field("Cache-Status")?.contains("fwd-status=304") == true)
        #expect(try get("de").field("Cache-Status")?.contains("; hit") == true)
        let other = try get("en")
        #expect(other.text == "en" && other.field("X-Number") == "3" && other.field("Cache-Status")?.contains("fwd-status=304") == true)
        // A miss names no other variant's tag: many applications have one for all languages, and their 304 would give the wrong one.
        #expect(try get("fr").text == "fr")
        #expect(origin.requests.map { $0.field("If-None-Match") ?? "" } == ["", "", "\"de\"", "\"en\"", ""])
    }

    @Test func `many who ask for what is stale have it confirmed once`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { request in
            let fields = ["Cache-Control: max-age=600", "ETag: \"v\""]
            guard request.field("If-None-Match") != nil else { return [.send(ScriptedOrigin.response(fields: fields, body: "page"))] }
            return [.waitFor(gate), .send("HTTP/1.1 304 Not Modified\r\nETag: \"v\"\r\n\r\n")]
        }
        let edge = try edge(origin, ["edge.purge.clients=127.0.0.1"])
        _ = try RawClient.get(port: edge.port, "/")
        try softPurge(edge)
        let clients = try (0..<20).map { _ in try RawClient(port: edge.port) }
        for client in clients { client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n") }
        #expect(eventually { origin.requestCount == 2 })
        gate.open()
        for client in clients { #expect(try client.readResponse().text == "page") }
        #expect(origin.requestCount == 2)
    }

    @Test func `stored fields come back as they came, odd ones too; trailers are not among them`() throws {
        let odd = [
            "X-Odd: spaced \t out", "x-ODD: 2", "X-Odd: \"a, b\"; c", "X_Under: 1", "Expires: 0", "P3P: CP=\"x\"", "Warning: 110 - \"stale\"", "X-Empty: ",
            "Link: </a>; rel=\"b\", </c>", "Content-Type: text/html;;charset", "Last-Modified: yesterday", "Content-Language: x",
        ]
        let head = ["HTTP/1.1 200 OK", "Cache-Control: max-age=600", "Transfer-Encoding: chunked", "Trailer: X-Sum"] + odd
        let origin = try ScriptedOrigin { _ in
            [.send(head.joined(separator: "\r\n") + "\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")]
        }
        let edge = try edge(origin)
        for isHit in [false, true] {
            let response = try RawClient.get(port: edge.port, "/")
            #expect(response.text == "hello" && (response.field("Cache-Status")?.contains("; hit") == true) == isHit)
            let lines = response.head.components(separatedBy: "\r\n")
            #expect(lines.filter(odd.contains) == odd, "\(response.head)")
            if isHit { #expect(response.trailers.isEmpty && response.field("Trailer") == nil && response.field("X-Sum") == nil) }
        }
        #expect(origin.requestCount == 1)
    }

    @Test func `an application that answers 304 whatever it is asked is asked twice, not for ever`() throws {
        let origin = try ScriptedOrigin { request in
            request.number == 0
                ? [.send(ScriptedOrigin.response(fields: ["Cache-Control: no-cache", "ETag: \"a\""], body: "old"))]
                : [.send("HTTP/1.1 304 Not Modified\r\nETag: \"b\"\r\n\r\n")]
        }
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/")
        #expect(try RawClient.get(port: edge.port, "/").status == 304)
        #expect(origin.requestCount == 3)
    }

    @Test(arguments: [
        ("ETag: \"a\"\r\nContent-Length: 5", true), ("Content-Length: 5", true), ("ETag: \"b\"\r\nContent-Length: 5", false),
        ("ETag: \"a\"\r\nContent-Length: 6", false), ("Last-Modified: Sat, 31 Jan 2026 12:00:00 GMT", false),
    ])
    func `RFC 9111 §4.3.5: HEAD updates what is stored, or shows that it has changed`(fields: String, isSame: Bool) throws {
        let origin = try ScriptedOrigin { request in
            request.method == "HEAD"
                ? [.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nX-New: yes\r\n\(fields)\r\n\r\n")]
                : [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=60", "ETag: \"a\""], body: "hello"))]
        }
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/")
        _ = try head(edge, "Cache-Control: no-cache")
        let next = try RawClient.get(port: edge.port, "/")
        #expect(next.text == "hello" && next.field("X-New") == (isSame ? "yes" : nil))
        #expect(origin.requests.map(\.method) == (isSame ? ["GET", "HEAD"] : ["GET", "HEAD", "GET"]))
    }

    @Test(arguments: ["private", "no-cache"]) func `fields that HEAD brings for one client reach no other`(name: String) throws {
        let origin = try ScriptedOrigin { request in
            let fields = ["Cache-Control: max-age=60, \(name)=\"Set-Cookie\"", "ETag: \"a\""] + (request.method == "HEAD" ? ["Set-Cookie: sid=A"] : [])
            let response = ScriptedOrigin.response(fields: fields, body: "hello")
            return [.send(request.method == "HEAD" ? String(response.dropLast(5)) : response)]
        }
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/")
        #expect(try head(edge, "Cache-Control: no-cache").field("Set-Cookie") == "sid=A")
        let other = try RawClient.get(port: edge.port, "/")
        #expect(other.text == "hello" && other.field("Set-Cookie") == nil)
        #expect(origin.requestCount == 2)
    }

    @Test(arguments: [
        ("201 Created", "Location: /b", true), ("200 OK", "Content-Location: b?x", false), ("200 OK", "Content-Location: b", true),
        ("303 See Other", "Location: http://a.example/b", true), ("303 See Other", "Location: http://other.example/b", false),
        ("404 Not Found", "Location: /b", false), ("500 Oops", "Content-Location: /b", false), ("201 Created", "Location: //a.example:80/c/../b", true),
    ])
    func `RFC 9111 §4.4: a change invalidates what it names of the same origin, on success`(status: String, field: String, drops: Bool) throws {
        let origin = try ScriptedOrigin { request in
            request.method == "GET"
                ? [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=60"], body: "x"))]
                : [.send("HTTP/1.1 \(status)\r\n\(field)\r\nContent-Length: 0\r\n\r\n")]
        }
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/b")
        _ = try RawClient.exchange(port: edge.port, "POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n")
        _ = try RawClient.get(port: edge.port, "/b")
        #expect(origin.requests.filter { $0.method == "GET" }.count == (drops ? 2 : 1))
    }

    @Test(arguments: ["private", "no-cache"]) func `RFC 9111 §5.2.2.7: fields that are named go to the first client alone`(name: String) throws {
        let origin = try ScriptedOrigin(
            fields: ["Cache-Control: max-age=60, \(name)=\"Set-Cookie, X-User\"", "Set-Cookie: a=b", "X-User: ann", "X-Page: 1"], body: "x")
        let edge = try edge(origin)
        let first = try RawClient.get(port: edge.port, "/")
        #expect(first.field("X-User") == "ann" && first.field("Set-Cookie") == "a=b" && first.field("Cache-Status")?.contains("stored") == true)
        let next = try RawClient.get(port: edge.port, "/")
        #expect(next.field("X-User") == nil && next.field("Set-Cookie") == nil && next.field("X-Page") == "1")
        #expect(origin.requestCount == 1)
    }

    @Test func `RFC 9213: what is said to us counts before what is said to all, and is not told on`() throws {
        let origin = try ScriptedOrigin { request in
            let fields: [String] =
                switch request.target {
                case "/cdn": ["Cache-Control: no-store", "CDN-Cache-Control: max-age=60"]
                case "/cdn-no": ["Cache-Control: max-age=60", "CDN-Cache-Control: no-store"]
                case "/own": ["CDN-Cache-Control: no-store", "Headrace-Cache-Control: max-age=60"]
                case "/malformed": ["Cache-Control: no-store", "CDN-Cache-Control: max-age=60,"]
                case "/surrogate": ["Cache-Control: no-store", "Surrogate-Control: max-age=60"]
                default: ["CDN-Cache-Control: max-age=60", "Expires: 0"]
                }
            return [.send(ScriptedOrigin.response(fields: fields, body: "x"))]
        }
        let edge = try edge(origin)
        for (target, isStored) in [("/cdn", true), ("/cdn-no", false), ("/own", true), ("/malformed", false), ("/surrogate", true), ("/expires", true)] {
            let first = try RawClient.get(port: edge.port, target)
            #expect(first.field("Headrace-Cache-Control") == nil && first.field("Surrogate-Control") == nil)
            let next = try RawClient.get(port: edge.port, target)
            #expect((next.field("Cache-Status")?.contains("; hit") == true) == isStored, "\(target)")
            #expect(next.field("Headrace-Cache-Control") == nil && next.field("Surrogate-Control") == nil)
        }
        #expect(try RawClient.get(port: edge.port, "/cdn").field("Cache-Control") == "no-store", "others still may not")
    }

    @Test func `lifetimes are added only where the route says so`() throws {
        let origin = try ScriptedOrigin(fields: ["Last-Modified: Sat, 31 Jan 2026 12:00:00 GMT"], body: "x")
        for (setting, fetches) in [("edge.cache.default_lifetime=0s", 3), ("edge.cache.default_lifetime=1m", 1), ("edge.cache.heuristic_share=10%", 1)] {
            let before = origin.requestCount
            let edge = try edge(origin, [setting])
            for _ in 0..<3 { _ = try RawClient.get(port: edge.port, "/") }
            #expect(origin.requestCount - before == fetches, "\(setting)")
        }
    }

    @Test func `errors are kept only where the route says so, and as long as it says`() throws {
        let origin = try ScriptedOrigin { request in
            let status = request.target.hasPrefix("/missing") ? "404 Not Found" : "503 Busy"
            let fields = request.target.hasSuffix("-own") ? ["Cache-Control: no-store"] : []
            return [.send(ScriptedOrigin.response(status: status, fields: fields, body: "\(request.number)"))]
        }
        func fetches(_ edge: HeadraceProcess, _ target: String) throws -> Int {
            let before = origin.requestCount
            for _ in 0..<3 { _ = try RawClient.get(port: edge.port, target) }
            return origin.requestCount - before
        }
        let without = try edge(origin, [])
        #expect(try fetches(without, "/missing") == 3 && fetches(without, "/busy") == 3)
        let with = try edge(origin, ["edge.cache.negative=404: 1h"])
        #expect(try fetches(with, "/missing") == 1)
        #expect(try fetches(with, "/busy") == 3, "another status")
        #expect(try fetches(with, "/missing-own") == 3, "the application has said it")
        let kept = try RawClient.get(port: with.port, "/missing")
        #expect(kept.status == 404 && kept.field("Cache-Status")?.hasPrefix("headrace; hit; ttl=3") == true && kept.field("Age") != nil)
        let errors = try edge(origin, ["edge.cache.negative=503: 1h"])
        #expect(try fetches(errors, "/busy") == 1)
        #expect(try RawClient.get(port: errors.port, "/busy").status == 503)
    }

    @Test func `what came together does not expire together where the route says so`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=100000"], body: "x")
        let edge = try edge(origin, ["edge.cache.expiry_jitter=50%"])
        let lifetimes = try (0..<20).map { number in
            _ = try RawClient.get(port: edge.port, "/\(number)")
            let hit = try RawClient.get(port: edge.port, "/\(number)")
            #expect(hit.field("Cache-Control") == "max-age=100000", "clients are told what the application says")
            return try #require(hit.field("Cache-Status")?.split(separator: "ttl=").last.flatMap { Int($0) })
        }
        #expect(lifetimes.allSatisfy { (49_000...100_000).contains($0) }, "\(lifetimes)")
        #expect(Set(lifetimes).count > 10, "\(lifetimes)")
    }

    @Test func `what is asked for often is fetched anew before its end, and nobody waits for it`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { request in
            let answer = ScriptedOrigin.Step.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=600"], body: "\(request.number)"))
            return request.number == 0 ? [answer] : [.waitFor(gate), answer]
        }
        // The last 100 % of the lifetime: from the beginning on.
        let edge = try edge(origin, ["edge.cache.refresh_ahead=100%"])
        for _ in 0..<2 { _ = try RawClient.get(port: edge.port, "/") }
        #expect(origin.requestCount == 1, "asked for once besides the fetch: not often")
        for _ in 0..<10 {
            let hit = try RawClient.get(port: edge.port, "/")
            #expect(hit.text == "0" && hit.field("Cache-Status")?.hasPrefix("headrace; hit; ttl=") == true)
        }
        #expect(eventually { origin.requestCount == 2 })
        gate.open()
        #expect(try eventually { try RawClient.get(port: edge.port, "/").text != "0" })
        #expect(try edge.metric("headrace_edge_requests_total{cache=\"miss\"}") == 1)
        #expect(try edge.metric("headrace_response_cache_refreshes_total{when=\"ahead\"}") >= 1)
    }

    @Test func `a client's condition is met, also where what comes turns out not to be stored`() throws {
        let origin = try ScriptedOrigin(
            fields: ["Cache-Control: private", "ETag: \"a\"", "Last-Modified: Sat, 31 Jan 2026 12:00:00 GMT"], body: "hello")
        let edge = try edge(origin)
        let known = try RawClient.get(port: edge.port, "/a", ["If-None-Match: \"a\""])
        #expect(known.status == 304 && known.field("ETag") == "\"a\"" && known.field("Cache-Control") == "private")
        #expect(try RawClient.get(port: edge.port, "/b", ["If-Modified-Since: Sat, 31 Jan 2026 12:00:00 GMT"]).status == 304)
        #expect(try RawClient.get(port: edge.port, "/c", ["If-Match: \"b\""]).status == 412)
        #expect(try RawClient.get(port: edge.port, "/d", ["If-None-Match: \"b\""]).text == "hello")
    }

    @Test func `however a language is asked for, there is one fetch for each that the application has`() throws {
        let origin = try ScriptedOrigin { request in
            let language = request.field("Accept-Language") ?? "none"
            return [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=60", "Vary: Accept-Language"], body: language))]
        }
        let edge = try edge(origin, ["edge.cache.key.languages=en,de"])
        for (value, expected) in [("de", "de"), ("de-AT, de;q=0.9, en;q=0.1", "de"), ("DE;q=0.2", "de"), ("en-GB", "en"), ("fr", "en"), ("*", "en")] {
            #expect(try RawClient.get(port: edge.port, "/", ["Accept-Language: \(value)"]).text == expected, "\(value)")
        }
        let without = try RawClient.get(port: edge.port, "/")
        #expect(without.text == "en" && without.field("Vary") == "Accept-Language", "a browser's own cache is told")
        #expect(origin.requestCount == 2)
    }

    @Test func `a cookie is kept only on request`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=60", "Set-Cookie: a=b"], body: "x")
        let edge = try edge(origin, ["edge.cache.set_cookie=true"])
        for _ in 0..<2 { #expect(try RawClient.get(port: edge.port, "/").field("Set-Cookie") == "a=b") }
        #expect(origin.requestCount == 1)
    }
}
