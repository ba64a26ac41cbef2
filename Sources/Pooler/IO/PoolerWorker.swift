import Glibc
import Logging
import NIOCore
import PostgresWire
import Telemetry
import Transport

/// What the connections of one event loop share. Belongs to its event loop: no lock, not Sendable.
final class PoolerWorker {
    /// Deadlines are looked through so often, so that none needs a timer of its own; they are up to this late.
    private static let sweepInterval = TimeAmount.milliseconds(250)

    let index: Int
    let eventLoop: SocketLoop
    let runner: PoolRunner
    let metrics = PoolerMetrics()
    let texts = StatementTexts()
    let queries = QueryInsight()
    let traced = TracedStatements()
    private var slowStatements: SlowStatements
    /// The pooler's, limits and timeouts as they are now.
    private(set) var configuration: PoolerConfiguration
    /// The first event loop's listens for all.
    private(set) lazy var listenHub = ListenHub(worker: self)
    static let listenLoop = 0
    private(set) lazy var authQueries = AuthQueryRunner(worker: self)
    private(set) var isDraining = false
    /// Nothing is read from clients and servers: ``PoolRunner/suspend()``.
    private(set) var isSuspended = false
    /// For the console.
    var counts = PoolCounts()
    private var periodEnd = NIODeadline.now() + .seconds(Int64(PoolCounts.periodSeconds))

    /// By the index of their slot.
    private var servers: [ServerHandler?] = []
    private var waiting: [UInt64: ClientHandler] = [:]
    private(set) var clients: [UInt64: ClientHandler] = [:]
    private var lastClient: UInt64 = 0
    /// What the last client began with.
    var recentLogin = ClientStartup.RecentLogin()
    /// Where the last client was let in.
    var recentAdmission: Admission?
    /// What the last client that went had asked.
    var recentHabit = ClientStatements.Habit()
    private var secrets: [UInt32] = []
    private var sweeping: RepeatedTask?
    private var memory: MemoryShare?

    init(index: Int, eventLoop: SocketLoop, runner: PoolRunner) {
        self.index = index
        self.eventLoop = eventLoop
        self.runner = runner
        configuration = runner.current
        slowStatements = SlowStatements(limit: Self.microseconds(configuration.timeouts.slowStatement))
    }

    private static func microseconds(_ time: TimeAmount) -> UInt64 { UInt64(clamping: time.nanoseconds / 1000) }

    /// Limits or timeouts have changed.
    func adoptCurrent() {
        configuration = runner.current
        slowStatements.limit = Self.microseconds(configuration.timeouts.slowStatement)
        recentAdmission = nil
    }

    // MARK: Suspension

    func suspend() {
        guard !isSuspended, !isDraining else { return }
        isSuspended = true
        for client in clients.values { client.suspend() }
        for case let server? in servers { server.suspend() }
    }

    func resume(after time: TimeAmount) {
        guard isSuspended else { return }
        isSuspended = false
        for client in Array(clients.values) { client.resume(after: time) }
        for case let server? in servers { server.resume() }
    }

    /// Connections with bytes that the kernel has not taken yet.
    /// - Parameter closes: these are closed.
    func unflushedCount(closes: Bool) -> Int {
        var count = 0
        for client in Array(clients.values) where client.console == nil && client.hasUnflushed {
            count += 1
            if closes { client.close() }
        }
        for case let server? in servers where server.hasUnflushed {
            count += 1
            if closes { server.close() }
        }
        return count
    }

    /// Begins the sweep. Called on the event loop.
    func start() {
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        sweeping = eventLoop.scheduleRepeatedTask(initialDelay: Self.sweepInterval, delay: Self.sweepInterval) { _ in
            bound.value.swept(now: .now())
        }
        memory = runner.pressure.join { [eventLoop] in eventLoop.execute { bound.value.reviewMemory() } }
    }

    func stop() {
        sweeping?.cancel()
        memory?.leave()
        listenHub.stop()
        authQueries.stop()
        for client in clients.values { client.close() }
        for server in servers { server?.close() }
    }

    private func swept(now: NIODeadline) {
        metrics.cpuTime.set(Int(clamping: ThreadClock.nanoseconds()))
        // Who may not go on is not late.
        for client in Array(clients.values) where !isSuspended || client.phase == .startup { client.swept(now: now) }
        guard !isSuspended else { return }
        if configuration.authentication.query != nil { authQueries.swept(now: now) }
        if now >= periodEnd {
            counts.periodEnded()
            periodEnd = periodEnd + .seconds(Int64(PoolCounts.periodSeconds))
        }
        let omitted = slowStatements.periodEnded()
        if omitted > 0 { runner.logger.notice("slow statements that are not listed", metadata: ["count": "\(omitted)"]) }
        // One loop looks after what they share.
        if index == 0 { runner.perform(runner.swept(now: now), from: self) }
    }

    /// Cuts who holds most memory, until this loop's part of what has to go is gone.
    private func reviewMemory() {
        memory?.review(clients.values, bytes: \.heldBytes) { $0.memoryShort() }
    }

    /// Ends clients that have nothing under way; others end with their transaction.
    func beginDraining() {
        isDraining = true
        for client in Array(clients.values) { client.drainBegan() }
    }

    // MARK: Clients

    func add(_ client: ClientHandler) -> UInt64 {
        lastClient += 1
        clients[lastClient] = client
        metrics.clients.add()
        return lastClient
    }

    func remove(_ client: UInt64) {
        if clients.removeValue(forKey: client) != nil { metrics.clients.subtract() }
    }

    /// What becomes of a client by its startup packet: whoever sends the same is let in alike.
    final class Admission {
        let login: ClientStartup.Login
        let database: String
        let pool: Int
        let parameters: ParameterSet
        let session: SessionState?
        let welcome: PoolRunner.Welcome

        init(login: ClientStartup.Login, database: String, pool: Int, parameters: ParameterSet, session: SessionState?, welcome: PoolRunner.Welcome) {
            (self.login, self.database, self.pool) = (login, database, pool)
            (self.parameters, self.session, self.welcome) = (parameters, session, welcome)
        }
    }

    /// What a client's session has at first; `nil` where nobody asks.
    func newSession(_ parameters: [StartupMessage.Parameter]) -> SessionState? {
        guard configuration.mode != .session, configuration.sessionState != .pgbouncer else { return nil }
        return SessionState(mode: configuration.sessionState, parameters: parameters.map { ($0.name, $0.value) })
    }

    /// For a key to cancel by. They are drawn together, since each time is a system call.
    func secret() -> UInt32 {
        if secrets.isEmpty {
            secrets = Array(repeating: 0, count: 64)
            // It gives 256 bytes at most.
            let result = secrets.withUnsafeMutableBytes { bytes in bytes.baseAddress.map { getentropy($0, bytes.count) } }
            precondition(result == 0, "the system has no random numbers")
        }
        return secrets.removeLast()
    }

    /// Gets a server connection for a client, which is told by `leased`, perhaps before this returns.
    func lease(_ client: ClientHandler, pool: Int, now: NIODeadline) {
        switch runner.lease(pool, loop: index, now: now) {
        case .use(let slot):
            guard let server = server(slot) else { preconditionFailure("an idle connection is on its loop") }
            client.leased(server, now: now)
        case .wait(let ticket, let order):
            waiting[ticket] = client
            client.waits(ticket, since: now)
            runner.perform(order, from: self)
        }
    }

    func waiterGone(_ ticket: UInt64, pool: Int) {
        waiting[ticket] = nil
        runner.waiterGone(ticket, pool: pool, loop: index)
    }

    func refuse(_ ticket: UInt64, _ error: ErrorFields) {
        waiting.removeValue(forKey: ticket)?.leaseRefused(error)
    }

    // MARK: The console

    /// Whether a database is the console: unless the configuration gives the name to another.
    func isConsole(_ database: String) -> Bool {
        ConsoleAccess.databases.contains(database) && configuration.databases[database] == nil
    }

    /// Drops clients of these pools.
    func killClients(_ isMeant: (Int) -> Bool) {
        for client in Array(clients.values) where client.console == nil && client.identity != nil && isMeant(client.pool) { client.kill() }
    }

    /// - Returns: whether there is such a client.
    func kill(_ client: UInt64) -> Bool {
        guard let client = clients[client] else { return false }
        client.kill()
        return true
    }

    /// Adds what this event loop has to what the console shows.
    func describe(in snapshot: inout ConsoleSnapshot) {
        let now = NIODeadline.now()
        let day = WallClock.nanoseconds()
        func time(_ moment: NIODeadline) -> String { ConsoleTime.text(nanoseconds: day - (now - moment).nanoseconds) }
        for client in clients.values {
            guard let row = client.describe(loop: index, now: now, time: time) else {
                snapshot.loginClients += 1
                continue
            }
            snapshot.clients.append(row)
            client.describeState(in: &snapshot, row, now: now)
        }
        let names = runner.inspect { $0.pools.map(\.database) }
        for (pool, totals) in counts.totals.enumerated() where pool < names.count {
            let averages = pool < counts.averages.count ? counts.averages[pool] : PoolCounts.Counts()
            snapshot.add(names[pool], totals, averages)
        }
        for statistics in queries.all where statistics.pool < names.count { snapshot.add(statistics, database: names[statistics.pool]) }
        for case let server? in servers { snapshot.servers.append(server.describe(loop: index, names: runner, time: time)) }
    }

    // MARK: Slow statements

    func isSlow(wait: UInt64, server: UInt64) -> Bool { slowStatements.isSlow(wait: wait, server: server) }

    func log(_ line: @autoclosure () -> SlowStatements.Line) {
        guard slowStatements.admitsLine() else { return }
        var metadata = Logger.Metadata()
        for (name, value) in line().fields { metadata[name] = "\(value)" }
        runner.logger.notice("slow statement", metadata: metadata)
    }

    /// Adds what this event loop has to what Prometheus is told. Sockets and statements are none of it.
    func describe(in report: inout PoolerReport) {
        report.clients += clients.count
        // Counted by pool, and not by the console's rows: a row asks the kernel for addresses, and there may be ten thousand.
        var active: [Int: Int] = [:]
        for client in clients.values {
            guard client.identity != nil else {
                report.console.loginClients += 1
                continue
            }
            if client.console == nil, client.phase != .waiting, client.phase != .welcoming { active[client.pool, default: 0] += 1 }
        }
        for (pool, count) in active where report.console.pools.indices.contains(pool) { report.console.pools[pool].clientsActive += count }
        report.counters.add(metrics)
        report.wait.merge(metrics.waitTime.snapshot())
        let names = runner.inspect { $0.pools.map(\.database) }
        for (pool, totals) in counts.totals.enumerated() where pool < names.count { report.console.add(names[pool], totals, PoolCounts.Counts()) }
    }

    /// Adds what this event loop has to the pooler's figures.
    func describe(in figures: inout PoolerFigures, withStatements: Bool) {
        figures.clients += clients.count
        figures.waitsExpired &+= metrics.waitsExpired.value
        figures.serverLogins &+= metrics.serverLogins.value
        figures.serverLoginFailures &+= metrics.serverLoginFailures.value
        figures.ownTransactions &+= metrics.ownTransactions.value
        figures.cpuNanoseconds &+= UInt64(clamping: metrics.cpuTime.value)
        figures.wait.merge(metrics.waitTime.snapshot())
        for totals in counts.totals {
            figures.transactions &+= totals.transactions
            figures.queries &+= totals.queries
            figures.transactionMicroseconds &+= totals.transactionTime
            figures.queryMicroseconds &+= totals.queryTime
            figures.waitMicroseconds &+= totals.waitTime
        }
        for case let server? in servers { figures.serverProcesses.insert(server.session.processID) }
        figures.tracedMicroseconds &+= traced.server
        figures.tracedWaitMicroseconds &+= traced.wait
        guard withStatements else { return }
        let names = runner.inspect { $0.pools.map(\.database) }
        var snapshot = ConsoleSnapshot()
        for statistics in queries.all where statistics.pool < names.count { snapshot.add(statistics, database: names[statistics.pool]) }
        snapshot.rankQueries()
        figures.statements += snapshot.queries.map {
            PoolerFigures.Statement(
                text: $0.text, database: $0.database, calls: $0.calls, rows: $0.rows, errors: $0.errors, microseconds: $0.server,
                waitMicroseconds: $0.wait, p95Microseconds: $0.p95)
        }
    }

    /// Hands over whose requests asked what since the last time.
    func takeTraces(into taken: inout PoolerTraces) {
        let (traces, isComplete) = traced.take()
        taken.isComplete = taken.isComplete && isComplete
        guard !traces.isEmpty else { return }
        let names = runner.inspect { $0.pools.map(\.database) }
        for (id, trace) in traces {
            taken.traces.append(
                .init(
                    id: id, calls: trace.calls, microseconds: trace.server,
                    statements: trace.statements.map {
                        .init(text: $0.statistics.text, database: names.indices.contains($0.statistics.pool) ? names[$0.statistics.pool] : "", calls: $0.calls)
                    }))
        }
    }

    // MARK: Servers

    private func server(_ slot: PoolMachine.Slot) -> ServerHandler? {
        guard servers.indices.contains(slot.index), let server = servers[slot.index], server.slot == slot else { return nil }
        return server
    }

    func add(_ server: ServerHandler) {
        let index = server.slot.index
        while servers.count <= index { servers.append(nil) }
        servers[index] = server
    }

    func remove(_ server: ServerHandler) {
        if self.server(server.slot) != nil { servers[server.slot.index] = nil }
    }

    /// A client has done with a connection.
    func release(_ server: ServerHandler, isReusable: Bool, now: NIODeadline) {
        runner.perform(runner.released(server.slot, isReusable: isReusable, now: now), from: self)
    }

    func perform(_ order: PoolMachine.Order) {
        switch order {
        case .connect(let slot, let pool, _):
            ServerConnector.connect(slot, pool: pool, worker: self)
        case .serve(let ticket, let slot, _):
            serve(ticket, slot)
        case .move(let slot, _, let to):
            move(slot, to: to)
        case .close(let slot, _):
            server(slot)?.close()
        case .expire(let ticket, _):
            metrics.waitsExpired.add()
            waiting.removeValue(forKey: ticket)?.leaseRefused(
                ErrorFields(severity: "FATAL", sqlState: SQLState.configurationLimitExceeded.rawValue, message: "query_wait_timeout"))
        case .watch(let pool, _):
            let bound = NIOLoopBound(self, eventLoop: eventLoop)
            eventLoop.scheduleTask(in: PoolMachine.rest) {
                let worker = bound.value
                worker.runner.perform(worker.runner.rested(pool, now: .now()), from: worker)
            }
        }
    }

    private func serve(_ ticket: UInt64, _ slot: PoolMachine.Slot) {
        let client = waiting.removeValue(forKey: ticket)
        let server = server(slot)
        switch (client, server) {
        case (let client?, let server?): client.leased(server, now: .now())
        // It died on the way.
        case (let client?, nil): client.leaseLost()
        // The client is gone.
        case (nil, let server?): release(server, isReusable: true, now: .now())
        case (nil, nil): break
        }
    }

    private func move(_ slot: PoolMachine.Slot, to loop: Int) {
        guard let server = server(slot) else { return }
        guard let parts = server.detach() else {
            server.close()
            return
        }
        remove(server)
        runner.run(on: loop) { $0.attach(parts, slot) }
    }

    private func attach(_ parts: ServerHandler.Detached, _ slot: PoolMachine.Slot) {
        do {
            let channel = try SocketChannel.adopt(parts.descriptor, on: eventLoop) { channel in
                try channel.pipeline.syncOperations.addHandler(ServerHandler(parts, slot: slot, worker: self))
            }
            // It may have ended at once.
            guard channel.isActive else { return }
            metrics.moves.add()
            runner.perform(runner.moved(slot, now: .now()), from: self)
        } catch {
            closed(slot)
        }
    }

    /// A connection is gone, or was never made.
    func closed(_ slot: PoolMachine.Slot) {
        runner.perform(runner.closed(slot, now: .now()), from: self)
    }
}
