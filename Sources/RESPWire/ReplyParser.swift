/// What a server answers, in RESP2 and in what RESP3 adds.
public indirect enum RESPReply: Equatable, Sendable {
    case simple([UInt8])
    case error([UInt8])
    case integer(Int64)
    case bulk([UInt8])
    case null
    case array([RESPReply])
    /// What nobody asked for: messages, invalidations.
    case push([RESPReply])

    public var bytes: [UInt8]? {
        switch self {
        case .simple(let bytes), .bulk(let bytes): bytes
        case .error, .integer, .null, .array, .push: nil
        }
    }
}

/// Reads replies a piece at a time.
///
/// A reply that is not whole is read again from its beginning when more bytes are there, but for the bytes of a large string, whose end is
/// known by then: ``missingBytes`` says how many must come before another attempt is worth it.
/// - Source: the RESP specification (redis.io, "Redis serialization protocol").
public struct ReplyParser: Sendable {
    /// Elements and depth of one reply, and bytes of one string: beyond, the server is none that we know.
    public static let elementsMax = 1 << 20
    public static let depthMax = 16
    public static let stringBytesMax = 512 << 20

    /// How many bytes more the last attempt lacked at least.
    public private(set) var missingBytes = 1

    private var position = 0
    private var elements = 0

    public init() {}

    /// - Returns: the reply and how many bytes it takes; `nil` when it is not whole.
    public mutating func next(_ bytes: UnsafeRawBufferPointer) throws(RESPError) -> (reply: RESPReply, bytes: Int)? {
        (position, elements, missingBytes) = (0, 0, 1)
        guard let reply = try value(bytes, depth: 0) else { return nil }
        return (reply, position)
    }

    private mutating func value(_ bytes: UnsafeRawBufferPointer, depth: Int) throws(RESPError) -> RESPReply? {
        guard depth <= Self.depthMax else { throw RESPError(.replyTooLarge) }
        guard let line = try line(bytes) else { return nil }
        guard let type = line.first else { throw RESPError(.replyMalformed) }
        let rest = UnsafeRawBufferPointer(rebasing: line[1...])
        switch type {
        case UInt8(ascii: "+"): return .simple([UInt8](rest))
        case UInt8(ascii: "-"): return .error([UInt8](rest))
        case UInt8(ascii: ":"):
            guard let value = DecimalText.parse(rest) else { throw RESPError(.replyMalformed) }
            return .integer(value)
        case UInt8(ascii: "_"): return .null
        case UInt8(ascii: "#"): return .integer(rest.first == UInt8(ascii: "t") ? 1 : 0)
        case UInt8(ascii: ","), UInt8(ascii: "("): return .simple([UInt8](rest))
        case UInt8(ascii: "$"), UInt8(ascii: "="), UInt8(ascii: "!"): return try string(bytes, type, rest)
        case UInt8(ascii: "*"), UInt8(ascii: "~"), UInt8(ascii: ">"), UInt8(ascii: "%"):
            guard let given = DecimalText.parse(rest), given >= -1, given <= Int64(Self.elementsMax) else { throw RESPError(.replyMalformed) }
            guard given >= 0 else { return .null }
            let count = Int(given) * (type == UInt8(ascii: "%") ? 2 : 1)
            elements += count
            guard elements <= Self.elementsMax else { throw RESPError(.replyTooLarge) }
            var members: [RESPReply] = []
            members.reserveCapacity(min(count, (bytes.count - position) / 3))
            for _ in 0..<count {
                guard let member = try value(bytes, depth: depth + 1) else { return nil }
                members.append(member)
            }
            return type == UInt8(ascii: ">") ? .push(members) : .array(members)
        default: throw RESPError(.replyMalformed, got: type)
        }
    }

    private mutating func string(_ bytes: UnsafeRawBufferPointer, _ type: UInt8, _ length: UnsafeRawBufferPointer) throws(RESPError) -> RESPReply? {
        guard let given = DecimalText.parse(length), given >= -1, given <= Int64(Self.stringBytesMax) else { throw RESPError(.replyMalformed) }
        guard given >= 0 else { return .null }
        let count = Int(given)
        guard bytes.count - position >= count + 2 else {
            missingBytes = count + 2 - (bytes.count - position)
            return nil
        }
        let text = [UInt8](bytes[position..<position + count])
        guard bytes[position + count] == 0x0D, bytes[position + count + 1] == 0x0A else { throw RESPError(.replyMalformed) }
        position += count + 2
        if type == UInt8(ascii: "!") { return .error(text) }
        // A verbatim string has its format in front, and a colon.
        return .bulk(type == UInt8(ascii: "=") ? Array(text.dropFirst(4)) : text)
    }

    /// A line without its end.
    private mutating func line(_ bytes: UnsafeRawBufferPointer) throws(RESPError) -> UnsafeRawBufferPointer? {
        var end = position
        while end < bytes.count, bytes[end] != 0x0A {
            guard end - position < 64 << 10 else { throw RESPError(.replyTooLarge) }
            end += 1
        }
        guard end < bytes.count else { return nil }
        guard end > position, bytes[end - 1] == 0x0D else { throw RESPError(.replyMalformed) }
        defer { position = end + 1 }
        return UnsafeRawBufferPointer(rebasing: bytes[position..<end - 1])
    }
}
