import RESPWire

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Whole numbers in rising order in one block of memory, each in as many bytes as the longest needs: 2, 4 or 8. What small sets of numbers are kept as.
///
/// In memory: how many there are (4 bytes), the bytes of each (4), the numbers. No block when there have been none. Whoever has this frees it, and copies
/// are one another's names.
/// - Source: Redis' `intset.c` has the same.
struct IntegerSet {
    private static let headerBytes = 8
    private(set) var block: UnsafeMutableRawPointer?

    init(_ block: UnsafeMutableRawPointer? = nil) { self.block = block }

    func deallocate() { free(block) }

    private(set) var count: Int {
        get { block.map { Int($0.load(as: UInt32.self)) } ?? 0 }
        nonmutating set { block?.storeBytes(of: UInt32(truncatingIfNeeded: newValue), as: UInt32.self) }
    }
    private var width: Int { block.map { Int($0.load(fromByteOffset: 4, as: UInt32.self)) } ?? 2 }

    private static func width(_ number: Int64) -> Int { Int16(exactly: number) != nil ? 2 : Int32(exactly: number) != nil ? 4 : 8 }

    private subscript(index: Int) -> Int64 {
        guard let block else { return 0 }
        let place = block + Self.headerBytes + index * width
        switch width {
        case 2: return Int64(place.load(as: Int16.self))
        case 4: return Int64(place.load(as: Int32.self))
        default: return place.load(as: Int64.self)
        }
    }

    private func write(_ number: Int64, at index: Int) {
        guard let block else { return }
        let place = block + Self.headerBytes + index * width
        switch width {
        case 2: place.storeBytes(of: Int16(truncatingIfNeeded: number), as: Int16.self)
        case 4: place.storeBytes(of: Int32(truncatingIfNeeded: number), as: Int32.self)
        default: place.storeBytes(of: number, as: Int64.self)
        }
    }

    /// How many are smaller.
    private func position(_ number: Int64) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func contains(_ number: Int64) -> Bool {
        let position = position(number)
        return position < count && self[position] == number
    }

    /// - Returns: whether it is new.
    mutating func insert(_ number: Int64) -> Bool {
        let (position, count) = (position(number), count)
        if position < count, self[position] == number { return false }
        makeRoom(width: max(width, Self.width(number)))
        if let block, position < count {
            let place = block + Self.headerBytes + position * width
            memmove(place + width, place, (count - position) * width)
        }
        write(number, at: position)
        self.count = count + 1
        return true
    }

    /// For one more, in so many bytes each.
    private mutating func makeRoom(width: Int) {
        let (count, narrow) = (count, self.width)
        let wanted = Self.headerBytes + (count + 1) * width
        if wanted > malloc_usable_size(block) {
            guard let memory = realloc(block, PackedBytes.withSpare(wanted)) else { fatalError("the system has no memory left") }
            if block == nil { memset(memory, 0, Self.headerBytes) }
            block = memory
        }
        guard let block else { return }
        block.storeBytes(of: UInt32(width), toByteOffset: 4, as: UInt32.self)
        guard width > narrow else { return }
        // From the last on: a wider one ends behind those that are still to be read.
        for index in (0..<count).reversed() {
            let place = block + Self.headerBytes + index * narrow
            write(narrow == 2 ? Int64(place.load(as: Int16.self)) : Int64(place.load(as: Int32.self)), at: index)
        }
    }

    /// - Returns: whether it was there.
    func remove(_ number: Int64) -> Bool {
        let (position, count) = (position(number), count)
        guard let block, position < count, self[position] == number else { return false }
        let place = block + Self.headerBytes + position * width
        memmove(place, place + width, (count - position - 1) * width)
        self.count = count - 1
        return true
    }

    /// As text.
    func forEach(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Void) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: DecimalText.bytesMax) { text in
            guard let start = text.baseAddress else { return }
            for index in range { body(UnsafeRawBufferPointer(start: start, count: DecimalText.write(self[index], to: start))) }
        }
    }
}
