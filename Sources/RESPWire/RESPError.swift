/// Why bytes are no RESP. The framing is lost: say so once, then close.
public struct RESPError: Error, Equatable, Sendable {
    public enum Code: String, Sendable, CaseIterable {
        /// A request's count of arguments is no number, or beyond the limit.
        case argumentCountInvalid = "invalid multibulk length"
        /// The same before authentication, where the limit is lower.
        case argumentCountUnauthenticated = "unauthenticated multibulk length"
        case argumentLengthInvalid = "invalid bulk length"
        case argumentLengthUnauthenticated = "unauthenticated bulk length"
        /// The line of a count does not end.
        case countLineTooLong = "too big mbulk count string"
        case lengthLineTooLong = "too big bulk count string"
        case inlineTooLong = "too big inline request"
        case quotesUnbalanced = "unbalanced quotes in request"
        /// What should be an argument begins with another byte than `$`; see ``RESPError/got``.
        case argumentExpected = "expected '$', got "
        /// All arguments together are beyond the limit.
        case requestTooLarge = "request is too large"
        /// In a reply: a type byte, a number or a line end that RESP does not know.
        case replyMalformed = "malformed reply"
        /// In a reply: nested deeper, or larger, than we take in.
        case replyTooLarge = "reply is too large"
    }

    public let code: Code
    /// The byte that stood in the place of `$`.
    public let got: UInt8

    public init(_ code: Code, got: UInt8 = 0) {
        self.code = code
        self.got = got
    }

    /// As Redis words it, without the `-ERR`.
    public var text: String {
        let rest = code == .argumentExpected ? "'\(String(decoding: [got], as: UTF8.self))'" : ""
        return "Protocol error: \(code.rawValue)\(rest)"
    }
}
