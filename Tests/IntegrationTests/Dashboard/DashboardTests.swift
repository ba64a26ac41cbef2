import Foundation
import TestSupport
import Testing

/// The dashboard through sockets: its documents beside `/metrics`, `INFO` and what was asked for, its stream, who sees it, and health.
@Suite struct DashboardIntegrationTests {
    static let page = String(repeating: "a line that compresses well\n", count: 400)

    static func application() throws -> ScriptedOrigin {
        try ScriptedOrigin { request in
            if request.target.hasPrefix("/fails") { return [.send(ScriptedOrigin.response(status: "500 Internal Server Error", body: "no"))] }
            let fields = request.target.hasPrefix("/kept") ? ["Cache-Control: max-age=600", "ETag: \"one\""] : []
            return [.send(ScriptedOrigin.response(fields: ["Content-Type: text/html"] + fields, body: page))]
        }
    }

    static func document(_ edge: HeadraceProcess, _ target: String = "/performance/latest.json") throws -> [String: Any] {
        let response = try RawClient.getOwnPage(port: edge.port, target)
        #expect(response.status == 200 && response.field("Content-Type") == "application/json")
        #expect(response.field("Cache-Control") == "no-store")
        return try #require(try JSONSerialization.jsonObject(with: Data(response.body)) as? [String: Any])
    }

    /// What a client is sent until it is all that is wanted, or half a minute is over.
    static func read(_ client: RawClient, until isThere: (String) -> Bool) -> String {
        var text = ""
        let end = Date().addingTimeInterval(30)
        while !isThere(text), Date() < end { text += client.readAvailable(milliseconds: 100) }
        return text
    }

    /// The document once it has counted so much; readings are made once a second.
    private func document(_ edge: HeadraceProcess, seconds: Double = 30, until isThere: ([String: Any]) -> Bool) throws -> [String: Any] {
        let end = Date().addingTimeInterval(seconds)
        while true {
            let document = try Self.document(edge)
            if isThere(document) || Date() > end { return document }
            usleep(200_000)
        }
    }

    private func total(_ document: [String: Any], _ name: String) -> Double? { (document["totals"] as? [String: Any])?[name] as? Double }

    @Test func `the document agrees with the metrics`() throws {
        let origin = try Self.application()
        let edge = try HeadraceProcess(["--app", origin.url])
        for _ in 0..<20 { _ = try RawClient.get(port: edge.port, "/kept/1", ["Accept-Encoding: gzip"]) }
        for index in 0..<5 { _ = try RawClient.get(port: edge.port, "/not-kept/\(index)") }
        for _ in 0..<3 { _ = try RawClient.get(port: edge.port, "/fails") }
        for _ in 0..<4 { _ = try RawClient.get(port: edge.port, "/kept/1", ["If-None-Match: \"one\""]) }
        func requests(_ document: [String: Any], _ list: String, _ key: String, _ name: String) -> Double? {
            (document[list] as? [[String: Any]])?.first { $0[key] as? String == name }?["requests"] as? Double
        }
        // The lists are made less often than the numbers.
        let document = try document(edge) {
            (total($0, "responses_5xx") ?? 0) >= 3 && (total($0, "not_modified") ?? 0) >= 4 && requests($0, "paths", "pattern", "/not-kept/*") == 5
                && requests($0, "routes", "name", "edge.app") == 32
        }
        #expect(requests(document, "routes", "name", "edge.app") == 32)
        for (name, series) in [
            ("cache_hits", "headrace_edge_requests_total{cache=\"hit\"}"), ("cache_misses", "headrace_edge_requests_total{cache=\"miss\"}"),
            ("responses_5xx", "headrace_edge_responses_total{class=\"5xx\"}"), ("not_modified", "headrace_edge_not_modified_total"),
            ("responses_gzip", "headrace_edge_codings_total{coding=\"gzip\"}"), ("cache_entries", "headrace_response_cache_entries"),
            ("saved_by_compression_bytes", "headrace_compression_saved_bytes_total"),
            ("saved_by_not_modified_bytes", "headrace_edge_not_modified_saved_bytes_total"),
            ("compression_in_bytes", "headrace_compression_in_bytes_total"), ("upstream_requests", "headrace_edge_upstream_seconds_count"),
        ] {
            let metric = try edge.metric(series)
            // What asks is compressed too, and counted after the reading.
            if name == "responses_gzip" {
                #expect(try #require(total(document, name)) <= metric && metric > 0)
            } else {
                #expect(total(document, name) == metric, "\(name)")
            }
        }
        #expect(document["failed_requests"] as? Double == 3)
        #expect(document["cache_hits"] as? Double == 23)
        // 19 hits in gzip, the miss too; and 4 bodies that were not sent at all.
        #expect(try #require(total(document, "saved_by_compression_bytes")) > 19 * 0.8 * Double(Self.page.utf8.count))
        #expect(total(document, "saved_by_not_modified_bytes") == 4 * Double(Self.page.utf8.count))
        let paths = try #require(document["paths"] as? [[String: Any]])
        let path = try #require(paths.first { $0["pattern"] as? String == "/not-kept/*" })
        #expect(path["requests"] as? Double == 5)
        #expect((path["hint"] as? String)?.contains("no Cache-Control") == true)
    }

    @Test func `the keyspace's figures are those of INFO`() throws {
        let origin = try Self.application()
        let edge = try HeadraceProcess(["--app", origin.url, "--keyspace", "127.0.0.1:0"])
        // The layers start one beside the other.
        #expect(eventually(seconds: 30) { edge.errorOutput.contains("keyspace: 127.0.0.1:") })
        let port = try #require(edge.errorOutput.firstMatch(of: /keyspace: 127\.0\.0\.1:(\d+)\s/).flatMap { Int($0.1) })
        let client = try RawClient(port: port)
        for _ in 0..<5 { client.send("SET a 1\r\nGET a\r\nGET b\r\n") }
        let replies = Self.read(client) { $0.components(separatedBy: "$-1\r\n").count > 5 }
        #expect(replies.components(separatedBy: "$-1\r\n").count == 6)
        let document = try document(edge) { (total($0, "keyspace_misses") ?? 0) >= 5 }
        #expect(total(document, "keyspace_hits") == 5)
        #expect(total(document, "keyspace_misses") == 5)
        #expect(total(document, "keyspace_keys") == 1)
        let states = try #require(document["services"] as? [[String: Any]])
        #expect(states.contains { $0["name"] as? String == "keyspace" } || states.isEmpty)
    }

    @Test func `a second is said to whoever watches, and draining ends the stream`() throws {
        let origin = try Self.application()
        let edge = try HeadraceProcess(["--app", origin.url])
        let client = try RawClient(port: edge.port)
        client.send("GET /performance/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        let text = Self.read(client) { $0.components(separatedBy: "event: sample").count > 2 }
        #expect(text.contains("Content-Type: text/event-stream"))
        #expect(text.contains("\"requests\":["))
        edge.terminate()
        let rest = client.readToEnd(seconds: 30)
        #expect(rest.hasSuffix("0\r\n\r\n"), "the stream is whole: \(rest.suffix(100))")
        #expect(edge.waitForExit(seconds: 60) == 0)
    }

    @Test func `the stages of the document, of the metrics, of Server-Timing and of the access log are the same`() throws {
        let origin = try ScriptedOrigin { request in
            let fields = ["Content-Type: text/html"] + (request.target.hasPrefix("/kept") ? ["Cache-Control: max-age=600"] : [])
            return [.wait(milliseconds: 200), .send(ScriptedOrigin.response(fields: fields, body: Self.page))]
        }
        let stages = ["lookup", "queue", "connect", "first_byte", "compress", "write"]
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.access_log_fields=target,ms,\(stages.map { $0 + "_ms" }.joined(separator: ","))"])
        for target in ["/kept/1", "/kept/1", "/other"] {
            let answer = try RawClient.get(port: edge.port, target, ["Accept-Encoding: gzip"])
            #expect(answer.field("Content-Encoding") == "gzip")
            let timing = ServerTiming.milliseconds(answer.field("Server-Timing") ?? "")
            #expect(timing["edge"] != nil, "\(answer.head)")
        }
        let document = try document(edge) { total($0, "requests") == 3 }
        let sums = stages.map { total(document, "stage_\($0)_seconds") ?? -1 }
        #expect(sums.allSatisfy { $0 >= 0 }, "\(sums)")
        // Two of three have asked the application, which took its time.
        #expect(sums[3] > 0.35 && sums[2] > 0 && sums[4] > 0 && sums[0] > 0 && sums[5] > 0, "\(sums)")
        let whole = total(document, "response_seconds") ?? 0
        #expect(abs(sums.reduce(0, +) - whole) < 0.001 * whole, "\(sums) \(whole)")
        for (stage, sum) in zip(stages, sums) {
            let metric = try edge.metric("headrace_edge_stage_seconds_total{stage=\"\(stage)\"}")
            // The page of metrics is no exchange with the application.
            #expect(["lookup", "write"].contains(stage) ? metric >= sum - 1e-6 : abs(metric - sum) < 1e-5, "\(stage): \(metric), \(sum)")
        }
        var lines: [[String: Any]] = []
        // Each loop writes its own, in turns.
        #expect(
            try eventually(seconds: 30) {
                lines = try edge.logLines(atLeast: 3).filter { ["/kept/1", "/other"].contains($0["target"] as? String) }
                return lines.count == 3
            })
        for line in lines {
            let parts = stages.compactMap { line[$0 + "_ms"] as? Double }
            #expect(abs(parts.reduce(0, +) - (line["ms"] as? Double ?? 0)) < 0.008, "\(line)")
        }
        #expect(lines.count { $0["first_byte_ms"] != nil } == 2)
    }

    /// It takes 40 s of one of few threads, and other tests are in what it measures; `Benchmarks/dashboards` has the figure.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["HEADRACE_LONG"] != nil, "HEADRACE_LONG is not set"))
    func `two hundred open dashboards cost less than a twentieth of a core`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess(["--app", origin.url])
        func cpu() throws -> Double { try edge.metric("process_cpu_seconds_total") }
        let seconds = 20.0
        /// CPU time in so many seconds, by what the server itself says.
        func spent(_ meanwhile: () throws -> Void) throws -> Double {
            let (before, began) = (try cpu(), Date())
            while Date().timeIntervalSince(began) < seconds { try meanwhile() }
            return (try cpu() - before) / Date().timeIntervalSince(began)
        }
        let idle = try spent { usleep(200_000) }
        let watching = try (0..<200).map { _ in
            let client = try RawClient(port: edge.port)
            client.send("GET /performance/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return client
        }
        var bytes = 0
        let busy = try spent {
            for client in watching { bytes += client.readAvailable(milliseconds: 1).utf8.count }
        }
        // Each has had its seconds.
        #expect(bytes > 200 * 10 * 500, "\(bytes)")
        print("dashboards: \(busy) of a core with them, \(idle) without")
        #expect(busy - idle < 0.05, "\(busy) with them, \(idle) without")
    }

    @Test func `a stream's length is no response time`() throws {
        let origin = try Self.application()
        let edge = try HeadraceProcess(["--app", origin.url])
        do {
            let client = try RawClient(port: edge.port)
            client.send("GET /performance/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            let text = Self.read(client) { $0.components(separatedBy: "event: sample").count > 3 }
            #expect(text.components(separatedBy: "event: sample").count > 3)
            client.reset()
        }
        let end = Date().addingTimeInterval(30)
        while try edge.metric("headrace_edge_response_seconds_count") < 3, Date() < end { usleep(100_000) }
        // From one page: each that is asked for is a response more.
        let lines = try RawClient.getOwnPage(port: edge.port, "/metrics").text.split(separator: "\n")
        func count(_ bound: String) -> Substring? {
            lines.first { $0.hasPrefix("headrace_edge_response_seconds_bucket{le=\"\(bound)\"} ") }?.split(separator: " ").last
        }
        let all = try #require(count("+Inf"))
        #expect(count("1") == all)
    }

    @Test func `off and elsewhere, the paths are the application's`() throws {
        let origin = try ScriptedOrigin(body: "the application's")
        let off = try HeadraceProcess(["--app", origin.url, "--set", "dashboard.access=off"])
        for path in ["/performance", "/performance/latest.json", "/healthz", "/readyz"] {
            #expect(try RawClient.getOwnPage(port: off.port, path).text == "the application's")
        }
        let moved = try HeadraceProcess(["--app", origin.url, "--set", "dashboard.path=/-/numbers", "--set", "dashboard.ready_path=off"])
        #expect(try RawClient.getOwnPage(port: moved.port, "/-/numbers").text.contains("content=\"/-/numbers\""))
        #expect(try RawClient.getOwnPage(port: moved.port, "/performance").text == "the application's")
        #expect(try RawClient.getOwnPage(port: moved.port, "/performances").text == "the application's")
        #expect(try RawClient.getOwnPage(port: moved.port, "/readyz").text == "the application's")
    }

    @Test func `local is not who comes through a trusted proxy, public shows everybody less`() throws {
        let origin = try ScriptedOrigin(body: "the application's")
        let set = ["--set", "edge.forwarded.trusted=127.0.0.1"]
        let local = try HeadraceProcess(["--app", origin.url] + set)
        let visitor = ["X-Forwarded-For: 192.0.2.7"]
        #expect(try RawClient.getOwnPage(port: local.port, "/performance", visitor).text == "the application's")
        #expect(try RawClient.getOwnPage(port: local.port, "/performance").text.contains("<title>Performance"))
        let open = try HeadraceProcess(["--app", origin.url, "--set", "dashboard.access=public"] + set)
        #expect(try RawClient.getOwnPage(port: open.port, "/performance", visitor).text.contains("<title>Performance"))
        let less = try RawClient.getOwnPage(port: open.port, "/performance/latest.json", visitor).text
        #expect(less.contains("\"is_operator\":false") && !less.contains("\"paths\"") && !less.contains(String(origin.url.dropFirst(7))))
        #expect(try RawClient.getOwnPage(port: open.port, "/performance/latest.json").text.contains("\"paths\""))
    }

    @Test func `who logs in at a route of its own is an operator from elsewhere, too`() throws {
        let users = try TemporaryFile("ann:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
        let origin = try ScriptedOrigin(body: "the application's")
        let file = try TemporaryFile(
            """
            edge:
              app: \(origin.url)
              forwarded: {trusted: [127.0.0.1]}
              routes:
                - {match: {path: [/performance]}, page: dashboard, basic_auth: {file: "\(users.path)"}}
            """, name: "headrace.yaml")
        let edge = try HeadraceProcess(["--config", file.path])
        let visitor = "X-Forwarded-For: 192.0.2.7"
        let login = "Authorization: Basic " + Data("ann:secret".utf8).base64EncodedString()
        let refused = try RawClient.getOwnPage(port: edge.port, "/performance/latest.json", [visitor])
        #expect(refused.status == 401 && refused.field("WWW-Authenticate")?.hasPrefix("Basic") == true)
        let wrong = "Authorization: Basic " + Data("ann:Secret".utf8).base64EncodedString()
        #expect(try RawClient.getOwnPage(port: edge.port, "/performance", [visitor, wrong]).status == 401)
        #expect(try RawClient.getOwnPage(port: edge.port, "/performance", [visitor, login]).text.contains("<title>Performance"))
        let document = try RawClient.getOwnPage(port: edge.port, "/performance/latest.json", [visitor, login])
        #expect(document.text.contains("\"is_operator\":true") && document.field("Cross-Origin-Resource-Policy") == "same-origin")
        #expect(document.field("Access-Control-Allow-Origin") == nil)
        // From this machine nobody is asked.
        #expect(try RawClient.getOwnPage(port: edge.port, "/performance/latest.json").text.contains("\"is_operator\":true"))
    }

    @Test func `one address takes no more than its places in the stream`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "dashboard.access=public", "--set", "edge.forwarded.trusted=127.0.0.1"])
        func watch(_ address: String) throws -> RawClient {
            let client = try RawClient(port: edge.port)
            client.send("GET /performance/events HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: \(address)\r\n\r\n")
            return client
        }
        var watching: [RawClient] = []
        for _ in 0..<50 {
            let client = try watch("192.0.2.7")
            #expect(Self.read(client) { $0.contains("retry: 2000") }.hasPrefix("HTTP/1.1 200"))
            watching.append(client)
        }
        #expect(Self.read(try watch("192.0.2.7")) { $0.contains("\r\n\r\n") }.hasPrefix("HTTP/1.1 503"))
        #expect(Self.read(try watch("192.0.2.8")) { $0.contains("retry: 2000") }.hasPrefix("HTTP/1.1 200"))
        watching.removeLast().reset()
        #expect(try eventually(seconds: 30) { Self.read(try watch("192.0.2.7")) { $0.contains("\r\n\r\n") }.hasPrefix("HTTP/1.1 200") })
        withExtendedLifetime(watching) {}
    }

    @Test func `the page says what may run in it, and goes out compressed`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess(["--app", origin.url])
        let page = try RawClient.getOwnPage(port: edge.port, "/performance")
        let policy = try #require(page.field("Content-Security-Policy"))
        #expect(policy.contains("default-src 'none'") && !policy.contains("unsafe"))
        #expect(page.body.count < 60 << 10)
        let small = try RawClient.getOwnPage(port: edge.port, "/performance", ["Accept-Encoding: gzip"])
        #expect(small.field("Content-Encoding") == "gzip" && small.body.count < page.body.count / 2)
        let post = try RawClient.exchange(port: edge.port, "POST /performance HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        #expect(post.status == 405)
        let head = try RawClient.exchange(port: edge.port, "HEAD /performance HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", hasBody: false)
        #expect(head.status == 200)
    }

    @Test func `ready, all together and one by one`() throws {
        let origin = try ScriptedOrigin(body: "x")
        let edge = try HeadraceProcess(["--app", origin.url])
        #expect(try RawClient.getOwnPage(port: edge.port, "/healthz").text == "ok\n")
        func state(_ isWanted: (Int, String) -> Bool) throws -> (Int, String) {
            let end = Date().addingTimeInterval(90)
            while true {
                let response = try RawClient.getOwnPage(port: edge.port, "/readyz")
                if isWanted(response.status, response.text) || Date() > end { return (response.status, response.text) }
                usleep(300_000)
            }
        }
        let good = try state { $1.contains("\"application\",\"state\":\"up\"") }
        #expect(good.0 == 200, "\(good.1)")
        #expect(try RawClient.getOwnPage(port: edge.port, "/readyz/application").status == 200)
        #expect(try RawClient.getOwnPage(port: edge.port, "/readyz/nobody").status == 404)
    }

    @Test func `what was counted outlives a kill`() throws {
        let folder = try TemporaryFolder()
        let origin = try Self.application()
        let arguments = ["--app", origin.url, "--set", "dashboard.state=\(folder.path)"]
        let first = try HeadraceProcess(arguments)
        _ = try RawClient.get(port: first.port, "/fails")
        let database = URL(filePath: folder.path).appending(path: "samples.sqlite")
        // The first batch is written after ten seconds.
        let end = Date().addingTimeInterval(60)
        var count = 0
        while count == 0, Date() < end {
            let times = try Self.document(first, "/performance/api/series?range=2h&names=requests")["times"] as? [Int] ?? []
            count = FileManager.default.fileExists(atPath: database.path) && times.count > 0 ? try stored(database) : 0
            usleep(300_000)
        }
        kill(first.processIdentifier, SIGKILL)
        _ = first.waitForExit()
        let second = try HeadraceProcess(arguments)
        let document = try Self.document(second, "/performance/api/series?range=5m&names=responses_5xx")
        let failed = try #require((document["series"] as? [String: [Double]])?["responses_5xx"])
        #expect(failed.contains { $0 > 0 }, "\(document)")
        #expect((document["markers"] as? [[String: Any]])?.isEmpty == false)
        // A report reads the same numbers beside the server that keeps them: minutes, once the first is whole.
        let history = folder.path + "/history.sqlite"
        for _ in 0..<2 {
            let run = try Command.run(
                "env", [HeadraceProcess.binary.path, "bench", "--concurrency", "2", "--requests", "20", "--warm-up", "0s", "--history", history, "http://127.0.0.1:\(second.port)/kept/<b>"])
            #expect([0, 3].contains(run.status), "\(run.errors)")
        }
        func report() throws -> String {
            let report = try Command.run("env", [HeadraceProcess.binary.path, "report", "--since", "7d", "--html", "--history", history])
            #expect(report.status == 0, "\(report.errors)")
            return report.text
        }
        #expect(try eventually(seconds: 180) { try report().contains("<h2>Traffic</h2><p>") && !report().contains("No request in this time") })
        let page = try report()
        for word in ["requests, ", "first_byte", "<h2>headrace bench</h2>", "<h2>Runs</h2>", "/kept/&lt;b&gt;"] { #expect(page.contains(word), "\(word): \(page)") }
        for word in ["<b>", "http-equiv", "src=", "<script", "@import", "url("] { #expect(!page.contains(word), "\(word)") }
        #expect(second.isRunning)
    }

    private func stored(_ database: URL) throws -> Int {
        let result = try Command.run("sqlite3", ["-readonly", database.path, "SELECT count(*) FROM sample"])
        return Int(result.text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
    }

    @Test func `a deploy is marked by an operator, by headrace mark and by a token, and by no visitor and no page in a browser`() throws {
        let origin = try Self.application()
        let token = try TemporaryFile("a token of forty bytes, for this test only", name: "token")
        let file = try TemporaryFile(
            """
            edge:
              app: \(origin.url)
              forwarded: {trusted: [127.0.0.1]}
              metrics_token: file:\(token.path)
            dashboard: {access: public}
            """, name: "headrace.yaml")
        let edge = try HeadraceProcess(["--config", file.path])
        func mark(_ text: String, _ fields: [String] = []) throws -> RawClient.Response {
            let head = ["POST /performance/api/marks HTTP/1.1", "Host: localhost", "Headrace-Mark: \(text)", "Content-Length: 0", "Connection: close"] + fields
            return try RawClient.exchange(port: edge.port, head.joined(separator: "\r\n") + "\r\n\r\n")
        }
        let visitor = "X-Forwarded-For: 192.0.2.7"
        #expect(try mark("v1.1", [visitor]).status == 403)
        for field in ["Origin: http://localhost", "Origin: null", "Sec-Fetch-Site: same-origin"] { #expect(try mark("v1.1", [field]).status == 403, "\(field)") }
        #expect(try mark("").status == 400)
        #expect(try mark("v1.3", [visitor, "Authorization: Bearer a token of forty bytes, for this test only"]).status == 200)
        let said = try Command.run("env", [HeadraceProcess.binary.path, "mark", "v1.4 <b>", "--to", "http://127.0.0.1:\(edge.port)"])
        #expect(said.status == 0 && said.text == "marked: v1.4 <b>\n", "\(said.errors)")
        let refused = try Command.run("env", [HeadraceProcess.binary.path, "mark", "v1.5", "--to", "http://127.9.9.9:1"])
        #expect(refused.status == 69)
        // What the edge would not take is not sent.
        for text in ["   ", String(repeating: "x", count: 101), "a\nb"] {
            let none = try Command.run("env", [HeadraceProcess.binary.path, "mark", text, "--to", "http://127.0.0.1:\(edge.port)"])
            #expect(none.status == 64 && none.errors.contains("a mark has 1 to 100 characters"), "\(none.errors)")
        }
        func marks(_ fields: [String] = []) throws -> [String] {
            let page = try RawClient.getOwnPage(port: edge.port, "/performance/api/series?range=5m&names=requests", fields)
            let document = try #require(try JSONSerialization.jsonObject(with: Data(page.body)) as? [String: Any])
            return (document["markers"] as? [[String: Any]] ?? []).filter { $0["kind"] as? String == "mark" }.map { $0["text"] as? String ?? "" }
        }
        #expect(try marks() == ["v1.3", "v1.4 <b>"])
        #expect(try marks([visitor]) == ["", ""])
    }

    @Test func `the status in a terminal is the strip of the page`() throws {
        let origin = try Self.application()
        let edge = try HeadraceProcess(["--app", origin.url])
        _ = try RawClient.get(port: edge.port, "/kept/1")
        // Before the first second is over there is no figure.
        _ = try document(edge) { $0["requests_per_second"] is Double && total($0, "requests") == 1 }
        let result = try Command.run("env", [HeadraceProcess.binary.path, "status", "--to", "http://127.0.0.1:\(edge.port)"])
        #expect(result.status == 0, "\(result.errors)")
        for word in ["Response cache", "Keyspace", "off", "not measured", "requests/s"] { #expect(result.text.contains(word), "\(result.text)") }
        let json = try Command.run("env", [HeadraceProcess.binary.path, "status", "--json", "--to", "http://127.0.0.1:\(edge.port)"])
        #expect(json.text.contains("\"schema\":1"))
        let nobody = try Command.run("env", [HeadraceProcess.binary.path, "status", "--to", "http://127.9.9.9:1"])
        #expect(nobody.status == 69)
    }
}

/// The page in a real browser.
@Suite(.serialized) struct DashboardBrowserTests {
    static let browser = ["chromium", "chromium-browser", "google-chrome"].first { Command.find($0) != nil }
    static let driver = HeadraceProcess.repository.appending(path: "Tests/IntegrationTests/Dashboard/browse.py")

    @Test(.enabled(if: browser != nil, "Chromium is not installed: run scripts/setup"), arguments: [("light", 1440), ("dark", 360), ("dark", 1440), ("light", 360)])
    func `the page shows live figures without an error, an outside request or anything out of reach`(scheme: String, width: Int) throws {
        let origin = try DashboardIntegrationTests.application()
        let edge = try HeadraceProcess(["--app", origin.url, "--keyspace", "127.0.0.1:0", "--set", "prove.hold_out=20%"])
        let hostile = "/%3Cimg/<img src=x onerror=alert(1)>"
        let folder = try TemporaryFolder()
        let picture = ProcessInfo.processInfo.environment["HEADRACE_ARTEFACTS"].map { $0 + "/performance-\(scheme)-\(width).png" }
            ?? folder.path + "/page.png"
        // A load for as long as the browser looks.
        let load = Program()
        load.executableURL = HeadraceProcess.binary
        load.arguments = [
            "bench", "--rate", "40", "--duration", "120s", "--warm-up", "0s", "--history", "none", "--header", "Accept-Encoding: gzip",
            "http://127.0.0.1:\(edge.port)/kept/1", "http://127.0.0.1:\(edge.port)/other/2",
        ]
        (load.standardOutput, load.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
        try load.start()
        defer { if load.isRunning { kill(load.processIdentifier, SIGKILL) } }
        _ = try? RawClient.exchange(port: edge.port, "GET \(hostile.replacingOccurrences(of: " ", with: "\"")) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        let result = try Command.run(
            "python3",
            [
                Self.driver.path, try #require(Self.browser), "http://127.0.0.1:\(edge.port)/performance", "--width", "\(width)", "--scheme", scheme,
                "--picture", picture, "--events", "8", "--full",
            ] + (scheme == "light" && width == 1440 ? ["--ways"] : []))
        #expect(result.status == 0, "\(result.errors)")
        let seen = try #require(try JSONSerialization.jsonObject(with: result.output) as? [String: Any])
        #expect(seen["hasEvents"] as? Bool == true, "updates come by events")
        #expect((seen["console"] as? [String])?.isEmpty == true, "\(seen["console"] ?? "")")
        let requests = try #require(seen["requests"] as? [String])
        let outside = requests.filter { !$0.hasPrefix("http://127.0.0.1:\(edge.port)/performance") && !$0.hasPrefix("data:") && $0 != "about:blank" }
        #expect(outside.isEmpty, "\(outside)")
        let points = try #require(seen["points"] as? [String: Int])
        for chart in ["requests", "latency", "heatmap", "stages", "cache", "saved", "cpu", "lag", "memory", "files", "burn", "keyspace-memory", "services", "paths", "routes"] {
            #expect((points[chart] ?? 0) > 0, "\(chart) has nothing: \(points)")
        }
        for name in ["tooWide", "faint", "faintLines", "nameless", "overlaps", "cut", "misused"] { #expect((seen[name] as? [String])?.isEmpty == true, "\(name): \(seen[name] ?? "")") }
        #expect((seen["layers"] as? [String])?.count == 8)
        #expect((seen["sparks"] as? Int ?? 0) >= 6 && (seen["bands"] as? Int ?? 0) >= 1, "\(seen["sparks"] ?? ""), \(seen["bands"] ?? "")")
        #expect((seen["layers"] as? [String])?.first?.contains("Not measured") == true, "worth without a proof")
        let held = (seen["layers"] as? [String])?.filter { $0.contains("On visitors: ") } ?? []
        #expect(held.count == 1 && held.first?.contains("requests held out") == true, "of the one layer that visitors are held out of: \(held)")
        #expect((seen["tipByKeyboard"] as? String)?.isEmpty == false && seen["tipIsGone"] as? Bool == true)
        #expect((seen["tableRows"] as? Int ?? 0) > 0)
        #expect((seen["withoutTable"] as? [String])?.isEmpty == true, "each chart can be read as a table: \(seen["withoutTable"] ?? "")")
        #expect(seen["scripts"] as? Int == 1 && seen["images"] as? Int == 0, "hostile text is text")
        #expect((seen["background"] as? String)?.contains(scheme == "dark" ? "14" : "24") == true, "\(seen["background"] ?? "")")
        #expect(try Data(contentsOf: URL(filePath: picture)).starts(with: [0x89, 0x50, 0x4E, 0x47]))
        #expect((seen["marks"] as? [String])?.contains { $0.hasPrefix("start: Headrace ") } == true, "\(seen["marks"] ?? "")")
        if let ways = seen["ways"] as? [String: Any] { try look(ways, at: "http://127.0.0.1:\(edge.port)/performance") }
    }

    /// The tab hidden and seen again, the page on paper, by its link to exactly this view, and asked for anew in place of the stream.
    private func look(_ ways: [String: Any], at address: String) throws {
        #expect(ways["isMarked"] as? Bool == true, "an open page shows a mark that is made meanwhile")
        let hour = try #require(ways["hour"] as? [String: Any])
        #expect(hour["isDrawn"] as? Bool == true && hour["isLive"] as? Bool == true, "\(hour)")
        // One may have been on its way.
        #expect((ways["eventsWhileHidden"] as? Int ?? 9) <= 1 && ways["eventsWhenSeenAgain"] as? Bool == true, "\(ways)")
        let paper = try #require(ways["paper"] as? [String: Any])
        #expect(paper["isDocument"] as? Bool == true && paper["isWithoutControls"] as? Bool == true && paper["background"] as? String == "rgb(255, 255, 255)")
        for name in ["faint", "faintLines"] { #expect((paper[name] as? [String])?.isEmpty == true, "on paper, from a dark screen, \(name): \(paper[name] ?? "")") }
        #expect((paper["points"] as? [String: Int])?["requests"] ?? 0 > 0)
        func requests(_ way: [String: Any]) -> [String] { way["requests"] as? [String] ?? [] }
        let link = try #require(ways["link"] as? [String: Any])
        #expect((link["url"] as? String)?.firstMatch(of: /\/performance\?range=5m&to=\d+$/) != nil && link["isDrawn"] as? Bool == true, "\(link)")
        #expect((link["live"] as? String)?.hasPrefix("until ") == true && !requests(link).contains("\(address)/events"), "\(link)")
        let refresh = try #require(ways["refresh"] as? [String: Any])
        #expect(refresh["isDrawn"] as? Bool == true && refresh["isAsked"] as? Bool == true, "\(refresh)")
        #expect(refresh["live"] as? String == "every 1 s" && !requests(refresh).contains("\(address)/events"), "\(refresh)")
    }

    @Test(.enabled(if: browser != nil && PostgresCluster.programs != nil && Command.find("psql") != nil, "Chromium or PostgreSQL is not installed: run scripts/setup"))
    func `with all layers under load each block has data, and what is hostile in a path, a host, a field or SQL is text`() throws {
        let postgres = try PostgresCluster.shared.get()
        let origin = try DashboardIntegrationTests.application()
        let folder = try TemporaryFolder()
        let secret = try TemporaryFile("a secret of this test's own, of forty bytes", name: "secret")
        let headrace = try HeadraceProcess([
            "--app", origin.url, "--keyspace", "127.0.0.1:0", "--pooler", "127.0.0.1:0", "--postgres", postgres.url(), "--set", "dashboard.state=\(folder.path)",
            "--set", "dashboard.traffic_price=0.08EUR", "--set", "schedule.load=0 0 1 1 *", "--set", "prove.secret=file:\(secret.path)",
        ])
        func port(_ layer: String) throws -> Int {
            #expect(eventually(seconds: 60) { headrace.errorOutput.contains(/\n$/) && headrace.errorOutput.contains("\(layer): 127.0.0.1:") })
            let text = headrace.errorOutput
            let start = try #require(text.range(of: "\(layer): 127.0.0.1:")?.upperBound)
            return try #require(Int(text[start...].prefix { $0.isNumber }))
        }
        let (edge, history) = ("http://127.0.0.1:\(headrace.port)", "\(folder.path)/history.sqlite")
        let bench = try Command.run(
            "env", [HeadraceProcess.binary.path, "bench", "--concurrency", "2,4", "--duration", "1s", "--warm-up", "0s", "--history", history, "\(edge)/kept/1"])
        #expect([0, 3].contains(bench.status), "\(bench.text)\(bench.errors)")
        let markup = "<img src=x onerror=alert(1)>"
        _ = try Command.run(
            "psql", ["-X", "-q", "-w", "-h", "127.0.0.1", "-p", "\(port("pooler"))", "-U", "postgres", "-d", "shop", "-c", "SELECT 1 AS \"\(markup)\""])
        // The dearest of its kind, by far.
        _ = try Command.run("psql", ["-X", "-q", "-w", "-h", "127.0.0.1", "-p", "\(port("pooler"))", "-U", "postgres", "-d", "shop", "-c", "SELECT pg_sleep(0.2)"])
        let path = markup.replacing(" ", with: "\u{9}")
        for request in [
            "GET /\(markup.replacing(" ", with: "/")) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET /other HTTP/1.1\r\nHost: \(markup.replacing(" ", with: ""))\r\nConnection: close\r\n\r\n",
            "GET /other HTTP/1.1\r\nHost: a\r\nUser-Agent: \(markup)\r\nReferer: \(path)\r\nConnection: close\r\n\r\n",
        ] { _ = try? RawClient.exchange(port: headrace.port, request) }
        let loads = try [
            ["--rate", "20", "--header", "Accept-Encoding: gzip", "\(edge)/kept/1", "\(edge)/other/2"],
            ["--rate", "20", "redis://127.0.0.1:\(port("keyspace"))"], ["--rate", "10", "--query", "SELECT count(*) FROM pg_class", "postgres://postgres@127.0.0.1:\(port("pooler"))/shop"],
        ].map { ["bench", "--duration", "300s", "--warm-up", "0s", "--history", "none"] + $0 }
        // Beside them, while PostgreSQL is asked for the first time: a proof of one round, which is kept where the page looks for it.
        let proof = ["prove", "--against", edge, "/kept/1", "--quick", "--rounds", "1", "--rate", "20", "--secret", "file:\(secret.path)", "--history", history]
        let children = try (loads + [proof]).map { arguments in
            let load = Program()
            load.executableURL = HeadraceProcess.binary
            load.arguments = arguments
            (load.standardOutput, load.standardError, load.standardInput) = (FileHandle.nullDevice, FileHandle.nullDevice, FileHandle.nullDevice)
            try load.start()
            return load
        }
        defer { for load in children where load.isRunning { kill(load.processIdentifier, SIGKILL) } }
        // Lists are gathered every five seconds, PostgreSQL is asked every fifteen.
        let lists = ["statements", "benches", "pools", "paths", "pg_stat_statements_by_total", "pg_stat_statements_by_mean"]
        #expect(
            try eventually(seconds: 180) {
                let document = try DashboardIntegrationTests.document(headrace)
                let postgresql = (document["layers"] as? [[String: Any]])?.last ?? [:]
                return lists.allSatisfy { (document[$0] as? [Any])?.isEmpty == false } && document["proof"] is [String: Any]
                    && ["share", "cpu_cores", "memory_bytes"].allSatisfy { (postgresql[$0] as? Double ?? 0) > 0 }
            }, "and PostgreSQL, on this machine, has its share and its costs")
        let result = try Command.run("python3", [Self.driver.path, try #require(Self.browser), "\(edge)/performance", "--events", "8", "--full"])
        #expect(result.status == 0, "\(result.errors)")
        let seen = try #require(try JSONSerialization.jsonObject(with: result.output) as? [String: Any])
        #expect((seen["console"] as? [String])?.isEmpty == true, "\(seen["console"] ?? "")")
        let points = try #require(seen["points"] as? [String: Int])
        for (chart, count) in points { #expect(count > 0, "\(chart) has nothing: \(points)") }
        #expect(points.count >= 30, "\(points)")
        try compareProof(seen, history: history)
        try compareStatements(seen, postgres, DashboardIntegrationTests.document(headrace))
        #expect((seen["layers"] as? [String])?.last?.contains(/of its transactions through the pooler.*Costs: .*cores, .*B/.dotMatchesNewlines()) == true, "\(seen["layers"] ?? "")")
        for name in ["overlaps", "cut", "misused"] { #expect((seen[name] as? [String])?.isEmpty == true, "\(name): \(seen[name] ?? "")") }
        #expect((seen["withoutTable"] as? [String])?.isEmpty == true, "\(seen["withoutTable"] ?? "")")
        let text = seen["text"] as? String ?? ""
        #expect(text.contains("<img/src=x/onerror=alert(1)>"), "the path")
        #expect(text.contains("SELECT ? AS \"\(markup)\"") || text.localizedCaseInsensitiveContains("as \"\(markup)\""), "the statement")
        #expect(seen["scripts"] as? Int == 1 && seen["images"] as? Int == 0)
        #expect(text.contains("EUR of traffic spared") && text.contains("error budget burn"))
        withExtendedLifetime(secret) {}
    }

    /// The forest plot and the strip draw the run that the history keeps.
    private func compareProof(_ seen: [String: Any], history: String) throws {
        let kept = try Command.run("env", [HeadraceProcess.binary.path, "report", "2", "--json", "--history", history])
        let run = try #require(try JSONSerialization.jsonObject(with: kept.output) as? [String: Any], "\(kept.text) \(kept.errors)")
        let layers = try #require(run["layers"] as? [[String: Any]])
        let forest = try #require(seen["forest"] as? [String: Any])
        #expect(forest["names"] as? [String] == layers.compactMap { $0["layer"] as? String } && layers.count > 4, "\(forest)")
        let found = layers.filter { $0["change_percent"] is Double }
        #expect(forest["found"] as? [String] == found.compactMap { $0["words"] as? String } && !found.isEmpty, "\(forest), \(layers)")
        #expect(forest["ends"] as? Int == found.count { $0["change_percent_low"] is Double })
        let change = try #require(layers[0]["change_percent"] as? Double)
        let strip = try #require((seen["layers"] as? [String])?.first)
        let shown = try #require(strip.firstMatch(of: /Worth ([+−])([0-9.]+) % of the median time/), "\(strip)")
        let size = try #require(Double(shown.2))
        #expect((shown.1 == "+") == (change > 0) && abs(size - abs(change)) <= 1, "\(strip), \(change)")
    }

    /// What the page says of statements is what PostgreSQL counts: each of the rows is one of its own, called no more often than it says by now.
    /// The dearest come first, by the one measure and by the other.
    private func compareStatements(_ seen: [String: Any], _ postgres: PostgresCluster, _ document: [String: Any]) throws {
        for (list, measure) in [("by_total", "seconds"), ("by_mean", "mean_ms")] {
            let statements = try #require(document["pg_stat_statements_\(list)"] as? [[String: Any]])
            let sizes = statements.compactMap { $0[measure] as? Double }
            #expect(sizes == sizes.sorted(by: >) && sizes.count == 10 && statements.allSatisfy { ($0["calls"] as? Double ?? 0) >= 1 }, "\(list): \(sizes)")
            if list == "by_mean" { #expect(statements.contains { ($0["text"] as? String)?.contains("pg_sleep") == true }, "\(statements)") }
        }
        let rows = try #require(seen["rows"] as? [String: [[String]]])
        let counted = try postgres.query("SELECT json_agg(json_build_object('text', left(query, 2000), 'calls', calls)) FROM pg_stat_statements")
        let own = try #require(try JSONSerialization.jsonObject(with: Data(counted.utf8)) as? [[String: Any]])
        for list in ["pg-total", "pg-mean"] {
            let drawn = try #require(rows[list])
            #expect((1...10).contains(drawn.count), "\(list): \(drawn)")
            for row in drawn {
                let calls = own.filter { $0["text"] as? String == row[0] }.reduce(0) { $0 + ($1["calls"] as? Int ?? 0) }
                // Thousands are written short.
                #expect(calls > 0 && (Double(row[1]) ?? 0) <= Double(calls), "\(list): \(row), \(calls)")
            }
        }
    }

    @Test(.enabled(if: browser != nil, "Chromium is not installed: run scripts/setup"))
    func `the page that stays open sees the server go and come back`() throws {
        let origin = try DashboardIntegrationTests.application()
        // A port of an address that nobody else takes ports of: the second server must get the one that the first had.
        let address = "127.7.8.1:\(20_000 + Int(getpid()) % 30_000)"
        let arguments = ["--app", origin.url, "--listen", address]
        let first = try HeadraceProcess(arguments)
        let folder = try TemporaryFolder()
        let (output, errors) = (folder.path + "/out", folder.path + "/err")
        for file in [output, errors] { try Data().write(to: URL(filePath: file)) }
        let looking = Program()
        looking.executableURL = Command.find("python3")
        looking.arguments = [Self.driver.path, try #require(Self.browser), "http://\(address)/performance", "--events", "3", "--restarts"]
        looking.standardOutput = try FileHandle(forWritingTo: URL(filePath: output))
        looking.standardError = try FileHandle(forWritingTo: URL(filePath: errors))
        looking.standardInput = FileHandle.nullDevice
        try looking.start()
        defer { if looking.isRunning { kill(looking.processIdentifier, SIGKILL) } }
        func said() -> String { (try? String(contentsOfFile: errors, encoding: .utf8)) ?? "" }
        try #require(eventually(seconds: 120) { said().contains("watching") || !looking.isRunning })
        first.terminate()
        #expect(first.waitForExit(seconds: 60) == 0)
        #expect(eventually(seconds: 120) { said().contains("gone") || !looking.isRunning })
        let second = try HeadraceProcess(arguments)
        #expect(eventually(seconds: 240) { !looking.isRunning })
        let seen = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: output))) as? [String: Any], "\(said())")
        #expect(seen["sawTheEnd"] as? Bool == true && seen["sawTheReturn"] as? Bool == true)
        #expect((seen["console"] as? [String])?.isEmpty == true, "\(seen["console"] ?? "")")
        #expect(second.isRunning)
    }
}
