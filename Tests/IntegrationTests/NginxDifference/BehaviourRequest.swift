/// A request that is put to nginx and to the edge alike, byte for byte but for entity tags, which each server makes in its own way:
/// `{etag}` stands for the one that the server itself gives ``file``.
struct BehaviourRequest: Sendable {
    let text: String

    /// The file that most of the requests are about: 1000 digits.
    static let file = "/digits.txt"
    /// Its `Last-Modified`, and that of all files.
    static let modified = "Tue, 02 Jan 2024 03:04:05 GMT"
    static let modifiedUnixSeconds = 1_704_164_645.0

    var method: String { String(text.drop { $0.isNewline }.prefix { $0 != " " }) }

    /// What was sent, on one line.
    var label: String {
        let line = text.replacing("\r\n", with: " ⏎ ").replacing("\r", with: "␍").replacing("\n", with: "␊").replacing("\0", with: "␀")
        return line.count > 160 ? line.prefix(150) + "… (\(text.utf8.count) bytes)" : line
    }

    private static func request(
        _ method: String, _ target: String, _ fields: [String] = [], body: String = "", version: String = "HTTP/1.1", host: [String] = ["Host: a.example"]
    ) -> BehaviourRequest {
        BehaviourRequest(text: (["\(method) \(target) \(version)"] + host + fields).joined(separator: "\r\n") + "\r\n\r\n" + body)
    }

    private static func get(_ target: String, _ fields: String...) -> BehaviourRequest { request("GET", target, fields) }

    private static func post(_ target: String, _ fields: [String], _ body: String) -> BehaviourRequest {
        request("POST", target, fields, body: body)
    }

    /// All of them.
    static let all: [BehaviourRequest] =
        methods + files + paths + ranges + conditions + codings + versions + hosts + fieldSyntax + framing + responses + brokenResponses + policies

    private static let methods: [BehaviourRequest] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "BREW", "get"].flatMap { method in
            // What may have a body says how long it is.
            let fields = ["GET", "HEAD", "OPTIONS", "TRACE"].contains(method) ? [] : ["Content-Length: 0"]
            return [request(method, file, fields), request(method, "/app/seen", fields)]
        } + [
            request("CONNECT", "a.example:443", host: ["Host: a.example:443"]), request("OPTIONS", "*"), request("GET", "*"),
            request("TRACE", "/app/seen", ["Max-Forwards: 0"]), request("OPTIONS", "/app/seen", ["Max-Forwards: 3"]),
        ]

    private static let files: [BehaviourRequest] = [
        "/", "/index.html", "/page.html", "/site.css", "/app.js", "/data.json", "/picture.png", "/picture.svg", "/font.woff2", "/odd.xyz",
        "/noextension", "/empty.txt", "/large.bin", "/docs/", "/docs", "/docs?x=1", "/bare/", "/bare", "/missing.txt", "/missing/", "/.env",
        "/docs/.hidden", "/.well-known/security.txt", "/digits.txt/", "/digits.txt?x=1", "/index.html?", "/a%20b.txt", "/%C3%A9.txt",
    ].flatMap { target in [request("GET", target), request("HEAD", target)] }

    private static let paths: [BehaviourRequest] = [
        "//digits.txt", "/docs//index.html", "/./digits.txt", "/docs/../digits.txt", "/../digits.txt", "/docs/%2e%2e/digits.txt",
        "/docs%2findex.html", "/digits%2Etxt", "/%64igits.txt", "/digits.txt%00", "/digits.txt%", "/digits.txt%zz", "/digits.txt#part",
        "/docs\\index.html", "/docs/..", "/docs/.", "/é.txt", "/digits.txt;x=1", "/digits.txt%20", "/DIGITS.TXT", "/a b.txt", "digits.txt",
        "/app/%73een", "/app//seen", "/app/../app/seen", "/app/x/../seen", "/app/seen?a=%00", "/app/seen?", "/app/seen#part", "/app",
    ].map { get($0) }

    private static let ranges: [BehaviourRequest] = [
        "bytes=0-0", "bytes=5-14", "bytes=990-", "bytes=-5", "bytes=-0", "bytes=-2000", "bytes=0-1999", "bytes=999-1000", "bytes=1000-",
        "bytes=5-4", "bytes=", "bytes=-", "bytes=a-b", "bytes 0-1", "items=0-1", "Bytes=0-1", "bytes= 0-1", "bytes=0-1,", "bytes=0-1, 3-4",
        "bytes=0-2,500-502,-3", "bytes=0-0,900-900", "bytes=0-99,50-149", "bytes=500-502,0-2", "bytes=0-2,2000-", "bytes=2000-,3000-",
        "bytes=0-,0-", "bytes=99999999999999999999-", "bytes=0-99999999999999999999",
        "bytes=" + (0..<40).map { "\($0 * 20)-\($0 * 20)" }.joined(separator: ","),
    ].map { get(file, "Range: " + $0) } + [
        request("HEAD", file, ["Range: bytes=0-1"]), request("POST", file, ["Range: bytes=0-1", "Content-Length: 0"]),
        get("/empty.txt", "Range: bytes=0-0"), get("/large.bin", "Range: bytes=1000000-1000009"), get("/missing.txt", "Range: bytes=0-0"),
        get("/page.html", "Range: bytes=0-9", "Accept-Encoding: gzip"), get(file, "Range: bytes=0-1", "Range: bytes=3-4"),
        get("/app/length", "Range: bytes=0-1"), get("/app/page", "Range: bytes=0-1"), get("/app/part", "Range: bytes=0-4"),
        get(file, "Range: bytes=0-0", "If-Range: {etag}"), get(file, "Range: bytes=0-0", "If-Range: \"x\""),
        get(file, "Range: bytes=0-0", "If-Range: W/{etag}"), get(file, "Range: bytes=0-0", "If-Range: \(modified)"),
        get(file, "Range: bytes=0-0", "If-Range: \(earlier)"), get(file, "Range: bytes=0-0", "If-Range: \(later)"),
        get(file, "Range: bytes=2000-", "If-Range: \"x\""),
    ]

    private static let earlier = "Mon, 01 Jan 2024 03:04:05 GMT"
    private static let later = "Wed, 03 Jan 2024 03:04:05 GMT"

    private static let conditions: [BehaviourRequest] = [
        ["If-None-Match: {etag}"], ["If-None-Match: W/{etag}"], ["If-None-Match: \"x\""], ["If-None-Match: *"], ["If-None-Match: \"x\", {etag}"],
        ["If-None-Match: x"], ["If-None-Match: "], ["If-Match: {etag}"], ["If-Match: W/{etag}"], ["If-Match: *"], ["If-Match: \"x\""],
        ["If-Match: \"x\",{etag}"], ["If-Modified-Since: \(modified)"], ["If-Modified-Since: \(earlier)"], ["If-Modified-Since: \(later)"],
        ["If-Modified-Since: yesterday"], ["If-Modified-Since: Tuesday, 02-Jan-24 03:04:05 GMT"], ["If-Modified-Since: Tue Jan  2 03:04:05 2024"],
        ["If-Unmodified-Since: \(modified)"], ["If-Unmodified-Since: \(earlier)"], ["If-Unmodified-Since: \(later)"],
        ["If-Unmodified-Since: yesterday"], ["If-None-Match: \"x\"", "If-Modified-Since: \(modified)"],
        ["If-None-Match: {etag}", "If-Modified-Since: \(earlier)"], ["If-Match: {etag}", "If-Unmodified-Since: \(earlier)"],
        ["If-Match: \"x\"", "If-None-Match: {etag}"], ["If-None-Match: {etag}", "Range: bytes=0-0"], ["If-Match: \"x\"", "Range: bytes=0-0"],
    ].map { request("GET", file, $0) } + [
        request("HEAD", file, ["If-None-Match: {etag}"]), request("HEAD", file, ["If-Match: \"x\""]),
        get("/page.html", "If-None-Match: \"x\"", "Accept-Encoding: gzip"), get("/missing.txt", "If-None-Match: *"),
        get("/large.bin", "If-Modified-Since: \(modified)"), get("/large.bin", "If-Match: \"x\""),
        get("/app/page"), get("/app/page", "If-None-Match: \"p1\""), get("/app/page", "If-None-Match: W/\"p1\""), get("/app/page", "If-None-Match: \"x\""),
        get("/app/page", "If-Modified-Since: \(modified)"), get("/app/page", "If-Match: \"x\""), get("/app/conditional", "If-None-Match: \"c\""),
        get("/app/conditional", "If-None-Match: \"d\""), request("HEAD", "/app/page", ["If-None-Match: \"p1\""]),
    ]

    private static let codings: [BehaviourRequest] = [
        "gzip", "br", "zstd", "gzip, br", "br;q=0.1, gzip", "identity", "*", "gzip;q=0", "*;q=0", "identity;q=0", "GZIP", "x-gzip", "deflate",
        "gzip;q=0.5, identity;q=0.9", "gzip;q=x", "",
    ].map { get("/page.html", "Accept-Encoding: " + $0) } + [
        get("/page.html", "Accept-Encoding: gzip", "Accept-Encoding: br"), request("HEAD", "/page.html", ["Accept-Encoding: gzip"]),
        request("GET", "/page.html", ["Accept-Encoding: gzip"], version: "HTTP/1.0"), get("/picture.png", "Accept-Encoding: gzip"),
        get(file, "Accept-Encoding: gzip"), get("/index.html", "Accept-Encoding: gzip"), get("/app.js", "Accept-Encoding: gzip"),
        get("/data.json", "Accept-Encoding: gzip"), get("/picture.svg", "Accept-Encoding: gzip"), get("/missing.txt", "Accept-Encoding: gzip"),
        get("/app/page", "Accept-Encoding: gzip"), get("/app/chunked", "Accept-Encoding: gzip"), get("/app/coded", "Accept-Encoding: gzip"),
        get("/app/coded"), get("/app/untransformed", "Accept-Encoding: gzip"), get("/app/vary", "Accept-Encoding: gzip"),
        get("/app/accepted", "Accept-Encoding: gzip"),
    ]

    private static let versions: [BehaviourRequest] = [
        request("GET", file, version: "HTTP/1.0"), request("GET", file, ["Connection: keep-alive"], version: "HTTP/1.0"),
        request("GET", file, version: "HTTP/1.0", host: []), get(file, "Connection: close"), get(file, "Connection: keep-alive"),
        get(file, "Connection: Keep-Alive, close"), request("GET", file, version: "HTTP/1.2"), request("GET", file, version: "HTTP/2.0"),
        request("GET", file, version: "HTTP/1."), request("GET", file, version: "http/1.1"), request("GET", file, version: "HTTP/1.1 "),
        request("GET", "/app/chunked", version: "HTTP/1.0"), request("GET", "/app/length", version: "HTTP/1.0"),
        request("GET", "/app/close", version: "HTTP/1.0"), BehaviourRequest(text: "\r\n" + get(file).text),
        BehaviourRequest(text: "GET \(file) HTTP/1.1\nHost: a.example\n\n"), BehaviourRequest(text: "GET  \(file) HTTP/1.1\r\nHost: a.example\r\n\r\n"),
        BehaviourRequest(text: "\u{16}\u{3}\u{1}\r\n\r\n"), get("/app/seen", "Upgrade: h2c", "Connection: Upgrade"),
    ]

    private static let hosts: [BehaviourRequest] = [
        [], ["Host: "], ["Host: a.example", "Host: a.example"], ["Host: a.example:8080"], ["Host: A.EXAMPLE"], ["Host: a b"], ["Host: a/b"],
        ["Host: a@b"], ["Host: [::1]:80"], ["Host: a.example:x"],
    ].map { request("GET", "/app/seen", host: $0) } + [
        request("GET", "http://a.example/app/seen"), request("GET", "http://b.example/app/seen"), request("GET", "http://a.example"),
        request("GET", "https://a.example/app/seen"), request("GET", "ftp://a.example/app/seen"),
    ]

    private static let fieldSyntax: [BehaviourRequest] = [
        "nothing", "X-Test : 1", ": 1", "X-Test: 1\r\n folded", "x_under: 1", "X-Test: a\0b", "X-Test: a\u{1}b", "X-Test: a\rb", "X-Test:", "X-Test:  a \t",
        "X-Test: é", "X Test: 1", "X-Test: \(String(repeating: "x", count: 9000))", "Cookie: a=1\r\nCookie: b=2", "Connection: X-Test\r\nX-Test: 1",
        "TE: trailers\r\nConnection: TE", "X-Forwarded-For: 1.2.3.4", "Proxy-Authorization: Basic x", "Keep-Alive: 5",
    ].map { get("/app/seen", $0) } + [
        request("GET", "/app/seen", (0..<99).map { "X-\($0): 1" }), request("GET", "/app/seen", (0..<120).map { "X-\($0): 1" }),
        get("/app/seen?" + String(repeating: "x", count: 7000)), get("/app/seen?" + String(repeating: "x", count: 9000)),
    ]

    private static let framing: [BehaviourRequest] = [
        post("/app/seen", ["Content-Length: 5"], "hello"), post("/app/seen", ["Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\n\r\n"),
        post("/app/seen", ["Content-Length: 5", "Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\n\r\n"),
        post("/app/seen", ["Content-Length: 5", "Content-Length: 5"], "hello"), post("/app/seen", ["Content-Length: 5", "Content-Length: 6"], "hello"),
        post("/app/seen", ["Content-Length: 5, 5"], "hello"), post("/app/seen", ["Content-Length: -1"], ""), post("/app/seen", ["Content-Length: +5"], "hello"),
        post("/app/seen", ["Content-Length: abc"], ""), post("/app/seen", ["Content-Length: 99999999999999999999"], ""),
        post("/app/seen", ["Content-Length: 70000000"], ""), post("/app/seen", ["Transfer-Encoding: gzip, chunked"], "0\r\n\r\n"),
        post("/app/seen", ["Transfer-Encoding: identity"], ""), post("/app/seen", ["Transfer-Encoding: chunked, chunked"], "0\r\n\r\n"),
        post("/app/seen", ["Transfer-Encoding: CHUNKED"], "0\r\n\r\n"), post("/app/seen", ["Transfer-Encoding: chunked"], "x\r\nhello\r\n0\r\n\r\n"),
        post("/app/seen", ["Transfer-Encoding: chunked"], "5;a=b\r\nhello\r\n0\r\n\r\n"),
        post("/app/seen", ["Transfer-Encoding: chunked"], "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
        post("/app/seen", ["Transfer-Encoding: chunked"], "ffffffffffffffffff\r\n"), post("/app/seen", ["Transfer-Encoding: chunked"], "5\r\nhelloX\r\n0\r\n\r\n"),
        request("POST", "/app/seen", ["Transfer-Encoding: chunked"], body: "0\r\n\r\n", version: "HTTP/1.0"), post("/app/seen", [], ""),
        request("GET", "/app/seen", ["Content-Length: 5"], body: "hello"), request("DELETE", "/app/seen", ["Content-Length: 5"], body: "hello"),
        post("/app/seen", ["Content-Length: 5", "Expect: 100-continue"], "hello"), post("/app/seen", ["Content-Length: 5", "Expect: wonders"], "hello"),
        post("/small/seen", ["Content-Length: 10"], "0123456789"), post("/small/seen", ["Content-Length: 11"], "0123456789a"),
        post("/small/seen", ["Transfer-Encoding: chunked"], "b\r\n0123456789a\r\n0\r\n\r\n"),
        post("/app/seen", ["Content-Length: 5", "Content-Type: text/plain", "Content-Encoding: gzip"], "hello"),
    ]

    /// What the application says, and what becomes of it.
    private static let responses: [BehaviourRequest] =
        [201, 202, 203, 204, 205, 206, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 409, 410, 412, 413, 416, 418, 422, 429, 451,
            500, 501, 502, 503, 504, 599,
        ].map { get("/app/status/\($0)") } + [
            get("/app/length"), get("/app/chunked"), get("/app/close"), get("/app/hop"), get("/app/cookie"), get("/app/vary"), get("/app/weak"),
            get("/app/redirect/own"), get("/app/redirect/path"), get("/app/redirect/other"), get("/app/hints"), get("/app/trailers"), get("/app/typeless"),
            get("/app/reason"), get("/app/old"), request("HEAD", "/app/length"), request("HEAD", "/app/chunked"), request("HEAD", "/app/coded"),
            request("HEAD", "/app/status/404"), request("HEAD", "/app/redirect/path"), get("/app/head-6k"), get("/app/head-30k"), get("/app/server"),
        ]

    /// What no application should say.
    private static let brokenResponses: [BehaviourRequest] = [
        "nothing", "garbage", "half-head", "no-colon", "length", "two-lengths", "both", "short", "long", "chunk", "short-chunk", "body-of-204", "status-42",
        "version-2", "slow", "folded", "interim-101",
    ].map { get("/app/broken/" + $0) } + [
        get("/gone/x"), request("HEAD", "/gone/x"), post("/gone/x", ["Content-Length: 5"], "hello"), post("/app/broken/nothing", ["Content-Length: 2"], "hi"),
    ]

    /// What stands in the configuration.
    private static let policies: [BehaviourRequest] = [
        get("/moved"), get("/moved?x=1"), request("HEAD", "/moved"), post("/moved", ["Content-Length: 0"], ""), get("/fixed"), request("HEAD", "/fixed"),
        post("/fixed", ["Content-Length: 2"], "hi"), get("/fixed", "Range: bytes=0-1"), get("/private/note.txt"),
        get("/private/note.txt", "Authorization: Basic dXNlcjp3cm9uZw=="), get("/private/note.txt", "Authorization: Basic dXNlcjpzZWNyZXQ="),
        get("/private/note.txt", "Authorization: Bearer x"), request("HEAD", "/private/note.txt"), get("/private/missing.txt", "Authorization: Basic dXNlcjpzZWNyZXQ="),
    ]
}
