public import Transport

/// One run of the load generator: who asks for what, when, and for how long.
public struct LoadPlan: Sendable {
    /// Who decides when the next request begins.
    public enum Arrivals: Sendable, Equatable {
        /// The schedule does, whatever became of the requests before: as visitors come, who do not know of each other.
        case open(OpenLoop)
        /// The server does: each user sends its next request when the response to the last one is complete. A server that stalls is
        /// asked less while it does, and the stall shows in few requests: closed loops under-report stalls.
        case closed(users: Int, thinkTime: Duration = .zero)
    }

    /// A schedule of intended starts.
    public struct OpenLoop: Sendable, Equatable {
        public var profile: RateProfile
        public var shape: ArrivalShape
        /// Of ``ArrivalShape/poisson``; the same seed gives the same schedule.
        public var seed: UInt64
        /// Connections that may be open at a time; a request for which none is free waits, and its wait counts. With HTTP/2 each of them
        /// takes as many requests as the workload has streams.
        public var connectionsMax: Int
        /// Intended starts, in seconds from the beginning, in rising order: in the place of the profile's, of which the length and the mean
        /// rate are these'. The first is for the first request of the workload's order, and so on; for one event loop.
        public var recorded: [Double]?

        public init(_ profile: RateProfile, shape: ArrivalShape = .constant, seed: UInt64 = 1, connectionsMax: Int = 2000) {
            self.profile = profile
            self.shape = shape
            self.seed = seed
            self.connectionsMax = connectionsMax
        }
    }

    public var workload: Workload
    /// Where to connect to; the workload's own origin, if nothing else is said.
    public var endpoint: SocketEndpoint
    public var arrivals: Arrivals
    /// Requests that begin in it are sent, but do not count, unless they fail when it is over. An open loop sends them at the rate at
    /// which its profile begins.
    public var warmUp: WarmUp
    /// Requests that begin in it, behind the warm-up, count. For an open loop the length of its profile.
    public var duration: Duration
    /// Ends the run when so many requests that count have begun; it may end before that.
    public var requestsMax: Int?
    /// From the moment when the response is wanted (the intended start), connecting included, until it is complete.
    public var timeout: Duration
    /// Event loops that the connections are spread over.
    public var threads: Int
    /// Speaks TLS to the endpoint.
    public var tls: TLSClient?

    /// A closed loop.
    /// - Parameter users: each has a connection of its own.
    public init(
        workload: Workload, endpoint: SocketEndpoint? = nil, users: Int, thinkTime: Duration = .zero, warmUp: Duration = .seconds(1),
        duration: Duration = .seconds(10), requestsMax: Int? = nil, timeout: Duration = .seconds(10), threads: Int = 1
    ) {
        self.workload = workload
        self.endpoint = endpoint ?? workload.endpoint
        arrivals = .closed(users: users, thinkTime: thinkTime)
        self.warmUp = .fixed(warmUp)
        self.duration = duration
        self.requestsMax = requestsMax
        self.timeout = timeout
        self.threads = threads
    }

    /// An open loop; it lasts as long as its profile.
    public init(
        workload: Workload, endpoint: SocketEndpoint? = nil, open: OpenLoop,
        warmUp: WarmUp = .untilSteady(block: .seconds(1), blocksMax: 10), requestsMax: Int? = nil, timeout: Duration = .seconds(10),
        threads: Int = 1
    ) {
        self.workload = workload
        self.endpoint = endpoint ?? workload.endpoint
        arrivals = .open(open)
        self.warmUp = warmUp
        duration = .nanoseconds(Int64(min(open.profile.seconds, 8_640_000) * 1e9))
        self.requestsMax = requestsMax
        self.timeout = timeout
        self.threads = threads
    }

    /// Requests that are under way at the same time, at most.
    var requestsAtOnceMax: Int {
        switch arrivals {
        case .open(let open): open.connectionsMax.multipliedReportingOverflow(by: workload.streams).partialValue
        case .closed(let users, _): users
        }
    }

    /// Connections that are open at the same time, at most; of a closed loop with HTTP/2 fewer, as its users share them.
    var connectionsMax: Int {
        switch arrivals {
        case .open(let open): open.connectionsMax
        case .closed(let users, _): users
        }
    }
}

extension Duration {
    /// Nanoseconds; what is negative becomes zero, what is over 100 days becomes that, so that sums cannot overflow.
    var nanosecondsClamped: UInt64 {
        let (seconds, attoseconds) = min(max(self, .zero), .seconds(100 * 86_400)).components
        return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    }
}
