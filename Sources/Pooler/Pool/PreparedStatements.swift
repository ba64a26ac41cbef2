import NIOCore
import PostgresWire

/// A statement that clients prepare under names of their own, and server connections under one of ours.
final class PreparedStatement: Sendable {
    let id: Int
    /// Its name on every server connection.
    let name: [UInt8]
    /// What follows the name in Parse: the text and the parameters' types.
    let body: [UInt8]
    /// What running it means to a session; `nil`: nothing.
    let text: StatementText?

    init(id: Int, body: [UInt8]) {
        self.id = id
        self.body = body
        text = StatementText(Array(body.prefix { $0 != 0 }))
        name = Array("headrace_\(id)".utf8)
    }
}

/// One ``PreparedStatement`` per distinct text, for all clients. A value behind a lock; it is asked once per Parse with a name.
struct PreparedStatements: Sendable {
    /// Texts, and bytes of texts, that are known at a time; beyond, all are forgotten: equal texts then get a second name for a while.
    static let countMax = 10_000
    static let bytesMax = 64 << 20

    private var byBody: [[UInt8]: PreparedStatement] = [:]
    private var bytes = 0
    private var lastID = 0

    mutating func find(_ body: [UInt8]) -> PreparedStatement {
        if let known = byBody[body] { return known }
        if byBody.count >= Self.countMax || bytes + body.count > Self.bytesMax { (byBody, bytes) = ([:], 0) }
        lastID += 1
        let statement = PreparedStatement(id: lastID, body: body)
        byBody[body] = statement
        bytes += body.count
        return statement
    }
}

/// What one client has prepared, by its own names.
struct ClientStatements {
    private(set) var byName: [String: PreparedStatement] = [:]
    /// What the unnamed statement was when a batch ended that had parsed it and not bound it: clients that ask for a description
    /// first bind it in the next batch, which may find another server connection. It has a name there.
    var unnamed: PreparedStatement?
    let max: Int

    /// What the client's session has; `nil` where nobody asks, as in session mode.
    var session: SessionState?
    private let texts: StatementTexts?
    /// What the statement of the last unnamed Parse, and what runs in the unnamed portal, means to the session.
    private var unnamedText: StatementText?
    private var portalText: StatementText?
    /// Named portals that mean something.
    private var portals: [[UInt8]: StatementText] = [:]

    /// Named portals whose statements mean something, at a time; with more, the server is asked.
    static let portalsMax = 64

    init(max: Int, session: SessionState? = nil, texts: StatementTexts? = nil) {
        self.max = max
        self.session = session
        self.texts = texts
    }

    var count: Int { byName.count }

    func find(_ name: String) -> PreparedStatement? { byName[name] }

    /// - Returns: `false` when there are too many.
    mutating func prepared(_ name: String, _ statement: PreparedStatement) -> Bool {
        guard byName.count < max || byName[name] != nil else { return false }
        byName[name] = statement
        return true
    }

    mutating func closed(_ name: String) -> Bool { byName.removeValue(forKey: name) != nil }

    mutating func closedAll() { byName = [:] }

    // MARK: What goes to the server, for the session's state

    /// A Query of which all is at hand, or too long to be read.
    mutating func queryReceived(_ head: MessageFraming.Head, in input: ByteBuffer, at index: Int) {
        guard session != nil else { return }
        guard head.bytes <= input.writerIndex - index else {
            session?.unknownReceived(text: Self.tooLong)
            session?.syncReceived()
            return
        }
        if let text = text(in: input, from: index + MessageFraming.headBytes, to: index + head.bytes) {
            session?.queryReceived(text.statements, text: text.beginning)
        } else {
            session?.syncReceived()
        }
    }

    /// A Parse of the unnamed statement.
    mutating func parseReceived(_ head: MessageFraming.Head, in input: ByteBuffer, at index: Int) {
        guard session != nil else { return }
        guard head.bytes <= input.writerIndex - index else {
            unnamedText = nil
            session?.unknownReceived(text: Self.tooLong)
            return
        }
        let body = index + MessageFraming.headBytes + 1
        let end = input.withUnsafeReadableBytes { bytes in
            bytes[(body - input.readerIndex)...].firstIndex(of: 0).map { $0 + input.readerIndex } ?? index + head.bytes
        }
        unnamedText = text(in: input, from: body, to: min(end, index + head.bytes))
    }

    /// - Parameter statement: `nil`: the unnamed one.
    mutating func bindReceived(_ statement: PreparedStatement?, in input: ByteBuffer, at index: Int) {
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

/// What is prepared on one server connection, with what was used longest ago.
struct ServerStatements {
    private var lastUse: [Int: UInt64] = [:]
    private var uses: UInt64 = 0
    let max: Int

    init(max: Int) {
        self.max = max
    }

    var count: Int { lastUse.count }

    /// Whether it is there; it counts as used now.
    mutating func use(_ id: Int) -> Bool {
        uses += 1
        guard let index = lastUse.index(forKey: id) else { return false }
        lastUse.values[index] = uses
        return true
    }

    /// One more is prepared.
    /// - Returns: who must be closed first.
    mutating func add(_ id: Int) -> Int? {
        var victim: Int?
        if lastUse.count >= Swift.max(1, max) { victim = lastUse.min { $0.value < $1.value }?.key }
        if let victim { lastUse[victim] = nil }
        uses += 1
        lastUse[id] = uses
        return victim
    }

    /// It was not prepared after all, or is gone.
    mutating func remove(_ id: Int) { lastUse[id] = nil }

    /// It was to be closed, and was not.
    mutating func restore(_ id: Int) { lastUse[id] = 0 }

    mutating func removeAll() { lastUse = [:] }
}
