import HTTPSemantics
import NIOCore

// What a request has to do with the response cache: an answer from it, a fetch for all who ask, a wait for one, or a way past it.

extension HTTPServerHandler {
    func lookUp(_ head: RequestHead, _ route: RoutePlan, now: NIODeadline) {
        let bypass = route.isPersonal ? .forwardAuth : SharedCachePolicy.bypassReason(head, route.cache)
        if let holdOut = worker.holdOut, isHeldOut(head, route, holdOut, isLookedUp: bypass == nil) { return goPast(.holdOut, now: now) }
        if let bypass { return goPast(bypass, now: now) }
        if exchange.without.contains(.responseCache) { return goPast(.switchedOff, now: now) }
        if head.fields.contains(.cacheControl) || head.fields.contains(.pragma) {
            exchange.requestCacheControl = CacheControl(head.fields)
        }
        answerFromStore(head, route, now: now)
    }

    /// - Parameter isSecondLook: another event loop has stored a response since the first.
    private func answerFromStore(_ head: RequestHead, _ route: RoutePlan, isSecondLook: Bool = false, now: NIODeadline) {
        let found = find(head, route)
        if head.fields.contains(.range), asksForRange(head), isReadFromFile(route, isStored: found != nil) {
            if let found { worker.codec.release(found, key: worker.key) }
            if exchange.requestCacheControl.onlyIfCached { return respondError(504, reason: .edge(.onlyIfCached), now: now) }
            return goPast(.fileRange, now: now)
        }
        guard let found, SharedCachePolicy.mayAnswer(found.representation.response, head) else {
            if let found { worker.codec.release(found, key: worker.key) }
            exchange.cacheResult = .miss
            if found == nil, head.fields.contains(.range), answerFromParts(head, route, now: now) { return }
            if exchange.requestCacheControl.onlyIfCached { return respondError(504, reason: .edge(.onlyIfCached), now: now) }
            return join(stale: nil, seen: found?.representation.response, mayLookAgain: !isSecondLook, now: now)
        }
        let response = found.representation.response
        switch RevalidationPolicy.verdict(response, exchange.requestCacheControl, head.fields, route.reuse, now: now) {
        case .fresh(let secondsLeft):
            exchange.cacheResult = .hit
            exchange.secondsFresh = secondsLeft
            deliver(found, head, now: now)
            if route.reuse.refreshAheadShare > 0, RevalidationPolicy.isNearItsEnd(response, secondsLeft: secondsLeft, route.reuse) {
                refresh(response, head, route, isAhead: true, now: now)
            }
        case .servedStale(let secondsOver, let permission):
            noteStale(secondsOver, permission)
            deliver(found, head, now: now)
            if permission == .whileRevalidate { refresh(response, head, route, isAhead: false, now: now) }
        case .stale(let reason):
            worker.codec.release(found, key: worker.key)
            if exchange.requestCacheControl.onlyIfCached { return respondError(504, reason: .edge(.onlyIfCached), now: now) }
            exchange.cacheResult = .stale
            exchange.reason = .forwarded(reason)
            exchange.isForwardedOnRequest = reason.isOfRequest
            let stale = worker.store.withShard(worker.key) { [key = worker.key] in $0.ready(of: response, key: key) }
            join(stale: stale, seen: response, mayLookAgain: !isSecondLook, now: now)
        }
    }

    /// Whether a part comes from the file itself: nobody waits for all of it to be stored; and where there are files in codings of their own, what
    /// is stored may be one of these, whose bytes are others. Where an application answers too, it may be its response that is asked for.
    private func isReadFromFile(_ route: RoutePlan, isStored: Bool) -> Bool {
        guard case .origin(.some, nil) = route.action else { return false }
        return !isStored || !route.route.files.options.precompressed.isEmpty
    }

    private func goPast(_ reason: SharedCachePolicy.BypassReason, now: NIODeadline) {
        exchange.cacheResult = .bypass
        exchange.reason = .bypass(reason)
        fetch(lease: nil, stale: nil, now: now)
    }

    /// Makes the key of a request.
    @inline(__always)
    func assignKey(_ head: RequestHead, _ route: RoutePlan) {
        // Asked here and not behind a call, to which the keying and the identity would be copied.
        if route.hasPlainKeys, !identity.isSecure, identity.host == nil {
            worker.key.assign(head, scope: route.cacheScope, seed: worker.store.seed)
        } else {
            worker.key.assign(head, route.keying, client: identity, seed: worker.store.seed)
        }
    }

    func find(_ head: RequestHead, _ route: RoutePlan) -> ResponseShard.Found? {
        assignKey(head, route)
        let (key, accepted) = (worker.key, exchange.accepted)
        return worker.store.withShard(key) { $0.find(key, head, accepted: accepted) }
    }

    private func noteStale(_ secondsOver: Int, _ permission: RevalidationPolicy.Permission) {
        exchange.cacheResult = .servedStale
        exchange.secondsFresh = -secondsOver
        exchange.reason = .servedStale(permission)
    }

    /// Has a response that was just served fetched anew, unless somebody does already. Neither this client nor its connection waits.
    /// - Parameter isAhead: it is fresh yet.
    private func refresh(_ response: StoredResponse, _ head: RequestHead, _ route: RoutePlan, isAhead: Bool, now: NIODeadline) {
        // HEAD brings no body; the next GET will do it.
        guard head.method == .get, !AmbiguousFields.contains(head.fields, keyed: route.keying.keyedFields) else { return }
        if isAhead {
            // There is time: somebody will ask who has no login and lets the answer be kept.
            let mayLead = SharedCachePolicy.mayLead(head, exchange.requestCacheControl, heedsRequests: route.reuse.heedsRequests)
            guard mayLead, worker.refreshesAhead < EdgeWorker.refreshesAheadMax else { return }
        }
        assignKey(head, route)
        let key = worker.key
        let (lease, stale) = worker.store.withShard(key) { shard -> (ResponseShard.Lease?, ResponseShard.Ready?) in
            let lease = isAhead ? shard.leadAhead(key, head, of: response, now: now) : shard.leadInBackground(key, head, of: response)
            guard let lease else { return (nil, nil) }
            return (lease, shard.ready(of: response, key: key))
        }
        guard let lease else { return }
        guard let origin = Self.origin(of: route) else {
            worker.store.finish(lease, .notStored, key: key, now: now)
            return
        }
        let fetch = Fetch(
            worker: worker, route: route, origin: origin, asker: Fetch.Asker(self), client: nil, request: head, lease: lease,
            stale: stale, now: now)
        fetch.isAhead = isAhead
        if isAhead { worker.refreshesAhead += 1 }
        worker.metrics.refreshed(isAhead: isAhead)
        fetch.start(now: now)
    }

    private static func origin(of route: RoutePlan) -> Fetch.Origin? {
        guard case .origin(let files, let upstream) = route.action else { return nil }
        return files.map(Fetch.Origin.files) ?? upstream.map(Fetch.Origin.application)
    }

    /// Fetches for all who ask for this key, or waits for whoever does; or looks again, when somebody has done it just now.
    /// - Parameters:
    ///   - stale: what may be confirmed.
    ///   - seen: what is stored, and is no answer.
    private func join(stale: ResponseShard.Ready?, seen: StoredResponse? = nil, mayLookAgain: Bool = false, now: NIODeadline) {
        let head = connection.head
        guard SharedCachePolicy.mayLead(head, exchange.requestCacheControl, heedsRequests: route?.reuse.heedsRequests ?? true) else {
            return fetch(lease: nil, stale: nil, now: now)
        }
        if AmbiguousFields.contains(head.fields, keyed: route?.keying.keyedFields ?? []) {
            noteNotStored(.ambiguousFields)
            return fetch(lease: nil, stale: nil, now: now)
        }
        // What must be asked for every time is asked for by everybody on their own; see `alwaysRevalidates`.
        var isShared = !(stale?.response.alwaysRevalidates ?? false)
        if stale == nil, isShared, worker.store.forecast.isForOneClient(worker.key, head) { isShared = false }
        if exchange.without.contains(.coalescing) { isShared = false }
        var wish = PartWish.none
        if stale == nil, case .application? = route.flatMap(Self.origin) { wish = PartWish(head) }
        let key = worker.key
        let joined = worker.store.withShard(key) { shard -> ResponseShard.Joined? in
            if mayLookAgain, shard.stores(key, head, otherThan: seen) { return nil }
            return shard.join(key, head, follower: isShared ? follower() : nil, wish: wish, now: now)
        }
        guard let joined else {
            (exchange.reason, exchange.isForwardedOnRequest) = (nil, false)
            if let route { answerFromStore(head, route, isSecondLook: true, now: now) }
            return
        }
        switch joined {
        case .leadPart(let lease): fetch(lease: lease, stale: nil, isForPart: true, now: now)
        case .lead(let lease): fetch(lease: lease, stale: stale, now: now)
        case .pass: fetch(lease: nil, stale: nil, now: now)
        case .follow:
            exchange.cacheResult = .coalesced
            exchange.stages.entered(.queue, now: .now())
            source = .follow
            hintEarly()
        case .read(let live):
            exchange.cacheResult = .coalesced
            read(live, now: now)
        }
    }

    /// This exchange as one that waits for another's fetch.
    private func follower() -> ResponseShard.Follower {
        let bound = NIOLoopBound(self, eventLoop: worker.eventLoop)
        let eventLoop = worker.eventLoop
        let serial = exchange.trace.parentID
        return ResponseShard.Follower { outcome in
            eventLoop.execute { bound.value.leaderFinished(outcome, serial: serial) }
        }
    }

    private func leaderFinished(_ outcome: ResponseShard.FollowerOutcome, serial: UInt64) {
        guard case .follow = source, exchange.trace.parentID == serial, isOpen else { return }
        source = .none
        turn { follow(outcome, now: .now()) }
        flushAndResume()
    }

    func follow(_ outcome: ResponseShard.FollowerOutcome, now: NIODeadline) {
        switch outcome {
        case .lookAgain:
            let head = connection.head
            if let route, let found = find(head, route) {
                exchange.secondsFresh = found.representation.response.lifetimeSeconds
                deliver(found, head, now: now)
            } else {
                // Another variant than ours was fetched, or it made room already.
                join(stale: nil, now: now)
            }
        case .read(let live):
            // Meanwhile it may be whole, and in a better coding than a stream's: who joins now finds it in the store.
            if let route, live.isStored, let found = find(connection.head, route), found.representation.response === live.response {
                exchange.secondsFresh = live.response.lifetimeSeconds
                deliver(found, connection.head, now: now)
            } else if live.suits(connection.head.fields) {
                read(live, now: now)
            } else {
                join(stale: nil, now: now)
            }
        case .fetchAlone:
            exchange.cacheResult = .miss
            exchange.reason = .edge(.notShareable)
            fetch(lease: nil, stale: nil, now: now)
        case .failed(let failure):
            exchange.failure = failure
            answerFailure(failure, now: now)
        }
    }

    /// Answers when no response could be fetched: by what is stored if that may be, else by an error.
    /// - Source: RFC 5861 §4; RFC 9111 §5.2.2.2: 504 where a stored response may not be used without having been validated.
    func answerFailure(_ failure: GatewayFailure, now: NIODeadline) {
        let head = connection.head
        guard let route, exchange.cacheResult != .bypass, exchange.cacheResult != .none,
            head.method == .get || head.method == .head, let found = find(head, route)
        else { return respondError(failure.status, reason: .failed(failure), now: now) }
        let response = found.representation.response
        if SharedCachePolicy.mayAnswer(response, head),
            let over = RevalidationPolicy.secondsOverOnError(response, exchange.requestCacheControl, head.fields, route.reuse, now: now)
        {
            noteStale(over, .ifError)
            return deliver(found, head, now: now)
        }
        worker.codec.release(found, key: worker.key)
        respondError(response.demandsValidation ? 504 : failure.status, reason: .failed(failure), now: now)
    }

    /// Has the response made: by the folder of files if the route has one, else by its group.
    func fetch(lease: ResponseShard.Lease?, stale: ResponseShard.Ready?, isForPart: Bool = false, now: NIODeadline) {
        guard let route, let origin = Self.origin(of: route) else {
            if let lease { worker.store.finish(lease, .notStored, key: worker.key, now: now) }
            return respondError(404, reason: .edge(.noApplication), now: now)
        }
        let fetch = Fetch(
            worker: worker, route: route, origin: origin, asker: Fetch.Asker(self), client: self, request: request, isForPart: isForPart,
            lease: lease, stale: stale, now: now)
        source = .fetch(fetch)
        fetch.start(now: now)
    }
}
