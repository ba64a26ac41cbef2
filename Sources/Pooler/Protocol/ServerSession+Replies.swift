import NIOCore
import PostgresWire

extension ServerSession {
    /// Replies that are nobody's, or no client's whose state counts.
    mutating func repliesReceived(_ input: inout ByteBuffer, to output: inout ByteBuffer) -> ReplyOutcome {
        var client = ClientStatements(max: 0)
        return repliesReceived(&input, client: &client, to: &output)
    }

    /// The server's bytes have come: passes on what is the client's.
    /// - Parameters:
    ///   - input: from it everything is taken that is dealt with.
    ///   - client: whose replies they are.
    ///   - output: for the client. Empty before, it may share the input's memory afterwards.
    mutating func repliesReceived(_ input: inout ByteBuffer, client: inout ClientStatements, to output: inout ByteBuffer) -> ReplyOutcome {
        var outcome = ReplyOutcome()
        var start = input.readerIndex
        var at = start + replyFraming.skip(available: input.readableBytes)
        walk: while replyFraming.isBetweenMessages {
            // What the message answers, until it is taken from the queue.
            var first = queue.first
            if let kind = first?.kind, kind == .parseAnswered || kind == .closeAnswered || kind == .deallocateAnswered || kind == .copyEnd {
                Self.copy(input, from: start, to: at, into: &output)
                start = at
                answerFirst(&client, to: &output)
                first = queue.first
            }
            if first?.kind == .query || first?.kind == .execute { at = Self.endOfRows(input, from: at) }
            let head: MessageFraming.Head
            switch MessageFraming.head(in: input, at: at) {
            case .incomplete: break walk
            case .malformed:
                outcome.isLost = true
                break walk
            case .message(let found): head = found
            }
            let isWhole = head.bytes <= input.writerIndex - at
            let isOurs = first?.kind == .setup || first?.kind == .probe
            var isForClient = !isOurs
            switch head.kind {
            case BackendKind.dataRow where first?.kind == .probe:
                guard isWhole || head.bytes > Self.errorBytesMax else { break walk }
                probeAnswer = Self.payload(input, at: at, head).flatMap(SessionProbe.Answer.init(payload:))
            case BackendKind.parameterDescription where first?.kind == .describeUnseen: isForClient = false
            case BackendKind.dataRow, BackendKind.copyData, BackendKind.parameterDescription, BackendKind.noticeResponse,
                BackendKind.notificationResponse, BackendKind.copyOutResponse, BackendKind.copyBothResponse, BackendKind.copyDone,
                BackendKind.functionCallResponse:
                break
            case BackendKind.rowDescription, BackendKind.noData:
                guard let first, first.kind == .describe || first.kind == .describeUnseen else { break }
                if first.statement != 0 {
                    guard isWhole || head.bytes > Self.errorBytesMax else { break walk }
                    let description = isWhole ? Self.description(input, at: at, head) : nil
                    if first.kind == .describe { client.described(first.statement, description) } else { repetition?.found = description }
                }
                isForClient = first.kind == .describe
                queue.removeFirst()
            case BackendKind.commandComplete:
                guard isWhole || head.bytes > Self.errorBytesMax else { break walk }
                commandCompleted(input, at: at)
                if isForClient {
                    let tag = at + MessageFraming.headBytes
                    client.statementCompleted(input, at: tag, length: max(0, min(at + head.bytes - 1, input.writerIndex) - tag))
                }
            case BackendKind.emptyQueryResponse, BackendKind.portalSuspended:
                if first?.kind == .execute { queue.removeFirst() }
                if isForClient { client.session?.statementCompleted(tag: "") }
            case BackendKind.copyInResponse:
                if first?.kind == .execute {
                    outcome.hasBegunCopy = true
                    isCopyingIn = !queue.copyInBegan { sync in
                        client.unitSkipped()
                        if sync.statement != 0 { client.unnamedDecided() }
                    }
                    // What comes now belongs to the batch, until a Sync that the server sees.
                    if isCopyingIn { isInBatch = true }
                }
            case BackendKind.bindComplete:
                if first?.kind == .bind { queue.removeFirst() } else { outcome.isLost = true }
            case BackendKind.parseComplete:
                switch first?.kind {
                case .parse:
                    if first?.statement != 0 { client.changeAnswered() } else { ownsUnnamed = true }
                    queue.removeFirst()
                case .parseUnseen:
                    isForClient = false
                    queue.removeFirst()
                default: outcome.isLost = true
                }
            case BackendKind.closeComplete:
                switch first?.kind {
                case .close: queue.removeFirst()
                case .closeUnseen, .closeOutdated:
                    isForClient = false
                    queue.removeFirst()
                default: outcome.isLost = true
                }
            case BackendKind.errorResponse:
                guard isWhole || head.bytes > Self.errorBytesMax else { break walk }
                let isRepeated = repeatsAfter(input, at: at, head, client)
                let isOutdated = !isRepeated && isOutdatedForClient(input, at: at, head, &client)
                failed(input, at: at, head, client: &client)
                if isRepeated {
                    isForClient = false
                } else if isForClient {
                    outcome.errorCount += 1
                    client.statementFailed()
                }
                if isOutdated, isWhole {
                    Self.copy(input, from: start, to: at, into: &output)
                    ErrorFields.outdatedPlan.write(to: &output)
                    at += head.bytes
                    start = at
                    if repeatable != nil { repeatable = nil }
                    continue walk
                }
            case BackendKind.parameterStatus:
                guard isWhole || head.bytes > Self.errorBytesMax else { break walk }
                if let payload = Self.payload(input, at: at, head), let (name, value) = BackendMessage.parameterStatus(payload: payload) {
                    if isForClient, client.session != nil {
                        client.session?.parameterReported(name, value)
                        parameterReported(name, value, isForClient: false)
                    } else {
                        parameterReported(name, value, isForClient: isForClient)
                        if isForClient { outcome.hasParameters = true }
                    }
                }
            case BackendKind.readyForQuery:
                guard isWhole else { break walk }
                guard head.bytes == 6, let byte = input.getInteger(at: at + 5, as: UInt8.self), let status = TransactionStatus(rawValue: byte)
                else {
                    outcome.isLost = true
                    break walk
                }
                self.status = status
                switch first?.kind {
                case .sync where repetition != nil:
                    queue.removeFirst()
                    isForClient = false
                    outcome.hasRequests = true
                    prepareAnew()
                case .syncUnseen:
                    queue.removeFirst()
                    if let error = repeated() {
                        Self.copy(input, from: start, to: at, into: &output)
                        start = at
                        output.writeImmutableBuffer(error)
                        outcome.errorCount += 1
                        outcome.readyForQuery(status)
                        client.statementFailed()
                        client.readyForQuery(status)
                    } else {
                        isForClient = false
                        outcome.hasRequests = true
                    }
                case .query, .sync, .functionCall:
                    outcome.readyForQuery(status)
                    if let first, first.kind == .sync, first.statement != 0 { client.unnamedDecided() }
                    queue.removeFirst()
                    client.readyForQuery(status)
                case .setup:
                    queue.removeFirst()
                    if queue.first?.kind != .setup { outcome.setup = setupError == nil ? .done : .failed }
                case .probe:
                    queue.removeFirst()
                    outcome.isProbed = true
                default: outcome.isLost = true
                }
            default:
                outcome.isLost = true
            }
            if outcome.isLost { break walk }
            if repeatable != nil { repeatable = nil }
            if isForClient {
                at += replyFraming.pass(head.bytes, available: input.writerIndex - at)
            } else {
                // What we swallow is short; waiting for its end is simpler than swallowing in pieces.
                guard isWhole else {
                    outcome.isLost = head.bytes > Self.errorBytesMax
                    break walk
                }
                Self.copy(input, from: start, to: at, into: &output)
                at += head.bytes
                start = at
            }
        }
        Self.copy(input, from: start, to: at, into: &output)
        input.moveReaderIndex(to: at)
        return outcome
    }

    /// Rows, and what describes those of a simple query, are most of all bytes, and nobody here needs to know of them.
    /// - Returns: the index behind those that are there whole.
    private static func endOfRows(_ input: ByteBuffer, from start: Int) -> Int {
        input.withUnsafeReadableBytes { bytes in
            var offset = start - input.readerIndex
            while offset + MessageFraming.headBytes <= bytes.count, bytes[offset] == BackendKind.dataRow || bytes[offset] == BackendKind.rowDescription {
                let length = Int(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset + 1, as: UInt32.self)))
                guard length >= 4, length < bytes.count - offset, length < MessageFraming.messageBytesMax else { break }
                offset += length + 1
            }
            return offset + input.readerIndex
        }
    }

    /// Answers what is next and not the server's to answer.
    mutating func answerFirst(_ client: inout ClientStatements, to output: inout ByteBuffer) {
        guard replyFraming.isBetweenMessages else { return }
        while let first = queue.first {
            switch first.kind {
            case .parseAnswered:
                BackendMessage.empty(BackendKind.parseComplete, to: &output)
                client.changeAnswered()
            case .closeAnswered:
                BackendMessage.empty(BackendKind.closeComplete, to: &output)
                client.changeAnswered()
            case .deallocateAnswered:
                BackendMessage.commandComplete("DEALLOCATE", to: &output)
                BackendMessage.readyForQuery(status, to: &output)
            case .copyEnd: break
            default: return
            }
            queue.removeFirst()
        }
    }

    private mutating func commandCompleted(_ input: ByteBuffer, at index: Int) {
        if queue.first?.kind == .execute { queue.removeFirst() }
        // Of all that is prepared nothing is left after DISCARD ALL and DEALLOCATE ALL.
        guard input.getInteger(at: index + 5, as: UInt8.self) == UInt8(ascii: "D") else { return }
        for tag in ["DISCARD ALL", "DEALLOCATE ALL"] where input.getString(at: index + 5, length: tag.utf8.count) == tag {
            statements.removeAll()
        }
    }

    private mutating func failed(_ input: ByteBuffer, at index: Int, _ head: MessageFraming.Head, client: inout ClientStatements) {
        isCopyingIn = false
        let fields = Self.payload(input, at: index, head).flatMap(ErrorFields.init(payload:))
        if fields?.severity == "FATAL" || fields?.severity == "PANIC" { isEnding = true }
        switch queue.first?.kind {
        case .setup, .probe:
            setupError = fields ?? ErrorFields(severity: "ERROR", sqlState: SQLState.connectionFailure.rawValue, message: "no understandable error")
        case .query, .functionCall, .sync, nil: break
        case .parse, .parseUnseen, .bind, .describe, .describeUnseen, .execute, .close, .closeUnseen, .closeOutdated, .syncUnseen, .parseAnswered,
            .closeAnswered, .deallocateAnswered, .copyEnd:
            // After a migration: the text is right, its plan is not. Prepared anew, it works.
            if let first = queue.first, first.statement != 0, fields?.isOutdatedPlan == true {
                statements.remove(first.statement)
                outdated.insert(first.statement)
            }
            var undone: [ReplyQueue.Entry] = []
            isSkipping = !queue.skipToSync { entry in
                if entry.statement != 0 { undone.append(entry) }
                switch entry.kind {
                case .parse: if entry.statement != 0 { client.changeSkipped() }
                case .parseAnswered, .closeAnswered: client.changeSkipped()
                case .query, .functionCall: client.unitSkipped()
                case .setup, .probe, .parseUnseen, .bind, .describe, .describeUnseen, .execute, .close, .closeUnseen, .closeOutdated, .sync, .syncUnseen,
                    .copyEnd, .deallocateAnswered:
                    break
                }
            }
            // What came last first: one that was to be prepared, and then to make room for another, was never there.
            for entry in undone.reversed() {
                switch entry.kind {
                case .parse, .parseUnseen: statements.remove(entry.statement)
                case .closeUnseen: statements.restore(entry.statement)
                case .closeOutdated: outdated.insert(entry.statement)
                default: break
                }
            }
            client.skipEnded()
            // The batch that is still being sent leaves nothing behind either.
            if isSkipping { client.unnamedBody = nil }
            if let sync = queue.first, sync.kind == .sync, sync.statement != 0 { client.unnamedFailed() }
        }
    }

    static func payload(_ input: ByteBuffer, at index: Int, _ head: MessageFraming.Head) -> ByteBuffer? {
        input.getSlice(at: index + MessageFraming.headBytes, length: head.bytes - MessageFraming.headBytes)
    }
}
