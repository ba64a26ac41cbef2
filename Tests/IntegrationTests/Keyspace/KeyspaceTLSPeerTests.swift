import Foundation
import TestSupport
import Testing

/// The release binary's keyspace with TLS, with redis-cli and redis-py.
@Suite(.enabled(if: ["openssl", "redis-cli", "python3"].allSatisfy { Command.find($0) != nil }, "openssl, redis-cli or python3 is not installed: run scripts/setup"))
final class KeyspaceTLSPeerTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "keyspace-tls-\(UUID().uuidString.prefix(8))")

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try makeCertificate("server", days: 30)
        try makeCertificate("client", days: 30)
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    private func path(_ name: String) -> String { folder.appending(path: name).path }

    /// NAME.crt, NAME.key.
    private func makeCertificate(_ name: String, days: Int) throws {
        let (certificate, key) = (path("\(name).crt.new"), path("\(name).key.new"))
        let made = try Command.run("openssl", [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "\(days)", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate,
        ])
        try #require(made.status == 0, "openssl: \(made.errors)")
        // Certificate and key in one file as well, which is put in its place in one step.
        let both = try Data(contentsOf: URL(filePath: certificate)) + Data(contentsOf: URL(filePath: key))
        try both.write(to: URL(filePath: path("\(name).pem")), options: .atomic)
        for ending in ["crt", "key"] { _ = rename(path("\(name).\(ending).new"), path("\(name).\(ending)")) }
    }

    private func start(_ settings: [String]) throws -> HeadraceProcess {
        let all = ["tls.listen=127.0.0.1:0", "tls.certificates=\(path("server.pem"))"] + settings
        return try HeadraceProcess(all.flatMap { ["--set", "keyspace.\($0)"] }, saying: "keyspace with TLS: ")
    }

    private func cli(_ headrace: HeadraceProcess, _ options: [String], _ words: String...) throws -> Command.Result {
        try Command.run("redis-cli", ["-h", "127.0.0.1", "-p", "\(headrace.port)", "--tls", "--cacert", path("server.crt"), "--no-auth-warning"] + options + words)
    }

    @Test func `redis-cli and redis-py come by TLS, with a password and without a certificate`() throws {
        try Data("secret\n".utf8).write(to: folder.appending(path: "password"))
        chmod(path("password"), 0o600)
        let headrace = try start(["password=file:\(path("password"))"])
        #expect(try cli(headrace, [], "PING").text.contains("NOAUTH"))
        #expect(try cli(headrace, ["-a", "secret"], "SET", "k", "by TLS").text == "OK\n")
        let script = """
            import redis, sys
            r = redis.Redis.from_url(sys.argv[1], ssl_ca_certs=sys.argv[2])
            assert r.get("k") == b"by TLS", r.get("k")
            with r.pipeline() as p:
                for n in range(5000): p.set(f"key:{n}", "v" * 100)
                assert all(p.execute())
            large = "x" * 3_000_000
            assert r.set("large", large) and r.get("large").decode() == large
            s = r.pubsub(ignore_subscribe_messages=True)
            s.subscribe("news")
            while s.get_message(timeout=5) is not None: pass
            assert r.publish("news", "one") == 1
            assert s.get_message(timeout=30)["data"] == b"one"
            try:
                redis.Redis.from_url(sys.argv[1]).ping()
                sys.exit("it believed a certificate that nobody vouches for")
            except redis.exceptions.ConnectionError as error:
                assert "CERTIFICATE_VERIFY_FAILED" in str(error), error
            """
        let result = try Command.run("env", ["/usr/bin/python3", "-c", script, "rediss://:secret@127.0.0.1:\(headrace.port)/0", path("server.crt")])
        #expect(result.status == 0, "\(result.text)\(result.errors)")
        headrace.terminate()
        #expect(headrace.waitForExit() == 0)
    }

    @Test func `a client that leaves without a good-bye gives its place back at once`() throws {
        let headrace = try start(["clients=20"])
        let script = """
            import socket, ssl, sys
            context = ssl.create_default_context(cafile=sys.argv[2])
            for number in range(200):
                raw = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30)
                with context.wrap_socket(raw, server_hostname="localhost") as client:
                    client.sendall(b"QUIT\\r\\n")
                    data = b""
                    while piece := client.recv(4096): data += piece
                    assert data == b"+OK\\r\\n", (number, data)
            """
        let result = try Command.run("env", ["/usr/bin/python3", "-c", script, "\(headrace.port)", path("server.crt")])
        #expect(result.status == 0, "\(result.text)\(result.errors)")
    }

    @Test func `who shows no certificate is not let in where one is required`() throws {
        let headrace = try start(["tls.client_certificates=required", "tls.client_authorities=\(path("client.crt"))"])
        let own = ["--cert", path("client.crt"), "--key", path("client.key")]
        #expect(try cli(headrace, own, "SET", "k", "v").text == "OK\n")
        #expect(try !cli(headrace, [], "GET", "k").text.contains("v"))
        #expect(try !cli(headrace, ["--cert", path("server.crt"), "--key", path("server.key")], "GET", "k").text.contains("v"))
        let script = """
            import redis, sys
            port, folder = int(sys.argv[1]), sys.argv[2]
            own = dict(ssl_certfile=folder + "/client.crt", ssl_keyfile=folder + "/client.key")
            r = redis.Redis(port=port, ssl=True, ssl_ca_certs=folder + "/server.crt", **own)
            assert r.get("k") == b"v"
            try:
                redis.Redis(port=port, ssl=True, ssl_ca_certs=folder + "/server.crt").get("k")
                sys.exit("it was let in without a certificate")
            except redis.exceptions.ConnectionError: pass
            """
        let result = try Command.run("env", ["/usr/bin/python3", "-c", script, "\(headrace.port)", folder.path])
        #expect(result.status == 0, "\(result.text)\(result.errors)")
    }

    @Test func `a certificate that is renewed is shown to who comes then, and no connection ends`() throws {
        let headrace = try start([])
        // It stays connected and asks on, until it is told that the new one is shown.
        let script = """
            import redis, ssl, sys, time
            port, folder = int(sys.argv[1]), sys.argv[2]
            def shown():
                return ssl.get_server_certificate(("127.0.0.1", port))
            r = redis.Redis(port=port, ssl=True, ssl_ca_certs=folder + "/server.crt", single_connection_client=True)
            first, number = shown(), r.client_id()
            print("ready", flush=True)
            sys.stdin.readline()
            end, count = time.time() + 120, 0
            while shown() == first:
                assert time.time() < end, "the new one is not shown"
                count = r.incr("count")
                time.sleep(.1)
            assert r.client_id() == number and r.incr("count") == count + 1, "another connection"
            new = redis.Redis(port=port, ssl=True, ssl_ca_certs=folder + "/server.crt")
            assert new.incr("count") == count + 2
            """
        let process = Program()
        process.executableURL = URL(filePath: "/usr/bin/python3")
        process.arguments = ["-c", script, "\(headrace.port)", folder.path]
        let (input, output) = (Pipe(), Pipe())
        (process.standardInput, process.standardOutput) = (input, output)
        try process.start()
        #expect(String(decoding: output.fileHandleForReading.availableData, as: UTF8.self).hasPrefix("ready"))
        try makeCertificate("server", days: 90)
        try input.fileHandleForWriting.write(contentsOf: Data("\n".utf8))
        process.waitForEnd()
        #expect(process.terminationStatus == 0)
    }

    @Test func `the certificate's end and failed handshakes are in the metrics, beside the edge`() throws {
        // The port of the edge, whose pages have the metrics of all layers.
        let headrace = try HeadraceProcess(
            ["--app", "http://127.7.0.1:1", "--set", "keyspace.tls.listen=127.7.0.2:26379", "--set", "keyspace.tls.certificates=\(path("server.pem"))"])
        let file = path("server.pem")
        #expect(eventually { (try? headrace.metric("headrace_keyspace_tls_certificate_expiry_timestamp_seconds{file=\"\(file)\"}")) ?? 0 > Date().timeIntervalSince1970 })
        for _ in 0..<2 {
            let stranger = try Command.run("redis-cli", ["-h", "127.7.0.2", "-p", "26379", "--tls", "PING"])
            #expect(!stranger.text.contains("PONG"))
        }
        // redis-cli may try again by itself.
        #expect(eventually { ((try? headrace.metric("headrace_keyspace_tls_failures_total")) ?? 0) >= 2 })
        #expect(try Command.run("redis-cli", ["-h", "127.7.0.2", "-p", "26379", "--tls", "--insecure", "PING"]).text == "PONG\n")
        #expect(try headrace.metric("headrace_keyspace_tls_handshakes_total") == 1)
    }
}
