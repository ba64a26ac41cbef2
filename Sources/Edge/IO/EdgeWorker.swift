import HTTPSemantics
import Logging
import NIOCore
import Telemetry
import Transport

/// What the connections of one event loop share. Belongs to its event loop: no lock, not Sendable.
final class EdgeWorker {
    let eventLoop: any EventLoop
    private(set) var configuration: EdgeConfiguration
    let logger: Logger
    private(set) var routing: Routing
    let store: ResponseStore
    let metrics: EdgeMetrics
    /// Of all loops together.
    let report: EdgeReport
    let codec: ResponseCodec
    let fillBudget: FillBudget
    private let upstreams: SharedUpstreams
    /// Groups that a reload took away, and whose last exchanges go on.
    private var retired: [UpstreamConnector] = []
    private let accessLog: AccessLogWriter?
    private var accessRecord: AccessRecord
    let passwords: PasswordThreads
    let pages: BuiltInPages?
    let pressure: MemoryPressure
    private var memory: MemoryShare?
    private var sweptAt = NIODeadline.now()

    /// The key of the request that is being looked up; its memory serves all lookups.
    var key = CacheKey()
    var sweep = DeadlineSweep()
    /// Fetches of what is fresh yet that are under way.
    var refreshesAhead = 0
    /// 32: with an application that answers within 100 ms some 300 a second; what is left waits for its end, when clients make it come.
    static let refreshesAheadMax = 32
    private(set) var isDraining = false
    /// Judges what is signed.
    var proof: ProofPolicy
    /// `nil` when no request is held out.
    private(set) var holdOut: HoldOutThrow?
    /// What is said on connections with TLS.
    private(set) var strictTransportSecurity: HeaderRuleSet?

    /// With which of the store's shards the sweep for purges by pattern goes on.
    private var sweepPosition = 0
    /// What that sweep may take of the loop, four times a second. 500 µs: less than what a large response takes.
    private static let banSweepTime = TimeAmount.microseconds(500)

    private var outputs: [ByteBuffer] = []
    private var logLines: ByteBuffer
    private var second = WallClockSecond()
    private var random: TraceRandom
    /// The time of day minus the monotonic time, in nanoseconds; read anew with every sweep, since the time of day may be set.
    private var wallOffset: Int64 = 0
    private var sweeping: RepeatedTask?
    private var proxyHeaderSaid = NIODeadline.uptimeNanoseconds(0)

    /// Access-log bytes that go to the writer in one piece.
    static let logBatchBytes = 32 << 10

    init(
        eventLoop: any EventLoop, configuration: EdgeConfiguration, store: ResponseStore, metrics: EdgeMetrics,
        report: EdgeReport, background: BackgroundCompression, fillBudget: FillBudget, upstreams: SharedUpstreams, resources: RouteResources,
        accessLog: AccessLogWriter?, pages: BuiltInPages?, pressure: MemoryPressure, logger: Logger
    ) {
        self.pressure = pressure
        self.eventLoop = eventLoop
        self.configuration = configuration
        self.logger = logger
        self.store = store
        self.metrics = metrics
        self.report = report
        self.fillBudget = fillBudget
        self.accessLog = accessLog
        self.pages = pages
        accessRecord = AccessRecord(configuration.accessRecords)
        passwords = resources.passwords
        routing = Routing(EdgeConfiguration(), resources, connectors: [:], metrics: metrics)
        codec = ResponseCodec(configuration.compression, store: store, background: background, metrics: metrics)
        logLines = ByteBufferAllocator().buffer(capacity: accessLog == nil ? 0 : 2 * Self.logBatchBytes)
        random = TraceRandom()
        self.upstreams = upstreams
        strictTransportSecurity = configuration.tls.strictTransportSecurityRules
        proof = ProofPolicy(configuration.proof)
        holdOut = HoldOutThrow(configuration.proof)
        route(resources)
        adjustClock(now: .now())
    }

    /// Begins the sweep. Called on the event loop.
    func start() {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        sweeping = eventLoop.scheduleRepeatedTask(initialDelay: DeadlineSweep.interval, delay: DeadlineSweep.interval) { _ in
            bound.value.swept()
        }
        memory = pressure.join { [eventLoop] in eventLoop.execute { bound.value.reviewMemory() } }
    }

    /// Ends the sweep and what is under way still, and hands over what is left of the access log.
    func stop() {
        sweeping?.cancel()
        memory?.leave()
        let now = NIODeadline.now()
        for holder in sweep.all { holder.drainEnded(now: now) }
        for connector in connectors { connector.closeIdle() }
        flushLog()
    }

    private func swept() {
        let now = NIODeadline.now()
        adjustClock(now: now)
        let late = (now - sweptAt - DeadlineSweep.interval).nanoseconds
        if late > metrics.lag.value { metrics.lag.set(Int(clamping: late)) }
        metrics.cpuTime.set(Int(clamping: ThreadClock.nanoseconds()))
        for holder in sweep.overdue(now: now) where holder.deadline <= now { holder.deadlinePassed(now: now) }
        for connector in connectors { connector.swept(now: now) }
        metrics.upstreamConnections.set(connectors.reduce(0) { $0 + $1.counts.open })
        metrics.upstreamIdle.set(connectors.reduce(0) { $0 + $1.counts.idle })
        sweepPosition = store.sweep(from: sweepPosition, until: now + Self.banSweepTime)
        for connector in retired where connector.isUnused { connector.end() }
        retired.removeAll { $0.isUnused }
        flushLog()
        sweptAt = .now()
    }

    /// A holder keeps so many bytes more, since its client does not take or end them; it is cut at once where they are too many. Others would fill what the next review
    /// finds, and the allocator gives them what this one had.
    func keeps(_ bytes: Int, _ holder: some DeadlineHolder) {
        guard pressure.bytesMax > 0 else { return }
        pressure.grew(by: bytes)
        guard pressure.excessBytes > 0 else { return }
        metrics.shed.add()
        holder.memoryShort(now: .now())
    }

    /// Cuts who holds most memory, until this loop's part of what has to go is gone.
    private func reviewMemory() {
        let now = NIODeadline.now()
        memory?.review(sweep.all, bytes: \.heldBytes) { holder in
            metrics.shed.add()
            return holder.memoryShort(now: now)
        }
    }

    /// Takes over what may change while the server runs; see ``EdgeConfiguration/adopting(_:)``.
    func reload(_ configuration: EdgeConfiguration, _ resources: RouteResources) {
        self.configuration = configuration
        accessRecord = AccessRecord(configuration.accessRecords)
        strictTransportSecurity = configuration.tls.strictTransportSecurityRules
        proof = ProofPolicy(configuration.proof)
        holdOut = HoldOutThrow(configuration.proof)
        route(resources)
    }

    /// Makes the routes of ``configuration``. This loop's side of a group that stays keeps its connections.
    private func route(_ resources: RouteResources) {
        var connectors: [String: UpstreamConnector] = [:]
        for (name, group) in configuration.upstreams {
            guard let shared = upstreams[name] else { continue }
            if let connector = routing.connectors[name], connector.shared === shared {
                connector.reconfigure(group)
                connectors[name] = connector
            } else {
                connectors[name] = UpstreamConnector(group, shared: shared, worker: self)
            }
        }
        for (name, connector) in routing.connectors where connectors[name] !== connector { retired.append(connector) }
        routing = Routing(configuration, resources, connectors: connectors, metrics: metrics)
    }

    private var connectors: [UpstreamConnector] { Array(routing.connectors.values) + retired }

    func beginDraining() {
        isDraining = true
        let now = NIODeadline.now()
        for holder in sweep.all { holder.drainBegan(now: now) }
    }

    // MARK: Clock

    private func adjustClock(now: NIODeadline) {
        wallOffset = WallClock.nanoseconds() - Int64(clamping: now.uptimeNanoseconds)
    }

    func unixSeconds(_ time: NIODeadline) -> Int64 {
        (wallOffset + Int64(clamping: time.uptimeNanoseconds)) / 1_000_000_000
    }

    /// The `Date` of an answer that the edge makes itself.
    func httpDate(now: NIODeadline) -> [UInt8] {
        second.assign(unixSeconds(now))
        return second.httpDate
    }

    // MARK: Traces

    /// This hop's span in the client's trace, or the start of a new one.
    /// - Source: W3C Trace Context §3.2: an invalid `traceparent` is as good as none.
    func trace(_ fields: borrowing FieldSection) -> TraceParent {
        if fields.contains(.traceparent), fields.count(of: .traceparent) == 1, let index = fields.firstIndex(of: .traceparent),
            let parent = TraceParent(fields.value(at: index))
        {
            return parent.child(spanID: random.next())
        }
        return TraceParent(traceID: (random.next(), random.next()), parentID: random.next(), flags: 0)
    }

    /// A number that no client can guess beforehand with any use.
    func randomNumber() -> UInt64 { random.next() }

    // MARK: Output

    /// Buffers that are kept for lending.
    /// 2: a turn's answer, and the request to the application that is written in the middle of it.
    private static let outputsMax = 2
    private static let outputBytes = 16 << 10

    /// Lends a buffer in which a turn's output is gathered. The same ones serve all connections of the loop: once a turn is
    /// flushed, nobody else holds their memory, and the next turn writes into it again without an allocation.
    func takeOutput() -> ByteBuffer {
        guard var taken = outputs.popLast() else { return ByteBufferAllocator().buffer(capacity: Self.outputBytes) }
        taken.clear()
        return taken
    }

    /// Takes a buffer back, unless an unusual answer made it large, or its memory went out with an answer.
    func giveBack(_ buffer: consuming ByteBuffer) {
        let isUsual = buffer.storageCapacity >= Self.outputBytes && buffer.storageCapacity <= 256 << 10
        if isUsual, outputs.count < Self.outputsMax { outputs.append(buffer) }
    }

    // MARK: Proxies in front

    /// 10 s: a proxy that was not told to send the header does so with each of its connections.
    private static let proxyHeaderWarnings = TimeAmount.seconds(10)

    /// Says at most every ``proxyHeaderWarnings`` that one of the trusted proxies does not say for whom it connects.
    func proxyHeaderRefused(_ malformation: ProxyHeader.Malformation, from address: SocketAddress?) {
        let now = NIODeadline.now()
        guard now - proxyHeaderSaid >= Self.proxyHeaderWarnings else { return }
        proxyHeaderSaid = now
        logger.warning(
            "no PROXY header from a proxy of edge.proxies", metadata: ["proxy": "\(address?.ipAddress ?? "unix")", "reason": "\(malformation.rawValue)"])
    }

    // MARK: Access log

    func record(_ exchange: borrowing Exchange, _ request: borrowing RequestHead, client: [UInt8], ended: NIODeadline) {
        guard accessLog != nil, accessRecord.isSampled(exchange) else { return }
        let wall = wallOffset + Int64(clamping: ended.uptimeNanoseconds)
        second.assign(wall / 1_000_000_000)
        accessRecord.append(
            exchange, request, client: client, ended: ended, second: second, milliseconds: Int(wall / 1_000_000 % 1000),
            to: &logLines)
        if logLines.readableBytes >= Self.logBatchBytes { flushLog() }
    }

    private func flushLog() {
        guard let accessLog, logLines.readableBytes > 0 else { return }
        accessLog.write(logLines)
        logLines = ByteBufferAllocator().buffer(capacity: 2 * Self.logBatchBytes)
    }
}

/// Numbers for trace and span ids: wyrand, seeded once per event loop from the system.
///
/// They need to be distinct, not secret (W3C Trace Context §3.2.2.3), and the system's generator costs a system call each.
struct TraceRandom {
    private var state = UInt64.random(in: .min ... .max)

    /// Never zero: the all-zero id is invalid.
    mutating func next() -> UInt64 {
        state &+= 0xA076_1D64_78BD_642F
        let product = state.multipliedFullWidth(by: state ^ 0xE703_7ED1_A0B4_28DB)
        let value = product.high ^ product.low
        return value == 0 ? 1 : value
    }
}
