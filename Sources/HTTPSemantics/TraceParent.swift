/// Which trace a request belongs to, and whose child it is.
/// - Source: W3C Trace Context §3.2.
public struct TraceParent: Equatable, Sendable {
    /// 16 bytes, the first in the high bits of the first number.
    public var traceID: (UInt64, UInt64)
    public var parentID: UInt64
    /// Bit 0: sampled.
    public var flags: UInt8

    public init(traceID: (UInt64, UInt64), parentID: UInt64, flags: UInt8) {
        self.traceID = traceID
        self.parentID = parentID
        self.flags = flags
    }

    public static func == (left: TraceParent, right: TraceParent) -> Bool {
        left.traceID == right.traceID && left.parentID == right.parentID && left.flags == right.flags
    }

    /// Reads a field value strictly: lower-case hexadecimal, no zero ids, version 00 of exactly 55 bytes; a later version is
    /// read by its first 55 bytes if a hyphen follows; version ff is none.
    public init?(_ value: Span<UInt8>) {
        guard value.count >= 55, value[2] == UInt8(ascii: "-"), value[35] == UInt8(ascii: "-"), value[52] == UInt8(ascii: "-"),
            let version = Self.hexadecimal(value, 0..<2), version != 0xFF, let high = Self.hexadecimal(value, 3..<19),
            let low = Self.hexadecimal(value, 19..<35), let parent = Self.hexadecimal(value, 36..<52),
            let flags = Self.hexadecimal(value, 53..<55)
        else { return nil }
        guard version == 0 ? value.count == 55 : value.count == 55 || value[55] == UInt8(ascii: "-") else { return nil }
        guard high != 0 || low != 0, parent != 0 else { return nil }
        traceID = (high, low)
        parentID = parent
        self.flags = UInt8(truncatingIfNeeded: flags)
    }

    /// This hop's span, as the next one sees it. Only the flag that version 00 defines is passed on.
    public func child(spanID: UInt64) -> TraceParent {
        TraceParent(traceID: traceID, parentID: spanID, flags: flags & 1)
    }

    /// Appends the 55 bytes of version 00.
    public func append(to output: inout [UInt8]) {
        output.append(contentsOf: [UInt8(ascii: "0"), UInt8(ascii: "0"), UInt8(ascii: "-")])
        Self.append(traceID.0, digits: 16, to: &output)
        Self.append(traceID.1, digits: 16, to: &output)
        output.append(UInt8(ascii: "-"))
        Self.append(parentID, digits: 16, to: &output)
        output.append(UInt8(ascii: "-"))
        Self.append(UInt64(flags), digits: 2, to: &output)
    }

    private static func append(_ value: UInt64, digits: Int, to output: inout [UInt8]) {
        for position in stride(from: 4 * (digits - 1), through: 0, by: -4) {
            let nibble = UInt8(truncatingIfNeeded: value >> UInt64(position)) & 0xF
            output.append(nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") - 10 + nibble)
        }
    }

    private static func hexadecimal(_ bytes: Span<UInt8>, _ range: Range<Int>) -> UInt64? {
        var value: UInt64 = 0
        for index in range {
            let byte = bytes[index]
            switch byte {
            case 0x30...0x39: value = value << 4 | UInt64(byte - 0x30)
            case 0x61...0x66: value = value << 4 | UInt64(byte - 0x61 + 10)
            default: return nil
            }
        }
        return value
    }
}
