import Edge
import NIOCore

/// The one table of everything that can be set. The file's checker, the environment, `--set`, `headrace check`, the example file
/// and `docs/configuration.md` are all read off it.
enum ConfigurationKeys {
    static let all: [ConfigurationKey] =
        memory + edge + ResponseCacheKeys.edge + EdgeTLSKeys.all + bounds + files + UpstreamKeys.application + PoolerKeys.all
        + PoolerSecurityKeys.all + KeyspaceKeys.all + DashboardKeys.all + ScheduleKeys.all + ProofKeys.all

    private static let memory: [ConfigurationKey] = [
        .init(
            "processes", \.processes, .word("layout"),
            "Whether all layers run in one process, or each in its own under a supervisor: then none takes another with it, and is started anew on its sockets."),
        .init(
            "user", \.user, .optional(.text("user")),
            "Who serves when root starts it. Layers' processes run as this user; one process for all becomes it once it has its addresses, and has read its files."),
        .init(
            "memory.total", \.memoryBytesMax, .optional(.size(64 << 20...1 << 42), off: "off"),
            "The most memory of the process, all layers together. Their parts must fit into 76 % of it; near it, first new connections are refused, then more."),
    ]

    private static let files = StaticFilesKeys.keys(
        "edge.files", index: \.edge.files.indexNames, listing: \.edge.files.hasListing, fallback: \.edge.files.fallback,
        links: \.edge.files.links, precompressed: \.edge.files.precompressed) as [ConfigurationKey]

    private static let edge: [ConfigurationKey] = [
        // The edge
        .init(
            "edge.listen", \.edge.listen, .list("addresses", of: .listenAddress),
            "Where clients connect. Loopback unless told otherwise; 0.0.0.0:80 opens it to the network."),
        .init(
            "edge.app", \.application, .optional(.application), isReloadable: true,
            "The application behind the edge. Its own header fields decide what is cached and for how long."),
        .init(
            "edge.root", \.edge.root, .optional(.text("folder")), isReloadable: true,
            "A folder of static files. With an application too, files come first and it answers what is no file."),
        .init(
            "edge.http2", \.edge.isHTTP2Enabled, .boolean,
            "Speak HTTP/2 with clients that can: over TLS those that offer it (ALPN), elsewhere those that begin with it."),
        .init("edge.threads", \.edge.threads, .number(0...256), "Event loops; 0 is one per core."),
        .init(
            "edge.access_log", \.edge.accessLog, .accessLog, "Where one line per exchange goes."),
        .init(
            "edge.access_log_format", \.edge.accessRecords.format, .accessLogFormat, isReloadable: true,
            "How it is written: one JSON object, or Apache's combined format."),
        .init(
            "edge.access_log_fields", \.edge.accessRecords.fields, .list("fields", of: .accessLogField), isReloadable: true,
            "What a JSON line says, besides the time. What says nothing of an exchange is left out of its line."),
        .init(
            "edge.access_log_sample", \.edge.accessRecords.sampledShare, .share, isReloadable: true,
            "The share of exchanges that have a line, chosen by trace. Errors always have one."),
        .init(
            "edge.metrics_path", \.edge.metricsPath, .optional(.urlPath, off: "off"), isReloadable: true,
            "The page with the metrics in Prometheus' text format. It answers this machine, and whoever knows the token."),
        .init(
            "edge.metrics_token", \.edge.metricsToken, .optional(.text("token")), isReloadable: true, isSecret: true,
            "Who sends it (Authorization: Bearer …) may read the metrics from anywhere."),

        .init(
            "edge.proxies", \.edge.proxies, .list("networks", of: .addressRange, isEmptyAllowed: true), isReloadable: true,
            "Load balancers in front, which must say with the PROXY protocol, version 1 or 2, who the client is. Holds for new connections."),
        .init(
            "edge.forwarded.trusted", \.edge.forwarding.trusted, .list("networks", of: .addressRange, isEmptyAllowed: true),
            isReloadable: true,
            "Proxies in front of the edge that are believed about the client: its address, scheme and host. Nobody, unless told."),
        .init(
            "edge.forwarded.field", \.edge.forwarding.field, .forwardedField, isReloadable: true,
            "The field in which they name the client. The other is not read: a proxy passes on what it does not write."),

        .init("edge.compression.enabled", \.edge.compression.isEnabled, .boolean, isReloadable: true, "Compress responses."),
        .init(
            "edge.compression.codings", \.edge.compression.codings, .list("codings", of: .choice(["br", "zstd", "gzip"])),
            "Codings on offer, best first. The client's own weights come before this order."),
        .init(
            "edge.compression.min_size", \.edge.compression.bytesMin, .size(0...1 << 20), isReloadable: true,
            "Smaller bodies go out as they are."),
        .init(
            "edge.compression.types", \.edge.compression.extraTypes, .list("media types", of: .mediaType, isEmptyAllowed: true),
            isReloadable: true, "Media types that are compressed besides the built-in table of text-like types."),
        .init(
            "edge.compression.gzip_level_fast", \.edge.compression.gzipLevelFast, .number(1...12),
            "Level of gzip while the client waits."),
        .init(
            "edge.compression.gzip_level_high", \.edge.compression.gzipLevelHigh, .number(1...12),
            "Level of gzip for what is stored, made once in the background."),
        .init(
            "edge.compression.brotli_level_fast", \.edge.compression.brotliLevelFast, .number(0...11),
            "Level of brotli while the client waits."),
        .init(
            "edge.compression.brotli_level_high", \.edge.compression.brotliLevelHigh, .number(0...11),
            "Level of brotli for what is stored, made once in the background."),
        .init(
            "edge.compression.zstd_level_fast", \.edge.compression.zstdLevelFast, .number(1...19),
            "Level of zstd while the client waits."),
        .init(
            "edge.compression.zstd_level_high", \.edge.compression.zstdLevelHigh, .number(1...19),
            "Level of zstd for what is stored, made once in the background."),
        .init(
            "edge.compression.background_share", \.edge.compression.backgroundShare, .share,
            "The share of one core that compression in the background may take; 0% leaves everything at the fast level."),
        .init(
            "edge.compression.background_queue", \.edge.compression.backgroundQueueMax, .number(0...10_000),
            "Jobs that may wait for it; more are dropped and come again with the next hit."),

        .init(
            "edge.browser_caching", \.edge.browserCaching, .text("policy"), isReloadable: true,
            "What browsers may keep of responses that say nothing about it: off, standard, or a table of edge.policies.browser_caching."),

        .init(
            "edge.early_hints.links", \.edge.earlyHints.links, .list("links", of: .earlyLink, isEmptyAllowed: true), isReloadable: true,
            "What browsers are told in 103 Early Hints while the application makes a page, such as </app.css>; rel=preload; as=style."),
        .init(
            "edge.early_hints.learn", \.edge.earlyHints.learns, .boolean, isReloadable: true,
            "And what the page's own Link fields said of preload, modulepreload and preconnect, the last time it could be kept for all."),
        .init(
            "edge.early_hints.http1", \.edge.earlyHints.includesHTTP1, .boolean, isReloadable: true,
            "By HTTP/1.1, too; some clients take the first head for the answer. By HTTP/2 all can tell them apart."),

        .init("edge.cache.enabled", \.edge.cache.isEnabled, .boolean, isReloadable: true, "Keep responses that the application lets be kept."),
        .init(
            "edge.cache.size", \.edge.cache.bytesMax, .size(1 << 20...1 << 40),
            "Memory of all stored responses, their variants and bookkeeping included."),
        .init(
            "edge.cache.max_object_size", \.edge.cache.objectBytesMax, .size(1 << 10...1 << 30), isReloadable: true,
            "The largest body that is stored."),
        .init(
            "edge.cache.stale_while_revalidate", \.edge.cache.staleWhileRevalidate, .duration(.zero...(.hours(24 * 365))), isReloadable: true,
            "How long a stale response is served while a new one is fetched, where the application does not say."),
        .init(
            "edge.cache.stale_if_error", \.edge.cache.staleIfError, .duration(.zero...(.hours(24 * 365))), isReloadable: true,
            "How long a stale response is served when no new one can be had, where the application does not say."),
        .init(
            "edge.cache.default_lifetime", \.edge.cache.defaultLifetime, .duration(.zero...(.hours(24 * 365))), isReloadable: true,
            "How long responses are fresh of which the application does not say it."),
        .init(
            "edge.cache.heuristic_share", \.edge.cache.heuristicShare, .share, isReloadable: true,
            "The share of the time since Last-Modified for which such responses are fresh, before default_lifetime."),
        .init(
            "edge.cache.heuristic_max", \.edge.cache.heuristicLifetimeMax, .duration(.zero...(.hours(24 * 365))), isReloadable: true, "The most that comes of that share."),
        .init(
            "edge.cache.negative", \.edge.cache.negative, .negativeCaching, isReloadable: true,
            "How long errors and the like are kept of which the application does not say it, by status: {404: 10s, 503: 1s}."),
        .init(
            "edge.cache.expiry_jitter", \.edge.cache.expiryJitter, .share, isReloadable: true,
            "How much of a lifetime may be taken off at random, so that what came together does not expire together."),
        .init(
            "edge.cache.refresh_ahead", \.edge.cache.refreshAhead, .share, isReloadable: true,
            "In which last part of its lifetime what is asked for often is fetched anew while it is served still; 0% for never."),
        .init(
            "edge.cache.set_cookie", \.edge.cache.storesCookies, .boolean, isReloadable: true,
            "Keep responses with Set-Cookie, and give everybody the same cookie."),
        .init(
            "edge.cache.request_directives", \.edge.cache.heedsRequests, .boolean, isReloadable: true,
            "Heed Cache-Control and Pragma of requests; false keeps clients from passing the cache by them."),
    ]

    private static let bounds: [ConfigurationKey] = [
        .init(
            "edge.limits.request_line", \.edge.limits.requestLineBytesMax, .size(256...1 << 20), isReloadable: true,
            "The longest request line; 414 beyond. Holds for new connections."),
        .init(
            "edge.limits.head", \.edge.limits.headBytesMax, .size(512...1 << 20), isReloadable: true,
            "Request line and header section together; 431 beyond. Holds for new connections."),
        .init(
            "edge.limits.fields", \.edge.limits.fieldCountMax, .number(1...10_000), isReloadable: true,
            "Header lines of a request; 431 beyond. Holds for new connections."),
        .init(
            "edge.limits.body", \.edge.limits.requestBodyBytesMax, .size(0...1 << 40), isReloadable: true,
            "A request's body; 413 beyond. Holds for new connections."),
        .init(
            "edge.limits.connections", \.edge.limits.connectionsMax, .number(1...1_000_000),
            "Open client connections; more are closed at once."),
        .init(
            "edge.limits.connections_per_client", \.edge.limits.clientConnectionsMax, .number(1...1_000_000),
            "Of those, from one IPv4 address or IPv6 /64; more are closed at once. Behind another proxy, as many as that may make."),
        .init(
            "edge.limits.buffered_responses", \.edge.limits.bufferedResponseBytesMax, .optional(.size(1 << 20...1 << 40)),
            """
            Responses that are held until they are whole, to be stored or compressed, all together; beyond, they are passed on as they \
            come and not stored. Without it, a quarter of edge.cache.size.
            """),
        .init(
            "edge.limits.rate_store", \.rateStore, .rateStore,
            "Where limits.rate of routes keeps its buckets for several processes together: nowhere, in this configuration's keyspace, or in a Redis or Valkey."),
        .init(
            "edge.limits.rate_store_password", \.rateStorePassword, .optional(.text("password")), isSecret: true,
            "What is said to that Redis or Valkey in AUTH."),
        .init(
            "edge.limits.transfer_rate", \.edge.limits.transferRateMin, .rate(0...1 << 30), isReloadable: true,
            "Slower request bodies are refused with 408, clients that take a response more slowly are given up. 0B/s for any."),

        .init(
            "edge.deadlines.request_head", \.edge.deadlines.requestHead, .duration(.milliseconds(100)...(.hours(1))), isReloadable: true,
            "From a request's first byte to the end of its header section; 408 beyond."),
        .init(
            "edge.deadlines.request_body", \.edge.deadlines.requestBody, .duration(.milliseconds(100)...(.hours(1))), isReloadable: true,
            "Between two reads of a request's body; 408 beyond."),
        .init(
            "edge.deadlines.keep_alive", \.edge.deadlines.keepAlive, .duration(.milliseconds(100)...(.hours(24))), isReloadable: true,
            "Between two requests on a connection."),
        .init(
            "edge.deadlines.write", \.edge.deadlines.write, .duration(.milliseconds(100)...(.hours(24))), isReloadable: true,
            "A client that takes nothing of its response for so long is given up."),
        .init(
            "edge.deadlines.drain", \.edge.deadlines.drain, .duration(.seconds(0)...(.hours(24))), isReloadable: true,
            "After SIGTERM: how long exchanges in flight may take to finish."),
    ]

    static let table = SettingTable<Settings>(keys: all, repeated: [UpstreamKeys.section, RouteKeys.section, BrowserCachingKeys.section])
    static let shape = table.shape

    private static let byPath = Dictionary(uniqueKeysWithValues: all.map { ($0.path, $0) })

    static func key(_ path: String) -> ConfigurationKey? { byPath[path] }
}
