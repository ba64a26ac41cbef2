/// The client's side of one SCRAM-SHA-256 login. No I/O; the nonce comes in, keys may be computed elsewhere.
///
///     start → initial → (serverFirstReceived) → deriving → final → verified
///
/// With keys instead of a password nothing is derived. Any error ends it.
/// - Source: RFC 5802 §3, §5; RFC 7677; PostgreSQL 15, "SASL Authentication".
public struct SCRAMClient: Sendable {
    /// What proves who we are.
    public enum Credential: Sendable, Equatable {
        /// The password's bytes, as typed.
        case password([UInt8])
        /// Keys from a former derivation, or from the proof of a client of ours whose stored secret is the server's too.
        case keys(SCRAMKeys)
    }

    /// How the login is tied to the connection.
    public enum ChannelBinding: Sendable, Equatable {
        /// It is not: no TLS, a certificate without a binding, or switched off.
        case none
        /// To the server's certificate if the server offers it: `tls-server-end-point` of RFC 5929 (``TLSServerEndPoint``).
        case prefer([UInt8])
        /// The same, or no login.
        case require([UInt8])
    }

    public enum FirstAction: Sendable, Equatable {
        /// Compute the keys, then call ``keysDerived(_:)``.
        case derive(SCRAMKeyDerivation)
        /// Send these bytes as SASLResponse.
        case respond([UInt8])
    }

    private enum State: Sendable {
        /// Nothing is sent. Next: `initial`.
        case start
        /// The client-first message is sent. Next: `deriving`, `final`.
        case initial
        /// Keys are awaited. Next: `final`.
        case deriving(serverFirst: [UInt8], nonce: [UInt8])
        /// The proof is sent. Next: `verified`.
        case final(serverSignature: [UInt8])
        /// The server has proved itself.
        case verified
        /// An error ended it.
        case failed
    }

    private var state = State.start
    private let credential: Credential
    private let channelBinding: ChannelBinding
    private let nonce: [UInt8]
    private let userName: String
    private var gs2Header: [UInt8] = []
    private var binding: [UInt8] = []

    /// - Parameters:
    ///   - nonce: see ``SCRAMNonce``; new for every login.
    ///   - userName: PostgreSQL takes the name from the startup message and ignores this one; libpq sends none.
    public init(_ credential: Credential, channelBinding: ChannelBinding = .none, nonce: String, userName: String = "") {
        self.credential = credential
        self.channelBinding = channelBinding
        self.nonce = Array(nonce.utf8)
        self.userName = userName
    }

    /// The server has said which mechanisms it takes (AuthenticationSASL).
    /// - Returns: what goes into SASLInitialResponse.
    public mutating func mechanismsOffered(_ names: [String]) throws(SCRAMError) -> (mechanism: SCRAMMechanism, response: [UInt8]) {
        guard case .start = state else { throw fail(.messageUnexpected) }
        let offersPlus = names.contains(SCRAMMechanism.sha256Plus.rawValue)
        let mechanism: SCRAMMechanism
        switch channelBinding {
        case .prefer(let bytes) where offersPlus, .require(let bytes) where offersPlus:
            mechanism = .sha256Plus
            binding = bytes
            gs2Header = Array("p=tls-server-end-point,,".utf8)
        case .require: throw fail(.channelBindingUnavailable)
        case .prefer:
            // "I could, and believe that you cannot": a server that did offer it knows then that somebody is in between.
            mechanism = .sha256
            gs2Header = Array("y,,".utf8)
        case .none:
            mechanism = .sha256
            gs2Header = Array("n,,".utf8)
        }
        guard names.contains(mechanism.rawValue) else { throw fail(.mechanismUnknown) }
        state = .initial
        return (mechanism, gs2Header + clientFirstBare)
    }

    /// The server's first message has come (AuthenticationSASLContinue).
    public mutating func serverFirstReceived(_ message: [UInt8]) throws(SCRAMError) -> FirstAction {
        guard case .initial = state else { throw fail(.messageUnexpected) }
        let first: SCRAMServerFirst
        do { first = try SCRAMServerFirst(message) } catch { throw fail(error) }
        // Ours, and something of the server's.
        guard first.nonce.count > nonce.count, first.nonce.starts(with: nonce) else { throw fail(.nonceMismatch) }
        state = .deriving(serverFirst: message, nonce: first.nonce)
        switch credential {
        case .keys(let keys): return .respond(try keysDerived(keys))
        case .password(let password):
            guard let derivation = SCRAMKeyDerivation(password: password, salt: first.salt, iterations: first.iterations)
            else { throw fail(.iterationsOutOfBounds) }
            return .derive(derivation)
        }
    }

    /// The keys are computed.
    /// - Returns: what goes into SASLResponse.
    public mutating func keysDerived(_ keys: SCRAMKeys) throws(SCRAMError) -> [UInt8] {
        guard case .deriving(let serverFirst, let nonce) = state else { throw fail(.messageUnexpected) }
        let withoutProof = Array("c=\(Base64.encode(gs2Header + binding)),r=".utf8) + nonce
        let authMessage = clientFirstBare + [UInt8(ascii: ",")] + serverFirst + [UInt8(ascii: ",")] + withoutProof
        let proof = SCRAMDigest.exclusiveOr(keys.clientKey, SCRAMDigest.hmac(authMessage, key: keys.storedKey))
        state = .final(serverSignature: SCRAMDigest.hmac(authMessage, key: keys.serverKey))
        return withoutProof + Array(",p=\(Base64.encode(proof))".utf8)
    }

    /// The server's last message has come (AuthenticationSASLFinal). Without it the server has proved nothing: AuthenticationOk
    /// alone does not do, ask ``isVerified``.
    public mutating func serverFinalReceived(_ message: [UInt8]) throws(SCRAMError) {
        guard case .final(let serverSignature) = state else { throw fail(.messageUnexpected) }
        let signature: [UInt8]
        do { signature = try Self.serverSignature(in: message) } catch { throw fail(error) }
        guard SCRAMDigest.areEqual(signature, serverSignature) else { throw fail(.serverSignatureWrong) }
        state = .verified
    }

    /// `server-final-message` of RFC 5802 §7.
    private static func serverSignature(in message: [UInt8]) throws(SCRAMError) -> [UInt8] {
        var attributes = try SCRAMAttributes(message)
        if attributes.nextName == UInt8(ascii: "e") {
            _ = try attributes.value(of: "e")
            throw .refusedByServer
        }
        guard let signature = Base64.decode(try attributes.value(of: "v")) else { throw .messageMalformed }
        try attributes.skipExtensions()
        return signature
    }

    /// Whether the server has proved that it knows the password.
    public var isVerified: Bool {
        if case .verified = state { true } else { false }
    }

    private var clientFirstBare: [UInt8] {
        // `saslname` of RFC 5802 §7.
        let name = userName.flatMap { $0 == "=" ? "=3D" : $0 == "," ? "=2C" : String($0) }
        return Array("n=\(String(name)),r=".utf8) + nonce
    }

    private mutating func fail(_ error: SCRAMError) -> SCRAMError {
        state = .failed
        return error
    }
}

/// `server-first-message` of RFC 5802 §7.
struct SCRAMServerFirst: Equatable {
    var nonce: [UInt8]
    var salt: [UInt8]
    var iterations: Int

    init(_ message: [UInt8]) throws(SCRAMError) {
        var attributes = try SCRAMAttributes(message)
        let nonce = try attributes.value(of: "r")
        guard SCRAMAttributes.isNonce(nonce) else { throw .nonceMismatch }
        self.nonce = Array(nonce)
        guard let salt = Base64.decode(try attributes.value(of: "s")), (1...SCRAMSecret.saltBytesMax).contains(salt.count)
        else { throw .saltInvalid }
        self.salt = salt
        guard let iterations = SCRAMAttributes.number(try attributes.value(of: "i")), iterations <= SCRAMSecret.iterationsMax
        else { throw .iterationsOutOfBounds }
        self.iterations = iterations
        try attributes.skipExtensions()
    }
}
