import HTTP1Wire
import HTTPSemantics
import NIOCore

/// The client side of one HTTP/1.1 connection, to an origin: which bytes are a response's head and which its body. No I/O,
/// no clock.
///
/// | state | waits for | next |
/// |---|---|---|
/// | idle | a request to send | awaitingHead, closed (any byte: nobody asked) |
/// | awaitingHead | a response's head, after any number of interim ones up to a bound | body, idle, upgraded, closed |
/// | body | the response's end | idle, closed |
/// | upgraded | nothing: what comes is of another protocol, and not for here | – |
struct HTTP1ClientConnection {
    private enum State {
        case idle
        case awaitingHead(Method, offersUpgrade: Bool)
        case body
        case upgraded
        case closed
    }

    enum Input {
        case wait
        /// An interim response's head is in ``HTTP1ClientConnection/head``; another head follows.
        case interim
        /// A final response's head is in ``HTTP1ClientConnection/head``.
        case head
        /// `101 Switching Protocols`: its head is in ``HTTP1ClientConnection/head``, and what is left in the buffer is of the
        /// protocol that was switched to.
        case upgraded
        case body(ByteBuffer)
        /// The response is complete; trailers are in ``HTTP1ClientConnection/trailers``.
        case end
        case failed(GatewayFailure)
    }

    /// Interim responses that may come before a final one; one more is malformed.
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

    /// - Parameter offersUpgrade: whether the request may be answered with 101.
    mutating func requestSent(_ method: Method, offersUpgrade: Bool = false) {
        assert(isIdle)
        interimCount = 0
        state = .awaitingHead(method, offersUpgrade: offersUpgrade)
    }

    mutating func next(_ buffer: inout ByteBuffer) -> Input {
        switch state {
        case .idle:
            guard buffer.readableBytes > 0 else { return .wait }
            state = .closed
            return .failed(.malformed)
        case .awaitingHead(let method, let offersUpgrade):
            do throws(HTTP1Error) {
                guard try parser.parse(&buffer, into: &head, answering: method) else { return .wait }
            } catch {
                state = .closed
                return .failed(.malformed)
            }
            if head.status == 101 {
                state = offersUpgrade ? .upgraded : .closed
                return offersUpgrade ? .upgraded : .failed(.unexpectedUpgrade)
            }
            if head.status < 200 {
                interimCount += 1
                guard interimCount <= Self.interimMax else {
                    state = .closed
                    return .failed(.malformed)
                }
                return .interim
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
        case .upgraded:
            return .wait
        case .closed:
            buffer.moveReaderIndex(to: buffer.writerIndex)
            return .wait
        }
    }

    /// The origin ended the connection.
    mutating func inputClosed() -> Input {
        defer { state = .closed }
        switch state {
        case .idle, .upgraded, .closed: return .wait
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
