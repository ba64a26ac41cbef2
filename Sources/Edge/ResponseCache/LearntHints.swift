import Telemetry

/// The links that pages said when they could be kept for all, by their keys of the response cache: for the next time that one of them has to
/// be fetched, when it has expired or made room.
///
/// A key has host, scheme, target and route, so that nothing learnt on one host is ever said on another. What a page said last counts; a page
/// that does not say it any more is forgotten, and so is one to whose answer the links that were hinted turn out not to belong, or that is no page any more. A purge of
/// anything forgets all.
///
/// ``pageCountMax`` pages in sets of four, and where a set has no place, the page goes that was asked for longest ago. A page takes at most
/// ``keyBytesMax`` and ``EarlyHintsConfiguration/bytesMax`` and some words: 6 MiB in all, if all of them do.
final class LearntHints: Sendable {
    /// Longer keys are not learnt: targets of that length are rarely asked for twice.
    static let keyBytesMax = 512
    private static let shardCount = 16
    private static let setCount = 32
    private static let ways = 4
    static let pageCountMax = shardCount * setCount * ways

    private struct Page {
        var key: [UInt8] = []
        var links: [[UInt8]] = []
        var usedAt: UInt64 = 0
    }

    private struct Table {
        /// Empty until the first is learnt.
        var pages: [Page] = []
        /// Counts what was asked and learnt.
        var clock: UInt64 = 0

        func set(of key: borrowing CacheKey) -> Range<Int> {
            let first = Int(truncatingIfNeeded: key.hash % UInt64(setCount)) * ways
            return first..<first + ways
        }

        func place(of key: borrowing CacheKey) -> Int? {
            guard !pages.isEmpty else { return nil }
            for place in set(of: key) where pages[place].key == key.bytes { return place }
            return nil
        }
    }

    private final class Shard: Sendable {
        let table = Lock(Table())
    }

    private let shards = (0..<shardCount).map { _ in Shard() }

    /// The top bits choose the shard, the low ones the place within it.
    private func shard(_ key: borrowing CacheKey) -> Shard { shards[Int(truncatingIfNeeded: key.hash >> 60)] }

    /// - Returns: none when nothing is known.
    func links(_ key: borrowing CacheKey) -> [[UInt8]] {
        shard(key).table.withLock { table in
            guard let place = table.place(of: key) else { return [] }
            table.clock += 1
            table.pages[place].usedAt = table.clock
            return table.pages[place].links
        }
    }

    func forgetAll() {
        for shard in shards { shard.table.withLock { $0.pages = [] } }
    }

    /// What the page of that key says now.
    /// - Parameter links: none to forget it.
    func learn(_ links: [[UInt8]], _ key: borrowing CacheKey) {
        guard key.bytes.count <= Self.keyBytesMax else { return }
        shard(key).table.withLock { table in
            let known = table.place(of: key)
            if links.isEmpty {
                if let known { table.pages[known] = Page() }
                return
            }
            if table.pages.isEmpty { table.pages = Array(repeating: Page(), count: Self.setCount * Self.ways) }
            var place = known ?? table.set(of: key).lowerBound
            if known == nil {
                for other in table.set(of: key) where table.pages[other].usedAt < table.pages[place].usedAt { place = other }
            }
            table.clock += 1
            table.pages[place] = Page(key: key.bytes, links: links, usedAt: table.clock)
        }
    }
}
