import HTTPSemantics
import NIOCore
import Telemetry

/// A route as the connections of one event loop use it: everything that is the same for all of its requests, made before the first.
/// An exchange keeps the plan that it began with, over a reload too.
final class RoutePlan {
    enum Action {
        /// Files first, if there are any; what is no file, and everything without files, comes from the group.
        case origin(files: StaticFiles?, upstream: UpstreamConnector?)
        case redirect(RouteConfiguration.Redirect)
        case page(RouteConfiguration.BuiltInPage)
        case respond(RouteConfiguration.FixedResponse)
    }

    /// See ``RouteConfiguration/Maintenance``.
    struct Maintenance {
        let page: String
        let retrySeconds: Int
        let exceptions: [AddressRange]

        func isExcepted(_ client: ClientIdentity) -> Bool { exceptions.contains { $0.contains(client.ip) } }
    }

    struct Basic {
        let authenticator: BasicAuthenticator
        let realm: String
    }

    struct Forward {
        /// How the other server is reached.
        let plan: RoutePlan
        let path: String
        let copiedFields: [String]
        let timeout: TimeAmount
    }

    let route: RouteConfiguration
    /// The word for it in the access log and in metrics; empty for what stands behind another route.
    let title: String
    /// Responses by the first digit of their status; `nil` without a title.
    private let responses: CounterRow?
    let action: Action
    let limiter: RateLimiter?
    /// `nil` for everybody.
    let clients: RouteConfiguration.ClientAccess?
    private(set) var maintenance: Maintenance?
    private(set) var basic: Basic?
    private(set) var forward: Forward?
    let compression: EdgeConfiguration.Compression
    let compressibleTypes: CompressibleTypes
    let cache: EdgeConfiguration.Cache
    let reuse: ReuseRules
    let storing: StoringRules
    let browserCaching: BrowserCaching?
    /// `nil` when nothing is hinted.
    let earlyHints: EarlyHints?
    let requestRules: HeaderRuleSet?
    let strippedPrefix: PathPrefix
    let responseRules: HeaderRuleSet?
    /// How keys of the response cache are made of this route's requests.
    let keying: CacheKeying
    /// ``keying`` in short: whether there are no rules, and its scope.
    let hasPlainKeys: Bool
    let cacheScope: [UInt8]

    init(
        _ route: RouteConfiguration, title: String, _ edge: EdgeConfiguration, _ resources: RouteResources,
        connectors: [String: UpstreamConnector], responses: CounterRow?, limiter: RateLimiter? = nil
    ) {
        self.route = route
        self.limiter = limiter
        clients = route.clients.isOpen ? nil : route.clients
        self.title = title
        self.responses = responses
        if route.redirect.location != nil {
            action = .redirect(route.redirect)
        } else if let page = route.page {
            action = .page(page)
        } else if route.respond.status != nil {
            action = .respond(route.respond)
        } else {
            action = .origin(
                files: route.files.root.flatMap { resources.files[$0] }, upstream: route.upstream.flatMap { connectors[$0] })
        }
        var compression = edge.compression
        compression.isEnabled = route.isCompressed ?? compression.isEnabled
        self.compression = compression
        compressibleTypes = CompressibleTypes(extra: compression.extraTypes)
        var cache = edge.cache
        cache.isEnabled = route.isCached ?? cache.isEnabled
        route.caching.apply(to: &cache)
        self.cache = cache
        reuse = ReuseRules(cache)
        storing = StoringRules(cache)
        browserCaching = edge.browserCachingPolicy(named: route.browserCaching ?? edge.browserCaching).flatMap(BrowserCaching.init)
        earlyHints = EarlyHints(route.earlyHints.applied(to: edge.earlyHints))
        strippedPrefix = PathPrefix(route.strippedPrefix)
        requestRules = HeaderRuleSet(route.requestRules)
        responseRules = HeaderRuleSet(route.responseRules)
        keying = CacheKeying(scope: Array(route.cacheScope.utf8), route.cacheKey.isEmpty ? edge.cache.key : route.cacheKey)
        hasPlainKeys = keying.rules == nil
        cacheScope = keying.scope
        if route.maintenance.isEnabled {
            let page = route.maintenance.page.flatMap { resources.pages[$0] }
            maintenance = Maintenance(
                page: page ?? ErrorPage.body(status: 503, title: ErrorPage.title(503), reason: EdgeReason.maintenance.rawValue),
                retrySeconds: max(1, Int(clamping: route.maintenance.retryAfter.nanoseconds / 1_000_000_000)),
                exceptions: route.maintenance.exceptions)
        }
        if let file = route.basicAuth.file, let authenticator = resources.authenticators[file] {
            basic = Basic(authenticator: authenticator, realm: route.basicAuth.realm)
        }
        if let group = route.forwardAuth.upstream {
            // Nothing of it is stored or compressed: what it says is passed on, or not at all.
            var asked = RouteConfiguration()
            asked.upstream = group
            asked.isCompressed = false
            asked.isCached = false
            forward = Forward(
                plan: RoutePlan(asked, title: "", edge, resources, connectors: connectors, responses: nil), path: route.forwardAuth.path,
                copiedFields: route.forwardAuth.copiedFields, timeout: route.forwardAuth.timeout)
        }
    }

    func ended(status: Int) {
        responses?.add(min(max(status / 100, 0), 5))
    }

    /// Whether what the application says may depend on whom the other server found.
    var isPersonal: Bool { !(forward?.copiedFields.isEmpty ?? true) }

    var upstream: UpstreamConnector? {
        if case .origin(_, let upstream) = action { upstream } else { nil }
    }
}

/// The routes of one event loop, swapped whole at a reload. A class, so that a request that asks it retains one thing and not ten.
final class Routing {
    let router: Router
    /// `nil` when nobody is trusted.
    let forwarding: ForwardingConfiguration?
    let plans: [RoutePlan]
    let connectors: [String: UpstreamConnector]
    /// Every ``RoutePlan/keying`` once: what a change of a resource may have made stale.
    let keyings: [CacheKeying]

    /// - Parameter connectors: by the group's name.
    init(
        _ configuration: EdgeConfiguration, _ resources: RouteResources, connectors: [String: UpstreamConnector], metrics: EdgeMetrics
    ) {
        router = Router(configuration)
        forwarding = configuration.forwarding.trusted.isEmpty ? nil : configuration.forwarding
        self.connectors = connectors
        let table = configuration.routeTable
        let titles = table.enumerated().map { $1.title($0, of: configuration) }
        let rows = metrics.rows(ofRoutes: titles)
        let plans = table.enumerated().map { number, route in
            let title = titles[number]
            return RoutePlan(
                route, title: title, configuration, resources, connectors: connectors, responses: rows[title], limiter: resources.limiters[number])
        }
        self.plans = plans
        var keyings: [CacheKeying] = []
        for plan in plans where !keyings.contains(plan.keying) {
            if case .origin = plan.action { keyings.append(plan.keying) }
        }
        self.keyings = keyings
    }
}

extension ReuseRules {
    init(_ cache: EdgeConfiguration.Cache) {
        staleWhileRevalidateSeconds = cache.staleWhileRevalidate.wholeSeconds
        staleIfErrorSeconds = cache.staleIfError.wholeSeconds
        heedsRequests = cache.heedsRequests
        refreshAheadShare = cache.refreshAhead
    }
}

extension StoringRules {
    init(_ cache: EdgeConfiguration.Cache) {
        self.init()
        defaultLifetimeSeconds = cache.defaultLifetime.wholeSeconds
        heuristicShare = cache.heuristicShare
        heuristicSecondsMax = cache.heuristicLifetimeMax.wholeSeconds
        negativeLifetimes = cache.negative.map { NegativeLifetime(status: $0.status, seconds: $0.lifetime.wholeSeconds) }
        jitterShare = cache.expiryJitter
        storesCookies = cache.storesCookies
        storesPosts = cache.storesPosts
        heedsRequests = cache.heedsRequests
    }
}

extension TimeAmount {
    fileprivate var wholeSeconds: Int { Int(clamping: nanoseconds / 1_000_000_000) }
}
