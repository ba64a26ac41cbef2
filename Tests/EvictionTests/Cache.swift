import Testing

@testable import Eviction

/// A cache that keeps nothing but what its eviction algorithm needs: how owners use ``S3FIFO``.
struct Cache {
    var eviction: S3FIFO
    /// Slot and size of each key that is there.
    var entries: [UInt64: (slot: Int, bytes: Int)] = [:]
    private var keys: [Int: UInt64] = [:]
    private var free: [Int] = []
    private var slotCount = 0
    /// Whether large entries are admitted by ``S3FIFO/admits(hash:bytes:)``.
    var admitsBySize = false

    init(bytesMax: Int) {
        eviction = S3FIFO(bytesMax: bytesMax)
    }

    func contains(_ key: UInt64) -> Bool { entries[key] != nil }

    /// - Returns: whether the key was there.
    mutating func request(_ key: UInt64, bytes: Int = 1) -> Bool {
        if let entry = entries[key] {
            eviction.touched(entry.slot)
            return true
        }
        if admitsBySize, !eviction.admits(hash: key, bytes: bytes) { return false }
        let slot = free.popLast() ?? slotCount
        if slot == slotCount { slotCount += 1 }
        entries[key] = (slot, bytes)
        keys[slot] = key
        eviction.admit(slot, hash: key, bytes: bytes)
        makeRoom()
        return false
    }

    mutating func remove(_ key: UInt64) {
        guard let entry = entries.removeValue(forKey: key) else { return }
        eviction.removed(entry.slot)
        keys[entry.slot] = nil
        free.append(entry.slot)
    }

    mutating func resize(_ key: UInt64, bytes: Int) {
        guard let entry = entries[key] else { return }
        entries[key] = (entry.slot, bytes)
        eviction.resized(entry.slot, bytes: bytes)
        makeRoom()
    }

    private mutating func makeRoom() {
        while let victim = eviction.evict() {
            guard let key = keys.removeValue(forKey: victim) else {
                Issue.record("slot \(victim) was evicted twice")
                return
            }
            entries[key] = nil
            free.append(victim)
        }
    }
}
