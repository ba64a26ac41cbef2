import HTTPSemantics
import Testing

@testable import Edge

@Suite struct UpgradePolicyTests {
    private func isOffered(_ fields: [String], _ line: String = "GET / HTTP/1.1") throws -> Bool {
        UpgradePolicy.isOffered(try .parsed(line, fields))
    }

    @Test func `WebSocket is offered as RFC 6455 has it, and as browsers write it`() throws {
        #expect(try isOffered(["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]))
        #expect(try isOffered(["Upgrade: WebSocket", "Connection: keep-alive, upgrade"]))
    }

    @Test func `what only looks like it is an ordinary request`() throws {
        #expect(try !isOffered(["Upgrade: websocket"]))
        #expect(try !isOffered(["Upgrade: websocket", "Connection: keep-alive"]))
        #expect(try !isOffered(["Connection: Upgrade"]))
        #expect(try !isOffered(["Upgrade: websocket", "Connection: Upgrade"], "POST / HTTP/1.1"))
        #expect(try !isOffered(["Upgrade: websocket", "Connection: Upgrade"], "GET / HTTP/1.0"))
        #expect(try !isOffered(["Upgrade: websocket", "Connection: Upgrade", "Content-Length: 3"]))
    }

    @Test(arguments: ["h2c", "H2C", "h2c, websocket", "websocket,h2c", "HTTP/2.0", "TLS/1.2"])
    func `versions of HTTP and TLS are not the application's to speak`(name: String) throws {
        #expect(try !isOffered(["Upgrade: \(name)", "Connection: Upgrade, HTTP2-Settings"]))
    }

    @Test func `only what was offered may be switched to`() throws {
        let request = try RequestHead.get("/", ["Upgrade: chat/2, websocket", "Connection: Upgrade"])
        func isAccepted(_ fields: [String]) throws -> Bool {
            UpgradePolicy.isAccepted(try .parsed(101, fields), offered: request)
        }
        #expect(try isAccepted(["Upgrade: websocket"]) && isAccepted(["Upgrade: WEBSOCKET"]) && isAccepted(["Upgrade: chat/2"]))
        #expect(try !isAccepted([]) && !isAccepted(["Upgrade: chat/3"]) && !isAccepted(["Upgrade: websocket, chat/3"]))
    }
}
