/// Reads bytes in order, and never one beyond the last.
///
/// This is the only file of the persistence that touches memory through a pointer: every read asks how much is left first, so
/// no length or count in a file can reach outside of it. A cursor does not own its bytes; whoever makes it keeps them alive.
struct ByteCursor {
    private let bytes: UnsafeRawBufferPointer
    private(set) var offset = 0

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    var count: Int { bytes.count }
    var remaining: Int { bytes.count - offset }
    var isAtEnd: Bool { offset == bytes.count }

    func failure(_ code: RDBError.Code) -> RDBError { RDBError(code, at: offset) }

    @inline(__always)
    mutating func byte() throws(RDBError) -> UInt8 {
        guard offset < bytes.count else { throw failure(.truncated) }
        defer { offset += 1 }
        return bytes[offset]
    }

    /// The next byte, which stays.
    @inline(__always)
    func peek() throws(RDBError) -> UInt8 {
        guard offset < bytes.count else { throw failure(.truncated) }
        return bytes[offset]
    }

    /// So many bytes, as they lie there.
    @inline(__always)
    mutating func take(_ count: Int) throws(RDBError) -> UnsafeRawBufferPointer {
        guard count >= 0, count <= remaining else { throw failure(.truncated) }
        defer { offset += count }
        return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
    }

    @inline(__always)
    mutating func littleEndian<Number: FixedWidthInteger>(_ type: Number.Type) throws(RDBError) -> Number {
        Number(littleEndian: try take(MemoryLayout<Number>.size).loadUnaligned(as: type))
    }

    @inline(__always)
    mutating func bigEndian<Number: FixedWidthInteger>(_ type: Number.Type) throws(RDBError) -> Number {
        Number(bigEndian: try take(MemoryLayout<Number>.size).loadUnaligned(as: type))
    }

    /// The bytes between two places that were read already.
    func bytes(from start: Int, to end: Int) -> UnsafeRawBufferPointer {
        precondition(start >= 0 && start <= end && end <= offset, "only what was read")
        return UnsafeRawBufferPointer(rebasing: bytes[start..<end])
    }
}
