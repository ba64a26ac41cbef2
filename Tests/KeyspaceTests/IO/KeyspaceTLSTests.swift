import Foundation
import TestSupport
import Testing
import Transport

@testable import Keyspace

/// The keyspace has commands of its own.
private typealias Program = TestSupport.Command

/// The keyspace with TLS, with the clients that people have: redis-cli and openssl.
@Suite(.enabled(if: ["openssl", "redis-cli"].allSatisfy { Program.find($0) != nil }, "openssl or redis-cli is not installed: run scripts/setup"))
final class KeyspaceTLSTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "keyspace-tls-\(UUID().uuidString)")

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try makeCertificate("first", days: 30)
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    private func path(_ name: String) -> String { folder.appending(path: name).path }

    /// Certificate and key in one file, NAME.pem.
    private func makeCertificate(_ name: String, days: Int) throws {
        let made = try Program.run("openssl", [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "\(days)", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", path("\(name).pem"), "-out", path("\(name).crt"),
        ])
        try #require(made.status == 0, "openssl: \(made.errors)")
        let own = try Data(contentsOf: folder.appending(path: "\(name).crt")) + Data(contentsOf: folder.appending(path: "\(name).pem"))
        // In one step, so that nobody reads half of it.
        try own.write(to: folder.appending(path: "\(name).pem"), options: .atomic)
    }

    private func served(_ change: (inout KeyspaceConfiguration) -> Void = { _ in }) async throws -> ServedKeyspace {
        try await ServedKeyspace {
            $0.tls.listen = [.tcp(host: "127.0.0.1", port: 0)]
            $0.tls.certificates = [path("first.pem")]
            change(&$0)
        }
    }

    private func ask(_ keyspace: ServedKeyspace, _ arguments: [String], _ command: String...) throws -> Program.Result {
        try Program.run("redis-cli", ["-h", "127.0.0.1", "-p", "\(keyspace.securePort)", "--tls"] + arguments + command)
    }

    @Test func `redis-cli reads and writes by TLS what others read without`() async throws {
        let keyspace = try await served()
        let trust = ["--cacert", path("first.crt")]
        #expect(try ask(keyspace, trust, "SET", "k", "by TLS").text == "OK\n")
        #expect(try keyspace.client().call("GET", "k") == .bytes(Array("by TLS".utf8)))
        // More than one record, and more than a turn.
        let large = String(repeating: "v", count: 300_000)
        #expect(try keyspace.client().call("SET", "large", large) == .status("OK"))
        #expect(try ask(keyspace, trust, "GET", "large").text == large + "\n")
        let stranger = try ask(keyspace, [], "PING")
        #expect(stranger.status != 0 && !stranger.text.contains("PONG"), "it does not believe us")
        await keyspace.stop()
    }

    @Test func `who comes without TLS, or with an old one, gets nothing, and others go on`() async throws {
        let keyspace = try await served()
        let plain = try RawClient(port: keyspace.securePort)
        plain.send("PING\r\n")
        #expect(!plain.readToEnd().contains("PONG"))
        for (version, isSpoken) in [("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
            let result = try Program.run("openssl", ["s_client", "-connect", "127.0.0.1:\(keyspace.securePort)", version], input: Data())
            #expect(result.text.contains("Cipher is") && result.text.contains("Cipher is (NONE)") != isSpoken, "\(version): \(result.text)")
        }
        #expect(try ask(keyspace, ["--cacert", path("first.crt")], "PING").text == "PONG\n")
        // Counted as they end: the last may not have yet.
        #expect(eventually { keyspace.server.figures().tlsFailures == 2 } && keyspace.server.figures().tlsHandshakes == 3)
        await keyspace.stop()
        #expect(keyspace.server.figures().tlsFailures == 2)
    }

    @Test func `who does not end the handshake holds no place for long`() async throws {
        let keyspace = try await served {
            $0.clientsMax = 1
            $0.tls.handshakeTimeout = .milliseconds(200)
        }
        let silent = try RawClient(port: keyspace.securePort)
        #expect(silent.readToEnd().isEmpty)
        #expect(try ask(keyspace, ["--cacert", path("first.crt")], "PING").text == "PONG\n")
        await keyspace.stop()
    }

    @Test func `a client has to show a certificate where that is required`() async throws {
        try makeCertificate("client", days: 30)
        let keyspace = try await served {
            $0.tls.clientCertificates = .required
            $0.tls.clientAuthorities = path("client.crt")
        }
        let trust = ["--cacert", path("first.crt")]
        #expect(try ask(keyspace, trust + ["--cert", path("client.crt"), "--key", path("client.pem")], "PING").text == "PONG\n")
        #expect(try !ask(keyspace, trust, "PING").text.contains("PONG"))
        #expect(try !ask(keyspace, trust + ["--cert", path("first.crt"), "--key", path("first.pem")], "PING").text.contains("PONG"))
        await keyspace.stop()
    }

    @Test func `a certificate that is renewed is shown to who comes then, and connections go on`() async throws {
        let keyspace = try await served()
        let before = try #require(keyspace.server.figures().certificates.first)
        #expect(before.file == path("first.pem") && before.names == ["localhost"])
        try makeCertificate("first", days: 90)
        // Not by blocking a thread: files are watched on the same ones.
        func isRenewed() -> Bool { keyspace.server.figures().certificates.first.map { $0.expires > before.expires + 59 * 86_400 } ?? false }
        for _ in 0..<600 where !isRenewed() { try await Task.sleep(for: .milliseconds(200)) }
        #expect(isRenewed())
        #expect(try ask(keyspace, ["--cacert", path("first.crt")], "PING").text == "PONG\n")
        await keyspace.stop()
    }

    @Test func `a key that is another certificate's is refused before anything is opened`() throws {
        try makeCertificate("other", days: 30)
        var configuration = KeyspaceConfiguration()
        configuration.tls.listen = [.tcp(host: "127.0.0.1", port: 0)]
        configuration.tls.certificates = [path("first.crt")]
        configuration.tls.keys = [path("other.pem")]
        #expect(throws: TLSCertificates.Problem.self) { try KeyspaceServer.check(configuration) }
        configuration.tls.keys = [path("first.pem")]
        #expect(throws: Never.self) { try KeyspaceServer.check(configuration) }
    }
}
