import HTTP1Wire
import HTTPSemantics
import NIOCore

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// One client connection: bytes in, exchanges, bytes out.
///
/// Everything about framing is ``HTTP1ServerConnection``'s, everything about one answer ``Exchange``'s; this class moves
/// bytes, keeps the deadlines and writes.
///
/// It stops reading while the client takes nothing (the channel is not writable), while an exchange is under way and
/// ``pendingBytesMax`` wait already, and while the application takes no more of a request's body.
final class HTTPServerHandler: ChannelDuplexHandler, DeadlineHolder {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Pipelined bytes that are read ahead of the exchange in progress.
    static let pendingBytesMax = 64 << 10
    /// Bodies up to here are copied behind their head and leave in one piece: below it a copy costs less than a second
    /// entry in `writev` (measured: 8 KB copied 0.3 µs).
    static let copiedBodyBytesMax = 16 << 10
    /// Output that is written within a turn before the next pipelined request is looked at.
    private static let turnBytesMax = 64 << 10
    /// How long a client may go on sending after it was told that nothing of it will be read.
    private static let lingerTime = TimeAmount.seconds(2)
    /// How long an idle connection may still bring a request after draining began: it was perhaps on its way.
    private static let drainIdleTime = TimeAmount.seconds(1)

    /// Who makes the answer to the exchange in progress.
    enum Source {
        case none
        /// A name and password are compared.
        case verify
        /// Another server is asked for its word.
        case authorize(Fetch)
        /// Another request's fetch is waited for.
        case follow
        case fetch(Fetch)
        /// The connection is of another protocol now, and its bytes pass through.
        case tunnel(Tunnel)
    }

    let worker: EdgeWorker
    private let limit: ConnectionRelease
    var connection: HTTP1ServerConnection
    private var context: ChannelHandlerContext?
    private var pending = ByteBuffer()
    private var output = ByteBuffer()
    private var isInTurn = false
    /// Whether something was written since the last flush: flushing nothing costs as much as a small write.
    private var isUnflushed = false
    private var isReadSuppressed = false
    private var isInputClosed = false
    /// Whether bytes came behind the request in progress.
    private var hasMoreInput = false
    private var isClosing = false
    var source = Source.none
    var exchange: Exchange
    private var responseFraming: ResponseHeadWriter.Framing?
    private var keepsAlive = true
    private var hasBegun = false
    /// The route of the exchange in progress.
    var route: RoutePlan?
    /// What the other server said of this request, and what the application gets of it.
    var isAuthorized = false
    var authorizedRules: HeaderRuleSet?
    /// Where the head of the answer begins in ``output``.
    private var headStart = 0
    private var peer = ClientIdentity(peer: nil)
    /// Who sent the request in progress.
    private(set) var identity = ClientIdentity(peer: nil)
    /// Whether ``identity`` may be another than ``peer``.
    private var isIdentityForwarded = false
    private var deadlineReason = DeadlineReason.none
    private(set) var deadline = NIODeadline.distantFuture
    /// Bytes that the client had not taken when the write deadline was set.
    private var unsentBytes = 0
    private var bodyRate = TransferRate(now: .uptimeNanoseconds(0))
    /// Reading stopped since the last part of a request's body.
    private var wasHeldUp = false
    var sweepPosition = -1

    init(worker: EdgeWorker, limit: ConnectionRelease) {
        self.worker = worker
        self.limit = limit
        connection = HTTP1ServerConnection(limits: worker.configuration.limits)
        exchange = Exchange(started: .now(), trace: TraceParent(traceID: (0, 0), parentID: 0, flags: 0))
    }

    var request: RequestHead { connection.head }
    var isOpen: Bool { context != nil }
    /// Whether the client takes more output now: what the channel said last, since asking it costs more than to remember.
    private(set) var isWritable = false

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        context.eventLoop.preconditionInEventLoop()
        self.context = context
        isWritable = context.channel.isWritable
        peer = ClientIdentity(peer: context.channel.remoteAddress?.ipAddress)
        identity = peer
        worker.sweep.add(self)
        worker.metrics.connections.add(1)
        arm(.requestHead, for: worker.configuration.deadlines.requestHead, from: .now())
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        worker.sweep.remove(self)
        worker.metrics.connections.subtract(1)
        limit.release()
        self.context = nil
        isWritable = false
    }

    func channelInactive(context: ChannelHandlerContext) {
        clientGone()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var incoming = unwrapInboundIn(data)
        let now = NIODeadline.now()
        if case .tunnel(let tunnel) = source { return tunnel.received(incoming, from: .client, now: now) }
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
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        flush()
    }

    func read(context: ChannelHandlerContext) {
        if wantsInput {
            context.read()
        } else {
            isReadSuppressed = true
            wasHeldUp = true
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        if isWritable {
            switch source {
            case .none, .follow, .verify: resume()
            case .authorize(let fetch), .fetch(let fetch): fetch.clientWritabilityChanged()
            case .tunnel(let tunnel): tunnel.becameWritable(.client)
            }
        }
        updateWriteDeadline(now: .now())
        resumeReading()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
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

    private var wantsInput: Bool {
        if case .tunnel(let tunnel) = source { return tunnel.wantsInput(from: .client) }
        guard isWritable else { return false }
        if connection.isAwaitingHead { return true }
        if case .fetch(let fetch) = source, !connection.isRequestComplete { return fetch.wantsRequestBody }
        return pending.readableBytes < Self.pendingBytesMax
    }

    func resumeReading() {
        guard isReadSuppressed, wantsInput, let context else { return }
        isReadSuppressed = false
        context.read()
    }

    // MARK: Bytes in

    private func receive(_ bytes: inout ByteBuffer, now: NIODeadline) {
        turn { understand(&bytes, now: now) }
    }

    private func understand(_ bytes: inout ByteBuffer, now: NIODeadline) {
        while !isSuspended {
            if output.readableBytes >= Self.turnBytesMax {
                emit()
                context?.flush()
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
                if case .fetch(let fetch) = source { fetch.requestBodyEnded(trailers: connection.trailers) }
            case .refused(let error):
                refuse(error, now: now)
                return
            }
        }
    }

    /// Goes on with what was read ahead, once the exchange before it has ended.
    private func resume() {
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
    private var isSuspended: Bool {
        switch source {
        case .verify, .authorize: true
        case .none, .follow, .fetch, .tunnel: false
        }
    }

    private func awaitHead(hasBytes: Bool, now: NIODeadline) {
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
    private func begin(_ head: RequestHead, now: NIODeadline) {
        hasBegun = true
        hasServed = true
        keepsAlive = head.keepsAlive
        arm(.none, for: .zero, from: now)
        exchange = Exchange(started: now, trace: worker.trace(head.fields))
        exchange.method = head.method
        if head.fields.contains(.acceptEncoding) { exchange.accepted = AcceptedCodings(head.fields) }
        if !connection.isRequestComplete {
            bodyRate = TransferRate(now: now)
            wasHeldUp = false
            arm(.requestBody, for: worker.configuration.deadlines.requestBody, from: now)
        }
        route = nil
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
        switch routing.router.route(head, from: identity) {
        case .tunnel: respondError(501, reason: "method", now: now)
        case .ambiguous: respondError(400, reason: "path-ambiguous", now: now)
        case .none: respondError(404, reason: "no-route", now: now)
        case .route(let number): follow(routing.plans[number], head, now: now)
        }
    }

    /// - Source: RFC 9110 §7.6.2, §9.3.7, §9.3.8.
    private func answerAsLastHop(_ head: RequestHead, now: NIODeadline) {
        switch head.method {
        case .trace: respond(status: 200, contentType: "message/http", MaxForwards.reflection(head), now: now)
        default: respond(status: 200, contentType: "text/plain", "", now: now)
        }
    }

    func lookUp(_ head: RequestHead, _ route: RoutePlan, now: NIODeadline) {
        if let reason = route.isPersonal ? .forwardAuth : SharedCachePolicy.bypassReason(head, route.cache) {
            exchange.cacheResult = .bypass
            exchange.detail = reason.rawValue
            return fetch(lease: nil, stale: nil, now: now)
        }
        if head.fields.contains(.cacheControl) || head.fields.contains(.pragma) {
            exchange.requestCacheControl = CacheControl(head.fields)
        }
        let found = find(head, route)
        guard let found, SharedCachePolicy.mayAnswer(found.representation.response, head) else {
            if let found { worker.codec.release(found, key: worker.key) }
            exchange.cacheResult = .miss
            if exchange.requestCacheControl.onlyIfCached { return respondError(504, reason: "only-if-cached", now: now) }
            return join(stale: nil, now: now)
        }
        let response = found.representation.response
        switch RevalidationPolicy.verdict(response, exchange.requestCacheControl, head.fields, now: now) {
        case .fresh(let secondsLeft):
            exchange.cacheResult = .hit
            exchange.secondsFresh = secondsLeft
            deliver(found, head, now: now)
        case .stale(let reason):
            worker.codec.release(found, key: worker.key)
            if exchange.requestCacheControl.onlyIfCached { return respondError(504, reason: "only-if-cached", now: now) }
            exchange.cacheResult = .stale
            exchange.detail = reason.rawValue
            exchange.isForwardedOnRequest = reason.isOfRequest
            join(stale: worker.store.withShard(worker.key) { [key = worker.key] in $0.ready(of: response, key: key) }, now: now)
        }
    }

    private func find(_ head: RequestHead, _ route: RoutePlan) -> ResponseShard.Found? {
        worker.key.assign(head, scope: route.cacheScope, seed: worker.store.seed)
        let (key, accepted) = (worker.key, exchange.accepted)
        return worker.store.withShard(key) { $0.find(key, head, accepted: accepted) }
    }

    /// Fetches for all who ask for this key, or waits for whoever does.
    private func join(stale: ResponseShard.Ready?, now: NIODeadline) {
        let head = connection.head
        guard SharedCachePolicy.mayLead(head, exchange.requestCacheControl) else {
            return fetch(lease: nil, stale: nil, now: now)
        }
        // What must be asked for every time is asked for by everybody on their own; see `alwaysRevalidates`.
        let isShared = !(stale?.response.alwaysRevalidates ?? false)
        let key = worker.key
        let joined = worker.store.withShard(key) { $0.join(key, head, follower: isShared ? follower() : nil, now: now) }
        switch joined {
        case .lead(let lease): fetch(lease: lease, stale: stale, now: now)
        case .pass: fetch(lease: nil, stale: nil, now: now)
        case .follow:
            exchange.cacheResult = .coalesced
            source = .follow
        }
    }

    /// This exchange as one that waits for another's fetch.
    private func follower() -> ResponseShard.Follower {
        let bound = NIOLoopBound(self, eventLoop: worker.eventLoop)
        let eventLoop = worker.eventLoop
        let serial = exchange.trace.parentID
        return ResponseShard.Follower { outcome in
            eventLoop.execute { bound.value.leaderFinished(outcome, serial: serial) }
        }
    }

    private func leaderFinished(_ outcome: ResponseShard.FollowerOutcome, serial: UInt64) {
        guard case .follow = source, exchange.trace.parentID == serial, context != nil else { return }
        source = .none
        turn { follow(outcome, now: .now()) }
        flushAndResume()
    }

    private func follow(_ outcome: ResponseShard.FollowerOutcome, now: NIODeadline) {
        switch outcome {
        case .lookAgain:
            let head = connection.head
            if let route, let found = find(head, route) {
                exchange.secondsFresh = found.representation.response.lifetimeSeconds
                deliver(found, head, now: now)
            } else {
                // Another variant than ours was fetched, or it made room already.
                join(stale: nil, now: now)
            }
        case .fetchAlone:
            exchange.cacheResult = .miss
            exchange.detail = "not-shareable"
            fetch(lease: nil, stale: nil, now: now)
        case .failed(let failure):
            exchange.failure = failure
            respondError(failure.status, reason: failure.rawValue, now: now)
        }
    }

    /// Has the response made: by the folder of files if the route has one, else by its group.
    private func fetch(lease: ResponseShard.Lease?, stale: ResponseShard.Ready?, now: NIODeadline) {
        guard let route, case .origin(let files, let upstream) = route.action,
            let origin = files.map(Fetch.Origin.files) ?? upstream.map(Fetch.Origin.application)
        else {
            if let lease { worker.store.finish(lease, .notStored, key: worker.key, now: now) }
            return respondError(404, reason: "no-application", now: now)
        }
        let fetch = Fetch(worker: worker, route: route, origin: origin, client: self, lease: lease, stale: stale, now: now)
        source = .fetch(fetch)
        fetch.start()
    }

    /// Says that the client may send the request's body now.
    /// - Source: RFC 9110 §10.1.1.
    func continueIfExpected() {
        guard !isSuspended, connection.head.expectsContinue, !connection.isRequestComplete, responseFraming == nil else { return }
        var buffer = ByteBuffer()
        buffer.writeStaticString("HTTP/1.1 100 Continue\r\n\r\n")
        context?.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }

    /// Passes on what the application says before its response: `102 Processing`, `103 Early Hints`.
    /// - Source: RFC 9110 §15.2: a client of HTTP/1.0 gets none.
    func forwardInterim(_ head: ResponseHead) {
        guard connection.head.minorVersion > 0, responseFraming == nil else { return }
        turn { InterimResponse.write(status: head.status, head.fields, into: &output) }
        flush()
    }

    // MARK: Tunnel

    /// Says `101 Switching Protocols`; from here on bytes pass through.
    func beginTunnel(_ head: ResponseHead, _ tunnel: Tunnel, now: NIODeadline) {
        exchange.status = 101
        responseFraming = .untilClose
        keepsAlive = false
        source = .tunnel(tunnel)
        arm(.none, for: .zero, from: now)
        turn { InterimResponse.write(status: 101, head.fields, into: &output) }
        flush()
        if pending.readableBytes > 0 {
            let early = pending
            pending = ByteBuffer()
            tunnel.received(early, from: .client, now: now)
        }
        if isInputClosed { tunnel.inputEnded(.client, now: now) }
        resumeReading()
    }

    func sendThroughTunnel(_ bytes: ByteBuffer) {
        turn {
            emit()
            write(bytes)
        }
        flush()
        if !isWritable { updateWriteDeadline(now: .now()) }
    }

    func finishSendingThroughTunnel() {
        flush()
        context?.close(mode: .output, promise: nil)
    }

    func tunnelEnded(bytesToClient: Int, now: NIODeadline) {
        guard case .tunnel = source else { return }
        source = .none
        exchange.bodyBytes = bytesToClient
        count(now: now)
        hasBegun = false
        isClosing = true
        turn { closeWhenSent(now: now) }
    }

    // MARK: Answers

    /// Answers from a stored response.
    private func deliver(_ found: ResponseShard.Found, _ head: RequestHead, now: NIODeadline) {
        turn { answer(found, head, now: now) }
    }

    private func answer(_ found: ResponseShard.Found, _ head: RequestHead, now: NIODeadline) {
        let representation = found.isReady ? found.representation : worker.codec.best(found, key: worker.key, now: now)
        let response = representation.response
        exchange.coding = representation.coding
        exchange.ageSeconds = response.ageSeconds(now: now)
        let isConditional = head.fields.contains(.ifNoneMatch) || head.fields.contains(.ifModifiedSince)
            || head.fields.contains(.ifMatch) || head.fields.contains(.ifUnmodifiedSince)
        if isConditional {
            switch ConditionalPolicy.evaluate(head, representation) {
            case .proceed: break
            case .notModified:
                exchange.status = 304
                headStart = output.readableBytes
                let known = response.entityTag.flatMap { EntityTagVariants.known(head.fields, as: $0) }
                ResponseHeadWriter.writeNotModified(representation, entityTag: known, date: worker.httpDate(now: now), into: &output)
                if let advice = response.browserCaching { output.writeBytes(advice.lines(for: head.fields)) }
                finishHead(.noBody, age: exchange.ageSeconds, now: now)
                return finishExchange(now: now)
            case .failed:
                return respondError(412, reason: "precondition-failed", now: now)
            }
        }
        exchange.status = response.status
        headStart = output.readableBytes
        output.writeImmutableBuffer(representation.head)
        if let advice = response.browserCaching { output.writeBytes(advice.lines(for: head.fields)) }
        finishHead(.length(representation.body.readableBytes), age: exchange.ageSeconds, now: now)
        if head.method != .head {
            exchange.bodyBytes = representation.body.readableBytes
            if representation.body.readableBytes <= Self.copiedBodyBytesMax {
                output.writeImmutableBuffer(representation.body)
            } else {
                emit()
                write(representation.body)
            }
        }
        finishExchange(now: now)
    }

    /// Answers from what a fetch has just brought, and stored or would have stored.
    func deliverFetched(_ representation: Representation, key: CacheKey, now: NIODeadline) {
        let coding = exchange.accepted.best(
            of: representation.response.codings.union(.identity), serverOrder: worker.codec.order) ?? .identity
        worker.key = key
        let found = ResponseShard.Found(
            representation: representation,
            missingCoding: coding == .identity || coding == representation.coding ? nil : coding, deservesHighEffort: false)
        turn { answer(found, connection.head, now: now) }
        flushAndResume()
    }

    /// Answers with a body that is at hand as a whole and not stored.
    func deliverOnce(
        status: Int, _ fields: FieldSection, _ writer: ResponseHeadWriter, _ body: ByteBuffer, now: NIODeadline
    ) {
        assert(!isSuspended, "another server's word is passed on, never held")
        turn {
            beginResponse(status: status, fields, writer, now: now)
            sendBody(body)
            finishExchange(now: now)
        }
        flushAndResume()
    }

    // MARK: Notes that a fetch makes in the exchange

    func noteUpstream(nanoseconds: Int64) { exchange.upstreamNanoseconds = max(nanoseconds, 1) }
    func noteNotStored(_ reason: String) { exchange.detail = reason }
    func noteStored(_ isStored: Bool) { exchange.isStored = isStored }
    func noteRevalidated() { exchange.cacheResult = .revalidated }

    /// Begins a response whose body follows in parts.
    func beginResponse(status: Int, _ fields: FieldSection, _ writer: ResponseHeadWriter, now: NIODeadline) {
        if authorizationBegan(status: status, fields, now: now) { return }
        exchange.status = status
        exchange.coding = writer.coding
        turn {
            headStart = output.readableBytes
            writer.write(status: status, fields, date: worker.httpDate(now: now), into: &output)
            if let advice = writer.browserCaching { output.writeBytes(advice.lines(for: connection.head.fields)) }
            if writer.framing == .untilClose { keepsAlive = false }
            finishHead(writer.framing, age: nil, now: now)
        }
    }

    func sendBody(_ part: ByteBuffer) {
        guard part.readableBytes > 0, connection.head.method != .head, !isSuspended else { return }
        exchange.bodyBytes += part.readableBytes
        turn {
            if responseFraming == .chunked { output.writeChunkHeader(byteCount: part.readableBytes) }
            if part.readableBytes <= Self.copiedBodyBytesMax {
                output.writeImmutableBuffer(part)
            } else {
                emit()
                write(part)
            }
            if responseFraming == .chunked { output.writeStaticString("\r\n") }
        }
        if !isWritable || deadlineReason == .write { updateWriteDeadline(now: .now()) }
    }

    /// Bytes of a response's body that the kernel takes from a file. They go out behind all that was written before.
    func sendRegion(of file: StaticFiles.OpenFile, _ range: Range<Int>) {
        guard connection.head.method != .head, let context else { return }
        exchange.bodyBytes += range.count
        turn {
            if responseFraming == .chunked { output.writeChunkHeader(byteCount: range.count) }
            emit()
            isUnflushed = true
            // The descriptor is the file's, which lives until the kernel has read it and closes it then.
            let handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: file.descriptor)
            let written = context.eventLoop.makePromise(of: Void.self)
            written.futureResult.whenComplete { _ in
                _ = try? handle.takeDescriptorOwnership()
                withExtendedLifetime(file) {}
            }
            let region = FileRegion(fileHandle: handle, readerIndex: range.lowerBound, endIndex: range.upperBound)
            context.write(NIOAny(IOData.fileRegion(region)), promise: written)
            if responseFraming == .chunked { output.writeStaticString("\r\n") }
        }
        flush()
        if !isWritable || deadlineReason == .write { updateWriteDeadline(now: .now()) }
    }

    /// Has what was written go out, unless a turn is still gathering it: whoever began the turn flushes behind it.
    func flush() {
        guard isUnflushed, !isInTurn else { return }
        isUnflushed = false
        context?.flush()
    }

    /// Sends all that comes of one read from the application in one piece: a head and a body that came together go out
    /// together.
    func gather(_ body: () -> Void) {
        guard !isInTurn else { return body() }
        turn(body)
        flush()
        resume()
    }

    /// What follows an answer that was not made while reading: out with it, then on to what the client sent meanwhile.
    func flushAndResume() {
        flush()
        resume()
    }

    func endResponse(trailers: FieldSection?, now: NIODeadline) {
        if authorizationEnded(now: now) { return flushAndResume() }
        turn {
            if responseFraming == .chunked, connection.head.method != .head { output.writeLastChunk(trailers: trailers) }
            finishExchange(now: now)
        }
        flushAndResume()
    }

    /// The response cannot be completed. Before its head it becomes an error page; after it, the connection is cut, so that
    /// the client cannot take what it has for the whole.
    func failResponse(_ failure: GatewayFailure, now: NIODeadline) {
        exchange.failure = failure
        guard responseFraming != nil else {
            respondError(failure.status, reason: failure.rawValue, now: now)
            return flushAndResume()
        }
        if responseFraming == .untilClose { abortivelyClose() }
        count(now: now)
        hasBegun = false
        source = .none
        context?.close(promise: nil)
    }

    /// A small answer of our own.
    /// - Parameters:
    ///   - isKept: Clients may keep it as long as its status says; otherwise it is of this moment alone.
    ///   - retryAfter: Seconds, said with a 503.
    ///   - lines: Whole field lines.
    func respond(
        status: Int, contentType: String, _ body: String, now: NIODeadline, location: String? = nil, isKept: Bool = false,
        retryAfter: Int = 1, lines: String = "", detail: String? = nil
    ) {
        exchange.status = status
        if let detail { exchange.detail = detail }
        turn {
            headStart = output.readableBytes
            output.writeStatusLine(status)
            // RFC 9110 §8.6: a 204 has no body and says no length.
            let body = status == 204 ? "" : body
            if status != 204 {
                output.writeField(.contentType, contentType)
                output.writeField(.contentLength, body.utf8.count)
            }
            if !isKept { output.writeField(.cacheControl, "no-store" as StaticString) }
            if let location { output.writeField(.location, location) }
            output.writeField(.date, worker.httpDate(now: now).span)
            if status == 405 { output.writeStaticString("Allow: GET, HEAD\r\n") }
            if exchange.method == .options, status == 200 { output.writeStaticString(MaxForwards.allow) }
            if status == 503 { output.writeString("Retry-After: \(retryAfter)\r\n") }
            if !lines.isEmpty { output.writeString(lines) }
            finishHead(.length(body.utf8.count), age: nil, now: now)
            if connection.head.method != .head {
                output.writeString(body)
                exchange.bodyBytes = body.utf8.count
            }
            finishExchange(now: now)
        }
    }

    func respondError(_ status: Int, reason: String, now: NIODeadline, lines: String = "") {
        exchange.detail = reason
        respond(
            status: status, contentType: "text/html; charset=utf-8",
            ErrorPage.body(status: status, title: ErrorPage.title(status), reason: reason), now: now, lines: lines)
    }

    /// Answers what could not be understood, and closes.
    func refuse(_ error: HTTP1Error, now: NIODeadline) {
        worker.metrics.refused(error)
        keepsAlive = false
        if hasBegun {
            // In the middle of a request's body: the exchange fails, and if its response has begun it is cut short.
            if case .fetch(let fetch) = source { fetch.clientGone() }
            if responseFraming != nil {
                context?.close(promise: nil)
                return
            }
        } else {
            exchange = Exchange(started: now, trace: worker.trace(FieldSection()))
            hasBegun = true
            route = nil
        }
        source = .none
        respondError(error.status, reason: error.code.rawValue, now: now)
    }

    /// Writes what is said of this one answer, and the empty line.
    private func finishHead(_ framing: ResponseHeadWriter.Framing, age: Int?, now: NIODeadline) {
        responseFraming = framing
        if let age {
            output.writeText(bytesMax: 32) { output in
                output.text("Age: ")
                output.decimal(age)
                output.text("\r\n")
            }
        }
        exchange.appendCacheStatus(to: &output)
        let written = NIODeadline.now()
        exchange.headNanoseconds = (written - exchange.started).nanoseconds
        exchange.appendServerTiming(now: written, to: &output)
        route?.responseRules?.apply(to: &output, from: headStart)
        let isLast = isInputClosed && pending.readableBytes == 0 && !hasMoreInput
        if keepsAlive, !connection.mayKeepAlive || worker.isDraining || isLast { keepsAlive = false }
        if !keepsAlive {
            output.writeStaticString("Connection: close\r\n\r\n")
        } else if connection.head.minorVersion == 0 {
            output.writeStaticString("Connection: keep-alive\r\n\r\n")
        } else {
            output.writeStaticString("\r\n")
        }
    }

    private func finishExchange(now: NIODeadline) {
        count(now: .now())
        source = .none
        hasBegun = false
        responseFraming = nil
        switch connection.responseEnded(keepsAlive: keepsAlive) {
        case .request:
            awaitHead(hasBytes: false, now: now)
        case .close where pending.readableBytes == 0 && !hasMoreInput && !isReadSuppressed && !worker.isDraining:
            closeWhenSent(now: now)
        case .close, .linger:
            emit()
            context?.flush()
            context?.close(mode: .output, promise: nil)
            arm(.linger, for: Self.lingerTime, from: now)
        }
    }

    /// Closes as soon as the kernel has the whole response: what a closed channel has not written yet is lost.
    private func closeWhenSent(now: NIODeadline) {
        guard let context else { return }
        let sent = context.eventLoop.makePromise(of: Void.self)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        sent.futureResult.whenComplete { _ in bound.value.close(promise: nil) }
        isClosing = true
        arm(.write, for: worker.configuration.deadlines.write, from: now)
        context.writeAndFlush(wrapOutboundOut(output), promise: sent)
        output = ByteBuffer()
    }

    private func count(now: NIODeadline) {
        worker.metrics.ended(exchange, now: now)
        worker.record(exchange, connection.head, client: identity.address, ended: now)
    }

    private func clientGone() {
        switch source {
        case .none, .follow, .verify: break
        case .authorize(let fetch), .fetch(let fetch): fetch.clientGone()
        case .tunnel(let tunnel): return tunnel.closed(.client, now: .now())
        }
        if hasBegun {
            exchange.detail = "client-gone"
            if exchange.status == 0 { exchange.status = 499 }
            count(now: .now())
            hasBegun = false
        }
        source = .none
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

    private func write(_ buffer: ByteBuffer) {
        isUnflushed = true
        context?.write(wrapOutboundOut(buffer), promise: nil)
    }

    /// Passes what was gathered to the channel before the turn ends; not yet to the kernel.
    private func emit() {
        guard output.readableBytes > 0 else { return }
        write(output)
        // The channel holds the memory now: writing on would copy it.
        output = ByteBuffer()
    }

    private func abortivelyClose() {
        guard let provider = context?.channel as? any SocketOptionProvider else { return }
        // Zero linger makes the kernel send RST: the one way to tell an HTTP/1.0 client that its body is not complete.
        provider.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in }
    }

    // MARK: Deadlines

    func arm(_ reason: DeadlineReason, for time: TimeAmount, from now: NIODeadline) {
        deadlineReason = reason
        deadline = reason == .none ? .distantFuture : now + time
        if reason == .write { unsentBytes = unsentBytesNow() }
    }

    private func updateWriteDeadline(now: NIODeadline) {
        guard !isClosing else { return }
        if !isWritable {
            if deadlineReason != .write { arm(.write, for: worker.configuration.deadlines.write, from: now) }
        } else if deadlineReason == .write {
            arm(.none, for: .zero, from: now)
            if connection.isAwaitingHead { awaitHead(hasBytes: pending.readableBytes > 0, now: now) }
        }
    }

    /// What was written and is not with the kernel yet.
    private func unsentBytesNow() -> Int {
        (try? context?.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    }

    func deadlinePassed(now: NIODeadline) {
        var reason = deadlineReason
        if reason == .write {
            // A client that takes little is slow, not gone; one that takes next to nothing is held up on purpose.
            let taken = unsentBytes - unsentBytesNow()
            let (limits, time) = (worker.configuration.limits, worker.configuration.deadlines.write)
            if taken > 0, Double(taken) >= Double(limits.transferRateMin) * Double(time.nanoseconds) / 1e9 {
                return arm(.write, for: time, from: now)
            }
            if taken > 0 { reason = .responseRate }
        }
        if reason == .requestBody, responseFraming == nil {
            // Reading stopped because the application takes no more: then it is not the client who is late.
            return giveUpRequestBody(.requestBody, status: isReadSuppressed ? 504 : 408, now: now)
        }
        worker.metrics.deadlinePassed(reason)
        switch deadlineReason {
        case .requestHead where pending.readableBytes > 0:
            keepsAlive = false
            exchange = Exchange(started: now, trace: worker.trace(FieldSection()))
            route = nil
            respondError(408, reason: "request-head-deadline", now: now)
            flush()
        case .authorization:
            if case .authorize(let fetch) = source { fetch.clientGone() }
            source = .none
            respondError(504, reason: "authorization-deadline", now: now)
            return flushAndResume()
        case .requestHead, .requestBody, .requestRate, .keepAlive, .write, .responseRate, .linger, .drain:
            context?.close(promise: nil)
        case .none:
            break
        }
        if deadlineReason != .linger { arm(.none, for: .zero, from: now) }
    }

    /// The rest of a request's body comes too slowly, or not at all: an error if that can be said still.
    private func giveUpRequestBody(_ reason: DeadlineReason, status: Int, now: NIODeadline) {
        worker.metrics.deadlinePassed(reason)
        guard responseFraming == nil else {
            context?.close(promise: nil)
            return
        }
        if case .fetch(let fetch) = source { fetch.clientGone() }
        source = .none
        keepsAlive = false
        respondError(status, reason: reason == .requestRate ? "request-rate" : "request-body-deadline", now: now)
        flush()
        if deadlineReason != .linger { arm(.none, for: .zero, from: now) }
    }

    func drainBegan(now: NIODeadline) {
        guard !hasBegun, pending.readableBytes == 0, deadlineReason == .keepAlive || deadlineReason == .requestHead else { return }
        arm(.drain, for: Self.drainIdleTime, from: now)
    }
}

/// Gives a connection's place back when its handler goes.
struct ConnectionRelease: Sendable {
    let release: @Sendable () -> Void
}
