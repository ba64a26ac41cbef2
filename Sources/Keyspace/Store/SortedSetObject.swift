#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The members of a sorted set: packed while they are few and small, a table beyond.
final class SortedSetObject: StoredObject {
    private let packedEntries: UInt16
    private let packedBytes: UInt16
    /// By score, then by bytes. Packed: each a member, then its score.
    private var members = PackedOrTable<SortedSetTable>()

    /// - Parameters:
    ///   - packedEntries: members that are kept packed (`zset-max-listpack-entries`), at most 65,535.
    ///   - packedBytes: the longest that is (`zset-max-listpack-value`), at most 65,535.
    init(packedEntries: Int = 128, packedBytes: Int = 64) {
        (self.packedEntries, self.packedBytes) = (UInt16(clamping: packedEntries), UInt16(clamping: packedBytes))
    }

    override var elementBytes: Int { members.blockBytes + (members.table.map { $0.pointee.bytes } ?? 0) }
    override var count: Int { members.table.map { $0.pointee.count } ?? members.packed.count / 2 }
    override var encoding: StaticString { isTable ? "skiplist" : "listpack" }
    override var isTable: Bool { members.table != nil }

    override func snapshot() -> SnapshotValue {
        var members: [SnapshotValue.Member] = []
        members.reserveCapacity(count)
        forEach(0..<count) { members.append(.init(bytes: [UInt8]($0), score: $1)) }
        return .sortedSet(members)
    }

    // MARK: Order

    static func compare(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) -> Int {
        let common = min(first.count, second.count)
        if common > 0 {
            let order = memcmp(first.baseAddress!, second.baseAddress!, common)
            if order != 0 { return Int(order) }
        }
        return first.count - second.count
    }

    static func isBefore(
        _ first: UnsafeRawBufferPointer, _ firstScore: Double, _ second: UnsafeRawBufferPointer, _ secondScore: Double
    ) -> Bool {
        firstScore != secondScore ? firstScore < secondScore : compare(first, second) < 0
    }

    // MARK: Members

    func score(_ member: UnsafeRawBufferPointer) -> Double? {
        if let table = members.table { return table.pointee.score(member) }
        return members.packed.find(member, stride: 2).map { score(at: $0) }
    }

    enum Change {
        case added, moved, same
    }

    /// Gives a member a score, which is a number. The member's bytes are not of this set.
    @discardableResult
    func set(_ member: UnsafeRawBufferPointer, _ score: Double) -> Change {
        assert(!score.isNaN)
        if let table = members.table { return table.pointee.set(member, score) }
        if let place = members.packed.find(member, stride: 2) {
            if self.score(at: place) == score { return .same }
            members.packed.remove(at: place, count: 2)
            insert(member, score)
            return .moved
        }
        guard count < packedEntries, member.count <= packedBytes, members.packed.used < PackedBytes.bytesMax else { return convert().pointee.set(member, score) }
        insert(member, score)
        return .added
    }

    func remove(_ member: UnsafeRawBufferPointer) -> Bool {
        if let table = members.table { return table.pointee.remove(member) }
        guard let place = members.packed.find(member, stride: 2) else { return false }
        members.packed.remove(at: place, count: 2)
        return true
    }

    /// Takes out the members of some ranks.
    func remove(_ ranks: Range<Int>) {
        if let table = members.table { return table.pointee.remove(ranks) }
        guard let place = members.packed.offset(of: 2 * ranks.lowerBound), !ranks.isEmpty else { return }
        members.packed.remove(at: place, count: 2 * ranks.count)
    }

    func rank(_ member: UnsafeRawBufferPointer) -> Int? {
        if let table = members.table { return table.pointee.rank(member) }
        guard let score = score(member) else { return nil }
        return rank { Self.isBefore($0, $1, member, score) }
    }

    /// How many members a condition holds for that holds for the first ones and then for none.
    func rank(where isBefore: (_ member: UnsafeRawBufferPointer, _ score: Double) -> Bool) -> Int {
        if let table = members.table { return table.pointee.rank(where: isBefore) }
        var rank = 0
        var place = members.packed.first
        while let member = place, isBefore(members.packed.element(member), score(at: member)) {
            rank += 1
            place = following(member)
        }
        return rank
    }

    func rank(score: Double, inclusive: Bool) -> Int { rank { inclusive ? $1 <= score : $1 < score } }

    private func score(at member: Int) -> Double { members.packed.next(member).map { PackedScore.read(members.packed.element($0)) } ?? 0 }

    private func following(_ member: Int) -> Int? { members.packed.next(member).flatMap { members.packed.next($0) } }

    private func insert(_ member: UnsafeRawBufferPointer, _ score: Double) {
        let index = 2 * rank { Self.isBefore($0, $1, member, score) }
        PackedScore.withBytes(score) { score in
            for element in [score, member] {
                if let place = members.packed.offset(of: index) { members.packed.insert(element, at: place) } else { members.packed.append(element) }
            }
        }
    }

    private func convert() -> UnsafeMutablePointer<SortedSetTable> {
        var table = SortedSetTable()
        forEach(0..<count) { _ = table.set($0, $1) }
        return members.become(table)
    }

    // MARK: Walks

    func forEach(_ ranks: Range<Int>, _ body: (UnsafeRawBufferPointer, Double) -> Void) {
        if let table = members.table { return table.pointee.forEach(ranks, body) }
        var place = members.packed.offset(of: 2 * ranks.lowerBound)
        for _ in ranks {
            guard let member = place else { return }
            body(members.packed.element(member), score(at: member))
            place = following(member)
        }
    }

    /// The same from the last rank to the first.
    func forEachReversed(_ ranks: Range<Int>, _ body: (UnsafeRawBufferPointer, Double) -> Void) {
        if let table = members.table { return table.pointee.forEachReversed(ranks, body) }
        guard !ranks.isEmpty else { return }
        var place = members.packed.offset(of: 2 * (ranks.upperBound - 1))
        for _ in ranks {
            guard let member = place else { return }
            body(members.packed.element(member), score(at: member))
            place = members.packed.previous(member).flatMap { members.packed.previous($0) }
        }
    }

    /// Hands out some members; see ``EntryTable/scan(_:hashesMax:_:)``.
    func scan(_ cursor: UInt32, _ body: (UnsafeRawBufferPointer, Double) -> Void) -> UInt32? {
        if let table = members.table { return table.pointee.scan(cursor, body) }
        forEach(0..<count, body)
        return nil
    }

    func checkInvariants() {
        if let table = members.table { return table.pointee.checkInvariants() }
        var previous: ([UInt8], Double)?
        var total = 0
        forEach(0..<count) { member, score in
            if let previous { precondition(previous.0.withUnsafeBytes { Self.isBefore($0, previous.1, member, score) }) }
            previous = ([UInt8](member), score)
            total += 1
        }
        precondition(total == count)
    }
}
