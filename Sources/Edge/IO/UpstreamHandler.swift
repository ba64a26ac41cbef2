import HTTP1Wire
import HTTPSemantics
import NIOCore

/// One connection to the application: writes what a ``Fetch`` sends, and gives it the response in pieces.
///
/// It stops reading while its fetch says that the client takes no more (``Fetch/wantsResponse``).
final class UpstreamHandler: ChannelDuplexHandler, DeadlineHolder {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var connection = HTTP1ClientConnection()
    private var context: ChannelHandlerContext?
    private var connector: UpstreamConnector?
    private var worker: EdgeWorker?
    private var fetch: Fetch?
    private var pending = ByteBuffer()
    private var isReadSuppressed = false
    private var isRequestSent = false
    /// Exchanges that this connection has begun; the first one cannot fail because the connection had grown old.
    private(set) var exchangeCount = 0
    private(set) var deadline = NIODeadline.distantFuture
    private var isAwaitingFirstByte = false
    var sweepPosition = -1

    /// The connection is made; from here on it counts for its connector.
    func opened(connector: UpstreamConnector, worker: EdgeWorker) {
        self.connector = connector
        self.worker = worker
        worker.sweep.add(self)
        if context == nil { gone() }
    }

    var isWritable: Bool { context?.channel.isWritable ?? false }
    var isOpen: Bool { context?.channel.isActive ?? false }

    // MARK: The fetch's side

    /// Begins an exchange: writes a request's head.
    func send(_ head: ByteBuffer, _ method: Method, for fetch: Fetch) {
        self.fetch = fetch
        exchangeCount += 1
        isRequestSent = false
        connection.requestSent(method)
        context?.write(wrapOutboundOut(head), promise: nil)
    }

    func sendBody(_ part: ByteBuffer) {
        context?.write(wrapOutboundOut(part), promise: nil)
    }

    func flush() {
        context?.flush()
    }

    /// The request is out: the application's time begins.
    func requestEnded(now: NIODeadline) {
        isRequestSent = true
        context?.flush()
        if connection.isAwaitingHead, let connector {
            isAwaitingFirstByte = true
            deadline = now + connector.firstByteTimeout
        }
    }

    func resumeReading() {
        guard isReadSuppressed, let context else { return }
        isReadSuppressed = false
        // What was read before the pause comes first.
        understand(now: .now())
        context.read()
    }

    /// Gives the exchange up; the connection cannot be used again.
    func abandon() {
        fetch = nil
        close()
    }

    func close() {
        context?.close(promise: nil)
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var incoming = unwrapInboundIn(data)
        if pending.readableBytes == 0 { pending = incoming } else { pending.writeBuffer(&incoming) }
        let now = NIODeadline.now()
        if let connector, fetch != nil {
            isAwaitingFirstByte = false
            deadline = now + connector.readTimeout
        }
        if let fetch {
            fetch.gather { understand(now: now) }
        } else {
            understand(now: now)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        fetch?.responsePaused()
    }

    func read(context: ChannelHandlerContext) {
        if fetch?.wantsResponse ?? true { context.read() } else { isReadSuppressed = true }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { fetch?.upstreamWritable() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if let fetch {
            self.fetch = nil
            switch connection.inputClosed() {
            case .end: fetch.responseEnded(trailers: nil)
            case .failed(let failure): fetch.failed(failure)
            case .wait, .head, .body: fetch.failed(.closedEarly)
            }
        }
        gone()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func gone() {
        worker?.sweep.remove(self)
        connector?.closed(self)
        connector = nil
        worker = nil
    }

    private func understand(now: NIODeadline) {
        guard let fetch else {
            // Bytes that nobody asked for: nothing on this connection can be trusted any more.
            if pending.readableBytes > 0 { close() }
            return
        }
        while true {
            switch connection.next(&pending) {
            case .wait:
                if pending.readableBytes == 0 { pending = ByteBuffer() } else { pending.discardReadBytes() }
                return
            case .head:
                fetch.responseBegan(connection.head, now: now)
                guard self.fetch === fetch else { return }
            case .body(let part):
                fetch.responseBody(part)
                guard self.fetch === fetch else { return }
            case .end:
                return finish(fetch, now: now)
            case .failed(let failure):
                self.fetch = nil
                close()
                return fetch.failed(failure)
            }
        }
    }

    private func finish(_ fetch: Fetch, now: NIODeadline) {
        self.fetch = nil
        deadline = .distantFuture
        let isReusable = connection.isIdle && isRequestSent && pending.readableBytes == 0
        pending = ByteBuffer()
        fetch.responseEnded(trailers: connection.trailers)
        if isReusable, isOpen { connector?.release(self, now: now) } else { close() }
    }

    // MARK: Deadlines

    func deadlinePassed(now: NIODeadline) {
        deadline = .distantFuture
        guard let fetch, fetch.wantsResponse else { return }
        self.fetch = nil
        close()
        fetch.failed(isAwaitingFirstByte ? .firstByteTimeout : .readTimeout)
    }

    func drainBegan(now: NIODeadline) {}
}
