import NIOCore
import PostgresWire
import Transport

/// Brings one CancelRequest to a server, which answers by closing.
final class CancelRelay: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// A server that does not close is given up.
    private static let timeout = TimeAmount.seconds(10)

    private let request: ByteBuffer

    private init(_ request: ByteBuffer) {
        self.request = request
    }

    /// - Parameter done: called on the worker's event loop, once, when the server has closed or cannot be reached.
    static func send(
        processID: UInt32, secret: [UInt8], to endpoint: SocketEndpoint, worker: PoolerWorker, _ done: @escaping () -> Void
    ) {
        var request = ByteBuffer()
        StartupPacket.writeCancel(processID: processID, secret: secret, to: &request)
        worker.metrics.cancels.add()
        let bytes = request
        let bound = NIOLoopBound(done, eventLoop: worker.eventLoop)
        endpoint.connect(on: worker.eventLoop, timeout: timeout) { channel in
            try channel.pipeline.syncOperations.addHandler(CancelRelay(bytes))
        }.flatMap { channel in
            let late = channel.eventLoop.scheduleTask(in: timeout) { channel.close(promise: nil) }
            return channel.closeFuture.always { _ in late.cancel() }
        }.whenComplete { _ in bound.value() }
    }

    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(request), promise: nil)
        context.fireChannelActive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
