/// The Huffman code of HPACK.
///
/// It is canonical: within a length the codes count upwards in the order of their symbols, so that 257 lengths are all there is to know
/// (RFC 7541 Appendix B has the codes; a test compares them). Codes of up to eight bits, which are nearly all of a header section, are
/// looked up; for longer ones each length is tried.
/// - Source: RFC 7541 §5.2, Appendix B.
struct HPACKHuffman: Sendable {
    static let shared = HPACKHuffman()

    private static let endOfString = 256
    private static let bitsMax = 30

    /// By the next eight bits: symbol and length, or 0 where the code is longer.
    private var short = [UInt16](repeating: 0, count: 256)
    /// All symbols by their code.
    private var symbols: [UInt16] = []
    /// By length: its first code, how many it has, and where the symbols of those begin.
    private var rows = [(first: UInt32, count: UInt32, start: Int)](repeating: (0, 0, 0), count: bitsMax + 1)
    /// By symbol.
    private(set) var codes = [UInt32](repeating: 0, count: 257)

    private init() {
        var code: UInt32 = 0
        for bits in 1...Self.bitsMax {
            code <<= 1
            let start = symbols.count
            let first = code
            for symbol in Self.lengths.indices where Int(Self.lengths[symbol]) == bits {
                codes[symbol] = code
                symbols.append(UInt16(symbol))
                if bits <= 8 {
                    let from = Int(code) << (8 - bits)
                    for index in from..<from + 1 << (8 - bits) { short[index] = UInt16(symbol) << 8 | UInt16(bits) }
                }
                code += 1
            }
            rows[bits] = (first, code - first, start)
        }
    }

    /// Adds the text to `output`.
    /// - Returns: whether it is a text: the padding is less than a byte and all ones, and the end of a string is not spelled out.
    func decode(_ bytes: Span<UInt8>, into output: inout [UInt8]) -> Bool {
        // The next bits, from the top down.
        var window: UInt64 = 0
        var bits = 0
        var index = 0
        while true {
            while bits <= 56, index < bytes.count {
                window |= UInt64(bytes[index]) << UInt64(56 - bits)
                bits += 8
                index += 1
            }
            let entry = short[Int(truncatingIfNeeded: window >> 56)]
            let length = Int(entry & 0xFF)
            if length > 0 {
                guard length <= bits else { break }
                output.append(UInt8(truncatingIfNeeded: entry >> 8))
                window <<= UInt64(length)
                bits -= length
                continue
            }
            guard bits > 8, let (symbol, length) = long(window, bits) else { break }
            if symbol == Self.endOfString { return false }
            output.append(UInt8(truncatingIfNeeded: symbol))
            window <<= UInt64(length)
            bits -= length
        }
        return bits < 8 && (bits == 0 || window >> UInt64(64 - bits) == 1 << UInt64(bits) - 1)
    }

    private func long(_ window: UInt64, _ bits: Int) -> (symbol: Int, length: Int)? {
        var length = 9
        while length <= min(bits, Self.bitsMax) {
            let row = rows[length]
            let code = UInt32(truncatingIfNeeded: window >> UInt64(64 - length))
            if code >= row.first, code - row.first < row.count { return (Int(symbols[row.start + Int(code - row.first)]), length) }
            length += 1
        }
        return nil
    }

    /// How many bits each symbol has.
    static let lengths: [UInt8] = [
        13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
        28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
         6, 10, 10, 12, 13,  6,  8, 11, 10, 10,  8, 11,  8,  6,  6,  6,
         5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8, 15,  6, 12, 10,
        13,  6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,
         7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8, 13, 19, 13, 14,  6,
        15,  5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,
         6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7, 15, 11, 14, 13, 28,
        20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
        24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
        22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
        21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
        26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
        19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
        20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
        26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
        30,
    ]
}
