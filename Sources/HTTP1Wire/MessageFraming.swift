internal import HTTPSemantics

/// What the fields that speak of one message and its connection say together.
///
/// Collected in one pass over a head's lines. Each rule refuses what two readers could understand in two ways: that is
/// how requests are smuggled past a proxy.
/// - Source: RFC 9112 §6 (framing), §9.3 (persistence); RFC 9110 §7.6.1 (Connection), §10.1.1 (Expect).
struct MessageFraming {
    /// The value of `Content-Length`.
    var length: Int?
    var isChunked = false
    /// `Connection: close`.
    var closes = false
    /// `Connection: keep-alive`, which HTTP/1.0 needs.
    var asksToKeepAlive = false
    /// Options of all `Connection` lines.
    private var connectionOptionCount = 0
    /// `Expect: 100-continue`.
    var expectsContinue = false
    /// Where `Host` lies.
    var host: Range<Int>?

    /// The names that are looked at here, a bit per `FieldName.rawValue`.
    private static let names: UInt64 =
        bit(.host) | bit(.contentLength) | bit(.transferEncoding) | bit(.connection) | bit(.expect)

    @inline(__always)
    private static func bit(_ name: FieldName) -> UInt64 { 1 &<< UInt64(name.rawValue) }

    /// - Parameters:
    ///   - bytes: what the lines point into.
    ///   - isRequest: whether `Host` and `Expect` mean something.
    init(_ lines: [FieldSection.Line], in bytes: Span<UInt8>, isRequest: Bool, minorVersion: UInt8) throws(HTTP1Error) {
        var hasTransferEncoding = false
        for line in lines where Self.bit(line.name) & Self.names != 0 {
            let start = Int(line.valueStart)
            let end = start &+ Int(line.valueCount)
            switch line.name {
            case .contentLength:
                if length != nil { throw HTTP1Error(.lengthRepeated) }
                length = try Self.parseLength(bytes, start, end)
            case .transferEncoding:
                hasTransferEncoding = true
                try addTransferEncoding(bytes, start, end)
            case .connection:
                try addConnection(bytes, start, end)
            case .host where isRequest:
                if host != nil { throw HTTP1Error(.hostRepeated) }
                host = start..<end
            case .expect where isRequest:
                guard Self.equals(bytes, start, end, "100-continue") else { throw HTTP1Error(.expectationUnknown) }
                expectsContinue = true
            default:
                break
            }
        }
        if hasTransferEncoding {
            if length != nil { throw HTTP1Error(.lengthAndTransferEncoding) }
            if minorVersion == 0 { throw HTTP1Error(.transferEncodingInOldVersion) }
        }
    }

    /// `1*DIGIT`, without sign, list or white space, and not over `Int.max`.
    static func parseLength(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) throws(HTTP1Error) -> Int {
        if start == end { throw HTTP1Error(.lengthMalformed) }
        var value = 0
        for index in start..<end {
            let digit = bytes[index] &- 0x30
            let (tenfold, overflowed) = value.multipliedReportingOverflow(by: 10)
            let (sum, carried) = tenfold.addingReportingOverflow(Int(digit))
            if digit > 9 || overflowed || carried { throw HTTP1Error(.lengthMalformed) }
            value = sum
        }
        return value
    }

    /// Exactly one `chunked` is let through. RFC 9112 §7 would allow codings before it; we could not decode them, and to
    /// forward them means to trust that the next reader counts the same.
    private mutating func addTransferEncoding(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) throws(HTTP1Error) {
        var index = start
        while true {
            let tokenEnd = OctetScan.endOfToken(in: bytes, from: index, to: end)
            if tokenEnd == index { throw HTTP1Error(.transferEncodingMalformed) }
            if isChunked { throw HTTP1Error(.chunkedNotFinal) }
            guard Self.equals(bytes, index, tokenEnd, "chunked") else { throw HTTP1Error(.transferCodingUnknown) }
            isChunked = true
            index = Self.skipSpaces(bytes, tokenEnd, end)
            if index == end { return }
            if bytes[index] != UInt8(ascii: ",") { throw HTTP1Error(.transferEncodingMalformed) }
            index = Self.skipSpaces(bytes, index &+ 1, end)
        }
    }

    /// The most options that `Connection` may list. 64: each is compared with each field when a message is forwarded, and a
    /// head could list thousands.
    static let connectionOptionsMax = 64

    /// A list of tokens; empty elements are passed over, as RFC 9110 §5.6.1.2 asks of who receives a list.
    private mutating func addConnection(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) throws(HTTP1Error) {
        var index = start
        while index < end {
            let tokenEnd = OctetScan.endOfToken(in: bytes, from: index, to: end)
            if tokenEnd > index { connectionOptionCount += 1 }
            if connectionOptionCount > Self.connectionOptionsMax { throw HTTP1Error(.connectionMalformed) }
            if Self.equals(bytes, index, tokenEnd, "keep-alive") {
                asksToKeepAlive = true
            } else if Self.equals(bytes, index, tokenEnd, "close") {
                closes = true
            }
            index = Self.skipSpaces(bytes, tokenEnd, end)
            if index < end {
                if bytes[index] != UInt8(ascii: ",") { throw HTTP1Error(.connectionMalformed) }
                index = Self.skipSpaces(bytes, index &+ 1, end)
            }
        }
    }

    private static func skipSpaces(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
        var index = start
        while index < end, bytes[index] == Octets.space || bytes[index] == Octets.tab { index &+= 1 }
        return index
    }

    /// Whether the bytes spell a word, in any case. The word is in small letters.
    static func equals(_ bytes: Span<UInt8>, _ start: Int, _ end: Int, _ word: StaticString) -> Bool {
        guard end &- start == word.utf8CodeUnitCount else { return false }
        for index in start..<end where Octets.lowercased(bytes[index]) != word.utf8Start[index &- start] {
            return false
        }
        return true
    }
}
