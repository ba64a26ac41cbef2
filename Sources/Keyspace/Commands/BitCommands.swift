import RESPWire

/// Bits of strings: the first bit is the highest of the first byte.
/// - Source: redis.io/commands; Redis `bitops.c`.
enum BitCommands {
    static let rows: [Command] = [
        .init(
            "setbit", 4, [.write, .denyoom], .bitmap, "2.2.0",
            "Sets or clears the bit at offset of the string value. Creates the key if it doesn't exist.", setbit),
        .init("getbit", 3, [.readonly, .fast], .bitmap, "2.2.0", "Returns a bit value by offset.", getbit),
        .init(
            "bitcount", -2, [.readonly], .bitmap, "2.6.0",
            "Counts the number of set bits (population counting) in a string.", bitcount),
        .init("bitpos", -3, [.readonly], .bitmap, "2.8.7", "Finds the first set (1) or clear (0) bit in a string.", bitpos),
        .init(
            "bitop", -4, [.write, .denyoom], .bitmap, keys: .range(first: 2, last: -1, step: 1), "2.6.0",
            "Performs bitwise operations on multiple strings, and stores the result.", bitop),
    ]

    private static func offset(_ call: Call, _ index: Int) throws(CommandFailure) -> Int {
        guard let value = DecimalText.parse(call[index]), value >= 0, value >> 3 < Entry.bytesMax else {
            throw .err("bit offset is not an integer or out of range")
        }
        return Int(value)
    }

    private static func setbit(_ call: Call) throws(CommandFailure) {
        let key = call.key(1)
        let offset = try offset(call, 2)
        guard let value = DecimalText.parse(call[3]), value == 0 || value == 1 else {
            throw .err("bit is not an integer or out of range")
        }
        let old = try call.writeString(key)
        let countBefore = old?.valueCount ?? 0
        var entry = old ?? StringCommands.create(call, key)
        entry = call.shard(key)[call.database].extend(entry, key.hash, to: max(countBefore, offset / 8 + 1))
        let mask = UInt8(0x80) >> UInt8(offset % 8)
        let byte = entry.value[offset / 8]
        entry.mutableValue[offset / 8] = value == 1 ? byte | mask : byte & ~mask
        // A bit that is so already is no change to those who watch, cache or log.
        if entry.valueCount > countBefore || (byte & mask != 0) != (value == 1) {
            call.changed(key)
            call.notify(.string, "setbit", key)
        }
        call.out.integer(byte & mask == 0 ? 0 : 1)
    }

    private static func getbit(_ call: Call) throws(CommandFailure) {
        let offset = try offset(call, 2)
        guard let entry = try call.readString(call.key(1)), offset / 8 < entry.valueCount else { return call.out.integer(0) }
        call.out.integer(entry.value[offset / 8] & (0x80 >> UInt8(offset % 8)) == 0 ? 0 : 1)
    }

    /// The bits that the two arguments at a place and a unit behind them mean, in a string of so many bytes.
    /// - Parameter isSearch: `BITPOS`, which looks at the unit before the end, and cuts two negative indices in the wrong order.
    private static func bits(_ call: Call, _ place: Int, count: Int, isSearch: Bool) throws(CommandFailure) -> Range<Int>? {
        guard call.count <= place + 3 else { throw .syntax }
        let first = try call.integer(place)
        var isBits = isSearch ? try countsBits(call, place + 2) : false
        let last = call.count > place + 1 ? try call.integer(place + 1) : -1
        if !isSearch {
            if first < 0, last < 0, first > last { return nil }  // Before the unit is looked at: nothing is asked for.
            isBits = try countsBits(call, place + 2)
        }
        let total = isBits ? count * 8 : count
        guard let range = IndexRange.clamp(first, last, count: total, allowsCrossed: isSearch) else { return nil }
        return isBits ? range : range.lowerBound * 8..<range.upperBound * 8
    }

    /// Whether a unit says `BIT`; bytes are meant where none is given.
    private static func countsBits(_ call: Call, _ place: Int) throws(CommandFailure) -> Bool {
        guard call.count > place, !call.matches(place, "byte") else { return false }
        guard call.matches(place, "bit") else { throw .syntax }
        return true
    }

    private static func bitcount(_ call: Call) throws(CommandFailure) {
        guard let entry = try call.readString(call.key(1)) else { return call.out.integer(0) }
        guard call.count == 2 || call.count >= 4 else { throw .syntax }
        var range: Range<Int>? = 0..<entry.valueCount * 8
        if call.count > 2 { range = try bits(call, 2, count: entry.valueCount, isSearch: false) }
        guard let range, !range.isEmpty else { return call.out.integer(0) }
        let bytes = entry.value
        var sum = 0
        var bit = range.lowerBound
        while bit < range.upperBound {
            if bit % 8 == 0, range.upperBound - bit >= 8 {
                sum += bytes[bit / 8].nonzeroBitCount
                bit += 8
            } else {
                if bytes[bit / 8] & (0x80 >> UInt8(bit % 8)) != 0 { sum += 1 }
                bit += 1
            }
        }
        call.out.integer(sum)
    }

    private static func bitpos(_ call: Call) throws(CommandFailure) {
        guard let wanted = DecimalText.parse(call[2]) else { throw .notInteger }
        guard wanted == 0 || wanted == 1 else { throw .err("The bit argument must be 1 or 0.") }
        guard let entry = try call.readString(call.key(1)) else { return call.out.integer(wanted == 1 ? -1 : 0) }
        var range: Range<Int>? = 0..<entry.valueCount * 8
        if call.count > 3 { range = try bits(call, 3, count: entry.valueCount, isSearch: true) }
        guard let range, !range.isEmpty else { return call.out.integer(-1) }
        let bytes = entry.value
        let skipped: UInt8 = wanted == 1 ? 0 : 0xFF
        var bit = range.lowerBound
        while bit < range.upperBound {
            if bit % 8 == 0, bytes[bit / 8] == skipped, range.upperBound - bit >= 8 {
                bit += 8
                continue
            }
            let isSet = bytes[bit / 8] & (0x80 >> UInt8(bit % 8)) != 0
            if isSet == (wanted == 1) { return call.out.integer(bit) }
            bit += 1
        }
        // Behind a string without an end given there are zeros without end.
        call.out.integer(wanted == 0 && call.count < 5 ? entry.valueCount * 8 : -1)
    }

    private static func bitop(_ call: Call) throws(CommandFailure) {
        let operation = call.lowercased(1)
        guard ["and", "or", "xor", "not"].contains(operation) else { throw .syntax }
        guard operation != "not" || call.count == 4 else { throw .err("BITOP NOT must be called with a single source key.") }
        var values: [[UInt8]] = []
        for index in 3..<call.count { values.append(try call.readString(call.key(index)).map { [UInt8]($0.value) } ?? []) }
        let count = values.map(\.count).max() ?? 0
        var result = [UInt8](repeating: 0, count: count)
        for index in 0..<count {
            func byte(_ value: [UInt8]) -> UInt8 { index < value.count ? value[index] : 0 }
            var sum = byte(values[0])
            for value in values.dropFirst() {
                switch operation {
                case "and": sum &= byte(value)
                case "or": sum |= byte(value)
                default: sum ^= byte(value)
                }
            }
            result[index] = operation == "not" ? ~sum : sum
        }
        let target = call.key(2)
        if count == 0 {
            if let old = call.write(target) {
                call.remove(target, old)
                call.notify(.generic, "del", target)
            }
        } else {
            result.withUnsafeBytes { call.setString(target, $0) }
            call.notify(.string, "set", target)
        }
        call.out.integer(count)
    }
}
