import NIOCore
import NIOPosix
import Telemetry
import Transport

/// One question by TLS to whoever is there, and the beginning of the answer: what its certificate is makes no difference to who may come in.
enum SecureKnock {
    /// - Parameter seconds: for all of it.
    /// - Returns: `nil` when nobody answers, no TLS is agreed on, or we would have to show a certificate.
    static func answer(_ endpoint: SocketEndpoint, to question: ByteBuffer, seconds: Int) async -> [UInt8]? {
        guard case .tcp(let host, let port) = endpoint else { return nil }
        let answer = Lock<[UInt8]?>(nil)
        do {
            let client = try TLSClient(host: host, verifies: false, protocols: [])
            let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connectTimeout(.seconds(Int64(seconds)))
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(KnockHandler(question, .seconds(Int64(seconds))) { bytes in answer.withLock { $0 = bytes } })
                        try client.add(to: channel)
                    }
                }
                .connect(host: host, port: port).get()
            try await channel.closeFuture.get()
        } catch { return nil }
        return answer.withLock { $0 }
    }
}

/// Asks once TLS is agreed on, and closes with the first bytes of the answer, or when the time is over.
private final class KnockHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let question: ByteBuffer
    private let time: TimeAmount
    private let answered: (([UInt8]) -> Void)
    private var deadline: Scheduled<Void>?

    init(_ question: ByteBuffer, _ time: TimeAmount, _ answered: @escaping ([UInt8]) -> Void) {
        (self.question, self.time, self.answered) = (question, time, answered)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        deadline = context.eventLoop.scheduleTask(in: time) { channel.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        deadline?.cancel()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if TLSClient.isHandshakeCompleted(event) { context.writeAndFlush(wrapOutboundOut(question), promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        answered(Array(unwrapInboundIn(data).readableBytesView))
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
