import HTTPSemantics
import NIOCore
import TestSupport
import Testing

@testable import Edge

@Suite struct RateLimitTests {
    private static let second: Int64 = 1_000_000_000

    private func table(_ count: Int, per period: TimeAmount = .seconds(1), burst: Int, setCount: Int = 4) -> RateLimitTable {
        RateLimitTable(rate: .init(count: count, per: period), burst: burst, setCount: setCount)
    }

    @Test(arguments: [1, 2, 20]) func `as many as the burst at once, and not one more; then one in each interval`(burst: Int) {
        var table = table(10, burst: burst)
        for left in (0..<burst).reversed() { #expect(table.take(7, now: 0) == .accepted(left: left)) }
        #expect(table.take(7, now: 0) == .refused(wait: Self.second / 10))
        #expect(table.take(7, now: Self.second / 10 - 1) == .refused(wait: 1))
        #expect(table.take(7, now: Self.second / 10) == .accepted(left: 0))
        #expect(table.take(7, now: Self.second / 10) == .refused(wait: Self.second / 10))
    }

    @Test func `who is refused pays nothing, and who waits has all of it again`() {
        var table = table(10, burst: 5)
        for _ in 0..<5 { _ = table.take(7, now: 0) }
        for _ in 0..<1000 { #expect(table.take(7, now: 0) == .refused(wait: Self.second / 10)) }
        #expect(table.take(7, now: Self.second / 2) == .accepted(left: 4))
    }

    @Test func `however requests fall, no window has more than burst and rate allow, and none is refused below them`() {
        var random = SeededRandom(seed: 11)
        for _ in 0..<50 {
            let (rate, burst) = (Int.random(in: 1...50, using: &random), Int.random(in: 1...30, using: &random))
            var table = table(rate, burst: burst)
            var accepted: [Int64] = []
            var now: Int64 = 0
            for _ in 0..<400 {
                now += Int64.random(in: 0...(2 * Self.second / Int64(rate)), using: &random)
                if case .accepted = table.take(3, now: now) { accepted.append(now) }
            }
            let interval = Self.second / Int64(rate)
            for first in accepted.indices {
                for last in first..<accepted.count {
                    let most = Int64(burst) + (accepted[last] - accepted[first]) / interval
                    #expect(Int64(last - first + 1) <= most)
                }
            }
        }
        var slow = self.table(10, burst: 1)
        for step in 0..<100 { #expect(slow.take(1, now: Int64(step) * Self.second / 10) == .accepted(left: 0)) }
    }

    @Test func `clients have buckets of their own; where there is no place the fullest bucket makes room`() {
        var table = table(1, burst: 2, setCount: 1)
        // The eighth client asked once only: its bucket is the fullest.
        for client in 0..<7 as Range<UInt64> { for _ in 0..<2 { _ = table.take(client, now: 0) } }
        _ = table.take(7, now: 0)
        #expect(table.take(8, now: 0) == .accepted(left: 1))
        for client in 0..<7 as Range<UInt64> { #expect(table.take(client, now: 0) == .refused(wait: Self.second)) }
    }

    @Test(arguments: [(1_000_000, TimeAmount.hours(1), 1_000_000), (1, .hours(1), 1_000_000), (1, .hours(1), .max)])
    func `no rate and burst overflow`(count: Int, period: TimeAmount, burst: Int) {
        var table = table(count, per: period, burst: burst)
        for _ in 0..<10 {
            guard case .accepted = table.take(1, now: .max / 4) else {
                Issue.record("must be accepted")
                return
            }
        }
    }

    // MARK: With a store

    /// What the script in ``RateStoreWords`` does.
    private struct Store {
        var fullAt: [UInt64: Int64] = [:]
        let missingMax: Int64
        mutating func spend(_ client: UInt64, _ nanoseconds: Int64, now: Int64) -> Int64 {
            let full = min(max(fullAt[client] ?? 0, now) + nanoseconds, now + missingMax)
            fullAt[client] = full
            return full - now
        }
    }

    @Test(arguments: [1, 2, 5]) func `what many processes let through is within the documented bound, and no less than one bucket gives`(processes: Int) {
        let (rate, burst, delta) = (50, 20, Int64(150_000_000))
        var random = SeededRandom(seed: UInt64(processes))
        var tables = (0..<processes).map { _ in RateLimitTable(rate: .init(count: rate, per: .seconds(1)), burst: burst, setCount: 1, spentMax: 8) }
        var store = Store(missingMax: tables[0].missingMax)
        var admitted = 0
        // Each process speaks every 150 ms, each at another time; all are asked every millisecond or so.
        var speaks = (0..<processes).map { Int64($0) * delta / Int64(processes) }
        for now in stride(from: Int64(0), through: 10_000_000_000, by: 1_000_000) {
            for index in tables.indices {
                if now >= speaks[index] {
                    speaks[index] += delta
                    for (client, nanoseconds) in tables[index].takeSpent().nanoseconds {
                        tables[index].learnt(client, missing: store.spend(client, nanoseconds, now: now), now: now)
                    }
                }
                if !random.chance(oneIn: 3), case .accepted = tables[index].take(7, now: now) { admitted += 1 }
            }
            let seconds = Double(now) / 1e9
            let bound = Double(processes * burst) + Double(rate) * (seconds + Double(processes - 1) * Double(delta) / 1e9)
            #expect(Double(admitted) <= bound + 1, "after \(seconds) s")
        }
        #expect(admitted >= burst + rate * 10 - 2 * processes * burst, "\(admitted)")
    }

    @Test func `a store is told of so many clients at a time, and of each what it took`() {
        var table = RateLimitTable(rate: .init(count: 10, per: .seconds(1)), burst: 5, setCount: 1, spentMax: 2)
        for client in [1, 1, 2, 3, 1, 3] as [UInt64] { _ = table.take(client, now: Self.second) }
        let spent = table.takeSpent()
        #expect(spent.requests == 4 && spent.untold == 2 && spent.nanoseconds == [1: 300_000_000, 2: 100_000_000])
        let again = table.takeSpent()
        #expect(again.requests == 0 && again.untold == 0)
    }

    @Test func `a clock of the store that was set back keeps nobody out for longer than a debt can be`() {
        var table = RateLimitTable(rate: .init(count: 10, per: .seconds(1)), burst: 5, setCount: 1, spentMax: 2)
        // Eight bursts of 0.5 s, and half a minute.
        #expect(table.missingMax == 34 * Self.second)
        var store = Store(missingMax: table.missingMax)
        store.fullAt[1] = 86_400 * Self.second
        #expect(store.spend(1, 100_000_000, now: 0) == table.missingMax)
        table.learnt(1, missing: 86_400 * Self.second, now: 0)
        #expect(table.take(1, now: 0) == .refused(wait: table.missingMax - 400_000_000))
        #expect(table.take(1, now: table.missingMax) == .accepted(left: 4))
    }

    @Test func `what was let through since the store was told counts besides what it says`() {
        var table = RateLimitTable(rate: .init(count: 10, per: .seconds(1)), burst: 5, setCount: 1, spentMax: 2)
        _ = table.take(1, now: 0)
        _ = table.takeSpent()
        _ = table.take(1, now: 0)
        // Another process has taken three.
        table.learnt(1, missing: 400_000_000, now: 0)
        #expect(table.take(1, now: 0) == .refused(wait: 100_000_000))
        // An empty answer fills a bucket, but makes none.
        _ = table.takeSpent()
        table.learnt(1, missing: 0, now: 0)
        table.learnt(2, missing: 0, now: 0)
        #expect(table.take(1, now: 0) == .accepted(left: 4))
        table.forget()
        #expect(table.take(1, now: 0) == .accepted(left: 4))
        #expect(table.takeSpent().requests == 1)
        // What no store of ours says.
        for missing in [Int64.min, .max] { table.learnt(1, missing: missing, now: .max / 4) }
    }

    @Test func `the store hears of microseconds`() {
        let words = RateStoreWords.spending(script: "s", limit: "shop", client: 0xAB, nanoseconds: 33_333_005, missingMax: 34_000_000_000)
        #expect(words == ["EVALSHA", "s", "1", "headrace:rate:shop:00000000000000ab", "33333.005", "34000000.000"])
        #expect(RateStoreWords.greeting(.init(.unix(path: "/a"), user: "u", password: "p", database: 3), seed: 7).map(\.first) == ["AUTH", "SELECT", "SCRIPT", "SET", "GET"])
    }

    @Test func `processes with the same seed mean the same client, and a new seed begins anew`() throws {
        var limit = RateLimit()
        limit.rate = .init(count: 1, per: .hours(1))
        limit.burst = 1
        let limiters = try (0..<2).map { _ in try #require(RateLimiter(limit, storeName: "shop")) }
        for limiter in limiters {
            #expect(try isAccepted(limiter, "192.0.2.1"))
            limiter.use(seed: 7)
            #expect(try isAccepted(limiter, "192.0.2.1"))
            limiter.use(seed: 7)
            #expect(try !isAccepted(limiter, "192.0.2.1"))
        }
        let told = limiters.map { limiter in (0..<RateLimiter.shardCount).map { limiter.takeSpent(shard: $0) } }
        #expect(told[0].reduce(0) { $0 + $1.requests } == 1 && told[0].map { $0.nanoseconds } == told[1].map { $0.nanoseconds })
    }

    private func limiter(_ client: RateLimit.Client = .address) throws -> RateLimiter {
        var limit = RateLimit()
        limit.rate = .init(count: 1, per: .hours(1))
        limit.burst = 1
        limit.client = client
        return try #require(RateLimiter(limit))
    }

    private func isAccepted(_ limiter: RateLimiter, _ address: String?, _ fields: [String] = []) throws -> Bool {
        if case .accepted = limiter.take(try RequestHead.get("/", fields).fields, ClientIdentity(peer: address), now: .uptimeNanoseconds(1)) { true } else { false }
    }

    @Test func `a client is an IPv4 address or an IPv6 network, and all of a Unix socket`() throws {
        let limiter = try limiter()
        for (address, isNew) in [
            ("192.0.2.1", true), ("192.0.2.1", false), ("192.0.2.2", true), ("::ffff:192.0.2.1", false), ("2001:db8::1", true), ("2001:db8::2", false),
            ("2001:db8:0:1::1", true), (nil, true), (nil, false),
        ] { #expect(try isAccepted(limiter, address) == isNew, "\(address ?? "unix")") }
    }

    @Test(arguments: [(RateLimit.Client.header("X-Api-Key"), "x-api-key: "), (.cookie("id"), "Cookie: a=b; id=")])
    func `a client is a value of a field or cookie, and without it an address`(client: RateLimit.Client, field: String) throws {
        let limiter = try limiter(client)
        for (address, value, isNew) in [
            ("192.0.2.1", "one", true), ("192.0.2.2", "one", false), ("192.0.2.1", "two", true), ("192.0.2.1", nil, true), ("192.0.2.1", nil, false),
            ("192.0.2.2", nil, true),
        ] { #expect(try isAccepted(limiter, address, value.map { [field + $0] } ?? []) == isNew, "\(address) \(value ?? "")") }
    }

    @Test func `without a rate there is no limit, and without a burst it is what a second gives`() {
        var limit = RateLimit()
        #expect(RateLimiter(limit) == nil)
        limit.rate = .init(count: 10, per: .seconds(1))
        #expect(limit.burstMax == 10)
        limit.rate = .init(count: 10, per: .minutes(1))
        #expect(limit.burstMax == 1)
        limit.burst = 7
        #expect(limit.burstMax == 7)
    }
}
