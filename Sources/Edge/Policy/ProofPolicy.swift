import Crypto

/// Who may have requests go past layers, and which share of all visitors' does.
public struct ProofConfiguration: Sendable, Equatable {
    /// What ``ProofField`` is signed with; `nil` when nobody may.
    public var secret: String?
    /// From where such requests may come: this machine, unless told otherwise.
    public var clients: [AddressRange] = ["127.0.0.0/8"].compactMap { AddressRange($0) }
    /// The share of requests that goes past ``holdOutLayer``, chosen at random; 0 for none.
    public var holdOutShare = 0.0
    public var holdOutLayer = HoldOut.Layer.responseCache

    public init() {}

    /// Shorter secrets are refused: they could be guessed.
    public static let secretBytesMin = 16
}

/// The field by which `headrace prove` switches layers for one request: `Headrace-Proof: 1764374400;response-cache+br;9f86d0…`.
///
/// The seconds since 1970, the layers that the request goes past, and an HMAC-SHA256 of both in hexadecimal digits. It says nothing of what
/// is asked for, since a load generator writes the same bytes many times. Who overhears it can use it for ``secondsMax``, from an
/// address that may, to make the same layers do nothing for himself.
///
/// The field is taken off before anything else looks at the request: it is in no cache key, no variant, no log, and the application never
/// sees it, whether it was right or not. The answer to one that was right carries the field, with a word that only an edge that has the
/// secret can write: so that `headrace doctor` can tell an edge that was passed from one that was not.
public enum ProofField {
    public static let name = "Headrace-Proof"
    /// How far a clock may be off, and how long a value can be used: 30 s.
    public static let secondsMax: Int64 = 30
    static let bytesMax = 256

    /// - Parameter seconds: since 1970, now.
    public static func value(without layers: EdgeLayers, secret: String, seconds: Int64) -> String {
        let said = "\(seconds);\(layers.text)"
        return said + ";" + hexadecimal(HMAC<SHA256>.authenticationCode(for: Array(signed(said).utf8), using: key(secret)))
    }

    /// What the answer to a request with such a value says: `response-cache+br;5f4dcc…`.
    public static func answer(to value: String, without layers: EdgeLayers, secret: String) -> String {
        answer(to: value, without: layers, key: key(secret))
    }

    static func answer(to value: String, without layers: EdgeLayers, key: SymmetricKey) -> String {
        "\(layers.text);" + hexadecimal(HMAC<SHA256>.authenticationCode(for: Array("headrace-proof answer\n\(value)".utf8), using: key))
    }

    static func key(_ secret: String) -> SymmetricKey { SymmetricKey(data: Array(secret.utf8)) }

    /// What the code is of. The first line keeps a code of ours for something else from being one for this.
    static func signed(_ said: String) -> String { "headrace-proof request\n\(said)" }

    private static func hexadecimal(_ code: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: code.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}

/// Why a ``ProofField`` does nothing. The request is answered as if it had none; the raw value is the metric's label.
enum ProofRefusal: String, Error, Sendable, CaseIterable {
    /// There is no secret.
    case disabled
    /// The client is in none of the networks that may.
    case client
    /// It is not written as it must be, or twice.
    case malformed
    /// It was signed too long ago, or by a clock that is ahead.
    case time
    /// Another secret signed it, or nobody did.
    case signature
}

/// Judges ``ProofField``s for one event loop. A value that was right is remembered, so that of many requests with the same one only
/// the first costs a computation.
struct ProofPolicy {
    /// What a request with the field gets.
    struct Verdict: Equatable {
        var without: EdgeLayers
        /// The field of the answer.
        var answer: String
    }

    private let key: SymmetricKey?
    private let clients: [AddressRange]
    private var known: (value: [UInt8], seconds: Int64, verdict: Verdict)?

    init(_ configuration: ProofConfiguration) {
        key = configuration.secret.map(ProofField.key)
        clients = configuration.clients
    }

    /// - Parameters:
    ///   - value: `nil` when there were several.
    ///   - seconds: since 1970, now.
    mutating func judge(_ value: [UInt8]?, from client: ClientIdentity, seconds: Int64) -> Result<Verdict, ProofRefusal> {
        guard let key else { return .failure(.disabled) }
        guard clients.contains(where: { $0.contains(client.ip) }) else { return .failure(.client) }
        guard let value, value.count <= ProofField.bytesMax else { return .failure(.malformed) }
        if let known, known.value == value {
            return Self.isNow(known.seconds, seconds) ? .success(known.verdict) : .failure(.time)
        }
        let text = String(decoding: value, as: UTF8.self)
        let parts = text.split(separator: ";", omittingEmptySubsequences: false)
        guard parts.count == 3, let time = Int64(parts[0]), time >= 0, let layers = EdgeLayers(text: parts[1]), let code = Self.bytes(parts[2])
        else { return .failure(.malformed) }
        guard Self.isNow(time, seconds) else { return .failure(.time) }
        let said = Array(ProofField.signed("\(parts[0]);\(parts[1])").utf8)
        // Compares in time that does not depend on where the bytes differ.
        guard HMAC<SHA256>.isValidAuthenticationCode(code, authenticating: said, using: key) else { return .failure(.signature) }
        let verdict = Verdict(without: layers, answer: ProofField.answer(to: text, without: layers, key: key))
        known = (value, time, verdict)
        return .success(verdict)
    }

    private static func isNow(_ time: Int64, _ seconds: Int64) -> Bool {
        let (difference, isOver) = time.subtractingReportingOverflow(seconds)
        return !isOver && difference.magnitude <= ProofField.secondsMax.magnitude
    }

    private static func bytes(_ text: Substring) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count == 64 else { return nil }
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: 64, by: 2) {
            guard let high = value(digits[index]), let low = value(digits[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}
