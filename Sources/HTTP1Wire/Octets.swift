/// What a byte may be part of. One load and one test per byte; ranges and sets would be several compares each.
///
/// The table is written out, because a computed one would be a lazily initialised global: a check for "is it there yet"
/// on each access of the hottest loop of the product. A test compares every entry with the grammar.
/// - Source: RFC 9110 §5.6.2 (token), §5.6.4 (quoted-string), §5.5 (field-value); RFC 3986 §3.2.2 (host).
enum Octets {
    /// `tchar`: methods, field names, codings, options.
    static let token: UInt8 = 1
    /// Printable ASCII without space and `#`: what may stand in a request target. Wider than RFC 3986, which would
    /// refuse `|`, `"`, `{` and their like that browsers do send; bytes over 0x7F must be percent-encoded.
    static let target: UInt8 = 2
    /// `unreserved` and `sub-delims`: what may stand in the name of a host, besides percent-encoding.
    static let host: UInt8 = 4
    /// `qdtext`: what may stand between double quotes without a backslash.
    static let quoted: UInt8 = 8
    /// `field-vchar`, space and tab: what may stand in a field value; with `obs-text`, the bytes over 0x7F.
    static let value: UInt8 = 16

    @inline(__always)
    static func `is`(_ byte: UInt8, _ part: UInt8) -> Bool {
        octetParts[Int(byte)] & part != 0
    }

    static let tab: UInt8 = 0x09
    static let lf: UInt8 = 0x0A
    static let cr: UInt8 = 0x0D
    static let space: UInt8 = 0x20

    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    /// The byte with ASCII capitals made small.
    @inline(__always)
    static func lowercased(_ byte: UInt8) -> UInt8 {
        byte &- 0x41 < 26 ? byte | 0x20 : byte
    }

    /// The value of a hexadecimal digit, `nil` for another byte.
    @inline(__always)
    static func hexValue(_ byte: UInt8) -> Int? {
        if isDigit(byte) { return Int(byte &- 0x30) }
        let letter = (byte | 0x20) &- 0x61
        return letter < 6 ? Int(letter) + 10 : nil
    }
}

/// The sums of ``Octets``' bits, a row for each high half of the byte.
let octetParts: InlineArray<256, UInt8> = [
     0,  0,  0,  0,  0,  0,  0,  0,  0, 24,  0,  0,  0,  0,  0,  0,  // 0x0_
     0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  // 0x1_
    24, 31, 18, 25, 31, 27, 31, 31, 30, 30, 31, 31, 30, 31, 31, 26,  // 0x2_
    31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 26, 30, 26, 30, 26, 26,  // 0x3_
    26, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31,  // 0x4_
    31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 26, 18, 26, 27, 31,  // 0x5_
    27, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31,  // 0x6_
    31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 26, 27, 26, 31,  0,  // 0x7_
    24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24,  // 0x8_
    24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24,  // 0x9_
    24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24,  // 0xA_
    24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24,  // 0xB_
    24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24,  // 0xC_
    24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24,  // 0xD_
    24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24,  // 0xE_
    24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24,  // 0xF_
]
