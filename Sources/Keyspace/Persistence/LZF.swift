/// LZF, which snapshots use for long strings: runs of literals and references to what came before.
///
/// A control byte below 32 announces so many literals and one more. Above, its three high bits are the length of a match less 2
/// (7: one more byte of length follows), its five low bits and the next byte are the distance less 1.
/// - Source: liblzf's description of its format, `lzf_d.c` and `lzf_c.c` of Marc Lehmann's library.
enum LZF {
    /// No input gives more than so many times its own size: three bytes repeat at most 264.
    static let expansionMax = 88

    /// Whether so much may come of an input. Asked before memory is: a few bytes cannot announce a gigabyte.
    static func mayGive(_ count: Int, from input: UnsafeRawBufferPointer) -> Bool { count >= 0 && count / expansionMax <= input.count }

    /// - Returns: `nil` unless the input gives exactly so many bytes.
    static func decompress(_ input: UnsafeRawBufferPointer, count: Int) -> [UInt8]? {
        guard mayGive(count, from: input) else { return nil }
        // An empty array's memory is that of all of them: its count would be written there.
        guard count > 0 else { return input.isEmpty ? [] : nil }
        var isWhole = false
        let output = [UInt8](unsafeUninitializedCapacity: count) { output, written in
            isWhole = decompress(input, into: UnsafeMutableBufferPointer(rebasing: output[..<count]))
            written = isWhole ? count : 0
        }
        return isWhole ? output : nil
    }

    /// - Parameter output: bytes without a value yet.
    /// - Returns: whether the input gives exactly so many.
    static func decompress(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableBufferPointer<UInt8>) -> Bool {
        let count = output.count
        var from = 0
        var to = 0
        while from < input.count {
            let control = Int(input[from])
            from += 1
            if control < 32 {
                let length = control + 1
                guard length <= input.count - from, length <= count - to else { return false }
                _ = UnsafeMutableBufferPointer(rebasing: output[to..<to + length]).initialize(from: input[from..<from + length])
                from += length
                to += length
            } else {
                var length = control >> 5
                if length == 7 {
                    guard from < input.count else { return false }
                    length += Int(input[from])
                    from += 1
                }
                length += 2
                guard from < input.count else { return false }
                let distance = (control & 0x1F) << 8 + Int(input[from]) + 1
                from += 1
                guard distance <= to, length <= count - to else { return false }
                let match = UnsafeMutableBufferPointer(rebasing: output[to..<to + length])
                if distance == 1 {
                    match.initialize(repeating: output[to - 1])
                } else if distance >= length {
                    _ = match.initialize(from: output[to - distance..<to - distance + length])
                } else {
                    // Byte by byte: it overlaps what it makes.
                    for index in to..<to + length { output.initializeElement(at: index, to: output[index - distance]) }
                }
                to += length
            }
        }
        return to == count
    }

    /// - Returns: `nil` unless that makes it smaller by four bytes at least.
    static func compress(_ input: UnsafeRawBufferPointer) -> [UInt8]? {
        let outputMax = input.count - 4
        guard outputMax > 0 else { return nil }
        var output: [UInt8] = []
        output.reserveCapacity(outputMax)
        // Where three bytes with this hash were seen last, plus 1; as many as there are bytes, 8,192 at most: distances reach no farther.
        let placeBits = min(13, max(6, Int.bitWidth - input.count.leadingZeroBitCount))
        var places = [Int32](repeating: 0, count: 1 << placeBits)
        var literalStart = 0
        var index = 0
        /// Writes literals up to `end`, at most 32 at a time.
        func writeLiterals(to end: Int) {
            while literalStart < end {
                let length = min(32, end - literalStart)
                output.append(UInt8(length - 1))
                output.append(contentsOf: UnsafeRawBufferPointer(rebasing: input[literalStart..<literalStart + length]))
                literalStart += length
            }
        }
        while index + 2 < input.count, index < Int(Int32.max) - 1 {
            let three = UInt32(input[index]) << 16 | UInt32(input[index + 1]) << 8 | UInt32(input[index + 2])
            let place = Int((three &* 0x9E37_79B1) >> UInt32(32 - placeBits))
            let candidate = Int(places[place]) - 1
            places[place] = Int32(index + 1)
            guard candidate >= 0, index - candidate <= 8192,
                input[candidate] == input[index], input[candidate + 1] == input[index + 1], input[candidate + 2] == input[index + 2]
            else {
                index += 1
                continue
            }
            var length = 3
            let lengthMax = min(264, input.count - index)
            while length < lengthMax, input[candidate + length] == input[index + length] { length += 1 }
            writeLiterals(to: index)
            let distance = index - candidate - 1
            if length - 2 < 7 {
                output.append(UInt8((length - 2) << 5 | distance >> 8))
            } else {
                output.append(UInt8(7 << 5 | distance >> 8))
                output.append(UInt8(length - 9))
            }
            output.append(UInt8(distance & 0xFF))
            index += length
            literalStart = index
            guard output.count < outputMax else { return nil }
        }
        writeLiterals(to: input.count)
        return output.count <= outputMax ? output : nil
    }
}
