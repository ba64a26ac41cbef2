import Foundation
import HTTPSemantics
import NIOCore
import Synchronization
import TestSupport
import Testing

@testable import Edge

/// The response cache in a world of its own.
///
/// How it works:
/// 1. One seed makes one world: resources with their own words about caching, an origin that makes a new version with every answer and
///    sometimes fails, before a body or in its middle; caches before it, with clocks of their own; clients with languages and users; changes
///    that invalidate, and purges by URL, surrogate key and prefix, hard and soft, whose sweep comes by and by; time, a number.
/// 2. A request does what `HTTPServerHandler` does: find, judge, then lead, follow, read along, pass or refresh in the background. Fetches
///    go on in steps: head, parts, end; in between anything else happens.
/// 3. Each body says what it is: target, language, user, when it was made, and when it was fetched. So each answer shows by itself whether
///    it was one that this client could have: fresh if it was given as fresh, no other object, no other's private page, nothing from before
///    an invalidation or a purge that came before the request, no half of a body taken for the whole.
/// 4. There are never two shared fetches of one variant at a time, and at the end nobody waits.
///
/// A failure names its seed: `HEADRACE_SEED=… swift test --filter ResponseCacheSimulationTests`.
@Suite struct ResponseCacheSimulationTests {
    private static let seeds: [UInt64] = {
        if let seed = ProcessInfo.processInfo.environment["HEADRACE_SEED"].flatMap(UInt64.init) { return [seed] }
        return Array(1...30)
    }()

    @Test(arguments: seeds) func `whatever the order of events, nobody gets what he must not have`(seed: UInt64) {
        let world = World(seed: seed)
        for step in 0..<3_000 {
            world.step()
            if let problem = world.problem {
                Issue.record("seed \(seed), step \(step): \(problem)")
                return
            }
        }
        world.settle()
        if let problem = world.problem { Issue.record("seed \(seed), at the end: \(problem)") }
        #expect(world.hits > 20 && world.readAlong > 5 && world.fetched > 50, "seed \(seed): a world in which something happens")
    }
}

private final class World {
    private struct Resource {
        let target: String
        let cacheControl: String
        let isPrivate: Bool
        let varies: Bool
        let lifetime: Int
        let staleSeconds: Int
        /// Seconds by which its origin's clock is ahead; a clock that is behind makes it older than it is.
        let clockAhead: Int
        /// Whether another cache may have kept it for a while.
        let isKeptBefore: Bool
    }

    private struct Asker {
        let resource: Int
        let language: String
        let user: Int
        let since: NIODeadline
        let head: RequestHead
    }

    private final class Fetching {
        let asker: Asker
        /// Nobody for a refresh in the background.
        var answers: Bool
        var lease: ResponseShard.Lease?
        let isShared: Bool
        var head: ResponseHead?
        var live: LiveResponse?
        var text = ""
        var sent = 0

        init(_ asker: Asker, answers: Bool, lease: ResponseShard.Lease?, isShared: Bool) {
            (self.asker, self.answers, self.lease, self.isShared) = (asker, answers, lease, isShared)
        }
    }

    private final class News: Sendable {
        let told = Mutex<[(Int, ResponseShard.FollowerOutcome)]>([])
    }

    private struct Reading {
        let asker: Asker
        let live: LiveResponse
        let id: UInt64
        var text = ""
    }

    private var random: SeededRandom
    private var shard: ResponseShard
    private var now = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private var resources: [Resource] = []
    private var fetches: [Fetching] = []
    private var readings: [Reading] = []
    private var waiting: [Int: Asker] = [:]
    private var nextWaiter = 0
    /// What followers were told and have not heard yet.
    private let news = News()
    private var invalidated: [String: NIODeadline] = [:]
    /// When a soft purge made it stale.
    private var softened: [String: NIODeadline] = [:]
    /// Until a head is here, a purge by surrogate key may be for any fetch, so that those who come later do not wait for it.
    private var lastTagPurge = NIODeadline.distantPast
    private(set) var problem: String?
    private(set) var hits = 0
    private(set) var readAlong = 0
    private(set) var fetched = 0

    init(seed: UInt64) {
        random = SeededRandom(seed: seed)
        // Small enough that something is evicted now and then.
        shard = ResponseShard(bytesMax: Int.random(in: 8...64, using: &random) << 10, codingOrder: [])
        for number in 0..<6 {
            // Two of them at least are for everybody, so that no world is without a cache.
            let lifetime = Int.random(in: (number < 2 ? 1 : 0)...4, using: &random)
            let stale = Bool.random(using: &random) ? Int.random(in: 1...5, using: &random) : 0
            let isPrivate = number >= 2 && random.chance(oneIn: 4)
            var words = ["max-age=\(lifetime)"]
            if isPrivate { words.append("private") }
            if stale > 0 { words.append("stale-while-revalidate=\(stale), stale-if-error=\(stale)") }
            if random.chance(oneIn: 4) { words.append("must-revalidate") }
            let forbids = words.contains("must-revalidate")
            resources.append(
                Resource(
                    target: "/\(number)", cacheControl: words.joined(separator: ", "), isPrivate: isPrivate, varies: Bool.random(using: &random),
                    lifetime: lifetime, staleSeconds: forbids ? 0 : stale,
                    clockAhead: random.chance(oneIn: 3) ? Int.random(in: (lifetime > 1 ? -1 : 0)...5, using: &random) : 0,
                    isKeptBefore: lifetime > 1 && random.chance(oneIn: 3)))
        }
    }

    func step() {
        now = now + .milliseconds(Int64.random(in: 0...60, using: &random))
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<40: ask()
        // A fetch takes about eight steps, and a reader as many: on average as much ends as begins.
        case 40..<70: for _ in 0..<8 { advance() }
        case 70..<90: for _ in 0..<8 { readOn() }
        case 90..<97: hear()
        case 97:
            if Bool.random(using: &random) { invalidate() } else { purge() }
            _ = shard.sweep(entriesMax: 3, now: now)
        default: leave()
        }
        let shared = fetches.filter { $0.isShared && $0.lease != nil }
        for (index, fetch) in shared.enumerated() {
            for other in shared[..<index] where isSameVariant(fetch, other) { problem = "two fetches of \(resources[fetch.asker.resource].target)" }
        }
    }

    /// Everything goes on to its end.
    func settle() {
        for _ in 0..<10_000 where problem == nil && !(fetches.isEmpty && readings.isEmpty && waiting.isEmpty) {
            now = now + .milliseconds(1)
            advance()
            readOn()
            hear()
        }
        if problem == nil, !waiting.isEmpty || !readings.isEmpty { problem = "\(waiting.count) wait, \(readings.count) read for ever" }
    }

    /// Fetches that the store itself has to keep apart: begun after the last invalidation, of what may be waited for.
    private func isSameVariant(_ left: Fetching, _ right: Fetching) -> Bool {
        let resource = resources[left.asker.resource]
        guard left.asker.resource == right.asker.resource, !resource.isPrivate, resource.lifetime > 0,
            !resource.varies || left.asker.language == right.asker.language
        else { return false }
        let change = max(invalidated[resource.target] ?? .distantPast, softened[resource.target] ?? .distantPast, lastTagPurge)
        return left.asker.since > change && right.asker.since > change
    }

    private func request(_ target: String, _ language: String) -> RequestHead {
        var head = RequestHead()
        head.method = .get
        head.methodRange = head.fields.appendBytes("GET")
        head.target = head.fields.appendBytes(Array(target.utf8).span)
        head.authority = head.fields.appendBytes("a.example")
        head.fields.append("Accept-Language", language)
        return head
    }

    private func key(_ head: RequestHead) -> CacheKey {
        var key = CacheKey()
        key.assign(head, scope: [], seed: 7)
        return key
    }

    // MARK: Clients

    private func ask() {
        let resource = Int.random(in: resources.indices, using: &random)
        let language = random.pick(["de", "en"])
        look(
            Asker(
                resource: resource, language: language, user: Int.random(in: 0..<3, using: &random), since: now,
                head: request(resources[resource].target, language)))
    }

    private func look(_ asker: Asker) {
        guard let found = shard.find(key(asker.head), asker.head, accepted: .identityOnly)?.representation else { return join(asker, isShared: true) }
        let response = found.response
        switch RevalidationPolicy.verdict(response, CacheControl(), asker.head.fields, now: now) {
        case .fresh:
            hits += 1
            check(String(buffer: found.body.joined()), asker, isFresh: true)
        case .servedStale(_, let permission):
            hits += 1
            check(String(buffer: found.body.joined()), asker, isFresh: false)
            if permission == .whileRevalidate, let lease = shard.leadInBackground(key(asker.head), asker.head, of: response) {
                fetches.append(Fetching(asker, answers: false, lease: lease, isShared: true))
            }
        case .stale: join(asker, isShared: !response.alwaysRevalidates)
        }
    }

    private func join(_ asker: Asker, isShared: Bool) {
        let waiter = nextWaiter
        nextWaiter += 1
        let follower = ResponseShard.Follower { [news] outcome in news.told.withLock { $0.append((waiter, outcome)) } }
        switch shard.join(key(asker.head), asker.head, follower: isShared ? follower : nil, now: now) {
        case .lead(let lease): fetches.append(Fetching(asker, answers: true, lease: lease, isShared: isShared))
        case .follow: waiting[waiter] = asker
        case .read(let live): read(live, asker)
        case .pass: fetches.append(Fetching(asker, answers: true, lease: nil, isShared: false))
        case .leadPart: assertionFailure("nobody asks for a range here")
        }
    }

    private func read(_ live: LiveResponse, _ asker: Asker) {
        guard let id = live.body.join(wake: {}) else {
            fetches.append(Fetching(asker, answers: true, lease: nil, isShared: false))
            return
        }
        readings.append(Reading(asker: asker, live: live, id: id))
    }

    private func hear() {
        let heard = news.told.withLock { told in
            defer { told = [] }
            return told
        }
        for (waiter, outcome) in heard {
            guard let asker = waiting.removeValue(forKey: waiter) else { continue }
            switch outcome {
            case .lookAgain:
                if let found = shard.find(key(asker.head), asker.head, accepted: .identityOnly)?.representation {
                    check(String(buffer: found.body.joined()), asker, isFresh: false, isOfFetch: true)
                } else {
                    join(asker, isShared: true)
                }
            case .read(let live): if live.suits(asker.head.fields) { read(live, asker) } else { join(asker, isShared: true) }
            case .fetchAlone: fetches.append(Fetching(asker, answers: true, lease: nil, isShared: false))
            case .failed: fail(asker)
            }
        }
    }

    private func fail(_ asker: Asker) {
        guard let found = shard.find(key(asker.head), asker.head, accepted: .identityOnly)?.representation,
            RevalidationPolicy.secondsOverOnError(found.response, CacheControl(), asker.head.fields, ReuseRules(), now: now) != nil
        else { return }
        check(String(buffer: found.body.joined()), asker, isFresh: false)
    }

    private func readOn() {
        guard !readings.isEmpty else { return }
        let index = Int.random(in: readings.indices, using: &random)
        switch readings[index].live.body.next(readings[index].id) {
        case .part(let part): readings[index].text += String(buffer: part)
        case .wait: break
        case .end:
            let reading = readings.remove(at: index)
            readAlong += 1
            reading.live.body.leave(reading.id)
            check(reading.text, reading.asker, isFresh: false, isOfFetch: true)
        case .broken: readings.remove(at: index)
        }
    }

    private func leave() {
        if !readings.isEmpty, Bool.random(using: &random) {
            let reading = readings.remove(at: Int.random(in: readings.indices, using: &random))
            reading.live.body.leave(reading.id)
        } else if let fetch = fetches.randomElement(using: &random) {
            fetch.answers = false
        }
    }

    // MARK: Origin

    private func advance() {
        guard !fetches.isEmpty else { return }
        let index = Int.random(in: fetches.indices, using: &random)
        let fetch = fetches[index]
        let isDone: Bool
        if random.chance(oneIn: 12) {
            isDone = true
            broken(fetch)
        } else if fetch.head == nil {
            isDone = begin(fetch)
        } else if fetch.sent < fetch.text.utf8.count {
            isDone = false
            let part = ByteBuffer(string: String(fetch.text.dropFirst(fetch.sent).prefix(20)))
            fetch.sent += part.readableBytes
            fetch.live?.body.append(part)
        } else {
            isDone = true
            end(fetch)
        }
        if isDone { fetches.remove(at: index) }
    }

    /// - Returns: whether that was all.
    private func begin(_ fetch: Fetching) -> Bool {
        fetched += 1
        let resource = resources[fetch.asker.resource]
        let user = resource.isPrivate ? "\(fetch.asker.user)" : "all"
        // A second is left of it: what is stale when it comes must be asked for each time, and nobody waits for it.
        let age = resource.isKeptBefore ? Int.random(in: 0..<resource.lifetime, using: &random) : 0
        // Sixty seconds, so that what was kept for some was made at a time that there is.
        let made = now.uptimeNanoseconds + 60_000_000_000 - UInt64(age) * 1_000_000_000
        fetch.text =
            "\(resource.target)|\(resource.varies ? fetch.asker.language : "any")|\(user)|\(made)|\(now.uptimeNanoseconds)|"
            + String(repeating: "x", count: Int.random(in: 0...60, using: &random)) + "|end"
        var head = ResponseHead()
        head.status = random.chance(oneIn: 15) ? 503 : 200
        head.framing = .chunked
        head.fields.append("Cache-Control", head.status == 200 ? resource.cacheControl : "no-store")
        if resource.varies { head.fields.append("Vary", "Accept-Language") }
        head.fields.append("Surrogate-Key", "page r\(fetch.asker.resource)")
        if age > 0 { head.fields.append("Age", "\(age)") }
        var date: [UInt8] = []
        HTTPDate.append(unixSeconds + Int64(resource.clockAhead), to: &date)
        head.fields.append(name: Array("Date".utf8).span, value: date.span)
        fetch.head = head
        guard let lease = fetch.lease else { return false }
        let cacheControl = CacheControl.forSharedCache(head.fields)
        if let reason = Storability.decide(request: fetch.asker.head, response: head, cacheControl: cacheControl) {
            fetch.lease = nil
            finish(lease, reason.saysAboutNext && head.status < 500 ? .notShareable : .notStored)
            return false
        }
        let response = StoredResponse(
            head: head, fields: StoredFields.make(head.fields, date: Array("Sat, 31 Jan 2026 12:00:00 GMT".utf8)), cacheControl: cacheControl,
            lifetimeSeconds: Freshness.lifetimeSeconds(response: head, cacheControl: cacheControl),
            initialAgeSeconds: Freshness.initialAgeSeconds(response: head, requestSent: unixSeconds, responseReceived: unixSeconds), received: now,
            codings: [], wasAskedForPlain: true)
        // Others are told when the body is slow, or at its end.
        let live = LiveResponse(response, byteCount: nil, requestFields: fetch.asker.head.fields, body: GrowingBody {})
        fetch.live = live
        if Bool.random(using: &random) {
            let begun = shard.begin(lease, live)
            for follower in begun.followers { follower.resume(begun.told) }
        }
        return false
    }

    private func end(_ fetch: Fetching) {
        if fetch.answers { check(fetch.text, fetch.asker, isFresh: false, isOfFetch: true) }
        guard let lease = fetch.lease, let live = fetch.live else { return }
        let plain = ResponseCodec.representation(of: live.response, coding: .identity, effort: .asReceived, body: live.body.stored())
        fetch.lease = nil
        finish(lease, .store(plain, requestFields: fetch.asker.head.fields))
        live.body.end(trailers: nil)
    }

    private func broken(_ fetch: Fetching) {
        if let lease = fetch.lease { finish(lease, .failed(.truncated)) }
        fetch.lease = nil
        fetch.live?.body.fail(.truncated)
        if fetch.answers { fail(fetch.asker) }
    }

    /// Of this world's own clock.
    private var unixSeconds: Int64 { 1_769_860_800 + Int64(now.uptimeNanoseconds / 1_000_000_000) }

    private func finish(_ lease: ResponseShard.Lease, _ outcome: ResponseShard.FetchOutcome) {
        let ended = shard.finish(lease, outcome, now: now)
        for follower in ended.followers { follower.resume(ended.told) }
    }

    private func invalidate() {
        let target = random.pick(resources).target
        invalidated[target] = now
        shard.invalidate(key(request(target, "de")))
    }

    /// An operator's purge of one resource; by prefix as well, since no target here begins as another does.
    private func purge() {
        let number = Int.random(in: resources.indices, using: &random)
        let target = resources[number].target
        let isSoft = Bool.random(using: &random)
        if isSoft { softened[target] = now } else { invalidated[target] = now }
        switch Int.random(in: 0..<3, using: &random) {
        case 0: _ = shard.purge(key(request(target, "de")), isSoft: isSoft, now: now)
        case 1:
            lastTagPurge = now
            let found = shard.beginPurge(tags: DependencyTags(surrogateKeys: "r\(number)").hashes)
            _ = shard.purge(found[...], isSoft: isSoft, now: now)
        default:
            let rule = BanRule(host: Array("a.example".utf8), pattern: .prefix(Array(target.utf8)))
            if !shard.ban(rule, isSoft: isSoft, now: now) { problem = "as many patterns wait as may, for all the sweeps" }
        }
    }

    // MARK: What must hold

    /// - Parameter isOfFetch: it is of a fetch that was under way while the client waited: as fresh as could be, whatever its lifetime.
    private func check(_ text: String, _ asker: Asker, isFresh: Bool, isOfFetch: Bool = false) {
        let resource = resources[asker.resource]
        let parts = text.split(separator: "|", omittingEmptySubsequences: false)
        guard parts.count == 7, parts[6] == "end" else { return problem = "half of a body: \(text)" }
        guard parts[0] == resource.target else { return problem = "\(text) for \(resource.target)" }
        guard parts[1] == (resource.varies ? asker.language : "any") else { return problem = "\(text) for \(asker.language)" }
        guard parts[2] == (resource.isPrivate ? "\(asker.user)" : "all") else { return problem = "\(text) for user \(asker.user)" }
        let fetched = NIODeadline.uptimeNanoseconds(UInt64(parts[4]) ?? 0)
        if let change = invalidated[resource.target], change < asker.since, fetched < change {
            return problem = "\(text) from before an invalidation that came before the request"
        }
        if isFresh || isOfFetch, let change = softened[resource.target], change < asker.since, fetched < change {
            return problem = "\(text) as fresh, or fetched, from before a soft purge that came before the request"
        }
        guard !isOfFetch else { return }
        let age = Int64(now.uptimeNanoseconds) + 60_000_000_000 - (Int64(parts[3]) ?? 0)
        let permitted = Int64(resource.lifetime + (isFresh ? 0 : resource.staleSeconds)) * 1_000_000_000
        if age >= permitted { problem = "\(text) is \(age) ns old where \(permitted) are permitted" }
    }
}
