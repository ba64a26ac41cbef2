/// The field names on which Headrace decides something. All others are ``other`` and pass through by their bytes.
///
/// A name is recognised once, while the head is parsed; afterwards every question about a field is a comparison of one
/// byte. At most 63 names besides ``other``, so that a ``FieldSection`` can say which are present in one `UInt64`.
/// - Source: RFC 9110 §5.1; the IANA field name registry.
public enum FieldName: UInt8, CaseIterable, Sendable {
    case other
    case accept, acceptEncoding, acceptLanguage, acceptRanges, age, allow, authorization
    case cacheControl, cacheStatus, cdnCacheControl, connection, contentEncoding, contentLength, contentLocation
    case contentRange, contentType, cookie
    case date, etag, expect, expires, forwarded, host
    case ifMatch, ifModifiedSince, ifNoneMatch, ifRange, ifUnmodifiedSince
    case keepAlive, lastModified, link, location, origin, pragma
    case proxyAuthenticate, proxyAuthorization, proxyConnection
    case range, referer, server, serverTiming, setCookie
    case te, traceparent, tracestate, trailer, transferEncoding
    case upgrade, userAgent, vary, via
    case xForwardedFor, xForwardedHost, xForwardedProto, xRealIP

    /// The spelling that we send.
    public var spelling: StaticString {
        switch self {
        case .other: ""
        case .accept: "Accept"
        case .acceptEncoding: "Accept-Encoding"
        case .acceptLanguage: "Accept-Language"
        case .acceptRanges: "Accept-Ranges"
        case .age: "Age"
        case .allow: "Allow"
        case .authorization: "Authorization"
        case .cacheControl: "Cache-Control"
        case .cacheStatus: "Cache-Status"
        case .cdnCacheControl: "CDN-Cache-Control"
        case .connection: "Connection"
        case .contentEncoding: "Content-Encoding"
        case .contentLength: "Content-Length"
        case .contentLocation: "Content-Location"
        case .contentRange: "Content-Range"
        case .contentType: "Content-Type"
        case .cookie: "Cookie"
        case .date: "Date"
        case .etag: "ETag"
        case .expect: "Expect"
        case .expires: "Expires"
        case .forwarded: "Forwarded"
        case .host: "Host"
        case .ifMatch: "If-Match"
        case .ifModifiedSince: "If-Modified-Since"
        case .ifNoneMatch: "If-None-Match"
        case .ifRange: "If-Range"
        case .ifUnmodifiedSince: "If-Unmodified-Since"
        case .keepAlive: "Keep-Alive"
        case .lastModified: "Last-Modified"
        case .link: "Link"
        case .location: "Location"
        case .origin: "Origin"
        case .pragma: "Pragma"
        case .proxyAuthenticate: "Proxy-Authenticate"
        case .proxyAuthorization: "Proxy-Authorization"
        case .proxyConnection: "Proxy-Connection"
        case .range: "Range"
        case .referer: "Referer"
        case .server: "Server"
        case .serverTiming: "Server-Timing"
        case .setCookie: "Set-Cookie"
        case .te: "TE"
        case .traceparent: "traceparent"
        case .tracestate: "tracestate"
        case .trailer: "Trailer"
        case .transferEncoding: "Transfer-Encoding"
        case .upgrade: "Upgrade"
        case .userAgent: "User-Agent"
        case .vary: "Vary"
        case .via: "Via"
        case .xForwardedFor: "X-Forwarded-For"
        case .xForwardedHost: "X-Forwarded-Host"
        case .xForwardedProto: "X-Forwarded-Proto"
        case .xRealIP: "X-Real-IP"
        }
    }

    /// Whether the field speaks of one connection only and is never forwarded or stored.
    ///
    /// What `Connection` itself names comes on top; the forwarding code asks for both.
    /// - Source: RFC 9110 §7.6.1; RFC 9111 §3.1 for the `Proxy-` fields.
    public var isHopByHop: Bool {
        switch self {
        case .connection, .keepAlive, .proxyAuthenticate, .proxyAuthorization, .proxyConnection, .te, .trailer,
            .transferEncoding, .upgrade:
            true
        default:
            false
        }
    }
}

extension FieldName {
    /// Whether a trailer section may have the field, and a reader use it there.
    ///
    /// A trailer must not have what frames, routes, authorises or modifies a message or tells how to understand it. Of
    /// the names that we decide something on only these are not of that kind; ``other`` is the sender's affair.
    /// - Source: RFC 9110 §6.5.1.
    public var isAllowedInTrailers: Bool {
        switch self {
        case .other, .etag, .serverTiming: true
        default: false
        }
    }

    /// Recognises a name, in any case; ``other`` when it is none of ours.
    ///
    /// The length leaves one to four candidates; the name's bytes decide among them.
    public init(_ name: Span<UInt8>) {
        self = .other
        for candidate in Self.candidates(count: name.count) where candidate.isSpelled(name) { self = candidate }
    }

    private static func candidates(count: Int) -> [FieldName] {
        count < byLength.count ? byLength[count] : []
    }

    /// The names by their length.
    private static let byLength: [[FieldName]] = {
        var table = [[FieldName]](repeating: [], count: 32)
        for name in allCases.dropFirst() { table[name.spelling.utf8CodeUnitCount].append(name) }
        return table
    }()

    private func isSpelled(_ name: Span<UInt8>) -> Bool {
        let spelling = spelling.utf8Start
        for index in name.indices where ASCII.lowercased(name[index]) != ASCII.lowercased(spelling[index]) { return false }
        return true
    }
}
