/// A score as an element among packed ones: a whole number in the fewest bytes of 1, 2 and 4, anything else in the eight that memory has for it.
enum PackedScore {
    static func withBytes(_ score: Double, _ body: (UnsafeRawBufferPointer) -> Void) {
        // Not −0, which is another score.
        guard let whole = Int32(exactly: score), whole != 0 || score.sign == .plus else { return withUnsafeBytes(of: score, body) }
        if let short = Int8(exactly: whole) { return withUnsafeBytes(of: short, body) }
        if let short = Int16(exactly: whole) { return withUnsafeBytes(of: short, body) }
        withUnsafeBytes(of: whole, body)
    }

    static func read(_ bytes: UnsafeRawBufferPointer) -> Double {
        switch bytes.count {
        case 1: Double(bytes.loadUnaligned(as: Int8.self))
        case 2: Double(bytes.loadUnaligned(as: Int16.self))
        case 4: Double(bytes.loadUnaligned(as: Int32.self))
        default: bytes.loadUnaligned(as: Double.self)
        }
    }
}
