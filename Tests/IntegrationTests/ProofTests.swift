import Crypto
import Foundation
import TestSupport
import Testing

/// Requests that go past layers of an edge that serves: theirs alone, with the right signature alone, and without a trace in what others get.
@Suite struct ProofTests {
    private static let secret = "0123456789abcdef0123456789abcdef"
    private static let page = "<html><body>" + String(repeating: "<p>a line that compresses well</p>\n", count: 200) + "</body></html>"

    /// The field as it is documented, made without the code under test.
    private func signature(_ layers: String, secret: String = Self.secret, seconds: Int = Int(Date().timeIntervalSince1970)) -> String {
        let said = "\(seconds);\(layers)"
        let code = HMAC<SHA256>.authenticationCode(for: Data("headrace-proof request\n\(said)".utf8), using: SymmetricKey(data: Data(secret.utf8)))
        return "Headrace-Proof: \(said);" + code.map { String(format: "%02x", $0) }.joined()
    }

    private func origin(_ fields: [String] = ["Cache-Control: public, max-age=600"]) throws -> ScriptedOrigin {
        try ScriptedOrigin(fields: ["Content-Type: text/html"] + fields, body: Self.page)
    }

    private func edge(_ origin: ScriptedOrigin, _ settings: [String] = []) throws -> HeadraceProcess {
        let file = try TemporaryFile(Self.secret, name: "secret")
        // It is read at the start.
        return try withExtendedLifetime(file) {
            try HeadraceProcess(["--app", origin.url] + (["prove.secret=file:\(file.path)"] + settings).flatMap { ["--set", $0] })
        }
    }

    @Test func `a signed request goes past the cache, and the store and all others do not notice`() throws {
        let origin = try origin(["Cache-Control: public, max-age=600", "Vary: Headrace-Proof, Accept-Language"])
        let edge = try edge(origin)
        #expect(try RawClient.get(port: edge.port, "/a").status == 200)
        #expect(try RawClient.get(port: edge.port, "/a").field("Cache-Status")?.contains("; hit") == true)
        for _ in 0..<3 {
            let past = try RawClient.get(port: edge.port, "/a", [signature("response-cache")])
            #expect(past.field("Cache-Status")?.contains("detail=switched-off") == true, "\(past.head)")
            #expect(past.field("Headrace-Proof")?.hasPrefix("response-cache;") == true && past.text == Self.page)
        }
        #expect(origin.requestCount == 4)
        // One that goes through everything finds what others have stored: the field is part of no key and of no variant.
        let through = try RawClient.get(port: edge.port, "/a", [signature("none")])
        #expect(through.field("Cache-Status")?.contains("; hit") == true && through.field("Headrace-Proof")?.hasPrefix("none;") == true)
        let plain = try RawClient.get(port: edge.port, "/a")
        #expect(plain.field("Cache-Status")?.contains("; hit") == true && plain.field("Headrace-Proof") == nil)
        #expect(origin.requestCount == 4)
        #expect(origin.requests.allSatisfy { $0.field("Headrace-Proof") == nil }, "the application never sees it")
        #expect(try edge.metric(#"headrace_edge_proved_requests_total{without="response-cache",what="upstream"}"#) == 3)
        #expect(try edge.metric(#"headrace_edge_proved_requests_total{without="none",what="hit"}"#) == 1)
    }

    @Test func `what is not signed rightly does nothing, and does not reach the application either`() throws {
        let origin = try origin()
        let edge = try edge(origin)
        let now = Int(Date().timeIntervalSince1970)
        let wrong: [(reason: String, lines: [String])] = [
            ("signature", [signature("response-cache", secret: "another secret of the same length")]), ("time", [signature("response-cache", seconds: now - 120)]),
            ("time", [signature("response-cache", seconds: now + 120)]), ("malformed", ["Headrace-Proof: 1"]),
            ("malformed", [signature("response-cache"), signature("response-cache")]),
        ]
        for (_, lines) in wrong {
            let response = try RawClient.get(port: edge.port, "/a", lines)
            #expect(response.status == 200 && response.field("Headrace-Proof") == nil)
        }
        #expect(origin.requestCount == 1, "the first filled the cache, which answered the others")
        #expect(origin.requests.allSatisfy { $0.field("Headrace-Proof") == nil })
        #expect(try edge.metric(#"headrace_edge_proof_refused_total{reason="signature"}"#) == 1)
        #expect(try edge.metric(#"headrace_edge_proof_refused_total{reason="time"}"#) == 2)
        #expect(try edge.metric(#"headrace_edge_proof_refused_total{reason="malformed"}"#) == 2)
        // Without a secret, and from another network.
        let closed = try HeadraceProcess(["--app", origin.url])
        let narrow = try self.edge(origin, ["prove.clients=192.0.2.0/24"])
        for (process, reason) in [(closed, "disabled"), (narrow, "client")] {
            #expect(try RawClient.get(port: process.port, "/b", [signature("response-cache")]).field("Headrace-Proof") == nil)
            #expect(try process.metric(#"headrace_edge_proof_refused_total{reason="\#(reason)"}"#) == 1)
        }
        #expect(origin.requests.allSatisfy { $0.field("Headrace-Proof") == nil })
    }

    @Test func `a signed request that fills the cache leaves others nothing of what it went past`() throws {
        let origin = try origin(["ETag: \"a\""])
        let edge = try edge(origin, ["edge.browser_caching=standard", "edge.cache.default_lifetime=10m"])
        let filling = try RawClient.get(port: edge.port, "/a", ["Accept-Encoding: gzip, br", signature("br+zstd+gzip+browser-caching")])
        #expect(filling.field("Content-Encoding") == nil && filling.field("Cache-Control") == nil && filling.text == Self.page)
        let plain = try RawClient.get(port: edge.port, "/a", ["Accept-Encoding: gzip, br"])
        #expect(plain.field("Cache-Status")?.contains("; hit") == true && plain.field("Content-Encoding") != nil)
        #expect(plain.field("Cache-Control") != nil, "the table speaks where the application is silent: \(plain.head)")
        let onlyGzip = try RawClient.get(port: edge.port, "/a", ["Accept-Encoding: gzip, br", signature("br")])
        #expect(onlyGzip.field("Content-Encoding") == "gzip" && onlyGzip.field("Cache-Status")?.contains("; hit") == true)
        #expect(origin.requestCount == 1)
    }

    @Test func `without coalescing each asks for itself, and without keep-alive on a connection of its own`() throws {
        let gate = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { request in
            let response = ScriptedOrigin.response(fields: ["Cache-Control: public, max-age=600"], body: "x")
            return request.target == "/slow" ? [.waitFor(gate), .send(response)] : [.send(response)]
        }
        let edge = try edge(origin)
        let clients = try (0..<3).map { _ in try RawClient(port: edge.port) }
        for client in clients { client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\(signature("coalescing"))\r\n\r\n") }
        #expect(eventually(seconds: 20) { origin.requestCount == 3 })
        gate.open()
        for client in clients { #expect(try client.readResponse().status == 200) }

        // One connection lies idle for whoever comes: those that want their own leave it there.
        let connects = try edge.metric("headrace_edge_upstream_connects_total")
        for index in 0..<4 { _ = try RawClient.get(port: edge.port, "/k\(index)", [signature("upstream-keep-alive")]) }
        #expect(try edge.metric("headrace_edge_upstream_connects_total") == connects + 4)
        for index in 0..<4 { _ = try RawClient.get(port: edge.port, "/p\(index)") }
        #expect(try edge.metric("headrace_edge_upstream_connects_total") <= connects + 5, "nobody else makes more connections for it")
        #expect(try edge.metric(#"headrace_edge_proved_requests_total{without="upstream-keep-alive",what="connected"}"#) == 4)
    }

    @Test func `prove asks a serving edge what its layers are worth, while visitors are served as ever`() throws {
        // The page says how long it may be kept; the style sheet says nothing, so that the edge tells browsers.
        let origin = try ScriptedOrigin { request in
            if request.target == "/site.0123abcd.css" { return [.send(ScriptedOrigin.response(fields: ["Content-Type: text/css"], body: "p { color: #123456 }"))] }
            let page = "<link rel=stylesheet href=/site.0123abcd.css>" + Self.page
            return [.wait(milliseconds: 60), .send(ScriptedOrigin.response(fields: ["Content-Type: text/html", "Cache-Control: public, max-age=600"], body: page))]
        }
        let folder = try TemporaryFolder()
        let made = try Command.run("env", [HeadraceProcess.binary.path, "cert", "dev", "--folder", folder.path])
        let certificate = try #require(made.text.firstMatch(of: /\S+\.pem/), "\(made.errors)").output
        let edge = try edge(origin, ["edge.browser_caching=standard", "edge.tls.listen=127.0.0.1:0", "edge.tls.certificates=\(certificate)"])
        let secret = try TemporaryFile(Self.secret, name: "secret")
        _ = try RawClient.get(port: edge.port, "/a")
        // A visitor, all the while.
        let isOver = Flag()
        let visits = Visits()
        Thread.detachNewThread {
            while !isOver.isSet {
                if let response = try? RawClient.get(port: edge.port, "/a") { visits.add(response.field("Cache-Status")?.contains("; hit") == true) }
                usleep(20_000)
            }
            visits.end()
        }
        let arguments = ["prove", "--json", "--against", "http://127.0.0.1:\(edge.port)", "/a", "--secret", "file:\(secret.path)", "--history", "none"]
        let page = try TemporaryFile("", name: "proof.html")
        let more = ["--quick", "--rounds", "6", "--rate", "20", "--keyspace", "--pooler", "--html", page.path]
        let result = try Command.run("env", [HeadraceProcess.binary.path] + arguments + more)
        let askedFor = origin.requests.count { $0.target == "/a" && $0.field("User-Agent") == "headrace" }
        isOver.set()
        #expect(visits.waitForEnd())
        let document = try #require(try JSONSerialization.jsonObject(with: result.output) as? [String: Any], "\(result.errors)")
        let layers = try #require(document["layers"] as? [[String: Any]])
        #expect(layers.map { $0["layer"] as? String } == ["all layers together", "response cache", "compression", "coalescing", "upstream keep-alive", "keyspace", "pooler", "browser caching"])
        #expect(layers[0]["verdict"] as? String == "faster", "\(layers)")
        #expect(layers[3]["verdict"] as? String == "no-traffic", "with a warm cache nobody waits for anybody")
        #expect(layers[7]["verdict"] as? String == "not-measured", "exact figures alone")
        let views = try #require(document["returning_visitors"] as? [[String: Any]])
        #expect(views.map { $0["requests_per_view"] as? Double } == [0, 1], "the style sheet was kept, or was not: \(views)")
        #expect(layers[6]["verdict"] as? String == "no-traffic", "there is no pooler in that process")
        #expect(try String(contentsOfFile: page.path, encoding: .utf8).contains("class=\"bar faster\""))
        // By HTTPS and HTTP/2, and given up behind the first round.
        #expect(eventually(seconds: 20) { edge.errorOutput.contains(#/https://127\.0\.0\.1:\d+\s/#) })
        let secured = try #require(edge.errorOutput.firstMatch(of: #/https://127\.0\.0\.1:\d+/#)).output
        let overTLS = arguments.map { $0 == "http://127.0.0.1:\(edge.port)" ? String(secured) : $0 } + ["--insecure", "--http2"]
        let doubtful = try Command.run("env", [HeadraceProcess.binary.path] + overTLS.filter { $0 != "--insecure" })
        #expect(doubtful.status == 69 && doubtful.errors.contains(/certificate/.ignoresCase()), "nobody believes in that certificate: \(doubtful.errors)")
        let bound = try Command.run(
            "env", [HeadraceProcess.binary.path] + overTLS + ["--quick", "--rounds", "6", "--rate", "20", "--cpu-max", "0.000001"])
        #expect(bound.status == 1 && bound.text.contains("cores in the last round"), "\(bound.errors)")
        let second = try #require(try JSONSerialization.jsonObject(with: bound.output) as? [String: Any])
        let secondFigures = try #require(second["figures"] as? [[String: Any]])
        #expect(second["is_http2"] as? Bool == true && document["is_http2"] as? Bool == false)
        #expect(secondFigures.map { $0["upstream_requests_per_request"] as? Double } == [0, 1], "signed alike, and past the same layers: \(secondFigures)")
        #expect((second["measurements"] as? [String: Any]).flatMap { $0["arms"] as? [[String: Any]] }?.allSatisfy { $0["failed"] as? Int == 0 } == true)
        let figures = try #require(document["figures"] as? [[String: Any]])
        func figure(_ arm: String, _ key: String) throws -> Double {
            try #require(figures.first { $0["arm"] as? String == arm }?[key] as? Double, "\(arm) \(key)")
        }
        #expect(try figure("everything on", "upstream_requests_per_request") < 0.05)
        #expect(try figure("everything off", "upstream_requests_per_request") > 0.95)
        #expect(try figure("everything off", "upstream_connects_per_request") > 0.95)
        #expect(try figure("without response cache", "upstream_requests_per_request") > 0.95)
        #expect(try figure("without compression", "bytes_per_request") > 3 * figure("everything on", "bytes_per_request"))
        // Exact figures are exact: what the arms say is what the application was asked for by the generator, but
        // for each arm's three to begin with, and one before them at most.
        let text = "<link rel=stylesheet href=/site.0123abcd.css>" + Self.page
        #expect(try figure("everything off", "bytes_per_request") == Double(text.utf8.count))
        #expect(try figure("without compression", "bytes_per_request") == Double(text.utf8.count))
        let stored = try RawClient.get(port: edge.port, "/a", ["Accept-Encoding: gzip"])
        #expect(try abs(figure("everything on", "bytes_per_request") - Double(stored.body.count)) < 0.05 * Double(stored.body.count))
        func sum(_ key: String) throws -> Double {
            try figures.reduce(0) { try $0 + #require($1["requests"] as? Double) * #require($1[key] as? Double) }.rounded()
        }
        let beginnings = 3 * Double(figures.count { ["everything off", "without response cache"].contains($0["arm"] as? String) })
        let told = try sum("upstream_requests_per_request")
        #expect([0, 1].contains(Double(askedFor) - told - beginnings), "\(askedFor): \(figures)")
        #expect(try sum("upstream_connects_per_request") <= edge.metric("headrace_edge_upstream_connects_total"))
        #expect(visits.misses == 0 && visits.count > 10, "every visitor was answered from the store: \(visits.count)")

        let stranger = try TemporaryFile("another secret of the same length", name: "secret")
        let refused = try Command.run("env", [HeadraceProcess.binary.path] + arguments.dropLast(3) + ["file:\(stranger.path)", "--history", "none"])
        #expect(refused.status == 69 && refused.errors.contains("its prove.secret is another"), "\(refused.errors)")
    }

    @Test func `keys of caches are missing while signed requests ask for it, and are there again by themselves`() throws {
        let origin = try origin()
        let edge = try edge(origin, ["keyspace.listen=127.0.0.1:0", "prove.keyspace=cache:*"])
        var port: Int?
        _ = eventually(seconds: 20) {
            port = edge.errorOutput.firstMatch(of: #/keyspace: 127\.0\.0\.1:(\d+) /#).flatMap { Int($0.1) }
            return port != nil
        }
        let client = try RedisClient(port: try #require(port))
        for key in ["cache:a", "lock:a"] { _ = try client.call("SET", key, "1") }
        #expect(try RawClient.get(port: edge.port, "/a", [signature("keyspace")]).field("Headrace-Proof")?.hasPrefix("keyspace;") == true)
        // A machine that is busy may let the time pass before it is looked at: then once more.
        var isMissing = false
        for _ in 0..<20 where !isMissing {
            _ = try RawClient.get(port: edge.port, "/a", [signature("keyspace")])
            isMissing = try client.call("GET", "cache:a") == .null
            #expect(try client.call("GET", "lock:a").text == "1", "a lock is never missing")
        }
        #expect(isMissing)
        _ = try client.call("SET", "cache:a", "2")
        #expect(try eventually(seconds: 20) { try client.call("GET", "cache:a").text == "2" })
        // Who may not sign may not do this.
        _ = try RawClient.get(port: edge.port, "/a", [signature("keyspace", secret: "another secret of the same length")])
        #expect(try client.call("GET", "cache:a").text == "2")
    }

    @Test(.enabled(if: PostgresCluster.programs != nil && Command.find("psql") != nil, "PostgreSQL is not installed: run scripts/setup test"))
    func `clients of the pooler have server connections of their own while signed requests ask for it, and share again by themselves`() throws {
        let postgres = try PostgresCluster.shared.get()
        let origin = try origin()
        let edge = try edge(
            origin,
            [
                "pooler.listen=127.0.0.1:0", "pooler.postgres=\(postgres.url(user: nil))", "pooler.limits.pool_size=1", "pooler.limits.min_pool_size=0",
                "pooler.limits.reserve_pool_size=0", "prove.pooler_connections=2",
            ])
        var port: Int?
        _ = eventually(seconds: 20) {
            port = edge.errorOutput.firstMatch(of: #/pooler: 127\.0\.0\.1:(\d+)/#).flatMap { Int($0.1) }
            return port != nil
        }
        let clients = try (0..<3).map { _ in try PostgresSession(port: #require(port)) }
        func process(_ client: Int) throws -> String { try clients[client].value("SELECT pg_backend_pid()") }
        #expect(try Set((0..<3).map(process)).count == 1, "they share one")
        // A machine that is busy may let the time pass before it is looked at: then once more.
        var processes: [String] = []
        for _ in 0..<20 where Set(processes).count != 3 {
            _ = try RawClient.get(port: edge.port, "/a", [signature("pooler")])
            processes = try (0..<3).map(process)
        }
        #expect(Set(processes).count == 3, "two have their own, and the third, for which there is none, has the pool's: \(processes)")
        _ = try RawClient.get(port: edge.port, "/a", [signature("pooler")])
        // What a transaction begins there ends there, also when the time is over meanwhile.
        _ = try clients[0].value("BEGIN; SELECT 1")
        let inTransaction = try process(0)
        #expect(eventually(seconds: 20) { (try? Set([process(1), process(2)]).count) == 1 }, "they share again")
        #expect(try process(0) == inTransaction)
        _ = try clients[0].value("COMMIT; SELECT 1")
        #expect(try Set((0..<3).map(process)).count == 1)
        #expect(try eventually(seconds: 20) { try postgres.query("SELECT count(*) FROM pg_stat_activity WHERE pid = \(inTransaction)") == "0" }, "closed")
        #expect(try edge.metric("headrace_pooler_dedications_total") >= 2)
        // Who may not sign may not do this.
        _ = try RawClient.get(port: edge.port, "/a", [signature("pooler", secret: "another secret of the same length")])
        #expect(try Set((0..<3).map(process)).count == 1)
    }

    @Test func `a share of visitors goes past the cache, and what it is worth is reckoned from them`() throws {
        let origin = try ScriptedOrigin { _ in
            [.wait(milliseconds: 20), .send(ScriptedOrigin.response(fields: ["Cache-Control: public, max-age=600"], body: Self.page))]
        }
        let edge = try edge(origin, ["prove.hold_out=50%"])
        let client = try RawClient(port: edge.port)
        func ask(_ lines: String = "") throws -> RawClient.Response {
            client.send("GET /a HTTP/1.1\r\nHost: a\r\n\(lines)\r\n")
            return try client.readResponse()
        }
        var past = 0
        for _ in 0..<160 { if try ask().field("Cache-Status")?.contains("detail=hold-out") == true { past += 1 } }
        // The chance of fewer than 45 or more than 115 of 160 throws is below one in ten million.
        #expect((45...115).contains(past))
        #expect(try edge.metric(#"headrace_edge_hold_out_requests_total{layer="response-cache",way="past"}"#) == Double(past))
        #expect(try edge.metric(#"headrace_edge_hold_out_requests_total{layer="response-cache",way="through"}"#) == Double(160 - past))
        let before = origin.requestCount
        // What is somebody's own is never drawn.
        for lines in ["Cookie: a=b\r\n", "Authorization: Basic YTpi\r\n"] {
            for _ in 0..<12 { #expect(try ask(lines).field("Cache-Status")?.contains("hold-out") == false) }
        }
        #expect(origin.requestCount == before)
    }
}

private final class Flag: @unchecked Sendable {
    // Sendable because the value is touched under the lock only.
    private let lock = NSLock()
    private var value = false

    var isSet: Bool { lock.withLock { value } }
    func set() { lock.withLock { value = true } }
}

private final class Visits: @unchecked Sendable {
    // Sendable because the numbers are touched under the lock only.
    private let lock = NSLock()
    private let ended = DispatchSemaphore(value: 0)
    private var values = (count: 0, misses: 0)

    var count: Int { lock.withLock { values.count } }
    var misses: Int { lock.withLock { values.misses } }

    func add(_ isHit: Bool) {
        lock.withLock {
            values.count += 1
            if !isHit { values.misses += 1 }
        }
    }

    func end() { ended.signal() }
    func waitForEnd() -> Bool { ended.wait(timeout: .now() + 60) == .success }
}
