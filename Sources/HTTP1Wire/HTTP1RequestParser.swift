public import HTTPSemantics
public import NIOCore

/// Reads request heads, strictly and a piece at a time.
///
/// Nothing is guessed: what RFC 9112 lets a lenient reader repair is refused, because the next reader might repair it
/// otherwise. One parser serves one connection; in steady state a head costs no allocation.
/// - Source: RFC 9112 §2, §3, §5, §6.
public struct HTTP1RequestParser {
    private let limits: HTTP1Limits
    private var stage = Stage.method
    private var hasSkippedEmptyLine = false
    private var methodEnd = 0
    private var targetEnd = 0
    private var minorVersion: UInt8 = 1
    /// The first byte of the request line that has not been looked at.
    private var position = 0
    private var scanner = FieldLineScanner()

    /// What the next byte belongs to. Each may be followed by the next one only, `fields` by `method` of the next head.
    private enum Stage { case method, target, version, fields }

    public init(limits: HTTP1Limits = HTTP1Limits()) {
        self.limits = limits
    }

    /// Reads one head if it is there as a whole.
    ///
    /// While it is not, the bytes stay in the buffer (but for one empty line before the request line, RFC 9112 §2.2), and
    /// the next call gets them again with more behind them.
    /// - Parameter head: filled when the result is `true`; as it was when it is not. Give the last head again: its memory
    ///   is used anew.
    /// - Returns: whether a head was read; the buffer then starts with what follows it.
    /// - Throws: when the head is refused; the parser and the connection are of no use afterwards.
    public mutating func parse(_ buffer: inout ByteBuffer, into head: inout RequestHead) throws(HTTP1Error) -> Bool {
        if stage == .method, position == 0 {
            guard try skipEmptyLine(&buffer) else { return false }
        }
        guard let count = try parse(buffer.readableBytesUInt8Span, into: &head) else { return false }
        buffer.moveReaderIndex(forwardBy: count)
        return true
    }

    /// - Returns: whether the request line may begin.
    private mutating func skipEmptyLine(_ buffer: inout ByteBuffer) throws(HTTP1Error) -> Bool {
        while true {
            guard let first = buffer.getInteger(at: buffer.readerIndex, as: UInt8.self) else { return false }
            if first == Octets.lf { throw HTTP1Error(.bareLF) }
            guard first == Octets.cr else { return true }
            guard let second = buffer.getInteger(at: buffer.readerIndex + 1, as: UInt8.self) else { return false }
            if second != Octets.lf { throw HTTP1Error(.bareCR) }
            if hasSkippedEmptyLine { throw HTTP1Error(.emptyLines) }
            hasSkippedEmptyLine = true
            buffer.moveReaderIndex(forwardBy: 2)
        }
    }

    /// - Returns: how many bytes the head has, `nil` when it is not whole.
    private mutating func parse(_ bytes: Span<UInt8>, into head: inout RequestHead) throws(HTTP1Error) -> Int? {
        if stage != .fields {
            guard try parseRequestLine(bytes) else { return nil }
            scanner.begin(at: position)
        }
        guard
            let end = try scanner.scan(
                bytes, bytesMax: limits.headBytesMax, countMax: limits.fieldCountMax, tooLarge: .headTooLarge)
        else { return nil }
        try finish(bytes.extracting(0..<end), into: &head)
        stage = .method
        position = 0
        hasSkippedEmptyLine = false
        return end
    }

    private mutating func parseRequestLine(_ bytes: Span<UInt8>) throws(HTTP1Error) -> Bool {
        let limit = min(bytes.count, limits.requestLineBytesMax)
        precondition(position <= bytes.count, "an HTTP/1 parser was called with fewer bytes than before")
        if stage == .method {
            position = OctetScan.endOfToken(in: bytes, from: position, to: limit)
            guard try isInside(limit) else { return false }
            guard bytes[position] == Octets.space, position > 0 else {
                throw HTTP1Error(Self.fault(of: bytes[position], otherwise: .methodNotToken, atCR: .targetMissing))
            }
            methodEnd = position
            position += 1
            stage = .target
        }
        if stage == .target {
            position = OctetScan.endOfTarget(in: bytes, from: position, to: limit)
            guard try isInside(limit) else { return false }
            guard bytes[position] == Octets.space, position > methodEnd + 1 else {
                if bytes[position] == UInt8(ascii: "#") { throw HTTP1Error(.targetFragment) }
                let isEmpty = position == methodEnd + 1
                throw HTTP1Error(
                    Self.fault(
                        of: bytes[position], otherwise: .targetByte, atCR: isEmpty ? .targetMissing : .versionMissing))
            }
            targetEnd = position
            position += 1
            stage = .version
        }
        guard position + 8 <= limits.requestLineBytesMax else { throw HTTP1Error(.requestLineTooLong) }
        guard let minor = try VersionText.parse(bytes, at: position) else { return false }
        minorVersion = minor
        let end = position + 8
        guard end < bytes.count else { return false }
        guard bytes[end] == Octets.cr else {
            // A space here is most often one between target and version, or a second version: both spoil the line.
            throw HTTP1Error(bytes[end] == Octets.lf ? .bareLF : .versionMalformed)
        }
        guard end + 1 < bytes.count else { return false }
        guard bytes[end + 1] == Octets.lf else { throw HTTP1Error(.bareCR) }
        position = end + 2
        stage = .fields
        return true
    }

    /// Whether ``position`` is at a byte. If the line has reached its limit without an end, it is too long.
    private func isInside(_ limit: Int) throws(HTTP1Error) -> Bool {
        if position < limit { return true }
        if limit == limits.requestLineBytesMax { throw HTTP1Error(.requestLineTooLong) }
        return false
    }

    private static func fault(
        of byte: UInt8, otherwise: HTTP1Error.Code, atCR: HTTP1Error.Code
    ) -> HTTP1Error.Code {
        switch byte {
        case Octets.lf: .bareLF
        case Octets.cr: atCR
        default: otherwise
        }
    }

    /// Judges a whole head and moves it into its value.
    private mutating func finish(_ bytes: Span<UInt8>, into head: inout RequestHead) throws(HTTP1Error) {
        let method = Method(bytes.extracting(0..<methodEnd))
        let form = try RequestTargetForm(bytes, methodEnd + 1..<targetEnd, method: method)
        let framing = try MessageFraming(scanner.lines, in: bytes, isRequest: true, minorVersion: minorVersion)

        var authority = form.authority ?? 0..<0
        if let hostRange = framing.host {
            guard let host = HostValue(bytes, hostRange) else { throw HTTP1Error(.hostInvalid) }
            if let own = form.authority, let value = HostValue(bytes, own) {
                guard host.isSame(as: value, in: bytes, defaultPort: form.defaultPort) else {
                    throw HTTP1Error(.hostDisagrees)
                }
            } else {
                authority = hostRange
            }
        } else if minorVersion > 0 {
            throw HTTP1Error(.hostMissing)
        }

        head.method = method
        head.methodRange = 0..<methodEnd
        head.target = form.target
        head.authority = authority
        head.isForHTTPS = form.defaultPort == 443
        head.minorVersion = minorVersion
        if framing.isChunked {
            head.framing = .chunked
        } else if let length = framing.length {
            head.framing = .length(length)
        } else {
            head.framing = .none
        }
        head.keepsAlive = !framing.closes && (minorVersion > 0 || framing.asksToKeepAlive)
        // HTTP/1.0 knows no interim answers: RFC 9110 §10.1.1 has a server pass over the expectation.
        head.expectsContinue =
            framing.expectsContinue && minorVersion > 0 && (framing.isChunked || framing.length ?? 0 > 0)
        head.fields.replace(bytes: bytes, lines: &scanner.lines)
        if form.target.isEmpty || bytes[form.target.lowerBound] == UInt8(ascii: "?") {
            completeTarget(form.target, of: &head)
        }
    }

    /// Gives an absolute-form without a path the one that it means: `/`, or `*` for OPTIONS of the server itself.
    /// - Source: RFC 9110 §4.2.3; RFC 9112 §3.2.4.
    private func completeTarget(_ query: Range<Int>, of head: inout RequestHead) {
        let path: StaticString = head.method == .options && query.isEmpty ? "*" : "/"
        let start = head.fields.appendBytes(path).lowerBound
        head.fields.appendBytes(copying: query)
        head.target = start..<head.fields.bytes.count
    }
}
