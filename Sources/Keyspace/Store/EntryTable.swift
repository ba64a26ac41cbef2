import CProcessor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Entries by key: extendible hashing over small open-addressing segments.
///
/// The highest bits of a hash choose one of the directory's places, each of which names a segment of at most 64 slots; a slot is
/// a pointer and 16 bits of the hash, so that a lookup that finds nothing mostly reads one line of memory. A full segment splits
/// into two, which moves half a hundred entries and takes microseconds: there is no moment at which the whole table is rebuilt.
/// The price is that the directory grows to a pointer per 40 entries. A segment holds all keys of one range of hashes, which
/// makes a scan simple: its cursor is the hash at which it goes on, and splits in between neither hide a key nor show it twice.
/// Since hashes spread evenly, most segments of a table split at about the same time, and what a key takes of them swings between 11 and
/// 14 bytes (13 to 16 when an eighth of the slots was left empty).
/// Two halves that have become sparse are one segment again, as they were before the split: so a table from which most keys went is
/// small, and a throw at it finds one of those that are left (``random(_:)``).
struct EntryTable: ~Copyable {
    /// 64: a split takes some 5 µs, and a scan hands out a segment at a time, or a part.
    private static let segmentSlotsMax = 64
    /// As many bits as a ``ShortHash`` has for it: a directory of 2^24 places leads to 700 million keys, of one database in one shard; beyond it segments grow.
    private static let depthMax = ShortHash.upperBits
    /// A quarter of a segment: two halves with no more between them are made one. Far below what a split leaves in both, 62, so that keys that
    /// come and go do not have a segment split and merged by turns; and half of it, an eighth, is what a throw meets at worst.
    private static let mergedCountMax = 16

    /// In memory: how many slots are filled (4 bytes), how many there are, less one (2), depth (1), a byte unused, the slots. Eight bytes in front make what
    /// `malloc` takes for 64 slots 528 bytes; sixteen would make it 544.
    private struct Segment {
        private static let headerBytes = 8
        let base: UnsafeMutableRawPointer

        /// - Parameter capacity: a power of two, 65,536 at most.
        static func make(capacity: Int, depth: Int) -> Segment {
            guard let base = calloc(1, headerBytes + capacity * 8) else { fatalError("the system has no memory left") }
            base.storeBytes(of: UInt16(capacity - 1), toByteOffset: 4, as: UInt16.self)
            base.storeBytes(of: UInt8(depth), toByteOffset: 6, as: UInt8.self)
            return Segment(base: base)
        }

        /// What of a number is a slot's place.
        @inline(__always) var mask: Int { Int(base.load(fromByteOffset: 4, as: UInt16.self)) }
        @inline(__always) var capacity: Int { mask + 1 }
        /// How many slots may be filled: probes end at one that is empty, and stay within a few lines of memory, as the tags keep them from
        /// following pointers.
        @inline(__always) var countMax: Int { capacity - max(1, capacity / 32) }
        @inline(__always) var count: Int {
            get { Int(base.load(as: UInt32.self)) }
            nonmutating set { base.storeBytes(of: UInt32(truncatingIfNeeded: newValue), as: UInt32.self) }
        }
        @inline(__always) var depth: Int {
            get { Int(base.load(fromByteOffset: 6, as: UInt8.self)) }
            nonmutating set { base.storeBytes(of: UInt8(truncatingIfNeeded: newValue), toByteOffset: 6, as: UInt8.self) }
        }
        @inline(__always) var slots: UnsafeMutablePointer<UInt64> { (base + Self.headerBytes).assumingMemoryBound(to: UInt64.self) }
        var bytes: Int { malloc_usable_size(base) + 8 }
    }

    private var directory: UnsafeMutablePointer<UnsafeMutableRawPointer>?
    private var depth = 0
    /// Segments by their depth, so that it is known when none is as deep as the directory; from the first split on.
    private var depthCounts: UnsafeMutablePointer<UInt32>?
    private(set) var count = 0
    /// Memory of directory and segments; the entries' own is not in it.
    private(set) var bytes = 0

    init() {}

    deinit { dismantle() }

    private func dismantle() {
        guard let directory else { return }
        forEachSegment { free($0.base) }
        free(directory)
        free(depthCounts)
    }

    /// Forgets all entries; they are the caller's to free.
    mutating func removeAll() {
        dismantle()
        (directory, depthCounts) = (nil, nil)
        (depth, count, bytes) = (0, 0, 0)
    }

    @inline(__always)
    private static func pointer(_ slot: UInt64) -> UnsafeMutableRawPointer {
        UnsafeMutableRawPointer(bitPattern: UInt(slot & 0x0000_FFFF_FFFF_FFFF)).unsafelyUnwrapped
    }

    @inline(__always)
    private static func slot(_ entry: Entry, _ hash: UInt64) -> UInt64 {
        UInt64(UInt(bitPattern: entry.base)) | hash << 48
    }

    @inline(__always)
    private func segment(_ hash: UInt64) -> Segment? {
        guard let directory else { return nil }
        return Segment(base: directory[depth == 0 ? 0 : Int(truncatingIfNeeded: hash >> UInt64(64 - depth))])
    }

    // MARK: Lookup

    @inline(__always)
    func find(_ key: UnsafeRawBufferPointer, _ hash: UInt64) -> Entry? {
        guard let segment = segment(hash) else { return nil }
        guard let place = Self.place(key, hash, in: segment) else { return nil }
        return Entry(Self.pointer(segment.slots[place]))
    }

    /// Has the processor fetch what a lookup reads first, and waits for nothing: done for several keys in turn, their memory is waited for together.
    @inline(__always)
    func prefetchDirectory(_ hash: UInt64) {
        guard let directory else { return }
        headrace_prefetch(directory + (depth == 0 ? 0 : Int(truncatingIfNeeded: hash >> UInt64(64 - depth))))
    }

    /// What a lookup reads next: the segment that the directory names, its head and the slot. To be done when the directory's place has come.
    @inline(__always)
    func prefetchSegment(_ hash: UInt64) {
        guard let segment = segment(hash) else { return }
        headrace_prefetch(segment.base)
        // How many slots there are stands in the head, which is not here yet: nearly always as many as there may be.
        headrace_prefetch(segment.slots + (Int(UInt16(truncatingIfNeeded: hash)) & (Self.segmentSlotsMax - 1)))
    }

    /// The entry whose key has this hash, and all of the hash. Of two with the same one, which chance hardly brings together, either.
    func find(_ short: ShortHash) -> (entry: Entry, hash: UInt64)? {
        guard let segment = segment(short.bits) else { return nil }
        let mask = segment.mask
        let tag = short.tag
        var place = Int(tag) & mask
        while true {
            let slot = segment.slots[place]
            if slot == 0 { return nil }
            if UInt16(truncatingIfNeeded: slot >> 48) == tag {
                let entry = Entry(Self.pointer(slot))
                let hash = KeyHash.hash(entry.key)
                if ShortHash(hash) == short { return (entry, hash) }
            }
            place = (place + 1) & mask
        }
    }

    @inline(__always)
    private static func place(_ key: UnsafeRawBufferPointer, _ hash: UInt64, in segment: Segment) -> Int? {
        let mask = segment.mask
        let slots = segment.slots
        let tag = UInt16(truncatingIfNeeded: hash)
        var place = Int(tag) & mask
        while true {
            let slot = slots[place]
            if slot == 0 { return nil }
            if UInt16(truncatingIfNeeded: slot >> 48) == tag {
                let entry = Entry(pointer(slot))
                if entry.keyCount == key.count, key.count == 0 || memcmp(entry.key.baseAddress!, key.baseAddress!, key.count) == 0 {
                    return place
                }
            }
            place = (place + 1) & mask
        }
    }

    // MARK: Change

    /// Makes room for so many entries in a table without any: on their way in hardly a segment has to split, for which all of its keys are read again.
    mutating func reserve(_ entryCount: Int) {
        // 31 to 62 in each, as after the splits.
        let segmentCount = entryCount / (Self.segmentSlotsMax / 2 - 1)
        guard directory == nil, segmentCount > 1 else { return }
        depth = min(Int.bitWidth - 1 - segmentCount.leadingZeroBitCount, Self.depthMax)
        guard let memory = malloc(8 << depth) else { fatalError("the system has no memory left") }
        directory = memory.bindMemory(to: UnsafeMutableRawPointer.self, capacity: 1 << depth)
        bytes += malloc_usable_size(memory) + 8
        countDepths()
        for index in 0..<1 << depth {
            let segment = Segment.make(capacity: Self.segmentSlotsMax, depth: depth)
            directory![index] = segment.base
            bytes += segment.bytes
        }
    }

    /// What was reserved for did not come, or not for a quarter: the table is made anew for what is there.
    mutating func giveBackReserve() {
        guard depth > 0, count < (Self.segmentSlotsMax / 8) << depth else { return }
        var entries: [Entry] = []
        forEach { entries.append($0) }
        removeAll()
        for entry in entries { insert(entry, KeyHash.hash(entry.key)) }
    }

    private mutating func countDepths() {
        guard let memory = calloc(Self.depthMax + 1, 4) else { fatalError("the system has no memory left") }
        depthCounts = memory.bindMemory(to: UInt32.self, capacity: Self.depthMax + 1)
        depthCounts![depth] = 1 << depth
        bytes += malloc_usable_size(memory) + 8
    }

    /// Adds an entry whose key is not there yet.
    mutating func insert(_ entry: Entry, _ hash: UInt64) {
        if directory == nil {
            guard let memory = malloc(8) else { fatalError("the system has no memory left") }
            let first = Segment.make(capacity: 4, depth: 0)
            directory = memory.bindMemory(to: UnsafeMutableRawPointer.self, capacity: 1)
            directory![0] = first.base
            bytes += first.bytes + malloc_usable_size(memory) + 8
        }
        while true {
            guard let segment = segment(hash) else { return }
            if segment.count < segment.countMax {
                Self.put(Self.slot(entry, hash), in: segment)
                segment.count += 1
                count += 1
                return
            }
            if segment.capacity < Self.segmentSlotsMax || segment.depth >= Self.depthMax {
                enlarge(segment, hash)
            } else {
                split(segment, hash)
            }
        }
    }

    private static func put(_ slot: UInt64, in segment: Segment) {
        let mask = segment.mask
        var place = Int(slot >> 48) & mask
        while segment.slots[place] != 0 { place = (place + 1) & mask }
        segment.slots[place] = slot
    }

    private mutating func enlarge(_ old: Segment, _ hash: UInt64) {
        precondition(old.capacity < 1 << 16, "more keys of one hash than chance can bring together")
        let new = Segment.make(capacity: old.capacity * 2, depth: old.depth)
        for index in 0..<old.capacity where old.slots[index] != 0 { Self.put(old.slots[index], in: new) }
        new.count = old.count
        bytes += new.bytes - old.bytes
        name(new, for: old, hash)
        free(old.base)
    }

    /// Lets the directory's places of a segment name another.
    private func name(_ new: Segment, for old: Segment, _ hash: UInt64) {
        let width = 1 << (depth - old.depth)
        let first = depth == 0 ? 0 : Int(truncatingIfNeeded: hash >> UInt64(64 - depth)) & ~(width - 1)
        for index in first..<(first + width) { directory![index] = new.base }
    }

    private mutating func split(_ old: Segment, _ hash: UInt64) {
        if depthCounts == nil { countDepths() }
        depthCounts![old.depth] -= 1
        depthCounts![old.depth + 1] += 2
        if old.depth == depth {
            let places = 1 << depth
            guard let memory = malloc(places * 16) else { fatalError("the system has no memory left") }
            let doubled = memory.bindMemory(to: UnsafeMutableRawPointer.self, capacity: places * 2)
            for index in 0..<places {
                doubled[index * 2] = directory![index]
                doubled[index * 2 + 1] = directory![index]
            }
            bytes += malloc_usable_size(memory) - malloc_usable_size(directory!)
            free(directory!)
            directory = doubled
            depth += 1
        }
        let (low, high) = (
            Segment.make(capacity: old.capacity, depth: old.depth + 1), Segment.make(capacity: old.capacity, depth: old.depth + 1)
        )
        let bit = UInt64(1) << UInt64(63 - old.depth)
        for index in 0..<old.capacity where old.slots[index] != 0 {
            let slot = old.slots[index]
            let half = KeyHash.hash(Entry(Self.pointer(slot)).key) & bit == 0 ? low : high
            Self.put(slot, in: half)
            half.count += 1
        }
        let width = 1 << (depth - old.depth)
        let first = Int(truncatingIfNeeded: hash >> UInt64(64 - depth)) & ~(width - 1)
        for index in 0..<width { directory![first + index] = index < width / 2 ? low.base : high.base }
        bytes += low.bytes + high.bytes - old.bytes
        free(old.base)
    }

    /// The entry is in another block now.
    func replace(_ old: Entry, with new: Entry, _ hash: UInt64) {
        guard let segment = segment(hash), let place = Self.place(of: old, hash, in: segment) else {
            preconditionFailure("an entry was moved that is not in the table")
        }
        segment.slots[place] = Self.slot(new, hash)
    }

    /// By address: the block may be freed already.
    private static func place(of entry: Entry, _ hash: UInt64, in segment: Segment) -> Int? {
        let mask = segment.mask
        let wanted = slot(entry, hash)
        var place = Int(UInt16(truncatingIfNeeded: hash)) & mask
        while segment.slots[place] != 0 {
            if segment.slots[place] == wanted { return place }
            place = (place + 1) & mask
        }
        return nil
    }

    /// Takes an entry out; it is the caller's to free.
    mutating func remove(_ entry: Entry, _ hash: UInt64) {
        guard let segment = segment(hash), var hole = Self.place(of: entry, hash, in: segment) else { return }
        let mask = segment.mask
        let slots = segment.slots
        // Backward shift: what would not be found past the hole moves into it.
        var next = (hole + 1) & mask
        while slots[next] != 0 {
            let home = Int(slots[next] >> 48) & mask
            if (next - home) & mask >= (next - hole) & mask {
                slots[hole] = slots[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        slots[hole] = 0
        segment.count -= 1
        count -= 1
        if count == 0 { return removeAll() }
        if segment.count <= Self.mergedCountMax, segment.depth > 0 { merge(segment, hash) }
    }

    /// Makes a segment and the other half of what was split one, if both are sparse: moves 16 entries at most.
    private mutating func merge(_ segment: Segment, _ hash: UInt64) {
        let width = 1 << (depth - segment.depth)
        let first = Int(truncatingIfNeeded: hash >> UInt64(64 - depth)) & ~(width - 1)
        let other = Segment(base: directory![first ^ width])
        // One that was split further comes later, when its own halves have become one.
        guard other.depth == segment.depth, segment.count + other.count <= Self.mergedCountMax else { return }
        for index in 0..<other.capacity where other.slots[index] != 0 { Self.put(other.slots[index], in: segment) }
        segment.count += other.count
        depthCounts![segment.depth] -= 2
        depthCounts![segment.depth - 1] += 1
        segment.depth -= 1
        let start = first ^ width
        for index in start..<start + width { directory![index] = segment.base }
        bytes -= other.bytes
        free(other.base)
        shrinkDirectory()
    }

    /// Halves the directory as long as no segment is as deep.
    private mutating func shrinkDirectory() {
        let before = depth
        while depth > 0, depthCounts![depth] == 0 {
            depth -= 1
            for index in 0..<1 << depth { directory![index] = directory![index * 2] }
        }
        guard depth < before else { return }
        bytes -= malloc_usable_size(directory!)
        // What is larger than it has to be serves as well.
        if let memory = realloc(directory!, 8 << depth) { directory = memory.bindMemory(to: UnsafeMutableRawPointer.self, capacity: 1 << depth) }
        bytes += malloc_usable_size(directory!)
    }

    // MARK: Walks

    private func forEachSegment(_ body: (Segment) -> Void) {
        guard let directory else { return }
        var index = 0
        while index < 1 << depth {
            let segment = Segment(base: directory[index])
            // Read before the body: it may free the segment.
            let width = 1 << (depth - segment.depth)
            body(segment)
            index += width
        }
    }

    func forEach(_ body: (Entry) -> Void) {
        forEachSegment { segment in
            for index in 0..<segment.capacity where segment.slots[index] != 0 { body(Entry(Self.pointer(segment.slots[index]))) }
        }
    }

    /// Hands out the entries of one segment, or of a part of it.
    /// - Parameters:
    ///   - cursor: the highest 32 bits of the hash to begin at.
    ///   - hashesMax: of so many values of these bits at most.
    /// - Returns: where to go on; `nil` when this was the last.
    func scan(_ cursor: UInt32, hashesMax: UInt32 = .max, _ body: (Entry) -> Void) -> UInt32? {
        guard let directory else { return nil }
        let segment = Segment(base: directory[depth == 0 ? 0 : Int(cursor >> UInt32(32 - depth))])
        let width = UInt64(1) << UInt64(32 - segment.depth)
        let first = UInt64(cursor)
        let end = (first & ~(width - 1)) + width
        let next = hashesMax == .max ? end : min(end, first + UInt64(max(hashesMax, 1)))
        // A part; or two segments have become one since the cursor was given: what is in the first half was handed out.
        let isPart = first & (width - 1) != 0 || next < end
        for index in 0..<segment.capacity where segment.slots[index] != 0 {
            let entry = Entry(Self.pointer(segment.slots[index]))
            if isPart, !(first..<next ~= KeyHash.hash(entry.key) >> 32) { continue }
            body(entry)
        }
        return next >= 1 << 32 ? nil : UInt32(next)
    }

    /// Some entry: each about as likely as any other.
    func random(_ random: inout some RandomNumberGenerator) -> Entry? {
        guard let directory, count > 0 else { return nil }
        while true {
            let segment = Segment(base: directory[Int.random(in: 0..<1 << depth, using: &random)])
            // A few throws per segment: one that is nearly empty is left for another, lest its few entries be drawn too often.
            let slot = segment.slots[Int(truncatingIfNeeded: random.next() as UInt64) & segment.mask]
            if slot != 0 { return Entry(Self.pointer(slot)) }
        }
    }

    func checkInvariants() {
        var total = 0
        var depths = [UInt32](repeating: 0, count: Self.depthMax + 1)
        forEachSegment { segment in
            depths[segment.depth] += 1
            var inside = 0
            for index in 0..<segment.capacity where segment.slots[index] != 0 {
                let entry = Entry(Self.pointer(segment.slots[index]))
                precondition(find(entry.key, KeyHash.hash(entry.key)) == entry)
                inside += 1
            }
            precondition(inside == segment.count)
            total += inside
        }
        precondition(total == count)
        if let depthCounts {
            precondition(depths.indices.allSatisfy { depths[$0] == depthCounts[$0] })
            precondition(depth == 0 || depths[depth] > 0)
        }
    }
}

/// Of a key's hash what finds its entry: the highest 24 bits, which choose the segment, and the lowest 16, which are its slot's.
struct ShortHash: Equatable {
    static let upperBits = 24
    let bits: UInt64

    init(_ hash: UInt64) { bits = hash & 0xFFFF_FF00_0000_FFFF }

    /// - Parameter packed: as ``packed``.
    init(packed: UInt64) { bits = (packed >> 16) << UInt64(64 - Self.upperBits) | packed & 0xFFFF }

    /// Side by side, in the lowest 40 bits.
    var packed: UInt64 { (bits >> UInt64(64 - Self.upperBits)) << 16 | bits & 0xFFFF }
    var tag: UInt16 { UInt16(truncatingIfNeeded: bits) }
}
