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
/// It stops reading while the server takes no more, and while ``pendingBytesMax`` wait for a lease or for replies.
final class ClientHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Requests that are read ahead of a lease, or of the replies to those before.
    static let pendingBytesMax = 64 << 10

    private enum Encryption {
        case none
        case handshake(isDirect: Bool)
        case established
    }

    private enum Phase {
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

    private let worker: PoolerWorker
    private let release: @Sendable () -> Void
    /// There are too many clients: it is told so.
    private let isOverLimit: Bool
    private var phase = Phase.startup
    private var startup: ClientStartup
    /// A load balancer says first who the client is.
    private var awaitsProxyHeader = false
    /// Who the client is, as the balancer says.
    private var proxied: ProxyHeader.Client?
    private var encryption = Encryption.none
    private var authentication: ClientAuthentication?
    private var context: ChannelHandlerContext?
    private var pending = ByteBuffer()
    private var isReadSuppressed = false
    private(set) var isWritable = false
    private var id: UInt64 = 0
    private var key: CancelKeys.Key?
    private(set) var pool = 0
    /// Who has logged in, and where to.
    private(set) var identity: HostRules.Client?
    /// For clients of the console, in the place of a pool.
    private(set) var console: ConsoleRunner?
    private let openedAt = NIODeadline.now()
    private var login: ClientStartup.Login?
    private var parameters = ParameterSet.empty
    private var statements: ClientStatements
    private var server: ServerHandler?
    /// The server connection is kept between transactions.
    private var pin: (cause: PinCause, since: NIODeadline)?
    private var ticket: UInt64?
    /// What the pooler listens to for this client.
    private var channels: Set<String> = []
    private var channelAsked: String?
    /// Notifications that wait for the end of a transaction, or for a client that reads.
    private var notifications = ByteBuffer()
    /// Notifications that may wait; a client that lets more wait is disconnected.
    static let notificationBytesMax = 1 << 20
    private var isInUnderstanding = false
    /// When what is under way began: the connection, the wait, the transaction.
    private var phaseSince = NIODeadline.now()
    /// Microseconds that the request waited for its server connection.
    private var leaseWait: UInt64 = 0
    /// When the last request came, or the last reply ended it.
    private(set) var activeSince = NIODeadline.now()

    init(worker: PoolerWorker, isOverLimit: Bool, release: @escaping @Sendable () -> Void) {
        self.worker = worker
        self.isOverLimit = isOverLimit
        self.release = release
        startup = ClientStartup(offersTLS: worker.runner.tls.clients != nil)
        statements = ClientStatements(max: worker.configuration.limits.clientStatementsMax)
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        context.eventLoop.preconditionInEventLoop()
        self.context = context
        isWritable = context.channel.isWritable
        if !worker.configuration.proxies.isEmpty, let peer = context.channel.remoteAddress?.ipAddress.flatMap({ IPAddress($0) }) {
            awaitsProxyHeader = worker.configuration.proxies.contains { $0.contains(peer) }
        }
        id = worker.add(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        gone()
        self.context = nil
        worker.remove(id)
        release()
    }

    func channelInactive(context: ChannelHandlerContext) {
        gone()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // A client that has closed its half asks nothing more, and PostgreSQL ends such a session, too.
        if let event = event as? ChannelEvent, event == .inputClosed { context.close(promise: nil) }
        if let event = event as? TLSUserEvent, case .handshakeCompleted(let negotiated) = event { encrypted(negotiated) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var incoming = unwrapInboundIn(data)
        if key != nil, console == nil { worker.counts.add(pool) { $0.bytesReceived &+= UInt64(incoming.readableBytes) } }
        if pending.readableBytes == 0 { pending = incoming } else { pending.writeBuffer(&incoming) }
        understand()
    }

    func read(context: ChannelHandlerContext) {
        if wantsInput { context.read() } else { isReadSuppressed = true }
    }

    /// Nobody further on wants to know.
    func channelReadComplete(context: ChannelHandlerContext) {}

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        if isWritable {
            if notifications.readableBytes > 0, mayBeNotified { writeNotifications() }
            server?.resumeReading()
            resumeReading()
        }
    }

    private var wantsInput: Bool {
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

    private func resumeReading() {
        guard isReadSuppressed, wantsInput, let context else { return }
        isReadSuppressed = false
        context.read()
    }

    // MARK: Requests

    /// Looks at what is pending, as far as it can be dealt with now.
    private func understand() {
        guard !isInUnderstanding else { return }
        isInUnderstanding = true
        defer { isInUnderstanding = false }
        while pending.readableBytes > 0 {
            let before = (phase, pending.readableBytes)
            switch phase {
            case .startup: startUp()
            case .idle: request()
            case .serving: forward()
            case .welcoming, .waiting, .settingUp, .probing, .listening: return
            case .closed: pending = ByteBuffer()
            }
            if before == (phase, pending.readableBytes) { break }
        }
        if pending.readableBytes == 0 { pending = ByteBuffer() }
        resumeReading()
    }

    /// A request without a server connection: most need one.
    private func request() {
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
                phase = .waiting
                lease(now: .now())
            }
        }
    }

    /// A message to the console, which speaks the simple protocol.
    private func consoleRequest(_ head: MessageFraming.Head) {
        guard let console, !console.isBusy else { return }
        guard head.kind == FrontendKind.query else { return fail(.protocolViolation, "the console takes simple queries only") }
        guard head.bytes <= ConsoleCommand.textBytesMax + MessageFraming.headBytes + 1 else { return fail(.programLimitExceeded, "too long for a command") }
        guard var payload = pending.readSlice(length: head.bytes) else { return }
        payload.moveReaderIndex(forwardBy: MessageFraming.headBytes)
        guard let text = payload.readNullTerminatedString() else { return fail(.protocolViolation, "malformed message") }
        activeSince = .now()
        console.received(text)
    }

    private func forward() {
        guard let server else { return }
        var (requests, replies) = (ByteBuffer(), ByteBuffer())
        let runner = worker.runner
        let isNew = pin != nil && server.session.isQuiescent
        let outcome = server.session.requestsReceived(
            &pending, client: &statements, prepare: { body in runner.prepared.withLock { $0.find(body) } }, to: &requests,
            replies: &replies)
        activeSince = .now()
        if isNew { phaseSince = activeSince }
        if replies.readableBytes > 0 { write(replies) }
        if requests.readableBytes > 0 { server.send(requests) }
        switch outcome {
        case .sent: releaseIfDone(now: activeSince)
        case .terminated: close()
        case .refused(let refusal): fail(refusal.sqlState, refusal.message)
        }
    }

    // MARK: LISTEN

    /// LISTEN and UNLISTEN by themselves need no server connection: the pooler listens for all.
    /// - Returns: whether it was such a query; it is taken then.
    private func listenRequested(_ head: MessageFraming.Head) -> Bool {
        let start = pending.readerIndex + MessageFraming.headBytes
        guard head.bytes <= 1024, head.bytes <= pending.readableBytes, statements.session != nil, worker.configuration.mode != .session,
            // One comparison tells most queries apart.
            let first = pending.getInteger(at: start, as: UInt8.self), first | 0x20 == UInt8(ascii: "l") || first | 0x20 == UInt8(ascii: "u"),
            let sql = pending.getSlice(at: start, length: head.bytes - MessageFraming.headBytes),
            let text = sql.withUnsafeReadableBytes({ worker.texts.find($0) }), text.statements.count == 1, text.effects.count == 1
        else { return false }
        switch text.effects[0] {
        case .listen(let channel):
            guard channels.count < SessionState.channelsMax || channels.contains(channel) else {
                pending.moveReaderIndex(forwardBy: head.bytes)
                listened(ErrorFields(severity: "ERROR", sqlState: SQLState.programLimitExceeded.rawValue, message: "too many channels"))
                return true
            }
            phase = .listening
            phaseSince = .now()
            channelAsked = channel
            let key = worker.runner.inspect { [pool] in PoolMachine.PoolKey(database: $0.pools[pool].database, user: $0.pools[pool].user) }
            let listener = ListenChannels.Listener(loop: worker.index, client: id)
            pending.moveReaderIndex(forwardBy: head.bytes)
            // Not within this turn: the answer may come before it returns.
            worker.runner.run(on: PoolerWorker.listenLoop) { $0.listenHub.listen(key, channel, listener) }
        case .unlisten(let channel):
            pending.moveReaderIndex(forwardBy: head.bytes)
            unlisten(.channels([channel]))
            complete("UNLISTEN")
        case .unlistenAll:
            pending.moveReaderIndex(forwardBy: head.bytes)
            unlisten(.all)
            complete("UNLISTEN")
        default: return false
        }
        activeSince = .now()
        return true
    }

    private func complete(_ tag: String) {
        var reply = ByteBuffer()
        BackendMessage.commandComplete(tag, to: &reply)
        BackendMessage.readyForQuery(.idle, to: &reply)
        write(reply)
    }

    /// The pooler listens, or cannot.
    func listened(_ error: ErrorFields?) {
        if phase == .listening { phase = .idle } else if phase != .idle { return }
        activeSince = .now()
        if let channelAsked, error == nil { channels.insert(channelAsked) }
        channelAsked = nil
        if var error {
            error.severity = "ERROR"
            var reply = ByteBuffer()
            error.write(to: &reply)
            BackendMessage.readyForQuery(.idle, to: &reply)
            write(reply)
        } else {
            complete("LISTEN")
        }
        understand()
    }

    private func unlisten(_ unlistened: SessionState.Unlistened?) {
        guard let unlistened, !channels.isEmpty, let identity else { return }
        let listener = ListenChannels.Listener(loop: worker.index, client: id)
        switch unlistened {
        case .all:
            channels = []
            worker.runner.run(on: PoolerWorker.listenLoop) { $0.listenHub.unlisten(identity.database, nil, listener) }
        case .channels(let names):
            for name in names where channels.remove(name) != nil {
                worker.runner.run(on: PoolerWorker.listenLoop) { $0.listenHub.unlisten(identity.database, name, listener) }
            }
        }
    }

    /// As PostgreSQL does, a client is told between its transactions.
    private var mayBeNotified: Bool {
        switch phase {
        case .startup, .welcoming, .closed: false
        case .idle, .waiting, .settingUp, .probing, .listening: true
        case .serving: server?.session.isQuiescent ?? false
        }
    }

    /// - Parameter message: the whole NotificationResponse.
    func notified(_ channel: String, _ message: ByteBuffer) {
        guard channels.contains(channel) || channelAsked == channel, phase != .closed else { return }
        guard notifications.readableBytes + message.readableBytes <= Self.notificationBytesMax else {
            return fail(.programLimitExceeded, "too many notifications that were not read")
        }
        notifications.writeImmutableBuffer(message)
        if mayBeNotified, isWritable { writeNotifications() }
    }

    private func writeNotifications() {
        write(notifications)
        notifications = ByteBuffer()
    }

    func listenLost() {
        guard !channels.isEmpty || channelAsked != nil else { return }
        channels = []
        fail(.connectionFailure, "the server connection that listened for this client is gone")
    }

    // MARK: The lease

    private func lease(now: NIODeadline) {
        phaseSince = now
        worker.lease(self, pool: pool, now: now)
    }

    func waits(_ ticket: UInt64, since now: NIODeadline) {
        self.ticket = ticket
    }

    func leased(_ server: ServerHandler, now: NIODeadline) {
        ticket = nil
        self.server = server
        server.begin(self)
        worker.metrics.leases.add()
        worker.metrics.waited(now - phaseSince)
        let wait = Self.microseconds(now - phaseSince)
        leaseWait = wait
        worker.counts.add(pool) {
            $0.serverAssignments &+= 1
            $0.waitTime &+= wait
        }
        phaseSince = now
        activeSince = now
        server.session.renamesStatements = worker.configuration.mode != .session
        if let statement = parameters.statement(from: server.session.parameters) {
            if phase == .waiting { phase = .settingUp }
            worker.metrics.parameterChanges.add()
            var bytes = ByteBuffer()
            server.session.setupSent(statement, to: &bytes)
            server.send(bytes)
        } else {
            settledUp(server)
        }
    }

    /// The server connection has this client's parameters.
    private func settledUp(_ server: ServerHandler) {
        if server.session.parameters != parameters { server.session.parameters = parameters }
        switch phase {
        case .welcoming:
            worker.runner.welcomed(pool, parameters, with: server.session.reported)
            let reported = server.session.reported
            endLease(isReusable: true, now: .now())
            welcome(reported)
            understand()
        case .waiting, .settingUp:
            phase = .serving
            understand()
        case .startup, .idle, .serving, .probing, .listening, .closed: break
        }
    }

    /// It waited for nothing.
    func leaseRefused(_ error: ErrorFields) {
        ticket = nil
        fail(error)
    }

    /// The connection that it was to have is gone: it waits again.
    func leaseLost() {
        ticket = nil
        worker.lease(self, pool: pool, now: .now())
    }

    private func releaseIfDone(now: NIODeadline) {
        guard phase == .serving, let server, server.session.isQuiescent, worker.configuration.mode != .session else { return }
        settle(statements.session?.settled() ?? .release(isKnown: true), server, now: now)
    }

    /// No transaction is open: what becomes of the server connection.
    private func settle(_ verdict: SessionState.Verdict, _ server: ServerHandler, now: NIODeadline) {
        if !channels.isEmpty {
            unlisten(statements.session?.takeUnlistened())
            // What it listens to on a connection of its own is not to come twice.
            if let own = statements.session?.channels, !own.isEmpty { unlisten(.channels(own)) }
        }
        if notifications.readableBytes > 0 { writeNotifications() }
        switch verdict {
        case .keep: return
        case .probe:
            phase = .probing
            worker.metrics.probes.add()
            var bytes = ByteBuffer()
            server.session.probeSent(to: &bytes)
            server.send(bytes)
            return
        case .pinned(let cause):
            phase = .serving
            phaseSince = now
            if pin == nil {
                guard worker.runner.pinned(server.slot) else {
                    return fail(.configurationLimitExceeded, "too many server connections are kept for clients (pooler.limits.pinned): \(cause.rawValue)")
                }
                worker.metrics.pins.add()
            }
            if pin?.cause != cause { pin = (cause, now) }
        case .release(let isKnown):
            phase = .idle
            pin = nil
            if let settings = statements.session?.takeNewSettings() {
                (parameters, server.session.parameters) = worker.runner.parameterSets.withLock { sets in
                    (sets.make(settings.client), sets.make(settings.server))
                }
            }
            endLease(isReusable: true, resets: !isKnown, now: now)
        }
        if worker.isDraining, pending.readableBytes == 0 { fail(.adminShutdown, "terminating connection due to administrator command") }
    }

    private func endLease(isReusable: Bool, resets: Bool = false, now: NIODeadline) {
        guard let server else { return }
        self.server = nil
        server.end(isReusable: isReusable, resets: resets, now: now)
    }

    // MARK: The server's side

    /// The server's bytes are read with what is known of this client.
    func repliesReceived(_ input: inout ByteBuffer, from server: ServerHandler, to output: inout ByteBuffer) -> ServerSession.ReplyOutcome {
        server.session.repliesReceived(&input, client: &statements, to: &output)
    }

    /// The server has said what its session holds.
    private func probed(_ server: ServerHandler) {
        guard phase == .probing else { return }
        guard server.session.setupError == nil, let answer = server.session.probeAnswer, let verdict = statements.session?.probed(answer) else {
            return fail(.connectionFailure, "the server does not tell what the session holds")
        }
        settle(verdict, server, now: .now())
        understand()
    }

    func replied(_ output: ByteBuffer, _ outcome: ServerSession.ReplyOutcome, server: ServerHandler) {
        if output.readableBytes > 0 { write(output) }
        guard !outcome.isLost else { return fail(.connectionFailure, "the server sent what is no answer") }
        if outcome.hasParameters { parametersReported(server.session.takeReportedChanges(), server) }
        if let setup = outcome.setup {
            switch setup {
            case .done: settledUp(server)
            case .failed:
                guard var error = server.session.setupError else { return }
                error.severity = "FATAL"
                fail(error)
            }
            return
        }
        if outcome.isProbed { return probed(server) }
        guard outcome.isReady else { return }
        let now = NIODeadline.now()
        let queryTime = Self.microseconds(now - activeSince)
        activeSince = now
        statements.countEnded(wait: leaseWait, server: queryTime)
        leaseWait = 0
        let isTransaction = server.session.status == .idle
        // A session begins many of them: there the last query stands for its transaction.
        let since = worker.configuration.mode == .session ? queryTime : Self.microseconds(now - phaseSince)
        let transactionTime = isTransaction ? since : 0
        worker.counts.add(pool) {
            $0.queries &+= 1
            $0.queryTime &+= queryTime
            $0.transactions &+= isTransaction ? 1 : 0
            $0.transactionTime &+= transactionTime
        }
        if isTransaction {
            worker.metrics.transactions.add()
        } else if worker.configuration.mode == .statement {
            return fail(.featureNotSupported, "transaction blocks are not allowed in statement pooling mode")
        }
        releaseIfDone(now: now)
        if pending.readableBytes > 0 { understand() } else { resumeReading() }
    }

    /// The client, or its transaction's end, has changed parameters that the server reports: they are its own from now on.
    private func parametersReported(_ reported: [StartupMessage.Parameter], _ server: ServerHandler) {
        guard worker.configuration.mode != .session else { return }
        let base = parameters
        parameters = worker.runner.parameterSets.withLock { sets in
            reported.filter { !SessionState.notSettable.contains($0.name.lowercased()) }
                .reduce(base) { sets.make($0, setting: $1.name, to: $1.value) }
        }
        server.session.parameters = parameters
    }

    func serverWritable() {
        if pending.readableBytes > 0 { understand() } else { resumeReading() }
    }

    /// The server connection ended while the client had it.
    func serverGone() {
        let wasTold = server?.session.isEnding ?? false
        server = nil
        if phase == .probing, pin == nil {
            // Its transaction has ended; what there may have been is gone with the connection.
            statements.session?.connectionReset()
            phase = .idle
            return understand()
        }
        if wasTold { return close() }
        fail(.connectionFailure, "server connection closed unexpectedly")
    }

    // MARK: Start-up

    /// The client's address; `nil` on a Unix socket.
    private var remote: (address: String, port: Int)? {
        if let proxied { return (proxied.address.text, proxied.port) }
        guard let remote = context?.channel.remoteAddress, let address = remote.ipAddress else { return nil }
        return (address, remote.port ?? 0)
    }

    private func startUp() {
        if awaitsProxyHeader {
            switch ProxyHeader.read(from: &pending) {
            case .incomplete: return
            case .malformed:
                worker.runner.logger.notice("no PROXY header from \(remote?.address ?? "unix")")
                return close()
            case .itself: awaitsProxyHeader = false
            case .client(let client):
                awaitsProxyHeader = false
                proxied = client
            }
            guard pending.readableBytes > 0 else { return }
        }
        if let authentication {
            do {
                if let message = try ClientAuthentication.take(from: &pending) { authentication.received(message) }
            } catch {
                authentication.refuse(error)
            }
            return
        }
        switch startup.received(&pending) {
        case .wait: break
        case .decline: write(ByteBuffer(bytes: [UInt8(ascii: "N")]))
        case .encrypt:
            write(ByteBuffer(bytes: [UInt8(ascii: "S")]))
            encrypt(isDirect: false)
        case .encryptDirectly: encrypt(isDirect: true)
        case .close: close()
        case .cancel(let key): cancel(key)
        case .refuse(let error): fail(error)
        case .login(let login):
            self.login = login
            authenticate(login)
        }
    }

    /// All that follows is encrypted.
    private func encrypt(isDirect: Bool) {
        guard let context, let tls = worker.runner.tls.clients else { return close() }
        encryption = .handshake(isDirect: isDirect)
        do {
            try context.pipeline.syncOperations.addHandler(tls.handler(), position: .first)
        } catch {
            return close()
        }
        guard pending.readableBytes > 0 else { return }
        // What was read is the beginning of the handshake: it starts again, from the front.
        let bytes = pending
        pending = ByteBuffer()
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.eventLoop.execute {
            bound.value.pipeline.syncOperations.fireChannelRead(NIOAny(bytes))
            bound.value.pipeline.syncOperations.fireChannelReadComplete()
        }
    }

    private func encrypted(_ negotiated: String?) {
        guard case .handshake(let isDirect) = encryption else { return }
        // Without a request the name of the protocol is all that keeps other protocols' clients out (PostgreSQL 17 asks for it, too).
        guard !isDirect || negotiated == PoolerTLS.applicationProtocol else { return close() }
        encryption = .established
    }

    /// The client has to show who it is.
    private func authenticate(_ login: ClientStartup.Login) {
        guard !isOverLimit else { return fail(.tooManyConnections, "no more connections allowed (max_client_connections)") }
        let address = remote?.address
        let hasTLS = if case .established = encryption { true } else { false }
        // A Unix socket needs no TLS: nobody is in between.
        guard hasTLS || address == nil || worker.runner.tls.clientMode == .disable || worker.runner.tls.clientMode == .allow else {
            return fail(.invalidAuthorization, "TLS required")
        }
        let client = HostRules.Client(
            user: login.startup.user, database: login.startup.database, isReplication: login.startup.isReplication,
            address: address.flatMap { IPAddress($0) }, hasTLS: hasTLS)
        let certificate = hasTLS ? context.flatMap { TLSPeer.certificate(of: $0.pipeline) } : nil
        let applicant = ClientLogin.Applicant(
            client: client, certificateName: certificate.flatMap { CertificateSubject.commonName(certificate: $0) },
            channelBinding: hasTLS ? worker.runner.tls.channelBinding : nil)
        let isConsole = worker.isConsole(client.database)
        let authentication = ClientAuthentication(
            applicant, authenticator: worker.runner.authenticator, eventLoop: worker.eventLoop,
            askDatabase: { [worker] client, done in
                // Of the console, and of databases that are not offered, there is nobody to ask.
                let databases = worker.configuration.databases
                guard !isConsole || worker.configuration.authentication.queryDatabase != nil, databases[client.database] ?? databases["*"] != nil
                else { return done(nil) }
                worker.authQueries.ask(client, done)
            }
        ) { [unowned self] step in
            switch step {
            case .send(let bytes): write(bytes)
            case .accept(let bytes):
                if bytes.readableBytes > 0 { write(bytes) }
                self.authentication = nil
                identity = client
                if isConsole { admitToConsole(client) } else { admit(login) }
                // What came with the proof waits to be understood, when it was a derivation that took its time.
                understand()
            case .refuse(let refusal):
                worker.runner.logger.notice(
                    "login refused: \(refusal.rawValue)", metadata: ["user": "\(client.user)", "database": "\(client.database)"])
                fail(ErrorFields(severity: "FATAL", sqlState: refusal.sqlState, message: refusal.message(for: client)))
            }
        }
        self.authentication = authentication
        authentication.begin()
    }

    /// The client may come in; what is left is to tell it where it is.
    private func admit(_ login: ClientStartup.Login) {
        guard !worker.isDraining else { return fail(.cannotConnectNow, "the pooler is shutting down") }
        let databases = worker.configuration.databases
        guard let database = databases[login.startup.database] ?? databases["*"] else {
            return fail(.invalidCatalogName, "no such database: \(login.startup.database)")
        }
        let poolKey = PoolMachine.PoolKey(database: login.startup.database, user: database.user ?? login.startup.user)
        guard !worker.runner.disabledDatabases.withLock({ $0.contains(login.startup.database) }) else {
            return fail(.cannotConnectNow, "database \"\(login.startup.database)\" is disabled")
        }
        guard let pool = worker.runner.pool(poolKey) else { return fail(.tooManyConnections, "too many pools of server connections") }
        self.pool = pool
        let configuration = worker.configuration
        var login = login
        if configuration.addsClientAddress { login.addClientAddress(remote.map { "\($0.address):\($0.port)" } ?? "unix") }
        parameters = worker.runner.parameterSets.withLock { $0.make(login.parameters) }
        let hasState = configuration.mode != .session && configuration.sessionState != .pgbouncer
        statements = ClientStatements(
            max: configuration.limits.clientStatementsMax,
            session: hasState ? SessionState(mode: configuration.sessionState, parameters: login.parameters.map { ($0.name, $0.value) }) : nil,
            texts: worker.texts, insight: (worker.queries, pool))
        key = worker.runner.cancelKeys.issue(to: .init(loop: worker.index, client: id), secret: .random(in: .min ... .max))
        phase = .welcoming
        if let reported = worker.runner.welcome(pool, parameters) { return welcome(reported) }
        lease(now: .now())
    }

    private func admitToConsole(_ client: HostRules.Client) {
        guard ConsoleAccess(worker.configuration.authentication).mayConnect(client.user) else {
            return fail(.invalidAuthorization, "the console is not for user \"\(client.user)\": see pooler.auth.admins")
        }
        console = ConsoleRunner(worker: worker, user: client.user) { [unowned self] bytes in
            write(bytes)
            understand()
        }
        key = worker.runner.cancelKeys.issue(to: .init(loop: worker.index, client: id), secret: .random(in: .min ... .max))
        phase = .welcoming
        welcome(Dictionary(uniqueKeysWithValues: ConsoleRunner.parameters.map { ($0.name, $0.value) }))
    }

    private func welcome(_ reported: [String: String]) {
        guard phase == .welcoming, let login, let key else { return }
        phase = .idle
        self.login = nil
        var reply = ByteBuffer()
        if login.needsNegotiation {
            BackendMessage.negotiateProtocolVersion(minor: 0, unknownOptions: login.startup.protocolOptions, to: &reply)
        }
        AuthenticationRequest.ok.write(to: &reply)
        for (name, value) in reported { BackendMessage.parameterStatus(name, value, to: &reply) }
        BackendMessage.backendKeyData(processID: key.processID, secret: key.secret, to: &reply)
        BackendMessage.readyForQuery(.idle, to: &reply)
        write(reply)
        worker.metrics.clientLogins.add()
        if console == nil { worker.counts.add(pool) { $0.clientLogins &+= 1 } }
        statements.session?.baseline = reported
        activeSince = .now()
    }

    // MARK: Cancelling

    /// This connection was made to cancel another client's query.
    private func cancel(_ key: CancelKeys.Key) {
        phase = .closed
        guard let place = worker.runner.cancelKeys.find(key), let context else { return close() }
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        let eventLoop = context.eventLoop
        worker.runner.run(on: place.loop, from: worker) { worker in
            let done: @Sendable () -> Void = { eventLoop.execute { bound.value.close(promise: nil) } }
            guard let client = worker.clients[place.client] else { return done() }
            client.cancelRequested(done)
        }
    }

    private func cancelRequested(_ done: @escaping @Sendable () -> Void) {
        if phase == .waiting, let ticket, WaitingRequest.drop(from: &pending) {
            worker.waiterGone(ticket, pool: pool)
            self.ticket = nil
            phase = .idle
            var reply = ByteBuffer()
            ErrorFields(
                severity: "ERROR", sqlState: SQLState.queryCanceled.rawValue, message: "canceling statement due to user request"
            ).write(to: &reply)
            BackendMessage.readyForQuery(.idle, to: &reply)
            write(reply)
            understand()
            return done()
        }
        guard phase == .serving, let server, !server.session.queue.isEmpty else { return done() }
        server.cancel(done)
    }

    // MARK: Deadlines

    func swept(now: NIODeadline) {
        let timeouts = worker.configuration.timeouts
        func isOver(_ timeout: TimeAmount, since: NIODeadline) -> Bool { timeout > .zero && since + timeout <= now }
        switch phase {
        case .startup:
            if isOver(timeouts.clientLogin, since: phaseSince) { fail(.protocolViolation, "client_login_timeout") }
        case .idle:
            if isOver(timeouts.clientIdle, since: activeSince) { fail(.idleSessionTimeout, "client_idle_timeout") }
        case .serving:
            guard let server else { return }
            if !server.session.queue.isEmpty, isOver(timeouts.query, since: activeSince) {
                fail(.queryCanceled, "query_timeout")
            } else if server.session.status != .idle || server.session.isInBatch, server.session.queue.isEmpty,
                isOver(timeouts.idleTransaction, since: activeSince)
            {
                fail(.idleInTransactionSessionTimeout, "idle_transaction_timeout")
            } else if pin != nil, server.session.isQuiescent {
                if isOver(timeouts.clientIdle, since: activeSince) { fail(.idleSessionTimeout, "client_idle_timeout") }
            } else if isOver(timeouts.transaction, since: phaseSince), worker.configuration.mode != .session {
                fail(.transactionTimeout, "transaction_timeout")
            }
        case .welcoming, .waiting, .settingUp, .probing, .listening, .closed: break
        }
    }

    func drainBegan() {
        switch phase {
        case .idle where pending.readableBytes == 0: fail(.adminShutdown, "terminating connection due to administrator command")
        case .serving:
            guard let server, server.session.isQuiescent, pending.readableBytes == 0 else { return }
            fail(.adminShutdown, "terminating connection due to administrator command")
        case .startup: close()
        case .idle, .welcoming, .waiting, .settingUp, .probing, .listening, .closed: break
        }
    }

    // MARK: The console

    func consoleID(loop: Int) -> UInt64 { UInt64(loop) << 48 | id }

    /// By an operator's command.
    func kill() { fail(.adminShutdown, "terminating connection due to administrator command") }

    /// Its row in the console; `nil` before its login.
    func describe(loop: Int, now: NIODeadline, time: (NIODeadline) -> String) -> ConsoleSnapshot.Socket? {
        guard let identity, let context else { return nil }
        let isWaiting = phase == .waiting || phase == .welcoming
        let (remote, local) = (self.remote, context.channel.localAddress)
        return ConsoleSnapshot.Socket(
            type: "C", user: identity.user, database: identity.database, state: isWaiting ? "waiting" : "active",
            address: remote?.address ?? "unix", port: remote?.port ?? 0, localAddress: local?.ipAddress ?? "unix", localPort: local?.port ?? 0,
            connectTime: time(openedAt), requestTime: time(activeSince),
            wait: isWaiting ? UInt64(clamping: (now - phaseSince).nanoseconds / 1000) : 0, link: server?.consoleID(loop: loop),
            tls: TLSPeer.version(of: context.pipeline) ?? "", applicationName: parameters.value("application_name") ?? "",
            preparedStatements: statements.count, id: consoleID(loop: loop), isActive: server != nil)
    }

    /// What the console shows of it besides: in the tables that PgBouncer has not.
    func describeState(in snapshot: inout ConsoleSnapshot, _ row: ConsoleSnapshot.Socket, now: NIODeadline) {
        let client = ConsoleSnapshot.Client(
            database: row.database, user: row.user, applicationName: row.applicationName, address: row.address, port: row.port, id: row.id)
        if phase == .waiting {
            snapshot.waiters.append(.init(client: client, wait: Self.microseconds(now - phaseSince), position: 0))
        }
        guard let server else { return }
        if server.session.status != .idle, server.session.queue.isEmpty {
            snapshot.leaks.append(
                .init(
                    client: client, idleInTransaction: Self.microseconds(now - activeSince), query: statements.last?.statistics.text ?? "",
                    traceID: statements.last?.traceID, remotePID: Int(server.session.processID)))
        }
        if let pin {
            snapshot.pins.append(
                .init(
                    client: client, cause: pin.cause.rawValue, since: Self.microseconds(now - pin.since), query: statements.session?.pinText ?? "",
                    remotePID: Int(server.session.processID)))
        }
    }

    // MARK: The end

    private func fail(_ sqlState: SQLState, _ message: String) {
        fail(ErrorFields(severity: "FATAL", sqlState: sqlState.rawValue, message: message))
    }

    /// Says why, and closes.
    private func fail(_ error: ErrorFields) {
        guard phase != .closed else { return }
        worker.metrics.clientsRefused.add()
        var bytes = ByteBuffer()
        error.write(to: &bytes)
        // In the middle of a message an error would be taken for a part of it.
        if server?.session.replyFraming.isBetweenMessages ?? true { write(bytes) }
        close()
    }

    func close() {
        let context = self.context
        gone()
        context?.close(promise: nil)
    }

    /// The client is gone, or about to: what it holds goes back.
    private func gone() {
        guard phase != .closed || server != nil || ticket != nil || key != nil else { return }
        phase = .closed
        authentication?.abandon()
        console?.abandon()
        authentication = nil
        if let ticket { worker.waiterGone(ticket, pool: pool) }
        ticket = nil
        if let key { worker.runner.cancelKeys.withdraw(key) }
        key = nil
        if !channels.isEmpty || channelAsked != nil, let identity {
            let listener = ListenChannels.Listener(loop: worker.index, client: id)
            worker.runner.run(on: PoolerWorker.listenLoop) { $0.listenHub.unlisten(identity.database, nil, listener) }
        }
        channels = []
        channelAsked = nil
        notifications = ByteBuffer()
        guard let server else { return }
        self.server = nil
        // A library that was loaded stays, and DISCARD ALL with it.
        if pin?.cause == .library { return server.end(isReusable: false, now: .now()) }
        let isKnown =
            pin == nil && server.session.isQuiescent && statements.session?.verdict() == .release(isKnown: true)
            && statements.session?.takeNewSettings() == nil
        server.clientGone(resets: worker.configuration.mode == .session || statements.session != nil && !isKnown)
    }

    private static func microseconds(_ time: TimeAmount) -> UInt64 { UInt64(clamping: time.nanoseconds / 1000) }

    private func write(_ bytes: ByteBuffer) {
        worker.metrics.bytesSent.add(bytes.readableBytes)
        if key != nil, console == nil { worker.counts.add(pool) { $0.bytesSent &+= UInt64(bytes.readableBytes) } }
        context?.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }
}
