import NIOCore

/// Ends a connection with TLS as soon as both sides have ended.
///
/// NIOSSL's handler, asked to close, waits five seconds for the peer's own good-bye (close_notify). Many clients leave it out and close the connection
/// below: where the end of their bytes has been read, and the channel stays open for what we still send, it can never come.
final class TLSClosing: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var isInputClosed = false
    private var isClosing = false

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent { isInputClosed = true }
        context.fireUserInboundEventTriggered(event)
        cutIfOver(context)
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if case .all = mode { isClosing = true }
        context.close(mode: mode, promise: promise)
        cutIfOver(context)
    }

    private func cutIfOver(_ context: ChannelHandlerContext) {
        guard isInputClosed, isClosing, context.channel.isActive else { return }
        TLSPeer.cut(context.pipeline)
    }
}
