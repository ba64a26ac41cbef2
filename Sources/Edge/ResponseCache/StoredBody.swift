// The one way to give a ByteBuffer memory of an exact size; see `exactCopy()`.
@_spi(CustomByteBufferAllocator) import NIOCore

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A body as it is stored: one piece of memory, or several where one would be large.
///
/// A large one in pieces needs no contiguous memory, and a slow client holds what it has not taken yet: the pieces before are free as soon as
/// the store has dropped them.
struct StoredBody: Sendable {
    /// Bodies up to here are one piece; larger ones are pieces of about this size. 256 KiB: what is held whole to be compressed, too, and
    /// twice what malloc takes from the system and gives back by itself.
    static let pieceBytes = 256 << 10

    /// All of it, unless there are ``pieces``.
    let whole: ByteBuffer
    /// Empty when ``whole`` is all of it.
    let pieces: [ByteBuffer]
    let byteCount: Int

    init(_ whole: ByteBuffer) {
        self.whole = whole
        pieces = []
        byteCount = whole.readableBytes
    }

    /// - Parameter parts: in their order; a single one is the whole.
    init(parts: [ByteBuffer]) {
        whole = parts.count == 1 ? parts[0] : ByteBuffer()
        pieces = parts.count > 1 ? parts : []
        byteCount = parts.reduce(0) { $0 + $1.readableBytes }
    }

    /// The same bytes in pieces that are not too large.
    init(cutting whole: ByteBuffer) {
        guard whole.readableBytes > Self.pieceBytes else {
            self.init(whole)
            return
        }
        var rest = whole
        var parts: [ByteBuffer] = []
        while let part = rest.readSlice(length: min(Self.pieceBytes, rest.readableBytes)), part.readableBytes > 0 { parts.append(part.exactCopy()) }
        self.init(parts: parts)
    }

    /// The bytes of a range, in their order, without copying.
    func slices(_ range: Range<Int>) -> [ByteBuffer] {
        var found: [ByteBuffer] = []
        var start = 0
        for piece in pieces.isEmpty ? [whole] : pieces {
            let wanted = range.clamped(to: start..<start + piece.readableBytes)
            if !wanted.isEmpty, let slice = piece.getSlice(at: piece.readerIndex + wanted.lowerBound - start, length: wanted.count) {
                found.append(slice)
            }
            start += piece.readableBytes
        }
        return found
    }

    /// A copy in one piece: for what is small, or for a moment.
    func joined() -> ByteBuffer { pieces.isEmpty ? whole : .exact(joining: pieces[...]) }

    /// Pieces that take no more memory than their bytes need.
    func exactCopy() -> StoredBody { pieces.isEmpty ? StoredBody(whole.exactCopy()) : StoredBody(parts: pieces.map { $0.exactCopy() }) }

    /// What it takes in memory besides the objects that hold it.
    var memoryBytes: Int { pieces.reduce(AllocatedBytes.buffer(whole) + AllocatedBytes.array(pieces)) { $0 + AllocatedBytes.buffer($1) } }
}

extension ByteBuffer {
    /// A copy that takes no more memory than its bytes need. `ByteBuffer`'s own growth rounds up to a power of two, which
    /// for what is kept wastes a third on average.
    func exactCopy() -> ByteBuffer {
        let count = readableBytes
        guard count > 0 else { return ByteBuffer() }
        guard storageCapacity > AllocatedBytes.of(count) || readerIndex > 0 else { return self }
        return .exact(joining: [self])
    }

    /// These bytes, one behind the other, in memory of their size.
    static func exact(joining parts: ArraySlice<ByteBuffer>) -> ByteBuffer {
        let count = parts.reduce(0) { $0 + $1.readableBytes }
        // malloc, because the default allocator frees with free().
        guard count > 0, let start = malloc(count) else {
            var whole = ByteBuffer()
            for part in parts { whole.writeImmutableBuffer(part) }
            return whole
        }
        let memory = UnsafeMutableRawBufferPointer(start: start, count: count)
        var offset = 0
        for part in parts {
            part.withUnsafeReadableBytes { bytes in
                UnsafeMutableRawBufferPointer(rebasing: memory[offset..<offset + bytes.count]).copyMemory(from: bytes)
            }
            offset += part.readableBytes
        }
        return ByteBuffer(takingOwnershipOf: memory, allocator: ByteBufferAllocator())
    }
}
