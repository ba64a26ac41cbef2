/// Elements in packed pieces of some kilobytes: both ends and whole pieces are reached at once, the middle by walking.
struct ListPieces: ~Copyable {
    private var pieces: [PackedBytes]
    /// Places in front that have no piece any more, or none yet.
    private var firstPiece = 0
    private var total: Int
    private var pieceBytes: Int

    /// Takes over a block of elements.
    init(_ elements: PackedBytes) {
        pieces = [elements]
        total = elements.count
        pieceBytes = elements.bytes
    }

    deinit { for piece in pieces { piece.deallocate() } }

    /// Without the memory that this takes itself.
    var bytes: Int { pieces.capacity * MemoryLayout<PackedBytes>.stride + 32 + pieceBytes }
    var count: Int { total }
    /// Whether the elements are as those of a list that never was larger.
    var isOneSmall: Bool { pieces.count - firstPiece <= 1 && (pieces.last?.used ?? 0) <= ListObject.pieceBytesMax }

    private mutating func change(_ piece: Int, _ body: (inout PackedBytes) -> Void) {
        pieceBytes -= pieces[piece].bytes
        body(&pieces[piece])
        pieceBytes += pieces[piece].bytes
    }

    private mutating func add(_ piece: PackedBytes, at place: Int) {
        pieceBytes += piece.bytes
        pieces.insert(piece, at: place)
    }

    /// A piece for one end, for small elements as large as it will be where the list has so many that it is no more than an eighth of them: to grow each
    /// piece took more than to write into it.
    private func piece(for element: UnsafeRawBufferPointer) -> PackedBytes {
        var piece = PackedBytes()
        if pieces.count - firstPiece >= 8, element.count <= ListObject.pieceBytesMax / 8 { piece.reserve(ListObject.pieceBytesMax) }
        return piece
    }

    // MARK: Ends

    mutating func append(_ element: UnsafeRawBufferPointer) {
        if pieces.count == firstPiece || !ListObject.fits(pieces[pieces.count - 1], element) { add(piece(for: element), at: pieces.count) }
        change(pieces.count - 1) { $0.append(element) }
        total += 1
    }

    mutating func prepend(_ element: UnsafeRawBufferPointer) {
        if pieces.count == firstPiece || !ListObject.fits(pieces[firstPiece], element) {
            if firstPiece == 0 {
                // Room for as many more in front as there are: moving them costs each the same in the end.
                let room = max(4, pieces.count)
                pieces.insert(contentsOf: repeatElement(PackedBytes(), count: room), at: 0)
                firstPiece = room
            }
            let piece = piece(for: element)
            firstPiece -= 1
            pieces[firstPiece] = piece
            pieceBytes += piece.bytes
        }
        change(firstPiece) { $0.prepend(element) }
        total += 1
    }

    func element(_ index: Int) -> UnsafeRawBufferPointer? {
        guard let (piece, offset) = place(index) else { return nil }
        return pieces[piece].element(offset)
    }

    /// The piece and the offset of an element.
    private func place(_ index: Int) -> (piece: Int, offset: Int)? {
        guard index >= 0, index < total else { return nil }
        if index <= total / 2 {
            var rest = index
            for piece in firstPiece..<pieces.count {
                if rest < pieces[piece].count { return pieces[piece].offset(of: rest).map { (piece, $0) } }
                rest -= pieces[piece].count
            }
            return nil
        }
        var rest = total - index
        for piece in (firstPiece..<pieces.count).reversed() {
            let count = pieces[piece].count
            if rest <= count { return pieces[piece].offset(of: count - rest).map { (piece, $0) } }
            rest -= count
        }
        return nil
    }

    // MARK: Anywhere

    mutating func set(_ index: Int, _ element: UnsafeRawBufferPointer) {
        guard let (piece, offset) = place(index) else { return }
        if ListObject.fits(pieces[piece], element, at: offset) { return change(piece) { $0.replace(at: offset, with: element) } }
        remove(index..<index + 1)
        insert(element, at: index)
    }

    /// Puts an element before the one of an index.
    mutating func insert(_ element: UnsafeRawBufferPointer, at index: Int) {
        guard let (piece, offset) = place(index) else { return append(element) }
        total += 1
        if ListObject.fits(pieces[piece], element) { return change(piece) { $0.insert(element, at: offset) } }
        // The piece is full: what is behind the place becomes another.
        var rest = PackedBytes()
        var next: Int? = offset
        while let place = next {
            rest.append(pieces[piece].element(place))
            next = pieces[piece].next(place)
        }
        change(piece) { $0.remove(at: offset, count: rest.count) }
        add(rest, at: piece + 1)
        if ListObject.fits(pieces[piece], element) {
            change(piece) { $0.append(element) }
        } else {
            add(PackedBytes(), at: piece + 1)
            change(piece + 1) { $0.append(element) }
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
                next = pieces[piece].next(place)
            }
            change(piece) { $0.remove(at: offset, count: count) }
            left -= count
            let isFirst = piece == firstPiece
            if !drop(piece) { piece += 1 } else if isFirst { piece = firstPiece }
            if left > 0 { offset = pieces[piece].first ?? 0 }
        }
    }

    /// Takes a piece away that has nothing in it.
    /// - Returns: whether it did.
    @discardableResult
    private mutating func drop(_ piece: Int) -> Bool {
        guard pieces[piece].count == 0 else { return false }
        pieceBytes -= pieces[piece].bytes
        pieces[piece].deallocate()
        if piece == firstPiece {
            pieces[piece] = PackedBytes()
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
            body(pieces[piece].element(offset))
            if let next = pieces[piece].next(offset) {
                offset = next
            } else {
                piece += 1
                guard piece < pieces.count, let first = pieces[piece].first else { return }
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
                var place = pieces[piece].first
                while let offset = place {
                    guard body(index, pieces[piece].element(offset)) else { return }
                    index += 1
                    place = pieces[piece].next(offset)
                }
            }
            return
        }
        var index = total - 1
        for piece in (firstPiece..<pieces.count).reversed() {
            var place = pieces[piece].last
            while let offset = place {
                guard body(index, pieces[piece].element(offset)) else { return }
                index -= 1
                place = pieces[piece].previous(offset)
            }
        }
    }
}
