public import NIOCore
import NIOPosix

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A listening socket whose connections are spread over the event loops of a group.
public final class Listener: Sendable {
    private let channel: any Channel
    private let unixPath: String?
    /// What the socket is bound to: with port 0 the one that the system chose.
    public let address: SocketAddress

    private init(channel: any Channel, address: SocketAddress, unixPath: String?) {
        self.channel = channel
        self.address = address
        self.unixPath = unixPath
    }

    /// Binds and listens.
    ///
    /// Child connections read once per event loop tick (`maxMessagesPerRead` 1): with request and response protocols a second
    /// read mostly finds nothing, and costs a system call to say so.
    /// - Parameters:
    ///   - backlog: connections that the kernel keeps until they are accepted.
    ///   - initializer: sets up a new connection, on its event loop.
    /// - Throws: `IOError` or a name resolution error when the address cannot be bound.
    public static func bind(
        _ endpoint: SocketEndpoint, group: any EventLoopGroup, backlog: Int32 = 4096,
        initializer: @escaping @Sendable (any Channel) -> EventLoopFuture<Void>
    ) async throws -> Listener {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer(initializer)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            // A client that has sent all it wants to may close its half and still read the response.
            .childChannelOption(.allowRemoteHalfClosure, value: true)
        let channel: any Channel
        var unixPath: String?
        switch endpoint {
        case .tcp(let host, let port):
            channel = try await bootstrap.childChannelOption(.tcpOption(.tcp_nodelay), value: 1).bind(host: host, port: port).get()
        case .unix(let path):
            // A socket file left behind by a process that was killed is in the way of the next one.
            channel = try await bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
            unixPath = path
        }
        guard let address = channel.localAddress else { throw ChannelError.unknownLocalAddress }
        return Listener(channel: channel, address: address, unixPath: unixPath)
    }

    /// Stops accepting. Connections that were accepted live on.
    public func close() async {
        try? await channel.close().get()
        if let unixPath { unlink(unixPath) }
    }
}
