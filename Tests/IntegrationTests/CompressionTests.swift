import Foundation
import TestSupport
import Testing

/// What goes out compressed, decoded by the system's own programs.
@Suite struct CompressionTests {
    private static let page = (0..<400).map { "<tr><td>\($0)</td><td>host-\($0 % 17).example</td><td>open</td></tr>\n" }.joined()

    private func edge(_ origin: ScriptedOrigin, _ more: [String] = []) throws -> HeadraceProcess {
        try HeadraceProcess(["--app", origin.url] + more)
    }

    private func origin(_ fields: [String], body: String = page) throws -> ScriptedOrigin {
        try ScriptedOrigin(fields: fields, body: body)
    }

    @Test(arguments: ["gzip", "br", "zstd"], ["max-age=60", "no-store"])
    func `each coding decodes to the application's bytes, stored or not`(coding: String, cacheControl: String) throws {
        let origin = try origin(["Content-Type: text/html", "Cache-Control: \(cacheControl)"])
        let edge = try edge(origin)
        for _ in 0..<4 {
            let response = try RawClient.get(port: edge.port, "/", ["Accept-Encoding: \(coding)"])
            #expect(response.field("Content-Encoding") == coding)
            #expect(response.field("Content-Length") == "\(response.body.count)")
            #expect(response.body.count < Self.page.utf8.count / 4)
            #expect(response.field("Vary") == "Accept-Encoding")
            #expect(try Decoded.text(response) == Self.page)
        }
        let plain = try RawClient.get(port: edge.port, "/")
        #expect(plain.text == Self.page && plain.field("Content-Encoding") == nil && plain.field("Vary") == "Accept-Encoding")
        #expect(origin.requests.allSatisfy { $0.field("Accept-Encoding") == "identity" })
    }

    @Test func `what is asked for again is compressed better, in the background`() throws {
        let origin = try origin(["Content-Type: text/html", "Cache-Control: max-age=60", "ETag: \"v\""])
        let edge = try edge(origin)
        let first = try RawClient.get(port: edge.port, "/", ["Accept-Encoding: gzip"])
        #expect(first.field("ETag") == "\"v~gz1\"")
        var better: RawClient.Response?
        let isBetter = try eventually {
            better = try RawClient.get(port: edge.port, "/", ["Accept-Encoding: gzip"])
            return better?.field("ETag") == "\"v~gz\""
        }
        #expect(isBetter)
        let response = try #require(better)
        #expect(response.body.count < first.body.count)
        #expect(try Decoded.text(response) == Self.page)
        #expect(origin.requestCount == 1)
    }

    @Test(
        arguments: [
            ("gzip, br, zstd", "br"), ("gzip, br;q=0.5", "gzip"), ("br;q=0, *", "zstd"), ("*;q=0, gzip", "gzip"),
            ("deflate", nil),
            ("identity, gzip;q=0", nil), ("gzip;q=2", nil), ("", nil), ("identity;q=0, zstd", "zstd"), ("gzip;q=0.001", "gzip"),
        ] as [(String, String?)])
    func `the client's weights decide, then the configured order`(accepted: String, expected: String?) throws {
        let origin = try origin(["Content-Type: text/html", "Cache-Control: max-age=60"])
        let edge = try edge(origin)
        let response = try RawClient.get(port: edge.port, "/", ["Accept-Encoding: \(accepted)"])
        #expect(response.field("Content-Encoding") == expected)
        #expect(try Decoded.text(response) == Self.page)
    }

    @Test(arguments: [
        ["Content-Type: image/png"], ["Content-Type: text/html", "Content-Encoding: gzip"],
        ["Content-Type: text/html", "Cache-Control: no-transform"], [],
    ])
    func `what must stay as it is stays as it is`(fields: [String]) throws {
        for lifetime in ["max-age=60", "no-store"] {
            let origin = try origin(fields + ["Cache-Control: \(lifetime)", "ETag: \"v\""])
            let edge = try edge(origin)
            for _ in 0..<2 {
                let response = try RawClient.get(port: edge.port, "/", ["Accept-Encoding: gzip, br, zstd"])
                #expect(response.text == Self.page && response.field("ETag") == "\"v\"")
                #expect(response.field("Content-Encoding") == (fields.contains("Content-Encoding: gzip") ? "gzip" : nil))
            }
        }
    }

    @Test func `a body of the minimum size is compressed, one byte less is not`() throws {
        for (count, expected) in [(256, "gzip"), (255, nil)] as [(Int, String?)] {
            let origin = try origin(
                ["Content-Type: text/html", "Cache-Control: max-age=60"], body: String(repeating: "x", count: count))
            let edge = try edge(origin)
            #expect(try RawClient.get(port: edge.port, "/", ["Accept-Encoding: gzip"]).field("Content-Encoding") == expected)
        }
    }

    @Test func `a large body is compressed as it passes`() throws {
        let body = String(repeating: Self.page, count: 40)
        let origin = try origin(
            ["Content-Type: text/html", "Cache-Control: no-store", "ETag: \"v\"", "Accept-Ranges: bytes"], body: body)
        let edge = try edge(origin)
        for coding in ["gzip", "br", "zstd"] {
            let response = try RawClient.get(port: edge.port, "/", ["Accept-Encoding: \(coding)"])
            #expect(response.field("Transfer-Encoding") == "chunked" && response.field("Content-Length") == nil)
            #expect(response.field("ETag")?.hasPrefix("W/\"v~") == true, "its bytes depend on how the parts came")
            #expect(response.field("Accept-Ranges") == nil)
            #expect(try Decoded.text(response) == body)
        }
    }

    @Test func `a stored large body is compressed once it has been asked for`() throws {
        let body = String(repeating: Self.page, count: 40)
        let origin = try origin(["Content-Type: text/html", "Cache-Control: max-age=60"], body: body)
        let edge = try edge(origin)
        let isReady = try eventually(seconds: 10) {
            let response = try RawClient.get(port: edge.port, "/", ["Accept-Encoding: br"])
            #expect(try Decoded.text(response) == body)
            return response.field("Content-Encoding") == "br" && response.field("Content-Length") != nil
        }
        #expect(isReady)
        #expect(origin.requestCount == 1)
    }

    @Test(arguments: ["gzip", "br", "zstd"])
    func `an event stream is not held back`(coding: String) throws {
        let gates = (0..<3).map { _ in ScriptedOrigin.Gate() }
        let origin = try ScriptedOrigin { _ in
            [
                .send(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
            ]
                + gates.enumerated().flatMap { number, gate -> [ScriptedOrigin.Step] in
                    [.send("9\r\ndata: \(number)\n\n\r\n"), .waitFor(gate)]
                }
                + [.send("0\r\n\r\n")]
        }
        let edge = try edge(origin)
        let client = try RawClient(port: edge.port)
        client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: \(coding)\r\n\r\n")
        var seen = 0
        for (number, gate) in gates.enumerated() {
            // Something of every event is here before the application goes on.
            let before = seen
            let isHere = eventually {
                seen = client.peek().utf8.count
                return seen > before && (number > 0 || client.peek().contains("\r\n\r\n"))
            }
            #expect(isHere, "event \(number)")
            gate.open()
        }
        let response = try client.readResponse()
        #expect(response.field("Content-Encoding") == coding)
        #expect(try Decoded.text(response) == "data: 0\n\ndata: 1\n\ndata: 2\n\n")
    }

    @Test func `tags of ours reach the application as its own, and a 304 gives the client's back`() throws {
        let origin = try ScriptedOrigin { request in
            request.field("If-None-Match") == "\"v\""
                ? [.send("HTTP/1.1 304 Not Modified\r\nETag: \"v\"\r\nCache-Control: private\r\n\r\n")]
                : [
                    .send(
                        ScriptedOrigin.response(
                            fields: ["Content-Type: text/html", "Cache-Control: private", "ETag: \"v\""], body: Self.page))
                ]
        }
        let edge = try edge(origin)
        let first = try RawClient.get(port: edge.port, "/", ["Accept-Encoding: gzip", "Authorization: x"])
        let tag = try #require(first.field("ETag"))
        #expect(tag == "\"v~gz1\"")
        let second = try RawClient.get(
            port: edge.port, "/", ["Accept-Encoding: gzip", "Authorization: x", "If-None-Match: \(tag)"])
        #expect(second.status == 304 && second.field("ETag") == tag)
        #expect(origin.requests.last?.field("If-None-Match") == "\"v\"")
        _ = try RawClient.exchange(port: edge.port, "PUT / HTTP/1.1\r\nHost: a\r\nIf-Match: \(tag)\r\nContent-Length: 0\r\n\r\n")
        #expect(origin.requests.last?.field("If-Match") == "\"v\"")
    }

    @Test func `HEAD says what GET would, from the store`() throws {
        let origin = try origin(["Content-Type: text/html", "Cache-Control: max-age=60", "ETag: \"v\""])
        let edge = try edge(origin, ["--set", "edge.compression.background_queue=0"])
        let get = try RawClient.get(port: edge.port, "/", ["Accept-Encoding: gzip"])
        let head = try RawClient.exchange(
            port: edge.port, "HEAD / HTTP/1.1\r\nHost: a.example\r\nAccept-Encoding: gzip\r\n\r\n", hasBody: false)
        for name in ["Content-Length", "Content-Encoding", "ETag", "Vary", "Content-Type"] {
            #expect(head.field(name) == get.field(name), "\(name)")
        }
    }

    @Test func `switched off, the client's codings go to the application`() throws {
        let origin = try origin(["Content-Type: text/html", "Cache-Control: max-age=60"])
        let edge = try edge(origin, ["--set", "edge.compression.enabled=false"])
        let response = try RawClient.get(port: edge.port, "/", ["Accept-Encoding: gzip"])
        #expect(response.text == Self.page && response.field("Content-Encoding") == nil && response.field("Vary") == nil)
        #expect(origin.requests.first?.field("Accept-Encoding") == "gzip")
    }

    @Test func `switched off, an application that compresses itself is kept once per variant`() throws {
        let origin = try ScriptedOrigin { request in
            let coding = request.field("Accept-Encoding") == "gzip" ? ["Content-Encoding: gzip"] : []
            return [
                .send(
                    ScriptedOrigin.response(
                        fields: coding + ["Cache-Control: max-age=60", "Vary: Accept-Encoding"],
                        body: request.field("Accept-Encoding") ?? "plain"))
            ]
        }
        let edge = try edge(origin, ["--set", "edge.compression.enabled=false"])
        for _ in 0..<2 {
            let coded = try RawClient.get(port: edge.port, "/", ["Accept-Encoding: gzip"])
            #expect(coded.text == "gzip" && coded.field("Content-Encoding") == "gzip")
            let plain = try RawClient.get(port: edge.port, "/")
            #expect(plain.text == "plain" && plain.field("Content-Encoding") == nil)
        }
        #expect(origin.requestCount == 2)
    }

    @Test func `a page of the kind that the sample has gets at least 80 percent smaller`() throws {
        let origin = try origin(["Content-Type: text/html", "Cache-Control: max-age=60"])
        let edge = try edge(origin)
        #expect(
            try eventually {
                try RawClient.get(port: edge.port, "/", ["Accept-Encoding: gzip"]).body.count * 5 < Self.page.utf8.count
            })
    }
}
