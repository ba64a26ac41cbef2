/// The fields of a hash: packed while they are few and small, a table beyond.
final class HashObject: StoredObject {
    private var packed = PackedBytes()
    /// Apart: most never have one.
    private var table: UnsafeMutablePointer<EntryTable>?
    private var entryBytes = 0
    private let entriesMax: UInt32
    private let valueBytesMax: UInt32

    /// - Parameters:
    ///   - entriesMax: fields that are kept packed (`hash-max-listpack-entries`).
    ///   - valueBytesMax: the longest name or value that is (`hash-max-listpack-value`).
    init(entriesMax: Int = 512, valueBytesMax: Int = 64) {
        self.entriesMax = UInt32(clamping: entriesMax)
        self.valueBytesMax = UInt32(clamping: valueBytesMax)
    }

    deinit {
        guard let table else { return }
        table.pointee.freeEntries()
        table.deinitialize(count: 1)
        table.deallocate()
    }

    override var bytes: Int { malloc_usable_size(Unmanaged.passUnretained(self).toOpaque()) + 8 + packed.bytes + (table.map { $0.pointee.bytes + 48 } ?? 0) + entryBytes }
    override var count: Int { table?.pointee.count ?? packed.count / 2 }
    override var encoding: StaticString { isTable ? "hashtable" : "listpack" }
    private var isTable: Bool { table != nil }

    override func snapshot() -> SnapshotValue {
        var fields: [SnapshotValue.Field] = []
        forEach { fields.append(.init(name: [UInt8]($0), value: [UInt8]($1))) }
        return .hash(fields)
    }

    func value(_ field: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        if isTable { return table!.pointee.find(field, KeyHash.hash(field))?.value }
        guard let place = packed.find(field, stride: 2), let value = packed.next(place) else { return nil }
        return packed.element(value)
    }

    /// - Returns: whether the field is new.
    func set(_ field: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool {
        if !isTable {
            let fits = field.count <= valueBytesMax && value.count <= valueBytesMax
            if fits, let place = packed.find(field, stride: 2), let old = packed.next(place) {
                packed.replace(at: old, with: value)
                return false
            }
            if fits, packed.count / 2 < entriesMax, packed.used < PackedBytes.bytesMax {
                packed.append(field)
                packed.append(value)
                return true
            }
            convert()
        }
        let hash = KeyHash.hash(field)
        let old = table!.pointee.find(field, hash)
        if let old, value.count <= old.valueCapacity, old.valueCapacity - value.count <= value.count / 4 + 32 {
            old.valueCount = value.count
            if value.count > 0 { old.mutableValue.copyMemory(from: value) }
            return false
        }
        let new = Entry.make(key: field, valueCount: value.count)
        if value.count > 0 { new.mutableValue.copyMemory(from: value) }
        entryBytes += new.bytes
        if let old {
            entryBytes -= old.bytes
            table!.pointee.replace(old, with: new, hash)
            old.free()
            return false
        }
        table!.pointee.insert(new, hash)
        return true
    }

    func remove(_ field: UnsafeRawBufferPointer) -> Bool {
        if isTable {
            let hash = KeyHash.hash(field)
            guard let entry = table!.pointee.find(field, hash) else { return false }
            entryBytes -= entry.bytes
            table!.pointee.remove(entry, hash)
            entry.free()
            return true
        }
        guard let place = packed.find(field, stride: 2) else { return false }
        packed.remove(at: place, count: 2)
        return true
    }

    func forEach(_ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void) {
        if isTable { return table!.pointee.forEach { body($0.key, $0.value) } }
        var place = packed.first
        while let field = place, let value = packed.next(field) {
            body(packed.element(field), packed.element(value))
            place = packed.next(value)
        }
    }

    /// Hands out some fields; see ``EntryTable/scan(_:_:)``.
    func scan(_ cursor: UInt32, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void) -> UInt32? {
        if isTable { return table!.pointee.scan(cursor) { body($0.key, $0.value) } }
        forEach(body)
        return nil
    }

    /// Some field: each about as likely as any other.
    func random(_ random: inout some RandomNumberGenerator) -> (field: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)? {
        if isTable { return table!.pointee.random(&random).map { ($0.key, $0.value) } }
        guard packed.count > 0, let field = packed.offset(of: 2 * Int.random(in: 0..<packed.count / 2, using: &random)),
            let value = packed.next(field)
        else { return nil }
        return (packed.element(field), packed.element(value))
    }

    private func convert() {
        let table = UnsafeMutablePointer<EntryTable>.allocate(capacity: 1)
        table.initialize(to: EntryTable())
        var bytes = 0
        forEach { field, value in
            let entry = Entry.make(key: field, valueCount: value.count)
            if value.count > 0 { entry.mutableValue.copyMemory(from: value) }
            bytes += entry.bytes
            table.pointee.insert(entry, KeyHash.hash(field))
        }
        self.table = table
        entryBytes = bytes
        packed.removeAll()
    }
}
