/// Which entries of a cache make room when its budget is full: S3-FIFO, three queues and two bits per entry.
///
/// A new entry goes into a small queue (a tenth of the budget). Whoever is used again before its end moves to the main
/// queue; whoever is not leaves, and only its hash is remembered for a while (the ghost queue): should it come back, it goes to
/// the main queue at once. The main queue is a second-chance FIFO. So what is asked for once — most of what a crawler or a
/// cache-buster asks for — passes through a tenth of the cache and never displaces what is asked for often.
///
/// The price is a queue entry of 32 bytes per cache entry, and that sizes are counted, not weighed: a large entry stays as long
/// as a small one that is used as often. Entries are known by a slot number, which their owner chooses and keeps small; all
/// operations take constant time, amortised.
/// - Source: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023.
public struct S3FIFO: Sendable {
    /// Where an entry stands.
    public enum Queue: UInt8, Sendable {
        /// It is not here.
        case none
        /// New, and out at the end of this queue unless it is used before.
        case small
        /// Used before; it stays as long as it goes on being used.
        case main
    }

    private struct Node {
        var hash: UInt64 = 0
        var bytes = 0
        var previous: Int32 = -1
        var next: Int32 = -1
        var queue = Queue.none
        /// Uses since it was queued, 0…3.
        var uses: UInt8 = 0
    }

    /// A doubly linked list through the nodes; new ones at the head, the next victim at the tail.
    private struct List {
        var head: Int32 = -1
        var tail: Int32 = -1
        var bytes = 0
        var count = 0
    }

    /// Bytes that all entries may take together.
    public let bytesMax: Int
    private let smallBytesMax: Int
    private var nodes: [Node] = []
    private var small = List()
    private var main = List()
    private var ghosts = GhostQueue()

    public init(bytesMax: Int) {
        self.bytesMax = max(bytesMax, 0)
        // A tenth: the authors' choice; between 5 and 20 % hardly matters.
        smallBytesMax = self.bytesMax / 10
    }

    /// Bytes of all entries.
    public var bytes: Int { small.bytes + main.bytes }
    public var count: Int { small.count + main.count }

    /// Whether an entry is worth its room: a large one must have been asked for before when the cache is full.
    ///
    /// Large is an eighth of the small queue: eight such that nobody asks for again would push out of it all that is new, among it
    /// hundreds of small ones. An entry that is refused is remembered as one that left, so that its next coming admits it.
    /// - Returns: `false` when it is not to be admitted this time.
    public mutating func admits(hash: UInt64, bytes size: Int) -> Bool {
        guard size > smallBytesMax / 8, bytes + size > bytesMax, !ghosts.contains(hash) else { return true }
        ghosts.insert(hash, countMax: max(main.count, 64))
        return false
    }

    /// A new entry in a free slot. ``evict()`` until it returns `nil` afterwards.
    /// - Parameter hash: of its key; equal keys have equal hashes.
    public mutating func admit(_ slot: Int, hash: UInt64, bytes: Int) {
        while nodes.count <= slot { nodes.append(Node()) }
        assert(nodes[slot].queue == .none, "a slot is admitted twice")
        nodes[slot] = Node(hash: hash, bytes: max(bytes, 0))
        push(slot, to: ghosts.remove(hash) ? .main : .small)
    }

    /// The entry was used.
    public mutating func touched(_ slot: Int) {
        guard nodes.indices.contains(slot), nodes[slot].uses < 3 else { return }
        nodes[slot].uses += 1
    }

    /// Where an entry stands, and how often it was used since it came there, 0…3.
    public func standing(_ slot: Int) -> (queue: Queue, uses: Int) {
        guard nodes.indices.contains(slot) else { return (.none, 0) }
        return (nodes[slot].queue, Int(nodes[slot].uses))
    }

    /// The entry takes another amount now.
    public mutating func resized(_ slot: Int, bytes: Int) {
        guard nodes.indices.contains(slot), nodes[slot].queue != .none else { return }
        let change = max(bytes, 0) - nodes[slot].bytes
        nodes[slot].bytes += change
        if nodes[slot].queue == .small { small.bytes += change } else { main.bytes += change }
    }

    /// The entry's owner removed it for another reason.
    public mutating func removed(_ slot: Int) {
        guard nodes.indices.contains(slot), nodes[slot].queue != .none else { return }
        unlink(slot)
        nodes[slot] = Node()
    }

    /// The next entry to be dropped, which is out of the queues already; `nil` when the budget holds.
    public mutating func evict() -> Int? {
        guard bytes > bytesMax else { return nil }
        while count > 0 {
            if small.bytes > smallBytesMax || main.count == 0 {
                if let victim = evictFromSmall() { return victim }
            } else if let victim = evictFromMain() {
                return victim
            }
        }
        return nil
    }

    private mutating func evictFromSmall() -> Int? {
        guard small.tail >= 0 else { return nil }
        let slot = Int(small.tail)
        unlink(slot)
        if nodes[slot].uses > 0 {
            nodes[slot].uses = 0
            push(slot, to: .main)
            return nil
        }
        ghosts.insert(nodes[slot].hash, countMax: max(main.count, 64))
        nodes[slot] = Node()
        return slot
    }

    private mutating func evictFromMain() -> Int? {
        guard main.tail >= 0 else { return nil }
        let slot = Int(main.tail)
        unlink(slot)
        if nodes[slot].uses > 0 {
            nodes[slot].uses -= 1
            push(slot, to: .main)
            return nil
        }
        nodes[slot] = Node()
        return slot
    }

    private mutating func push(_ slot: Int, to queue: Queue) {
        nodes[slot].queue = queue
        var list = queue == .small ? small : main
        nodes[slot].previous = -1
        nodes[slot].next = list.head
        if list.head >= 0 { nodes[Int(list.head)].previous = Int32(slot) } else { list.tail = Int32(slot) }
        list.head = Int32(slot)
        list.bytes += nodes[slot].bytes
        list.count += 1
        if queue == .small { small = list } else { main = list }
    }

    private mutating func unlink(_ slot: Int) {
        let queue = nodes[slot].queue
        var list = queue == .small ? small : main
        let (previous, next) = (nodes[slot].previous, nodes[slot].next)
        if previous >= 0 { nodes[Int(previous)].next = next } else { list.head = next }
        if next >= 0 { nodes[Int(next)].previous = previous } else { list.tail = previous }
        list.bytes -= nodes[slot].bytes
        list.count -= 1
        if queue == .small { small = list } else { main = list }
        nodes[slot].queue = .none
    }

    /// What must hold after each operation; for tests.
    public func checkInvariants() {
        for (list, queue) in [(small, Queue.small), (main, Queue.main)] {
            var (bytes, count, previous, position) = (0, 0, Int32(-1), list.head)
            while position >= 0 {
                let node = nodes[Int(position)]
                precondition(node.queue == queue && node.previous == previous)
                bytes += node.bytes
                count += 1
                previous = position
                position = node.next
            }
            precondition(list.tail == previous && list.bytes == bytes && list.count == count)
        }
        precondition(ghosts.isConsistent)
    }
}

/// Hashes of entries that left the small queue unused, oldest first, each once.
struct GhostQueue: Sendable {
    /// An insertion. It counts only while ``tickets`` has its number: a hash that came back and left anew has another one.
    private struct Place {
        var hash: UInt64
        var ticket: UInt64
    }

    private var order: [Place] = []
    private var first = 0
    private var tickets: [UInt64: UInt64] = [:]
    private var nextTicket: UInt64 = 0

    var count: Int { tickets.count }
    /// Places that are held in memory, those of hashes that came back included.
    var orderCount: Int { order.count }

    mutating func insert(_ hash: UInt64, countMax: Int) {
        guard tickets[hash] == nil else { return }
        tickets[hash] = nextTicket
        order.append(Place(hash: hash, ticket: nextTicket))
        nextTicket += 1
        while tickets.count > countMax, first < order.count {
            if counts(order[first]) { tickets[order[first].hash] = nil }
            first += 1
        }
        // Entries that came back leave a gap in the order; swept out once they are the half of it.
        if order.count - first > 2 * tickets.count + 64 || first > order.count / 2 + 64 {
            order = order[first...].filter { counts($0) }
            first = 0
        }
    }

    func contains(_ hash: UInt64) -> Bool { tickets[hash] != nil }

    /// - Returns: whether the hash was there.
    mutating func remove(_ hash: UInt64) -> Bool {
        tickets.removeValue(forKey: hash) != nil
    }

    private func counts(_ place: Place) -> Bool { tickets[place.hash] == place.ticket }

    var isConsistent: Bool { order[first...].filter { counts($0) }.count == tickets.count }
}
