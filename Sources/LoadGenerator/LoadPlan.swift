public import Transport

/// One run of the load generator: who asks for what, and for how long.
///
/// The loop is closed: each user sends its next request when the response to the last one is complete. A server that stalls
/// is therefore asked less while it does, and the stall shows in few requests: closed loops under-report stalls.
public struct LoadPlan: Sendable {
    public var workload: Workload
    /// Where to connect to; the workload's own origin, if nothing else is said.
    public var endpoint: SocketEndpoint
    /// Each has a connection of its own.
    public var users: Int
    /// Requests that begin in it are sent, but do not count, unless they fail when it is over.
    public var warmUp: Duration
    /// Requests that begin in it, behind the warm-up, count.
    public var duration: Duration
    /// Ends the run when so many requests that count have begun; it may end before that.
    public var requestsMax: Int?
    /// From the moment when the user wants the response, connecting included, until it is complete.
    public var timeout: Duration
    /// Event loops that the users are spread over.
    public var threads: Int

    public init(
        workload: Workload, endpoint: SocketEndpoint? = nil, users: Int, warmUp: Duration = .seconds(1),
        duration: Duration = .seconds(10), requestsMax: Int? = nil, timeout: Duration = .seconds(10), threads: Int = 1
    ) {
        self.workload = workload
        self.endpoint = endpoint ?? workload.endpoint
        self.users = users
        self.warmUp = warmUp
        self.duration = duration
        self.requestsMax = requestsMax
        self.timeout = timeout
        self.threads = threads
    }
}

extension Duration {
    /// Nanoseconds; what is negative becomes zero, what is over 100 days becomes that, so that sums cannot overflow.
    var nanosecondsClamped: UInt64 {
        let (seconds, attoseconds) = min(max(self, .zero), .seconds(100 * 86_400)).components
        return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    }
}
