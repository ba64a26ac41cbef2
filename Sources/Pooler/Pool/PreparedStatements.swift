/// A statement that clients prepare under names of their own, and server connections under one of ours.
final class PreparedStatement: Sendable {
    let id: Int
    /// Its name on every server connection.
    let name: [UInt8]
    /// What follows the name in Parse: the text and the parameters' types.
    let body: [UInt8]
    /// What running it means to a session; `nil`: nothing.
    let text: StatementText?
    let fingerprint: UInt64

    init(id: Int, body: [UInt8]) {
        self.id = id
        self.body = body
        let sql = body.prefix { $0 != 0 }
        text = StatementText(Array(sql))
        fingerprint = sql.withUnsafeBytes { QueryFingerprint.hash($0) }
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
