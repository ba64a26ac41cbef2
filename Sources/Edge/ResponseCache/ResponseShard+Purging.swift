import NIOCore

// Purges, on one shard. A purge changes what is stored and, by its number, what is being fetched; when the call returns, no lookup
// gives what it was for.

extension ResponseShard {
    /// Removes what is stored under a key, or makes it stale; what is being fetched for it will not be stored.
    /// - Returns: how many responses it was for.
    mutating func purge(_ key: borrowing CacheKey, isSoft: Bool, now: NIODeadline) -> Int {
        guard let record = findRecord(key) else { return 0 }
        for position in records[record]?.fetches.indices ?? 0..<0 { records[record]?.fetches[position].isOvertaken = true }
        let slots = records[record]?.variants.map(\.entry) ?? []
        for slot in slots { purge(slot, isSoft: isSoft, at: now) }
        return slots.count
    }

    /// Begins the same for all that carries one of these tags: fetches that are under way will not store any such.
    /// - Parameter areURLs: They are tags of URLs, which keys have in them; see ``CacheKeying/urlTag(ofKey:)``.
    /// - Returns: what carries one now, for ``purge(_:isSoft:now:)-(ArraySlice<Tagged>,_,_)``.
    mutating func beginPurge(tags purged: [UInt64], areURLs: Bool = false) -> [Tagged] {
        purges.purged(tags: purged, areURLs: areURLs)
        var found: [Tagged] = []
        for tag in purged {
            for slot in tags.entries(of: tag) {
                if let response = entries[slot].response { found.append(Tagged(slot: slot, response: response)) }
            }
        }
        return found
    }

    /// A response that carries a tag, and where it is.
    struct Tagged: Sendable {
        fileprivate let slot: Int
        fileprivate let response: StoredResponse
    }

    /// Ends it for some of them: as many as a lock may be held for.
    /// - Returns: how many were there still.
    mutating func purge(_ tagged: ArraySlice<Tagged>, isSoft: Bool, now: NIODeadline) -> Int {
        var count = 0
        for one in tagged where entries[one.slot].response === one.response && !(isSoft && one.response.isPurged) {
            purge(one.slot, isSoft: isSoft, at: now)
            count += 1
        }
        return count
    }

    /// The same for all whose key a rule matches: they are compared with it when they are asked for, or by ``sweep(entriesMax:now:)``.
    /// - Returns: `false` when too many such rules are waiting already.
    mutating func ban(_ rule: BanRule, isSoft: Bool, now: NIODeadline) -> Bool {
        purges.banned(rule, isSoft: isSoft, now: now)
    }

    /// Compares some entries with the bans that they have not met yet, and retires bans that all have met.
    /// - Returns: whether there is more to do.
    mutating func sweep(entriesMax: Int, now: NIODeadline) -> Bool {
        guard purges.latestBan > 0 else { return false }
        if sweepSlot == 0 { sweepTarget = purges.latestBan }
        let end = min(sweepSlot + entriesMax, entries.count)
        while sweepSlot < end {
            let slot = sweepSlot
            sweepSlot += 1
            if entries.span[slot].record >= 0, entries.span[slot].comparedBan < purges.latestBan { _ = isDroppedByBans(slot) }
        }
        guard sweepSlot >= entries.count else { return true }
        sweepSlot = 0
        purges.swept(upTo: sweepTarget, now: now)
        return sweepTarget < purges.latestBan
    }

    /// Compares an entry with the bans that came since it was last compared.
    /// - Returns: whether it is gone.
    mutating func isDroppedByBans(_ slot: Int) -> Bool {
        guard let key = records[entries[slot].record]?.key else { return false }
        let compared = entries[slot].comparedBan
        entries[slot].comparedBan = purges.latest
        for ban in purges.bans(after: compared) where ban.rule.matches(key) {
            purge(slot, isSoft: ban.isSoft, at: ban.time)
            if !ban.isSoft { return true }
        }
        return false
    }

    /// Whether a response is stored still, be it made stale by a soft purge.
    mutating func isStored(_ response: StoredResponse, key: borrowing CacheKey) -> Bool {
        for slot in findRecord(key).flatMap({ records[$0]?.variants.map(\.entry) }) ?? [] {
            guard let stored = entries[slot].response, stored === response || stored.isPurged && stored.received == response.received else { continue }
            return !(entries[slot].comparedBan < purges.latestBan && isDroppedByBans(slot))
        }
        return false
    }

    /// Whether a purge came after a fetch began that is for what it brought.
    func isOvertaken(_ fetch: Fetch, key: [UInt8], tags: [UInt64]) -> Bool {
        purges.overtakes(began: fetch.began, key: key, tags: tags)
    }

    /// Whether a purge has come since a fetch began that is, or may be, for what it will bring: nobody who comes after the purge waits
    /// for it.
    ///
    /// A purge of a URL or by pattern is known by the key. Surrogate keys are known when the response's head is here: until then
    /// each purge by one may be for it. What is found out is kept, so that a fetch meets each purge by pattern once.
    mutating func mayBeOvertaken(_ position: Int, of record: Int) -> Bool {
        guard let content = records[record] else { return true }
        let fetch = content.fetches[position]
        if fetch.isOvertaken { return true }
        guard fetch.began < purges.latest else { return false }
        if fetch.live == nil, fetch.began < purges.latestByTag { return true }
        guard fetch.comparedPurge < purges.latest else { return false }
        let isOvertaken = purges.overtakes(
            began: fetch.began, compared: fetch.comparedPurge, key: content.key, tags: fetch.live?.response.tags ?? [])
        records[record]?.fetches[position].comparedPurge = purges.latest
        if isOvertaken { records[record]?.fetches[position].isOvertaken = true }
        return isOvertaken
    }

    private mutating func purge(_ slot: Int, isSoft: Bool, at time: NIODeadline) {
        // Parts are not served stale: what makes them stale may as well make room.
        guard isSoft, parts[slot] == nil else { return dropEntry(slot) }
        guard let old = entries[slot].response, !old.isPurged else { return }
        let stale = StoredResponse(old, staleFrom: time)
        entries[slot].response = stale
        // What is being made of the old one will not find it.
        entries[slot].claimed = []
        entries[slot].claimedHigh = []
        for position in entries[slot].ready.indices {
            guard let ready = entries[slot].ready[position] else { continue }
            entries[slot].ready[position] = Representation(ready, of: stale)
        }
    }
}
