import CCrypt
import Crypto

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A password as `htpasswd` and `mkpasswd` write it.
///
/// ``matches(_:)`` takes as long as whoever made the hash wanted, a tenth of a second for bcrypt at cost 10: it is called on a thread
/// that has nothing else to do, never on an event loop.
/// - Source: crypt(5); Apache, "Password Formats" (`$apr1$`, `{SHA}`).
struct PasswordHash: Sendable, Equatable {
    private enum Kind: Equatable, Sendable {
        /// bcrypt, SHA-crypt, yescrypt, MD5-crypt, DES: whatever the system's library knows.
        case crypt
        case apr1(salt: [UInt8])
        case sha1
    }

    private let text: [UInt8]
    private let kind: Kind

    /// `nil` when it is in none of the formats, such as a password in the clear.
    init?(_ text: String) {
        self.text = Array(text.utf8)
        guard self.text.count <= 256, self.text.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
        if text.hasPrefix("$apr1$") {
            let parts = text.split(separator: "$", omittingEmptySubsequences: false)
            guard parts.count == 4, parts[3].utf8.count == 22, parts[2].utf8.count <= 8 else { return nil }
            kind = .apr1(salt: Array(parts[2].utf8))
        } else if text.hasPrefix("{SHA}") {
            guard self.text.count == 33 else { return nil }
            kind = .sha1
        } else {
            let isKnown = ["$2y$", "$2b$", "$2a$", "$5$", "$6$", "$1$", "$y$"].contains(where: text.hasPrefix)
            let isDES = self.text.count == 13 && self.text.allSatisfy { Self.alphabet.contains($0) }
            guard isKnown || isDES else { return nil }
            kind = .crypt
        }
    }

    func matches(_ password: [UInt8]) -> Bool {
        // The library takes a C string: what stands behind a NUL would not count.
        guard !password.contains(0) else { return false }
        let computed: [UInt8]? =
            switch kind {
            case .crypt: Self.crypt(password, setting: text)
            case .apr1(let salt): Self.apr1(password, salt: salt)
            case .sha1: Array("{SHA}".utf8) + Base64.encoded(Array(Insecure.SHA1.hash(data: password)))
            }
        guard let computed else { return false }
        return Self.isEqual(computed, text)
    }

    /// Compares in time that does not depend on where the bytes differ.
    private static func isEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        guard a.count == b.count else { return false }
        var difference: UInt8 = 0
        for index in a.indices { difference |= a[index] ^ b[index] }
        return difference == 0
    }

    private static func crypt(_ password: [UInt8], setting: [UInt8]) -> [UInt8]? {
        var memory: UnsafeMutableRawPointer?
        var size: Int32 = 0
        defer { free(memory) }
        let (password, setting) = (password.map { CChar(bitPattern: $0) } + [0], setting.map { CChar(bitPattern: $0) } + [0])
        guard let result = crypt_ra(password, setting, &memory, &size) else { return nil }
        return Array(UnsafeBufferPointer(start: result, count: strlen(result))).map { UInt8(bitPattern: $0) }
    }

    private static let alphabet = Array("./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

    /// Apache's variant of MD5-crypt, which is what `htpasswd` makes unless it is told otherwise and which the system's library does
    /// not know.
    private static func apr1(_ password: [UInt8], salt: [UInt8]) -> [UInt8] {
        var outer = Insecure.MD5()
        outer.update(data: password + Array("$apr1$".utf8) + salt)
        var digest = Array(Insecure.MD5.hash(data: password + salt + password))
        var rest = password.count
        while rest > 0 {
            outer.update(data: digest.prefix(rest))
            rest -= 16
        }
        rest = password.count
        while rest > 0 {
            outer.update(data: rest & 1 == 1 ? [0] : Array(password.prefix(1)))
            rest >>= 1
        }
        digest = Array(outer.finalize())
        for round in 0..<1000 {
            var inner = Insecure.MD5()
            inner.update(data: round & 1 == 1 ? password : digest)
            if round % 3 != 0 { inner.update(data: salt) }
            if round % 7 != 0 { inner.update(data: password) }
            inner.update(data: round & 1 == 1 ? digest : password)
            digest = Array(inner.finalize())
        }
        var text = Array("$apr1$".utf8) + salt + [UInt8(ascii: "$")]
        func append(_ value: UInt32, count: Int) {
            var value = value
            for _ in 0..<count {
                text.append(alphabet[Int(value & 0x3F)])
                value >>= 6
            }
        }
        for (a, b, c) in [(0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)] {
            append(UInt32(digest[a]) << 16 | UInt32(digest[b]) << 8 | UInt32(digest[c]), count: 4)
        }
        append(UInt32(digest[11]), count: 2)
        return text
    }
}

/// - Source: RFC 4648 §4.
enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func encoded(_ bytes: [UInt8]) -> [UInt8] {
        var text: [UInt8] = []
        var index = 0
        while index < bytes.count {
            let part = bytes[index..<min(index + 3, bytes.count)]
            var value: UInt32 = 0
            for offset in 0..<3 { value = value << 8 | (offset < part.count ? UInt32(part[index + offset]) : 0) }
            for digit in 0..<4 {
                text.append(digit <= part.count ? alphabet[Int(value >> UInt32(18 - 6 * digit) & 0x3F)] : UInt8(ascii: "="))
            }
            index += 3
        }
        return text
    }

    /// `nil` when it is not well-formed; padding may be left out, as some clients do.
    static func decoded(_ text: Span<UInt8>) -> [UInt8]? {
        var end = text.count
        while end > 0, end > text.count - 2, text[end - 1] == UInt8(ascii: "=") { end -= 1 }
        guard end % 4 != 1 else { return nil }
        var bytes: [UInt8] = []
        var (value, bits) = (UInt32(0), 0)
        for index in 0..<end {
            let digit: UInt32
            switch text[index] {
            case let byte where byte &- 0x41 < 26: digit = UInt32(byte &- 0x41)
            case let byte where byte &- 0x61 < 26: digit = UInt32(byte &- 0x61) + 26
            case let byte where byte &- 0x30 < 10: digit = UInt32(byte &- 0x30) + 52
            case UInt8(ascii: "+"): digit = 62
            case UInt8(ascii: "/"): digit = 63
            default: return nil
            }
            value = value << 6 | digit
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(bits)))
                value &= (1 << UInt32(bits)) - 1
            }
        }
        return bytes
    }
}
