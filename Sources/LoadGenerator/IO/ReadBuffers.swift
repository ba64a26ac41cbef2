import NIOCore

/// What the connections of one event loop read into, one after the other: memory for one response at a time, and not for each of ten thousand
/// connections. Belongs to its event loop.
///
/// The channel's own pool would keep for ever what it was first given, so that is small; whatever it reads into afterwards it passes on and forgets.
/// Who has looked through what was read gives it back. What somebody still holds part of is made anew, and not written over: that is
/// `ByteBuffer`'s own law.
final class ReadBuffers {
    /// A page of 39 KB fits one read.
    static let bytes = 65_536
    /// Of a connection's first read, which most responses are smaller than.
    static let firstBytes = 2048

    private var spare: ByteBuffer?

    /// Memory of ``bytes``, empty.
    func take(_ allocator: ByteBufferAllocator) -> ByteBuffer {
        guard var buffer = spare else { return allocator.buffer(capacity: Self.bytes) }
        spare = nil
        buffer.clear()
        return buffer
    }

    /// - Parameter buffer: as it was read into; smaller ones, TLS's for example, are not kept.
    func giveBack(_ buffer: ByteBuffer) {
        if buffer.storageCapacity >= Self.bytes { spare = buffer }
    }

    /// For the `recvAllocator` of a channel of the same event loop.
    struct Allocator: RecvByteBufferAllocator, @unchecked Sendable {
        // Sendable because a channel asks its allocator on its event loop only, which is the buffers' own.
        private let buffers: ReadBuffers
        private var isFirst = true

        init(_ buffers: ReadBuffers) {
            self.buffers = buffers
        }

        func buffer(allocator: ByteBufferAllocator) -> ByteBuffer {
            isFirst ? allocator.buffer(capacity: ReadBuffers.firstBytes) : buffers.take(allocator)
        }

        /// "May be larger next time" is what keeps the channel from reading into its first one again.
        mutating func record(actualReadBytes: Int) -> Bool {
            isFirst = false
            return true
        }
    }
}
