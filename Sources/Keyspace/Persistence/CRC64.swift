/// The checksum of snapshots and payloads: CRC-64/Jones, reflected, from zero.
///
/// Eight tables, so that eight bytes are taken in one step: some 2 GB/s, against 0.4 GB/s a byte at a time.
/// - Source: redis.io, "RDB file format"; the polynomial is 0xAD93D23594C935A9, the check value of "123456789" 0xE9C6D914C4B8D9CA.
struct CRC64: Equatable, Sendable {
    private(set) var value: UInt64 = 0

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var crc = value
        Self.tables.withUnsafeBufferPointer { tables in
            var index = 0
            while index &+ 8 <= bytes.count {
                let word = crc ^ UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
                var next: UInt64 = 0
                for lane in 0..<8 { next ^= tables[(7 &- lane) &* 256 &+ Int((word >> UInt64(8 &* lane)) & 0xFF)] }
                crc = next
                index &+= 8
            }
            while index < bytes.count {
                crc = tables[Int((crc ^ UInt64(bytes[index])) & 0xFF)] ^ (crc >> 8)
                index &+= 1
            }
        }
        value = crc
    }

    static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var crc = CRC64()
        crc.update(bytes)
        return crc.value
    }

    static func checksum(_ bytes: [UInt8]) -> UInt64 { bytes.withUnsafeBytes { checksum($0) } }

    /// The polynomial with its bits reversed.
    private static let polynomial: UInt64 = 0x95AC_9329_AC4B_C9B5

    /// `[k * 256 + b]`: what the byte `b` does to the checksum when `k` bytes follow it.
    private static let tables: [UInt64] = {
        var tables = [UInt64](repeating: 0, count: 8 * 256)
        for byte in 0..<256 {
            var crc = UInt64(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? (crc >> 1) ^ polynomial : crc >> 1 }
            tables[byte] = crc
        }
        for index in 256..<8 * 256 {
            let crc = tables[index - 256]
            tables[index] = tables[Int(crc & 0xFF)] ^ (crc >> 8)
        }
        return tables
    }()
}
