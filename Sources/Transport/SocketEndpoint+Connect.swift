import Glibc
public import NIOCore
import NIOPosix

extension SocketEndpoint {
    /// Connects, and makes a ``SocketChannel`` of the connection; nothing is delayed on the way to a server that waits for each message.
    ///
    /// Names are looked up and tried by NIO, on event loops of its own: that is done once for a connection that lives long.
    /// - Parameter initializer: adds its handlers, on the loop.
    public func connect(
        on loop: SocketLoop, timeout: TimeAmount, initializer: @escaping @Sendable (SocketChannel) throws -> Void
    ) -> EventLoopFuture<SocketChannel> {
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(timeout)
            // What the other side says first is the new channel's to read.
            .channelOption(.autoRead, value: false)
        let connected =
            switch self {
            case .tcp(let host, let port): bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1).connect(host: host, port: port)
            case .unix(let path): bootstrap.connect(unixDomainSocketPath: path)
            }
        return connected.flatMapThrowing { channel in
            // Closing NIO's descriptor leaves the connection open: the other one holds it.
            defer { channel.close(promise: nil) }
            let copy = try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { fcntl($0, F_DUPFD_CLOEXEC, 0) }
            guard let copy, copy >= 0 else { throw IOError(errnoCode: errno, reason: "dup") }
            return copy
        }.hop(to: loop).flatMapThrowing { descriptor in
            try SocketChannel.adopt(descriptor, on: loop, initializer: initializer)
        }
    }
}
