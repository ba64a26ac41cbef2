import HTTP2Wire
import HTTPSemantics
import NIOCore

/// One connection of HTTP/2 to a member of a group: drives an ``HTTP2ClientConnection`` for the exchanges that share it.
///
/// It never stops reading: what a client does not take is held by its ``HTTP2Exchange`` within the stream's window, and no more comes of it.
/// Bodies of requests are written while the channel is writable; what waits until then is bounded by
/// ``HTTP2ClientStream/queuedBytesMax`` for each stream.
final class HTTP2UpstreamHandler: ChannelInboundHandler, DeadlineHolder {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Bytes of bodies that go into one write.
    private static let writeBytes = 64 << 10
    /// What one turn sends at most before others of the loop have theirs.
    private static let turnBytesMax = 512 << 10

    let endpoint: UpstreamGroup.SocketEndpoint
    private let isSecure: Bool
    private var connector: UpstreamConnector?
    private let worker: EdgeWorker
    private var connection: HTTP2ClientConnection
    private var context: ChannelHandlerContext?
    private var pending = HTTP2Input()
    private var touched: [HTTP2Exchange] = []
    private var isInTurn = false
    private var isPumping = false
    private var isWritable = false
    private var isEnding = false
    private var isClosing = false
    private(set) var isOpen = true
    private(set) var isEstablished = false
    private(set) var opened: NIODeadline
    /// Since when it carries nothing.
    private(set) var idleSince: NIODeadline
    /// When something came last.
    private var heard = NIODeadline.distantPast
    private(set) var exchangeCount = 0
    var isForOne = false
    /// Who waited for it knows that it was not made in time.
    var isAbandoned = false
    private(set) var deadline: NIODeadline
    var sweepPosition = -1

    init(_ endpoint: UpstreamGroup.SocketEndpoint, isSecure: Bool, connector: UpstreamConnector, worker: EdgeWorker, now: NIODeadline) {
        (self.endpoint, self.isSecure, self.connector, self.worker) = (endpoint, isSecure, connector, worker)
        connection = HTTP2ClientConnection(streamsMax: connector.group.connectionStreamsMax, now: now)
        opened = now
        idleSince = now
        // Until the member has said what it takes.
        deadline = now + connector.group.connectTimeout
    }

    // MARK: The connector's side

    /// Requests that may be begun on it now.
    var roomCount: Int { isOpen && !isEnding && !connection.isCongested ? connection.roomCount : 0 }
    var isUnused: Bool { connection.streams.isEmpty }
    var isLeaving: Bool { connection.isLeaving || connection.isFailed || !isOpen }
    /// See ``UpstreamConnector/isClosedByPeer(_:)``.
    var isClosedByPeer: Bool { context.map { UpstreamConnector.isClosedByPeer($0.channel) } ?? false }

    func reconfigure(streamsMax: Int) {
        connection.streamsMax = max(streamsMax, 1)
    }

    /// Begins no more requests, and ends with those that are under way.
    func retire() {
        connection.retire()
        if isUnused { end() }
    }

    /// Says that it ends, and closes behind what was written.
    func end() {
        guard !isEnding else { return }
        isEnding = true
        connection.close()
        deadline = .now() + HTTPServerHandler.lingerTime
        pump()
    }

    /// Only once all was written: in the middle of a turn something is still to be said.
    private func closeIfEnding() {
        guard isEnding, !isClosing, !isInTurn, !isPumping, let context else { return }
        isClosing = true
        let written = context.eventLoop.makePromise(of: Void.self)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        written.futureResult.whenComplete { _ in bound.value.close(promise: nil) }
        context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: written)
    }

    // MARK: The exchanges' side

    /// - Returns: `nil` when no request may be begun.
    func open(_ method: Method, _ exchange: HTTP2Exchange, _ head: ByteBuffer, endsStream: Bool) -> HTTP2ClientStream? {
        guard isOpen, !isEnding, let stream = connection.open(method) else { return nil }
        stream.exchange = exchange
        exchangeCount += 1
        worker.metrics.upstreamHTTP2Requests.add(1)
        // With what is said of the connection, so that nothing is said of the stream before it.
        var control = ByteBuffer()
        swap(&control, &connection.control)
        connection.writeHead(head, isSecure: isSecure, of: stream, endsStream: endsStream, into: &control)
        swap(&control, &connection.control)
        return stream
    }

    func bodyMade(_ part: ByteBuffer, of stream: HTTP2ClientStream) {
        guard !stream.isClosed else { return }
        connection.bodyMade(part, of: stream)
    }

    func requestMade(_ stream: HTTP2ClientStream, trailers: FieldSection?) {
        guard !stream.isClosed else { return }
        connection.requestMade(stream, trailers: trailers)
        pump()
    }

    func bodyTaken(_ count: Int, of stream: HTTP2ClientStream) {
        connection.bodyTaken(count, of: stream)
        // Outside of a turn nobody else sends what opens the window.
        if connection.control.readableBytes > 0 { pump() }
    }

    func finish(_ stream: HTTP2ClientStream) {
        stream.exchange = nil
        connection.finish(stream)
        ended()
    }

    func reset(_ stream: HTTP2ClientStream, _ code: HTTP2ErrorCode) {
        stream.exchange = nil
        connection.reset(stream, code)
        ended()
    }

    private func ended() {
        if isUnused { idleSince = .now() }
        pump()
    }

    /// A request had no answer in time. If nothing else came either, the member may not be there any more.
    func timedOut(since: NIODeadline) {
        if heard < since { retire() }
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        context.eventLoop.preconditionInEventLoop()
        self.context = context
        worker.sweep.add(self)
        guard context.channel.isActive else { return }
        isWritable = context.channel.isWritable
        worker.metrics.upstreamHTTP2Connections.add(1)
        pump()
    }

    func channelActive(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        worker.metrics.upstreamHTTP2Connections.add(1)
        pump()
        context.fireChannelActive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        isOpen = false
        isWritable = false
        // One that was never made has nothing more to say.
        worker.sweep.remove(self)
    }

    func channelInactive(context: ChannelHandlerContext) {
        isOpen = false
        isWritable = false
        worker.metrics.upstreamHTTP2Connections.subtract(1)
        worker.sweep.remove(self)
        let connector = self.connector
        self.connector = nil
        // First, so that what is sent again is not sent here.
        connector?.http2Closed(self)
        failAll(.closedEarly)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        if isWritable { pump() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isInTurn = true
        var bytes = pending.joined(unwrapInboundIn(data))
        let now = NIODeadline.now()
        heard = now
        while understand(connection.next(&bytes, now: now), now: now) {}
        pending.keep(bytes)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        let exchanges = touched
        touched.removeAll(keepingCapacity: true)
        for exchange in exchanges { exchange.paused() }
        isInTurn = false
        pump()
        if connection.isFailed { end() }
    }

    /// - Returns: whether there may be more.
    private func understand(_ input: HTTP2ClientConnection.Input, now: NIODeadline) -> Bool {
        switch input {
        case .wait: return false
        case .handled, .windowOpened: break
        case .established:
            isEstablished = true
            deadline = .distantFuture
            connector?.http2Established(self, now: now)
        case .limitChanged: if isEstablished { connector?.http2HasRoom(self, now: now) }
        case .interim(let stream): touch(stream)?.interimReceived(connection.head, now: now)
        case .head(let stream):
            var head = ResponseHead()
            swap(&head, &connection.head)
            touch(stream)?.headReceived(head, now: now)
        case .body(let stream, let part):
            if let exchange = touch(stream) { exchange.bodyReceived(part, now: now) } else { connection.bodyTaken(part.readableBytes, of: stream) }
        case .trailers(let stream): touch(stream)?.trailersReceived(now: now)
        case .ended(let stream, let end): ended(stream, end)
        case .leaving(let unprocessed):
            worker.metrics.upstreamHTTP2GoAways.add(1)
            for stream in unprocessed { take(stream)?.failed(.goingAway, .neutral) }
            if isUnused { end() }
        case .failed(let code, let flood):
            worker.metrics.upstreamHTTP2Failed(code, flood)
            failAll(.malformed)
        }
        return true
    }

    private func touch(_ stream: HTTP2ClientStream) -> HTTP2Exchange? {
        guard let exchange = stream.exchange else { return nil }
        if !exchange.isTouched {
            exchange.isTouched = true
            touched.append(exchange)
        }
        return exchange
    }

    private func take(_ stream: HTTP2ClientStream) -> HTTP2Exchange? {
        defer { stream.exchange = nil }
        return stream.exchange
    }

    private func ended(_ stream: HTTP2ClientStream, _ end: HTTP2ClientConnection.StreamEnd) {
        guard let exchange = take(stream) else { return }
        if isUnused { idleSince = .now() }
        switch end {
        case .refused: exchange.failed(.refused, .failure)
        case .http1Required: exchange.http1Required()
        case .reset: exchange.failed(stream.hasHead ? .truncated : .streamReset, .failure)
        case .malformed: exchange.failed(stream.hasHead ? .truncated : .malformed, .failure)
        }
    }

    /// The connection is over, or as good as.
    private func failAll(_ failure: GatewayFailure) {
        // What came whole is there for a client that takes its time.
        for stream in connection.streams where !stream.isResponseEnded {
            let exchange = take(stream)
            let hasHead = stream.hasHead
            connection.reset(stream, .cancel)
            // An old connection may be closed at any time; who closes a new one before answering has failed.
            let outcome: UpstreamMachine.Outcome = failure == .closedEarly && !hasHead && (exchange?.exchangeCount ?? 0) > 0 ? .neutral : .failure
            exchange?.failed(hasHead ? .truncated : failure, outcome)
        }
    }

    // MARK: Frames out

    /// Sends what was written, unless a turn is still gathering it.
    func flush() {
        pump()
    }

    private func pump() {
        guard !isPumping, !isInTurn, let context, context.channel.isActive else { return }
        isPumping = true
        write(context)
        isPumping = false
        closeIfEnding()
    }

    private func write(_ context: ChannelHandlerContext) {
        var sent = 0
        while true {
            var output = worker.takeOutput()
            if connection.control.readableBytes > 0 {
                output.writeImmutableBuffer(connection.control)
                connection.control.clear()
            }
            if isWritable { connection.writeBodies(into: &output, bytesMax: Self.writeBytes) }
            let count = output.readableBytes
            if count > 0 { context.writeAndFlush(wrapOutboundOut(output), promise: nil) }
            worker.giveBack(output)
            for stream in connection.takeRelieved() where !stream.isClosed { stream.exchange?.becameWritable() }
            guard count > 0 else { return }
            sent += count
            guard sent < Self.turnBytesMax else {
                let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
                return context.eventLoop.execute { bound.value.pump() }
            }
        }
    }

    // MARK: Deadlines

    /// The member has not said in time what it takes, or does not take what was said last.
    func deadlinePassed(now: NIODeadline) {
        deadline = .distantFuture
        // Before it is connected, who connects it has an eye on the time.
        guard let context, context.channel.isActive else { return }
        if !isEstablished { connector?.http2TimedOut(self) }
        context.close(promise: nil)
    }

    func drainBegan(now: NIODeadline) {}
}
