import Foundation
import TestSupport
import Testing

/// HTTP/2 with the clients that people have: curl, nghttp and h2load; over TLS by ALPN, and with prior knowledge.
@Suite(.serialized, .enabled(
    if: ["openssl", "curl", "nghttp", "h2load"].allSatisfy { Command.find($0) != nil },
    "openssl, curl or nghttp2-client is not installed: run scripts/setup"))
final class HTTP2Tests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "http2-\(UUID().uuidString)")

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let made = try Command.run("openssl", [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", path("key.pem"), "-out", path("certificate.pem"),
        ])
        try #require(made.status == 0, "openssl: \(made.errors)")
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    private func path(_ name: String) -> String { folder.appending(path: name).path }

    private func hello() throws -> ScriptedOrigin {
        try ScriptedOrigin { request in
            [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=600", "Content-Type: text/plain"], body: "hello of \(request.target)"))]
        }
    }

    private func secureEdge(_ origin: ScriptedOrigin, _ settings: [String] = []) throws -> HeadraceProcess {
        let all = ["edge.tls.listen=127.0.0.1:0", "edge.tls.certificates=\(path("certificate.pem"))", "edge.tls.keys=\(path("key.pem"))"] + settings
        return try HeadraceProcess(["--app", origin.url] + all.flatMap { ["--set", $0] }, saying: "https://")
    }

    private func curl(_ arguments: [String]) throws -> Command.Result {
        try Command.run("curl", ["-sS", "--max-time", "60", "--cacert", path("certificate.pem"), "-w", "|%{http_version}"] + arguments)
    }

    @Test func `curl agrees on HTTP-2 over TLS, unless it is switched off`() throws {
        let origin = try hello()
        defer { _ = origin }
        let edge = try secureEdge(origin, ["edge.tls.hsts=4380h"])
        let both = try curl(["--http2", "-D", path("head"), "https://localhost:\(edge.port)/a", "https://localhost:\(edge.port)/a"])
        #expect(both.text == "hello of /a|2hello of /a|2", "\(both.text)\(both.errors)")
        let head = try String(contentsOfFile: path("head"), encoding: .utf8)
        #expect(head.contains("strict-transport-security: max-age=15768000\r\n") && head.contains("cache-status: headrace; hit"))
        #expect(try curl(["--http1.1", "https://localhost:\(edge.port)/a"]).text == "hello of /a|1.1")
        let off = try secureEdge(origin, ["edge.http2=false"])
        #expect(try curl(["--http2", "https://localhost:\(off.port)/a"]).text == "hello of /a|1.1")
    }

    /// Its names on Debian, on Ubuntu, and Google's own.
    private static let browser = ["chromium", "chromium-browser", "google-chrome"].first { Command.find($0) != nil }

    @Test(.enabled(if: browser != nil, "Chromium is not installed: run scripts/setup"))
    func `chromium loads a page over HTTP-2, and what early hints name before the page is there`() throws {
        let script = """
            addEventListener("load", () => {
                const page = performance.getEntriesByType("navigation")[0];
                document.body.textContent = `${page.nextHopProtocol} ${page.firstInterimResponseStart > 0} ${getComputedStyle(document.body).color}`;
            });
            """
        let asked = ScriptedOrigin.Gate()
        let origin = try ScriptedOrigin { request in
            func answer(_ type: String, _ body: String) -> ScriptedOrigin.Step {
                .send(ScriptedOrigin.response(fields: ["Content-Type: \(type)", "Cache-Control: no-store"], body: body))
            }
            switch request.target {
            case "/site.css":
                // The page waits for it: nobody would ask for it but for the hint.
                asked.open()
                return [answer("text/css", "body { color: rgb(1, 2, 3) }")]
            case "/": return [.waitFor(asked), answer("text/html", "<link rel=stylesheet href=/site.css><script>\(script)</script><body>no script</body>")]
            default: return [.send(ScriptedOrigin.response(status: "404 Not Found", body: ""))]
            }
        }
        let edge = try secureEdge(origin, ["edge.early_hints.links=</site.css>; rel=preload; as=style", "edge.upstream.first_byte_timeout=15s"])
        // A browser that is busy may pass a hint over.
        var result = try page(of: edge)
        for _ in 0..<3 where !asked.isOpen { result = try page(of: edge) }
        #expect(result.text.contains(">h2 true rgb(1, 2, 3)<"), "\(result.text)\(result.errors)")
        let lines = try edge.logLines(atLeast: 2)
        #expect(lines.contains { $0["target"] as? String == "/" && $0["status"] as? Int == 200 })
    }

    private func page(of edge: HeadraceProcess) throws -> Command.Result {
        try Command.run(try #require(Self.browser), [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
            "--ignore-certificate-errors", "--user-data-dir=\(path("profile"))", "--dump-dom", "https://localhost:\(edge.port)/",
        ])
    }

    @Test func `curl posts, nghttp gets many, and the log says how they came`() throws {
        let origin = try ScriptedOrigin { request in
            [.send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: "\(request.method) \(request.body.utf8.count)"))]
        }
        let edge = try HeadraceProcess(["--app", origin.url, "--set", "edge.access_log_format=combined"])
        try Data(repeating: 0x61, count: 5 << 20).write(to: folder.appending(path: "body"))
        let url = "http://127.0.0.1:\(edge.port)"
        let posted = try curl(["--http2-prior-knowledge", "--data-binary", "@\(path("body"))", "\(url)/up"])
        #expect(posted.text == "POST \(5 << 20)|2", "\(posted.text)\(posted.errors)")
        let many = try Command.run("nghttp", ["-v", "-m", "50", "\(url)/many"])
        #expect(many.status == 0 && many.text.components(separatedBy: ":status: 200").count - 1 == 50, "\(many.text.suffix(500))\(many.errors)")
        #expect(try eventually { try String(contentsOf: edge.accessLog, encoding: .utf8).contains("\"POST /up HTTP/2.0\" 200") })
    }

    @Test func `h2load loses nothing, over TLS and without`() throws {
        let origin = try hello()
        defer { _ = origin }
        let edge = try secureEdge(origin)
        let said = try #require(edge.errorOutput.range(of: "http://127.0.0.1:"))
        let plain = try #require(Int(edge.errorOutput[said.upperBound...].prefix { $0.isNumber }))
        for url in ["https://127.0.0.1:\(edge.port)/a", "http://127.0.0.1:\(plain)/a"] {
            let result = try Command.run("h2load", ["-n", "20000", "-c", "10", "-m", "20", url])
            #expect(result.text.contains("20000 succeeded, 0 failed, 0 errored, 0 timeout"), "\(result.text)\(result.errors)")
            #expect(result.text.contains("20000 2xx"))
        }
    }

    @Test func `a large stored response and a large file come whole`() throws {
        let body = String(repeating: "0123456789abcdef", count: 256 << 10)
        let origin = try ScriptedOrigin(fields: ["Cache-Control: max-age=600", "Content-Type: image/png"], body: body)
        let edge = try secureEdge(origin)
        for _ in 0..<2 {
            let result = try Command.run("curl", ["-sS", "--http2", "--cacert", path("certificate.pem"), "-o", path("got"), "https://localhost:\(edge.port)/large"])
            #expect(result.status == 0, "\(result.errors)")
            #expect(try Data(contentsOf: folder.appending(path: "got")) == Data(body.utf8))
        }
        let files = folder.appending(path: "files")
        try FileManager.default.createDirectory(at: files, withIntermediateDirectories: true)
        let bytes = Data((0..<6_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        try bytes.write(to: files.appending(path: "large.bin"))
        let site = try HeadraceProcess(["--root", files.path])
        let result = try Command.run("curl", ["-sS", "--http2-prior-knowledge", "-o", path("got"), "http://127.0.0.1:\(site.port)/large.bin"])
        #expect(result.status == 0, "\(result.errors)")
        #expect(try Data(contentsOf: folder.appending(path: "got")) == bytes)
    }

    @Test func `SIGTERM and a reload under load lose nothing`() throws {
        let origin = try ScriptedOrigin { request in
            [.wait(milliseconds: request.number % 5), .send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: request.target))]
        }
        try Data(Self.clients.utf8).write(to: folder.appending(path: "clients.py"))
        let edge = try HeadraceProcess(["--app", origin.url])
        let process = Program()
        process.executableURL = URL(filePath: "/usr/bin/python3")
        process.arguments = [path("clients.py"), String(edge.port)]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.start()
        #expect(eventually { origin.requestCount > 300 })
        kill(edge.processIdentifier, SIGHUP)
        let before = origin.requestCount
        #expect(eventually { origin.requestCount > before + 300 })
        edge.terminate()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitForEnd()
        #expect(text.hasSuffix(" 0\n") && process.terminationStatus == 0, "answers and failures: \(text)")
        #expect(edge.waitForExit() == 0)
    }

    /// Eight connections with ten requests at a time, until the edge says that it goes; prints how many answers and how many failures. What
    /// GOAWAY says was not looked at is no failure: a client sends it elsewhere.
    private static let clients = """
        import socket, struct, sys, threading
        counts, lock = [0, 0], threading.Lock()
        def frame(kind, flags, stream, payload=b""):
            return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload
        def literal(text):
            return bytes([len(text)]) + text.encode()
        def run(number):
            link = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
            link.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + frame(4, 0, 0))
            waiting, answered, failed, last, leaving, next_stream, buffer = {}, 0, 0, None, False, 1, b""
            def ask():
                nonlocal next_stream
                target = f"/{number}/{next_stream}"
                fields = [(":method", "GET"), (":scheme", "http"), (":path", target), (":authority", "a")]
                link.sendall(frame(1, 5, next_stream, b"".join(b"\\0" + literal(name) + literal(value) for name, value in fields)))
                waiting[next_stream] = [target.encode(), b""]
                next_stream += 2
            for _ in range(10):
                ask()
            while waiting:
                data = link.recv(65536)
                if not data:
                    break
                buffer += data
                while len(buffer) >= 9 and len(buffer) >= 9 + int.from_bytes(buffer[:3], "big"):
                    count, kind, flags = int.from_bytes(buffer[:3], "big"), buffer[3], buffer[4]
                    stream, payload = int.from_bytes(buffer[5:9], "big"), buffer[9:9 + count]
                    buffer = buffer[9 + count:]
                    if kind == 0:
                        waiting[stream][1] += payload
                        if payload:
                            link.sendall(frame(8, 0, 0, struct.pack(">I", len(payload))))
                    elif kind == 3:
                        waiting.pop(stream, None)
                        failed += 1
                    elif kind == 4 and not flags & 1:
                        link.sendall(frame(4, 1, 0))
                    elif kind == 7:
                        leaving = True
                        last, code = struct.unpack(">II", payload[:8])
                        failed += code != 0
                    if kind in (0, 1) and flags & 1:
                        wanted, got = waiting.pop(stream)
                        answered += wanted == got
                        failed += wanted != got
                        if not leaving:
                            ask()
            failed += sum(1 for stream in waiting if last is None or stream <= last)
            with lock:
                counts[0] += answered
                counts[1] += failed
        threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(counts[0], counts[1])
        """
}
