import HTTPSemantics
import NIOCore

// `PURGE` and `EXPLAIN`: what operators ask of the response cache itself. Both stand before the routes: neither is ever forwarded, and
// both need the same permission.

extension HTTPServerHandler {
    /// What a purge may take of the loop before others have their turn.
    private static let purgeStep = TimeAmount.microseconds(500)
    /// A purge of more responses than a loop can drop in this time has not been seen.
    private static let purgeTime = TimeAmount.seconds(30)

    func answer(_ method: CacheMethod, _ head: RequestHead, now: NIODeadline) {
        if let refusal = PurgeRequest.refusal(head, from: identity, worker.configuration.purge) { return refuse(refusal, now: now) }
        switch method {
        case .purge: purge(head, now: now)
        case .explain: explainCached(head, now: now)
        }
    }

    private func refuse(_ refusal: PurgeRefusal, now: NIODeadline) {
        worker.metrics.purgeRefused(refusal)
        respond(
            status: refusal.status, contentType: "application/json",
            JSONValue.object([("status", "refused"), ("reason", .string(refusal.rawValue))]).rendered + "\n", now: now,
            reason: .purgeRefused(refusal))
    }

    private func purge(_ head: RequestHead, now: NIODeadline) {
        let request: PurgeRequest
        do {
            request = try PurgeRequest(head)
        } catch {
            return refuse(error, now: now)
        }
        // What purged pages have said goes with them. Of the others it is learnt again when they are fetched.
        worker.store.hints.forgetAll()
        switch request.what {
        case .url:
            let text = head.fields.bytes.span
            let count = worker.store.purge(
                authority: text.extracting(head.authority), target: text.extracting(head.target), keyings: worker.routing.keyings,
                isSoft: request.isSoft, now: now)
            purged(request, count, now: now)
        case .ban(let rule):
            guard worker.store.ban(rule, isSoft: request.isSoft, now: now) else { return refuse(.tooMany, now: now) }
            purged(request, nil, now: now)
        case .tags(let tags):
            var run = TagPurge(tags: tags, isSoft: request.isSoft)
            if run.step(worker.store, until: now + Self.purgeStep) { return purged(request, run.count, now: now) }
            source = .verify
            arm(.authorization, for: Self.purgeTime, from: now)
            goOn(run, request, serial: exchange.trace.parentID)
        }
    }

    /// Goes on with a purge of many responses when others have had their turn. It is not given up when its client leaves.
    private func goOn(_ run: TagPurge, _ request: PurgeRequest, serial: UInt64) {
        let bound = NIOLoopBound(self, eventLoop: worker.eventLoop)
        worker.eventLoop.execute {
            let handler = bound.value
            var run = run
            guard run.step(handler.worker.store, until: .now() + Self.purgeStep) else { return handler.goOn(run, request, serial: serial) }
            guard case .verify = handler.source, handler.exchange.trace.parentID == serial, handler.isOpen else { return }
            handler.source = .none
            handler.arm(.none, for: .zero, from: .now())
            handler.turn { handler.purged(request, run.count, now: .now()) }
            handler.flushAndResume()
        }
    }

    private func purged(_ request: PurgeRequest, _ count: Int?, now: NIODeadline) {
        worker.metrics.purged(request.kind, responses: count ?? 0)
        var document: [(String, JSONValue)] = [
            ("status", "ok"), ("id", .string(String(exchange.trace.parentID, radix: 16))), ("kind", .string(request.kind.rawValue)),
            ("soft", .boolean(request.isSoft)),
        ]
        // By pattern, nobody counts: what it is for is dropped when it is next asked for.
        if let count { document.append(("purged", .number(count))) }
        respond(
            status: 200, contentType: "application/json", JSONValue.object(document).rendered + "\n", now: now,
            reason: .purged(request.kind))
    }

    // MARK: Explain

    private func explainCached(_ head: RequestHead, now: NIODeadline) {
        var asked = head
        asked.method = .get
        let routing = worker.routing
        var document: [(String, JSONValue)] = []
        switch routing.router.route(asked, from: identity) {
        case .tunnel, .ambiguous, .none:
            document.append(("decision", "no route"))
        case .route(let number):
            let plan = routing.plans[number]
            document.append(("route", .string(plan.route.name.isEmpty ? "route \(number)" : plan.route.name)))
            document += CacheExplanation.make(asked, plan, client: identity, store: worker.store, now: now)
        }
        respond(
            status: 200, contentType: "application/json", JSONValue.object(document).rendered + "\n", now: now, reason: .edge(.explain))
    }
}

/// What the response cache has for a request, and what it would do with it.
enum CacheExplanation {
    static func make(
        _ head: RequestHead, _ plan: RoutePlan, client: ClientIdentity, store: ResponseStore, now: NIODeadline
    ) -> [(String, JSONValue)] {
        guard case .origin = plan.action else { return [("decision", "the route answers by itself")] }
        if let reason = plan.isPersonal ? .forwardAuth : SharedCachePolicy.bypassReason(head, plan.cache) {
            return [("decision", .string("bypass: \(AnswerReason.bypass(reason).word)"))]
        }
        var key = CacheKey()
        key.assign(head, plan.keying, client: client, seed: store.seed)
        let found = store.withShard(key) { [key] in $0.describe(key) }
        let parts = key.bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 2, omittingEmptySubsequences: false)
        var document: [(String, JSONValue)] = [
            (
                "key",
                .object([
                    ("host", .bytes(parts.first ?? [])), ("target", .bytes(parts.dropFirst().first ?? [])),
                    // What parts them is shown as a bar.
                    ("more", .bytes((parts.dropFirst(2).first ?? []).map { $0 == 0x01 || $0 == 0x0A ? UInt8(ascii: "|") : $0 })),
                ])
            )
        ]
        if let target = plan.keying.upstreamTarget(head) { document.append(("asked_upstream", .bytes(target))) }
        let cacheControl = CacheControl(head.fields)
        var vary = VaryNames()
        if let response = found.variants.first?.response { vary = response.vary }
        let secondaryKey = vary.isEmpty ? [] : vary.secondaryKey(head.fields)
        var decision = "miss: uri-miss"
        var variants: [JSONValue] = []
        for variant in found.variants {
            let isAsked = vary.isEmpty || variant.secondaryKey == secondaryKey
            let verdict = RevalidationPolicy.verdict(variant.response, cacheControl, head.fields, plan.reuse, now: now)
            let word: String
            switch verdict {
            case .fresh: word = "fresh"
            case .servedStale(_, let permission): word = "served stale: \(AnswerReason.servedStale(permission).word)"
            case .stale(let reason): word = "stale: \(AnswerReason.forwarded(reason).word)"
            }
            if isAsked, variant.parts == nil {
                decision = SharedCachePolicy.mayAnswer(variant.response, head) ? (word == "fresh" ? "hit" : word) : "miss: \(AnswerReason.notStored(.authorization).word)"
            }
            variants.append(Self.variant(variant, isAsked: isAsked, word: word, now: now))
        }
        if !found.variants.contains(where: { $0.parts != nil }), !found.variants.isEmpty, decision == "miss: uri-miss" { decision = "miss: vary-miss" }
        if let until = found.passUntil, until > now { decision = "pass: its last answer could not be shared" }
        if found.fetches > 0, decision.hasPrefix("miss") { decision += ", and somebody fetches it" }
        document.append(("decision", .string(decision)))
        document.append(("vary", .list(found.vary.map { .bytes($0) })))
        document.append(("fetches", .number(found.fetches)))
        document.append(("waiting", .number(found.followers)))
        if let until = found.passUntil, until > now {
            document.append(("not_shared_for_seconds", .number(Int(clamping: (until - now).nanoseconds / 1_000_000_000))))
        }
        document.append(("variants", .list(variants)))
        return document
    }

    private static func variant(_ variant: KeyDescription.Variant, isAsked: Bool, word: String, now: NIODeadline) -> JSONValue {
        let response = variant.response
        let age = response.ageSeconds(now: now)
        var members: [(String, JSONValue)] = [
            ("asked_for", .boolean(isAsked)), ("verdict", .string(word)), ("status", .number(response.status)), ("age", .number(age)),
            ("lifetime", .number(response.lifetimeSeconds)), ("ttl", .number(response.lifetimeSeconds - age)),
            ("purged", .boolean(response.isPurged)), ("tags", .number(response.tags.count)), ("memory_bytes", .number(variant.memoryBytes)),
            (
                "eviction",
                .string(
                    variant.queue == .main
                        ? "main queue, used \(variant.uses) times since its last turn"
                        : variant.uses > 0 ? "new, and used: it moves to the main queue" : "new, and not used yet: first to make room")
            ),
            (
                "codings",
                .list(
                    variant.codings.map { coding in
                        .object([
                            ("coding", .string("\(coding.coding.token)")), ("bytes", .number(coding.bytes)), ("final", .boolean(coding.isFinal)),
                        ])
                    })
            ),
        ]
        if let parts = variant.parts {
            let runs = parts.runs.map { "\($0.lowerBound)-\($0.upperBound - 1)" }.joined(separator: ",")
            members.append(("parts", .string("bytes \(runs)/\(parts.count)")))
        }
        for name in [FieldName.cacheControl, .etag, .lastModified, .vary] {
            if let value = response.fields.string(name) { members.append(("\(name.spelling)".lowercased(), .string(value))) }
        }
        var tags: [JSONValue] = []
        let fields = response.fields
        for index in fields.lines.indices where DependencyTags.isTagField(fields.lines[index].name, fields.name(at: index)) {
            tags.append(.string(String(copying: fields.value(at: index))))
        }
        if !tags.isEmpty { members.append(("surrogate_keys", .list(tags))) }
        return .object(members)
    }
}
