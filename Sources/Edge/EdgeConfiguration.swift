public import NIOCore
public import Transport

/// Everything the edge is told, as one immutable value: composed from flags, environment and file before the start, and
/// swapped whole at a reload.
///
/// The defaults here are the defaults of `docs/configuration.md`: a compressing, caching reverse proxy that follows the
/// application's own header fields and adds no lifetimes of its own.
public struct EdgeConfiguration: Sendable, Equatable {
    /// Where the edge accepts connections. Loopback unless told otherwise.
    public var listen: [SocketEndpoint] = [.tcp(host: "127.0.0.1", port: 8080)]
    /// The groups of servers behind the edge, by name. Without any, a ``root`` makes a static server.
    public var upstreams: [String: UpstreamGroup] = [:]
    /// The folder of static files. With an application too, files come first and the application answers what is no file.
    public var root: String?
    /// How those files are served.
    public var files = StaticFilesOptions()
    /// Where requests go, before ``root`` and the application are asked.
    public var routes: [RouteConfiguration] = []
    /// Whose connections begin with a header of the PROXY protocol that names the client, and are closed without one.
    public var proxies: [AddressRange] = []
    /// Proxies in front of the edge that may say for whom they ask.
    public var forwarding = ForwardingConfiguration()
    public var tls = EdgeTLSConfiguration()
    /// Speak HTTP/2 with clients that can: by ALPN where TLS is spoken, elsewhere with those that begin with it.
    public var isHTTP2Enabled = true
    /// How many event loops serve; 0 means one per core.
    public var threads = 0
    public var compression = Compression()
    /// The name of the table by which browsers may keep responses that say nothing about it.
    public var browserCaching = "off"
    /// The tables besides `off` and `standard`, by name.
    public var browserCachingPolicies: [String: BrowserCachingPolicy] = [:]
    public var earlyHints = EarlyHintsConfiguration()
    public var cache = Cache()
    public var purge = PurgeConfiguration()
    public var proof = ProofConfiguration()
    public var limits = Limits()
    public var deadlines = Deadlines()
    public var accessLog = AccessLog.stdout
    public var accessRecords = AccessRecordOptions()
    /// The path that answers with the metrics in Prometheus' text format; `nil` switches it off.
    public var metricsPath: String? = "/metrics"
    /// Who sends it as `Authorization: Bearer …` may read the metrics from anywhere; without one, only this machine may.
    public var metricsToken: String?
    public var pages = Pages()

    public init() {}

    /// Pages that the edge serves for the rest of the process: ``BuiltInPages``.
    public struct Pages: Sendable, Equatable {
        public enum Access: String, Sendable, CaseIterable {
            case off
            /// This machine, and whoever sends the metrics' token; to others the paths are the application's.
            case local
            /// Everybody, without what names addresses, paths, statements and users.
            case `public`
        }

        public var access = Access.local
        /// The page, and everything below it.
        public var dashboard: String? = "/performance"
        public var alive: String? = "/healthz"
        public var ready: String? = "/readyz"

        public init() {}
    }

    /// The name of the group that answers what no route sends elsewhere: `edge.app` makes it.
    public static let applicationName = "app"

    /// Whether who connects from there has to begin with a PROXY header.
    /// - Parameter address: `nil` for a Unix socket.
    public func isProxy(_ address: String?) -> Bool {
        guard !proxies.isEmpty else { return false }
        let ip = address.flatMap { IPAddress($0) }
        return proxies.contains { $0.contains(ip) }
    }

    /// The table of that name; `nil` when there is none.
    public func browserCachingPolicy(named name: String) -> BrowserCachingPolicy? {
        switch name {
        case "off": .off
        case "standard": .standard
        default: browserCachingPolicies[name]
        }
    }

    /// See ``Limits/bufferedResponseBytesMax``. A small cache leaves a megabyte.
    public var bufferedResponseBytesMax: Int { limits.bufferedResponseBytesMax ?? max(cache.bytesMax / 4, 1 << 20) }

    /// The group of that name.
    public var application: UpstreamGroup? {
        get { upstreams[Self.applicationName] }
        set { upstreams[Self.applicationName] = newValue }
    }

    /// This configuration with what may change while a server runs taken from another; the rest needs a restart.
    public func adopting(_ new: EdgeConfiguration) -> EdgeConfiguration {
        var adopted = self
        adopted.routes = new.routes
        adopted.root = new.root
        adopted.metricsPath = new.metricsPath
        adopted.metricsToken = new.metricsToken
        adopted.forwarding = new.forwarding
        adopted.proxies = new.proxies
        adopted.upstreams = new.upstreams
        adopted.files = new.files
        adopted.accessRecords = new.accessRecords
        adopted.browserCaching = new.browserCaching
        adopted.browserCachingPolicies = new.browserCachingPolicies
        adopted.earlyHints = new.earlyHints
        adopted.deadlines = new.deadlines
        adopted.limits = new.limits
        adopted.limits.connectionsMax = limits.connectionsMax
        adopted.limits.rateStore = limits.rateStore
        adopted.limits.clientConnectionsMax = limits.clientConnectionsMax
        adopted.limits.bufferedResponseBytesMax = limits.bufferedResponseBytesMax
        let bytesMax = adopted.cache.bytesMax
        adopted.cache = new.cache
        adopted.cache.bytesMax = bytesMax
        // The new one was held to a size that waits for a restart.
        adopted.cache.objectBytesMax = min(new.cache.objectBytesMax, bytesMax)
        adopted.purge = new.purge
        adopted.proof = new.proof
        adopted.tls.certificates = new.tls.certificates
        adopted.tls.keys = new.tls.keys
        adopted.tls.strictTransportSecurity = new.tls.strictTransportSecurity
        adopted.compression.isEnabled = new.compression.isEnabled
        adopted.compression.bytesMin = new.compression.bytesMin
        adopted.compression.extraTypes = new.compression.extraTypes
        return adopted
    }

    public typealias SocketEndpoint = Transport.SocketEndpoint

    public struct Compression: Sendable, Equatable {
        public var isEnabled = true
        /// Codings we offer, best first; the client's q-values decide before this order does.
        public var codings: [String] = ["br", "zstd", "gzip"]
        /// Smaller bodies go out as they are.
        public var bytesMin = 256
        /// Media types besides the built-in table, as `type/subtype`.
        public var extraTypes: [String] = []
        /// Level of what is compressed while the client waits: gzip 1…12, brotli 0…11, zstd 1…19.
        public var gzipLevelFast = 1
        public var brotliLevelFast = 1
        public var zstdLevelFast = 1
        /// Level of what is compressed once, in the background, and served many times.
        public var gzipLevelHigh = 9
        public var brotliLevelHigh = 9
        public var zstdLevelHigh = 15
        /// The share of one core that background compression may take, 0…1.
        public var backgroundShare = 0.25
        /// Jobs that may wait for background compression; more are dropped, and come again with the next hit.
        public var backgroundQueueMax = 64

        public init() {}
    }

    public struct Cache: Sendable, Equatable {
        public var isEnabled = true
        /// Memory of all stored responses together, keys, variants and bookkeeping included.
        public var bytesMax = 256 << 20
        /// The largest body that is stored.
        public var objectBytesMax = 8 << 20
        /// How long a stale response is served while it is fetched anew, and when fetching fails, where the application does not say.
        public var staleWhileRevalidate = TimeAmount.zero
        public var staleIfError = TimeAmount.zero
        /// How long responses are fresh of which the application does not say it.
        public var defaultLifetime = TimeAmount.zero
        /// Which share of the time since `Last-Modified`, and how long at most; before ``defaultLifetime``. 0 for none.
        public var heuristicShare = 0.0
        public var heuristicLifetimeMax = TimeAmount.hours(24)
        /// How long responses of these statuses are fresh of which the application does not say it; before the other two.
        public var negative: [NegativeCaching] = []
        /// Which share of a lifetime may be taken off at random, so that what came together does not expire together.
        public var expiryJitter = 0.0
        /// In which last share of its lifetime a response that is asked for often is fetched anew, while it is served; 0 for never.
        public var refreshAhead = 0.0
        /// Store responses with `Set-Cookie`, and give everybody the same one.
        public var storesCookies = false
        /// Store what a POST brings under its target, where the application says that GET would bring the same. Of a route alone.
        var storesPosts = false
        /// Heed what requests say in `Cache-Control` and `Pragma`.
        public var heedsRequests = true
        /// What of a request tells its responses from others, where no route says.
        public var key = CacheKeyRules()

        public init() {}
    }

    /// How long one status is remembered.
    public struct NegativeCaching: Sendable, Equatable {
        /// More of them are refused.
        public static let countMax = 32

        public var status: Int
        public var lifetime: TimeAmount

        public init(status: Int, lifetime: TimeAmount) {
            (self.status, self.lifetime) = (status, lifetime)
        }
    }

    public struct Limits: Sendable, Equatable {
        public var requestLineBytesMax = 8 << 10
        /// Request line and header section together.
        public var headBytesMax = 32 << 10
        public var fieldCountMax = 100
        public var requestBodyBytesMax = 64 << 20
        /// Open client connections.
        public var connectionsMax = 10_000
        /// Of those, from one address.
        public var clientConnectionsMax = 2500
        /// Bytes that responses may take until they are whole, to be stored or compressed, all together; `nil` for a quarter of
        /// ``Cache/bytesMax``.
        public var bufferedResponseBytesMax: Int?
        /// Where rate limits keep their buckets for several processes together; `nil` for each its own.
        public var rateStore: RateStore?
        /// Bytes per second that a client must send of a request's body, or take of a response, in the long run; 0 for any.
        public var transferRateMin = 512

        public init() {}
    }

    public struct Deadlines: Sendable, Equatable {
        /// From a request's first byte (on a new connection: from its opening) to the end of its header section.
        public var requestHead = TimeAmount.seconds(10)
        /// Between two reads of a request's body.
        public var requestBody = TimeAmount.seconds(30)
        /// Between two requests on a kept-alive connection.
        public var keepAlive = TimeAmount.seconds(75)
        /// A response of which the client takes nothing for so long is given up.
        public var write = TimeAmount.seconds(60)
        /// After SIGTERM: how long exchanges in flight may take to finish.
        public var drain = TimeAmount.seconds(30)

        public init() {}
    }

    /// Where one line per exchange goes.
    public enum AccessLog: Sendable, Equatable {
        case off
        case stdout
        case stderr
        case file(String)
    }
}
