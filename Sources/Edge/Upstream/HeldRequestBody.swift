import NIOCore

/// The parts of a request's body that wait for a connection, and those that were sent and may be needed once more. No I/O.
struct HeldRequestBody {
    private(set) var parts: [ByteBuffer] = []
    private(set) var bytes = 0
    /// Whether ``parts`` is the body from its first byte on.
    private(set) var isFromStart = true
    private let keptBytesMax: Int

    /// - Parameter keptBytesMax: bytes that are kept once they were sent; 0 keeps none.
    init(keptBytesMax: Int) {
        self.keptBytesMax = keptBytesMax
    }

    /// A part has come.
    /// - Parameter isSent: it goes out at once; else it waits, whatever the limit.
    mutating func received(_ part: ByteBuffer, isSent: Bool) {
        guard isSent else {
            parts.append(part)
            bytes += part.readableBytes
            return
        }
        guard isFromStart else { return }
        guard bytes + part.readableBytes <= keptBytesMax else { return forget() }
        parts.append(part)
        bytes += part.readableBytes
    }

    /// All parts were sent; they are kept if they may be.
    mutating func sent() {
        if bytes > keptBytesMax { forget() }
    }

    /// Nothing of it will be needed any more.
    mutating func forget() {
        isFromStart = false
        parts = []
        bytes = 0
    }
}
