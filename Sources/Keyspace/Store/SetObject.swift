import RESPWire

/// The members of a set: packed while they are few and small, a table beyond.
final class SetObject: StoredObject {
    private var packed = PackedBytes()
    /// Apart: most never have one.
    private var table: UnsafeMutablePointer<EntryTable>?
    private var entryBytes = 0
    /// Whether a member was no number of 64 bits, or they were too many: without, a set is called an `intset`.
    private var isKnownText = false
    private let limits: Limits

    struct Limits {
        var integerEntries: UInt32 = 512
        var packedEntries: UInt32 = 128
        var packedBytes: UInt32 = 64
    }

    init(_ limits: Limits = Limits()) { self.limits = limits }

    deinit {
        guard let table else { return }
        table.pointee.freeEntries()
        table.deinitialize(count: 1)
        table.deallocate()
    }

    override var bytes: Int { malloc_usable_size(Unmanaged.passUnretained(self).toOpaque()) + 8 + packed.bytes + (table.map { $0.pointee.bytes + 48 } ?? 0) + entryBytes }
    override var count: Int { table?.pointee.count ?? packed.count }
    /// As Redis: once it was a table, or had a member that is no number, it is never less again.
    override var encoding: StaticString {
        if !isKnownText, count <= limits.integerEntries { return "intset" }
        return table == nil ? "listpack" : "hashtable"
    }

    override func snapshot() -> SnapshotValue {
        var members: [[UInt8]] = []
        forEach { members.append([UInt8]($0)) }
        return .set(members)
    }

    func contains(_ member: UnsafeRawBufferPointer) -> Bool {
        table != nil ? table!.pointee.find(member, KeyHash.hash(member)) != nil : packed.find(member) != nil
    }

    /// - Returns: whether the member is new.
    @discardableResult
    func insert(_ member: UnsafeRawBufferPointer) -> Bool {
        if table == nil {
            if packed.find(member) != nil { return false }
            if packed.count < limits.packedEntries, member.count <= limits.packedBytes, packed.used < PackedBytes.bytesMax {
                packed.append(member)
                note(member)
                return true
            }
            convert()
        }
        let hash = KeyHash.hash(member)
        guard table!.pointee.find(member, hash) == nil else { return false }
        let entry = Entry.make(key: member, valueCount: 0)
        entryBytes += entry.bytes
        table!.pointee.insert(entry, hash)
        note(member)
        return true
    }

    private func note(_ member: UnsafeRawBufferPointer) {
        if !isKnownText, DecimalText.parse(member) == nil || count > limits.integerEntries { isKnownText = true }
    }

    func remove(_ member: UnsafeRawBufferPointer) -> Bool {
        if table != nil {
            let hash = KeyHash.hash(member)
            guard let entry = table!.pointee.find(member, hash) else { return false }
            entryBytes -= entry.bytes
            table!.pointee.remove(entry, hash)
            entry.free()
            return true
        }
        guard let place = packed.find(member) else { return false }
        packed.remove(at: place)
        return true
    }

    func forEach(_ body: (UnsafeRawBufferPointer) -> Void) {
        if table != nil { table!.pointee.forEach { body($0.key) } } else { packed.forEach(body) }
    }

    /// Hands out some members; see ``EntryTable/scan(_:_:)``.
    func scan(_ cursor: UInt32, _ body: (UnsafeRawBufferPointer) -> Void) -> UInt32? {
        if table != nil { return table!.pointee.scan(cursor) { body($0.key) } }
        packed.forEach(body)
        return nil
    }

    /// Some member: each about as likely as any other.
    func random(_ random: inout some RandomNumberGenerator) -> UnsafeRawBufferPointer? {
        if table != nil { return table!.pointee.random(&random)?.key }
        guard packed.count > 0 else { return nil }
        return packed.offset(of: Int.random(in: 0..<packed.count, using: &random)).map { packed.element($0) }
    }

    private func convert() {
        let table = UnsafeMutablePointer<EntryTable>.allocate(capacity: 1)
        table.initialize(to: EntryTable())
        var bytes = 0
        packed.forEach { member in
            let entry = Entry.make(key: member, valueCount: 0)
            bytes += entry.bytes
            table.pointee.insert(entry, KeyHash.hash(member))
        }
        self.table = table
        entryBytes = bytes
        packed.removeAll()
    }
}
