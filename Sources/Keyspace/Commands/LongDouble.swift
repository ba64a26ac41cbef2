#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Sums of numbers with a fraction, as precise as C's `long double`, which is what Redis computes them in.
/// - Source: Redis `util.c`, `ld2string` with `LD_STR_HUMAN`: 17 digits behind the point, zeros at the end left out.
enum LongDouble {
    #if arch(x86_64) || arch(i386)
    typealias Number = Float80
    #else
    typealias Number = Double
    #endif

    /// The sum of a value (0 if there is none) and an increment.
    /// - Returns: `nil` when one of them is no number; `.some(nil)` when the sum is none.
    static func sum(_ value: UnsafeRawBufferPointer?, _ increment: UnsafeRawBufferPointer) -> [UInt8]?? {
        var first: Number = 0
        if let value {
            guard let parsed = parse(value) else { return nil }
            first = parsed
        }
        guard let second = parse(increment) else { return nil }
        let sum = first + second
        guard sum.isFinite else { return .some(nil) }
        return render(sum)
    }

    /// Redis' own bound, `MAX_LONG_DOUBLE_CHARS`: what ``render(_:)`` gives of the largest number is shorter.
    private static let bytesMax = 5 << 10

    /// - Source: Redis `util.c`, `string2ld`. Infinity may be said, and not be meant by a number that is too large.
    static func parse(_ bytes: UnsafeRawBufferPointer) -> Number? {
        guard bytes.count > 0, bytes.count < bytesMax, bytes[0] != 32, !(9...13).contains(bytes[0]) else { return nil }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: bytes.count + 1) { text in
            memcpy(text.baseAddress!, bytes.baseAddress!, bytes.count)
            text[bytes.count] = 0
            var end: UnsafeMutablePointer<CChar>?
            errno = 0
            #if arch(x86_64) || arch(i386)
            let value = strtold(text.baseAddress!, &end)
            #else
            let value = strtod(text.baseAddress!, &end)
            #endif
            guard let end, end == text.baseAddress! + bytes.count, !value.isNaN, errno != ERANGE || value.isFinite && value != 0 else { return nil }
            return value
        }
    }

    static func render(_ value: Number) -> [UInt8] {
        var text = [CChar](repeating: 0, count: 5200)
        #if arch(x86_64) || arch(i386)
        let count = withVaList([value]) { vsnprintf(&text, text.count, "%.17Lf", $0) }
        #else
        let count = withVaList([value]) { vsnprintf(&text, text.count, "%.17f", $0) }
        #endif
        var bytes = text.prefix(Int(count)).map { UInt8(bitPattern: $0) }
        if bytes.contains(UInt8(ascii: ".")) {
            while bytes.last == UInt8(ascii: "0") { bytes.removeLast() }
            if bytes.last == UInt8(ascii: ".") { bytes.removeLast() }
        }
        return bytes == Array("-0".utf8) ? Array("0".utf8) : bytes
    }
}
