import NIOCore
import PostgresWire
import Telemetry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Carries the console's commands out, for one client of it, on that client's event loop. Not Sendable.
///
/// What is shown is gathered from all event loops, one after the other; commands that wait (PAUSE, WAIT_CLOSE) look again and again.
final class ConsoleRunner {
    /// How often a command that waits looks.
    private static let interval = TimeAmount.milliseconds(20)
    /// PgBouncer's `suspend_timeout`.
    private static let flushTime = TimeAmount.seconds(10)

    private let worker: PoolerWorker
    private let user: String
    private let access: ConsoleAccess
    /// Called with the whole answer, ReadyForQuery included.
    private let reply: (ByteBuffer) -> Void
    private var isEnded = false
    /// A command has not been answered yet: the next one has to wait.
    private(set) var isBusy = false

    init(worker: PoolerWorker, user: String, reply: @escaping (ByteBuffer) -> Void) {
        self.worker = worker
        self.user = user
        self.reply = reply
        access = ConsoleAccess(worker.configuration.authentication)
    }

    /// What the console says of itself at a login, as a server would.
    static let parameters: [(name: String, value: String)] = [
        ("server_version", "1.25.0/headrace"), ("client_encoding", "UTF8"), ("server_encoding", "UTF8"), ("DateStyle", "ISO"), ("TimeZone", "GMT"),
        ("standard_conforming_strings", "on"), ("is_superuser", "on"), ("integer_datetimes", "on"),
    ]

    /// The client is gone: nobody waits any more.
    func abandon() { isEnded = true }

    /// A query has come.
    func received(_ text: String) {
        isBusy = true
        let command: ConsoleCommand
        do { command = try ConsoleCommand(text) } catch { return fail(error.message, error.sqlState) }
        switch access.verdict(on: command, user: user) {
        case .allowed: run(command)
        case .adminOnly: fail("admin access needed", "42501")
        case .noAccess: fail("not allowed", "28000")
        }
    }

    private func run(_ command: ConsoleCommand) {
        let runner = worker.runner
        switch command {
        case .empty: answer { ConsoleReply.writeEmpty(to: &$0) }
        case .courtesy(let tag): complete(tag)
        case .show(.help):
            answer {
                ConsoleReply.writeNotice(ConsoleHelp.message, detail: ConsoleHelp.detail, to: &$0)
                ConsoleReply.writeComplete("SHOW", to: &$0)
            }
        case .show(let table): show(table)
        case .pause(let database):
            guard let pools = pools(of: database) else { return }
            runner.pausedDatabases.withLock { paused in
                if let database { paused.databases.insert(database) } else { paused.isAll = true }
            }
            let orders = runner.command { machine in
                pools.flatMap { pool in
                    machine.paused(pool)
                    return machine.closeIdle(pool)
                }
            }
            runner.perform(orders, from: worker)
            // Replication has no end to wait for.
            wait(for: { machine in pools.allSatisfy { machine.pools[$0].kind == .replication || machine.leasedCount($0) == 0 } }, then: "PAUSE")
        case .resume(let database):
            guard let pools = pools(of: database) else { return }
            if database == nil { runner.resume() }
            runner.pausedDatabases.withLock { paused in
                if let database { paused.databases.remove(database) } else { paused = .init() }
            }
            let now = NIODeadline.now()
            runner.perform(runner.command { machine in pools.flatMap { machine.resumed($0, now: now) } }, from: worker)
            complete("RESUME")
        case .disable(let database):
            runner.disabledDatabases.withLock { _ = $0.insert(database) }
            complete("DISABLE")
        case .enable(let database):
            runner.disabledDatabases.withLock { _ = $0.remove(database) }
            complete("ENABLE")
        case .reconnect(let database):
            guard let pools = pools(of: database) else { return }
            runner.perform(runner.command { machine in pools.flatMap { machine.reconnect($0) } }, from: worker)
            complete("RECONNECT")
        case .waitClose(let database):
            guard let pools = pools(of: database) else { return }
            wait(
                for: { machine in !machine.connections.contains { $0.isOutdated && $0.state != .free && pools.contains($0.pool) } },
                then: "WAIT_CLOSE")
        case .kill(let database):
            guard let pools = pools(of: database) else { return }
            runner.perform(runner.command { machine in pools.flatMap { machine.reconnect($0) } }, from: worker)
            for loop in 0..<worker.configuration.threads {
                runner.run(on: loop, from: worker) { $0.killClients { pools.contains($0) } }
            }
            complete("KILL")
        case .killClient(let id):
            let found = NIOLoopBound(self, eventLoop: worker.eventLoop)
            let (loop, own) = (Int(id >> 48), worker.index)
            guard loop < worker.configuration.threads else { return fail("no such client: \(id)", "42704") }
            runner.run(on: loop, from: worker) { other in
                let isFound = other.kill(id & 0xFFFF_FFFF_FFFF)
                other.runner.run(on: own, from: other) { _ in
                    if isFound { found.value.complete("KILL_CLIENT") } else { found.value.fail("no such client: \(id)", "42704") }
                }
            }
        case .reload:
            // The process reads its configuration anew at this signal, all products at once.
            kill(getpid(), SIGHUP)
            complete("RELOAD")
        case .shutdown:
            // It drains: transactions end, then their clients.
            kill(getpid(), SIGTERM)
            complete("SHUTDOWN")
        case .suspend:
            guard !worker.isDraining else { return fail("the pooler is shutting down", "57P01") }
            runner.suspend()
            waitForFlush(until: .now() + Self.flushTime)
        case .set(let name, let value):
            do {
                try runner.adopt { (configuration) throws(ConsoleSetting.Problem) in try ConsoleSetting.set(name, to: value, in: &configuration) }
                complete("SET")
            } catch { fail(error.message, error.sqlState) }
        }
    }

    /// The pools that a command is for.
    /// - Returns: `nil` when there is no such database; the client has been told then.
    private func pools(of database: String?) -> [Int]? {
        let databases = worker.configuration.databases
        if let database, databases[database] == nil, databases["*"] == nil {
            fail("no such database: \(database)", "3D000")
            return nil
        }
        return worker.runner.inspect { machine in machine.pools.indices.filter { database == nil || machine.pools[$0].database == database } }
    }

    private func wait(for condition: @escaping @Sendable (PoolMachine) -> Bool, then tag: String) {
        guard !isEnded else { return }
        if worker.runner.inspect(condition) { return complete(tag) }
        let bound = NIOLoopBound(self, eventLoop: worker.eventLoop)
        worker.eventLoop.scheduleTask(in: Self.interval) { bound.value.wait(for: condition, then: tag) }
    }

    /// Answers when nothing is left that has not been given to the kernel. Whoever takes nothing by then is disconnected.
    private func waitForFlush(until end: NIODeadline) {
        guard !isEnded else { return }
        let bound = NIOLoopBound(self, eventLoop: worker.eventLoop)
        let isLast = NIODeadline.now() >= end
        Self.countUnflushed(from: 0, 0, worker.runner, loops: worker.configuration.threads, closes: isLast) { [own = worker.index, runner = worker.runner] count in
            runner.run(on: own) { worker in
                if count == 0 || isLast { return bound.value.complete("SUSPEND") }
                worker.eventLoop.scheduleTask(in: Self.interval) { bound.value.waitForFlush(until: end) }
            }
        }
    }

    private static func countUnflushed(
        from loop: Int, _ count: Int, _ runner: PoolRunner, loops: Int, closes: Bool, _ done: @escaping @Sendable (Int) -> Void
    ) {
        guard loop < loops else { return done(count) }
        runner.run(on: loop) { worker in
            countUnflushed(from: loop + 1, count + worker.unflushedCount(closes: closes), runner, loops: loops, closes: closes, done)
        }
    }

    // MARK: SHOW

    private func show(_ table: ConsoleTable) {
        let bound = NIOLoopBound(self, eventLoop: worker.eventLoop)
        gather(from: 0, ConsoleSnapshot(worker.runner), bound, table)
    }

    /// Each loop adds what it knows, then the next one does; the last gives all to the console's own.
    private func gather(from loop: Int, _ snapshot: ConsoleSnapshot, _ bound: NIOLoopBound<ConsoleRunner>, _ table: ConsoleTable) {
        Self.gather(from: loop, snapshot, worker.runner, loops: worker.configuration.threads) { [own = worker.index, runner = worker.runner] snapshot in
            runner.run(on: own) { _ in bound.value.show(table, snapshot) }
        }
    }

    private static func gather(
        from loop: Int, _ snapshot: ConsoleSnapshot, _ runner: PoolRunner, loops: Int, _ done: @escaping @Sendable (ConsoleSnapshot) -> Void
    ) {
        guard loop < loops else { return done(snapshot) }
        runner.run(on: loop) { worker in
            var snapshot = snapshot
            worker.describe(in: &snapshot)
            gather(from: loop + 1, snapshot, runner, loops: loops, done)
        }
    }

    private func show(_ table: ConsoleTable, _ snapshot: ConsoleSnapshot) {
        var snapshot = snapshot
        snapshot.countClients()
        snapshot.rankWaiters()
        snapshot.rankQueries()
        snapshot.leaks.sort { $0.idleInTransaction > $1.idleInTransaction }
        answer {
            ConsoleReply.writeDescription(of: table.columns, to: &$0)
            for row in snapshot.rows(of: table) { ConsoleReply.write(row: row, to: &$0) }
            ConsoleReply.writeComplete("SHOW", to: &$0)
        }
    }

    // MARK: Answers

    private func complete(_ tag: String) { answer { ConsoleReply.writeComplete(tag, to: &$0) } }

    private func fail(_ message: String, _ sqlState: String) { answer { ConsoleReply.writeError(message, sqlState: sqlState, to: &$0) } }

    private func answer(_ write: (inout ByteBuffer) -> Void) {
        guard !isEnded else { return }
        isBusy = false
        var bytes = ByteBuffer()
        write(&bytes)
        ConsoleReply.writeReady(to: &bytes)
        reply(bytes)
    }
}

extension ConsoleAccess {
    init(_ configuration: AuthenticationConfiguration) {
        self.init(admins: Set(configuration.admins), observers: Set(configuration.observers))
    }
}

extension ConsoleSnapshot {
    /// What the loops share: databases, users, pools, settings.
    init(_ runner: PoolRunner) {
        let configuration = runner.current
        let limits = configuration.limits
        let mode = configuration.mode.rawValue
        let (paused, disabled) = (runner.pausedDatabases.withLock { $0 }, runner.disabledDatabases.withLock { $0 })
        version = "Headrace, with the console of PgBouncer 1.25"
        isPaused = paused.isAll
        isSuspended = runner.isSuspended
        let (machinePools, connections) = runner.inspect { ($0.pools, $0.connections) }
        var counts = [Int](repeating: 0, count: machinePools.count)
        pools = machinePools.map { Pool(database: $0.database, user: $0.user, poolMode: $0.kind == .shared ? mode : PoolMode.session.rawValue) }
        let now = NIODeadline.now()
        for connection in connections where connection.state != .free && pools.indices.contains(connection.pool) {
            counts[connection.pool] += 1
            switch connection.state {
            case .connecting: pools[connection.pool].serversLoggingIn += 1
            case .idle: pools[connection.pool].serversIdle += 1
            case .leased, .moving: pools[connection.pool].serversActive += 1
            case .closing, .free: break
            }
        }
        for (index, pool) in machinePools.enumerated() {
            pools[index].clientsWaiting = pool.waiterCount
            if let oldest = pool.oldest { pools[index].maxWait = UInt64(clamping: (now - oldest.waiter.since).nanoseconds / 1000) }
        }
        let names = Set(configuration.databases.keys.filter { $0 != "*" }).union(machinePools.map(\.database))
        databases = names.sorted().compactMap { name in
            guard let database = configuration.databases[name] ?? configuration.databases["*"] else { return nil }
            var (host, port) = (String?.none, 0)
            if case .tcp(let name, let number)? = database.hosts.first { (host, port) = (name, number) }
            let used = machinePools.indices.filter { machinePools[$0].database == name }.reduce(0) { $0 + counts[$1] }
            return Database(
                name: name, host: host, port: port, database: database.name ?? name, forcedUser: database.user, poolSize: limits.poolSize,
                minPoolSize: limits.minPoolSize, reservePoolSize: limits.reserveSize,
                serverLifetime: Int(configuration.timeouts.serverLifetime.nanoseconds / 1_000_000_000), poolMode: mode, loadBalanceHosts: nil,
                connectionsMax: limits.databaseConnectionsMax, connections: used, clientConnectionsMax: 0, clientConnections: 0,
                isPaused: paused.isAll || paused.databases.contains(name), isDisabled: disabled.contains(name))
        }
        users = Set(machinePools.map(\.user)).sorted().map { name in
            let used = machinePools.indices.filter { machinePools[$0].user == name }.reduce(0) { $0 + counts[$1] }
            return User(
                name: name, poolSize: limits.poolSize, reservePoolSize: limits.reserveSize, poolMode: nil, connectionsMax: limits.userConnectionsMax,
                connections: used, clientConnectionsMax: 0, clientConnections: 0)
        }
        let standard = PoolerConfiguration()
        settings = ConsoleSetting.all.map {
            Setting(key: $0.name, value: $0.value(in: configuration), standard: $0.value(in: standard), isChangeable: $0.isChangeable)
        }
    }

    /// Adds what one loop counted for a pool to its database's row.
    mutating func add(_ database: String, _ totals: Stats.Counts, _ averages: Stats.Counts) {
        guard let index = stats.firstIndex(where: { $0.database == database }) else {
            return stats.append(Stats(database: database, totals: totals, averages: averages))
        }
        stats[index].totals.merge(totals, areAverages: false)
        stats[index].averages.merge(averages, areAverages: true)
    }

    /// Adds what one loop counted for a statement.
    mutating func add(_ statistics: QueryStatistics, database: String) {
        let fingerprint = String(statistics.fingerprint, radix: 16)
        let index = queryIndex["\(fingerprint) \(database)"] ?? queries.count
        if index == queries.count {
            queryIndex["\(fingerprint) \(database)"] = index
            queries.append(
                Query(
                    fingerprint: fingerprint, text: statistics.text, database: database, calls: 0, rows: 0, errors: 0, wait: 0, server: 0, p50: 0, p95: 0,
                    p99: 0))
        }
        queries[index].calls &+= statistics.calls
        queries[index].rows &+= statistics.rows
        queries[index].errors &+= statistics.errors
        queries[index].wait &+= statistics.wait
        queries[index].server &+= statistics.server
        queries[index].times.merge(statistics.times)
        queries[index].traceID = statistics.traceID ?? queries[index].traceID
    }

    /// What took the server longest comes first.
    mutating func rankQueries() {
        queries.sort { $0.server > $1.server }
        for index in queries.indices {
            let times = queries[index].times
            (queries[index].p50, queries[index].p95, queries[index].p99) = (times.percentile(50), times.percentile(95), times.percentile(99))
        }
    }

    /// Who waits for a connection of the same pool, longest first.
    mutating func rankWaiters() {
        waiters.sort { ($0.client.database, $0.client.user, $1.wait) < ($1.client.database, $1.client.user, $0.wait) }
        var position = 0
        for index in waiters.indices {
            let isNext = index > 0 && waiters[index].client.isSamePool(as: waiters[index - 1].client)
            position = isNext ? position + 1 : 1
            waiters[index].position = position
        }
    }

    /// Puts clients where they count: in their pools, databases and users.
    mutating func countClients() {
        for client in clients {
            if let index = databases.firstIndex(where: { $0.name == client.database }) { databases[index].clientConnections += 1 }
            if let index = users.firstIndex(where: { $0.name == client.user }) { users[index].clientConnections += 1 }
            guard client.state == "active", let index = pools.firstIndex(where: { $0.database == client.database && $0.user == client.user }) else { continue }
            pools[index].clientsActive += 1
        }
    }
}
