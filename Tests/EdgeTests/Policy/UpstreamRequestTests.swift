import HTTP1Wire
import HTTPSemantics
import NIOCore
import Testing

@testable import Edge

@Suite struct UpstreamRequestTests {
    private let trace = TraceParent(traceID: (1, 2), parentID: 3, flags: 1)

    private func written(
        _ head: RequestHead, isPeerTrusted: Bool = false, _ change: (inout UpstreamRequest) -> Void = { _ in }
    ) -> [String] {
        var request = UpstreamRequest()
        change(&request)
        var buffer = ByteBuffer()
        var client = ClientIdentity(peer: "192.0.2.7")
        client.isPeerTrusted = isPeerTrusted
        request.write(head, client: client, trace: trace, into: &buffer)
        let text = String(buffer: buffer)
        #expect(text.hasSuffix("\r\n\r\n") && text.firstRange(of: "\r\n\r\n")?.upperBound == text.endIndex)
        return lines(buffer)
    }

    @Test func `the request line, Host and unknown fields pass in order and spelling`() throws {
        let result = written(try .get("/a?b=c", ["X-Odd: 1", "accept: text/html", "x-odd: 2"]))
        #expect(result[0] == "GET /a?b=c HTTP/1.1")
        #expect(result[1] == "Host: a.example")
        #expect(Array(result[2...4]) == ["X-Odd: 1", "accept: text/html", "x-odd: 2"])
    }

    @Test(arguments: [
        "Connection: keep-alive", "Keep-Alive: 5", "Proxy-Authenticate: Basic", "Proxy-Authorization: Basic x",
        "Proxy-Connection: x",
        "TE: trailers", "Trailer: X", "Upgrade: websocket", "Expect: 100-continue", "Forwarded: for=6.6.6.6",
        "X-Forwarded-For: 6.6.6.6",
        "X-Forwarded-Host: evil", "X-Forwarded-Proto: https", "X-Real-IP: 6.6.6.6", "Accept-Encoding: gzip", "X_Forwarded_For: 6.6.6.6",
    ])
    func `fields of this connection, and what a client claims to be forwarded, go no further`(field: String) throws {
        #expect(!written(try .get("/", [field])).contains(field))
    }

    @Test(arguments: ["X-Forwarded-Port: 1", "x-forwarded-ssl: on", "X-Forwarded-Scheme: https", "X-Forwarded-Server: evil", "X_Forwarded-Prefix: /evil"])
    func `what proxies say besides goes no further, unless a trusted one says it`(field: String) throws {
        #expect(!written(try .get("/", [field])).contains(field))
        #expect(written(try .get("/", [field]), isPeerTrusted: true).contains(field))
        #expect(written(try .get("/", [field + "s", "X-Forwarded-Ports: 1"])).contains("X-Forwarded-Ports: 1"))
    }

    @Test(arguments: ["X_Role: admin", "x-internal_Role: 1", "X_Internal-Role: 1", "X-Internal_role: 1"])
    func `what a route sets or removes cannot be said with underscores either`(field: String) throws {
        var rules = HeaderRules()
        rules.set = [HeaderField(name: "X-Role", value: "user")]
        rules.removed = ["X-Internal-Role"]
        let written = written(try .get("/", [field, "X_Rol: 1", "X_Roles: 2"])) { $0.rules = HeaderRuleSet(rules) }
        #expect(!written.contains(field) && written.contains("X-Role: user") && written.contains("X_Rol: 1") && written.contains("X_Roles: 2"))
    }

    @Test func `Trailer goes with the trailers (RFC 9110 §6.6.2)`() throws {
        let head = try RequestHead.parsed("POST / HTTP/1.1", ["Transfer-Encoding: chunked", "Trailer: X-Sum"])
        #expect(written(head) { $0.framing = .chunked }.contains("Trailer: X-Sum"))
        #expect(!written(head) { $0.framing = .length(5) }.contains("Trailer: X-Sum"))
    }

    @Test(arguments: ["A.Example:80", "a.example:", "A.EXAMPLE", "a.example"])
    func `an application whose answer may be stored reads the host as it is in the key`(host: String) throws {
        let head = try RequestHead.parsed("GET / HTTP/1.1", host: host)
        let stored = written(head) { $0.keying = CacheKeying(scope: [], CacheKeyRules()) }
        #expect(stored[1] == "Host: a.example" && stored.contains("X-Forwarded-Host: a.example"))
        #expect(stored.contains { $0.hasPrefix("Forwarded: ") && $0.hasSuffix("host=\"a.example\"") })
        #expect(written(head)[1] == "Host: \(host)")
    }

    @Test func `what Connection names goes no further`() throws {
        let result = written(try .get("/", ["Connection: close, X-Secret ,X-Other", "x-secret: 1", "X-OTHER: 2", "X-Stays: 3"]))
        #expect(!result.contains("x-secret: 1") && !result.contains("X-OTHER: 2"))
        #expect(result.contains("X-Stays: 3"))
    }

    @Test func `Connection cannot take away what the edge says itself`() throws {
        let head = try RequestHead.parsed(
            "POST / HTTP/1.1", ["Connection: Host, Content-Length, X-Forwarded-For, Via, traceparent", "Content-Length: 3"])
        let result = written(head) { $0.framing = .length(3) }
        for field in ["Host: a.example", "Content-Length: 3", "X-Forwarded-For: 192.0.2.7", "Via: 1.1 headrace"] {
            #expect(result.contains(field))
        }
    }

    @Test func `the application learns who asked, by which name, and in which trace`() throws {
        let result = written(try .get("/", ["traceparent: 00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-00"]))
        #expect(result.contains("X-Forwarded-For: 192.0.2.7") && result.contains("X-Real-IP: 192.0.2.7"))
        #expect(result.contains("X-Forwarded-Host: a.example") && result.contains("X-Forwarded-Proto: http"))
        #expect(
            result.filter { $0.hasPrefix("traceparent:") } == [
                "traceparent: 00-00000000000000010000000000000002-0000000000000003-01"
            ])
    }

    @Test func `Via says in which version the request came, after those before`() throws {
        #expect(written(try .get("/", ["Via: 1.1 cdn"])).filter { $0.hasPrefix("Via") } == ["Via: 1.1 cdn", "Via: 1.1 headrace"])
        #expect(written(try .parsed("GET / HTTP/1.0")).contains("Via: 1.0 headrace"))
    }

    @Test func `the plain response is asked for, unless the edge does not compress`() throws {
        let head = try RequestHead.get("/", ["Accept-Encoding: gzip, br"])
        #expect(written(head).filter { $0.hasPrefix("Accept-Encoding") } == ["Accept-Encoding: identity"])
        #expect(
            written(head) { $0.wantsIdentity = false }.filter { $0.hasPrefix("Accept-Encoding") } == ["Accept-Encoding: gzip, br"]
        )
    }

    @Test func `framing is the edge's own`() throws {
        #expect(!written(try .get()).contains { $0.hasPrefix("Content-Length") || $0.hasPrefix("Transfer-Encoding") })
        let post = try RequestHead.parsed("POST / HTTP/1.1", ["content-length: 7"])
        #expect(
            written(post) { $0.framing = .length(7) }.filter { $0.lowercased().hasPrefix("content-length") } == [
                "Content-Length: 7"
            ])
        let chunked = try RequestHead.parsed("POST / HTTP/1.1", ["transfer-encoding: Chunked"])
        #expect(
            written(chunked) { $0.framing = .chunked }.filter { $0.lowercased().hasPrefix("transfer") } == [
                "Transfer-Encoding: chunked"
            ])
    }

    @Test func `conditions pass with the tags of our codings mapped back`() throws {
        let fields = [
            "If-None-Match: \"a~gz\"", "If-Match: \"b~br1\"", "If-Modified-Since: Sat, 31 Jan 2026 12:00:00 GMT",
            "If-Range: \"c~gz\"",
        ]
        let result = written(try .get("/", fields))
        #expect(result.contains("If-None-Match: \"a\"") && result.contains("If-Match: \"b\""))
        #expect(result.contains(fields[2]))
        #expect(
            result.contains(fields[3]),
            "a part of the plain response does not fit a client's coded bytes, so its tag must not match")
    }

    @Test func `when the response is for all, no client's conditions pass`() throws {
        let fields = ["If-None-Match: \"a\"", "If-Match: \"b\"", "If-Modified-Since: x", "If-Unmodified-Since: y"]
        let result = written(try .get("/", fields)) { $0.conditions = .none }
        #expect(!result.contains { $0.hasPrefix("If-") })
    }

    @Test func `a revalidation asks with the stored validators`() throws {
        let result = written(try .get("/", ["If-None-Match: \"mine\""])) {
            $0.conditions = .revalidate(EntityTag(isWeak: true, opaque: Array("v1".utf8)), lastModified: 0)
        }
        #expect(
            result.filter { $0.hasPrefix("If-") } == [
                "If-None-Match: W/\"v1\"", "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
            ])
    }

    @Test func `absolute-form goes on in origin-form, and a configured host replaces the client's`() throws {
        let head = try RequestHead.parsed("GET http://a.example/x HTTP/1.1")
        #expect(written(head).prefix(2) == ["GET /x HTTP/1.1", "Host: a.example"])
        let result = written(head) { $0.host = "app.internal" }
        #expect(result[1] == "Host: app.internal" && result.contains("X-Forwarded-Host: a.example"))
    }
}
