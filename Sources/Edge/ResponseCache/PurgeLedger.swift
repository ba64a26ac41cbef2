import NIOCore

/// What a shard remembers of purges, each with a number: so that a fetch that began before a purge never stores what it brings, and a
/// stored response is compared once with each pattern that came after it.
///
/// Patterns (a prefix, a regular expression) are not looked for in all that is stored when they come: they become *bans*, and a
/// stored response is compared with those newer than its last comparison when it is next asked for, or when the sweep comes by.
/// A lookup compares two numbers while there is nothing to do. Bans are retired when the sweep has seen every entry since.
///
/// The list of bans and the memory of tags are bounded. Where something has to be forgotten, fetches that began before are
/// not stored: that costs a fetch and is never wrong.
struct PurgeLedger: Sendable {
    struct Ban: Sendable {
        let number: UInt64
        let rule: BanRule
        let isSoft: Bool
        let time: NIODeadline
    }

    /// More purges by pattern than these, before the sweep has come by, are refused.
    static let bansMax = 1000
    /// Tags whose purges are remembered for the fetches that are under way.
    static let tagsMax = 1024
    /// How long a ban stays after all entries were compared with it: fetches that are slower than this are not stored.
    /// 60 s: the longest that an application usually takes.
    static let banLifetimeMin = TimeAmount.seconds(60)

    /// The number of the latest purge.
    private(set) var latest: UInt64 = 0
    /// The number of the latest purge of which only a response's head says whether it is for it: one by surrogate keys.
    private(set) var latestByTag: UInt64 = 0
    private(set) var bans: [Ban] = []
    /// The number of the latest ban that an entry may have to be compared with; 0 when there is none.
    private(set) var latestBan: UInt64 = 0
    private var tags: [UInt64: UInt64] = [:]
    /// Fetches that began when this was the latest purge, or before, are taken for overtaken.
    private(set) var forgotten: UInt64 = 0

    /// - Parameter areURLs: ``CacheKeying/urlTag(authority:target:isSecure:)``: a fetch's key says whether it is for it.
    mutating func purged(tags purged: [UInt64], areURLs: Bool = false) {
        latest += 1
        if !areURLs { latestByTag = latest }
        for tag in purged { tags[tag] = latest }
        if tags.count > Self.tagsMax {
            tags = [:]
            forgotten = latest - 1
            for tag in purged.prefix(Self.tagsMax) { tags[tag] = latest }
            if purged.count > Self.tagsMax { forgotten = latest }
        }
    }

    /// - Returns: `false` when there are too many.
    mutating func banned(_ rule: BanRule, isSoft: Bool, now: NIODeadline) -> Bool {
        guard bans.count < Self.bansMax else { return false }
        latest += 1
        bans.append(Ban(number: latest, rule: rule, isSoft: isSoft, time: now))
        latestBan = latest
        return true
    }

    /// The bans that came after a number, oldest first.
    func bans(after number: UInt64) -> ArraySlice<Ban> {
        var first = bans.endIndex
        while first > bans.startIndex, bans[first - 1].number > number { first -= 1 }
        return bans[first...]
    }

    /// Whether a purge came after a fetch began that is for what it brings.
    /// - Parameters:
    ///   - began: ``latest`` when it began.
    ///   - compared: The latest purge by pattern that its key was compared with; ``began`` when there is none.
    func overtakes(began: UInt64, compared: UInt64? = nil, key: [UInt8], tags carried: [UInt64]) -> Bool {
        guard began < latest else { return false }
        if began < forgotten { return true }
        if !tags.isEmpty {
            func isPurged(_ tag: UInt64) -> Bool { tags[tag].map { $0 > began } ?? false }
            if isPurged(CacheKeying.urlTag(ofKey: key)) || carried.contains(where: isPurged) { return true }
        }
        return bans(after: max(began, compared ?? 0)).contains { $0.rule.matches(key) }
    }

    /// All entries have been compared with the bans up to this one.
    mutating func swept(upTo number: UInt64, now: NIODeadline) {
        let isCrowded = bans.count > Self.bansMax / 2
        var retired = 0
        while retired < bans.count, bans[retired].number <= number, isCrowded || now - bans[retired].time >= Self.banLifetimeMin { retired += 1 }
        guard retired > 0 else { return }
        forgotten = max(forgotten, bans[retired - 1].number)
        bans.removeFirst(retired)
        if bans.isEmpty { latestBan = 0 }
    }
}
