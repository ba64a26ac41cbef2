import HTTPSemantics
import NIOCore
import Transport

/// One connection of a ``LoadClient``: writes its requests, and tells it how each ended.
///
/// It never stops reading: a load generator takes what it gets.
final class LoadConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var conversation = HTTP1Conversation()
    private var context: ChannelHandlerContext?
    /// Waits for a response; `nil` when none is due.
    private var client: LoadClient?
    /// Whether bytes may be sent: with TLS not before the handshake is done.
    private var isReady: Bool
    /// What is sent as soon as they may.
    private var held: (request: Workload.Request, bytes: ByteBuffer)?
    private var isClosed = false

    init(isSecure: Bool) {
        isReady = !isSecure
    }

    /// Whether a request may be sent on it: servers close connections that have been idle for long.
    var isOpen: Bool { context != nil && !isClosed }

    /// The last response's.
    var head: ResponseHead { conversation.head }

    /// - Parameter bytes: the request's, with what the client adds to them.
    func send(_ request: Workload.Request, bytes: ByteBuffer, for client: LoadClient) {
        self.client = client
        guard isReady else {
            held = (request, bytes)
            return
        }
        conversation.requestSent(request.method, expecting: request.expectation)
        guard let context, !isClosed else { return finish(conversation.inputClosed()) }
        client.requestWritten()
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    /// Nobody waits for anything from this connection any more.
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
        if isReady { finish(conversation.inputClosed()) } else { handshakeFailed() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        isClosed = true
        if isReady { finish(conversation.connectionReset()) } else { handshakeFailed() }
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if !isReady, TLSClient.isHandshakeCompleted(event) {
            isReady = true
            if let (request, bytes) = held, let client {
                held = nil
                send(request, bytes: bytes, for: client)
            }
        }
        context.fireUserInboundEventTriggered(event)
    }

    private func handshakeFailed() {
        held = nil
        guard let client else { return }
        self.client = nil
        client.requestEnded(failure: .tls, bodyByteCount: 0, isReusable: false)
    }

    @inline(__always)
    private func finish(_ progress: HTTP1Conversation.Progress) {
        guard case .ended(let failure, let isReusable) = progress, let client else { return }
        self.client = nil
        client.requestEnded(failure: failure, bodyByteCount: conversation.bodyByteCount, isReusable: isReusable)
    }
}
