#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The queues of `allkeys-s3fifo`: S3-FIFO, as ``Eviction/S3FIFO`` has it for the response cache, for a million keys.
///
/// New keys go into a small queue, a twentieth of all. Whoever is used again before its end comes moves to the main queue; whoever is not
/// leaves, and is remembered for a while by its hash: should it come back, it goes to the main queue at once. The main queue is a
/// second-chance FIFO. What differs is what a key costs: a queue's place is five bytes of the key's hash; which queue and how many uses are
/// four bits in the entry; a key that is gone keeps 4 bytes in a table of hashes. A key that was deleted leaves its place behind, which is
/// passed over when it comes to the head, or swept when such places are as many as the keys. Keys are counted, not weighed.
///
/// Belongs to one database in one shard, under its lock.
/// - Source: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023.
struct KeyQueues: ~Copyable {
    /// Of an entry, in ``Entry/place``.
    enum Place: UInt8 {
        case none = 0, small, main
    }

    /// How many places one eviction looks at: each takes some 100 ns, and the lock is held meanwhile. The one that is used least of these goes.
    private static let stepsMax = 128

    private var small = HashQueue()
    private var main = HashQueue()
    private var ghosts = GhostTable()

    init() {}

    var bytes: Int { small.bytes + main.bytes + ghosts.bytes }
    /// Places, those of keys that are gone included.
    var count: Int { small.count + main.count }

    mutating func added(_ entry: Entry, _ hash: UInt64, in table: borrowing EntryTable) {
        let isReturning = ghosts.remove(hash)
        entry.uses = 0
        entry.place = isReturning ? .main : .small
        if isReturning { main.push(hash) } else { small.push(hash) }
        sweep(table)
    }

    /// The entry is in no queue: it came when another policy was in force.
    mutating func adopted(_ entry: Entry, _ hash: UInt64) {
        entry.place = .main
        main.push(hash)
    }

    /// Chooses who leaves, and forgets its place.
    /// - Returns: `nil` when all places are of keys that are gone.
    mutating func victim(in table: borrowing EntryTable) -> (entry: Entry, hash: UInt64)? {
        var least: (entry: Entry, hash: UInt64)?
        for _ in 0..<Self.stepsMax {
            // The paper has a tenth. A twentieth finds 0.2 of 100 more on the three traces of Benchmarks/keyspace, and less of it is filled with
            // what comes once.
            if small.count > 0, small.count * 20 > count || main.count == 0 {
                guard let (entry, hash) = table.find(small.pop()), entry.place == .small else { continue }
                if entry.uses > 0 {
                    entry.uses = 0
                    entry.place = .main
                    main.push(hash)
                    continue
                }
                ghosts.insert(hash, ageMax: max(main.count, 64), capacity: count)
                return (entry, hash)
            } else if main.count > 0 {
                guard let (entry, hash) = table.find(main.pop()), entry.place == .main else { continue }
                if entry.uses == 0 { return (entry, hash) }
                if least.map({ entry.uses < $0.entry.uses }) ?? true { least = (entry, hash) }
                entry.uses -= 1
                main.push(hash)
            } else {
                break
            }
        }
        // Its place stays behind, as that of a key that was deleted.
        return least
    }

    /// Once the places of keys that are gone are as many as the keys, each new key clears two of them away.
    private mutating func sweep(_ table: borrowing EntryTable) {
        guard count > 2 * table.count + 1024 else { return }
        for _ in 0..<2 {
            if small.count > 0 {
                if let (entry, hash) = table.find(small.pop()), entry.place == .small { small.push(hash) }
            }
            if main.count > 0 {
                if let (entry, hash) = table.find(main.pop()), entry.place == .main { main.push(hash) }
            }
        }
    }
}

/// Hashes, first in, first out, in blocks of 512 bytes: it grows without ever being moved as a whole.
struct HashQueue: ~Copyable {
    /// 99 hashes of 5 bytes and the address of the next block, which `malloc` makes 512 bytes of: a small keyspace has 32 queues, too.
    private static let blockCount = 99
    private static let hashBytes = 5
    private static let blockBytes = 504

    private var head: UnsafeMutableRawPointer?
    private var tail: UnsafeMutableRawPointer?
    private var headIndex = 0
    private var tailIndex = 0
    private var blocks = 0
    private(set) var count = 0

    init() {}

    deinit {
        var block = head
        while let current = block {
            block = Self.next(current)
            free(current)
        }
    }

    var bytes: Int { blocks * (Self.blockBytes + 8) }

    private static func next(_ block: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? { block.load(as: UnsafeMutableRawPointer?.self) }

    /// Where a hash lies: behind the address of the next block.
    private static func offset(_ index: Int) -> Int { 8 + index * hashBytes }

    mutating func push(_ hash: UInt64) {
        if tail == nil || tailIndex == Self.blockCount {
            guard let block = malloc(Self.blockBytes) else { fatalError("the system has no memory left") }
            block.storeBytes(of: nil, as: UnsafeMutableRawPointer?.self)
            if let tail { tail.storeBytes(of: block, as: UnsafeMutableRawPointer?.self) } else { head = block }
            tail = block
            tailIndex = 0
            blocks += 1
        }
        let (packed, offset) = (ShortHash(hash).packed, Self.offset(tailIndex))
        tail?.storeBytes(of: UInt32(truncatingIfNeeded: packed), toByteOffset: offset, as: UInt32.self)
        tail?.storeBytes(of: UInt8(truncatingIfNeeded: packed >> 32), toByteOffset: offset + 4, as: UInt8.self)
        tailIndex += 1
        count += 1
    }

    /// - Precondition: there is one.
    mutating func pop() -> ShortHash {
        precondition(count > 0, "nothing is queued")
        guard let block = head else { preconditionFailure("a queue has no block") }
        let offset = Self.offset(headIndex)
        let low = UInt64(block.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        let hash = ShortHash(packed: low | UInt64(block.load(fromByteOffset: offset + 4, as: UInt8.self)) << 32)
        headIndex += 1
        count -= 1
        if count == 0 {
            // The last block stays: a queue that is empty now is filled again soon.
            (headIndex, tailIndex) = (0, 0)
            if head != tail {
                head = Self.next(block)
                free(block)
                blocks -= 1
            }
        } else if headIndex == Self.blockCount {
            head = Self.next(block)
            free(block)
            blocks -= 1
            headIndex = 0
        }
        return hash
    }
}

/// Hashes of keys that left the small queue unused, for as long as the main queue is: twenty bits of each, and when it came.
///
/// A table of sets of four places, 4 bytes each; a new hash takes the oldest place of its set. Some are forgotten early, one lookup in
/// 260,000 takes another for it. What these places take of the memory, keys cannot have: with 8 bytes each, 3 % fewer were resident.
struct GhostTable: ~Copyable {
    /// Of a place, how many are its time; the others are its mark.
    private static let timeBits: UInt32 = 12
    private static let timeMask: UInt32 = (1 << timeBits) - 1
    /// Steps of time that the longest memory has: times repeat after four of these.
    private static let steps = 1024

    private var places: UnsafeMutablePointer<UInt32>?
    private var setCount = 0
    /// Insertions of one step of time.
    private var stepCount = 1
    private var insertions = 0
    private var ageMax: UInt32 = 0

    init() {}

    deinit { free(places) }

    var bytes: Int { setCount * 16 }

    /// - Parameters:
    ///   - ageMax: it is remembered for so many insertions.
    ///   - capacity: what `ageMax` can become.
    mutating func insert(_ hash: UInt64, ageMax: Int, capacity: Int) {
        if setCount * 4 < max(capacity, 64) {
            // Begun anew, empty: what is forgotten costs some keys a second way through the small queue. An eighth more, so that it is rare.
            free(places)
            setCount = (max(capacity, 64) * 9 / 8 + 3) / 4
            stepCount = max(1, setCount * 4 / Self.steps)
            insertions = 0
            guard let memory = calloc(setCount * 4, 4) else { fatalError("the system has no memory left") }
            places = memory.bindMemory(to: UInt32.self, capacity: setCount * 4)
        }
        self.ageMax = UInt32(clamping: ageMax / stepCount)
        guard let set = set(hash) else { return }
        var oldest = 0
        for index in 1..<4 where age(set[index]) > age(set[oldest]) { oldest = index }
        set[oldest] = Self.mark(hash) | now
        insertions += 1
    }

    /// - Returns: whether the hash was there.
    mutating func remove(_ hash: UInt64) -> Bool {
        guard let set = set(hash) else { return false }
        for index in 0..<4 where set[index] != 0 && set[index] & ~Self.timeMask == Self.mark(hash) {
            let isRecent = age(set[index]) <= ageMax
            set[index] = 0
            return isRecent
        }
        return false
    }

    /// From 1 on: a place that is 0 is empty.
    private var now: UInt32 { UInt32(insertions / stepCount % Int(Self.timeMask)) + 1 }

    private func age(_ place: UInt32) -> UInt32 {
        guard place != 0 else { return .max }
        let (now, time) = (now, place & Self.timeMask)
        return now >= time ? now - time : now + Self.timeMask - time
    }

    /// Bits of the hash that choose neither the set, which the upper half does, nor the shard.
    private static func mark(_ hash: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: hash & 0xFFFF | hash >> 4 & 0xF_0000) << timeBits
    }

    private func set(_ hash: UInt64) -> UnsafeMutablePointer<UInt32>? {
        places.map { $0 + 4 * Int(truncatingIfNeeded: (hash >> 32 &* UInt64(setCount)) >> 32) }
    }
}
