import Foundation
import TestSupport

/// The application behind nginx and the edge: it answers by the path alone, so that both get the same.
enum BehaviourOrigin {
    static func start() throws -> ScriptedOrigin {
        let coded = try Command.run("gzip", ["-nc"], input: Data(page.utf8)).output
        return try ScriptedOrigin { request in steps(request, coded: Array(coded)) }
    }

    /// 5 KB that compress well.
    static let page = "<!doctype html><title>page</title>" + String(repeating: "<p>the same words again</p>\n", count: 180)

    /// What an application may tell of: those fields that a proxy changes, drops or adds are not among them.
    private static let toldFields = [
        "Content-Type", "Content-Encoding", "Range", "If-Match", "If-None-Match", "If-Modified-Since", "Authorization", "Cookie", "TE",
        "Upgrade", "Expect", "Max-Forwards", "Keep-Alive", "Proxy-Authorization", "X-Test", "x_under",
    ]

    private static func steps(_ request: ScriptedOrigin.Request, coded: [UInt8]) -> [ScriptedOrigin.Step] {
        let path = request.target.prefix { $0 != "?" && $0 != "#" }
        let parts = path.split(separator: "/").dropFirst()
        let isHead = request.method == "HEAD"
        func answer(_ status: String = "200 OK", _ fields: [String] = [], _ body: String = "", type: String = "text/plain") -> [ScriptedOrigin.Step] {
            let lines = ["HTTP/1.1 \(status)", "Content-Type: \(type)"] + fields + ["Content-Length: \(body.utf8.count)"]
            return [.send(lines.joined(separator: "\r\n") + "\r\n\r\n" + (isHead ? "" : body))]
        }
        func raw(_ head: [String], _ body: String = "") -> [ScriptedOrigin.Step] {
            [.send(head.joined(separator: "\r\n") + "\r\n\r\n" + (isHead ? "" : body))]
        }
        let noStore = "Cache-Control: no-store"
        switch (parts.first, parts.dropFirst().first) {
        case ("status", let code?): return status(String(code), answer)
        case ("broken", let kind?): return broken(String(kind), raw)
        case ("redirect", "own"):
            return answer("302 Found", ["Location: http://\(request.field("Host") ?? "")/app/seen"])
        case ("redirect", "path"): return answer("302 Found", ["Location: /app/seen"])
        case ("redirect", _): return answer("302 Found", ["Location: http://other.example/"])
        case ("accepted", _): return answer("200 OK", [noStore], "Accept-Encoding: \(request.field("Accept-Encoding") ?? "")")
        case ("length", _): return answer("200 OK", [noStore], "of known length")
        case ("chunked", _):
            return raw(["HTTP/1.1 200 OK", "Content-Type: text/html", noStore, "Transfer-Encoding: chunked"], chunks([page, "end"]))
        case ("close", _): return raw(["HTTP/1.1 200 OK", "Content-Type: text/plain", noStore, "Connection: close"], "until it closes") + [.close]
        case ("old", _): return raw(["HTTP/1.0 200 OK", "Content-Type: text/plain", noStore], "of HTTP/1.0") + [.close]
        case ("page", _):
            return answer("200 OK", ["ETag: \"p1\"", "Last-Modified: \(BehaviourRequest.modified)", "Cache-Control: max-age=60"], page, type: "text/html")
        case ("conditional", _):
            if request.field("If-None-Match") == "\"c\"" { return raw(["HTTP/1.1 304 Not Modified", "ETag: \"c\""]) }
            return answer("200 OK", ["ETag: \"c\"", noStore], "conditional")
        case ("part", _): return answer("206 Partial Content", ["Content-Range: bytes 0-4/10"], "01234")
        case ("weak", _): return answer("200 OK", ["ETag: W/\"w\"", noStore], "weak")
        case ("coded", _):
            let head = ["HTTP/1.1 200 OK", "Content-Type: text/html", noStore, "Content-Encoding: gzip", "Content-Length: \(coded.count)"]
            return raw(head) + (isHead ? [] : [.sendBytes(coded)])
        case ("untransformed", _): return answer("200 OK", ["Cache-Control: no-store, no-transform"], page, type: "text/html")
        case ("vary", _): return answer("200 OK", ["Vary: Accept-Language", noStore], page, type: "text/html")
        case ("cookie", _): return answer("200 OK", ["Set-Cookie: a=1; Path=/", "Set-Cookie: b=2", noStore], "cookies")
        case ("hop", _): return answer("200 OK", ["Connection: X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5", noStore], "hop")
        case ("hints", _): return [.send("HTTP/1.1 103 Early Hints\r\nLink: </site.css>; rel=preload\r\n\r\n")] + answer("200 OK", [noStore], "after hints")
        case ("trailers", _):
            let head = ["HTTP/1.1 200 OK", "Content-Type: text/plain", noStore, "Trailer: X-Sum", "Transfer-Encoding: chunked"]
            return raw(head, "5\r\nhello\r\n0\r\nX-Sum: 9\r\n\r\n")
        case ("typeless", _): return raw(["HTTP/1.1 200 OK", noStore, "Content-Length: 4"], "what")
        case ("reason", _): return answer("200 Splendid", [noStore], "fine")
        case ("server", _): return answer("200 OK", ["Server: app/1", "X-Powered-By: tea", "Date: Mon, 01 Jan 2024 00:00:00 GMT", noStore], "named")
        case ("head-6k", _): return answer("200 OK", [noStore, "X-Long: " + String(repeating: "x", count: 6000)], "long")
        case ("head-30k", _): return answer("200 OK", [noStore] + (0..<10).map { "X-Long-\($0): " + String(repeating: "x", count: 3000) }, "longer")
        default: return answer("200 OK", [noStore], told(request))
        }
    }

    private static func told(_ request: ScriptedOrigin.Request) -> String {
        let fields = toldFields.compactMap { name in request.field(name).map { "\(name): \($0)" } }
        let body = request.field("Transfer-Encoding") == nil ? request.body : dechunked(request.body)
        return (["\(request.method) \(request.target)"] + fields + [body]).joined(separator: "\n")
    }

    private static func dechunked(_ text: String) -> String {
        var (rest, body) = (text[...], "")
        while let line = rest.range(of: "\r\n"), let count = Int(rest[..<line.lowerBound].prefix { $0 != ";" }, radix: 16), count > 0 {
            body += rest[line.upperBound...].prefix(count)
            rest = rest[line.upperBound...].dropFirst(count + 1)
        }
        return body
    }

    private static func chunks(_ parts: [String]) -> String {
        parts.map { "\(String($0.utf8.count, radix: 16))\r\n\($0)\r\n" }.joined() + "0\r\n\r\n"
    }

    private static func status(_ code: String, _ answer: (String, [String], String, String) -> [ScriptedOrigin.Step]) -> [ScriptedOrigin.Step] {
        switch code {
        case "204": [.send("HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\n\r\n")]
        case "304": [.send("HTTP/1.1 304 Not Modified\r\nETag: \"s\"\r\n\r\n")]
        case "401": answer("401 Unauthorized", ["WWW-Authenticate: Basic realm=\"app\""], "who?", "text/plain")
        case "405": answer("405 Method Not Allowed", ["Allow: PUT"], "not so", "text/plain")
        case "301", "302", "303", "307", "308": answer("\(code) Elsewhere", ["Location: /app/seen"], "there", "text/plain")
        case "416": answer("416 Range Not Satisfiable", ["Content-Range: bytes */10"], "beyond", "text/plain")
        default: answer("\(code) Reason", ["Cache-Control: no-store"], "status \(code)", "text/plain")
        }
    }

    private static func broken(_ kind: String, _ raw: ([String], String) -> [ScriptedOrigin.Step]) -> [ScriptedOrigin.Step] {
        let type = "Content-Type: text/plain"
        return switch kind {
        case "nothing": [.close]
        case "garbage": [.send("not a word of HTTP\r\n\r\n"), .close]
        case "half-head": [.send("HTTP/1.1 200 OK\r\nContent-Ty"), .close]
        case "no-colon": raw(["HTTP/1.1 200 OK", type, "nothing here", "Content-Length: 2"], "hi")
        case "length": raw(["HTTP/1.1 200 OK", type, "Content-Length: two"], "hi") + [.close]
        case "two-lengths": raw(["HTTP/1.1 200 OK", type, "Content-Length: 2", "Content-Length: 3"], "hi") + [.close]
        case "both": raw(["HTTP/1.1 200 OK", type, "Content-Length: 2", "Transfer-Encoding: chunked"], "2\r\nhi\r\n0\r\n\r\n") + [.close]
        case "short": raw(["HTTP/1.1 200 OK", type, "Content-Length: 10"], "short") + [.close]
        case "long": raw(["HTTP/1.1 200 OK", type, "Content-Length: 5"], "longer than it says") + [.close]
        case "chunk": raw(["HTTP/1.1 200 OK", type, "Transfer-Encoding: chunked"], "xyz\r\nhi\r\n0\r\n\r\n") + [.close]
        case "short-chunk": raw(["HTTP/1.1 200 OK", type, "Transfer-Encoding: chunked"], "a\r\nshort") + [.close]
        case "body-of-204": raw(["HTTP/1.1 204 No Content", "Content-Length: 2"], "hi") + [.close]
        case "status-42": raw(["HTTP/1.1 42 Strange", type, "Content-Length: 2"], "hi") + [.close]
        case "version-2": raw(["HTTP/2.0 200 OK", type, "Content-Length: 2"], "hi") + [.close]
        case "folded": raw(["HTTP/1.1 200 OK", type, "X-Folded: a", "  b", "Content-Length: 2"], "hi")
        case "interim-101": raw(["HTTP/1.1 101 Switching Protocols", "Upgrade: other", "Connection: Upgrade"], "")
        // Longer than both wait for a first byte.
        default: [.wait(milliseconds: 3000), .close]
        }
    }
}
