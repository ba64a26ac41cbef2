/// Loops that look for the end of a run of bytes, sixteen at a time: values and targets are most of a head.
///
/// Everything is plain SSE2 (or NEON): a compare gives 0xFF per byte, and the first set byte of a half is its count of
/// trailing zero bits. Bytes behind `limit` are never loaded.
///
/// A vector is compared with a vector, never with a number: for `chunk .< 0x20` the compiler (6.3) finds only the generic
/// operator and makes a loop over the sixteen lanes of it. That cost ten times as much: 3 µs for a head of nginx.
enum OctetScan {
    /// The first index from `start` on whose byte no field value may have (a control byte besides tab), else `limit`.
    @inline(__always)
    static func endOfFieldValue(in bytes: Span<UInt8>, from start: Int, to limit: Int) -> Int {
        var index = start
        while limit &- index >= 16 {
            let chunk = load(bytes, at: index)
            let isStop = ((chunk .< all(0x20)) .& (chunk .!= all(Octets.tab))) .| (chunk .== all(0x7F))
            let offset = firstSet(isStop)
            if offset < 16 { return index &+ offset }
            index &+= 16
        }
        while index < limit, Octets.is(bytes[unchecked: index], Octets.value) { index &+= 1 }
        return index
    }

    /// The first index from `start` on whose byte no request target may have, else `limit`.
    @inline(__always)
    static func endOfTarget(in bytes: Span<UInt8>, from start: Int, to limit: Int) -> Int {
        var index = start
        while limit &- index >= 16 {
            let chunk = load(bytes, at: index)
            let isStop = (chunk .< all(0x21)) .| (chunk .> all(0x7E)) .| (chunk .== all(0x23))
            let offset = firstSet(isStop)
            if offset < 16 { return index &+ offset }
            index &+= 16
        }
        while index < limit, Octets.is(bytes[unchecked: index], Octets.target) { index &+= 1 }
        return index
    }

    /// The first index from `start` on whose byte no token may have, else `limit`.
    ///
    /// Letters, digits and hyphens are nearly all that is in tokens; only where something else stands is the table asked.
    @inline(__always)
    static func endOfToken(in bytes: Span<UInt8>, from start: Int, to limit: Int) -> Int {
        var index = start
        while limit &- index >= 16 {
            let chunk = load(bytes, at: index)
            let isLetter = ((chunk | all(0x20)) &- all(0x61)) .< all(26)
            let isDigit = (chunk &- all(0x30)) .< all(10)
            let offset = firstSet(.!(isLetter .| isDigit .| (chunk .== all(UInt8(ascii: "-")))))
            index &+= offset
            if offset < 16 {
                if !Octets.is(bytes[unchecked: index], Octets.token) { return index }
                index &+= 1
            }
        }
        while index < limit, Octets.is(bytes[unchecked: index], Octets.token) { index &+= 1 }
        return index
    }

    @inline(__always)
    private static func load(_ bytes: Span<UInt8>, at index: Int) -> SIMD16<UInt8> {
        bytes.bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: index, as: SIMD16<UInt8>.self)
    }

    @inline(__always)
    private static func all(_ byte: UInt8) -> SIMD16<UInt8> {
        SIMD16(repeating: byte)
    }

    /// The index of the first lane that is set, 16 when none is.
    @inline(__always)
    private static func firstSet(_ mask: SIMDMask<SIMD16<Int8>>) -> Int {
        let halves = unsafeBitCast(mask, to: SIMD2<UInt64>.self)
        if halves.x != 0 { return halves.x.trailingZeroBitCount &>> 3 }
        if halves.y != 0 { return 8 &+ halves.y.trailingZeroBitCount &>> 3 }
        return 16
    }
}
