import Edge
import Foundation
import Keyspace
import Logging
import NIOCore
import Pooler
import ServiceLifecycle
import Telemetry
import Transport
import UnixSignals

/// The products that the configuration asks for, put together, started, reloaded and drained. Read this first.
///
/// Each is there when the settings give it something to serve.
final class Composition: Sendable {
    private let loaded: ConfigurationSources.Loaded
    private let journal: Lock<ReloadJournal>
    /// Where this process stands when each layer has its own; `nil`: it serves all.
    private let place: WorkerPlace?
    private let edge: EdgeServer?
    private let pooler: PoolerServer?
    private let keyspace: KeyspaceServer?
    /// They, or those in processes of their own.
    private let poolerView: (any PoolerView)?
    private let keyspaceView: (any KeyspaceView)?
    /// There when the edge is, which serves it.
    private let dashboard: DashboardControl?
    private let pidFile: PidFile?
    private let onServing: @Sendable () -> Void
    private let logger: Logger
    private let pressure: MemoryPressure
    /// Who has started the process, if they want to know how it is.
    private let manager = ServiceManager(ProcessInfo.processInfo.environment)
    /// How many products do not serve yet.
    private let awaited: Lock<Int>
    private let isEnding = Lock(false)
    /// Whether the edge serves, and whether it has been asked to read its configuration anew before.
    private let edgeState = Lock((serves: false, isOutdated: false))
    private let readAgain: @Sendable () throws -> ConfigurationSources.Loaded

    /// - Parameters:
    ///   - place: the one layer that it serves, beside other processes; `nil` for all.
    ///   - pidFile: Where the process' number is written, if anywhere.
    ///   - onServing: Called once all of it serves.
    ///   - readAgain: Reads the configuration anew, for SIGHUP.
    /// - Throws: when a product cannot be made of its configuration: a folder or the access log cannot be opened.
    init(
        _ loaded: ConfigurationSources.Loaded, place: WorkerPlace? = nil, pidFile: PidFile? = nil, logger: Logger,
        readAgain: @escaping @Sendable () throws -> ConfigurationSources.Loaded, onServing: @escaping @Sendable () -> Void = {}
    ) throws {
        self.loaded = loaded
        self.place = place
        journal = Lock(ReloadJournal(loaded.settings))
        self.readAgain = readAgain
        self.pidFile = pidFile
        self.onServing = onServing
        self.logger = logger
        let pressure = MemoryPressure(bytesMax: loaded.settings.memoryBytesMax ?? 0)
        self.pressure = pressure
        let settings = loaded.settings
        func serves(_ layer: Layer) -> Bool { (place?.layer ?? layer) == layer && settings.layers.contains(layer) }
        let incidents = place.map { Incidents(path: $0.incidentsPath) }
        dashboard = serves(.edge) && settings.edge.pages.access != .off
            ? DashboardControl(settings, configuration: loaded.fileName, incidents: incidents, logger: logger) : nil
        pooler = serves(.pooler) ? try settings.readPoolerConfiguration().map { try PoolerServer(configuration: $0, pressure: pressure, logger: logger) } : nil
        // SHUTDOWN: a client of the keyspace has no say over what else is served.
        let end: @Sendable () -> Void = { _ = kill(getpid(), SIGTERM) }
        keyspace = serves(.keyspace)
            ? try KeyspaceServer(
                configuration: settings.keyspace, rewriting: KeyspaceRewrite(loaded).map { $0.write }, ending: settings.layers == [.keyspace] ? end : nil, pressure: pressure, logger: logger) : nil
        func door(_ layer: Layer) -> WorkerDoor.Client? {
            guard let place, serves(.edge), settings.layers.contains(layer) else { return nil }
            return WorkerDoor.Client(path: WorkerDoor.path(of: layer, in: place.folder))
        }
        poolerView = pooler ?? door(.pooler).map { PoolerWorkerView(door: $0) }
        keyspaceView = keyspace ?? door(.keyspace).map { KeyspaceWorkerView(door: $0) }
        edge = serves(.edge)
            ? try EdgeServer(
                configuration: settings.edgeConfiguration,
                pages: OwnPages(pooler: poolerView, keyspace: keyspaceView, dashboard: dashboard, pressure: pressure).pages, pressure: pressure, logger: logger) : nil
        awaited = Lock([edge != nil, pooler != nil, keyspace != nil].count { $0 })
        OpenFiles.raiseLimit()
        if place == nil { for warning in SettingWarnings.all(loaded) { logger.warning("\(warning)") } }
    }

    /// Binds the addresses, says where it serves, and serves until SIGTERM or SIGINT; then it drains.
    ///
    /// All signals are heard before the first address is bound, and before the pidfile has a number: whoever sees that it serves may send them.
    /// - Parameter untilEOF: Or until standard input ends.
    /// - Throws: when an address cannot be bound.
    func run(_ asking: AskingSignals, untilEOF: Bool) async throws {
        defer { pidFile?.remove() }
        let ends = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        pidFile?.announce()
        if untilEOF { StandardInput.raiseSignalAtEnd(SIGTERM) }
        if place == nil, let name = loaded.fileName { Terminal.say("configuration: \(name)") }
        MemoryWatch(pressure: pressure, logger: logger, others: place.map { $0.others(of: loaded.settings.layers) } ?? []).start()
        if let place, place.layer != .edge {
            try WorkerDoor(path: WorkerDoor.path(of: place.layer, in: place.folder)).open { [pooler, keyspace] in
                await WorkerDoor.answer($0, pooler: pooler, keyspace: keyspace)
            }
        }
        var services: [ServiceGroupConfiguration.ServiceConfiguration] = []
        if let pooler { services.append(.init(service: PoolerService(pooler: pooler) { [self] in poolerStarted($0) })) }
        if let keyspace { services.append(.init(service: KeyspaceService(keyspace: keyspace) { [self] in keyspaceStarted($0) })) }
        if let edge { services.append(.init(service: EdgeService(edge: edge) { [self] in started($0) })) }
        if let dashboard {
            services.append(.init(service: DashboardService(control: dashboard, edge: edge, pooler: poolerView, keyspace: keyspaceView)))
        }
        services.append(.init(service: SignalService(signals: asking.hangups) { [self] in reload() }))
        services.append(.init(service: SignalService(signals: asking.users) { [self] in edge?.reopenLogs() }))
        if let manager {
            // The group ends what it has in reverse: the first is there until the last, and the last hears of it first.
            if let interval = manager.watchdogInterval {
                services.insert(.init(service: WatchdogService(manager: manager, interval: interval) { [self] in await pulse() }), at: 0)
            }
            services.append(.init(service: EndService { [self] in
                // The last word but that it lives.
                isEnding.withLock { isEnding in
                    isEnding = true
                    manager.stopping()
                }
            }))
        }
        let group = ServiceGroup(configuration: .init(services: services, logger: logger))
        // Those before the group runs are known to it, too; a second one changes nothing.
        let ending = Task { for await _ in ends { await group.triggerGracefulShutdown() } }
        defer { ending.cancel() }
        try await group.run()
    }

    private func started(_ addresses: (plain: [SocketAddress], secure: [SocketAddress])) {
        let urls = addresses.plain.map { Self.url($0, "http") } + addresses.secure.map { Self.url($0, "https") }
        // An address that stands for all of them is no address to connect to.
        // What this machine asks itself comes without the header that a proxy has to send.
        let edge = loaded.settings.edge
        let doors = addresses.plain + addresses.secure
        let reachable = zip(doors, urls).first { !edge.isProxy(PoolerProbe.host($0.0.ipAddress)) }?.1
        if let url = reachable { dashboard?.serves(at: url.replacing("//0.0.0.0:", with: "//127.0.0.1:").replacing("//[::]:", with: "//[::1]:")) }
        if place != nil { findNeighbours() }
        for url in urls { Terminal.say("edge: \(url) → \(Self.destination(loaded.settings))") }
        let isOutdated = edgeState.withLock { state in
            state.serves = true
            return state.isOutdated
        }
        if isOutdated { kill(getpid(), SIGHUP) }
        oneMoreServes()
    }

    private func poolerStarted(_ addresses: [SocketAddress]) {
        if let door = addresses.first.flatMap({ PoolerProbe.door($0.ipAddress, $0.port, path: $0.pathname) }),
            !PoolerProbe.isProxy(door, of: loaded.settings.pooler)
        {
            dashboard?.pools(at: door)
        }
        for address in addresses {
            Terminal.say("pooler: \(Self.text(address)) → \(loaded.settings.postgres?.text ?? "")")
        }
        oneMoreServes()
    }

    private func keyspaceStarted(_ addresses: (plain: [SocketAddress], secure: [SocketAddress])) {
        let keyspace = loaded.settings.keyspace
        let bound = keyspace.bytesMax > 0 ? SizeText.render(keyspace.bytesMax) : "no bound"
        for address in addresses.plain { Terminal.say("keyspace: \(Self.text(address)) (\(bound), \(keyspace.policy.rawValue))") }
        // What speaks TLS is not asked through a door.
        dashboard?.keeps(at: addresses.plain.compactMap { PoolerProbe.door($0.ipAddress, $0.port, path: $0.pathname) })
        for address in addresses.secure { Terminal.say("keyspace with TLS: \(Self.text(address)) (\(bound), \(keyspace.policy.rawValue))") }
        oneMoreServes()
    }

    /// Where the layers of other processes are asked as their clients ask them. What listens on a port of the system's choice is not found.
    private func findNeighbours() {
        func door(_ endpoint: SocketEndpoint) -> SocketEndpoint? {
            switch endpoint {
            case .tcp(_, 0): nil
            case .tcp(let host, let port): PoolerProbe.door(host == "localhost" ? "127.0.0.1" : host, port, path: nil)
            case .unix(let path): PoolerProbe.door(nil, nil, path: path)
            }
        }
        let settings = loaded.settings
        if settings.layers.contains(.pooler), let door = settings.pooler.listen.lazy.compactMap(door).first, !PoolerProbe.isProxy(door, of: settings.pooler) {
            dashboard?.pools(at: door)
        }
        if settings.layers.contains(.keyspace) { dashboard?.keeps(at: settings.keyspace.listen.compactMap(door)) }
    }

    private func oneMoreServes() {
        let isLast = awaited.withLock { awaited in
            awaited -= 1
            return awaited == 0
        }
        guard isLast else { return }
        onServing()
        tell { $0.ready("serving") }
    }

    /// Who has started the process, unless it has heard that it ends.
    private func tell(_ words: (ServiceManager) -> Void) {
        guard let manager else { return }
        isEnding.withLock { if !$0 { words(manager) } }
    }

    /// Returns once each event loop has had its turn. Not asked of loops that may be gone.
    private func pulse() async {
        guard !isEnding.withLock({ $0 }) else { return }
        await edge?.pulse()
        await pooler?.pulse()
        await keyspace?.pulse()
    }

    /// A file with a mistake changes nothing and says why.
    private func reload() {
        // It begins with what was read first, event loop by event loop.
        let isEarly = edge != nil && edgeState.withLock { state in
            state.isOutdated = !state.serves
            return state.isOutdated
        }
        guard !isEarly else { return }
        // Before all of it serves, being ready is not said.
        let isServing = awaited.withLock { $0 } == 0
        if isServing { tell { $0.reloading() } }
        defer { if isServing { tell { $0.reloaded("serving") } } }
        do {
            let new = try readAgain().settings
            // Before the edge reads them: what changes in between is said at the next reload.
            let newFiles = NamedFile.digests(new.edgeConfiguration)
            if let edge, new.hasEdge {
                try edge.reload(new.edgeConfiguration)
            } else if edge != nil || place == nil && new.hasEdge {
                logger.warning("whether there is an edge at all has changed: that needs a restart")
            }
            pooler?.adopt(new.pooler.limits, new.pooler.timeouts)
            let text = journal.withLock { $0.adopt(new, files: newFiles, place == nil ? logger : nil) }
            dashboard?.mark("reload", text)
        } catch {
            ReloadJournal.refused(error, logger)
        }
    }

    private static func url(_ address: SocketAddress, _ scheme: String) -> String {
        address.port == nil ? text(address) : "\(scheme)://\(text(address))"
    }

    private static func text(_ address: SocketAddress) -> String {
        guard let port = address.port, let host = address.ipAddress else { return "unix:\(address.pathname ?? "")" }
        return "\(host.contains(":") ? "[\(host)]" : host):\(port)"
    }

    private static func destination(_ settings: Settings) -> String {
        let count = settings.edge.routes.count
        let routes = count == 0 ? nil : count == 1 ? "1 route" : "\(count) routes"
        return [routes, settings.edge.root, settings.application.map(ValueFormat.application.render)].compactMap { $0 }
            .joined(separator: ", then ")
    }
}

/// The edge as a service: it drains when the group shuts down.
private struct EdgeService: Service {
    let edge: EdgeServer
    let started: @Sendable ((plain: [SocketAddress], secure: [SocketAddress])) -> Void

    func run() async throws {
        started(try await edge.start())
        try? await gracefulShutdown()
        await edge.drain()
    }
}

/// The pooler as a service: it drains when the group shuts down.
private struct PoolerService: Service {
    let pooler: PoolerServer
    let started: @Sendable ([SocketAddress]) -> Void

    func run() async throws {
        started(try await pooler.start())
        try? await gracefulShutdown()
        await pooler.drain()
    }
}

/// The keyspace as a service: it drains when the group shuts down.
private struct KeyspaceService: Service {
    let keyspace: KeyspaceServer
    let started: @Sendable ((plain: [SocketAddress], secure: [SocketAddress])) -> Void

    func run() async throws {
        started(try await keyspace.start())
        try? await gracefulShutdown()
        await keyspace.drain()
    }
}

/// Says that the process lives, twice as often as wanted, also while it drains.
private struct WatchdogService: Service {
    let manager: ServiceManager
    let interval: Duration
    /// Returns when every event loop goes round.
    let pulse: @Sendable () async -> Void

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                await pulse()
                manager.lives()
                try? await Task.sleep(for: interval / 2)
            }
        }
    }
}

/// Does something when the end begins.
private struct EndService: Service {
    let action: @Sendable () -> Void

    func run() async throws {
        try? await gracefulShutdown()
        action()
    }
}

/// Does something at each of its signals.
private struct SignalService: Service {
    let signals: UnixSignalsSequence
    let action: @Sendable () -> Void

    func run() async throws {
        for await _ in signals.cancelOnGracefulShutdown() { action() }
    }
}

/// The process' limit of open files: a connection needs one, and the default of 1024 is from another age.
enum OpenFiles {
    static func raiseLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}
