/// A request's method. Methods are case-sensitive; what is not listed is ``other`` and forwarded by its bytes.
/// - Source: RFC 9110 §9; PATCH: RFC 5789.
public enum Method: UInt8, CaseIterable, Sendable {
    case other, get, head, post, put, delete, connect, options, trace, patch

    /// - Source: RFC 9110 §9.2.1.
    public var isSafe: Bool {
        switch self {
        case .get, .head, .options, .trace: true
        case .other, .post, .put, .delete, .connect, .patch: false
        }
    }

    /// - Source: RFC 9110 §9.2.2.
    public var isIdempotent: Bool {
        switch self {
        case .get, .head, .options, .trace, .put, .delete: true
        case .other, .post, .connect, .patch: false
        }
    }
}

extension Method {
    /// Recognises a method by its bytes; ``other`` when it is none of the table's.
    public init(_ name: Span<UInt8>) {
        func isNamed(_ spelling: StaticString) -> Bool {
            for index in 0..<name.count where name[index] != spelling.utf8Start[index] { return false }
            return true
        }
        self =
            switch name.count {
            case 3: isNamed("GET") ? .get : isNamed("PUT") ? .put : .other
            case 4: isNamed("HEAD") ? .head : isNamed("POST") ? .post : .other
            case 5: isNamed("PATCH") ? .patch : isNamed("TRACE") ? .trace : .other
            case 6: isNamed("DELETE") ? .delete : .other
            case 7: isNamed("OPTIONS") ? .options : isNamed("CONNECT") ? .connect : .other
            default: .other
            }
    }

    /// The method as it is sent; empty for ``other``, whose bytes only its request knows.
    public var spelling: StaticString {
        switch self {
        case .other: ""
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .delete: "DELETE"
        case .connect: "CONNECT"
        case .options: "OPTIONS"
        case .trace: "TRACE"
        case .patch: "PATCH"
        }
    }
}

/// How the end of a message body is found.
/// - Source: RFC 9112 §6.3.
public enum BodyFraming: Equatable, Sendable {
    /// There is no body.
    case none
    /// Exactly so many bytes.
    case length(Int)
    /// `Transfer-Encoding: chunked`.
    case chunked
    /// A response that ends with its connection.
    case untilClose

    /// Whether no byte follows the head.
    public var isEmpty: Bool { self == .none || self == .length(0) }
}

/// A request's head. The parser has checked its syntax and framing: whoever holds one may trust both.
///
/// ``fields``' bytes hold the request line too, so that a head is one piece of memory.
/// - Source: RFC 9112 §2, §3; RFC 9110 §7.
public struct RequestHead: Sendable {
    public var method: Method = .other
    /// Where the method's bytes lie in `fields.bytes`.
    public var methodRange: Range<Int> = 0..<0
    /// Where the path and query lie in `fields.bytes`; for absolute-form without scheme and authority, for
    /// `OPTIONS *` the asterisk, for CONNECT the authority.
    public var target: Range<Int> = 0..<0
    /// Where the authority lies: of the request target if it has one, else of `Host`; empty for HTTP/1.0 without `Host`.
    public var authority: Range<Int> = 0..<0
    /// Whether the target names the scheme `https`: in absolute-form, or by HTTP/2's `:scheme`.
    public var isForHTTPS = false
    /// 1, or 2 for what came as HTTP/2 and is in all else like HTTP/1.1.
    public var majorVersion: UInt8 = 1
    /// The minor version of HTTP/1.x: 0 or 1.
    public var minorVersion: UInt8 = 1
    public var framing: BodyFraming = .none
    /// Whether the client keeps the connection after the response.
    /// - Source: RFC 9112 §9.3.
    public var keepsAlive = true
    /// Whether the client waits for `100 Continue` before it sends the body.
    /// - Source: RFC 9110 §10.1.1.
    public var expectsContinue = false
    public var fields = FieldSection()

    public init() {}
}

/// A response's head. As with ``RequestHead``, its syntax and framing have been checked.
/// - Source: RFC 9112 §4, §6.3.
public struct ResponseHead: Sendable {
    public var status = 0
    public var minorVersion: UInt8 = 1
    public var framing: BodyFraming = .none
    /// Whether the server keeps the connection after the body.
    public var keepsAlive = true
    public var fields = FieldSection()

    public init() {}
}
