import Eviction
import HTTPSemantics
import NIOCore

// Who fetches a key and who waits for it, on one shard.

extension ResponseShard {
    /// Who waits for another's fetch. `resume` is called once, outside the lock, on the thread that finished the fetch.
    struct Follower: Sendable {
        let resume: @Sendable (FollowerOutcome) -> Void
    }

    /// What a follower is told.
    enum FollowerOutcome: Sendable {
        /// The response is stored: look again.
        case lookAgain
        /// The response has begun: read along.
        case read(LiveResponse)
        /// The response is not to be shared: fetch alone, all followers at once.
        case fetchAlone
        /// The leader's fetch failed; an attempt of each follower's own would be a stampede.
        case failed(GatewayFailure)
    }

    /// The right to fetch a key for all. Given back exactly once, by ``finish(_:_:)``.
    struct Lease: Sendable, Equatable {
        fileprivate let record: Int
        fileprivate let id: UInt64
    }

    enum Joined: Sendable {
        case lead(Lease)
        case follow
        /// Somebody's response has begun: read along.
        case read(LiveResponse)
        /// The last answer under this key could not be shared: nobody waits for anybody.
        case pass
        /// Ask for the range alone, to store the part: nobody waits for it. See ``PartWish``.
        case leadPart(Lease)
    }

    /// Asks for the right to fetch, or to wait for whoever has it.
    /// - Parameter follower: Who would wait, not made when nobody may; `nil` for a request that neither waits nor lets others wait for it.
    mutating func join(
        _ key: borrowing CacheKey, _ request: borrowing RequestHead, follower: @autoclosure () -> Follower?, wish: PartWish = .none, now: NIODeadline
    ) -> Joined {
        let record = findRecord(key) ?? addRecord(key)
        // Where parts are, the next one is asked for as one, too, until they are the whole. Two at a time are better off with the whole.
        if wish != .none, records.span[record]?.fetches.isEmpty == true, let entry = matchingEntry(record, request), parts[entry] != nil {
            return joinAlone(record, request)
        }
        var isMarked = false
        if let mark = records.span[record]?.passMark {
            if entries.span[mark].pausedUntil > now { return wish == .none ? .pass : joinAlone(record, request) }
            // One tries whether it is so still, and nobody waits for it: the others go past meanwhile.
            entries[mark].pausedUntil = now + Self.passMarkLifetime
            isMarked = true
        }
        let follower = isMarked ? nil : follower()
        guard let content = records[record] else { return .pass }
        if let follower, let position = sharedFetch(record, content, request.fields) {
            if let live = content.fetches[position].live { return .read(live) }
            guard content.fetches[position].followers.count < Self.followersMax else { return .pass }
            records[record]?.fetches[position].followers.append(follower)
            return .follow
        }
        if wish == .always { return joinAlone(record, request) }
        return .lead(lease(record, request, isShared: follower != nil))
    }

    /// Whether a whole response is stored that suits a request, and another than what was found a moment ago. Says nothing about freshness.
    func stores(_ key: borrowing CacheKey, _ request: borrowing RequestHead, otherThan found: StoredResponse?) -> Bool {
        guard let record = findRecord(key), let entry = matchingEntry(record, request), parts[entry] == nil else { return false }
        guard let response = entries.span[entry].response else { return false }
        return response !== found
    }

    /// As with followers: no list that clients fill is without a bound, and this one is gone through at each end.
    private mutating func joinAlone(_ record: Int, _ request: borrowing RequestHead) -> Joined {
        guard records.span[record]?.fetches.count ?? 0 < Self.fetchesMax else { return .pass }
        return .leadPart(lease(record, request))
    }

    private mutating func lease(_ record: Int, _ request: borrowing RequestHead, isShared: Bool = false) -> Lease {
        nextFetchID += 1
        records[record]?.fetches.append(Fetch(id: nextFetchID, fields: request.fields, isShared: isShared, began: purges.latest))
        return Lease(record: record, id: nextFetchID)
    }

    /// Asks for the right to store a part of what is not to be stored as a whole; `nil` when as many fetch under this key as may.
    mutating func leadPart(_ key: borrowing CacheKey, _ request: borrowing RequestHead) -> Lease? {
        guard case .leadPart(let lease) = joinAlone(findRecord(key) ?? addRecord(key), request) else { return nil }
        return lease
    }

    /// What there is of a response that suits a request and is not stored as a whole. Says nothing about freshness.
    mutating func findParts(_ key: borrowing CacheKey, _ request: borrowing RequestHead) -> StoredParts? {
        guard !parts.isEmpty, let record = findRecord(key), let entry = matchingEntry(record, request), let found = parts[entry] else { return nil }
        if entries.span[entry].comparedBan < purges.latestBan, isDroppedByBans(entry) { return nil }
        eviction.touched(entry)
        return found
    }

    /// The same for who adds to them: no use that eviction would count.
    mutating func knownParts(_ key: borrowing CacheKey, _ request: borrowing RequestHead) -> StoredParts? {
        guard !parts.isEmpty, let record = findRecord(key), let entry = matchingEntry(record, request), let found = parts[entry] else { return nil }
        if entries.span[entry].comparedBan < purges.latestBan, isDroppedByBans(entry) { return nil }
        return found
    }

    /// Whether a part may be stored beside what is there. It takes no room from a whole, nor from other variants than its own, and what was
    /// received later than it stays (RFC 9111 §4).
    private mutating func isWelcome(_ found: StoredParts, requestFields: FieldSection, record: Int) -> Bool {
        guard let content = records[record] else { return false }
        let vary = found.response.vary
        let secondaryKey = vary.isEmpty ? [] : vary.secondaryKey(requestFields)
        guard !content.variants.isEmpty else {
            return eviction.admits(hash: content.hash ^ KeyHash.hash(secondaryKey.span, seed: 0), bytes: found.memoryBytes)
        }
        guard content.vary == vary else {
            return content.variants.allSatisfy { variant in
                guard parts[variant.entry] != nil, let stored = entries[variant.entry].response else { return false }
                return stored.received <= found.response.received
            }
        }
        guard let slot = content.variants.first(where: { $0.secondaryKey == secondaryKey })?.entry else { return true }
        guard parts[slot] != nil, let stored = entries[slot].response else { return false }
        return stored.received <= found.response.received
    }

    /// The fetch that brings what a request with these fields would get, as far as that is known.
    private mutating func sharedFetch(_ record: Int, _ content: Record, _ fields: borrowing FieldSection) -> Int? {
        guard !content.fetches.isEmpty else { return nil }
        let wanted = content.vary.isEmpty ? nil : content.vary.secondaryKey(fields)
        for (position, fetch) in content.fetches.enumerated() where fetch.isShared {
            let suits = fetch.live.map { $0.suits(fields) } ?? wanted.map { $0 == content.vary.secondaryKey(fetch.fields) } ?? true
            if suits, !mayBeOvertaken(position, of: record) { return position }
        }
        return nil
    }

    /// Asks for the right to fetch without anybody waiting for it: what is stored is served meanwhile.
    /// - Parameter response: what was served. Where it is not stored any more, somebody was faster.
    /// - Returns: `nil` when somebody fetches already, or nothing that could be shared is expected.
    mutating func leadInBackground(_ key: borrowing CacheKey, _ request: borrowing RequestHead, of response: StoredResponse) -> Lease? {
        guard entry(of: response, key: key) != nil, let record = findRecord(key), let known = records[record], known.passMark == nil else { return nil }
        guard sharedFetch(record, known, request.fields) == nil else { return nil }
        return lease(record, request, isShared: true)
    }

    /// The same for a response that is fresh yet and near its end, if it is asked for often: it was used ``hotUses`` times since it was
    /// stored. An attempt that fails is followed by a pause, so that each request of the last seconds does not make one.
    mutating func leadAhead(
        _ key: borrowing CacheKey, _ request: borrowing RequestHead, of response: StoredResponse, now: NIODeadline
    ) -> Lease? {
        guard let entry = entry(of: response, key: key), entries[entry].pausedUntil <= now else { return nil }
        let (queue, uses) = eviction.standing(entry)
        guard queue == .main || uses >= Self.hotUses else { return nil }
        entries[entry].pausedUntil = now + Self.aheadPause
        return leadInBackground(key, request, of: response)
    }

    /// Two: asked for again within its lifetime, and once more at its end.
    private static let hotUses = 2
    static let aheadPause = TimeAmount.seconds(1)

    /// A leader's response has begun and will be stored when it is whole: those who wait may have it as it comes, and who comes now too.
    mutating func begin(_ lease: Lease, _ live: LiveResponse) -> (followers: [Follower], told: FollowerOutcome) {
        guard let position = records[lease.record]?.fetches.firstIndex(where: { $0.id == lease.id }),
            let fetch = records[lease.record]?.fetches[position]
        else { return ([], .fetchAlone) }
        records[lease.record]?.fetches[position].followers = []
        // As with a whole one: what must be asked for each time, or may be older than a change, is for nobody else.
        guard !fetch.isOvertaken, !live.response.alwaysRevalidates else {
            records[lease.record]?.fetches[position].isShared = false
            return (fetch.followers, .fetchAlone)
        }
        records[lease.record]?.fetches[position].live = live
        return (fetch.followers, .read(live))
    }

    /// How a leader's fetch ended.
    enum FetchOutcome: Sendable {
        /// To be stored for a request that had these fields: without a coding, and in those that are ready already.
        case store(Representation, coded: [Representation] = [], requestFields: FieldSection)
        /// A part to be stored, with those that were there before.
        case storeParts(StoredParts, requestFields: FieldSection)
        /// Not to be stored, and the next ones under this key probably neither.
        case notShareable
        /// The same, because the whole is too large: parts of it may be stored.
        case tooLarge
        /// Not to be stored this time; says nothing about the next.
        case notStored
        case failed(GatewayFailure)
    }

    /// Ends a fetch: stores what it brought and says who waited for it, and what they are to be told.
    mutating func finish(
        _ lease: Lease, _ outcome: FetchOutcome, now: NIODeadline
    ) -> (followers: [Follower], told: FollowerOutcome, isStored: Bool) {
        guard let position = records[lease.record]?.fetches.firstIndex(where: { $0.id == lease.id }),
            let fetch = records[lease.record]?.fetches.remove(at: position)
        else { return ([], .fetchAlone, false) }
        // An emptied array would keep its memory for as long as the response is stored.
        if records[lease.record]?.fetches.isEmpty == true { records[lease.record]?.fetches = [] }
        var told = FollowerOutcome.fetchAlone
        var isStored = false
        switch outcome {
        case .store(let representation, let coded, let requestFields):
            if !fetch.isOvertaken, !isOvertaken(fetch, key: records[lease.record]?.key ?? [], tags: representation.response.tags),
                isWorthItsRoom(representation, requestFields: requestFields, fetch, record: lease.record)
            {
                store(representation, coded: coded, requestFields: requestFields, record: lease.record)
                isStored = true
                // A response that must be asked for each time says nothing to a request that came after its fetch began.
                if !representation.response.alwaysRevalidates { told = .lookAgain }
            }
        case .storeParts(let parts, let requestFields):
            if !fetch.isOvertaken, !isOvertaken(fetch, key: records[lease.record]?.key ?? [], tags: parts.response.tags),
                isWelcome(parts, requestFields: requestFields, record: lease.record)
            {
                store(parts, requestFields: requestFields, record: lease.record)
                isStored = true
            }
        case .notShareable:
            mark(lease.record, until: now + Self.passMarkLifetime)
        case .tooLarge:
            mark(lease.record, until: now + Self.passMarkLifetime, keepsParts: true)
        case .notStored:
            break
        case .failed(let failure):
            told = .failed(failure)
        }
        removeRecordIfUseless(lease.record)
        evict()
        return (fetch.followers, told, isStored)
    }

    /// Removes what is stored under a key and keeps fetches under way from storing what may be older than this call.
    /// - Source: RFC 9111 §4.4.
    mutating func invalidate(_ key: borrowing CacheKey) {
        guard let record = findRecord(key) else { return }
        for position in records[record]?.fetches.indices ?? 0..<0 { records[record]?.fetches[position].isOvertaken = true }
        for variant in records[record]?.variants ?? [] { dropEntry(variant.entry) }
    }
}
