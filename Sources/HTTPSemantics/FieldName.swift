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
    case date, etag, expect, expires, forwarded, headraceCacheControl, headraceProof, host
    case ifMatch, ifModifiedSince, ifNoneMatch, ifRange, ifUnmodifiedSince
    case keepAlive, lastModified, link, location, maxForwards, origin, pragma
    case proxyAuthenticate, proxyAuthorization, proxyConnection
    case range, referer, server, serverTiming, setCookie, surrogateControl
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
        case .headraceCacheControl: "Headrace-Cache-Control"
        case .headraceProof: "Headrace-Proof"
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
        case .maxForwards: "Max-Forwards"
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
        case .surrogateControl: "Surrogate-Control"
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
    /// Whether the field speaks to us alone: it is stored, and not sent to clients.
    /// - Source: RFC 9213 §2; Edge Architecture Specification §2.2 for `Surrogate-Control`.
    public var isForThisCache: Bool { self == .headraceCacheControl || self == .surrogateControl }

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
    /// The length leaves one to seven candidates, of which the first byte mostly decides. The candidates stand in the code
    /// and not in a table, so that the compiler knows their spellings here: a name costs some 30 instructions, and with a
    /// table that has to be built, looked up and retained ten times as many.
    public init(_ name: Span<UInt8>) {
        self =
            switch name.count {
            case 2: Self.pick(name, .te)
            case 3: Self.pick(name, .age, .via)
            case 4: Self.pick(name, .host, .date, .etag, .vary, .link)
            case 5: Self.pick(name, .range, .allow)
            case 6: Self.pick(name, .accept, .cookie, .server, .origin, .pragma, .expect)
            case 7: Self.pick(name, .referer, .expires, .upgrade, .trailer)
            case 8: Self.pick(name, .ifMatch, .ifRange, .location)
            case 9: Self.pick(name, .forwarded, .xRealIP)
            case 10: Self.pick(name, .connection, .userAgent, .setCookie, .keepAlive, .tracestate)
            case 11: Self.pick(name, .traceparent)
            case 12: Self.pick(name, .contentType, .cacheStatus, .maxForwards)
            case 13:
                Self.pick(
                    name, .cacheControl, .ifNoneMatch, .lastModified, .authorization, .contentRange, .acceptRanges, .serverTiming)
            case 14: Self.pick(name, .contentLength, .headraceProof)
            case 15: Self.pick(name, .acceptEncoding, .acceptLanguage, .xForwardedFor)
            case 16: Self.pick(name, .contentEncoding, .contentLocation, .xForwardedHost, .proxyConnection)
            case 17: Self.pick(name, .ifModifiedSince, .transferEncoding, .xForwardedProto, .cdnCacheControl, .surrogateControl)
            case 18: Self.pick(name, .proxyAuthenticate)
            case 19: Self.pick(name, .ifUnmodifiedSince, .proxyAuthorization)
            case 22: Self.pick(name, .headraceCacheControl)
            default: .other
            }
    }

    @inline(__always)
    private static func pick(
        _ name: Span<UInt8>, _ first: FieldName, _ second: FieldName = .other, _ third: FieldName = .other,
        _ fourth: FieldName = .other, _ fifth: FieldName = .other, _ sixth: FieldName = .other,
        _ seventh: FieldName = .other
    ) -> FieldName {
        if first.isSpelled(name) { return first }
        if second.isSpelled(name) { return second }
        if third.isSpelled(name) { return third }
        if fourth.isSpelled(name) { return fourth }
        if fifth.isSpelled(name) { return fifth }
        if sixth.isSpelled(name) { return sixth }
        return seventh.isSpelled(name) ? seventh : .other
    }

    /// Compares whole words, the last of which may overlap the one before it.
    @inline(__always)
    private func isSpelled(_ name: Span<UInt8>) -> Bool {
        let spelling = spelling
        let count = name.count
        guard spelling.utf8CodeUnitCount == count else { return false }
        let (sent, ours) = (name.bytes, UnsafeRawPointer(spelling.utf8Start))
        if count >= 8 {
            var offset = 0
            while offset &+ 8 <= count {
                if Self.differs(sent, ours, at: offset, as: UInt64.self) { return false }
                offset &+= 8
            }
            return !Self.differs(sent, ours, at: count &- 8, as: UInt64.self)
        }
        if count >= 4 {
            return !Self.differs(sent, ours, at: 0, as: UInt32.self) && !Self.differs(sent, ours, at: count &- 4, as: UInt32.self)
        }
        guard count >= 2 else { return false }
        return !Self.differs(sent, ours, at: 0, as: UInt16.self) && !Self.differs(sent, ours, at: count &- 2, as: UInt16.self)
    }

    /// Whether two words are different names: only the bit that makes a letter small may differ, and only where we have a letter
    /// (those have 0x40 set; the hyphen has not).
    @inline(__always)
    private static func differs<Word: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
        _ sent: RawSpan, _ ours: UnsafeRawPointer, at offset: Int, as word: Word.Type
    ) -> Bool {
        let sent = sent.unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: Word.self)
        let ours = ours.loadUnaligned(fromByteOffset: offset, as: Word.self)
        let mayDiffer = (ours &>> 1) & Word(truncatingIfNeeded: 0x2020_2020_2020_2020 as UInt64)
        return (sent ^ ours) & ~mayDiffer != 0
    }
}
