import HTTPSemantics
import NIOCore

/// One request and its response, from the first to the last byte: what was decided, and why. A plain value; the handlers
/// act on it, the access record, the metrics, `Cache-Status` and `Server-Timing` are read off it.
///
/// ```
/// route ─► lookup ─► deliver                                   a hit, or a 304 to the client's own condition
///             │
///             ├► follow ─► lookup again | fetch alone | error   another request fetches the same key
///             └► fetch  ─► transform ─► store ─► deliver        a miss, a revalidation, or past the cache
/// ```
///
/// Not copyable, so that it is lent and not retained where an answer, the metrics and the access record read it.
struct Exchange: ~Copyable {
    /// How the response cache had its part in the answer. The raw value is the word in logs and metric labels.
    enum CacheResult: String, CaseIterable, Sendable {
        /// The edge made the answer itself: an error, a built-in page.
        case none
        /// Answered from the store.
        case hit
        /// Answered from the store although it is stale; the detail says by whose leave.
        case servedStale = "served-stale"
        /// Answered from the store after the application confirmed it.
        case revalidated
        /// Nothing stored under this key.
        case miss
        /// What is stored is stale and was fetched anew.
        case stale
        /// Answered by the fetch of another request that came at the same time.
        case coalesced
        /// Not looked up: method, a body, or the cache is off.
        case bypass
    }

    let started: NIODeadline
    var trace: TraceParent
    var method = Method.get
    /// The route that was taken; empty when there is none, or none was asked for.
    var route = ""
    /// Who has logged in, by `basic_auth`; empty when nobody has.
    var user = ""
    var status = 0
    var cacheResult = CacheResult.none
    /// Why it came about so: why the cache was bypassed, the response not stored, the request refused.
    var reason: AnswerReason?
    var isStored = false
    /// What is stored would have answered another request: this one asked for better.
    var isForwardedOnRequest = false
    /// Seconds of freshness left in what a hit gave, negative when it is stale; for `Cache-Status`.
    var secondsFresh = 0
    var ageSeconds = 0
    var coding = ContentCoding.identity
    var failure: GatewayFailure?
    var bodyBytes = 0
    /// Bytes of the body that were not sent: compressed, or the client had it.
    var savedBytes = 0
    /// What is left of its client's share of its route; `nil` where there is no limit.
    var requestsLeft: Int?
    /// The response has no end of its own, and its length is no response time.
    var isStream = false
    /// Nanoseconds from asking the application to its response's head; 0 when it was not asked.
    var upstreamNanoseconds: Int64 = 0
    /// Nanoseconds until our head was written; 0 before.
    var headNanoseconds: Int64 = 0
    var stages: StageTimes
    /// What the client accepts, read once.
    var accepted = AcceptedCodings.identityOnly
    var requestCacheControl = CacheControl()
    /// Links that the client was told early of the edge's own accord; some of them may have been learnt.
    var hints: [[UInt8]] = []
    var hasLearntHints = false

    /// Layers that it goes past.
    var without: EdgeLayers = []
    /// What the answer says to a ``ProofField`` that was right; empty when there was none.
    var proofAnswer = ""
    var holdOut: HoldOut.Part?
    /// A connection to the application was made for it.
    var hasConnected = false

    init(started: NIODeadline, trace: TraceParent) {
        self.started = started
        self.trace = trace
        stages = StageTimes(started: started)
    }
}
