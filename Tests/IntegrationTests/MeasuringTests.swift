import Foundation
import TestSupport
import Testing

/// The measuring commands as users run them, against servers whose truth is known. One at a time: they would measure each other.
@Suite(.serialized) struct MeasuringTests {
    private static let isLong = ProcessInfo.processInfo.environment["HEADRACE_LONG"] != nil

    private func headrace(_ arguments: [String]) throws -> Command.Result {
        // By `env`, which takes a path.
        try Command.run("env", [HeadraceProcess.binary.path] + arguments)
    }

    private func object(_ result: Command.Result) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: result.output) as? [String: Any], "\(result.errors)")
    }

    private static let page = "<html><body>" + String(repeating: "<p>a line that compresses well</p>\n", count: 200) + "</body></html>"

    /// Answers after so many milliseconds; `/slow` takes ten times as long. HEAD gets the head alone: a body behind it would be
    /// taken for the next response's, and fail that request.
    private func origin(milliseconds: Int, fields: [String] = []) throws -> ScriptedOrigin {
        try ScriptedOrigin { request in
            let response = ScriptedOrigin.response(fields: ["Content-Type: text/html"] + fields, body: Self.page)
            return [
                .wait(milliseconds: request.target.hasPrefix("/slow") ? 10 * milliseconds : milliseconds),
                .send(request.method == "HEAD" ? String(response.dropLast(Self.page.count)) : response),
            ]
        }
    }

    @Test func `an open loop is the default, keeps both times, and writes every form`() throws {
        let origin = try origin(milliseconds: 20)
        let folder = FileManager.default.temporaryDirectory.appending(path: "headrace-bench-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let files = ["csv", "html", "hdr"].map { folder.appending(path: "run.\($0)") }
        let result = try headrace(
            ["bench", "--json", origin.url + "/a", "3@" + origin.url + "/b", "--rate", "40", "--duration", "2s", "--warm-up", "0s"]
                + zip(["--csv", "--html", "--hdr"], files).flatMap { [$0, $1.path] })
        #expect([0, 3].contains(result.status), "\(result.errors)")
        let document = try object(result)
        #expect(document["model"] as? String == "open-loop")
        let level = try #require((document["levels"] as? [[String: Any]])?.first)
        #expect(level["requests"] as? Int == 80 && level["failed"] as? Int == 0 && level["scheduled"] as? Int == 80)
        #expect(origin.requestCount == 80)
        #expect(try #require(level["p50_ms"] as? Double) >= 19)
        #expect(try #require((level["service_ms"] as? [String: Double])?["p50"]) >= 19)
        let classes = try #require(level["classes"] as? [[String: Any]])
        #expect(classes.map { $0["requests"] as? Int } == [20, 60])
        #expect(try String(contentsOf: files[0], encoding: .utf8).hasPrefix("run,seconds,"))
        #expect(try String(contentsOf: files[1], encoding: .utf8).contains("<svg"))
        #expect(try String(contentsOf: files[2], encoding: .utf8).contains("#[Max     ="))
    }

    @Test func `a threshold that is passed is 99, one that is kept is not`() throws {
        let origin = try origin(milliseconds: 30)
        let arguments = ["bench", origin.url + "/", "--rate", "20", "--duration", "1s", "--warm-up", "0s", "--fail-if"]
        #expect(try headrace(arguments + ["p50>10ms"]).status == 99)
        #expect(try headrace(arguments + ["p50>10s,errors>0%"]).status != 99)
        #expect(try headrace(arguments + ["p50"]).status == 64)
    }

    @Test func `the knee of a server that answers one at a time is found`() throws {
        // 25 ms each, one after the other: 40 requests/s at most.
        let origin = try SerialOrigin(milliseconds: 25)
        let result = try headrace(
            ["bench", "--json", origin.url + "/", "--find-knee", "--slo", "p95<200ms,errors<1%", "--rate", "10", "--duration", "2s", "--warm-up", "0s"])
        let knee = try #require(try object(result)["knee"] as? [String: Any])
        let holds = knee["holds_per_second"] as? Double ?? 0
        #expect(holds <= 46, "\(knee)")
        // A machine that gives the generator no time ends the search early, and that is said.
        if knee["is_generator_limited"] as? Bool == false { #expect(holds >= 15, "\(knee)") }
    }

    @Test(.enabled(if: Command.find("wrk") != nil && Command.find("ab") != nil, "wrk or ab is not installed: run scripts/setup"))
    func `a closed loop sees what wrk and ab see: the same throughput within noise, and no failure that they don't`() throws {
        let root = FileManager.default.temporaryDirectory.appending(path: "headrace-cross-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: root) }
        try Data(String(repeating: "x", count: 8000).utf8).write(to: root.appending(path: "page.html"))
        let edge = try HeadraceProcess(["--root", root.path])
        let url = "http://127.0.0.1:\(edge.port)/page.html"
        var ratios: [String: [Double]] = [:]
        // In turns, so that what the machine does in the meantime touches all of them.
        for _ in 0..<3 {
            let ours = try object(headrace(["bench", "--json", url, "--concurrency", "10", "--duration", "1s", "--warm-up", "200ms"]))
            let level = try #require((ours["levels"] as? [[String: Any]])?.first)
            #expect(level["failed"] as? Int == 0)
            let rate = try #require(level["requests_per_second"] as? Double)
            let wrk = try Command.run("wrk", ["-t1", "-c10", "-d1s", url]).text
            #expect(!wrk.contains("Socket errors") && !wrk.contains("Non-2xx"))
            let ab = try Command.run("ab", ["-q", "-k", "-n", "5000", "-c", "10", url]).text
            #expect(ab.contains(/Failed requests: +0\n/))
            let rates = [
                "wrk": wrk.firstMatch(of: /Requests\/sec: +([0-9.]+)/).flatMap { Double($0.1) },
                "ab": ab.firstMatch(of: /Requests per second: +([0-9.]+)/).flatMap { Double($0.1) },
            ]
            for (name, theirs) in rates { ratios[name, default: []].append(rate / (try #require(theirs))) }
        }
        for (name, values) in ratios {
            // The machine is shared and loud; another client costs more or less itself.
            let median = values.sorted()[1]
            #expect(median > 0.4 && median < 2.5, "\(name): \(values)")
        }
    }

    @Test func `an access log is replayed with its mix, GET and HEAD alone`() throws {
        let origin = try origin(milliseconds: 1)
        let log = FileManager.default.temporaryDirectory.appending(path: "access-\(UUID().uuidString).log")
        defer { try? FileManager.default.removeItem(at: log) }
        let lines = ["GET /a", "GET /a", "POST /a", "HEAD /b", "GET /c?x=1"].map { #"127.0.0.1 - - [d] "\#($0) HTTP/1.1" 200 5"# }
        try Data(lines.joined(separator: "\n").utf8).write(to: log)
        let result = try headrace(
            ["bench", "--json", origin.url + "/", "--access-log", log.path, "--rate", "40", "--duration", "1s", "--warm-up", "0s"])
        #expect([0, 3].contains(result.status), "\(result.errors)")
        let classes = try #require((try object(result)["levels"] as? [[String: Any]])?.first?["classes"] as? [[String: Any]])
        #expect(classes.map { $0["name"] as? String } == ["/a", "/b", "/c"])
        #expect(classes.map { $0["requests"] as? Int } == [20, 10, 10])
    }

    @Test func `an access log is replayed with its timing, faster on request`() throws {
        let origin = try origin(milliseconds: 1)
        // Three in the first second, one four seconds later: the log is not in order, since it is written when requests end.
        let lines = [("05", "/d"), ("01", "/a"), ("01", "/b"), ("01", "/c")].map { #"127.0.0.1 - - [31/Jan/2026:12:00:\#($0) +0000] "GET \#($1) HTTP/1.1" 200 5"# }
        let log = try TemporaryFile(lines.joined(separator: "\n"), name: "access.log")
        let arguments = ["bench", "--json", origin.url + "/", "--access-log", log.path, "--replay-speed", "2", "--history", "none"]
        let result = try headrace(arguments)
        #expect([0, 3].contains(result.status), "\(result.errors)")
        let level = try #require((try object(result)["levels"] as? [[String: Any]])?.first)
        #expect(level["requests"] as? Int == 4 && level["failed"] as? Int == 0)
        #expect(origin.requests.map(\.target) == ["/a", "/b", "/c", "/d"])
        // Two seconds at twice the speed; a machine that is busy makes it longer, and never shorter.
        #expect(try #require(level["seconds"] as? Double) >= 1.9)
        #expect(try headrace(arguments + ["--rate", "5"]).status == 64)
        let timeless = try TemporaryFile(#"127.0.0.1 - - [d] "GET /a HTTP/1.1" 200 5"#, name: "access.log")
        #expect(try headrace(["bench", origin.url + "/", "--access-log", timeless.path, "--replay-speed", "1"]).status == 64)
    }

    @Test func `visitors fetch what pages are made of, and the second time only what their browsers may not keep`() throws {
        let html = "<link rel=stylesheet href=/a.css><script src=/s.js></script><img src=/i.png>" + Self.page
        let origin = try ScriptedOrigin { request in
            let (fields, body): ([String], String) =
                switch request.target {
                case "/page": (["Content-Type: text/html", "Cache-Control: no-cache", "ETag: \"p\""], html)
                case "/a.css": (["Content-Type: text/css", "Cache-Control: max-age=600"], "@font-face{src:url(f.woff2)}")
                case "/f.woff2": (["Content-Type: font/woff2", "Cache-Control: max-age=600"], "font")
                case "/s.js": (["Content-Type: text/javascript", "Cache-Control: no-store"], "script")
                default: (["Content-Type: image/png", "Cache-Control: max-age=600"], "picture")
                }
            let isSame = request.field("If-None-Match") == "\"p\"" && request.target == "/page"
            return [.send(isSame ? "HTTP/1.1 304 Not Modified\r\nETag: \"p\"\r\n\r\n" : ScriptedOrigin.response(fields: fields, body: body))]
        }
        let edge = try HeadraceProcess(["--app", origin.url])
        let bare = ["bench", "--json", "--visitor", "--rate", "5", "--duration", "1s", "--view-pause", "0s", "--repeat-views", "2", "--history", "none"]
        // Through the edge, too: the page comes compressed, and what it names is found all the same.
        for url in [origin.url, "http://127.0.0.1:\(edge.port)"] {
            let result = try headrace(bare + [url + "/page"])
            #expect(result.status == 0, "\(result.errors)")
            let document = try object(result)
            let (first, repeated) = (try #require(document["first"] as? [String: Any]), try #require(document["repeated"] as? [String: Any]))
            #expect(first["views"] as? Int == 5 && repeated["views"] as? Int == 10, "\(document)")
            #expect(first["requests_per_view"] as? Double == 5 && first["from_cache_per_view"] as? Double == 0)
            // The page is asked about, the script fetched anew; style, font and picture come from the browser's cache.
            #expect(repeated["requests_per_view"] as? Double == 2 && repeated["not_modified_per_view"] as? Double == 1, "\(document)")
            #expect(repeated["from_cache_per_view"] as? Double == 3 && repeated["bytes_per_view"] as? Double == 6)
        }
        #expect(try headrace(["bench", "--visitor", origin.url + "/page", "--concurrency", "5"]).status == 64)
    }

    @Test func `the suite is light, medium and heavy, at the edge of the configuration`() throws {
        let origin = try origin(milliseconds: 1)
        let file = try TemporaryFile("edge:\n  app: http://127.0.0.1:9\n  listen: 127.0.0.1:\(origin.port)\n", name: "headrace.yaml")
        let arguments = ["bench", "--json", "--suite", "--config", file.path, "--requests", "60", "--warm-up", "0s"]
        let result = try headrace(arguments)
        let document = try object(result)
        #expect(document["url"] as? [String] == [origin.url + "/"])
        #expect((document["levels"] as? [[String: Any]])?.map { $0["users"] as? Int } == [5, 20, 50], "\(result.errors)")
        #expect(try headrace(arguments + ["--fail-if", "p50>0.1ms"]).status == 99)
        #expect(try headrace(["bench", "--suite", "--rate", "5", origin.url]).status == 64)
    }

    @Test func `runs are kept, listed, shown again and set side by side`() throws {
        let origin = try origin(milliseconds: 1)
        let folder = FileManager.default.temporaryDirectory.appending(path: "headrace-history-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let history = ["--history", folder.appending(path: "runs.sqlite").path]
        for path in ["/a", "/b"] {
            let arguments = ["bench", "--json", origin.url + path, "--concurrency", "1", "--requests", "5", "--warm-up", "0s"] + history
            let result = try headrace(arguments)
            #expect(result.errors.contains("kept as run \(path == "/a" ? 1 : 2)"), "\(result.errors)")
            #expect(try headrace(["report", path == "/a" ? "1" : "2"] + history).output == result.output)
        }
        let table = try headrace(["report"] + history).text
        #expect(table.contains(origin.url + "/a") && table.contains(origin.url + "/b"), "\(table)")
        let list = try JSONSerialization.jsonObject(with: try headrace(["report", "--json"] + history).output) as? [[String: Any]]
        #expect(list?.map { $0["number"] as? Int } == [1, 2])
        #expect(try headrace(["compare", "1", "2"] + history).text.contains("requests/s"))
        #expect(try headrace(["report", "3"] + history).status == 1)
        // What cannot be kept is said, and is no failure of what was measured.
        let nowhere = try headrace(
            ["bench", origin.url + "/a", "--concurrency", "1", "--requests", "5", "--warm-up", "0s", "--history", "/proc/no/such"])
        #expect(nowhere.errors.contains("not kept in the history"), "\(nowhere.errors)")
    }

    @Test func `an interrupted run prints what there is`() throws {
        let origin = try origin(milliseconds: 1)
        let process = Program()
        process.executableURL = HeadraceProcess.binary
        process.arguments = ["bench", "--json", origin.url + "/", "--rate", "100", "--duration", "60s", "--warm-up", "0s"]
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.start()
        #expect(eventually(seconds: 20) { origin.requestCount > 50 })
        kill(process.processIdentifier, SIGINT)
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitForEnd()
        #expect(process.terminationStatus == 130)
        let document = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        let level = try #require((document["levels"] as? [[String: Any]])?.first)
        #expect(level["is_cut_short"] as? Bool == true && (level["requests"] as? Int ?? 0) > 20)
    }

    @Test func `two that differ tenfold are told apart, and the control is not`() throws {
        let origin = try origin(milliseconds: 20)
        let result = try headrace(
            [
                "compare", "--json", origin.url + "/", origin.url + "/slow", "--rate", "40", "--rounds", "8", "--rounds-max", "8", "--block", "400ms",
            ])
        let arms = try #require(try object(result)["arms"] as? [[String: Any]], "\(result.errors)")
        #expect(arms.map { $0["name"] as? String } == ["A", "B", "A again"])
        #expect(arms[1]["verdict"] as? String == "slower", "\(arms[1])")
        let (change, control) = (try #require(arms[1]["change_percent"] as? Double), try #require(arms[2]["change_percent"] as? Double))
        #expect(change > 60 && control.magnitude < change / 2, "\(arms)")
        #expect(arms[2]["is_control"] as? Bool == true)
    }

    /// `make test-full`: 20 real comparisons of a server with itself, with a line for each. At 95 % one of 20 finds something; four or more are one
    /// chance in 60.
    @Test(.enabled(if: isLong, "HEADRACE_LONG is not set"))
    func `a server beside itself is called different in no more of 20 real runs than the confidence explains`() throws {
        let origin = try origin(milliseconds: 10)
        var found: [String] = []
        for seed in 1...20 {
            let result = try headrace(
                [
                    "compare", "--json", origin.url + "/a", origin.url + "/a", "--rate", "50", "--rounds", "8", "--rounds-max", "8", "--block", "500ms", "--seed",
                    "\(seed)", "--history", "none",
                ])
            let arms = try #require(try object(result)["arms"] as? [[String: Any]], "\(result.errors)")
            let (low, high) = (arms[1]["change_percent_low"] as? Double ?? 0, arms[1]["change_percent_high"] as? Double ?? 0)
            let (change, verdict) = (arms[1]["change_percent"] as? Double ?? 0, arms[1]["verdict"] as? String ?? "")
            let isFound = low > 0 || high < 0
            print(
                "A/A seed \(seed): B beside A \(String(format: "%+.2f %% (%+.2f to %+.2f)", change, low, high)), \(verdict)"
                    + (isFound ? ": called different" : ""))
            if isFound { found.append("seed \(seed): \(low) to \(high) %") }
        }
        print("A/A: \(found.count) of 20 called different")
        #expect(found.count <= 3, "\(found)")
    }

    @Test func `two documents of runs that took no turns are no finding`() throws {
        let origin = try origin(milliseconds: 1)
        let folder = FileManager.default.temporaryDirectory
        let files = try (0..<2).map { _ in
            let result = try headrace(["bench", "--json", origin.url + "/", "--rate", "20", "--duration", "500ms", "--warm-up", "0s"])
            let file = folder.appending(path: "run-\(UUID().uuidString).json")
            try result.output.write(to: file)
            return file
        }
        defer { for file in files { try? FileManager.default.removeItem(at: file) } }
        let result = try headrace(["compare"] + files.map(\.path))
        #expect(result.status == 0 && result.text.contains("No finding: "), "\(result.errors)")
    }

    @Test func `doctor names what a bare application lacks, with bytes, and is content with the edge in front of it`() throws {
        let style = String(repeating: "p { color: #123456 }\n", count: 300)
        let origin = try ScriptedOrigin { request in
            let isStyle = request.target == "/site.css"
            let fields = isStyle ? ["Content-Type: text/css", "Cache-Control: max-age=86400", "ETag: \"s\""] : ["Content-Type: text/html", "Cache-Control: public, max-age=60", "ETag: \"p\""]
            let body = isStyle ? style : "<link rel=stylesheet href=/site.css>" + Self.page
            return [.send(ScriptedOrigin.response(fields: fields, body: body))]
        }
        let bare = try headrace(["doctor", "--json", origin.url + "/"])
        #expect(bare.status == 1, "\(bare.errors)")
        func problems(_ result: Command.Result) throws -> [String] {
            let checks = try #require(try object(result)["checks"] as? [[String: Any]])
            return checks.filter { $0["outcome"] as? String == "problem" }.compactMap { $0["name"] as? String }
        }
        let found = try problems(bare)
        #expect(found == ["page-compression", "file-compression", "not-modified", "clock"] || found == ["page-compression", "file-compression", "not-modified"])
        #expect(bare.text.contains("/site.css: \(style.utf8.count) bytes; gzip makes "))
        let edge = try HeadraceProcess(["--app", origin.url])
        let fronted = try headrace(["doctor", "--json", "http://127.0.0.1:\(edge.port)/"])
        #expect(try problems(fronted) == [], "\(fronted.text)")
        #expect(try headrace(["doctor", "http://127.0.0.1:1/"]).status == 69)
        #expect(try headrace(["doctor", "--list"]).text.contains("not-modified"))
        #expect(try headrace(["doctor", "http://a/", "--only", "nonsense"]).status == 64)
    }

    @Test func `prove finds what a cache is worth, has exact figures for each layer, and says what is not used`() throws {
        let origin = try origin(milliseconds: 60, fields: ["Cache-Control: public, max-age=600"])
        // Six rounds are the fewest that can show anything, and one question keeps them so.
        // By HTTP/2, which each arm's edge speaks on the same port. HTTP/1.1 is what a deployed edge is asked by (`ProofTests`).
        let result = try headrace(["prove", "--json", "--quick", "--app", origin.url, "/a", "--rate", "20", "--rounds", "6", "--http2"])
        let document = try object(result)
        #expect(document["is_http2"] as? Bool == true)
        let arms = try #require((document["measurements"] as? [String: Any])?["arms"] as? [[String: Any]])
        #expect(arms.count >= 2 && arms.allSatisfy { $0["failed"] as? Int == 0 }, "\(arms)")
        let layers = try #require(document["layers"] as? [[String: Any]], "\(result.errors)")
        #expect(layers.map { $0["layer"] as? String } == ["all layers together", "response cache", "compression", "upstream keep-alive", "browser caching"])
        #expect(layers[4]["verdict"] as? String == "no-traffic", "the application says itself what browsers may keep")
        #expect(layers[0]["verdict"] as? String == "faster", "\(layers)")
        #expect(layers[1]["verdict"] as? String == "not-measured" && layers[2]["verdict"] as? String == "not-measured")
        #expect(layers[3]["verdict"] as? String == "no-traffic", "behind a warm cache no connection is used at all")
        let figures = try #require(document["figures"] as? [[String: Any]])
        func figure(_ arm: String, _ key: String) throws -> Double {
            try #require(figures.first { $0["arm"] as? String == arm }?[key] as? Double)
        }
        #expect(try figure("everything on", "upstream_requests_per_request") < 0.05)
        #expect(try figure("everything off", "upstream_requests_per_request") > 0.9)
        #expect(try figure("without response cache", "upstream_requests_per_request") > 0.9)
        #expect(try figure("without compression", "bytes_per_request") > 3 * figure("everything on", "bytes_per_request"))
        let full = try headrace(["prove", "--app", origin.url, "/a", "--rate", "20", "--dry-run", "--full"])
        #expect(full.status == 0 && full.text.contains("only compression: edge.cache.enabled=false edge.upstream.idle_connections=0"), "\(full.text)")
        #expect(try headrace(["prove", "--app", origin.url, "/a", "--against", origin.url]).status == 64)
        #expect(try headrace(["prove", "/a"]).status == 64)
        let plan = try headrace(["prove", "--app", origin.url, "/a", "--rate", "20", "--dry-run"])
        #expect(plan.status == 0 && plan.text.contains("without compression: edge.compression.enabled=false"))
    }

    /// `make test-full`, three minutes: a layer that does harm on a real edge. What is compressed anew for each request, since nobody may store it,
    /// is noise, and gets no smaller.
    @Test(.enabled(if: isLong, "HEADRACE_LONG is not set"))
    func `prove says of compression that it costs you, where pages are large, cannot be stored and do not get smaller`() throws {
        var random = SeededRandom(seed: 1)
        let noise = (0..<1 << 17).flatMap { _ in withUnsafeBytes(of: random.next()) { Array($0) } }
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\nContent-Length: \(noise.count)\r\n\r\n"
        let origin = try ScriptedOrigin { request in
            request.method == "HEAD" ? [.send(head)] : [.sendBytes(Array(head.utf8) + noise)]
        }
        let result = try headrace(["prove", "--json", "--app", origin.url, "/noise", "--rate", "5", "--rounds", "8", "--rounds-max", "8", "--history", "none"])
        let document = try object(result)
        let rows = try #require(document["layers"] as? [[String: Any]], "\(result.errors)")
        for row in rows { print("harmful: \(row["layer"] ?? ""): \(row["words"] ?? "")") }
        func words(_ layer: String) throws -> String { try #require(rows.first { $0["layer"] as? String == layer }?["words"] as? String) }
        #expect(try words("compression").hasPrefix("costs you"))
        #expect(try words("response cache").hasPrefix("no traffic"))
        #expect(try !words("upstream keep-alive").hasPrefix("costs you"))
        let figures = try #require(document["figures"] as? [[String: Any]])
        let bytes = figures.map { $0["bytes_per_request"] as? Double ?? 0 }
        #expect(bytes.allSatisfy { $0 >= Double(noise.count) * 0.999 }, "it saves nothing: \(bytes)")
    }

    /// `make test-full`, half a minute: what `prove` says of each request is what the application's PostgreSQL counts of one.
    @Test(.enabled(if: isLong && ScannerApplication.isInstalled, "HEADRACE_LONG is not set, or the sample application is not installed"))
    func `statements and sessions that prove tells of a request are those that PostgreSQL counts of one`() throws {
        let application = try ScannerApplication.shared.get()
        func calls() throws -> Int {
            // But for what this asks itself.
            let sql = """
                SELECT sum(calls) FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = 'scanner')
                AND query NOT LIKE '%pg_stat_statements%' AND query NOT LIKE 'SET timezone%'
                """
            return try #require(Int(application.query(sql, database: "scanner")))
        }
        // Once before, so that nothing is done for the first time.
        _ = try RawClient.get(port: application.port, "/api/scans/299", seconds: 30)
        let before = try calls()
        for _ in 0..<4 { _ = try RawClient.get(port: application.port, "/api/scans/299", seconds: 30) }
        let each = Double(try calls() - before) / 4
        #expect(each >= 2 && each == each.rounded(), "\(each)")
        let result = try headrace([
            "prove", "--json", "--quick", "--rounds", "2", "--rate", "4", "--app", "http://127.0.0.1:\(application.port)", "/api/scans/299", "--history", "none",
            "--postgres", application.databaseURL,
        ])
        let figures = try #require(try object(result)["figures"] as? [[String: Any]], "\(result.errors)")
        func figure(_ arm: String, _ key: String) throws -> Double {
            try #require(figures.first { $0["arm"] as? String == arm }?[key] as? Double, "\(arm) \(key)")
        }
        print("exact: \(each) statements for a request; prove says \(figures.map { "\($0["arm"] ?? ""): \($0["statements_per_request"] ?? "–")" })")
        #expect(try figure("everything off", "upstream_requests_per_request") == 1)
        #expect(try figure("everything off", "statements_per_request") == each)
        // The sample application connects for each request; PostgreSQL tells when a session has ended, which may be behind the block's.
        #expect(try abs(figure("everything off", "database_connections_per_request") - 1) < 0.15)
        // With the cache each request to the application costs as much, and there are fewer.
        let through = try figure("everything on", "upstream_requests_per_request")
        #expect(through < 0.5)
        #expect(try abs(figure("everything on", "statements_per_request") - through * each) < 1e-6)
        #expect(try figure("everything off", "application_cpu_microseconds_per_request") > figure("everything on", "application_cpu_microseconds_per_request"))
        #expect(try figure("everything off", "edge_cpu_microseconds_per_request") > 0)
    }
}

/// An origin that answers one request after the other, over all connections.
private final class SerialOrigin: Sendable {
    private let origin: ScriptedOrigin
    var url: String { origin.url }

    init(milliseconds: Int) throws {
        let busy = Busy()
        origin = try ScriptedOrigin { _ in
            [.wait(milliseconds: busy.wait(milliseconds: milliseconds)), .send(ScriptedOrigin.response(body: "x"))]
        }
    }

    private final class Busy: @unchecked Sendable {
        // Sendable because `until` is touched under the lock only.
        private let lock = NSLock()
        private var until = 0.0

        /// How long the next request has to wait for its answer.
        func wait(milliseconds: Int) -> Int {
            lock.withLock {
                let now = ProcessInfo.processInfo.systemUptime * 1000
                until = max(until, now) + Double(milliseconds)
                return Int((until - now).rounded())
            }
        }
    }
}
