/// Where an argument lies in the bytes that a request was read from.
public struct RESPArgument: Sendable, Equatable {
    public var offset: Int
    public var count: Int

    @inlinable
    public init(offset: Int, count: Int) {
        self.offset = offset
        self.count = count
    }
}

/// Reads requests a piece at a time: arrays of bulk strings, and inline requests.
///
/// Nothing is copied: the arguments of a request are places in the caller's bytes. While a request is not whole, its bytes stay
/// where they are and the next call gets them again with more behind them; what was understood already is not read twice, so
/// that a large value that arrives in many pieces costs its length and not its square.
/// - Source: the RESP specification (redis.io, "Redis serialization protocol"), "Sending commands to a server", "Inline commands".
public struct RequestParser {
    public enum Result: Equatable {
        /// More bytes are needed.
        case wait
        /// A request was read: ``RequestParser/arguments`` has its arguments. It takes so many bytes.
        case request(bytes: Int)
        /// An empty request, which has no answer. It takes so many bytes.
        case nothing(bytes: Int)
    }

    public var limits: RESPLimits
    /// The arguments of the last request; empty while one is not whole.
    public private(set) var arguments: ContiguousArray<RESPArgument> = []
    /// An inline request with quotes lies here and not in the caller's bytes: see ``isUnquoted``.
    public private(set) var unquoted: [UInt8] = []
    /// Whether ``arguments`` are places in ``unquoted``.
    public private(set) var isUnquoted = false
    /// Whether the limits are those of a client that has yet to authenticate itself; changes the words of an error only.
    public var isAuthenticated = true

    /// Arguments that the request in progress still lacks; -1 between requests.
    private var missing = -1
    /// The first byte of the request in progress that has not been understood.
    private var position = 0
    /// The length of the argument whose bytes are waited for; -1 when its line is.
    private var length = -1

    public init(limits: RESPLimits = RESPLimits()) {
        self.limits = limits
        arguments.reserveCapacity(16)
    }

    /// Reads one request.
    /// - Parameter bytes: all that was received and not yet taken; begins with the request in progress.
    /// - Throws: when the framing is lost.
    public mutating func next(_ bytes: UnsafeRawBufferPointer) throws(RESPError) -> Result {
        if missing < 0 {
            guard bytes.count > 0 else { return .wait }
            guard bytes[0] == UInt8(ascii: "*") else { return try nextInline(bytes) }
            if position == 0, let count = readWhole(bytes) { return .request(bytes: count) }
            guard let end = lineEnd(bytes, from: position) else {
                if bytes.count > limits.lineBytesMax { throw RESPError(.countLineTooLong) }
                position = max(bytes.count - 1, 1)
                return .wait
            }
            guard let count = DecimalText.parse(UnsafeRawBufferPointer(rebasing: bytes[1..<end])) else {
                throw RESPError(.argumentCountInvalid)
            }
            if count > Int64(limits.argumentCountMax) {
                throw RESPError(isAuthenticated ? .argumentCountInvalid : .argumentCountUnauthenticated)
            }
            arguments.removeAll(keepingCapacity: true)
            isUnquoted = false
            if count <= 0 {
                position = 0
                return .nothing(bytes: end + 2)
            }
            missing = Int(count)
            position = end + 2
            length = -1
        }
        while missing > 0 {
            if length < 0 {
                guard position < bytes.count else { return .wait }
                guard bytes[position] == UInt8(ascii: "$") else { throw RESPError(.argumentExpected, got: bytes[position]) }
                guard let end = lineEnd(bytes, from: position + 1) else {
                    if bytes.count - position > limits.lineBytesMax { throw RESPError(.lengthLineTooLong) }
                    return .wait
                }
                guard let count = DecimalText.parse(UnsafeRawBufferPointer(rebasing: bytes[(position + 1)..<end])), count >= 0 else {
                    throw RESPError(.argumentLengthInvalid)
                }
                if count > Int64(limits.argumentBytesMax) {
                    throw RESPError(isAuthenticated ? .argumentLengthInvalid : .argumentLengthUnauthenticated)
                }
                position = end + 2
                length = Int(count)
                // Neither can overflow: both are bounded by the limits and by the bytes that are there.
                if position + length > limits.requestBytesMax { throw RESPError(.requestTooLarge) }
            }
            guard bytes.count - position >= length + 2 else { return .wait }
            // As Redis, we do not look at the two bytes behind an argument.
            arguments.append(RESPArgument(offset: position, count: length))
            position += length + 2
            length = -1
            missing -= 1
        }
        let end = position
        missing = -1
        position = 0
        return .request(bytes: end)
    }

    /// Arguments of a request that is read in one pass; more take longer anyway.
    private static let quickArgumentsMax = 64

    /// Reads a request that is there as a whole and within all limits, as nearly every one is, in one pass and without keeping account of it.
    /// - Returns: how many bytes it takes; `nil` for any other, of which nothing is understood then.
    private mutating func readWhole(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard let start = bytes.baseAddress else { return nil }
        let (base, end) = (start.assumingMemoryBound(to: UInt8.self), bytes.count)
        var position = 1
        guard let count = Self.shortNumber(base, &position, end), count > 0, count <= min(Self.quickArgumentsMax, limits.argumentCountMax) else { return nil }
        // Mostly there are as many as the last request had.
        while arguments.count < count { arguments.append(RESPArgument(offset: 0, count: 0)) }
        if arguments.count > count { arguments.removeLast(arguments.count - count) }
        let lengthMax = limits.argumentBytesMax
        let isWhole = arguments.withUnsafeMutableBufferPointer { arguments in
            for index in 0..<count {
                guard position < end, base[position] == UInt8(ascii: "$") else { return false }
                position += 1
                guard let length = Self.shortNumber(base, &position, end), length <= lengthMax, end - position >= length + 2 else { return false }
                arguments[index] = RESPArgument(offset: position, count: length)
                position += length + 2
            }
            return true
        }
        guard isWhole, position <= limits.requestBytesMax else {
            arguments.removeAll(keepingCapacity: true)
            return nil
        }
        isUnquoted = false
        return position
    }

    /// A number of at most eight digits and the end of its line.
    /// - Parameter position: its place; behind the line afterwards.
    /// - Returns: `nil` for anything else.
    @inline(__always)
    private static func shortNumber(_ base: UnsafePointer<UInt8>, _ position: inout Int, _ end: Int) -> Int? {
        // The shortest is a digit, CR, LF.
        guard end - position >= 3 else { return nil }
        var value = Int(base[position] &- UInt8(ascii: "0"))
        guard value <= 9 else { return nil }
        let mayGoOn = value > 0
        position += 1
        let last = min(end - 2, position + 7)
        while true {
            let digit = base[position] &- UInt8(ascii: "0")
            guard digit <= 9 else { break }
            guard mayGoOn, position < last else { return nil }
            value = value &* 10 &+ Int(digit)
            position += 1
        }
        guard base[position] == 13, base[position + 1] == 10 else { return nil }
        position += 2
        return value
    }

    /// The place of the CR of the first CR LF at or after a place.
    private func lineEnd(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        var index = start
        let last = bytes.count - 1
        while index < last {
            if bytes[index] == 13 { return bytes[index + 1] == 10 ? index : nextLineEnd(bytes, from: index + 1) }
            index += 1
        }
        return nil
    }

    private func nextLineEnd(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        var index = start
        while index + 1 < bytes.count {
            if bytes[index] == 13, bytes[index + 1] == 10 { return index }
            index += 1
        }
        return nil
    }

    // MARK: Inline requests

    private mutating func nextInline(_ bytes: UnsafeRawBufferPointer) throws(RESPError) -> Result {
        var end = position
        while end < bytes.count, bytes[end] != 10 { end += 1 }
        guard end < bytes.count else {
            if bytes.count > limits.lineBytesMax { throw RESPError(.inlineTooLong) }
            position = bytes.count
            return .wait
        }
        if end > limits.lineBytesMax { throw RESPError(.inlineTooLong) }
        position = 0
        arguments.removeAll(keepingCapacity: true)
        unquoted.removeAll(keepingCapacity: true)
        isUnquoted = true
        let lineCount = end > 0 && bytes[end - 1] == 13 ? end - 1 : end
        try InlineWords.split(UnsafeRawBufferPointer(rebasing: bytes[0..<lineCount]), into: &unquoted, &arguments)
        return arguments.isEmpty ? .nothing(bytes: end + 1) : .request(bytes: end + 1)
    }
}
