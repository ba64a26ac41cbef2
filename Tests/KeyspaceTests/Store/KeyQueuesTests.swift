import Foundation
import TestSupport
import Testing

@testable import Keyspace

@Suite struct KeyQueuesTests {
    @Test func `a queue gives back what it was given, in order, across blocks`() {
        var queue = HashQueue()
        var (pushed, popped) = (UInt64(0), UInt64(0))
        var random = SeededRandom(seed: 1)
        for _ in 0..<200 {
            for _ in 0..<Int.random(in: 0..<900, using: &random) {
                queue.push(pushed << 40 | pushed & 0xFFFF | 0xAB_CDEF_0000)
                pushed += 1
            }
            for _ in 0..<min(queue.count, Int.random(in: 0..<900, using: &random)) {
                #expect(queue.pop() == ShortHash(popped << 40 | popped & 0xFFFF))
                popped += 1
            }
            #expect(queue.count == Int(pushed - popped) && queue.bytes <= (queue.count / 99 + 3) * 512)
        }
    }

    @Test func `a ghost is remembered for as long as it was asked, and given back once`() {
        var ghosts = GhostTable()
        var random = SeededRandom(seed: 2)
        let hashes = (0..<2000).map { _ in random.next() }
        for hash in hashes { ghosts.insert(hash, ageMax: 1000, capacity: 1000) }
        let old = hashes[..<900].count { ghosts.remove($0) }
        let recent = hashes[1000...].count { ghosts.remove($0) }
        #expect(old == 0)
        // Sets of four: a few of the recent ones had to go.
        #expect(recent > 800)
        #expect(hashes.count { ghosts.remove($0) } < 100)
    }

    /// Steps of time that are more than one insertion, and times that repeat.
    @Test func `a large table of ghosts forgets what is old, for as long as it runs`() {
        var ghosts = GhostTable()
        var random = SeededRandom(seed: 3)
        let count = 40_000
        for _ in 0..<3 {
            let hashes = (0..<4 * count).map { _ in random.next() }
            for hash in hashes { ghosts.insert(hash, ageMax: count, capacity: count) }
            // Within a step nobody can tell which came first.
            let step = count / 500
            #expect(hashes[..<(3 * count - step)].count { ghosts.remove($0) } < 10)
            #expect(hashes[(3 * count + step)...].count { ghosts.remove($0) } > count * 8 / 10)
            #expect(ghosts.bytes <= count * 5)
        }
    }

    @Test func `what is asked for once makes room first`() {
        let talk = Conversation {
            $0.bytesMax = 1 << 20
            $0.policy = .allkeysS3FIFO
        }
        let value = String(repeating: "v", count: 100)
        for number in 0..<500 { #expect(talk.say("SET", "hot:\(number)", value) == "+OK|") }
        for _ in 0..<2 { for number in 0..<500 { _ = talk.say("GET", "hot:\(number)") } }
        for number in 0..<50_000 {
            #expect(talk.say("SET", "once:\(number)", value) == "+OK|")
            // Now and then somebody asks for one of them.
            _ = talk.say("GET", "hot:\(number % 500)")
        }
        let kept = (0..<500).count { talk.say("EXISTS", "hot:\($0)") == ":1|" }
        #expect(kept == 500)
        // What 16 shards may have taken and not told yet: 4 KB each.
        #expect(talk.keyspace.exactBytes(nil) <= (1 << 20) + 16 * (4 << 10))
        talk.checkInvariants()
    }

    @Test func `keys of before the policy go, and deleted ones do not pile up`() {
        let talk = Conversation {
            $0.bytesMax = 1 << 20
            $0.policy = .allkeysLRU
        }
        let value = String(repeating: "v", count: 100)
        for number in 0..<4000 { _ = talk.say("SET", "before:\(number)", value) }
        #expect(talk.say("CONFIG", "SET", "maxmemory-policy", "allkeys-s3fifo") == "+OK|")
        for number in 0..<20_000 { #expect(talk.say("SET", "after:\(number)", value) == "+OK|") }
        #expect((0..<4000).count { talk.say("EXISTS", "before:\($0)") == ":1|" } < 40)
        // One key over and over leaves no more than a sweep allows.
        for number in 0..<100_000 {
            _ = talk.say("SET", "churn:\(number)", "v")
            _ = talk.say("DEL", "churn:\(number)")
        }
        #expect(talk.keyspace.exactBytes(nil) <= (1 << 20) + 16 * (4 << 10))
        // The newest of all: an older one may have gone.
        #expect(talk.say("SET", "newest", value) == "+OK|" && talk.say("RENAME", "newest", "renamed") == "+OK|")
        #expect(talk.say("FLUSHALL") == "+OK|")
        #expect(talk.say("SET", "k", "v") == "+OK|" && talk.say("GET", "k") == "$1|v|")
    }

    private static let isLong = ProcessInfo.processInfo.environment["HEADRACE_LONG"] != nil

    /// Hits of 100 requests, with one key of twenty resident, by commands on a keyspace as a cache is used: GET, and SET when it is not there.
    private func hitRate(_ requests: [Int], room: Int, _ policy: EvictionPolicy) -> Double {
        let value = [UInt8](repeating: 0x76, count: 100)
        func name(_ key: Int) -> [UInt8] { Array("page:\(1_000_000_000 + key)".utf8) }
        let measure = Conversation { $0.policy = .noeviction }
        for key in 0..<room { _ = measure.say([Array("SET".utf8), name(key), value]) }
        let talk = Conversation {
            $0.policy = policy
            $0.bytesMax = measure.keyspace.exactBytes(nil)
        }
        var hits = 0
        for (index, key) in requests.enumerated() {
            // A thousand requests a second.
            talk.now = 1_000_000 + Int64(index)
            if talk.say([Array("GET".utf8), name(key)]) == "$-1|" { _ = talk.say([Array("SET".utf8), name(key), value]) } else { hits += 1 }
        }
        return 100 * Double(hits) / Double(requests.count)
    }

    @Test(arguments: isLong ? Trace.allCases : [.oneHitWonders])
    func `more is found than with samples by time or by frequency`(trace: Trace) {
        let keyCount = Self.isLong ? 200_000 : 100_000
        let requests = trace.requests(keyCount * (Self.isLong ? 10 : 3), keys: keyCount, seed: 2026)
        let rates = [EvictionPolicy.allkeysS3FIFO, .allkeysLRU, .allkeysLFU].map { hitRate(requests, room: keyCount / 20, $0) }
        print("hits of 100 requests, \(trace.rawValue): allkeys-s3fifo \(rates[0]), allkeys-lru \(rates[1]), allkeys-lfu \(rates[2])")
        #expect(rates[0] > rates[1] + 2, "\(rates)")
    }
}
