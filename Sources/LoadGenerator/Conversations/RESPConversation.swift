import NIOCore
import RESPWire

/// Who logs in to a keyspace, and where to.
public struct KeyspaceLogin: Sendable, Equatable {
    /// With a password alone it is the default user's.
    public var user: String?
    public var password: String?
    public var database = 0

    public init(user: String? = nil, password: String? = nil, database: Int = 0) {
        self.user = user
        self.password = password
        self.database = database
    }

    /// `AUTH` and `SELECT`, where they are needed.
    public var commands: [[String]] {
        var commands: [[String]] = []
        if let password { commands.append(["AUTH"] + (user.map { [$0] } ?? []) + [password]) }
        if database != 0 { commands.append(["SELECT", "\(database)"]) }
        return commands
    }
}

/// The client's side of one connection in RESP2: pipelines of commands, each with its replies.
/// - Source: the RESP specification (redis.io, "Redis serialization protocol").
final class RESPConversation: Conversation {
    private enum State {
        case opening
        case idle
        case awaitingReplies
        case closed
    }

    private let login: KeyspaceLogin
    private var state = State.idle
    private var repliesDue = 0
    private var hasFailed = false
    private var scanner = ReplyScanner()
    /// A reply's line that has no end yet.
    private var pending = ByteBuffer()
    private(set) var bodyByteCount = 0
    private(set) var refusal: String?

    init(_ login: KeyspaceLogin) {
        self.login = login
    }

    func opening() -> ByteBuffer? {
        let commands = login.commands
        guard !commands.isEmpty else { return nil }
        state = .opening
        repliesDue = commands.count
        var bytes = ByteBuffer()
        for command in commands { bytes.writeCommand(command.map { Array($0.utf8) }) }
        return bytes
    }

    /// - Precondition: no other request waits for its replies.
    func requestSent(_ request: Workload.Request) {
        guard case .commands(let count) = request.asking, state == .idle else {
            preconditionFailure("a request on a connection that is not idle, or of another protocol")
        }
        state = .awaitingReplies
        repliesDue = count
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
        guard state == .opening || state == .awaitingReplies else { return refuse() }
        do throws(ReplyScanner.Malformed) {
            while repliesDue > 0 {
                guard try nextReply() else { return .wait }
                repliesDue -= 1
            }
        } catch {
            return refuse()
        }
        // More than was asked for.
        guard pending.readableBytes == 0 else { return refuse() }
        pending = ByteBuffer()
        let wasOpening = state == .opening
        if wasOpening, hasFailed {
            state = .closed
            return .ended(failure: .login, isReusable: false)
        }
        state = .idle
        return wasOpening ? .opened : .ended(failure: hasFailed ? .status : nil, isReusable: true)
    }

    func inputClosed() -> ConversationProgress { ended(bodyByteCount == 0 ? .closed : .truncated) }
    func connectionReset() -> ConversationProgress { ended(.reset) }

    /// - Returns: whether a reply has ended.
    private func nextReply() throws(ReplyScanner.Malformed) -> Bool {
        var scanner = self.scanner
        let (result, taken) = pending.withUnsafeReadableBytes { bytes in
            var index = 0
            let result = Result { () throws(ReplyScanner.Malformed) in try scanner.next(bytes, from: &index) }
            return (result, index)
        }
        self.scanner = scanner
        let found = try result.get()
        if found == .reply(isError: true) {
            hasFailed = true
            // Its words, as far as they are at hand.
            let text = pending.getString(at: pending.readerIndex, length: min(taken, 200)) ?? ""
            refusal = text.prefix { $0 != "\r\n" }.dropFirst().description
        }
        pending.moveReaderIndex(forwardBy: taken)
        return found != .wait
    }

    private func refuse() -> ConversationProgress {
        let wasAsked = state == .awaitingReplies || state == .opening
        state = .closed
        pending = ByteBuffer()
        return wasAsked ? .ended(failure: .malformed, isReusable: false) : .wait
    }

    private func ended(_ failure: FailureKind) -> ConversationProgress {
        defer { state = .closed }
        switch state {
        case .idle, .closed: return .wait
        case .opening: return .ended(failure: .login, isReusable: false)
        case .awaitingReplies: return .ended(failure: failure, isReusable: false)
        }
    }
}

extension ByteBuffer {
    /// A command as an array of bulk strings.
    mutating func writeCommand(_ words: [[UInt8]]) {
        writeString("*\(words.count)\r\n")
        for word in words {
            writeString("$\(word.count)\r\n")
            writeBytes(word)
            writeString("\r\n")
        }
    }
}
