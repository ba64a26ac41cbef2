/// Why a message was refused, and the status that says so.
///
/// Framing is lost with every one of them: the connection is closed after the answer. Nothing here is worth a retry.
public struct HTTP1Error: Error, Equatable, Sendable {
    public var code: Code
    /// The status of the answer. 502 when the message is an upstream's head; a ``HTTP1BodyDecoder`` does not know
    /// whose body it reads and gives the client's.
    public var status: Int

    public init(_ code: Code) {
        self.code = code
        status = code.statusForClient
    }

    /// The same fault, made by an upstream.
    var fromUpstream: HTTP1Error {
        var error = self
        error.status = 502
        return error
    }

    /// One case per refusal. The raw value is the word for logs and metrics.
    public enum Code: String, CaseIterable, Sendable {
        // Limits
        /// The request line is longer than `requestLineBytesMax`.
        case requestLineTooLong
        /// The status line is longer than `requestLineBytesMax`.
        case statusLineTooLong
        /// The head is longer than `headBytesMax`.
        case headTooLarge
        /// The head or the trailer section has more lines than `fieldCountMax`.
        case fieldsTooMany
        /// A name or a value is longer than a `FieldSection.Line` can say (65,535 bytes).
        case fieldTooLong
        /// The extension of a chunk is longer than `chunkExtensionBytesMax`.
        case chunkExtensionTooLong
        /// The trailer section is longer than `trailerBytesMax`.
        case trailersTooLarge
        /// The body is larger than what the receiver takes; a limit of the caller, not of ``HTTP1Limits``.
        case bodyTooLarge

        // Line ends
        /// A CR that no LF follows.
        case bareCR
        /// An LF that no CR precedes.
        case bareLF

        // Start lines
        /// A second empty line before the request line. RFC 9112 §2.2 lets one pass.
        case emptyLines
        /// The method is empty or has a byte that no token may have.
        case methodNotToken
        /// The request line has no target.
        case targetMissing
        /// The target has a control byte, a byte over 0x7F, or the line has a space too many.
        case targetByte
        /// The target has a fragment, which is never sent (RFC 9110 §7.1).
        case targetFragment
        /// The target has none of the four forms, or not the one that the method asks for (RFC 9112 §3.2).
        case targetForm
        /// The request line ends behind the target: HTTP/0.9.
        case versionMissing
        /// The version is not `HTTP/` digit `.` digit, in capitals.
        case versionMalformed
        /// The major version is not 1.
        case versionUnsupported
        /// The status is not three digits from 100 on, or what follows them is neither space nor CRLF.
        case statusMalformed
        /// The reason phrase has a control byte.
        case reasonByte

        // Field lines
        /// A line begins with white space: obs-fold (RFC 9112 §5.2), or white space behind the start line (§2.2).
        case foldedLine
        /// A line begins with its colon.
        case fieldNameMissing
        /// A name has a byte that no token may have.
        case fieldNameNotToken
        /// White space in a name or between it and its colon (RFC 9112 §5.1).
        case spaceBeforeColon
        /// A line ends before its colon.
        case colonMissing
        /// A value has NUL or another control byte.
        case fieldValueByte

        // Framing
        /// `Content-Length` is not one number of digits that fits 63 bits.
        case lengthMalformed
        /// `Content-Length` comes twice, even if both are the same.
        case lengthRepeated
        /// `Content-Length` and `Transfer-Encoding` in one head.
        case lengthAndTransferEncoding
        /// `Transfer-Encoding` is empty, has an empty element, or one that is no token.
        case transferEncodingMalformed
        /// A transfer coding besides `chunked`. RFC 9112 §6.1 would have 501 for a request; it gets 400, as all framing does that
        /// two readers may understand in two ways.
        case transferCodingUnknown
        /// `chunked` is not the last coding, or comes twice.
        case chunkedNotFinal
        /// `Transfer-Encoding` in a message of HTTP/1.0 (RFC 9112 §6.1).
        case transferEncodingInOldVersion
        /// `Connection` is not a list of tokens, or has more than 64.
        case connectionMalformed
        /// `Expect` asks for something besides `100-continue` (RFC 9110 §10.1.1).
        case expectationUnknown

        // Host
        /// A request of HTTP/1.1 without `Host`.
        case hostMissing
        /// `Host` comes twice, even if both are the same.
        case hostRepeated
        /// `Host`, or the target's authority, is not a host with an optional port; or it is empty, or has user information.
        case hostInvalid
        /// The target's authority and `Host` do not say the same.
        case hostDisagrees

        // Bodies
        /// A chunk size is not hexadecimal digits, sixteen at most.
        case chunkSizeMalformed
        /// A chunk size does not fit 63 bits.
        case chunkSizeTooLarge
        /// The extension of a chunk does not follow RFC 9112 §7.1.1.
        case chunkExtensionMalformed
        /// Behind a chunk's bytes there is no CRLF.
        case chunkEndMissing
        /// The connection ended before the body did.
        case truncated

        /// The status that a client gets.
        var statusForClient: Int {
            switch self {
            case .requestLineTooLong: 414
            case .headTooLarge, .fieldsTooMany, .fieldTooLong, .trailersTooLarge: 431
            case .bodyTooLarge: 413
            case .expectationUnknown: 417
            case .versionUnsupported: 505
            case .statusLineTooLong, .statusMalformed, .reasonByte: 502
            case .chunkExtensionTooLong, .bareCR, .bareLF, .emptyLines, .methodNotToken, .targetMissing, .targetByte,
                .targetFragment, .targetForm, .versionMissing, .versionMalformed, .foldedLine, .fieldNameMissing,
                .fieldNameNotToken, .spaceBeforeColon, .colonMissing, .fieldValueByte, .lengthMalformed,
                .lengthRepeated, .lengthAndTransferEncoding, .transferEncodingMalformed, .transferCodingUnknown, .chunkedNotFinal,
                .transferEncodingInOldVersion, .connectionMalformed, .hostMissing, .hostRepeated, .hostInvalid,
                .hostDisagrees, .chunkSizeMalformed, .chunkSizeTooLarge, .chunkExtensionMalformed, .chunkEndMissing,
                .truncated:
                400
            }
        }
    }
}
