import NIOCore

/// One connection of a ``LoadUser``: writes its requests, and tells it how each ended.
///
/// It never stops reading: a load generator takes what it gets.
final class LoadConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var conversation = HTTP1Conversation()
    private var context: ChannelHandlerContext?
    /// Waits for a response; `nil` when none is due.
    private var user: LoadUser?

    func send(_ request: Workload.Request, for user: LoadUser) {
        self.user = user
        conversation.requestSent(request.method, expecting: request.expectation)
        guard let context else { return finish(conversation.inputClosed()) }
        context.writeAndFlush(wrapOutboundOut(request.bytes), promise: nil)
    }

    /// Nobody waits for anything from this connection any more.
    func close() {
        user = nil
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
        finish(conversation.inputClosed())
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        finish(conversation.connectionReset())
        context.close(promise: nil)
    }

    @inline(__always)
    private func finish(_ progress: HTTP1Conversation.Progress) {
        guard case .ended(let failure, let isReusable) = progress, let user else { return }
        self.user = nil
        user.requestEnded(failure: failure, bodyByteCount: conversation.bodyByteCount, isReusable: isReusable)
    }
}
