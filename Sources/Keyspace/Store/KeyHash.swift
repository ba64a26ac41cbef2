/// Hashes of keys, fields and members: folded multiplication over sixteen bytes at a time, with a secret seed.
///
/// Which bit serves for what: the highest choose a segment of a table, bits 16…21 a shard of the keyspace, the lowest sixteen are
/// the tag in a slot. The seed is drawn once per process, so that nobody outside can choose keys that collide.
/// - Source: the construction of wyhash (Wang Yi), with secrets of our own.
enum KeyHash {
    private static let secrets = (seed: UInt64.random(in: .min ... .max), secret: UInt64.random(in: .min ... .max) | 1)

    @inline(__always)
    private static func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: b)
        return product.high ^ product.low
    }

    static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        let count = bytes.count
        let (seed, secret) = secrets
        var state = seed ^ 0xA076_1D64_78BD_642F
        guard count > 0, let start = bytes.baseAddress else { return fold(state, secret) }
        var (a, b): (UInt64, UInt64)
        if count <= 16 {
            if count >= 8 {
                a = start.loadUnaligned(as: UInt64.self)
                b = start.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self)
            } else if count >= 4 {
                a = UInt64(start.loadUnaligned(as: UInt32.self))
                b = UInt64(start.loadUnaligned(fromByteOffset: count - 4, as: UInt32.self))
            } else {
                a = UInt64(bytes[0]) << 16 | UInt64(bytes[count >> 1]) << 8 | UInt64(bytes[count - 1])
                b = 0
            }
        } else {
            var offset = 0
            while count - offset > 16 {
                a = start.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                b = start.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)
                state = fold(a ^ secret, b ^ state)
                offset += 16
            }
            a = start.loadUnaligned(fromByteOffset: count - 16, as: UInt64.self)
            b = start.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self)
        }
        return fold(secret ^ UInt64(count), fold(a ^ secret, b ^ state))
    }
}
