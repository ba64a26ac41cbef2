/// The elements of a list, in packed pieces of some kilobytes: both ends and whole pieces are reached at once, the middle by walking.
final class ListObject: StoredObject {
    /// 8 KB: `list-max-listpack-size -2`. An element that is larger has a piece of its own.
    static let pieceBytesMax = 8 << 10

    /// A piece is a class: an array of values that own memory would copy them.
    private final class Piece {
        var elements = PackedBytes()
    }

    /// A ``Piece`` with what `malloc` adds to it.
    private static let pieceObjectBytes = 48

    private var pieces: [Piece] = []
    /// Pieces in front that are empty already.
    private var firstPiece = 0
    private var total = 0
    private var pieceBytes = 0

    override var bytes: Int {
        malloc_usable_size(Unmanaged.passUnretained(self).toOpaque()) + 8 + pieces.capacity * 8 + 32 + pieceBytes
    }
    override var count: Int { total }
    override var encoding: StaticString {
        pieces.count - firstPiece <= 1 && (pieces.last?.elements.used ?? 0) <= Self.pieceBytesMax ? "listpack" : "quicklist"
    }

    override func snapshot() -> SnapshotValue {
        var elements: [[UInt8]] = []
        elements.reserveCapacity(total)
        forEach(0..<total) { elements.append([UInt8]($0)) }
        return .list(elements)
    }

    private func change<Result>(_ piece: Piece, _ body: (inout PackedBytes) -> Result) -> Result {
        pieceBytes -= piece.elements.bytes
        defer { pieceBytes += piece.elements.bytes }
        return body(&piece.elements)
    }

    private func fits(_ piece: Piece, _ element: UnsafeRawBufferPointer) -> Bool {
        piece.elements.used + PackedBytes.size(ofElement: element.count) <= Self.pieceBytesMax
    }

    private func makePiece() -> Piece {
        pieceBytes += Self.pieceObjectBytes
        return Piece()
    }

    /// A piece for one end, for small elements as large as it will be where the list has so many that it is no more than an eighth of them: to grow each
    /// piece took more than to write into it.
    private func makePiece(for element: UnsafeRawBufferPointer) -> Piece {
        let piece = makePiece()
        if pieces.count - firstPiece >= 8, element.count <= Self.pieceBytesMax / 8 { change(piece) { $0.reserve(Self.pieceBytesMax) } }
        return piece
    }

    // MARK: Ends

    func append(_ element: UnsafeRawBufferPointer) {
        if pieces.count == firstPiece || !fits(pieces[pieces.count - 1], element) { pieces.append(makePiece(for: element)) }
        change(pieces[pieces.count - 1]) { $0.append(element) }
        total += 1
    }

    func prepend(_ element: UnsafeRawBufferPointer) {
        if pieces.count == firstPiece || !fits(pieces[firstPiece], element) {
            if firstPiece == 0 {
                // Room for as many more in front as there are: moving them costs each the same in the end.
                let room = max(4, pieces.count)
                pieces.insert(contentsOf: (0..<room).map { _ in Self.nothing }, at: 0)
                firstPiece = room
            }
            let piece = makePiece(for: element)
            firstPiece -= 1
            pieces[firstPiece] = piece
        }
        change(pieces[firstPiece]) { $0.prepend(element) }
        total += 1
    }

    /// Stands in the places in front. Never changed.
    nonisolated(unsafe) private static let nothing = Piece()

    func element(_ index: Int) -> UnsafeRawBufferPointer? {
        guard let (piece, offset) = place(index) else { return nil }
        return pieces[piece].elements.element(offset)
    }

    /// The piece and the offset of an element.
    private func place(_ index: Int) -> (piece: Int, offset: Int)? {
        guard index >= 0, index < total else { return nil }
        if index <= total / 2 {
            var rest = index
            for piece in firstPiece..<pieces.count {
                if rest < pieces[piece].elements.count { return pieces[piece].elements.offset(of: rest).map { (piece, $0) } }
                rest -= pieces[piece].elements.count
            }
            return nil
        }
        var rest = total - index
        for piece in (firstPiece..<pieces.count).reversed() {
            let count = pieces[piece].elements.count
            if rest <= count { return pieces[piece].elements.offset(of: count - rest).map { (piece, $0) } }
            rest -= count
        }
        return nil
    }

    // MARK: Anywhere

    func set(_ index: Int, _ element: UnsafeRawBufferPointer) {
        guard let (piece, offset) = place(index) else { return }
        change(pieces[piece]) { $0.replace(at: offset, with: element) }
    }

    /// Puts an element before the one of an index.
    func insert(_ element: UnsafeRawBufferPointer, at index: Int) {
        guard let (piece, offset) = place(index) else { return append(element) }
        total += 1
        if fits(pieces[piece], element) || pieces[piece].elements.count == 0 {
            return change(pieces[piece]) { $0.insert(element, at: offset) }
        }
        // The piece is full: what is behind the place becomes another.
        let rest = makePiece()
        var next: Int? = offset
        var moved = 0
        while let place = next {
            change(rest) { $0.append(pieces[piece].elements.element(place)) }
            next = pieces[piece].elements.next(place)
            moved += 1
        }
        change(pieces[piece]) { $0.remove(at: offset, count: moved) }
        pieces.insert(rest, at: piece + 1)
        if fits(pieces[piece], element) {
            change(pieces[piece]) { $0.append(element) }
        } else {
            let own = makePiece()
            change(own) { $0.append(element) }
            pieces.insert(own, at: piece + 1)
        }
        drop(piece)
    }

    func remove(_ range: Range<Int>) {
        var left = range.count
        guard left > 0, let start = place(range.lowerBound) else { return }
        var (piece, offset) = start
        total -= left
        while left > 0 {
            var count = 0
            var next: Int? = offset
            while let place = next, count < left {
                count += 1
                next = pieces[piece].elements.next(place)
            }
            change(pieces[piece]) { $0.remove(at: offset, count: count) }
            left -= count
            let isFirst = piece == firstPiece
            if !drop(piece) { piece += 1 } else if isFirst { piece = firstPiece }
            if left > 0 { offset = pieces[piece].elements.first ?? 0 }
        }
    }

    /// Takes a piece away that has nothing in it.
    /// - Returns: whether it did.
    @discardableResult
    private func drop(_ piece: Int) -> Bool {
        guard pieces[piece].elements.count == 0 else { return false }
        pieceBytes -= pieces[piece].elements.bytes + Self.pieceObjectBytes
        if piece == firstPiece {
            pieces[piece] = Self.nothing
            firstPiece += 1
            if firstPiece == pieces.count {
                pieces = []
                firstPiece = 0
            } else if firstPiece > 64, firstPiece > pieces.count / 2 {
                pieces.removeFirst(firstPiece)
                firstPiece = 0
            }
        } else {
            pieces.remove(at: piece)
        }
        return true
    }

    /// The elements of a range, in order.
    func forEach(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Void) {
        guard !range.isEmpty, var (piece, offset) = place(range.lowerBound) else { return }
        for _ in range {
            body(pieces[piece].elements.element(offset))
            if let next = pieces[piece].elements.next(offset) {
                offset = next
            } else {
                piece += 1
                guard piece < pieces.count, let first = pieces[piece].elements.first else { return }
                offset = first
            }
        }
    }

    /// Looks through the elements from one end.
    /// - Parameter body: gets index and element; says whether to go on.
    func walk(fromTail: Bool, _ body: (Int, UnsafeRawBufferPointer) -> Bool) {
        if !fromTail {
            var index = 0
            for piece in firstPiece..<pieces.count {
                var place = pieces[piece].elements.first
                while let offset = place {
                    guard body(index, pieces[piece].elements.element(offset)) else { return }
                    index += 1
                    place = pieces[piece].elements.next(offset)
                }
            }
            return
        }
        var index = total - 1
        for piece in (firstPiece..<pieces.count).reversed() {
            var place = pieces[piece].elements.last
            while let offset = place {
                guard body(index, pieces[piece].elements.element(offset)) else { return }
                index -= 1
                place = pieces[piece].elements.previous(offset)
            }
        }
    }
}

extension ListObject {
    /// Takes out single elements.
    /// - Parameter indices: rising, or falling.
    func remove(at indices: [Int]) {
        // From the tail on, so that no removal moves what is still to be removed.
        let falling = (indices.first ?? 0) > (indices.last ?? 0) ? indices : indices.reversed()
        for index in falling { remove(index..<index + 1) }
    }
}
