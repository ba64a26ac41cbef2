import HTTP1Wire
import HTTPSemantics
import NIOCore

/// The client side of one HTTP/1.1 connection, to an origin: which bytes are a response's head and which its body. No I/O,
/// no clock.
///
/// | state | waits for | next |
/// |---|---|---|
/// | idle | a request to send | awaitingHead, closed (any byte: nobody asked) |
/// | awaitingHead | a response's head; interim ones are read over | body, idle, closed |
/// | body | the response's end | idle, closed |
struct HTTP1ClientConnection {
    private enum State {
        case idle
        case awaitingHead(Method)
        case body
        case closed
    }

    enum Input {
        case wait
        /// A final response's head is in ``HTTP1ClientConnection/head``.
        case head
        case body(ByteBuffer)
        /// The response is complete; trailers are in ``HTTP1ClientConnection/trailers``.
        case end
        case failed(GatewayFailure)
    }

    /// Interim responses that are read over before one is called malformed.
    /// 16: an application sends one or two; without a bound it could keep us reading for ever.
    static let interimMax = 16

    private var state = State.idle
    private var parser: HTTP1ResponseParser
    private var decoder: HTTP1BodyDecoder
    private let limits: HTTP1Limits
    private var interimCount = 0
    private(set) var head = ResponseHead()

    init(limits: HTTP1Limits = HTTP1Limits()) {
        self.limits = limits
        parser = HTTP1ResponseParser(limits: limits)
        decoder = HTTP1BodyDecoder(.none, limits: limits)
    }

    var trailers: FieldSection { decoder.trailers }

    /// Whether another request may be sent.
    var isIdle: Bool {
        if case .idle = state { true } else { false }
    }

    /// Whether nothing of the response has been understood yet.
    var isAwaitingHead: Bool {
        if case .awaitingHead = state { true } else { false }
    }

    mutating func requestSent(_ method: Method) {
        assert(isIdle)
        interimCount = 0
        state = .awaitingHead(method)
    }

    mutating func next(_ buffer: inout ByteBuffer) -> Input {
        switch state {
        case .idle:
            guard buffer.readableBytes > 0 else { return .wait }
            state = .closed
            return .failed(.malformed)
        case .awaitingHead(let method):
            do throws(HTTP1Error) {
                repeat {
                    guard try parser.parse(&buffer, into: &head, answering: method) else { return .wait }
                    guard head.status != 101 else {
                        state = .closed
                        return .failed(.unexpectedUpgrade)
                    }
                    interimCount += 1
                } while head.status < 200 && interimCount <= Self.interimMax
            } catch {
                state = .closed
                return .failed(.malformed)
            }
            guard head.status >= 200 else {
                state = .closed
                return .failed(.malformed)
            }
            decoder = HTTP1BodyDecoder(head.framing, limits: limits)
            state = .body
            return .head
        case .body:
            do throws(HTTP1Error) {
                switch try decoder.next(&buffer) {
                case .needMore: return .wait
                case .bytes(let part): return .body(part)
                case .end:
                    state = head.keepsAlive && head.framing != .untilClose ? .idle : .closed
                    return .end
                }
            } catch {
                state = .closed
                return .failed(.malformed)
            }
        case .closed:
            buffer.moveReaderIndex(to: buffer.writerIndex)
            return .wait
        }
    }

    /// The origin ended the connection.
    mutating func inputClosed() -> Input {
        defer { state = .closed }
        switch state {
        case .idle, .closed: return .wait
        case .awaitingHead: return .failed(.closedEarly)
        case .body:
            do throws(HTTP1Error) {
                try decoder.inputClosed()
                return .end
            } catch {
                return .failed(.truncated)
            }
        }
    }
}
