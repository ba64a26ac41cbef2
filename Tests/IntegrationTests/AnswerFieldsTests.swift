import Foundation
import Synchronization
import TestSupport
import Testing

/// Every answer says what the cache did (RFC 9211) and how long it took, whoever made it and whatever it is.
@Suite struct AnswerFieldsTests {
    /// An edge with everything that makes answers.
    private final class Site: Sendable {
        let edge: HeadraceProcess
        private let origin: ScriptedOrigin
        private let folder: TemporaryFolder
        private let configuration: TemporaryFile
        /// Holds the one connection of the group `busy`.
        private let busyGate = ScriptedOrigin.Gate()
        private let busyClient: Mutex<RawClient>

        static let shared: Result<Site, any Error> = Result { try Site() }

        init() throws {
            let busyGate = busyGate
            origin = try ScriptedOrigin { request in
                let page = String(repeating: "0123456789", count: 100)
                switch request.target.prefix(while: { $0 != "?" }) {
                case "/silent": return []
                case "/busy/first": return [.waitFor(busyGate), .send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: page))]
                case "/broken": return [.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"), .close]
                case "/gone": return [.send(ScriptedOrigin.response(status: "410 Gone", fields: ["Cache-Control: no-store"], body: "gone"))]
                case "/stale" where request.field("If-None-Match") != nil:
                    return [.send("HTTP/1.1 304 Not Modified\r\nETag: \"v\"\r\nCache-Control: max-age=0\r\n\r\n")]
                case "/stale": return [.send(ScriptedOrigin.response(fields: ["ETag: \"v\"", "Cache-Control: max-age=0"], body: page))]
                default:
                    guard request.method != "HEAD" else { return [.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nCache-Control: max-age=600\r\n\r\n")] }
                    return [.send(ScriptedOrigin.response(fields: ["ETag: \"v\"", "Cache-Control: max-age=600", "Content-Type: text/plain"], body: page))]
                }
            }
            folder = try TemporaryFolder()
            try FileManager.default.createDirectory(at: folder.url.appending(path: "files/sub"), withIntermediateDirectories: true)
            try Data("hello".utf8).write(to: folder.url.appending(path: "files/hello.txt"))
            try Data("alice:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n".utf8).write(to: folder.url.appending(path: "users"))
            configuration = try TemporaryFile(
                """
                edge:
                  limits: {request_line: 1KB, head: 2KB, body: 1KB}
                  deadlines: {request_head: 300ms, request_body: 300ms}
                  upstreams:
                    app: {members: ["\(origin.url)"], first_byte_timeout: 300ms}
                    dead: http://127.77.0.8:9
                    busy: {members: ["\(origin.url)"], max_connections: 1, wait_timeout: 300ms, first_byte_timeout: 1h}
                  routes:
                    - {match: {path: [/redirect]}, redirect: {to: "https://b.example/", status: 308}}
                    - {match: {path: [/respond]}, respond: {status: 404, body: none}}
                    - {match: {path: [/files]}, files: {root: "\(folder.path)"}}
                    - {match: {path: [/closed]}, upstream: app, maintenance: {enabled: true}}
                    - {match: {path: [/dead]}, upstream: dead}
                    - {match: {path: [/members]}, upstream: app, basic_auth: {file: "\(folder.path)/users"}}
                    - {match: {path: [/health]}, page: health}
                    - {match: {path: [/busy]}, upstream: busy}
                    - {match: {path: [/]}, upstream: app}
                """, name: "headrace.yaml")
            edge = try HeadraceProcess(["--config", configuration.path])
            let client = try RawClient(port: edge.port)
            client.send("GET /busy/first HTTP/1.1\r\nHost: a.example\r\nAuthorization: Basic eDp5\r\n\r\n")
            busyClient = Mutex(client)
            let origin = origin
            guard eventually({ origin.requestCount == 1 }) else { throw RawClient.Failure(description: "the first request does not arrive") }
        }
    }

    /// What is asked, what comes, and what is said of it.
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var request: String
        var status: Int
        /// Of Cache-Status, besides our name.
        var said: String
        /// Whether the application made it, now: then its time is in Server-Timing.
        var isForwarded = false
        /// How often it is asked; the last answer counts.
        var times = 1
        var hasBody = true

        var testDescription: String { name }

        static func get(_ target: String, _ fields: String...) -> String { request("GET", target, fields) }

        /// One of the edge's own pages, which the application does not have.
        static func getOwnPage(_ target: String) -> String { "GET \(target) HTTP/1.1\r\nHost: localhost\r\n\r\n" }

        static func request(_ method: String, _ target: String, _ fields: [String] = []) -> String {
            (["\(method) \(target) HTTP/1.1", "Host: a.example"] + fields).joined(separator: "\r\n") + "\r\n\r\n"
        }
    }

    private static let long = String(repeating: "a", count: 2100)

    static let cases: [Case] = [
        Case(name: "miss", request: Case.get("/miss"), status: 200, said: "fwd=uri-miss; stored", isForwarded: true),
        Case(name: "hit", request: Case.get("/hit"), status: 200, said: "hit; ttl=", times: 2),
        Case(name: "hit in gzip", request: Case.get("/gzip", "Accept-Encoding: gzip"), status: 200, said: "hit; ttl=", times: 2),
        Case(name: "HEAD of a hit", request: Case.request("HEAD", "/hit"), status: 200, said: "hit; ttl=", times: 2, hasBody: false),
        Case(name: "HEAD of a miss", request: Case.request("HEAD", "/head"), status: 200, said: "fwd=", isForwarded: true, hasBody: false),
        Case(name: "304 of a hit", request: Case.get("/304", "If-None-Match: \"v\""), status: 304, said: "hit; ttl=", times: 2, hasBody: false),
        Case(name: "206 of a hit", request: Case.get("/206", "Range: bytes=0-3"), status: 206, said: "hit; ttl=", times: 2),
        Case(name: "416 of a hit", request: Case.get("/416", "Range: bytes=5000-"), status: 416, said: "hit; ttl=", times: 2),
        Case(name: "412 of a hit", request: Case.get("/412", "If-Match: \"w\""), status: 412, said: "", times: 2),
        Case(name: "504 of only-if-cached", request: Case.get("/oic", "Cache-Control: only-if-cached"), status: 504, said: ""),
        Case(name: "revalidated", request: Case.get("/stale"), status: 200, said: "fwd=stale; fwd-status=304", isForwarded: true, times: 2),
        Case(
            name: "past the cache", request: Case.get("/pass", "Authorization: Basic eDp5"), status: 200, said: "fwd=", isForwarded: true),
        Case(name: "not stored", request: Case.get("/gone"), status: 410, said: "fwd=uri-miss; detail=", isForwarded: true),
        Case(name: "POST", request: Case.request("POST", "/post", ["Content-Length: 0"]), status: 200, said: "fwd=method", isForwarded: true),
        Case(name: "OPTIONS", request: Case.request("OPTIONS", "/options"), status: 200, said: "fwd=method", isForwarded: true),
        Case(name: "OPTIONS *", request: Case.request("OPTIONS", "*"), status: 200, said: "fwd=method", isForwarded: true),
        Case(name: "PURGE, refused", request: Case.request("PURGE", "/hit"), status: 405, said: ""),
        Case(name: "redirect", request: Case.get("/redirect"), status: 308, said: ""),
        Case(name: "answer of the configuration", request: Case.get("/respond"), status: 404, said: ""),
        Case(name: "file", request: Case.get("/files/hello.txt"), status: 200, said: ""),
        Case(name: "HEAD of a file", request: Case.request("HEAD", "/files/hello.txt"), status: 200, said: "", hasBody: false),
        Case(name: "206 of a file", request: Case.get("/files/hello.txt", "Range: bytes=1-2"), status: 206, said: ""),
        Case(name: "304 of a file", request: Case.get("/files/hello.txt", "If-None-Match: *"), status: 304, said: "", hasBody: false),
        Case(name: "folder without its slash", request: Case.get("/files/sub"), status: 301, said: ""),
        Case(name: "folder without an index", request: Case.get("/files/sub/"), status: 404, said: ""),
        Case(name: "no such file", request: Case.get("/files/none"), status: 404, said: ""),
        Case(name: "POST to files", request: Case.request("POST", "/files/hello.txt", ["Content-Length: 0"]), status: 405, said: ""),
        Case(name: "metrics", request: Case.getOwnPage("/metrics"), status: 200, said: ""),
        Case(name: "health", request: Case.get("/health"), status: 200, said: ""),
        Case(name: "no password", request: Case.get("/members"), status: 401, said: ""),
        Case(name: "maintenance", request: Case.get("/closed"), status: 503, said: ""),
        Case(name: "nobody there", request: Case.get("/dead"), status: 502, said: "fwd=uri-miss"),
        Case(name: "all connections busy", request: Case.get("/busy/second", "Authorization: Basic eDp5"), status: 503, said: "fwd=uri-miss"),
        Case(name: "CONNECT", request: "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", status: 501, said: ""),
        Case(name: "broken application", request: Case.get("/broken"), status: 502, said: "fwd=uri-miss"),
        Case(name: "silent application", request: Case.get("/silent"), status: 504, said: "fwd=uri-miss"),
        Case(name: "malformed", request: "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", status: 400, said: ""),
        Case(name: "no host", request: "GET / HTTP/1.1\r\n\r\n", status: 400, said: ""),
        Case(name: "slow head", request: "GET / HTTP/1.1\r\n", status: 408, said: ""),
        Case(name: "slow body", request: Case.request("POST", "/post", ["Content-Length: 10"]) + "12345", status: 408, said: ""),
        Case(name: "dashboard", request: Case.getOwnPage("/performance"), status: 200, said: ""),
        Case(name: "events of the dashboard", request: Case.getOwnPage("/performance/events"), status: 200, said: "", hasBody: false),
        Case(name: "large body", request: Case.request("POST", "/post", ["Content-Length: 1025"]), status: 413, said: ""),
        Case(name: "long target", request: Case.get("/\(long)"), status: 414, said: ""),
        Case(name: "unknown expectation", request: Case.request("POST", "/post", ["Content-Length: 1", "Expect: wonders"]), status: 417, said: ""),
        Case(name: "large head", request: Case.get("/", "X: \(long)"), status: 431, said: ""),
        Case(name: "other version", request: "GET / HTTP/2.0\r\nHost: a\r\n\r\n", status: 505, said: ""),
    ]

    @Test(arguments: cases) func `says Cache-Status and Server-Timing, each once`(test: Case) throws {
        let port = try Site.shared.get().edge.port
        // What fills the store first is a GET, whatever is asked of it.
        for _ in 1..<max(test.times, 1) { _ = try RawClient.get(port: port, String(test.request.split(separator: " ")[1]), ["Accept-Encoding: gzip"]) }
        let response = try RawClient.exchange(port: port, test.request, hasBody: test.hasBody, seconds: 30)
        #expect(response.status == test.status, "\(response.head)")
        // RFC 9211, §2: a list member with its parameters. `hit` and `fwd` exclude each other.
        let status = try #require(response.field("Cache-Status"), "\(response.head)")
        let form =
            /headrace(; hit; ttl=-?\d+|; fwd=(bypass|method|uri-miss|vary-miss|stale|request)(; fwd-status=\d{3})?(; collapsed)?)?(; stored)?(; detail=[A-Za-z0-9-]+)?/
        #expect(status.wholeMatch(of: form) != nil, "\(status)")
        #expect(test.said.isEmpty || status.contains("; " + test.said), "\(status)")
        // W3C Server Timing, §2.
        let timing = try #require(response.field("Server-Timing"), "\(response.head)")
        #expect(try timing.wholeMatch(of: ServerTiming.form) != nil, "\(timing)")
        let stages = ServerTiming.milliseconds(timing)
        if test.isForwarded { #expect(stages["first_byte"] != nil, "the application's time is in \(timing)") }
        if status.contains("; hit") { #expect(stages["first_byte"] == nil, "nobody asked the application: \(timing)") }
        // The stages are what the whole is made of; each is cut to three digits.
        let sum = stages.filter { $0.key != "edge" }.values.reduce(0, +)
        if stages.count > 1 { #expect(abs(sum - (stages["edge"] ?? 0)) < 0.008, "\(timing)") }
    }

    @Test func `an application's own Cache-Status and Server-Timing stand beside ours`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Status: inner; hit", "Server-Timing: db;dur=5", "Cache-Control: no-store"], body: "x")
        let edge = try HeadraceProcess(["--app", origin.url])
        let response = try RawClient.get(port: edge.port, "/")
        // RFC 9211, §2: in the order of the caches, the one nearest to the origin first.
        #expect(response.field("Cache-Status")?.hasPrefix("inner; hit, headrace; fwd=uri-miss") == true, "\(response.head)")
        let timing = try #require(response.field("Server-Timing"))
        #expect(timing.contains("db;dur=5") && timing.contains("edge;dur="), "\(timing)")
    }
}
