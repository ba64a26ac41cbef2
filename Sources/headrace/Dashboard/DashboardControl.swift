import Dashboard
import Edge
import Foundation
import History
import Keyspace
import LoadGenerator
import Logging
import NIOCore
import NIOPosix
import Pooler
import ServiceLifecycle
import Telemetry
import Transport

/// The dashboard as it runs: reads the layers once a second, probes services, and answers what the edge is asked for. Nothing of it is on
/// a request's event loop: readings on a task of their own, pages and the disk on one thread.
final class DashboardControl: Sendable {
    /// Pages that may wait for their turn; more are refused with 503.
    private static let waitingMax = 20
    private static let factsSeconds: Int64 = 5
    private static let probeSeconds: Int64 = 5
    private static let databaseSeconds: Int64 = 15

    let dashboard: Dashboard
    private let settings: Settings
    private let configuration: String?
    /// Of layers that have processes of their own.
    private let incidents: Incidents?
    private let logger: Logger
    private let thread = NIOThreadPool(numberOfThreads: 1)
    private let network = NIOThreadPool(numberOfThreads: 1)
    private let waiting = Gauge()
    private let address = Lock<String?>(nil)
    private let door = Lock<SocketEndpoint?>(nil)
    private let keyspaceDoors = Lock<[SocketEndpoint]>([])
    private let startedAt = WallClock.nanoseconds() / 1_000_000_000

    /// - Parameter configuration: the file that the settings came from, if any.
    init(_ settings: Settings, configuration: String?, incidents: Incidents? = nil, logger: Logger) {
        self.incidents = incidents
        self.settings = settings
        self.configuration = configuration
        self.logger = logger
        let (values, distributions) = (Series.allCases.map(\.rawValue), Timed.allCases.map(\.rawValue))
        var history: SampleHistory?
        if let state = settings.dashboard.state {
            do throws(SampleHistory.Unusable) {
                history = try SampleHistory(path: state + "/samples.sqlite", values: values, distributions: distributions)
            } catch {
                logger.error("the dashboard's numbers are kept in memory only: \(error)")
            }
        }
        do throws(SampleHistory.Unusable) {
            let kept = if let history { history } else { try SampleHistory(path: nil, values: values, distributions: distributions) }
            dashboard = Dashboard(options: settings.dashboard.options(path: settings.edge.pages.dashboard), history: kept, now: startedAt) {
                logger.error("\($0)")
            }
        } catch {
            preconditionFailure("SQLite has a database in memory: \(error)")
        }
        thread.start()
        network.start()
        dashboard.markStart(version: Headrace.version, now: startedAt)
    }

    /// Puts a mark beside the numbers.
    func mark(_ kind: String, _ text: String) {
        dashboard.mark(Marker(time: WallClock.nanoseconds() / 1_000_000_000, kind: kind, text: String(text.prefix(300))))
    }

    // MARK: Pages

    /// Answers at once or from a thread of its own, once.
    func answer(_ request: BuiltInPages.Request, _ reply: @escaping @Sendable (BuiltInPages.Answer) -> Void) {
        // From memory: whoever balances load does not wait behind whoever looks at weeks.
        if request.page == .ready { return reply(answer(request)) }
        if request.page == .dashboard, let known = dashboard.answerAtHand(asked(request)) { return reply(whole(known, for: request)) }
        guard waiting.value < Self.waitingMax else {
            return reply(.whole(status: 503, contentType: "text/plain; charset=utf-8", fields: [], body: Array("busy\n".utf8)))
        }
        waiting.add()
        thread.submit { [self] state in
            waiting.subtract()
            reply(state == .active ? answer(request) : .whole(status: 503, contentType: "text/plain; charset=utf-8", fields: [], body: []))
        }
    }

    private func answer(_ request: BuiltInPages.Request) -> BuiltInPages.Answer {
        let answer =
            switch request.page {
            case .ready:
                dashboard.readiness(
                    request.path.isEmpty || request.path == "/" ? nil : String(request.path.dropFirst()), isDraining: request.isDraining,
                    isOperator: request.isOperator)
            case .dashboard, .metrics, .health: dashboard.answer(asked(request))
            }
        return whole(answer, for: request)
    }

    private func asked(_ request: BuiltInPages.Request) -> DashboardRequest {
        DashboardRequest(
            path: request.path, query: request.query, isOperator: request.isOperator, now: WallClock.nanoseconds() / 1_000_000_000,
            post: request.post.map { .init(mark: $0.mark, isFromPage: $0.isFromPage) })
    }

    private func whole(_ answer: DashboardAnswer, for request: BuiltInPages.Request) -> BuiltInPages.Answer {
        switch answer {
        case .whole(let status, let contentType, let fields, let body):
            return .whole(status: status, contentType: contentType, fields: fields, body: body)
        case .events:
            let client = request.isOperator ? nil : request.client
            return .events(.init(begin: { [dashboard] in dashboard.watch(client: client, $0) }, end: { [dashboard] in dashboard.unwatch($0) }))
        }
    }

    // MARK: Readings

    /// Reads until the task is cancelled.
    func run(edge: EdgeServer?, pooler: (any PoolerView)?, keyspace: (any KeyspaceView)?) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.readNumbers(edge, pooler, keyspace) }
            group.addTask { await self.probe(edge, pooler, keyspace) }
            group.addTask { await self.measure() }
        }
        let now = WallClock.nanoseconds() / 1_000_000_000
        _ = await blocking { $0.dashboard.finish(now: now) }
        try? await network.shutdownGracefully()
        try? await thread.shutdownGracefully()
    }

    private func readNumbers(_ edge: EdgeServer?, _ pooler: (any PoolerView)?, _ keyspace: (any KeyspaceView)?) async {
        var facts = firstFacts()
        var runs = KeptRuns(path: runsPath)
        var factsAt: Int64 = 0
        var pages = PageStatements()
        while !Task.isCancelled {
            let now = WallClock.nanoseconds() / 1_000_000_000
            let isTimeForFacts = now - factsAt >= Self.factsSeconds || now < factsAt
            var reading = Reading(time: now)
            if let edge {
                let figures = edge.figures()
                reading.add(figures)
                facts.heldOut = figures.holdOut.map { Facts.HeldOut($0) }
            }
            if let pooler, let figures = await pooler.figures(withStatements: isTimeForFacts) {
                reading.add(figures)
                if isTimeForFacts { facts.add(figures) }
            }
            if let edge, let pooler {
                pages.pagesEnded(edge.takeTraces(), now: now)
                if let taken = await pooler.takeTraces() { pages.statementsEnded(taken.traces.map { .init($0) }, isComplete: taken.isComplete, now: now) }
                pages.secondPassed(now: now)
            }
            if let figures = await keyspace?.numbers() {
                reading.add(figures)
                (facts.keyspaceBytesMax, facts.keyspacePolicy) = (figures.bytesMax, figures.policy)
            }
            var process = ProcessFigures()
            for other in [await pooler?.process(), await keyspace?.process()] {
                if let other { process.add(other) }
            }
            reading.add(process)
            for incident in incidents?.next() ?? [] { mark("crash", incident) }
            if isTimeForFacts {
                factsAt = now
                facts.openFilesMax = process.openFilesMax
                if let edge { facts.add(edge.insight()) }
                facts.add(pages)
                let kept = await blocking { [runs] _ in
                    var runs = runs
                    let kept = runs.read(now: Double(now))
                    return (runs, kept)
                }
                if let kept { runs = kept.0 }
                if let kept = kept?.1 { (facts.benches, facts.proof) = kept }
                dashboard.know(facts)
            }
            let finished = reading
            _ = await blocking { $0.dashboard.add(finished) }
            // To just behind the next full second.
            let nanoseconds = 1_020_000_000 - WallClock.nanoseconds() % 1_000_000_000
            try? await Task.sleep(for: .nanoseconds(nanoseconds))
        }
    }

    /// The edge listens, and may be asked there.
    func serves(at url: String) { address.withLock { $0 = url } }

    /// The pooler listens, and may be asked there as its clients ask it.
    func pools(at endpoint: SocketEndpoint) { door.withLock { $0 = endpoint } }

    /// The keyspace listens, and may be asked there as its clients ask it.
    func keeps(at endpoints: [SocketEndpoint]) { keyspaceDoors.withLock { $0 = endpoints } }

    /// Scheduled measurements.
    private func measure() async {
        guard !settings.schedule.jobs.isEmpty else { return }
        var url: String?
        while url == nil, !Task.isCancelled {
            url = address.withLock { $0 }
            if url == nil { try? await Task.sleep(for: .milliseconds(200)) }
        }
        guard let url else { return }
        await ScheduledRuns(
            settings: settings.schedule, application: settings.application.map(ValueFormat.application.render), configuration: configuration, history: runsPath,
            folder: settings.dashboard.state ?? FileManager.default.temporaryDirectory.path, dashboard: dashboard, logger: logger, network: network
        ).run(address: url)
    }

    private func probe(_ edge: EdgeServer?, _ pooler: (any PoolerView)?, _ keyspace: (any KeyspaceView)?) async {
        var probes = ServiceProbes(settings: settings, startedAt: startedAt, edge: edge, keyspace: keyspace)
        var databaseAt: Int64 = 0
        var database: DatabaseFacts?
        var load = DatabaseLoad()
        // Transactions that are nobody's traffic.
        var asked = 0
        while !Task.isCancelled {
            let figures = await pooler?.figures(withStatements: false)
            let through = await askThroughPooler(pooler, figures)
            let stores = await askStores(keyspace)
            var since: [Layer: Int64] = [:]
            since[.pooler] = await pooler?.process().map { Int64($0.startedAt) }
            since[.keyspace] = await keyspace?.process().map { Int64($0.startedAt) }
            let reports = await probes.probe(
                figures, through: through, database: database, stores: stores, since: since, now: WallClock.nanoseconds() / 1_000_000_000)
            dashboard.know(reports)
            asked += probes.transactions + (through?.error == nil && through != nil ? 1 : 0)
            let now = WallClock.nanoseconds() / 1_000_000_000
            // Asked without TLS: not where the pooler must have it.
            if let figures, let postgres = settings.postgres, settings.pooler.tls.server.allowsPlain, now - databaseAt >= Self.databaseSeconds || now < databaseAt {
                databaseAt = now
                let password = settings.postgresPassword
                // A connection that the pooler opens while it is asked counts as past it, until the next time.
                let found = await slow { DatabaseProbe.read(postgres, password: password, pooled: figures.serverProcesses) } ?? nil
                database = found?.facts
                if let facts = found?.facts {
                    // Of one server of several nobody knows which transactions went there.
                    let transactions = postgres.hosts.count == 1 ? facts.transactions : nil
                    load.counted(
                        .init(
                            time: now, startedAt: facts.startedAt, transactions: transactions, asked: Double(asked) + Double(figures.ownTransactions),
                            pooled: Double(figures.transactions), cpuSeconds: facts.cpuSeconds))
                } else {
                    load = DatabaseLoad()
                }
                asked += found?.asked ?? 0
                database?.load = load
                dashboard.know(database)
            }
            try? await Task.sleep(for: .seconds(Self.probeSeconds))
        }
    }

    /// A query as a client of the pooler asks it.
    /// - Returns: `nil` when nobody can ask: it does not listen yet, or clients bring a name of their own.
    private func askThroughPooler(_ pooler: (any PoolerView)?, _ figures: PoolerFigures?) async -> PoolerProbe.Finding? {
        guard let pooler, let figures, let postgres = settings.postgres, let door = door.withLock({ $0 }), !Task.isCancelled else { return nil }
        guard let name = await pooler.nameOfProbes() else { return nil }
        let password = settings.postgresPassword ?? postgres.password
        let isBusy = figures.serversActive > 0
        return await slow { PoolerProbe.ask(door, as: postgres, password: password, applicationName: name, isBusy: isBusy) } ?? nil
    }

    /// The keyspace by its doors, and what keeps the lock of scheduled measurements.
    private func askStores(_ keyspace: (any KeyspaceView)?) async -> ServiceProbes.Stores {
        guard !Task.isCancelled else { return .init() }
        let doors = keyspace == nil ? [] : keyspaceDoors.withLock { $0 }
        // Without one, AUTH is an error.
        let password = settings.keyspace.password.isEmpty ? nil : settings.keyspace.password
        let lock = settings.schedule.jobs.isEmpty ? nil : settings.schedule.lock.flatMap { try? RedisURL($0) }
        let lockPassword = settings.schedule.lockPassword
        guard !doors.isEmpty || lock != nil else { return .init() }
        return await slow {
            var stores = ServiceProbes.Stores(keyspace: doors.map { KeyspaceProbe.ask($0, KeyspaceLogin(password: password)) })
            if var lock {
                if let lockPassword { lock.login.password = lockPassword }
                stores.lock = (lock.endpoint, KeyspaceProbe.ask(lock.endpoint, lock.login, isAnother: true))
            }
            return stores
        } ?? .init()
    }

    /// On the thread that may wait for another machine: pages do not wait behind it.
    private func slow<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value? {
        await withCheckedContinuation { continuation in
            network.submit { state in continuation.resume(returning: state == .active ? body() : nil) }
        }
    }

    /// On the thread that may wait for the disk.
    /// - Returns: `nil` when that thread has ended.
    private func blocking<Value: Sendable>(_ body: @escaping @Sendable (DashboardControl) -> Value) async -> Value? {
        await withCheckedContinuation { continuation in
            thread.submit { [self] state in continuation.resume(returning: state == .active ? body(self) : nil) }
        }
    }

    private func firstFacts() -> Facts {
        var facts = Facts()
        facts.version = Headrace.version
        facts.startedAt = startedAt
        facts.cores = System.coreCount
        let edge = settings.edgeConfiguration
        facts.switches.edge = settings.hasEdge
        facts.switches.compression = settings.hasEdge && edge.compression.isEnabled
        facts.switches.browserCaching = settings.hasEdge && edge.browserCaching != "off"
        facts.switches.responseCache = settings.hasEdge && edge.cache.isEnabled
        facts.switches.keyspace = settings.hasKeyspace
        facts.switches.pooler = settings.poolerConfiguration != nil
        facts.switches.postgres = facts.switches.pooler
        facts.switches.upstreams = settings.hasEdge && !edge.upstreams.isEmpty
        facts.cacheBytesMax = edge.cache.bytesMax
        facts.poolMode = facts.switches.pooler ? settings.pooler.mode.rawValue : ""
        return facts
    }

    /// Where `bench` and `prove` keep their runs.
    private var runsPath: String {
        if let state = settings.dashboard.state { return state + "/history.sqlite" }
        return HistoryOptions.standardPath ?? HistoryOptions.none
    }
}

/// The dashboard as a service: first to end, so that it never asks what is gone.
struct DashboardService: Service {
    let control: DashboardControl
    let edge: EdgeServer?
    let pooler: (any PoolerView)?
    let keyspace: (any KeyspaceView)?

    func run() async throws {
        let task = Task { await control.run(edge: edge, pooler: pooler, keyspace: keyspace) }
        try? await gracefulShutdown()
        task.cancel()
        await task.value
    }
}
