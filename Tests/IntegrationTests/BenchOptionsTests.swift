import Foundation
import TestSupport
import Testing

/// What the command line of `headrace bench` says about requests and answers, as the server sees it. How each works has its own test; here it is
/// that the option does it.
@Suite(.serialized) struct BenchOptionsTests {
    private func bench(_ arguments: [String]) throws -> Command.Result {
        try Command.run("env", [HeadraceProcess.binary.path, "bench", "--json", "--history", "none", "--warm-up", "0s", "--timeout", "60s"] + arguments)
    }

    /// A closed loop of one user: the requests come in their order.
    private func level(_ arguments: [String], requests: Int) throws -> [String: Any] {
        let result = try bench(arguments + ["--concurrency", "1", "--duration", "100s", "--requests", "\(requests)"])
        let document = try #require(try JSONSerialization.jsonObject(with: result.output) as? [String: Any], "\(result.errors)")
        return try #require((document["levels"] as? [[String: Any]])?.first, "\(result.errors)")
    }

    private func origin(_ fields: [String] = [], body: String = "hello") throws -> ScriptedOrigin {
        try ScriptedOrigin { request in
            let response = ScriptedOrigin.response(fields: fields, body: body)
            return [.send(request.method == "HEAD" ? String(response.dropLast(body.utf8.count)) : response)]
        }
    }

    @Test func `a file has URLs and paths, with methods and weights`() throws {
        let origin = try origin()
        let file = try TemporaryFile("# a comment\n2@/a\nHEAD /b\n\(origin.url)/c?x=1\n", name: "urls")
        let level = try level([origin.url + "/", "--url-file", file.path], requests: 8)
        #expect(level["failed"] as? Int == 0)
        let asked = origin.requests.map { "\($0.method) \($0.target)" }.sorted()
        #expect(asked == ["GET /a", "GET /a", "GET /a", "GET /a", "GET /c?x=1", "GET /c?x=1", "HEAD /b", "HEAD /b"], "\(asked)")
    }

    @Test func `a sitemap's pages are asked for at the origin of the URL`() throws {
        let origin = try origin()
        let text = "<urlset><url><loc>https://shop.example/one</loc></url><url><loc>https://shop.example/two?a=1&amp;b=2</loc></url></urlset>"
        let file = try TemporaryFile(text, name: "sitemap.xml")
        _ = try level([origin.url + "/", "--sitemap", file.path], requests: 4)
        #expect(Set(origin.requests.map(\.target)) == ["/one", "/two?a=1&b=2"] && origin.requestCount == 4)
    }

    @Test func `templates are filled from a table, in URLs, fields and bodies`() throws {
        let origin = try origin()
        let table = try TemporaryFile("id,name\n1,Ann\n2,\"Bob, B.\"\n", name: "data.csv")
        let arguments = [
            origin.url + "/users/{{id}}", "--data", table.path, "--method", "PUT", "--body", "name={{name}}", "--header", "X-Id: {{id}}", "-H", "Content-Type: text/plain",
        ]
        let level = try level(arguments, requests: 4)
        #expect(level["failed"] as? Int == 0)
        let asked = origin.requests.map { "\($0.method) \($0.target) \($0.field("X-Id") ?? "") \($0.field("Content-Type") ?? "") \($0.body)" }
        #expect(Set(asked) == ["PUT /users/1 1 text/plain name=Ann", "PUT /users/2 2 text/plain name=Bob, B."], "\(asked)")
        #expect(try bench([origin.url + "/{{nobody}}", "--data", table.path]).status == 64)
        let body = try TemporaryFile("from a file", name: "body")
        _ = try self.level([origin.url + "/", "--method", "POST", "--body", "@" + body.path], requests: 1)
        #expect(origin.requests.last?.body == "from a file")
    }

    @Test func `what must come back is said by status, length, hash or text, and what does not is a failure with a name`() throws {
        let origin = try origin()
        let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        for arguments in [["--expect-status", "200"], ["--expect-length", "5"], ["--expect-hash", hash], ["--expect-text", "ell"]] {
            #expect(try level([origin.url + "/"] + arguments, requests: 2)["failed"] as? Int == 0, "\(arguments)")
        }
        for (arguments, kind) in [
            (["--expect-status", "404"], "status"), (["--expect-length", "6"], "content"), (["--expect-hash", String(hash.reversed())], "content"),
            (["--expect-text", "elk"], "content"),
        ] {
            let failures = try level([origin.url + "/"] + arguments, requests: 2)["failures"] as? [String: Int]
            #expect(failures?[kind] == 2, "\(arguments): \(failures ?? [:])")
        }
        for arguments in [["--expect-hash", "abc"], ["--expect-text", ""], ["--expect-text", "a", "--expect-length", "1"], ["--expect-status", "99"]] {
            #expect(try bench([origin.url + "/"] + arguments).status == 64, "\(arguments)")
        }
    }

    @Test func `cookies are kept, redirections followed, connections closed, and pauses made when that is asked for`() throws {
        let origin = try ScriptedOrigin { request in
            request.target == "/old"
                ? [.send("HTTP/1.1 302 Found\r\nLocation: /new\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n")] : [.send(ScriptedOrigin.response(body: "hello"))]
        }
        let plain = try level([origin.url + "/old"], requests: 2)
        #expect(plain["connections"] as? Int == 1 && origin.requests.allSatisfy { $0.target == "/old" && $0.field("Cookie") == nil })
        let followed = try level([origin.url + "/old", "--cookies", "--follow", "--expect-status", "200"], requests: 2)
        #expect(followed["failed"] as? Int == 0)
        let last = origin.requests.dropFirst(2)
        #expect(last.map(\.target) == ["/old", "/new", "/old", "/new"] && last.dropFirst().allSatisfy { $0.field("Cookie") == "a=b" })
        #expect(try level([origin.url + "/new", "--no-keep-alive"], requests: 3)["connections"] as? Int == 3)
        // Three requests have two pauses between them, at least.
        #expect(try #require(level([origin.url + "/new", "--think-time", "200ms"], requests: 3)["seconds"] as? Double) >= 0.39)
    }

    @Test func `Poisson arrivals have a seed, and threads share the schedule`() throws {
        let origin = try origin()
        let arguments = [origin.url + "/", "--rate", "100", "--duration", "1s", "--arrivals", "poisson", "--threads", "2"]
        func scheduled(_ seed: String) throws -> (Int, Int, Int) {
            let result = try bench(arguments + ["--seed", seed])
            let document = try #require(try JSONSerialization.jsonObject(with: result.output) as? [String: Any], "\(result.errors)")
            let level = try #require((document["levels"] as? [[String: Any]])?.first)
            return (try #require(level["scheduled"] as? Int), try #require(level["requests"] as? Int), try #require(level["failed"] as? Int))
        }
        let (one, again, other) = (try scheduled("1"), try scheduled("1"), try scheduled("2"))
        #expect(one == again && one.0 == one.1 && one.2 == 0 && one.0 > 50 && one.0 < 150)
        #expect(one.0 != other.0 || one.1 == other.1)
    }

    @Test func `an origin may be a name, an address of IPv6, or a socket`() throws {
        let origin = try origin()
        #expect(try level(["http://localhost:\(origin.port)/"], requests: 2)["failed"] as? Int == 0)
        let folder = try TemporaryFolder()
        let path = folder.url.appending(path: "edge.sock").path
        let edge = try HeadraceProcess(["--app", origin.url, "--listen", "unix:" + path])
        #expect(try level(["http://shop.example/sock", "--unix-socket", path], requests: 3)["failed"] as? Int == 0)
        #expect(origin.requests.last?.target == "/sock")
        edge.terminate()
        let six = try HeadraceProcess(["--app", origin.url, "--listen", "[::1]:0"])
        #expect(eventually(seconds: 30) { six.errorOutput.contains(/http:\/\/\[::1\]:\d+\D/) })
        let port = try #require(six.errorOutput.firstMatch(of: /http:\/\/\[::1\]:(\d+)/)).1
        #expect(try level(["http://[::1]:\(port)/six"], requests: 3)["failed"] as? Int == 0)
        #expect(origin.requests.last?.target == "/six")
    }
}
