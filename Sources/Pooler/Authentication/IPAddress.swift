import NIOCore

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// An IPv4 or IPv6 address as a value. IPv4 in IPv6 (`::ffff:a.b.c.d`, what a socket for both gives) is IPv4.
public struct IPAddress: Sendable, Hashable {
    /// Four or sixteen.
    let bytes: [UInt8]

    /// - Parameter bytes: four or sixteen, in the order of the network.
    init(bytes: [UInt8]) {
        precondition(bytes.count == 4 || bytes.count == 16)
        let isMapped = bytes.count == 16 && bytes[..<12].elementsEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF])
        self.bytes = isMapped ? Array(bytes[12...]) : bytes
    }

    /// - Returns: `nil` for a Unix socket's.
    init?(_ address: SocketAddress?) {
        switch address {
        case .v4(let address): self.init(bytes: withUnsafeBytes(of: address.address.sin_addr) { Array($0) })
        case .v6(let address): self.init(bytes: withUnsafeBytes(of: address.address.sin6_addr) { Array($0) })
        case .unixDomainSocket, nil: return nil
        }
    }

    /// As `inet_ntop` writes it.
    var text: String {
        var text = [CChar](repeating: 0, count: 64)
        guard inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count)) != nil else { return "" }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    var isLoopback: Bool { bytes.count == 4 ? bytes[0] == 127 : bytes == [UInt8](repeating: 0, count: 15) + [1] }

    init?(_ text: some StringProtocol) {
        let text = String(text)
        var four = in_addr()
        var six = in6_addr()
        if inet_pton(AF_INET, text, &four) == 1 {
            self.init(bytes: withUnsafeBytes(of: &four) { Array($0) })
        } else if inet_pton(AF_INET6, text, &six) == 1 {
            self.init(bytes: withUnsafeBytes(of: &six) { Array($0) })
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
public struct IPNetwork: Sendable, Hashable {
    let address: IPAddress
    let prefixLength: Int

    /// `10.0.0.0/8`, `2001:db8::/32`; an address alone is a network of one.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(parts[0]), let length = parts.count < 2 ? address.bytes.count * 8 : Int(parts[1]) else { return nil }
        self.init(address: address, prefixLength: length)
    }

    public var text: String { "\(address.text)/\(prefixLength)" }

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
