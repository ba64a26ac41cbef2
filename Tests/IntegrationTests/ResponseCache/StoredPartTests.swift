import TestSupport
import Testing

/// Parts that are stored while the whole is not (RFC 9111 §3.3, §3.4), through sockets.
@Suite struct StoredPartTests {
    /// 3 MB in which each eight bytes say where they are.
    private static let film = Array((0..<400_000).map { "\(10_000_000 + $0)" }.joined().utf8)
    private static let fields = ["Content-Type: video/mp4", "Cache-Control: max-age=600"]

    /// An application that gives ranges of the film.
    /// - Parameter tag: by the request's number.
    private func origin(_ extra: [String] = [], tag: @escaping @Sendable (Int) -> String = { _ in "\"v\"" }) throws -> ScriptedOrigin {
        try ScriptedOrigin { request in
            let fields = Self.fields + extra + ["ETag: \(tag(request.number))"]
            if request.method == "HEAD" {
                return [.send("HTTP/1.1 200 OK\r\n" + (fields + ["Content-Length: \(Self.film.count)"]).joined(separator: "\r\n") + "\r\n\r\n")]
            }
            guard let range = request.field("Range")?.firstMatch(of: /bytes=(\d+)-(\d*)/), let first = Int(range.1) else {
                return [.send(ScriptedOrigin.response(fields: fields + ["X-Request: \(request.number)"], body: String(decoding: Self.film, as: UTF8.self)))]
            }
            let last = min(Int(range.2) ?? .max, Self.film.count - 1)
            let lines = fields + ["Content-Range: bytes \(first)-\(last)/\(Self.film.count)", "X-Request: \(request.number)"]
            return [
                .send(
                    ScriptedOrigin.response(
                        status: "206 Partial Content", fields: lines, body: String(decoding: Self.film[first...last], as: UTF8.self)))
            ]
        }
    }

    private func get(_ edge: HeadraceProcess, _ range: ClosedRange<Int>?, _ fields: String...) throws -> RawClient.Response {
        let asked = range.map { ["Range: bytes=\($0.lowerBound)-\($0.upperBound)"] } ?? []
        return try RawClient.get(port: edge.port, "/film", asked + fields, seconds: 30)
    }

    private func expect(_ response: RawClient.Response, _ range: ClosedRange<Int>, isHit: Bool, _ comment: Comment? = nil) {
        #expect(response.status == 206 && response.body == Array(Self.film[range]), comment)
        #expect(response.field("Content-Range") == "bytes \(range.lowerBound)-\(range.upperBound)/\(Self.film.count)", comment)
        #expect(response.field("Cache-Status")?.contains("; hit") == isHit, comment)
    }

    @Test func `who enters in the middle gets that part, it is stored, and parts become the whole`() throws {
        let origin = try origin()
        let edge = try HeadraceProcess(["--app", origin.url])
        expect(try get(edge, 2_000_000...2_099_999), 2_000_000...2_099_999, isHit: false)
        #expect(origin.requests[0].field("Range") == "bytes=2000000-2099999")
        // What lies within it comes from the store, in one piece and in several; what does not, from the application.
        let stored = try get(edge, 2_000_008...2_000_015)
        expect(stored, 2_000_008...2_000_015, isHit: true)
        #expect(stored.text == "10250001" && stored.field("ETag") == "\"v\"" && stored.field("Age") != nil)
        let several = try RawClient.get(port: edge.port, "/film", ["Range: bytes=2000000-2000007,2090000-2090007"])
        #expect(several.status == 206 && several.field("Content-Type")?.hasPrefix("multipart/byteranges") == true && several.text.contains("10250000"))
        #expect(try RawClient.get(port: edge.port, "/film", ["Range: bytes=3200000-"]).status == 416)
        #expect(origin.requestCount == 1)
        expect(try get(edge, 2_050_000...2_199_999), 2_050_000...2_199_999, isHit: false)
        let combined = try get(edge, 2_000_000...2_199_999)
        expect(combined, 2_000_000...2_199_999, isHit: true)
        #expect(combined.field("X-Request") == "1", "the newer fields count")
        #expect(origin.requestCount == 2)
        // If-Range asks whether it is still that very film.
        expect(try get(edge, 2_000_000...2_000_007, "If-Range: \"v\""), 2_000_000...2_000_007, isHit: true)

        expect(try get(edge, 0...1_999_999), 0...1_999_999, isHit: false)
        expect(try get(edge, 2_200_000...3_199_999), 2_200_000...3_199_999, isHit: false)
        #expect(origin.requestCount == 4)
        let whole = try get(edge, nil)
        #expect(whole.status == 200 && whole.body == Self.film && whole.field("Cache-Status")?.contains("; hit") == true)
        #expect(whole.field("Content-Range") == nil && whole.field("Content-Length") == "3200000")
        expect(try get(edge, 1_999_999...2_200_001), 1_999_999...2_200_001, isHit: true)
        #expect(origin.requestCount == 4)
    }

    @Test func `parts never answer a request for all of it`() throws {
        let origin = try origin()
        let edge = try HeadraceProcess(["--app", origin.url])
        _ = try get(edge, 1_500_000...3_199_999)
        let whole = try get(edge, nil)
        #expect(whole.status == 200 && whole.body == Self.film && whole.field("Cache-Status") == "headrace; fwd=uri-miss")
        #expect(origin.requests[1].field("Range") == nil)
        expect(try get(edge, 0...9), 0...9, isHit: true)
        #expect(origin.requestCount == 2)
    }

    @Test func `parts of what is too large to be stored are stored, at most as many bytes as might be stored of it`() throws {
        let origin = try origin()
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.cache.max_object_size=1MB"])
        expect(try get(edge, 0...99_999), 0...99_999, isHit: false)
        // It was asked for as a whole first, and then for its part.
        #expect(origin.requests.map { $0.field("Range") ?? "" } == ["", "bytes=0-99999"])
        expect(try get(edge, 50_000...99_999), 50_000...99_999, isHit: true)
        expect(try get(edge, 100_000...199_999), 100_000...199_999, isHit: false)
        expect(try get(edge, 0...199_999), 0...199_999, isHit: true)
        // Without a range it goes through, and the parts stay.
        #expect(try get(edge, nil).body == Self.film)
        expect(try get(edge, 0...199_999), 0...199_999, isHit: true)
        // More than a megabyte: what came of it first, and what there was before makes room.
        expect(try get(edge, 1_200_000...3_199_999), 1_200_000...3_199_999, isHit: false)
        let count = origin.requestCount
        expect(try get(edge, 1_200_000...1_299_999), 1_200_000...1_299_999, isHit: true)
        expect(try get(edge, 3_000_000...3_000_007), 3_000_000...3_000_007, isHit: false)
        #expect(origin.requestCount == count + 1)
    }

    @Test func `another version takes the place of the parts, and they are never mixed`() throws {
        let origin = try origin { $0 == 0 ? "\"old\"" : "\"new\"" }
        let edge = try HeadraceProcess(["--app", origin.url])
        _ = try get(edge, 2_000_000...2_000_099)
        _ = try get(edge, 2_000_100...2_000_199)
        expect(try get(edge, 2_000_000...2_000_099), 2_000_000...2_000_099, isHit: false)
        #expect(try get(edge, 2_000_000...2_000_199).field("ETag") == "\"new\"")
        #expect(origin.requestCount == 3)
    }

    @Test(arguments: [
        ["Cache-Control: private"], ["Cache-Control: no-store"], ["Cache-Control: no-cache"], ["Set-Cookie: a=b"], ["Vary: *"],
    ])
    func `a part of what may not be stored, or must be asked about, is not`(extra: [String]) throws {
        let origin = try origin(extra)
        let edge = try HeadraceProcess(["--app", origin.url])
        for _ in 0..<2 { expect(try get(edge, 2_000_000...2_000_099), 2_000_000...2_000_099, isHit: false, "\(extra)") }
        #expect(origin.requestCount == 2)
    }

    @Test func `a part without a strong validator is not stored`() throws {
        let origin = try origin { _ in "W/\"v\"" }
        let edge = try HeadraceProcess(["--app", origin.url])
        for _ in 0..<2 {
            let part = try get(edge, 2_000_000...2_000_099)
            expect(part, 2_000_000...2_000_099, isHit: false)
            #expect(part.field("Cache-Status") == "headrace; fwd=uri-miss; detail=partial")
        }
        #expect(origin.requestCount == 2)
    }

    @Test func `a part that is not what it says, or breaks off, is not stored`() throws {
        let origin = try ScriptedOrigin { request in
            let head = "HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=600\r\nETag: \"v\"\r\nContent-Range: bytes 2000000-2000004/3000000\r\n"
            return switch request.target {
            case "/short": [.send(head + "Content-Length: 4\r\n\r\nabcd")]
            case "/chunks-short": [.send(head + "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n")]
            case "/chunks-long": [.send(head + "Transfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n")]
            case "/broken": [.send(head + "Content-Length: 5\r\n\r\nabcd"), .close]
            case "/two": [.send(head + "Content-Range: bytes 0-4/3000000\r\nContent-Length: 5\r\n\r\nabcde")]
            default: [.send(head + "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n")]
            }
        }
        let edge = try HeadraceProcess(["--app", origin.url])
        for target in ["/short", "/chunks-short", "/chunks-long", "/broken", "/two"] {
            let before = origin.requestCount
            for _ in 0..<2 { _ = try? RawClient.get(port: edge.port, target, ["Range: bytes=2000000-2000004"]) }
            #expect(origin.requestCount >= before + 2, "\(target)")
        }
        for isHit in [false, true] {
            let whole = try RawClient.get(port: edge.port, "/right", ["Range: bytes=2000000-2000004"])
            #expect(whole.text == "abcde" && whole.field("Cache-Status")?.contains("; hit") == isHit)
        }
    }

    @Test func `who leaves in the middle of a part leaves what has come of it`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { request in
            let head = "HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=600\r\nETag: \"v\"\r\n"
            return [
                .send(head + "Content-Range: bytes 2000000-2000009/3000000\r\nContent-Length: 10\r\n\r\nabcde"), .waitFor(gate), .send("fghij"),
            ]
        }
        let edge = try HeadraceProcess(["--app", origin.url])
        let viewer = try RawClient(port: edge.port)
        viewer.send("GET /film HTTP/1.1\r\nHost: a.example\r\nRange: bytes=2000000-2000009\r\n\r\n")
        #expect(eventually { viewer.peek().hasSuffix("abcde") })
        viewer.reset()
        // Asked of the store alone, so that nobody asks the application for what is not there yet.
        let isStored = try eventually {
            try RawClient.get(port: edge.port, "/film", ["Range: bytes=2000000-2000004", "Cache-Control: only-if-cached"]).text == "abcde"
        }
        #expect(isStored && origin.requestCount == 1)
        gate.open()
    }

    @Test func `who left before the head of what is too large is not asked for again`() throws {
        let gate = ScriptedOrigin.Gate()
        let length = 3_000_000
        let origin = try ScriptedOrigin { request in
            let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nETag: \"v\"\r\nContent-Length: \(length)\r\n\r\n"
            return request.number == 0 ? [.waitFor(gate), .send(head)] : [.send(ScriptedOrigin.response(status: "404 Not Found", body: "other"))]
        }
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.cache.max_object_size=1MB"])
        let viewer = try RawClient(port: edge.port)
        viewer.send("GET /film HTTP/1.1\r\nHost: a.example\r\nRange: bytes=0-9\r\n\r\n")
        #expect(eventually { origin.requestCount == 1 })
        viewer.reset()
        #expect(try eventually { try edge.metric("headrace_edge_connections") == 1 }, "the edge knows that it left")
        gate.open()
        // The one fetch is over when its key may be fetched by others, on its own terms.
        #expect(try eventually { try RawClient.get(port: edge.port, "/film", ["Range: bytes=20-29"]).status == 404 })
        #expect(origin.requests.dropFirst().allSatisfy { $0.field("Range") == "bytes=20-29" })
    }

    @Test func `who takes a part slowly holds nobody up, and gets all of it`() throws {
        // More than two sockets take on their own.
        let part = Array((0..<4_000_000).map { "\(10_000_000 + $0)" }.joined().utf8)
        let origin = try ScriptedOrigin { _ in
            let lines = Self.fields + ["ETag: \"v\"", "Content-Range: bytes 2000000-\(2_000_000 + part.count - 1)/90000000"]
            return [.send(ScriptedOrigin.response(status: "206 Partial Content", fields: lines, body: String(decoding: part, as: UTF8.self)))]
        }
        let edge = try HeadraceProcess(["--app", origin.url])
        let range = "bytes=2000000-\(2_000_000 + part.count - 1)"
        let slow = try RawClient(port: edge.port)
        slow.send("GET /film HTTP/1.1\r\nHost: a.example\r\nRange: \(range)\r\n\r\n")
        #expect(eventually { !slow.peek().isEmpty })
        let quick = try RawClient.get(port: edge.port, "/film", ["Range: \(range)"], seconds: 60)
        #expect(quick.status == 206 && quick.body == part)
        #expect(try slow.readResponse(seconds: 60).body == part)
    }

    @Test(arguments: [("If-None-Match: \"v\"", 304), ("If-Match: \"w\"", 412), ("If-Match: \"v\"", 206), ("If-None-Match: \"w\"", 206)])
    func `RFC 9110 §13.2.2: a client's condition comes before its range, also where that part is stored`(field: String, status: Int) throws {
        let origin = try origin()
        let edge = try HeadraceProcess(["--app", origin.url])
        expect(try get(edge, 2_000_000...2_099_999), 2_000_000...2_099_999, isHit: false)
        let response = try get(edge, 2_000_000...2_000_007, field)
        #expect(response.status == status, "\(response.head)")
        if status == 206 { #expect(response.text == "10250000") }
        // The whole was fetched for it, and answers from now on.
        expect(try get(edge, 2_000_000...2_000_007, "If-Range: \"v\""), 2_000_000...2_000_007, isHit: true)
    }

    @Test func `an application that knows no ranges is asked once, and its whole answer is stored`() throws {
        let origin = try ScriptedOrigin(fields: Self.fields + ["ETag: \"v\""], body: String(decoding: Self.film, as: UTF8.self))
        let edge = try HeadraceProcess(["--app", origin.url])
        expect(try get(edge, 2_000_000...2_000_099), 2_000_000...2_000_099, isHit: false)
        // The rest of it is still coming when the range is here.
        #expect(try eventually { try get(edge, 0...99, "Cache-Control: only-if-cached").status == 206 })
        expect(try get(edge, 0...99), 0...99, isHit: true)
        #expect(try get(edge, nil).body == Self.film && origin.requestCount == 1)
    }

    @Test func `what is not in the key does not reach a part, and a change, a purge and HEAD take it away`() throws {
        let origin = try origin { $0 < 4 ? "\"v\"" : "\"w\"" }
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.purge.clients=127.0.0.1"])
        func fill() throws { expect(try get(edge, 2_000_000...2_000_099, "X-Original-URL: /secret"), 2_000_000...2_000_099, isHit: false) }
        try fill()
        #expect(origin.requests[0].field("X-Original-URL") == nil)
        expect(try get(edge, 2_000_000...2_000_099), 2_000_000...2_000_099, isHit: true)
        let host = "Host: a.example"
        _ = try RawClient.exchange(port: edge.port, "POST /film HTTP/1.1\r\n\(host)\r\nContent-Length: 0\r\n\r\n", seconds: 30)
        try fill()
        let purge = try RawClient.exchange(port: edge.port, "PURGE /film HTTP/1.1\r\n\(host)\r\n\r\n")
        #expect(purge.text.contains("\"purged\":1"), "\(purge.text)")
        try fill()
        let explained = try RawClient.exchange(port: edge.port, "EXPLAIN /film HTTP/1.1\r\n\(host)\r\n\r\n")
        #expect(explained.text.contains("bytes 2000000-2000099/3200000") && explained.text.contains("\"decision\":\"miss"), "\(explained.text)")
        // RFC 9111 §4.3.5: another version is there.
        let head = try RawClient.exchange(port: edge.port, "HEAD /film HTTP/1.1\r\n\(host)\r\n\r\n", hasBody: false)
        #expect(head.field("ETag") == "\"w\"")
        try fill()
        #expect(origin.requestCount == 6)
    }
}
