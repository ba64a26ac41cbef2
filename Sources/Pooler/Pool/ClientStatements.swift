import NIOCore
import PostgresWire

/// What one client has prepared, by its own names.
struct ClientStatements {
    private(set) var byName: [String: PreparedStatement] = [:]
    /// What the unnamed statement was when a batch ended that had parsed it and not bound it: clients that ask for a description
    /// first bind it in the next batch, which may find another server connection. It has a name there.
    var unnamed: PreparedStatement?
    /// What the batch that is being sent has parsed so far and not bound, when its end has not come yet.
    var unnamedBody: [UInt8]?
    /// Batches under way that leave an unnamed statement behind, if they do not fail.
    private var unnamedUndecided = 0
    let max: Int

    /// What the client's session has; `nil` where nobody asks, as in session mode.
    var session: SessionState?
    var texts: StatementTexts?
    /// What the statement of the last unnamed Parse, and what runs in the unnamed portal, means to the session.
    private var unnamedText: StatementText?
    private var portalText: StatementText?
    /// Named portals that mean something.
    private var portals: [[UInt8]: StatementText] = [:]

    /// Named portals whose statements mean something, at a time; with more, the server is asked.
    static let portalsMax = 64

    init(max: Int) {
        self.max = max
    }

    init(max: Int, session: SessionState?, texts: StatementTexts?, insight: (queries: QueryInsight, pool: Int)?) {
        self.init(max: max)
        self.insight = insight
        self.session = session
        self.texts = texts
    }

    /// What the rows of statements are like, as the client was told last, by their numbers.
    private var descriptions: [Int: UInt64] = [:]
    /// Clients ask for the same again and again.
    private var lastDescription: (statement: Int, fingerprint: UInt64) = (0, 0)
    /// Beyond, all are forgotten: see ``ServerSession/Repetition``.
    static let descriptionsMax = 1_000

    /// - Parameter fingerprint: `nil`: not known.
    mutating func described(_ statement: Int, _ fingerprint: UInt64?) {
        guard let fingerprint else {
            lastDescription = (0, 0)
            descriptions[statement] = nil
            return
        }
        guard lastDescription != (statement, fingerprint) else { return }
        lastDescription = (statement, fingerprint)
        if descriptions.count >= Self.descriptionsMax { descriptions = [:] }
        descriptions[statement] = fingerprint
    }

    func description(of statement: Int) -> UInt64? { descriptions[statement] }

    /// Any that the client has by now.
    func statement(_ id: Int) -> PreparedStatement? {
        byName.values.first { $0.id == id } ?? (unnamed?.id == id ? unnamed : nil)
    }

    var count: Int { byName.count }

    func find(_ name: String) -> PreparedStatement? { byName[name] }

    /// Parse is sent, or answered here: see ``changes``.
    /// - Returns: `false` when there are too many.
    mutating func prepared(_ name: String, _ statement: PreparedStatement) -> Bool {
        guard byName.count < max || byName[name] != nil else { return false }
        changes.append(Change(name: name, before: byName[name]))
        byName[name] = statement
        return true
    }

    /// Close is answered here: see ``changes``.
    mutating func closing(_ name: String) {
        changes.append(Change(name: name, before: byName.removeValue(forKey: name)))
    }

    /// DEALLOCATE is answered here.
    mutating func closed(_ name: String) -> Bool { byName.removeValue(forKey: name) != nil }

    // MARK: What is not sure yet

    mutating func takeUnnamedBody() -> [UInt8]? {
        guard unnamedBody != nil else { return nil }
        defer { unnamedBody = nil }
        return unnamedBody
    }

    var isUnnamedUndecided: Bool { unnamed != nil && unnamedUndecided > 0 }

    mutating func unnamedLeft(_ statement: PreparedStatement, isUndecided: Bool) {
        unnamed = statement
        if isUndecided { unnamedUndecided += 1 }
    }

    /// A batch that leaves one behind has been answered.
    mutating func unnamedDecided() { unnamedUndecided -= 1 }

    /// A batch that was to leave one behind has failed.
    mutating func unnamedFailed() {
        // Not when one of a later batch has taken its place.
        if unnamedUndecided == 1 { unnamed = nil }
    }

    /// What a name meant before a Parse or Close that is under way.
    private struct Change {
        let name: String
        var before: PreparedStatement?
    }

    /// In the order in which they are answered. After an error the server skips messages, and the client knows that they changed nothing.
    private var changes: [Change] = []
    private var changesHead = 0
    private var skippedChanges: [Change] = []
    /// Where the changes of the batch begin that is being sent.
    private var changesSynced = 0

    /// Whether what a name means shows only in the replies to an earlier batch, which may fail.
    func isUndecided(_ name: String) -> Bool {
        guard changesHead < changesSynced else { return false }
        // With many under way the next message waits for all of them: a search for each message would take longer.
        return changesSynced - changesHead > ReplyQueue.searchedMax || changes[changesHead..<changesSynced].contains { $0.name == name }
    }

    private mutating func takeChange() -> Change? {
        guard changesHead < changes.count else { return nil }
        let change = changes[changesHead]
        changesHead += 1
        if changesHead == changes.count {
            changes.removeAll(keepingCapacity: changes.count <= 64)
            (changesHead, changesSynced) = (0, 0)
        } else if changesHead > 1024, changesHead * 2 > changes.count {
            changes.removeFirst(changesHead)
            (changesHead, changesSynced) = (0, Swift.max(0, changesSynced - changesHead))
        }
        return change
    }

    mutating func changeAnswered() { _ = takeChange() }

    /// It failed, or was skipped after an error; ``skipEnded()`` says that all are known.
    mutating func changeSkipped() {
        if let change = takeChange() { skippedChanges.append(change) }
    }

    mutating func skipEnded() {
        guard !skippedChanges.isEmpty else { return }
        // The next change of each name; a client may have thousands of both.
        let later = Dictionary(changes.indices[changesHead...].map { (changes[$0].name, $0) }) { first, _ in first }
        for change in skippedChanges.reversed() {
            // What was changed again since then would be what it was before both.
            if let next = later[change.name] { changes[next].before = change.before } else { byName[change.name] = change.before }
        }
        skippedChanges = []
    }

    // MARK: What it costs

    /// Where the queries of a pool are counted.
    var insight: (queries: QueryInsight, pool: Int)?
    private var unnamedStatistics: QueryStatistics?
    /// What the batch so far has bound last: it stands for the batch.
    private var batchStatistics: QueryStatistics?
    private var batchTraceID: String?
    private var beginning = QueryBeginning()
    /// What was looked up last.
    private var known: QueryStatistics?

    /// What a client asks again and again. An application that connects for each request does so with a new one each time, which begins with what the
    /// one before it had asked.
    struct Habit {
        fileprivate var beginning = QueryBeginning()
        fileprivate var known: QueryStatistics?
    }

    var habit: Habit {
        get { Habit(beginning: beginning, known: known) }
        set { (beginning, known) = (newValue.beginning, newValue.known) }
    }

    /// Of the units that are under way: simple queries and batches, each ending in ReadyForQuery.
    private var units: [(statistics: QueryStatistics?, traceID: String?)] = []
    private var unitsHead = 0
    private var rows: UInt64 = 0
    private var hasFailed = false
    /// Units that have ended since ``countEnded(wait:server:)``.
    private(set) var ended: [(statistics: QueryStatistics, traceID: String?, rows: UInt64, hasFailed: Bool)] = []
    /// The last that has ended, for the console.
    private(set) var last: (statistics: QueryStatistics, traceID: String?)?

    /// Microseconds that the transaction's statements so far have waited that say no trace: BEGIN says none, and is who waits for a
    /// server connection. They are whose the transaction's first traced statement is.
    private var untracedWait: UInt64 = 0

    private mutating func unitSent(_ statistics: QueryStatistics?, _ traceID: String?) {
        if insight != nil { units.append((statistics, traceID)) }
    }

    private mutating func takeUnit() -> (statistics: QueryStatistics?, traceID: String?)? {
        guard unitsHead < units.count else { return nil }
        // Mostly there is one.
        if units.count == 1 { return units.removeLast() }
        let unit = units[unitsHead]
        unitsHead += 1
        if unitsHead == units.count {
            units.removeAll(keepingCapacity: units.count <= 64)
            unitsHead = 0
        } else if unitsHead > 64, unitsHead * 2 > units.count {
            // A client that always has one more under way.
            units.removeFirst(unitsHead)
            unitsHead = 0
        }
        return unit
    }

    /// What the server works at, of what is under way.
    var current: (statistics: QueryStatistics, traceID: String?, rows: UInt64)? {
        guard unitsHead < units.count, let statistics = units[unitsHead].statistics else { return nil }
        return (statistics, units[unitsHead].traceID, rows)
    }

    private mutating func unitEnded() {
        if let unit = takeUnit(), let statistics = unit.statistics {
            ended.append((statistics, unit.traceID, rows, hasFailed))
            // Mostly the same again, of no trace.
            if unit.traceID != nil || last?.statistics !== statistics || last?.traceID != nil { last = (statistics, unit.traceID) }
        }
        (rows, hasFailed) = (0, false)
    }

    /// - Parameters:
    ///   - server: microseconds, for all together: of a pipeline's queries whose answers come at once each has the same share.
    ///   - traces: where those are counted that say which HTTP request they are of; a pipeline's time goes to its first, and its wait to
    ///     the first that says one.
    ///   - sessionTraceID: what holds for statements that say nothing themselves.
    mutating func countEnded(wait: UInt64, server: UInt64, traces: TracedStatements? = nil, sessionTraceID: String? = nil) {
        if let last, let traceID = last.traceID { last.statistics.traceID = traceID }
        if traces != nil { untracedWait &+= wait }
        if ended.count == 1, sessionTraceID == nil, ended[0].traceID == nil {
            let unit = ended.removeLast()
            return unit.statistics.ended(wait: wait, server: server, rows: unit.rows, hasFailed: unit.hasFailed)
        }
        guard !ended.isEmpty else { return }
        let (share, remainder) = server.quotientAndRemainder(dividingBy: UInt64(ended.count))
        for (index, unit) in ended.enumerated() {
            if let traces, let traceID = unit.traceID ?? sessionTraceID {
                traces.ended(traceID, unit.statistics, wait: untracedWait, server: index == 0 ? server : 0)
                untracedWait = 0
            }
            unit.statistics.ended(wait: index == 0 ? wait : 0, server: index == 0 ? share + remainder : share, rows: unit.rows, hasFailed: unit.hasFailed)
        }
        ended.removeAll(keepingCapacity: true)
    }

    /// What nobody of the transaction has claimed is nobody's.
    mutating func forgetUntracedWait() { untracedWait = 0 }

    /// Clients ask the same again and again: one comparison in the place of a look-up.
    private func again(_ fingerprint: UInt64) -> QueryStatistics? {
        guard let known, known.fingerprint == fingerprint, known.pool == insight?.pool, !known.isForgotten else { return nil }
        return known
    }

    /// - Parameter isQuery: a simple one, as clients send it again with other values.
    private mutating func look(at input: ByteBuffer, from start: Int, to end: Int, isQuery: Bool) -> (statistics: QueryStatistics?, traceID: String?) {
        guard insight != nil, start < end else { return (nil, nil) }
        let (from, to) = (start - input.readerIndex, end - input.readerIndex)
        return input.withUnsafeReadableBytes { bytes in
            let sql = UnsafeRawBufferPointer(rebasing: bytes[from..<to])
            let fingerprint = isQuery ? beginning.fingerprint(sql) : QueryFingerprint.hash(sql)
            return (again(fingerprint) ?? statistics(of: fingerprint, sql), TraceParent.find(in: sql))
        }
    }

    /// - Parameter sql: the text, perhaps with its terminator and what follows it.
    private mutating func statistics(of fingerprint: UInt64, _ sql: UnsafeRawBufferPointer) -> QueryStatistics? {
        guard let insight else { return nil }
        known = insight.queries.find(fingerprint: fingerprint, pool: insight.pool) {
            QueryFingerprint.text(UnsafeRawBufferPointer(rebasing: sql.prefix { $0 != 0 }), bytesMax: QueryInsight.textBytesMax)
        }
        return known
    }

    // MARK: What goes to the server, and what comes back

    /// Sync is sent on.
    mutating func syncReceived() {
        session?.syncReceived()
        changesSynced = changes.count
        unitSent(batchStatistics, batchTraceID)
        (batchStatistics, batchTraceID) = (nil, nil)
    }

    mutating func functionCallReceived() {
        session?.functionCallReceived()
        unitSent(nil, nil)
    }

    /// The server does not answer this unit.
    mutating func unitSkipped() {
        session?.unitSkipped()
        _ = takeUnit()
    }

    mutating func statementFailed() {
        session?.statementFailed()
        hasFailed = true
    }

    mutating func readyForQuery(_ status: TransactionStatus) {
        session?.readyForQuery(status)
        if status == .idle { transactionEnded() }
        if insight != nil { unitEnded() }
    }

    /// CommandComplete.
    /// - Parameter index: of its tag.
    mutating func statementCompleted(_ input: ByteBuffer, at index: Int, length: Int) {
        if insight != nil { rows &+= Self.rows(input, at: index, length: length) }
        guard session?.statementCompleted() == false else { return }
        // The longest that decides anything is ROLLBACK.
        session?.statementCompleted(tag: input.getString(at: index, length: Swift.min(length, 64)) ?? "")
    }

    /// The number at the end of a tag, such as `SELECT 5`, `INSERT 0 5`.
    private static func rows(_ input: ByteBuffer, at index: Int, length: Int) -> UInt64 {
        input.withUnsafeReadableBytes { bytes in
            var place = index - input.readerIndex + length - 1
            var (rows, factor) = (UInt64(0), UInt64(1))
            while place >= index - input.readerIndex, (0x30...0x39).contains(bytes[place]), factor < 10_000_000_000_000_000_000 {
                rows &+= UInt64(bytes[place] - 0x30) &* factor
                factor &*= 10
                place -= 1
            }
            return rows
        }
    }

    /// A Query of which all is at hand, or too long to be read.
    mutating func queryReceived(_ head: MessageFraming.Head, in input: ByteBuffer, at index: Int) {
        if insight != nil {
            // Without its terminator.
            let found = look(at: input, from: index + MessageFraming.headBytes, to: min(index + head.bytes - 1, input.writerIndex), isQuery: true)
            unitSent(found.statistics, found.traceID)
        }
        guard session != nil else { return }
        guard head.bytes <= input.writerIndex - index else {
            session?.unknownReceived(text: Self.tooLong)
            session?.syncReceived()
            return
        }
        let (from, to) = (index + MessageFraming.headBytes - input.readerIndex, index + head.bytes - input.readerIndex)
        if let texts, from < to, let text = input.withUnsafeReadableBytes({ texts.find(UnsafeRawBufferPointer(rebasing: $0[from..<to]), &beginning) }) {
            session?.queryReceived(text.statements, text: text.beginning)
        } else {
            session?.syncReceived()
        }
    }

    /// A Parse of the unnamed statement.
    mutating func parseReceived(_ head: MessageFraming.Head, in input: ByteBuffer, at index: Int) {
        guard session != nil || insight != nil else { return }
        unnamedStatistics = nil
        guard head.bytes <= input.writerIndex - index else {
            unnamedText = nil
            session?.unknownReceived(text: Self.tooLong)
            return
        }
        let body = index + MessageFraming.headBytes + 1
        let messageEnd = index + head.bytes
        guard body <= messageEnd else { return unnamedText = nil }
        let pool = insight?.pool ?? -1
        let range = (body - input.readerIndex)..<(messageEnd - input.readerIndex)
        if let known = input.withUnsafeReadableBytes({ texts?.parsed.find(UnsafeRawBufferPointer(rebasing: $0[range]), pool: pool) }) {
            (unnamedText, unnamedStatistics, batchTraceID) = (known.text, known.statistics, nil)
            return
        }
        let end = input.withUnsafeReadableBytes { $0[range].firstIndex(of: 0).map { $0 + input.readerIndex } ?? messageEnd }
        unnamedText = text(in: input, from: body, to: end)
        (unnamedStatistics, batchTraceID) = look(at: input, from: body, to: end, isQuery: false)
        // One with a trace does not come again.
        guard batchTraceID == nil else { return }
        let meaning = ParsedTexts.Meaning(text: unnamedText, statistics: unnamedStatistics)
        input.withUnsafeReadableBytes { texts?.parsed.keep(UnsafeRawBufferPointer(rebasing: $0[range]), pool: pool, meaning) }
    }

    /// - Parameter statement: `nil`: the unnamed one.
    mutating func bindReceived(_ statement: PreparedStatement?, in input: ByteBuffer, at index: Int) {
        if insight != nil {
            if let statement {
                batchStatistics =
                    again(statement.fingerprint) ?? statement.body.withUnsafeBytes { statistics(of: statement.fingerprint, $0) } ?? unnamedStatistics
            } else {
                batchStatistics = unnamedStatistics
            }
        }
        guard session != nil else { return }
        let text = statement.map(\.text) ?? unnamedText
        let payload = index + MessageFraming.headBytes
        guard input.getInteger(at: payload, as: UInt8.self) != 0 else {
            portalText = text
            return
        }
        guard text != nil || !portals.isEmpty, let name = portal(in: input, at: payload) else { return }
        portals[name] = text
        if portals.count > Self.portalsMax {
            portals = [:]
            session?.unknownReceived(text: text?.beginning ?? "")
        }
    }

    mutating func executeReceived(in input: ByteBuffer, at index: Int) {
        guard session != nil else { return }
        let payload = index + MessageFraming.headBytes
        let text =
            input.getInteger(at: payload, as: UInt8.self) == 0
            ? portalText : portals.isEmpty ? nil : portal(in: input, at: payload).flatMap { portals[$0] }
        session?.executeReceived(text?.effects ?? [], text: text?.beginning ?? "")
    }

    /// No transaction is open any more: portals are gone.
    mutating func transactionEnded() {
        if !portals.isEmpty { portals = [:] }
    }

    private static let tooLong = "(too long to be looked at)"

    private func portal(in input: ByteBuffer, at index: Int) -> [UInt8]? {
        let available = Swift.min(input.writerIndex - index, StatementName.bytesMax)
        guard available > 0, let bytes = input.getBytes(at: index, length: available) else { return nil }
        return Array(bytes.prefix { $0 != 0 })
    }

    private func text(in input: ByteBuffer, from start: Int, to end: Int) -> StatementText? {
        guard let texts, start < end else { return nil }
        let (from, to) = (start - input.readerIndex, end - input.readerIndex)
        return input.withUnsafeReadableBytes { texts.find(UnsafeRawBufferPointer(rebasing: $0[from..<to])) }
    }
}
