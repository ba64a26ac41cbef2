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
        client.noteStage(.write, now: now)
        client.noteUpstream(nanoseconds: (now - started).nanoseconds)
        worker.metrics.upstreamAnswered(status: 101, nanoseconds: (now - started).nanoseconds)
        let tunnel = Tunnel(upstream.group.tunnel, client: client, server: server, worker: worker, now: now)
        client.beginTunnel(head, tunnel, now: now)
        return tunnel
    }

    /// What the application's `Date` says of its clock. With an Age it is another's, and old.
    private func noteClock(_ head: ResponseHead, now: NIODeadline) {
        guard !head.fields.contains(.age), let index = head.fields.firstIndex(of: .date) else { return }
        let second = worker.unixSeconds(now)
        worker.metrics.originClock.withLock { clock in
            guard clock.isDue(now: second), let date = HTTPDate.parse(head.fields.value(at: index)) else { return }
            clock.answered(date: date, now: second)
        }
    }

    func responseBegan(_ head: ResponseHead, now: NIODeadline) {
        if asksAnotherInstead(of: head.status, now: now) { return }
        continueDeadline = .distantFuture
        headReceived = now
        enters(.write, now: now)
        if case .application = origin { noteClock(head, now: now) }
        client?.noteUpstream(nanoseconds: (now - started).nanoseconds)
        worker.metrics.upstreamAnswered(status: head.status, nanoseconds: (now - started).nanoseconds)
        // Asked without a condition, a 304 confirms nothing.
        if head.status == 304, let stale, case .revalidate = plan.conditions {
            guard confirms(head, stale.response) else { return askAgain(.none, now: now) }
            return revalidated(stale, head, now: now)
        }
        if RevalidationPolicy.isError(head.status), mayServeStale(now: now) {
            abandonOrigin()
            end()
            fail(.errorStatus, now: now)
            return unreserve()
        }
        self.head = head
        adviseBrowser()
        invalidateIfUnsafe(head)
        updateIfHead(head, now: now)
        leadIfPostIsStored(head)
        if isForPart, head.status == 206 { return partBegan(head, now: now) }

        let cacheControl = CacheControl.forSharedCache(head.fields)
        codings = CompressionPolicy.codings(
            for: head, cacheControl: cacheControl, configuration: route.compression, types: route.compressibleTypes)
        let lifetime = lifetimeSeconds(head, cacheControl)
        let notStored = lease == nil ? nil : reasonNotToStore(head, cacheControl)
        let isStored = lease != nil && notStored == nil
        if lease == nil { noteWhyAlone(head, cacheControl) }
        noteHints(head, cacheControl, isStored: isStored)
        if let notStored {
            if notStored == .tooLarge { dropPartsOfAnother(head) }
            refuseToStore(notStored)
            // The client left while the application thought, and nothing is left to be done for the store.
            guard client != nil else { return endForNobody() }
            // It was asked for as a whole for the store's sake alone.
            if head.status == 200, request.fields.contains(.range), case .application = origin, case .none = plan.conditions {
                if notStored == .tooLarge, PartWish(request) != .none {
                    let (key, request) = (key, request)
                    lease = worker.store.withShard(key) { $0.leadPart(key, request) }
                    return askAgain(lease == nil ? .asSent : .part, now: now)
                }
                return askAgain(.asSent, now: now)
            }
            if answersCondition(head, now: now) { return }
        }
        let verdict = SharedVerdict(
            lifetimeSeconds: lifetime, cacheControl: cacheControl, isStored: isStored,
            withheld: WithheldFields(head.fields, cacheControl))

        let hasBody = head.framing != .none
        let isCompressed = hasBody && !codings.isEmpty && accepted.best(of: codings.union(CodingSet(.identity)), serverOrder: worker.codec.order) != .identity
        // As long as what is stored may still be served instead, nothing of a body that may break off goes out.
        let isHeldAnyway = isStored && mayServeStale(now: now)
        if case .length(let count) = head.framing, count <= Self.heldBytesMax, isStored || isCompressed, reserve(count) {
            way = .hold(verdict)
            isHoldLimited = !isHeldAnyway
            body.reserveCapacity(count)
        } else if isStored, hasBody {
            if isHeldAnyway, head.framing == .chunked { way = .hold(verdict) } else { beginFilling(verdict, now: now) }
        } else if isStored {
            way = .hold(verdict)
        } else {
            way = .pass
            beginPassing(isCompressed: isCompressed, now: now)
        }
    }

    /// Answers the client's own condition, which the application was not told for the store's sake.
    /// - Returns: whether it did; the rest of the response is for nobody then.
    /// - Source: RFC 9110 §13.2.
    private func answersCondition(_ head: ResponseHead, now: NIODeadline) -> Bool {
        guard let client, head.status == 200 else { return false }
        let fields = head.fields
        var own: EntityTag?
        if let index = fields.firstIndex(of: .etag) { own = EntityTag(fields.value(at: index)) }
        var modified: Int64?
        if let index = fields.firstIndex(of: .lastModified) { modified = HTTPDate.parse(fields.value(at: index)) }
        let outcome = ConditionalPolicy.evaluate(request, current: own, lastModified: modified)
        guard outcome != .proceed else { return false }
        end()
        abandonOrigin()
        self.client = nil
        if outcome == .failed {
            client.respondError(412, reason: .edge(.preconditionFailed), now: now)
            client.flushAndResume()
            return true
        }
        var writer = ResponseHeadWriter(framing: .noBody)
        writer.variesByCoding = !codings.isEmpty
        writer.browserCaching = browserCaching
        writer.entityTag = own.flatMap { EntityTagVariants.known(request.fields, as: $0) }
        client.deliverOnce(status: 304, fields, writer, StoredBody(ByteBuffer()), now: now)
        return true
    }

    /// Whether a 304 is about the response that is stored.
    /// - Source: RFC 9111 §4.3.4.
    private func confirms(_ head: ResponseHead, _ response: StoredResponse) -> Bool {
        guard let index = head.fields.firstIndex(of: .etag), let own = response.entityTag else { return true }
        return EntityTag(head.fields.value(at: index)).map(own.weaklyMatches) ?? true
    }

    /// Drops a response and asks once more, for something else.
    private func askAgain(_ conditions: UpstreamRequest.Conditions, now: NIODeadline) {
        plan.conditions = conditions
        connection?.abandon(.success)
        connection = nil
        ask(now: now)
    }

    /// Lets all who ask have the response while it comes.
    func beginFilling(_ verdict: SharedVerdict, now: NIODeadline) {
        guard let lease else { return }
        let bound = NIOLoopBound(Weak(fetch: self), eventLoop: worker.eventLoop)
        let eventLoop = worker.eventLoop
        let growing = GrowingBody { eventLoop.execute { bound.value.fetch?.roomAgain() } }
        growing.append(body)
        body = ByteBuffer()
        var byteCount: Int?
        if case .length(let count) = head.framing { byteCount = count }
        let live = LiveResponse(storedResponse(verdict), byteCount: byteCount, requestFields: request.fields, body: growing)
        way = .fill(verdict, live)
        readingClient = client
        client = nil
        readingClient?.read(live, fields: head.fields, now: now)
        worker.store.begin(lease, live, key: key)
    }

    private struct Weak {
        weak var fetch: Fetch?
    }

    private func roomAgain() {
        guard !isOver, case .spill(let live) = way else { return }
        guard live.body.hasReaders else {
            end()
            abandonOrigin()
            return
        }
        connection?.resumeReading()
        source?.resume()
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
            isForEverybody: isFile && route.basic == nil && route.forward == nil, isGuarded: route.route.isGuarded)
    }

    func lifetimeSeconds(_ head: ResponseHead, _ cacheControl: CacheControl) -> Int {
        if case .files = origin { return Self.fileLifetimeSeconds }
        let received = worker.unixSeconds(headReceived)
        let said = Freshness.lifetimeSeconds(response: head, cacheControl: cacheControl, received: received)
        if said > 0 { return said }
        return Freshness.addedLifetimeSeconds(response: head, cacheControl: cacheControl, rules: route.storing, received: received)
    }

    /// - Parameter asked: the request as it counts for the store.
    func reasonNotToStore(_ head: ResponseHead, _ cacheControl: CacheControl, of asked: RequestHead? = nil) -> NotStoredReason? {
        if let reason = Storability.decide(
            request: asked ?? request, response: head, cacheControl: cacheControl, rules: route.storing, received: worker.unixSeconds(headReceived))
        {
            return reason
        }
        if DependencyTags(head.fields).isOverLimit { return .tags }
        let limit = objectBytesMax
        switch head.framing {
        case .length(let count):
            let isTooLarge = count > limit || isServedFromDisk(count, isCompressible: isCompressible(head.fields))
            return isTooLarge ? .tooLarge : nil
        // Its end cannot be told from a connection that broke.
        case .untilClose: return .lengthUnknown
        case .none, .chunked: return nil
        }
    }

    /// Names what keeps a response from the store that was looked up and is fetched past it: its key is known not to be shared, or the request
    /// is one that fetches for nobody else. By its own fields, since those of the one before it may have been others.
    private func noteWhyAlone(_ head: ResponseHead, _ cacheControl: CacheControl) {
        guard let client, !isSubrequest, client.isLookedUp else { return }
        var (asked, said) = (request, head)
        // What GET would have heard, and without a condition.
        if asked.method == .head { asked.method = .get }
        if said.status == 304 { said.status = 200 }
        if let reason = reasonNotToStore(said, cacheControl, of: asked) {
            client.noteNotStored(reason)
        } else if request.fields.contains(.authorization) {
            client.noteNotStored(.authorization)
        }
    }

    private func isCompressible(_ fields: FieldSection) -> Bool {
        guard let index = fields.firstIndex(of: .contentType) else { return false }
        return route.compressibleTypes.contains(fields.value(at: index))
    }

    func refuseToStore(_ reason: NotStoredReason) {
        client?.noteNotStored(reason)
        if lease != nil, head.status < 500, reason.isForOneClient { worker.store.forecast.noted(key, request, isForOneClient: true) }
        // An error says nothing about what comes after it, and what is stored may be needed yet.
        if reason == .tooLarge { return finish(.tooLarge) }
        finish(reason.saysAboutNext && head.status < 500 ? .notShareable : .notStored)
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
            || CompressionPolicy.isPartOfCoded(head, configuration: route.compression, types: route.compressibleTypes)
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
        let fields = StoredFields.updated(stale.response.fields, by: head.fields, date: worker.httpDate(now: headReceived))
        var merged = ResponseHead()
        merged.status = stale.response.status
        merged.fields = fields
        self.head = merged
        adviseBrowser()
        let cacheControl = CacheControl.forSharedCache(fields)
        codings = stale.response.codings
        confirmedBody = stale.plain.body
        confirmed = stale.coded
        client?.noteRevalidated()
        let notStored = Storability.decide(
            request: request, response: merged, cacheControl: cacheControl, rules: route.storing,
            received: worker.unixSeconds(headReceived))
        noteHints(merged, cacheControl, isStored: notStored == nil)
        if let notStored { refuseToStore(notStored) }
        way = .hold(
            SharedVerdict(
                lifetimeSeconds: lifetimeSeconds(merged, cacheControl), cacheControl: cacheControl, isStored: notStored == nil,
                withheld: WithheldFields(fields, cacheControl)))
    }

    /// What is learnt of a page for the next ``HTTPServerHandler/hintEarly()``, or was wrong with the last.
    private func noteHints(_ head: ResponseHead, _ cacheControl: CacheControl, isStored: Bool) {
        guard let hints = route.earlyHints, hints.learns, !isSubrequest, request.method == .get else { return }
        client?.checkHints(head)
        // What the route takes away from the answer is not said before it either.
        guard isStored, route.responseRules?.drops("link") != true, EarlyHints.areLearnt(from: head, withheld: WithheldFields(head.fields, cacheControl)) else { return }
        worker.store.hints.learn(EarlyHints.links(of: head.fields), key)
    }

    /// A change through here makes stored copies of its target useless, and of what it says it has changed besides.
    /// - Source: RFC 9111 §4.4: on a non-error response to an unsafe method; `Location` and `Content-Location` of the same origin only.
    private func invalidateIfUnsafe(_ head: ResponseHead) {
        guard !request.method.isSafe, (200..<400).contains(head.status) else { return }
        invalidate(request)
        let request = request
        let text = request.fields.bytes
        for name in [FieldName.location, .contentLocation] {
            guard head.fields.count(of: name) == 1, let index = head.fields.firstIndex(of: name),
                let target = RelatedTarget.sameOrigin(
                    head.fields.value(at: index), authority: text.span.extracting(request.authority),
                    target: text.span.extracting(request.target))
            else { continue }
            invalidate(RequestHead(getting: target, of: request))
        }
    }

    /// Takes the right to store what a POST brings, where it is what GET of its target would. Its own change is over by now, so that only an
    /// invalidation that comes later keeps it from being stored; and nobody waits for it.
    /// - Source: RFC 9110 §9.3.3.
    private func leadIfPostIsStored(_ head: ResponseHead) {
        guard mayStorePost, lease == nil, reasonNotToStore(head, CacheControl.forSharedCache(head.fields)) == nil,
            route.keying.passesWhole(request, client: identity)
        else { return }
        // A condition or a range is of the moment, and it was this client's.
        for name in [FieldName.ifMatch, .ifNoneMatch, .ifModifiedSince, .ifUnmodifiedSince, .ifRange, .range] where request.fields.contains(name) {
            return
        }
        key.assign(request, route.keying, client: identity, seed: worker.store.seed)
        let (key, request) = (key, request)
        lease = worker.store.withShard(key) { $0.leadPart(key, request) }
    }

    private func invalidate(_ request: RequestHead) {
        // What the same target gives by other routes may have changed as well.
        let text = request.fields.bytes
        let authority = identity.host ?? Array(text[request.authority])
        _ = worker.store.purge(
            authority: authority.span, target: text.span.extracting(request.target), keyings: worker.routing.keyings, isSoft: false, now: .now())
    }

    /// A response to HEAD says what GET would get: it updates what is stored, or shows that it has changed.
    /// - Source: RFC 9111 §4.3.5.
    private func updateIfHead(_ head: ResponseHead, now: NIODeadline) {
        guard request.method == .head, head.status == 200, route.cache.isEnabled, !route.isPersonal,
            !request.fields.contains(.authorization), !AmbiguousFields.contains(request.fields, keyed: route.keying.keyedFields)
        else { return }
        let (key, request) = (key, request)
        dropPartsOfAnother(head)
        guard let stored = worker.store.withShard(key, { $0.ready(key, request) }), stored.response.status == 200 else { return }
        // What a soft purge has made stale only a whole response makes fresh: this one may have been on its way when the purge came.
        guard !stored.response.isPurged else { return }
        guard StoredFields.isSameRepresentation(stored.response.fields, byteCount: stored.plain.body.byteCount, as: head.fields) else {
            return worker.store.withShard(key) { $0.drop(stored.response, key: key) }
        }
        let fields = StoredFields.updated(stored.response.fields, by: head.fields, date: worker.httpDate(now: now))
        var merged = ResponseHead()
        merged.status = 200
        merged.fields = fields
        let cacheControl = CacheControl.forSharedCache(fields)
        var asked = request
        asked.method = .get
        guard
            Storability.decide(
                request: asked, response: merged, cacheControl: cacheControl, rules: route.storing,
                received: worker.unixSeconds(now)) == nil
        else { return worker.store.withShard(key) { $0.drop(stored.response, key: key) } }
        let age = Freshness.initialAgeSeconds(
            response: merged, requestSent: worker.unixSeconds(started), responseReceived: worker.unixSeconds(now))
        // What is named as one client's own is not stored from HEAD either.
        let kept = StoredFields.make(fields, date: worker.httpDate(now: now), withheld: WithheldFields(fields, cacheControl))
        let response = StoredResponse(
            head: merged, fields: kept, cacheControl: cacheControl, lifetimeSeconds: lifetimeSeconds(merged, cacheControl),
            initialAgeSeconds: age, received: now, codings: stored.response.codings, wasAskedForPlain: plan.wantsIdentity && !variesByFile,
            browserCaching: stored.response.browserCaching, hasKeyedLanguage: route.keying.hasLanguages,
            urlTag: route.keying.urlTag(request, client: identity))
        guard response.vary == stored.response.vary else { return worker.store.withShard(key) { $0.drop(stored.response, key: key) } }
        let plain = ResponseCodec.representation(of: response, coding: .identity, effort: .asReceived, body: stored.plain.body)
        let coded = stored.coded.map { ResponseCodec.representation(
                of: response, coding: $0.coding, effort: $0.effort, body: $0.body, plainBytes: stored.plain.body.byteCount)
        }
        worker.store.withShard(key) { $0.replace(stored.response, by: plain, coded: coded, key: key) }
    }
}

extension RequestHead {
    /// A GET for another target of the same authority.
    init(getting target: [UInt8], of request: RequestHead) {
        self.init()
        method = .get
        methodRange = fields.appendBytes("GET")
        self.target = fields.appendBytes(target.span)
        authority = fields.appendBytes(request.fields.bytes.span.extracting(request.authority))
    }
}
