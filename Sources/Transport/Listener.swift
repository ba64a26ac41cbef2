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
    /// `nil`: it has none, or the file is another process' to remove.
    private let file: SocketFile?
    private let acceptor: (loop: SocketLoop, bound: NIOLoopBound<SocketAcceptor>)?
    /// What the socket is bound to: with port 0 the one that the system chose.
    public let address: SocketAddress

    /// An address that cannot be listened on, and why, for the operator.
    public struct BindFailure: Error, CustomStringConvertible {
        public let endpoint: SocketEndpoint
        public let cause: any Error

        public var description: String { "\(endpoint) \(reason)" }

        private var reason: String {
            switch (cause as? IOError)?.errnoCode {
            case EADDRINUSE?: "is taken: another process listens there"
            case EADDRNOTAVAIL?: "is no address of this machine"
            case EACCES?, EPERM?: isPrivileged ? "is not for this user: ports below 1024 take root or CAP_NET_BIND_SERVICE" : "is not for this user"
            case ENOENT?: "is in a folder that is not there"
            case let code?: "cannot be listened on: \(String(cString: strerror(code)))"
            case nil: cause is SocketAddressError.UnknownHost ? "is no address that can be found" : "cannot be listened on: \(cause)"
            }
        }

        private var isPrivileged: Bool {
            if case .tcp(_, let port) = endpoint { port < 1024 } else { false }
        }
    }

    private init(_ bound: Bound, acceptor: (loop: SocketLoop, bound: NIOLoopBound<SocketAcceptor>)? = nil) {
        channel = bound.channel
        address = bound.address
        file = bound.file
        self.acceptor = acceptor
    }

    /// Binds and listens; or listens on the socket that the process was started with for this address (``ListeningSocket``).
    ///
    /// Child connections read once per event loop tick (`maxMessagesPerRead` 1): with request and response protocols a second
    /// read mostly finds nothing, and costs a system call to say so.
    /// - Parameters:
    ///   - backlog: connections that the kernel keeps until they are accepted.
    ///   - initializer: sets up a new connection, on its event loop; when it throws, the connection is closed.
    /// - Throws: `BindFailure`.
    public static func bind(
        _ endpoint: SocketEndpoint, group: any EventLoopGroup, backlog: Int32 = 4096,
        initializer: @escaping @Sendable (any Channel) throws -> Void
    ) async throws -> Listener {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Reception(initializer)) }
            }
        return Listener(try await Self.bound(endpoint, bootstrap, backlog: backlog, awaitsData: false))
    }

    /// Binds and listens for connections that are ``SocketChannel``s, spread over the loops.
    ///
    /// - Parameters:
    ///   - awaitsData: for where a client speaks first, and nothing is to be gained by knowing of it before: a connection is accepted when its first bytes are
    ///     there, or after a second without any, so that the event loop wakes once for both. Who has said nothing yet when the listener closes is reset
    ///     (`TCP_DEFER_ACCEPT`, tcp(7)).
    ///   - backlog: connections that the kernel keeps until they are accepted.
    ///   - initializer: sets up a new connection, on its event loop; when it throws, the connection is closed.
    /// - Throws: `BindFailure`.
    public static func bind(
        _ endpoint: SocketEndpoint, loops: [SocketLoop], backlog: Int32 = 4096, awaitsData: Bool, initializer: @escaping @Sendable (SocketChannel) throws -> Void
    ) async throws -> Listener {
        // NIO listens and does not accept.
        let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).serverChannelOption(.autoRead, value: false)
        let bound = try await Self.bound(endpoint, bootstrap, backlog: backlog, awaitsData: awaitsData)
        let channel = bound.channel
        let descriptor = try await channel.eventLoop.submit {
            try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { fcntl($0, F_DUPFD_CLOEXEC, 0) } ?? -1
        }.get()
        guard descriptor >= 0 else {
            try? await channel.close().get()
            throw BindFailure(endpoint: endpoint, cause: IOError(errnoCode: EMFILE, reason: "dup"))
        }
        let acceptor = try await loops[0].submit {
            NIOLoopBound(SocketAcceptor(descriptor, loops, hasData: awaitsData && bound.address.port != nil, initializer), eventLoop: loops[0])
        }.get()
        return Listener(bound, acceptor: (loops[0], acceptor))
    }

    private struct Bound: Sendable {
        let channel: any Channel
        let address: SocketAddress
        let file: SocketFile?
    }

    private static func bound(_ endpoint: SocketEndpoint, _ unbound: ServerBootstrap, backlog: Int32, awaitsData: Bool) async throws -> Bound {
        let bootstrap = unbound
            .serverChannelOption(.backlog, value: backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
        let channel: any Channel
        var file: SocketFile?
        do {
            var socket = ListeningSocket.take(endpoint)
            if let socket { ListeningSocket.letIn(socket) }
            switch endpoint {
            case .tcp(let host, let port):
                // Connections have it from the socket that they were accepted by.
                let tcp = bootstrap.serverChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                let deferring = awaitsData ? tcp.serverChannelOption(.tcpOption(NIOBSDSocket.Option(rawValue: TCP_DEFER_ACCEPT)), value: 1) : tcp
                channel = try await (socket.map { deferring.withBoundSocket($0) } ?? deferring.bind(host: host, port: port)).get()
            case .unix(let path):
                // What NIO binds it removes at the end, whosever it is by then.
                let bound = try socket ?? ListeningSocket.bind(endpoint)
                if socket == nil { file = SocketFile(path) }
                socket = bound
                channel = try await bootstrap.withBoundSocket(bound).get()
            }
            // The channel listens as soon as it has a socket that is bound already, with a backlog of its own.
            if let socket { _ = listen(socket, backlog) }
        } catch let failure as BindFailure {
            throw failure
        } catch {
            throw BindFailure(endpoint: endpoint, cause: error)
        }
        guard let address = channel.localAddress else { throw ChannelError.unknownLocalAddress }
        return Bound(channel: channel, address: address, file: file)
    }

    /// Stops accepting. Connections that were made live on: those that the kernel still keeps for us are accepted first.
    public func close() async {
        file?.remove()
        await acceptLast()
        if let acceptor { try? await acceptor.loop.submit { acceptor.bound.value.end() }.get() }
        try? await channel.close().get()
    }

    /// Lets no new connection be made, and waits until the last one that was made is accepted: to close a listening socket resets
    /// those that wait in it, and with them requests that were sent in good faith.
    ///
    /// Linux has no call for that. A packet filter that takes no SYN lets no handshake begin (such a client tries again after a
    /// second, and is refused then), and `TCP_INFO` of a listening socket counts who waits (`tcpi_unacked`; tcp(7), socket(7)). A Unix socket is found by
    /// its file, which is gone, and can be read from while somebody waits in it.
    private func acceptLast() async {
        guard let options = channel as? any SocketOptionProvider else { return }
        if address.port != nil { await letNobodyIn(options) }
        // Handshakes that had begun end within the first pause; a second at most, for clients may be kept waiting for no longer.
        for round in 0..<200 {
            try? await Task.sleep(for: .milliseconds(5))
            guard await isAwaited(options) || round == 0 else { return }
        }
    }

    private func letNobodyIn(_ options: any SocketOptionProvider) async {
        let program = FilterProgram.withoutSYN()
        defer { program.instructions.deallocate() }
        // Where the filter is not to be had, the wait alone makes a loss unlikely.
        try? await options.unsafeSetSocketOption(
            level: SocketOptionLevel(SOL_SOCKET), name: SocketOptionName(SO_ATTACH_FILTER), value: program
        ).get()
    }

    /// Whether somebody waits to be accepted.
    private func isAwaited(_ options: any SocketOptionProvider) async -> Bool {
        if address.port != nil { return (try? await options.getTCPInfo().get().tcpi_unacked > 0) ?? false }
        let found = channel.eventLoop.submit { [channel] in
            try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { descriptor -> Bool in
                var place = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
                return poll(&place, 1, 0) > 0
            } ?? false
        }
        return (try? await found.get()) ?? false
    }
}

/// Sets up what was accepted, and hands it to the listening channel to be served.
///
/// The bootstrap's own way is by futures, some 30 for a connection with its options: 75,000 instructions of the 200,000 that a login took.
private final class Reception: ChannelInboundHandler {
    typealias InboundIn = any Channel

    private let initializer: @Sendable (any Channel) throws -> Void

    init(_ initializer: @escaping @Sendable (any Channel) throws -> Void) {
        self.initializer = initializer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let accepted = unwrapInboundIn(data)
        let eventLoop = context.eventLoop
        // At the pipeline's end, where the channel takes it on; the bootstrap's handler has nothing left to do, and does it by futures.
        if accepted.eventLoop === eventLoop {
            if Self.setUp(accepted, initializer) { context.channel._channelCore.channelRead0(data) }
            return
        }
        let (channel, initializer) = (context.channel, self.initializer)
        accepted.eventLoop.execute {
            guard Self.setUp(accepted, initializer) else { return }
            // The listener may have been closed meanwhile: who was accepted is served all the same.
            eventLoop.execute { channel._channelCore.channelRead0(NIOAny(accepted)) }
        }
    }

    /// - Returns: `false`: it is closed.
    private static func setUp(_ channel: any Channel, _ initializer: (any Channel) throws -> Void) -> Bool {
        do {
            let options = channel.syncOptions
            try options?.setOption(.maxMessagesPerRead, value: 1)
            // A client that has sent all it wants to may close its half and still read the response.
            try options?.setOption(.allowRemoteHalfClosure, value: true)
            try initializer(channel)
            return true
        } catch {
            channel.close(promise: nil)
            return false
        }
    }
}

/// `struct sock_fprog`, whose header is in no module.
///
/// `@unchecked Sendable`: nobody writes through the pointer; who made it waits until the kernel has its copy.
private struct FilterProgram: @unchecked Sendable {
    /// `struct sock_filter`.
    struct Instruction {
        var code: UInt16
        var skipsIfTrue: UInt8 = 0
        var skipsIfFalse: UInt8 = 0
        var constant: UInt32
    }

    let count: UInt16
    let instructions: UnsafeMutablePointer<Instruction>

    /// Drops packets that begin a connection and keeps all others.
    static func withoutSYN() -> FilterProgram {
        let program = [
            // The byte of flags in the TCP header.
            Instruction(code: 0x30, constant: 13),
            // SYN among them?
            Instruction(code: 0x45, skipsIfFalse: 1, constant: 0x02),
            // Keep nothing.
            Instruction(code: 0x06, constant: 0),
            // Keep all.
            Instruction(code: 0x06, constant: .max),
        ]
        let instructions = UnsafeMutablePointer<Instruction>.allocate(capacity: program.count)
        instructions.initialize(from: program, count: program.count)
        return FilterProgram(count: UInt16(program.count), instructions: instructions)
    }
}
