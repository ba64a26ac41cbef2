import NIOCore
import NIOTLS
import PostgresWire
import Transport

/// One client connection: start-up, then requests to a leased server connection and its replies back.
///
///     startup → welcoming (needs a server connection to learn its parameters, once per kind of client) → idle
///     idle → (a request) → waiting → settingUp (parameters differ) → serving → (the transaction has ended) → idle
///     serving → (the transaction has ended, what it left behind is not known) → probing → idle, or serving when the connection is kept
///
/// Everything about messages is ``ServerSession``'s, everything about who gets which connection ``PoolMachine``'s. Client and server
/// connection are on one event loop: no byte hops.
///
/// With TLS it is in its channel's pipeline, else it has the channel without one.
///
/// It stops reading while the server takes no more, and while ``pendingBytesMax`` wait for a lease or for replies.
final class ClientHandler: ChannelDuplexHandler, SocketOwner {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Requests that are read ahead of a lease, or of the replies to those before.
    static let pendingBytesMax = 64 << 10
    /// Of a request that nothing was done for yet, what is kept while new requests are given up for want of memory.
    private static let smallRequestBytes = 16 << 10
    /// What a connection takes whose handshake of TLS has not ended.
    private static let handshakeBytes = 32 << 10

    enum Encryption {
        case none
        case handshake(isDirect: Bool)
        case established
    }

    enum Phase {
        case startup
        /// Logged in, and waits to be told the server's parameters.
        case welcoming
        case idle
        case waiting
        case settingUp
        /// While a server connection is kept between transactions, too.
        case serving
        /// The server is asked what its session holds.
        case probing
        /// LISTEN is under way, without a server connection of its own.
        case listening
        case closed
    }

    let worker: PoolerWorker
    let channel: SocketChannel
    /// Where its place is counted.
    private let limit: ConnectionLimit
    /// There are too many clients: it is told so.
    let isOverLimit: Bool
    var phase = Phase.startup
    var startup: ClientStartup
    /// A load balancer says first who the client is.
    var awaitsProxyHeader = false
    /// Who the client is, as the balancer says.
    var proxied: SocketAddress?
    var encryption = Encryption.none
    var tlsBuffers: TLSBuffers?
    /// When the memory of those was given back to the kernel.
    private var buffersGivenBackAt = NIODeadline.uptimeNanoseconds(0)
    var authentication: ClientAuthentication?
    /// With TLS.
    private(set) var context: ChannelHandlerContext?
    var pending = ByteBuffer()
    var isReadSuppressed = false
    private(set) var isWritable = true
    private(set) var id: UInt64 = 0
    var key: CancelKeys.Key?
    var pool = 0
    /// Who has logged in, and where to.
    var identity: ClientStartup.Login?
    /// For clients of the console, in the place of a pool.
    var console: ConsoleRunner?
    let openedAt: NIODeadline
    var login: ClientStartup.Login?
    /// It is this process itself, which asks whether a query comes through: none of the traffic that is counted.
    var isProbe = false
    var parameters = ParameterSet.empty {
        didSet { sessionTraceID = parameters.value("application_name").flatMap(TraceParent.find(inName:)) }
    }
    /// An application that says the trace in its name says it for all that follows: looked for when the name is set, and not for each query.
    private(set) var sessionTraceID: String?
    var statements: ClientStatements
    var server: ServerHandler?
    /// When it replicates, its server connection is its own from the login to the end, and what is said there is not looked at.
    var replication = Replication.none
    var isReplication: Bool { replication != .none }
    /// The server connection is kept between transactions.
    var pin: (cause: PinCause, since: NIODeadline)?
    var ticket: UInt64?
    /// While sharing is measured: a server connection of its own is being made, the last of so many.
    var awaitsOwn = false
    var dedicationAttempt = 0
    /// What the pooler listens to for this client.
    var channels: Set<String> = []
    var channelAsked: String?
    /// Notifications that wait for the end of a transaction, or for a client that reads.
    var notifications = ByteBuffer()
    /// Notifications that may wait; a client that lets more wait is disconnected.
    static let notificationBytesMax = 1 << 20
    var isInUnderstanding = false
    /// When what is under way began: the connection, the wait, the transaction.
    var phaseSince: NIODeadline
    /// Microseconds that the request waited for its server connection.
    var leaseWait: UInt64 = 0
    /// When the last request came, or the last reply ended it.
    var activeSince: NIODeadline

    /// - Parameter limit: has admitted it; the place is given back when it closes.
    init(worker: PoolerWorker, channel: SocketChannel, limit: ConnectionLimit, isOverLimit: Bool) {
        self.worker = worker
        self.channel = channel
        let now = NIODeadline.now()
        (openedAt, phaseSince, activeSince) = (now, now, now)
        self.isOverLimit = isOverLimit
        self.limit = limit
        startup = ClientStartup(offersTLS: worker.runner.tls.clients != nil)
        statements = ClientStatements(max: worker.configuration.limits.clientStatementsMax)
        awaitsProxyHeader = !worker.configuration.proxies.isEmpty && channel.remoteAddress?.ipAddress.map { worker.configuration.isProxy($0) } == true
        id = worker.add(self)
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        closed()
    }

    func closed() {
        gone()
        worker.remove(id)
        limit.release()
    }

    func channelInactive(context: ChannelHandlerContext) {
        gone()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? TLSUserEvent, case .handshakeCompleted(let negotiated) = event { encrypted(negotiated) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        requestsReceived(unwrapInboundIn(data))
        // Asked for here, it goes past the rest of the pipeline, which would ask for it next.
        if wantsInput { context.read() }
    }

    /// Without TLS, past the pipeline.
    func received(_ bytes: ByteBuffer) -> Bool {
        requestsReceived(bytes)
        // What waits is kept, and the memory that it was read into is not.
        if pending.readableBytes > 0 { pending = pending.inOwnMemory() }
        isReadSuppressed = !wantsInput
        return !isReadSuppressed
    }

    private func requestsReceived(_ bytes: ByteBuffer) {
        var incoming = bytes
        if key != nil, console == nil, !isProbe { worker.counts.add(pool) { $0.bytesReceived &+= UInt64(incoming.readableBytes) } }
        // What was decrypted stays where it is: see ``giveBackBuffers(now:)``.
        if pending.readableBytes == 0, tlsBuffers == nil { pending = incoming } else { pending.writeBuffer(&incoming) }
        understand()
        guard pending.readableBytes > Self.smallRequestBytes else { return }
        // A review would come too late for thousands that grow at the same time.
        worker.runner.pressure.grew(by: bytes.readableBytes)
        if phase != .serving, worker.runner.pressure.level >= .requests { memoryShort() }
    }

    func read(context: ChannelHandlerContext) {
        if wantsInput { context.read() } else { isReadSuppressed = true }
    }

    /// Nobody further on wants to know.
    func channelReadComplete(context: ChannelHandlerContext) {}

    func channelWritabilityChanged(context: ChannelHandlerContext) { writabilityChanged() }

    func writabilityChanged() {
        isWritable = channel.isWritable
        if isWritable {
            if notifications.readableBytes > 0, mayBeNotified { writeNotifications() }
            server?.resumeReading()
            resumeReading()
        }
    }

    /// It may log in, and use the console; but nothing is read for a server.
    private var isSuspended: Bool { worker.isSuspended && console == nil && phase != .startup && phase != .welcoming }

    /// What lies in the socket stays there: the read that was asked for already is taken back, too.
    func suspend() {
        guard isSuspended else { return }
        channel.setAutoRead(false)
    }

    func resume(after time: TimeAmount) {
        // Who logs in was let in meanwhile.
        guard phase != .startup else { return }
        phaseSince = phaseSince + time
        activeSince = activeSince + time
        channel.setAutoRead(true)
        understand()
        resumeReading()
    }

    /// Whether the kernel has not taken all yet that was written.
    var hasUnflushed: Bool { channel.unsentBytes > 0 }

    var wantsInput: Bool {
        if isSuspended { return false }
        switch phase {
        case .startup, .welcoming, .idle, .waiting, .settingUp, .probing, .listening: return pending.readableBytes < Self.pendingBytesMax
        case .serving:
            // A message that must be whole may be longer than what is read ahead otherwise.
            guard let server, server.isWritable, isWritable else { return false }
            let isFull = server.session.queue.count >= ServerSession.unansweredMax
            return pending.readableBytes < (isFull ? 0 : worker.configuration.limits.preparedTextBytesMax) + Self.pendingBytesMax
        case .closed: return false
        }
    }

    func resumeReading() {
        guard isReadSuppressed, wantsInput else { return }
        isReadSuppressed = false
        if let context { context.read() } else { channel.read0() }
    }

    // MARK: Requests

    /// Looks at what is pending, as far as it can be dealt with now.
    /// - Parameter now: one look at the clock for all that is at hand.
    func understand(now: NIODeadline = .now()) {
        guard !isInUnderstanding, !isSuspended else { return }
        isInUnderstanding = true
        defer { isInUnderstanding = false }
        while pending.readableBytes > 0 {
            let before = (phase, pending.readableBytes)
            switch phase {
            case .startup: startUp()
            case .idle: request(now: now)
            case .serving: forward(now: now)
            case .welcoming, .waiting, .settingUp, .probing, .listening: return
            case .closed: pending = ByteBuffer()
            }
            if before == (phase, pending.readableBytes) { break }
        }
        if pending.readableBytes == 0 { pending = ByteBuffer() }
        resumeReading()
    }

    /// A request without a server connection: most need one.
    func request(now: NIODeadline) {
        switch MessageFraming.head(in: pending, at: pending.readerIndex) {
        case .incomplete: return
        case .malformed: fail(.protocolViolation, "invalid message length")
        case .message(let head):
            switch head.kind {
            case FrontendKind.terminate: close()
            case _ where console != nil: consoleRequest(head)
            case FrontendKind.sync where head.bytes == 5:
                pending.moveReaderIndex(forwardBy: 5)
                var reply = ByteBuffer()
                BackendMessage.readyForQuery(.idle, to: &reply)
                write(reply)
            case FrontendKind.flush where head.bytes == 5: pending.moveReaderIndex(forwardBy: 5)
            case FrontendKind.query where listenRequested(head): break
            default:
                // For what has not come yet no server connection is taken from others, as far as it may be read ahead.
                guard head.bytes <= pending.readableBytes || head.bytes > Self.pendingBytesMax else { return }
                phase = .waiting
                lease(now: now)
            }
        }
    }

    /// A message to the console, which speaks the simple protocol.
    func consoleRequest(_ head: MessageFraming.Head) {
        guard let console, !console.isBusy else { return }
        guard head.kind == FrontendKind.query else { return fail(.protocolViolation, "the console takes simple queries only") }
        guard head.bytes <= ConsoleCommand.textBytesMax + MessageFraming.headBytes + 1 else { return fail(.programLimitExceeded, "too long for a command") }
        guard var payload = pending.readSlice(length: head.bytes) else { return }
        payload.moveReaderIndex(forwardBy: MessageFraming.headBytes)
        guard let text = payload.readNullTerminatedString() else { return fail(.protocolViolation, "malformed message") }
        activeSince = .now()
        console.received(text)
    }

    func forward(now: NIODeadline) {
        guard let server else { return }
        var (requests, replies) = (ByteBuffer(), ByteBuffer())
        let before = pending.readableBytes
        let isNew = pin != nil && server.session.isQuiescent
        let outcome = server.session.requestsReceived(
            &pending, client: &statements, prepare: { body in worker.runner.prepared.withLock { $0.find(body) } }, to: &requests,
            replies: &replies)
        activeSince = now
        if isNew { phaseSince = now }
        if replies.readableBytes > 0 { write(replies) }
        if requests.readableBytes > 0 { server.send(requests) }
        switch outcome {
        case .sent:
            // The beginning of a long message that must be whole: what may be read for it is read while the connection is there.
            if before > 0, pending.readableBytes == before { return }
            if server.session.queue.isEmpty { releaseIfDone(now: now) }
        case .terminated: close()
        case .refused(let refusal): fail(refusal.sqlState, refusal.message)
        }
    }

    // MARK: Deadlines

    func swept(now: NIODeadline) {
        let timeouts = worker.configuration.timeouts
        func isOver(_ timeout: TimeAmount, since: NIODeadline) -> Bool { timeout > .zero && since + timeout <= now }
        switch phase {
        case .startup:
            if isOver(timeouts.clientLogin, since: phaseSince) { fail(.protocolViolation, "client_login_timeout") }
        case .idle:
            if isOver(timeouts.clientIdle, since: activeSince) { return fail(.idleSessionTimeout, "client_idle_timeout") }
            if tlsBuffers != nil { giveBackBuffers(now: now) }
        case .serving where isReplication:
            // A stream of changes has no end: what bounds queries and transactions is not for it.
            guard let server, server.session.isQuiescent else { return }
            if isOver(timeouts.clientIdle, since: activeSince) { fail(.idleSessionTimeout, "client_idle_timeout") }
        case .serving:
            sweepOwn(now: now)
            guard let server else { return }
            if !server.session.queue.isEmpty, isOver(timeouts.query, since: activeSince) {
                fail(.queryCanceled, "query_timeout")
            } else if server.session.status != .idle || server.session.isInBatch || pin == nil && pending.readableBytes > 0, server.session.queue.isEmpty,
                isOver(timeouts.idleTransaction, since: activeSince)
            {
                fail(.idleInTransactionSessionTimeout, "idle_transaction_timeout")
            } else if pin == nil, pending.readableBytes > 0, worker.configuration.mode != .session, server.session.isQuiescent,
                isOver(timeouts.queryWait, since: phaseSince)
            {
                // A message that must be whole is read while the connection is there, and holds it up: for as long as others may have to wait for it.
                fail(.queryCanceled, "query_wait_timeout: the rest of a message did not come")
            } else if pin != nil, server.session.isQuiescent {
                if isOver(timeouts.clientIdle, since: activeSince) { fail(.idleSessionTimeout, "client_idle_timeout") }
            } else if isOver(timeouts.transaction, since: phaseSince), worker.configuration.mode != .session {
                fail(.transactionTimeout, "transaction_timeout")
            }
        case .waiting: sweepAwaited(now: now)
        case .welcoming, .settingUp, .probing, .listening, .closed: break
        }
    }

    /// An idle client's TLS has nothing in its buffers that anybody will ask for, unless the kernel has not taken it yet.
    private func giveBackBuffers(now: NIODeadline) {
        guard buffersGivenBackAt <= activeSince, !hasUnflushed else { return }
        buffersGivenBackAt = now
        tlsBuffers?.giveBack()
    }

    func drainBegan() {
        switch phase {
        case .idle where pending.readableBytes == 0: fail(.adminShutdown, "terminating connection due to administrator command")
        // A stream of changes would go on for ever; who reads it comes again, and goes on where it was.
        case .serving where isReplication: fail(.adminShutdown, "terminating connection due to administrator command")
        case .serving:
            guard let server, server.session.isQuiescent, pending.readableBytes == 0 else { return }
            fail(.adminShutdown, "terminating connection due to administrator command")
        case .startup: close()
        case .idle, .welcoming, .waiting, .settingUp, .probing, .listening, .closed: break
        }
    }

    // MARK: The end

    func fail(_ sqlState: SQLState, _ message: String) {
        fail(ErrorFields(severity: "FATAL", sqlState: sqlState.rawValue, message: message))
    }

    /// Says why, and closes.
    func fail(_ error: ErrorFields) {
        guard phase != .closed else { return }
        worker.metrics.clientsRefused.add()
        var bytes = ByteBuffer()
        error.write(to: &bytes)
        // In the middle of a message an error would be taken for a part of it.
        if server?.session.replyFraming.isBetweenMessages ?? true { write(bytes) }
        close()
    }

    // MARK: Memory

    /// What it holds for a client that sends or takes slowly.
    var heldBytes: Int {
        if case .handshake = encryption { return Self.handshakeBytes }
        return pending.storageCapacity + channel.unsentBytes + notifications.storageCapacity
    }

    /// - Returns: what it held.
    @discardableResult func memoryShort() -> Int {
        guard phase != .closed else { return 0 }
        let bytes = heldBytes
        worker.runner.pressure.cut(bytes)
        worker.metrics.memoryCuts.add()
        fail(.outOfMemory, "memory.total: the pooler is short of memory")
        // With TLS, too, what is not taken is not waited for.
        if let context { TLSPeer.close(context) }
        return bytes
    }

    func close() {
        gone()
        if let context { context.close(promise: nil) } else { channel.close0(error: Self.closed, mode: .all, promise: nil) }
    }

    /// Made once: nobody waits for it.
    private static let closed: any Error = ChannelError.alreadyClosed

    /// The client is gone, or about to: what it holds goes back.
    func gone() {
        guard phase != .closed || server != nil || ticket != nil || key != nil else { return }
        if phase == .serving { logUnfinishedStatement() }
        if let server { countUnfinished(on: server) }
        phase = .closed
        authentication?.abandon()
        console?.abandon()
        authentication = nil
        if let ticket { worker.waiterGone(ticket, pool: pool) }
        ticket = nil
        awaitsOwn = false
        if let key {
            worker.runner.cancelKeys.withdraw(key)
            if statements.insight != nil { worker.recentHabit = statements.habit }
        }
        key = nil
        if !channels.isEmpty || channelAsked != nil, let identity {
            let listener = ListenChannels.Listener(loop: worker.index, client: id)
            worker.runner.run(on: PoolerWorker.listenLoop) { $0.listenHub.unlisten(identity.startup.database, nil, listener) }
        }
        channels = []
        channelAsked = nil
        notifications = ByteBuffer()
        guard let server else { return }
        self.server = nil
        if isReplication { return server.end(isReusable: false, now: .now()) }
        // A library that was loaded stays, and DISCARD ALL with it.
        if pin?.cause == .library { return server.end(isReusable: false, now: .now()) }
        let isKnown =
            pin == nil
            && (server.session.isQuiescent
                ? statements.session?.verdict() == .release(isKnown: true) && statements.session?.takeNewSettings() == nil
                : server.session.queue.isEmpty && statements.session?.isKnownAfterRollback == true)
        server.clientGone(resets: worker.configuration.mode == .session || statements.session != nil && !isKnown)
    }

    static func microseconds(_ time: TimeAmount) -> UInt64 { UInt64(clamping: time.nanoseconds / 1000) }

    func write(_ bytes: ByteBuffer) {
        worker.metrics.bytesSent.add(bytes.readableBytes)
        if key != nil, console == nil, !isProbe { worker.counts.add(pool) { $0.bytesSent &+= UInt64(bytes.readableBytes) } }
        if case .none = encryption { channel.send(bytes) } else { context?.writeAndFlush(NIOAny(bytes), promise: nil) }
    }
}
