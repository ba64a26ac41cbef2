/// The elements of a list: packed in one block while that is small, in pieces of some kilobytes beyond.
final class ListObject: StoredObject {
    /// 8 KB: `list-max-listpack-size -2`. An element that is larger has a piece of its own.
    static let pieceBytesMax = 8 << 10

    private var elements = PackedOrTable<ListPieces>()

    override var elementBytes: Int { elements.blockBytes + (elements.table.map { $0.pointee.bytes } ?? 0) }
    override var count: Int { elements.table.map { $0.pointee.count } ?? elements.packed.count }
    override var encoding: StaticString {
        (elements.table.map { $0.pointee.isOneSmall } ?? (elements.packed.used <= Self.pieceBytesMax)) ? "listpack" : "quicklist"
    }

    override func snapshot() -> SnapshotValue {
        var elements: [[UInt8]] = []
        elements.reserveCapacity(count)
        forEach(0..<count) { elements.append([UInt8]($0)) }
        return .list(elements)
    }

    /// Whether an element has room beside others.
    static func fits(_ elements: PackedBytes, _ element: UnsafeRawBufferPointer) -> Bool {
        elements.used + PackedBytes.size(ofElement: element.count) <= pieceBytesMax
    }

    /// The same in the place of one of them.
    static func fits(_ elements: PackedBytes, _ element: UnsafeRawBufferPointer, at place: Int) -> Bool {
        elements.count == 1 || elements.used - elements.size(place) + PackedBytes.size(ofElement: element.count) <= pieceBytesMax
    }

    /// Of elements that are packed: an only one may be as large as it is.
    private func staysPacked(with element: UnsafeRawBufferPointer) -> Bool {
        elements.table == nil && (elements.packed.count == 0 || Self.fits(elements.packed, element))
    }

    private func pieces() -> UnsafeMutablePointer<ListPieces> {
        if let pieces = elements.table { return pieces }
        return elements.become(owning: ListPieces.init)
    }

    // MARK: Ends

    func append(_ element: UnsafeRawBufferPointer) {
        if staysPacked(with: element) { elements.packed.append(element) } else { pieces().pointee.append(element) }
    }

    func prepend(_ element: UnsafeRawBufferPointer) {
        if staysPacked(with: element) { elements.packed.prepend(element) } else { pieces().pointee.prepend(element) }
    }

    // MARK: Anywhere

    func element(_ index: Int) -> UnsafeRawBufferPointer? {
        if let pieces = elements.table { return pieces.pointee.element(index) }
        return elements.packed.offset(of: index).map { elements.packed.element($0) }
    }

    func set(_ index: Int, _ element: UnsafeRawBufferPointer) {
        if let pieces = elements.table { return pieces.pointee.set(index, element) }
        let packed = elements.packed
        guard let place = packed.offset(of: index) else { return }
        guard Self.fits(packed, element, at: place) else { return pieces().pointee.set(index, element) }
        elements.packed.replace(at: place, with: element)
    }

    /// Puts an element before the one of an index.
    func insert(_ element: UnsafeRawBufferPointer, at index: Int) {
        guard staysPacked(with: element) else { return pieces().pointee.insert(element, at: index) }
        if let place = elements.packed.offset(of: index) { elements.packed.insert(element, at: place) } else { elements.packed.append(element) }
    }

    func remove(_ range: Range<Int>) {
        if let pieces = elements.table { return pieces.pointee.remove(range) }
        guard !range.isEmpty, let place = elements.packed.offset(of: range.lowerBound) else { return }
        elements.packed.remove(at: place, count: range.count)
    }

    /// Takes out single elements.
    /// - Parameter indices: rising, or falling.
    func remove(at indices: [Int]) {
        // From the tail on, so that no removal moves what is still to be removed.
        let falling = (indices.first ?? 0) > (indices.last ?? 0) ? indices : indices.reversed()
        for index in falling { remove(index..<index + 1) }
    }

    // MARK: Walks

    /// The elements of a range, in order.
    func forEach(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Void) {
        if let pieces = elements.table { return pieces.pointee.forEach(range, body) }
        let packed = elements.packed
        var place = packed.offset(of: range.lowerBound)
        for _ in range {
            guard let offset = place else { return }
            body(packed.element(offset))
            place = packed.next(offset)
        }
    }

    /// Looks through the elements from one end.
    /// - Parameter body: gets index and element; says whether to go on.
    func walk(fromTail: Bool, _ body: (Int, UnsafeRawBufferPointer) -> Bool) {
        if let pieces = elements.table { return pieces.pointee.walk(fromTail: fromTail, body) }
        let packed = elements.packed
        var place = fromTail ? packed.last : packed.first
        var index = fromTail ? packed.count - 1 : 0
        while let offset = place, body(index, packed.element(offset)) {
            place = fromTail ? packed.previous(offset) : packed.next(offset)
            index += fromTail ? -1 : 1
        }
    }
}
