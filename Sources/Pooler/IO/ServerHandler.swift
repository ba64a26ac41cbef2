import NIOCore
import PostgresWire
import Transport

/// One server connection, logged in: writes what its client asks, gives its client the replies. What they mean is ``ServerSession``'s.
///
/// Client and server connection are on one event loop. It stops reading while its client takes no more.
final class ServerHandler: ChannelDuplexHandler, SocketReader {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// A connection between two event loops.
    struct Detached {
        var session: ServerSession
        let endpoint: SocketEndpoint
        let pool: Int
        let target: TargetSession
        /// The socket, ours to close.
        let descriptor: CInt
    }

    let slot: PoolMachine.Slot
    let pool: Int
    let endpoint: SocketEndpoint
    private let target: TargetSession
    var session: ServerSession
    private let worker: PoolerWorker
    private var context: ChannelHandlerContext?
    private var writer: SocketWriter?
    private var client: ClientHandler?
    private var pending = ByteBuffer()
    private var isReadSuppressed = false
    private var isGone = false
    /// It was made for its client, and is nobody else's.
    var isDedicated = false
    /// Requests to cancel that are under way. Until the last has ended, no other client gets the connection: it would be its query
    /// that is cancelled.
    private var cancelCount = 0
    private var isReleaseDue = false
    private var isResetDue = false
    /// A statement of ours makes the connection ready for the next client.
    private var isResetting = false
    private var hasResetParameters = false
    private let openedAt = NIODeadline.now()
    private var requestedAt = NIODeadline.now()

    init(_ parts: Detached, slot: PoolMachine.Slot, worker: PoolerWorker) {
        self.slot = slot
        self.worker = worker
        pool = parts.pool
        target = parts.target
        endpoint = parts.endpoint
        session = parts.session
    }

    /// As the session says. Asked from outside, it would be copied, with all that it counts by reference.
    var isQuiescent: Bool { session.isQuiescentInPlace() }

    /// What the channel said last: asking it costs more than to remember.
    private(set) var isWritable = false

    /// Apart from those of clients.
    func consoleID(loop: Int) -> UInt64 { UInt64(loop) << 48 | 1 << 47 | UInt64(slot.index) }

    /// Its row in the console.
    func describe(loop: Int, names: PoolRunner, time: (NIODeadline) -> String) -> ConsoleSnapshot.Socket {
        let key = names.inspect { PoolMachine.PoolKey(database: $0.pools[pool].database, user: $0.pools[pool].user) }
        let (remote, local) = (context?.channel.remoteAddress, context?.channel.localAddress)
        return ConsoleSnapshot.Socket(
            type: "S", user: key.user, database: key.database, replication: (client?.replication ?? .none).rawValue, state: client == nil ? "idle" : "active", address: remote?.ipAddress ?? "unix",
            port: remote?.port ?? 0, localAddress: local?.ipAddress ?? "unix", localPort: local?.port ?? 0, connectTime: time(openedAt),
            requestTime: time(requestedAt), link: client.map { $0.consoleID(loop: loop) }, remotePID: Int(session.processID),
            tls: context.flatMap { TLSPeer.version(of: $0.pipeline) } ?? "", applicationName: session.parameters.value("application_name") ?? "",
            id: consoleID(loop: loop), isActive: client != nil)
    }

    // MARK: The client's side

    func begin(_ client: ClientHandler) {
        assert(self.client == nil, "two leases of one connection")
        self.client = client
        requestedAt = client.activeSince
    }

    /// The client has done; who has it next is the pool's to say.
    /// - Parameter resets: the client may have left something behind that must not be seen by the next.
    func end(isReusable: Bool, resets: Bool = false, now: NIODeadline) {
        client = nil
        let isReusable = isReusable && !isDedicated && (target == .any || target.keeps(session.reported))
        guard cancelCount == 0 else {
            isReleaseDue = true
            isResetDue = resets
            if !isReusable { close() }
            return
        }
        if resets, isReusable, !isGone { return reset(Self.resetKeepingStatements) }
        worker.release(self, isReusable: isReusable && !isGone, now: now)
        resumeReading()
    }

    /// All of `DISCARD ALL` but that statements stay prepared, and plans.
    /// - Source: PostgreSQL 15, "DISCARD".
    private static let resetKeepingStatements = [
        "SET SESSION AUTHORIZATION DEFAULT;RESET ALL;CLOSE ALL;UNLISTEN *;SELECT pg_catalog.pg_advisory_unlock_all();DISCARD TEMP;DISCARD SEQUENCES"
    ]

    private func reset(_ statements: [String]) {
        var bytes = ByteBuffer()
        isResetting = true
        // Of all but ROLLBACK, with which the client's transaction ends.
        hasResetParameters = statements != ["ROLLBACK"]
        worker.metrics.resets.add()
        if hasResetParameters { worker.metrics.ownTransactions.add() }
        session.setupSent(statements, to: &bytes)
        send(bytes)
        resumeReading()
    }

    /// The client went without finishing, or with something that was its own.
    /// - Parameter resets: what the session has is not known, or the client's own.
    func clientGone(resets: Bool) {
        client = nil
        let isClean = !isDedicated && (session.queue.isEmpty || session.isBeingProbed) && session.requestFraming.isBetweenMessages && session.replyFraming.isBetweenMessages
        guard isClean, !session.isInBatch, !session.isSkipping, cancelCount == 0, !isGone else {
            // What still runs would run for nobody.
            if !session.queue.isEmpty, !isGone { cancel {} }
            return end(isReusable: false, now: .now())
        }
        if session.isQuiescent, !resets { return end(isReusable: true, now: .now()) }
        // They are cheaper than a new connection, and ROLLBACK alone leaves what is prepared here. DISCARD ALL stands in no transaction, and so in no query with others.
        reset((session.status == .idle ? [] : ["ROLLBACK"]) + (resets ? ["DISCARD ALL"] : []))
    }

    private func resetEnded(_ outcome: ServerSession.ReplyOutcome) {
        guard let setup = outcome.setup else {
            if outcome.isLost { close() }
            return
        }
        isResetting = false
        if hasResetParameters { session.parameters = .empty }
        end(isReusable: setup == .done, now: .now())
    }

    func send(_ bytes: ByteBuffer) {
        writer?.writeAndFlush(bytes)
    }

    func resumeReading() {
        guard isReadSuppressed, !worker.isSuspended, let context else { return }
        isReadSuppressed = false
        context.read()
    }

    func suspend() {
        try? context?.channel.syncOptions?.setOption(.autoRead, value: false)
    }

    func resume() {
        try? context?.channel.syncOptions?.setOption(.autoRead, value: true)
        resumeReading()
    }

    /// Whether the kernel has not taken all yet that was written.
    var hasUnflushed: Bool { context.flatMap { try? $0.channel.syncOptions?.getOption(.bufferedWritableBytes) }.map { $0 > 0 } ?? false }

    func close() {
        guard let context else { return }
        var goodbye = ByteBuffer()
        FrontendMessage.terminate(to: &goodbye)
        send(goodbye)
        context.close(promise: nil)
    }

    /// Asks the server to cancel what this connection does.
    func cancel(_ done: @escaping () -> Void) {
        cancelCount += 1
        CancelRelay.send(processID: session.processID, secret: session.secret, to: endpoint, worker: worker) { [self] in
            cancelCount -= 1
            if cancelCount == 0, isReleaseDue {
                isReleaseDue = false
                end(isReusable: !isGone, resets: isResetDue, now: .now())
            }
            done()
        }
    }

    /// Takes the connection off this event loop.
    /// - Returns: `nil` when that cannot be.
    func detach() -> Detached? {
        guard client == nil, cancelCount == 0, pending.readableBytes == 0, session.isQuiescent, let context, !isGone else { return nil }
        // What is encrypted cannot go without its keys.
        guard TLSPeer.version(of: context.pipeline) == nil else { return nil }
        guard !hasUnflushed, let channel = context.channel as? SocketChannel else { return nil }
        isGone = true
        guard let descriptor = channel.surrender() else { return nil }
        return Detached(session: session, endpoint: endpoint, pool: pool, target: target, descriptor: descriptor)
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        context.eventLoop.preconditionInEventLoop()
        self.context = context
        isWritable = context.channel.isWritable
        let isPlain = TLSPeer.version(of: context.pipeline) == nil
        writer = SocketWriter(context, isPlain: isPlain)
        if isPlain { (context.channel as? SocketChannel)?.reader = self }
        worker.add(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        writer = nil
    }

    func read(context: ChannelHandlerContext) {
        if wantsInput { context.read() } else { isReadSuppressed = true }
    }

    private var wantsInput: Bool { client?.isWritable ?? true && !worker.isSuspended }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        if isWritable { client?.serverWritable() }
    }

    /// Nobody further on wants to know.
    func channelReadComplete(context: ChannelHandlerContext) {}

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        repliesReceived(unwrapInboundIn(data))
        // Asked for here, it goes past the rest of the pipeline, which would ask for it next.
        if wantsInput { context.read() }
    }

    /// Without TLS, past the pipeline.
    func received(_ bytes: ByteBuffer) -> Bool {
        repliesReceived(bytes)
        isReadSuppressed = !wantsInput
        return !isReadSuppressed
    }

    private func repliesReceived(_ bytes: ByteBuffer) {
        var input = bytes
        worker.metrics.bytesReceived.add(input.readableBytes)
        if pending.readableBytes > 0 {
            pending.writeBuffer(&input)
            input = pending
            pending = ByteBuffer()
        }
        var output = ByteBuffer()
        let outcome = client?.repliesReceived(&input, from: self, to: &output) ?? session.repliesReceived(&input, to: &output)
        if input.readableBytes > 0 { pending = input.inOwnMemory() }
        if outcome.hasRequests { send(session.takeRequests()) }
        if isResetting {
            resetEnded(outcome)
        } else if let client {
            client.replied(output, outcome, server: self)
        } else if outcome.isLost || outcome.errorCount > 0 {
            // An error that nobody asked for: the server is about to close.
            close()
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        gone()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func gone() {
        worker.remove(self)
        guard !isGone else { return }
        isGone = true
        let client = self.client
        self.client = nil
        worker.closed(slot)
        client?.serverGone()
    }
}
