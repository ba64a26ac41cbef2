import Foundation
import Keyspace
import Logging
import TestSupport
import Testing
import Transport

@testable import headrace

/// The door of a keyspace that speaks TLS, as somebody from outside finds it.
@Suite(.enabled(if: Command.find("openssl") != nil, "openssl is not installed: run scripts/setup"))
final class SecureKnockTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "knock-\(UUID().uuidString.prefix(8))")

    init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let made = try Command.run("openssl", [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=keyspace", "-keyout",
            folder.appending(path: "key").path, "-out", folder.appending(path: "crt").path,
        ])
        try #require(made.status == 0, "openssl: \(made.errors)")
    }

    deinit {
        try? FileManager.default.removeItem(at: folder)
    }

    private func access(isSecure: Bool = true, _ change: (inout KeyspaceConfiguration) -> Void = { _ in }) async throws -> DeployedEvidence.Access {
        var configuration = KeyspaceConfiguration()
        configuration.threads = 1
        configuration.listen = [.tcp(host: "127.0.0.1", port: 0)]
        configuration.tls.listen = [.tcp(host: "127.0.0.1", port: 0)]
        configuration.tls.certificates = [folder.appending(path: "crt").path]
        configuration.tls.keys = [folder.appending(path: "key").path]
        change(&configuration)
        var logger = Logger(label: "keyspace")
        logger.logLevel = .critical
        let server = try KeyspaceServer(configuration: configuration, logger: logger)
        let addresses = try await server.start()
        let port = try #require((isSecure ? addresses.secure : addresses.plain).first?.port)
        let access = await DeployedVisit.knockKeyspaceSecurely(.tcp(host: "127.0.0.1", port: port))
        await server.drain()
        return access
    }

    @Test func `without a password whoever comes by TLS is in`() async throws {
        #expect(try await access() == .withoutPassword)
    }

    @Test func `with a password, or where a certificate is required, the door is closed`() async throws {
        #expect(try await access { $0.password = "secret" } == .closed)
        #expect(try await access {
            $0.tls.clientCertificates = .required
            $0.tls.clientAuthorities = folder.appending(path: "crt").path
        } == .closed)
    }

    @Test func `where no TLS is spoken, or nobody is, the door is closed`() async throws {
        #expect(try await access(isSecure: false) == .closed)
        #expect(await DeployedVisit.knockKeyspaceSecurely(.tcp(host: "127.7.0.3", port: 1)) == .closed)
        #expect(await DeployedVisit.knockKeyspaceSecurely(.unix(path: "/nobody")) == .closed)
    }
}
