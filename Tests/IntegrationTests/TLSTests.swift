import Foundation
import TestSupport
import Testing

/// HTTPS at the edge, with real clients: curl, openssl, Python's ssl.
@Suite(.serialized, .enabled(
    if: Command.find("openssl") != nil && Command.find("curl") != nil, "openssl or curl is not installed: run scripts/setup"))
final class TLSTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "tls-\(UUID().uuidString)")

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=authority",
            "-keyout", path("authority.key"), "-out", path("authority.pem"))
        try makeCertificate("first", "DNS:first.example,DNS:localhost,IP:127.0.0.1")
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    private func path(_ name: String) -> String { folder.appending(path: name).path }

    private func openssl(_ arguments: String...) throws {
        let result = try Command.run("openssl", arguments)
        try #require(result.status == 0, "openssl: \(result.errors)")
    }

    /// Files NAME.pem and NAME.key, made out to these names.
    private func makeCertificate(_ name: String, _ names: String, days: Int = 20, key: [String] = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]) throws {
        let made = try Command.run("openssl", ["req", "-newkey"] + key + [
            "-nodes", "-subj", "/CN=\(name)", "-keyout", path("\(name).new-key"), "-out", path("\(name).csr"),
        ])
        try #require(made.status == 0, "openssl: \(made.errors)")
        try Data("subjectAltName=\(names)\n".utf8).write(to: folder.appending(path: "\(name).ext"))
        try openssl(
            "x509", "-req", "-days", String(days), "-in", path("\(name).csr"), "-CA", path("authority.pem"), "-CAkey", path("authority.key"),
            "-CAcreateserial", "-extfile", path("\(name).ext"), "-out", path("\(name).new-pem"))
        for kind in ["key", "pem"] { #expect(rename(path("\(name).new-\(kind)"), path("\(name).\(kind)")) == 0) }
    }

    private func edge(_ origin: ScriptedOrigin, _ settings: [String] = []) throws -> HeadraceProcess {
        let all = ["edge.tls.listen=127.0.0.1:0", "edge.tls.certificates=\(path("first.pem"))", "edge.tls.keys=\(path("first.key"))"] + settings
        return try HeadraceProcess(["--app", origin.url] + all.flatMap { ["--set", $0] }, saying: "https://")
    }

    /// By HTTP/1.1; what is asked by HTTP/2 is in `HTTP2Tests`.
    private func curl(_ edge: HeadraceProcess, _ target: String, _ arguments: [String] = []) throws -> Command.Result {
        try Command.run("curl", ["-sS", "--http1.1", "--max-time", "20", "--cacert", path("authority.pem")] + arguments + ["https://localhost:\(edge.port)\(target)"])
    }

    /// What `openssl s_client` says of a handshake.
    private func handshake(_ edge: HeadraceProcess, _ arguments: String...) throws -> (isDone: Bool, text: String) {
        let result = try Command.run(
            "openssl", ["s_client", "-connect", "127.0.0.1:\(edge.port)", "-CAfile", path("authority.pem")] + arguments, input: Data())
        return (result.status == 0, result.text + result.errors)
    }

    private func plainPort(_ edge: HeadraceProcess) throws -> Int {
        let said = try #require(edge.errorOutput.range(of: "http://127.0.0.1:"))
        return try #require(Int(edge.errorOutput[said.upperBound...].prefix { $0.isNumber }))
    }

    private func hello() throws -> ScriptedOrigin {
        try ScriptedOrigin { request in
            [.send(ScriptedOrigin.response(fields: ["Cache-Control: max-age=60"], body: "hello of \(request.target)"))]
        }
    }

    @Test func `pages come by HTTPS, are cached by scheme, and the application hears of it`() throws {
        let origin = try hello()
        let edge = try edge(origin, ["edge.tls.hsts=4380h", "edge.tls.redirect=never"])
        let first = try curl(edge, "/a", ["-i"])
        #expect(first.text.hasSuffix("hello of /a") && first.text.contains("Strict-Transport-Security: max-age=15768000\r\n"), "\(first.text)\(first.errors)")
        #expect(try curl(edge, "/a", ["-i"]).text.contains("Cache-Status: headrace; hit"))
        let plain = try RawClient.exchange(port: plainPort(edge), "GET /a HTTP/1.1\r\nHost: localhost:\(edge.port)\r\n\r\n")
        #expect(plain.text == "hello of /a" && plain.field("Strict-Transport-Security") == nil)
        #expect(origin.requests.map { $0.field("X-Forwarded-Proto") ?? "" } == ["https", "http"])
    }

    @Test func `only what an A+ takes is agreed on: TLS 1.2 and 1.3, forward secrecy, authenticated encryption`() throws {
        let origin = try hello()
        let edge = try edge(origin)
        let modern = try handshake(edge, "-tls1_3", "-verify_return_error")
        #expect(modern.isDone && modern.text.contains("TLSv1.3") && modern.text.contains("Compression: NONE"), "\(modern.text)")
        let old = try handshake(edge, "-tls1_2", "-verify_return_error")
        #expect(old.isDone && old.text.contains("TLSv1.2") && old.text.contains("ECDHE-ECDSA-AES") && old.text.contains("GCM"), "\(old.text)")
        for refused in [["-tls1_1"], ["-tls1"], ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"], ["-tls1_2", "-cipher", "AES128-GCM-SHA256"]] {
            let result = try Command.run("openssl", ["s_client", "-connect", "127.0.0.1:\(edge.port)"] + refused, input: Data())
            #expect(result.status != 0, "\(refused)")
        }
        // Whoever speaks no TLS is cut off and counted.
        let client = try RawClient(port: edge.port)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        _ = client.readToEnd(seconds: 10)
        #expect(client.isClosedByPeer)
        let metrics = try RawClient.getOwnPage(port: plainPort(edge), "/metrics").text
        #expect(metrics.contains("headrace_edge_tls_handshakes_total 2\n"))
        let failures = metrics.split(separator: "\n").first { $0.hasPrefix("headrace_edge_tls_failures_total ") }
        #expect(failures.flatMap { Int($0.split(separator: " ")[1]) } ?? 0 >= 3)
        #expect(metrics.contains("headrace_edge_tls_certificate_expiry_timestamp_seconds{file=\"\(path("first.pem"))\"}"))
    }

    @Test func `the certificate that is asked for by name is shown`() throws {
        try makeCertificate("second", "DNS:second.example,DNS:*.second.example", key: ["rsa:2048"])
        let origin = try hello()
        let edge = try edge(origin, [
            "edge.tls.certificates=\(path("first.pem")),\(path("second.pem"))", "edge.tls.keys=\(path("first.key")),\(path("second.key"))",
        ])
        for (name, subject) in [
            ("first.example", "first"), ("second.example", "second"), ("WWW.Second.Example", "second"), ("a.b.second.example", "first"),
            ("unknown.example", "first"),
        ] {
            let shown = try handshake(edge, "-servername", name)
            #expect(shown.text.contains("subject=CN = \(subject)") || shown.text.contains("subject=CN=\(subject)"), "\(name): \(shown.text)")
        }
    }

    @Test func `a certificate that was renewed is shown without a restart, and connections go on`() throws {
        let origin = try hello()
        let edge = try edge(origin)
        try Data(Self.renewal.utf8).write(to: folder.appending(path: "renewal.py"))
        let steps = folder.appending(path: "steps")
        try FileManager.default.createDirectory(at: steps, withIntermediateDirectories: true)
        let process = Program()
        process.executableURL = URL(filePath: "/usr/bin/python3")
        process.arguments = [path("renewal.py"), String(edge.port), path("authority.pem"), steps.path]
        try process.start()
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        func wait(for step: String) -> Bool {
            let end = Date().addingTimeInterval(60)
            while Date() < end, process.isRunning, !FileManager.default.fileExists(atPath: steps.appending(path: step).path) { usleep(20_000) }
            return FileManager.default.fileExists(atPath: steps.appending(path: step).path)
        }
        #expect(wait(for: "connected"))
        // A key that is not the certificate's changes nothing.
        let good = try Data(contentsOf: folder.appending(path: "first.key"))
        try Data(contentsOf: folder.appending(path: "authority.key")).write(to: folder.appending(path: "first.key"), options: .atomic)
        let end = Date().addingTimeInterval(60)
        while Date() < end, !edge.errorOutput.contains("certificates not read") { usleep(50_000) }
        #expect(eventually { edge.errorOutput.contains("first.key: is not the private key of") })
        #expect(try curl(edge, "/b").text == "hello of /b")
        try good.write(to: folder.appending(path: "first.key"), options: .atomic)
        try makeCertificate("first", "DNS:localhost,DNS:renewed.example", days: 25)
        #expect(wait(for: "done"))
        process.waitForEnd()
        #expect(process.terminationStatus == 0)
    }

    /// Keeps one connection, waits until a new one is shown another certificate, and goes on with the old one.
    private static let renewal = """
        import http.client, pathlib, ssl, sys, time
        port, authority, steps = int(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
        context = ssl.create_default_context(cafile=authority)
        kept = http.client.HTTPSConnection("localhost", port, context=context, timeout=30)
        kept.request("GET", "/kept"); assert kept.getresponse().read() == b"hello of /kept"
        first = kept.sock.getpeercert()["serialNumber"]
        (steps / "connected").touch()
        end = time.time() + 90
        while time.time() < end:
            new = http.client.HTTPSConnection("localhost", port, context=context, timeout=30)
            new.request("GET", "/new"); assert new.getresponse().read() == b"hello of /new"
            if new.sock.getpeercert()["serialNumber"] != first:
                kept.request("GET", "/kept-again"); assert kept.getresponse().read() == b"hello of /kept-again"
                assert kept.sock.getpeercert()["serialNumber"] == first
                (steps / "done").touch()
                sys.exit(0)
            new.close()
            time.sleep(0.2)
        sys.exit(1)
        """

    @Test func `clients that come without TLS are sent to HTTPS, and a challenge of a certificate authority is not`() throws {
        let origin = try hello()
        let edge = try edge(origin, ["edge.tls.redirect=always"])
        let port = try plainPort(edge)
        let sent = try RawClient.exchange(port: port, "POST /a?b=c HTTP/1.1\r\nHost: shop.example:80\r\nContent-Length: 2\r\n\r\nhi")
        #expect(sent.status == 308 && sent.field("Location") == "https://shop.example:\(edge.port)/a?b=c")
        #expect(try RawClient.get(port: port, "/.well-known/acme-challenge/x").text == "hello of /.well-known/acme-challenge/x")
        let old = try RawClient(port: port)
        old.send("GET / HTTP/1.0\r\n\r\n")
        #expect(try old.readResponse().status == 400)
        #expect(origin.requestCount == 1)
        // Followed by a client, it ends where it should.
        let followed = try Command.run("curl", ["-sSL", "--cacert", path("authority.pem"), "http://localhost:\(port)/followed"])
        #expect(followed.text == "hello of /followed")
    }

    @Test func `on loopback nobody is sent away unless told`() throws {
        let origin = try hello()
        let edge = try edge(origin)
        #expect(try RawClient.get(port: plainPort(edge), "/a").text == "hello of /a")
    }

    @Test func `large files come whole, ranges too, and a refused request is told why`() throws {
        let root = folder.appending(path: "public")
        try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
        let text = String(repeating: "0123456789abcdef", count: 1 << 20)
        try Data(text.utf8).write(to: root.appending(path: "large.bin"))
        let edge = try HeadraceProcess([
            "--root", root.path, "--set", "edge.tls.listen=127.0.0.1:0", "--set", "edge.tls.certificates=\(path("first.pem"))", "--set",
            "edge.tls.keys=\(path("first.key"))",
        ], saying: "https://")
        #expect(try curl(edge, "/large.bin").output == Data(text.utf8))
        #expect(try curl(edge, "/large.bin", ["-r", "1048570-1048585"]).text == "abcdef0123456789")
        let refused = try curl(edge, "/", ["-H", "X: " + String(repeating: "y", count: 40_000), "-w", "%{http_code}"])
        #expect(refused.text.hasSuffix("431"), "\(refused.text) \(refused.errors)")
    }

    @Test(arguments: [false, true]) func `a body that breaks off does not end in good order`(isWhole: Bool) throws {
        let part = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"
        let origin = try ScriptedOrigin { _ in isWhole ? [.send(part + "0\r\n\r\n")] : [.send(part), .wait(milliseconds: 300), .close] }
        let edge = try edge(origin)
        // HTTP/1.0 knows no chunks: only the end of the connection says whether that was all.
        let script = """
            import socket, ssl, sys
            context = ssl.create_default_context(cafile=sys.argv[2])
            raw = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30)
            client = context.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False)
            client.sendall(b"GET / HTTP/1.0\\r\\nHost: a\\r\\n\\r\\n")
            data = b""
            try:
                while piece := client.recv(4096): data += piece
                print("whole", data.endswith(b"part"))
            except OSError:
                print("broken", data.endswith(b"part"))
            """
        let result = try Command.run("python3", ["-c", script, String(edge.port), path("authority.pem")])
        #expect(result.text.hasPrefix(isWhole ? "whole True" : "broken"), "\(result.text)\(result.errors)")
    }

    /// Python's ssl closes the connection below TLS, without a good-bye.
    @Test func `a client that leaves without a good-bye gives its place back at once`() throws {
        let origin = try hello()
        let edge = try edge(origin, ["edge.limits.connections_per_client=20"])
        let script = """
            import socket, ssl, sys
            context = ssl.create_default_context(cafile=sys.argv[2])
            for number in range(200):
                raw = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30)
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with context.wrap_socket(raw, server_hostname="localhost") as client:
                    client.sendall(b"GET /a HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
                    data = b""
                    while piece := client.recv(4096): data += piece
                    assert data.endswith(b"hello of /a"), (number, data)
            print("200 served")
            """
        let result = try Command.run("python3", ["-c", script, String(edge.port), path("authority.pem")])
        #expect(result.text == "200 served\n", "\(result.text)\(result.errors)")
    }

    @Test func `who must show a certificate and has none gets nothing`() throws {
        try makeCertificate("client", "DNS:client.example")
        let origin = try hello()
        let edge = try edge(origin, ["edge.tls.client_certificates=required", "edge.tls.client_authorities=\(path("authority.pem"))"])
        #expect(try curl(edge, "/a").status != 0)
        #expect(try curl(edge, "/a", ["--cert", path("client.pem"), "--key", path("client.key")]).text == "hello of /a")
        #expect(origin.requestCount == 1)
    }

    @Test func `draining ends connections with TLS, too, without a failed request`() throws {
        let origin = try hello()
        let edge = try edge(origin)
        #expect(try curl(edge, "/a").text == "hello of /a")
        edge.terminate()
        #expect(edge.waitForExit() == 0)
    }

    private func headrace(_ arguments: [String]) throws -> Command.Result {
        try Command.run("env", [HeadraceProcess.binary.path] + arguments)
    }

    @Test func `headrace cert dev makes what curl and openssl believe, and a renewed one is taken up`() throws {
        let made = try headrace(["cert", "dev", "--folder", path("dev"), "--json"])
        #expect(made.status == 0, "\(made.errors)")
        struct Made: Decodable {
            let certificate, authority: String
            let hosts: [String]
        }
        let files = try JSONDecoder().decode(Made.self, from: Data(made.text.utf8))
        #expect(files.hosts == ["localhost", "127.0.0.1", "::1"])
        for (file, mode) in [(files.certificate, 0o600), (path("dev") + "/ca-key.pem", 0o600), (files.authority, 0o644), (path("dev"), 0o700)] {
            #expect(try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int == mode, "\(file)")
        }
        let origin = try hello()
        let edge = try HeadraceProcess(
            ["--app", origin.url, "--set", "edge.tls.listen=127.0.0.1:0", "--set", "edge.tls.certificates=\(files.certificate)"], saying: "https://")
        for host in ["localhost", "127.0.0.1"] {
            let page = try Command.run("curl", ["-sS", "--max-time", "20", "--cacert", files.authority, "https://\(host):\(edge.port)/a"])
            #expect(page.text == "hello of /a", "\(page.errors)")
        }
        let stranger = try Command.run("curl", ["-sS", "--max-time", "20", "https://localhost:\(edge.port)/a"])
        #expect(stranger.status == 60, "nobody else believes it")
        let verified = try Command.run(
            "openssl", ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", files.authority, files.certificate])
        #expect(verified.status == 0, "\(verified.text)\(verified.errors)")

        func serial() throws -> String {
            let shown = try Command.run(
                "openssl", ["s_client", "-connect", "127.0.0.1:\(edge.port)", "-servername", "localhost", "-CAfile", files.authority], input: Data())
            return shown.text.split(separator: "-----BEGIN CERTIFICATE-----").dropFirst().first.map { String($0.prefix(500)) } ?? ""
        }
        let before = try serial()
        let authority = try Data(contentsOf: URL(filePath: files.authority))
        let again = try headrace(["cert", "dev", "--folder", path("dev")])
        #expect(again.status == 0 && again.text.contains(files.certificate) && again.errors.contains("curl --cacert"))
        #expect(try Data(contentsOf: URL(filePath: files.authority)) == authority, "the authority is kept")
        #expect(try eventually { try serial() != before }, "the edge takes up what was renewed")
        #expect(try headrace(["cert", "dev", "--folder", path("dev"), "a_b"]).status == 64)
        #expect(try headrace(["cert", "dev", "--folder", "/proc/nowhere"]).status == 69)
    }

    /// What the grade A+ takes, as testssl.sh sees it: the protocols, ciphers, certificate and header field; not the grade itself, for it takes an
    /// authority that everybody believes.
    @Test(.enabled(if: Command.find("testssl") != nil, "testssl.sh is not installed: run scripts/setup"))
    func `testssl finds no weakness but that nobody else believes the authority`() throws {
        let origin = try hello()
        // Else that it ends soon is a weakness, too.
        try makeCertificate("first", "DNS:localhost,IP:127.0.0.1", days: 80)
        let edge = try edge(origin, ["edge.tls.hsts=365d"])
        let report = path("testssl.json")
        _ = try Command.run(
            "testssl", [
                "--quiet", "--color", "0", "--warnings", "off", "--openssl-timeout", "20", "--add-ca", path("authority.pem"), "-p", "-s", "-f", "-U", "-S", "-h", "--jsonfile", report,
                "localhost:\(edge.port)",
            ])
        struct Finding: Decodable {
            let id, severity, finding: String
        }
        let findings = try JSONDecoder().decode([Finding].self, from: Data(contentsOf: URL(filePath: report)))
        func finding(_ id: String) -> String { findings.first { $0.id == id }?.finding ?? "" }
        for old in ["SSLv2", "SSLv3", "TLS1", "TLS1_1"] { #expect(finding(old).hasPrefix("not offered"), "\(old): \(finding(old))") }
        for new in ["TLS1_2", "TLS1_3"] { #expect(finding(new).hasPrefix("offered"), "\(new): \(finding(new))") }
        #expect((finding("FS") + finding("PFS")).hasPrefix("offered") && finding("HSTS_time").contains("365 days"), "\(finding("HSTS_time"))")
        // What only a public authority has, and a name that is in the DNS.
        let known: Set = ["cert_revocation", "DNS_CAArecord", "cert_chain_of_trust", "cert_trust"]
        let weak = findings.filter { ["LOW", "MEDIUM", "HIGH", "CRITICAL"].contains($0.severity) && !known.contains($0.id) }
        #expect(weak.isEmpty, "\(weak.map { "\($0.id) \($0.severity): \($0.finding)" }.joined(separator: "\n"))")
        #expect(findings.count > 40, "\(findings.count)")
    }
}
