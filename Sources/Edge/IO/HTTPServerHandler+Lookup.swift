import HTTPSemantics
import NIOCore

// What a request has to do with the response cache: an answer from it, a fetch for all who ask, a wait for one, or a way past it.

extension HTTPServerHandler {
    func lookUp(_ head: RequestHead, _ route: RoutePlan, now: NIODeadline) {
        if let reason = route.isPersonal ? .forwardAuth : SharedCachePolicy.bypassReason(head, route.cache) {
            exchange.cacheResult = .bypass
            exchange.detail = reason.rawValue
            return fetch(lease: nil, stale: nil, now: now)
        }
        if head.fields.contains(.cacheControl) || head.fields.contains(.pragma) {
            exchange.requestCacheControl = CacheControl(head.fields)
        }
        let found = find(head, route)
        guard let found, SharedCachePolicy.mayAnswer(found.representation.response, head) else {
            if let found { worker.codec.release(found, key: worker.key) }
            exchange.cacheResult = .miss
            if exchange.requestCacheControl.onlyIfCached { return respondError(504, reason: "only-if-cached", now: now) }
            return join(stale: nil, now: now)
        }
        let response = found.representation.response
        switch RevalidationPolicy.verdict(response, exchange.requestCacheControl, head.fields, now: now) {
        case .fresh(let secondsLeft):
            exchange.cacheResult = .hit
            exchange.secondsFresh = secondsLeft
            deliver(found, head, now: now)
        case .stale(let reason):
            worker.codec.release(found, key: worker.key)
            if exchange.requestCacheControl.onlyIfCached { return respondError(504, reason: "only-if-cached", now: now) }
            exchange.cacheResult = .stale
            exchange.detail = reason.rawValue
            exchange.isForwardedOnRequest = reason.isOfRequest
            join(stale: worker.store.withShard(worker.key) { [key = worker.key] in $0.ready(of: response, key: key) }, now: now)
        }
    }

    func find(_ head: RequestHead, _ route: RoutePlan) -> ResponseShard.Found? {
        worker.key.assign(head, scope: route.cacheScope, seed: worker.store.seed)
        let (key, accepted) = (worker.key, exchange.accepted)
        return worker.store.withShard(key) { $0.find(key, head, accepted: accepted) }
    }

    /// Fetches for all who ask for this key, or waits for whoever does.
    func join(stale: ResponseShard.Ready?, now: NIODeadline) {
        let head = connection.head
        guard SharedCachePolicy.mayLead(head, exchange.requestCacheControl) else {
            return fetch(lease: nil, stale: nil, now: now)
        }
        // What must be asked for every time is asked for by everybody on their own; see `alwaysRevalidates`.
        let isShared = !(stale?.response.alwaysRevalidates ?? false)
        let key = worker.key
        let joined = worker.store.withShard(key) { $0.join(key, head, follower: isShared ? follower() : nil, now: now) }
        switch joined {
        case .lead(let lease): fetch(lease: lease, stale: stale, now: now)
        case .pass: fetch(lease: nil, stale: nil, now: now)
        case .follow:
            exchange.cacheResult = .coalesced
            source = .follow
        }
    }

    /// This exchange as one that waits for another's fetch.
    func follower() -> ResponseShard.Follower {
        let bound = NIOLoopBound(self, eventLoop: worker.eventLoop)
        let eventLoop = worker.eventLoop
        let serial = exchange.trace.parentID
        return ResponseShard.Follower { outcome in
            eventLoop.execute { bound.value.leaderFinished(outcome, serial: serial) }
        }
    }

    func leaderFinished(_ outcome: ResponseShard.FollowerOutcome, serial: UInt64) {
        guard case .follow = source, exchange.trace.parentID == serial, context != nil else { return }
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
        case .fetchAlone:
            exchange.cacheResult = .miss
            exchange.detail = "not-shareable"
            fetch(lease: nil, stale: nil, now: now)
        case .failed(let failure):
            exchange.failure = failure
            respondError(failure.status, reason: failure.rawValue, now: now)
        }
    }

    /// Has the response made: by the folder of files if the route has one, else by its group.
    func fetch(lease: ResponseShard.Lease?, stale: ResponseShard.Ready?, now: NIODeadline) {
        guard let route, case .origin(let files, let upstream) = route.action,
            let origin = files.map(Fetch.Origin.files) ?? upstream.map(Fetch.Origin.application)
        else {
            if let lease { worker.store.finish(lease, .notStored, key: worker.key, now: now) }
            return respondError(404, reason: "no-application", now: now)
        }
        let fetch = Fetch(worker: worker, route: route, origin: origin, client: self, lease: lease, stale: stale, now: now)
        source = .fetch(fetch)
        fetch.start()
    }
}
