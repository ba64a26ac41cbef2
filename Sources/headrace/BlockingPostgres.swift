import NIOCore
import PostgresWire

/// A login at PostgreSQL that blocks: for the commands and probes that ask a few questions, on a thread of their own.
final class BlockingPostgres {
    struct Failure: Error, CustomStringConvertible {
        let description: String
        /// The server is there, and does not let this user in.
        var isRefusedLogin = false
    }

    private let socket: BlockingSocket
    private let name: String
    private var input = ByteBuffer()
    /// What was asked so far.
    private(set) var questions = 0

    /// Connects to the first of the hosts, and logs in without TLS.
    /// - Parameters:
    ///   - user: whose name is in the URL, if not this one.
    ///   - seconds: for the connection, and then between two reads or writes.
    /// - Throws: `Failure`, `BlockingSocket.Failure`.
    init(_ url: PostgresURL, user: String, password: String?, applicationName: String, seconds: Int) throws {
        let endpoint = url.hosts[0]
        name = "\(endpoint)"
        var login = ServerLogin(user: user, password: password.map { Array($0.utf8) }, nonce: SCRAMNonce.make())
        socket = try BlockingSocket(endpoint, seconds: seconds)
        var output = ByteBuffer()
        StartupMessage(
            user: user, database: url.database ?? user, parameters: [.init("application_name", applicationName), .init("client_encoding", "UTF8")]
        ).write(to: &output)
        try socket.send(output)
        var action = login.received(&input)
        while true {
            switch action {
            case .wait:
                guard try socket.receive(into: &input) else { throw failure("closed the connection during the login") }
                action = login.received(&input)
            case .send(let bytes):
                try socket.send(bytes)
                action = login.received(&input)
            case .derive(let derivation): action = login.keysDerived(derivation.run())
            case .ready: return
            case .refused(let fields):
                // Class 28: invalid authorization specification. What else it says is about itself: it is starting, or full.
                throw failure("\(fields.message) (\(fields.sqlState))", isRefusedLogin: "\(fields.sqlState)".hasPrefix("28"))
            case .failed(let reason): throw failure("the login failed: \(reason.rawValue)", isRefusedLogin: [.passwordMissing, .methodUnsupported, .scram].contains(reason))
            }
        }
    }

    private func failure(_ text: String, isRefusedLogin: Bool = false) -> Failure {
        Failure(description: "\(name): \(text)", isRefusedLogin: isRefusedLogin)
    }

    func ask(_ query: String) throws {
        questions += 1
        var output = ByteBuffer()
        FrontendMessage.query(query, to: &output)
        try socket.send(output)
    }

    func sayGoodbye() {
        var goodbye = ByteBuffer()
        FrontendMessage.terminate(to: &goodbye)
        try? socket.send(goodbye)
    }

    /// Kind and payload of the next message; waits for it.
    /// - Throws: `Failure`, also at the end of the stream.
    func message() throws -> (kind: UInt8, payload: ByteBuffer) {
        while true {
            switch MessageFraming.head(in: input, at: input.readerIndex) {
            case .malformed: throw failure("this is not PostgreSQL's protocol")
            case .message(let head) where input.readableBytes >= head.bytes:
                guard var message = input.readSlice(length: head.bytes) else { break }
                message.moveReaderIndex(forwardBy: MessageFraming.headBytes)
                return (head.kind, message)
            case .message, .incomplete: break
            }
            input.discardReadBytes()
            guard try socket.receive(into: &input) else { throw failure("closed the connection") }
        }
    }

    /// Asks one question and waits for its end.
    /// - Parameter rowsMax: more are read and forgotten.
    /// - Throws: `Failure`, in the server's words.
    func rows(_ query: String, rowsMax: Int) throws -> [[String?]] {
        try ask(query)
        var rows: [[String?]] = []
        var problem: Failure?
        while true {
            let (kind, payload) = try message()
            switch kind {
            case BackendKind.dataRow:
                guard let row = BackendMessage.dataRow(payload: payload) else { throw failure("broken framing") }
                if rows.count < rowsMax { rows.append(row.map { $0.map { String(decoding: $0, as: UTF8.self) } }) }
            case BackendKind.errorResponse:
                problem = failure(ErrorFields(payload: payload).map { "\($0.message) (\($0.sqlState))" } ?? "the query failed")
            case BackendKind.readyForQuery:
                if let problem { throw problem }
                return rows
            default: break
            }
        }
    }
}
