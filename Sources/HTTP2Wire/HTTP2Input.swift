package import NIOCore

/// What has come on a connection and is no whole frame yet. Bounded by a frame's size, as whoever reads takes all whole frames out.
package struct HTTP2Input {
    private var rest = ByteBuffer()

    package init() {}

    package var byteCount: Int { rest.readableBytes }
    /// Memory that it holds.
    package var capacity: Int { rest.storageCapacity }

    /// What is there, with what has just come behind it. It is the caller's alone, so that taking frames out copies nothing; what is left
    /// comes back by ``keep(_:)``.
    package mutating func joined(_ bytes: ByteBuffer) -> ByteBuffer {
        guard rest.readableBytes > 0 else { return bytes }
        var (bytes, joined) = (bytes, ByteBuffer())
        rest.writeBuffer(&bytes)
        swap(&joined, &rest)
        return joined
    }

    /// What no frame could be made of. Without any the memory goes back to where it came from.
    package mutating func keep(_ bytes: consuming ByteBuffer) {
        guard bytes.readableBytes > 0 else { return rest = ByteBuffer() }
        rest = bytes
        rest.discardReadBytes()
    }
}
