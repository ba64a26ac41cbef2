import Synchronization

/// A key of a database, copied to be kept.
struct WatchedKey: Hashable, Sendable {
    var database: Int
    var key: [UInt8]
}

/// Says whether anything that a client watches has changed. Set under a shard's lock by whoever changes; read by its client's loop.
final class WatchFlag: Sendable {
    private let flag = Atomic(false)
    var isRaised: Bool { flag.load(ordering: .acquiring) }
    func raise() { flag.store(true, ordering: .releasing) }
}

/// Who watches which keys of a shard (`WATCH`).
struct WatchTable {
    private var flags: [WatchedKey: [WatchFlag]] = [:]

    var isEmpty: Bool { flags.isEmpty }

    mutating func watch(_ key: WatchedKey, _ flag: WatchFlag) {
        if flags[key]?.contains(where: { $0 === flag }) != true { flags[key, default: []].append(flag) }
    }

    mutating func unwatch(_ key: WatchedKey, _ flag: WatchFlag) {
        guard var all = flags[key] else { return }
        all.removeAll { $0 === flag }
        flags[key] = all.isEmpty ? nil : all
    }

    func changed(_ key: WatchedKey) {
        for flag in flags[key] ?? [] { flag.raise() }
    }

    /// All keys of a database that are watched and for which a condition holds.
    func changedAll(database: Int, where isConcerned: ([UInt8]) -> Bool) {
        for (key, flags) in flags where key.database == database && isConcerned(key.key) { for flag in flags { flag.raise() } }
    }
}
