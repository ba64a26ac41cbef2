import Logging
import NIOCore
import PostgresWire
import Telemetry
import Transport

/// What the event loops of a pooler share: the pools, and the tables that give equal things equal names. Orders of the pools' are
/// carried to the loop that they are for.
final class PoolRunner: Sendable {
    private let adopted: Lock<PoolerConfiguration>
    /// Clients there may be.
    let clientLimit: ConnectionLimit
    let logger: Logger
    /// How near the process is to its memory's bound, all layers together.
    let pressure: MemoryPressure
    let cancelKeys = CancelKeys()
    let dedication: Dedication
    /// An `application_name` that nobody else can guess: see ``PoolerServer/probeName``.
    let probeName = "headrace probe \(String(UInt64.random(in: .min ... .max), radix: 16))\(String(UInt64.random(in: .min ... .max), radix: 16))"
    let authenticator: Authenticator
    let tls: PoolerTLS
    /// By operators' commands: no connections are leased there.
    let pausedDatabases = Lock(PausedDatabases())
    /// By an operator's command: nothing is read from clients and servers.
    private let suspension = Lock<NIODeadline?>(nil)
    /// By operators' commands: no new clients are let in there.
    let disabledDatabases = Lock<Set<String>>([])

    struct PausedDatabases: Sendable {
        var isAll = false
        var databases: Set<String> = []
    }
    let prepared = Lock(PreparedStatements())
    let parameterSets = Lock(ParameterSets())
    private let machine: Lock<PoolMachine>
    private let workers = Lock<[Place]>([])
    private let welcomes = Lock<[WelcomeKey: Welcome]>([:])
    /// Keys of SCRAM logins: a server's salt for a user stays the same, so that the password is stretched once.
    private let keys = Lock<[SCRAMKeyDerivation: SCRAMKeys]>([:])

    private struct Place: Sendable {
        let eventLoop: SocketLoop
        let worker: NIOLoopBound<PoolerWorker>
    }

    /// What a client is told of a server's parameters, and the messages that say it, from AuthenticationOk to ReadyForQuery: made once, for all who
    /// log in alike, but for each one's key.
    struct Welcome: Sendable {
        let reported: [String: String]
        private let messages: ByteBuffer
        /// ReadyForQuery, and before it the key's two numbers.
        private static let bytesBehindKey = 6

        init(_ reported: [String: String]) {
            self.reported = reported
            var messages = ByteBuffer()
            AuthenticationRequest.ok.write(to: &messages)
            for (name, value) in reported { BackendMessage.parameterStatus(name, value, to: &messages) }
            BackendMessage.startupEnded(processID: 0, secret: 0, to: &messages)
            self.messages = messages
        }

        func messages(for key: CancelKeys.Key) -> ByteBuffer {
            var messages = messages
            messages.setInteger(UInt64(key.processID) << 32 | UInt64(key.secret), at: messages.writerIndex - Self.bytesBehindKey - 8)
            return messages
        }
    }

    private struct WelcomeKey: Hashable {
        var pool: Int
        var parameters: Int
    }

    /// Welcomes that are known at a time; each is some 20 short strings.
    private static let welcomesMax = 1_000

    /// - Throws: when a certificate or a key cannot be read.
    init(configuration: PoolerConfiguration, loops: Int, pressure: MemoryPressure, logger: Logger) throws {
        self.pressure = pressure
        adopted = Lock(configuration)
        clientLimit = ConnectionLimit(max: configuration.limits.clientConnectionsMax)
        self.logger = logger
        authenticator = Authenticator(configuration.authentication)
        dedication = Dedication(isAllowed: configuration.limits.dedicatedMax > 0 && configuration.mode == .transaction)
        tls = try PoolerTLS(configuration.tls)
        machine = Lock(PoolMachine(loops: loops, limits: configuration.limits, timeouts: configuration.timeouts))
    }

    /// Workers are added in the order of their indices, before anything is served.
    func add(_ worker: NIOLoopBound<PoolerWorker>, on eventLoop: SocketLoop) {
        workers.withLock { $0.append(Place(eventLoop: eventLoop, worker: worker)) }
    }

    // MARK: Settings

    /// The configuration, its limits and timeouts as they are now. A loop has its own copy: ``PoolerWorker/configuration``.
    var current: PoolerConfiguration { adopted.withLock { $0 } }

    /// Changes limits and timeouts for all loops; other changes have no effect. May be called on any thread.
    /// - Throws: what the change throws: nothing has changed then.
    func adopt<Failure: Error>(_ change: (inout PoolerConfiguration) throws(Failure) -> Void) throws(Failure) {
        let orders = try adopted.withLock { (configuration) throws(Failure) in
            var new = configuration
            try change(&new)
            new.limits.minPoolSize = min(new.limits.minPoolSize, new.limits.poolSize)
            (configuration.limits, configuration.timeouts) = (new.limits, new.timeouts)
            clientLimit.max = new.limits.clientConnectionsMax
            return machine.withLock { $0.adopt(new.limits, new.timeouts, now: .now()) }
        }
        for loop in workers.withLock({ $0.indices }) { run(on: loop) { $0.adoptCurrent() } }
        run(on: 0) { $0.runner.perform(orders, from: $0) }
    }

    /// Whether nothing is read from clients and servers.
    var isSuspended: Bool { suspension.withLock { $0 != nil } }

    func suspend() {
        suspension.withLock { $0 = $0 ?? .now() }
        for loop in workers.withLock({ $0.indices }) { run(on: loop) { $0.suspend() } }
    }

    /// Goes on as if no time had passed.
    func resume() {
        guard let since = suspension.withLock({ since in
            defer { since = nil }
            return since
        }) else { return }
        let time = NIODeadline.now() - since
        machine.withLock { $0.postponed(by: time) }
        for loop in workers.withLock({ $0.indices }) { run(on: loop) { $0.resume(after: time) } }
    }

    // MARK: Pools

    func pool(_ key: PoolMachine.PoolKey) -> Int? {
        let isPaused = pausedDatabases.withLock { $0.isAll || $0.databases.contains(key.database) }
        return machine.withLock { machine in
            let pool = machine.pool(key)
            // One that is new while its database is paused.
            if isPaused, let pool { machine.paused(pool) }
            return pool
        }
    }

    func lease(_ pool: Int, loop: Int, now: NIODeadline) -> PoolMachine.Lease {
        machine.withLock { $0.leaseRequested(pool, loop: loop, now: now) }
    }

    func ownRequested(_ pool: Int, loop: Int) -> PoolMachine.Slot? { machine.withLock { $0.ownRequested(pool, loop: loop) } }

    func mayKeepOwn(_ slot: PoolMachine.Slot, now: NIODeadline) -> Bool { machine.withLock { $0.mayKeepOwn(slot, now: now) } }

    func released(_ slot: PoolMachine.Slot, isReusable: Bool, now: NIODeadline) -> PoolMachine.Order? {
        machine.withLock { $0.released(slot, isReusable: isReusable, now: now) }
    }

    func pinned(_ slot: PoolMachine.Slot) -> Bool { machine.withLock { $0.pinned(slot) } }

    func connected(_ slot: PoolMachine.Slot, now: NIODeadline) -> [PoolMachine.Order] {
        machine.withLock { $0.connected(slot, now: now) }
    }

    func moved(_ slot: PoolMachine.Slot, now: NIODeadline) -> [PoolMachine.Order] {
        machine.withLock { $0.moved(slot, now: now) }
    }

    func rested(_ pool: Int, now: NIODeadline) -> [PoolMachine.Order] { machine.withLock { $0.rested(pool, now: now) } }

    func closed(_ slot: PoolMachine.Slot, now: NIODeadline) -> [PoolMachine.Order] {
        machine.withLock { $0.closed(slot, now: now) }
    }

    func waiterGone(_ ticket: UInt64, pool: Int, loop: Int) {
        machine.withLock { $0.waiterGone(ticket, pool: pool, loop: loop) }
    }

    func swept(now: NIODeadline) -> [PoolMachine.Order] { machine.withLock { $0.swept(now: now) } }

    func inspect<Value: Sendable>(_ read: (PoolMachine) -> Value) -> Value { machine.withLock { read($0) } }

    /// Changes the pools by an operator's command; the caller performs the orders with ``perform(_:from:)``.
    func command(_ change: (inout PoolMachine) -> [PoolMachine.Order]) -> [PoolMachine.Order] { machine.withLock { change(&$0) } }

    /// A server refuses this pool's logins: who waits need not wait longer.
    func loginRefused(_ pool: Int, _ error: ErrorFields, from worker: PoolerWorker) {
        for (ticket, loop) in machine.withLock({ $0.loginRefused(pool) }) {
            run(on: loop, from: worker) { $0.refuse(ticket, error) }
        }
    }

    // MARK: Loops

    /// Carries orders to their event loops; those for the caller's own are performed before this returns.
    func perform(_ orders: [PoolMachine.Order], from worker: PoolerWorker) {
        for order in orders { perform(order, from: worker) }
    }

    func perform(_ order: PoolMachine.Order?, from worker: PoolerWorker) {
        guard let order else { return }
        let loop =
            switch order {
            case .connect(_, _, let loop), .serve(_, _, let loop), .close(_, let loop), .expire(_, let loop), .watch(_, let loop): loop
            case .move(_, let from, _): from
            }
        // Mostly the caller's own, for which no closure is made.
        if loop == worker.index { worker.perform(order) } else { run(on: loop) { $0.perform(order) } }
    }

    func run(on loop: Int, from worker: PoolerWorker, _ action: @escaping @Sendable (PoolerWorker) -> Void) {
        if loop == worker.index { return action(worker) }
        run(on: loop, action)
    }

    func run(on loop: Int, _ action: @escaping @Sendable (PoolerWorker) -> Void) {
        let place = workers.withLock { $0.indices.contains(loop) ? $0[loop] : nil }
        guard let place else { return }
        place.eventLoop.execute { action(place.worker.value) }
    }

    // MARK: Tables

    /// What a client with these parameters is told at its login; known once a server connection had them.
    func welcome(_ pool: Int, _ parameters: ParameterSet) -> Welcome? {
        welcomes.withLock { $0[WelcomeKey(pool: pool, parameters: parameters.id)] }
    }

    func welcomed(_ pool: Int, _ parameters: ParameterSet, with welcome: Welcome) {
        welcomes.withLock { welcomes in
            if welcomes.count >= Self.welcomesMax { welcomes = [:] }
            welcomes[WelcomeKey(pool: pool, parameters: parameters.id)] = welcome
        }
    }

    func scramKeys(_ derivation: SCRAMKeyDerivation) -> SCRAMKeys? { keys.withLock { $0[derivation] } }

    func derived(_ derivation: SCRAMKeyDerivation, _ derived: SCRAMKeys) {
        keys.withLock { keys in
            if keys.count >= Self.welcomesMax { keys = [:] }
            keys[derivation] = derived
        }
    }
}
