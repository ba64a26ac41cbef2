/// What RowDescription says of the rows that come.
/// - Source: PostgreSQL 15, "Message Formats": RowDescription.
public enum RowDescription {
    /// Of NoData: no rows come.
    public static let none: UInt64 = 1

    /// One number for all that it says but the columns' formats: those are chosen anew by each Bind, and not yet known when a statement is
    /// described.
    /// - Parameter payload: what follows type and length.
    /// - Returns: `nil` when it does not follow the format.
    public static func fingerprint(payload: UnsafeRawBufferPointer) -> UInt64? {
        guard payload.count >= 2 else { return nil }
        let count = Int(UInt16(bigEndian: payload.loadUnaligned(as: UInt16.self)))
        var hash = UInt64(count) &+ 0xCBF2_9CE4_8422_2325
        var index = 2
        for _ in 0..<count {
            while true {
                guard index < payload.count else { return nil }
                let byte = payload[index]
                index += 1
                hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
                if byte == 0 { break }
            }
            // Table, column, type, the type's size and modifier; then the format.
            guard payload.count - index >= 18 else { return nil }
            for offset in [0, 8] {
                hash = (hash ^ payload.loadUnaligned(fromByteOffset: index + offset, as: UInt64.self)) &* 0x9E37_79B9_7F4A_7C15
                hash ^= hash >> 32
            }
            index += 18
        }
        return index == payload.count ? hash : nil
    }
}
