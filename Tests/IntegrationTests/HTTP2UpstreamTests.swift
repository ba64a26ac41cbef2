import Foundation
import TestSupport
import Testing

/// Applications that are asked by HTTP/2, as people run them: nghttpd, with TLS and without.
@Suite(.serialized, .enabled(
    if: ["openssl", "nghttpd", "h2load"].allSatisfy { Command.find($0) != nil }, "openssl, nghttp2-client or nghttp2-server is not installed: run scripts/setup"))
final class HTTP2UpstreamTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        let made = try Command.run("openssl", [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", path("key.pem"), "-out", path("certificate.pem"),
        ])
        try #require(made.status == 0, "openssl: \(made.errors)")
        try Data("hello".utf8).write(to: folder.url.appending(path: "hello.txt"))
        try Data(repeating: 0x61, count: 3 << 20).write(to: folder.url.appending(path: "large.bin"))
    }

    private func path(_ name: String) -> String { folder.url.appending(path: name).path }

    /// nghttpd or another, until this goes.
    private final class Peer {
        let process: Program
        let port: Int

        private init(_ process: Program, port: Int) {
            (self.process, self.port) = (process, port)
        }

        /// It cannot choose a port itself: one that was free a moment ago, and another one when somebody was faster.
        static func start(_ name: String, _ arguments: (Int) -> [String]) throws -> Peer {
            let program: URL = try #require(Command.find(name))
            for _ in 0..<5 {
                let port = try StalledOrigin().port
                let process = Program()
                process.executableURL = program
                process.arguments = arguments(port)
                process.standardOutput = FileHandle.nullDevice
                process.standardError = FileHandle.standardError
                try process.start()
                let peer = Peer(process, port: port)
                if eventually({ !process.isRunning || (try? RawClient(port: port)) != nil }), process.isRunning { return peer }
            }
            throw RawClient.Failure(description: "\(name) does not listen")
        }

        func stop() {
            guard process.isRunning else { return }
            process.terminate()
            process.waitForEnd()
        }

        deinit { stop() }
    }

    private func peer(isSecure: Bool) throws -> Peer {
        try Peer.start("nghttpd") { port in
            ["-a", "127.0.0.1", "-d", folder.path, "-m", "20", "--echo-upload"] + (isSecure ? [] : ["--no-tls"]) + ["\(port)"]
                + (isSecure ? [path("key.pem"), path("certificate.pem")] : [])
        }
    }

    private func edge(_ member: String, _ lines: [String] = []) throws -> HeadraceProcess {
        let text = (["edge:", "  cache: {enabled: false}", "  upstreams:", "    app:", "      members: [\"\(member)\"]", "      protocol: h2"] + lines.map { "      " + $0 })
            .joined(separator: "\n") + "\n"
        let file = try TemporaryFile(text)
        return try HeadraceProcess(["--config", file.path])
    }

    @Test(arguments: [false, true]) func `nghttpd answers, whole and often`(isSecure: Bool) throws {
        let peer = try peer(isSecure: isSecure)
        let edge = try edge(
            "\(isSecure ? "https" : "http")://127.0.0.1:\(peer.port)", isSecure ? ["tls: {authorities: \(path("certificate.pem"))}"] : [])
        #expect(try RawClient.get(port: edge.port, "/hello.txt").text == "hello")
        #expect(try RawClient.get(port: edge.port, "/large.bin").text.utf8.count == 3 << 20)
        let body = String(repeating: "u", count: 1 << 20)
        let echoed = try RawClient.exchange(port: edge.port, "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\n\r\n" + body)
        #expect(echoed.status == 200 && echoed.text == body)
        let head = try RawClient.exchange(port: edge.port, "HEAD /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n", hasBody: false)
        #expect(head.status == 200 && head.field("Content-Length") == "5")
        let load = try Command.run("h2load", ["-n", "5000", "-c", "10", "-m", "20", "http://127.0.0.1:\(edge.port)/hello.txt"])
        #expect(load.text.contains("5000 succeeded, 0 failed, 0 errored, 0 timeout") && load.text.contains("5000 2xx"), "\(load.text)\(load.errors)")
        #expect(try edge.metric("headrace_edge_upstream_http2_requests_total") >= 5004)
        #expect(try edge.metric("headrace_edge_upstream_http2_errors_total{code=\"protocol-error\"}") == 0)
        edge.terminate()
        #expect(edge.waitForExit() == 0)
    }

    /// One that is strict with its peer, on both sides: streams, windows, trailers, long heads, settings that change, resets, GOAWAY.
    @Test func `Python's h2 finds nothing that HTTP-2 forbids, as a client and as an application`() throws {
        // Debian's: a developer's own may not have the module.
        let python = ["/usr/bin/python3", "-B", "-W", "ignore"]
        guard try Command.run("env", python + ["-c", "import h2"]).status == 0 else {
            Issue.record("Python's module h2 is not installed: run scripts/setup")
            return
        }
        let script = HeadraceProcess.repository.appending(path: "Tests/IntegrationTests/HTTP2Peers/peer.py").path
        let origin = try Peer.start("env") { python + [script, "origin", "\($0)"] }
        let edge = try edge("http://127.0.0.1:\(origin.port)")
        let client = try Command.run("env", python + [script, "client", "\(edge.port)", "\(edge.processIdentifier)"])
        #expect(client.status == 0, "\(client.text)\(client.errors)")
        #expect(edge.waitForExit() == 0)
        #expect(origin.process.isRunning, "the edge did something that HTTP/2 forbids: see standard error")
    }

    @Test func `a certificate of somebody else is a 502`() throws {
        let peer = try peer(isSecure: true)
        let edge = try edge("https://127.0.0.1:\(peer.port)")
        #expect(try RawClient.get(port: edge.port, "/hello.txt").status == 502)
    }
}
