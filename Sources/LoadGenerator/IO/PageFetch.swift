public import HTTPSemantics
import HTTP1Wire
import NIOCore
import NIOPosix
import Telemetry
import Transport

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Asks for one page on a connection of its own, for those who look and do not measure.
public struct PageFetch: Sendable {
    /// A response as it came, and how long its parts took.
    public struct Page: Sendable {
        public var url: HTTPURL
        public var head: ResponseHead
        /// As transferred: content codings are not undone.
        public var body: [UInt8]
        /// Nanoseconds: until the connection stood, TLS included; from there to the response's first byte; all of it.
        public var connectTime: UInt64
        public var firstByteTime: UInt64
        public var wholeTime: UInt64
        /// When the server's certificate ends, in seconds since 1970; `nil` without TLS.
        public var certificateExpiry: Int64?
        /// When the response came, in seconds since 1970.
        public var receivedAt: Int64

        /// By how many seconds the server's clock is ahead of ours; `nil` when it sends no `Date`. A cache passes on when the
        /// response was made, and its age since: both together are now.
        /// - Source: RFC 9110 §6.6.1, RFC 9111 §5.1.
        public var clockAheadSeconds: Int64? {
            guard let date = head.fields.firstIndex(of: .date).flatMap({ HTTPDate.parse(head.fields.value(at: $0)) }) else { return nil }
            let age = head.fields.string(.age).flatMap { UInt32($0) } ?? 0
            return date + Int64(age) - receivedAt
        }
    }

    public struct Failure: Error, CustomStringConvertible, Sendable {
        public var kind: FailureKind
        public let description: String
    }

    /// More than any page has.
    public static let bytesMax = 32 << 20

    private let timeout: Duration
    private let verifies: Bool

    /// - Parameter verifies: whether a certificate must be trusted.
    public init(timeout: Duration = .seconds(10), verifies: Bool = true) {
        self.timeout = timeout
        self.verifies = verifies
    }

    /// - Parameter fields: beside `Host` and `User-Agent`.
    public func get(_ url: HTTPURL, fields: [Workload.Field] = [], method: String = "GET") async throws -> Page {
        let workload: Workload
        do {
            workload = try Workload([RequestSpecification(url, method: method, fields: fields)], keepsAlive: true)
        } catch {
            throw Failure(kind: .malformed, description: "\(error)")
        }
        let tls = url.isSecure ? try TLSClient(host: url.host, verifies: verifies) : nil
        let start = MonotonicClock.nanoseconds()
        let channel = try await Self.connect(to: url, timeout: timeout, tls: tls)
        defer { channel.close(promise: nil) }
        return try await Self.ask(channel, url, workload.requests[0], timeout: timeout, start: start)
    }

    /// A connection on which ``ask(_:_:_:timeout:start:)`` asks, with TLS agreed on if there is any.
    static func connect(to url: HTTPURL, timeout: Duration, tls: TLSClient?) async throws -> any Channel {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let time = TimeAmount.nanoseconds(Int64(clamping: timeout.nanosecondsClamped))
        let ready = loop.makePromise(of: Void.self)
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: loop).connectTimeout(time)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(PageFetchHandler(url, isSecure: tls != nil, ready))
                        try tls?.add(to: channel)
                    }
                }
                .connect(host: url.host, port: url.port).get()
        } catch {
            ready.fail(error)
            throw Failure(kind: .connect, description: "\(url.authority): \(Self.reason(error))")
        }
        let deadline = loop.scheduleTask(in: time) {
            ready.fail(Failure(kind: .timeout, description: "\(url.origin)\(url.target): no TLS within \(timeout)"))
        }
        defer { deadline.cancel() }
        do {
            try await ready.futureResult.get()
        } catch {
            channel.close(promise: nil)
            throw error
        }
        return channel
    }

    /// Asks on a connection on which nobody waits for anything.
    /// - Parameter start: when the connection was begun, in nanoseconds of the monotonic clock; now, when it stood already.
    static func ask(
        _ channel: any Channel, _ url: HTTPURL, _ request: Workload.Request, timeout: Duration, start: UInt64 = MonotonicClock.nanoseconds()
    ) async throws -> Page {
        let loop = channel.eventLoop
        let promise = loop.makePromise(of: Page.self)
        let deadline = loop.scheduleTask(in: .nanoseconds(Int64(clamping: timeout.nanosecondsClamped))) {
            promise.fail(Failure(kind: .timeout, description: "\(url.origin)\(url.target): no whole response within \(timeout)"))
        }
        defer { deadline.cancel() }
        loop.execute {
            guard channel.isActive, let handler = try? channel.pipeline.syncOperations.handler(type: PageFetchHandler.self) else {
                return promise.fail(Failure(kind: .closed, description: "\(url.origin)\(url.target): the server ended the connection before a response"))
            }
            handler.begin(url, request, start: start, promise)
        }
        return try await promise.futureResult.get()
    }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            error.connectionErrors.last.map { reason($0.error) } ?? "the name is not known"
        case let error as IOError: String(cString: strerror(error.errnoCode))
        case ChannelError.connectTimeout: "no answer in time"
        default: "\(error)"
        }
    }
}

private final class PageFetchHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What is being asked for.
    private struct Asked {
        let url: HTTPURL
        let request: Workload.Request
        let start: UInt64
        let promise: EventLoopPromise<PageFetch.Page>
    }

    private let url: HTTPURL
    private let ready: EventLoopPromise<Void>
    private var isReady: Bool
    private var asked: Asked?
    private var context: ChannelHandlerContext?
    private var sentAt: UInt64 = 0
    private var firstByteAt: UInt64 = 0
    private var pending = ByteBuffer()
    private var parser = HTTP1ResponseParser(limits: HTTP1Limits())
    private var head = ResponseHead()
    private var decoder: HTTP1BodyDecoder?
    private var interimCount = 0
    private var body: [UInt8] = []

    /// - Parameter ready: succeeds when it can be asked, with TLS behind the handshake.
    init(_ url: HTTPURL, isSecure: Bool, _ ready: EventLoopPromise<Void>) {
        self.url = url
        self.ready = ready
        isReady = !isSecure
    }

    /// - Precondition: nothing is being asked for.
    func begin(_ url: HTTPURL, _ request: Workload.Request, start: UInt64, _ promise: EventLoopPromise<PageFetch.Page>) {
        precondition(asked == nil, "two requests at the same time on one connection")
        asked = Asked(url: url, request: request, start: start, promise: promise)
        (firstByteAt, interimCount, decoder, body) = (0, 0, nil, [])
        head = ResponseHead()
        sentAt = MonotonicClock.nanoseconds()
        context?.writeAndFlush(wrapOutboundOut(request.bytes), promise: nil)
    }

    func channelActive(context: ChannelHandlerContext) {
        if isReady { ready.succeed() }
        context.fireChannelActive()
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if !isReady, TLSClient.isHandshakeCompleted(event) {
            isReady = true
            ready.succeed()
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard asked != nil else { return context.close(promise: nil) }
        if firstByteAt == 0 { firstByteAt = MonotonicClock.nanoseconds() }
        var bytes = unwrapInboundIn(data)
        pending.writeBuffer(&bytes)
        do throws(HTTP1Error) {
            if try isComplete() { succeed(context) }
        } catch {
            fail(.malformed, "no response of HTTP/1: \(error)")
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if !isReady { return fail(.tls, "the server ended the connection before TLS was there") }
        guard var decoder else { return fail(firstByteAt == 0 ? .closed : .truncated, "the server ended the connection before a response") }
        do throws(HTTP1Error) {
            try decoder.inputClosed()
            succeed(context)
        } catch {
            fail(.truncated, "the server ended the connection inside the response")
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(isReady ? .reset : .tls, "\(error)")
        context.close(promise: nil)
    }

    private func isComplete() throws(HTTP1Error) -> Bool {
        while decoder == nil {
            guard try parser.parse(&pending, into: &head, answering: asked?.request.http?.method ?? .get) else { return false }
            interimCount += 1
            if head.status >= 200 { decoder = HTTP1BodyDecoder(head.framing) }
            if interimCount > HTTP1Conversation.interimMax { fail(.malformed, "too many interim responses") }
        }
        while true {
            switch try decoder?.next(&pending) {
            case .bytes(let part):
                body.append(contentsOf: part.readableBytesView)
                guard body.count <= PageFetch.bytesMax else {
                    fail(.malformed, "the response is larger than \(PageFetch.bytesMax) bytes")
                    return false
                }
            case .end: return true
            case .needMore, nil: return false
            }
        }
    }

    private func succeed(_ context: ChannelHandlerContext) {
        guard let asked else { return }
        self.asked = nil
        // More than was asked for: where the next response would begin is anybody's guess.
        if pending.readableBytes > 0 { context.close(promise: nil) }
        let now = MonotonicClock.nanoseconds()
        asked.promise.succeed(
            PageFetch.Page(
                url: asked.url, head: head, body: body, connectTime: sentAt &- min(asked.start, sentAt), firstByteTime: firstByteAt &- sentAt,
                wholeTime: now &- asked.start, certificateExpiry: TLSClient.certificateExpiry(of: context.channel),
                receivedAt: WallClock.nanoseconds() / 1_000_000_000))
    }

    private func fail(_ kind: FailureKind, _ text: String) {
        let failure = PageFetch.Failure(kind: kind, description: "\(url.origin)\((asked?.url ?? url).target): \(text)")
        if !isReady { ready.fail(failure) }
        let promise = asked?.promise
        asked = nil
        promise?.fail(failure)
    }
}
