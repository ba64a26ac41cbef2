public import NIOCore

/// Where messages begin in a stream of them: a type byte, a length that counts itself, the payload.
///
/// The framing keeps no bytes. Its owner walks over a buffer with ``head(in:at:)``, decides what the message is to it, and calls
/// ``pass(_:available:)`` for what it lets go by without needing it whole; a message of any size goes by piece by piece.
///
///     between messages → (head) → inside one (`outstandingBytes` > 0) → (skipped) → between messages
///
/// - Source: PostgreSQL 15, "Message Flow", Overview: the length includes itself and not the type byte.
public struct MessageFraming: Sendable {
    /// The head of a message.
    public struct Head: Equatable, Sendable {
        /// ``FrontendKind`` or ``BackendKind``.
        public var kind: UInt8
        /// The whole message, type byte and length included: 5 or more.
        public var bytes: Int

        @inlinable
        public init(kind: UInt8, bytes: Int) {
            self.kind = kind
            self.bytes = bytes
        }
    }

    /// What lies at a place of a buffer.
    public enum Found: Equatable, Sendable {
        /// Less than a head.
        case incomplete
        case message(Head)
        /// A length below 4, or one beyond the limit: what follows cannot be told apart any more.
        case malformed
    }

    /// PostgreSQL takes no message beyond 1 GB (`PQ_LARGE_MESSAGE_LIMIT`), and sends none.
    @inlinable
    public static var messageBytesMax: Int { 1 << 30 }
    /// Type byte and length.
    @inlinable
    public static var headBytes: Int { 5 }

    /// Bytes of the message in progress that are still to come.
    public private(set) var outstandingBytes = 0

    public init() {}

    /// Whether the next byte begins a message.
    public var isBetweenMessages: Bool { outstandingBytes == 0 }

    /// Reads the head of the message that begins at an index of the buffer, among what is readable.
    @inlinable
    public static func head(in buffer: ByteBuffer, at index: Int) -> Found {
        let available = buffer.writerIndex - index
        let offset = index - buffer.readerIndex
        guard available >= headBytes, offset >= 0 else { return .incomplete }
        // One look at the buffer for both.
        return buffer.withUnsafeReadableBytes { bytes in
            let length = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset + 1, as: UInt32.self))
            guard length >= 4, length < UInt32(messageBytesMax) else { return .malformed }
            return .message(Head(kind: bytes[offset], bytes: Int(length) + 1))
        }
    }

    /// Of the message in progress, how many of the bytes at hand belong to it; they count as gone by.
    public mutating func skip(available: Int) -> Int {
        let skipped = min(outstandingBytes, available)
        outstandingBytes -= skipped
        return skipped
    }

    /// Lets a message go by of which perhaps not all is there.
    /// - Returns: its bytes that are at hand.
    public mutating func pass(_ bytes: Int, available: Int) -> Int {
        assert(outstandingBytes == 0, "one message at a time")
        let passed = min(bytes, available)
        outstandingBytes = bytes - passed
        return passed
    }
}
