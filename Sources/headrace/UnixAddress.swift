import Foundation

/// The address of a Unix socket, as the kernel takes it.
struct UnixAddress {
    /// sockaddr_un's, less the zero behind it.
    private static let pathBytesMax = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1

    private var address = sockaddr_un()
    private let length: socklen_t

    /// - Parameter isAbstract: whether what begins with "@" is a name in the abstract namespace, and not a path.
    /// - Returns: `nil` for a path that is too long.
    /// - Source: unix(7).
    init?(_ path: String, isAbstract: Bool = false) {
        guard path.utf8.count <= Self.pathBytesMax else { return nil }
        // The name ends with what is said of it: an abstract one may have zeros.
        length = socklen_t((MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 0) + path.utf8.count)
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { bytes in
            bytes.copyBytes(from: path.utf8)
            if isAbstract, bytes[0] == UInt8(ascii: "@") { bytes[0] = 0 }
        }
    }

    func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        withUnsafePointer(to: address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) } }
    }
}
