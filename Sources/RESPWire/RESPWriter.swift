#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Gathers replies and requests in memory of its own, in RESP2 or RESP3.
///
/// The memory is used again for the next turn's output: writing a reply allocates nothing in steady state.
public struct RESPWriter: ~Copyable {
    @usableFromInline var base: UnsafeMutablePointer<UInt8>
    @usableFromInline var capacity: Int
    public private(set) var count = 0
    /// Whether maps, sets, doubles, nulls, booleans and pushes are written as RESP3 has them.
    public var isRESP3 = false
    /// The most that is kept; but one argument alone may be longer. What is written beyond begins anew, and ``isTooLong`` says so: it is of no use then.
    public var bytesMax = Int.max
    public private(set) var isTooLong = false

    public init(capacity: Int = 16 << 10) {
        self.capacity = max(capacity, 64)
        base = .allocate(capacity: self.capacity)
    }

    deinit { base.deallocate() }

    /// What was written.
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    /// Forgets what was written; memory beyond the usual is given back.
    public mutating func clear(capacityMax: Int = 256 << 10) {
        count = 0
        isTooLong = false
        if capacity > capacityMax {
            base.deallocate()
            capacity = 16 << 10
            base = .allocate(capacity: capacity)
        }
    }

    /// Takes back what was written behind a place.
    public mutating func truncate(to count: Int) {
        precondition(count >= 0 && (count <= self.count || isTooLong))
        self.count = min(count, self.count)
    }

    @inline(__always)
    mutating func reserve(_ more: Int) {
        if capacity - count < more { grow(more) }
    }

    @inline(never)
    private mutating func grow(_ more: Int) {
        if count > bytesMax - min(more, bytesMax) {
            (count, isTooLong) = (0, true)
            if more <= capacity { return }
        }
        let new = max(capacity * 2, count + more)
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: new)
        memory.update(from: base, count: count)
        base.deallocate()
        base = memory
        capacity = new
    }

    public mutating func raw(_ text: StaticString) {
        reserve(text.utf8CodeUnitCount)
        memcpy(base + count, text.utf8Start, text.utf8CodeUnitCount)
        count += text.utf8CodeUnitCount
    }

    public mutating func raw(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress, bytes.count > 0 else { return }
        reserve(bytes.count)
        memcpy(base + count, start, bytes.count)
        count += bytes.count
    }

    public mutating func raw(_ bytes: [UInt8]) { bytes.withUnsafeBytes { raw($0) } }

    private mutating func line(_ type: UInt8, _ number: Int64) {
        reserve(24)
        base[count] = type
        if number >= 0, number < 10 {
            base[count + 1] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: number)
            count += 2
        } else {
            count += 1 + DecimalText.write(number, to: base + count + 1)
        }
        base[count] = 13
        base[count + 1] = 10
        count += 2
    }

    // MARK: Types of both versions

    public mutating func ok() { raw("+OK\r\n") }

    public mutating func simple(_ text: StaticString) {
        raw("+")
        raw(text)
        raw("\r\n")
    }

    public mutating func simple(_ text: String) { textLine(UInt8(ascii: "+"), text) }

    /// An error; the text begins with its code: `ERR no such key`. Line ends in it become spaces.
    public mutating func error(_ text: String) { textLine(UInt8(ascii: "-"), text) }

    /// An error that has bytes in it which a client sent.
    public mutating func error(_ bytes: [UInt8]) { bytes.withUnsafeBytes { textLine(UInt8(ascii: "-"), $0) } }

    private mutating func textLine(_ type: UInt8, _ text: String) {
        var text = text
        text.withUTF8 { textLine(type, UnsafeRawBufferPointer($0)) }
    }

    private mutating func textLine(_ type: UInt8, _ bytes: UnsafeRawBufferPointer) {
        reserve(bytes.count + 3)
        base[count] = type
        for (index, byte) in bytes.enumerated() { base[count + 1 + index] = byte == 13 || byte == 10 ? 32 : byte }
        count += bytes.count + 1
        raw("\r\n")
    }

    public mutating func integer(_ value: Int64) { line(UInt8(ascii: ":"), value) }
    public mutating func integer(_ value: Int) { line(UInt8(ascii: ":"), Int64(value)) }

    public mutating func bulk(_ bytes: UnsafeRawBufferPointer) {
        reserve(bytes.count + 32)
        line(UInt8(ascii: "$"), Int64(bytes.count))
        if let start = bytes.baseAddress { memcpy(base + count, start, bytes.count) }
        count += bytes.count
        base[count] = 13
        base[count + 1] = 10
        count += 2
    }

    public mutating func bulk(_ bytes: [UInt8]) { bytes.withUnsafeBytes { bulk($0) } }

    public mutating func bulk(_ text: String) {
        var text = text
        text.withUTF8 { bulk(UnsafeRawBufferPointer($0)) }
    }

    /// A number as a bulk string.
    public mutating func bulk(_ value: Int64) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: DecimalText.bytesMax) { digits in
            let count = DecimalText.write(value, to: digits.baseAddress!)
            bulk(UnsafeRawBufferPointer(start: digits.baseAddress, count: count))
        }
    }

    public mutating func array(_ count: Int) { line(UInt8(ascii: "*"), Int64(count)) }

    // MARK: Types that RESP2 writes as something else

    /// No value where a string would be.
    public mutating func null() { isRESP3 ? raw("_\r\n") : raw("$-1\r\n") }
    /// No value where an array would be.
    public mutating func nullArray() { isRESP3 ? raw("_\r\n") : raw("*-1\r\n") }
    /// A map of so many pairs; in RESP2 an array of twice as many.
    public mutating func map(_ count: Int) { isRESP3 ? line(UInt8(ascii: "%"), Int64(count)) : array(2 * count) }
    public mutating func set(_ count: Int) { isRESP3 ? line(UInt8(ascii: "~"), Int64(count)) : array(count) }
    /// A message that answers nothing; in RESP2 an array.
    public mutating func push(_ count: Int) { isRESP3 ? line(UInt8(ascii: ">"), Int64(count)) : array(count) }
    public mutating func boolean(_ value: Bool) { isRESP3 ? raw(value ? "#t\r\n" : "#f\r\n") : integer(value ? 1 : 0) }

    public mutating func double(_ value: Double) {
        let text = DoubleText.render(value)
        if isRESP3 {
            textLine(UInt8(ascii: ","), text)
        } else {
            bulk(text)
        }
    }

    /// Text for people. RESP3 says what kind it is.
    public mutating func verbatim(_ text: String, format: StaticString = "txt") {
        guard isRESP3 else { return bulk(text) }
        line(UInt8(ascii: "="), Int64(text.utf8.count + 4))
        raw(format)
        raw(":")
        var text = text
        text.withUTF8 { raw(UnsafeRawBufferPointer($0)) }
        raw("\r\n")
    }

    // MARK: Requests

    /// A request of these arguments.
    public mutating func request(_ arguments: [[UInt8]]) {
        array(arguments.count)
        for argument in arguments { bulk(argument) }
    }
}
