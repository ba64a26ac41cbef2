import TestSupport
import Testing

/// What is stale, and who gets it all the same. `Age: 60` beside `max-age=60` makes a response stale from its first moment on, so that no
/// test has to wait for one to grow old.
@Suite struct StaleTests {
    private func edge(_ origin: ScriptedOrigin, _ settings: [String] = []) throws -> HeadraceProcess {
        try HeadraceProcess(["--app", origin.url] + settings.flatMap { ["--set", $0] })
    }

    private static func stale(_ directives: String = "", body: String = "old") -> String {
        ScriptedOrigin.response(fields: ["Cache-Control: max-age=60\(directives.isEmpty ? "" : ", ")\(directives)", "Age: 60"], body: body)
    }

    /// First a stale response, then what is said here.
    private func origin(_ directives: String, then steps: @escaping @Sendable () -> [ScriptedOrigin.Step]) throws -> ScriptedOrigin {
        try ScriptedOrigin { $0.number == 0 ? [.send(Self.stale(directives))] : steps() }
    }

    private func status(_ response: RawClient.Response) -> String { response.field("Cache-Status") ?? "" }

    @Test func `RFC 5861 §3: a stale answer goes out while a new one is fetched, and the connection waits for neither`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try origin("stale-while-revalidate=600") {
            [.waitFor(gate), .send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=6000"], body: "new"))]
        }
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/")
        let client = try RawClient(port: edge.port)
        for _ in 0..<3 {
            client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
            let response = try client.readResponse()
            #expect(response.text == "old" && response.field("Age") == "60")
            #expect(status(response) == "headrace; hit; ttl=0; detail=stale-while-revalidate")
        }
        // Another page on the same connection is not held up either.
        #expect(eventually { origin.requestCount == 2 })
        gate.open()
        #expect(try eventually { try RawClient.get(port: edge.port, "/").text == "new" })
        let last = try status(RawClient.get(port: edge.port, "/"))
        #expect(last.contains("; hit; ttl=") && origin.requestCount == 2, "\(last), \(origin.requestCount) requests")
    }

    @Test func `many who get a stale answer cause one fetch`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try origin("stale-while-revalidate=600") {
            [.waitFor(gate), .send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=6000"], body: "new"))]
        }
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/")
        let clients = try (0..<20).map { _ in try RawClient(port: edge.port) }
        for client in clients { client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n") }
        for client in clients { #expect(try client.readResponse().text == "old") }
        #expect(eventually { origin.requestCount == 2 })
        gate.open()
        #expect(try eventually { try RawClient.get(port: edge.port, "/").text == "new" })
        #expect(origin.requestCount == 2)
    }

    @Test func `a refresh that fails leaves what is stored, and is tried again`() throws {
        let origin = try ScriptedOrigin { request in
            switch request.number {
            case 0: [.send(Self.stale("stale-while-revalidate=600"))]
            case 1: [.send(ScriptedOrigin.response(status: "500 Oops", body: "oops"))]
            default: [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=60"], body: "new"))]
            }
        }
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/")
        #expect(try RawClient.get(port: edge.port, "/").text == "old")
        #expect(eventually { origin.requestCount == 2 })
        #expect(try eventually { try RawClient.get(port: edge.port, "/").text == "new" })
    }

    private static let failures: [(String, [ScriptedOrigin.Step])] =
        ["500", "502", "503", "504"].map { ($0, [.send(ScriptedOrigin.response(status: "\($0) Oops", body: "oops"))]) } + [
            ("closed", [.close]), ("dropped", [.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\nhalf"), .close]),
            ("dropped chunks", [.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"), .close]),
            ("malformed", [.send("HTTP/1.1 nonsense\r\n\r\n"), .close]),
        ]

    @Test(arguments: 0..<failures.count) func `RFC 5861 §4: an error of any kind is answered by what is stored`(index: Int) throws {
        let (name, steps) = Self.failures[index]
        let origin = try origin("stale-if-error=600") { steps }
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/")
        for _ in 0..<2 {
            let response = try RawClient.get(port: edge.port, "/")
            #expect(response.status == 200 && response.text == "old", "\(name)")
            #expect(status(response) == "headrace; hit; ttl=0; detail=stale-if-error", "\(name)")
        }
    }

    @Test(arguments: ["404 Not Found", "501 Not Implemented", "403 Forbidden"])
    func `what is no error of the application's passes`(line: String) throws {
        let origin = try origin("stale-if-error=600") { [.send(ScriptedOrigin.response(status: line, body: "other"))] }
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/")
        #expect(try RawClient.get(port: edge.port, "/").text == "other")
    }

    @Test(arguments: [("must-revalidate", 504), ("proxy-revalidate", 504), ("s-maxage=60", 504), ("public", 502)])
    func `RFC 9111 §5.2.2.2: a validation that fails is 504 where one is demanded`(directive: String, expected: Int) throws {
        let origin = try origin(directive + ", stale-while-revalidate=\(expected == 504 ? 600 : 0)") { [.close] }
        let edge = try edge(origin, expected == 504 ? ["edge.cache.stale_if_error=1h"] : [])
        _ = try RawClient.get(port: edge.port, "/")
        let response = try RawClient.get(port: edge.port, "/", ["Cache-Control: max-stale"].filter { _ in expected == 504 })
        #expect(response.status == expected && response.text != "old")
    }

    @Test func `a route's grace holds where the application says nothing`() throws {
        let origin = try origin("") { [.close] }
        let edge = try edge(origin, ["edge.cache.stale_if_error=1h"])
        _ = try RawClient.get(port: edge.port, "/")
        #expect(try RawClient.get(port: edge.port, "/").text == "old")
        // Nothing is stored under this key.
        #expect(try RawClient.get(port: edge.port, "/other").status == 502)
    }

    @Test func `RFC 9111 §5.2.1.2, §5.2.1.7: max-stale takes a stale answer, also if only what is cached is wanted`() throws {
        let origin = try origin("") { [.send(Self.stale(body: "new"))] }
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/")
        for fields in ["max-stale", "max-stale=5", "only-if-cached, max-stale"] {
            let response = try RawClient.get(port: edge.port, "/", ["Cache-Control: \(fields)"])
            #expect(response.text == "old" && status(response) == "headrace; hit; ttl=0; detail=request-max-stale")
        }
        #expect(try RawClient.get(port: edge.port, "/", ["Cache-Control: only-if-cached"]).status == 504)
        #expect(origin.requestCount == 1)
        #expect(try RawClient.get(port: edge.port, "/", ["Cache-Control: max-stale=0"]).text == "new")
    }

    @Test func `a route that heeds no requests lets nobody pass its cache`() throws {
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=60"], body: "x")
        let edge = try edge(origin, ["edge.cache.request_directives=false"])
        for line in ["Cache-Control: no-store", "Cache-Control: no-cache", "Cache-Control: max-age=0", "Pragma: no-cache"] {
            _ = try RawClient.get(port: edge.port, "/", [line])
        }
        #expect(origin.requestCount == 1)
    }

    @Test func `those who wait for a fetch that fails get what is stale, without a second attempt`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { request in
            request.number == 0
                ? [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=1, stale-if-error=600"], body: "old"))]
                : [.waitFor(gate), .close]
        }
        let edge = try edge(origin)
        _ = try RawClient.get(port: edge.port, "/")
        #expect(try eventually { try RawClient.get(port: edge.port, "/", ["Cache-Control: only-if-cached"]).status == 504 })
        let clients = try (0..<10).map { _ in try RawClient(port: edge.port) }
        for client in clients { client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n") }
        #expect(try eventually { try edge.metric("headrace_edge_connections") >= 11 && origin.requestCount == 2 })
        gate.open()
        for client in clients {
            let response = try client.readResponse()
            #expect(response.text == "old" && status(response).contains("detail=stale-if-error"))
        }
        #expect(origin.requestCount <= 4)
    }
}
