/// What a statement means to the session that it runs in, beyond its transaction.
enum StatementEffect: Sendable, Equatable {
    // Transactions
    case savepoint(String)
    case release(String)
    case rollbackTo(String)

    // Settings, which can be carried from one server connection to another
    case set(name: String, value: String)
    case reset(name: String)
    case resetAll
    /// `DISCARD ALL`: settings, and all that pins.
    case discardAll

    // LISTEN
    case listen(String)
    case unlisten(String)
    case unlistenAll

    /// What cannot be carried.
    case pin(PinCause)
    /// What may have ended it: whether it did, the server has to say.
    case mayUnpin(PinCause)
    /// `DEALLOCATE ALL`, `DISCARD TEMP`, `CLOSE ALL` and others that end it for certain.
    case unpin(PinCause)

    /// It calls what nobody knows: see ``SessionMode``.
    case unknown
}

/// Why a client keeps its server connection between transactions. The raw value is the word in the console, in logs and metrics.
enum PinCause: String, Sendable, CaseIterable, Hashable {
    /// A temporary table, view or sequence.
    case temporaryTable
    /// An advisory lock of the session.
    case advisoryLock
    /// A cursor declared WITH HOLD.
    case holdableCursor
    /// SQL's own PREPARE.
    case preparedStatement
    /// LISTEN in a transaction or a batch: by itself, the pooler listens for its clients.
    case listen
    /// A setting whose value the text does not tell, or more settings than are carried.
    case setting
    /// LOAD: a library cannot be unloaded.
    case library
    /// A replication connection.
    case replication
    /// A connection of its own, while it is measured what sharing them is worth.
    case dedication

    /// Whether ROLLBACK takes back what a transaction made.
    var isTransactional: Bool {
        switch self {
        case .temporaryTable, .holdableCursor, .listen, .setting: true
        case .advisoryLock, .preparedStatement, .library, .replication, .dedication: false
        }
    }
}

/// How much is done so that nothing of a client's session is lost, and nothing of it seen by another. The raw value is the word in the
/// configuration.
public enum SessionMode: String, Sendable, CaseIterable {
    /// What the text tells is carried or pins; where it does not tell, the server is asked before another client gets the connection.
    case strict
    /// As loose as PgBouncer in transaction mode: parameters that the server reports are carried, nothing else is seen.
    case pgbouncer
    /// `strict`, and every server connection is reset before another client gets it.
    case resetAlways = "reset-always"
}
