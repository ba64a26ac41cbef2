#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Members with scores: a table by member, and blocks of them in order of score, then of bytes.
///
/// All ranges, whatever they are given by, become ranges of ranks: the first rank that is not before a bound is found by halving, over
/// the blocks and within one. A block holds 128 to 256 members; a million members make some 5,000 blocks, whose counts are added up in
/// about two microseconds when a rank is asked for, which costs less than a tree's cache misses and no memory.
struct SortedSetTable: ~Copyable {
    private static let blockMax = 256
    private static let blockMin = 4

    private final class Block {
        private(set) var entries: UnsafeMutablePointer<Entry>
        private(set) var capacity: Int
        var count = 0

        init(capacity: Int) {
            self.capacity = capacity
            entries = .allocate(capacity: capacity)
        }
        deinit { entries.deallocate() }

        /// - Returns: for how many more there is room now.
        func reserve(_ wanted: Int) -> Int {
            guard wanted > capacity else { return 0 }
            let larger = min(max(2 * capacity, wanted), SortedSetTable.blockMax)
            let moved = UnsafeMutablePointer<Entry>.allocate(capacity: larger)
            memcpy(moved, entries, count * MemoryLayout<Entry>.stride)
            entries.deallocate()
            defer { (entries, capacity) = (moved, larger) }
            return larger - capacity
        }

        func insert(_ entry: Entry, at index: Int) {
            memmove(entries + index + 1, entries + index, (count - index) * MemoryLayout<Entry>.stride)
            entries[index] = entry
            count += 1
        }

        func remove(at index: Int) {
            memmove(entries + index, entries + index + 1, (count - index - 1) * MemoryLayout<Entry>.stride)
            count -= 1
        }
    }

    private var table = EntryTable()
    private var blocks: [Block] = []
    /// For how many entries the blocks have room: a small set's for few.
    private var slots = 0
    private var entryBytes = 0

    init() {}

    deinit { table.forEach { $0.free() } }

    /// Without the memory that this takes itself.
    var bytes: Int {
        table.bytes + entryBytes + blocks.capacity * 8 + 32 + slots * MemoryLayout<Entry>.stride + blocks.count * (16 + 48)
    }
    var count: Int { table.count }

    // MARK: Members

    func score(_ member: UnsafeRawBufferPointer) -> Double? { table.find(member, KeyHash.hash(member))?.score }

    /// Gives a member a score, which is a number.
    mutating func set(_ member: UnsafeRawBufferPointer, _ score: Double) -> SortedSetObject.Change {
        assert(!score.isNaN)
        let hash = KeyHash.hash(member)
        if let entry = table.find(member, hash) {
            if entry.score == score { return .same }
            takeOut(entry)
            entry.score = score
            putIn(entry)
            return .moved
        }
        let entry = Entry.make(key: member, valueCount: 8)
        entry.score = score
        entryBytes += entry.bytes
        table.insert(entry, hash)
        putIn(entry)
        return .added
    }

    mutating func remove(_ member: UnsafeRawBufferPointer) -> Bool {
        guard let entry = table.find(member, KeyHash.hash(member)) else { return false }
        remove(entry)
        return true
    }

    private mutating func remove(_ entry: Entry) {
        takeOut(entry)
        entryBytes -= entry.bytes
        table.remove(entry, KeyHash.hash(entry.key))
        entry.free()
    }

    /// Takes out the members of some ranks.
    mutating func remove(_ ranks: Range<Int>) {
        var entries: [Entry] = []
        entries.reserveCapacity(ranks.count)
        visit(ranks) { entries.append($0) }
        for entry in entries { remove(entry) }
    }

    func rank(_ member: UnsafeRawBufferPointer) -> Int? {
        guard let entry = table.find(member, KeyHash.hash(member)) else { return nil }
        return rank { Self.isBefore($0, entry) }
    }

    // MARK: Order

    private static func isBefore(_ first: Entry, _ second: Entry) -> Bool {
        SortedSetObject.isBefore(first.key, first.score, second.key, second.score)
    }

    /// How many members a condition holds for that holds for the first ones and then for none.
    func rank(where isBefore: (_ member: UnsafeRawBufferPointer, _ score: Double) -> Bool) -> Int { rank { isBefore($0.key, $0.score) } }

    private func rank(_ isBefore: (Entry) -> Bool) -> Int {
        let block = blockIndex(isBefore)
        var rank = 0
        for index in 0..<block { rank += blocks[index].count }
        return block < blocks.count ? rank + place(blocks[block], isBefore) : rank
    }

    /// The first block whose last entry the condition does not hold for.
    private func blockIndex(_ isBefore: (Entry) -> Bool) -> Int {
        var (low, high) = (0, blocks.count)
        while low < high {
            let middle = (low + high) / 2
            if isBefore(blocks[middle].entries[blocks[middle].count - 1]) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private func place(_ block: Block, _ isBefore: (Entry) -> Bool) -> Int {
        var (low, high) = (0, block.count)
        while low < high {
            let middle = (low + high) / 2
            if isBefore(block.entries[middle]) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private mutating func putIn(_ entry: Entry) {
        var index = blockIndex { Self.isBefore($0, entry) }
        if index == blocks.count {
            if index > 0 { index -= 1 } else { add(Block(capacity: Self.blockMin), at: 0) }
        }
        if blocks[index].count == Self.blockMax {
            let (full, upper) = (blocks[index], Block(capacity: Self.blockMax))
            let half = Self.blockMax / 2
            memcpy(upper.entries, full.entries + half, half * MemoryLayout<Entry>.stride)
            upper.count = half
            full.count = half
            add(upper, at: index + 1)
            if Self.isBefore(full.entries[half - 1], entry) { index += 1 }
        }
        let block = blocks[index]
        slots += block.reserve(block.count + 1)
        block.insert(entry, at: place(block) { Self.isBefore($0, entry) })
    }

    private mutating func takeOut(_ entry: Entry) {
        let index = blockIndex { Self.isBefore($0, entry) }
        let block = blocks[index]
        let place = place(block) { Self.isBefore($0, entry) }
        precondition(block.entries[place] == entry, "a member is not where its score says")
        block.remove(at: place)
        if block.count == 0 {
            removeBlock(at: index)
        } else if index + 1 < blocks.count, block.count + blocks[index + 1].count <= Self.blockMax / 2 {
            let next = blocks[index + 1]
            slots += block.reserve(block.count + next.count)
            memcpy(block.entries + block.count, next.entries, next.count * MemoryLayout<Entry>.stride)
            block.count += next.count
            removeBlock(at: index + 1)
        }
    }

    private mutating func add(_ block: Block, at index: Int) {
        slots += block.capacity
        blocks.insert(block, at: index)
    }

    private mutating func removeBlock(at index: Int) { slots -= blocks.remove(at: index).capacity }

    // MARK: Walks

    private func visit(_ ranks: Range<Int>, _ body: (Entry) -> Void) {
        guard !ranks.isEmpty else { return }
        var (index, skip) = (0, ranks.lowerBound)
        while index < blocks.count, skip >= blocks[index].count {
            skip -= blocks[index].count
            index += 1
        }
        var left = ranks.count
        while left > 0, index < blocks.count {
            let block = blocks[index]
            let end = min(block.count, skip + left)
            for place in skip..<end { body(block.entries[place]) }
            left -= end - skip
            skip = 0
            index += 1
        }
    }

    func forEach(_ ranks: Range<Int>, _ body: (UnsafeRawBufferPointer, Double) -> Void) {
        visit(ranks) { body($0.key, $0.score) }
    }

    /// The same from the last rank to the first.
    func forEachReversed(_ ranks: Range<Int>, _ body: (UnsafeRawBufferPointer, Double) -> Void) {
        guard !ranks.isEmpty else { return }
        var (index, before) = (blocks.count - 1, table.count - (blocks.last?.count ?? 0))
        while index > 0, before >= ranks.upperBound {
            index -= 1
            before -= blocks[index].count
        }
        var place = ranks.upperBound - 1 - before
        for _ in ranks {
            body(blocks[index].entries[place].key, blocks[index].entries[place].score)
            place -= 1
            if place < 0, index > 0 {
                index -= 1
                place = blocks[index].count - 1
            }
        }
    }

    /// Hands out some members; see ``EntryTable/scan(_:_:)``.
    func scan(_ cursor: UInt32, _ body: (UnsafeRawBufferPointer, Double) -> Void) -> UInt32? {
        table.scan(cursor) { body($0.key, $0.score) }
    }

    func checkInvariants() {
        var previous: Entry?
        var total = 0
        visit(0..<count) { entry in
            if let previous { precondition(Self.isBefore(previous, entry)) }
            precondition(table.find(entry.key, KeyHash.hash(entry.key)) == entry)
            previous = entry
            total += 1
        }
        precondition(total == table.count)
        precondition(slots == blocks.reduce(0) { $0 + $1.capacity })
    }
}
