import HTTP1Wire
import HTTP2Wire
import HTTPSemantics
import NIOCore
import Transport

/// One client connection of HTTP/2: frames in, an exchange for each stream, frames out.
///
/// Everything about framing is ``HTTP2ServerConnection``'s; each exchange is an ``HTTPServerHandler`` as with HTTP/1. What they write in a
/// turn is gathered here and leaves in one write, in the order of ``HTTP2SendQueue``.
///
/// A response waits in its stream, at most ``HTTP2Stream/queuedBytesMax`` and a piece of it, until client and kernel take it: who reads one
/// stream slowly does not hold the others. Reading stops only while the kernel takes nothing and ``unsentBytesMax`` of what must be said
/// wait already.
final class HTTP2Handler: ChannelInboundHandler, DeadlineHolder {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Frames that go to the channel in one piece.
    private static let writeBytes = 64 << 10
    /// What one turn sends before others have theirs.
    private static let turnBytesMax = 1 << 20
    private static let unsentBytesMax = 256 << 10
    /// Exchanges that are kept for the next streams. 32: more than a page has under way at a time.
    private static let sparesMax = 32
    /// Answers that are gathered while new requests are refused for want of memory.
    private static let smallOutputBytes = 2 << 10

    let worker: EdgeWorker
    private let arrival: Arrival
    private let limit: ConnectionRelease
    private var connection: HTTP2ServerConnection
    private var context: ChannelHandlerContext?
    private let peer: ClientIdentity
    /// The beginning of a frame.
    private var pending = HTTP2Input()
    private var output = ByteBuffer()
    private var queue = HTTP2SendQueue()
    /// Streams that can take more of their responses.
    private var relieved: [HTTP2Stream] = []
    private var spares: [HTTPServerHandler] = []
    private var isInTurn = false
    private var isPumping = false
    private var isGivingWay = false
    private var isWritable = false
    private var isReadSuppressed = false
    /// Nothing more comes from the client, or it has said that no request does.
    private var isLeaving = false
    private var isClosed = false
    /// All was said, and is on its way.
    private var isEnding = false
    private var deadlineReason = DeadlineReason.none
    var deadline = NIODeadline.distantFuture
    var sweepPosition = -1

    init(worker: EdgeWorker, arrival: Arrival, peer: ClientIdentity, limit: ConnectionRelease) {
        self.worker = worker
        self.arrival = arrival
        self.peer = peer
        self.limit = limit
        connection = HTTP2ServerConnection(limits: worker.configuration.limits, now: .now())
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        context.eventLoop.preconditionInEventLoop()
        self.context = context
        isWritable = context.channel.isWritable
        worker.sweep.add(self)
        worker.metrics.connections.add(1)
        worker.metrics.http2Connections.add(1)
        arm(.requestHead, for: worker.configuration.deadlines.requestHead)
        if worker.isDraining { drainBegan(now: .now()) } else { pump() }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        worker.sweep.remove(self)
        worker.metrics.connections.subtract(1)
        worker.metrics.http2Connections.subtract(1)
        limit.release()
        self.context = nil
        isWritable = false
        spares = []
    }

    func channelInactive(context: ChannelHandlerContext) {
        isClosed = true
        endStreams()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        received(unwrapInboundIn(data))
        // A review would come too late for thousands that grow at the same time.
        if connection.isInBlock, connection.blockBytes + pending.byteCount > HTTPServerHandler.smallHeadBytes, worker.pressure.level >= .requests {
            worker.metrics.shed.add()
            memoryShort(now: .now())
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isInTurn = false
        pump()
        updateDeadline()
        guard !isReadSuppressed, !isWritable, output.readableBytes + unsentBytes > Self.unsentBytesMax else { return }
        isReadSuppressed = true
        context.setReading(false)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        guard isWritable else { return }
        if isReadSuppressed {
            isReadSuppressed = false
            context.setReading(true)
        }
        pump()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let event = event as? ChannelEvent, event == .inputClosed else { return context.fireUserInboundEventTriggered(event) }
        isLeaving = true
        // What is not whole never will be.
        for stream in connection.streams where !stream.isRequestEnded { gone(stream) }
        pump()
    }

    private var unsentBytes: Int { (try? context?.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0 }

    // MARK: Memory

    /// Streams count what waits of their responses themselves; of requests they hold what nobody has taken.
    var heldBytes: Int {
        (connection.isEstablished ? 0 : HTTPServerHandler.ownBytes) + pending.capacity + output.storageCapacity + unsentBytes + connection.blockCapacity + connection.streams.reduce(0) { $0 + $1.receivedBytes }
    }

    @discardableResult func memoryShort(now: NIODeadline) -> Int {
        let bytes = connection.streams.reduce(heldBytes) { $0 + ($1.exchange?.heldBytes ?? 0) }
        worker.pressure.cut(bytes)
        isClosed = true
        for stream in connection.streams { stream.exchange?.gaveWay(now: now) }
        endStreams()
        if let context { TLSPeer.close(context) }
        return bytes
    }

    // MARK: Frames in

    func received(_ incoming: ByteBuffer) {
        isInTurn = true
        var bytes = pending.joined(incoming)
        let now = NIODeadline.now()
        while understand(connection.next(&bytes, now: now), now: now) {}
        pending.keep(bytes)
    }

    /// - Returns: whether there may be more.
    private func understand(_ input: HTTP2ServerConnection.Input, now: NIODeadline) -> Bool {
        switch input {
        case .wait: return false
        case .handled: break
        case .head(let stream): begin(stream, refusal: nil, now: now)
        case .refused(let stream, let status):
            begin(stream, refusal: HTTP1Error(status == 417 ? .expectationUnknown : .headTooLarge), now: now)
        case .body(let stream, let part):
            if let exchange = stream.exchange {
                exchange.streamReceived(part, StreamLink(connection: self, stream: stream))
            } else {
                connection.bodyTaken(part.readableBytes, of: stream)
            }
        case .trailers(let stream): stream.exchange?.streamReceived(ByteBuffer(), StreamLink(connection: self, stream: stream))
        case .reset(let stream): gone(stream)
        case .windowOpened(let stream?): queue.add(stream)
        case .windowOpened(nil): for stream in connection.streams { queue.add(stream) }
        case .prioritised(let stream): queue.prioritised(stream)
        case .goAway: isLeaving = true
        case .failed(let code, let flood):
            worker.metrics.http2Failed(code, flood)
            endStreams()
        }
        return true
    }

    private func begin(_ stream: HTTP2Stream, refusal: HTTP1Error?, now: NIODeadline) {
        // Of thousands of answers that are not taken each would be kept. What was not looked at may be sent again (RFC 9113 §8.7).
        if worker.pressure.level >= .requests, output.readableBytes > Self.smallOutputBytes || !isWritable {
            worker.metrics.shed.add()
            return connection.reset(stream, .refusedStream)
        }
        if deadlineReason == .keepAlive || deadlineReason == .requestHead {
            deadlineReason = .none
            deadline = .distantFuture
        }
        let exchange = spares.popLast() ?? HTTPServerHandler(worker: worker, arrival: arrival)
        stream.exchange = exchange
        // Handed over by value: the exchange writes to the connection before it returns.
        var head = RequestHead()
        swap(&head, &connection.head)
        var refusal = refusal
        if refusal == nil, let wanted = connection.connectProtocol {
            stream.isExtendedConnect = true
            if wanted == "websocket" { ExtendedConnect.makeUpgrade(&head, random: (worker.randomNumber(), worker.randomNumber())) } else {
                refusal = HTTP1Error(.targetForm)
            }
        }
        exchange.beginStream(StreamLink(connection: self, stream: stream), peer: peer, head: &head, refusal: refusal, now: now)
        head.fields.removeAll()
        swap(&head, &connection.head)
    }

    // MARK: Exchanges

    func bodyTaken(_ count: Int, of stream: HTTP2Stream) {
        connection.bodyTaken(count, of: stream)
        // Outside of a turn nobody else sends what opens the window.
        if !isInTurn, connection.control.readableBytes > 0 { pump() }
    }

    /// - Parameter head: lines of HTTP/1, without the empty one.
    func sendHead(_ head: ByteBuffer, on stream: HTTP2Stream, endsStream: Bool) {
        guard !stream.isClosed, !stream.isResponseEnded else { return }
        if output.storageCapacity == 0 { output = worker.takeOutput() }
        connection.writeHead(head, of: stream, endsStream: endsStream, into: &output)
    }

    /// A head before the response's own.
    func sendInterim(_ head: ByteBuffer, on stream: HTTP2Stream) {
        sendHead(head, on: stream, endsStream: false)
        flush()
    }

    /// A stream has more to send, or all.
    func added(to stream: HTTP2Stream) {
        queue.add(stream)
        if stream.isResponseEnded, stream.isComplete { ended.append(stream) }
    }

    /// Streams whose response ended with its head.
    private var ended: [HTTP2Stream] = []

    /// Gives a stream up.
    func reset(_ stream: HTTP2Stream, _ code: HTTP2ErrorCode) {
        connection.reset(stream, code)
        release(stream, isWhole: false)
        flush()
    }

    /// The client, or this side for its mistake, has given a stream up.
    private func gone(_ stream: HTTP2Stream) {
        stream.exchange?.streamGone()
        connection.reset(stream, .cancel)
        release(stream, isWhole: false)
    }

    private func release(_ stream: HTTP2Stream, isWhole: Bool) {
        guard let exchange = stream.exchange else { return }
        stream.exchange = nil
        exchange.link = nil
        exchange.isWritable = false
        exchange.deadlineReason = .none
        exchange.deadline = .distantFuture
        worker.sweep.remove(exchange)
        // One that was cut short may still be known to a fetch.
        if isWhole, spares.count < Self.sparesMax, !isClosed, worker.pressure.level == .none { spares.append(exchange) }
    }

    private func endStreams() {
        for stream in connection.streams {
            stream.exchange?.streamGone()
            release(stream, isWhole: false)
            connection.reset(stream, .cancel)
        }
    }

    // MARK: Frames out

    /// Sends what was written, unless a turn is still gathering it.
    func flush() {
        guard !isInTurn else { return }
        pump()
    }

    /// Sends as much as client and kernel take.
    private func pump() {
        guard !isPumping, !isInTurn, let context else { return }
        isPumping = true
        var sent = 0
        while true {
            gather()
            guard output.readableBytes > 0 else { break }
            sent += output.readableBytes
            context.writeAndFlush(wrapOutboundOut(output), promise: nil)
            var buffer = ByteBuffer()
            swap(&buffer, &output)
            worker.giveBack(buffer)
            relieve()
            if sent >= Self.turnBytesMax {
                let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
                context.eventLoop.execute { bound.value.pump() }
                break
            }
        }
        isPumping = false
        if worker.pressure.excessBytes > 0 { giveWay() }
        endIfDone()
    }

    /// Cuts streams whose responses are not taken, while they are too many: a review would come too late for thousands of them.
    private func giveWay() {
        guard !isGivingWay else { return }
        isGivingWay = true
        for stream in connection.streams where !stream.hasRoom {
            if let exchange = stream.exchange { worker.keeps(0, exchange) }
        }
        isGivingWay = false
    }

    private func gather() {
        for stream in ended { finish(stream) }
        ended.removeAll(keepingCapacity: true)
        takeControl()
        guard isWritable, !queue.isEmpty else { return }
        if output.storageCapacity == 0 { output = worker.takeOutput() }
        while output.readableBytes < Self.writeBytes, let stream = queue.next() {
            guard connection.writeNext(of: stream, into: &output) else {
                queue.putBack(stream)
                break
            }
            if stream.isResponseEnded {
                finish(stream)
            } else {
                queue.putBack(stream)
                if let exchange = stream.exchange, !exchange.isWritable, stream.queuedBytes <= HTTP2Stream.queuedBytesLow { relieved.append(stream) }
            }
        }
        takeControl()
    }

    private func takeControl() {
        guard connection.control.readableBytes > 0 else { return }
        if output.storageCapacity == 0 { output = worker.takeOutput() }
        output.writeImmutableBuffer(connection.control)
        connection.control.clear()
    }

    private func finish(_ stream: HTTP2Stream) {
        guard !stream.isClosed else { return }
        // A tunnel may have ended in one direction alone.
        if let exchange = stream.exchange, exchange.hasBegun { return }
        release(stream, isWhole: true)
        connection.finish(stream)
    }

    private func relieve() {
        guard !relieved.isEmpty else { return }
        let streams = relieved
        relieved.removeAll(keepingCapacity: true)
        for stream in streams {
            guard let exchange = stream.exchange, !exchange.isWritable, stream.hasRoom else { continue }
            exchange.isWritable = true
            exchange.writabilityChanged()
        }
    }

    // MARK: End

    private func endIfDone() {
        guard connection.streams.isEmpty else { return }
        if connection.isFailed || connection.isClosing || isLeaving { return closeGently() }
        if deadlineReason == .none { updateDeadline() }
    }

    /// Says no more, and reads on for a moment: to close at once would reset the connection, and could take with it what was sent last.
    private func closeGently() {
        guard let context, !isEnding else { return }
        isEnding = true
        if !connection.isFailed {
            connection.closing()
            gather()
        }
        // Behind all that was written before; what the kernel has not taken yet is the end of a response.
        arm(.write, for: worker.configuration.deadlines.write)
        let sent = context.eventLoop.makePromise(of: Void.self)
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        sent.futureResult.whenComplete { _ in bound.value.linger() }
        let last = output
        output = ByteBuffer()
        context.writeAndFlush(wrapOutboundOut(last), promise: sent)
    }

    private func linger() {
        guard let context else { return }
        arm(.linger, for: HTTPServerHandler.lingerTime)
        context.close(mode: .output, promise: nil)
    }

    private func arm(_ reason: DeadlineReason, for time: TimeAmount) {
        deadlineReason = reason
        deadline = .now() + time
    }

    private func updateDeadline() {
        let deadlines = worker.configuration.deadlines
        switch deadlineReason {
        case .linger, .drain, .write: return
        default: break
        }
        if !connection.isEstablished || connection.isInBlock {
            if deadlineReason != .requestHead { arm(.requestHead, for: deadlines.requestHead) }
        } else if connection.streams.isEmpty {
            // Once: what comes and is no request does not lengthen it.
            if deadlineReason != .keepAlive { arm(.keepAlive, for: deadlines.keepAlive) }
        } else {
            deadlineReason = .none
            deadline = .distantFuture
        }
    }

    func deadlinePassed(now: NIODeadline) {
        let reason = deadlineReason
        if reason != .drain { worker.metrics.deadlinePassed(reason) }
        deadlineReason = .none
        deadline = .distantFuture
        switch reason {
        case .drain:
            // What comes from here on is not looked at, and its client may send it elsewhere.
            connection.closing()
            pump()
        case .requestHead, .keepAlive:
            endStreams()
            connection.closing()
            pump()
        default:
            context?.close(promise: nil)
        }
    }

    /// Requests that are on their way are served; a moment later the client knows, and those that it still sends are not looked at.
    func drainBegan(now: NIODeadline) {
        guard !isEnding, !connection.isFailed else { return }
        connection.drainBegan()
        arm(.drain, for: HTTPServerHandler.drainIdleTime)
        pump()
    }

    func drainEnded(now: NIODeadline) {
        for stream in connection.streams { stream.exchange?.drainEnded(now: now) }
        endStreams()
        context?.close(promise: nil)
    }
}
