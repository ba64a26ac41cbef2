import Logging
import NIOCore
import NIOPosix
import RESPWire
import Synchronization
import Telemetry
import Transport

/// Tells the store of the rate limits what this process let through, and the limits what the store answers: ten times a second, on an event
/// loop of the edge's, in one write and one read. Requests never wait for it; while it is away, each process has buckets of its own.
///
/// One batch is under way at a time, of at most ``clientsMax`` clients: whose turn does not come is told of with the next one. What was let through
/// while the store is away is not told later: it is over.
final class RateStoreClient: Sendable {
    /// 100 ms: what many processes let through too much grows with it, and a store has ten reads a second of each.
    static let interval = TimeAmount.milliseconds(100)
    /// Of how many clients a store is told at a time, all limits together: a millisecond or two of the event loop.
    private static let clientsMax = 1024
    /// For an answer; then the store is away.
    private static let timeout = TimeAmount.seconds(1)
    /// How long a store is left alone that was away.
    private static let retryAfter = TimeAmount.seconds(1)
    /// How often it is asked for the seed again.
    private static let seedInterval = TimeAmount.seconds(5)

    /// Numbers for the metrics, written by the one event loop.
    struct Figures: Sendable {
        var isUp = false
        /// Requests that were let through and told to the store, and those of which it will never know.
        var shared = 0
        var local = 0
        var failures = 0
    }

    private let store: RateStore
    private let logger: Logger
    private let eventLoop: any EventLoop
    private let limiters: @Sendable () -> [RateLimiter]
    private let known = Lock(Figures())
    /// `nil` until the store has said it.
    private let sharedSeed = Lock<UInt64?>(nil)
    private let state: NIOLoopBoundBox<State>

    private struct State {
        var ticking: RepeatedTask?
        var channel: (any Channel)?
        var isConnecting = false
        var isEnded = false
        var retryAt = NIODeadline.uptimeNanoseconds(0)
        var seed = UInt64.random(in: .min ... .max)
        var isSeedShared = false
        var seedAskedAt = NIODeadline.uptimeNanoseconds(0)
        /// What `SCRIPT LOAD` called the script.
        var script: String?
        /// What the replies that are waited for are about, in their order.
        var waiting = CircularBuffer<Wait>()
        var deadline = NIODeadline.distantFuture
        var isAwaySaid = false
        /// The shard that is asked next, of those of all limits.
        var place = 0
    }

    private enum Wait {
        /// Anything that is no error.
        case agreement
        case script
        case seed
        case bucket(RateLimiter, UInt64)
    }

    var figures: Figures { known.withLock { $0 } }

    init(_ store: RateStore, on eventLoop: any EventLoop, logger: Logger, limiters: @escaping @Sendable () -> [RateLimiter]) {
        (self.store, self.eventLoop, self.logger, self.limiters) = (store, eventLoop, logger, limiters)
        state = NIOLoopBoundBox.makeBoxSendingValue(State(), eventLoop: eventLoop)
    }

    func start() {
        eventLoop.execute { [self] in
            state.value.ticking = eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: Self.interval) { [weak self] _ in
                self?.tick(now: .now())
            }
        }
    }

    func stop() async {
        try? await eventLoop.submit { [self] in
            state.value.isEnded = true
            state.value.ticking?.cancel()
            state.value.channel?.close(promise: nil)
        }.get()
    }

    /// Limits that a reload has made hash as those before, from their first request on. May be called on any thread.
    func adopt(_ limiters: some Sequence<RateLimiter>) {
        guard let seed = sharedSeed.withLock({ $0 }) else { return }
        for limiter in limiters where limiter.storeName != nil { limiter.use(seed: seed) }
    }

    // MARK: On the event loop

    private func tick(now: NIODeadline) {
        guard let channel = state.value.channel else {
            forgetSpent()
            if !state.value.isConnecting, now >= state.value.retryAt { connect() }
            return
        }
        guard state.value.waiting.isEmpty else {
            // Its word is awaited: what is let through meanwhile goes with the next one.
            if now >= state.value.deadline { failed("does not answer in time", channel) }
            return
        }
        guard let script = state.value.script, state.value.isSeedShared else { return }
        var commands: [[String]] = []
        if now >= state.value.seedAskedAt + Self.seedInterval {
            state.value.seedAskedAt = now
            commands += RateStoreWords.seeding(state.value.seed)
            state.value.waiting.append(.agreement)
            state.value.waiting.append(.seed)
        }
        commands += spendings(script)
        guard !commands.isEmpty else { return }
        send(commands, channel, now: now)
    }

    /// What the store is to be told now: of whole shards, in turn, as long as one more is no more than goes at a time.
    private func spendings(_ script: String) -> [[String]] {
        let limiters = limiters().filter { $0.storeName != nil }
        let places = limiters.count * RateLimiter.shardCount
        var commands: [[String]] = []
        var (requests, untold) = (0, 0)
        for _ in 0..<places {
            guard commands.count + RateLimiter.spentMax <= Self.clientsMax else { break }
            let place = state.value.place % places
            state.value.place = place + 1
            let limiter = limiters[place / RateLimiter.shardCount]
            guard let name = limiter.storeName else { continue }
            let spent = limiter.takeSpent(shard: place % RateLimiter.shardCount)
            requests += spent.requests
            untold += spent.untold
            for (client, nanoseconds) in spent.nanoseconds {
                commands.append(
                    RateStoreWords.spending(script: script, limit: name, client: client, nanoseconds: nanoseconds, missingMax: limiter.missingMax))
                state.value.waiting.append(.bucket(limiter, client))
            }
        }
        known.withLock {
            $0.shared += requests
            $0.local += untold
        }
        return commands
    }

    /// Without the store nobody is told of what was let through.
    private func forgetSpent() {
        var requests = 0
        for limiter in limiters() where limiter.storeName != nil {
            for shard in 0..<RateLimiter.shardCount {
                let spent = limiter.takeSpent(shard: shard)
                requests += spent.requests + spent.untold
            }
        }
        if requests > 0 { known.withLock { $0.local += requests } }
    }

    private func send(_ commands: [[String]], _ channel: any Channel, now: NIODeadline) {
        var output = channel.allocator.buffer(capacity: 128 * commands.count)
        for command in commands {
            output.writeString("*\(command.count)\r\n")
            for word in command { output.writeString("$\(word.utf8.count)\r\n\(word)\r\n") }
        }
        state.value.deadline = now + Self.timeout
        channel.writeAndFlush(output, promise: nil)
    }

    private func connect() {
        state.value.isConnecting = true
        let bootstrap = ClientBootstrap(group: eventLoop).connectTimeout(Self.timeout).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(RateStoreHandler(self)) }
        }
        UpstreamConnector.connect(bootstrap, to: store.endpoint).hop(to: eventLoop).whenComplete { [self] result in
            state.value.isConnecting = false
            switch result {
            case .success(let channel) where state.value.isEnded: channel.close(promise: nil)
            case .success(let channel) where !channel.isActive: failed("has closed the connection", nil)
            case .success(let channel):
                let commands = RateStoreWords.greeting(store, seed: state.value.seed)
                state.value.channel = channel
                for _ in 0..<commands.count - 3 { state.value.waiting.append(.agreement) }
                state.value.waiting.append(contentsOf: [.script, .agreement, .seed])
                state.value.seedAskedAt = .now()
                send(commands, channel, now: .now())
            case .failure(let error): failed("\(error)", nil)
            }
        }
    }

    fileprivate func received(_ reply: RESPReply, _ channel: any Channel, now: NIODeadline) {
        guard state.value.channel === channel else { return }
        guard let wait = state.value.waiting.popFirst() else { return failed("says more than it was asked", channel) }
        if case .error(let text) = reply { return failed(String(decoding: text.prefix(200), as: UTF8.self), channel) }
        switch (wait, reply) {
        case (.agreement, _): break
        case (.script, let reply):
            guard let name = reply.bytes, name.count == 40 else { return failed("does not keep the script", channel) }
            state.value.script = String(decoding: name, as: UTF8.self)
        case (.seed, let reply):
            guard let seed = reply.bytes.flatMap({ UInt64(String(decoding: $0, as: UTF8.self)) }) else { return failed("has no seed", channel) }
            (state.value.seed, state.value.isSeedShared, state.value.isAwaySaid) = (seed, true, false)
            // Before those are asked for that there are: one that is made meanwhile finds it here.
            sharedSeed.withLock { $0 = seed }
            for limiter in limiters() where limiter.storeName != nil { limiter.use(seed: seed) }
            known.withLock { $0.isUp = true }
        case (.bucket(let limiter, let client), .integer(let missing)):
            let (nanoseconds, isTooMuch) = missing.multipliedReportingOverflow(by: 1000)
            limiter.learnt(client, missing: isTooMuch ? .max : nanoseconds, now: now)
        case (.bucket, _): return failed("answers with something else", channel)
        }
    }

    /// - Parameter channel: `nil` when none could be made.
    fileprivate func failed(_ reason: String, _ channel: (any Channel)?) {
        guard state.value.channel === channel || channel == nil else { return }
        state.value.channel = nil
        state.value.script = nil
        state.value.waiting.removeAll()
        state.value.deadline = .distantFuture
        state.value.retryAt = .now() + Self.retryAfter
        channel?.close(promise: nil)
        guard !state.value.isEnded else { return }
        known.withLock {
            $0.isUp = false
            $0.failures += 1
        }
        // Once for each time that it goes away.
        if !state.value.isAwaySaid {
            state.value.isAwaySaid = true
            logger.warning(
                "rate limits are this process' own: their store is away", metadata: ["store": "\(store.endpoint)", "reason": "\(reason)"])
        }
    }
}

private final class RateStoreHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    /// Of replies that are not whole: ours are numbers.
    private static let bytesMax = 64 << 10

    private let client: RateStoreClient
    private var pending = ByteBuffer()
    private var parser = ReplyParser()

    init(_ client: RateStoreClient) {
        self.client = client
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var incoming = unwrapInboundIn(data)
        pending.writeBuffer(&incoming)
        let now = NIODeadline.now()
        do {
            while let (reply, count) = try pending.withUnsafeReadableBytes({ try parser.next($0) }) {
                pending.moveReaderIndex(forwardBy: count)
                client.received(reply, context.channel, now: now)
            }
        } catch {
            return client.failed("is none that we know", context.channel)
        }
        pending.discardReadBytes()
        if pending.readableBytes > Self.bytesMax { client.failed("says too much", context.channel) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        client.failed("has closed the connection", context.channel)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        client.failed("\(error)", context.channel)
    }
}
