import NIOCore
import Testing

@testable import LoadGenerator

@Suite struct HTTP1ConversationTests {
    private static let good = ConversationProgress.ended(failure: nil, isReusable: true)
    private static let goodAndLast = ConversationProgress.ended(failure: nil, isReusable: false)

    private static func failed(_ kind: FailureKind, isReusable: Bool = false) -> ConversationProgress {
        .ended(failure: kind, isReusable: isReusable)
    }

    /// A conversation in which a GET has been sent.
    private static func asked(_ expectation: ResponseExpectation = .init()) -> HTTP1Conversation {
        let conversation = HTTP1Conversation()
        conversation.requestSent(.get, expecting: expectation)
        return conversation
    }

    @Test func `request, head, body, complete, and the next request`() {
        let conversation = Self.asked()
        #expect(conversation.textReceived("HTTP/1.1 200 OK\r\nContent-Le") == .wait)
        #expect(conversation.textReceived("ngth: 5\r\n\r\nhe") == .wait)
        #expect(conversation.textReceived("llo") == Self.good)
        #expect(conversation.bodyByteCount == 5)
        conversation.requestSent(.get, expecting: .init())
        #expect(conversation.bodyByteCount == 0)
        #expect(conversation.textReceived("HTTP/1.1 204 No Content\r\n\r\n") == Self.good)
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ])
    func `a response is understood at every split and byte by byte`(response: String) {
        let bytes = Array(response.utf8)
        let expectation = ResponseExpectation(body: .bytes(Array("hello".utf8)))
        for split in 1..<bytes.count {
            let conversation = Self.asked(expectation)
            #expect(conversation.bytesReceived(ByteBuffer(bytes: bytes[..<split])) == .wait)
            #expect(conversation.bytesReceived(ByteBuffer(bytes: bytes[split...])) == Self.good)
            #expect(conversation.bodyByteCount == 5)
        }
        let conversation = Self.asked(expectation)
        for byte in bytes.dropLast() { #expect(conversation.bytesReceived(ByteBuffer(bytes: [byte])) == .wait) }
        #expect(conversation.bytesReceived(ByteBuffer(bytes: [bytes[bytes.count - 1]])) == Self.good)
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ])
    func `a response that ends at any byte before its last is truncated, never complete`(response: String) {
        let bytes = Array(response.utf8)
        for end in 1..<bytes.count {
            let conversation = Self.asked()
            #expect(conversation.bytesReceived(ByteBuffer(bytes: bytes[..<end])) == .wait)
            #expect(conversation.inputClosed() == Self.failed(.truncated))
        }
    }

    @Test func `an end before the first byte is closed`() {
        let conversation = Self.asked()
        #expect(conversation.inputClosed() == Self.failed(.closed))
    }

    @Test func `an end behind an interim response is truncated`() {
        let conversation = Self.asked()
        #expect(conversation.textReceived("HTTP/1.1 103 Early Hints\r\n\r\n") == .wait)
        #expect(conversation.inputClosed() == Self.failed(.truncated))
    }

    @Test func `a reset is told apart from an end`() {
        let conversation = Self.asked()
        #expect(conversation.textReceived("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe") == .wait)
        #expect(conversation.connectionReset() == Self.failed(.reset))
        #expect(conversation.inputClosed() == .wait, "a request ends once")
    }

    @Test func `a body without a length ends with its connection`() {
        let conversation = Self.asked(.init(body: .length(5)))
        #expect(conversation.textReceived("HTTP/1.1 200 OK\r\n\r\nhe") == .wait)
        #expect(conversation.textReceived("llo") == .wait)
        #expect(conversation.inputClosed() == Self.goodAndLast)
        #expect(conversation.bodyByteCount == 5)
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ])
    func `a connection that the server will close is not used again`(response: String) {
        let conversation = Self.asked()
        #expect(conversation.textReceived(response) == Self.goodAndLast)
    }

    @Test(arguments: [
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ])
    func `what is no response is malformed`(response: String) {
        let conversation = Self.asked()
        #expect(conversation.textReceived(response) == Self.failed(.malformed))
        #expect(conversation.textReceived("more") == .wait, "a request ends once")
    }

    @Test func `bytes behind the response's end are malformed`() {
        let conversation = Self.asked()
        #expect(conversation.textReceived("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc") == Self.failed(.malformed))
    }

    @Test func `bytes that nobody asked for close the conversation`() {
        let conversation = HTTP1Conversation()
        #expect(conversation.textReceived("HTTP/1.1 408 Request Timeout\r\n\r\n") == .wait)
        #expect(conversation.inputClosed() == .wait)
    }

    @Test func `interim responses are read over up to their limit`() {
        let interim = String(repeating: "HTTP/1.1 100 Continue\r\n\r\n", count: HTTP1Conversation.interimMax)
        let final = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        var conversation = Self.asked()
        #expect(conversation.textReceived(interim + final) == Self.good)
        conversation = Self.asked()
        #expect(conversation.textReceived("HTTP/1.1 100 Continue\r\n\r\n" + interim + final) == Self.failed(.malformed))
    }

    @Test func `a HEAD response has no body, whatever its length says`() {
        let conversation = HTTP1Conversation()
        conversation.requestSent(.head, expecting: .init())
        #expect(conversation.textReceived("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n") == Self.good)
    }

    @Test(arguments: [(200, true), (399, true), (400, false), (500, false), (304, true)])
    func `a status from 200 to 399 is a success unless another is expected`(status: Int, isSuccess: Bool) {
        var conversation = Self.asked()
        let response = "HTTP/1.1 \(status) X\r\nContent-Length: 0\r\n\r\n"
        #expect(conversation.textReceived(response) == (isSuccess ? Self.good : Self.failed(.status, isReusable: true)))
        conversation = Self.asked(.init(status: .exactly(status)))
        #expect(conversation.textReceived(response) == Self.good)
        conversation = Self.asked(.init(status: .exactly(status + 1)))
        #expect(conversation.textReceived(response) == Self.failed(.status, isReusable: true))
    }

    @Test(arguments: ["hell", "hello!", "hellO", "", "Hello"])
    func `a body that is not the expected one is a failure of content, and the connection lives on`(body: String) {
        let conversation = Self.asked(.init(body: .bytes(Array("hello".utf8))))
        let response = "HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        #expect(conversation.textReceived(response) == Self.failed(.content, isReusable: true))
    }

    @Test func `a body of another length is a failure of content`() {
        let conversation = Self.asked(.init(body: .length(5)))
        let response = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell"
        #expect(conversation.textReceived(response) == Self.failed(.content, isReusable: true))
    }
}

extension HTTP1Conversation {
    fileprivate func textReceived(_ text: String) -> ConversationProgress {
        bytesReceived(ByteBuffer(string: text))
    }
}
