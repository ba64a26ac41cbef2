/// Layers that a request can go past, so that what each is worth can be measured in a process that serves all the while.
public struct EdgeLayers: OptionSet, Sendable, Hashable {
    public let rawValue: UInt16

    public init(rawValue: UInt16) {
        self.rawValue = rawValue
    }

    /// Past the store, and so past those who fetch for others: ``coalescing`` is part of it.
    public static let responseCache = EdgeLayers(rawValue: 1)
    public static let brotli = EdgeLayers(rawValue: 2)
    public static let zstd = EdgeLayers(rawValue: 4)
    public static let gzip = EdgeLayers(rawValue: 8)
    public static let browserCaching = EdgeLayers(rawValue: 16)
    /// What is missing is fetched for this request alone, and nobody waits for it.
    public static let coalescing = EdgeLayers(rawValue: 32)
    /// The application is asked on a connection made for it, and closed behind it.
    public static let upstreamKeepAlive = EdgeLayers(rawValue: 64)

    /// For as long as such requests come, the keys of caches are missing, for all clients of the keyspace: where nothing tells which request a
    /// command is for, there is no other way.
    public static let keyspace = EdgeLayers(rawValue: 128)
    /// For as long as such requests come, each of the pooler's clients has a server connection of its own, for the same reason.
    public static let pooler = EdgeLayers(rawValue: 256)

    public static let compression: EdgeLayers = [.brotli, .zstd, .gzip]
    /// What is switched for all, not for one request alone.
    public static let shared: EdgeLayers = [.keyspace, .pooler]
    /// The edge's own: each is switched for one request alone.
    public static let all: EdgeLayers = [.responseCache, .compression, .browserCaching, .coalescing, .upstreamKeepAlive]

    /// In the order in which they are written.
    private static let names: [(layer: EdgeLayers, word: String)] = [
        (.responseCache, "response-cache"), (.brotli, "br"), (.zstd, "zstd"), (.gzip, "gzip"), (.browserCaching, "browser-caching"),
        (.coalescing, "coalescing"), (.upstreamKeepAlive, "upstream-keep-alive"), (.keyspace, "keyspace"), (.pooler, "pooler"),
    ]

    private static let none = "none"

    /// `response-cache+br`; `none` for no layer.
    public var text: String {
        isEmpty ? Self.none : Self.names.filter { contains($0.layer) }.map(\.word).joined(separator: "+")
    }

    /// - Returns: `nil` for a word that is no layer's.
    public init?(text: some StringProtocol) {
        self = []
        if text == Self.none { return }
        for word in text.split(separator: "+", omittingEmptySubsequences: false) {
            guard let known = Self.names.first(where: { $0.word == word }) else { return nil }
            insert(known.layer)
        }
    }
}
