public import Logging
public import NIOCore
import NIOPosix
import Telemetry
public import Transport

/// The edge as a whole: listeners, event loops, and what the loops share.
///
/// `start`, then `drain` once; a server is not started twice.
public final class EdgeServer: Sendable {
    private let configuration: EdgeConfiguration
    private let logger: Logger
    private let group: MultiThreadedEventLoopGroup
    private let limit: ConnectionLimit
    private let clientLimit: ClientLimit
    private let store: ResponseStore
    private let background: BackgroundCompression
    private let accessLog: AccessLogWriter?
    private let upstreams: SharedUpstreams
    /// `nil` where no TLS is spoken.
    private let certificates: TLSCertificates?
    private let pages: BuiltInPages?
    private let pressure: MemoryPressure
    private let running: Lock<Running>

    private struct Running: Sendable {
        var workers: [NIOLoopBound<EdgeWorker>] = []
        /// `nil` until it serves.
        var report: EdgeReport?
        var listeners: [Listener] = []
        var configuration: EdgeConfiguration
        var resources: RouteResources
        /// `nil` where rate limits are this process' own.
        var rateStore: RateStoreClient?
        /// Looks at the certificates' files.
        var watch: Task<Void, Never>?
    }

    /// - Parameters:
    ///   - pages: What answers for the built-in pages that the edge does not make itself.
    ///   - pressure: How near the process is to its memory's bound, all layers together.
    /// - Throws: when the access log cannot be opened, or a folder of files or a certificate cannot be read.
    public init(configuration: EdgeConfiguration, pages: BuiltInPages? = nil, pressure: MemoryPressure = MemoryPressure(), logger: Logger) throws {
        var configuration = configuration
        if configuration.threads <= 0 { configuration.threads = System.coreCount }
        self.configuration = configuration
        self.logger = logger
        self.pages = pages
        self.pressure = pressure
        running = Lock(
            Running(configuration: configuration, resources: try RouteResources(configuration, previous: nil)))
        group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.threads)
        limit = ConnectionLimit(max: configuration.limits.connectionsMax)
        clientLimit = ClientLimit(max: configuration.limits.clientConnectionsMax)
        store = ResponseStore(
            configuration: configuration.cache, codingOrder: CompressionPolicy.serverOrder(configuration.compression))
        background = BackgroundCompression(configuration.compression)
        certificates = configuration.tls.listen.isEmpty ? nil : try TLSCertificates(configuration.tls.files)
        accessLog = try AccessLogWriter(configuration.accessLog)
        upstreams = SharedUpstreams(loops: configuration.threads, group: group, logger: logger)
    }

    /// Binds all listeners and serves.
    /// - Returns: the addresses in use, in the order of the configuration, those with TLS apart.
    /// - Throws: when an address cannot be bound; nothing is left open then.
    public func start() async throws -> (plain: [SocketAddress], secure: [SocketAddress]) {
        await upstreams.start(configuration.upstreams, running.withLock { $0.resources.upstreamTLS })
        if let store = configuration.limits.rateStore {
            let client = RateStoreClient(store, on: group.next(), logger: logger) { [weak self] in
                self?.running.withLock { Array($0.resources.limiters.values) } ?? []
            }
            running.withLock { $0.rateStore = client }
            client.start()
        }
        let workers = try await makeWorkers()
        let byLoop = Dictionary(uniqueKeysWithValues: workers.map { (ObjectIdentifier($0.eventLoop), $0.worker) })
        var (secure, plain): ([Listener], [Listener]) = ([], [])
        do {
            if let context = try tlsContext() {
                for endpoint in configuration.tls.listen {
                    secure.append(try await listen(endpoint, .tls, context, byLoop))
                }
            }
            // Behind those with TLS, whose port they may have to name.
            let port = secure.lazy.compactMap { $0.address.port }.first
            for endpoint in configuration.listen {
                let arrival = configuration.tls.arrival(at: endpoint, securePort: port)
                plain.append(try await listen(endpoint, arrival, nil, byLoop))
            }
        } catch {
            let listeners = secure + plain
            for listener in listeners { await listener.close() }
            await stop()
            throw error
        }
        let (listeners, watch) = (secure + plain, certificates?.watch(logger))
        running.withLock {
            $0.listeners = listeners
            $0.watch = watch
        }
        return (plain.map(\.address), secure.map(\.address))
    }

    private func tlsContext() throws -> TLSServerContext? {
        guard let certificates else { return nil }
        let tls = configuration.tls
        return try TLSServerContext(
            certificates, clientCertificates: tls.clientCertificates, authorities: tls.clientAuthorities, 
            applicationProtocols: configuration.isHTTP2Enabled ? ["h2", "http/1.1"] : ["http/1.1"])
    }

    private func listen(
        _ endpoint: SocketEndpoint, _ arrival: Arrival, _ context: TLSServerContext?,
        _ workers: [ObjectIdentifier: NIOLoopBound<EdgeWorker>]
    ) async throws -> Listener {
        let reception = Reception(arrival: arrival, context: context, limit: limit, clientLimit: clientLimit)
        return try await Listener.bind(endpoint, group: group) { channel in
            guard let worker = workers[ObjectIdentifier(channel.eventLoop)] else { throw ConnectionRefused() }
            try reception.receive(channel, worker.value)
        }
    }

    /// What a listener's connections get.
    private struct Reception: Sendable {
        let arrival: Arrival
        /// `nil` without TLS.
        let context: TLSServerContext?
        let limit: ConnectionLimit
        let clientLimit: ClientLimit

        func receive(_ channel: any Channel, _ worker: EdgeWorker) throws {
            guard worker.pressure.level == .none else {
                worker.metrics.connectionRefused(.memory)
                throw ConnectionRefused()
            }
            guard limit.admit() else {
                worker.metrics.connectionRefused(.connections)
                throw ConnectionRefused()
            }
            do {
                // Without proxies no address is made a text for it.
                guard !worker.configuration.proxies.isEmpty, worker.configuration.isProxy(channel.remoteAddress?.ipAddress) else {
                    return try serve(channel, worker, ConnectionEnds(client: channel.remoteAddress, own: channel.localAddress))
                }
                let limit = limit
                let waits = ProxyHeaderHandler(worker: worker, limit: ConnectionRelease { limit.release() }) { ends in
                    try serve(channel, worker, ends)
                }
                try channel.pipeline.syncOperations.addHandler(waits)
            } catch {
                limit.release()
                throw error
            }
        }

        private func serve(_ channel: any Channel, _ worker: EdgeWorker, _ ends: ConnectionEnds) throws {
            let client = ClientLimit.Client(ends.client)
            if let client, !clientLimit.admit(client) {
                worker.metrics.connectionRefused(.clientConnections)
                throw ConnectionRefused()
            }
            let (limit, clientLimit) = (limit, clientLimit)
            let handler = HTTPServerHandler(
                worker: worker, arrival: arrival, peer: ClientIdentity(ends), limit: ConnectionRelease {
                    limit.release()
                    if let client { clientLimit.release(client) }
                })
            do {
                if let context { try context.add(to: channel) }
                try channel.pipeline.syncOperations.addHandler(handler)
            } catch {
                if let client { clientLimit.release(client) }
                throw error
            }
        }
    }

    /// Lets a changed configuration take effect: those of its parts that may change while the server runs.
    ///
    /// Exchanges that are under way go on under what they began with where they have read it already. Each event loop swaps all of it
    /// at once, between two requests.
    /// - Throws: when a folder of files cannot be read; nothing has changed then.
    public func reload(_ new: EdgeConfiguration) throws {
        let adopted = configuration.adopting(new)
        let resources = try RouteResources(adopted, previous: running.withLock { $0.resources })
        // The last that may fail.
        for problem in try certificates?.replace(adopted.tls.files) ?? [] {
            logger.error("a certificate was not read anew: the old one stays", metadata: ["error": "\(problem)"])
        }
        let (workers, rateStore) = running.withLock {
            $0.configuration = adopted
            $0.resources = resources
            return ($0.workers, $0.rateStore)
        }
        rateStore?.adopt(resources.limiters.values)
        // Before the workers, which take their sides of it.
        upstreams.reload(adopted.upstreams, resources.upstreamTLS)
        for worker in workers {
            worker.eventLoop.execute { worker.value.reload(adopted, resources) }
        }
    }

    /// Whether the files and folders that a configuration names can be used.
    /// - Throws: what is wrong with the first that cannot.
    public static func check(_ configuration: EdgeConfiguration) throws {
        if !configuration.tls.listen.isEmpty { _ = try TLSCertificates(configuration.tls.files) }
        let resources = try RouteResources(configuration, previous: nil)
        resources.passwords.shutdown()
    }

    /// Opens the access log's file anew, under its name: for whoever moves full files away.
    public func reopenLogs() {
        accessLog?.reopen(logger)
    }

    /// Its numbers now. Takes about 0.1 ms; may be called on any thread, by one reader: some figures are those since the last call.
    public func figures() -> EdgeFigures { running.withLock { $0.report }?.figures() ?? EdgeFigures() }

    /// Requests that the application answered since the last time that this was asked, by the trace that it was told. Who asks takes them away.
    public func takeTraces() -> [(trace: String, pattern: String)] { running.withLock { $0.report }?.takeTraces() ?? [] }

    public func insight() -> EdgeInsight { running.withLock { $0.report }?.lists(now: .now()) ?? EdgeInsight() }

    /// Returns once each event loop has had its turn, which it has within its longest step; never, when one of them hangs.
    public func pulse() async {
        for eventLoop in group.makeIterator() { try? await eventLoop.submit {}.get() }
    }

    /// Stops accepting, lets exchanges in flight finish (at most as long as the configuration says), and ends.
    ///
    /// Each response that goes out meanwhile says `Connection: close`; a connection without a request is given a moment more,
    /// because its next request may be on the way.
    public func drain() async {
        let (listeners, workers, configuration) = running.withLock { ($0.listeners, $0.workers, $0.configuration) }
        running.withLock { $0.watch }?.cancel()
        for listener in listeners { await listener.close() }
        for worker in workers {
            // Waited for: behind it on each loop, every connection that was accepted is counted.
            try? await worker.eventLoop.submit { worker.value.beginDraining() }.get()
        }
        let end = NIODeadline.now() + configuration.deadlines.drain
        while limit.count > 0, NIODeadline.now() < end {
            try? await Task.sleep(for: .milliseconds(20))
        }
        if limit.count > 0 { logger.warning("drain deadline passed", metadata: ["connections": "\(limit.count)"]) }
        await stop()
    }

    private func stop() async {
        let workers = running.withLock { $0.workers }
        for worker in workers {
            try? await worker.eventLoop.submit { worker.value.stop() }.get()
        }
        upstreams.stop()
        await running.withLock { $0.rateStore }?.stop()
        background.shutdown()
        running.withLock { $0.resources }.passwords.shutdown()
        await accessLog?.finish()
        try? await group.shutdownGracefully()
    }

    private func makeWorkers() async throws -> [(eventLoop: any EventLoop, worker: NIOLoopBound<EdgeWorker>)] {
        let budget = FillBudget(bytesMax: configuration.bufferedResponseBytesMax, pressure: pressure)
        let resources = running.withLock { $0.resources }
        let loops = Array(group.makeIterator())
        let report = EdgeReport(
            loops: loops.map { _ in EdgeMetrics() }, store: store, background: background, upstreams: { [upstreams] in upstreams.snapshots },
            certificates: { [certificates] in certificates?.descriptions ?? [] }, responseBuffers: budget,
            accessLogDropped: { [accessLog] in accessLog?.droppedBytes.load(ordering: .relaxed) ?? 0 },
            rateStore: { [weak self] in
                self?.running.withLock { $0.rateStore }?.figures
            })
        running.withLock { $0.report = report }
        var made: [(eventLoop: any EventLoop, worker: NIOLoopBound<EdgeWorker>)] = []
        for (eventLoop, metrics) in zip(loops, report.loops) {
            let worker = try await eventLoop.submit { [configuration, store, background, upstreams, accessLog, pages, pressure, logger] in
                let worker = EdgeWorker(
                    eventLoop: eventLoop, configuration: configuration, store: store, metrics: metrics, report: report, background: background,
                    fillBudget: budget, upstreams: upstreams, resources: resources, accessLog: accessLog, pages: pages,
                    pressure: pressure, logger: logger)
                worker.start()
                return NIOLoopBound(worker, eventLoop: eventLoop)
            }.get()
            running.withLock { $0.workers.append(worker) }
            made.append((eventLoop, worker))
        }
        return made
    }
}

/// A connection over the limit: it is closed without a word, since a word would need the memory that the limit protects.
struct ConnectionRefused: Error {}
