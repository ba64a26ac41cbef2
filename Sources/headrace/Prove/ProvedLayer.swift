import Edge
import Foundation

/// A layer of the edge that `headrace prove` can take away: one row each.
struct ProvedLayer: Sendable {
    /// What an edge with the layer counted, per request that it answered.
    struct Counters: Sendable {
        var requests = 0.0
        /// Requests that the application got.
        var upstreamRequests = 0.0
        /// Connections that were made to it.
        var upstreamConnects = 0.0
        /// Responses with a content coding of the edge's, and those by coding.
        var coded = 0.0
        var gzip = 0.0
        var brotli = 0.0
        var zstd = 0.0
        /// Requests that waited for another's fetch.
        var coalesced = 0.0
        /// Transactions of the pooler's clients that needed a server connection, in all arms together.
        var leases = 0.0
        /// CPU seconds of the edge's process; `nil` when they are not this arm's alone.
        var cpuSeconds: Double?
    }

    let name: String
    /// `--set` arguments of an edge without it; none for what only a running edge can be without.
    let off: [String]
    /// What a signed request says to go past it.
    let layers: EdgeLayers
    /// Whether it did anything at all, by the counters of the edge that has everything. A layer that carries no traffic is not "no
    /// measurable effect": it is deployed, green and unused, and that is said in those words.
    let isUsed: @Sendable (Counters) -> Bool

    private static let responseCache = ProvedLayer(
        name: "response cache", off: ["edge.cache.enabled=false"], layers: .responseCache, isUsed: { $0.upstreamRequests < 0.999 * $0.requests })
    private static let compression = ProvedLayer(
        name: "compression", off: ["edge.compression.enabled=false"], layers: .compression, isUsed: { $0.coded > 0 })
    private static let keepAlive = ProvedLayer(
        name: "upstream keep-alive", off: ["edge.upstream.idle_connections=0"], layers: .upstreamKeepAlive,
        isUsed: { $0.upstreamConnects < $0.upstreamRequests })
    private static let coalescing = ProvedLayer(name: "coalescing", off: [], layers: .coalescing, isUsed: { $0.coalesced > 0 })
    private static let codings: [(token: String, layer: ProvedLayer)] = [
        ("br", ProvedLayer(name: "br", off: [], layers: .brotli, isUsed: { $0.brotli > 0 })),
        ("zstd", ProvedLayer(name: "zstd", off: [], layers: .zstd, isUsed: { $0.zstd > 0 })),
        ("gzip", ProvedLayer(name: "gzip", off: [], layers: .gzip, isUsed: { $0.gzip > 0 })),
    ]

    // Switched for all clients, and so only when that is asked for.

    static let pooler = ProvedLayer(name: "pooler", off: [], layers: .pooler, isUsed: { $0.leases > 0 })
    static let keyspace = ProvedLayer(name: "keyspace", off: [], layers: .keyspace, isUsed: { $0.upstreamRequests > 0 })

    /// Of an edge that is started for the purpose.
    static let all: [ProvedLayer] = [responseCache, compression, keepAlive]

    static let allOff = all.flatMap(\.off)

    /// Of an edge that serves. Codings are taken away one by one where there is another to take its place.
    /// - Parameter acceptEncoding: what the requests say.
    static func deployed(acceptEncoding: String) -> [ProvedLayer] {
        let tokens = acceptEncoding.split(separator: ",").map { $0.prefix { $0 != ";" }.trimmingCharacters(in: .whitespaces).lowercased() }
        let accepted = codings.filter { tokens.contains($0.token) }.map(\.layer)
        return [responseCache, compression] + (accepted.count > 1 ? accepted : []) + [coalescing, keepAlive]
    }
}
