import Foundation
import Logging
import Synchronization
import TestSupport
import Testing

@testable import Edge

/// Pages that the rest of the process makes, and does not make in time.
@Suite struct PageDeadlineTests {
    @Test func `a page that does not come is answered for after its deadline, and what comes behind it is nobody's`() async throws {
        let late = Mutex<[@Sendable (BuiltInPages.Answer) -> Void]>([])
        let pages = BuiltInPages { request, reply in
            guard request.path == "/slow" else {
                return reply(.whole(status: 200, contentType: "text/plain", fields: [], body: Array("in time".utf8)))
            }
            late.withLock { $0.append(reply) }
        }
        var configuration = EdgeConfiguration()
        configuration.listen = [.tcp(host: "127.0.0.1", port: 0)]
        configuration.threads = 1
        configuration.root = FileManager.default.temporaryDirectory.path
        let edge = try EdgeServer(configuration: configuration, pages: pages, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let port = try #require(try await edge.start().plain.first?.port)
        let client = try RawClient(port: port)
        let begin = Date()
        client.send("GET /performance/slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        let refused = try client.readResponse(seconds: 60)
        #expect(refused.status == 504)
        // Ten seconds, and a quarter for the sweep.
        #expect(Date().timeIntervalSince(begin) > 9)
        let replies = late.withLock { $0 }
        #expect(replies.count == 1)
        for reply in replies { reply(.whole(status: 200, contentType: "text/plain", fields: [], body: Array("too late".utf8))) }
        client.send("GET /performance/quick HTTP/1.1\r\nHost: localhost\r\n\r\n")
        let next = try client.readResponse(seconds: 60)
        #expect(next.status == 200 && next.text == "in time")
        client.reset()
        await edge.drain()
    }
}
