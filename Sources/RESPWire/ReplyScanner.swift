/// Finds where replies end, without making values of them: for who counts replies and asks of each no more than whether it is an error.
///
/// Nothing is kept of the bytes. A reply that arrives in many pieces is gone over once; nested replies cost no depth, only a count.
/// - Source: the RESP specification (redis.io, "Redis serialization protocol"), RESP2 and RESP3 but for streamed strings and
///   aggregates, which no server sends.
public struct ReplyScanner: Sendable {
    public enum Found: Equatable, Sendable {
        /// The reply is not whole. All bytes were gone over, but for those of a line that has no end yet.
        case wait
        /// A reply has ended.
        case reply(isError: Bool)
    }

    /// The framing is lost.
    public struct Malformed: Error, Equatable {}

    /// A line that is longer has no end: errors and simple strings are short, everything else is counted.
    public static let lineBytesMax = 64 << 10
    /// Redis takes no longer string (`proto-max-bulk-len`), and sends none.
    public static let bulkBytesMax = 512 << 20
    /// Elements that may be due at a time.
    public static let elementsMax = 1 << 32

    /// Elements that the reply in progress still lacks; 0 between replies.
    private var due = 0
    /// Bytes of a bulk string, its line end included, that are still to come.
    private var bulkBytes = 0
    private var isError = false

    public init() {}

    /// Whether the next byte begins a reply.
    public var isBetweenReplies: Bool { due == 0 && bulkBytes == 0 }

    /// Goes on to the end of the next reply.
    /// - Parameter index: where the bytes begin that were not gone over yet; moved behind those that were.
    public mutating func next(_ bytes: UnsafeRawBufferPointer, from index: inout Int) throws(Malformed) -> Found {
        while true {
            if bulkBytes > 0 {
                let taken = min(bulkBytes, bytes.count - index)
                index += taken
                bulkBytes -= taken
                guard bulkBytes == 0 else { return .wait }
                due -= 1
                if due == 0 { return .reply(isError: isError) }
            }
            guard let end = lineEnd(bytes, from: index) else {
                if bytes.count - index > Self.lineBytesMax { throw Malformed() }
                return .wait
            }
            let line = UnsafeRawBufferPointer(rebasing: bytes[index..<end])
            index = end + 2
            if due == 0 {
                due = 1
                isError = line.first == UInt8(ascii: "-") || line.first == UInt8(ascii: "!")
            }
            try lineRead(line)
            if due == 0 { return .reply(isError: isError) }
        }
    }

    private mutating func lineRead(_ line: UnsafeRawBufferPointer) throws(Malformed) {
        switch line.first {
        case UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: ":"), UInt8(ascii: "_"), UInt8(ascii: "#"), UInt8(ascii: ","), UInt8(ascii: "("):
            due -= 1
        case UInt8(ascii: "$"), UInt8(ascii: "!"), UInt8(ascii: "="):
            let count = try self.count(line)
            guard count <= Self.bulkBytesMax else { throw Malformed() }
            if count < 0 { due -= 1 } else { bulkBytes = count + 2 }
        case UInt8(ascii: "*"), UInt8(ascii: "~"), UInt8(ascii: ">"):
            try add(max(try count(line), 0))
            due -= 1
        case UInt8(ascii: "%"):
            try add(2 * max(try count(line), 0))
            due -= 1
        case UInt8(ascii: "|"):
            // An attribute goes before the reply that it is of.
            try add(2 * max(try count(line), 0))
        default: throw Malformed()
        }
    }

    private mutating func add(_ elements: Int) throws(Malformed) {
        due += elements
        guard due <= Self.elementsMax else { throw Malformed() }
    }

    /// The number behind the type byte; below 0 it means that there is nothing.
    private func count(_ line: UnsafeRawBufferPointer) throws(Malformed) -> Int {
        guard let count = DecimalText.parse(UnsafeRawBufferPointer(rebasing: line.dropFirst())), count >= -1, count <= Int64(Self.elementsMax)
        else { throw Malformed() }
        return Int(count)
    }

    private func lineEnd(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        var index = start
        while index + 1 < bytes.count {
            if bytes[index] == 0x0D, bytes[index + 1] == 0x0A { return index }
            index += 1
        }
        return nil
    }
}
