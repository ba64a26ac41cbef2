#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Byte strings one behind the other in one block of memory: what small collections, and pieces of lists, are kept as.
///
/// Each element is its length, its bytes, and its length again, so that it can be walked from both ends; a length below 128 takes one
/// byte. Elements are named by their offset, which is valid until the next change in front of it. The room that taking away at the
/// front leaves is used again before the block grows.
///
/// In memory: where the elements begin (4 bytes) and end (4), how many there are (4), the elements. No block when there have been none. Whoever has this
/// frees it, and copies are one another's names.
struct PackedBytes {
    private static let headerBytes = 12
    private(set) var block: UnsafeMutableRawPointer?

    /// What the elements may have together, but for one that is longer by itself, before another comes or one becomes longer: whoever adds asks. Redis has
    /// the same (`LISTPACK_MAX_SAFETY_LIMIT`).
    static let bytesMax = 1 << 30

    @inline(__always) init(_ block: UnsafeMutableRawPointer? = nil) { self.block = block }

    func deallocate() { free(block) }

    /// Of the elements' first place, by which offsets count.
    @inline(__always) private var base: UnsafeMutablePointer<UInt8>? { block.map { ($0 + Self.headerBytes).assumingMemoryBound(to: UInt8.self) } }
    @inline(__always) private func number(_ place: Int) -> Int { block.map { Int($0.load(fromByteOffset: place, as: UInt32.self)) } ?? 0 }
    @inline(__always) private func setNumber(_ place: Int, _ value: Int) {
        block?.storeBytes(of: UInt32(value), toByteOffset: place, as: UInt32.self)
    }

    private var start: Int {
        get { number(0) }
        nonmutating set { setNumber(0, newValue) }
    }
    private var end: Int {
        get { number(4) }
        nonmutating set { setNumber(4, newValue) }
    }
    private(set) var count: Int {
        get { number(8) }
        nonmutating set { setNumber(8, newValue) }
    }
    private var capacity: Int { block == nil ? 0 : malloc_usable_size(block) - Self.headerBytes }

    /// Memory of the block.
    var bytes: Int { block == nil ? 0 : malloc_usable_size(block) + 8 }
    /// Bytes of the elements, their lengths included.
    var used: Int { end - start }

    var first: Int? { count > 0 ? start : nil }

    // MARK: Reading

    /// The element at an offset.
    func element(_ offset: Int) -> UnsafeRawBufferPointer {
        let (length, width) = lengthForward(offset)
        return UnsafeRawBufferPointer(start: base! + offset + width, count: length)
    }

    func next(_ offset: Int) -> Int? {
        let following = offset + size(offset)
        return following < end ? following : nil
    }

    func previous(_ offset: Int) -> Int? { offset > start ? before(offset) : nil }

    var last: Int? { count > 0 ? before(end) : nil }

    /// Bytes of the element at an offset with its lengths.
    func size(_ offset: Int) -> Int {
        let (length, width) = lengthForward(offset)
        return length + 2 * width
    }

    private func lengthForward(_ offset: Int) -> (length: Int, width: Int) {
        let first = base![offset]
        if first < 128 { return (Int(first), 1) }
        var (length, shift, width) = (Int(first & 127), 7, 1)
        while true {
            let byte = base![offset + width]
            length |= Int(byte & 127) << shift
            width += 1
            if byte < 128 { return (length, width) }
            shift += 7
        }
    }

    private func before(_ offset: Int) -> Int {
        // The length at the end is the one at the front, backwards.
        var (length, shift, width) = (Int(base![offset - 1] & 127), 7, 1)
        if base![offset - 1] >= 128 {
            while true {
                let byte = base![offset - 1 - width]
                length |= Int(byte & 127) << shift
                width += 1
                if byte < 128 { break }
                shift += 7
            }
        }
        return offset - length - 2 * width
    }

    /// The place of an element that is equal to some bytes, of every second one if asked.
    func find(_ wanted: UnsafeRawBufferPointer, stride: Int = 1) -> Int? {
        guard count > 0 else { return nil }
        let end = end
        var offset = start
        while offset < end {
            let found = element(offset)
            if found.count == wanted.count, wanted.count == 0 || memcmp(found.baseAddress!, wanted.baseAddress!, wanted.count) == 0 {
                return offset
            }
            for _ in 0..<stride where offset < end { offset += size(offset) }
        }
        return nil
    }

    /// The offset of an element by its number.
    func offset(of index: Int) -> Int? {
        guard index >= 0, index < count else { return nil }
        if index <= count / 2 {
            var offset = start
            for _ in 0..<index { offset += size(offset) }
            return offset
        }
        var offset = end
        for _ in 0..<(count - index) { offset = before(offset) }
        return offset
    }

    func forEach(_ body: (UnsafeRawBufferPointer) -> Void) {
        let end = end
        var offset = start
        while offset < end {
            body(element(offset))
            offset += size(offset)
        }
    }

    // MARK: Changing

    private static func width(_ length: Int) -> Int {
        var (width, rest) = (1, length >> 7)
        while rest > 0 {
            width += 1
            rest >>= 7
        }
        return width
    }

    static func size(ofElement length: Int) -> Int { length + 2 * width(length) }

    /// What a block of so many bytes is made for: an eighth more, and where it is small no more than `malloc`'s steps of 16 bytes give, as small ones are many.
    static func withSpare(_ bytes: Int) -> Int { bytes < 256 ? bytes : bytes + bytes / 8 }

    /// Opens a gap of some bytes at an offset.
    private mutating func open(_ gap: Int, at offset: Int) -> Int {
        let (start, end) = (start, end)
        if offset == start, start >= gap, count > 0 {
            self.start = start - gap
            return start - gap
        }
        let capacity = capacity
        if capacity - end < gap {
            if start > 0, capacity - (end - start) >= gap, start >= capacity / 4 {
                memmove(base!, base! + start, end - start)
                (self.start, self.end) = (0, end - start)
                return open(gap, at: offset - start)
            }
            guard let memory = realloc(block, Self.headerBytes + Self.withSpare(end + gap)) else { fatalError("the system has no memory left") }
            if block == nil { memset(memory, 0, Self.headerBytes) }
            block = memory
        }
        memmove(base! + offset + gap, base! + offset, end - offset)
        self.end = end + gap
        return offset
    }

    private func write(_ element: UnsafeRawBufferPointer, at offset: Int) {
        let width = Self.width(element.count)
        let target = base! + offset
        var rest = element.count
        for index in 0..<width {
            let more: UInt8 = index < width - 1 ? 128 : 0
            target[index] = UInt8(truncatingIfNeeded: rest & 127) | more
            target[2 * width + element.count - 1 - index] = UInt8(truncatingIfNeeded: rest & 127) | more
            rest >>= 7
        }
        if element.count > 0 { memcpy(target + width, element.baseAddress!, element.count) }
    }

    mutating func append(_ element: UnsafeRawBufferPointer) {
        let place = open(Self.size(ofElement: element.count), at: end)
        write(element, at: place)
        count += 1
    }

    mutating func prepend(_ element: UnsafeRawBufferPointer) {
        let size = Self.size(ofElement: element.count)
        if count == 0 { (start, end) = (capacity, capacity) }
        if start < size { makeRoomInFront(size) }
        start -= size
        write(element, at: start)
        count += 1
    }

    /// Moves the elements towards the block's end, so that not each that comes in front has to move them.
    private mutating func makeRoomInFront(_ gap: Int) {
        let (start, count, used) = (start, count, used)
        let room = capacity - used
        if room >= gap + used / 8 {
            // Half of the room that is left stays behind, where others may come.
            let place = gap + (room - gap) / 2
            memmove(base! + place, base! + start, used)
            (self.start, self.end) = (place, place + used)
            return
        }
        let new = PackedBytes(capacity: Self.withSpare(used + gap))
        let place = new.capacity - used
        if used > 0 { memcpy(new.base! + place, base! + start, used) }
        (new.start, new.end, new.count) = (place, place + used, count)
        deallocate()
        self = new
    }

    /// Takes room for elements that are to come; only while there are none.
    mutating func reserve(_ bytes: Int) {
        guard count == 0, capacity < bytes else { return }
        deallocate()
        self = PackedBytes(capacity: bytes)
    }

    private init(capacity: Int) {
        guard let memory = malloc(Self.headerBytes + capacity) else { fatalError("the system has no memory left") }
        memset(memory, 0, Self.headerBytes)
        block = memory
    }

    /// Puts an element before the one at an offset.
    mutating func insert(_ element: UnsafeRawBufferPointer, at offset: Int) {
        let place = open(Self.size(ofElement: element.count), at: offset)
        write(element, at: place)
        count += 1
    }

    /// Puts an element in the place of another.
    mutating func replace(at offset: Int, with element: UnsafeRawBufferPointer) {
        let (old, new) = (size(offset), Self.size(ofElement: element.count))
        if old == new { return write(element, at: offset) }
        remove(at: offset)
        let isEnd = count == 0 || offset >= end
        insert(element, at: isEnd ? end : max(offset, start))
    }

    /// Takes elements out from an offset on.
    mutating func remove(at offset: Int, count removed: Int = 1) {
        var following = offset
        for _ in 0..<removed { following += size(following) }
        if offset == start {
            start = following
        } else {
            memmove(base! + offset, base! + following, end - following)
            end -= following - offset
        }
        count -= removed
        if count == 0 { (start, end) = (0, 0) }
    }
}
