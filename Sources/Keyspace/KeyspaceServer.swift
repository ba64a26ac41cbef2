public import Logging
public import NIOCore
import NIOPosix
import Telemetry
public import Transport

/// The keyspace as a whole: listeners, event loops of its own, and the keys.
///
/// `start`, then `drain` once; a server is not started twice.
public final class KeyspaceServer: Sendable {
    private let configuration: KeyspaceConfiguration
    private let logger: Logger
    private let loops: [SocketLoop]
    private let limit: ConnectionLimit
    private let pressure: MemoryPressure
    let keyspace: Keyspace
    /// The keys without a socket.
    public let local: LocalKeyspace
    /// `nil` where no TLS is spoken.
    private let certificates: TLSCertificates?
    private let running = Lock(Running())

    private struct Running: Sendable {
        var workers: [NIOLoopBound<KeyspaceWorker>] = []
        var listeners: [Listener] = []
        /// Looks at the certificates' files.
        var watch: Task<Void, Never>?
    }

    /// - Parameters:
    ///   - rewriting: what `CONFIG REWRITE` does; without it there is no file to write.
    ///   - ending: what `SHUTDOWN` does, which comes back before the end; without it the command is refused.
    ///   - pressure: how near the process is to its memory's bound, all layers together.
    /// - Throws: ``TLSCertificates/Problem`` when a certificate or a key cannot be used.
    public init(
        configuration: KeyspaceConfiguration, rewriting: ConfigurationRewriting? = nil, ending: (@Sendable () -> Void)? = nil,
        pressure: MemoryPressure = MemoryPressure(), logger: Logger
    ) throws {
        self.pressure = pressure
        certificates = configuration.tls.listen.isEmpty ? nil : try TLSCertificates(configuration.tls.files)
        var configuration = configuration
        if configuration.threads <= 0 { configuration.threads = System.coreCount }
        self.configuration = configuration
        self.logger = logger
        loops = (0..<configuration.threads).map { _ in SocketLoop(isOneOfMany: configuration.threads > 1) }
        limit = ConnectionLimit(max: configuration.clientsMax)
        keyspace = Keyspace(configuration, rewriting: rewriting, ending: ending)
        local = LocalKeyspace(keyspace)
    }

    /// Binds all listeners and serves.
    /// - Returns: the addresses in use, in the order of the configuration, those with TLS apart.
    /// - Throws: when an address cannot be bound; nothing is left open then.
    public func start() async throws -> (plain: [SocketAddress], secure: [SocketAddress]) {
        let context = try certificates.map {
            try TLSServerContext(
                $0, clientCertificates: configuration.tls.clientCertificates, authorities: configuration.tls.clientAuthorities, applicationProtocols: [])
        }
        try await load()
        let workers = try await makeWorkers()
        keyspace.persistence.snapshots.setLoops(loops)
        let byLoop = Dictionary(uniqueKeysWithValues: workers.map { (ObjectIdentifier($0.eventLoop), $0.worker) })
        let (limit, pressure, keyspace) = (self.limit, self.pressure, self.keyspace)
        var (plain, secure): ([Listener], [Listener]) = ([], [])
        do {
            let endpoints = configuration.listen.map { (endpoint: $0, isSecure: false) }
                + configuration.tls.listen.map { (endpoint: $0, isSecure: true) }
            for (endpoint, isSecure) in endpoints {
                let listener = try await Listener.bind(endpoint, loops: loops, backlog: 511, awaitsData: false) { channel in
                    guard let worker = byLoop[ObjectIdentifier(channel.eventLoop)] else { throw ClientRefused() }
                    limit.max = keyspace.settings.clientsMax.load(ordering: .relaxed)
                    guard pressure.level == .none, limit.admit() else {
                        worker.value.counters.refusedConnections.add()
                        throw ClientRefused()
                    }
                    let handler = RESPClientHandler(worker: worker.value, isSecure: isSecure, release: { limit.release() })
                    // A client that has sent all it wants to may close its half and still read the answers.
                    try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
                    if isSecure, let context { try context.add(to: channel) } else { channel.reader = handler }
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
                if isSecure { secure.append(listener) } else { plain.append(listener) }
            }
        } catch {
            for listener in plain + secure { await listener.close() }
            await stop()
            throw error
        }
        let (listeners, watch) = (plain + secure, certificates?.watch(logger))
        running.withLock {
            $0.listeners = listeners
            $0.watch = watch
        }
        keyspace.hub.logScripts { [logger] level, line in
            let levels: [Logger.Level] = [.debug, .debug, .notice, .warning]
            logger.log(level: levels[min(max(level, 0), 3)], "a script says: \(line)")
        }
        keyspace.port = listeners.compactMap(\.address.port).first ?? 0
        if keyspace.eviction.policy != .noeviction, configuration.bytesMax > 0 {
            logger.notice(
                "keys make room for others when the memory is full: queues (Celery, RQ) and locks want maxmemory-policy noeviction",
                metadata: ["policy": "\(keyspace.eviction.policy.rawValue)"])
        }
        return (plain.map(\.address), secure.map(\.address))
    }

    /// Returns once each event loop has had its turn, which it has within its longest step; never, when one of them hangs. At once while SHUTDOWN
    /// saves, for which all wait.
    public func pulse() async {
        guard !keyspace.isSavingToEnd.load(ordering: .relaxed) else { return }
        for eventLoop in loops { try? await eventLoop.submit {}.get() }
    }

    /// Has commands that read find nothing under ``KeyspaceConfiguration/cachePatterns``, for all clients and for so long. May be called on any
    /// thread.
    public func goWithoutCache(milliseconds: Int64) {
        keyspace.misses.begin(milliseconds: milliseconds, now: WallClock.nanoseconds() / 1_000_000)
    }

    /// Stops accepting, answers what was asked, and ends.
    public func drain() async {
        let (listeners, workers, watch) = running.withLock { ($0.listeners, $0.workers, $0.watch) }
        watch?.cancel()
        for listener in listeners { await listener.close() }
        for worker in workers { try? await worker.eventLoop.submit { worker.value.beginDraining() }.get() }
        let end = NIODeadline.now() + .seconds(5)
        while limit.count > 0, NIODeadline.now() < end { try? await Task.sleep(for: .milliseconds(10)) }
        await stop()
    }

    /// Its numbers now. Takes the shards' locks, one after the other; may be called on any thread.
    public func figures() -> KeyspaceFigures {
        var figures = KeyspaceFigures(keyspace)
        figures.certificates = certificates?.descriptions ?? []
        return figures
    }

    /// Whether the files that a configuration names can be used.
    /// - Throws: what is wrong with the first that cannot.
    public static func check(_ configuration: KeyspaceConfiguration) throws {
        if !configuration.tls.listen.isEmpty { _ = try TLSCertificates(configuration.tls.files) }
    }

    private func stop() async {
        let workers = running.withLock { $0.workers }
        keyspace.persistence.snapshots.setLoops([])
        for worker in workers { try? await worker.eventLoop.submit { worker.value.stop() }.get() }
        for loop in loops { try? await loop.shutdownGracefully() }
        try? await NIOThreadPool.singleton.runIfActive { [keyspace] in keyspace.persistence.close(keyspace) }
    }

    /// Loads what is on disk, on a thread that may block.
    private func load() async throws {
        try await NIOThreadPool.singleton.runIfActive { [keyspace, logger] in try keyspace.persistence.open(keyspace, logger) }
    }

    private func makeWorkers() async throws -> [(eventLoop: any EventLoop, worker: NIOLoopBound<KeyspaceWorker>)] {
        var made: [(eventLoop: any EventLoop, worker: NIOLoopBound<KeyspaceWorker>)] = []
        for (index, eventLoop) in loops.enumerated() {
            let worker = try await eventLoop.submit { [keyspace, pressure, logger, loopCount = loops.count] in
                let worker = KeyspaceWorker(
                    eventLoop: eventLoop, keyspace: keyspace, index: index, loopCount: loopCount, pressure: pressure, logger: logger)
                worker.start()
                return NIOLoopBound(worker, eventLoop: eventLoop)
            }.get()
            running.withLock { $0.workers.append(worker) }
            made.append((eventLoop, worker))
        }
        return made
    }
}

/// A client over the limit.
struct ClientRefused: Error {}
