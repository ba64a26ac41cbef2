package import HTTPSemantics
package import NIOCore

/// One request and its response on a connection of HTTP/2 to an origin: which halves are open, what may be sent, what waits. No I/O, no
/// clock.
///
/// | state | waits for | next |
/// |---|---|---|
/// | open | the rest of the request, a head | half-closed (local), body, closed |
/// | half-closed (local) | a head: any number of interim ones up to a bound, and the final one | body, closed |
/// | body | the response's end; the request's may come after it, and is given up then (RFC 9113 §8.1) | closed |
/// | closed | nothing | – |
///
/// An object, since the connection's lists and the exchange both hold it; it belongs to the connection's event loop.
package final class HTTP2ClientStream {
    /// Bytes of a request's body that wait until its client is told to wait, and when it is told to go on.
    static let queuedBytesMax = 64 << 10
    static let queuedBytesLow = 32 << 10

    package private(set) var id: UInt32
    private(set) var method: Method
    /// What the origin takes, and what we take; the first below zero after an origin made its windows smaller (RFC 9113 §6.9.2).
    package internal(set) var sendWindow: Int
    var receiveWindow: Int
    /// All of the request was sent.
    package internal(set) var isRequestEnded = false
    /// The final response's head has come.
    package internal(set) var hasHead = false
    /// The origin has sent all.
    package internal(set) var isResponseEnded = false
    package internal(set) var isClosed = false
    var interimCount = 0
    /// Of the response's body, what its `Content-Length` still promises; 0 for one that has none.
    var lengthLeft: Int?
    package internal(set) var receivedTrailers: FieldSection?
    /// Whom its response is for: the connection's handler's to say and to look at.
    package var owner: AnyObject?
    /// Whether it waits in the list of those that have something to send.
    var isReady = false
    /// Its client was told to wait.
    var isFull = false

    private var queue = HTTP2BodyQueue()
    /// The client has sent all of the request.
    private(set) var isComplete = false
    /// What follows the request's body.
    private(set) var trailers: FieldSection?

    /// The response's body as far as nobody has taken it; bounded by the window.
    private var received = HTTP2BodyQueue()
    /// Bytes of it that were taken and not given back to the origin's window.
    var ungiven = 0

    init(id: UInt32, method: Method, sendWindow: Int, receiveWindow: Int) {
        (self.id, self.method, self.sendWindow, self.receiveWindow) = (id, method, sendWindow, receiveWindow)
    }

    /// Begins anew, as another request's.
    /// - Precondition: it is closed.
    func begin(id: UInt32, method: Method, sendWindow: Int, receiveWindow: Int) {
        precondition(isClosed, "a stream that is under way")
        (self.id, self.method, self.sendWindow, self.receiveWindow) = (id, method, sendWindow, receiveWindow)
        (isRequestEnded, hasHead, isResponseEnded, isClosed, isReady, isFull, isComplete) = (false, false, false, false, false, false, false)
        (interimCount, ungiven) = (0, 0)
        (lengthLeft, receivedTrailers, trailers) = (nil, nil, nil)
    }

    // MARK: Request

    package var queuedBytes: Int { queue.bytes }
    package var hasRoom: Bool { queue.bytes < Self.queuedBytesMax }
    /// Whether a frame of it could go out, as far as the stream itself is concerned.
    var isSendable: Bool { !isClosed && !isRequestEnded && (queue.bytes > 0 ? sendWindow > 0 : isComplete) }

    func append(_ piece: ByteBuffer) {
        guard !isComplete, !isClosed, !isRequestEnded else { return }
        queue.append(piece)
        if !hasRoom { isFull = true }
    }

    func complete(trailers: FieldSection?) {
        isComplete = true
        if let trailers, !trailers.isEmpty { self.trailers = trailers }
    }

    /// The origin wants no more of it.
    func stop() {
        isRequestEnded = true
        queue.removeAll()
    }

    /// Moves so many bytes of the body to `output`.
    func take(_ count: Int, into output: inout ByteBuffer) {
        sendWindow -= queue.take(count, into: &output)
    }

    // MARK: Response

    package var heldBytes: Int { received.bytes }

    /// Keeps what nobody takes yet. Copied, so that a small part does not keep all of the memory that it was read into.
    package func hold(_ part: ByteBuffer) {
        var own = ByteBuffer()
        own.reserveCapacity(part.readableBytes)
        own.writeImmutableBuffer(part)
        received.append(own)
    }

    /// 64 KiB: what one read from a connection of HTTP/1 brings at most.
    private static let takenBytes = 64 << 10

    package func takeHeld() -> ByteBuffer? {
        guard received.bytes > 0 else { return nil }
        var part = ByteBuffer()
        _ = received.take(min(received.bytes, Self.takenBytes), into: &part)
        return part
    }

    func close() {
        isClosed = true
        queue.removeAll()
        received.removeAll()
    }
}
