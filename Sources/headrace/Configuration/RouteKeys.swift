import Edge

/// What can be said of a route.
enum RouteKeys {
    static let section = RepeatedSection(
        list: "edge.routes", \Settings.edge.routes, table, RouteConfiguration(),
        example: [
            "- name: old-shop",
            "  match: {host: [shop.example], path: [/old]}",
            "  redirect: {to: https://www.example/shop, keep_path: true, status: 308}",
            "- name: api",
            "  match: {path: [/api], method: [GET, POST]}",
            "  upstream: app",
            "  cache: {enabled: false}",
            "- match: {path: [/static]}",
            "  files: {root: ./public}",
            "  response_headers: {set: {X-Content-Type-Options: nosniff}}",
        ],
        identity: { route in
            guard route.name.isEmpty else { return route.name }
            // What it is for, as it would be written.
            let conditions = table.settings(route, RouteConfiguration(), prefix: "").filter { $0.path.hasPrefix("match.") }
            return conditions.isEmpty ? "for all" : conditions.map { "\($0.path)=\($0.value)" }.joined(separator: " ")
        },
        """
        Where requests go: the first route that matches is taken. Behind the last one come edge.root and edge.app, for every request. \
        `headrace explain URL` shows which route a request takes, and why not the ones before it.
        """)

    private static let table = SettingTable<RouteConfiguration>(keys: StaticFilesKeys.keys(
        "files", index: \.files.options.indexNames, listing: \.files.options.hasListing, fallback: \.files.options.fallback,
        links: \.files.options.links, precompressed: \.files.options.precompressed) + ResponseCacheKeys.route + [
        .init("name", \.name, .optionalName, isReloadable: true, "The word for it in the access log and in `headrace explain`."),

        .init(
            "match.host", \.match.hosts, .list("host names", of: .hostPattern, isEmptyAllowed: true), isReloadable: true,
            "The request's host is one of these; `*.example.com` is every name below example.com. The port does not count."),
        .init(
            "match.path", \.match.paths, .list("paths", of: .matchedPath, isEmptyAllowed: true), isReloadable: true,
            "The path begins with one of these, by whole segments: /api is for /api and /api/x, not for /apis."),
        .init(
            "match.path_exact", \.match.exactPaths, .list("paths", of: .matchedPath, isEmptyAllowed: true), isReloadable: true,
            "Or the path is one of these."),
        .init(
            "match.method", \.match.methods, .list("methods", of: .method, isEmptyAllowed: true), isReloadable: true,
            "The method is one of these. GET is for HEAD, too."),
        .init(
            "match.header", \.match.fields, .fieldConditions, isReloadable: true,
            "The request has all of these header fields, where a value is given with that value."),

        .init(
            "match.client", \.match.clients, .list("networks", of: .addressRange, isEmptyAllowed: true), isReloadable: true,
            "The client comes from one of these; behind proxies, if edge.forwarded.trusted has them."),

        .init(
            "upstream", \.upstream, .optional(.text("group name")), isReloadable: true,
            "The group of edge.upstreams that answers; with files.root, what is no file."),
        .init("files.root", \.files.root, .optional(.text("folder")), isReloadable: true, "A folder of static files."),
        .init(
            "strip_prefix", \.strippedPrefix, .optional(.urlPath), isReloadable: true,
            "Taken off the beginning of the path, in whole segments, before a file is looked for or the group is asked, which sees it as X-Forwarded-Prefix."),
        .init(
            "redirect.to", \.redirect.location, .optional(.location), isReloadable: true,
            "Where the client is sent: a URL, or a path on the same host."),
        .init(
            "redirect.status", \.redirect.status, .redirectStatus, isReloadable: true,
            "301 and 308 are for good, 302 and 307 for now; 307 and 308 keep the method, 303 makes it GET."),
        .init(
            "redirect.keep_path", \.redirect.keepsPath, .boolean, isReloadable: true,
            "Put the request's path behind it; of a route with match.path, what comes behind the part that matched."),
        .init("redirect.keep_query", \.redirect.keepsQuery, .boolean, isReloadable: true, "Put the request's query behind it."),
        .init(
            "page", \.page, .optional(.builtInPage), isReloadable: true,
            """
            A page of the edge's own: metrics (for this machine, and whoever knows edge.metrics_token), health (503 while it drains), ready, or \
            dashboard, which shows everything to whom basic_auth or forward_auth of the route lets in.
            """),
        .init("respond.status", \.respond.status, .optional(.responseStatus), isReloadable: true, "An answer that stands here: its status,"),
        .init("respond.content_type", \.respond.contentType, .text("media type"), isReloadable: true, "its media type"),
        .init("respond.body", \.respond.body, .optionalText, isReloadable: true, "and its body."),

        .init(
            "compression.enabled", \.isCompressed, .optional(.boolean), isReloadable: true,
            "Compress responses; without it, as edge.compression.enabled says."),
        .init(
            "cache.enabled", \.isCached, .optional(.boolean), isReloadable: true,
            "Keep responses and answer from them; without it, as edge.cache.enabled says."),
        .init(
            "cache.stale_while_revalidate", \.caching.staleWhileRevalidate, .optional(.duration(.zero...(.hours(24 * 365)))), isReloadable: true,
            "How long a stale response is served while a new one is fetched, where the application does not say; without it, as edge.cache.stale_while_revalidate says."),
        .init(
            "cache.stale_if_error", \.caching.staleIfError, .optional(.duration(.zero...(.hours(24 * 365)))), isReloadable: true,
            "How long a stale response is served when no new one can be had, where the application does not say; without it, as edge.cache.stale_if_error says."),
        .init(
            "cache.default_lifetime", \.caching.defaultLifetime, .optional(.duration(.zero...(.hours(24 * 365)))), isReloadable: true,
            "How long responses are fresh of which the application does not say it; without it, as edge.cache.default_lifetime says."),
        .init(
            "cache.heuristic_share", \.caching.heuristicShare, .optional(.share), isReloadable: true,
            "The share of the time since Last-Modified for which such responses are fresh, before default_lifetime; without it, as edge.cache.heuristic_share says."),
        .init(
            "cache.negative", \.caching.negative, .negativeCaching, isReloadable: true,
            "How long errors and the like are kept of which the application does not say it, by status; without it, as edge.cache.negative says."),
        .init(
            "cache.expiry_jitter", \.caching.expiryJitter, .optional(.share), isReloadable: true,
            "How much of a lifetime may be taken off at random; without it, as edge.cache.expiry_jitter says."),
        .init(
            "cache.refresh_ahead", \.caching.refreshAhead, .optional(.share), isReloadable: true,
            "In which last part of its lifetime what is asked for often is fetched anew while it is served; without it, as edge.cache.refresh_ahead says."),
        .init(
            "cache.set_cookie", \.caching.storesCookies, .optional(.boolean), isReloadable: true,
            "Keep responses with Set-Cookie, and give everybody the same cookie; without it, as edge.cache.set_cookie says."),
        .init(
            "cache.store_post", \.caching.storesPosts, .optional(.boolean), isReloadable: true,
            "Keep what a POST brings for those who GET its URL, if it has a lifetime and names that URL in Content-Location. Who may POST decides what all are shown."),
        .init(
            "cache.request_directives", \.caching.heedsRequests, .optional(.boolean), isReloadable: true,
            "Heed Cache-Control and Pragma of requests; false keeps clients from passing the cache by them; without it, as edge.cache.request_directives says."),
        .init(
            "browser_caching", \.browserCaching, .optional(.text("policy")), isReloadable: true,
            "What browsers may keep of responses that say nothing about it; without it, as edge.browser_caching says."),
        .init(
            "early_hints.enabled", \.earlyHints.isEnabled, .boolean, isReloadable: true,
            "Whether browsers are told what a page needs before it is there; false for not here, whatever edge.early_hints says."),
        .init(
            "early_hints.links", \.earlyHints.links, .list("links", of: .earlyLink, isEmptyAllowed: true), isReloadable: true,
            "What they are told; without it, as edge.early_hints.links says."),
        .init(
            "early_hints.learn", \.earlyHints.learns, .optional(.boolean), isReloadable: true,
            "And what the page's own Link fields said; without it, as edge.early_hints.learn says."),
        .init(
            "early_hints.http1", \.earlyHints.includesHTTP1, .optional(.boolean), isReloadable: true,
            "By HTTP/1.1, too; without it, as edge.early_hints.http1 says."),
        .init(
            "limits.body", \.requestBodyBytesMax, .optional(.size(0...1 << 40)), isReloadable: true,
            "A request's body; 413 beyond. Not more than edge.limits.body."),
        .init(
            "limits.rate", \.rateLimit.rate, .optional(.requestRate), isReloadable: true,
            "How often a client may ask, on average; 429 beyond, with RateLimit fields. Without it, as often as it likes."),
        .init(
            "limits.burst", \.rateLimit.burst, .optional(.number(1...1_000_000)), isReloadable: true,
            "How many of them at once; without it, what limits.rate gives in a second, but one at least."),
        .init(
            "limits.per", \.rateLimit.client, .rateLimitClient, isReloadable: true,
            "Who is a client: an address (of IPv6 its /64), or who sends the same value of a header field or cookie; without the value, the address."),
        .init(
            "clients.allow", \.clients.allowed, .list("networks", of: .addressRange, isEmptyAllowed: true), isReloadable: true,
            "Whose requests are answered; 403 for all others. Empty for everybody's."),
        .init(
            "clients.deny", \.clients.denied, .list("networks", of: .addressRange, isEmptyAllowed: true), isReloadable: true,
            "Whose are not, though clients.allow has them."),
        .init(
            "maintenance.enabled", \.maintenance.isEnabled, .boolean, isReloadable: true,
            "Everybody gets 503 and a page instead of what the route gives."),
        .init("maintenance.page", \.maintenance.page, .optional(.text("file")), isReloadable: true, "The page, HTML; without it, the edge's own."),
        .init(
            "maintenance.retry_after", \.maintenance.retryAfter, .duration(.seconds(1)...(.hours(24 * 30))), isReloadable: true,
            "When clients may come again, as Retry-After says it."),
        .init(
            "maintenance.except", \.maintenance.exceptions, .list("networks", of: .addressRange, isEmptyAllowed: true), isReloadable: true,
            "Clients that get what the route gives all the same."),
        .init(
            "basic_auth.file", \.basicAuth.file, .optional(.text("file")), isReloadable: true,
            "A name and a password of this file are asked for: lines as htpasswd writes them (bcrypt, apr1, {SHA}, crypt)."),
        .init("basic_auth.realm", \.basicAuth.realm, .realm, isReloadable: true, "What browsers show above the two."),
        .init(
            "forward_auth.upstream", \.forwardAuth.upstream, .optional(.text("group name")), isReloadable: true,
            "A group that is asked first: 2xx lets the request go on; 401, 403 and 3xx are what the client gets; all else is 502."),
        .init("forward_auth.path", \.forwardAuth.path, .urlPath, isReloadable: true, "What it is asked for, by GET."),
        .init(
            "forward_auth.copy", \.forwardAuth.copiedFields, .list("names", of: .fieldName, isEmptyAllowed: true), isReloadable: true,
            "Header fields of its answer that the application gets, never as the client sent them. Such a route goes past the cache."),
        .init(
            "forward_auth.timeout", \.forwardAuth.timeout, .duration(.milliseconds(10)...(.minutes(10))), isReloadable: true,
            "For its whole answer; 504 beyond."),
        .init(
            "request_headers.remove", \.requestRules.removed, .list("names", of: .fieldName, isEmptyAllowed: true), isReloadable: true,
            "Header fields that the upstream does not get."),
        .init(
            "request_headers.set", \.requestRules.set, .headerFields, isReloadable: true,
            "Header fields that the upstream gets in the place of those of the same name."),
        .init(
            "request_headers.add", \.requestRules.added, .headerFields, isReloadable: true,
            "Header fields that the upstream gets besides those of the same name."),
        .init(
            "response_headers.remove", \.responseRules.removed, .list("names", of: .fieldName, isEmptyAllowed: true), isReloadable: true,
            "Header fields that the client does not get."),
        .init(
            "response_headers.set", \.responseRules.set, .headerFields, isReloadable: true,
            "Header fields that the client gets in the place of those of the same name."),
        .init(
            "response_headers.add", \.responseRules.added, .headerFields, isReloadable: true,
            "Header fields that the client gets besides those of the same name."),
    ])
}
