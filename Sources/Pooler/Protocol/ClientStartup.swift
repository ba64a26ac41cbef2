import NIOCore
import PostgresWire
import Transport

/// The beginning of a client connection, up to the startup message or a request to cancel. No I/O, no clock.
///
///     waiting → (SSLRequest, GSSENCRequest: once each) → waiting → (StartupMessage, CancelRequest) → ended
///
/// - Source: PostgreSQL 15, "Message Flow", Start-up, Canceling Requests in Progress, SSL Session Encryption.
struct ClientStartup {
    enum Action: Equatable {
        case wait
        /// One byte: no encryption of this kind here.
        case decline
        /// One byte: yes; then TLS.
        case encrypt
        /// TLS begins at once, with the bytes of the input.
        case encryptDirectly
        case cancel(CancelKeys.Key)
        /// Close without a word: to a request to cancel nothing is ever answered.
        case close
        case refuse(ErrorFields)
        case login(Login)
    }

    /// By reference: clients who begin with the same packet have the same (``RecentLogin``), and what follows from it is told by `===`.
    final class Login: Sendable, Equatable {
        let startup: StartupMessage
        /// What the session begins with, `options` taken apart but for replication.
        let parameters: [StartupMessage.Parameter]
        /// Whether the client asked for what we do not know, and must be told so.
        let needsNegotiation: Bool

        init(startup: StartupMessage, parameters: [StartupMessage.Parameter], needsNegotiation: Bool) {
            (self.startup, self.parameters, self.needsNegotiation) = (startup, parameters, needsNegotiation)
        }

        static func == (left: Login, right: Login) -> Bool {
            left.startup == right.startup && left.parameters == right.parameters && left.needsNegotiation == right.needsNegotiation
        }

        /// Tells the server who the client is: `name - 192.0.2.1:4711`, as PgBouncer writes it.
        /// - Source: pgbouncer.org, "application_name_add_host".
        static func addClientAddress(_ address: String, to parameters: inout [StartupMessage.Parameter]) {
            let index = parameters.firstIndex { $0.name.lowercased() == "application_name" }
            let name = index.map { parameters[$0].value } ?? "app"
            // The server cuts it at 63 bytes: the address is what is to be kept.
            var kept = name
            while kept.utf8.count + 3 + address.utf8.count > 63, !kept.isEmpty { kept.removeLast() }
            let parameter = StartupMessage.Parameter("application_name", "\(kept) - \(address)")
            if let index { parameters[index] = parameter } else { parameters.append(parameter) }
        }
    }

    /// Whether TLS is to be had.
    let offersTLS: Bool
    private var hasAskedForTLS = false
    private var hasAskedForGSS = false

    init(offersTLS: Bool = false) {
        self.offersTLS = offersTLS
    }

    mutating func received(_ input: inout ByteBuffer) -> Action {
        // A TLS record with a handshake in it (RFC 8446 §5.1). No startup packet begins so: it would have 369 MB.
        if offersTLS, !hasAskedForTLS, input.getInteger(at: input.readerIndex, as: UInt8.self) == 0x16 {
            hasAskedForTLS = true
            return .encryptDirectly
        }
        switch StartupPacket.read(from: &input) {
        case .incomplete: return .wait
        case .refused(let refusal): return .refuse(Self.error(refusal))
        case .packet(.tlsRequest):
            // What came with the request would be taken for bytes of the encrypted stream: CVE-2021-23214.
            guard !hasAskedForTLS, input.readableBytes == 0 else { return .refuse(Self.error(.malformed)) }
            hasAskedForTLS = true
            return offersTLS ? .encrypt : .decline
        case .packet(.gssRequest):
            guard !hasAskedForGSS, input.readableBytes == 0 else { return .refuse(Self.error(.malformed)) }
            hasAskedForGSS = true
            return .decline
        case .packet(.cancel(let processID, let secret)):
            guard secret.count == 4 else { return .close }
            return .cancel(.init(processID: processID, secret: secret.reduce(0) { $0 << 8 | UInt32($1) }))
        case .packet(.startup(let startup)):
            // Of a server connection that is the client's own, the parameters are the server's to read.
            guard !startup.isReplication else {
                guard startup.parameters.count <= ParameterSets.parametersMax else { return .refuse(Self.error(.malformed)) }
                return .login(
                    Login(
                        startup: startup, parameters: startup.parameters,
                        needsNegotiation: startup.minor > 0 || !startup.protocolOptions.isEmpty))
            }
            var parameters: [StartupMessage.Parameter] = []
            for parameter in startup.parameters {
                if parameter.name == "options" {
                    guard let options = StartupOptions.parameters(parameter.value) else {
                        return .refuse(
                            ErrorFields(
                                severity: "FATAL", sqlState: SQLState.featureNotSupported.rawValue,
                                message: "startup options other than -c name=value: \(parameter.value)"))
                    }
                    parameters += options
                } else {
                    parameters.append(parameter)
                }
            }
            guard parameters.count <= ParameterSets.parametersMax else { return .refuse(Self.error(.malformed)) }
            // A name that is given twice counts once, the last.
            if parameters.count > 1 {
                var seen: Set<String> = []
                parameters = parameters.reversed().filter { seen.insert($0.name.lowercased()).inserted }.reversed()
            }
            return .login(
                Login(
                    startup: startup, parameters: parameters,
                    needsNegotiation: startup.minor > 0 || !startup.protocolOptions.isEmpty))
        }
    }

    /// The startup packet that came last, and what it says: applications that connect for each request send the same again and again.
    struct RecentLogin {
        private var packet = ByteBuffer()
        private var login: Login?

        /// Takes the packet from the input if it is the same, and all that has come.
        mutating func take(from input: inout ByteBuffer) -> Login? {
            guard let login, input == packet else { return nil }
            input.moveReaderIndex(to: input.writerIndex)
            return login
        }

        /// - Parameter packet: it has ``StartupPacket/bytesMax`` at most.
        mutating func keep(_ login: Login, of packet: ByteBuffer) {
            self.packet = packet.inOwnMemory()
            self.login = login
        }
    }

    private static func error(_ refusal: StartupPacket.Refusal) -> ErrorFields {
        switch refusal {
        case .lengthOutOfBounds: ErrorFields(severity: "FATAL", sqlState: SQLState.protocolViolation.rawValue, message: "invalid length of startup packet")
        case .versionUnsupported:
            ErrorFields(severity: "FATAL", sqlState: SQLState.featureNotSupported.rawValue, message: "unsupported frontend protocol: server supports 3.0")
        case .malformed: ErrorFields(severity: "FATAL", sqlState: SQLState.protocolViolation.rawValue, message: "invalid startup packet layout")
        case .userMissing:
            ErrorFields(
                severity: "FATAL", sqlState: SQLState.invalidAuthorization.rawValue, message: "no PostgreSQL user name specified in startup packet")
        }
    }
}
