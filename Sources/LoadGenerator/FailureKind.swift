/// Why a request counts as failed. The raw value is the word in tables and in JSON.
public enum FailureKind: String, CaseIterable, Sendable {
    /// No connection came about: refused, unreachable, no port left, or too late.
    case connect
    /// The connection came about, but not TLS on it: no common version, or a certificate that is not trusted.
    case tls
    /// The server did not let us in: AUTH or SELECT of RESP, or PostgreSQL's start-up.
    case login
    /// The request's time was up before a connection was free to send it on.
    case unsent
    /// The response was not complete when the request's time was up.
    case timeout
    /// The server reset the connection.
    case reset
    /// The server ended the connection before the first byte of the response.
    case closed
    /// What came is not one response of the protocol: broken syntax, doubtful framing, or bytes behind its end.
    case malformed
    /// The response is complete, but its status is not one that was expected; of RESP and SQL, it is an error.
    case status
    /// A redirection that should be followed leads to another origin, or too many followed each other.
    case redirect
    /// The server ended the connection inside the response.
    case truncated
    /// The response is complete, but its body is not the one that was expected.
    case content

    /// The place in ``allCases``.
    var index: Int {
        switch self {
        case .connect: 0
        case .tls: 1
        case .login: 2
        case .unsent: 3
        case .timeout: 4
        case .reset: 5
        case .closed: 6
        case .malformed: 7
        case .status: 8
        case .redirect: 9
        case .truncated: 10
        case .content: 11
        }
    }
}
