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

    /// 3 MB in which each eight bytes say where they are.
    private static let large = (0..<400_000).map { "\(10_000_000 + $0)" }.joined()

    @Test func `a large object lies in several pieces, and its parts come from any of them`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=60", "Content-Type: image/png", "ETag: \"v\""], body: Self.large)
        let edge = try HeadraceProcess(["--app", origin.url])
        let client = try RawClient(port: edge.port)
        func ask(_ fields: String...) throws -> RawClient.Response {
            client.send((["GET / HTTP/1.1", "Host: a.example"] + fields).joined(separator: "\r\n") + "\r\n\r\n")
            return try client.readResponse(seconds: 20)
        }
        for _ in 0..<3 {
            let whole = try ask()
            #expect(whole.field("Content-Length") == "3200000" && whole.text == Self.large)
        }
        #expect(try ask().field("Cache-Status")?.contains("; hit") == true)
        let text = Array(Self.large.utf8)
        for range in [0...0, 262_100...262_200, 524_288...524_288, 1_000...2_999_999, 3_199_999...3_199_999] {
            let part = try ask("Range: bytes=\(range.lowerBound)-\(range.upperBound)")
            #expect(part.status == 206 && part.body == Array(text[range]), "\(range)")
        }
        let parts = try ask("Range: bytes=0-7,1600000-1600007,-8")
        #expect(parts.status == 206 && parts.field("Content-Length") == "\(parts.body.count)")
        for piece in ["10000000\r\n--", "10200000\r\n--", "10399999\r\n--"] { #expect(parts.text.contains("\r\n\r\n" + piece), "\(piece)") }
        #expect(try ask("If-None-Match: \"v\"").status == 304)
        #expect(try ask("Range: bytes=3200000-").status == 416)
        client.send("HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        #expect(try client.readResponse(hasBody: false).field("Content-Length") == "3200000")
        #expect(origin.requestCount == 1)
    }

    @Test func `a large object that is confirmed goes on to answer, and one that may not be kept then does so once`() throws {
        let origin = try ScriptedOrigin { request in
            switch request.number {
            case 0: [.send(ScriptedOrigin.response(fields: ["Cache-Control: no-cache", "ETag: \"v\""], body: Self.large))]
            case 1: [.send("HTTP/1.1 304 Not Modified\r\nETag: \"v\"\r\n\r\n")]
            default: [.send("HTTP/1.1 304 Not Modified\r\nETag: \"v\"\r\nCache-Control: no-store\r\n\r\n")]
            }
        }
        let edge = try HeadraceProcess(["--app", origin.url])
        for number in 0..<3 {
            let response = try RawClient.get(port: edge.port, "/", seconds: 20)
            #expect(response.status == 200 && response.text == Self.large, "\(number)")
        }
        #expect(origin.requestCount == 3)
    }

    @Test func `who takes a large object slowly gets all of it, whatever becomes of what is stored`() throws {
        // More than the kernel takes for a client that reads nothing.
        let body = String(repeating: Self.large, count: 5)
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=60", "Content-Type: image/png"], body: body)
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.purge.clients=127.0.0.1", "--set", "edge.cache.max_object_size=16MB"])
        _ = try RawClient.get(port: edge.port, "/", seconds: 20)
        let slow = try RawClient(port: edge.port, receiveBuffer: 4096)
        slow.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        #expect(eventually { slow.peek().contains("10000000") })
        #expect(try edge.metric("headrace_response_cache_held_bytes") > 100_000)
        let purge = try RawClient(port: edge.port)
        purge.send("PURGE / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        #expect(try purge.readResponse().text.contains("\"purged\":1"))
        #expect(try slow.readResponse(seconds: 60).text == body)
        #expect(try eventually { try edge.metric("headrace_response_cache_held_bytes") == 0 })
        // One that leaves holds nothing either.
        let gone = try RawClient(port: edge.port, receiveBuffer: 4096)
        gone.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        #expect(eventually { gone.peek().contains("10000000") })
        gone.reset()
        #expect(try eventually { try edge.metric("headrace_response_cache_held_bytes") == 0 })
    }

    @Test func `what is larger than half of a shard goes through, and makes nothing leave`() throws {
        let origin = try ScriptedOrigin { request in
            let body = request.target == "/large" ? String(repeating: "x", count: 600_000) : "small"
            return [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=60", "Content-Type: image/png"], body: body))]
        }
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.cache.size=1MB", "--set", "edge.cache.max_object_size=1MB"])
        _ = try RawClient.get(port: edge.port, "/small")
        let first = try RawClient.get(port: edge.port, "/large", seconds: 20)
        #expect(first.body.count == 600_000 && first.field("Cache-Status")?.contains("detail=too-large") == true)
        #expect(try RawClient.get(port: edge.port, "/large", seconds: 20).field("Cache-Status") == "headrace; fwd=uri-miss; detail=too-large")
        #expect(try RawClient.get(port: edge.port, "/small").field("Cache-Status")?.contains("; hit") == true)
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
