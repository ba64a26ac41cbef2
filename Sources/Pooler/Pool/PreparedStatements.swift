import NIOCore

/// A statement that clients prepare under names of their own, and server connections under one of ours.
final class PreparedStatement: Sendable {
    let id: Int
    /// Its name on every server connection.
    let name: [UInt8]
    /// What follows the name in Parse: the text and the parameters' types.
    let body: [UInt8]

    init(id: Int, body: [UInt8]) {
        self.id = id
        self.body = body
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

    init(max: Int) {
        self.max = max
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
