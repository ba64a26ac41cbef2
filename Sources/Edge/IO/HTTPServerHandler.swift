import HTTP1Wire
import HTTP2Wire
import HTTPSemantics
import NIOCore
import Transport

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// One client connection of HTTP/1, or one stream of HTTP/2: bytes in, exchanges, bytes out.
///
/// Everything about framing is ``HTTP1ServerConnection``'s, everything about one answer ``Exchange``'s; this class moves
/// bytes, keeps the deadlines and writes. With a ``link`` it is no channel handler: ``HTTP2Handler`` gives it a request, and what it writes
/// goes into the stream; all that differs then is in `HTTPServerHandler+Stream`, or asks for the link.
///
/// It stops reading while the client takes nothing (the channel is not writable), while an exchange is under way and
/// ``pendingBytesMax`` wait already, and while the application takes no more of a request's body.
final class HTTPServerHandler: ChannelInboundHandler, RemovableChannelHandler, DeadlineHolder {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Pipelined bytes that are read ahead of the exchange in progress.
    static let pendingBytesMax = 64 << 10
    /// Bodies up to here are copied behind their head and leave in one piece: below it a copy costs less than a second
    /// entry in `writev` (measured: 8 KB copied 0.3 µs).
    static let copiedBodyBytesMax = 16 << 10
    /// Output that is written within a turn before the next pipelined request is looked at.
    private static let turnBytesMax = 64 << 10
    /// How long a client may go on sending after it was told that nothing of it will be read.
    static let lingerTime = TimeAmount.seconds(2)
    /// How long an idle connection may still bring a request after draining began: it was perhaps on its way.
    static let drainIdleTime = TimeAmount.seconds(1)

    /// Who makes the answer to the exchange in progress.
    enum Source {
        case none
        /// A name and password are compared.
        case verify
        /// Another server is asked for its word.
        case authorize(Fetch)
        /// Another request's fetch is waited for.
        case follow
        /// Another request's fetch is read along, or this one's own that goes into the store.
        case read(LiveReader)
        case fetch(Fetch)
        /// Another part of the process makes the page; with a stream, events follow.
        case page(PageStream?)
        /// The connection is of another protocol now, and its bytes pass through.
        case tunnel(Tunnel)
    }

    let worker: EdgeWorker
    let arrival: Arrival
    private let limit: ConnectionRelease
    var connection: HTTP1ServerConnection
    var context: ChannelHandlerContext?
    /// There while ``context`` is.
    var writer: SocketWriter?
    /// Where the exchange goes on a stream of HTTP/2.
    var link: StreamLink?
    /// Another handler has taken over the channel.
    private var isReplaced = false
    var pending = ByteBuffer()
    var output = ByteBuffer()
    private(set) var isInTurn = false
    /// Whether something was written since the last flush: flushing nothing costs as much as a small write.
    var isUnflushed = false
    var isReadSuppressed = false
    var isInputClosed = false
    /// Whether bytes came behind the request in progress.
    var hasMoreInput = false
    var isClosing = false
    var source = Source.none
    var exchange: Exchange
    var responseFraming: ResponseHeadWriter.Framing?
    var keepsAlive = true
    var hasBegun = false
    /// The route of the exchange in progress.
    var route: RoutePlan?
    /// What the other server said of this request, and what the application gets of it.
    var isAuthorized = false
    var authorizedRules: HeaderRuleSet?
    /// Where the head of the answer begins in ``output``.
    var headStart = 0
    /// Whether TLS is agreed on.
    private var isEncrypted = false
    var peer: ClientIdentity
    /// Who sent the request in progress.
    var identity = ClientIdentity(peer: nil)
    /// Whether ``identity`` may be another than ``peer``.
    private var isIdentityForwarded = false
    var deadlineReason = DeadlineReason.none
    var deadline = NIODeadline.distantFuture
    /// Bytes that the client had taken when the write deadline was set.
    var takenBytes = 0
    var bodyRate = TransferRate(now: .uptimeNanoseconds(0))
    /// Reading stopped since the last part of a request's body.
    var wasHeldUp = false
    var sweepPosition = -1

    /// - Parameter peer: who made the connection; streams of HTTP/2 hear it with each exchange.
    init(worker: EdgeWorker, arrival: Arrival = .plain, peer: ClientIdentity = ClientIdentity(peer: nil), limit: ConnectionRelease) {
        self.worker = worker
        self.arrival = arrival
        self.peer = peer
        self.limit = limit
        connection = HTTP1ServerConnection(limits: worker.configuration.limits)
        exchange = Exchange(started: .now(), trace: TraceParent(traceID: (0, 0), parentID: 0, flags: 0))
    }

    var request: RequestHead { connection.head }
    var isOpen: Bool { context != nil || link != nil }
    /// Whether the client takes more output now: what the channel said last, since asking it costs more than to remember.
    var isWritable = false

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        context.eventLoop.preconditionInEventLoop()
        self.context = context
        writer = SocketWriter(context, isPlain: arrival != .tls)
        isWritable = context.channel.isWritable
        peer.isSecure = arrival == .tls
        identity = peer
        worker.sweep.add(self)
        worker.metrics.connections.add(1)
        arm(.requestHead, for: worker.configuration.deadlines.requestHead, from: .now())
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        worker.sweep.remove(self)
        worker.metrics.connections.subtract(1)
        if !isReplaced { limit.release() }
        self.context = nil
        writer = nil
        isWritable = false
    }

    func channelInactive(context: ChannelHandlerContext) {
        clientGone()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if arrival == .tls, !isEncrypted { worker.metrics.tlsFailures.add() }
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var incoming = unwrapInboundIn(data)
        let count = incoming.readableBytes
        let now = NIODeadline.now()
        if case .tunnel(let tunnel) = source { return tunnel.received(incoming, from: .client, now: now) }
        if !hasServed, worker.configuration.isHTTP2Enabled, arrival != .tls, takesPreface(&incoming) { return }
        if pending.readableBytes == 0 {
            receive(&incoming, now: now)
            pending = incoming.readableBytes > 0 ? incoming : ByteBuffer()
        } else {
            pending.writeBuffer(&incoming)
            var bytes = ByteBuffer()
            swap(&bytes, &pending)
            receive(&bytes, now: now)
            bytes.discardReadBytes()
            pending = bytes.readableBytes > 0 ? bytes : ByteBuffer()
        }
        guard pending.readableBytes > Self.smallHeadBytes else { return }
        // A review would come too late for thousands that grow at the same time.
        if worker.pressure.level >= .requests, connection.isAwaitingHead {
            worker.metrics.shed.add()
            memoryShort(now: now)
        } else {
            worker.keeps(count, self)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        flush()
        guard !isReadSuppressed, !wantsInput else { return }
        isReadSuppressed = true
        wasHeldUp = true
        context.setReading(false)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        writabilityChanged()
        guard !isWritable else { return }
        guard arrival == .tls else { return worker.keeps(HTTP2Stream.queuedBytesMax, self) }
        // Not in the midst of what TLS writes.
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.execute { if !bound.value.isWritable, bound.value.isOpen { bound.value.worker.keeps(HTTP2Stream.queuedBytesMax, bound.value) } }
    }

    func writabilityChanged() {
        if isWritable {
            switch source {
            case .none, .follow, .verify, .page: resume()
            case .authorize(let fetch), .fetch(let fetch): fetch.clientWritabilityChanged()
            case .read(let reader): reader.pump()
            case .tunnel(let tunnel): tunnel.becameWritable(.client)
            }
        }
        updateWriteDeadline(now: .now())
        resumeReading()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if TLSPeer.isHandshakeEnd(event) {
            isEncrypted = true
            worker.metrics.tlsHandshakes.add()
            if TLSPeer.negotiatedProtocol(event) == "h2" { return becomeHTTP2(context) }
        }
        guard let event = event as? ChannelEvent, event == .inputClosed else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        isInputClosed = true
        if case .tunnel(let tunnel) = source { return tunnel.inputEnded(.client, now: .now()) }
        guard hasBegun else {
            // It may still be taking its last response.
            if !isClosing { closeWhenSent(now: .now()) }
            return
        }
        // Whole requests that are here are answered, one after the other; the client reads on.
        guard connection.isRequestComplete else {
            context.close(promise: nil)
            return
        }
        if pending.readableBytes == 0 { keepsAlive = false }
    }

    // MARK: HTTP/2

    /// Whether the first bytes are the preface of HTTP/2, or may become it.
    /// - Source: RFC 9113 §3.3: with prior knowledge.
    private func takesPreface(_ incoming: inout ByteBuffer) -> Bool {
        var bytes = pending
        if bytes.readableBytes == 0 { bytes = incoming } else { bytes.writeImmutableBuffer(incoming) }
        guard HTTP2Framing.isPrefaceOrBeginning(bytes.readableBytesUInt8Span) else { return false }
        if bytes.readableBytes < HTTP2Framing.preface.utf8CodeUnitCount {
            pending = bytes
            awaitHead(hasBytes: true, now: .now())
        } else if let context {
            pending = ByteBuffer()
            becomeHTTP2(context, bytes)
        }
        return true
    }

    private func becomeHTTP2(_ context: ChannelHandlerContext, _ bytes: ByteBuffer? = nil) {
        let successor = HTTP2Handler(worker: worker, arrival: arrival, peer: peer, limit: limit)
        let pipeline = context.pipeline.syncOperations
        do {
            try pipeline.addHandler(successor, position: .after(self))
        } catch {
            return context.close(promise: nil)
        }
        isReplaced = true
        pipeline.removeHandler(context: context, promise: nil)
        if let bytes { successor.received(bytes) }
    }

    var wantsInput: Bool {
        if case .tunnel(let tunnel) = source { return tunnel.wantsInput(from: .client) }
        guard isWritable else { return false }
        if connection.isAwaitingHead { return true }
        if case .fetch(let fetch) = source, !connection.isRequestComplete { return fetch.wantsRequestBody }
        return pending.readableBytes < Self.pendingBytesMax
    }

    func resumeReading() {
        if let link { return takeHeldBody(link) }
        guard isReadSuppressed, wantsInput, let context else { return }
        isReadSuppressed = false
        context.setReading(true)
    }

    // MARK: Bytes in

    private func receive(_ bytes: inout ByteBuffer, now: NIODeadline) {
        turn { understand(&bytes, now: now) }
    }

    private func understand(_ bytes: inout ByteBuffer, now: NIODeadline) {
        while !isSuspended {
            if output.readableBytes >= Self.turnBytesMax {
                emit()
                writer?.flush()
                isUnflushed = false
                guard isWritable else { return }
            }
            switch connection.next(&bytes) {
            case .wait:
                if connection.isAwaitingHead {
                    // What is left is no whole request, and no more of it will come.
                    if isInputClosed, !isClosing { return closeWhenSent(now: now) }
                    awaitHead(hasBytes: bytes.readableBytes > 0, now: now)
                }
                return
            case .head:
                hasMoreInput = bytes.readableBytes > 0
                begin(connection.head, now: now)
            case .body(let part):
                bodyRate.received(part.readableBytes, wasHeldUp: wasHeldUp, now: now)
                wasHeldUp = false
                if case .fetch(let fetch) = source { fetch.sendRequestBody(part) }
                if !connection.isRequestComplete {
                    let configuration = worker.configuration
                    if bodyRate.isBelow(configuration.limits.transferRateMin, grace: configuration.deadlines.requestBody) {
                        return giveUpRequestBody(.requestRate, status: 408, now: now)
                    }
                    arm(.requestBody, for: worker.configuration.deadlines.requestBody, from: now)
                }
            case .bodyEnd:
                hasMoreInput = bytes.readableBytes > 0
                arm(.none, for: .zero, from: now)
                if case .fetch(let fetch) = source { fetch.requestBodyEnded(trailers: connection.trailers, now: now) }
            case .refused(let error):
                refuse(error, now: now)
                return
            }
        }
    }

    /// Goes on with what was read ahead, once the exchange before it has ended.
    func resume() {
        if let link { return takeHeldBody(link) }
        guard pending.readableBytes > 0, !isInTurn, !isSuspended else { return }
        var bytes = ByteBuffer()
        swap(&bytes, &pending)
        receive(&bytes, now: .now())
        bytes.discardReadBytes()
        pending = bytes
        flush()
        resumeReading()
    }

    /// Whether what follows the head has to wait: nobody is there yet to take it.
    var isSuspended: Bool {
        switch source {
        case .verify, .authorize: true
        case .none, .follow, .read, .fetch, .page, .tunnel: false
        }
    }

    func awaitHead(hasBytes: Bool, now: NIODeadline) {
        if link != nil { return }
        if hasBytes {
            if deadlineReason != .requestHead {
                arm(.requestHead, for: worker.configuration.deadlines.requestHead, from: now)
            }
        } else if deadlineReason != .requestHead || hasServed {
            if !isWritable {
                // The client is still taking the last response.
                arm(.write, for: worker.configuration.deadlines.write, from: now)
            } else if worker.isDraining {
                arm(.drain, for: Self.drainIdleTime, from: now)
            } else {
                arm(.keepAlive, for: worker.configuration.deadlines.keepAlive, from: now)
            }
        }
    }

    private var hasServed = false

    // MARK: An exchange

    /// - Parameter head: the connection's own, handed in: one copy for all that is asked of it. As a local constant it would be
    ///   copied, and its memory retained, at each question.
    func begin(_ head: RequestHead, now: NIODeadline) {
        hasBegun = true
        hasServed = true
        keepsAlive = head.keepsAlive
        arm(.none, for: .zero, from: now)
        exchange = Exchange(started: now, trace: worker.trace(head.fields))
        exchange.method = head.method
        // Ranges are of the plain bytes: those of a coding are others with each effort.
        if head.fields.contains(.acceptEncoding), !asksForRange(head) { exchange.accepted = AcceptedCodings(head.fields) }
        if !connection.isRequestComplete {
            bodyRate = TransferRate(now: now)
            wasHeldUp = false
            arm(.requestBody, for: worker.configuration.deadlines.requestBody, from: now)
        }
        route = nil
        if case .redirected(let port, let sparesLocal) = arrival, !(sparesLocal && peer.isLoopback && !peer.isRelayed),
            sendsToTLS(head, port: port, now: now)
        {
            return
        }
        if head.fields.contains(.maxForwards), MaxForwards.hopsLeft(head) == 0 { return answerAsLastHop(head, now: now) }
        authorizedRules = nil
        let routing = worker.routing
        if let forwarding = routing.forwarding {
            identity = ForwardedPolicy.client(head.fields, peer: peer, forwarding)
            isIdentityForwarded = true
        } else if isIdentityForwarded {
            identity = peer
            isIdentityForwarded = false
        }
        if head.isForHTTPS, arrival != .tls, !mayHaveEndedTLS { return respondError(421, reason: .edge(.misdirected), now: now) }
        if head.method == .other, let method = CacheMethod(head) { return answer(method, head, now: now) }
        if head.fields.contains(.headraceProof) { return chooseWithProof(now: now) }
        choose(head, hasProof: false, now: now)
    }

    func choose(_ head: RequestHead, hasProof: Bool, now: NIODeadline) {
        let routing = worker.routing
        switch routing.router.route(head, from: identity, hasProof: hasProof) {
        case .tunnel: respondError(501, reason: .edge(.method), now: now)
        case .ambiguous: respondError(400, reason: .edge(.pathAmbiguous), now: now)
        case .none: respondError(404, reason: .edge(.noRoute), now: now)
        case .route(let number): follow(routing.plans[number], head, now: now)
        }
    }

    /// Whether the peer is a proxy of ours, which may have the client's TLS: it is trusted, said a PROXY header, or came by a Unix socket.
    /// - Source: RFC 9110 §7.4: from anybody else, what is for `https` must not be answered without TLS.
    private var mayHaveEndedTLS: Bool { identity.isPeerTrusted || peer.isRelayed || peer.ip == nil }

    /// - Source: RFC 9110 §15.4.9: 308, so that a POST stays one.
    private func sendsToTLS(_ head: RequestHead, port: Int, now: NIODeadline) -> Bool {
        let text = head.fields.bytes
        let target = String(copying: text.span.extracting(head.target))
        if Arrival.isChallenge(target) { return false }
        guard head.method != .connect, target.hasPrefix("/"), !head.authority.isEmpty else {
            respondError(400, reason: .edge(.tlsRequired), now: now)
            return true
        }
        let url = Arrival.secureURL(authority: String(copying: text.span.extracting(head.authority)), target: target, port: port)
        respond(status: 308, contentType: "text/plain; charset=utf-8", "Moved.\n", now: now, location: url, isKept: true)
        return true
    }

    /// - Source: RFC 9110 §7.6.2, §9.3.7, §9.3.8.
    private func answerAsLastHop(_ head: RequestHead, now: NIODeadline) {
        switch head.method {
        case .trace: respond(status: 200, contentType: "message/http", MaxForwards.reflection(head), now: now)
        default: respond(status: 200, contentType: "text/plain", "", now: now)
        }
    }

    func finishExchange(now: NIODeadline) {
        count(now: .now())
        source = .none
        hasBegun = false
        responseFraming = nil
        if let link { return endStream(link, now: now) }
        switch connection.responseEnded(keepsAlive: keepsAlive) {
        case .request:
            awaitHead(hasBytes: false, now: now)
        case .close where pending.readableBytes == 0 && !hasMoreInput && !isReadSuppressed && !worker.isDraining:
            closeWhenSent(now: now)
        case .close, .linger: send(now: now) { $0.lingerForRest() }
        }
    }

    /// What the client still sends is read and thrown away for a while: the kernel answers what comes to a closed connection with a reset, which
    /// takes the end of the response with it (RFC 9112 §9.6).
    private func lingerForRest() {
        guard let context, isOpen else { return }
        isClosing = false
        context.close(mode: .output, promise: nil)
        arm(.linger, for: Self.lingerTime, from: .now())
    }

    /// Closes as soon as the kernel has the whole response: what a closed channel has not written yet is lost.
    func closeWhenSent(now: NIODeadline) {
        if let link { return endStream(link, now: now) }
        send(now: now) { $0.context?.close(promise: nil) }
    }

    /// Gives the kernel the last of what is to be said, and goes on when it has all.
    private func send(now: NIODeadline, then next: @escaping @Sendable (HTTPServerHandler) -> Void) {
        guard let context, let writer else { return }
        let sent = context.eventLoop.makePromise(of: Void.self)
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        sent.futureResult.whenComplete { _ in next(bound.value) }
        isClosing = true
        arm(.write, for: worker.configuration.deadlines.write, from: now)
        writer.write(output, promise: sent)
        writer.flush()
        output = ByteBuffer()
    }

    func count(now: NIODeadline) {
        worker.metrics.ended(exchange, now: now)
        if link != nil { worker.metrics.http2Requests.add() }
        worker.metrics.insight.ended(exchange, connection.head, nanoseconds: UInt64(clamping: (now - exchange.started).nanoseconds))
        route?.ended(status: exchange.status)
        worker.record(exchange, connection.head, client: identity.address, ended: now)
    }

    /// Ends what the exchange goes over: nothing more can be said.
    func cut() {
        if let link { return link.connection.reset(link.stream, .internalError) }
        context?.close(promise: nil)
    }

    func clientGone(_ reason: EdgeReason = .clientGone) {
        switch source {
        case .none, .follow, .verify: break
        case .page(let stream): stream?.leave()
        case .authorize(let fetch), .fetch(let fetch): fetch.clientGone()
        case .read(let reader): reader.leave()
        case .tunnel(let tunnel): return tunnel.closed(.client, now: .now())
        }
        if hasBegun {
            exchange.reason = .edge(reason)
            if exchange.status == 0 { exchange.status = 499 }
            count(now: .now())
            hasBegun = false
        }
        source = .none
    }

    /// Of the beginning of a head that is kept while new requests are refused.
    static let smallHeadBytes = 2 << 10
    /// What a connection takes besides what it holds: its channel, parser and exchange.
    static let ownBytes = 8 << 10
    /// And one whose handshake of TLS has not ended.
    private static let handshakeBytes = 32 << 10

    var heldBytes: Int {
        if arrival == .tls, link == nil, !isEncrypted { return Self.handshakeBytes }
        return unsentBytesNow() + pending.storageCapacity + (hasBegun || pending.readableBytes > 0 ? Self.ownBytes : 0)
    }

    @discardableResult func memoryShort(now: NIODeadline) -> Int {
        guard isOpen else { return 0 }
        let bytes = heldBytes
        worker.pressure.cut(bytes)
        gaveWay(now: now)
        // With TLS, too, what is not taken is not waited for.
        if link == nil, let context { TLSPeer.close(context) } else { cut() }
        return bytes
    }

    /// Ends the exchange because memory is short; what it went over ends elsewhere. A tunnel is counted by itself when it ends.
    func gaveWay(now: NIODeadline) {
        if hasBegun {
            exchange.reason = .edge(.memory)
            if case .tunnel = source {} else {
                if exchange.status == 0 { exchange.status = 503 }
                count(now: now)
                hasBegun = false
            }
        }
        clientGone()
    }

    /// A tunnel ends as if its client had left; what else was under way is cut, and nobody could say more about it.
    func drainEnded(now: NIODeadline) {
        guard hasBegun, isOpen else { return }
        worker.metrics.deadlinePassed(.drain)
        exchange.reason = .edge(.drainDeadline)
        if case .tunnel = source {} else {
            if exchange.status == 0 { exchange.status = 503 }
            count(now: now)
            hasBegun = false
        }
        clientGone()
        cut()
    }

    // MARK: Output

    /// Gathers what `body` writes and passes it to the channel in one piece; nested turns are part of the outer one.
    func turn(_ body: () -> Void) {
        guard !isInTurn else { return body() }
        isInTurn = true
        output = worker.takeOutput()
        body()
        isInTurn = false
        if output.readableBytes > 0 { write(output) }
        var buffer = ByteBuffer()
        swap(&buffer, &output)
        worker.giveBack(buffer)
    }

    func write(_ buffer: ByteBuffer) {
        isUnflushed = true
        if let link { return append(buffer, to: link) }
        writer?.write(buffer)
    }

    /// Passes what was gathered to the channel before the turn ends; not yet to the kernel.
    func emit() {
        guard output.readableBytes > 0 else { return }
        write(output)
        // The channel holds the memory now: writing on would copy it.
        output = ByteBuffer()
    }

    func abortivelyClose() {
        guard let provider = context?.channel as? any SocketOptionProvider else { return }
        // Zero linger makes the kernel send RST: the one way to tell an HTTP/1.0 client that its body is not complete.
        provider.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in }
        // TLS would say good-bye, which is an end in good order.
        if arrival == .tls, let context { TLSPeer.cut(context.pipeline) }
    }
}

extension ChannelHandlerContext {
    /// Lets the channel read on by itself, or not. A handler that is asked before every read costs each request 1,200 instructions.
    func setReading(_ isOn: Bool) {
        // A channel that is closed has no options any more.
        try? channel.syncOptions?.setOption(.autoRead, value: isOn)
    }
}

/// Gives a connection's place back when its handler goes.
struct ConnectionRelease: Sendable {
    let release: @Sendable () -> Void
}
