import HTTP1Wire
import HTTPSemantics
import NIOCore

/// One exchange with the application, for a client and perhaps for the response cache. Belongs to its event loop.
///
/// It asks one member of a group, and others after it where ``RetryPolicy`` allows, for as long as nothing of a response was passed on.
///
/// What comes back is dealt with in one of these ways, chosen once its head is here:
///
/// | way | when | the client gets |
/// |---|---|---|
/// | hold | to be stored or compressed, of known length up to ``heldBytesMax`` | one answer, from the ready bytes |
/// | fill | to be stored, but larger, slower or of unknown length | the parts as they come, and so do others who ask (``LiveResponse``) |
/// | spill | as fill, until it turned out to be too large | the parts still, at the pace of the slowest of them; nothing is stored |
/// | pass | everything else | the parts as they come, at the client's pace |
///
/// While it fills the cache, a fetch does not wait for a slow client (others may wait for its end), and it goes on when its
/// client leaves. Memory that fetches hold at a time is bounded by ``FillBudget``.
final class Fetch: DeadlineHolder {
    /// Bodies up to here are held whole to be compressed in one piece: better and three times faster than a stream, and with a
    /// `Content-Length`. 256 KiB take some 2 ms at the fast level.
    static let heldBytesMax = 256 << 10
    /// What a part of a body takes in memory besides its bytes, about.
    static let partBytes = 32
    /// How long a body is held that does not come at once; then its parts are passed on. 5 ms: what an application has ready is here by
    /// then.
    static let holdTime = TimeAmount.milliseconds(5)
    /// Bytes of a request's body that wait for a connection, and that are kept for another attempt.
    static let requestBytesMax = 64 << 10
    /// How long the application may leave a client waiting that asked whether to send its body; then the edge says yes. 1 s: not all
    /// applications know the question, and those that do answer at once.
    static let continueTimeout = TimeAmount.seconds(1)

    enum Way {
        case undecided
        case hold(SharedVerdict)
        case fill(SharedVerdict, LiveResponse)
        case spill(LiveResponse)
        case pass
    }

    /// What was decided about a response's head.
    struct SharedVerdict {
        let lifetimeSeconds: Int
        let cacheControl: CacheControl
        let isStored: Bool
        /// Fields that the client gets and the store does not.
        var withheld = WithheldFields()
    }

    /// On whose behalf is asked.
    struct Asker {
        let accepted: AcceptedCodings
        let trace: TraceParent
        let identity: ClientIdentity
        let authorizedRules: HeaderRuleSet?
        let without: EdgeLayers

        init(_ client: HTTPServerHandler) {
            accepted = client.exchange.accepted
            trace = client.exchange.trace
            identity = client.identity
            authorizedRules = client.authorizedRules
            without = client.exchange.without
        }
    }

    /// Who makes the response.
    enum Origin {
        case application(UpstreamConnector)
        case files(StaticFiles)
    }

    /// How long a file is served from memory before it is looked at again: a change shows within this time.
    static let fileLifetimeSeconds = 1

    let worker: EdgeWorker
    let route: RoutePlan
    var origin: Origin
    var source: FileSource?
    var client: HTTPServerHandler?
    /// The client that reads the response along while it fills the store.
    var readingClient: HTTPServerHandler?
    var isHoldLimited = false
    /// What is stored is fresh yet; counted in ``EdgeWorker/refreshesAhead``.
    var isAhead = false
    var lease: ResponseShard.Lease?
    /// Of a POST put together when it is known that it is stored.
    var key: CacheKey
    let stale: ResponseShard.Ready?
    let request: RequestHead
    let accepted: AcceptedCodings
    let trace: TraceParent
    let identity: ClientIdentity
    /// What a POST brings may be stored, if the application says so.
    let mayStorePost: Bool
    /// Whether this asks for another server's word: then the request's body is none of its business.
    let isSubrequest: Bool
    var plan = UpstreamRequest()
    var connection: (any UpstreamLink)?
    var started: NIODeadline
    var isOver = false

    // The attempts.
    var attempts = 0
    var tried: [Int] = []
    var wantsNewConnection = false
    /// A member has said that it does not answer this by HTTP/2.
    var wantsHTTP1 = false
    /// The connection is made for this request and closed behind it: see ``EdgeLayers/upstreamKeepAlive``.
    let isOnItsOwn: Bool
    /// What its connection has to begin with, where the group wants to hear of the client by the PROXY protocol.
    var proxyHeader: ByteBuffer?
    /// What ``UpstreamConnector`` knows it by while it waits.
    var ticket: UInt64 = 0
    var isWaiting = false
    var wasReused = false

    var requestBody = HeldRequestBody(keptBytesMax: 0)
    /// The body is read whole, or up to a limit, before anybody is asked.
    var isBuffering = false
    var isRequestEnded: Bool
    var requestTrailers: FieldSection?
    var continueDeadline = NIODeadline.distantFuture
    var totalDeadline = NIODeadline.distantFuture
    var sweepPosition = -1

    var way = Way.undecided
    var head = ResponseHead()
    var headReceived: NIODeadline
    var body = ByteBuffer()
    /// What of a part has come that is to be stored.
    var part: PartInProgress?
    /// What is stored, which the application has confirmed: the body that the response has.
    var confirmedBody: StoredBody?
    /// The codings of a stored response that the application has confirmed: as current as the response itself.
    var confirmed: [Representation] = []
    var stream: StreamingCompressor?
    var reservedBytes = 0
    /// Bytes that came while it filled the store.
    var filledBytes = 0
    var flushesStream = false
    var codings: CodingSet = []
    var browserCaching: BrowserCachingAdvice?

    /// - Parameters:
    ///   - client: who gets the response; `nil` when only the store does.
    ///   - isSubrequest: another server's word is asked for.
    ///   - isForPart: the client's range is asked for as such; then what ``lease`` allows is to store the part.
    init(
        worker: EdgeWorker, route: RoutePlan, origin: Origin, asker: Asker, client: HTTPServerHandler?, request: RequestHead,
        isSubrequest: Bool = false, isForPart: Bool = false, lease: ResponseShard.Lease?, stale: ResponseShard.Ready?, now: NIODeadline
    ) {
        self.worker = worker
        self.route = route
        self.origin = origin
        self.client = client
        self.lease = lease
        self.stale = stale
        self.request = request
        self.isSubrequest = isSubrequest
        key = worker.key
        accepted = asker.accepted
        trace = asker.trace
        identity = asker.identity
        isOnItsOwn = asker.without.contains(.upstreamKeepAlive)
        wantsNewConnection = isOnItsOwn
        mayStorePost = request.method == .post && route.storing.storesPosts && route.cache.isEnabled && !route.isPersonal && !isSubrequest
            && client != nil && !asker.without.contains(.responseCache)
        started = now
        headReceived = now
        isRequestEnded = request.framing.isEmpty
        // In place: built apart, it would be copied.
        plan.rules = route.requestRules
        plan.strippedPrefix = route.strippedPrefix
        plan.authorizedRules = asker.authorizedRules
        plan.framing = request.framing
        // Without compression, what the application does by itself shows, where nobody else gets it.
        plan.wantsIdentity = route.compression.isEnabled && (lease != nil || !asker.without.isSuperset(of: .compression))
        plan.offersUpgrade = UpgradePolicy.isOffered(request)
        if let stale, stale.response.hasValidator {
            plan.conditions = .revalidate(stale.response.entityTag, lastModified: stale.response.lastModified)
        } else if lease != nil {
            plan.conditions = isForPart ? .part : .none
        }
        // What HEAD brings updates what is stored, so that it is asked for as that was.
        if lease != nil || request.method == .head && route.cache.isEnabled {
            plan.target = route.keying.upstreamTarget(request)
            plan.keying = route.keying
        }
    }

    /// Whether what is stored may be served in the place of an error.
    func mayServeStale(now: NIODeadline) -> Bool {
        guard let stale else { return false }
        let isPermitted = RevalidationPolicy.secondsOverOnError(
            stale.response, CacheControl(request.fields), request.fields, route.reuse, now: now) != nil
        // Not what was purged meanwhile.
        return isPermitted && worker.store.withShard(key) { [key] in $0.isStored(stale.response, key: key) }
    }

    /// Whether the client's range is asked for, to store the part.
    var isForPart: Bool {
        if case .part = plan.conditions { lease != nil } else { false }
    }

    var isIdempotent: Bool { request.method.isIdempotent }

    /// For consistent hashing.
    var balancingKey: UInt64? {
        guard case .application(let upstream) = origin else { return nil }
        return BalancingKey.hash(request, clientAddress: identity.address, upstream.group.balancing)
    }

    var method: Method { request.method }

    func start(now: NIODeadline) {
        switch origin {
        case .application(let upstream):
            startAsking(upstream, now: now)
        case .files(let files):
            let text = request.fields.bytes
            let target = text.span.extracting(request.target)
            let isRoot = route.strippedPrefix.isAll(of: target)
            guard let path = isRoot
                ? .rootWithoutSlash : try? StaticFilePath(target.extracting(route.strippedPrefix.count(in: target)..<target.count)),
                request.method == .get || request.method == .head
            else { return isNoFile() }
            enters(.firstByte, now: .now())
            source = FileSource(files: files, worker: worker, fetch: self)
            let options = route.route.files.options
            var codings: [ContentCoding] = []
            // A range is one of the plain bytes.
            if !options.precompressed.isEmpty, !request.fields.contains(.range) { codings = acceptedCodings(options.precompressed) }
            source?.start(.init(path: path, options: options, codings: codings, hasApplication: route.upstream != nil), known: stale?.response.entityTag)
        }
    }

    // MARK: Client

    /// Whether more of the response may be read.
    var wantsResponse: Bool {
        switch way {
        case .undecided, .hold, .fill: true
        case .spill(let live): live.body.hasRoom
        case .pass: client?.isWritable ?? false
        }
    }

    func clientWritabilityChanged() {
        guard wantsResponse else { return }
        connection?.resumeReading()
        source?.resume()
    }

    /// The client left. What others wait for goes on; everything else ends here.
    func clientGone() {
        client = nil
        guard !isOver else { return }
        if lease != nil, isRequestEnded {
            switch way {
            // Nobody else waits for a part.
            case .undecided where isForPart: break
            case .undecided, .hold, .fill, .spill: return
            case .pass: break
            }
        }
        end()
        // Who watches a film asks for all from here on, and leaves: what has come is a part as well.
        storePart(now: .now())
        finish(.notStored)
        abandonOrigin()
        unreserve()
    }

    /// Neither client nor store has any use for what comes: reading it would go at the pace of nobody.
    func endForNobody() {
        end()
        finish(.notStored)
        abandonOrigin()
        unreserve()
    }

    func abandonOrigin() {
        if isWaiting, case .application(let upstream) = origin { upstream.gaveUp(self) }
        connection?.abandon()
        connection = nil
        source?.abandon()
        source = nil
    }

    // MARK: End

    /// - Parameter member: whom the attempt went to, unless that is the connection's.
    func failed(_ failure: GatewayFailure, at member: Int? = nil) {
        guard !isOver else { return }
        let now = NIODeadline.now()
        let attempt = attempt(failure)
        let tried = member ?? connection?.member
        connection = nil
        isWaiting = false
        if retries(attempt, at: tried, now: now) { return }
        end()
        fail(failure, now: now)
        unreserve()
    }

    func fail(_ failure: GatewayFailure, now: NIODeadline) {
        worker.metrics.gatewayFailed(failure)
        finish(.failed(failure))
        switch way {
        case .fill(_, let live), .spill(let live): live.body.fail(failure)
        case .undecided, .hold, .pass: break
        }
        readingClient = nil
        let client = self.client
        self.client = nil
        client?.failResponse(failure, now: now)
    }

    func finish(_ outcome: ResponseShard.FetchOutcome) {
        guard let lease else { return }
        self.lease = nil
        worker.store.finish(lease, outcome, key: key, now: .now())
    }

    /// The largest body that is stored.
    var objectBytesMax: Int { min(route.cache.objectBytesMax, worker.store.objectBytesMax) }

    // MARK: Memory

    func reserve(_ bytes: Int, isSlow: Bool = false) -> Bool {
        guard worker.fillBudget.reserve(bytes, isSlow: isSlow) else { return false }
        reservedBytes += bytes
        return true
    }

    func unreserve() {
        worker.fillBudget.release(reservedBytes)
        reservedBytes = 0
        body = ByteBuffer()
        part = nil
        confirmedBody = nil
    }
}
