import NIOCore
import NIOPosix
import Synchronization
import Telemetry

/// A server that takes as long for an answer as a test says, and keeps count of what it really took.
final class DelayingServer: Sendable {
    struct Request {
        /// The place in the order of arrival.
        var number: Int
        /// Nanoseconds since the first request.
        var elapsed: UInt64
        var target: String
        var text: String
    }

    private struct Seen {
        var count = 0
        var first: UInt64 = 0
        var histogram = HistogramSnapshot()
        var texts: [String] = []
    }

    let port: Int
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let seen = Mutex(Seen())
    /// What each request took, from its bytes' arrival to the answer's write.
    let times = Histogram()

    /// - Parameters:
    ///   - answer: written as it is.
    ///   - delay: nanoseconds until then.
    ///   - prepare: puts on a new connection what goes below HTTP.
    init(
        answer: @escaping @Sendable (Request) -> String = { _ in "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" },
        delay: @escaping @Sendable (Request) -> UInt64 = { _ in 0 },
        prepare: @escaping @Sendable (any Channel) throws -> Void = { _ in }
    ) async throws {
        let box = Mutex<DelayingServer?>(nil)
        let holder = Holder(box)
        let listener = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4096)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let server = holder.box.withLock({ $0 }) else { return }
                    try prepare(channel)
                    try channel.pipeline.syncOperations.addHandler(DelayingHandler(server: server, answer: answer, delay: delay))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = listener.localAddress?.port ?? 0
        holder.box.withLock { $0 = self }
    }

    private final class Holder: Sendable {
        let box: Mutex<DelayingServer?>
        init(_ box: consuming sending Mutex<DelayingServer?>) { self.box = box }
    }

    var url: String { "http://127.0.0.1:\(port)" }
    var requestCount: Int { seen.withLock { $0.count } }
    var texts: [String] { seen.withLock { $0.texts } }

    func stop() async { try? await group.shutdownGracefully() }

    fileprivate func received(_ text: String) -> Request {
        let now = MonotonicClock.nanoseconds()
        return seen.withLock { seen in
            if seen.count == 0 { seen.first = now }
            seen.count += 1
            if seen.texts.count < 1000 { seen.texts.append(text) }
            let words = text.split(separator: " ", maxSplits: 2)
            return Request(number: seen.count - 1, elapsed: now - seen.first, target: words.count > 1 ? String(words[1]) : "", text: text)
        }
    }
}

private final class DelayingHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let server: DelayingServer
    private let answer: @Sendable (DelayingServer.Request) -> String
    private let delay: @Sendable (DelayingServer.Request) -> UInt64

    init(
        server: DelayingServer, answer: @escaping @Sendable (DelayingServer.Request) -> String,
        delay: @escaping @Sendable (DelayingServer.Request) -> UInt64
    ) {
        self.server = server
        self.answer = answer
        self.delay = delay
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let arrived = MonotonicClock.nanoseconds()
        let request = server.received(String(buffer: unwrapInboundIn(data)))
        let buffer = ByteBuffer(string: answer(request))
        let delay = delay(request)
        guard delay > 0 else {
            context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
            return server.times.record(nanoseconds: MonotonicClock.nanoseconds() - arrived)
        }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(deadline: .uptimeNanoseconds(arrived + delay)) {
            let (handler, context) = bound.value
            context.writeAndFlush(handler.wrapOutboundOut(buffer), promise: nil)
            handler.server.times.record(nanoseconds: MonotonicClock.nanoseconds() - arrived)
        }
    }
}
