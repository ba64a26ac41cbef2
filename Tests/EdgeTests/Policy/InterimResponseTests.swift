import HTTPSemantics
import NIOCore
import Testing

@testable import Edge

@Suite struct InterimResponseTests {
    private func written(_ status: Int, _ fields: [String]) throws -> [String] {
        var output = ByteBuffer()
        InterimResponse.write(status: status, try ResponseHead.parsed(status, fields).fields, into: &output)
        #expect(String(buffer: output).hasSuffix("\r\n\r\n"))
        return lines(output)
    }

    @Test func `early hints pass as they are, without what speaks of the connection`() throws {
        let fields = ["Link: </a.css>; rel=preload", "Connection: X-Own", "X-Own: 1", "Keep-Alive: timeout=5", "link: </b.js>; rel=preload"]
        #expect(try written(103, fields) == ["HTTP/1.1 103 Early Hints", "Link: </a.css>; rel=preload", "link: </b.js>; rel=preload"])
    }

    @Test func `what was hinted before is not said twice`() throws {
        let hinted = [Array("</a.css>; rel=preload".utf8)]
        let fields = try ResponseHead.parsed(103, ["Link: </a.css>; rel=preload", "Link: </b.js>; rel=preload", "Connection: close"]).fields
        var output = ByteBuffer()
        InterimResponse.write(status: 103, fields, hinted: hinted, into: &output)
        #expect(lines(output) == ["HTTP/1.1 103 Early Hints", "Link: </b.js>; rel=preload"])
        #expect(InterimResponse.addsHints(fields, to: hinted) && InterimResponse.addsHints(fields, to: []))
        let known = try ResponseHead.parsed(103, ["Link: </a.css>; rel=preload", "Connection: close"]).fields
        #expect(!InterimResponse.addsHints(known, to: hinted) && InterimResponse.addsHints(known, to: []))
    }

    @Test func `101 says what is switched to, and nothing of a body`() throws {
        let fields = ["Upgrade: websocket", "Connection: upgrade", "Sec-WebSocket-Accept: x", "Content-Length: 0"]
        #expect(
            try written(101, fields) == [
                "HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Sec-WebSocket-Accept: x", "Connection: Upgrade",
            ])
    }
}
