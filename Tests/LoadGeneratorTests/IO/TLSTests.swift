import Foundation
import NIOCore
import NIOSSL
import TestSupport
import Testing

@testable import LoadGenerator
import Transport

/// https against a server whose certificate nobody but the test has signed.
@Suite(.serialized, .enabled(if: Command.find("openssl") != nil, "openssl is not installed: run scripts/setup"))
struct TLSTests {
    private static func server() async throws -> DelayingServer {
        let folder = FileManager.default.temporaryDirectory.appending(path: "certificate-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (key, certificate) = (folder.appending(path: "key.pem").path, folder.appending(path: "certificate.pem").path)
        let result = try Command.run(
            "openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", certificate,
                "-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            ])
        #expect(result.status == 0, "\(result.errors)")
        let configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem)))
        let context = try NIOSSLContext(configuration: configuration)
        return try await DelayingServer(prepare: { channel in
            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
        })
    }

    private func plan(_ server: DelayingServer, verifies: Bool) throws -> LoadPlan {
        let workload = try Workload(urls: [try HTTPURL("https://localhost:\(server.port)/")])
        var plan = LoadPlan(workload: workload, endpoint: .tcp(host: "127.0.0.1", port: server.port), open: .init(.init(steady: 100, seconds: 0.5)), warmUp: .fixed(.zero))
        plan.tls = try TLSClient(host: "localhost", verifies: verifies)
        return plan
    }

    @Test func `requests over TLS are counted like all others`() async throws {
        let server = try await Self.server()
        let report = try await LoadRun(plan(server, verifies: false)).run()
        await server.stop()
        #expect(report.succeeded == 50 && server.requestCount == 50 && report.failures == [:])
    }

    @Test func `a certificate that is not trusted is a failure of TLS, and no request is sent`() async throws {
        let server = try await Self.server()
        let report = try await LoadRun(plan(server, verifies: true)).run()
        await server.stop()
        #expect(report.failures == [.tls: 50] && server.requestCount == 0)
    }

    @Test func `a fetch tells when the certificate ends, and refuses it unless told not to`() async throws {
        let server = try await Self.server()
        let url = try HTTPURL("https://127.0.0.1:\(server.port)/")
        let page = try await PageFetch(verifies: false).get(url)
        #expect(String(decoding: page.body, as: UTF8.self) == "hello" && page.head.status == 200)
        let days = try Double(#require(page.certificateExpiry) - page.receivedAt) / 86_400
        #expect(days > 29 && days < 31)
        let failure = await #expect(throws: PageFetch.Failure.self) { _ = try await PageFetch(verifies: true).get(url) }
        #expect(failure?.kind == .tls)
        await server.stop()
    }
}
