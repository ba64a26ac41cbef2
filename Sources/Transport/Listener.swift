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

    /// Stops accepting. Connections that were made live on: those that the kernel still keeps for us are accepted first.
    public func close() async {
        if unixPath == nil { await acceptLast() }
        try? await channel.close().get()
        if let unixPath { unlink(unixPath) }
    }

    /// Lets no new connection be made, and waits until the last one that was made is accepted: to close a listening socket resets
    /// those that wait in it, and with them requests that were sent in good faith.
    ///
    /// Linux has no call for that. A packet filter that takes nothing stops the handshakes (such a client tries again after a
    /// second, and is refused then), and `TCP_INFO` of a listening socket counts who waits (`tcpi_unacked`; tcp(7), socket(7)).
    private func acceptLast() async {
        guard let options = channel as? any SocketOptionProvider else { return }
        let instruction = UnsafeMutablePointer<FilterProgram.Instruction>.allocate(capacity: 1)
        defer { instruction.deallocate() }
        instruction.initialize(to: FilterProgram.Instruction())
        // Where the filter is not to be had, the wait alone makes the loss unlikely.
        try? await options.unsafeSetSocketOption(
            level: SocketOptionLevel(SOL_SOCKET), name: SocketOptionName(SO_ATTACH_FILTER),
            value: FilterProgram(instructions: instruction)
        ).get()
        for _ in 0..<200 {
            guard let waiting = try? await options.getTCPInfo().get().tcpi_unacked, waiting > 0 else { return }
            try? await Task.sleep(for: .milliseconds(5))
        }
    }
}

/// `struct sock_fprog`, whose header is in no module: a program of one instruction.
///
/// `@unchecked Sendable`: the pointer is not used by two threads at a time; who made it waits until the kernel has its copy.
private struct FilterProgram: @unchecked Sendable {
    /// `struct sock_filter`: `BPF_RET | BPF_K` with 0, "keep no byte of the packet".
    struct Instruction {
        var code: UInt16 = 0x06
        var jumpIfTrue: UInt8 = 0
        var jumpIfFalse: UInt8 = 0
        var constant: UInt32 = 0
    }

    var count: UInt16 = 1
    let instructions: UnsafeMutablePointer<Instruction>
}
