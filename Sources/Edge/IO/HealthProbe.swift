import HTTPSemantics
import NIOCore
import NIOPosix

/// One probe of one member: connects, asks for the configured path, reads the response's head, closes. On its event loop.
final class HealthProbe {
    private let endpoint: UpstreamGroup.SocketEndpoint
    private let check: UpstreamGroup.HealthCheck
    private let eventLoop: any EventLoop
    private let request: String
    private let result: EventLoopPromise<Bool>
    private var channel: (any Channel)?
    private var isOver = false

    init(_ endpoint: UpstreamGroup.SocketEndpoint, _ check: UpstreamGroup.HealthCheck, host: String, eventLoop: any EventLoop) {
        self.endpoint = endpoint
        self.check = check
        self.eventLoop = eventLoop
        let host = host.hasPrefix("unix:") ? "localhost" : host
        request = "GET \(check.path ?? "/") HTTP/1.1\r\nHost: \(host)\r\nUser-Agent: headrace-probe\r\nConnection: close\r\n\r\n"
        result = eventLoop.makePromise(of: Bool.self)
    }

    /// - Returns: whether the member answered in time with a status that is good. Never fails.
    func run() -> EventLoopFuture<Bool> {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let deadline = eventLoop.scheduleTask(in: check.timeout) { bound.value.ended(isGood: false) }
        result.futureResult.whenComplete { _ in deadline.cancel() }
        let bootstrap = ClientBootstrap(group: eventLoop).connectTimeout(check.timeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(ProbeHandler(bound.value))
                }
            }
        UpstreamConnector.connect(bootstrap, to: endpoint).hop(to: eventLoop).whenComplete { result in
            let probe = bound.value
            switch result {
            case .success(let channel) where probe.isOver: channel.close(promise: nil)
            case .success(let channel):
                probe.channel = channel
                channel.writeAndFlush(ByteBuffer(string: probe.request), promise: nil)
            case .failure: probe.ended(isGood: false)
            }
        }
        return result.futureResult
    }

    func cancel() {
        ended(isGood: false)
    }

    fileprivate func answered(status: Int) {
        ended(isGood: check.statuses.contains(status))
    }

    fileprivate func ended(isGood: Bool) {
        guard !isOver else { return }
        isOver = true
        channel?.close(promise: nil)
        result.succeed(isGood)
    }
}

private final class ProbeHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let probe: HealthProbe
    private var connection = HTTP1ClientConnection()
    private var pending = ByteBuffer()

    init(_ probe: HealthProbe) {
        self.probe = probe
        connection.requestSent(.get)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var incoming = unwrapInboundIn(data)
        pending.writeBuffer(&incoming)
        while true {
            switch connection.next(&pending) {
            case .wait: return
            case .interim: continue
            case .head: return probe.answered(status: connection.head.status)
            case .body, .end, .upgraded: return
            case .failed: return probe.ended(isGood: false)
            }
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        probe.ended(isGood: false)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
