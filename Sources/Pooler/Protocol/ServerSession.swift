import NIOCore
import PostgresWire

/// One server connection after its login: what is prepared on it, what it still has to answer, whether it may change hands.
///
/// Requests go in on one side, replies on the other; messages that decide nothing go by unread and, when nothing around them
/// changes, uncopied. ``ServerSession/requestsReceived(_:client:prepare:to:replies:)`` and ``ServerSession/repliesReceived(_:to:)``
/// are the two directions.
///
///     quiescent (may change hands) → a request is sent → … → the last ReadyForQuery says "idle" → quiescent
///
/// - Source: PostgreSQL 15, "Message Flow".
struct ServerSession {
    /// Why a client's bytes were refused.
    enum RequestRefusal: String, Error, CaseIterable {
        /// A length below 4 or of 1 GB and more.
        case messageLengthOutOfBounds
        /// A type that no client may send now.
        case messageUnexpected
        /// A message that must be understood does not follow its format.
        case messageMalformed
        /// A Parse with a name is too long to be kept.
        case statementTooLong
        /// More statements than a client may have.
        case tooManyStatements

        var sqlState: SQLState {
            switch self {
            case .messageLengthOutOfBounds, .messageUnexpected, .messageMalformed: .protocolViolation
            case .statementTooLong, .tooManyStatements: .programLimitExceeded
            }
        }

        var message: String {
            switch self {
            case .messageLengthOutOfBounds: "invalid message length"
            case .messageUnexpected: "unexpected message type"
            case .messageMalformed: "malformed message"
            case .statementTooLong: "a named prepared statement is too long"
            case .tooManyStatements: "too many prepared statements"
            }
        }
    }

    enum RequestOutcome: Equatable {
        /// All that could be sent is in the output; the rest waits for more bytes, or for replies.
        case sent
        /// The client says goodbye.
        case terminated
        case refused(RequestRefusal)
    }

    /// Nothing in it is counted by reference: it is made for every read.
    struct ReplyOutcome: Equatable {
        /// ReadyForQuery messages among the client's replies: a pipeline's come several in one read.
        var readyCount: UInt32 = 0
        /// Of them, those that say that no transaction is open.
        var idleCount: UInt32 = 0
        /// Our own query before the client's has ended.
        var setup: Setup?
        /// Something that cannot be an answer came: nothing on this connection can be trusted any more.
        var isLost = false
        /// ParameterStatus was among the client's replies: see ``ServerSession/reportedChanges``.
        var hasParameters = false
        /// Errors among the client's replies.
        var errorCount = 0
        /// COPY has begun to read: what waited for a reply may go on, since ReadyForQuery comes only when the client ends it.
        var hasBegunCopy = false
        /// Our question was answered: see ``ServerSession/probeAnswer``.
        var isProbed = false
        /// Something is to be said to the server: see ``ServerSession/takeRequests()``.
        var hasRequests = false

        enum Setup: Equatable {
            case done
            /// See ``ServerSession/setupError``.
            case failed
        }

        mutating func readyForQuery(_ status: TransactionStatus) {
            readyCount &+= 1
            if status == .idle { idleCount &+= 1 }
        }
    }

    /// Requests that may be unanswered before no more are taken. A server has answered before it has read so many: its replies
    /// do not fit into any buffer then.
    static let unansweredMax = 16_384
    /// The longest unnamed Parse that is kept for a Bind in another transaction.
    static let unnamedBytesMax = 64 << 10
    /// The largest error that is understood; a larger one goes by.
    static let errorBytesMax = 64 << 10

    var requestFraming = MessageFraming()
    var replyFraming = MessageFraming()
    var queue = ReplyQueue()
    var status = TransactionStatus.idle
    /// Extended-protocol messages were sent, and no Sync yet: the implicit transaction is open.
    var isInBatch = false
    /// The server skips all up to the next Sync.
    var isSkipping = false
    /// COPY reads, and its end was not sent yet.
    var isCopyingIn = false
    /// The server has said FATAL or PANIC: it closes now, and its client knows why.
    var isEnding = false
    /// What PostgreSQL said to the last query of ours.
    var setupError: ErrorFields?
    /// What the server's session holds, as it said when it was asked last; `nil`: it said something else.
    var probeAnswer: SessionProbe.Answer?
    /// What was reported to the client since it was last asked.
    private(set) var reportedChanges: [StartupMessage.Parameter] = []
    var statements: ServerStatements
    /// Statements whose plans the server will not use any more: they are closed and prepared anew when they are asked for.
    var outdated: Set<Int> = []
    /// The batch that was sent last, as long as it could be sent once more without anybody's seeing it.
    var repeatable: ByteBuffer?
    var repetition: Repetition?
    /// The unnamed statement here is this client's, or there is none: it is not from a client that had the connection before.
    var ownsUnnamed = false
    /// The client has destroyed it by a DEALLOCATE that was answered here: the server still has it.
    var isUnnamedDropped = false
    /// The batch that is being sent has parsed the unnamed statement, or closed it: if that fails, what follows in it is skipped.
    var hasParsedUnnamed = false
    /// Requests of ours that replies gave rise to.
    var requests = ByteBuffer()
    /// Whose is the unnamed portal.
    var portalStatement = 0
    /// What was set for clients, beyond what the login set.
    var parameters = ParameterSet.empty
    /// As the server has reported them.
    var reported: [String: String]
    let processID: UInt32
    let secret: [UInt8]
    let preparedTextBytesMax: Int
    /// Whether statements have our names here. Not when client and server connection belong to each other for good.
    var renamesStatements = true

    init(_ login: ServerLogin.Result, limits: PoolerConfiguration.Limits) {
        reported = login.parameters
        processID = login.processID
        secret = login.secret
        statements = ServerStatements(max: limits.preparedStatementsMax)
        preparedTextBytesMax = limits.preparedTextBytesMax
    }

    /// Whether nothing is under way, so that the next client's request would be the first of its own.
    var isQuiescent: Bool { !isInTransaction && requestFraming.isBetweenMessages && replyFraming.isBetweenMessages }

    /// Whether a transaction is open, or a request has yet to be answered, which is one.
    var isInTransaction: Bool { !queue.isEmpty || status != .idle || isInBatch || isSkipping }

    /// ``isQuiescent`` where the session lies, for the path that each transaction takes: nothing of it is copied.
    mutating func isQuiescentInPlace() -> Bool { isQuiescent }

    /// Another client, or the same again: what is unnamed here is not its own.
    mutating func leaseBegan() {
        (ownsUnnamed, hasParsedUnnamed, isUnnamedDropped) = (false, false, false)
    }

    /// ParameterStatus messages among the client's replies, once.
    mutating func takeReportedChanges() -> [StartupMessage.Parameter] {
        defer { reportedChanges = [] }
        return reportedChanges
    }

    mutating func parameterReported(_ name: String, _ value: String, isForClient: Bool) {
        reported[name] = value
        if isForClient { reportedChanges.append(.init(name, value)) }
    }

    /// Begins a query of ours, whose replies no client sees.
    mutating func setupSent(_ text: String, to output: inout ByteBuffer) {
        setupSent([text], to: &output)
    }

    /// Begins queries of ours, one after the other: some statements may stand in none with others.
    mutating func setupSent(_ texts: [String], to output: inout ByteBuffer) {
        assert(queue.isEmpty || isBeingProbed)
        setupError = nil
        for text in texts {
            queue.append(.setup)
            FrontendMessage.query(text, to: &output)
        }
    }

    /// Nothing is under way but our question.
    var isBeingProbed: Bool { queue.count == 1 && queue.first?.kind == .probe }

    /// Asks the server what its session holds.
    mutating func probeSent(to output: inout ByteBuffer) {
        assert(queue.isEmpty)
        setupError = nil
        probeAnswer = nil
        queue.append(.probe)
        FrontendMessage.query(SessionProbe.sql, to: &output)
    }
}
