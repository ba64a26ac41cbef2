/// Which entries of a shard carry a tag.
///
/// The entries of a tag are a doubly linked list through one array of nodes, and so are the tags of an entry (singly): to drop an entry
/// takes as many steps as it has tags, however many others share them. A node is 32 bytes; an entry without tags has none.
struct TagIndex: Sendable {
    private struct Node: Sendable {
        var tag: UInt64 = 0
        var entry: Int32 = -1
        var previous: Int32 = -1
        var next: Int32 = -1
        /// The next node of the same entry; of a free node, the next free one.
        var sibling: Int32 = -1
    }

    /// Bytes that each tag of an entry takes: its node, and its share of the table of tags.
    static let bytesPerTag = MemoryLayout<Node>.stride + 24

    private var nodes: [Node] = []
    private var free: Int32 = -1
    private var heads: [UInt64: Int32] = [:]

    /// Tags that some entry carries.
    var tagCount: Int { heads.count }

    /// - Returns: what ``remove(_:)`` wants when the entry goes; -1 without tags.
    mutating func insert(_ entry: Int, tags: [UInt64]) -> Int32 {
        var first: Int32 = -1
        for tag in tags {
            let node = take()
            let head = heads[tag] ?? -1
            nodes[Int(node)] = Node(tag: tag, entry: Int32(entry), previous: -1, next: head, sibling: first)
            if head >= 0 { nodes[Int(head)].previous = node }
            heads[tag] = node
            first = node
        }
        return first
    }

    mutating func remove(_ first: Int32) {
        var position = first
        while position >= 0 {
            let node = nodes[Int(position)]
            if node.previous >= 0 {
                nodes[Int(node.previous)].next = node.next
            } else {
                heads[node.tag] = node.next >= 0 ? node.next : nil
            }
            if node.next >= 0 { nodes[Int(node.next)].previous = node.previous }
            nodes[Int(position)] = Node(sibling: free)
            free = position
            position = node.sibling
        }
    }

    func entries(of tag: UInt64) -> [Int] {
        var found: [Int] = []
        var position = heads[tag] ?? -1
        while position >= 0 {
            found.append(Int(nodes[Int(position)].entry))
            position = nodes[Int(position)].next
        }
        return found
    }

    private mutating func take() -> Int32 {
        guard free >= 0 else {
            nodes.append(Node())
            return Int32(nodes.count - 1)
        }
        let node = free
        free = nodes[Int(node)].sibling
        return node
    }

    /// What must hold after each operation; for tests.
    func checkInvariants() {
        var listed = 0
        for (tag, head) in heads {
            var (previous, position) = (Int32(-1), head)
            precondition(head >= 0)
            while position >= 0 {
                let node = nodes[Int(position)]
                precondition(node.tag == tag && node.previous == previous && node.entry >= 0)
                listed += 1
                previous = position
                position = node.next
            }
        }
        precondition(listed == nodes.count { $0.entry >= 0 })
    }
}
