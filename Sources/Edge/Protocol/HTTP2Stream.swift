import HTTP2Wire
import HTTPSemantics
import NIOCore

/// One request and its response on a connection of HTTP/2: which halves are open, what may be sent, what waits. No I/O, no clock.
///
/// | state | waits for | next |
/// |---|---|---|
/// | open | the rest of the request, the response | half-closed of either side, closed |
/// | half-closed (remote) | the response | closed |
/// | half-closed (local) | nothing: the rest of the request is refused (RFC 9113 §8.1) | closed |
/// | closed | nothing | – |
///
/// An object, since the connection's lists and the exchange both hold it; it belongs to the connection's event loop.
final class HTTP2Stream {
    /// Bytes of a response that wait until its maker is told to wait, and when it is told to go on.
    static let queuedBytesMax = 64 << 10
    static let queuedBytesLow = 32 << 10

    let id: UInt32
    /// What the client takes, and what we take; below zero after a client made its windows smaller (RFC 9113 §6.9.2).
    var sendWindow: Int
    var receiveWindow: Int
    /// The client has sent all.
    var isRequestEnded = false
    /// Another protocol is asked for: a 2xx says that it is spoken from here on (RFC 8441 §5).
    var isExtendedConnect = false
    /// All was sent that there is.
    var isResponseEnded = false
    var isClosed = false
    /// Of the request's body, what its `Content-Length` still promises.
    var lengthLeft: Int?
    var priority: HTTP2Priority
    /// The exchange that it carries; for ``HTTP2Handler``.
    var exchange: HTTPServerHandler?
    /// Whether it waits in the list of those that have something to send.
    var isReady = false

    /// The response's body as far as it is made.
    private var queue = HTTP2BodyQueue()
    var queuedBytes: Int { queue.bytes }
    /// The response's maker has made all of it.
    private(set) var isComplete = false
    /// What follows the body.
    var trailers: FieldSection?

    /// The request's body as far as nobody has taken it; bounded by the window.
    private(set) var received: [ByteBuffer] = []
    private(set) var receivedBytes = 0
    /// Bytes of it that were taken and not given back to the client's window.
    var ungiven = 0
    var receivedTrailers: FieldSection?

    init(id: UInt32, sendWindow: Int, receiveWindow: Int, priority: HTTP2Priority) {
        (self.id, self.sendWindow, self.receiveWindow, self.priority) = (id, sendWindow, receiveWindow, priority)
    }

    // MARK: Response

    var hasRoom: Bool { queuedBytes < Self.queuedBytesMax }
    /// Whether a frame of it could go out, as far as the stream itself is concerned.
    var isSendable: Bool { !isClosed && !isResponseEnded && (queuedBytes > 0 ? sendWindow > 0 : isComplete) }

    func append(_ piece: ByteBuffer) {
        guard !isComplete else { return }
        queue.append(piece)
    }

    func complete() {
        isComplete = true
        if trailers?.isEmpty ?? false { trailers = nil }
    }

    /// Moves so many bytes of the body to `output`.
    func take(_ count: Int, into output: inout ByteBuffer) {
        sendWindow -= queue.take(count, into: &output)
    }

    // MARK: Request

    /// What parts that wait are gathered into, so that small ones do not keep all of the memory that they were read into.
    private static let gatheredBytes = 16 << 10

    func hold(_ part: ByteBuffer) {
        receivedBytes += part.readableBytes
        if let last = received.indices.last, received[last].readableBytes + part.readableBytes <= Self.gatheredBytes {
            received[last].writeImmutableBuffer(part)
            return
        }
        var own = ByteBuffer()
        own.reserveCapacity(part.readableBytes)
        own.writeImmutableBuffer(part)
        received.append(own)
    }

    func takeReceived() -> ByteBuffer? {
        guard !received.isEmpty else { return nil }
        let part = received.removeFirst()
        receivedBytes -= part.readableBytes
        return part
    }

    func close() {
        isClosed = true
        queue.removeAll()
        received = []
        receivedBytes = 0
    }
}
