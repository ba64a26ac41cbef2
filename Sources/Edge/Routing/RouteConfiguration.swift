public import NIOCore

/// One line of the edge's table of routes: which requests it is for, what they get, and under which policies.
///
/// The table is read from top to bottom and the first route whose ``match`` is met is taken, whatever it then does: a folder without
/// the file that is asked for answers 404, it does not let the next route try. `headrace explain` shows the way through it.
public struct RouteConfiguration: Sendable, Equatable {
    /// More are refused at the start; see ``RouteTable`` for what a route costs.
    public static let countMax = 1024

    /// The word for it in `headrace explain` and in the access log; empty for `route N`.
    public var name = ""
    public var match = RouteMatch()

    // What the request gets: exactly one, but for files, which may have a group behind them.

    /// The name of a group of ``EdgeConfiguration/upstreams``. With ``files`` it answers what is no file.
    public var upstream: String?
    public var files = FileFolder()
    public var redirect = Redirect()
    public var page: BuiltInPage?
    public var respond = FixedResponse()

    // Policies; `nil` is what the edge as a whole does.

    /// Whether responses are compressed.
    public var isCompressed: Bool?
    /// Whether responses may be kept in the response cache, and answered from it.
    public var isCached: Bool?
    public var caching = Caching()
    /// What of a request tells its responses from others; ``EdgeConfiguration/Cache/key`` when it says nothing.
    public var cacheKey = CacheKeyRules()
    /// The name of the table by which browsers may keep responses; see ``EdgeConfiguration/browserCachingPolicy(named:)``.
    public var browserCaching: String?
    public var earlyHints = RouteEarlyHints()
    /// The largest body of a request; 413 beyond. Only less than ``EdgeConfiguration/Limits/requestBodyBytesMax`` has an effect.
    public var requestBodyBytesMax: Int?
    public var rateLimit = RateLimit()
    public var clients = ClientAccess()
    public var maintenance = Maintenance()
    public var basicAuth = BasicAuth()
    public var forwardAuth = ForwardAuth()
    public var requestRules = HeaderRules()
    public var responseRules = HeaderRules()

    /// What is taken off the beginning of the path for who answers, in whole segments; without a slash at its end.
    public var strippedPrefix: String?

    /// Whether it lets in only some.
    var isGuarded: Bool { basicAuth.file != nil || forwardAuth.upstream != nil || !clients.isOpen }

    /// Whether it is there for this machine alone, and for whoever knows the operators' token.
    var isForOperators = false

    public init() {}

    /// What a route says otherwise than ``EdgeConfiguration/Cache``.
    public struct Caching: Sendable, Equatable {
        public var staleWhileRevalidate: TimeAmount?
        public var staleIfError: TimeAmount?
        public var defaultLifetime: TimeAmount?
        public var heuristicShare: Double?
        /// Empty for what the edge says.
        public var negative: [EdgeConfiguration.NegativeCaching] = []
        public var expiryJitter: Double?
        public var refreshAhead: Double?
        public var storesCookies: Bool?
        public var storesPosts: Bool?
        public var heedsRequests: Bool?

        public init() {}

        func apply(to cache: inout EdgeConfiguration.Cache) {
            cache.staleWhileRevalidate = staleWhileRevalidate ?? cache.staleWhileRevalidate
            cache.staleIfError = staleIfError ?? cache.staleIfError
            cache.defaultLifetime = defaultLifetime ?? cache.defaultLifetime
            cache.heuristicShare = heuristicShare ?? cache.heuristicShare
            if !negative.isEmpty { cache.negative = negative }
            cache.expiryJitter = expiryJitter ?? cache.expiryJitter
            cache.refreshAhead = refreshAhead ?? cache.refreshAhead
            cache.storesCookies = storesCookies ?? cache.storesCookies
            cache.storesPosts = storesPosts ?? cache.storesPosts
            cache.heedsRequests = heedsRequests ?? cache.heedsRequests
        }
    }

    /// Whose requests are answered, by address, as trusted proxies name it; the others get 403.
    public struct ClientAccess: Sendable, Equatable {
        /// Everybody, when it is empty.
        public var allowed: [AddressRange] = []
        /// Not these, though they be allowed.
        public var denied: [AddressRange] = []

        public init() {}

        var isOpen: Bool { allowed.isEmpty && denied.isEmpty }

        func admits(_ ip: IPAddress?) -> Bool {
            !denied.contains { $0.contains(ip) } && (allowed.isEmpty || allowed.contains { $0.contains(ip) })
        }
    }

    /// Everybody gets 503 and a page instead of what the route gives.
    public struct Maintenance: Sendable, Equatable {
        public static let pageBytesMax = 1 << 20

        public var isEnabled = false
        /// A file of HTML; `nil` for the edge's own page.
        public var page: String?
        /// What `Retry-After` says (RFC 9110 §10.2.3).
        public var retryAfter = TimeAmount.minutes(5)
        /// Who gets what the route gives all the same.
        public var exceptions: [AddressRange] = []

        public init() {}
    }

    /// A name and a password are asked for.
    /// - Source: RFC 7617.
    public struct BasicAuth: Sendable, Equatable {
        public static let fileBytesMax = 4 << 20

        /// A file as `htpasswd` writes it: bcrypt, apr1, `{SHA}` and the formats of crypt(5).
        public var file: String?
        /// Without quotes and backslashes.
        public var realm = "restricted"

        public init() {}
    }

    /// Another server is asked first: 2xx lets the request go on, 401, 403 and 3xx are what the client gets, anything else is 502.
    ///
    /// It is asked with a GET that has the request's own fields and says in `X-Forwarded-Method` and `X-Forwarded-Uri` what is asked for.
    public struct ForwardAuth: Sendable, Equatable {
        /// The name of a group of ``EdgeConfiguration/upstreams``.
        public var upstream: String?
        public var path = "/"
        /// Fields of its answer that the application gets, in the place of those that the client sent. What an application says may
        /// then depend on them, so such a route goes past the response cache.
        public var copiedFields: [String] = []
        public var timeout = TimeAmount.seconds(5)

        public init() {}
    }

    /// A folder of static files.
    public struct FileFolder: Sendable, Equatable {
        public var root: String?
        public var options = StaticFilesOptions()

        public init() {}
    }

    /// An answer that sends the client elsewhere.
    /// - Source: RFC 9110 §15.4.
    public struct Redirect: Sendable, Equatable {
        public static let statuses = [301, 302, 303, 307, 308]

        /// Where to: a URL, or a path on this host.
        public var location: String?
        public var status = 302
        /// Whether the request's path is put behind ``location``; of a route with one path prefix, what comes behind the prefix.
        public var keepsPath = false
        public var keepsQuery = true

        public init() {}
    }

    /// A page that the edge makes itself.
    public enum BuiltInPage: String, Sendable, CaseIterable {
        /// Its numbers in Prometheus' text format.
        case metrics
        /// That it is there: 200, or 503 while it drains, so that a load balancer looks elsewhere.
        case health
        /// Which services are ready, in JSON: 200 when all are, else 503; `/NAME` behind the path asks for one.
        case ready
        /// The dashboard, with its documents behind the path.
        case dashboard
    }

    /// An answer that is written in the configuration.
    public struct FixedResponse: Sendable, Equatable {
        public var status: Int?
        public var contentType = "text/plain; charset=utf-8"
        public var body = ""

        public init() {}
    }
}

/// Which requests a route is for: those for which all of its parts hold. A part that says nothing holds always.
public struct RouteMatch: Sendable, Equatable {
    /// Distinct hosts of all routes; each has a list of its own of the routes that may be for it.
    public static let hostsMax = 1024
    /// Paths of one route.
    public static let pathsMax = 256

    /// Names in lower case without a port; `*.example.com` is every name below `example.com`, not itself. One must be the request's.
    public var hosts: [String] = []
    /// Beginnings of the path, of whole segments: `/api` is for `/api` and `/api/x`, not for `/apis`; `/` is for all.
    public var paths: [String] = []
    /// Whole paths.
    public var exactPaths: [String] = []
    /// In capitals.
    public var methods: [String] = []
    /// Where the client comes from, or whom a trusted proxy names as the client.
    public var clients: [AddressRange] = []
    /// All must hold.
    public var fields: [Field] = []

    public init() {}

    public struct Field: Sendable, Equatable {
        public var name: String
        /// What one of its lines must say, byte for byte; `nil` for any.
        public var value: String?

        public init(name: String, value: String?) {
            self.name = name
            self.value = value
        }
    }
}

/// What is changed about the header fields on their way through: removed first, then set, then added.
public struct HeaderRules: Sendable, Equatable {
    public var removed: [String] = []
    /// Replaces all lines of that name.
    public var set: [HeaderField] = []
    /// Comes behind the lines that are there.
    public var added: [HeaderField] = []

    public init() {}

    public var isEmpty: Bool { removed.isEmpty && set.isEmpty && added.isEmpty }
}

public struct HeaderField: Sendable, Equatable {
    public var name: String
    public var value: String

    public init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}
