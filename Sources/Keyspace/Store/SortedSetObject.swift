#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The members of a sorted set: packed while they are few and small, a table beyond.
final class SortedSetObject: StoredObject {
    /// By score, then by bytes: each a member, then its score as the eight bytes that memory has for it.
    private var packed = PackedBytes()
    private var table: SortedSetTable?
    private let packedEntries: UInt32
    private let packedBytes: UInt32

    /// - Parameters:
    ///   - packedEntries: members that are kept packed (`zset-max-listpack-entries`).
    ///   - packedBytes: the longest that is (`zset-max-listpack-value`).
    init(packedEntries: Int = 128, packedBytes: Int = 64) {
        (self.packedEntries, self.packedBytes) = (UInt32(clamping: packedEntries), UInt32(clamping: packedBytes))
    }

    override var bytes: Int { malloc_usable_size(Unmanaged.passUnretained(self).toOpaque()) + 8 + packed.bytes + (table?.bytes ?? 0) }
    override var count: Int { table?.count ?? packed.count / 2 }
    override var encoding: StaticString { table == nil ? "listpack" : "skiplist" }

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
        if let table { return table.score(member) }
        return packed.find(member, stride: 2).map { score(at: $0) }
    }

    enum Change {
        case added, moved, same
    }

    /// Gives a member a score, which is a number. The member's bytes are not of this set.
    @discardableResult
    func set(_ member: UnsafeRawBufferPointer, _ score: Double) -> Change {
        assert(!score.isNaN)
        if let table { return table.set(member, score) }
        if let place = packed.find(member, stride: 2) {
            if self.score(at: place) == score { return .same }
            packed.remove(at: place, count: 2)
            insert(member, score)
            return .moved
        }
        guard count < packedEntries, member.count <= packedBytes, packed.used < PackedBytes.bytesMax else { return convert().set(member, score) }
        insert(member, score)
        return .added
    }

    func remove(_ member: UnsafeRawBufferPointer) -> Bool {
        if let table { return table.remove(member) }
        guard let place = packed.find(member, stride: 2) else { return false }
        packed.remove(at: place, count: 2)
        return true
    }

    /// Takes out the members of some ranks.
    func remove(_ ranks: Range<Int>) {
        if let table { return table.remove(ranks) }
        guard let place = packed.offset(of: 2 * ranks.lowerBound), !ranks.isEmpty else { return }
        packed.remove(at: place, count: 2 * ranks.count)
    }

    func rank(_ member: UnsafeRawBufferPointer) -> Int? {
        if let table { return table.rank(member) }
        guard let score = score(member) else { return nil }
        return rank { Self.isBefore($0, $1, member, score) }
    }

    /// How many members a condition holds for that holds for the first ones and then for none.
    func rank(where isBefore: (_ member: UnsafeRawBufferPointer, _ score: Double) -> Bool) -> Int {
        if let table { return table.rank(where: isBefore) }
        var rank = 0
        var place = packed.first
        while let member = place, isBefore(packed.element(member), score(at: member)) {
            rank += 1
            place = following(member)
        }
        return rank
    }

    func rank(score: Double, inclusive: Bool) -> Int { rank { inclusive ? $1 <= score : $1 < score } }

    private func score(at member: Int) -> Double {
        packed.next(member).map { packed.element($0).loadUnaligned(as: Double.self) } ?? 0
    }

    private func following(_ member: Int) -> Int? { packed.next(member).flatMap { packed.next($0) } }

    private func insert(_ member: UnsafeRawBufferPointer, _ score: Double) {
        let index = 2 * rank { Self.isBefore($0, $1, member, score) }
        withUnsafeBytes(of: score) { score in
            for element in [score, member] {
                if let place = packed.offset(of: index) { packed.insert(element, at: place) } else { packed.append(element) }
            }
        }
    }

    private func convert() -> SortedSetTable {
        let table = SortedSetTable()
        forEach(0..<count) { _ = table.set($0, $1) }
        self.table = table
        packed.removeAll()
        return table
    }

    // MARK: Walks

    func forEach(_ ranks: Range<Int>, _ body: (UnsafeRawBufferPointer, Double) -> Void) {
        if let table { return table.forEach(ranks, body) }
        var place = packed.offset(of: 2 * ranks.lowerBound)
        for _ in ranks {
            guard let member = place else { return }
            body(packed.element(member), score(at: member))
            place = following(member)
        }
    }

    /// The same from the last rank to the first.
    func forEachReversed(_ ranks: Range<Int>, _ body: (UnsafeRawBufferPointer, Double) -> Void) {
        if let table { return table.forEachReversed(ranks, body) }
        guard !ranks.isEmpty else { return }
        var place = packed.offset(of: 2 * (ranks.upperBound - 1))
        for _ in ranks {
            guard let member = place else { return }
            body(packed.element(member), score(at: member))
            place = packed.previous(member).flatMap { packed.previous($0) }
        }
    }

    /// Hands out some members; see ``EntryTable/scan(_:hashesMax:_:)``.
    func scan(_ cursor: UInt32, _ body: (UnsafeRawBufferPointer, Double) -> Void) -> UInt32? {
        if let table { return table.scan(cursor, body) }
        forEach(0..<count, body)
        return nil
    }

    func checkInvariants() {
        if let table { return table.checkInvariants() }
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
