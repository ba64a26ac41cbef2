public import HTTPSemantics
public import NIOCore

/// Finds where a message's body ends, and gives its bytes as slices of the buffer that they came in.
///
/// It takes from the buffer what belongs to the body and not a byte more: what follows is the next message.
/// - Source: RFC 9112 §6.3, §7.1.
public struct HTTP1BodyDecoder {
    public enum Event {
        /// The buffer holds nothing more that can be used: call again with what is left in it and more behind.
        case needMore
        /// A piece of the body, never empty.
        case bytes(ByteBuffer)
        /// The body is complete. Every further call says so again.
        case end
    }

    /// The trailer fields that may be forwarded; complete when ``isComplete`` is. See `FieldName.isAllowedInTrailers`.
    public private(set) var trailers = FieldSection()

    private let limits: HTTP1Limits
    private var state: State
    private var scanner = FieldLineScanner()

    private enum State {
        /// So many bytes are to come. Next: `complete`.
        case length(remaining: Int)
        /// Inside the line of a chunk's size. Next: `chunk`, `trailers` (size zero).
        case chunkLine(ChunkLineScanner)
        /// So many bytes of the chunk are to come. Next: `chunkEnd`.
        case chunk(remaining: Int)
        /// Before the CRLF behind a chunk. Next: `chunkLine`.
        case chunkEnd
        /// Inside the trailer section. Next: `complete`.
        case trailers
        /// Until the connection ends. Next: `complete`, by ``inputClosed()``.
        case untilClose
        /// Nothing is to come, or only what was received before the connection ended.
        case complete
        /// The connection has ended; what the buffer still has is the body's. Next: `complete`.
        case lastBytes
    }

    public init(_ framing: BodyFraming, limits: HTTP1Limits = HTTP1Limits()) {
        self.limits = limits
        switch framing {
        case .none: state = .complete
        case .length(let count): state = count > 0 ? .length(remaining: count) : .complete
        case .chunked: state = .chunkLine(ChunkLineScanner())
        case .untilClose: state = .untilClose
        }
    }

    /// Whether the body has ended, as its framing says.
    public var isComplete: Bool {
        if case .complete = state { true } else { false }
    }

    /// Takes the next piece of the body from the buffer.
    public mutating func next(_ buffer: inout ByteBuffer) throws(HTTP1Error) -> Event {
        while true {
            switch state {
            case .length(let remaining):
                guard let slice = Self.readSlice(&buffer, upTo: remaining) else { return .needMore }
                let left = remaining - slice.readableBytes
                state = left > 0 ? .length(remaining: left) : .complete
                return .bytes(slice)
            case .chunk(let remaining):
                guard let slice = Self.readSlice(&buffer, upTo: remaining) else { return .needMore }
                let left = remaining - slice.readableBytes
                state = left > 0 ? .chunk(remaining: left) : .chunkEnd
                return .bytes(slice)
            case .chunkLine(var line):
                var size: Int?
                while size == nil {
                    guard let byte = buffer.readInteger(as: UInt8.self) else {
                        state = .chunkLine(line)
                        return .needMore
                    }
                    size = try line.read(byte, extensionBytesMax: limits.chunkExtensionBytesMax)
                }
                guard let size else { return .needMore }
                if size > 0 {
                    state = .chunk(remaining: size)
                } else {
                    scanner.begin(at: 0)
                    state = .trailers
                }
            case .chunkEnd:
                guard let first = buffer.getInteger(at: buffer.readerIndex, as: UInt8.self) else { return .needMore }
                guard first == Octets.cr else { throw HTTP1Error(.chunkEndMissing) }
                guard let second = buffer.getInteger(at: buffer.readerIndex + 1, as: UInt8.self) else { return .needMore }
                guard second == Octets.lf else { throw HTTP1Error(.bareCR) }
                buffer.moveReaderIndex(forwardBy: 2)
                state = .chunkLine(ChunkLineScanner())
            case .trailers:
                guard let count = try readTrailers(buffer.readableBytesUInt8Span) else { return .needMore }
                buffer.moveReaderIndex(forwardBy: count)
                state = .complete
            case .untilClose:
                guard let slice = Self.readSlice(&buffer, upTo: .max) else { return .needMore }
                return .bytes(slice)
            case .lastBytes:
                state = .complete
                if let slice = Self.readSlice(&buffer, upTo: .max) { return .bytes(slice) }
            case .complete:
                return .end
            }
        }
    }

    /// Tells that no byte will come behind those that were given already.
    /// - Throws: `truncated` unless the body is complete or ends with its connection. A body cut short is never complete.
    public mutating func inputClosed() throws(HTTP1Error) {
        switch state {
        case .untilClose: state = .lastBytes
        case .lastBytes, .complete: break
        case .length, .chunkLine, .chunk, .chunkEnd, .trailers: throw HTTP1Error(.truncated)
        }
    }

    /// Fields that would change how the message is read, routed, kept or understood come too late for that in a trailer
    /// and are dropped; the rest is kept as it came.
    /// - Returns: how many bytes the section has, `nil` when it is not whole.
    /// - Source: RFC 9110 §6.5.1.
    private mutating func readTrailers(_ bytes: Span<UInt8>) throws(HTTP1Error) -> Int? {
        guard
            let end = try scanner.scan(
                bytes, bytesMax: limits.trailerBytesMax, countMax: limits.fieldCountMax, tooLarge: .trailersTooLarge)
        else { return nil }
        scanner.lines.removeAll { !$0.name.isAllowedInTrailers }
        trailers.replace(bytes: bytes.extracting(0..<end), lines: &scanner.lines)
        return end
    }

    @inline(__always)
    private static func readSlice(_ buffer: inout ByteBuffer, upTo count: Int) -> ByteBuffer? {
        let available = min(count, buffer.readableBytes)
        return available > 0 ? buffer.readSlice(length: available) : nil
    }
}
