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
        let process = Process()
        private let folder: TemporaryFolder
        private var outputFile: URL { folder.url.appending(path: "out") }
        private var errorFile: URL { folder.url.appending(path: "err") }

        init(_ arguments: [String]) throws {
            state = try TemporaryFolder()
            // PostgreSQL's user must be able to pass through.
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: state.path)
            folder = try TemporaryFolder()
            for file in [outputFile, errorFile] { try Data().write(to: file) }
            process.executableURL = HeadraceProcess.binary
            process.arguments = ["demo", "--listen", "127.0.0.1:0", "--rounds", "1", "--state", state.path] + arguments
            process.currentDirectoryURL = HeadraceProcess.repository
            process.standardInput = FileHandle.nullDevice
            process.standardOutput = try FileHandle(forWritingTo: outputFile)
            process.standardError = try FileHandle(forWritingTo: errorFile)
            try Starter.shared.start(process)
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
        kill(demo.process.processIdentifier, SIGINT)
        #expect(demo.waitForExit(seconds: 60) == 0, "\(demo.errors)")
        try demo.expectNothingLeft()
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
