import NIOCore
import NIOPosix
import Transport

/// How a connection to a member is made: where to, with TLS or without, and which protocol is spoken on it.
struct UpstreamDial {
    /// What is spoken.
    enum Spoken: Sendable {
        case http1
        case http2
    }

    let endpoint: UpstreamGroup.SocketEndpoint
    /// See ``UpstreamMachine/Resolved/secureName``.
    let secureName: String?
    let tls: UpstreamTLS?
    /// What is spoken if the member agrees; the other side has its say with TLS alone.
    let wanted: Spoken
    /// The PROXY header that comes before anything else, TLS too.
    let opening: ByteBuffer?
    let timeout: TimeAmount
    let eventLoop: any EventLoop

    /// Connects, and adds handlers once it is known what is spoken.
    /// - Parameter configure: adds them, on the event loop.
    /// - Returns: the channel and what is spoken on it; fails with `ChannelError.connectTimeout` when TLS is not agreed on in time, too.
    func connect(_ configure: @escaping (any Channel, Spoken) throws -> Void) -> EventLoopFuture<(channel: any Channel, spoken: Spoken)> {
        let bound = NIOLoopBound(configure, eventLoop: eventLoop)
        let bootstrap = ClientBootstrap(group: eventLoop).connectTimeout(timeout).channelOption(.maxMessagesPerRead, value: 1)
        let opening = opening
        guard let secureName else {
            let wanted = wanted
            let plain = bootstrap.channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let opening { try channel.pipeline.syncOperations.addHandler(OpeningHandler(opening)) }
                    try bound.value(channel, wanted)
                }
            }
            return UpstreamConnector.connect(plain, to: endpoint).hop(to: eventLoop).map { ($0, wanted) }
        }
        let agreed = eventLoop.makePromise(of: (channel: any Channel, spoken: Spoken).self)
        guard let context = tls?.context(wanted) else {
            agreed.fail(TLSMissing())
            return agreed.futureResult
        }
        let secure = bootstrap.channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                if let opening { try channel.pipeline.syncOperations.addHandler(OpeningHandler(opening)) }
                try channel.pipeline.syncOperations.addHandler(context.handler(host: secureName.isEmpty ? nil : secureName))
                try channel.pipeline.syncOperations.addHandler(NegotiationHandler(bound.value, agreed))
            }
        }
        let connected = UpstreamConnector.connect(secure, to: endpoint).hop(to: eventLoop)
        connected.whenFailure { agreed.fail($0) }
        connected.whenSuccess { [timeout] channel in
            let late = channel.eventLoop.scheduleTask(in: timeout) {
                agreed.fail(ChannelError.connectTimeout(timeout))
                channel.close(promise: nil)
            }
            agreed.futureResult.whenComplete { _ in late.cancel() }
        }
        return agreed.futureResult
    }

    /// A member with TLS in a group whose TLS could not be set up: the configuration was checked, so that nobody comes here.
    private struct TLSMissing: Error {}
}

/// What a group's connections with TLS are made with. Made before a configuration takes effect, since files may be wrong.
struct UpstreamTLS: Sendable {
    private let both: TLSClientContext
    private let http1: TLSClientContext

    /// - Throws: when a file cannot be read or does not hold what it should.
    init(_ tls: UpstreamGroup.TLS) throws {
        let verification = tls.isVerified ? TLSClientContext.Verification.host : .none
        both = try TLSClientContext(tls.files, verification: verification, applicationProtocols: ["h2", "http/1.1"])
        http1 = try TLSClientContext(tls.files, verification: verification, applicationProtocols: ["http/1.1"])
    }

    func context(_ wanted: UpstreamDial.Spoken) -> TLSClientContext {
        switch wanted {
        case .http1: http1
        case .http2: both
        }
    }
}

/// Says something as soon as there is a connection, before those behind it do, and leaves.
///
/// Whoever waits for the connection hears of it before the pipeline does, and may have written by then.
private final class OpeningHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let opening: ByteBuffer
    private var isSaid = false

    init(_ opening: ByteBuffer) {
        self.opening = opening
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        say(context)
        context.write(data, promise: promise)
    }

    private func say(_ context: ChannelHandlerContext) {
        guard !isSaid else { return }
        isSaid = true
        context.write(wrapOutboundOut(opening), promise: nil)
    }

    func channelActive(context: ChannelHandlerContext) {
        say(context)
        context.flush()
        context.fireChannelActive()
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }
}

/// Waits until TLS is agreed on, and adds those who speak what was agreed on behind itself. It then lets everything pass.
private final class NegotiationHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let configure: (any Channel, UpstreamDial.Spoken) throws -> Void
    private let agreed: EventLoopPromise<(channel: any Channel, spoken: UpstreamDial.Spoken)>

    init(
        _ configure: @escaping (any Channel, UpstreamDial.Spoken) throws -> Void,
        _ agreed: EventLoopPromise<(channel: any Channel, spoken: UpstreamDial.Spoken)>
    ) {
        (self.configure, self.agreed) = (configure, agreed)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard TLSPeer.isHandshakeEnd(event) else { return context.fireUserInboundEventTriggered(event) }
        let spoken: UpstreamDial.Spoken = TLSPeer.negotiatedProtocol(event) == "h2" ? .http2 : .http1
        do {
            try configure(context.channel, spoken)
            agreed.succeed((context.channel, spoken))
        } catch {
            agreed.fail(error)
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        agreed.fail(error)
        context.fireErrorCaught(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        agreed.fail(ChannelError.eof)
        context.fireChannelInactive()
    }
}
