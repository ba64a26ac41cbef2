import NIOCore
import PostgresWire

/// Who logs in to a database, and what is prepared on every connection.
public struct DatabaseLogin: Sendable, Equatable {
    public var user: String
    public var password: String?
    public var database: String
    /// Prepared under the names `s0`, `s1`, … before the first transaction.
    public var statements: [String]

    public init(user: String, password: String? = nil, database: String? = nil, statements: [String] = []) {
        self.user = user
        self.password = password
        self.database = database ?? user
        self.statements = statements
    }
}

/// The client's side of one connection in PostgreSQL's protocol: the login, then transactions, of which each part is sent when the
/// server is ready for it.
///
/// | state | waits for | next |
/// |---|---|---|
/// | opening | the login's end | preparing, idle |
/// | preparing | the statements' ReadyForQuery | idle |
/// | idle | a transaction | running |
/// | running | ReadyForQuery; then the transaction's next part goes out | running, idle |
/// | closed | nothing | – |
///
/// - Source: PostgreSQL 15, "Message Flow".
final class PostgresConversation: Conversation {
    private enum State {
        case opening
        case preparing
        case idle
        case running
        case closed
    }

    private let login: DatabaseLogin
    private var server: ServerLogin
    private var state = State.opening
    private var framing = MessageFraming()
    private var pending = ByteBuffer()
    private var next: ArraySlice<ByteBuffer> = []
    private var hasFailed = false
    private(set) var bodyByteCount = 0
    private(set) var refusal: String?

    init(_ login: DatabaseLogin) {
        self.login = login
        server = ServerLogin(user: login.user, password: login.password.map { Array($0.utf8) }, nonce: SCRAMNonce.make())
    }

    func opening() -> ByteBuffer? {
        var bytes = ByteBuffer()
        StartupMessage(
            user: login.user, database: login.database, parameters: [.init("application_name", "headrace bench")]
        ).write(to: &bytes)
        return bytes
    }

    /// - Precondition: no other request is under way.
    func requestSent(_ request: Workload.Request) {
        guard case .transaction(let next) = request.asking, state == .idle else {
            preconditionFailure("a request on a connection that is not idle, or of another protocol")
        }
        state = .running
        self.next = next[...]
        hasFailed = false
        bodyByteCount = 0
    }

    func bytesReceived(_ bytes: ByteBuffer) -> ConversationProgress {
        bodyByteCount += bytes.readableBytes
        if pending.readableBytes == 0 {
            pending = bytes
        } else {
            var bytes = bytes
            pending.writeBuffer(&bytes)
        }
        let progress = state == .opening ? logIn() : walk()
        if pending.readableBytes == 0 { pending = ByteBuffer() } else { pending.discardReadBytes() }
        return progress
    }

    func inputClosed() -> ConversationProgress { ended(bodyByteCount == 0 ? .closed : .truncated) }
    func connectionReset() -> ConversationProgress { ended(.reset) }

    private func logIn() -> ConversationProgress {
        var action = server.received(&pending)
        // A few milliseconds, once on each connection.
        if case .derive(let derivation) = action { action = server.keysDerived(derivation.run()) }
        switch action {
        case .wait, .derive: return .wait
        case .send(let bytes): return .send(bytes)
        case .ready:
            guard !login.statements.isEmpty else {
                state = .idle
                return .opened
            }
            state = .preparing
            var bytes = ByteBuffer()
            for (index, text) in login.statements.enumerated() { bytes.writeParse(name: "s\(index)", text) }
            FrontendMessage.sync(to: &bytes)
            return .send(bytes)
        case .refused(let fields): return refuse(.login, fields.message)
        case .failed(let failure): return refuse(failure == .protocolViolation ? .malformed : .login, failure.rawValue)
        }
    }

    /// Goes over the messages at hand; of most of them it matters where they end.
    private func walk() -> ConversationProgress {
        while true {
            if framing.outstandingBytes > 0 {
                pending.moveReaderIndex(forwardBy: framing.skip(available: pending.readableBytes))
                guard framing.outstandingBytes == 0 else { return .wait }
            }
            let head: MessageFraming.Head
            switch MessageFraming.head(in: pending, at: pending.readerIndex) {
            case .incomplete: return .wait
            case .malformed: return refuse(.malformed, "broken framing")
            case .message(let found): head = found
            }
            switch head.kind {
            case BackendKind.readyForQuery, BackendKind.errorResponse:
                guard head.bytes <= ServerLogin.messageBytesMax else { return refuse(.malformed, "a message that is too long") }
                guard var payload = pending.getSlice(at: pending.readerIndex, length: head.bytes) else { return .wait }
                pending.moveReaderIndex(forwardBy: head.bytes)
                payload.moveReaderIndex(forwardBy: MessageFraming.headBytes)
                if head.kind == BackendKind.errorResponse {
                    hasFailed = true
                    refusal = ErrorFields(payload: payload).map { "\($0.severity): \($0.message) (\($0.sqlState))" }
                } else if let progress = ready(payload.getInteger(at: payload.readerIndex, as: UInt8.self)) {
                    return progress
                }
            case BackendKind.copyInResponse, BackendKind.copyBothResponse:
                return refuse(.malformed, "COPY FROM STDIN is nothing that can be repeated from a script")
            default:
                pending.moveReaderIndex(forwardBy: framing.pass(head.bytes, available: pending.readableBytes))
                guard framing.isBetweenMessages else { return .wait }
            }
        }
    }

    private func ready(_ status: UInt8?) -> ConversationProgress? {
        switch state {
        case .preparing:
            guard !hasFailed else { return refuse(.login, refusal ?? "") }
            state = .idle
            return .opened
        case .running:
            if !hasFailed, let bytes = next.popFirst() { return .send(bytes) }
            // What is left open would be the next transaction's: PostgreSQL rolls it back when the connection ends.
            let isIdle = status == TransactionStatus.idle.rawValue
            state = isIdle ? .idle : .closed
            return .ended(failure: hasFailed ? .status : nil, isReusable: isIdle)
        case .opening, .idle, .closed: return refuse(.malformed, "ReadyForQuery that nobody waits for")
        }
    }

    private func refuse(_ failure: FailureKind, _ reason: String) -> ConversationProgress {
        refusal = reason
        let wasAsked = state != .idle && state != .closed
        state = .closed
        pending = ByteBuffer()
        return wasAsked ? .ended(failure: failure, isReusable: false) : .wait
    }

    private func ended(_ failure: FailureKind) -> ConversationProgress {
        defer { state = .closed }
        switch state {
        case .idle, .closed: return .wait
        case .opening, .preparing: return .ended(failure: .login, isReusable: false)
        case .running: return .ended(failure: failure, isReusable: false)
        }
    }
}

extension ByteBuffer {
    mutating func writeParse(name: String, _ text: String) {
        BackendMessage.write(FrontendKind.parse, to: &self) {
            $0.writeNullTerminatedString(name)
            $0.writeNullTerminatedString(text)
            $0.writeInteger(UInt16(0))
        }
    }

    /// Bind, Execute: parameters and results as text.
    mutating func writeExecution(of name: String, _ values: [String]) {
        BackendMessage.write(FrontendKind.bind, to: &self) {
            $0.writeNullTerminatedString("")
            $0.writeNullTerminatedString(name)
            $0.writeInteger(UInt16(0))
            $0.writeInteger(UInt16(values.count))
            for value in values {
                $0.writeInteger(UInt32(value.utf8.count))
                $0.writeString(value)
            }
            $0.writeInteger(UInt16(0))
        }
        BackendMessage.write(FrontendKind.execute, to: &self) {
            $0.writeNullTerminatedString("")
            $0.writeInteger(UInt32(0))
        }
    }
}
