#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// One database's keys within one shard: the table, the deadlines, and an exact count of the memory that they take.
///
/// Knows no commands and no clock. Entries that it gives out are valid until the next change of the same key.
struct Database: ~Copyable {
    /// What becomes of a key's deadline when its value is replaced.
    enum DeadlineChange {
        case clear, keep
        case set(Int64)
    }

    private var table = EntryTable()
    private var expiry = ExpiryHeap()
    private var entryBytes = 0
    /// Empty unless the policy is `allkeys-s3fifo`.
    private var queues = KeyQueues()

    /// Takes what is long to free; `nil` where everything is freed at once.
    private let discarder: Discarder?

    init(discarder: Discarder? = nil) { self.discarder = discarder }

    deinit {
        table.forEach {
            $0.releaseObject()
            $0.free()
        }
    }

    var count: Int { table.count }
    var expiringCount: Int { expiry.count }
    /// Memory of all keys, values and bookkeeping.
    var bytes: Int { table.bytes + expiry.bytes + entryBytes + queues.bytes }

    /// What of ``bytes`` leads to the keys, and is none.
    var tableBytes: Int { table.bytes + expiry.bytes + queues.bytes }

    var expiryBytes: Int { expiry.bytes }

    /// What of ``bytes`` the keyspace's sum has not heard of.
    var unpublishedBytes: Int { bytes - publishedBytes }
    private var publishedBytes = 0
    var publishedTotal: Int { publishedBytes }
    mutating func published() { publishedBytes = bytes }

    @inline(__always)
    func find(_ key: Key) -> Entry? { table.find(key.bytes, key.hash) }

    /// See ``EntryTable/reserve(_:)``.
    mutating func reserve(_ entryCount: Int) { table.reserve(entryCount) }

    /// See ``EntryTable/giveBackReserve()``.
    mutating func giveBackReserve() { table.giveBackReserve() }

    /// See ``EntryTable/prefetchDirectory(_:)``.
    @inline(__always)
    func prefetchDirectory(_ hash: UInt64) { table.prefetchDirectory(hash) }

    /// See ``EntryTable/prefetchSegment(_:)``.
    @inline(__always)
    func prefetchSegment(_ hash: UInt64) { table.prefetchSegment(hash) }

    // MARK: Strings

    /// Gives a key a string, whatever it held.
    mutating func setString(_ key: Key, _ value: UnsafeRawBufferPointer, _ change: DeadlineChange) -> Entry {
        let entry = resize(key, to: value.count, change)
        if let start = value.baseAddress, value.count > 0 { memcpy(entry.mutableValue.baseAddress!, start, value.count) }
        return entry
    }

    /// Makes a key a string of a length; the bytes are the caller's to write.
    private mutating func resize(_ key: Key, to count: Int, _ change: DeadlineChange) -> Entry {
        guard let old = find(key) else {
            var isExpiring = false
            if case .set = change { isExpiring = true }
            let new = Entry.make(key: key.bytes, valueCount: count, expires: isExpiring)
            if case .set(let deadline) = change {
                new.deadline = deadline
                expiry.insert(new)
            }
            entryBytes += new.bytes
            table.insert(new, key.hash)
            return new
        }
        let willExpire =
            switch change {
            case .clear: false
            case .keep: old.expires
            case .set: true
            }
        // In place, unless that would waste more than it saves.
        if old.type == .string, old.expires == willExpire, fits(old, count) {
            old.valueCount = count
            old.flags.remove(.raw)
            if case .set(let deadline) = change {
                old.deadline = deadline
                expiry.update(old)
            }
            return old
        }
        let kept = old.expires ? old.deadline : 0
        forget(old)
        let new = Entry.make(key: old.key, valueCount: count, expires: willExpire)
        new.frequency = old.frequency
        new.lastUse = old.lastUse
        new.uses = old.uses
        new.place = old.place
        table.replace(old, with: new, key.hash)
        free(old)
        entryBytes += new.bytes
        if willExpire {
            if case .set(let deadline) = change { new.deadline = deadline } else { new.deadline = kept }
            expiry.insert(new)
        }
        return new
    }

    @inline(__always)
    private func fits(_ entry: Entry, _ count: Int) -> Bool {
        // So it was when the entry was made, or written last.
        if count == entry.valueCount, !entry.flags.contains(.raw) { return true }
        let capacity = entry.valueCapacity
        return count <= capacity && capacity - count <= count / 4 + 32
    }

    /// Takes an entry out of the heap and the count, its object with it.
    /// - Parameter isKept: whether the object goes to another key.
    private mutating func forget(_ entry: Entry, isKept: Bool = false) {
        entryBytes -= entry.bytes
        if entry.expires { expiry.remove(entry) }
        guard entry.type != .string else { return }
        let object = uncount(entry)
        let isLong = object.count >= Discarder.countMin || object.bytes >= Discarder.bytesMin
        if isLong, !isKept, let discarder, discarder.add(entry.ownedObject, bytes: object.bytes) { return }
        entry.releaseObject()
    }

    /// Takes an entry's object out of the count.
    /// - Returns: what is in it.
    private mutating func uncount(_ entry: Entry) -> (count: Int, bytes: Int) {
        let object = entry.object(as: StoredObject.self)
        let bytes = object.accountedBytes
        entryBytes -= bytes
        object.accountedBytes = 0
        object.isStored = false
        return (object.count, bytes)
    }

    private func free(_ entry: Entry) {
        if entry.valueCount >= Discarder.bytesMin, let discarder, discarder.add(block: entry.block, bytes: entry.bytes) { return }
        entry.free()
    }

    /// Lets a string have another length; bytes that are added are zero. Grows with room to spare, for more is likely to follow.
    mutating func extend(_ entry: Entry, _ hash: UInt64, to count: Int) -> Entry {
        let old = entry.valueCount
        var entry = entry
        if count > entry.valueCapacity {
            let spare = min(count, 1 << 20)
            entry = move(entry, hash, expires: entry.expires, valueCapacity: count + spare)
        }
        entry.valueCount = count
        entry.flags.insert(.raw)
        if count > old { memset(entry.mutableValue.baseAddress! + old, 0, count - old) }
        return entry
    }

    private mutating func move(_ old: Entry, _ hash: UInt64, expires: Bool, valueCapacity: Int) -> Entry {
        entryBytes -= old.bytes
        if old.expires, !expires { expiry.remove(old) }
        let wasExpiring = old.expires
        let new = old.moved(expires: expires, valueCount: old.valueCount, valueCapacity: valueCapacity)
        table.replace(old, with: new, hash)
        if wasExpiring, expires { expiry.update(new) }
        entryBytes += new.bytes
        return new
    }

    // MARK: Objects

    /// Gives a key an object, whatever it held.
    mutating func setObject(_ key: Key, _ object: StoredObject, _ type: ValueType, _ change: DeadlineChange = .clear) {
        let entry = resize(key, to: 8, change)
        entry.flags.remove(.raw)
        entry.adopt(object, type: type)
        object.isStored = true
        settle(object)
    }

    /// Counts what an object takes now.
    mutating func settle(_ object: StoredObject) {
        guard object.isStored else { return }
        let now = object.bytes
        entryBytes += now - object.accountedBytes
        object.accountedBytes = now
    }

    // MARK: Removal, deadlines

    mutating func remove(_ entry: Entry, _ hash: UInt64) {
        forget(entry)
        table.remove(entry, hash)
        free(entry)
    }

    /// Takes an entry out and leaves its object alone, for the caller to store under another key.
    mutating func detach(_ entry: Entry, _ hash: UInt64) -> StoredObject {
        let object = entry.object(as: StoredObject.self)
        forget(entry, isKept: true)
        table.remove(entry, hash)
        free(entry)
        return object
    }

    /// Sets, moves or clears a deadline (milliseconds since 1970).
    mutating func setDeadline(_ entry: Entry, _ hash: UInt64, _ deadline: Int64?) {
        guard let deadline else {
            if entry.expires { _ = move(entry, hash, expires: false, valueCapacity: entry.valueCount) }
            return
        }
        if entry.expires {
            entry.deadline = deadline
            expiry.update(entry)
            return
        }
        let new = move(entry, hash, expires: true, valueCapacity: entry.valueCount)
        new.deadline = deadline
        expiry.insert(new)
    }

    /// The entry that expires next.
    var nextToExpire: Entry? { expiry.first }

    // MARK: Queues of keys

    mutating func queue(_ entry: Entry, _ hash: UInt64) { queues.added(entry, hash, in: table) }

    mutating func adopt(_ entry: Entry, _ hash: UInt64) { queues.adopted(entry, hash) }

    /// Who leaves next by S3-FIFO; `nil` when nobody is queued.
    mutating func nextByQueue() -> Entry? { queues.victim(in: table)?.entry }

    /// Whether keys are in no queue: those from before the policy.
    var hasUnqueued: Bool { queues.count < table.count }

    /// Another policy is in force.
    mutating func forgetQueues() {
        if queues.count > 0 { queues = KeyQueues() }
    }

    mutating func removeAll() {
        queues = KeyQueues()
        expiry.removeAll()
        table.forEach {
            $0.releaseObject()
            $0.free()
        }
        table.removeAll()
        entryBytes = 0
    }

    // MARK: Walks

    func forEach(_ body: (Entry) -> Void) { table.forEach(body) }

    /// See ``EntryTable/scan(_:hashesMax:_:)``.
    func scan(_ cursor: UInt32, hashesMax: UInt32 = .max, _ body: (Entry) -> Void) -> UInt32? { table.scan(cursor, hashesMax: hashesMax, body) }

    func random(_ random: inout some RandomNumberGenerator) -> Entry? { table.random(&random) }

    func randomExpiring(_ random: inout some RandomNumberGenerator) -> Entry? {
        expiry.count > 0 ? expiry[Int.random(in: 0..<expiry.count, using: &random)] : nil
    }

    func checkInvariants() {
        table.checkInvariants()
        expiry.checkInvariants()
        var sum = 0
        var expiring = 0
        table.forEach { entry in
            sum += entry.bytes
            if entry.expires { expiring += 1 }
            guard entry.type != .string else { return }
            let object = entry.object(as: StoredObject.self)
            precondition(object.bytes == object.accountedBytes && object.count > 0)
            sum += object.bytes
        }
        precondition(sum == entryBytes && expiring == expiry.count)
    }
}
