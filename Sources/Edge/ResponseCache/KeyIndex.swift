/// An open-addressing table from key hashes to small integers: which record of a shard holds the key.
///
/// It knows hashes only; its owner compares the keys' bytes. Linear probing, at most three quarters full, deletion by
/// shifting back, so that there are no tombstones and a lookup never degrades.
struct KeyIndex: Sendable {
    private struct Slot {
        var hash: UInt64
        /// `-1` when the slot is free.
        var record: Int32
    }

    private var slots: [Slot]
    private(set) var count = 0

    init() {
        slots = Array(repeating: Slot(hash: 0, record: -1), count: 16)
    }

    /// What the table takes, in bytes.
    var memoryBytes: Int { slots.capacity * MemoryLayout<Slot>.stride }

    /// The first record under `hash` for which `isSame` holds.
    func find(_ hash: UInt64, where isSame: (Int) -> Bool) -> Int? {
        let mask = slots.count - 1
        var position = Int(truncatingIfNeeded: hash) & mask
        while slots[position].record >= 0 {
            if slots[position].hash == hash, isSame(Int(slots[position].record)) {
                return Int(slots[position].record)
            }
            position = (position + 1) & mask
        }
        return nil
    }

    /// - Precondition: the record is not in the table.
    mutating func insert(_ hash: UInt64, record: Int) {
        if (count + 1) * 4 > slots.count * 3 { grow() }
        place(Slot(hash: hash, record: Int32(record)))
        count += 1
    }

    mutating func remove(_ hash: UInt64, record: Int) {
        let mask = slots.count - 1
        var hole = Int(truncatingIfNeeded: hash) & mask
        while slots[hole].record >= 0, slots[hole].record != Int32(record) { hole = (hole + 1) & mask }
        guard slots[hole].record >= 0 else { return }
        count -= 1
        var position = (hole + 1) & mask
        while slots[position].record >= 0 {
            // A slot may fill the hole unless its home lies behind the hole, cyclically.
            let home = Int(truncatingIfNeeded: slots[position].hash) & mask
            if (position &- home) & mask >= (position &- hole) & mask {
                slots[hole] = slots[position]
                hole = position
            }
            position = (position + 1) & mask
        }
        slots[hole] = Slot(hash: 0, record: -1)
    }

    private mutating func place(_ slot: Slot) {
        let mask = slots.count - 1
        var position = Int(truncatingIfNeeded: slot.hash) & mask
        while slots[position].record >= 0 { position = (position + 1) & mask }
        slots[position] = slot
    }

    private mutating func grow() {
        let old = slots
        slots = Array(repeating: Slot(hash: 0, record: -1), count: old.count * 2)
        for slot in old where slot.record >= 0 { place(slot) }
    }
}
