import HTTP1Wire
import HTTPSemantics
import NIOCore

/// The server side of one HTTP/1.1 connection: which bytes are a head and which a body, and what may follow a response.
/// No I/O, no clock.
///
/// | state | waits for | next |
/// |---|---|---|
/// | awaitingHead | a whole request head | exchange, closing |
/// | exchange | the rest of the request's body, the end of the response | awaitingHead, closing |
/// | closing | nothing: what still comes is thrown away | – |
///
/// One exchange at a time: the bytes of pipelined requests stay in the caller's buffer until the response before them is
/// out, so that responses go out in order by construction (RFC 9112 §9.3.2).
struct HTTP1ServerConnection {
    private enum State {
        case awaitingHead
        case exchange(isRequestComplete: Bool)
        case closing
    }

    /// What the next bytes are.
    enum Input {
        /// More bytes are needed, or the response has to end first.
        case wait
        /// A request's head is in ``HTTP1ServerConnection/head``.
        case head
        /// A part of the request's body.
        case body(ByteBuffer)
        /// The request's body is complete; trailers are in ``HTTP1ServerConnection/trailers``.
        case bodyEnd
        /// Not to be understood, or over a limit: answer with the error's status and close.
        case refused(HTTP1Error)
    }

    /// What follows a response.
    enum Next {
        /// The connection waits for another request.
        case request
        /// The connection is to be closed.
        case close
        /// The connection is to be closed, but the client is still sending: closing at once would reset the connection and
        /// could take the response with it. Stop sending, read on for a moment, then close.
        /// - Source: RFC 9112 §9.6.
        case linger
    }

    private var state = State.awaitingHead
    private var parser: HTTP1RequestParser
    private var decoder: HTTP1BodyDecoder
    private let wireLimits: HTTP1Limits
    private let bodyBytesMax: Int
    /// Of the request in progress.
    private var bodyBytesLimit: Int
    private var bodyBytes = 0
    /// The head of the request in progress; valid until its response has ended.
    private(set) var head = RequestHead()

    init(limits: EdgeConfiguration.Limits) {
        var wire = HTTP1Limits()
        wire.requestLineBytesMax = limits.requestLineBytesMax
        wire.headBytesMax = limits.headBytesMax
        wire.fieldCountMax = limits.fieldCountMax
        wireLimits = wire
        bodyBytesMax = limits.requestBodyBytesMax
        bodyBytesLimit = limits.requestBodyBytesMax
        parser = HTTP1RequestParser(limits: wire)
        decoder = HTTP1BodyDecoder(.none, limits: wire)
    }

    var isAwaitingHead: Bool {
        if case .awaitingHead = state { true } else { false }
    }

    /// Whether all of the request in progress has been read.
    var isRequestComplete: Bool {
        switch state {
        case .awaitingHead, .closing: true
        case .exchange(let isRequestComplete): isRequestComplete
        }
    }

    var trailers: FieldSection { givenTrailers ?? decoder.trailers }
    /// Those of a request whose parts were ``headGiven(_:)``.
    private var givenTrailers: FieldSection?

    /// Whether a response that begins now may be followed by another request: the client wants it, and nothing of this
    /// request is still on its way. Otherwise the response says `Connection: close`.
    var mayKeepAlive: Bool { head.keepsAlive && isRequestComplete }

    /// Takes the next piece from the buffer.
    mutating func next(_ buffer: inout ByteBuffer) -> Input {
        switch state {
        case .awaitingHead:
            do throws(HTTP1Error) {
                guard try parser.parse(&buffer, into: &head) else { return .wait }
            } catch {
                headGivenUp(buffer)
                state = .closing
                return .refused(error)
            }
            if case .length(let count) = head.framing, count > bodyBytesMax {
                state = .closing
                return .refused(HTTP1Error(.bodyTooLarge))
            }
            bodyBytesLimit = bodyBytesMax
            state = .exchange(isRequestComplete: head.framing.isEmpty)
            if !head.framing.isEmpty {
                bodyBytes = 0
                decoder = HTTP1BodyDecoder(head.framing, limits: wireLimits)
            }
            return .head
        case .exchange(isRequestComplete: true):
            return .wait
        case .exchange(isRequestComplete: false):
            do throws(HTTP1Error) {
                switch try decoder.next(&buffer) {
                case .needMore:
                    return .wait
                case .bytes(let part):
                    bodyBytes += part.readableBytes
                    if bodyBytes > bodyBytesLimit { throw HTTP1Error(.bodyTooLarge) }
                    return .body(part)
                case .end:
                    state = .exchange(isRequestComplete: true)
                    return .bodyEnd
                }
            } catch {
                state = .closing
                return .refused(error)
            }
        case .closing:
            buffer.moveReaderIndex(to: buffer.writerIndex)
            return .wait
        }
    }

    /// Keeps what the access log says of a request whose head will never be whole. Its method is none to anybody else: ``Method/other``.
    mutating func headGivenUp(_ buffer: ByteBuffer) {
        let bytes = buffer.readableBytesUInt8Span
        let beginning = bytes.extracting(0..<min(bytes.count, wireLimits.headBytesMax))
        let unfinished = UnfinishedHead(beginning)
        head.fields.replaceBytes(beginning)
        (head.methodRange, head.target, head.authority) = (unfinished.method, unfinished.target, unfinished.authority)
    }

    // MARK: What was read elsewhere

    /// A request's head that has come otherwise, on a stream of HTTP/2. The memory of the last one is given for it.
    /// - Returns: the error to refuse it with.
    mutating func headGiven(_ given: inout RequestHead) -> HTTP1Error? {
        swap(&head, &given)
        givenTrailers = nil
        bodyBytes = 0
        bodyBytesLimit = bodyBytesMax
        state = .exchange(isRequestComplete: head.framing.isEmpty)
        return limitBody(to: bodyBytesMax)
    }

    /// - Returns: the error to refuse it with, if that is too much.
    mutating func bodyGiven(_ count: Int) -> HTTP1Error? {
        bodyBytes += count
        guard bodyBytes > bodyBytesLimit else { return nil }
        state = .closing
        return HTTP1Error(.bodyTooLarge)
    }

    mutating func bodyEndGiven(trailers: FieldSection?) {
        givenTrailers = trailers
        state = .exchange(isRequestComplete: true)
    }

    /// The exchange is over, and what it went over with it.
    mutating func streamEnded() {
        state = .awaitingHead
        forgetRequest()
    }

    /// Lets the body of the request in progress be only so long, if that is less than the limit of all.
    /// - Returns: the error to refuse it with, if its head says already that it is longer.
    mutating func limitBody(to bytesMax: Int) -> HTTP1Error? {
        bodyBytesLimit = min(bytesMax, bodyBytesLimit)
        guard case .length(let count) = head.framing, count > bodyBytesLimit else { return nil }
        state = .closing
        return HTTP1Error(.bodyTooLarge)
    }

    /// Takes a field off the request in progress, so that nothing that follows sees it.
    /// - Returns: its value; `nil` when there is not one line of it, but none or several.
    mutating func takeField(_ name: FieldName) -> [UInt8]? {
        defer { head.fields.removeLines(of: name) }
        guard head.fields.count(of: name) == 1, let index = head.fields.firstIndex(of: name) else { return nil }
        return head.fields.value(at: index).withUnsafeBufferPointer { Array($0) }
    }

    /// What is said from here on, until the next head is whole, is no answer to the request that has ended. The memory of its
    /// fields is kept for the next one.
    private mutating func forgetRequest() {
        head.method = .other
        head.methodRange = 0..<0
        head.target = 0..<0
        head.authority = 0..<0
        head.minorVersion = 1
    }

    /// The response's last byte was written.
    /// - Parameter keepsAlive: what the response's head promised.
    mutating func responseEnded(keepsAlive: Bool) -> Next {
        switch state {
        case .awaitingHead, .closing:
            state = .closing
            return .linger
        case .exchange(let isRequestComplete):
            guard keepsAlive, isRequestComplete else {
                state = .closing
                return isRequestComplete ? .close : .linger
            }
            state = .awaitingHead
            forgetRequest()
            return .request
        }
    }
}
