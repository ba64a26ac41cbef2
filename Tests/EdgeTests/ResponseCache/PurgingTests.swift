import HTTPSemantics
import NIOCore
import TestSupport
import Testing

@testable import Edge

/// Purges on a shard: what is stored, and what is on its way while they come.
@Suite struct PurgingTests {
    private let t0 = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func key(_ target: String, host: String = "a.example") throws -> CacheKey {
        var key = CacheKey()
        key.assign(try RequestHead.parsed("GET \(target) HTTP/1.1", host: host), scope: [], seed: 7)
        return key
    }

    private func representation(_ tags: String, lifetime: Int = 60) throws -> Representation {
        let response = try StoredResponse.make(tags.isEmpty ? [] : ["Surrogate-Key: \(tags)"], lifetime: lifetime, received: t0)
        return Representation(
            response: response, coding: .identity, effort: .asReceived, head: ByteBuffer(string: "HTTP/1.1 200 OK\r\n"),
            body: ByteBuffer(string: "x"), entityTag: nil)
    }

    private func lead(_ shard: inout ResponseShard, _ target: String) throws -> ResponseShard.Lease {
        let head = try RequestHead.get(target)
        guard case .lead(let lease) = shard.join(try key(target), head, follower: ResponseShard.Follower { _ in }, now: t0) else {
            throw HeadIsNotWhole()
        }
        return lease
    }

    @discardableResult
    private func finish(_ shard: inout ResponseShard, _ lease: ResponseShard.Lease, tags: String = "") throws -> Bool {
        shard.finish(lease, .store(try representation(tags), requestFields: try RequestHead.get("/").fields), now: t0).isStored
    }

    private func store(_ shard: inout ResponseShard, _ target: String, tags: String = "") throws {
        let isStored = try finish(&shard, try lead(&shard, target), tags: tags)
        #expect(isStored)
    }

    private func find(_ shard: inout ResponseShard, _ target: String) throws -> StoredResponse? {
        shard.find(try key(target), try RequestHead.get(target), accepted: .identityOnly)?.representation.response
    }

    private func purge(_ shard: inout ResponseShard, tags: String, isSoft: Bool = false) -> Int {
        let found = shard.beginPurge(tags: DependencyTags(surrogateKeys: tags).hashes)
        return shard.purge(found[...], isSoft: isSoft, now: t0 + .seconds(5))
    }

    private func purge(_ shard: inout ResponseShard, url target: String, isSoft: Bool) throws -> Int {
        shard.purge(try key(target), isSoft: isSoft, now: t0)
    }

    private func ban(_ shard: inout ResponseShard, _ rule: BanRule, isSoft: Bool, now: NIODeadline) -> Bool {
        shard.ban(rule, isSoft: isSoft, now: now)
    }

    private func sweep(_ shard: inout ResponseShard, _ entriesMax: Int) -> Bool { shard.sweep(entriesMax: entriesMax, now: t0) }

    private func shard() -> ResponseShard { ResponseShard(bytesMax: 1 << 20, codingOrder: [.gzip]) }

    private func prefix(_ text: String, host: String? = nil) -> BanRule {
        BanRule(host: host.map { Array($0.utf8) }, pattern: .prefix(Array(text.utf8)))
    }

    // MARK: Tags

    @Test func `a purge by tag drops whatever carries it, and nothing else`() throws {
        var shard = shard()
        try store(&shard, "/a", tags: "one both")
        try store(&shard, "/b", tags: "two both")
        try store(&shard, "/c")
        #expect(purge(&shard, tags: "one nobody") == 1)
        #expect(try find(&shard, "/a") == nil)
        #expect(try find(&shard, "/b") != nil)
        #expect(purge(&shard, tags: "both") == 1)
        #expect(try find(&shard, "/b") == nil)
        #expect(try find(&shard, "/c") != nil)
        #expect(shard.entryCount == 1 && shard.tags.tagCount == 0)
    }

    @Test func `a purge by tag that overtakes a fetch in flight keeps it from being stored`() throws {
        var shard = shard()
        let early = try lead(&shard, "/a")
        #expect(purge(&shard, tags: "article-7") == 0)
        let late = try lead(&shard, "/b")
        #expect(try !finish(&shard, early, tags: "front article-7"), "it began before the purge")
        #expect(try finish(&shard, late, tags: "front article-7"), "it began after it")
        #expect(try find(&shard, "/a") == nil)
        #expect(try find(&shard, "/b") != nil)
    }

    @Test func `a purge by another tag keeps no fetch from being stored`() throws {
        var shard = shard()
        let lease = try lead(&shard, "/a")
        #expect(purge(&shard, tags: "article-8") == 0)
        #expect(try finish(&shard, lease, tags: "article-7"))
    }

    @Test func `nobody who comes after a purge waits for a fetch that began before it`() throws {
        var shard = shard()
        let early = try lead(&shard, "/a")
        guard case .follow = shard.join(try key("/a"), try .get("/a"), follower: ResponseShard.Follower { _ in }, now: t0) else {
            Issue.record("before the purge, it waits")
            return
        }
        _ = purge(&shard, tags: "anything")
        let late = try lead(&shard, "/a")
        #expect(early != late)
    }

    private func follows(_ shard: inout ResponseShard, _ target: String) throws -> Bool {
        let joined = shard.join(try key(target), try .get(target), follower: ResponseShard.Follower { _ in }, now: t0)
        if case .follow = joined { return true }
        if case .read = joined { return true }
        return false
    }

    private func purge(_ shard: inout ResponseShard, urlTagOf target: String) throws {
        _ = shard.beginPurge(tags: [CacheKeying.urlTag(ofKey: try key(target).bytes)], areURLs: true)
    }

    @Test func `a purge of a URL whose key has more than that is for its own fetches, and others are joined as before`() throws {
        var shard = shard()
        let early = try lead(&shard, "/a")
        let other = try lead(&shard, "/b")
        try purge(&shard, urlTagOf: "/a")
        #expect(try follows(&shard, "/b"))
        let late = try lead(&shard, "/a")
        #expect(early != late)
        #expect(try !finish(&shard, early), "it may be from before the change")
        #expect(try finish(&shard, late))
        #expect(try finish(&shard, other))
    }

    @Test func `a purge by pattern is for the fetches whose key it matches, and others are joined as before`() throws {
        var shard = shard()
        let early = try lead(&shard, "/img/a")
        _ = try lead(&shard, "/page")
        #expect(ban(&shard, prefix("/img/"), isSoft: false, now: t0))
        for _ in 0..<2 {
            #expect(try follows(&shard, "/page"))
        }
        let late = try lead(&shard, "/img/a")
        #expect(early != late)
        #expect(try !finish(&shard, early))
    }

    @Test func `once a response's head is here, a purge by a key that it does not carry keeps nobody from joining`() throws {
        var shard = shard()
        let lease = try lead(&shard, "/a")
        _ = purge(&shard, tags: "other")
        let live = LiveResponse(
            try representation("mine").response, byteCount: nil, requestFields: try RequestHead.get("/a").fields, body: GrowingBody {})
        _ = shard.begin(lease, live)
        #expect(try follows(&shard, "/a"))
        try purge(&shard, urlTagOf: "/b")
        #expect(try follows(&shard, "/a"))
        _ = purge(&shard, tags: "mine")
        #expect(try !follows(&shard, "/a"))
        #expect(try !finish(&shard, lease, tags: "mine"))
    }

    @Test func `the URL of a key is what stands before its scope`() {
        func tag(_ text: String) -> UInt64 { CacheKeying.urlTag(ofKey: Array(text.utf8)) }
        #expect(tag("a.example\n/x") == tag("a.example\n/x\nscope\u{1}https"))
        #expect(tag("a.example\n/x") == DependencyTags.hash(Array("a.example\n/x".utf8).span))
        #expect(tag("a.example\n/x") != tag("a.example\n/xy"))
        for odd in ["", "a", "\n", "a\n", "\n\n", "a\n\n"] { _ = tag(odd) }
    }

    @Test func `more purged tags than are remembered cost fetches that are under way, and nothing else`() throws {
        var shard = shard()
        let early = try lead(&shard, "/a")
        for number in 0...PurgeLedger.tagsMax { _ = purge(&shard, tags: "t\(number)") }
        let late = try lead(&shard, "/b")
        #expect(try !finish(&shard, early, tags: "untouched"))
        #expect(try finish(&shard, late, tags: "untouched"))
    }

    @Test func `what was replaced since a purge began is left alone`() throws {
        var shard = shard()
        try store(&shard, "/a", tags: "t")
        let found = shard.beginPurge(tags: DependencyTags(surrogateKeys: "t").hashes)
        try store(&shard, "/a", tags: "t")
        let count = shard.purge(found[...], isSoft: false, now: t0)
        #expect(count == 0)
        #expect(try find(&shard, "/a") != nil)
    }

    // MARK: Soft

    @Test func `a soft purge ends the lifetime and keeps the response`() throws {
        var shard = shard()
        try store(&shard, "/a", tags: "t")
        #expect(purge(&shard, tags: "t", isSoft: true) == 1)
        let response = try #require(try find(&shard, "/a"))
        #expect(response.isPurged && response.lifetimeSeconds == 5)
        let verdict = RevalidationPolicy.verdict(response, CacheControl(), try RequestHead.get("/a").fields, now: t0 + .seconds(5))
        #expect(verdict == .stale(.purged))
        #expect(!response.alwaysRevalidates, "its requests still wait for one fetch")
        #expect(purge(&shard, tags: "t", isSoft: true) == 0, "it is stale already")
        let ready = shard.ready(of: response, key: try key("/a"))
        #expect(ready?.plain.response === response)
        #expect(purge(&shard, tags: "t") == 1, "a hard purge drops it")
    }

    @Test func `a soft purge by URL is for all variants`() throws {
        var shard = shard()
        try store(&shard, "/a")
        #expect(try purge(&shard, url: "/a", isSoft: true) == 1)
        #expect(try find(&shard, "/a")?.isPurged == true)
        #expect(try purge(&shard, url: "/a", isSoft: false) == 1)
        #expect(try find(&shard, "/a") == nil)
        #expect(try purge(&shard, url: "/a", isSoft: false) == 0)
    }

    // MARK: Patterns

    @Test func `a purge by pattern is seen by the next lookup, once for each response`() throws {
        var shard = shard()
        for target in ["/img/a.png", "/img/b.gif", "/page"] { try store(&shard, target) }
        #expect(ban(&shard, prefix("/img/"), isSoft: false, now: t0))
        #expect(try find(&shard, "/img/a.png") == nil)
        #expect(try find(&shard, "/page") != nil)
        #expect(shard.entryCount == 2, "b.gif was not asked for, and lies there still")
        try store(&shard, "/img/a.png")
        #expect(try find(&shard, "/img/a.png") != nil, "what came after the purge is not its business")
    }

    @Test func `a pattern is for its host alone`() throws {
        var shard = shard()
        try store(&shard, "/a")
        #expect(ban(&shard, prefix("/", host: "b.example"), isSoft: false, now: t0))
        #expect(try find(&shard, "/a") != nil)
        #expect(ban(&shard, prefix("/", host: "a.example"), isSoft: false, now: t0))
        #expect(try find(&shard, "/a") == nil)
    }

    @Test func `a regular expression is compared with path and query`() throws {
        var shard = shard()
        for target in ["/list?page=2", "/list", "/other?page=2"] { try store(&shard, target) }
        let rule = BanRule(host: nil, pattern: .regex(try LinearRegex(#"^/list\?.*page="#)))
        #expect(ban(&shard, rule, isSoft: false, now: t0))
        #expect(try find(&shard, "/list?page=2") == nil)
        #expect(try find(&shard, "/list") != nil)
        #expect(try find(&shard, "/other?page=2") != nil)
    }

    @Test func `a soft pattern makes stale from the time of the purge on`() throws {
        var shard = shard()
        try store(&shard, "/a")
        #expect(ban(&shard, prefix("/"), isSoft: true, now: t0 + .seconds(7)))
        #expect(try find(&shard, "/a")?.lifetimeSeconds == 7)
    }

    @Test func `a purge by pattern that overtakes a fetch in flight keeps it from being stored, retired or not`() throws {
        var shard = shard()
        let early = try lead(&shard, "/img/a")
        let other = try lead(&shard, "/page")
        #expect(ban(&shard, prefix("/img/"), isSoft: false, now: t0))
        #expect(try finish(&shard, other))
        let slow = try lead(&shard, "/img/b")
        #expect(try !finish(&shard, early))
        while shard.sweep(entriesMax: 10, now: t0 + .hours(1)) {}
        #expect(shard.purges.bans.isEmpty && shard.purges.latestBan == 0)
        #expect(try finish(&shard, slow), "it began after the purge")
    }

    @Test func `a fetch that is slower than bans are kept is not stored`() throws {
        var shard = shard()
        let early = try lead(&shard, "/img/a")
        #expect(ban(&shard, prefix("/img/"), isSoft: false, now: t0))
        while shard.sweep(entriesMax: 10, now: t0 + PurgeLedger.banLifetimeMin) {}
        #expect(shard.purges.bans.isEmpty)
        #expect(try !finish(&shard, early))
    }

    @Test func `the sweep drops what nobody asks for, a few at a time, and retires the ban`() throws {
        var shard = shard()
        for number in 0..<20 { try store(&shard, "/img/\(number)") }
        try store(&shard, "/page")
        #expect(ban(&shard, prefix("/img/"), isSoft: false, now: t0))
        #expect(sweep(&shard, 4))
        #expect(shard.entryCount == 17)
        while shard.sweep(entriesMax: 4, now: t0 + PurgeLedger.banLifetimeMin) {}
        #expect(shard.entryCount == 1)
        #expect(shard.purges.bans.isEmpty)
        #expect(try find(&shard, "/page") != nil)
    }

    @Test func `a ban that came in the middle of a sweep is not retired by it`() throws {
        var shard = shard()
        for number in 0..<10 { try store(&shard, "/a/\(number)") }
        #expect(ban(&shard, prefix("/b"), isSoft: false, now: t0))
        #expect(sweep(&shard, 5))
        #expect(ban(&shard, prefix("/a"), isSoft: false, now: t0))
        let hasMore = shard.sweep(entriesMax: 5, now: t0 + PurgeLedger.banLifetimeMin)
        #expect(hasMore)
        #expect(shard.purges.bans.count == 1)
        while shard.sweep(entriesMax: 5, now: t0 + PurgeLedger.banLifetimeMin) {}
        #expect(shard.entryCount == 0)
    }

    @Test func `patterns that wait have a bound`() throws {
        var shard = shard()
        for _ in 0..<PurgeLedger.bansMax { #expect(ban(&shard, prefix("/x"), isSoft: false, now: t0)) }
        #expect(!ban(&shard, prefix("/x"), isSoft: false, now: t0))
        while shard.sweep(entriesMax: 10, now: t0) {}
        #expect(ban(&shard, prefix("/x"), isSoft: false, now: t0), "the sweep has made room, though they are young")
    }

    // MARK: Together

    /// How it works: 1. Random fetches begin and end, and purges of all kinds come between. 2. A model knows, for each fetch, which
    /// purges came after it began. 3. Whatever a lookup finds is as old as no purge that was for it.
    @Test(arguments: [11, 12, 13, 14] as [UInt64])
    func `nothing is ever found that a purge was for`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var shard = shard()
        let targets = ["/a/1", "/a/2", "/b/1", "/b/2"]
        let tags = ["s", "t", "u"]
        var step = 0
        var purgedTags: [String: Int] = [:]
        var purgedPrefixes: [String: Int] = [:]
        var purgedTargets: [String: Int] = [:]
        var flights: [(lease: ResponseShard.Lease, target: String, began: Int)] = []
        var kept: [ObjectIdentifier: (response: StoredResponse, began: Int, tags: [String])] = [:]
        var finds = 0
        for _ in 0..<6000 {
            step += 1
            let target = random.pick(targets)
            switch Int.random(in: 0..<24, using: &random) {
            case 0...5 where flights.count < 6:
                if case .lead(let lease) = shard.join(try key(target), try .get(target), follower: nil, now: t0) {
                    flights.append((lease, target, step))
                }
            case 6...11 where !flights.isEmpty:
                let flight = flights.remove(at: Int.random(in: 0..<flights.count, using: &random))
                let carried = tags.filter { _ in random.chance(oneIn: 2) }
                let made = try representation(carried.joined(separator: " "))
                _ = shard.finish(flight.lease, .store(made, requestFields: try RequestHead.get("/").fields), now: t0)
                kept[ObjectIdentifier(made.response)] = (made.response, flight.began, carried)
            case 12:
                let tag = random.pick(tags)
                _ = purge(&shard, tags: tag)
                purgedTags[tag] = step
            case 13:
                let text = random.pick(["/a/", "/b/"])
                #expect(ban(&shard, prefix(text), isSoft: false, now: t0))
                purgedPrefixes[text] = step
            case 14:
                _ = shard.purge(try key(target), isSoft: false, now: t0)
                purgedTargets[target] = step
            case 15:
                _ = shard.sweep(entriesMax: 2, now: t0 + .seconds(Int64(step)))
            default:
                shard.tags.checkInvariants()
                guard let found = try find(&shard, target) else { break }
                finds += 1
                let known = try #require(kept[ObjectIdentifier(found)])
                let purged = known.tags.map { purgedTags[$0] ?? 0 } + [purgedTargets[target] ?? 0, purgedPrefixes[String(target.prefix(3))] ?? 0]
                #expect(purged.allSatisfy { $0 < known.began }, "seed \(seed), step \(step): \(target)")
            }
        }
        #expect(finds > 50)
    }
}
