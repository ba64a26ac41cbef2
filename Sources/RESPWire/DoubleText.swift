#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Floating-point numbers as Redis writes and reads them.
public enum DoubleText {
    /// The shortest text that reads as the same number; whole numbers without a point.
    /// - Source: Redis 7.2 `util.c`, `d2string` (fpconv).
    public static func render(_ value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        if value == 0 { return value.sign == .minus ? "-0" : "0" }
        // Below 2^52 every whole number has this one shortest form.
        if abs(value) < 4_503_599_627_370_496, value == value.rounded(.towardZero) { return String(Int64(value)) }
        var text = "\(value)"
        if text.hasSuffix(".0") { text.removeLast(2) }
        guard let exponentAt = text.firstIndex(of: "e") else { return text }
        var mantissa = text[..<exponentAt]
        if mantissa.hasSuffix(".0") { mantissa = mantissa.dropLast(2) }
        // Swift pads the exponent to two digits.
        return String(mantissa) + text[exponentAt...].replacing("e-0", with: "e-").replacing("e+0", with: "e+")
    }

    /// - Returns: `nil` for what is no number, has other bytes around it, or is NaN. `inf`, `+inf`, `-inf`, `infinity` are numbers.
    /// - Source: Redis `object.c`, `getDoubleFromObject`: `strtod`, and nothing left over.
    public static func parse(_ bytes: UnsafeRawBufferPointer) -> Double? {
        guard bytes.count > 0, bytes.count < 256, let start = bytes.baseAddress else { return nil }
        if isSpace(bytes[0]) { return nil }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { text in
            memcpy(text.baseAddress!, start, bytes.count)
            text[bytes.count] = 0
            var end: UnsafeMutablePointer<CChar>?
            let value = strtod(text.baseAddress!, &end)
            guard let end, end == text.baseAddress! + bytes.count, !value.isNaN else { return nil }
            // Too large for a double is no number, whereas a text that says infinity is one.
            if value.isInfinite, bytes.contains(where: { (48...57).contains($0) }) { return nil }
            return value
        }
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 32 || (9...13).contains(byte) }
}
