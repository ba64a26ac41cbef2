public import HTTPSemantics
public import NIOCore

/// Reads response heads, as strictly as ``HTTP1RequestParser`` reads requests.
///
/// Every error has status 502: it is the upstream's fault. The upstream's connection is closed, and nothing of the
/// response is stored.
/// - Source: RFC 9112 §4, §5, §6.
public struct HTTP1ResponseParser {
    private let limits: HTTP1Limits
    private var status = 0
    private var minorVersion: UInt8 = 1
    /// The first byte of the status line that has not been looked at; its end when ``isInFields``.
    private var position = 0
    private var isInFields = false
    private var scanner = FieldLineScanner()

    public init(limits: HTTP1Limits = HTTP1Limits()) {
        self.limits = limits
    }

    /// Reads one head if it is there as a whole; see ``HTTP1RequestParser/parse(_:into:)`` for the manners.
    ///
    /// An interim response (1xx) is a head of its own with framing ``BodyFraming/none``: the caller asks again for the
    /// final one, unless it is 101.
    /// - Parameter method: of the request that is answered: HEAD has no body, nor has a successful CONNECT.
    public mutating func parse(
        _ buffer: inout ByteBuffer, into head: inout ResponseHead, answering method: Method
    ) throws(HTTP1Error) -> Bool {
        let count: Int?
        do throws(HTTP1Error) {
            count = try parse(buffer.readableBytesUInt8Span, into: &head, answering: method)
        } catch {
            throw error.fromUpstream
        }
        guard let count else { return false }
        buffer.moveReaderIndex(forwardBy: count)
        return true
    }

    private mutating func parse(
        _ bytes: Span<UInt8>, into head: inout ResponseHead, answering method: Method
    ) throws(HTTP1Error) -> Int? {
        if !isInFields {
            guard try parseStatusLine(bytes) else { return nil }
            scanner.begin(at: position)
        }
        guard
            let end = try scanner.scan(
                bytes, bytesMax: limits.headBytesMax, countMax: limits.fieldCountMax, tooLarge: .headTooLarge)
        else { return nil }
        try finish(bytes.extracting(0..<end), into: &head, answering: method)
        position = 0
        isInFields = false
        return end
    }

    /// `HTTP/1.1 SP 3DIGIT SP [reason] CRLF`. The second space may be missing when there is no reason: servers do that,
    /// and nobody can understand it in two ways.
    private mutating func parseStatusLine(_ bytes: Span<UInt8>) throws(HTTP1Error) -> Bool {
        precondition(position <= bytes.count, "an HTTP/1 parser was called with fewer bytes than before")
        if position == 0 {
            guard let minor = try VersionText.parse(bytes, at: 0) else { return false }
            minorVersion = minor
            guard bytes.count >= 13 else { return false }
            status = 0
            for index in 9..<12 {
                guard Octets.isDigit(bytes[index]) else { throw HTTP1Error(.statusMalformed) }
                status = status * 10 + Int(bytes[index] &- 0x30)
            }
            guard bytes[8] == Octets.space, status >= 100, bytes[12] == Octets.space || bytes[12] == Octets.cr else {
                throw HTTP1Error(bytes[12] == Octets.lf ? .bareLF : .statusMalformed)
            }
            position = 12
        }
        let limit = min(bytes.count, limits.requestLineBytesMax + 1)
        position = OctetScan.endOfFieldValue(in: bytes, from: position, to: limit)
        guard position < limit else {
            if position > limits.requestLineBytesMax { throw HTTP1Error(.statusLineTooLong) }
            return false
        }
        guard bytes[position] == Octets.cr else {
            throw HTTP1Error(bytes[position] == Octets.lf ? .bareLF : .reasonByte)
        }
        guard position + 1 < bytes.count else { return false }
        guard bytes[position + 1] == Octets.lf else { throw HTTP1Error(.bareCR) }
        position += 2
        isInFields = true
        return true
    }

    private mutating func finish(
        _ bytes: Span<UInt8>, into head: inout ResponseHead, answering method: Method
    ) throws(HTTP1Error) {
        let fields = try MessageFraming(scanner.lines, in: bytes, isRequest: false, minorVersion: minorVersion)
        head.status = status
        head.minorVersion = minorVersion
        var keepsAlive = !fields.closes && (minorVersion > 0 || fields.asksToKeepAlive)
        switch status {
        case _ where method == .head, 304:
            head.framing = .none
        case 100..<200, 204,
            200..<300 where method == .connect:
            head.framing = .none
            // A body may follow all the same, and would be taken for the next response.
            if fields.isChunked || fields.length ?? 0 > 0 { keepsAlive = false }
        case _ where fields.isChunked:
            head.framing = .chunked
        default:
            if let length = fields.length {
                head.framing = .length(length)
            } else {
                head.framing = .untilClose
                keepsAlive = false
            }
        }
        head.keepsAlive = keepsAlive
        head.fields.replace(bytes: bytes, lines: &scanner.lines)
    }
}
