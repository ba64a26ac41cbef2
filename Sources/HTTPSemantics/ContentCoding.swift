/// A content coding that we know. What is not listed passes through untouched.
/// - Source: RFC 9110 §8.4.1; brotli: RFC 7932; zstd: RFC 8878.
public enum ContentCoding: UInt8, CaseIterable, Sendable {
    case identity, gzip, brotli, zstd

    /// The name in fields.
    public var token: StaticString {
        switch self {
        case .identity: "identity"
        case .gzip: "gzip"
        case .brotli: "br"
        case .zstd: "zstd"
        }
    }

    /// Recognises a name, in any case; `x-gzip` is `gzip` (RFC 9110 §8.4.1.3).
    public init?(token: Span<UInt8>) {
        for coding in Self.allCases where ASCII.equals(token, coding.token) {
            self = coding
            return
        }
        guard ASCII.equals(token, "x-gzip") else { return nil }
        self = .gzip
    }
}

/// A set of content codings.
public struct CodingSet: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    public init(_ coding: ContentCoding) {
        rawValue = 1 << coding.rawValue
    }

    public static let identity = CodingSet(.identity)
    public static let gzip = CodingSet(.gzip)
    public static let brotli = CodingSet(.brotli)
    public static let zstd = CodingSet(.zstd)
}
