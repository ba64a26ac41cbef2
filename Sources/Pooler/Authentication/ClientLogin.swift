import NIOCore
import PostgresWire

/// One client's login, from the startup message to AuthenticationOk. No I/O, no clock; random bytes come in.
///
///     start → (started) → lookingUp → (passwordFound) → deriving → (keysDerived) → challenged
///                                                     ↘ challenged → (passwordMessageReceived) ⟲ → accepted / refused
///
/// Who does not exist is asked for a password like anybody else and learns nothing from the answer.
/// - Source: PostgreSQL 15, "Client Authentication", "Message Flow", Start-up.
struct ClientLogin {
    /// Who wants in, from where.
    struct Applicant: Sendable, Equatable {
        var client: HostRules.Client
        /// The common name of a client certificate that was verified.
        var certificateName: String?
        /// The name of the system user at the other end of a Unix socket.
        var peerName: String?
        /// Of the certificate that we showed (``TLSServerEndPoint``).
        var channelBinding: [UInt8]?
    }

    /// Where a password would be checked against.
    enum Method: Sendable, Equatable {
        case fixed(AuthenticationMethod)
        case rules(HostRules)
    }

    /// Random bytes, new for each login but for `pretenceKey`, which is one for a process' life.
    struct Randomness: Sendable {
        /// Four bytes.
        var md5Salt: [UInt8]
        /// 16 bytes, for a secret that is made of a plain password.
        var scramSalt: [UInt8]
        /// ``SCRAMNonce``.
        var nonce: String
        /// 32 bytes.
        var pretenceKey: [UInt8]
    }

    enum Action: Sendable, Equatable {
        /// Find the user's password, then call ``passwordFound(_:secret:)``.
        case lookUp(user: String)
        /// Compute it, keep the secret that it makes if you like, then call ``keysDerived(_:)``.
        case derive(SCRAMKeyDerivation)
        /// Send the request, then call ``passwordMessageReceived(_:)`` with the answer.
        case ask(AuthenticationRequest)
        /// Send AuthenticationSASLFinal if there is one, then AuthenticationOk.
        case accept(ServerCredential?, last: AuthenticationRequest?)
        /// Send the error and close.
        case refuse(LoginRefusal)
    }

    private enum State {
        /// Waiting for ``started()``. Next: `lookingUp`, `ended`.
        case start
        /// Waiting for the password that is on file. Next: `deriving`, `challenged`, `ended`.
        case lookingUp(AuthenticationMethod)
        /// Waiting for keys, to make a secret of a plain password. Next: `challenged`.
        case deriving(SCRAMKeyDerivation, password: [UInt8])
        /// Waiting for the password. Next: `checking`, `ended`.
        case password(StoredPassword?)
        /// Waiting for keys, to compare a password in the clear with a secret. Next: `ended`.
        case checking(SCRAMSecret, password: [UInt8])
        case md5(StoredPassword?)
        /// Waiting for SASLInitialResponse. Next: `saslResponse`, `ended`.
        case saslInitial(SCRAMServer, plain: [UInt8]?)
        /// Waiting for SASLResponse. Next: `ended`.
        case saslResponse(SCRAMServer, plain: [UInt8]?)
        case ended
    }

    private var state = State.start
    private let applicant: Applicant
    private let method: Method
    private let makeRandomness: () -> Randomness
    private lazy var randomness = makeRandomness()

    /// - Parameter randomness: asked for once, when there is something to prove: who is believed, or turned away at once, needs none.
    init(_ applicant: Applicant, method: Method, randomness: @escaping @autoclosure () -> Randomness) {
        self.applicant = applicant
        self.method = method
        makeRandomness = randomness
    }

    private var user: String { applicant.client.user }

    /// Whether the derivation that is under way makes a secret of a plain password on file; if not, it checks one that was sent.
    var isMakingSecret: Bool {
        if case .deriving = state { true } else { false }
    }

    /// The startup message has been read.
    mutating func started() -> Action {
        guard case .start = state else { return refuse(.messageUnexpected) }
        let decided: AuthenticationMethod
        switch method {
        case .fixed(let method): decided = method
        case .rules(let rules):
            guard let rule = rules.first(for: applicant.client) else { return refuse(.noRule) }
            decided = rule.method
        }
        switch decided {
        case .reject: return refuse(.rejected)
        case .cert:
            guard let name = applicant.certificateName else { return refuse(.certificateMissing) }
            guard name == user else { return refuse(.certificateOfAnother) }
        case .peer:
            guard applicant.peerName == user else { return refuse(.peerIsAnother) }
        case .trust, .password, .md5, .scramSHA256: break
        }
        state = .lookingUp(decided)
        return .lookUp(user: user)
    }

    /// Whether what is looked up decides: otherwise it is not worth asking a database.
    var needsPassword: Bool {
        switch state {
        case .lookingUp(let method): method == .password || method == .md5 || method == .scramSHA256
        case .start, .deriving, .password, .checking, .md5, .saslInitial, .saslResponse, .ended: false
        }
    }

    /// The user's password has been looked up.
    /// - Parameters:
    ///   - stored: `nil` when there is no such user, or he has no password.
    ///   - secret: what a former derivation of the same plain password made.
    mutating func passwordFound(_ stored: StoredPassword?, secret: SCRAMSecret? = nil) -> Action {
        guard case .lookingUp(let method) = state else { return refuse(.messageUnexpected) }
        switch method {
        case .trust, .cert, .peer: return accept(stored.flatMap(Self.credential))
        case .reject: return refuse(.rejected)
        case .password:
            state = .password(stored)
            return .ask(.cleartextPassword)
        case .md5:
            // A SCRAM secret cannot answer MD5, and need not: every client that speaks SCRAM is better served by it.
            if case .scram(let secret) = stored { return challenge(secret) }
            state = .md5(stored)
            return .ask(.md5Password(salt: randomness.md5Salt))
        case .scramSHA256:
            switch stored {
            case .scram(let secret): return challenge(secret)
            case .plain(let password):
                if let secret { return challenge(secret, plain: password) }
                guard let derivation = SCRAMKeyDerivation(password: password, salt: randomness.scramSalt, iterations: 4096)
                else { preconditionFailure("a login has a salt of 16 bytes") }
                state = .deriving(derivation, password: password)
                return .derive(derivation)
            case .md5, nil:
                let secret = SCRAMSecret(pretendingFor: user, key: randomness.pretenceKey)
                return challenge(secret, isPretence: true)
            }
        }
    }

    /// A derivation is done.
    mutating func keysDerived(_ keys: SCRAMKeys) -> Action {
        switch state {
        case .deriving(let derivation, let password): return challenge(SCRAMSecret(derivation, keys: keys), plain: password)
        case .checking(let secret, let password): return secret.matches(keys) ? accept(.password(password)) : refuse(.passwordWrong)
        case .start, .lookingUp, .password, .md5, .saslInitial, .saslResponse, .ended: return refuse(.messageUnexpected)
        }
    }

    /// A `p` message has come: its payload.
    mutating func passwordMessageReceived(_ payload: ByteBuffer) -> Action {
        switch state {
        case .password(let stored):
            guard let password = PasswordPayload.password(payload) else { return refuse(.messageMalformed) }
            guard !password.isEmpty, password.count <= StoredPassword.bytesMax else { return refuse(.passwordWrong) }
            return check(password, stored)
        case .md5(let stored):
            guard let response = PasswordPayload.password(payload) else { return refuse(.messageMalformed) }
            guard let stored, let password = Self.md5(of: stored, user: user), password.accepts(response, salt: randomness.md5Salt)
            else { return refuse(.passwordWrong) }
            return accept(Self.credential(of: stored))
        case .saslInitial(var server, let plain):
            guard let (mechanism, response) = PasswordPayload.saslInitial(payload) else { return refuse(.messageMalformed) }
            do {
                let challenge = try server.initialResponseReceived(mechanism: mechanism, response ?? [])
                state = .saslResponse(server, plain: plain)
                return .ask(.saslContinue(challenge))
            } catch {
                return refuse(LoginRefusal(error))
            }
        case .saslResponse(var server, let plain):
            do {
                let proved = try server.responseReceived(Array(payload.readableBytesView))
                return accept(plain.map { .password($0) } ?? .scramKeys(proved.keys), last: .saslFinal(proved.message))
            } catch {
                return refuse(LoginRefusal(error))
            }
        case .start, .lookingUp, .deriving, .checking, .ended: return refuse(.messageUnexpected)
        }
    }

    private mutating func check(_ password: [UInt8], _ stored: StoredPassword?) -> Action {
        switch stored {
        case .plain(let known): return known == password ? accept(.password(password)) : refuse(.passwordWrong)
        case .md5(let known): return known.matches(password: password, user: user) ? accept(.password(password)) : refuse(.passwordWrong)
        case .scram(let secret):
            guard let derivation = secret.derivation(of: password) else { return refuse(.passwordWrong) }
            state = .checking(secret, password: password)
            return .derive(derivation)
        case nil: return refuse(.passwordWrong)
        }
    }

    private mutating func challenge(_ secret: SCRAMSecret, plain: [UInt8]? = nil, isPretence: Bool = false) -> Action {
        let server = SCRAMServer(
            secret: secret, isPretence: isPretence, channelBinding: applicant.channelBinding, nonce: randomness.nonce)
        state = .saslInitial(server, plain: plain)
        return .ask(.sasl(mechanisms: server.mechanisms.map(\.rawValue)))
    }

    private mutating func accept(_ credential: ServerCredential?, last: AuthenticationRequest? = nil) -> Action {
        state = .ended
        return .accept(credential, last: last)
    }

    private mutating func refuse(_ refusal: LoginRefusal) -> Action {
        state = .ended
        return .refuse(refusal)
    }

    private static func md5(of stored: StoredPassword, user: String) -> MD5Password? {
        switch stored {
        case .plain(let password): MD5Password(password: password, user: user)
        case .md5(let password): password
        case .scram: nil
        }
    }

    static func credential(of stored: StoredPassword) -> ServerCredential? {
        switch stored {
        case .plain(let password): .password(password)
        case .md5(let password): .md5(password)
        // The secret alone proves nothing: the client's own proof would have had to bring the key.
        case .scram: nil
        }
    }
}

/// Why a client was not let in. The raw value is the word in logs and metrics.
enum LoginRefusal: String, Error, Sendable, CaseIterable {
    /// No rule fits.
    case noRule
    /// A rule says `reject`.
    case rejected
    /// The password, or the proof of it, is wrong; or there is no such user, or he has none.
    case passwordWrong
    /// `cert`, and there is no certificate that was verified.
    case certificateMissing
    /// `cert`, and the certificate is somebody else's.
    case certificateOfAnother
    /// `peer`, and the system user has another name.
    case peerIsAnother
    /// A message does not follow the protocol.
    case messageMalformed
    /// A message that nobody waited for.
    case messageUnexpected
    /// SASL: a mechanism that was not offered.
    case mechanismUnknown
    /// SCRAM: bound to another channel, or somebody in between took our offer to bind away.
    case channelBinding

    init(_ error: SCRAMError) {
        self =
            switch error {
            case .proofWrong: .passwordWrong
            case .mechanismUnknown: .mechanismUnknown
            case .channelBindingMismatch, .channelBindingDowngrade, .channelBindingUnavailable: .channelBinding
            case .messageUnexpected: .messageUnexpected
            case .messageTooLong, .messageMalformed, .extensionUnknown, .nonceMismatch, .iterationsOutOfBounds, .saltInvalid,
                .serverSignatureWrong, .refusedByServer, .authorizationIdentity:
                .messageMalformed
            }
    }

    /// - Source: PostgreSQL 15, Appendix A: 28000 invalid_authorization_specification, 28P01 invalid_password, 08P01
    ///   protocol_violation.
    var sqlState: String {
        switch self {
        case .noRule, .rejected, .certificateMissing, .certificateOfAnother, .peerIsAnother, .channelBinding: "28000"
        case .passwordWrong: "28P01"
        case .messageMalformed, .messageUnexpected, .mechanismUnknown: "08P01"
        }
    }

    /// What the client is told, in PostgreSQL's words where it has some.
    func message(for client: HostRules.Client) -> String {
        switch self {
        case .noRule:
            "no authentication rule for user \"\(client.user)\", database \"\(client.database)\", \(client.hasTLS ? "SSL encryption" : "no encryption")"
        case .rejected:
            "authentication rule rejects connection for user \"\(client.user)\", database \"\(client.database)\""
        case .passwordWrong: "password authentication failed for user \"\(client.user)\""
        case .certificateMissing: "connection requires a valid client certificate"
        case .certificateOfAnother: "certificate authentication failed for user \"\(client.user)\""
        case .peerIsAnother: "Peer authentication failed for user \"\(client.user)\""
        case .messageMalformed: "malformed authentication message"
        case .messageUnexpected: "unexpected authentication message"
        case .mechanismUnknown: "client selected an invalid SASL authentication mechanism"
        case .channelBinding: "SCRAM channel binding check failed"
        }
    }
}
