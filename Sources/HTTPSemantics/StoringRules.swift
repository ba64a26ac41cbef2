/// What a route adds to what the application says about storing.
public struct StoringRules: Equatable, Sendable {
    /// Freshness lifetime, in seconds, of what has none, explicit or by heuristic; 0 for none.
    public var defaultLifetimeSeconds = 0
    /// Which share of the time since `Last-Modified` a response without a lifetime is taken to be fresh; 0 for none. 0.1 is usual.
    public var heuristicShare = 0.0
    /// The most that comes of it.
    public var heuristicSecondsMax = 86_400
    /// Store responses with `Set-Cookie`, and send it to everybody.
    public var storesCookies = false
    /// Heed `no-store`, `no-cache`, `max-age` and `min-fresh` of requests.
    public var heedsRequests = true

    public init() {}
}
