import NIOCore
import Telemetry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Listening sockets that are bound by one process and listened on in another, which may end and come again: who connects meanwhile waits in them.
public enum ListeningSocket {
    /// Binds one. It neither listens nor outlives an exec yet.
    /// - Returns: its descriptor.
    public static func bind(_ endpoint: SocketEndpoint) throws(Listener.BindFailure) -> Int32 {
        do {
            switch endpoint {
            case .tcp(let host, let port): return try bound(SocketAddress.makeAddressResolvingHost(host, port: port))
            case .unix(let path):
                // A socket file left behind by a process that was killed is in the way of the next one.
                var status = stat()
                if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK { unlink(path) }
                return try bound(SocketAddress(unixDomainSocketPath: path))
            }
        } catch {
            throw Listener.BindFailure(endpoint: endpoint, cause: error)
        }
    }

    private static func bound(_ address: SocketAddress) throws -> Int32 {
        let family = address.protocol == .inet6 ? AF_INET6 : address.protocol == .inet ? AF_INET : AF_UNIX
        let descriptor = socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
        var isOn: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &isOn, socklen_t(MemoryLayout<Int32>.size))
        let result = address.withSockAddr { Glibc.bind(descriptor, $0, socklen_t($1)) }
        guard result == 0 else {
            let error = IOError(errnoCode: errno, reason: "bind")
            close(descriptor)
            throw error
        }
        return descriptor
    }

    // MARK: In the process that listens

    private static let inherited = Lock<[(endpoint: String, descriptor: Int32)]>([])

    /// What a process was started with, once, before anything listens.
    /// - Parameter text: lines of `DESCRIPTOR ENDPOINT`, as ``text(of:)`` makes them.
    public static func inherit(_ text: String) {
        let sockets = text.split(separator: "\n").compactMap { line -> (String, Int32)? in
            let words = line.split(separator: " ", maxSplits: 1)
            guard words.count == 2, let descriptor = Int32(words[0]), fcntl(descriptor, F_GETFD) >= 0 else { return nil }
            // Of this process alone, and not of those that it starts.
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            return (String(words[1]), descriptor)
        }
        inherited.withLock { $0 = sockets }
    }

    public static func text(of sockets: [(endpoint: SocketEndpoint, descriptor: Int32)]) -> String {
        sockets.map { "\($0.descriptor) \($0.endpoint)" }.joined(separator: "\n")
    }

    /// The next that was inherited for this endpoint, which belongs to who takes it; `nil`: it is to be bound.
    static func take(_ endpoint: SocketEndpoint) -> Int32? {
        inherited.withLock { sockets in
            guard let index = sockets.firstIndex(where: { $0.endpoint == "\(endpoint)" }) else { return nil }
            return sockets.remove(at: index).descriptor
        }
    }

    /// Takes off the filter by which who had the socket before let no new connection be made (``Listener/close()``): it is the socket's, which others hold, too.
    static func letIn(_ descriptor: Int32) {
        var none: Int32 = 0
        setsockopt(descriptor, SOL_SOCKET, SO_DETACH_FILTER, &none, socklen_t(MemoryLayout<Int32>.size))
    }
}
