/// Bytes that nobody can guess.
public enum RandomBytes {
    /// Eight for each word that the generator is asked for: the system's is a system call each time.
    public static func make(_ count: Int, using random: inout some RandomNumberGenerator) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 7)
        while bytes.count < count { withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) } }
        return Array(bytes.prefix(count))
    }

    /// From the system's generator, which is fit for keys.
    public static func make(_ count: Int) -> [UInt8] {
        var random = SystemRandomNumberGenerator()
        return make(count, using: &random)
    }
}
