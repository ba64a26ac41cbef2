import Foundation
import TestSupport
import Testing

@testable import Eviction

/// The table of docs/benchmarks-eviction.md: hit rate and byte hit rate of what we have beside LRU, LFU and Belady's.
///
/// How it works: 1. Each key has a size, by its number: most are some kilobytes, few are megabytes (a Pareto distribution, as web objects have).
/// 2. The same requests go through each cache, whose room is a twentieth of all keys' bytes. 3. Counted are requests, and bytes, that were there.
@Suite struct EvictionTableTests {
    private static let isLong = ProcessInfo.processInfo.environment["HEADRACE_LONG"] != nil
    private static let keyCount = isLong ? 100_000 : 5_000

    struct Rates {
        var requests = 0.0
        var bytes = 0.0

        init(_ trace: [Int], _ isHit: (Int) -> Bool) {
            var (hits, hitBytes, sum) = (0, 0, 0)
            for key in trace {
                let size = EvictionTableTests.bytes(of: key)
                sum += size
                if isHit(key) {
                    hits += 1
                    hitBytes += size
                }
            }
            requests = 100 * Double(hits) / Double(trace.count)
            bytes = 100 * Double(hitBytes) / Double(sum)
        }

        var text: String { String(format: "%.1f / %.1f", requests, bytes) }
    }

    /// 1 KB × u^(-1/1.1), at most 4 MB: a mean of some 9 KB, and a tenth of the keys with four fifths of the bytes.
    static func bytes(of key: Int) -> Int {
        var random = SeededRandom(seed: UInt64(key) &* 0x9E37_79B9)
        let share = Double(random.next() >> 11) / 0x1p53
        return min(Int(1024 * pow(max(share, 1e-9), -1 / 1.1)), 4 << 20)
    }

    @Test(arguments: Trace.allCases) func `what is new is kept out of what lasts, also when sizes differ`(trace: Trace) {
        let requests = trace.requests(Self.keyCount * 10, keys: Self.keyCount, seed: 2026)
        let room = (0..<Self.keyCount).reduce(0) { $0 + Self.bytes(of: $1) } / 20
        let plain = Self.ours(requests, room: room, admitsBySize: false)
        let ours = Self.ours(requests, room: room, admitsBySize: true)
        let lru = Self.leastRecentlyUsed(requests, room: room)
        let lfu = Self.leastFrequentlyUsed(requests, room: room)
        let belady = Self.belady(requests, room: room)
        print("| \(trace.rawValue) | \(ours.text) | \(plain.text) | \(lru.text) | \(lfu.text) | \(belady.text) |")
        #expect(ours.requests > lru.requests, "S3-FIFO \(ours.text), LRU \(lru.text)")
        #expect(ours.requests >= plain.requests - 0.5, "the rule by size costs hits: \(ours.text), without \(plain.text)")
    }

    private static func ours(_ trace: [Int], room: Int, admitsBySize: Bool) -> Rates {
        var cache = Cache(bytesMax: room)
        cache.admitsBySize = admitsBySize
        return Rates(trace) { cache.request(UInt64($0), bytes: bytes(of: $0)) }
    }

    private static func leastRecentlyUsed(_ trace: [Int], room: Int) -> Rates {
        var lastUse: [Int: Int] = [:]
        var uses: [Int] = []
        var (oldest, held) = (0, 0)
        return Rates(trace) { key in
            let isHit = lastUse[key] != nil
            if !isHit { held += bytes(of: key) }
            lastUse[key] = uses.count
            uses.append(key)
            while held > room {
                let victim = uses[oldest]
                if lastUse[victim] == oldest {
                    lastUse[victim] = nil
                    held -= bytes(of: victim)
                }
                oldest += 1
            }
            return isHit
        }
    }

    /// Counts are kept while a key is there; among equals the one that was not used for longest leaves.
    private static func leastFrequentlyUsed(_ trace: [Int], room: Int) -> Rates {
        var kept: [Int: (count: Int, place: Int)] = [:]
        var fewest = FarthestFirst()
        var (held, place) = (0, 0)
        return Rates(trace) { key in
            place += 1
            let known = kept[key]
            if known == nil { held += bytes(of: key) }
            let count = (known?.count ?? 0) + 1
            kept[key] = (count, place)
            fewest.push(-(count << 32 | place), key)
            while held > room, let (order, victim) = fewest.pop() {
                guard let current = kept[victim], -(current.count << 32 | current.place) == order else { continue }
                kept[victim] = nil
                held -= bytes(of: victim)
            }
            return known != nil
        }
    }

    /// With sizes the best that could be done is not known; this drops what is used again last, whatever its size.
    private static func belady(_ trace: [Int], room: Int) -> Rates {
        var nextUse = [Int](repeating: .max, count: trace.count)
        var seen: [Int: Int] = [:]
        for index in trace.indices.reversed() {
            nextUse[index] = seen[trace[index]] ?? .max
            seen[trace[index]] = index
        }
        var kept: [Int: Int] = [:]
        var farthest = FarthestFirst()
        var (held, index) = (0, 0)
        return Rates(trace) { key in
            defer { index += 1 }
            let isHit = kept[key] != nil
            if !isHit { held += bytes(of: key) }
            kept[key] = nextUse[index]
            farthest.push(nextUse[index], key)
            while held > room, let (use, victim) = farthest.pop() {
                guard kept[victim] == use else { continue }
                kept[victim] = nil
                held -= bytes(of: victim)
            }
            return isHit
        }
    }
}
