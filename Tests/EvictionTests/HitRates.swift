import TestSupport

/// The share of a trace's requests that found their key, with room for a number of keys.
enum HitRate {
    static func s3FIFO(_ trace: [Int], room: Int) -> Double {
        var cache = Cache(bytesMax: room)
        return share(trace) { cache.request(UInt64($0)) }
    }

    /// What everybody compares with: the one that was not used for longest leaves.
    static func leastRecentlyUsed(_ trace: [Int], room: Int) -> Double {
        var lastUse: [Int: Int] = [:]
        // Uses in their order; those that a later one of the same key has replaced are passed over.
        var uses: [Int] = []
        var oldest = 0
        return share(trace) { key in
            let isHit = lastUse[key] != nil
            lastUse[key] = uses.count
            uses.append(key)
            while lastUse.count > room {
                if lastUse[uses[oldest]] == oldest { lastUse[uses[oldest]] = nil }
                oldest += 1
            }
            return isHit
        }
    }

    /// The one that was used least often since it came leaves. What was popular once stays for long.
    static func leastFrequentlyUsed(_ trace: [Int], room: Int) -> Double {
        var uses: [Int: Int] = [:]
        var rarest = FarthestFirst()
        return share(trace) { key in
            let isHit = uses[key] != nil
            while !isHit, uses.count >= room, let (use, victim) = rarest.pop() {
                // Entries of the heap that a later use has replaced are passed over.
                if uses[victim] == -use { uses[victim] = nil }
            }
            let count = (uses[key] ?? 0) + 1
            uses[key] = count
            rarest.push(-count, key)
            return isHit
        }
    }

    /// The best that anybody could do who knew the future: the one that is used again last leaves, be it the new one.
    /// - Source: Belady, "A study of replacement algorithms for a virtual-storage computer", 1966.
    static func belady(_ trace: [Int], room: Int) -> Double {
        var nextUse = [Int](repeating: .max, count: trace.count)
        var seen: [Int: Int] = [:]
        for index in trace.indices.reversed() {
            nextUse[index] = seen[trace[index]] ?? .max
            seen[trace[index]] = index
        }
        var nextUseOfKept: [Int: Int] = [:]
        var farthest = FarthestFirst()
        var index = 0
        return share(trace) { key in
            defer { index += 1 }
            let isHit = nextUseOfKept[key] != nil
            nextUseOfKept[key] = nextUse[index]
            farthest.push(nextUse[index], key)
            while nextUseOfKept.count > room, let (use, victim) = farthest.pop() {
                if nextUseOfKept[victim] == use { nextUseOfKept[victim] = nil }
            }
            return isHit
        }
    }

    private static func share(_ trace: [Int], _ isHit: (Int) -> Bool) -> Double {
        var hits = 0
        for key in trace where isHit(key) { hits += 1 }
        return Double(hits) / Double(trace.count)
    }
}

/// A binary heap with the largest use on top.
struct FarthestFirst {
    private var heap: [(use: Int, key: Int)] = []

    mutating func push(_ use: Int, _ key: Int) {
        heap.append((use, key))
        var child = heap.count - 1
        while child > 0, heap[child].use > heap[(child - 1) / 2].use {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func pop() -> (use: Int, key: Int)? {
        guard let top = heap.first, let last = heap.popLast() else { return nil }
        guard !heap.isEmpty else { return top }
        heap[0] = last
        var parent = 0
        while true {
            var largest = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].use > heap[largest].use {
                largest = child
            }
            guard largest != parent else { return top }
            heap.swapAt(parent, largest)
            parent = largest
        }
    }
}
