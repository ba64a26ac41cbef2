import Foundation
import TestSupport
import Testing

/// The demo says what is not as it must be, and ends everything that it started, however it is ended. That all that it measures is printed,
/// is what `.ci/run` sees to.
@Suite(.serialized, .enabled(if: Command.find("gunicorn") != nil, "gunicorn is not installed: run scripts/setup"))
struct DemoTests {
    /// A demo in a process of its own, with a folder whose name all its children have in their command lines.
    private final class RunningDemo {
        let state: TemporaryFolder
        let process = Program()
        private let folder: TemporaryFolder
        private var outputFile: URL { folder.url.appending(path: "out") }
        private var errorFile: URL { folder.url.appending(path: "err") }

        init(_ arguments: [String], listen: String = "127.0.0.1:0") throws {
            state = try TemporaryFolder()
            // PostgreSQL's user must be able to pass through.
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: state.path)
            folder = try TemporaryFolder()
            for file in [outputFile, errorFile] { try Data().write(to: file) }
            process.executableURL = HeadraceProcess.binary
            process.arguments = ["demo", "--listen", listen, "--rounds", "1", "--state", state.path] + arguments
            process.currentDirectoryURL = HeadraceProcess.repository
            process.standardInput = FileHandle.nullDevice
            process.standardOutput = try FileHandle(forWritingTo: outputFile)
            process.standardError = try FileHandle(forWritingTo: errorFile)
            try process.start()
        }

        deinit {
            if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        }

        var output: String { (try? String(contentsOf: outputFile, encoding: .utf8)) ?? "" }
        var errors: String { (try? String(contentsOf: errorFile, encoding: .utf8)) ?? "" }

        /// Processes that it started, and itself.
        func processes() throws -> [Int32] {
            try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap(Int32.init).filter { number in
                guard let data = FileManager.default.contents(atPath: "/proc/\(number)/cmdline") else { return false }
                return String(decoding: data, as: UTF8.self).contains(state.url.lastPathComponent)
            }
        }

        /// - Returns: the exit status; `nil` if it still runs after the time.
        func waitForExit(seconds: Double) -> Int32? {
            eventually(seconds: seconds) { !process.isRunning } ? process.terminationStatus : nil
        }

        func expectNothingLeft() throws {
            _ = try eventually(seconds: 60) { try processes().isEmpty }
            #expect(try processes().isEmpty)
        }
    }

    @Test(arguments: [SIGINT, SIGKILL])
    func `ends its children when it is ended while it measures`(signal: Int32) throws {
        let demo = try RunningDemo(["--duration", "30s"])
        let isUp = try eventually(seconds: 120) {
            // The edge, the application's runner, and a load generator that runs for 30 s.
            try demo.processes().count >= 3 && FileManager.default.fileExists(atPath: demo.state.url.appending(path: "bench.out").path)
        }
        #expect(isUp, "the demo came up: \(demo.errors)")
        kill(demo.process.processIdentifier, signal)
        // Nothing was shown yet: that is no success.
        #expect(demo.waitForExit(seconds: 60) == (signal == SIGINT ? 1 : SIGKILL))
        try demo.expectNothingLeft()
    }

    @Test func `stays up after its tables, says what to open, and Ctrl-C ends it with success and without children`() throws {
        let demo = try RunningDemo(["--duration", "200ms", "--proof-rounds", "0", "--json"])
        #expect(eventually(seconds: 400) { demo.errors.contains("Ctrl-C ends all of it.") || !demo.process.isRunning })
        #expect(demo.process.isRunning, "\(demo.errors)")
        let front = try #require(demo.errors.firstMatch(of: /Open  http:\/\/127\.0\.0\.1:(\d+)\//).flatMap { Int($0.1) })
        let page = try RawClient.get(port: front, "/scans/400", seconds: 30)
        #expect(page.status == 200 && page.text.contains("Risk"), "what it says to open, opens: \(page.head)")
        let document = try #require(try JSONSerialization.jsonObject(with: Data(demo.output.utf8)) as? [String: Any])
        for (part, rows) in [("edge", 6), ("pooler", 8), ("keyspace", 6)] {
            #expect(((document[part] as? [String: Any])?["rows"] as? [Any])?.count == rows, "\(part)")
        }
        #expect(document["failed"] as? Int == 0)
        // Each measurement is said as it comes.
        for (users, way) in [(5, "application alone"), (5, "through the edge"), (50, "application alone"), (50, "through the edge")] {
            let line = "round 1 of 1, \(users) users, \(way): "
            let said = demo.errors.split(separator: "\n").first { $0.hasPrefix(line) }
            #expect(said?.dropFirst(line.count).wholeMatch(of: /[\d.]+ requests\/s, p99 [\d.]+ ms, 0 failed/) != nil, "\(line)\(said ?? "")")
        }
        kill(demo.process.processIdentifier, SIGINT)
        #expect(demo.waitForExit(seconds: 60) == 0, "\(demo.errors)")
        try demo.expectNothingLeft()
    }

    /// Three minutes of one of few threads: nearly all of the demo is measured, the proof in as many rounds as an interval needs.
    @Test(
        .enabled(if: ProcessInfo.processInfo.environment["HEADRACE_LONG"] != nil, "HEADRACE_LONG is not set"),
        .enabled(if: DashboardBrowserTests.browser != nil, "Chromium is not installed: run scripts/setup"))
    func `the performance page that it says to open has real data in every block`() throws {
        let demo = try RunningDemo(["--duration", "500ms", "--proof-rounds", "6"])
        #expect(eventually(seconds: 900) { demo.errors.contains("Ctrl-C ends all of it.") || !demo.process.isRunning })
        let page = try #require(demo.errors.firstMatch(of: /Open  (http:\/\/127\.0\.0\.1:(\d+)\/performance)\s/), "\(demo.errors)")
        let front = try #require(Int(page.2))
        func document() throws -> [String: Any] {
            let answer = try RawClient.getOwnPage(port: front, "/performance/latest.json")
            return try #require(try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any])
        }
        // PostgreSQL is asked every fifteen seconds, and what it has to do comes when pages are not in the cache any more.
        let lists = ["paths", "statements", "pools", "benches", "pg_stat_statements_by_total", "schedule"]
        #expect(
            try eventually(seconds: 180) {
                let document = try document()
                let layers = document["layers"] as? [[String: Any]] ?? []
                return lists.allSatisfy { (document[$0] as? [Any])?.isEmpty == false } && layers.allSatisfy { $0["state"] as? String == "on" }
            })
        let picture = ProcessInfo.processInfo.environment["HEADRACE_ARTEFACTS"].map { $0 + "/performance-demo.png" } ?? demo.state.path + "/page.png"
        let result = try Command.run(
            "python3", [DashboardBrowserTests.driver.path, try #require(DashboardBrowserTests.browser), String(page.1), "--events", "20", "--full", "--picture", picture])
        let seen = try #require(try JSONSerialization.jsonObject(with: result.output) as? [String: Any], "\(result.errors)")
        #expect((seen["console"] as? [String])?.isEmpty == true, "\(seen["console"] ?? "")")
        let points = try #require(seen["points"] as? [String: Int])
        #expect(points.count >= 30)
        for (chart, count) in points { #expect(count > 0, "\(chart) has nothing: \(points)") }
        let forest = try #require(seen["forest"] as? [String: Any])
        #expect(forest["ends"] as? Int ?? 0 > 0, "an interval is drawn: \(forest)")
        kill(demo.process.processIdentifier, SIGINT)
        #expect(demo.waitForExit(seconds: 60) == 0, "\(demo.errors)")
        try demo.expectNothingLeft()
    }

    @Test func `a request that failed makes it end with 1, after the tables`() throws {
        // The sample application with something in front of it that fails one request of the measurements.
        let program = """
            #!/usr/bin/python3 -I
            import http.client, http.server, itertools, re, subprocess, sys, threading
            child = subprocess.Popen(["\(HeadraceProcess.repository.path)/Examples/scanner/run", *sys.argv[1:]], stdout=subprocess.PIPE, text=True)
            port = int(re.match(r"ready http://127.0.0.1:([0-9]+)", child.stdout.readline())[1])
            numbers = itertools.count()
            class Handler(http.server.BaseHTTPRequestHandler):
                protocol_version = "HTTP/1.1"
                def do_GET(self):
                    if self.path == "/api/scans/400" and next(numbers) == 20:
                        self.send_response(500)
                        self.send_header("Content-Length", "0")
                        return self.end_headers()
                    connection = http.client.HTTPConnection("127.0.0.1", port)
                    connection.request("GET", self.path, headers=dict(self.headers))
                    answer = connection.getresponse()
                    body = answer.read()
                    self.send_response_only(answer.status)
                    for name, value in answer.getheaders():
                        if name.lower() not in ("connection", "transfer-encoding", "content-length"): self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                    connection.close()
                def log_message(self, *_): pass
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            print(f"ready http://127.0.0.1:{server.server_port}", flush=True)
            child.wait()
            """
        let file = try TemporaryFile(program)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: file.path)
        let demo = try RunningDemo(["--application", file.path, "--duration", "1s", "--proof-rounds", "0", "--once", "--json"])
        #expect(demo.waitForExit(seconds: 400) == 1)
        #expect(demo.errors.contains(/error: \d+ requests failed/), "\(demo.errors)")
        let document = try #require(try JSONSerialization.jsonObject(with: Data(demo.output.utf8)) as? [String: Any])
        #expect(document["failed"] as? Int ?? 0 > 0)
        try demo.expectNothingLeft()
    }

    @Test func `takes another port when its own is taken, and says which`() throws {
        let other = try StalledOrigin()
        let application = try application(body: "self.path + (str(next(numbers)) if self.path == '/scans/401' else '') + 'text ' * 8000")
        let demo = try RunningDemo(["--application", application.path, "--once"], listen: "127.0.0.1:\(other.port)")
        #expect(demo.waitForExit(seconds: 60) == 1)
        let port = demo.errors.firstMatch(of: /edge: +http:\/\/127\.0\.0\.1:(\d+)\n/).flatMap { Int($0.1) }
        #expect(port != nil && port != other.port, "\(demo.errors)")
        #expect(demo.errors.contains("/scans/401 through the edge"), "the edge answers there: \(demo.errors)")
    }

    /// Stands in for the sample application: says that it is ready, and answers every GET with what a line of Python makes of the path.
    private func application(body expression: String) throws -> TemporaryFile {
        let program = """
            #!/usr/bin/python3 -I
            import http.server, itertools, random, sys, threading
            numbers = itertools.count()
            class Handler(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    body = (\(expression)).encode()
                    self.send_response(200)
                    for field in ("Content-Type: text/html", "Cache-Control: max-age=60", f"Content-Length: {len(body)}"):
                        self.send_header(*field.split(": "))
                    self.end_headers()
                    self.wfile.write(body)
                def log_message(self, *_): pass
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            print(f"ready http://127.0.0.1:{server.server_port}", flush=True)
            sys.stdin.read()
            """
        let file = try TemporaryFile("")
        try Starter.shared.write(program: program, to: file.url)
        return file
    }

    @Test func `says which page differs, and ends with 1`() throws {
        // Whoever asks past the edge's cache finds another number than is kept in it.
        let application = try application(body: "self.path + (str(next(numbers)) if self.path == '/scans/401' else '') + 'text ' * 8000")
        let demo = try RunningDemo(["--application", application.path, "--once"])
        #expect(demo.waitForExit(seconds: 60) == 1)
        #expect(demo.errors.contains("error: /scans/401 through the edge (identity) is not the application's"), "\(demo.errors)")
        #expect(demo.output.isEmpty)
        try demo.expectNothingLeft()
    }

    @Test func `says that compression saves too little, and ends with 1`() throws {
        // Hexadecimal digits at random: four bits of eight are all that a coding can save.
        let application = try application(body: "random.Random(self.path).randbytes(20_000).hex()")
        let demo = try RunningDemo(["--application", application.path, "--once"])
        #expect(demo.waitForExit(seconds: 60) == 1)
        #expect(demo.errors.contains(/error: gzip saves 4[0-9] % of \/scans\/400, less than 80 %/), "\(demo.errors)")
        #expect(demo.errors.contains("without compression  40000"), "\(demo.errors)")
        try demo.expectNothingLeft()
    }

    @Test func `says which page the application does not have, and ends with 1`() throws {
        let application = try application(body: "self.path")
        let text = try String(contentsOfFile: application.path, encoding: .utf8)
        try Data(text.replacing("self.send_response(200)", with: "self.send_response(404 if self.path == '/login' else 200)").utf8)
            .write(to: URL(filePath: application.path))
        let demo = try RunningDemo(["--application", application.path, "--once"])
        #expect(demo.waitForExit(seconds: 60) == 1)
        #expect(demo.errors.contains("error: the application answers /login with 404"), "\(demo.errors)")
    }
}
