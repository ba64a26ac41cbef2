/// A table that owns its entries, whose values own nothing, and counts their memory: the fields of a hash, the members of a set.
struct OwnedEntries: ~Copyable {
    private var table = EntryTable()
    private var entryBytes = 0

    init() {}

    deinit { table.forEach { $0.free() } }

    /// Without the memory that this takes itself.
    var bytes: Int { table.bytes + entryBytes }
    var count: Int { table.count }

    @inline(__always) func find(_ key: UnsafeRawBufferPointer) -> Entry? { table.find(key, KeyHash.hash(key)) }

    func forEach(_ body: (Entry) -> Void) { table.forEach(body) }
    func scan(_ cursor: UInt32, _ body: (Entry) -> Void) -> UInt32? { table.scan(cursor, body) }
    func random(_ random: inout some RandomNumberGenerator) -> Entry? { table.random(&random) }

    /// - Returns: whether the key is new.
    mutating func set(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool {
        let hash = KeyHash.hash(key)
        let old = table.find(key, hash)
        if let old, value.count <= old.valueCapacity, old.valueCapacity - value.count <= value.count / 4 + 32 {
            old.valueCount = value.count
            if value.count > 0 { old.mutableValue.copyMemory(from: value) }
            return false
        }
        let new = Entry.make(key: key, valueCount: value.count)
        if value.count > 0 { new.mutableValue.copyMemory(from: value) }
        entryBytes += new.bytes
        guard let old else {
            table.insert(new, hash)
            return true
        }
        entryBytes -= old.bytes
        table.replace(old, with: new, hash)
        old.free()
        return false
    }

    mutating func remove(_ key: UnsafeRawBufferPointer) -> Bool {
        let hash = KeyHash.hash(key)
        guard let entry = table.find(key, hash) else { return false }
        entryBytes -= entry.bytes
        table.remove(entry, hash)
        entry.free()
        return true
    }
}
