/// A layer of the edge that `headrace prove` can take away: one row each.
struct ProvedLayer: Sendable {
    /// What an edge with the layer counted, per request that it answered.
    struct Counters: Sendable {
        var requests = 0.0
        /// Requests that the application got.
        var upstreamRequests = 0.0
        /// Connections that were made to it.
        var upstreamConnects = 0.0
        /// Responses with a content coding of the edge's.
        var coded = 0.0
        /// CPU seconds of the edge's process.
        var cpuSeconds = 0.0
    }

    let name: String
    /// `--set` arguments of an edge without it.
    let off: [String]
    /// Whether it did anything at all, by the counters of the edge that has everything. A layer that carries no traffic is not "no
    /// measurable effect": it is deployed, green and unused, and that is said in those words.
    let isUsed: @Sendable (Counters) -> Bool

    static let all: [ProvedLayer] = [
        ProvedLayer(
            name: "response cache", off: ["edge.cache.enabled=false"], isUsed: { $0.upstreamRequests < 0.999 * $0.requests }),
        ProvedLayer(name: "compression", off: ["edge.compression.enabled=false"], isUsed: { $0.coded > 0 }),
        ProvedLayer(
            name: "upstream keep-alive", off: ["edge.upstream.idle_connections=0"],
            isUsed: { $0.upstreamConnects < $0.upstreamRequests }),
    ]

    static let allOff = all.flatMap(\.off)
}
