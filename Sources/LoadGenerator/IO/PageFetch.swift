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
        let request = workload.requests[0]
        let time = TimeAmount.nanoseconds(Int64(clamping: timeout.nanosecondsClamped))
        let tls = url.isSecure ? try TLSClient(host: url.host, verifies: verifies) : nil
        let start = MonotonicClock.nanoseconds()
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let promise = loop.makePromise(of: Page.self)
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: loop).connectTimeout(time)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let handler = PageFetchHandler(url: url, request: request, start: start, isSecure: tls != nil, promise: promise)
                        try channel.pipeline.syncOperations.addHandler(handler)
                        try tls?.add(to: channel)
                    }
                }
                .connect(host: url.host, port: url.port).get()
        } catch {
            promise.fail(error)
            throw Failure(kind: .connect, description: "\(url.authority): \(Self.reason(error))")
        }
        let deadline = loop.scheduleTask(in: time) {
            promise.fail(Failure(kind: .timeout, description: "\(url.origin)\(url.target): no whole response within \(timeout)"))
        }
        defer {
            deadline.cancel()
            channel.close(promise: nil)
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

    private let url: HTTPURL
    private let request: Workload.Request
    private let start: UInt64
    private let promise: EventLoopPromise<PageFetch.Page>
    private var isReady: Bool
    private var sentAt: UInt64 = 0
    private var firstByteAt: UInt64 = 0
    private var pending = ByteBuffer()
    private var parser = HTTP1ResponseParser(limits: HTTP1Limits())
    private var head = ResponseHead()
    private var decoder: HTTP1BodyDecoder?
    private var interimCount = 0
    private var body: [UInt8] = []

    init(url: HTTPURL, request: Workload.Request, start: UInt64, isSecure: Bool, promise: EventLoopPromise<PageFetch.Page>) {
        self.url = url
        self.request = request
        self.start = start
        self.promise = promise
        isReady = !isSecure
    }

    func channelActive(context: ChannelHandlerContext) {
        if isReady { send(context) }
        context.fireChannelActive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if !isReady, TLSClient.isHandshakeCompleted(event) {
            isReady = true
            send(context)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
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

    private func send(_ context: ChannelHandlerContext) {
        sentAt = MonotonicClock.nanoseconds()
        context.writeAndFlush(wrapOutboundOut(request.bytes), promise: nil)
    }

    private func isComplete() throws(HTTP1Error) -> Bool {
        while decoder == nil {
            guard try parser.parse(&pending, into: &head, answering: request.http?.method ?? .get) else { return false }
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
        let now = MonotonicClock.nanoseconds()
        promise.succeed(
            PageFetch.Page(
                url: url, head: head, body: body, connectTime: sentAt &- start, firstByteTime: firstByteAt &- sentAt, wholeTime: now &- start,
                certificateExpiry: TLSClient.certificateExpiry(of: context.channel), receivedAt: WallClock.nanoseconds() / 1_000_000_000))
    }

    private func fail(_ kind: FailureKind, _ text: String) {
        promise.fail(PageFetch.Failure(kind: kind, description: "\(url.origin)\(url.target): \(text)"))
    }
}
