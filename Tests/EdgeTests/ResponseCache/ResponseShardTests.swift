import HTTPSemantics
import NIOCore
import Synchronization
import Testing

@testable import Edge

@Suite struct ResponseShardTests {
    private let t0 = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private let follower = ResponseShard.Follower { _ in }

    private func shard(bytesMax: Int = 1 << 20) -> ResponseShard {
        ResponseShard(bytesMax: bytesMax, codingOrder: [.brotli, .zstd, .gzip])
    }

    private func request(_ target: String, _ fields: [(String, String)] = []) -> RequestHead {
        var head = RequestHead()
        head.method = .get
        let text = Array("GET \(target) HTTP/1.1 a.example".utf8)
        head.fields.replaceBytes(text.span)
        head.methodRange = 0..<3
        head.target = 4..<4 + target.utf8.count
        head.authority = text.count - 9..<text.count
        for (name, value) in fields { head.fields.append(name, value) }
        return head
    }

    private func key(_ target: String) -> CacheKey {
        var key = CacheKey()
        key.assign(request(target), scope: [], seed: 7)
        return key
    }

    private func response(
        _ body: String = "hello", lifetime: Int = 60, codings: CodingSet = [], fields: [(String, String)] = []
    ) -> Representation {
        var head = ResponseHead()
        head.status = 200
        for (name, value) in fields { head.fields.append(name, value) }
        let stored = StoredResponse(
            head: head, fields: head.fields, cacheControl: CacheControl(head.fields), lifetimeSeconds: lifetime,
            initialAgeSeconds: 0, received: t0, codings: codings, wasAskedForPlain: true)
        return Representation(
            response: stored, coding: .identity, effort: .asReceived, head: ByteBuffer(string: "HTTP/1.1 200 OK\r\n"),
            body: ByteBuffer(string: body), entityTag: nil)
    }

    private func lead(_ shard: inout ResponseShard, _ target: String, _ fields: [(String, String)] = []) throws
        -> ResponseShard.Lease
    {
        guard case .lead(let lease) = shard.join(key(target), request(target, fields), follower: follower, now: t0) else {
            throw NotLeading()
        }
        return lease
    }

    private struct NotLeading: Error {}

    private func find(
        _ shard: inout ResponseShard, _ target: String, _ fields: [(String, String)] = [],
        accepted: AcceptedCodings = .identityOnly
    ) -> Representation? {
        shard.find(key(target), request(target, fields), accepted: accepted)?.representation
    }

    @Test func `what was stored is found, and nothing else`() throws {
        var shard = shard()
        let lease = try lead(&shard, "/a")
        let stored = response()
        let ended = shard.finish(lease, .store(stored, requestFields: request("/a").fields), now: t0)
        #expect(ended.isStored)
        #expect(find(&shard, "/a") === stored)
        #expect(find(&shard, "/b") == nil)
    }

    @Test func `the second request for a cold key follows the first`() throws {
        var shard = shard()
        _ = try lead(&shard, "/a")
        guard case .follow = shard.join(key("/a"), request("/a"), follower: follower, now: t0) else {
            Issue.record("must follow")
            return
        }
    }

    @Test func `followers look again when the response is stored`() throws {
        var shard = shard()
        let lease = try lead(&shard, "/a")
        _ = shard.join(key("/a"), request("/a"), follower: follower, now: t0)
        let ended = shard.finish(lease, .store(response(), requestFields: request("/a").fields), now: t0)
        #expect(ended.followers.count == 1)
        guard case .lookAgain = ended.told else {
            Issue.record("told \(ended.told)")
            return
        }
    }

    @Test func `followers fetch alone, and the next ones do not wait, when the response cannot be shared`() throws {
        var shard = shard()
        let lease = try lead(&shard, "/a")
        _ = shard.join(key("/a"), request("/a"), follower: follower, now: t0)
        let ended = shard.finish(lease, .notShareable, now: t0)
        #expect(ended.followers.count == 1)
        guard case .fetchAlone = ended.told, case .pass = shard.join(key("/a"), request("/a"), follower: follower, now: t0) else {
            Issue.record("must pass")
            return
        }
        // And when the mark has run out, the key is tried again.
        _ = try {
            guard
                case .lead(let lease) = shard.join(
                    key("/a"), request("/a"), follower: follower, now: t0 + ResponseShard.passMarkLifetime + .nanoseconds(1))
            else { throw NotLeading() }
            return lease
        }()
    }

    @Test func `a failed leader's followers get its error`() throws {
        var shard = shard()
        let lease = try lead(&shard, "/a")
        _ = shard.join(key("/a"), request("/a"), follower: follower, now: t0)
        let ended = shard.finish(lease, .failed(.connectFailed), now: t0)
        guard case .failed(.connectFailed) = ended.told else {
            Issue.record("told \(ended.told)")
            return
        }
        #expect(ended.followers.count == 1)
        #expect(shard.entryCount == 0)
    }

    @Test func `an invalidation that overtakes a fetch keeps it from being stored`() throws {
        var shard = shard()
        let lease = try lead(&shard, "/a")
        shard.invalidate(key("/a"))
        let ended = shard.finish(lease, .store(response(), requestFields: request("/a").fields), now: t0)
        #expect(!ended.isStored)
        #expect(find(&shard, "/a") == nil)
    }

    @Test func `an invalidation removes all variants`() throws {
        var shard = shard()
        for language in ["de", "en"] {
            let fields = [("Accept-Language", language)]
            let lease = try lead(&shard, "/a", fields)
            _ = shard.finish(
                lease, .store(response(fields: [("Vary", "Accept-Language")]), requestFields: request("/a", fields).fields),
                now: t0)
        }
        shard.invalidate(key("/a"))
        #expect(find(&shard, "/a", [("Accept-Language", "de")]) == nil)
        #expect(find(&shard, "/a", [("Accept-Language", "en")]) == nil)
        #expect(shard.entryCount == 0)
    }

    @Test func `a variant answers only requests whose varying fields are the same`() throws {
        var shard = shard()
        let german = [("Accept-Language", "de")]
        let lease = try lead(&shard, "/a", german)
        let stored = response(fields: [("Vary", "Accept-Language")])
        _ = shard.finish(lease, .store(stored, requestFields: request("/a", german).fields), now: t0)
        #expect(find(&shard, "/a", german) === stored)
        #expect(find(&shard, "/a", [("Accept-Language", "en")]) == nil)
        #expect(find(&shard, "/a") == nil)
    }

    @Test func `variants of a key have a bound`() throws {
        var shard = shard()
        for number in 0...ResponseShard.variantsMax {
            let fields = [("X-Invented", "\(number)")]
            let lease = try lead(&shard, "/a", fields)
            _ = shard.finish(
                lease, .store(response(fields: [("Vary", "X-Invented")]), requestFields: request("/a", fields).fields), now: t0)
        }
        #expect(shard.entryCount == ResponseShard.variantsMax)
        #expect(find(&shard, "/a", [("X-Invented", "0")]) == nil)
        #expect(find(&shard, "/a", [("X-Invented", "\(ResponseShard.variantsMax)")]) != nil)
    }

    @Test func `followers have a bound`() throws {
        var shard = shard()
        _ = try lead(&shard, "/a")
        for _ in 0..<ResponseShard.followersMax {
            guard case .follow = shard.join(key("/a"), request("/a"), follower: follower, now: t0) else {
                Issue.record("must follow")
                return
            }
        }
        guard case .pass = shard.join(key("/a"), request("/a"), follower: follower, now: t0) else {
            Issue.record("one beyond the bound must not be kept")
            return
        }
    }

    @Test func `a coding is asked to be made once, and then served`() throws {
        var shard = shard()
        let lease = try lead(&shard, "/a")
        let plain = response(codings: [.gzip])
        _ = shard.finish(lease, .store(plain, requestFields: request("/a").fields), now: t0)
        let accepted = AcceptedCodings(request("/a", [("Accept-Encoding", "gzip")]).fields)
        let first = shard.find(key("/a"), request("/a"), accepted: accepted)
        #expect(first?.missingCoding == .gzip)
        let second = shard.find(key("/a"), request("/a"), accepted: accepted)
        #expect(second?.missingCoding == nil)
        #expect(second?.representation === plain)
        let made = Representation(
            response: plain.response, coding: .gzip, effort: .fast, head: ByteBuffer(), body: ByteBuffer(string: "gz"),
            entityTag: nil)
        let isAdded = shard.addCoding(made, key: key("/a"))
        #expect(isAdded)
        let third = shard.find(key("/a"), request("/a"), accepted: accepted)
        #expect(third?.representation === made)
        #expect(third?.deservesHighEffort == true)
        let fourth = shard.find(key("/a"), request("/a"), accepted: accepted)
        #expect(fourth?.deservesHighEffort == false)
        #expect(find(&shard, "/a") === plain)
    }

    @Test func `a coding that did not pay is not asked for again`() throws {
        var shard = shard()
        let lease = try lead(&shard, "/a")
        let plain = response(codings: [.gzip])
        _ = shard.finish(lease, .store(plain, requestFields: request("/a").fields), now: t0)
        let accepted = AcceptedCodings(request("/a", [("Accept-Encoding", "gzip")]).fields)
        _ = shard.find(key("/a"), request("/a"), accepted: accepted)
        shard.abandonCoding(.gzip, of: plain.response, key: key("/a"), forGood: true)
        let again = shard.find(key("/a"), request("/a"), accepted: accepted)
        #expect(again?.missingCoding == nil)
    }

    @Test func `the budget holds, and what makes room is counted`() throws {
        // An entry is far from an eightieth of it, beyond which it is admitted the second time only.
        let budget = 256 << 10
        var shard = shard(bytesMax: budget)
        let body = String(repeating: "x", count: 1000)
        for number in 0..<800 {
            let lease = try lead(&shard, "/\(number)")
            _ = shard.finish(lease, .store(response(body), requestFields: request("/\(number)").fields), now: t0)
        }
        #expect(shard.memoryBytes <= budget + 16 << 10)
        #expect(shard.evictedCount > 400)
        #expect(shard.entryCount > 10)
    }

    @Test func `pass marks are bounded by the same budget`() throws {
        var shard = shard(bytesMax: 64 << 10)
        for number in 0..<5000 {
            let lease = try lead(&shard, "/\(number)")
            _ = shard.finish(lease, .notShareable, now: t0)
        }
        #expect(shard.entryCount < 500)
    }

    @Test func `nobody waits for a response that must be asked for every time`() throws {
        var shard = shard()
        let lease = try lead(&shard, "/a")
        _ = shard.join(key("/a"), request("/a"), follower: follower, now: t0)
        let stored = response(lifetime: 0, fields: [("ETag", "\"1\"")])
        let ended = shard.finish(lease, .store(stored, requestFields: request("/a").fields), now: t0)
        #expect(ended.isStored)
        guard case .fetchAlone = ended.told else {
            Issue.record("told \(ended.told)")
            return
        }
    }

    // MARK: Reading along

    private func live(_ fields: [(String, String)] = [], for request: RequestHead, lifetime: Int = 60) -> LiveResponse {
        LiveResponse(
            response(lifetime: lifetime, fields: fields).response, byteCount: nil, requestFields: request.fields, body: GrowingBody {})
    }

    private func isReading(_ joined: ResponseShard.Joined, _ live: LiveResponse) -> Bool {
        if case .read(let other) = joined { other === live } else { false }
    }

    @Test func `once a response has begun, who waits and who comes reads along`() throws {
        var shard = shard()
        let lease = try lead(&shard, "/a")
        _ = shard.join(key("/a"), request("/a"), follower: follower, now: t0)
        let live = live(for: request("/a"))
        let begun = shard.begin(lease, live)
        #expect(begun.followers.count == 1)
        if case .read(let told) = begun.told { #expect(told === live) } else { Issue.record("told \(begun.told)") }
        let joined = shard.join(key("/a"), request("/a"), follower: follower, now: t0)
        #expect(isReading(joined, live))
        let ended = shard.finish(lease, .store(response(), requestFields: request("/a").fields), now: t0)
        #expect(ended.followers.isEmpty && ended.isStored)
    }

    @Test func `RFC 9111 §4.1: nobody reads another variant along`() throws {
        var shard = shard()
        let german = [("Accept-Language", "de")]
        let lease = try lead(&shard, "/a", german)
        let live = live([("Vary", "Accept-Language")], for: request("/a", german))
        _ = shard.begin(lease, live)
        #expect(live.suits(request("/a", german).fields) && !live.suits(request("/a").fields))
        let same = shard.join(key("/a"), request("/a", german), follower: follower, now: t0)
        #expect(isReading(same, live))
        guard case .lead = shard.join(key("/a"), request("/a", [("Accept-Language", "en")]), follower: follower, now: t0) else {
            Issue.record("must fetch its own")
            return
        }
    }

    @Test func `nobody reads along what an invalidation has overtaken, or what must be asked for each time`() throws {
        for isOvertaken in [true, false] {
            var shard = shard()
            let lease = try lead(&shard, "/a")
            _ = shard.join(key("/a"), request("/a"), follower: follower, now: t0)
            if isOvertaken { shard.invalidate(key("/a")) }
            let begun = shard.begin(lease, live(for: request("/a"), lifetime: isOvertaken ? 60 : 0))
            #expect(begun.followers.count == 1)
            if case .fetchAlone = begun.told {} else { Issue.record("told \(begun.told)") }
            guard case .lead = shard.join(key("/a"), request("/a"), follower: follower, now: t0) else {
                Issue.record("must fetch its own")
                return
            }
        }
    }

    @Test func `who asked before it was known by what responses vary is known by it afterwards`() throws {
        var shard = shard()
        let (german, english) = ([("Accept-Language", "de")], [("Accept-Language", "en")])
        let first = try lead(&shard, "/a", english)
        let live = live([("Vary", "Accept-Language")], for: request("/a", english))
        _ = shard.begin(first, live)
        _ = try lead(&shard, "/a", german)
        _ = shard.finish(
            first, .store(response(fields: [("Vary", "Accept-Language")]), requestFields: request("/a", english).fields), now: t0)
        guard case .follow = shard.join(key("/a"), request("/a", german), follower: follower, now: t0) else {
            Issue.record("the German one is on its way already")
            return
        }
    }

    @Test func `one at a time refreshes what is stored, and a miss meanwhile waits for it`() throws {
        var shard = shard()
        let lease = try lead(&shard, "/a")
        let stored = response()
        _ = shard.finish(lease, .store(stored, requestFields: request("/a").fields), now: t0)
        let first = shard.leadInBackground(key("/a"), request("/a"), of: stored.response)
        #expect(first != nil)
        let second = shard.leadInBackground(key("/a"), request("/a"), of: stored.response)
        #expect(second == nil)
        guard case .follow = shard.join(key("/a"), request("/a"), follower: follower, now: t0) else {
            Issue.record("must follow")
            return
        }
        let unknown = shard.leadInBackground(key("/b"), request("/b"), of: stored.response)
        #expect(unknown == nil)
    }

    /// Between the look into the store and the right to fetch another event loop may have stored what is wanted.
    @Test func `who comes too late for a fetch is told of what it brought, and refreshes nothing that is gone`() throws {
        var shard = shard()
        func isStored(otherThan found: StoredResponse?) -> Bool { shard.stores(key("/a"), request("/a"), otherThan: found) }
        #expect(!isStored(otherThan: nil))
        let (old, new) = (response(), response())
        _ = shard.finish(try lead(&shard, "/a"), .store(old, requestFields: request("/a").fields), now: t0)
        #expect(isStored(otherThan: nil) && !isStored(otherThan: old.response))
        let refresh = shard.leadInBackground(key("/a"), request("/a"), of: old.response)
        _ = shard.finish(try #require(refresh), .store(new, requestFields: request("/a").fields), now: t0)
        #expect(isStored(otherThan: old.response) && !isStored(otherThan: new.response))
        let late = shard.leadInBackground(key("/a"), request("/a"), of: old.response)
        #expect(late == nil)
    }

    @Test func `what is asked for often is fetched ahead by one, and after a failure not before a pause`() throws {
        var shard = shard()
        let lease = try lead(&shard, "/a")
        let stored = response()
        _ = shard.finish(lease, .store(stored, requestFields: request("/a").fields), now: t0)
        func ahead(_ time: NIODeadline) -> ResponseShard.Lease? { shard.leadAhead(key("/a"), request("/a"), of: stored.response, now: time) }
        _ = find(&shard, "/a")
        #expect(ahead(t0) == nil, "asked for once")
        _ = find(&shard, "/a")
        let first = try #require(ahead(t0))
        #expect(ahead(t0 + .seconds(5)) == nil, "somebody fetches it")
        _ = shard.finish(first, .failed(.connectFailed), now: t0 + .seconds(5))
        #expect(find(&shard, "/a") === stored, "it is fresh still")
        let pause = t0 + .seconds(5) + ResponseShard.aheadPause
        #expect(ahead(pause - .nanoseconds(1)) == nil)
        let second = try #require(ahead(pause))
        let new = response("new")
        _ = shard.finish(second, .store(new, requestFields: request("/a").fields), now: pause)
        #expect(find(&shard, "/a") === new)
        #expect(ahead(pause + .seconds(9)) == nil, "it is not there any more")
    }

    @Test func `a key that could not be shared is tried again by one, for whom nobody waits`() throws {
        var shard = shard()
        let lease = try lead(&shard, "/a")
        _ = shard.finish(lease, .notShareable, now: t0)
        let later = t0 + ResponseShard.passMarkLifetime + .seconds(1)
        guard case .lead(let retry) = shard.join(key("/a"), request("/a"), follower: follower, now: later) else { throw NotLeading() }
        guard case .pass = shard.join(key("/a"), request("/a"), follower: follower, now: later) else {
            Issue.record("nobody waits meanwhile")
            return
        }
        let ended = shard.finish(retry, .store(response(), requestFields: request("/a").fields), now: later)
        #expect(ended.isStored && shard.entryCount == 1)
        #expect(find(&shard, "/a") != nil)
    }

    @Test func `a replaced head keeps the body, and variants are dropped one by one`() throws {
        var shard = shard()
        let lease = try lead(&shard, "/a")
        let old = response()
        _ = shard.finish(lease, .store(old, requestFields: request("/a").fields), now: t0)
        let new = response(fields: [("X-New", "1")])
        shard.replace(old.response, by: new, coded: [], key: key("/a"))
        #expect(find(&shard, "/a") === new)
        shard.drop(old.response, key: key("/a"))
        #expect(find(&shard, "/a") === new)
        shard.drop(new.response, key: key("/a"))
        #expect(find(&shard, "/a") == nil && shard.entryCount == 0)
    }
}
