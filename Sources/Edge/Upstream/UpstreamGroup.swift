public import NIOCore
public import Transport

/// A group of servers that make the same responses, and everything the edge is told about how to use them.
///
/// Part of ``EdgeConfiguration``; routes name a group. A group named ``EdgeConfiguration/applicationName`` is where requests go that
/// no route sends elsewhere.
public struct UpstreamGroup: Sendable, Equatable {
    public typealias SocketEndpoint = Transport.SocketEndpoint

    /// The most members of a group after names are resolved. 256: choosing one looks at all of them.
    public static let membersMax = 256

    public var members: [Member]
    /// What `Host` says upstream; `nil` passes the client's own on.
    public var host: String?
    /// What is spoken to the members.
    public var version = Version.http1
    /// By HTTP/2, requests on one connection at a time; a member may allow fewer.
    public var connectionStreamsMax = 100
    /// Begin each connection with a PROXY header that names the client; `nil` begins with the request. Not with ``Version/h2``, whose
    /// connections many clients share.
    public var proxyProtocol: ProxyHeader.Version?
    public var tls = TLS()
    public var balancing = Balancing.roundRobin
    public var passiveHealth = PassiveHealth()
    public var healthCheck = HealthCheck()
    public var retry = Retry()
    /// A member that is new, or back from an ejection, gets its whole share only after so long, growing evenly; zero at once.
    public var slowStart = TimeAmount.zero
    /// How often names are looked up again. Addresses that are gone get no more requests; those that are new get some.
    public var resolveInterval = TimeAmount.seconds(30)
    /// The name server that is asked, an IPv4 address and port; `nil` asks as the system is told to.
    public var nameserver: SocketEndpoint?

    /// Connections in all, idle or busy, from all event loops together; by HTTP/2 requests under way, of which many share a connection.
    public var connectionsMax = 1024
    /// Connections to one member; `nil` sets no limit but the group's.
    public var memberConnectionsMax: Int?
    /// Requests that may wait for a connection, from all event loops together; more get 503 at once.
    public var waitingMax = 1024
    /// Kept-alive connections waiting for use, per event loop.
    public var idleConnectionsMax = 64
    /// How long an unused connection is kept.
    public var idleTimeout = TimeAmount.seconds(60)
    /// How long a connection is used at all: past it, it ends with the exchange in progress. `nil` sets no limit.
    public var connectionLifetime: TimeAmount?
    /// Request bodies up to here are read whole before the application is asked, so that a slow client holds no connection and a
    /// request can be sent again; larger ones are passed on as they come. 0 reads none ahead.
    public var requestBufferBytesMax = 0

    public var connectTimeout = TimeAmount.seconds(5)
    /// For a request that waits for a connection because all are busy.
    public var waitTimeout = TimeAmount.seconds(5)
    /// From the request's last byte to the response's first.
    public var firstByteTimeout = TimeAmount.seconds(60)
    /// Between two reads of a response's body.
    public var readTimeout = TimeAmount.seconds(60)
    /// From asking to the response's last byte, all attempts together; `nil` sets no limit.
    public var totalTimeout: TimeAmount?
    public var tunnel = Tunnel()

    public init(members: [Member]) {
        self.members = members
    }

    /// A group of one.
    public init(endpoint: SocketEndpoint) {
        self.init(members: [Member(endpoint)])
    }

    public enum Version: String, Sendable, CaseIterable {
        case http1
        /// Over TLS if the member agrees by ALPN, else HTTP/1.1; without TLS at once (prior knowledge).
        case h2
    }

    /// How members with TLS are made sure of.
    public struct TLS: Sendable, Equatable {
        /// Whose certificates are believed, and what we show if a member asks.
        public var files = TLSFiles()
        /// The name that certificates have to have, and that is sent by SNI; `nil`: each member's own name or address.
        public var serverName: String?
        /// Whether the certificate is looked at.
        public var isVerified = true

        public init() {}
    }

    /// One server, or a name under which there are several.
    public struct Member: Sendable, Equatable {
        public var address: Address
        /// Its share among the others, 1…1000.
        public var weight = 1
        /// Asked only while none of the others can be.
        public var isBackup = false
        /// Reached with TLS.
        public var isSecure = false

        public init(_ endpoint: SocketEndpoint, weight: Int = 1, isBackup: Bool = false, isSecure: Bool = false) {
            address = .endpoint(endpoint)
            self.isSecure = isSecure
            self.weight = weight
            self.isBackup = isBackup
        }

        /// - Parameter service: the name of an SRV record set: `_http._tcp.app.internal`.
        public init(service: String, weight: Int = 1, isBackup: Bool = false) {
            address = .service(service)
            self.weight = weight
            self.isBackup = isBackup
        }
    }

    public enum Address: Sendable, Equatable, Hashable {
        /// A Unix socket, an IP address and port, or a name and port: then each address of the name is a member of its own, but for
        /// `localhost`, whose addresses are one machine's.
        case endpoint(SocketEndpoint)
        /// The targets of an SRV record set, with its ports and weights; those of a lower priority are asked while none of a higher can be.
        /// - Source: RFC 2782.
        case service(String)
    }

    /// Who of the members that can serve gets the next request.
    public enum Balancing: Sendable, Equatable {
        /// One after the other, by weight and evenly spread.
        case roundRobin
        /// Who has the fewest requests in progress, in proportion to its weight.
        case leastConnections
        /// Of two that are drawn by weight, who has fewer in progress: nearly as even as the best of all, and without the herd
        /// that runs after it.
        case randomOfTwo
        /// Always the same one for the same key, as long as it is there; when a member comes or goes only its own share moves.
        case consistentHash(HashKey)
    }

    public enum HashKey: Sendable, Equatable {
        /// The client's address.
        case client
        /// The path and query.
        case target
        /// The value of a request field. Requests without it are spread by ``Balancing/roundRobin``.
        case field(String)
        /// The value of a cookie. Requests without it are spread by ``Balancing/roundRobin``.
        case cookie(String)
    }

    /// What is learnt from the requests themselves.
    public struct PassiveHealth: Sendable, Equatable {
        public var isEnabled = true
        /// So many failures in a row, and a member is ejected.
        public var failuresMax = 5
        /// The time of a first ejection; each further one takes twice as long, up to ``ejectionMax``.
        public var ejection = TimeAmount.seconds(10)
        public var ejectionMax = TimeAmount.seconds(300)
        /// So many successes in a row and a member that is back is trusted again; a single failure before ejects it once more.
        public var successesMin = 3
        /// Statuses that count as failures, besides no response at all.
        public var failureStatuses: [Int] = []

        public init() {}
    }

    /// A request that the edge makes of each member from time to time.
    public struct HealthCheck: Sendable, Equatable {
        /// The target; `nil` makes no probes.
        public var path: String?
        /// What `Host` says; `nil` says the group's ``UpstreamGroup/host``, or the member's address.
        public var host: String?
        public var interval = TimeAmount.seconds(5)
        /// From connecting to the response's head.
        public var timeout = TimeAmount.seconds(2)
        public var statuses: ClosedRange<Int> = 200...399
        /// So many good answers in a row, and a member that was down is up.
        public var rise = 2
        /// So many bad ones, and a member that was up is down.
        public var fall = 3

        public init() {}
    }

    /// When a request is sent again. Only ever before a byte of a response went to the client, and only where it can do no harm:
    /// the method is idempotent, or nothing of the request went out.
    /// - Source: RFC 9110 §9.2.2.
    public struct Retry: Sendable, Equatable {
        /// Attempts in all; 1 sends nothing again.
        public var attemptsMax = 3
        /// Retries as a share of the requests of the last seconds, 0…1, so that a group that fails is not asked twice as much.
        public var budgetShare = 0.2
        /// Retries per second that are allowed whatever the share is.
        public var budgetPerSecondMin = 10
        /// Statuses upon which an idempotent request is tried elsewhere.
        public var statuses: [Int] = []

        public init() {}
    }

    /// What follows `101 Switching Protocols`.
    public struct Tunnel: Sendable, Equatable {
        /// Without a byte in either direction.
        public var idleTimeout = TimeAmount.hours(1)
        /// In all; `nil` sets no limit.
        public var totalTimeout: TimeAmount?

        public init() {}
    }
}
