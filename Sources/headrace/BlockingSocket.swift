import Foundation
import NIOCore
import Transport

/// A connection that blocks: for the commands that speak with one peer in turns, on a thread of their own, never for what serves.
final class BlockingSocket {
    struct Failure: Error, CustomStringConvertible {
        let description: String
        /// The other side is connected, and silent.
        var isTimeout = false
    }

    private let descriptor: Int32
    private let name: String
    private var chunk = [UInt8](repeating: 0, count: 64 << 10)

    /// Connects to the first of the name's addresses that answers.
    /// - Parameter seconds: for the connection, and then between two reads or writes.
    /// - Throws: `Failure`, in the kernel's or the resolver's words.
    init(_ endpoint: SocketEndpoint, seconds: Int) throws {
        name = "\(endpoint)"
        switch endpoint {
        case .tcp(let host, let port): descriptor = try Self.connected(host: host, port: port, seconds, name)
        case .unix(let path): descriptor = try Self.connected(path: path, seconds, name)
        }
    }

    deinit { close(descriptor) }

    private static func open(_ family: Int32, _ seconds: Int, _ name: String) throws -> Int32 {
        let descriptor = socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(description: "\(name): no socket: \(String(cString: strerror(errno)))") }
        // To Linux the time for sending is the one for connecting, too.
        var time = timeval(tv_sec: seconds, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
        }
        return descriptor
    }

    private static func connected(host: String, port: Int, _ seconds: Int, _ name: String) throws -> Int32 {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let problem = getaddrinfo(host, "\(port)", &hints, &found)
        guard problem == 0 else { throw Failure(description: "\(name): \(String(cString: gai_strerror(problem)))") }
        defer { freeaddrinfo(found) }
        var reason = "no address was found for its name"
        var next = found
        while let address = next {
            let descriptor = try open(address.pointee.ai_family, seconds, name)
            if connect(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen) == 0 {
                var isOn: Int32 = 1
                setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &isOn, socklen_t(MemoryLayout<Int32>.size))
                return descriptor
            }
            reason = Self.reason(seconds)
            close(descriptor)
            next = address.pointee.ai_next
        }
        throw Failure(description: "\(name): \(reason)")
    }

    private static func connected(path: String, _ seconds: Int, _ name: String) throws -> Int32 {
        guard let address = UnixAddress(path) else { throw Failure(description: "\(name): the path is too long") }
        let descriptor = try open(AF_UNIX, seconds, name)
        guard address.withPointer({ connect(descriptor, $0, $1) }) == 0 else {
            let reason = reason(seconds)
            close(descriptor)
            throw Failure(description: "\(name): \(reason)")
        }
        return descriptor
    }

    /// What the last call failed for.
    private static func reason(_ seconds: Int) -> String {
        errno == EAGAIN || errno == EINPROGRESS ? "no answer within \(seconds) s" : String(cString: strerror(errno))
    }

    private func failure() -> Failure { Failure(description: "\(name): \(String(cString: strerror(errno)))") }

    /// - Throws: `Failure`.
    func send(_ bytes: UnsafeRawBufferPointer) throws {
        var sent = 0
        while sent < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[sent...])
            let count = Glibc.send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure() }
            sent += count
        }
    }

    func send(_ buffer: ByteBuffer) throws {
        try buffer.withUnsafeReadableBytes { try send($0) }
    }

    /// Waits for more and appends it.
    /// - Returns: `false` at the end of the stream.
    /// - Throws: `Failure`, also when nothing comes within the time.
    func receive(into buffer: inout ByteBuffer) throws -> Bool {
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw errno == EAGAIN ? Failure(description: "\(name): no answer in time", isTimeout: true) : failure() }
            buffer.writeBytes(chunk[..<count])
            return count > 0
        }
    }
}
