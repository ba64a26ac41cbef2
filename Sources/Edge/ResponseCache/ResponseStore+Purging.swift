import HTTPSemantics
import NIOCore

// Purges, over all shards. Each shard's lock is taken once, one after the other: when a call returns, no event loop gives what it was for.

extension ResponseStore {
    /// Purges one URL, as each of the keyings makes a key of it, for clients with TLS and without.
    /// - Returns: how many responses it was for.
    func purge(authority: Span<UInt8>, target: Span<UInt8>, keyings: [CacheKeying], isSoft: Bool, now: NIODeadline) -> Int {
        var count = 0
        var key = CacheKey()
        var tags: [UInt64] = []
        for keying in keyings {
            for isSecure in [false, true] {
                if let tag = keying.urlTag(authority: authority, target: target, isSecure: isSecure) {
                    if !tags.contains(tag) { tags.append(tag) }
                    continue
                }
                var bytes: [UInt8] = []
                keying.append(authority: authority, target: target, isSecure: isSecure, to: &bytes)
                key.assign(bytes: bytes, seed: seed)
                count += withShard(key) { [key] in $0.purge(key, isSoft: isSoft, now: now) }
            }
        }
        guard !tags.isEmpty else { return count }
        // A URL has few variants: no more than a handful of entries in each shard.
        var run = TagPurge(tags: tags, areURLs: true, isSoft: isSoft)
        while !run.step(self, until: .distantFuture) {}
        return count + run.count
    }

    /// - Returns: `false` when too many rules are waiting already; then none of the shards has it for good: what one of them has
    ///   dropped by it is fetched again.
    func ban(_ rule: BanRule, isSoft: Bool, now: NIODeadline) -> Bool {
        withAllShards { $0.ban(rule, isSoft: isSoft, now: now) }.allSatisfy { $0 }
    }

    /// Compares entries with bans that they have not met; see ``ResponseShard/sweep(entriesMax:now:)``. One lock is held for
    /// ``sweptAtOnce`` entries.
    /// - Parameter first: with which shard to begin.
    /// - Returns: the shard to go on with.
    func sweep(from first: Int, until end: NIODeadline) -> Int {
        var shard = first
        for _ in 0..<shardCount {
            while withShard(at: shard, { $0.sweep(entriesMax: Self.sweptAtOnce, now: end) }) {
                if NIODeadline.now() >= end { return shard }
            }
            shard = (shard + 1) % shardCount
        }
        return shard
    }

    /// 64: with a dozen expressions each some hundred microseconds.
    private static let sweptAtOnce = 64
}

/// A purge by tags under way: however many responses it is for, no lock is held for longer than ``atOnce`` of them take, and the loop
/// that makes it can do something else in between.
struct TagPurge: Sendable {
    /// 256: some 200 µs.
    private static let atOnce = 256

    private let tags: [UInt64]
    private let areURLs: Bool
    private let isSoft: Bool
    private var shard = -1
    private var left: ArraySlice<ResponseShard.Tagged> = []
    /// How many responses it was for.
    private(set) var count = 0

    /// - Parameter areURLs: see ``ResponseShard/beginPurge(tags:areURLs:)``.
    init(tags: [UInt64], areURLs: Bool = false, isSoft: Bool) {
        self.tags = tags
        self.areURLs = areURLs
        self.isSoft = isSoft
    }

    /// - Returns: whether it is done.
    mutating func step(_ store: ResponseStore, until end: NIODeadline) -> Bool {
        let (tags, areURLs, isSoft) = (self.tags, self.areURLs, self.isSoft)
        while true {
            if left.isEmpty {
                shard += 1
                guard shard < store.shardCount else { return true }
                left = store.withShard(at: shard) { $0.beginPurge(tags: tags, areURLs: areURLs) }[...]
            } else {
                let part = left.prefix(Self.atOnce)
                let now = NIODeadline.now()
                count += store.withShard(at: shard) { $0.purge(part, isSoft: isSoft, now: now) }
                left = left.dropFirst(Self.atOnce)
            }
            if NIODeadline.now() >= end { return left.isEmpty && shard + 1 >= store.shardCount }
        }
    }
}
