#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// An IPv4 or IPv6 address as a value. IPv4 in IPv6 (`::ffff:a.b.c.d`, what a socket for both gives) is IPv4.
struct IPAddress: Sendable, Hashable {
    /// Four or sixteen.
    let bytes: [UInt8]

    init?(_ text: some StringProtocol) {
        let text = String(text)
        var four = in_addr()
        var six = in6_addr()
        if inet_pton(AF_INET, text, &four) == 1 {
            bytes = withUnsafeBytes(of: &four) { Array($0) }
        } else if inet_pton(AF_INET6, text, &six) == 1 {
            let all = withUnsafeBytes(of: &six) { Array($0) }
            bytes = all[..<12].elementsEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]) ? Array(all[12...]) : all
        } else {
            return nil
        }
    }

    /// The prefix length that a network mask stands for.
    /// - Returns: `nil` when its ones are not all in front.
    var prefixLength: Int? {
        let count = bytes.reduce(0) { $0 + $1.nonzeroBitCount }
        return IPNetwork(address: self, prefixLength: count).map { $0.mask == bytes } == true ? count : nil
    }
}

/// All addresses that begin with the same bits.
struct IPNetwork: Sendable, Hashable {
    let address: IPAddress
    let prefixLength: Int

    /// - Returns: `nil` when the address has fewer bits.
    init?(address: IPAddress, prefixLength: Int) {
        guard (0...address.bytes.count * 8).contains(prefixLength) else { return nil }
        self.address = address
        self.prefixLength = prefixLength
    }

    /// Ones for the bits that count.
    var mask: [UInt8] {
        address.bytes.indices.map { index in
            let ones = min(8, max(0, prefixLength - index * 8))
            return ones == 0 ? 0 : UInt8.max << (8 - ones)
        }
    }

    func contains(_ other: IPAddress) -> Bool {
        guard other.bytes.count == address.bytes.count else { return false }
        return zip(mask, zip(address.bytes, other.bytes)).allSatisfy { mask, pair in (pair.0 ^ pair.1) & mask == 0 }
    }
}
