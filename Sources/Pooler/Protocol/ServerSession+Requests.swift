import NIOCore
import PostgresWire

extension ServerSession {
    /// A client's bytes have come: passes on what can be passed on.
    /// - Parameters:
    ///   - input: from it everything is taken that is dealt with.
    ///   - prepare: the one statement of this text.
    ///   - output: for the server. Empty before, it may share the input's memory afterwards.
    ///   - replies: for the client: answers to what the server need not see.
    mutating func requestsReceived(
        _ input: inout ByteBuffer, client: inout ClientStatements, prepare: ([UInt8]) -> PreparedStatement, to output: inout ByteBuffer,
        replies: inout ByteBuffer
    ) -> RequestOutcome {
        // One thing after the other: what is repeated comes first.
        guard repetition == nil else { return .sent }
        var isRepeatable = mayBeRepeated
        var hasSynced = false
        if repeatable != nil { repeatable = nil }
        var outcome = RequestOutcome.sent
        // Between the two lies what is passed on as it is.
        var start = input.readerIndex
        var at = start + requestFraming.skip(available: input.readableBytes)
        // An unnamed Parse of this batch to which no Bind has come.
        var unnamed: (index: Int, end: Int)?
        walk: while requestFraming.isBetweenMessages, queue.count < Self.unansweredMax {
            let head: MessageFraming.Head
            switch MessageFraming.head(in: input, at: at) {
            case .incomplete: break walk
            case .malformed:
                outcome = .refused(.messageLengthOutOfBounds)
                break walk
            case .message(let found): head = found
            }
            switch head.kind {
            case FrontendKind.query:
                if renamesStatements, !isSkipping, Deallocation.isIncomplete(head, in: input, at: at) { break walk }
                isRepeatable = false
                let deallocated = renamesStatements && !isSkipping ? Deallocation.name(head, in: input, at: at) : nil
                if let deallocated, client.isUndecided(deallocated) { break walk }
                // Every simple query destroys it.
                client.unnamed = nil
                _ = client.takeUnnamedBody()
                unnamed = nil
                if let deallocated, client.closed(deallocated) {
                    isUnnamedDropped = true
                    Self.copy(input, from: start, to: at, into: &output)
                    queue.append(.deallocateAnswered)
                    at += head.bytes
                    start = at
                    continue walk
                }
                if !isSkipping {
                    isCopyingIn = false
                    if client.session != nil, head.bytes <= Self.unnamedBytesMax, head.bytes > input.writerIndex - at { break walk }
                    client.queryReceived(head, in: input, at: at)
                    queue.append(.query)
                    isInBatch = false
                }
            case FrontendKind.sync:
                // Of two batches the second would come before the first.
                if hasSynced { isRepeatable = false }
                hasSynced = true
                hasParsedUnnamed = false
                // While it copies the server does not see it, and waits for another.
                if !isCopyingIn { isInBatch = false }
                isSkipping = false
                var left = 0
                let parsed = unnamed.map { input.getBytes(at: $0.index, length: $0.end - $0.index) } ?? client.takeUnnamedBody()
                if let parsed {
                    let statement = prepare(parsed)
                    left = statement.id
                    client.unnamedLeft(statement, isUndecided: !isCopyingIn)
                }
                unnamed = nil
                if !isCopyingIn {
                    queue.append(.sync, statement: left)
                    client.syncReceived()
                }
            case FrontendKind.execute:
                if !isSkipping, client.session != nil {
                    guard StatementName.hasPortal(head, in: input, at: at) else { break walk }
                    client.executeReceived(in: input, at: at)
                }
                expect(.execute)
            case FrontendKind.flush: break
            case FrontendKind.copyData: isRepeatable = false
            case FrontendKind.copyDone, FrontendKind.copyFail:
                isRepeatable = false
                isCopyingIn = false
                if !isSkipping { queue.append(.copyEnd) }
            case FrontendKind.functionCall:
                isRepeatable = false
                if !isSkipping {
                    isCopyingIn = false
                    queue.append(.functionCall)
                    client.functionCallReceived()
                }
            case FrontendKind.terminate:
                outcome = .terminated
                break walk
            case FrontendKind.parse, FrontendKind.bind, FrontendKind.describe, FrontendKind.close:
                switch named(head, in: input, at: at, start: &start, &client, prepare, to: &output) {
                case .plain: break
                case .unnamed:
                    if !isSkipping, head.kind == FrontendKind.bind || head.kind == FrontendKind.describe,
                        isUnnamedDropped || !ownsUnnamed, !hasParsedUnnamed
                    {
                        // Whether one of an earlier batch is parsed, or skipped, its replies tell.
                        if queue.parsesUnnamed { break walk }
                        // Another client's may be here. Without it PostgreSQL says that there is none.
                        Self.copy(input, from: start, to: at, into: &output)
                        start = at
                        FrontendMessage.closeStatement([], to: &output)
                        queue.append(.closeUnseen)
                        hasParsedUnnamed = true
                        isUnnamedDropped = false
                    }
                    if head.kind == FrontendKind.parse {
                        // The next Bind may come in another transaction, on another connection: see ``ClientStatements/unnamed``.
                        client.unnamed = nil
                        _ = client.takeUnnamedBody()
                        let isShort = head.bytes <= Self.unnamedBytesMax
                        guard !isShort || head.bytes <= input.writerIndex - at else { break walk }
                        client.parseReceived(head, in: input, at: at)
                        if !isSkipping {
                            hasParsedUnnamed = true
                            isUnnamedDropped = false
                            // Even a text that is wrong takes the place of what was there; only where the server may skip it is that not sure.
                            if queue.isEmpty { ownsUnnamed = true }
                        }
                        unnamed = isShort && !isSkipping ? (at + MessageFraming.headBytes + 1, at + head.bytes) : nil
                    } else if head.kind == FrontendKind.close {
                        client.unnamed = nil
                        _ = client.takeUnnamedBody()
                        unnamed = nil
                    } else if head.kind == FrontendKind.bind {
                        unnamed = nil
                        _ = client.takeUnnamedBody()
                        portalStatement = 0
                        client.bindReceived(nil, in: input, at: at)
                    }
                    expect(Self.kind(head.kind))
                case .wait: break walk
                case .rewritten(let next):
                    // What is left of the message, if anything, goes by from there.
                    start = next
                    at += requestFraming.pass(head.bytes, available: input.writerIndex - at)
                    continue walk
                case .refused(let refusal):
                    outcome = .refused(refusal)
                    break walk
                }
            default:
                outcome = .refused(.messageUnexpected)
                break walk
            }
            at += requestFraming.pass(head.bytes, available: input.writerIndex - at)
        }
        Self.copy(input, from: start, to: at, into: &output)
        if let parse = unnamed { client.unnamedBody = input.getBytes(at: parse.index, length: parse.end - parse.index) }
        input.moveReaderIndex(to: at)
        if isRepeatable, outcome == .sent { keep(output) }
        answerFirst(&client, to: &replies)
        return outcome
    }

    private enum Named {
        /// It goes by as it is.
        case plain
        /// It is about the unnamed statement, and goes by as it is.
        case unnamed
        /// More bytes are needed.
        case wait
        /// Something is in the output in its place, or nothing; the message goes on at this index.
        case rewritten(next: Int)
        case refused(RequestRefusal)
    }

    /// A message that may name a statement.
    private mutating func named(
        _ head: MessageFraming.Head, in input: ByteBuffer, at index: Int, start: inout Int, _ client: inout ClientStatements,
        _ prepare: ([UInt8]) -> PreparedStatement, to output: inout ByteBuffer
    ) -> Named {
        let kind = Self.kind(head.kind)
        guard renamesStatements else {
            expect(kind)
            return .plain
        }
        let place: StatementName
        switch StatementName.find(head, in: input, at: index) {
        case .incomplete: return .wait
        case .malformed: return .refused(.messageMalformed)
        case .none:
            let isUnnamedPortal = kind == .describe && input.getInteger(at: index + MessageFraming.headBytes + 1, as: UInt8.self) == 0
            expect(kind, statement: isUnnamedPortal ? portalStatement : 0)
            return .plain
        case .name(let found):
            guard found.length > 0 || (client.unnamed != nil && head.kind != FrontendKind.parse && head.kind != FrontendKind.close) else {
                return .unnamed
            }
            place = found
        }
        guard let name = input.getString(at: place.index, length: place.length) else { return .refused(.messageMalformed) }
        let end = index + head.bytes
        switch head.kind {
        case FrontendKind.parse:
            guard head.bytes <= preparedTextBytesMax else { return .refused(.statementTooLong) }
            guard end <= input.writerIndex else { return .wait }
            let bodyIndex = place.index + place.length + 1
            guard let body = input.getBytes(at: bodyIndex, length: end - bodyIndex) else { return .refused(.messageMalformed) }
            let statement = prepare(body)
            if isUndecided(statement) { return .wait }
            Self.copy(input, from: start, to: index, into: &output)
            isInBatch = true
            if isSkipping { return .rewritten(next: end) }
            guard client.prepared(name, statement) else { return .refused(.tooManyStatements) }
            if statements.use(statement.id) {
                queue.append(.parseAnswered)
            } else {
                writeParse(statement, as: .parse, to: &output)
            }
            return .rewritten(next: end)
        case FrontendKind.close:
            if !isSkipping, client.isUndecided(name) { return .wait }
            guard client.find(name) != nil else {
                expect(.close)
                return .plain
            }
            guard end <= input.writerIndex else {
                // The name's end is there, so what is missing is not a name.
                return .refused(.messageMalformed)
            }
            Self.copy(input, from: start, to: index, into: &output)
            isInBatch = true
            if !isSkipping {
                client.closing(name)
                queue.append(.closeAnswered)
            }
            return .rewritten(next: end)
        default:
            if !isSkipping, place.length == 0 ? client.isUnnamedUndecided : client.isUndecided(name) { return .wait }
            guard let statement = place.length == 0 ? client.unnamed : client.find(name) else {
                // The server says that there is none, or knows it from SQL.
                if head.kind == FrontendKind.bind { client.session?.unknownReceived(text: "a statement prepared in SQL") }
                expect(kind)
                return .plain
            }
            if isUndecided(statement) { return .wait }
            if head.kind == FrontendKind.bind {
                client.bindReceived(statement, in: input, at: index)
                if input.getInteger(at: index + MessageFraming.headBytes, as: UInt8.self) == 0 { portalStatement = statement.id }
            }
            Self.copy(input, from: start, to: index, into: &output)
            if !isSkipping, !statements.use(statement.id) { writeParse(statement, as: .parseUnseen, to: &output) }
            expect(kind, statement: statement.id)
            return .rewritten(next: place.replace(with: statement.name, head, in: input, at: index, to: &output))
        }
    }

    /// Whether it shows only in the replies to an earlier batch what the server has of this statement: that batch may fail, and what was to
    /// be prepared or closed in it then is not. The client's next message waits for them.
    private func isUndecided(_ statement: PreparedStatement) -> Bool {
        // Where one makes room for another, it may be any.
        !isSkipping && queue.isUndecided(statements.isFull ? nil : statement.id)
    }

    mutating func writeParse(_ statement: PreparedStatement, as kind: ReplyQueue.Kind, to output: inout ByteBuffer) {
        isCopyingIn = false
        if let victim = statements.add(statement.id) {
            FrontendMessage.closeStatement("headrace_\(victim)".utf8, to: &output)
            queue.append(.closeUnseen, statement: victim)
        }
        if outdated.remove(statement.id) != nil {
            FrontendMessage.closeStatement(statement.name, to: &output)
            queue.append(.closeOutdated, statement: statement.id)
        }
        BackendMessage.write(FrontendKind.parse, to: &output) {
            $0.writeBytes(statement.name)
            $0.writeInteger(UInt8(0))
            $0.writeBytes(statement.body)
        }
        queue.append(kind, statement: statement.id)
    }

    private mutating func expect(_ kind: ReplyQueue.Kind, statement: Int = 0) {
        isInBatch = true
        // In copy data it is an error that ends COPY, and the Sync behind it counts.
        isCopyingIn = false
        if !isSkipping { queue.append(kind, statement: statement) }
    }

    private static func kind(_ message: UInt8) -> ReplyQueue.Kind {
        switch message {
        case FrontendKind.parse: .parse
        case FrontendKind.bind: .bind
        case FrontendKind.describe: .describe
        default: .close
        }
    }

    /// Appends a part of the input; when there is nothing yet, shares its memory.
    static func copy(_ input: ByteBuffer, from start: Int, to end: Int, into output: inout ByteBuffer) {
        guard end > start, let part = input.getSlice(at: start, length: end - start) else { return }
        if output.readableBytes == 0 { output = part } else { output.writeImmutableBuffer(part) }
    }
}
