import TestSupport
import Testing

/// Ranges of what is stored, and of what is being fetched for the store.
@Suite struct PartTests {
    private static let body = "0123456789abcdefghij"

    private func origin(_ fields: [String] = []) throws -> ScriptedOrigin {
        try ScriptedOrigin { request in
            request.field("Range") == nil
                ? [
                    .send(
                        ScriptedOrigin.response(
                            fields: ["Cache-Control: max-age=60", "ETag: \"v\"", "Content-Type: text/plain"] + fields, body: Self.body))
                ] : [.send(ScriptedOrigin.response(status: "206 Partial Content", fields: ["Content-Range: bytes 0-1/5"], body: "he"))]
        }
    }

    private func get(_ edge: HeadraceProcess, _ fields: String...) throws -> RawClient.Response {
        try RawClient.get(port: edge.port, "/", fields)
    }

    @Test func `RFC 9110 §14: single, suffix and several ranges come from a complete stored response`() throws {
        let origin = try origin()
        let edge = try HeadraceProcess(["--app", origin.url])
        _ = try get(edge)
        let single = try get(edge, "Range: bytes=2-4", "Accept-Encoding: gzip")
        #expect(single.status == 206 && single.text == "234" && single.field("Content-Range") == "bytes 2-4/20")
        #expect(single.field("Content-Length") == "3" && single.field("ETag") == "\"v\"" && single.field("Cache-Status")?.contains("; hit") == true)
        #expect(try get(edge, "Range: bytes=-3").text == "hij" && get(edge, "Range: bytes=18-").text == "ij")
        #expect(try get(edge, "Range: bytes=18-100").field("Content-Range") == "bytes 18-19/20")
        // Too near to each other to be worth two heads.
        #expect(try get(edge, "Range: bytes=0-1,4-5").text == "012345")
        let beyond = try get(edge, "Range: bytes=20-")
        #expect(beyond.status == 416 && beyond.field("Content-Range") == "bytes */20")
        for ignored in ["lines=1-2", "bytes=4-2", "bytes=x"] { #expect(try get(edge, "Range: \(ignored)").text == Self.body) }
        #expect(origin.requestCount == 1)
    }

    @Test func `several parts are a multipart`() throws {
        let body = String(repeating: "x", count: 500) + "y" + String(repeating: "z", count: 500)
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=60", "Content-Type: text/plain"], body: body)
        let edge = try HeadraceProcess(["--app", origin.url])
        _ = try get(edge)
        let parts = try get(edge, "Range: bytes=0-0,500-500,1000-")
        #expect(parts.status == 206 && parts.field("Content-Range") == nil)
        let boundary = try #require(parts.field("Content-Type")?.split(separator: "boundary=").last)
        #expect(parts.field("Content-Type")?.hasPrefix("multipart/byteranges") == true)
        let expected = [(0, "x"), (500, "y"), (1000, "z")].map {
            "--\(boundary)\r\nContent-Type: text/plain\r\nContent-Range: bytes \($0.0)-\($0.0)/1001\r\n\r\n\($0.1)"
        }
        #expect(parts.text == expected.joined(separator: "\r\n") + "\r\n--\(boundary)--\r\n")
    }

    @Test func `RFC 9110 §13.1.5: If-Range asks whether it is still that very response`() throws {
        let origin = try origin(["Last-Modified: Sat, 31 Jan 2026 12:00:00 GMT", "Date: Sat, 31 Jan 2026 12:00:10 GMT"])
        let edge = try HeadraceProcess(["--app", origin.url])
        _ = try get(edge)
        let range = "Range: bytes=0-1"
        // The Date makes it old; max-stale takes it nevertheless.
        let taking = "Cache-Control: max-stale"
        #expect(try get(edge, range, taking, "If-Range: \"v\"").text == "01")
        #expect(try get(edge, range, taking, "If-Range: Sat, 31 Jan 2026 12:00:00 GMT").text == "01")
        for other in ["\"w\"", "W/\"v\"", "Sat, 31 Jan 2026 12:00:01 GMT", "nonsense"] {
            let whole = try get(edge, range, taking, "If-Range: \(other)")
            #expect(whole.status == 200 && whole.text == Self.body, "\(other)")
        }
        // Preconditions come first (§13.2.2).
        #expect(try get(edge, range, taking, "If-None-Match: \"v\"").status == 304)
        #expect(try get(edge, range, taking, "If-Match: \"w\"").status == 412)
        #expect(origin.requestCount == 1)
    }

    @Test func `a part that is asked for first has the whole fetched, once`() throws {
        let origin = try origin()
        let edge = try HeadraceProcess(["--app", origin.url])
        let part = try get(edge, "Range: bytes=2-4", "If-Range: \"v\"")
        #expect(part.status == 206 && part.text == "234" && part.field("Cache-Status") == "headrace; fwd=uri-miss; stored")
        #expect(try get(edge).text == Self.body && origin.requestCount == 1)
        #expect(origin.requests[0].field("Range") == nil && origin.requests[0].field("If-Range") == nil)
    }

    @Test func `a part is there before the whole is`() throws {
        let gate = ScriptedOrigin.Gate()
        let body = String(repeating: "0123456789", count: 100)
        let origin = try ScriptedOrigin { _ in
            [
                .send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1000\r\n\r\n" + body.prefix(500)), .waitFor(gate),
                .send(String(body.suffix(500))),
            ]
        }
        let edge = try HeadraceProcess(["--app", origin.url])
        #expect(try get(edge, "Range: bytes=5-14").text == "5678901234")
        #expect(try get(edge, "Range: bytes=5-14").text == "5678901234")
        #expect(try get(edge, "Range: bytes=1000-").status == 416)
        let several = try RawClient(port: edge.port)
        several.send("GET / HTTP/1.1\r\nHost: a.example\r\nRange: bytes=0-0,900-900\r\n\r\n")
        #expect(!gate.isOpen)
        gate.open()
        #expect(try several.readResponse().field("Content-Type")?.hasPrefix("multipart/byteranges") == true)
        #expect(try get(edge).text == body && origin.requestCount == 1)
    }

    @Test(arguments: ["private", "no-store"]) func `a part of what is not stored comes from the application`(directive: String) throws {
        let origin = try ScriptedOrigin { request in
            request.field("Range") == nil
                ? [.send(ScriptedOrigin.response(fields: ["Cache-Control: \(directive)"], body: "hello"))]
                : [
                    .send(
                        ScriptedOrigin.response(
                            status: "206 Partial Content", fields: ["Cache-Control: \(directive)", "Content-Range: bytes 0-1/5"], body: "he"))
                ]
        }
        let edge = try HeadraceProcess(["--app", origin.url])
        for _ in 0..<2 {
            let part = try get(edge, "Range: bytes=0-1", "If-Range: \"v\"")
            #expect(part.status == 206 && part.text == "he" && part.field("Content-Range") == "bytes 0-1/5")
        }
        #expect(origin.requests.map { $0.field("If-Range") ?? "" } == ["", "\"v\"", "\"v\""])
    }
}
