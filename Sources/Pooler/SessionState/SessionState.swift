/// What a client's session has that outlives its transactions, and whether its server connection may serve another client.
///
/// It hears of every statement when it is sent (``queryReceived(_:)``, ``executeReceived(_:)``) and of every answer. An effect counts
/// when its statement has succeeded, and is taken back when the transaction is: settings, temporary tables and holdable cursors are
/// transactional in PostgreSQL, advisory locks and prepared statements are not.
///
/// Answers are matched by order: each statement ends with one CommandComplete, EmptyQueryResponse or PortalSuspended, or fails; each
/// unit, a simple query or what stands before a Sync, ends with ReadyForQuery.
/// - Source: PostgreSQL 15, "Message Flow"; "SET", "Notes" of each command.
struct SessionState: Sendable {
    enum Verdict: Sendable, Equatable {
        /// A transaction is open.
        case keep
        /// Another client may have the server connection. If its state is not known, it is to be reset before it has.
        case release(isKnown: Bool)
        /// The server connection is this client's, for now.
        case pinned(PinCause)
        /// Ask the server (``SessionProbe``), then call ``probed(_:)``. Until then the connection is this client's.
        case probe
    }

    let mode: SessionMode
    /// What the startup message asked for: to this RESET goes back.
    private let startup: SessionSettings
    private var current: Session
    /// As the last committed transaction left it.
    private var committed: Session
    private var savepoints: [(name: String, session: Session)] = []
    /// Not transactional.
    private var pins: Set<PinCause> = []
    private var hasFailed = false
    private var hasUnknown = false
    private var mayHaveUnpinned = false
    /// Reported by the server, to be believed when the transaction has ended.
    private var reported: [String: String] = [:]

    private struct Session: Sendable, Equatable {
        var settings: SessionSettings
        var pins: Set<PinCause> = []
        var channels: Set<String> = []
    }

    /// Effects of statements that have not answered, by unit and place in it.
    private var pending: [(unit: UInt64, index: Int, effects: [StatementEffect])] = []
    private var pendingHead = 0
    private var unitSent: UInt64 = 0
    private var indexSent = 0
    private var unitAnswered: UInt64 = 0
    private var indexAnswered = 0

    /// Statements with effects that may wait for their answers. What goes beyond is not remembered one by one: the server is asked.
    static let pendingMax = 1024
    static let savepointsMax = 64
    static let channelsMax = 1024

    /// - Parameter parameters: the startup message's, but for user and database; `options` already taken apart.
    init(mode: SessionMode, parameters: [(name: String, value: String)] = []) {
        self.mode = mode
        var settings = SessionSettings()
        var pins: Set<PinCause> = []
        for (name, value) in parameters where !settings.set(name.lowercased(), value) { pins.insert(.setting) }
        startup = settings
        current = Session(settings: settings, pins: pins)
        committed = current
    }

    /// What a server connection must have before this client's next transaction.
    var settings: SessionSettings { current.settings }
    /// What the client listens to.
    var channels: Set<String> { current.channels }
    /// Why the server connection is kept between transactions.
    var pinCause: PinCause? { PinCause.allCases.first { pins.contains($0) || current.pins.contains($0) } }

    // MARK: Sent

    /// A simple query was sent on: the effects of its statements.
    mutating func queryReceived(_ statements: [[StatementEffect]]) {
        for effects in statements { append(effects) }
        syncReceived()
    }

    /// Execute was sent on, for a portal of a statement with these effects.
    mutating func executeReceived(_ effects: [StatementEffect]) {
        append(effects)
    }

    /// Sync was sent on; or a function call, which is a unit by itself and as unknown as can be.
    mutating func syncReceived() {
        unitSent += 1
        indexSent = 0
    }

    mutating func functionCallReceived() {
        if mode != .pgbouncer { hasUnknown = true }
        syncReceived()
    }

    private mutating func append(_ effects: [StatementEffect]) {
        defer { indexSent += 1 }
        guard mode != .pgbouncer, !effects.isEmpty else { return }
        guard pending.count - pendingHead < Self.pendingMax else {
            hasUnknown = true
            pins.insert(.setting)
            return
        }
        pending.append((unitSent, indexSent, effects))
    }

    // MARK: Answered

    /// CommandComplete, EmptyQueryResponse or PortalSuspended has come.
    mutating func statementCompleted(tag: some StringProtocol) {
        switch tag {
        case "COMMIT": ended(commits: true)
        case "ROLLBACK":
            // ROLLBACK TO has the same tag, and an effect that says so.
            if !nextIsRollbackTo { ended(commits: false) }
        default: break
        }
        if pendingHead < pending.count, pending[pendingHead].unit == unitAnswered, pending[pendingHead].index == indexAnswered {
            for effect in pending[pendingHead].effects { apply(effect) }
            pendingHead += 1
        }
        indexAnswered += 1
    }

    /// ErrorResponse has come: of this unit nothing more will.
    mutating func statementFailed() {
        hasFailed = true
    }

    /// ParameterStatus has come, for something that this client has done.
    mutating func parameterReported(_ name: String, _ value: String) {
        guard reported[name] != nil || reported.count < SessionSettings.countMax else { return }
        reported[name.lowercased()] = value
    }

    /// ReadyForQuery has come.
    mutating func readyForQuery(_ status: TransactionPhase) -> Verdict {
        while pendingHead < pending.count, pending[pendingHead].unit <= unitAnswered { pendingHead += 1 }
        if pendingHead == pending.count {
            pending.removeAll(keepingCapacity: true)
            pendingHead = 0
        } else if pendingHead > 64 {
            pending.removeFirst(pendingHead)
            pendingHead = 0
        }
        unitAnswered += 1
        indexAnswered = 0
        switch status {
        case .inTransaction: hasFailed = false
        case .failed: hasFailed = true
        case .idle:
            ended(commits: !hasFailed)
            believeReported()
        }
        return status == .idle ? verdict() : .keep
    }

    enum TransactionPhase: Sendable { case idle, inTransaction, failed }

    private func verdict() -> Verdict {
        switch mode {
        case .pgbouncer: return .release(isKnown: true)
        case .strict, .resetAlways:
            if hasUnknown || (mayHaveUnpinned && pinCause != nil) { return .probe }
            if let pinCause { return .pinned(pinCause) }
            return .release(isKnown: mode == .strict)
        }
    }

    /// The server has said what the session holds.
    mutating func probed(_ answer: SessionProbe.Answer) -> Verdict {
        let wasUnknown = hasUnknown
        hasUnknown = false
        mayHaveUnpinned = false
        for (cause, isHeld) in [
            (PinCause.advisoryLock, answer.hasAdvisoryLocks), (.temporaryTable, answer.hasTemporaryTables),
            (.holdableCursor, answer.hasHoldableCursors), (.preparedStatement, answer.hasPreparedStatements),
        ] {
            if cause.isTransactional {
                if isHeld { current.pins.insert(cause) } else { current.pins.remove(cause) }
            } else {
                if isHeld { pins.insert(cause) } else { pins.remove(cause) }
            }
        }
        committed = current
        if let pinCause { return .pinned(pinCause) }
        return .release(isKnown: !wasUnknown && mode == .strict)
    }

    // MARK: Effects

    private var nextIsRollbackTo: Bool {
        guard pendingHead < pending.count, pending[pendingHead].unit == unitAnswered, pending[pendingHead].index == indexAnswered,
            case .rollbackTo? = pending[pendingHead].effects.first
        else { return false }
        return true
    }

    private mutating func ended(commits: Bool) {
        if commits { committed = current } else { current = committed }
        savepoints.removeAll(keepingCapacity: true)
        hasFailed = false
    }

    private mutating func believeReported() {
        guard !reported.isEmpty else { return }
        for (name, value) in reported where current.settings.values[name] != value && !Self.notSettable.contains(name) {
            if !current.settings.set(name, value) { current.pins.insert(.setting) }
        }
        reported.removeAll(keepingCapacity: true)
        committed = current
    }

    /// Reported, but nobody's to set.
    private static let notSettable: Set<String> = [
        "in_hot_standby", "integer_datetimes", "is_superuser", "server_encoding", "server_version", "session_authorization", "scram_iterations",
    ]

    private mutating func apply(_ effect: StatementEffect) {
        switch effect {
        case .savepoint(let name):
            if savepoints.count < Self.savepointsMax { savepoints.append((name, current)) } else { hasUnknown = true }
        case .release(let name):
            if let index = savepoints.lastIndex(where: { $0.name == name }) { savepoints.removeSubrange(index...) }
        case .rollbackTo(let name):
            hasFailed = false
            guard let index = savepoints.lastIndex(where: { $0.name == name }) else { return hasUnknown = true }
            current = savepoints[index].session
            savepoints.removeSubrange((index + 1)...)
        case .set(let name, let value):
            if !current.settings.set(name, value) { current.pins.insert(.setting) }
        case .reset(let name): restore(name)
        case .resetAll:
            // RESET ALL leaves the identity alone.
            let identity = ["session_authorization", "role"].compactMap { name in current.settings.values[name].map { (name, $0) } }
            current.settings = startup
            for (name, value) in identity { _ = current.settings.set(name, value) }
        case .discardAll:
            current = Session(settings: startup)
            pins.remove(.advisoryLock)
            pins.remove(.preparedStatement)
        case .listen(let channel):
            if current.channels.count < Self.channelsMax || current.channels.contains(channel) { current.channels.insert(channel) }
        case .unlisten(let channel): current.channels.remove(channel)
        case .unlistenAll: current.channels = []
        case .pin(let cause):
            if cause.isTransactional { current.pins.insert(cause) } else { pins.insert(cause) }
        case .unpin(let cause):
            current.pins.remove(cause)
            pins.remove(cause)
        case .mayUnpin(let cause):
            if pins.contains(cause) || current.pins.contains(cause) { mayHaveUnpinned = true }
        case .unknown: hasUnknown = true
        }
    }

    private mutating func restore(_ name: String) {
        if let value = startup.values[name] {
            _ = current.settings.set(name, value)
        } else {
            current.settings.reset(name)
        }
    }
}
