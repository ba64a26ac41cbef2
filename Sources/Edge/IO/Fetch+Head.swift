import HTTPSemantics
import NIOCore

// What the head of a response decides: whether it is stored, and in which way its body goes.

extension Fetch {
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
    var variesByFile: Bool {
        if case .files = origin { !route.route.files.options.precompressed.isEmpty } else { false }
    }

    /// Decides what browsers are told about keeping this response.
    func adviseBrowser() {
        guard let policy = route.browserCaching, request.method == .get || request.method == .head else { return }
        let text = request.fields.bytes
        let isFile = if case .files = origin { true } else { false }
        browserCaching = policy.advice(
            target: text.span.extracting(request.target), status: head.status, fields: head.fields,
            isForEverybody: isFile && route.basic == nil && route.forward == nil)
    }

    func lifetimeSeconds(_ head: ResponseHead, _ cacheControl: CacheControl) -> Int {
        if case .files = origin { return Self.fileLifetimeSeconds }
        return Freshness.lifetimeSeconds(response: head, cacheControl: cacheControl)
    }

    func reasonNotToStore(_ head: ResponseHead, _ cacheControl: CacheControl) -> NotStoredReason? {
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

    func refuseToStore(_ reason: NotStoredReason) {
        client?.noteNotStored(reason.rawValue)
        finish(reason.saysAboutNext ? .notShareable : .notStored)
    }

    func beginPassing(isCompressed: Bool, now: NIODeadline) {
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

    func entityTagOnPassing(_ coding: ContentCoding) -> EntityTag? {
        let fields = head.fields
        guard let index = fields.firstIndex(of: .etag), let own = EntityTag(fields.value(at: index)) else { return nil }
        if head.status == 304 { return EntityTagVariants.known(request.fields, as: own) }
        guard coding != .identity else { return nil }
        // Where a stream is flushed depends on when its parts come: the same tag would name other bytes the next time.
        var tag = EntityTagVariants.variant(of: own, coding: coding, effort: .fast)
        tag.isWeak = true
        return tag
    }

    func revalidated(_ stale: ResponseShard.Ready, _ head: ResponseHead, now: NIODeadline) {
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
    func invalidateIfUnsafe(_ head: ResponseHead) {
        guard !request.method.isSafe, (200..<400).contains(head.status) else { return }
        var key = CacheKey()
        // What the same target gives by other routes may have changed as well.
        for scope in worker.routing.cacheScopes {
            key.assign(request, scope: scope, seed: worker.store.seed)
            worker.store.withShard(key) { $0.invalidate(key) }
        }
    }
}
