import Crypto
import HTTPSemantics
import Telemetry

/// Who may use a route, by name and password.
///
/// Good password hashes are slow by design, and a browser sends its credentials with every request. So what was found right once is
/// remembered, as a keyed digest that is good for nothing else, until the file is read anew; what was not is asked again each time,
/// elsewhere and a bounded number at a time.
/// - Source: RFC 7617.
final class BasicAuthenticator: Sendable {
    enum Verdict: Equatable {
        /// Found right before: who it is.
        case accepted(user: String)
        /// None, or not to be understood.
        case missing
        /// To be asked of ``isRight(_:)``, off the event loop.
        case unknown(Credentials)
    }

    struct Credentials: Equatable, Sendable {
        let user: String
        let password: [UInt8]
        fileprivate let digest: SHA256.Digest
    }

    /// What is wrong with a file of passwords, without a word of it.
    struct Problem: Error, Equatable, CustomStringConvertible {
        let description: String
    }

    /// Name and password together; more is no password.
    static let credentialBytesMax = 1024
    /// Credentials that are remembered. When they are more, all are forgotten and found right again one by one.
    static let acceptedMax = 4096
    static let usersMax = 10_000

    let text: String
    private let users: [String: PasswordHash]
    /// Asked in the place of that of a user who is not there, so that the time does not tell who is.
    private let nobody: PasswordHash?
    private let key = SymmetricKey(size: .bits256)
    private let acceptedDigests = Lock<[SHA256.Digest: String]>([:])

    /// - Parameter text: lines of `name:hash`; empty ones and those that begin with `#` do not count.
    /// - Throws: `Problem` with the number of the line.
    init(_ text: String) throws(Problem) {
        self.text = text
        var users: [String: PasswordHash] = [:]
        var first: PasswordHash?
        // CR and LF together are one character, and not the character LF.
        for (number, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            if line.isEmpty || line.hasPrefix("#") { continue }
            guard let colon = line.firstIndex(of: ":"), colon > line.startIndex else {
                throw Problem(description: "line \(number + 1) is not name:hash")
            }
            let hash = line[line.index(after: colon)...].prefix { $0 != ":" }
            guard let hash = PasswordHash(String(hash)) else {
                throw Problem(description: "line \(number + 1): the hash is in no known format (bcrypt, apr1, {SHA}, crypt)")
            }
            guard users.count < Self.usersMax else { throw Problem(description: "there are more than \(Self.usersMax) users") }
            users[String(line[..<colon])] = hash
            first = first ?? hash
        }
        self.users = users
        nobody = first
    }

    func verdict(_ fields: borrowing FieldSection) -> Verdict {
        guard fields.count(of: .authorization) == 1, let index = fields.firstIndex(of: .authorization) else { return .missing }
        let value = fields.value(at: index)
        guard value.count > 6, value.count <= 2 * Self.credentialBytesMax, Self.isBasic(value) else { return .missing }
        var start = 6
        while start < value.count, value[start] == UInt8(ascii: " ") { start += 1 }
        let encoded = value.extracting(start..<value.count)
        let authentication = encoded.withUnsafeBytes { HMAC<SHA256>.authenticationCode(for: $0, using: key) }
        let digest = SHA256.hash(data: Array(authentication))
        if let user = acceptedDigests.withLock({ $0[digest] }) { return .accepted(user: user) }
        guard let bytes = Base64.decoded(encoded), bytes.count <= Self.credentialBytesMax,
            let colon = bytes.firstIndex(of: UInt8(ascii: ":"))
        else { return .missing }
        return .unknown(
            Credentials(
                user: String(decoding: bytes[..<colon], as: UTF8.self), password: Array(bytes[(colon + 1)...]), digest: digest))
    }

    /// Whether name and password belong together; remembered if they do. Slow.
    func isRight(_ credentials: Credentials) -> Bool {
        let hash = users[credentials.user]
        let isRight = (hash ?? nobody)?.matches(credentials.password) ?? false
        guard isRight, hash != nil else { return false }
        acceptedDigests.withLock { digests in
            if digests.count >= Self.acceptedMax { digests.removeAll() }
            digests[credentials.digest] = credentials.user
        }
        return true
    }

    private static func isBasic(_ value: Span<UInt8>) -> Bool {
        let scheme: StaticString = "basic "
        for index in 0..<6 where ASCII.lowercased(value[index]) != scheme.utf8Start[index] { return false }
        return true
    }
}
