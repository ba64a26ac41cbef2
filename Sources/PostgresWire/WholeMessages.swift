public import NIOCore

/// Messages as wholes, one after the other, for who reads few and short ones and needs all of each.
///
///     received → next, next, … → wait → received → …
public struct WholeMessages: Sendable {
    public enum Next: Equatable, Sendable {
        /// The whole message, type and length included.
        case message(kind: UInt8, ByteBuffer)
        /// More bytes are needed.
        case wait
        /// A length that lies, or a message beyond the limit: what follows cannot be told apart any more.
        case lost
    }

    /// Of the longest message, type and length included.
    public let bytesMax: Int
    private var pending = ByteBuffer()

    public init(bytesMax: Int) {
        self.bytesMax = bytesMax
    }

    public mutating func received(_ bytes: ByteBuffer) {
        // What was dealt with must not grow with it; and what is left is not to hold on to the memory that others read into.
        pending.discardReadBytes()
        pending.writeImmutableBuffer(bytes)
    }

    public mutating func next() -> Next {
        switch MessageFraming.head(in: pending, at: pending.readerIndex) {
        case .incomplete: return .wait
        case .malformed: return .lost
        case .message(let head):
            guard head.bytes <= bytesMax else { return .lost }
            guard let message = pending.readSlice(length: head.bytes) else { return .wait }
            return .message(kind: head.kind, message)
        }
    }
}
