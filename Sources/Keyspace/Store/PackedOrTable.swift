/// The elements of a collection: packed in one block of memory while they are few and small, a table beyond. In eight bytes, as there is one of these for
/// each small collection.
struct PackedOrTable<Table: ~Copyable>: ~Copyable {
    /// Of the packed elements' block, or of the table: that one's with the lowest bit set, as no block's is.
    private var address: UInt = 0

    init() {}

    deinit {
        packed.deallocate()
        guard let table else { return }
        table.deinitialize(count: 1)
        table.deallocate()
    }

    /// None where there is a table.
    @inline(__always) var packed: PackedBytes {
        get { PackedBytes(block) }
        set { address = UInt(bitPattern: newValue.block) }
    }

    /// Where a set keeps what it has in the packed elements' place.
    @inline(__always) var numbers: IntegerSet {
        get { IntegerSet(block) }
        set { address = UInt(bitPattern: newValue.block) }
    }

    @inline(__always) private var block: UnsafeMutableRawPointer? { UnsafeMutableRawPointer(bitPattern: address & 1 == 0 ? address : 0) }

    @inline(__always) var table: UnsafeMutablePointer<Table>? { address & 1 == 0 ? nil : UnsafeMutablePointer(bitPattern: address & ~1) }

    /// Memory of the block, or of the table without what it leads to.
    var blockBytes: Int { table.map { malloc_usable_size($0) + 8 } ?? packed.bytes }

    /// Forgets the packed elements, which are the caller's to free.
    mutating func removeBlock() -> UnsafeMutableRawPointer? {
        defer { address = 0 }
        return block
    }

    /// Takes a table in the place of the packed elements, which are freed.
    mutating func become(_ table: consuming Table) -> UnsafeMutablePointer<Table> {
        let packed = packed
        defer { packed.deallocate() }
        return put(table)
    }

    /// The same for a table that takes over their block.
    mutating func become(owning makeTable: (PackedBytes) -> Table) -> UnsafeMutablePointer<Table> { put(makeTable(packed)) }

    private mutating func put(_ table: consuming Table) -> UnsafeMutablePointer<Table> {
        let place = UnsafeMutablePointer<Table>.allocate(capacity: 1)
        place.initialize(to: table)
        address = UInt(bitPattern: place) | 1
        return place
    }
}
