import PostgresWire

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
    typealias TransactionPhase = TransactionStatus

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
    private var held: Shared<Held>
    private var hasFailed = false
    private var hasUnknown = false
    private var mayHaveUnpinned = false
    /// `current` is perhaps not `committed`.
    private var isDirty = false
    private var hasNewSettings = false
    /// What every server connection of the pool reports before anybody has set anything: it is nobody's setting.
    var baseline: [String: String] = [:]
    /// Reported by the server, to be believed when the transaction has ended.
    private var reported: [String: (value: String, isBaseline: Bool)] = [:]

    /// What most sessions leave as it was when they began: all that began alike share it.
    private struct Held: Sendable {
        /// What the startup message asked for: to this RESET goes back.
        let startup: SessionSettings
        var current: Session
        /// As the last committed transaction left it.
        var committed: Session
        var savepoints: [(name: String, session: Session)] = []
        /// Not transactional.
        var pins: Set<PinCause> = []
        /// The statement that pinned, for the console.
        var pinTexts: [PinCause: String] = [:]
        var unknownText = ""
    }

    private var startup: SessionSettings { held.value.startup }
    private var current: Session {
        get { held.value.current }
        _modify { yield &held.value.current }
    }
    private var committed: Session {
        get { held.value.committed }
        _modify { yield &held.value.committed }
    }
    private var savepoints: [(name: String, session: Session)] {
        get { held.value.savepoints }
        _modify { yield &held.value.savepoints }
    }
    private var pins: Set<PinCause> {
        get { held.value.pins }
        _modify { yield &held.value.pins }
    }
    private var pinTexts: [PinCause: String] {
        get { held.value.pinTexts }
        _modify { yield &held.value.pinTexts }
    }
    private var unknownText: String {
        get { held.value.unknownText }
        _modify { yield &held.value.unknownText }
    }

    private struct Session: Sendable, Equatable {
        var settings: SessionSettings
        var pins: Set<PinCause> = []
        /// What this client listens to on its server connection.
        var channels: Set<String> = []
        /// UNLISTEN was said: for all that others listen to on the client's behalf.
        var unlistened: Unlistened?
        /// Settings of the startup message that were reset: the client has them again, the server connection has not.
        var wasReset: Set<String> = []
    }

    /// What a client listens to no more.
    enum Unlistened: Sendable, Equatable {
        case all
        case channels(Set<String>)
    }

    /// Effects of statements that have not answered, by unit and place in it.
    private var pending: [(unit: UInt64, index: Int, effects: [StatementEffect], text: String)] = []
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
        let session = Session(settings: settings, pins: pins)
        held = Shared(Held(startup: settings, current: session, committed: session))
    }

    /// What a server connection must have before this client's next transaction.
    var settings: SessionSettings { current.settings }
    /// What the client listens to.
    var channels: Set<String> { current.channels }
    /// Why the server connection is kept between transactions.
    var pinCause: PinCause? {
        if pins.isEmpty, current.pins.isEmpty, current.channels.isEmpty { return nil }
        return PinCause.allCases.first { pins.contains($0) || current.pins.contains($0) || $0 == .listen && !current.channels.isEmpty }
    }

    /// The statement that pinned; empty when only the server's answer tells that something is held, and no text was unknown.
    var pinText: String { pinCause.flatMap { pinTexts[$0] } ?? "" }

    /// Settings have changed since this was last asked.
    /// - Returns: what the client has, and what its server connection has: see ``Session/wasReset``.
    mutating func takeNewSettings() -> (client: SessionSettings, server: SessionSettings)? {
        guard hasNewSettings else { return nil }
        hasNewSettings = false
        var server = current.settings
        for name in current.wasReset { server.reset(name) }
        current.wasReset = []
        committed.wasReset = []
        return (current.settings, server)
    }

    /// What was unlistened since this was last asked, by transactions that were committed.
    mutating func takeUnlistened() -> Unlistened? {
        guard let unlistened = committed.unlistened else {
            if current.unlistened != nil { current.unlistened = nil }
            return nil
        }
        (current.unlistened, committed.unlistened) = (nil, nil)
        return unlistened
    }

    /// The server connection was reset, or there is another one: nothing is held there any more.
    mutating func connectionReset() {
        pins = []
        current.pins = []
        current.channels = []
        committed = current
        pinTexts = [:]
        hasUnknown = false
        mayHaveUnpinned = false
    }

    // MARK: Sent

    /// A simple query was sent on: the effects of its statements.
    mutating func queryReceived(_ statements: [[StatementEffect]], text: String = "") {
        for effects in statements { append(effects, text) }
        syncReceived()
    }

    /// Execute was sent on, for a portal of a statement with these effects.
    mutating func executeReceived(_ effects: [StatementEffect], text: String = "") {
        append(effects, text)
    }

    /// Something was sent on that cannot be read, or too much of it.
    mutating func unknownReceived(text: String = "") {
        guard mode != .pgbouncer else { return }
        hasUnknown = true
        unknownText = text
    }

    /// Sync was sent on; or a function call, which is a unit by itself and as unknown as can be.
    mutating func syncReceived() {
        unitSent += 1
        indexSent = 0
    }

    mutating func functionCallReceived() {
        unknownReceived(text: "a function call")
        syncReceived()
    }

    /// The server skips this unit, after an error, and does not answer it.
    mutating func unitSkipped() {
        unitAnswered += 1
    }

    private mutating func append(_ effects: [StatementEffect], _ text: String) {
        defer { indexSent += 1 }
        guard mode != .pgbouncer, !effects.isEmpty else { return }
        guard pending.count - pendingHead < Self.pendingMax else {
            hasUnknown = true
            pins.insert(.setting)
            return
        }
        pending.append((unitSent, indexSent, effects, text))
    }

    // MARK: Answered

    /// Whether the next statement's end decides anything.
    private var needsTag: Bool { isDirty || pendingHead < pending.count }

    /// A statement has ended that perhaps decides nothing.
    /// - Returns: `false` when its tag is needed: nothing has happened then.
    mutating func statementCompleted() -> Bool {
        guard !needsTag else { return false }
        indexAnswered += 1
        return true
    }

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
            isDirty = true
            for effect in pending[pendingHead].effects { apply(effect, pending[pendingHead].text) }
            pendingHead += 1
        }
        indexAnswered += 1
    }

    /// ErrorResponse has come: of this unit nothing more will. A lock that the statement took before it failed is held on.
    mutating func statementFailed() {
        hasFailed = true
        guard pendingHead < pending.count, pending[pendingHead].unit == unitAnswered, pending[pendingHead].index == indexAnswered else { return }
        let (effects, text) = (pending[pendingHead].effects, pending[pendingHead].text)
        if effects.contains(where: { $0 == .pin(.advisoryLock) || $0 == .unknown }) { unknownReceived(text: text) }
    }

    /// ParameterStatus has come, for something that this client has done.
    mutating func parameterReported(_ name: String, _ value: String) {
        let isBaseline = baseline[name] == value
        let name = name.lowercased()
        guard reported[name] != nil || reported.count < SessionSettings.countMax else { return }
        reported[name] = (value, isBaseline)
    }

    /// ReadyForQuery has come.
    @discardableResult
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
        return status == .idle ? settled() : .keep
    }

    /// What becomes of the server connection when no transaction is open and all is answered.
    func verdict() -> Verdict {
        switch mode {
        case .pgbouncer: return .release(isKnown: true)
        case .strict, .resetAlways:
            if hasUnknown || (mayHaveUnpinned && pinCause != nil) { return .probe }
            if let pinCause { return .pinned(pinCause) }
            return .release(isKnown: mode == .strict)
        }
    }

    /// Whether ROLLBACK of the transaction that is open leaves the server's session as the client found it: nothing before was kept or is still to be
    /// carried, and in the transaction nothing was set, called or held that outlives it, or might. All that was sent has been answered. Where a
    /// statement has failed it is not known: an advisory lock that it took before is held still.
    var isKnownAfterRollback: Bool {
        mode == .strict && !hasFailed && !hasUnknown && !hasNewSettings && pins.isEmpty && committed.pins.isEmpty && committed.channels.isEmpty
            && committed.unlistened == nil
    }

    /// ``verdict()`` for the path that each transaction takes: most leave nothing behind, which is told where the state lies; to ask the other, it
    /// would be copied.
    mutating func settled() -> Verdict { holdsNothing ? .release(isKnown: mode != .resetAlways) : verdict() }

    @inline(__always)
    private var holdsNothing: Bool {
        !hasUnknown && held.value.pins.isEmpty && held.value.current.pins.isEmpty && held.value.current.channels.isEmpty
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
            if !isHeld { pinTexts[cause] = nil } else if wasUnknown, pinTexts[cause] == nil { pinTexts[cause] = unknownText }
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
        hasFailed = false
        guard isDirty else { return }
        isDirty = false
        if commits {
            committed = current
        } else {
            if current.settings != committed.settings || !current.wasReset.isEmpty { hasNewSettings = true }
            current = committed
        }
        savepoints.removeAll(keepingCapacity: true)
    }

    private mutating func believeReported() {
        guard !reported.isEmpty else { return }
        for (name, (value, isBaseline)) in reported where current.settings.values[name] != value && !Self.notSettable.contains(name) {
            // The end of a SET LOCAL, or a RESET.
            if current.settings.values[name] == nil && isBaseline || current.wasReset.contains(name) { continue }
            hasNewSettings = true
            if !current.settings.set(name, value) { current.pins.insert(.setting) }
        }
        reported.removeAll(keepingCapacity: true)
        committed = current
    }

    /// Reported, but nobody's to set.
    static let notSettable: Set<String> = [
        "in_hot_standby", "integer_datetimes", "is_superuser", "server_encoding", "server_version", "session_authorization", "scram_iterations",
    ]

    private mutating func apply(_ effect: StatementEffect, _ text: String) {
        switch effect {
        case .savepoint(let name):
            if savepoints.count < Self.savepointsMax { savepoints.append((name, current)) } else { unknownReceived(text: text) }
        case .release(let name):
            if let index = savepoints.lastIndex(where: { $0.name == name }) { savepoints.removeSubrange(index...) }
        case .rollbackTo(let name):
            hasFailed = false
            guard let index = savepoints.lastIndex(where: { $0.name == name }) else { return unknownReceived(text: text) }
            hasNewSettings = true
            current = savepoints[index].session
            savepoints.removeSubrange((index + 1)...)
        case .set(let name, let value):
            hasNewSettings = true
            current.wasReset.remove(name)
            if !current.settings.set(name, value) { pin(.setting, text) }
        case .reset(let name): restore(name)
        case .resetAll:
            // RESET ALL leaves the identity alone.
            let identity = ["session_authorization", "role"].compactMap { name in current.settings.values[name].map { (name, $0) } }
            current.settings = startup
            resetStartup()
            for (name, value) in identity { _ = current.settings.set(name, value) }
        case .discardAll:
            current = Session(settings: startup, unlistened: .all)
            resetStartup()
            pins.remove(.advisoryLock)
            pins.remove(.preparedStatement)
        case .listen(let channel):
            if current.channels.count < Self.channelsMax || current.channels.contains(channel) {
                current.channels.insert(channel)
            } else {
                // One that is not remembered would be the next client's.
                pin(.listen, text)
            }
            if pinTexts[.listen] == nil { pinTexts[.listen] = text }
        case .unlisten(let channel):
            current.channels.remove(channel)
            unlistened(channel)
        case .unlistenAll:
            current.channels = []
            current.pins.remove(.listen)
            current.unlistened = .all
        case .pin(let cause):
            pin(cause, text)
        case .unpin(let cause):
            current.pins.remove(cause)
            pins.remove(cause)
        case .mayUnpin(let cause):
            if pins.contains(cause) || current.pins.contains(cause) { mayHaveUnpinned = true }
        case .unknown: unknownReceived(text: text)
        }
    }

    private mutating func pin(_ cause: PinCause, _ text: String) {
        if cause.isTransactional { current.pins.insert(cause) } else { pins.insert(cause) }
        if pinTexts[cause] == nil { pinTexts[cause] = text }
    }

    private mutating func unlistened(_ channel: String) {
        switch current.unlistened {
        case .all: break
        case .channels(var channels):
            guard channels.count < Self.channelsMax else { return }
            channels.insert(channel)
            current.unlistened = .channels(channels)
        case nil: current.unlistened = .channels([channel])
        }
    }

    /// All of the startup message's settings are the server's own on the connection now.
    private mutating func resetStartup() {
        hasNewSettings = true
        current.wasReset = Set(startup.values.keys)
    }

    private mutating func restore(_ name: String) {
        hasNewSettings = true
        if startup.values[name] != nil { current.wasReset.insert(name) }
        if let value = startup.values[name] {
            _ = current.settings.set(name, value)
        } else {
            current.settings.reset(name)
        }
    }
}
