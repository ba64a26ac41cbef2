import HTTP1Wire
public import HTTPSemantics

/// Makes a request's head of the fields of a header block.
///
/// Whoever reads the head afterwards finds what HTTP/1.1 would have brought: `Host`, one `Cookie`. What cannot be said in HTTP/1.1 without
/// being taken for something else is refused here, since that is how requests are smuggled past a proxy.
/// - Source: RFC 9113 §8.2, §8.3; RFC 8441 §4.
public struct HTTP2RequestFields {
    /// Why a request is malformed. The stream is reset with PROTOCOL_ERROR.
    public enum Fault: String, CaseIterable, Sendable {
        /// A name has capitals or is no token, or a value has what none may have (§8.2.1).
        case field
        /// `Connection` and its like, or `TE` with anything but `trailers` (§8.2.2).
        case connectionSpecific
        /// One that is not of a request, behind a regular field, twice, or empty (§8.3).
        case pseudoField
        /// `:method`, `:scheme`, `:path` or the authority is not there, or not what it may be (§8.3.1).
        case target
        /// `Host` says something else than `:authority` (§8.3.1).
        case host
        /// No number, or several (§8.1.1).
        case contentLength
        /// A trailer section with a pseudo-field (§8.1).
        case trailers
    }

    public enum Verdict: Equatable, Sendable {
        case good
        case malformed(Fault)
        /// More bytes or fields than may be: 431.
        case tooLarge
        /// `Expect` asks for what nobody knows: 417.
        case expectationUnknown
    }

    public struct Limits: Sendable {
        public var headBytesMax: Int
        public var fieldCountMax: Int
        public var targetBytesMax: Int

        public init(headBytesMax: Int, fieldCountMax: Int, targetBytesMax: Int) {
            (self.headBytesMax, self.fieldCountMax, self.targetBytesMax) = (headBytesMax, fieldCountMax, targetBytesMax)
        }
    }

    private let limits: Limits
    private let isTrailers: Bool
    private var fault: Fault?
    private var isTooLarge = false
    private var isExpectationUnknown = false
    /// As §6.5.2 counts: names, values and 32 bytes for each.
    private var listBytes = 0
    private var fieldCount = 0
    private var isPastPseudoFields = false
    private var method: Range<Int>?
    private var scheme: Range<Int>?
    private var path: Range<Int>?
    private var authority: Range<Int>?
    private var host: Range<Int>?
    /// The protocol that an extended CONNECT asks for.
    private var connectProtocol: Range<Int>?
    private var length: Int?
    private var cookieCount = 0
    private var expectsContinue = false
    /// RFC 9218 §5.
    public private(set) var priority = HTTP2Priority()

    public init(limits: Limits, isTrailers: Bool = false) {
        (self.limits, self.isTrailers) = (limits, isTrailers)
    }

    /// Takes the next field.
    /// - Parameter section: emptied before the first; gets the fields and the pseudo-fields' bytes.
    public mutating func add(_ known: FieldName, _ name: Span<UInt8>, _ value: Span<UInt8>, to section: inout FieldSection) {
        listBytes += name.count + value.count + 32
        fieldCount += 1
        // What is over is passed by, and not kept; the rest of the block is needed for the table.
        if listBytes > limits.headBytesMax || fieldCount > limits.fieldCountMax { isTooLarge = true }
        guard !isTooLarge, fault == nil else { return }
        guard max(name.count, value.count) <= FieldSection.partBytesMax else {
            isTooLarge = true
            return
        }
        if !name.isEmpty, name[0] == UInt8(ascii: ":") { return addPseudoField(name, value, to: &section) }
        isPastPseudoFields = true
        guard MessageSyntax.isLowercaseToken(name), MessageSyntax.isFieldValue(value) else { return fault = .field }
        switch known {
        case .connection, .proxyConnection, .keepAlive, .transferEncoding, .upgrade:
            return fault = .connectionSpecific
        case .te:
            guard MessageSyntax.equals(value, "trailers") else { return fault = .connectionSpecific }
        case .host where !isTrailers:
            guard host == nil else { return fault = .host }
            host = section.appendBytes(value)
            return
        case .contentLength where !isTrailers:
            guard length == nil, let count = MessageSyntax.length(value) else { return fault = .contentLength }
            length = count
        case .expect where !isTrailers:
            if MessageSyntax.equals(value, "100-continue") { expectsContinue = true } else { isExpectationUnknown = true }
        case .cookie:
            cookieCount += 1
        case .other where !isTrailers:
            if MessageSyntax.equals(name, "priority") { priority.update(value) }
        default: break
        }
        if isTrailers, !known.isAllowedInTrailers { return }
        section.appendLine(known, name: name, value: value)
    }

    private mutating func addPseudoField(_ name: Span<UInt8>, _ value: Span<UInt8>, to section: inout FieldSection) {
        if isTrailers { return fault = .trailers }
        func isSeen(_ part: Range<Int>?) -> Bool { part != nil }
        guard !isPastPseudoFields, !value.isEmpty else { return fault = .pseudoField }
        if MessageSyntax.equals(name, ":method"), method == nil {
            method = section.appendBytes(value)
        } else if MessageSyntax.equals(name, ":scheme"), scheme == nil {
            scheme = section.appendBytes(value)
        } else if MessageSyntax.equals(name, ":path"), path == nil {
            if value.count > limits.targetBytesMax { return isTooLarge = true }
            path = section.appendBytes(value)
        } else if MessageSyntax.equals(name, ":authority"), authority == nil {
            authority = section.appendBytes(value)
        } else if MessageSyntax.equals(name, ":protocol"), connectProtocol == nil {
            connectProtocol = section.appendBytes(value)
        } else {
            fault = .pseudoField
        }
    }

    /// Judges the whole, and completes the head.
    /// - Parameters:
    ///   - head: whose `fields` the section was.
    ///   - endsStream: whether nothing follows it.
    public func finish(_ head: inout RequestHead, endsStream: Bool) -> Verdict {
        if isTrailers { return fault.map(Verdict.malformed) ?? (isTooLarge ? .tooLarge : .good) }
        head.majorVersion = 2
        head.minorVersion = 1
        head.keepsAlive = true
        head.expectsContinue = false
        head.framing = .none
        (head.method, head.methodRange, head.target, head.authority) = (.other, 0..<0, 0..<0, 0..<0)
        head.isForHTTPS = scheme.map { MessageSyntax.equals(head.fields.bytes.span.extracting($0), "https") } ?? false
        if let fault { return .malformed(fault) }
        // Of the method at least something is known to who writes the log.
        if let method { head.methodRange = method }
        if isTooLarge { return .tooLarge }
        guard let method, MessageSyntax.isToken(head.fields.bytes.span.extracting(method)) else { return .malformed(.target) }
        head.method = Method(head.fields.bytes.span.extracting(method))
        let isTunnel = head.method == .connect && connectProtocol == nil
        if connectProtocol != nil, head.method != .connect { return .malformed(.pseudoField) }
        if isTunnel {
            guard scheme == nil, path == nil, let authority, MessageSyntax.isAuthorityWithPort(head.fields.bytes.span.extracting(authority))
            else { return .malformed(.target) }
            head.target = authority
        } else {
            guard let path, let scheme, Self.isWeb(head.fields.bytes.span.extracting(scheme)),
                MessageSyntax.isTarget(head.fields.bytes.span.extracting(path), method: connectProtocol == nil ? head.method : .get)
            else { return .malformed(.target) }
            head.target = path
        }
        guard let name = authority ?? host, MessageSyntax.isAuthority(head.fields.bytes.span.extracting(name)) else {
            return .malformed(.target)
        }
        if let authority, let host, !Self.isSame(head.fields.bytes.span, authority, host) { return .malformed(.host) }
        head.authority = name
        // Last, where no reader looks for an order.
        head.fields.appendLine(.host, name: Self.hostName.span, valueAt: name)
        if cookieCount > 1 { head.fields.joinCookies() }
        if !endsStream {
            head.framing = length.map { .length($0) } ?? .chunked
        } else if let length, length > 0 {
            return .malformed(.contentLength)
        } else if length != nil {
            head.framing = .length(0)
        }
        if isExpectationUnknown { return .expectationUnknown }
        head.expectsContinue = expectsContinue && !endsStream
        return .good
    }

    /// What an extended CONNECT asks for, in small letters.
    public func connectProtocol(_ head: RequestHead) -> String? {
        connectProtocol.map { String(copying: head.fields.bytes.span.extracting($0)).lowercased() }
    }

    private static let hostName = Array("host".utf8)

    private static func isWeb(_ scheme: Span<UInt8>) -> Bool {
        MessageSyntax.equals(scheme, "https") || MessageSyntax.equals(scheme, "http")
    }

    private static func isSame(_ bytes: Span<UInt8>, _ first: Range<Int>, _ second: Range<Int>) -> Bool {
        guard first.count == second.count else { return false }
        for (one, other) in zip(first, second) where ASCII.lowercased(bytes[one]) != ASCII.lowercased(bytes[other]) { return false }
        return true
    }
}
