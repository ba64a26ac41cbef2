import NIOCore

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

    let route: RouteConfiguration
    let action: Action
    let compression: EdgeConfiguration.Compression
    let cache: EdgeConfiguration.Cache
    let requestRules: HeaderRuleSet?
    let responseRules: HeaderRuleSet?
    /// See ``RouteConfiguration/cacheScope``.
    let cacheScope: [UInt8]

    init(_ route: RouteConfiguration, _ edge: EdgeConfiguration, files: StaticFiles?, upstream: UpstreamConnector?) {
        self.route = route
        if route.redirect.location != nil {
            action = .redirect(route.redirect)
        } else if let page = route.page {
            action = .page(page)
        } else if route.respond.status != nil {
            action = .respond(route.respond)
        } else {
            action = .origin(files: files, upstream: upstream)
        }
        var compression = edge.compression
        compression.isEnabled = route.isCompressed ?? compression.isEnabled
        self.compression = compression
        var cache = edge.cache
        cache.isEnabled = route.isCached ?? cache.isEnabled
        self.cache = cache
        requestRules = HeaderRuleSet(route.requestRules)
        responseRules = HeaderRuleSet(route.responseRules)
        cacheScope = Array(route.cacheScope.utf8)
    }

    var upstream: UpstreamConnector? {
        if case .origin(_, let upstream) = action { upstream } else { nil }
    }
}

/// The routes of one event loop, swapped whole at a reload.
struct Routing {
    let router: Router
    let plans: [RoutePlan]
    let connectors: [String: UpstreamConnector]
    /// Every ``RoutePlan/cacheScope`` once: what a change of a resource may have made stale.
    let cacheScopes: [[UInt8]]

    /// - Parameters:
    ///   - files: by folder.
    ///   - connectors: by the group's name.
    init(_ configuration: EdgeConfiguration, files: [String: StaticFiles], connectors: [String: UpstreamConnector]) {
        router = Router(configuration)
        self.connectors = connectors
        let plans = configuration.routeTable.map { route in
            RoutePlan(
                route, configuration, files: route.files.root.flatMap { files[$0] }, upstream: route.upstream.flatMap { connectors[$0] })
        }
        self.plans = plans
        var scopes: [[UInt8]] = []
        for plan in plans where !scopes.contains(plan.cacheScope) {
            if case .origin = plan.action { scopes.append(plan.cacheScope) }
        }
        cacheScopes = scopes
    }
}
