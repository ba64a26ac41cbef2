import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import Synchronization
import TestSupport

/// Many clients with TLS that do not read: from the beginning, or from the end of the handshake on.
final class TLSCrowd {
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private var channels: [any Channel] = []
    private let handshakes = Progress()

    private final class Progress: Sendable {
        let ended = Atomic(0)
        let closed = Atomic(0)
    }

    /// - Parameter endsHandshakes: if not, none takes anything from its socket.
    init(_ count: Int, port: Int, endsHandshakes: Bool) throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        configuration.applicationProtocols = ["http/1.1"]
        let context = try NIOSSLContext(configuration: configuration)
        let progress = handshakes
        let bootstrap = ClientBootstrap(group: group)
            .channelOption(.autoRead, value: endsHandshakes)
            .channelOption(.socketOption(.so_rcvbuf), value: 4096)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: context, serverHostname: nil))
                    try channel.pipeline.syncOperations.addHandler(Client(progress))
                }
            }
        // So many that the listener's queue has room for them.
        for start in stride(from: 0, to: count, by: 500) {
            let batch = (start..<min(start + 500, count)).map { _ in bootstrap.connect(host: "127.0.0.1", port: port) }
            for connection in batch { if let channel = try? connection.wait() { channels.append(channel) } }
            if endsHandshakes { _ = eventually(seconds: 60) { ended + closed >= channels.count } }
        }
    }

    deinit { group.shutdownGracefully { _ in } }

    /// Whose handshake has ended.
    var ended: Int { handshakes.ended.load(ordering: .relaxed) }
    /// Whom the other side has left.
    var closed: Int { handshakes.closed.load(ordering: .relaxed) }

    /// All send this, and take nothing of what comes.
    func send(_ text: String) {
        for channel in channels { channel.writeAndFlush(ByteBuffer(string: text), promise: nil) }
    }

    func leave() {
        for channel in channels { channel.close(promise: nil) }
        channels = []
    }

    private final class Client: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let progress: Progress

        init(_ progress: Progress) { self.progress = progress }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            guard case .handshakeCompleted? = event as? TLSUserEvent else { return }
            progress.ended.add(1, ordering: .relaxed)
            context.channel.setOption(.autoRead, value: false).whenComplete { _ in }
        }

        func channelInactive(context: ChannelHandlerContext) { progress.closed.add(1, ordering: .relaxed) }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
