import NIOCore
import PostgresWire

@testable import Pooler

/// A client and a server that talk through one ``ServerSession``; messages are written short: `Q:select 1`, `P:s1|select 1`, `Z:I`.
struct Talk {
    var session: ServerSession
    var client: ClientStatements
    private var statements = PreparedStatements()
    private var pendingRequests = ByteBuffer()
    private var pendingReplies = ByteBuffer()
    private(set) var outcome = ServerSession.ReplyOutcome()

    /// - Parameter mode: what of the client's session is looked at.
    init(preparedMax: Int = 2, clientMax: Int = 3, mode: SessionMode? = nil, insight: QueryInsight? = nil) {
        client = ClientStatements(max: clientMax, session: mode.map { SessionState(mode: $0) }, texts: StatementTexts(), insight: insight.map { ($0, 0) })
        var limits = PoolerConfiguration.Limits()
        limits.preparedStatementsMax = preparedMax
        limits.preparedTextBytesMax = 100
        session = ServerSession(.init(), limits: limits)
    }

    struct Sent: Equatable {
        /// What goes to the server.
        var requests: [String]
        /// What goes to the client without the server.
        var replies: [String]
        var outcome: ServerSession.RequestOutcome
    }

    /// The client says something.
    mutating func ask(_ messages: String...) -> Sent {
        var bytes = ByteBuffer()
        for message in messages { Self.write(message, isRequest: true, to: &bytes) }
        return ask(bytes: bytes)
    }

    mutating func ask(bytes: ByteBuffer) -> Sent {
        let (requests, replies, outcome) = take(bytes)
        return Sent(requests: Self.read(requests, isRequest: true), replies: Self.read(replies, isRequest: false), outcome: outcome)
    }

    /// The client says a part of something.
    mutating func pass(_ bytes: ByteBuffer) -> (requests: ByteBuffer, replies: ByteBuffer) {
        let (requests, replies, _) = take(bytes)
        return (requests, replies)
    }

    private mutating func take(_ bytes: ByteBuffer) -> (ByteBuffer, ByteBuffer, ServerSession.RequestOutcome) {
        pendingRequests.writeImmutableBuffer(bytes)
        var (output, replies) = (ByteBuffer(), ByteBuffer())
        let outcome = session.requestsReceived(
            &pendingRequests, client: &client, prepare: { statements.find($0) }, to: &output, replies: &replies)
        return (output, replies, outcome)
    }

    /// The server says something.
    /// - Returns: what of it, and besides, goes to the client.
    mutating func answer(_ messages: String...) -> [String] {
        var bytes = ByteBuffer()
        for message in messages { Self.write(message, isRequest: false, to: &bytes) }
        return Self.read(answer(bytes: bytes), isRequest: false)
    }

    mutating func answer(bytes: ByteBuffer) -> ByteBuffer {
        pendingReplies.writeImmutableBuffer(bytes)
        var output = ByteBuffer()
        outcome = session.repliesReceived(&pendingReplies, client: &client, to: &output)
        return output
    }

    /// What the replies made us ask.
    mutating func requested() -> [String] { Self.read(session.takeRequests(), isRequest: true) }

    static func bytes(_ messages: [String], isRequest: Bool) -> ByteBuffer {
        var bytes = ByteBuffer()
        for message in messages { write(message, isRequest: isRequest, to: &bytes) }
        return bytes
    }

    private static func write(_ text: String, isRequest: Bool, to buffer: inout ByteBuffer) {
        let kind = text.utf8.first ?? 0
        let rest = String(text.dropFirst(2))
        BackendMessage.write(kind, to: &buffer) { buffer in
            switch (kind, isRequest) {
            case (FrontendKind.query, true), (BackendKind.commandComplete, false): buffer.writeNullTerminatedString(rest)
            case (FrontendKind.parse, true), (FrontendKind.bind, true), (BackendKind.parameterStatus, false):
                for part in rest.split(separator: "|", omittingEmptySubsequences: false) { buffer.writeNullTerminatedString(String(part)) }
            case (FrontendKind.describe, true), (FrontendKind.close, true): buffer.writeNullTerminatedString(rest)
            case (BackendKind.errorResponse, false):
                // The SQLSTATE, and perhaps the routine.
                let parts = rest.split(separator: "|")
                buffer.writeString("SERROR\0C\(parts[0])\0Mno\0\(parts.count > 1 ? "R\(parts[1])\0" : "")\0")
            case (BackendKind.rowDescription, false) where rest.hasPrefix("="):
                // Columns by their names, in text.
                let columns = rest.dropFirst().split(separator: ",")
                buffer.writeInteger(Int16(columns.count))
                for column in columns {
                    buffer.writeNullTerminatedString(String(column))
                    buffer.writeRepeatingByte(7, count: 16)
                    buffer.writeInteger(Int16(0))
                }
            default: buffer.writeString(rest)
            }
        }
    }

    static func read(_ buffer: ByteBuffer, isRequest: Bool) -> [String] {
        var buffer = buffer
        var messages: [String] = []
        while case .message(let head) = MessageFraming.head(in: buffer, at: buffer.readerIndex), var message = buffer.readSlice(length: head.bytes) {
            message.moveReaderIndex(forwardBy: 5)
            var text = String(buffer: message)
            if head.kind == BackendKind.errorResponse, !isRequest { text = ErrorFields(payload: message)?.sqlState ?? "?" }
            while text.hasSuffix("\0") { text.removeLast() }
            let kind = String(decoding: [head.kind], as: UTF8.self)
            messages.append(text.isEmpty ? kind : "\(kind):\(text.replacing("\0", with: "|"))")
        }
        if buffer.readableBytes > 0 { messages.append("…") }
        return messages
    }
}
