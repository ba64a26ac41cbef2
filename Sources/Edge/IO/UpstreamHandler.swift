import HTTP1Wire
import HTTPSemantics
import NIOCore
import Transport

/// One connection to a member of a group: writes what a ``Fetch`` sends, and gives it the response in pieces; after an upgrade it
/// passes bytes to and fro for a ``Tunnel``.
///
/// It stops reading while its fetch says that the client takes no more (``Fetch/wantsResponse``), and in a tunnel while the client's
/// side is not writable.
final class UpstreamHandler: ChannelInboundHandler, UpstreamLink, DeadlineHolder {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var connection = HTTP1ClientConnection()
    private var context: ChannelHandlerContext?
    private var writer: SocketWriter?
    private var connector: UpstreamConnector?
    private var worker: EdgeWorker?
    private var fetch: Fetch?
    private var pending = ByteBuffer()
    private var isReadSuppressed = false
    private var isRequestSent = false
    private var isCut = false
    private var tunnel: Tunnel?
    /// Which member of the group it leads to.
    private(set) var member = 0
    private(set) var opened = NIODeadline.distantPast
    /// What the exchange in progress will have said about the member, if it ends with this connection.
    private var outcome = UpstreamMachine.Outcome.neutral
    /// Exchanges that this connection has begun; the first one cannot fail because the connection had grown old.
    private(set) var exchangeCount = 0
    /// It is closed behind its exchange.
    var isForOne = false
    /// The PROXY header that it began with: it serves those alone for whom this is true.
    private(set) var proxyHeader: ByteBuffer?
    private(set) var deadline = NIODeadline.distantFuture
    private var isAwaitingFirstByte = false
    var sweepPosition = -1

    /// The connection is made; from here on it counts for its connector.
    func opened(connector: UpstreamConnector, worker: EdgeWorker, member: Int, proxyHeader: ByteBuffer?, now: NIODeadline) {
        self.connector = connector
        self.proxyHeader = proxyHeader
        self.worker = worker
        self.member = member
        opened = now
        // A PROXY header goes out by a handler of its own, which those that follow must not overtake.
        writer = context.map { SocketWriter($0, isPlain: proxyHeader == nil && TLSPeer.version(of: $0.pipeline) == nil) }
        isOpen = context?.channel.isActive ?? false
        isWritable = context?.channel.isWritable ?? false
        worker.sweep.add(self)
        if context == nil { gone() }
    }

    /// What the channel said last, since asking it costs more than to remember.
    private(set) var isWritable = false
    private(set) var isOpen = false

    /// See ``UpstreamConnector/isClosedByPeer(_:)``.
    var isClosedByPeer: Bool { context.map { UpstreamConnector.isClosedByPeer($0.channel) } ?? false }

    // MARK: The fetch's side

    /// Begins an exchange: writes a request's head.
    func send(_ head: ByteBuffer, _ method: Method, offersUpgrade: Bool, isWhole: Bool, for fetch: Fetch) {
        self.fetch = fetch
        exchangeCount += 1
        isRequestSent = false
        outcome = .neutral
        connection.requestSent(method, offersUpgrade: offersUpgrade)
        writer?.write(head)
    }

    func sendBody(_ part: ByteBuffer, isChunked: Bool) {
        guard isChunked else {
            writer?.write(part)
            return
        }
        var framed = ByteBuffer()
        framed.writeChunkHeader(byteCount: part.readableBytes)
        framed.writeImmutableBuffer(part)
        framed.writeStaticString("\r\n")
        writer?.write(framed)
    }

    func flush() {
        writer?.flush()
    }

    /// The request is out: the application's time begins.
    func requestEnded(trailers: FieldSection?, isChunked: Bool, now: NIODeadline) {
        if isChunked {
            var end = ByteBuffer()
            end.writeLastChunk(trailers: trailers)
            writer?.write(end)
        }
        isRequestSent = true
        writer?.flush()
        if connection.isAwaitingHead, let connector {
            isAwaitingFirstByte = true
            deadline = now + connector.group.firstByteTimeout
        }
    }

    func unused(now: NIODeadline) {
        connector?.release(self, .neutral, now: now)
    }

    func resumeReading() {
        guard isReadSuppressed, wantsInput, let context else { return }
        isReadSuppressed = false
        // It could not go on while nobody read: its time begins anew.
        if let connector, fetch != nil { deadline = .now() + connector.group.readTimeout }
        // What was read before the pause comes first.
        understand(now: .now())
        if wantsInput { context.setReading(true) } else { isReadSuppressed = true }
    }

    /// Gives the exchange up; the connection cannot be used again.
    func abandon(_ outcome: UpstreamMachine.Outcome = .neutral) {
        fetch = nil
        self.outcome = outcome
        close()
    }

    func close() {
        isOpen = false
        context?.close(promise: nil)
    }

    /// Closes a connection that is not counted any more.
    func closeUncounted() {
        let connector = connector
        self.connector = nil
        worker?.sweep.remove(self)
        worker = nil
        connector?.closedUncounted()
        close()
    }

    // MARK: The tunnel's side

    func write(_ bytes: ByteBuffer) {
        writer?.writeAndFlush(bytes)
    }

    /// Nothing more will be written; what comes is still read.
    func finishWriting() {
        context?.close(mode: .output, promise: nil)
    }

    /// Closes behind what was written.
    func closeWhenWritten() {
        tunnel = nil
        guard let context, let writer else { return }
        let written = context.eventLoop.makePromise(of: Void.self)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        written.futureResult.whenComplete { _ in bound.value.close(promise: nil) }
        writer.write(ByteBuffer(), promise: written)
        writer.flush()
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        writer = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var incoming = unwrapInboundIn(data)
        let now = NIODeadline.now()
        if let tunnel { return tunnel.received(incoming, from: .server, now: now) }
        if pending.readableBytes == 0 { pending = incoming } else { pending.writeBuffer(&incoming) }
        if let connector, fetch != nil {
            isAwaitingFirstByte = false
            deadline = now + connector.group.readTimeout
        }
        if let fetch {
            fetch.gather { understand(now: now) }
            // Word on the way, while the request is still coming: the time for the answer begins behind the request.
            if self.fetch === fetch, connection.isAwaitingHead, !isRequestSent { deadline = .distantFuture }
        } else {
            understand(now: now)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        fetch?.responsePaused()
        guard !isReadSuppressed, !wantsInput else { return }
        isReadSuppressed = true
        context.setReading(false)
    }

    private var wantsInput: Bool {
        if let tunnel { return tunnel.wantsInput(from: .server) }
        return fetch?.wantsResponse ?? true
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        guard isWritable else { return }
        tunnel?.becameWritable(.server)
        fetch?.upstreamWritable()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let tunnel, let event = event as? ChannelEvent, event == .inputClosed { tunnel.inputEnded(.server, now: .now()) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        isOpen = false
        isWritable = false
        if let tunnel {
            self.tunnel = nil
            tunnel.closed(.server, now: .now())
        }
        if let fetch {
            self.fetch = nil
            switch connection.inputClosed() {
            case .end where isCut:
                // Who answers before it has all of the request, and goes, cuts what it said by that: no fault of its own.
                outcome = isRequestSent ? .failure : .neutral
                fetch.failed(.truncated)
            case .end:
                outcome = judged()
                fetch.responseEnded(trailers: nil, now: .now())
            case .failed(let failure):
                // An old connection may be closed at any time; who closes a new one before answering has failed.
                outcome = failure == .closedEarly && exchangeCount > 1 ? .neutral : .failure
                fetch.failed(failure)
            case .wait, .interim, .head, .body, .upgraded:
                fetch.failed(.closedEarly)
            }
        }
        gone()
        context.fireChannelInactive()
    }

    /// A response that ends with its connection has not come to its end: the connection was reset, or cut beneath TLS.
    /// - Source: RFC 9112 §8, §9.8.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        isCut = true
        context.close(promise: nil)
    }

    private func gone() {
        worker?.sweep.remove(self)
        connector?.closed(self, outcome)
        connector = nil
        worker = nil
    }

    /// What a response says about the member.
    private func judged() -> UpstreamMachine.Outcome {
        let failures = connector?.group.passiveHealth.failureStatuses ?? []
        return failures.contains(connection.head.status) ? .failure : .success
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
            case .interim:
                fetch.interimReceived(connection.head)
                guard self.fetch === fetch else { return }
            case .head:
                fetch.responseBegan(connection.head, now: now)
                guard self.fetch === fetch else { return }
            case .upgraded:
                return upgrade(fetch, now: now)
            case .body(let part):
                fetch.responseBody(part)
                guard self.fetch === fetch else { return }
            case .end:
                return finish(fetch, now: now)
            case .failed(let failure):
                self.fetch = nil
                outcome = .failure
                close()
                return fetch.failed(failure)
            }
        }
    }

    private func upgrade(_ fetch: Fetch, now: NIODeadline) {
        self.fetch = nil
        deadline = .distantFuture
        outcome = .success
        let rest = pending
        pending = ByteBuffer()
        // Each side of a tunnel may end before the other.
        try? context?.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        guard let tunnel = fetch.upgraded(connection.head, self, now: now) else { return close() }
        self.tunnel = tunnel
        if rest.readableBytes > 0 { tunnel.received(rest, from: .server, now: now) }
    }

    private func finish(_ fetch: Fetch, now: NIODeadline) {
        self.fetch = nil
        deadline = .distantFuture
        let isReusable = connection.isIdle && isRequestSent && pending.readableBytes == 0
        pending = ByteBuffer()
        outcome = judged()
        fetch.responseEnded(trailers: connection.trailers, now: now)
        if isReusable, isOpen { connector?.release(self, outcome, now: now) } else { close() }
    }

    // MARK: Deadlines

    func deadlinePassed(now: NIODeadline) {
        deadline = .distantFuture
        // While nothing is read, the client has the word.
        guard let fetch, !isReadSuppressed else { return }
        self.fetch = nil
        outcome = .failure
        close()
        fetch.failed(isAwaitingFirstByte ? .firstByteTimeout : .readTimeout)
    }

    func drainBegan(now: NIODeadline) {}
}
