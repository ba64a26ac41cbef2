import Crypto
import CryptoExtras
import Foundation

/// What a SCRAM password is derived into. Whoever has ``clientKey`` can log in wherever the same secret is stored; whoever has
/// ``serverKey`` can play the server.
/// - Source: RFC 5802 §3.
public struct SCRAMKeys: Sendable, Equatable {
    /// 32 bytes each.
    public let clientKey: [UInt8]
    public let serverKey: [UInt8]

    /// - Returns: `nil` unless both keys have 32 bytes.
    public init?(clientKey: [UInt8], serverKey: [UInt8]) {
        guard clientKey.count == SCRAMDigest.bytes, serverKey.count == SCRAMDigest.bytes else { return nil }
        self.clientKey = clientKey
        self.serverKey = serverKey
    }

    /// Derives the keys. That takes about half a microsecond of CPU per iteration: see ``SCRAMKeyDerivation``.
    init(password: [UInt8], salt: [UInt8], iterations: Int) {
        let salted = SCRAMDigest.salted(password: SASLprep.prepare(password), salt: salt, iterations: iterations)
        clientKey = SCRAMDigest.hmac("Client Key".utf8, key: salted)
        serverKey = SCRAMDigest.hmac("Server Key".utf8, key: salted)
    }

    /// What the server keeps of the client key: enough to check a proof, too little to make one.
    public var storedKey: [UInt8] { SCRAMDigest.hash(clientKey) }
}

/// A derivation that is due: a value to be computed where it does not hold up a thread that others wait for.
///
/// PostgreSQL's 4,096 iterations take about 2 ms of CPU. The result depends on nothing but these values: it may be kept and given
/// to the next login with the same ones.
public struct SCRAMKeyDerivation: Sendable, Hashable {
    public let password: [UInt8]
    public let salt: [UInt8]
    /// 1…``SCRAMSecret/iterationsMax``.
    public let iterations: Int

    /// - Returns: `nil` when the salt is empty or the iterations are out of bounds.
    public init?(password: [UInt8], salt: [UInt8], iterations: Int) {
        guard !salt.isEmpty, (1...SCRAMSecret.iterationsMax).contains(iterations) else { return nil }
        self.password = password
        self.salt = salt
        self.iterations = iterations
    }

    public func run() -> SCRAMKeys {
        SCRAMKeys(password: password, salt: salt, iterations: iterations)
    }
}

/// A password as PostgreSQL stores it in `pg_authid.rolpassword`: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
/// - Source: PostgreSQL 15, "pg_authid"; RFC 5803, from which PostgreSQL's form is derived.
public struct SCRAMSecret: Sendable, Equatable {
    /// 1…``iterationsMax``; PostgreSQL 15 writes 4,096.
    public let iterations: Int
    /// PostgreSQL writes 16 bytes.
    public let salt: [UInt8]
    /// 32 bytes each.
    public let storedKey: [UInt8]
    public let serverKey: [UInt8]

    /// About half a second of CPU: more than any policy asks for today (OWASP: 600,000), and few enough that a server which asks
    /// for 2³¹ − 1 cannot keep us computing.
    public static let iterationsMax = 1_000_000
    /// What a client has to take in one message with the nonces.
    public static let saltBytesMax = 256

    /// Reads the stored form.
    /// - Returns: `nil` for any other text, also for one whose numbers are out of bounds.
    public init?(_ text: some StringProtocol) {
        let parts = text.utf8.split(separator: UInt8(ascii: "$"), omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].elementsEqual(SCRAMMechanism.sha256.rawValue.utf8) else { return nil }
        let parameters = parts[1].split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        let keys = parts[2].split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard parameters.count == 2, keys.count == 2,
            let iterations = SCRAMAttributes.number(parameters[0]), iterations <= Self.iterationsMax,
            let salt = Base64.decode(parameters[1]), (1...Self.saltBytesMax).contains(salt.count),
            let storedKey = Base64.decode(keys[0]), storedKey.count == SCRAMDigest.bytes,
            let serverKey = Base64.decode(keys[1]), serverKey.count == SCRAMDigest.bytes
        else { return nil }
        self.init(iterations: iterations, salt: salt, storedKey: storedKey, serverKey: serverKey)
    }

    /// What a server stores of a password.
    public init(_ derivation: SCRAMKeyDerivation, keys: SCRAMKeys) {
        self.init(iterations: derivation.iterations, salt: derivation.salt, storedKey: keys.storedKey, serverKey: keys.serverKey)
    }

    /// A secret that no password fits: what a client is asked to prove who names a user that there is not. It differs from user to
    /// user and stays the same for each, so that nobody learns from it who exists.
    /// - Parameter key: random bytes, the same for all of a process' life (PostgreSQL's `mock_authentication_nonce`).
    public init(pretendingFor user: some StringProtocol, key: [UInt8], iterations: Int = 4096) {
        let salt = SCRAMDigest.hmac(user.utf8, key: key)
        // Keys that are the hash of nothing known: a proof would need their preimage.
        let storedKey = SCRAMDigest.hmac(salt + [1], key: key)
        let serverKey = SCRAMDigest.hmac(salt + [2], key: key)
        self.init(iterations: iterations, salt: Array(salt.prefix(16)), storedKey: storedKey, serverKey: serverKey)
    }

    private init(iterations: Int, salt: [UInt8], storedKey: [UInt8], serverKey: [UInt8]) {
        self.iterations = iterations
        self.salt = salt
        self.storedKey = storedKey
        self.serverKey = serverKey
    }

    /// The stored form.
    public var text: String {
        "\(SCRAMMechanism.sha256.rawValue)$\(iterations):\(Base64.encode(salt))$\(Base64.encode(storedKey)):\(Base64.encode(serverKey))"
    }

    /// What to compute to check a password that was sent in the clear; then ask ``matches(_:)``.
    /// - Returns: `nil` never for a secret that was read or made here.
    public func derivation(of password: [UInt8]) -> SCRAMKeyDerivation? {
        SCRAMKeyDerivation(password: password, salt: salt, iterations: iterations)
    }

    public func matches(_ keys: SCRAMKeys) -> Bool {
        SCRAMDigest.areEqual(storedKey, keys.storedKey) && SCRAMDigest.areEqual(serverKey, keys.serverKey)
    }
}

/// SHA-256 and what SCRAM makes of it, over arrays: a login has a handful of them.
enum SCRAMDigest {
    static let bytes = 32

    static func hash(_ message: [UInt8]) -> [UInt8] {
        Array(SHA256.hash(data: message))
    }

    static func hmac(_ message: some Sequence<UInt8>, key: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: Array(message), using: SymmetricKey(data: key)))
    }

    /// `Hi()` of RFC 5802 §2.2, which is PBKDF2 with HMAC-SHA-256 and an output of one digest.
    static func salted(password: [UInt8], salt: [UInt8], iterations: Int) -> [UInt8] {
        // It fails for an unknown hash or an output length below 1 only, neither of which comes from a peer.
        let key = try? KDF.Insecure.PBKDF2.deriveKey(
            from: password, salt: salt, using: .sha256, outputByteCount: bytes, unsafeUncheckedRounds: iterations)
        guard let key else { preconditionFailure("PBKDF2 with SHA-256 takes every password and salt") }
        return key.withUnsafeBytes { Array($0) }
    }

    static func exclusiveOr(_ left: [UInt8], _ right: [UInt8]) -> [UInt8] {
        zip(left, right).map { $0 ^ $1 }
    }

    /// In a time that does not depend on where they differ.
    static func areEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
