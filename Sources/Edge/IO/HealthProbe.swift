import HTTPSemantics
import HTTP2Wire
import NIOCore

/// One probe of one member: connects, asks for the configured path, reads the response's head, closes. On its event loop.
final class HealthProbe {
    private let check: UpstreamGroup.HealthCheck
    private let dial: UpstreamDial
    private let eventLoop: any EventLoop
    private let request: String
    private let result: EventLoopPromise<Bool>
    private var channel: (any Channel)?
    private var isOver = false

    /// - Parameter dial: with the check's deadline.
    init(_ dial: UpstreamDial, _ check: UpstreamGroup.HealthCheck, host: String) {
        self.dial = dial
        self.check = check
        eventLoop = dial.eventLoop
        let host = host.hasPrefix("unix:") ? "localhost" : host
        request = "GET \(check.path ?? "/") HTTP/1.1\r\nHost: \(host)\r\nUser-Agent: headrace-probe\r\nConnection: close\r\n\r\n"
        result = eventLoop.makePromise(of: Bool.self)
    }

    /// - Returns: whether the member answered in time with a status that is good. Never fails.
    func run() -> EventLoopFuture<Bool> {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let deadline = eventLoop.scheduleTask(in: check.timeout) { bound.value.ended(isGood: false) }
        result.futureResult.whenComplete { _ in deadline.cancel() }
        let made = dial.connect { [self] channel, spoken in
            let head = ByteBuffer(string: request)
            let handler: any ChannelInboundHandler =
                switch spoken {
                case .http1: ProbeHandler(self, head)
                case .http2: HTTP2ProbeHandler(self, head, isSecure: dial.secureName != nil)
                }
            try channel.pipeline.syncOperations.addHandler(handler)
        }
        made.whenComplete { result in
            let probe = bound.value
            switch result {
            case .success(let (channel, _)):
                if probe.isOver { channel.close(promise: nil) } else { probe.channel = channel }
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

    private let request: ByteBuffer

    init(_ probe: HealthProbe, _ request: ByteBuffer) {
        (self.probe, self.request) = (probe, request)
        connection.requestSent(.get)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { context.writeAndFlush(wrapOutboundOut(request), promise: nil) }
    }

    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(request), promise: nil)
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

private final class HTTP2ProbeHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let probe: HealthProbe
    private let request: ByteBuffer
    private let isSecure: Bool
    private var connection = HTTP2ClientConnection(streamsMax: 1, now: .now())
    private var pending = ByteBuffer()

    init(_ probe: HealthProbe, _ request: ByteBuffer, isSecure: Bool) {
        (self.probe, self.request, self.isSecure) = (probe, request, isSecure)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { flush(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        flush(context)
    }

    private func flush(_ context: ChannelHandlerContext) {
        guard connection.control.readableBytes > 0 else { return }
        context.writeAndFlush(wrapOutboundOut(connection.control), promise: nil)
        connection.control = ByteBuffer()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var incoming = unwrapInboundIn(data)
        pending.writeBuffer(&incoming)
        while understand(connection.next(&pending, now: .now())) {}
        flush(context)
    }

    /// - Returns: whether there may be more.
    private func understand(_ input: HTTP2ClientConnection.Input) -> Bool {
        switch input {
        case .wait: return false
        case .established:
            guard let stream = connection.open(.get) else {
                probe.ended(isGood: false)
                return false
            }
            var control = ByteBuffer()
            swap(&control, &connection.control)
            connection.writeHead(request, isSecure: isSecure, of: stream, endsStream: true, into: &control)
            swap(&control, &connection.control)
            return true
        case .head:
            probe.answered(status: connection.head.status)
            return false
        case .interim, .body, .trailers, .windowOpened, .limitChanged, .handled: return true
        case .ended, .leaving(unprocessed: _), .failed:
            if case .leaving(let unprocessed) = input, unprocessed.isEmpty { return true }
            probe.ended(isGood: false)
            return false
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        probe.ended(isGood: false)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}
