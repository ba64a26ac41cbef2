/// Why no (whole) response came from upstream. The raw value is the word in logs, metrics and `Cache-Status` details.
enum GatewayFailure: String, Error, Sendable, CaseIterable {
    /// No connection could be made: refused, unreachable, or the name does not resolve.
    case connectFailed = "connect-failed"
    /// No connection within the connect deadline.
    case connectTimeout = "connect-timeout"
    /// All connections are busy and as many requests wait as may.
    case queueFull = "queue-full"
    /// No connection became free in time.
    case queueTimeout = "queue-timeout"
    /// No member of the group can be asked: all are down, or its names have no address.
    case noMember = "no-member"
    /// No response began within the first-byte deadline.
    case firstByteTimeout = "first-byte-timeout"
    /// The response stopped in its middle for longer than the read deadline.
    case readTimeout = "read-timeout"
    /// The exchange as a whole took longer than it may.
    case totalTimeout = "total-timeout"
    /// The connection ended before a response began.
    case closedEarly = "closed-early"
    /// The connection ended, or failed, within the response.
    case truncated = "truncated"
    /// HTTP/2: the server has refused the request and not looked at it.
    case refused = "refused"
    /// HTTP/2: the server was about to end the connection, and has not looked at the request.
    case goingAway = "going-away"
    /// HTTP/2: the server gave the request up before a response began.
    case streamReset = "stream-reset"
    /// What came is no HTTP response that could be passed on safely.
    case malformed = "malformed"
    /// `101 Switching Protocols` without having been asked.
    case unexpectedUpgrade = "unexpected-upgrade"
    /// An error was answered, and what is stored may answer in its place.
    case errorStatus = "error-status"
    /// The client's request body ended before it was complete; the client is to blame and mostly gone.
    case requestAborted = "request-aborted"

    /// What the client is told, as long as nothing of the response went out.
    /// - Source: RFC 9110 §15.6.3 (502), §15.6.4 (503), §15.6.5 (504).
    var status: Int {
        switch self {
        case .connectFailed, .closedEarly, .streamReset, .truncated, .malformed, .unexpectedUpgrade, .errorStatus: 502
        case .queueFull, .queueTimeout, .noMember, .refused, .goingAway: 503
        case .connectTimeout, .firstByteTimeout, .readTimeout, .totalTimeout: 504
        case .requestAborted: 400
        }
    }
}
