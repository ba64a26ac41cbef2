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

/// One connection, of a ``LoadClient`` for the most part: writes its requests, and tells it how each ended.
///
/// It never stops reading: a load generator takes what it gets.
final class LoadConnection: ChannelInboundHandler, RequestLink {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var conversation: any Conversation
    private var context: ChannelHandlerContext?
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

    var isOpen: Bool { context != nil && !isClosed }

    var overdueKind: FailureKind { .timeout }

    var head: ResponseHead? { (conversation as? HTTP1Conversation)?.head }

    /// What the server last said against us.
    var refusal: String? { conversation.refusal }

    func send(_ request: Workload.Request, cookies: String?, for client: any LoadConnectionOwner) {
        self.client = client
        guard let context, !isClosed else { return fail(stage == .securing ? .tls : .closed) }
        if stage == .connected { open() }
        guard stage == .ready else {
            held = (request, cookies)
            return
        }
        conversation.requestSent(request)
        client.requestWritten()
        context.writeAndFlush(wrapOutboundOut(cookies.map { request.bytes(adding: $0) } ?? request.bytes), promise: nil)
    }

    func close() {
        client = nil
        isClosed = true
        context?.close(promise: nil)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        finish(conversation.bytesReceived(unwrapInboundIn(data)))
    }

    func channelInactive(context: ChannelHandlerContext) {
        isClosed = true
        if stage == .securing { fail(.tls) } else { finish(conversation.inputClosed()) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        isClosed = true
        if stage == .securing { fail(.tls) } else { finish(conversation.connectionReset()) }
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if stage == .securing, TLSClient.isHandshakeCompleted(event) {
            stage = .connected
            if client != nil { open() }
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// Says what comes before the first request, or sends that.
    private func open() {
        guard let bytes = conversation.opening() else { return opened() }
        stage = .opening
        context?.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
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
        case .send(let bytes): context?.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
        case .opened: opened()
        }
    }
}
