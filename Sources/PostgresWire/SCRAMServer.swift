/// The server's side of one SCRAM-SHA-256 login. No I/O; the nonce comes in.
///
///     start → (initialResponseReceived) → challenged → (responseReceived) → proved
///
/// It needs no password, only what PostgreSQL stores. Its cost is a few hashes: the iterations are the client's work.
/// - Source: RFC 5802 §3, §5, §6; RFC 7677; PostgreSQL 15, "SASL Authentication".
public struct SCRAMServer: Sendable {
    /// A client has proved that it knows the password.
    public struct Proved: Sendable, Equatable {
        /// What goes into AuthenticationSASLFinal: our own proof.
        public var message: [UInt8]
        /// The client's keys. With them we can log in to a server that stores the same secret.
        public var keys: SCRAMKeys
    }

    private enum State: Sendable {
        /// Waiting for SASLInitialResponse. Next: `challenged`.
        case start
        /// Waiting for SASLResponse with the proof. Next: `ended`.
        case challenged(clientFirstBare: [UInt8], gs2Header: [UInt8], serverFirst: [UInt8], nonce: [UInt8], binds: Bool)
        /// Proved or refused.
        case ended
    }

    private var state = State.start
    private let secret: SCRAMSecret
    private let isPretence: Bool
    private let nonce: [UInt8]
    private let channelBinding: [UInt8]?

    /// - Parameters:
    ///   - isPretence: the secret is ``SCRAMSecret/init(pretendingFor:key:iterations:)``'s: no proof is right.
    ///   - channelBinding: of our certificate (``TLSServerEndPoint``) when the connection has TLS.
    ///   - nonce: see ``SCRAMNonce``; new for every login.
    public init(secret: SCRAMSecret, isPretence: Bool = false, channelBinding: [UInt8]?, nonce: String) {
        self.secret = secret
        self.isPretence = isPretence
        self.channelBinding = channelBinding
        self.nonce = Array(nonce.utf8)
    }

    /// What AuthenticationSASL offers, what we like best first.
    public var mechanisms: [SCRAMMechanism] {
        channelBinding == nil ? [.sha256] : [.sha256Plus, .sha256]
    }

    /// SASLInitialResponse has come.
    /// - Returns: what goes into AuthenticationSASLContinue.
    public mutating func initialResponseReceived(mechanism name: String, _ message: [UInt8]) throws(SCRAMError) -> [UInt8] {
        guard case .start = state else { throw fail(.messageUnexpected) }
        guard let mechanism = SCRAMMechanism(rawValue: name), mechanisms.contains(mechanism) else { throw fail(.mechanismUnknown) }
        let first: SCRAMClientFirst
        do { first = try SCRAMClientFirst(message) } catch { throw fail(error) }
        switch (first.binding, mechanism) {
        case (.bound(let type), .sha256Plus):
            guard type == "tls-server-end-point" else { throw fail(.channelBindingMismatch) }
        case (.bound, .sha256), (.unsupported, .sha256Plus), (.believedMissing, .sha256Plus): throw fail(.channelBindingMismatch)
        case (.believedMissing, .sha256):
            guard channelBinding == nil else { throw fail(.channelBindingDowngrade) }
        case (.unsupported, .sha256): break
        }
        let combined = first.nonce + nonce
        let serverFirst = Array("r=".utf8) + combined + Array(",s=\(Base64.encode(secret.salt)),i=\(secret.iterations)".utf8)
        state = .challenged(
            clientFirstBare: first.bare, gs2Header: first.gs2Header, serverFirst: serverFirst, nonce: combined,
            binds: mechanism == .sha256Plus)
        return serverFirst
    }

    /// SASLResponse with the client's proof has come.
    public mutating func responseReceived(_ message: [UInt8]) throws(SCRAMError) -> Proved {
        guard case .challenged(let clientFirstBare, let gs2Header, let serverFirst, let nonce, let binds) = state
        else { throw fail(.messageUnexpected) }
        state = .ended
        let final = try SCRAMClientFinal(message)
        guard final.channelBinding == gs2Header + (binds ? channelBinding ?? [] : []) else { throw .channelBindingMismatch }
        guard SCRAMDigest.areEqual(final.nonce, nonce) else { throw .nonceMismatch }
        let comma = [UInt8(ascii: ",")]
        let authMessage = clientFirstBare + comma + serverFirst + comma + final.withoutProof
        let clientKey = SCRAMDigest.exclusiveOr(final.proof, SCRAMDigest.hmac(authMessage, key: secret.storedKey))
        guard SCRAMDigest.areEqual(SCRAMDigest.hash(clientKey), secret.storedKey), !isPretence,
            let keys = SCRAMKeys(clientKey: clientKey, serverKey: secret.serverKey)
        else { throw .proofWrong }
        let signature = SCRAMDigest.hmac(authMessage, key: secret.serverKey)
        return Proved(message: Array("v=\(Base64.encode(signature))".utf8), keys: keys)
    }

    private mutating func fail(_ error: SCRAMError) -> SCRAMError {
        state = .ended
        return error
    }
}

/// `client-first-message` of RFC 5802 §7.
struct SCRAMClientFirst: Equatable {
    enum Binding: Equatable {
        /// `n`: the client cannot.
        case unsupported
        /// `y`: it could, but thinks that the server cannot.
        case believedMissing
        /// `p=`: it does.
        case bound(String)
    }

    var binding: Binding
    /// From the first byte to the second comma, which comes back in the final message.
    var gs2Header: [UInt8]
    var bare: [UInt8]
    var nonce: [UInt8]

    init(_ message: [UInt8]) throws(SCRAMError) {
        guard message.count <= SCRAMAttributes.messageBytesMax else { throw .messageTooLong }
        guard let comma = message.firstIndex(of: UInt8(ascii: ",")) else { throw .messageMalformed }
        switch message.first {
        case UInt8(ascii: "n") where comma == 1: binding = .unsupported
        case UInt8(ascii: "y") where comma == 1: binding = .believedMissing
        case UInt8(ascii: "p") where comma > 2 && message[1] == UInt8(ascii: "="):
            binding = .bound(String(decoding: message[2..<comma], as: UTF8.self))
        default: throw .messageMalformed
        }
        guard comma + 1 < message.count else { throw .messageMalformed }
        guard message[comma + 1] == UInt8(ascii: ",") else {
            throw message[comma + 1] == UInt8(ascii: "a") ? .authorizationIdentity : .messageMalformed
        }
        gs2Header = Array(message[...(comma + 1)])
        bare = Array(message[(comma + 2)...])
        var attributes = try SCRAMAttributes(message, from: comma + 2)
        // The name is that of the startup message (PostgreSQL's rule); this one is read and forgotten.
        _ = try attributes.value(of: "n")
        let nonce = try attributes.value(of: "r")
        guard SCRAMAttributes.isNonce(nonce) else { throw .nonceMismatch }
        self.nonce = Array(nonce)
        try attributes.skipExtensions()
    }
}

/// `client-final-message` of RFC 5802 §7.
struct SCRAMClientFinal: Equatable {
    var channelBinding: [UInt8]
    var nonce: [UInt8]
    var proof: [UInt8]
    /// The message up to the comma before the proof.
    var withoutProof: [UInt8]

    init(_ message: [UInt8]) throws(SCRAMError) {
        var attributes = try SCRAMAttributes(message)
        guard let channelBinding = Base64.decode(try attributes.value(of: "c")) else { throw .messageMalformed }
        self.channelBinding = channelBinding
        nonce = Array(try attributes.value(of: "r"))
        while let name = attributes.nextName, name != UInt8(ascii: "p") {
            guard SCRAMAttributes.isLetter(name) else { throw .messageMalformed }
            _ = try attributes.value(of: Character(Unicode.Scalar(name)))
        }
        guard attributes.position > 0, !attributes.isAtEnd else { throw .messageMalformed }
        withoutProof = Array(message[..<(attributes.position - 1)])
        guard let proof = Base64.decode(try attributes.value(of: "p")), proof.count == SCRAMDigest.bytes, attributes.isAtEnd
        else { throw .messageMalformed }
        self.proof = proof
    }
}
