/// The state of one shard at one instant, read out while its commands go on.
///
/// There is no fork. A shard is gone through in the order of its keys' hashes, a segment at a time, of large values a part of one. A command that is about to change a key
/// which has not been reached has its value taken first, and the key is passed over later; a key that was not there is passed over,
/// too. So what comes out is what the shard held when this began, whatever happens meanwhile.
/// The price is a copy of each value that is changed before it is reached, until the writer takes it: at most what clients change while the
/// snapshot runs, and at most all that the shard held.
/// Keys that expire or are evicted before they are reached are left out: whoever reads the snapshot would drop them as well.
///
/// Touched under its shard's lock.
struct ShardSnapshot {
    /// Some 20 µs of small ones.
    private static let keysAtOnce = 64
    private static let bytesAtOnce = 64 << 10

    private var database = 0
    private let databaseCount: Int
    /// The 32 highest bits of the hashes that come next in `database`; `nil` when all databases are done.
    private var cursor: UInt32? = 0
    /// Keys ahead of the cursor that were taken already, or were not there at the beginning.
    private var taken: [Set<[UInt8]>]
    /// Ahead of the cursor.
    private var copied = Piece()
    /// How many hashes' keys are taken next, if as many as their memory lets expect are too many: small sets of numbers are more than they look.
    private var hashesMax = UInt32.max

    init(databaseCount: Int) {
        self.databaseCount = databaseCount
        taken = Array(repeating: [], count: databaseCount)
    }

    var isDone: Bool { cursor == nil }

    /// A command is about to change a key, or to make it.
    /// - Returns: bytes that were copied.
    mutating func willChange(_ key: Key, database changed: Int, in shard: Shard) -> Int {
        guard let cursor, changed > database || changed == database && UInt32(truncatingIfNeeded: key.hash >> 32) >= cursor else { return 0 }
        guard taken[changed].insert(key.copy).inserted, let entry = shard[changed].find(key) else { return 0 }
        let before = copied.byteCount
        copied.append(entry, changed)
        return copied.byteCount - before
    }

    /// What is to be written next.
    struct Piece: Sendable {
        var entries: [SnapshotEntry] = []
        /// In memory, about.
        var byteCount = 0
        /// Of an element's own array.
        private static let elementBytes = 48

        mutating func add(_ other: Piece) {
            entries += other.entries
            byteCount += other.byteCount
        }

        fileprivate mutating func append(_ entry: Entry, _ database: Int) {
            entries.append(
                SnapshotEntry(
                    database: database, key: [UInt8](entry.key), value: StoredValues.snapshot(entry), expiry: entry.expires ? entry.deadline : nil))
            byteCount += entry.bytes
            guard entry.type != .string else { return }
            let object = entry.object(as: StoredObject.self)
            byteCount += object.bytes + Self.elementBytes * object.count
        }
    }

    /// Of how many hashes the keys have about ``bytesAtOnce`` together: of large values a segment would be too much.
    private static func hashesAtOnce(_ database: borrowing Database) -> UInt32 {
        UInt32(clamping: (1 << 32) / max(1, min(database.bytes / bytesAtOnce, database.count)))
    }

    /// Goes on by some segments: the lock is not held longer than some keys, or ones of some size, take.
    mutating func proceed(_ shard: Shard) -> Piece {
        var found = copied
        copied = Piece()
        while let place = cursor, found.entries.count < Self.keysAtOnce, found.byteCount < Self.bytesAtOnce {
            let (hashes, before) = (min(hashesMax, Self.hashesAtOnce(shard[database])), found.byteCount)
            let next = shard[database].scan(place, hashesMax: hashes) { entry in
                if !taken[database].isEmpty, taken[database].remove([UInt8](entry.key)) != nil { return }
                found.append(entry, database)
            }
            hashesMax = found.byteCount - before > Self.bytesAtOnce ? max(hashes / 2, 1) : UInt32(clamping: UInt64(hashes) * 2)
            if let next {
                cursor = next
            } else {
                taken[database] = []
                database += 1
                cursor = database < databaseCount ? 0 : nil
            }
        }
        return found
    }
}
