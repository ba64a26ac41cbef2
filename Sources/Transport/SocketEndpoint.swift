/// An address to listen on or to connect to.
public enum SocketEndpoint: Sendable, Equatable, Hashable {
    /// A host name or an IPv4 or IPv6 address (without brackets), and a port; 0 lets the system choose when listening.
    case tcp(host: String, port: Int)
    /// The path of a Unix domain socket.
    case unix(path: String)
}

extension SocketEndpoint: CustomStringConvertible {
    public var description: String {
        switch self {
        case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }
}
