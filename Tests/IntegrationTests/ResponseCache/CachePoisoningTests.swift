import Foundation
import TestSupport
import Testing

/// What an attacker tries with a shared cache: to have an answer of his own making kept for others, to have another's private answer kept for
/// himself, or to have one request taken for two.
///
/// How it works: 1. The application is a mirror: it answers with all that reached it, and lets it be kept. 2. An attacker asks first, for a
/// URL that nobody has asked for; what he sends has the word `evil` in it. 3. A victim asks for the same URL as a browser does.
@Suite final class CachePoisoningTests {
    private static let kept = "Cache-Control: max-age=600"

    /// They answer for as long as the test goes on.
    private var origins: [ScriptedOrigin] = []

    private func edge(_ origin: ScriptedOrigin, _ settings: String...) throws -> HeadraceProcess {
        origins.append(origin)
        return try HeadraceProcess(["--app", origin.url] + settings.flatMap { ["--set", $0] })
    }

    private func mirror(_ fields: [String] = [CachePoisoningTests.kept]) throws -> ScriptedOrigin {
        try ScriptedOrigin { request in [.send(ScriptedOrigin.response(fields: fields, body: request.head + "\n\n" + request.body))] }
    }

    private func isHit(_ response: RawClient.Response) -> Bool { response.field("Cache-Status")?.contains("; hit") == true }

    private func isStored(_ response: RawClient.Response) -> Bool { response.field("Cache-Status")?.contains("; stored") == true }

    private func head(_ edge: HeadraceProcess, _ target: String, _ fields: [String]) throws -> RawClient.Response {
        let lines = ["HEAD \(target) HTTP/1.1", "Host: a.example"] + fields
        return try RawClient.exchange(port: edge.port, lines.joined(separator: "\r\n") + "\r\n\r\n", hasBody: false)
    }

    // MARK: What is in no key

    @Test func `a field that is taken for another host, scheme, path, method or client reaches no stored answer`() throws {
        let fields = [
            "X-Forwarded-Host: evil", "X-Host: evil", "X-Forwarded-Server: evil", "X-HTTP-Host-Override: evil", "X-Original-Host: evil",
            "X-Backend-Host: evil", "X-Gateway-Host: evil", "Forwarded: for=1.2.3.4;host=evil;proto=evil", "X-Forwarded-Proto: evil",
            "X-Forwarded-Scheme: evil", "X-Forwarded-Protocol: evil", "X-Forwarded-SSL: evil", "Front-End-Https: evil", "X-Url-Scheme: evil",
            "X-Forwarded-Port: 666evil", "X-Forwarded-Prefix: /evil", "X-Forwarded-Path: /evil", "X-Script-Name: /evil", "X-Original-URL: /evil",
            "X-Rewrite-URL: /evil", "X-Original-Path: /evil", "X-Envoy-Original-Path: /evil", "X-Proxy-Url: evil", "X-HTTP-Method-Override: EVIL",
            "X-HTTP-Method: EVIL", "X-Method-Override: EVIL", "X-Forwarded-For: evil", "X-Real-IP: evil", "X-Middleware-Prefetch: evil",
            "x-invoke-status: evil", "Proxy-Authorization: evil", "Proxy-Connection: evil", "TE: evil", "Keep-Alive: evil", "Trailer: evil",
            "Accept-Encoding: evil", "If-None-Match: \"evil\"", "If-Match: \"evil\"", "If-Range: \"evil\"", "Range: evil=0-",
        ]
        let edge = try edge(try mirror())
        for (number, field) in fields.enumerated() {
            let attacker = try RawClient.get(port: edge.port, "/\(number)", [field])
            let victim = try RawClient.get(port: edge.port, "/\(number)")
            #expect(!attacker.text.lowercased().contains("evil"), "\(field): \(attacker.text)")
            #expect(isHit(victim) && !victim.text.lowercased().contains("evil"), "\(field): \(victim.text)")
        }
    }

    @Test func `what goes past the cache keeps these fields`() throws {
        let origin = try mirror(["Cache-Control: no-store"])
        let edge = try edge(origin)
        _ = try RawClient.exchange(
            port: edge.port, "POST /a HTTP/1.1\r\nHost: A.example:80\r\nX-HTTP-Method-Override: PUT\r\nX_Key: 1\r\nContent-Length: 0\r\n\r\n")
        #expect(origin.requests.first?.field("X-HTTP-Method-Override") == "PUT" && origin.requests.first?.field("X_Key") == "1")
        #expect(origin.requests.first?.field("Host") == "A.example:80")
    }

    /// CGI, WSGI, Rack and PHP have one name for `X_Region` and `X-Region`.
    @Test(arguments: ["X_Region: evil", "X_Original-URL: /evil", "Accept_Language: evil", "x_custom: evil"])
    func `a name with an underscore fills no stored answer`(field: String) throws {
        let edge = try edge(try mirror([Self.kept, "Vary: Accept-Language"]), "edge.cache.key.headers=X-Region")
        let attacker = try RawClient.get(port: edge.port, "/", [field])
        #expect(attacker.field("Cache-Status")?.contains("detail=ambiguous-fields") == true && !isStored(attacker), "\(attacker.head)")
        let victim = try RawClient.get(port: edge.port, "/")
        #expect(!isHit(victim) && isStored(victim) && !victim.text.contains("evil"))
        #expect(isHit(try RawClient.get(port: edge.port, "/", [field])), "what is stored answers him, too")
    }

    @Test func `a name with an underscore is stored where the key has it, and one that looks like it is not`() throws {
        let edge = try edge(try mirror(), "edge.cache.key.headers=X_Region")
        #expect(isStored(try RawClient.get(port: edge.port, "/", ["X_Region: north"])))
        #expect(isHit(try RawClient.get(port: edge.port, "/", ["X_Region: north"])))
        let attacker = try RawClient.get(port: edge.port, "/a", ["X-Region: evil"])
        #expect(!isStored(attacker))
        #expect(try !RawClient.get(port: edge.port, "/a").text.contains("evil"))
    }

    @Test(arguments: ["X_Forwarded_For: 6.6.6.6", "X-Forwarded_Host: evil", "x_forwarded_proto: evil", "X_Real-IP: 6.6.6.6"])
    func `nobody says by an underscore who he is, not even past the cache`(field: String) throws {
        let origin = try mirror(["Cache-Control: no-store"])
        let edge = try edge(origin)
        _ = try RawClient.exchange(port: edge.port, "POST /a HTTP/1.1\r\nHost: a.example\r\n\(field)\r\nContent-Length: 0\r\n\r\n")
        _ = try RawClient.get(port: edge.port, "/a", [field])
        #expect(origin.requests.count == 2)
        for request in origin.requests { #expect(!request.head.contains("6.6.6.6") && !request.head.contains("evil"), "\(request.head)") }
    }

    @Test(arguments: [("Accept-Language", "de"), ("X-Region", "north"), ("Cookie", "plan=pro")])
    func `what Connection takes away from a request fills no variant of what it said`(name: String, value: String) throws {
        let origin = try ScriptedOrigin { request in
            [.send(ScriptedOrigin.response(fields: [Self.kept, "Vary: Accept-Language"], body: request.field(name) ?? "nothing"))]
        }
        let edge = try edge(origin, "edge.cache.key.headers=X-Region", "edge.cache.key.cookies=plan")
        let fields = ["\(name): \(value)"]
        let attacker = try RawClient.get(port: edge.port, "/", fields + ["Connection: keep-alive, \(name)"])
        #expect(attacker.text == "nothing" && !isStored(attacker))
        #expect(attacker.field("Cache-Status")?.contains("detail=ambiguous-fields") == true)
        #expect(try RawClient.get(port: edge.port, "/", fields).text == value)
        let again = try RawClient.get(port: edge.port, "/", fields + ["Connection: \(name)"])
        #expect(isHit(again) && again.text == value)
        #expect(origin.requestCount == 2)
    }

    @Test func `HEAD with what Connection takes away updates no variant`() throws {
        let origin = try ScriptedOrigin { request in
            let language = request.field("Accept-Language") ?? "evil"
            let response = ScriptedOrigin.response(fields: [Self.kept, "Vary: Accept-Language", "Content-Language: \(language)"], body: "page")
            return [.send(request.method == "HEAD" ? String(response.dropLast(4)) : response)]
        }
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/", ["Accept-Language: de"])
        _ = try head(edge, "/", ["Accept-Language: de", "Connection: Accept-Language", "Cache-Control: no-cache"])
        #expect(origin.requests.map(\.method) == ["GET", "HEAD"])
        let victim = try RawClient.get(port: edge.port, "/", ["Accept-Language: de"])
        #expect(isHit(victim) && victim.field("Content-Language") == "de")
    }

    /// Links in a page, and redirects, are made of `Host` as it was sent.
    @Test func `neither the case of a host nor the scheme's own port reaches a stored answer`() throws {
        let edge = try edge(try mirror())
        for (number, host) in ["A.EXAMPLE", "a.example:80", "a.example:", "A.example:80"].enumerated() {
            let attacker = try RawClient.get(port: edge.port, "/\(number)", host: host)
            #expect(!attacker.text.contains(host), "\(attacker.text)")
            #expect(attacker.text.contains("Host: a.example\r\n") && attacker.text.contains("X-Forwarded-Host: a.example\r\n"))
            #expect(isHit(try RawClient.get(port: edge.port, "/\(number)")), "\(host)")
        }
        #expect(try !isHit(RawClient.get(port: edge.port, "/0", host: "a.example:8080")), "another port is another site")
    }

    @Test func `a scheme in the request line reaches no stored answer`() throws {
        let edge = try edge(try mirror())
        let attacker = try RawClient.exchange(port: edge.port, "GET https://a.example/a HTTP/1.1\r\nHost: a.example\r\n\r\n")
        let victim = try RawClient.get(port: edge.port, "/a")
        for response in [attacker, victim] where response.status == 200 {
            #expect(response.text.hasPrefix("GET /a HTTP/1.1\r\n") && !response.text.contains("https"), "\(response.text)")
        }
        #expect(victim.status == 200)
    }

    @Test(arguments: ["bytes=0-3", "bytes=999999-", "bytes=-0", "bytes=0-0,2-2,4-4", "bytes=4-2", "evil"])
    func `a range that nobody else asked for leaves the whole`(range: String) throws {
        let edge = try edge(try ScriptedOrigin(fields: [Self.kept], body: "the whole page"))
        _ = try RawClient.get(port: edge.port, "/", ["Range: \(range)"])
        let victim = try RawClient.get(port: edge.port, "/")
        #expect(victim.status == 200 && victim.text == "the whole page")
    }

    @Test(arguments: [
        "If-Match: \"evil\"", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT", "If-None-Match: *", "If-Modified-Since: Fri, 01 Jan 2038 00:00:00 GMT",
        "Accept-Encoding: identity;q=0, *;q=0", "Accept-Encoding: evil", "Accept-Encoding: gzip;q=0.000, br;q=2",
    ])
    func `an error that one client's field provokes is not kept for others`(field: String) throws {
        let name = String(field.prefix { $0 != ":" })
        let plain = name == "Accept-Encoding" ? "identity" : nil
        let origin = try ScriptedOrigin { request in
            [.send(ScriptedOrigin.response(status: request.field(name) == plain ? "200 OK" : "412 Evil", fields: [Self.kept, "ETag: \"a\""], body: "page"))]
        }
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/", [field])
        let victim = try RawClient.get(port: edge.port, "/")
        #expect(victim.status == 200 && victim.text == "page")
    }

    @Test func `an error of too large a head is not kept, also where lifetimes are added`() throws {
        let origin = try ScriptedOrigin { request in
            let isTooLarge = request.head.utf8.count > 8_192
            return [.send(ScriptedOrigin.response(status: isTooLarge ? "400 Bad Request" : "200 OK", body: isTooLarge ? "evil" : "page"))]
        }
        let edge = try edge(origin, "edge.cache.default_lifetime=1h")
        let attacker = try RawClient.get(port: edge.port, "/", ["X-Padding: " + String(repeating: "x", count: 9_000)])
        #expect(attacker.status == 400)
        #expect(try RawClient.get(port: edge.port, "/").text == "page")
    }

    @Test func `targets that look alike are not one, and what the rules take out of one goes no further`() throws {
        let edge = try edge(try mirror(), "edge.cache.key.ignore_query=utm_*")
        let pairs = [
            ("/a?x=evil&x=1", "/a?x=1"), ("/b?x=1&x=evil", "/b?x=1"), ("/c%2Fevil", "/c/"), ("/d;evil", "/d"), ("/d2;v=evil/x", "/d2/x"),
            ("/e/evil/..", "/e/"), ("/f#evil", "/f"), ("/g?#evil", "/g?"), ("//evil/h", "/h"), ("/i%00evil", "/i"), ("/j%3Fevil", "/j"),
            ("/k?utm_x=1;x=evil", "/k"), ("/l?utm_x=1%26x=evil", "/l"), ("/m?%75tm_x=evil", "/m"), ("/n?utm_x=evil&utm_y=evil", "/n"),
            ("/o?UTM_x=evil", "/o"), ("/p?x=1&utm_x=evil", "/p?x=1"), ("/q?utm_x=1?x=evil", "/q"), ("/r\\evil", "/r"), ("/s%0d%0aX:%20evil", "/s"),
        ]
        for (target, other) in pairs {
            _ = try RawClient.get(port: edge.port, target)
            let victim = try RawClient.get(port: edge.port, other)
            #expect(victim.status == 200 && !victim.text.contains("evil"), "\(target): \(victim.text)")
        }
    }

    @Test(arguments: ["plan=pro; plan=free", "plan=free; plan=pro"])
    func `of a cookie that comes twice, the key has both`(cookies: String) throws {
        let origin = try ScriptedOrigin { request in
            [.send(ScriptedOrigin.response(fields: [Self.kept], body: request.field("Cookie") ?? ""))]
        }
        let edge = try edge(origin, "edge.cache.key.cookies=plan")
        _ = try RawClient.get(port: edge.port, "/", ["Cookie: \(cookies)"])
        for plan in ["pro", "free"] {
            #expect(try RawClient.get(port: edge.port, "/", ["Cookie: plan=\(plan)"]).text == "plan=\(plan)")
        }
    }

    @Test func `a GET with a body fills no stored answer`() throws {
        let edge = try edge(try mirror())
        let attacker = try RawClient.exchange(port: edge.port, "GET /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\n\r\nx=evil")
        #expect(attacker.text.contains("evil") && attacker.field("Cache-Status")?.contains("detail=request-body") == true)
        let victim = try RawClient.get(port: edge.port, "/a")
        #expect(!isHit(victim) && !victim.text.contains("evil"))
    }

    // MARK: Cache deception

    /// What a private page is called decides nothing: only what the application says of it.
    @Test(arguments: [
        "/account/x.css", "/account;x.css", "/account%2fx.css", "/account/%2e%2e/x.js", "/account?x.css", "/account%00.css", "/account%0a.css",
        "/account%23x.css", "/account/x.5f3b9a7c1d2e4f60.js", "/static/..%2faccount",
    ])
    func `a path that looks like a file makes no private page public`(target: String) throws {
        let origin = try ScriptedOrigin { request in
            [.send(ScriptedOrigin.response(fields: ["Cache-Control: private", "Content-Type: text/html"], body: request.field("Cookie") ?? "nobody"))]
        }
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, target, ["Cookie: victim"])
        #expect(try !RawClient.get(port: edge.port, target).text.contains("victim"))
    }

    @Test(arguments: ["Set-Cookie: sid=victim", "Vary: *", "Cache-Control: no-store"])
    func `nor does it make public what is private without saying so`(field: String) throws {
        let origin = try ScriptedOrigin { request in
            let fields = [field, "Content-Type: text/css"] + (field.hasPrefix("Cache") ? [] : [Self.kept])
            return [.send(ScriptedOrigin.response(fields: fields, body: request.field("Cookie") ?? "nobody"))]
        }
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/account/x.css", ["Cookie: victim"])
        let attacker = try RawClient.get(port: edge.port, "/account/x.css")
        #expect(attacker.text == "nobody" && !isHit(attacker))
    }

    // MARK: Smuggling

    /// An application that does not read the body of a GET, or takes one request for two, answers once more than it was asked.
    @Test func `an answer that nobody asked for is nobody's`() throws {
        let origin = try ScriptedOrigin { request in
            let answer = ScriptedOrigin.response(fields: [Self.kept], body: "page of \(request.target)")
            let evil = ScriptedOrigin.response(fields: [Self.kept], body: "evil")
            return [.send(request.target == "/fat" ? answer + evil : answer)]
        }
        let edge = try edge(origin, "edge.threads=1")
        let attacker = try RawClient.exchange(
            port: edge.port, "POST /fat HTTP/1.1\r\nHost: a.example\r\nContent-Length: 30\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(attacker.text == "page of /fat")
        for target in ["/a", "/b"] { #expect(try RawClient.get(port: edge.port, target).text == "page of \(target)") }
    }

    /// Fields that are good in HTTP/2's frames and would be other lines, or another body, in HTTP/1.
    private static let smuggled: [[(String, String)]] = {
        let whole: [(String, String)] = [(":method", "GET"), (":scheme", "http"), (":path", "/evil"), (":authority", "a.example")]
        func with(_ name: String, _ value: String) -> [(String, String)] { whole.map { $0.0 == name ? (name, value) : $0 } }
        let added: [(String, String)] = [
            ("transfer-encoding", "chunked"), ("connection", "close"), ("proxy-connection", "x"), ("upgrade", "h2c"), ("te", "chunked"),
            ("x", "1\r\n\r\nGET /evil HTTP/1.1\r\nHost: a"), ("x", "1\nY: 2"), ("x", "1\u{0}"), ("x\r\ny", "1"), ("x: y", "1"), ("X-Upper", "1"), ("", "1"),
            ("host", "evil.example"), ("content-length", "5"), ("content-length", "+0"), (":path", "/again"), (":evil", "1"),
        ]
        let changed: [[(String, String)]] = [
            with(":path", "/evil HTTP/1.1\r\nX: y"), with(":path", "/evil HTTP/1.0"), with(":path", "evil"), with(":path", ""),
            with(":method", "GET /evil HTTP/1.1\r\nX:"), with(":method", "GET "), with(":authority", "a.example\r\nX: y"), with(":authority", "a/evil"),
            with(":authority", "evil@a.example"), Array(whole.dropFirst()), [("x", "1")] + whole, whole + [("content-length", "0"), ("content-length", "0")],
        ]
        return added.map { whole + [$0] } + changed
    }()

    @Test func `nothing of HTTP-2 becomes another request in HTTP-1, or reaches a stored answer`() throws {
        let origin = try mirror()
        let edge = try edge(origin)
        for fields in Self.smuggled {
            let client = try RawClient(port: edge.port)
            client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            client.send(Self.frame(4, []))
            client.send(Self.frame(1, flags: 5, stream: 1, Self.block(fields)))
            var received: [UInt8] = []
            let isRefused = eventually {
                received += client.takeBytes(milliseconds: 20)
                // RST_STREAM or GOAWAY; or a refusal as an answer, which our writer begins with its status.
                return Self.frames(received).contains { $0.type == 3 || $0.type == 7 || $0.type == 1 }
            }
            #expect(isRefused, "\(fields)")
        }
        #expect(origin.requests.isEmpty, "\(origin.requests.map(\.head))")
        let victim = try RawClient.get(port: edge.port, "/evil")
        #expect(victim.status == 200 && victim.text.hasPrefix("GET /evil HTTP/1.1\r\nHost: a.example\r\n"))
    }

    private static func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt8 = 0, _ payload: [UInt8]) -> [UInt8] {
        let head: [UInt8] = [0, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF), type, flags, 0, 0, 0, stream]
        return head + payload
    }

    /// Literals that go into no table (RFC 7541 §6.2.2), each shorter than 127 bytes.
    private static func block(_ fields: [(String, String)]) -> [UInt8] {
        var bytes: [UInt8] = []
        for (name, value) in fields {
            bytes.append(0)
            for text in [name, value] {
                bytes.append(UInt8(text.utf8.count))
                bytes += Array(text.utf8)
            }
        }
        return bytes
    }

    private static func frames(_ bytes: [UInt8]) -> [(type: UInt8, payload: ArraySlice<UInt8>)] {
        var found: [(UInt8, ArraySlice<UInt8>)] = []
        var rest = bytes[...]
        while rest.count >= 9 {
            let start = rest.startIndex
            let count = Int(rest[start]) << 16 | Int(rest[start + 1]) << 8 | Int(rest[start + 2])
            guard rest.count >= 9 + count else { break }
            found.append((rest[start + 3], rest[(start + 9)..<(start + 9 + count)]))
            rest = rest.dropFirst(9 + count)
        }
        return found
    }
}
