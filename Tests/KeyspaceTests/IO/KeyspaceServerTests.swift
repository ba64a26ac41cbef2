import Logging
import Synchronization
import Testing

@testable import Keyspace

@Suite struct KeyspaceServerTests {
    /// Keeps what is said.
    private final class Lines: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }
        func add(_ line: String) { lines.withLock { $0.append(line) } }
    }

    private struct Handler: LogHandler {
        let lines: Lines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) { lines.add("\(event.level) \(event.message)") }
    }

    @Test(arguments: EvictionPolicy.allCases)
    func `with any eviction on the log says that queues and locks want none`(policy: EvictionPolicy) async throws {
        let lines = Lines()
        var configuration = KeyspaceConfiguration()
        configuration.listen = [.tcp(host: "127.0.0.1", port: 0)]
        configuration.threads = 1
        configuration.policy = policy
        let server = try KeyspaceServer(configuration: configuration, logger: Logger(label: "test") { _ in Handler(lines: lines) })
        _ = try await server.start()
        #expect(lines.all.contains { $0.contains("queues (Celery, RQ) and locks want maxmemory-policy noeviction") } == (policy != .noeviction))
        await server.drain()
    }
}
