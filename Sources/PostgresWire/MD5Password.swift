import Crypto

/// PostgreSQL's MD5 passwords: `md5` and 32 hexadecimal digits, stored over password and name, sent over that and a salt.
/// - Source: PostgreSQL 15, "Message Flow", AuthenticationMD5Password.
public struct MD5Password: Sendable, Equatable {
    /// 32 lower-case hexadecimal digits, without `md5`.
    private let digits: String

    public init(password: [UInt8], user: String) {
        digits = Self.digest(password + Array(user.utf8))
    }

    /// The stored form.
    /// - Returns: `nil` for other texts.
    public init?(stored text: some StringProtocol) {
        let bytes = Array(text.utf8)
        guard bytes.count == 35, bytes.starts(with: "md5".utf8), bytes[3...].allSatisfy(Self.isDigit) else { return nil }
        digits = String(decoding: bytes[3...], as: UTF8.self)
    }

    /// The stored form.
    public var text: String { "md5" + digits }

    /// What PasswordMessage carries.
    /// - Parameter salt: the four bytes of AuthenticationMD5Password.
    public func response(salt: [UInt8]) -> String {
        "md5" + Self.digest(Array(digits.utf8) + salt)
    }

    /// Whether a PasswordMessage answers the salt.
    public func accepts(_ response: [UInt8], salt: [UInt8]) -> Bool {
        SCRAMDigest.areEqual(response, Array(self.response(salt: salt).utf8))
    }

    /// Whether a password sent in the clear is this one.
    public func matches(password: [UInt8], user: String) -> Bool {
        SCRAMDigest.areEqual(Array(digits.utf8), Array(MD5Password(password: password, user: user).digits.utf8))
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
    }

    private static func digest(_ bytes: [UInt8]) -> String {
        let hexadecimal = Array("0123456789abcdef".utf8)
        let digits = Insecure.MD5.hash(data: bytes).flatMap { [hexadecimal[Int($0 >> 4)], hexadecimal[Int($0 & 15)]] }
        return String(decoding: digits, as: UTF8.self)
    }
}
