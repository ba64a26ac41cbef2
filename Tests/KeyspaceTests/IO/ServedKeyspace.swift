import Logging
import TestSupport
import Transport

@testable import Keyspace

/// A keyspace behind a socket, in this process.
final class ServedKeyspace: Sendable {
    let server: KeyspaceServer
    let port: Int
    /// Where TLS is spoken; 0 unless ``KeyspaceConfiguration/tls`` says where.
    let securePort: Int

    init(threads: Int = 2, _ change: (inout KeyspaceConfiguration) -> Void = { _ in }) async throws {
        var configuration = KeyspaceConfiguration()
        configuration.listen = [.tcp(host: "127.0.0.1", port: 0)]
        configuration.threads = threads
        change(&configuration)
        var logger = Logger(label: "keyspace")
        logger.logLevel = .critical
        server = try KeyspaceServer(configuration: configuration, logger: logger)
        let addresses = try await server.start()
        (port, securePort) = (addresses.plain.first?.port ?? 0, addresses.secure.first?.port ?? 0)
    }

    func client() throws -> RedisClient { try RedisClient(port: port) }
    func stop() async { await server.drain() }
}
