/// Why a request counts as failed. The raw value is the word in tables and in JSON.
public enum FailureKind: String, CaseIterable, Sendable {
    /// No connection came about: refused, unreachable, no port left, or too late.
    case connect
    /// The response was not complete when the request's time was up.
    case timeout
    /// The server reset the connection.
    case reset
    /// The server ended the connection before the first byte of the response.
    case closed
    /// What came is not one response of HTTP/1: broken syntax, doubtful framing, or bytes behind its end.
    case malformed
    /// The response is complete, but its status is not one that was expected.
    case status
    /// The server ended the connection inside the response.
    case truncated
    /// The response is complete, but its body is not the one that was expected.
    case content
}
