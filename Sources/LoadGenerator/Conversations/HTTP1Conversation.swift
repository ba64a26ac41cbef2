import HTTP1Wire
import HTTPSemantics
import NIOCore

/// The client's side of one connection: says when the response to a request is complete, and whether it is the one that
/// was expected. No I/O, no clock.
///
/// | state | waits for | next |
/// |---|---|---|
/// | idle | a request to be sent | awaitingHead, closed (the server ends it, or speaks unasked) |
/// | awaitingHead | a final response's head; interim ones are read over | body, closed |
/// | body | the body's end | idle, closed |
/// | closed | nothing | – |
final class HTTP1Conversation: Conversation {
    private enum State {
        case idle
        case awaitingHead
        case body
        case closed
    }

    /// Interim responses that are read over before one is called malformed.
    /// 16: servers send one or two; without a bound a server could keep us reading for ever.
    static let interimMax = 16

    private var state = State.idle
    private var method = Method.get
    private var check = ResponseCheck()
    private var parser = HTTP1ResponseParser()
    private var decoder = HTTP1BodyDecoder(.none)
    /// The last final response's, once it has begun.
    private(set) var head = ResponseHead()
    private var interimCount = 0
    /// What has come and could not be used yet: part of a head or of a chunk's line, bounded by ``HTTP1Limits``.
    private var pending = ByteBuffer()

    /// Bytes of the current response's body, as they are transferred but for chunk lines.
    var bodyByteCount: Int { check.bodyByteCount }

    var refusal: String? { nil }

    var responseHead: ResponseHead? { head }

    func opening() -> ByteBuffer? { nil }

    func requestSent(_ request: Workload.Request) {
        guard case .http(let http) = request.asking else { preconditionFailure("a request of another protocol") }
        requestSent(http.method, expecting: http.expectation)
    }

    /// - Precondition: no other request waits for its response.
    func requestSent(_ method: Method, expecting expectation: ResponseExpectation) {
        precondition(state == .idle, "a request on a connection that is not idle")
        state = .awaitingHead
        self.method = method
        check.begin(expectation)
        interimCount = 0
    }

    func bytesReceived(_ bytes: ByteBuffer) -> ConversationProgress {
        if pending.readableBytes == 0 {
            pending = bytes
        } else {
            var bytes = bytes
            pending.writeBuffer(&bytes)
        }
        let progress = advance()
        // The memory goes back to the channel, which reads the next response into it.
        if pending.readableBytes == 0 { pending = ByteBuffer() } else { pending.discardReadBytes() }
        return progress
    }

    /// The server has ended the connection in good order.
    func inputClosed() -> ConversationProgress {
        defer { state = .closed }
        switch state {
        case .idle, .closed: return .wait
        case .awaitingHead:
            let isUntouched = pending.readableBytes == 0 && interimCount == 0
            return .ended(failure: isUntouched ? .closed : .truncated, isReusable: false)
        case .body:
            do throws(HTTP1Error) {
                try decoder.inputClosed()
            } catch {
                return .ended(failure: .truncated, isReusable: false)
            }
            return .ended(failure: check.verdict(status: head.status), isReusable: false)
        }
    }

    /// The connection broke.
    func connectionReset() -> ConversationProgress {
        defer { state = .closed }
        switch state {
        case .idle, .closed: return .wait
        case .awaitingHead, .body: return .ended(failure: .reset, isReusable: false)
        }
    }

    private func advance() -> ConversationProgress {
        do throws(HTTP1Error) {
            switch state {
            case .idle, .closed:
                return refuse()
            case .awaitingHead:
                repeat {
                    guard try parser.parse(&pending, into: &head, answering: method) else { return .wait }
                    interimCount += 1
                } while head.status < 200 && head.status != 101 && interimCount <= Self.interimMax
                // 101 answers an Upgrade that we never ask for.
                guard head.status >= 200 else { return refuse() }
                decoder = HTTP1BodyDecoder(head.framing)
                state = .body
                return try readBody()
            case .body:
                return try readBody()
            }
        } catch {
            return refuse()
        }
    }

    private func readBody() throws(HTTP1Error) -> ConversationProgress {
        while true {
            switch try decoder.next(&pending) {
            case .needMore: return .wait
            case .bytes(let part): check.take(part)
            case .end:
                // More than was asked for: where this response ends is anybody's guess.
                guard pending.readableBytes == 0 else { return refuse() }
                state = head.keepsAlive ? .idle : .closed
                return .ended(failure: check.verdict(status: head.status), isReusable: head.keepsAlive)
            }
        }
    }

    private func refuse() -> ConversationProgress {
        let wasAsked = state != .idle && state != .closed
        state = .closed
        pending.clear()
        return wasAsked ? .ended(failure: .malformed, isReusable: false) : .wait
    }
}
