/// One element of a packed value: bytes, or an integer that was packed as such.
enum PackedElement {
    /// In the memory of what is read.
    case bytes(UnsafeRawBufferPointer)
    case integer(Int64)

    /// As a client sees it: integers in decimal digits.
    var text: [UInt8] {
        switch self {
        case .bytes(let bytes): Array(bytes)
        case .integer(let value): Array(String(value).utf8)
        }
    }

    /// As the number that a stream's packed lists or a sorted set hold; `nil` when it is none.
    var integer: Int64? {
        switch self {
        case .bytes(let bytes): Int64(String(decoding: bytes, as: UTF8.self))
        case .integer(let value): value
        }
    }

    /// As a score; `nil` when it is no number.
    var score: Double? {
        switch self {
        case .bytes(let bytes): RDBScore.parse(bytes)
        case .integer(let value): Double(value)
        }
    }
}

/// Scores in digits.
enum RDBScore {
    /// - Returns: `nil` when it is no number, or NaN. Infinities may come with a sign, in any case.
    static func parse(_ bytes: UnsafeRawBufferPointer) -> Double? {
        // The longest finite double in C's %.17g has 24 characters; a hostile one is not worth reading.
        guard bytes.count <= 64, let score = Double(String(decoding: bytes, as: UTF8.self)), !score.isNaN else { return nil }
        return score
    }
}
