import Foundation
import TestSupport
import Testing

/// What the eviction is worth: `make test-full` asks at the size of a web application, `make test` at a tenth.
@Suite struct HitRateTests {
    private static let isLong = ProcessInfo.processInfo.environment["HEADRACE_LONG"] != nil
    private static let keyCount = isLong ? 200_000 : 20_000

    /// How far above LRU and below the best possible, in points of a hundred, with one key of twenty resident.
    private static let bounds: [Trace: (overLRU: Double, underBest: Double)] = [
        .zipf: (5, 9), .oneHitWonders: (7, 8), .drift: (4, 10), .scanMixed: (4.5, 9),
    ]

    @Test(arguments: Trace.allCases) func `more is found than with LRU, and not much less than is possible`(trace: Trace) throws {
        let bounds = try #require(Self.bounds[trace])
        let requests = trace.requests(Self.keyCount * 10, keys: Self.keyCount, seed: 2026)
        let room = Self.keyCount / 20
        let ours = 100 * HitRate.s3FIFO(requests, room: room)
        let lru = 100 * HitRate.leastRecentlyUsed(requests, room: room)
        let best = 100 * HitRate.belady(requests, room: room)
        let lfu = 100 * HitRate.leastFrequentlyUsed(requests, room: room)
        // Benchmarks/eviction reads this line.
        print("hits of 100 requests, \(trace.rawValue): S3-FIFO \(ours), LRU \(lru), LFU \(lfu), Belady \(best)")
        #expect(ours >= lru + bounds.overLRU, "S3-FIFO \(ours), LRU \(lru)")
        #expect(ours >= best - bounds.underBest, "S3-FIFO \(ours), Belady \(best)")
        #expect(ours <= best && lfu <= best, "more than is possible: \(ours), Belady \(best)")
    }
}
