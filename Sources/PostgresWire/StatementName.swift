public import NIOCore

/// Where a Parse, Bind, Describe or Close message names a prepared statement, so that the name can be read and another put in its place
/// without understanding the rest.
/// - Source: PostgreSQL 15, "Message Formats".
public struct StatementName: Equatable, Sendable {
    /// Index of the name's first byte in the buffer.
    public var index: Int
    /// Without the terminator; 0 is the unnamed statement.
    public var length: Int

    public enum Found: Equatable, Sendable {
        case name(StatementName)
        /// Describe or Close of a portal.
        case none
        /// The name's end is not there yet.
        case incomplete
        /// No terminator within the message, or within ``bytesMax``; or Describe or Close of neither statement nor portal.
        case malformed
    }

    /// PostgreSQL cuts names at 63 bytes, so no sane one is longer; a portal's and a statement's together here.
    public static let bytesMax = 1024

    /// Finds the name in a message of which at least the head is there.
    /// - Parameters:
    ///   - index: of the type byte.
    public static func find(_ head: MessageFraming.Head, in buffer: ByteBuffer, at index: Int) -> Found {
        let payload = index + MessageFraming.headBytes
        let messageEnd = index + head.bytes
        let end = min(messageEnd, buffer.writerIndex)
        let isWhole = messageEnd <= buffer.writerIndex
        switch head.kind {
        case FrontendKind.parse:
            return name(in: buffer, from: payload, to: end, isWhole: isWhole)
        case FrontendKind.bind:
            // The portal's name comes first.
            switch name(in: buffer, from: payload, to: end, isWhole: isWhole) {
            case .name(let portal): return name(in: buffer, from: portal.index + portal.length + 1, to: end, isWhole: isWhole)
            case let other: return other
            }
        case FrontendKind.describe, FrontendKind.close:
            guard payload < end, let target = buffer.getInteger(at: payload, as: UInt8.self) else {
                return isWhole ? .malformed : .incomplete
            }
            switch target {
            case UInt8(ascii: "S"): return name(in: buffer, from: payload + 1, to: end, isWhole: isWhole)
            case UInt8(ascii: "P"): return .none
            default: return .malformed
            }
        default: return .none
        }
    }

    /// Whether the name of an Execute's portal is there whole, as far as it may go.
    public static func hasPortal(_ head: MessageFraming.Head, in buffer: ByteBuffer, at index: Int) -> Bool {
        let available = min(head.bytes, buffer.writerIndex - index)
        if available == head.bytes || available >= MessageFraming.headBytes + bytesMax { return true }
        return buffer.getInteger(at: index + MessageFraming.headBytes, as: UInt8.self) == 0
    }

    private static func name(in buffer: ByteBuffer, from start: Int, to end: Int, isWhole: Bool) -> Found {
        let length = min(end - start, bytesMax)
        guard length > 0 else { return isWhole ? .malformed : .incomplete }
        let found = buffer.withUnsafeReadableBytes { bytes -> Int? in
            let from = start - buffer.readerIndex
            return bytes[from..<from + length].firstIndex(of: 0).map { $0 - from }
        }
        if let found { return .name(StatementName(index: start, length: found)) }
        return isWhole || length == bytesMax ? .malformed : .incomplete
    }

    /// Appends the message up to and with the name, with another name in its place; what follows in the message is to be appended as it is.
    /// - Returns: the index in `buffer` from which the message goes on.
    public func replace(
        with name: some Collection<UInt8>, _ head: MessageFraming.Head, in buffer: ByteBuffer, at start: Int, to output: inout ByteBuffer
    ) -> Int {
        // One piece of memory for all that follows, in the place of ever larger ones.
        if output.readableBytes == 0 { output.reserveCapacity(min(buffer.writerIndex - start, 16 << 10) + name.count + 64) }
        output.writeInteger(head.kind)
        output.writeInteger(UInt32(head.bytes - 1 - length + name.count))
        let payload = start + MessageFraming.headBytes
        if let before = buffer.getSlice(at: payload, length: index - payload) { output.writeImmutableBuffer(before) }
        output.writeBytes(name)
        return index + length
    }
}
