/// An IPv4 or IPv6 address as 128 bits; IPv4 is held as its mapped form `::ffff:a.b.c.d`, so that one comparison serves both and a
/// client is the same by whichever socket it came.
/// - Source: RFC 4291 §2.2 (text), §2.5.5.2 (mapped).
public struct IPAddress: Sendable, Hashable {
    let high: UInt64
    let low: UInt64

    /// `nil` when the text is no address; brackets, ports and zones are none of it.
    public init?(_ text: Span<UInt8>) {
        guard text.count >= 2, text.count <= 45 else { return nil }
        var isIPv4 = true
        for index in text.indices where text[index] == UInt8(ascii: ":") { isIPv4 = false }
        if isIPv4 {
            guard let value = Self.ipv4(text) else { return nil }
            high = 0
            low = 0xFFFF_0000_0000 | UInt64(value)
            return
        }
        guard let (high, low) = Self.ipv6(text) else { return nil }
        self.high = high
        self.low = low
    }

    init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    public init?(_ text: String) {
        self.init(text.utf8.span)
    }

    var isIPv4: Bool { high == 0 && low >> 32 == 0xFFFF }
    var isLoopback: Bool { isIPv4 ? low >> 24 & 0xFF == 127 : high == 0 && low == 1 }

    private static func ipv4(_ text: Span<UInt8>) -> UInt32? {
        var value: UInt32 = 0
        var (part, digits, parts) = (UInt32(0), 0, 0)
        for index in 0...text.count {
            if index == text.count || text[index] == UInt8(ascii: ".") {
                guard digits > 0, parts < 4 else { return nil }
                value = value << 8 | part
                (part, digits, parts) = (0, 0, parts + 1)
            } else {
                let digit = text[index] &- 0x30
                // A leading zero is octal to some.
                guard digit < 10, digits < 3, !(digits > 0 && part == 0) else { return nil }
                part = part * 10 + UInt32(digit)
                guard part < 256 else { return nil }
                digits += 1
            }
        }
        return parts == 4 ? value : nil
    }

    private static func ipv6(_ text: Span<UInt8>) -> (UInt64, UInt64)? {
        var groups: [UInt16] = []
        var gap: Int?
        var index = 0
        if text[0] == UInt8(ascii: ":") {
            guard text[1] == UInt8(ascii: ":") else { return nil }
            gap = 0
            index = 2
        }
        while index < text.count {
            var end = index
            while end < text.count, text[end] != UInt8(ascii: ":") { end += 1 }
            let part = text.extracting(index..<end)
            var isDotted = false
            for position in part.indices where part[position] == UInt8(ascii: ".") { isDotted = true }
            if isDotted {
                guard end == text.count, let value = ipv4(part) else { return nil }
                groups += [UInt16(value >> 16), UInt16(truncatingIfNeeded: value)]
            } else {
                guard let value = hexadecimal(part) else { return nil }
                groups.append(value)
            }
            guard groups.count <= 8 else { return nil }
            if end == text.count { break }
            index = end + 1
            if index == text.count { return nil }
            if text[index] == UInt8(ascii: ":") {
                guard gap == nil else { return nil }
                gap = groups.count
                index += 1
            }
        }
        if let gap {
            guard groups.count < 8 else { return nil }
            groups.insert(contentsOf: repeatElement(0, count: 8 - groups.count), at: gap)
        }
        guard groups.count == 8 else { return nil }
        return (
            groups[..<4].reduce(0) { $0 << 16 | UInt64($1) }, groups[4...].reduce(0) { $0 << 16 | UInt64($1) }
        )
    }

    private static func hexadecimal(_ text: Span<UInt8>) -> UInt16? {
        guard text.count >= 1, text.count <= 4 else { return nil }
        var value: UInt16 = 0
        for index in text.indices {
            let byte = text[index]
            let letter = (byte | 0x20) &- 0x61
            guard byte &- 0x30 < 10 || letter < 6 else { return nil }
            value = value << 4 | UInt16(byte &- 0x30 < 10 ? byte &- 0x30 : letter + 10)
        }
        return value
    }
}

/// Addresses that an operator names together: one, a network in CIDR notation, or `unix` for whoever comes by a Unix socket.
/// - Source: RFC 4632 §3.1.
public struct AddressRange: Sendable, Equatable {
    /// As it was written.
    public let text: String
    private let first: IPAddress
    private let prefixBits: Int
    private let isUnix: Bool

    /// `nil` when it is none of these, or when bits are set behind the prefix: such a network is a mistake more often than not.
    public init?(_ text: String) {
        self.text = text
        isUnix = text == "unix"
        if isUnix {
            first = IPAddress(high: 0, low: 0)
            prefixBits = 128
            return
        }
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(String(parts[0])) else { return nil }
        let isIPv4 = !parts[0].contains(":")
        var bits = 128
        if parts.count == 2 {
            guard !parts[1].isEmpty, parts[1].utf8.allSatisfy({ $0 &- 0x30 < 10 }), let length = Int(parts[1]),
                length <= (isIPv4 ? 32 : 128)
            else { return nil }
            bits = isIPv4 ? length + 96 : length
        }
        first = address
        prefixBits = bits
        guard address.high & ~Self.mask(bits) == 0, address.low & ~Self.mask(bits - 64) == 0 else { return nil }
    }

    /// - Parameter address: `nil` for a client on a Unix socket.
    func contains(_ address: IPAddress?) -> Bool {
        guard let address else { return isUnix }
        if isUnix { return false }
        return (address.high ^ first.high) & Self.mask(prefixBits) == 0 && (address.low ^ first.low) & Self.mask(prefixBits - 64) == 0
    }

    /// The first `bits` of 64.
    private static func mask(_ bits: Int) -> UInt64 {
        bits <= 0 ? 0 : bits >= 64 ? .max : ~(UInt64.max >> UInt64(bits))
    }
}
