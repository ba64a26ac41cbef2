/// The packed forms of Redis before 7.0: ziplist, zipmap, and the set of integers, which is still in use.
///
/// - Source: the head comments of `ziplist.c`, `zipmap.c` and `intset.c` of Redis 6.
enum Ziplist {
    /// - Returns: the elements, in the memory of `bytes`.
    static func elements(of bytes: UnsafeRawBufferPointer) throws(RDBError) -> [PackedElement] {
        var cursor = ByteCursor(bytes)
        guard bytes.count >= 11, try cursor.littleEndian(UInt32.self) == bytes.count else { throw cursor.failure(.packedMalformed) }
        // Where the last entry begins.
        let tail = Int(try cursor.littleEndian(UInt32.self))
        let count = Int(try cursor.littleEndian(UInt16.self))
        var elements: [PackedElement] = []
        elements.reserveCapacity(min(count, cursor.remaining / 2))
        var lengthBefore = 0
        var last = cursor.offset
        while try cursor.peek() != endByte {
            last = cursor.offset
            var announced = Int(try cursor.byte())
            if announced == 0xFE { announced = Int(try cursor.littleEndian(UInt32.self)) }
            guard announced == lengthBefore else { throw cursor.failure(.packedMalformed) }
            elements.append(try element(&cursor))
            lengthBefore = cursor.offset - last
        }
        _ = try cursor.byte()
        guard cursor.isAtEnd, tail == last, count == elements.count || count == 0xFFFF && elements.count >= 0xFFFF else {
            throw cursor.failure(.packedMalformed)
        }
        return elements
    }

    private static let endByte: UInt8 = 0xFF

    private static func element(_ cursor: inout ByteCursor) throws(RDBError) -> PackedElement {
        let first = try cursor.byte()
        switch first {
        case 0x00...0x3F: return .bytes(try cursor.take(Int(first)))
        case 0x40...0x7F:
            let length = Int(first & 0x3F) << 8 | Int(try cursor.byte())
            return .bytes(try cursor.take(length))
        case 0x80: return .bytes(try cursor.take(Int(try cursor.bigEndian(UInt32.self))))
        case 0xC0: return .integer(Int64(try cursor.littleEndian(Int16.self)))
        case 0xD0: return .integer(Int64(try cursor.littleEndian(Int32.self)))
        case 0xE0: return .integer(try cursor.littleEndian(Int64.self))
        case 0xF0: return .integer(try Listpack.int24(&cursor))
        case 0xFE: return .integer(Int64(try cursor.littleEndian(Int8.self)))
        case 0xF1...0xFD: return .integer(Int64(first) - 0xF1)
        default: throw cursor.failure(.packedMalformed)
        }
    }
}

/// The packed hash of Redis 2.4 and before: names and values by turns.
enum Zipmap {
    static func elements(of bytes: UnsafeRawBufferPointer) throws(RDBError) -> [PackedElement] {
        var cursor = ByteCursor(bytes)
        // The number of pairs, if it is below 254.
        let pairCount = Int(try cursor.byte())
        var elements: [PackedElement] = []
        while try cursor.peek() != 0xFF {
            elements.append(.bytes(try cursor.take(try length(&cursor))))
            let valueLength = try length(&cursor)
            let unusedCount = Int(try cursor.byte())
            elements.append(.bytes(try cursor.take(valueLength)))
            _ = try cursor.take(unusedCount)
        }
        _ = try cursor.byte()
        guard cursor.isAtEnd, pairCount >= 254 || pairCount * 2 == elements.count else { throw cursor.failure(.packedMalformed) }
        return elements
    }

    private static func length(_ cursor: inout ByteCursor) throws(RDBError) -> Int {
        let first = try cursor.byte()
        guard first < 0xFF else { throw cursor.failure(.packedMalformed) }
        return first < 0xFE ? Int(first) : Int(try cursor.littleEndian(UInt32.self))
    }
}

/// A set of integers of one width, in ascending order.
enum Intset {
    static func elements(of bytes: UnsafeRawBufferPointer) throws(RDBError) -> [Int64] {
        var cursor = ByteCursor(bytes)
        let width = Int(try cursor.littleEndian(UInt32.self))
        let count = Int(try cursor.littleEndian(UInt32.self))
        guard width == 2 || width == 4 || width == 8, cursor.remaining == count * width else { throw cursor.failure(.packedMalformed) }
        var elements: [Int64] = []
        elements.reserveCapacity(count)
        for _ in 0..<count {
            let element =
                switch width {
                case 2: Int64(try cursor.littleEndian(Int16.self))
                case 4: Int64(try cursor.littleEndian(Int32.self))
                default: try cursor.littleEndian(Int64.self)
                }
            if let last = elements.last, last >= element { throw cursor.failure(.packedMalformed) }
            elements.append(element)
        }
        return elements
    }
}
