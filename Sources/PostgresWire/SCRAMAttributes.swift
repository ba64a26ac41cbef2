/// SCRAM's two mechanisms as PostgreSQL names them. `-PLUS` binds the login to the TLS connection.
public enum SCRAMMechanism: String, Sendable, CaseIterable {
    case sha256 = "SCRAM-SHA-256"
    case sha256Plus = "SCRAM-SHA-256-PLUS"
}

/// Why a SCRAM exchange ended without a login.
public enum SCRAMError: String, Error, Equatable, Sendable, CaseIterable {
    /// A message is longer than ``SCRAMAttributes/messageBytesMax``.
    case messageTooLong
    /// A message does not follow RFC 5802 §7.
    case messageMalformed
    /// A message came that nobody waited for.
    case messageUnexpected
    /// A mandatory extension, `m=`, which nobody knows (RFC 5802 §5.1).
    case extensionUnknown
    /// The peer's nonce does not continue ours, or is not printable ASCII.
    case nonceMismatch
    /// The iteration count is no number from 1 to ``SCRAMSecret/iterationsMax``.
    case iterationsOutOfBounds
    /// The salt is no Base64, empty or longer than ``SCRAMSecret/saltBytesMax``.
    case saltInvalid
    /// The proof is not made with the password.
    case proofWrong
    /// The server does not know the password either: it is not the one that it says it is.
    case serverSignatureWrong
    /// The server says `e=`: it refuses.
    case refusedByServer
    /// The peer offers or chose a mechanism that we do not know.
    case mechanismUnknown
    /// An identity other than the user's own (`a=`).
    case authorizationIdentity
    /// The client binds to a channel in a way other than the mechanism says, or to another channel.
    case channelBindingMismatch
    /// The client could bind to the channel but believes that we cannot, though we offered it: somebody took the offer away.
    case channelBindingDowngrade
    /// Binding to the channel is demanded and cannot be had.
    case channelBindingUnavailable
}

/// Reads the attributes `x=value,` of SCRAM's messages, one after the other.
/// - Source: RFC 5802 §5.1, §7.
struct SCRAMAttributes {
    /// PostgreSQL's own bound (`PG_MAX_SASL_MESSAGE_LENGTH`).
    static let messageBytesMax = 1024

    private let bytes: [UInt8]
    private(set) var position: Int

    init(_ bytes: [UInt8], from position: Int = 0) throws(SCRAMError) {
        guard bytes.count <= Self.messageBytesMax else { throw .messageTooLong }
        self.bytes = bytes
        self.position = position
    }

    var isAtEnd: Bool { position >= bytes.count }

    /// The name of the attribute that comes next.
    var nextName: UInt8? { position < bytes.count ? bytes[position] : nil }

    /// The value of the attribute that must come next; the comma behind it is passed over.
    mutating func value(of name: Character) throws(SCRAMError) -> ArraySlice<UInt8> {
        guard let first = nextName, Character(Unicode.Scalar(first)) == name else {
            throw nextName == UInt8(ascii: "m") ? .extensionUnknown : .messageMalformed
        }
        guard position + 1 < bytes.count, bytes[position + 1] == UInt8(ascii: "=") else { throw .messageMalformed }
        let start = position + 2
        let end = bytes[start...].firstIndex(of: UInt8(ascii: ",")) ?? bytes.count
        guard !bytes[start..<end].contains(0) else { throw .messageMalformed }
        // A comma at the very end promises one more attribute.
        guard end != bytes.count - 1 else { throw .messageMalformed }
        position = min(end + 1, bytes.count)
        return bytes[start..<end]
    }

    /// Extensions that follow are to be ignored unless malformed.
    mutating func skipExtensions() throws(SCRAMError) {
        while let name = nextName {
            guard Self.isLetter(name) else { throw .messageMalformed }
            _ = try value(of: Character(Unicode.Scalar(name)))
        }
    }

    static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }

    /// `printable` of RFC 5802 §7; commas have ended the value already.
    static func isNonce(_ value: some Collection<UInt8>) -> Bool {
        !value.isEmpty && value.allSatisfy { (0x21...0x7E).contains($0) }
    }

    /// A number without sign or leading zero, above 0.
    static func number(_ value: some Collection<UInt8>) -> Int? {
        guard let first = value.first, first != UInt8(ascii: "0"), value.count <= 10 else { return nil }
        var number = 0
        for byte in value {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            // Ten digits at most: no overflow.
            number = number * 10 + Int(byte - UInt8(ascii: "0"))
        }
        return number
    }
}

/// The nonce of one side of one login: 18 random bytes in Base64, as PostgreSQL's.
public enum SCRAMNonce {
    public static func make(using random: inout some RandomNumberGenerator) -> String {
        Base64.encode(RandomBytes.make(18, using: &random))
    }

    /// From the system's generator, which is fit for keys.
    public static func make() -> String {
        var random = SystemRandomNumberGenerator()
        return make(using: &random)
    }
}
