import TestSupport
import Testing

@testable import Eviction

@Suite struct S3FIFOTests {
    @Test(arguments: UInt64(1)...12)
    func `under random operations the budget holds and the sums are those of the entries`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let bytesMax = Int.random(in: 0...2000, using: &random)
        var cache = Cache(bytesMax: bytesMax)
        for step in 0..<3000 {
            // A third of the keys takes most of the requests, and some entries are larger than the budget.
            let key = UInt64.random(in: 0...(random.next() % 3 == 0 ? 300 : 20), using: &random)
            switch random.next() % 10 {
            case 0: cache.remove(key)
            case 1: cache.resize(key, bytes: Int.random(in: 0...200, using: &random))
            default: _ = cache.request(key, bytes: Int.random(in: 0...(random.next() % 50 == 0 ? 3000 : 100), using: &random))
            }
            cache.eviction.checkInvariants()
            let bytes = cache.entries.values.reduce(0) { $0 + $1.bytes }
            guard cache.eviction.count == cache.entries.count, cache.eviction.bytes == bytes, bytes <= bytesMax else {
                Issue.record("seed \(seed), step \(step): \(bytes) of \(bytesMax) bytes, \(cache.entries.count) entries")
                return
            }
        }
    }

    @Test func `the budget may be used to its last byte, and not a byte more`() {
        var cache = Cache(bytesMax: 10)
        for key in 0..<10 as Range<UInt64> { _ = cache.request(key) }
        #expect(cache.entries.count == 10)
        _ = cache.request(10)
        #expect(cache.entries.count == 10 && cache.eviction.bytes == 10)
    }

    @Test func `an entry over the whole budget does not stay`() {
        var cache = Cache(bytesMax: 10)
        _ = cache.request(1, bytes: 11)
        #expect(!cache.contains(1) && cache.eviction.count == 0 && cache.eviction.bytes == 0)
    }

    @Test func `a budget of nothing keeps nothing`() {
        var cache = Cache(bytesMax: -5)
        _ = cache.request(1)
        #expect(cache.eviction.bytesMax == 0 && cache.eviction.count == 0)
    }

    @Test func `what is asked for once leaves in the order in which it came`() {
        var eviction = S3FIFO(bytesMax: 5)
        var victims: [Int] = []
        for slot in 0..<9 {
            eviction.admit(slot, hash: UInt64(slot), bytes: 1)
            while let victim = eviction.evict() { victims.append(victim) }
        }
        #expect(victims == [0, 1, 2, 3])
    }

    @Test func `what was used again outlives what was not`() {
        var eviction = S3FIFO(bytesMax: 5)
        for slot in 0..<5 { eviction.admit(slot, hash: UInt64(slot), bytes: 1) }
        eviction.touched(0)
        eviction.admit(5, hash: 5, bytes: 1)
        let victims = [eviction.evict(), eviction.evict()]
        #expect(victims == [1, nil])
    }

    @Test func `in the main queue, who was used more often has more chances`() {
        var eviction = S3FIFO(bytesMax: 4)
        for slot in 0..<4 {
            eviction.admit(slot, hash: UInt64(slot), bytes: 1)
            eviction.touched(slot)
        }
        // All four move to the main queue, and the fifth, which was never used, leaves at once.
        eviction.admit(4, hash: 4, bytes: 1)
        var victims = [eviction.evict()]
        eviction.touched(0)
        for slot in [10, 11, 12] {
            eviction.admit(slot, hash: 4, bytes: 1)
            victims.append(eviction.evict())
            eviction.removed(slot)
        }
        #expect(victims.first == 4)
        #expect(!victims.contains(0))
        eviction.checkInvariants()
    }

    @Test func `a scan in one pass displaces nothing of the hot set`() {
        var cache = Cache(bytesMax: 1000)
        let hot = UInt64(0)..<500
        for _ in 0..<4 { for key in hot { _ = cache.request(key) } }
        // The hot set has to reach the main queue first: fill the rest once.
        for key in UInt64(1000)..<2000 {
            _ = cache.request(key)
            _ = cache.request(key % 500)
        }
        #expect(hot.allSatisfy { cache.contains($0) })
        for key in UInt64(10_000)..<110_000 { _ = cache.request(key) }
        #expect(hot.filter { cache.contains($0) }.count == 500)
        cache.eviction.checkInvariants()
    }

    @Test func `a scan with a FIFO's or LRU's choice would displace all of it, and here the hot set is hit throughout`() {
        var cache = Cache(bytesMax: 1000)
        var random = SeededRandom(seed: 7)
        for _ in 0..<20_000 { _ = cache.request(UInt64.random(in: 0..<500, using: &random)) }
        var (hits, requests) = (0, 0)
        // Twenty new keys between any two requests for a hot one: an LRU of 1,000 forgets it before it comes again.
        for step in 0..<10_000 as Range<UInt64> {
            requests += 1
            if cache.request(UInt64.random(in: 0..<500, using: &random)) { hits += 1 }
            for new in 0..<20 as Range<UInt64> { _ = cache.request(1_000_000 + step * 20 + new) }
        }
        #expect(Double(hits) / Double(requests) > 0.95, "\(hits) of \(requests)")
    }

    @Test func `who comes back soon after leaving goes to the main queue`() {
        var cache = Cache(bytesMax: 100)
        // A full main queue, which no scan touches.
        for key in 0..<90 as Range<UInt64> {
            _ = cache.request(key)
            _ = cache.request(key)
        }
        for key in UInt64(200)..<300 { _ = cache.request(key) }
        #expect(!cache.contains(200))
        _ = cache.request(200)
        // Another scan: what sits in the small queue would be gone, the one that came back stays.
        for key in UInt64(1000)..<1050 { _ = cache.request(key) }
        #expect(cache.contains(200))
        #expect(!cache.contains(1000))
    }

    @Test func `unknown slots are passed over`() {
        var eviction = S3FIFO(bytesMax: 10)
        eviction.touched(5)
        eviction.removed(5)
        eviction.resized(5, bytes: 100)
        eviction.admit(0, hash: 0, bytes: 3)
        eviction.removed(0)
        eviction.removed(0)
        eviction.resized(0, bytes: 100)
        let victim = eviction.evict()
        #expect(eviction.bytes == 0 && eviction.count == 0 && victim == nil)
    }
}

@Suite struct GhostQueueTests {
    @Test(arguments: UInt64(1)...8) func `agrees with a list that forgets its oldest`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var ghosts = GhostQueue()
        var model: [UInt64] = []
        let countMax = Int.random(in: 1...40, using: &random)
        for _ in 0..<4000 {
            let hash = UInt64.random(in: 0..<60, using: &random)
            if random.next() % 3 == 0 {
                let index = model.firstIndex(of: hash)
                if let index { model.remove(at: index) }
                let wasThere = ghosts.remove(hash)
                #expect(wasThere == (index != nil))
            } else {
                ghosts.insert(hash, countMax: countMax)
                if !model.contains(hash) { model.append(hash) }
                if model.count > countMax { model.removeFirst() }
            }
            #expect(ghosts.count == model.count && ghosts.isConsistent)
        }
        let left = (0..<60 as Range<UInt64>).filter { ghosts.remove($0) }
        #expect(left == model.sorted())
    }

    @Test func `hashes that come and go for ever take bounded memory`() {
        // Two responses, each more than half of the budget, asked for in turn.
        var ghosts = GhostQueue()
        for _ in 0..<20_000 {
            for hash in 1...2 as ClosedRange<UInt64> {
                _ = ghosts.remove(hash)
                ghosts.insert(hash, countMax: 64)
            }
        }
        #expect(ghosts.count == 2)
        #expect(ghosts.orderCount <= 200)
    }

    @Test func `a large entry is admitted to a full cache the second time it comes, a small one at once`() {
        var cache = Cache(bytesMax: 8000)
        cache.admitsBySize = true
        #expect(cache.eviction.bytes == 0)
        for key in 0..<199 as Range<UInt64> { _ = cache.request(key, bytes: 40) }
        _ = cache.request(900, bytes: 40)
        for (key, bytes, isAdmitted) in [(1000, 101, false), (1001, 100, true), (1000, 101, true), (1002, 101, false)] as [(UInt64, Int, Bool)] {
            _ = cache.request(key, bytes: bytes)
            #expect(cache.contains(key) == isAdmitted, "\(key), \(bytes) of the 100 that are an eighth of the small queue")
        }
        cache.eviction.checkInvariants()
    }
}
