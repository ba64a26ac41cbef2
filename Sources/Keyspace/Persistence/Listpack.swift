/// Redis' packed list since 7.0 (and in streams since 5.0): a head of six bytes, entries, 0xFF.
///
/// Each entry is an encoded value and the length of it again behind it, seven bits per byte, so that the list can be walked
/// backwards. We walk forwards only, and still hold every entry's second length against the first.
/// - Source: the listpack specification (antirez/listpack), `listpack.c` of Redis 7.
enum Listpack {
    /// - Returns: the elements, in the memory of `bytes`.
    static func elements(of bytes: UnsafeRawBufferPointer) throws(RDBError) -> [PackedElement] {
        var cursor = ByteCursor(bytes)
        guard bytes.count >= 7, try cursor.littleEndian(UInt32.self) == bytes.count else { throw cursor.failure(.packedMalformed) }
        let count = Int(try cursor.littleEndian(UInt16.self))
        var elements: [PackedElement] = []
        // No entry is shorter than two bytes.
        elements.reserveCapacity(min(count, cursor.remaining / 2))
        while try cursor.peek() != endByte {
            let start = cursor.offset
            elements.append(try element(&cursor))
            let length = cursor.offset - start
            try readBackLength(&cursor, of: length)
        }
        _ = try cursor.byte()
        // 65,535 means that the number did not fit.
        guard cursor.isAtEnd, count == elements.count || count == 0xFFFF && elements.count >= 0xFFFF else {
            throw cursor.failure(.packedMalformed)
        }
        return elements
    }

    private static let endByte: UInt8 = 0xFF

    private static func element(_ cursor: inout ByteCursor) throws(RDBError) -> PackedElement {
        let first = try cursor.byte()
        switch first {
        case 0x00...0x7F: return .integer(Int64(first))
        case 0x80...0xBF: return .bytes(try cursor.take(Int(first & 0x3F)))
        case 0xC0...0xDF:
            let value = Int64(first & 0x1F) << 8 | Int64(try cursor.byte())
            return .integer(value >= 1 << 12 ? value - 1 << 13 : value)
        case 0xE0...0xEF:
            let length = Int(first & 0x0F) << 8 | Int(try cursor.byte())
            return .bytes(try cursor.take(length))
        case 0xF0: return .bytes(try cursor.take(Int(try cursor.littleEndian(UInt32.self))))
        case 0xF1: return .integer(Int64(try cursor.littleEndian(Int16.self)))
        case 0xF2: return .integer(try int24(&cursor))
        case 0xF3: return .integer(Int64(try cursor.littleEndian(Int32.self)))
        case 0xF4: return .integer(try cursor.littleEndian(Int64.self))
        default: throw cursor.failure(.packedMalformed)
        }
    }

    static func int24(_ cursor: inout ByteCursor) throws(RDBError) -> Int64 {
        let low = UInt32(try cursor.littleEndian(UInt16.self))
        let high = UInt32(try cursor.byte())
        // Shifted up and down again for the sign.
        return Int64(Int32(bitPattern: (high << 16 | low) << 8) >> 8)
    }

    /// Reads the length behind an entry: the highest seven bits first, the bytes behind the first with their high bit set.
    private static func readBackLength(_ cursor: inout ByteCursor, of length: Int) throws(RDBError) {
        var value = 0
        for (index, byte) in try cursor.take(backLengthCount(length)).enumerated() {
            guard (byte >= 0x80) == (index > 0) else { throw cursor.failure(.packedMalformed) }
            value = value << 7 | Int(byte & 0x7F)
        }
        guard value == length else { throw cursor.failure(.packedMalformed) }
    }

    /// How many bytes the length of an entry takes when it is written behind the entry. The bounds are Redis' own: one less than
    /// what would fit.
    fileprivate static func backLengthCount(_ length: Int) -> Int {
        switch length {
        case ..<128: 1
        case ..<16_383: 2
        case ..<2_097_151: 3
        case ..<268_435_455: 4
        default: 5
        }
    }
}

/// Writes a packed list. What is written here is small, a stream's node: a few kilobytes.
struct ListpackWriter {
    private var bytes: [UInt8] = [0, 0, 0, 0, 0, 0]
    private var count = 0

    /// Of the list as it would be finished now.
    var byteCount: Int { bytes.count + 1 }

    mutating func append(_ value: Int64) {
        let start = bytes.count
        switch value {
        case 0...127: bytes.append(UInt8(value))
        case -4096...4095:
            let bits = UInt16(truncatingIfNeeded: value) & 0x1FFF
            bytes.append(0xC0 | UInt8(bits >> 8))
            bytes.append(UInt8(bits & 0xFF))
        default:
            bytes.append(0xF4)
            withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
        }
        finishEntry(start)
    }

    mutating func append(_ text: [UInt8]) {
        let start = bytes.count
        switch text.count {
        case ..<64: bytes.append(0x80 | UInt8(text.count))
        case ..<4096:
            bytes.append(0xE0 | UInt8(text.count >> 8))
            bytes.append(UInt8(text.count & 0xFF))
        default:
            bytes.append(0xF0)
            withUnsafeBytes(of: UInt32(text.count).littleEndian) { bytes.append(contentsOf: $0) }
        }
        bytes.append(contentsOf: text)
        finishEntry(start)
    }

    private mutating func finishEntry(_ start: Int) {
        count += 1
        let length = bytes.count - start
        let lengthCount = Listpack.backLengthCount(length)
        for index in 0..<lengthCount {
            let seven = UInt8(length >> (7 * (lengthCount - 1 - index)) & 0x7F)
            bytes.append(index == 0 ? seven : seven | 0x80)
        }
    }

    consuming func finish() -> [UInt8] {
        bytes.append(0xFF)
        let total = UInt32(bytes.count)
        for index in 0..<4 { bytes[index] = UInt8(total >> (8 * UInt32(index)) & 0xFF) }
        let countField = min(count, 0xFFFF)
        bytes[4] = UInt8(countField & 0xFF)
        bytes[5] = UInt8(countField >> 8)
        return bytes
    }
}
