import HTTPSemantics
import NIOCore
import Transport

/// Who has requests sent on a ``LoadConnection``, one at a time.
protocol LoadConnectionOwner: AnyObject {
    func requestWritten()
    /// The server has not looked at the request, and takes no more on this connection.
    func requestUnprocessed()
    /// Without a failure the answer was the expected one. `isReusable`: another request may be sent on the connection.
    func requestEnded(failure: FailureKind?, bodyByteCount: Int, isReusable: Bool)
}

/// Where a client's requests go, one at a time: a connection of its own, or a place on one that several share.
protocol RequestLink: AnyObject {
    /// Whether a request may be sent on it: servers close connections that have been idle for long.
    var isOpen: Bool { get }
    /// The last response's, of HTTP, where somebody looks at it.
    var head: ResponseHead? { get }
    /// What a request has failed of whose time is up now.
    var overdueKind: FailureKind { get }

    /// - Parameter cookies: for a field more, of HTTP.
    func send(_ request: Workload.Request, cookies: String?, for client: any LoadConnectionOwner)
    /// Nobody waits for anything from it any more.
    func close()
}

/// What carries a connection's bytes: a socket, or a channel where there is more between.
protocol LoadTransport: AnyObject {
    /// Sends them, now or as soon as the other side takes them. Nothing of the connection is called meanwhile.
    func write(_ bytes: ByteBuffer)
    func close()
}

/// One connection, of a ``LoadClient`` for the most part: writes its requests, and tells it how each ended.
///
/// It never stops reading: a load generator takes what it gets.
final class LoadConnection: RequestLink {
    private let conversation: any Conversation
    /// `nil` before the connection is made, and when it has ended.
    var transport: (any LoadTransport)?
    /// Waits for a response; `nil` when none is due.
    private var client: (any LoadConnectionOwner)?
    private enum Stage {
        /// With TLS, until its handshake is done.
        case securing
        case connected
        /// Both sides say what comes before the first request: the login.
        case opening
        /// Requests may be sent.
        case ready
    }

    private var stage: Stage
    /// What is sent as soon as that may be.
    private var held: (request: Workload.Request, cookies: String?)?
    private var isClosed = false

    init(_ conversation: any Conversation, isSecure: Bool) {
        self.conversation = conversation
        stage = isSecure ? .securing : .connected
    }

    var isOpen: Bool { transport != nil && !isClosed }

    var overdueKind: FailureKind { .timeout }

    var head: ResponseHead? { conversation.responseHead }

    var refusal: String? { conversation.refusal }

    func send(_ request: Workload.Request, cookies: String?, for client: any LoadConnectionOwner) {
        self.client = client
        guard let transport, !isClosed else { return fail(stage == .securing ? .tls : .closed) }
        if stage == .connected { open() }
        guard stage == .ready else {
            held = (request, cookies)
            return
        }
        conversation.requestSent(request)
        client.requestWritten()
        transport.write(cookies.map { request.bytes(adding: $0) } ?? request.bytes)
    }

    func close() {
        client = nil
        isClosed = true
        transport?.close()
    }

    // MARK: The transport's side

    func received(_ bytes: ByteBuffer) {
        finish(conversation.bytesReceived(bytes))
    }

    /// The other side has ended it in good order.
    func inputClosed() {
        isClosed = true
        if stage == .securing { fail(.tls) } else { finish(conversation.inputClosed()) }
    }

    func broken() {
        isClosed = true
        if stage == .securing { fail(.tls) } else { finish(conversation.connectionReset()) }
    }

    /// TLS has done its handshake.
    func secured() {
        guard stage == .securing else { return }
        stage = .connected
        if client != nil { open() }
    }

    /// Says what comes before the first request, or sends that.
    private func open() {
        guard let bytes = conversation.opening() else { return opened() }
        stage = .opening
        transport?.write(bytes)
    }

    private func opened() {
        stage = .ready
        guard let (request, cookies) = held, let client else { return }
        held = nil
        send(request, cookies: cookies, for: client)
    }

    /// The request cannot be sent.
    private func fail(_ failure: FailureKind) {
        held = nil
        guard let client else { return }
        self.client = nil
        client.requestEnded(failure: failure, bodyByteCount: 0, isReusable: false)
    }

    @inline(__always)
    private func finish(_ progress: ConversationProgress) {
        guard case .ended(let failure, let isReusable) = progress else { return goOn(progress) }
        guard let client else { return }
        self.client = nil
        held = nil
        client.requestEnded(failure: failure, bodyByteCount: conversation.bodyByteCount, isReusable: isReusable)
    }

    private func goOn(_ progress: ConversationProgress) {
        switch progress {
        case .wait, .ended: break
        case .send(let bytes): transport?.write(bytes)
        case .opened: opened()
        }
    }
}

/// A connection on a channel, below which TLS may be.
final class LoadConnectionHandler: ChannelInboundHandler, LoadTransport {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let connection: LoadConnection
    private var context: ChannelHandlerContext?

    init(_ connection: LoadConnection) {
        self.connection = connection
    }

    func write(_ bytes: ByteBuffer) { context?.writeAndFlush(wrapOutboundOut(bytes), promise: nil) }

    func close() { context?.close(promise: nil) }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        connection.transport = self
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        connection.transport = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        connection.received(unwrapInboundIn(data))
    }

    func channelInactive(context: ChannelHandlerContext) {
        connection.inputClosed()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        connection.broken()
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if TLSClient.isHandshakeCompleted(event) { connection.secured() }
        context.fireUserInboundEventTriggered(event)
    }
}
