import NIOCore
import NIOPosix
import RESPWire

/// The connection of a cache: opened when it is first used, used by all calls at once, opened anew when it broke.
///
/// Calls do not wait for each other: their commands follow one another on the wire, and so do the answers. A server that fails is left alone
/// for a while, longer each time.
actor CacheConnection {
    enum Endpoint: Sendable {
        case tcp(host: String, port: Int)
        case unix(path: String)
    }

    /// The server was not asked: it had failed a moment ago.
    struct Away: Error {}

    /// The connection came to its end before the answer.
    enum Lost: Error {
        case late, closed
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    private let endpoint: Endpoint
    private let options: CacheOptions
    private let group: any EventLoopGroup
    private var channel: (any Channel)?
    private var opening: Task<any Channel, any Error>?
    private var failures = 0
    private var awayUntil = ContinuousClock.now

    init(_ endpoint: Endpoint, _ options: CacheOptions, _ group: any EventLoopGroup) {
        self.endpoint = endpoint
        self.options = options
        self.group = group
    }

    /// - Returns: one reply for each command; none of them an error.
    func send(_ commands: [[[UInt8]]]) async throws -> [RESPReply] {
        guard ContinuousClock.now >= awayUntil else { throw Away() }
        do {
            let channel = try await open()
            let promise = channel.eventLoop.makePromise(of: [RESPReply].self)
            channel.writeAndFlush(CacheBatch(commands: commands, promise: promise), promise: nil)
            let replies = try await promise.futureResult.get()
            failures = 0
            for case .error(let text) in replies { throw Failure(String(decoding: text, as: UTF8.self)) }
            return replies
        } catch let refusal as Failure {
            // An answer, though a refusal: the server is there.
            throw refusal
        } catch {
            let now = ContinuousClock.now
            // All calls that were under way fail together: that is one failure, and not as many.
            guard now >= awayUntil else { throw error }
            failures = min(failures + 1, 16)
            awayUntil = now + min(options.retryAfter * (1 << (failures - 1)), .seconds(30))
            throw error
        }
    }

    func close() async {
        let last = channel
        channel = nil
        try? await last?.close()
    }

    private func open() async throws -> any Channel {
        if let channel, channel.isActive { return channel }
        if let opening { return try await opening.value }
        let task = Task { [endpoint, options, group] in try await Self.connect(endpoint, options, group) }
        opening = task
        defer { opening = nil }
        let new = try await task.value
        channel = new
        return new
    }

    private static func connect(_ endpoint: Endpoint, _ options: CacheOptions, _ group: any EventLoopGroup) async throws -> any Channel {
        let timeout = TimeAmount(options.timeout)
        let bootstrap = ClientBootstrap(group: group).connectTimeout(timeout).channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(CacheHandler(timeout: timeout, pendingMax: options.pendingMax))
                }
            }
        let channel: any Channel
        switch endpoint {
        case .tcp(let host, let port): channel = try await bootstrap.connect(host: host, port: port).get()
        case .unix(let path): channel = try await bootstrap.connect(unixDomainSocketPath: path).get()
        }
        var greeting: [[[UInt8]]] = []
        if let password = options.password { greeting.append(["AUTH", options.username ?? "default", password].words) }
        if options.database != 0 { greeting.append(["SELECT", String(options.database)].words) }
        guard !greeting.isEmpty else { return channel }
        let promise = channel.eventLoop.makePromise(of: [RESPReply].self)
        channel.writeAndFlush(CacheBatch(commands: greeting, promise: promise), promise: nil)
        for case .error(let text) in try await promise.futureResult.get() {
            try? await channel.close()
            throw Failure(String(decoding: text, as: UTF8.self))
        }
        return channel
    }
}

/// Commands that are sent together, and who waits for their replies.
struct CacheBatch: Sendable {
    let commands: [[[UInt8]]]
    let promise: EventLoopPromise<[RESPReply]>
}

/// Batches out, replies in, each to whom it belongs. Ends the connection when a reply is late: those behind it would be later.
final class CacheHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = CacheBatch
    typealias OutboundOut = ByteBuffer

    private struct Waiting {
        let promise: EventLoopPromise<[RESPReply]>
        let count: Int
        let deadline: NIODeadline
        var replies: [RESPReply] = []
    }

    private let timeout: TimeAmount
    private let pendingMax: Int
    private var waiting = CircularBuffer<Waiting>()
    private var received = ByteBuffer()
    private var parser = ReplyParser()
    /// Before so many bytes are there, the reply cannot be whole.
    private var neededBytes = 1
    private var sweep: RepeatedTask?

    init(timeout: TimeAmount, pendingMax: Int) {
        self.timeout = timeout
        self.pendingMax = pendingMax
    }

    func channelActive(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        // A quarter of the time: a late reply is noticed soon after its deadline, and no timer is made per call.
        let interval = TimeAmount.nanoseconds(max(timeout.nanoseconds / 4, 1_000_000))
        sweep = context.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
            let (handler, context) = bound.value
            guard let first = handler.waiting.first, first.deadline < .now() else { return }
            handler.fail(CacheConnection.Lost.late, context)
        }
        context.fireChannelActive()
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let batch = unwrapOutboundIn(data)
        guard waiting.count < pendingMax, context.channel.isActive, !batch.commands.isEmpty else {
            batch.promise.fail(CacheConnection.Failure("too many commands wait for an answer, or the connection has ended"))
            promise?.succeed()
            return
        }
        waiting.append(Waiting(promise: batch.promise, count: batch.commands.count, deadline: .now() + timeout))
        var buffer = context.channel.allocator.buffer(capacity: 256)
        for command in batch.commands {
            buffer.writeString("*\(command.count)\r\n")
            for word in command {
                buffer.writeString("$\(word.count)\r\n")
                buffer.writeBytes(word)
                buffer.writeString("\r\n")
            }
        }
        context.write(wrapOutboundOut(buffer), promise: promise)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var incoming = unwrapInboundIn(data)
        received.writeBuffer(&incoming)
        while received.readableBytes >= neededBytes {
            do {
                guard let (reply, count) = try received.withUnsafeReadableBytes({ try parser.next($0) }) else {
                    neededBytes = received.readableBytes + parser.missingBytes
                    break
                }
                neededBytes = 1
                received.moveReaderIndex(forwardBy: count)
                take(reply)
            } catch {
                return fail(error, context)
            }
        }
        received.discardReadBytes()
    }

    private func take(_ reply: RESPReply) {
        if case .push = reply { return }
        guard !waiting.isEmpty else { return }
        waiting[waiting.startIndex].replies.append(reply)
        guard let first = waiting.first, first.replies.count == first.count else { return }
        waiting.removeFirst()
        first.promise.succeed(first.replies)
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(CacheConnection.Lost.closed, context)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { fail(error, context) }

    private func fail(_ error: any Error, _ context: ChannelHandlerContext) {
        sweep?.cancel()
        sweep = nil
        let all = waiting
        waiting.removeAll()
        context.close(promise: nil)
        for one in all { one.promise.fail(error) }
    }
}
