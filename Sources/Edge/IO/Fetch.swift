import HTTP1Wire
import HTTPSemantics
import NIOCore

/// One exchange with the application, for a client and perhaps for the response cache. Belongs to its event loop.
///
/// It asks one member of a group, and others after it where ``RetryPolicy`` allows, for as long as nothing of a response was passed on.
///
/// What comes back is dealt with in one of three ways, chosen once its head is here:
///
/// | way | when | the client gets |
/// |---|---|---|
/// | hold | to be stored or compressed, of known length up to ``heldBytesMax`` | one answer, from the ready bytes |
/// | fill | to be stored, but larger or of unknown length | the parts as they come; the whole is stored at the end |
/// | pass | everything else | the parts as they come, at the client's pace |
///
/// While it fills the cache, a fetch does not wait for a slow client (others may wait for its end), and it goes on when its
/// client leaves. Memory that fetches hold at a time is bounded by ``FillBudget``.
final class Fetch: DeadlineHolder {
    /// Bodies up to here are held whole to be compressed in one piece: better and three times faster than a stream, and with a
    /// `Content-Length`. 256 KiB take some 2 ms at the fast level.
    static let heldBytesMax = 256 << 10
    /// Bytes of a request's body that wait for a connection, and that are kept for another attempt.
    static let requestBytesMax = 64 << 10
    /// How long the application may leave a client waiting that asked whether to send its body; then the edge says yes. 1 s: not all
    /// applications know the question, and those that do answer at once.
    private static let continueTimeout = TimeAmount.seconds(1)

    private enum Way {
        case undecided
        case hold(SharedVerdict)
        case fill(SharedVerdict)
        case pass
    }

    /// What was decided about a response's head.
    private struct SharedVerdict {
        let lifetimeSeconds: Int
        let cacheControl: CacheControl
        let isStored: Bool
    }

    /// Who makes the response.
    enum Origin {
        case application(UpstreamConnector)
        case files(StaticFiles)
    }

    /// How long a file is served from memory before it is looked at again: a change shows within this time.
    private static let fileLifetimeSeconds = 1

    private let worker: EdgeWorker
    private let route: RoutePlan
    private var origin: Origin
    private var source: FileSource?
    private var client: HTTPServerHandler?
    private var lease: ResponseShard.Lease?
    private let key: CacheKey
    private let stale: ResponseShard.Ready?
    private let request: RequestHead
    private let accepted: AcceptedCodings
    private let trace: TraceParent
    private let identity: ClientIdentity
    /// Whether this asks for another server's word: then the request's body is none of its business.
    private let isSubrequest: Bool
    private var plan: UpstreamRequest
    private var connection: UpstreamHandler?
    private var started: NIODeadline
    private(set) var isOver = false

    // The attempts.
    private var attempts = 0
    private(set) var tried: [Int] = []
    private(set) var wantsNewConnection = false
    /// What ``UpstreamConnector`` knows it by while it waits.
    var ticket: UInt64 = 0
    private var isWaiting = false
    private var wasReused = false

    private var requestBody = HeldRequestBody(keptBytesMax: 0)
    /// The body is read whole, or up to a limit, before anybody is asked.
    private var isBuffering = false
    private var isRequestEnded: Bool
    private var requestTrailers: FieldSection?
    private var continueDeadline = NIODeadline.distantFuture
    private var totalDeadline = NIODeadline.distantFuture
    var sweepPosition = -1

    private var way = Way.undecided
    private var head = ResponseHead()
    private var headReceived = NIODeadline.now()
    private var body = ByteBuffer()
    /// The codings of a stored response that the application has confirmed: as current as the response itself.
    private var confirmed: [Representation] = []
    private var stream: StreamingCompressor?
    private var reservedBytes = 0
    private var flushesStream = false
    private var codings: CodingSet = []
    private var browserCaching: BrowserCachingAdvice?

    init(
        worker: EdgeWorker, route: RoutePlan, origin: Origin, client: HTTPServerHandler, subrequest: RequestHead? = nil,
        lease: ResponseShard.Lease?, stale: ResponseShard.Ready?, now: NIODeadline
    ) {
        self.worker = worker
        self.route = route
        self.origin = origin
        self.client = client
        self.lease = lease
        self.stale = stale
        key = worker.key
        request = subrequest ?? client.request
        isSubrequest = subrequest != nil
        accepted = client.exchange.accepted
        trace = client.exchange.trace
        identity = client.identity
        started = now
        isRequestEnded = request.framing.isEmpty
        var plan = UpstreamRequest()
        plan.rules = route.requestRules
        plan.authorizedRules = client.authorizedRules
        plan.framing = request.framing
        plan.wantsIdentity = route.compression.isEnabled
        plan.offersUpgrade = UpgradePolicy.isOffered(request)
        if let stale, stale.response.hasValidator {
            plan.conditions = .revalidate(stale.response.entityTag, lastModified: stale.response.lastModified)
        } else if lease != nil {
            plan.conditions = .none
        }
        self.plan = plan
    }

    var isIdempotent: Bool { request.method.isIdempotent }

    /// For consistent hashing.
    var balancingKey: UInt64? {
        guard case .application(let upstream) = origin else { return nil }
        return BalancingKey.hash(request, clientAddress: identity.address, upstream.group.balancing)
    }

    var method: Method { request.method }

    /// The request, if its conditions are for who makes the response; `nil` when what comes is stored first.
    /// A file that will not be stored, for it is large and does not get smaller, meets the conditions itself.
    func conditionalRequest(forBytes count: Int, contentType: String) -> RequestHead? {
        lease == nil || isServedFromDisk(count, MediaType(contentType.utf8.span)) ? request : nil
    }

    /// Which bytes of a file the client asks for; a range is never fetched to be stored.
    func rangeAnswer(for file: StaticFiles.OpenFile) -> RangePolicy.Answer {
        guard lease == nil else { return .whole }
        return RangePolicy.answer(request, count: file.size, entityTag: file.entityTag, lastModified: file.modified)
    }

    /// Large files that compression does not make smaller stay where they are: the kernel sends them better than we do from memory.
    private func isServedFromDisk(_ count: Int, _ type: MediaType?) -> Bool {
        guard case .files = origin, count > Self.heldBytesMax else { return false }
        return !route.compression.isEnabled || !(type.map { CompressionPolicy.isCompressible($0, extra: route.compression.extraTypes) } ?? false)
    }

    func start() {
        switch origin {
        case .application(let upstream):
            startAsking(upstream.group, now: .now())
        case .files(let files):
            let text = request.fields.bytes
            guard let path = try? StaticFilePath(text.span.extracting(request.target)),
                request.method == .get || request.method == .head
            else { return isNoFile() }
            source = FileSource(files: files, worker: worker, fetch: self)
            let options = route.route.files.options
            var codings: [ContentCoding] = []
            // A range is one of the plain bytes.
            if !options.precompressed.isEmpty, !request.fields.contains(.range) { codings = acceptedCodings(options.precompressed) }
            source?.start(.init(path: path, options: options, codings: codings), known: stale?.response.entityTag)
        }
    }

    /// Those of the codings that the client accepts, the one that it likes best first.
    private func acceptedCodings(_ names: [String]) -> [ContentCoding] {
        let order = names.compactMap { ContentCoding(token: $0.utf8.span) }
        var left = order.reduce(into: CodingSet(.identity)) { $0.insert(CodingSet($1)) }
        var best: [ContentCoding] = []
        while let next = accepted.best(of: left, serverOrder: order), next != .identity {
            best.append(next)
            left.remove(CodingSet(next))
        }
        return best
    }

    /// There is no such file: the application's turn, if there is one.
    func isNoFile() {
        source = nil
        if let upstream = route.upstream {
            origin = .application(upstream)
            return start()
        }
        end()
        finish(.notStored)
        let client = self.client
        self.client = nil
        let isRead = request.method == .get || request.method == .head
        client?.respondError(isRead ? 404 : 405, reason: isRead ? "no-file" : "method", now: .now())
        client?.flushAndResume()
    }

    /// - Source: RFC 9110 §15.4.2.
    func isFolderWithoutSlash() {
        source = nil
        end()
        finish(.notStored)
        let client = self.client
        self.client = nil
        let text = request.fields.bytes
        let target = String(copying: text.span.extracting(request.target))
        let path = target.prefix { $0 != "?" }
        // "//host" would be a reference to another host (RFC 3986 §4.2).
        let folder = "/" + path.drop { $0 == "/" } + "/" + target.dropFirst(path.count)
        client?.respond(status: 301, contentType: "text/plain; charset=utf-8", "Moved.\n", now: .now(), location: folder)
        client?.flushAndResume()
    }

    // MARK: Attempts

    private func startAsking(_ group: UpstreamGroup, now: NIODeadline) {
        plan.host = group.host
        totalDeadline = group.totalTimeout.map { now + $0 } ?? .distantFuture
        watchDeadlines()
        if !request.framing.isEmpty {
            requestBody = HeldRequestBody(keptBytesMax: isIdempotent ? max(Self.requestBytesMax, group.requestBufferBytesMax) : 0)
            isBuffering = group.requestBufferBytesMax > 0 && !isRequestEnded
        }
        // Nobody is asked yet who could say that the body is wanted.
        if isBuffering { client?.continueIfExpected() } else { ask(now: now) }
    }

    private func ask(now: NIODeadline) {
        guard case .application(let upstream) = origin else { return }
        attempts += 1
        isWaiting = true
        upstream.lease(self, now: now)
    }

    private func watchDeadlines() {
        guard min(continueDeadline, totalDeadline) < .distantFuture, sweepPosition < 0 else { return }
        worker.sweep.add(self)
    }

    var deadline: NIODeadline { min(continueDeadline, totalDeadline) }

    func deadlinePassed(now: NIODeadline) {
        if now >= continueDeadline {
            continueDeadline = .distantFuture
            client?.continueIfExpected()
        }
        guard now >= totalDeadline, !isOver else { return }
        abandonOrigin()
        failed(.totalTimeout)
    }

    func drainBegan(now: NIODeadline) {}

    /// Nothing more is to be done, whatever comes.
    private func end() {
        isOver = true
        continueDeadline = .distantFuture
        totalDeadline = .distantFuture
        worker.sweep.remove(self)
        requestBody.forget()
    }

    func connected(_ connection: UpstreamHandler) {
        isWaiting = false
        guard !isOver else {
            if case .application(let upstream) = origin { upstream.release(connection, .neutral, now: .now()) }
            return
        }
        wasReused = connection.exchangeCount > 0
        guard connection.isOpen else { return failed(.closedEarly, at: connection.member) }
        self.connection = connection
        started = .now()
        plan.expectsContinue = request.expectsContinue && !isRequestEnded && requestBody.bytes == 0
        var head = worker.takeOutput()
        plan.write(request, client: identity, trace: trace, into: &head)
        connection.send(head, request.method, offersUpgrade: plan.offersUpgrade, for: self)
        if plan.expectsContinue {
            continueDeadline = started + Self.continueTimeout
            watchDeadlines()
        }
        for part in requestBody.parts { write(part) }
        requestBody.sent()
        if isRequestEnded { endRequest() } else { connection.flush() }
        worker.giveBack(head)
        client?.resumeReading()
    }

    var wantsRequestBody: Bool {
        if let connection { return connection.isWritable }
        guard isBuffering, case .application(let upstream) = origin else { return requestBody.bytes < Self.requestBytesMax }
        return requestBody.bytes < upstream.group.requestBufferBytesMax
    }

    func sendRequestBody(_ part: ByteBuffer) {
        guard !isOver, !isSubrequest else { return }
        continueDeadline = .distantFuture
        requestBody.received(part, isSent: connection != nil)
        if let connection {
            write(part)
            connection.flush()
        } else if isBuffering, case .application(let upstream) = origin, requestBody.bytes >= upstream.group.requestBufferBytesMax {
            isBuffering = false
            ask(now: .now())
        }
    }

    func requestBodyEnded(trailers: FieldSection) {
        guard !isOver, !isSubrequest else { return }
        continueDeadline = .distantFuture
        isRequestEnded = true
        requestTrailers = trailers
        if isBuffering {
            isBuffering = false
            ask(now: .now())
        } else if connection != nil {
            endRequest()
        }
    }

    private func write(_ part: ByteBuffer) {
        guard request.framing == .chunked else {
            connection?.sendBody(part)
            return
        }
        var framed = ByteBuffer()
        framed.writeChunkHeader(byteCount: part.readableBytes)
        framed.writeImmutableBuffer(part)
        framed.writeStaticString("\r\n")
        connection?.sendBody(framed)
    }

    private func endRequest() {
        if request.framing == .chunked {
            var end = ByteBuffer()
            end.writeLastChunk(trailers: requestTrailers)
            connection?.sendBody(end)
        }
        connection?.requestEnded(now: .now())
    }

    func upstreamWritable() {
        client?.resumeReading()
    }

    // MARK: Client

    /// Whether more of the response may be read.
    var wantsResponse: Bool {
        switch way {
        case .undecided, .hold, .fill: true
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
            case .undecided, .hold, .fill: return
            case .pass: break
            }
        }
        end()
        finish(.notStored)
        abandonOrigin()
        unreserve()
    }

    private func abandonOrigin() {
        if isWaiting, case .application(let upstream) = origin { upstream.gaveUp(self) }
        connection?.abandon()
        connection = nil
        source?.abandon()
        source = nil
    }

    // MARK: Response

    /// Something that comes before the response: the client gets it if it can, and the cache never.
    func interimReceived(_ head: ResponseHead) {
        // What another server says on the way to its word is not for the client.
        if isSubrequest { return }
        guard head.status == 100 else {
            client?.forwardInterim(head)
            return
        }
        continueDeadline = .distantFuture
        client?.continueIfExpected()
    }

    /// The application speaks another protocol from here on.
    /// - Returns: `nil` when that is not what the client offered, or the client is gone.
    func upgraded(_ head: ResponseHead, _ server: UpstreamHandler, now: NIODeadline) -> Tunnel? {
        connection = nil
        guard let client, case .application(let upstream) = origin, UpgradePolicy.isAccepted(head, offered: request) else {
            failed(.unexpectedUpgrade)
            return nil
        }
        end()
        finish(.notStored)
        self.client = nil
        client.noteUpstream(nanoseconds: (now - started).nanoseconds)
        worker.metrics.upstreamAnswered(status: 101, nanoseconds: (now - started).nanoseconds)
        let tunnel = Tunnel(upstream.group.tunnel, client: client, server: server, worker: worker, now: now)
        client.beginTunnel(head, tunnel, now: now)
        return tunnel
    }

    func responseBegan(_ head: ResponseHead, now: NIODeadline) {
        if asksAnotherInstead(of: head.status, now: now) { return }
        continueDeadline = .distantFuture
        headReceived = now
        client?.noteUpstream(nanoseconds: (now - started).nanoseconds)
        worker.metrics.upstreamAnswered(status: head.status, nanoseconds: (now - started).nanoseconds)
        if head.status == 304, let stale { return revalidated(stale, head, now: now) }
        self.head = head
        adviseBrowser()
        invalidateIfUnsafe(head)

        let cacheControl = CacheControl(head.fields)
        codings = CompressionPolicy.codings(
            for: head, method: request.method, cacheControl: cacheControl, configuration: route.compression)
        let lifetime = lifetimeSeconds(head, cacheControl)
        let notStored = lease == nil ? nil : reasonNotToStore(head, cacheControl)
        let isStored = lease != nil && notStored == nil
        if let notStored { refuseToStore(notStored) }
        let verdict = SharedVerdict(lifetimeSeconds: lifetime, cacheControl: cacheControl, isStored: isStored)

        let hasBody = head.framing != .none
        let isCompressed = hasBody && !codings.isEmpty && accepted.best(of: codings.union(CodingSet(.identity)), serverOrder: worker.codec.order) != .identity
        if case .length(let count) = head.framing, count <= Self.heldBytesMax, isStored || isCompressed, reserve(count) {
            way = .hold(verdict)
            body.reserveCapacity(count)
        } else if isStored, hasBody {
            way = .fill(verdict)
            beginPassing(isCompressed: isCompressed, now: now)
        } else if isStored {
            way = .hold(verdict)
        } else {
            way = .pass
            beginPassing(isCompressed: isCompressed, now: now)
        }
    }

    /// Whether a file was chosen by the codings that the client accepts: then the stored response is for those alone.
    private var variesByFile: Bool {
        if case .files = origin { !route.route.files.options.precompressed.isEmpty } else { false }
    }

    /// Decides what browsers are told about keeping this response.
    private func adviseBrowser() {
        guard let policy = route.browserCaching, request.method == .get || request.method == .head else { return }
        let text = request.fields.bytes
        let isFile = if case .files = origin { true } else { false }
        browserCaching = policy.advice(
            target: text.span.extracting(request.target), status: head.status, fields: head.fields,
            isForEverybody: isFile && route.basic == nil && route.forward == nil)
    }

    private func lifetimeSeconds(_ head: ResponseHead, _ cacheControl: CacheControl) -> Int {
        if case .files = origin { return Self.fileLifetimeSeconds }
        return Freshness.lifetimeSeconds(response: head, cacheControl: cacheControl)
    }

    private func reasonNotToStore(_ head: ResponseHead, _ cacheControl: CacheControl) -> NotStoredReason? {
        if let reason = Storability.decide(request: request, response: head, cacheControl: cacheControl) { return reason }
        let limit = route.cache.objectBytesMax
        switch head.framing {
        case .length(let count):
            let type = head.fields.firstIndex(of: .contentType).flatMap { MediaType(head.fields.value(at: $0)) }
            return count > limit || isServedFromDisk(count, type) ? .tooLarge : nil
        // Its end cannot be told from a connection that broke.
        case .untilClose: return .lengthUnknown
        case .none, .chunked: return nil
        }
    }

    private func refuseToStore(_ reason: NotStoredReason) {
        client?.noteNotStored(reason.rawValue)
        finish(reason.saysAboutNext ? .notShareable : .notStored)
    }

    private func beginPassing(isCompressed: Bool, now: NIODeadline) {
        guard let client else { return }
        var coding = ContentCoding.identity
        if isCompressed, let best = accepted.best(of: codings.union(CodingSet(.identity)), serverOrder: worker.codec.order),
            let stream = worker.codec.stream(best)
        {
            coding = best
            self.stream = stream
            if case .length = head.framing { flushesStream = false } else { flushesStream = true }
        }
        let isOld = request.minorVersion == 0
        let framing: ResponseHeadWriter.Framing =
            switch head.framing {
            case .none: .noBody
            case .length(let count) where coding == .identity: .length(count)
            case .length, .chunked, .untilClose: isOld ? .untilClose : .chunked
            }
        var writer = ResponseHeadWriter(framing: framing)
        writer.coding = coding
        writer.variesByCoding = !codings.isEmpty
        writer.entityTag = entityTagOnPassing(coding)
        writer.browserCaching = browserCaching
        client.beginResponse(status: head.status, head.fields, writer, now: now)
    }

    private func entityTagOnPassing(_ coding: ContentCoding) -> EntityTag? {
        let fields = head.fields
        guard let index = fields.firstIndex(of: .etag), let own = EntityTag(fields.value(at: index)) else { return nil }
        if head.status == 304 { return EntityTagVariants.known(request.fields, as: own) }
        guard coding != .identity else { return nil }
        // Where a stream is flushed depends on when its parts come: the same tag would name other bytes the next time.
        var tag = EntityTagVariants.variant(of: own, coding: coding, effort: .fast)
        tag.isWeak = true
        return tag
    }

    func responseBody(_ part: ByteBuffer) {
        switch way {
        case .undecided:
            assertionFailure("a body before its head")
        case .hold:
            body.writeImmutableBuffer(part)
        case .fill:
            pass(part)
            let isTooLarge = body.readableBytes + part.readableBytes > route.cache.objectBytesMax
            guard !isTooLarge, reserve(part.readableBytes) else {
                client?.noteNotStored(NotStoredReason.tooLarge.rawValue)
                finish(isTooLarge ? .notShareable : .notStored)
                body = ByteBuffer()
                way = .pass
                if client == nil { abandonOrigin() }
                return
            }
            body.writeImmutableBuffer(part)
        case .pass:
            pass(part)
        }
    }

    /// Whether the client gets the bytes as they are, so that they need not come through here.
    var takesRegions: Bool {
        if case .pass = way { stream == nil && client != nil } else { false }
    }

    /// The next bytes of the body, which lie in a file.
    func responseRegion(of file: StaticFiles.OpenFile, _ range: Range<Int>) {
        client?.sendRegion(of: file, range)
    }

    private func pass(_ part: ByteBuffer) {
        guard let client else { return }
        guard let stream else { return client.sendBody(part) }
        var compressed = ByteBuffer()
        do {
            try stream.compress(part, flush: false, into: &compressed)
            client.sendBody(compressed)
        } catch {
            abandonBroken()
        }
    }

    /// Runs what one read brings, so that the client gets it in one piece.
    func gather(_ body: () -> Void) {
        if let client { client.gather(body) } else { body() }
    }

    /// All that was there has been read: what a compressor holds back goes out, so that an event stream is not delayed.
    func responsePaused() {
        guard let client, !isOver else { return }
        if flushesStream, let stream {
            var compressed = ByteBuffer()
            do {
                try stream.compress(ByteBuffer(), flush: true, into: &compressed)
                client.sendBody(compressed)
            } catch {
                return abandonBroken()
            }
        }
        client.flush()
    }

    /// A compressor failed in mid-body: what was sent cannot be completed.
    private func abandonBroken() {
        abandonOrigin()
        failed(.truncated)
    }

    func responseEnded(trailers: FieldSection?) {
        guard !isOver else { return }
        end()
        connection = nil
        source = nil
        let now = NIODeadline.now()
        switch way {
        case .undecided:
            fail(.truncated, now: now)
        case .hold(let verdict):
            deliverHeld(verdict, now: now)
        case .fill(let verdict):
            endPassing(trailers: trailers, now: now)
            _ = store(verdict, now: now)
        case .pass:
            endPassing(trailers: trailers, now: now)
        }
        unreserve()
    }

    private func endPassing(trailers: FieldSection?, now: NIODeadline) {
        guard let client else { return }
        self.client = nil
        if let stream {
            var rest = ByteBuffer()
            do {
                try stream.finish(into: &rest)
                client.sendBody(rest)
            } catch {
                return client.failResponse(.truncated, now: now)
            }
        }
        client.endResponse(trailers: trailers, now: now)
    }

    private func deliverHeld(_ verdict: SharedVerdict, now: NIODeadline) {
        let representation = verdict.isStored ? store(verdict, now: now) : nil
        guard let client else { return }
        self.client = nil
        if let representation { return client.deliverFetched(representation, key: key, now: now) }
        let coding = accepted.best(of: codings.union(CodingSet(.identity)), serverOrder: worker.codec.order) ?? .identity
        let compressed = coding == .identity ? nil : worker.codec.compressFast(body, as: coding)
        var writer = ResponseHeadWriter(framing: .length((compressed ?? body).readableBytes))
        writer.coding = compressed == nil ? .identity : coding
        writer.variesByCoding = !codings.isEmpty
        writer.entityTag = worker.codec.entityTag(of: head.fields, coding: writer.coding, effort: .fast)
        writer.browserCaching = browserCaching
        client.deliverOnce(status: head.status, head.fields, writer, compressed ?? body, now: now)
    }

    /// Stores what was fetched and lets the followers go.
    /// - Returns: what suits the client best of what is ready.
    private func store(_ verdict: SharedVerdict, now: NIODeadline) -> Representation {
        let age = Freshness.initialAgeSeconds(
            response: head, requestSent: worker.unixSeconds(started), responseReceived: worker.unixSeconds(headReceived))
        let response = StoredResponse(
            head: head, fields: StoredFields.make(head.fields, date: worker.httpDate(now: headReceived)),
            cacheControl: verdict.cacheControl, lifetimeSeconds: verdict.lifetimeSeconds, initialAgeSeconds: age,
            received: headReceived, codings: codings, wasAskedForPlain: plan.wantsIdentity && !variesByFile,
            browserCaching: browserCaching)
        let plain = ResponseCodec.representation(of: response, coding: .identity, effort: .asReceived, body: body)
        let coded = confirmed.map {
            ResponseCodec.representation(of: response, coding: $0.coding, effort: $0.effort, body: $0.body)
        }
        if let lease {
            self.lease = nil
            let isStored = worker.store.finish(
                lease, .store(plain, coded: coded, requestFields: request.fields), key: key, now: now)
            client?.noteStored(isStored)
        }
        let best = accepted.best(of: codings.union(CodingSet(.identity)), serverOrder: worker.codec.order)
        return coded.first { $0.coding == best } ?? plain
    }

    private func revalidated(_ stale: ResponseShard.Ready, _ head: ResponseHead, now: NIODeadline) {
        // The rest of a 304 is nothing; the connection goes back when the handler sees its end.
        let fields = StoredFields.updated(stale.response.fields, by: head.fields)
        var merged = ResponseHead()
        merged.status = stale.response.status
        merged.fields = fields
        self.head = merged
        adviseBrowser()
        let cacheControl = CacheControl(fields)
        codings = stale.response.codings
        body = stale.plain.body
        confirmed = stale.coded
        client?.noteRevalidated()
        let notStored = Storability.decide(request: request, response: merged, cacheControl: cacheControl)
        if let notStored { refuseToStore(notStored) }
        way = .hold(
            SharedVerdict(
                lifetimeSeconds: lifetimeSeconds(merged, cacheControl), cacheControl: cacheControl, isStored: notStored == nil))
    }

    /// A change through here makes stored copies of its target useless.
    /// - Source: RFC 9111 §4.4: on a non-error response to an unsafe method.
    private func invalidateIfUnsafe(_ head: ResponseHead) {
        guard !request.method.isSafe, (200..<400).contains(head.status) else { return }
        var key = CacheKey()
        // What the same target gives by other routes may have changed as well.
        for scope in worker.routing.cacheScopes {
            key.assign(request, scope: scope, seed: worker.store.seed)
            worker.store.withShard(key) { $0.invalidate(key) }
        }
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

    private func attempt(_ failure: GatewayFailure?) -> RetryPolicy.Attempt {
        var hasResponse = false
        if case .undecided = way {} else { hasResponse = true }
        return RetryPolicy.Attempt(
            failure: failure, method: request.method, count: attempts, wasSent: connection != nil, wasReused: wasReused,
            isBodyHeld: request.framing.isEmpty || requestBody.isFromStart, hasResponse: hasResponse)
    }

    /// Sends the request once more, if it may be.
    private func retries(_ attempt: RetryPolicy.Attempt, at member: Int?, now: NIODeadline) -> Bool {
        guard case .application(let upstream) = origin else { return false }
        // A client that left is not worth another try, unless others wait for the same.
        guard client != nil || lease != nil else { return false }
        switch RetryPolicy.verdict(attempt, attemptsMax: upstream.group.retry.attemptsMax) {
        case .giveUp:
            return false
        case .onNewConnection:
            wantsNewConnection = true
        case .onAnotherMember:
            if let member { tried.append(member) }
            guard upstream.allowsRetry(tried: tried, now: now) else { return false }
        }
        ask(now: now)
        return true
    }

    /// A status upon which another member is tried: this response is dropped.
    private func asksAnotherInstead(of status: Int, now: NIODeadline) -> Bool {
        guard case .application(let upstream) = origin, upstream.group.retry.statuses.contains(status), let connection else { return false }
        let attempt = attempt(nil)
        guard RetryPolicy.verdict(attempt, attemptsMax: upstream.group.retry.attemptsMax) == .onAnotherMember else { return false }
        let isFailure = upstream.group.passiveHealth.failureStatuses.contains(status)
        guard retries(attempt, at: connection.member, now: now) else { return false }
        connection.abandon(isFailure ? .failure : .success)
        return true
    }

    private func fail(_ failure: GatewayFailure, now: NIODeadline) {
        worker.metrics.gatewayFailed(failure)
        finish(.failed(failure))
        let client = self.client
        self.client = nil
        client?.failResponse(failure, now: now)
    }

    private func finish(_ outcome: ResponseShard.FetchOutcome) {
        guard let lease else { return }
        self.lease = nil
        worker.store.finish(lease, outcome, key: key, now: .now())
    }

    // MARK: Memory

    private func reserve(_ bytes: Int) -> Bool {
        guard worker.fillBudget.reserve(bytes) else { return false }
        reservedBytes += bytes
        return true
    }

    private func unreserve() {
        worker.fillBudget.release(reservedBytes)
        reservedBytes = 0
        body = ByteBuffer()
    }
}
