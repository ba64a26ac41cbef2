#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The entries of a database that expire, the next one first.
///
/// A heap of four children with each entry's place noted in the entry: a deadline that is taken back or moved leaves nothing
/// behind, and what is due is found without looking at anything else. 16 bytes per entry.
struct ExpiryHeap: ~Copyable {
    private struct Item {
        var deadline: Int64
        var entry: Entry
    }

    private var items: UnsafeMutablePointer<Item>?
    private var capacity = 0
    private(set) var count = 0

    init() {}

    deinit { free(items) }

    var bytes: Int { items.map { malloc_usable_size($0) + 8 } ?? 0 }

    /// The entry that expires next.
    var first: Entry? { count > 0 ? items![0].entry : nil }

    subscript(index: Int) -> Entry { items![index].entry }

    /// Takes in an entry with a deadline.
    mutating func insert(_ entry: Entry) {
        if count == capacity {
            capacity = max(4, capacity + capacity / 2)
            guard let memory = realloc(items, capacity * MemoryLayout<Item>.stride) else { fatalError("the system has no memory left") }
            items = memory.bindMemory(to: Item.self, capacity: capacity)
        }
        count += 1
        rise(Item(deadline: entry.deadline, entry: entry), from: count - 1)
    }

    mutating func remove(_ entry: Entry) {
        let index = entry.heapPosition
        precondition(index < count && items![index].entry == entry)
        count -= 1
        if index < count { settle(items![count], at: index) }
        if count == 0 { removeAll() }
    }

    /// The entry has another deadline, or lies in another block.
    mutating func update(_ entry: Entry) {
        precondition(entry.heapPosition < count)
        settle(Item(deadline: entry.deadline, entry: entry), at: entry.heapPosition)
    }

    mutating func removeAll() {
        free(items)
        items = nil
        (capacity, count) = (0, 0)
    }

    private func settle(_ item: Item, at index: Int) {
        if index > 0, items![(index - 1) / 4].deadline > item.deadline { rise(item, from: index) } else { sink(item, from: index) }
    }

    private func put(_ item: Item, at index: Int) {
        items![index] = item
        item.entry.heapPosition = index
    }

    private func rise(_ item: Item, from start: Int) {
        var index = start
        while index > 0, items![(index - 1) / 4].deadline > item.deadline {
            put(items![(index - 1) / 4], at: index)
            index = (index - 1) / 4
        }
        put(item, at: index)
    }

    private func sink(_ item: Item, from start: Int) {
        var index = start
        while true {
            var best = index
            var deadline = item.deadline
            for child in (4 * index + 1)..<(4 * index + 5) where child < count && items![child].deadline < deadline {
                best = child
                deadline = items![child].deadline
            }
            if best == index { return put(item, at: index) }
            put(items![best], at: index)
            index = best
        }
    }

    func checkInvariants() {
        for index in 0..<count {
            precondition(items![index].entry.heapPosition == index && items![index].entry.deadline == items![index].deadline)
            precondition(index == 0 || items![(index - 1) / 4].deadline <= items![index].deadline)
        }
    }
}
