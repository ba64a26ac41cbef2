import RESPWire

/// The members of a set: numbers as such, others packed while they are few and small, a table beyond.
final class SetObject: StoredObject {
    /// All members are numbers of 64 bits, and never were too many for an `intset`. As Redis: what is none any more never is one again.
    private var isNumbers = true
    private let limits: Limits
    private var members = PackedOrTable<OwnedEntries>()

    /// Each at most 65,535.
    struct Limits {
        private(set) var integerEntries: UInt16
        private(set) var packedEntries: UInt16
        private(set) var packedBytes: UInt16

        /// - Parameters:
        ///   - integerEntries: numbers of which it is called an `intset` (`set-max-intset-entries`).
        ///   - packedEntries: members that are kept packed (`set-max-listpack-entries`).
        ///   - packedBytes: the longest that is (`set-max-listpack-value`).
        init(integerEntries: Int = 512, packedEntries: Int = 128, packedBytes: Int = 64) {
            self.integerEntries = UInt16(clamping: integerEntries)
            self.packedEntries = UInt16(clamping: packedEntries)
            self.packedBytes = UInt16(clamping: packedBytes)
        }
    }

    init(_ limits: Limits = Limits()) { self.limits = limits }

    override var elementBytes: Int { members.blockBytes + (members.table.map { $0.pointee.bytes } ?? 0) }
    override var count: Int {
        if isNumbers { return members.numbers.count }
        return members.table.map { $0.pointee.count } ?? members.packed.count
    }
    override var encoding: StaticString { isNumbers ? "intset" : isTable ? "hashtable" : "listpack" }
    override var isTable: Bool { members.table != nil }

    override func snapshot() -> SnapshotValue {
        var members: [[UInt8]] = []
        members.reserveCapacity(count)
        forEach { members.append([UInt8]($0)) }
        return .set(members)
    }

    func contains(_ member: UnsafeRawBufferPointer) -> Bool {
        if isNumbers { return DecimalText.parse(member).map { members.numbers.contains($0) } ?? false }
        if let table = members.table { return table.pointee.find(member) != nil }
        return members.packed.find(member) != nil
    }

    /// - Returns: whether the member is new.
    @discardableResult
    func insert(_ member: UnsafeRawBufferPointer) -> Bool {
        if isNumbers {
            if let number = DecimalText.parse(member) {
                if members.numbers.count < limits.integerEntries { return members.numbers.insert(number) }
                if members.numbers.contains(number) { return false }
                // More than are an `intset` are a table at once, as in Redis.
                return convert().pointee.set(member, Self.nothing)
            }
            becomeText()
        }
        if let table = members.table { return table.pointee.set(member, Self.nothing) }
        let packed = members.packed
        if packed.find(member) != nil { return false }
        guard packed.count < limits.packedEntries, member.count <= limits.packedBytes, packed.used < PackedBytes.bytesMax else {
            return convert().pointee.set(member, Self.nothing)
        }
        members.packed.append(member)
        return true
    }

    private func becomeText() {
        isNumbers = false
        let numbers = IntegerSet(members.removeBlock())
        numbers.forEach(0..<numbers.count) { insert($0) }
        numbers.deallocate()
    }

    /// What a member's entry has for a value.
    private static var nothing: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

    func remove(_ member: UnsafeRawBufferPointer) -> Bool {
        if isNumbers { return DecimalText.parse(member).map { members.numbers.remove($0) } ?? false }
        if let table = members.table { return table.pointee.remove(member) }
        guard let place = members.packed.find(member) else { return false }
        members.packed.remove(at: place)
        return true
    }

    func forEach(_ body: (UnsafeRawBufferPointer) -> Void) {
        if isNumbers { return members.numbers.forEach(0..<count, body) }
        if let table = members.table { table.pointee.forEach { body($0.key) } } else { members.packed.forEach(body) }
    }

    /// Hands out some members; see ``EntryTable/scan(_:_:)``.
    func scan(_ cursor: UInt32, _ body: (UnsafeRawBufferPointer) -> Void) -> UInt32? {
        if !isNumbers, let table = members.table { return table.pointee.scan(cursor) { body($0.key) } }
        forEach(body)
        return nil
    }

    /// Some member: each about as likely as any other.
    func random(_ random: inout some RandomNumberGenerator) -> [UInt8]? {
        if !isNumbers, let table = members.table { return table.pointee.random(&random).map { [UInt8]($0.key) } }
        guard count > 0 else { return nil }
        let index = Int.random(in: 0..<count, using: &random)
        guard isNumbers else { return members.packed.offset(of: index).map { [UInt8](members.packed.element($0)) } }
        var found: [UInt8] = []
        members.numbers.forEach(index..<index + 1) { found = [UInt8]($0) }
        return found
    }

    private func convert() -> UnsafeMutablePointer<OwnedEntries> {
        var table = OwnedEntries()
        forEach { _ = table.set($0, Self.nothing) }
        isNumbers = false
        return members.become(table)
    }
}
