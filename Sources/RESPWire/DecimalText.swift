/// Whole numbers as RESP and Redis write them: an optional minus, no plus, no leading zero, no space.
public enum DecimalText {
    /// - Returns: `nil` when the bytes are not the one way in which a number of 64 bits is written.
    /// - Source: Redis `util.c`, `string2ll`.
    @inlinable
    public static func parse(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        let count = bytes.count
        guard count > 0, count <= 20 else { return nil }
        var index = 0
        let isNegative = bytes[0] == UInt8(ascii: "-")
        if isNegative {
            index = 1
            guard count > 1 else { return nil }
        }
        let first = bytes[index] &- UInt8(ascii: "0")
        if first == 0 { return count == 1 ? 0 : nil }
        guard first <= 9 else { return nil }
        var value = UInt64(first)
        index += 1
        while index < count {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit <= 9 else { return nil }
            let (product, isTooLarge) = value.multipliedReportingOverflow(by: 10)
            let (sum, isOver) = product.addingReportingOverflow(UInt64(digit))
            guard !isTooLarge, !isOver else { return nil }
            value = sum
            index += 1
        }
        if isNegative {
            guard value <= UInt64(Int64.max) + 1 else { return nil }
            return Int64(truncatingIfNeeded: 0 &- value)
        }
        return value <= UInt64(Int64.max) ? Int64(value) : nil
    }

    /// The longest text: `-9223372036854775808`.
    public static let bytesMax = 20

    /// Writes a number.
    /// - Parameter target: at least ``bytesMax`` bytes.
    /// - Returns: how many were written.
    @inlinable
    public static func write(_ value: Int64, to target: UnsafeMutablePointer<UInt8>) -> Int {
        var rest = value.magnitude
        let sign = value < 0 ? 1 : 0
        var count = sign + 1
        // Never beyond 10 to the 19th, which no number of 64 bits with a sign reaches.
        var bound: UInt64 = 10
        while rest >= bound {
            bound &*= 10
            count += 1
        }
        if value < 0 { target[0] = UInt8(ascii: "-") }
        var position = count
        repeat {
            position -= 1
            let left = rest / 10
            target[position] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest &- left &* 10)
            rest = left
        } while position > sign
        return count
    }

    /// The number as bytes of its own.
    public static func bytes(_ value: Int64) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: bytesMax) { target, count in
            count = write(value, to: target.baseAddress!)
        }
    }
}
