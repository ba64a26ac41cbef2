import Foundation
import TestSupport
import Testing

/// `headrace bench --http2` with the servers that people have: nghttpd, nginx and our edge; what they count is what we count.
@Suite(.serialized, .enabled(
    if: ["openssl", "nghttpd", "h2load", "nginx"].allSatisfy { Command.find($0) != nil },
    "openssl, nginx, nghttp2-client or nghttp2-server is not installed: run scripts/setup"))
final class BenchHTTP2Tests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        let made = try Command.run("openssl", [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", path("key.pem"), "-out", path("certificate.pem"),
        ])
        try #require(made.status == 0, "openssl: \(made.errors)")
        try Data(repeating: 0x61, count: 5000).write(to: folder.url.appending(path: "page"))
        try Data(repeating: 0x62, count: 2 << 20).write(to: folder.url.appending(path: "large"))
    }

    private func path(_ name: String) -> String { folder.url.appending(path: name).path }

    private func bench(_ arguments: [String]) throws -> Command.Result {
        try Command.run(
            "env", [HeadraceProcess.binary.path, "bench", "--json", "--http2", "--history", "none", "--warm-up", "0s", "--timeout", "60s"] + arguments)
    }

    private func level(_ result: Command.Result) throws -> [String: Any] {
        let document = try #require(try JSONSerialization.jsonObject(with: result.output) as? [String: Any], "\(result.errors)")
        return try #require((document["levels"] as? [[String: Any]])?.first, "\(result.errors)")
    }

    /// A closed loop of so many requests, each of which must come whole.
    private func expectWhole(_ url: String, _ count: Int, bytes: Int, streams: Int = 20, _ arguments: [String] = []) throws -> [String: Any] {
        let level = try level(
            bench([url, "--insecure", "--concurrency", "40", "--streams", "\(streams)", "--duration", "100s", "--requests", "\(count)", "--expect-length", "\(bytes)"] + arguments))
        #expect(level["requests"] as? Int == count && level["failed"] as? Int == 0, "\(url): \(level["failures"] ?? "")")
        #expect(level["bytes_per_request"] as? Double == Double(bytes) && level["streams"] as? Int == streams)
        return level
    }

    /// nghttpd, until this goes.
    private final class Peer {
        private let process = Program()
        let port: Int

        init(_ arguments: (Int) -> [String]) throws {
            // It cannot choose a port itself; nobody else is on this address.
            port = try StalledOrigin().port
            process.executableURL = Command.find("nghttpd")
            process.arguments = ["-a", "127.7.0.2"] + arguments(port)
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.start()
        }

        func waitUntilReady(_ url: String) throws {
            let isUp = eventually(seconds: 60) { (try? Command.run("h2load", ["-n", "1", url]).text.contains("1 succeeded")) == true }
            try #require(isUp && process.isRunning, "nghttpd does not listen")
        }

        deinit {
            process.terminate()
            process.waitForEnd()
        }
    }

    @Test(arguments: [false, true]) func `nghttpd answers ours as it answers h2load, with fewer streams than we would like`(isSecure: Bool) throws {
        let peer = try Peer { port in
            ["-d", folder.path, "-m", "7"] + (isSecure ? [] : ["--no-tls"]) + ["\(port)"] + (isSecure ? [path("key.pem"), path("certificate.pem")] : [])
        }
        let url = "\(isSecure ? "https" : "http")://127.7.0.2:\(peer.port)"
        try peer.waitUntilReady(url + "/page")
        let level = try expectWhole(url + "/page", 3000, bytes: 5000)
        #expect(level["connections"] as? Int == 2)
        _ = try expectWhole(url + "/large", 60, bytes: 2 << 20)
        let theirs = try Command.run("h2load", ["-n", "3000", "-c", "2", "-m", "7", url + "/page"])
        #expect(theirs.text.contains("3000 succeeded, 0 failed, 0 errored, 0 timeout"), "\(theirs.text)")
        // An open loop, by its schedule.
        let open = try self.level(bench([url + "/page", "--insecure", "--rate", "20", "--duration", "1s", "--expect-text", "aaaa"]))
        #expect(open["requests"] as? Int == 20 && open["failed"] as? Int == 0 && open["connections"] as? Int == 1, "\(open["failures"] ?? "")")
    }

    @Test func `nginx leaves connections after so many requests, and nothing is lost`() throws {
        let nginx = try Nginx(server: "http2_max_concurrent_streams 8; root \(folder.path);", http: "keepalive_requests 100;", listening: "http2")
        let level = try expectWhole(nginx.url + "/page", 2000, bytes: 5000)
        // Each connection has a hundred requests at most.
        #expect(try #require(level["connections"] as? Int) >= 20)
        _ = try expectWhole(nginx.url + "/large", 40, bytes: 2 << 20)
    }

    @Test func `our edge counts as many as we do, and as h2load does`() throws {
        let origin = try ScriptedOrigin { request in
            [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=600"], body: request.target))]
        }
        let settings = ["edge.tls.listen=127.0.0.1:0", "edge.tls.certificates=\(path("certificate.pem"))", "edge.tls.keys=\(path("key.pem"))"]
        let edge = try HeadraceProcess(["--app", origin.url] + settings.flatMap { ["--set", $0] }, saying: "https://")
        let url = "https://127.0.0.1:\(edge.port)/abc"
        _ = try expectWhole(url, 4000, bytes: 4, ["--header", "X-A: b"])
        let theirs = try Command.run("h2load", ["-n", "1000", "-c", "2", "-m", "20", url])
        #expect(theirs.text.contains("1000 succeeded, 0 failed, 0 errored, 0 timeout"), "\(theirs.text)")
        let said = try #require(edge.errorOutput.range(of: "http://127.0.0.1:"))
        let plain = try #require(Int(edge.errorOutput[said.upperBound...].prefix { $0.isNumber }))
        _ = try expectWhole("http://127.0.0.1:\(plain)/abc", 1000, bytes: 4)
        let lines = try edge.logLines(atLeast: 6000)
        #expect(lines.filter { $0["target"] as? String == "/abc" && $0["status"] as? Int == 200 }.count == 6000)
    }

    @Test func `conditions, hashes and the knee are judged over it as ever`() throws {
        let origin = try ScriptedOrigin { _ in [.wait(milliseconds: 5), .send(ScriptedOrigin.response(fields: ["Cache-Control: no-store"], body: "hello"))] }
        let edge = try HeadraceProcess(["--app", origin.url])
        let run = ["http://127.0.0.1:\(edge.port)/", "--rate", "20", "--duration", "1s"]
        #expect(try bench(run + ["--fail-if", "p50>1ms"]).status == 99)
        let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        #expect(try level(bench(run + ["--expect-hash", hash]))["failed"] as? Int == 0)
        let wrong = try bench(run + ["--expect-hash", String(hash.reversed())])
        #expect(wrong.status != 0)
        #expect((try level(wrong)["failures"] as? [String: Int])?["content"] == 20)
        let knee = try bench(run + ["--find-knee", "--slo", "p95<60s,errors<100%", "--requests", "40"])
        let document = try #require(try JSONSerialization.jsonObject(with: knee.output) as? [String: Any], "\(knee.errors)")
        #expect((document["knee"] as? [String: Any])?["holds_per_second"] as? Double ?? 0 >= 20)
    }

    @Test func `who does not speak it is told so, and what does not go with it is refused`() throws {
        let origin = try ScriptedOrigin { _ in [.send(ScriptedOrigin.response(body: "hello"))] }
        let refused = try bench([origin.url + "/", "--concurrency", "1", "--requests", "1"])
        #expect(refused.status == 1 && refused.errors.contains("does not speak HTTP/2"), "\(refused.errors)")
        let settings = ["edge.http2=false", "edge.tls.listen=127.0.0.1:0", "edge.tls.certificates=\(path("certificate.pem"))", "edge.tls.keys=\(path("key.pem"))"]
        let edge = try HeadraceProcess(["--app", origin.url] + settings.flatMap { ["--set", $0] }, saying: "https://")
        let over = try bench(["https://127.0.0.1:\(edge.port)/", "--insecure", "--concurrency", "1", "--requests", "1"])
        #expect(over.status == 1 && over.errors.contains("by ALPN"), "\(over.errors)")
        for arguments in [["redis://127.0.0.1:1"], ["--visitor", origin.url], [origin.url, "--no-keep-alive", "--streams", "2"], [origin.url, "--streams", "0"]] {
            #expect(try bench(arguments).status == 64, "\(arguments)")
        }
    }
}
