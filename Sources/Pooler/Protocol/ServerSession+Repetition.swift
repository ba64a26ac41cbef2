import NIOCore
import PostgresWire
import Transport

/// After a migration a prepared statement's plan is outdated, and PostgreSQL says so ("cached plan must not change result type") once on each
/// server connection. A client that knows what the statement gives now need not hear of it: the statement is prepared anew and what was
/// asked is asked again, unseen.
///
///     armed (the batch is kept until its first reply) → failed (its ReadyForQuery is swallowed) → described anew → repeated, or the error
///
/// Only where nothing can be seen of it: the batch began outside a transaction and is the only one that is under way, it came in one piece
/// with its Sync, it failed with its first message, so that nothing of it was done or answered, and its rows are what the client
/// was told when it last asked. Otherwise the client gets PostgreSQL's error; the statement is prepared anew all the same.
extension ServerSession {
    /// The longest batch that is kept.
    static let repeatableBytesMax = 64 << 10

    struct Repetition {
        /// What was sent, and what was to come.
        let batch: ByteBuffer
        let entries: [ReplyQueue.Entry]
        /// What the client gets when it is not repeated: a whole ErrorResponse.
        let error: ByteBuffer
        let statement: PreparedStatement
        /// What the client was told last; `nil`: nothing.
        let known: UInt64?
        /// What the statement gives now; `nil`: not known, or it cannot be prepared any more.
        var found: UInt64?

        /// Whether the client takes the rows for what they are: none come, or who never asked asks now.
        var isUnchanged: Bool {
            guard let found else { return false }
            guard entries.contains(where: { $0.kind == .execute }) else { return true }
            return known.map { $0 == found } ?? entries.contains { $0.kind == .describe && $0.statement == statement.id }
        }
    }

    /// Whether what comes now is alone on the connection, and outside a transaction.
    var mayBeRepeated: Bool {
        queue.isEmpty && status == .idle && !isInBatch && !isSkipping && renamesStatements && requestFraming.isBetweenMessages
    }

    /// A batch is sent that was alone.
    mutating func keep(_ batch: ByteBuffer) {
        guard let first = queue.first, first.statement != 0, first.kind == .bind || first.kind == .describe, !isInBatch, requestFraming.isBetweenMessages,
            batch.readableBytes <= Self.repeatableBytesMax, queue.last?.statement == 0
        else { return }
        repeatable = batch.inOwnMemory()
    }

    /// An error has come.
    /// - Returns: whether the client does not hear of it, or not yet.
    mutating func repeatsAfter(_ input: ByteBuffer, at index: Int, _ head: MessageFraming.Head, _ client: ClientStatements) -> Bool {
        guard repetition != nil || repeatable != nil, let fields = Self.payload(input, at: index, head).flatMap(ErrorFields.init(payload:)) else { return false }
        if repetition != nil {
            // The statement cannot be prepared any more. What ends the connection is the client's to hear, though.
            let isSwallowed = fields.severity == "ERROR"
            if !isSwallowed { repetition = nil }
            return isSwallowed
        }
        guard let batch = repeatable, fields.isOutdatedPlan, fields.severity == "ERROR", let first = queue.first,
            let statement = client.statement(first.statement), let error = input.getSlice(at: index, length: head.bytes)
        else { return false }
        repetition = Repetition(
            batch: batch, entries: Array(queue.all), error: error, statement: statement, known: client.description(of: statement.id), found: nil)
        return true
    }

    /// Whether an error means that the client's idea of a statement is outdated: another client has heard of the migration before, the statement
    /// was prepared anew, and this client asks for as many columns as it was told of. It is told so in the words that its driver knows.
    mutating func isOutdatedForClient(_ input: ByteBuffer, at index: Int, _ head: MessageFraming.Head, _ client: inout ClientStatements) -> Bool {
        guard let first = queue.first, first.kind == .bind, first.statement != 0, client.description(of: first.statement) != nil,
            Self.payload(input, at: index, head).flatMap(ErrorFields.init(payload:))?.isResultFormatMismatch == true
        else { return false }
        // Told once.
        client.described(first.statement, nil)
        return true
    }

    /// The failed batch has ended.
    mutating func prepareAnew() {
        guard let repetition else { return }
        var questions = ByteBuffer()
        writeParse(repetition.statement, as: .parseUnseen, to: &questions)
        FrontendMessage.describeStatement(repetition.statement.name, to: &questions)
        queue.append(.describeUnseen, statement: repetition.statement.id)
        FrontendMessage.sync(to: &questions)
        queue.append(.syncUnseen)
        requests = questions
    }

    /// The statement was prepared anew, or not.
    /// - Returns: what the client gets; `nil`: the batch is on its way again.
    mutating func repeated() -> ByteBuffer? {
        guard let repetition else { return ByteBuffer() }
        self.repetition = nil
        guard repetition.isUnchanged else { return repetition.error }
        requests = repetition.batch
        for entry in repetition.entries { queue.append(entry.kind, statement: entry.statement) }
        return nil
    }

    mutating func takeRequests() -> ByteBuffer {
        defer { requests = ByteBuffer() }
        return requests
    }

    /// Of a whole RowDescription or NoData.
    static func description(_ input: ByteBuffer, at index: Int, _ head: MessageFraming.Head) -> UInt64? {
        guard head.kind == BackendKind.rowDescription else { return RowDescription.none }
        let start = index - input.readerIndex
        return input.withUnsafeReadableBytes { bytes in
            RowDescription.fingerprint(payload: UnsafeRawBufferPointer(rebasing: bytes[(start + MessageFraming.headBytes)..<(start + head.bytes)]))
        }
    }
}
