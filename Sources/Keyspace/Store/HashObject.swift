/// The fields of a hash: packed while they are few and small, a table beyond.
final class HashObject: StoredObject {
    private let entriesMax: UInt16
    private let valueBytesMax: UInt16
    private var fields = PackedOrTable<OwnedEntries>()

    /// - Parameters:
    ///   - entriesMax: fields that are kept packed (`hash-max-listpack-entries`), at most 65,535.
    ///   - valueBytesMax: the longest name or value that is (`hash-max-listpack-value`), at most 65,535.
    init(entriesMax: Int = 512, valueBytesMax: Int = 64) {
        self.entriesMax = UInt16(clamping: entriesMax)
        self.valueBytesMax = UInt16(clamping: valueBytesMax)
    }

    override var elementBytes: Int { fields.blockBytes + (fields.table.map { $0.pointee.bytes } ?? 0) }
    override var count: Int { fields.table.map { $0.pointee.count } ?? fields.packed.count / 2 }
    override var encoding: StaticString { isTable ? "hashtable" : "listpack" }
    override var isTable: Bool { fields.table != nil }

    override func snapshot() -> SnapshotValue {
        var fields: [SnapshotValue.Field] = []
        forEach { fields.append(.init(name: [UInt8]($0), value: [UInt8]($1))) }
        return .hash(fields)
    }

    func value(_ field: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        if let table = fields.table { return table.pointee.find(field)?.value }
        let packed = fields.packed
        guard let place = packed.find(field, stride: 2), let value = packed.next(place) else { return nil }
        return packed.element(value)
    }

    /// - Returns: whether the field is new.
    func set(_ field: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool {
        if let table = fields.table { return table.pointee.set(field, value) }
        let packed = fields.packed
        guard field.count <= valueBytesMax, value.count <= valueBytesMax, packed.used < PackedBytes.bytesMax else { return convert().pointee.set(field, value) }
        if let place = packed.find(field, stride: 2), let old = packed.next(place) {
            fields.packed.replace(at: old, with: value)
            return false
        }
        guard packed.count / 2 < entriesMax else { return convert().pointee.set(field, value) }
        fields.packed.append(field)
        fields.packed.append(value)
        return true
    }

    func remove(_ field: UnsafeRawBufferPointer) -> Bool {
        if let table = fields.table { return table.pointee.remove(field) }
        guard let place = fields.packed.find(field, stride: 2) else { return false }
        fields.packed.remove(at: place, count: 2)
        return true
    }

    func forEach(_ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void) {
        if let table = fields.table { return table.pointee.forEach { body($0.key, $0.value) } }
        let packed = fields.packed
        var place = packed.first
        while let field = place, let value = packed.next(field) {
            body(packed.element(field), packed.element(value))
            place = packed.next(value)
        }
    }

    /// Hands out some fields; see ``EntryTable/scan(_:_:)``.
    func scan(_ cursor: UInt32, _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void) -> UInt32? {
        if let table = fields.table { return table.pointee.scan(cursor) { body($0.key, $0.value) } }
        forEach(body)
        return nil
    }

    /// Some field: each about as likely as any other.
    func random(_ random: inout some RandomNumberGenerator) -> (field: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)? {
        if let table = fields.table { return table.pointee.random(&random).map { ($0.key, $0.value) } }
        let packed = fields.packed
        guard packed.count > 0, let field = packed.offset(of: 2 * Int.random(in: 0..<packed.count / 2, using: &random)),
            let value = packed.next(field)
        else { return nil }
        return (packed.element(field), packed.element(value))
    }

    private func convert() -> UnsafeMutablePointer<OwnedEntries> {
        var table = OwnedEntries()
        forEach { _ = table.set($0, $1) }
        return fields.become(table)
    }
}
