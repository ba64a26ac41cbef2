/// Elements in packed pieces of some kilobytes: both ends and whole pieces are reached at once, the middle by walking.
struct ListPieces: ~Copyable {
    /// A piece is a class: an array of values that own memory would copy them.
    private final class Piece {
        var elements: PackedBytes
        init(_ elements: PackedBytes = PackedBytes()) { self.elements = elements }
        deinit { elements.deallocate() }
    }

    /// A ``Piece`` with what `malloc` adds to it.
    private static let pieceObjectBytes = 48

    private var pieces: [Piece] = []
    /// Pieces in front that are empty already.
    private var firstPiece = 0
    private var total = 0
    private var pieceBytes = 0

    /// Takes over a block of elements.
    init(_ elements: PackedBytes) {
        let piece = Piece(elements)
        pieces = [piece]
        total = elements.count
        pieceBytes = Self.pieceObjectBytes + elements.bytes
    }

    /// Without the memory that this takes itself.
    var bytes: Int { pieces.capacity * 8 + 32 + pieceBytes }
    var count: Int { total }
    /// Whether the elements are as those of a list that never was larger.
    var isOneSmall: Bool { pieces.count - firstPiece <= 1 && (pieces.last?.elements.used ?? 0) <= ListObject.pieceBytesMax }

    private mutating func change<Result>(_ piece: Piece, _ body: (inout PackedBytes) -> Result) -> Result {
        pieceBytes -= piece.elements.bytes
        defer { pieceBytes += piece.elements.bytes }
        return body(&piece.elements)
    }

    private func fits(_ piece: Piece, _ element: UnsafeRawBufferPointer) -> Bool {
        ListObject.fits(piece.elements, element)
    }

    private mutating func makePiece() -> Piece {
        pieceBytes += Self.pieceObjectBytes
        return Piece()
    }

    /// A piece for one end, for small elements as large as it will be where the list has so many that it is no more than an eighth of them: to grow each
    /// piece took more than to write into it.
    private mutating func makePiece(for element: UnsafeRawBufferPointer) -> Piece {
        let piece = makePiece()
        if pieces.count - firstPiece >= 8, element.count <= ListObject.pieceBytesMax / 8 { change(piece) { $0.reserve(ListObject.pieceBytesMax) } }
        return piece
    }

    // MARK: Ends

    mutating func append(_ element: UnsafeRawBufferPointer) {
        if pieces.count == firstPiece || !fits(pieces[pieces.count - 1], element) { pieces.append(makePiece(for: element)) }
        change(pieces[pieces.count - 1]) { $0.append(element) }
        total += 1
    }

    mutating func prepend(_ element: UnsafeRawBufferPointer) {
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

    mutating func set(_ index: Int, _ element: UnsafeRawBufferPointer) {
        guard let (piece, offset) = place(index) else { return }
        if ListObject.fits(pieces[piece].elements, element, at: offset) { return change(pieces[piece]) { $0.replace(at: offset, with: element) } }
        remove(index..<index + 1)
        insert(element, at: index)
    }

    /// Puts an element before the one of an index.
    mutating func insert(_ element: UnsafeRawBufferPointer, at index: Int) {
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
            let element = pieces[piece].elements.element(place)
            change(rest) { $0.append(element) }
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

    mutating func remove(_ range: Range<Int>) {
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
    private mutating func drop(_ piece: Int) -> Bool {
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
