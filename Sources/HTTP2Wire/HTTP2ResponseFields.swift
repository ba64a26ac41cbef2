import HTTP1Wire
public import HTTPSemantics

/// Makes a response's head of the fields of a header block.
///
/// Whoever reads the head afterwards finds what HTTP/1.1 would have brought. What the next reader could take for something else is refused
/// here: a response that is passed on wrongly, or stored, is wrong for everybody who asks.
/// - Source: RFC 9113 §8.1, §8.2, §8.3.2.
public struct HTTP2ResponseFields {
    /// Why a response is malformed. Its stream is reset with PROTOCOL_ERROR, and nothing of it is used.
    public enum Fault: String, CaseIterable, Sendable {
        /// A name has capitals or is no token, or a value has what none may have (§8.2.1).
        case field
        /// `Connection` and its like, `TE` too (§8.2.2).
        case connectionSpecific
        /// One that is not of a response, behind a regular field, or twice (§8.3).
        case pseudoField
        /// `:status` is not there, is no number of three digits, or is 101, which HTTP/2 does not know (§8.3.2, §8.6).
        case status
        /// No number, several, or more than comes although the response ends with its head (§8.1.1).
        case contentLength
        /// A trailer section with a pseudo-field (§8.1).
        case trailers
        /// An interim response that ends its stream (§8.1).
        case interim
        /// More bytes or fields than may be.
        case tooLarge
    }

    public struct Limits: Sendable {
        public var headBytesMax: Int
        public var fieldCountMax: Int

        public init(headBytesMax: Int, fieldCountMax: Int) {
            (self.headBytesMax, self.fieldCountMax) = (headBytesMax, fieldCountMax)
        }
    }

    private let limits: Limits
    private let isTrailers: Bool
    private let keepsFields: Bool
    private var fault: Fault?
    /// As §6.5.2 counts: names, values and 32 bytes for each.
    private var listBytes = 0
    private var fieldCount = 0
    private var isPastPseudoFields = false
    private var status: Int?
    private var length: Int?

    /// - Parameter keepsFields: whether anybody will look at the fields; if not, only what the status and the framing are made of is read.
    public init(limits: Limits, isTrailers: Bool = false, keepsFields: Bool = true) {
        (self.limits, self.isTrailers, self.keepsFields) = (limits, isTrailers, keepsFields)
    }

    /// Takes the next field.
    /// - Parameter section: emptied before the first.
    public mutating func add(_ known: FieldName, _ name: Span<UInt8>, _ value: Span<UInt8>, to section: inout FieldSection) {
        listBytes += name.count + value.count + 32
        fieldCount += 1
        // What is over is passed by, and not kept; the rest of the block is needed for the table.
        guard fault == nil else { return }
        guard listBytes <= limits.headBytesMax, fieldCount <= limits.fieldCountMax, max(name.count, value.count) <= FieldSection.partBytesMax else {
            return fault = .tooLarge
        }
        if !name.isEmpty, name[0] == UInt8(ascii: ":") { return addPseudoField(name, value) }
        isPastPseudoFields = true
        guard keepsFields || known == .contentLength else { return }
        guard MessageSyntax.isLowercaseToken(name), MessageSyntax.isFieldValue(value) else { return fault = .field }
        switch known {
        case .connection, .proxyConnection, .keepAlive, .transferEncoding, .upgrade, .te:
            return fault = .connectionSpecific
        case .contentLength where !isTrailers:
            guard length == nil, let count = MessageSyntax.length(value) else { return fault = .contentLength }
            length = count
        default: break
        }
        if isTrailers, !known.isAllowedInTrailers { return }
        section.appendLine(known, name: name, value: value)
    }

    private mutating func addPseudoField(_ name: Span<UInt8>, _ value: Span<UInt8>) {
        if isTrailers { return fault = .trailers }
        guard !isPastPseudoFields, status == nil, MessageSyntax.equals(name, ":status"), name[1] == UInt8(ascii: "s") else {
            return fault = .pseudoField
        }
        guard value.count == 3 else { return fault = .status }
        var number = 0
        for index in 0..<3 {
            let digit = value[index] &- 0x30
            guard digit <= 9 else { return fault = .status }
            number = number * 10 + Int(digit)
        }
        guard number >= 100, number != 101 else { return fault = .status }
        status = number
    }

    /// Judges the whole, and completes the head.
    /// - Parameters:
    ///   - head: whose `fields` the section was.
    ///   - method: of the request that is answered: what answers HEAD has no body, whatever it says.
    ///   - endsStream: whether nothing follows it.
    /// - Returns: what is wrong with it.
    public func finish(_ head: inout ResponseHead, answering method: Method, endsStream: Bool) -> Fault? {
        head.minorVersion = 1
        head.keepsAlive = true
        head.framing = .none
        if let fault { return fault }
        if isTrailers { return nil }
        guard let status else { return .status }
        head.status = status
        if status < 200 { return endsStream ? .interim : nil }
        if method == .head || status == 304 || status == 204 { return nil }
        if let length {
            if endsStream, length > 0 { return .contentLength }
            head.framing = .length(length)
        } else {
            head.framing = endsStream ? .length(0) : .chunked
        }
        return nil
    }
}
