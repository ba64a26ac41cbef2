public import NIOCore
import Telemetry

/// Counts open connections by client address against a limit, over all event loops.
///
/// Who has an IPv6 address has a whole /64 of them (RFC 6177), so those count as one client. There is never an entry without a
/// connection: ``ConnectionLimit`` bounds the table.
public final class ClientLimit: Sendable {
    /// A client, as far as an address tells.
    public struct Client: Hashable, Sendable {
        private let isIPv4: Bool
        private let bits: UInt64

        /// - Returns: `nil` for what comes over a Unix socket: those are all the same, and not strangers.
        public init?(_ address: SocketAddress?) {
            switch address {
            case .v4(let address):
                isIPv4 = true
                bits = UInt64(UInt32(bigEndian: address.address.sin_addr.s_addr))
            case .v6(let address):
                let (high, low) = withUnsafeBytes(of: address.address.sin6_addr) { bytes in
                    (
                        UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
                        UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
                    )
                }
                // ::ffff:a.b.c.d is the IPv4 client a.b.c.d (RFC 4291 §2.5.5.2).
                isIPv4 = high == 0 && low >> 32 == 0xFFFF
                bits = isIPv4 ? low & 0xFFFF_FFFF : high
            case .unixDomainSocket, .none:
                return nil
            }
        }
    }

    private let open = Lock<[Client: Int]>([:])
    public let max: Int

    /// - Parameter max: connections that one client may have open at a time.
    public init(max: Int) {
        self.max = max
    }

    /// Clients with a connection now.
    public var clientCount: Int { open.withLock { $0.count } }

    /// Takes a place for a new connection; the caller gives it back with ``release(_:)``.
    /// - Returns: `false` when the client has as many as it may.
    public func admit(_ client: Client) -> Bool {
        open.withLock { open in
            guard open[client, default: 0] < max else { return false }
            open[client, default: 0] += 1
            return true
        }
    }

    public func release(_ client: Client) {
        open.withLock { open in
            guard let count = open[client] else { return }
            open[client] = count > 1 ? count - 1 : nil
        }
    }
}
