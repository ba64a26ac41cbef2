/// What a route adds to what the application says about storing.
public struct StoringRules: Equatable, Sendable {
    /// Freshness lifetime, in seconds, of what has none, explicit or by heuristic; 0 for none.
    public var defaultLifetimeSeconds = 0
    /// Which share of the time since `Last-Modified` a response without a lifetime is taken to be fresh; 0 for none. 0.1 is usual.
    public var heuristicShare = 0.0
    /// The most that comes of it.
    public var heuristicSecondsMax = 86_400
    /// Freshness lifetimes, in seconds, of errors and other statuses that say nothing about it themselves, whatever the status.
    public var negativeLifetimes: [NegativeLifetime] = []
    /// Which share of what is left of a lifetime may be taken off it, at random; see ``Freshness/jittered(_:age:share:random:)``.
    public var jitterShare = 0.0
    /// Store responses with `Set-Cookie`, and send it to everybody.
    public var storesCookies = false
    /// Store what a POST brings, if the application says that it is what GET would.
    public var storesPosts = false
    /// Heed `no-store`, `no-cache`, `max-age` and `min-fresh` of requests.
    public var heedsRequests = true

    public init() {}

    public struct NegativeLifetime: Equatable, Sendable {
        public let status: Int
        public let seconds: Int

        public init(status: Int, seconds: Int) {
            (self.status, self.seconds) = (status, seconds)
        }
    }
}
