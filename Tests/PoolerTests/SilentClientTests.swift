import Glibc
import Logging
import NIOCore
import Testing

@testable import Pooler

@Suite struct SilentClientTests {
    @Test func `a client that never says anything is accepted all the same, told that it is late and closed`() async throws {
        var configuration = PoolerConfiguration()
        configuration.listen = [.tcp(host: "127.0.0.1", port: 0)]
        configuration.threads = 1
        configuration.timeouts.clientLogin = .milliseconds(100)
        let server = try PoolerServer(configuration: configuration, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        let address = try #require(try await server.start().first)
        let client = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        let isConnected = address.withSockAddr { connect(client, $0, socklen_t($1)) == 0 }
        try #require(isConnected)
        let said = await Task.detached {
            var all: [UInt8] = []
            var part = [UInt8](repeating: 0, count: 1024)
            while case let count = recv(client, &part, part.count, 0), count > 0 { all += part[..<count] }
            return String(decoding: all, as: UTF8.self)
        }.value
        #expect(said.hasPrefix("E"))
        #expect(said.contains("client_login_timeout"))
        close(client)
        await server.drain()
    }
}
