public import NIOCore

/// What one logs in to a server with.
public enum ServerCredential: Sendable, Equatable {
    case password([UInt8])
    /// Good for servers that ask for MD5.
    case md5(MD5Password)
    /// Good for servers that store the same SCRAM secret.
    case scramKeys(SCRAMKeys)
}

/// Logging in to a server: from the startup message to the first ReadyForQuery. No I/O; the nonce comes in.
///
///     asked → (AuthenticationOk) → told → (ReadyForQuery) → done
///       ↘ password, MD5, SASL and back ↗          each may end in `refused` or `failed`
///
/// - Source: PostgreSQL 15, "Message Flow", Start-up.
public struct ServerLogin: Sendable {
    /// What the server told of the new session.
    public struct Result: Sendable, Equatable {
        public var parameters: [String: String] = [:]
        public var processID: UInt32 = 0
        public var secret: [UInt8] = []

        public init(parameters: [String: String] = [:], processID: UInt32 = 0, secret: [UInt8] = []) {
            self.parameters = parameters
            self.processID = processID
            self.secret = secret
        }
    }

    public enum Action: Equatable {
        /// More bytes are needed.
        case wait
        /// Send these bytes, go on.
        case send(ByteBuffer)
        /// Compute the keys, then call ``keysDerived(_:)``.
        case derive(SCRAMKeyDerivation)
        case ready(Result)
        /// The server's own words.
        case refused(ErrorFields)
        case failed(Failure)
    }

    /// Why a login failed. The raw value is the word in logs and metrics.
    public enum Failure: String, Error, CaseIterable {
        /// Not PostgreSQL's protocol.
        case protocolViolation
        /// The server asks for a password, and there is none.
        case passwordMissing
        /// Kerberos and the like.
        case methodUnsupported
        /// SCRAM failed: the server could not prove itself, or the mechanisms do not fit.
        case scram
        case closedEarly
        /// The server has no TLS, and the configuration wants it; or it answers the request for it with something else.
        case tlsRefused
        /// No encrypted connection came about: most often a certificate that is not believed.
        case tlsFailed
        case connectFailed
        /// A standby where a primary is wanted, or the like: see ``TargetSession``.
        case notTheTarget
        case timeout
    }

    private enum State {
        /// Waiting for what the server asks for.
        case asked
        case sasl(SCRAMClient)
        /// Let in: waiting for ReadyForQuery.
        case told
        case ended
    }

    /// Of all that comes before ReadyForQuery, no message is larger.
    public static let messageBytesMax = 64 << 10

    private let user: String
    private let credential: ServerCredential?
    private let nonce: String
    /// With TLS: what a login by SCRAM is tied to.
    public var channelBinding = SCRAMClient.ChannelBinding.none
    private var state = State.asked
    private var result = Result()

    /// - Parameter credential: a password, or what a client of ours left behind when it logged in.
    public init(user: String, credential: ServerCredential?, nonce: String) {
        self.user = user
        self.credential = credential
        self.nonce = nonce
    }

    public init(user: String, password: [UInt8]?, nonce: String) {
        self.init(user: user, credential: password.map { .password($0) }, nonce: nonce)
    }

    /// Takes one message from the input.
    public mutating func received(_ input: inout ByteBuffer) -> Action {
        while true {
            switch MessageFraming.head(in: input, at: input.readerIndex) {
            case .incomplete: return .wait
            case .malformed: return end(.failed(.protocolViolation))
            case .message(let head):
                guard head.bytes <= Self.messageBytesMax else { return end(.failed(.protocolViolation)) }
                guard var payload = input.getSlice(at: input.readerIndex, length: head.bytes) else { return .wait }
                input.moveReaderIndex(forwardBy: head.bytes)
                payload.moveReaderIndex(forwardBy: MessageFraming.headBytes)
                if let action = messageReceived(head.kind, payload) { return action }
            }
        }
    }

    /// - Returns: `nil` to go on with the next message.
    private mutating func messageReceived(_ kind: UInt8, _ payload: ByteBuffer) -> Action? {
        switch kind {
        case BackendKind.errorResponse:
            guard let fields = ErrorFields(payload: payload) else { return end(.failed(.protocolViolation)) }
            return end(.refused(fields))
        case BackendKind.noticeResponse, BackendKind.negotiateProtocolVersion: return nil
        case BackendKind.authentication:
            guard let request = AuthenticationRequest(payload: payload) else { return end(.failed(.protocolViolation)) }
            return requested(request)
        default: break
        }
        guard case .told = state else { return end(.failed(.protocolViolation)) }
        switch kind {
        case BackendKind.parameterStatus:
            guard let (name, value) = BackendMessage.parameterStatus(payload: payload), result.parameters.count < 256 else {
                return end(.failed(.protocolViolation))
            }
            result.parameters[name] = value
            return nil
        case BackendKind.backendKeyData:
            var payload = payload
            guard let processID = payload.readInteger(as: UInt32.self) else { return end(.failed(.protocolViolation)) }
            result.processID = processID
            result.secret = Array(payload.readableBytesView)
            return nil
        case BackendKind.readyForQuery: return end(.ready(result))
        default: return end(.failed(.protocolViolation))
        }
    }

    private mutating func requested(_ request: AuthenticationRequest) -> Action? {
        switch (state, request) {
        case (.asked, .ok):
            state = .told
            return nil
        case (.sasl(let client), .ok):
            // Without its proof anybody could be the server.
            guard client.isVerified else { return end(.failed(.scram)) }
            state = .told
            return nil
        case (.asked, .cleartextPassword):
            guard case .password(let password)? = credential else { return end(.failed(.passwordMissing)) }
            return sendPassword(password)
        case (.asked, .md5Password(let salt)):
            switch credential {
            case .password(let password)?: return sendPassword(Array(MD5Password(password: password, user: user).response(salt: salt).utf8))
            case .md5(let password)?: return sendPassword(Array(password.response(salt: salt).utf8))
            case .scramKeys?, nil: return end(.failed(.passwordMissing))
            }
        case (.asked, .sasl(let mechanisms)):
            let proof: SCRAMClient.Credential
            switch credential {
            case .password(let password)?: proof = .password(password)
            case .scramKeys(let keys)?: proof = .keys(keys)
            case .md5?, nil: return end(.failed(.passwordMissing))
            }
            var client = SCRAMClient(proof, channelBinding: channelBinding, nonce: nonce)
            guard let first = try? client.mechanismsOffered(mechanisms) else { return end(.failed(.scram)) }
            state = .sasl(client)
            return send { PasswordPayload.writeSASLInitial(mechanism: first.mechanism, first.response, to: &$0) }
        case (.sasl(var client), .saslContinue(let message)):
            guard let action = try? client.serverFirstReceived(message) else { return end(.failed(.scram)) }
            state = .sasl(client)
            switch action {
            case .derive(let derivation): return .derive(derivation)
            case .respond(let response): return send { PasswordPayload.writeSASLResponse(response, to: &$0) }
            }
        case (.sasl(var client), .saslFinal(let message)):
            guard (try? client.serverFinalReceived(message)) != nil else { return end(.failed(.scram)) }
            state = .sasl(client)
            return nil
        case (_, .unsupported): return end(.failed(.methodUnsupported))
        case (.asked, _), (.sasl, _), (.told, _), (.ended, _): return end(.failed(.protocolViolation))
        }
    }

    public mutating func keysDerived(_ keys: SCRAMKeys) -> Action {
        guard case .sasl(var client) = state, let response = try? client.keysDerived(keys) else { return end(.failed(.scram)) }
        state = .sasl(client)
        return send { PasswordPayload.writeSASLResponse(response, to: &$0) }
    }

    private func sendPassword(_ password: [UInt8]) -> Action {
        send { PasswordPayload.writePassword(password, to: &$0) }
    }

    private func send(_ write: (inout ByteBuffer) -> Void) -> Action {
        var buffer = ByteBuffer()
        write(&buffer)
        return .send(buffer)
    }

    private mutating func end(_ action: Action) -> Action {
        state = .ended
        return action
    }
}
