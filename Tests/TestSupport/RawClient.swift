import Foundation

/// A blocking socket that sends and reads exactly what a test says.
public final class RawClient {
    public struct Failure: Error, CustomStringConvertible {
        public let description: String

        public init(description: String) {
            self.description = description
        }
    }

    private let descriptor: Int32
    private var received: [UInt8] = []
    public private(set) var isClosedByPeer = false

    /// Whether the peer ended the connection with a reset.
    public private(set) var isReset = false

    /// - Parameters:
    ///   - source: the address of the loopback that it comes from; the kernel's choice without one.
    ///   - receiveBuffer: bytes that the kernel takes before the client does; 0 for what is usual.
    public init(host: String = "127.0.0.1", port: Int, from source: String? = nil, receiveBuffer: Int32 = 0) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var one: Int32 = 1
        if receiveBuffer > 0 {
            var size = receiveBuffer
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, 4)
        }
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr(host)
        if let source {
            var own = sockaddr_in()
            own.sin_family = sa_family_t(AF_INET)
            own.sin_addr.s_addr = inet_addr(source)
            _ = withUnsafePointer(to: &own) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
            }
        }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw Failure(description: "connect: \(String(cString: strerror(errno)))") }
    }

    /// - Parameter unixPath: of the peer's socket; at most 107 bytes.
    public init(unixPath: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let isTooLong = withUnsafeMutableBytes(of: &address.sun_path) { room in
            guard unixPath.utf8.count < room.count else { return true }
            room.copyBytes(from: unixPath.utf8)
            return false
        }
        guard !isTooLong else { throw Failure(description: "too long for a socket: \(unixPath)") }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
        guard result == 0 else { throw Failure(description: "connect: \(String(cString: strerror(errno)))") }
    }

    deinit {
        close(descriptor)
    }

    public func send(_ text: String) {
        send(Array(text.utf8))
    }

    public func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard sent > 0 else { return }
            rest = rest.dropFirst(sent)
        }
    }

    /// Sends as much of this as the kernel takes now.
    /// - Returns: how many bytes that are.
    @discardableResult
    public func sendWithoutWaiting(_ bytes: [UInt8]) -> Int {
        max(0, bytes.withUnsafeBytes {
            Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        })
    }

    /// Says that nothing more will be sent.
    public func finishSending() {
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Ends the connection with a reset.
    public func reset() {
        // Linux: a socket that is connected to nothing sends RST (connect(2), AF_UNSPEC).
        var nothing = sockaddr()
        nothing.sa_family = sa_family_t(AF_UNSPEC)
        _ = connect(descriptor, &nothing, socklen_t(MemoryLayout<sockaddr>.size))
        isClosedByPeer = true
    }

    /// Reads what comes within the time.
    /// - Returns: `false` at the end of the stream or when nothing came.
    @discardableResult
    private func readSome(milliseconds: Int) -> Bool {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard Glibc.poll(&poll, 1, Int32(milliseconds)) > 0 else { return false }
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else {
            isReset = count < 0 && errno == ECONNRESET
            isClosedByPeer = true
            return false
        }
        received.append(contentsOf: buffer[..<count])
        return true
    }

    /// Everything until the peer closes.
    public func readToEnd(seconds: Double = 5) -> String {
        let end = Date().addingTimeInterval(seconds)
        while !isClosedByPeer, Date() < end { readSome(milliseconds: 50) }
        defer { received = [] }
        return String(decoding: received, as: UTF8.self)
    }

    /// What comes within a time, without waiting for the end.
    public func readAvailable(milliseconds: Int) -> String {
        let end = Date().addingTimeInterval(Double(milliseconds) / 1000)
        while !isClosedByPeer, Date() < end { readSome(milliseconds: 10) }
        defer { received = [] }
        return String(decoding: received, as: UTF8.self)
    }

    /// The bytes that have come, those of a moment at most.
    public func takeBytes(milliseconds: Int) -> [UInt8] {
        if !isClosedByPeer { readSome(milliseconds: milliseconds) }
        defer { received = [] }
        return received
    }

    /// What has come and was not taken yet, without waiting for more than a moment.
    public func peek() -> String {
        if !isClosedByPeer { readSome(milliseconds: 1) }
        return String(decoding: received, as: UTF8.self)
    }

    /// Takes at most so many bytes from the socket, and forgets them.
    /// - Returns: how many came.
    public func readSlowly(upTo count: Int) -> Int {
        var buffer = [UInt8](repeating: 0, count: count)
        let received = recv(descriptor, &buffer, count, 0)
        if received <= 0 { isClosedByPeer = true }
        return max(received, 0)
    }

    /// Whether the peer closes within a time.
    public func isClosed(seconds: Double = 5) -> Bool {
        _ = readToEnd(seconds: seconds)
        return isClosedByPeer
    }

    /// One response, its body by `Content-Length`, chunked, or to the end.
    public func readResponse(hasBody: Bool = true, seconds: Double = 20) throws -> Response {
        let end = Date().addingTimeInterval(seconds)
        while true {
            if let response = try takeResponse(hasBody: hasBody) { return response }
            if isClosedByPeer {
                throw Failure(description: "closed after \(String(decoding: received, as: UTF8.self).debugDescription)")
            }
            guard Date() < end else {
                throw Failure(
                    description:
                        "no whole response in \(seconds) s: \(String(decoding: received, as: UTF8.self).debugDescription)")
            }
            readSome(milliseconds: 50)
        }
    }

    private func takeResponse(hasBody: Bool) throws -> Response? {
        guard let end = received.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
        let head = String(decoding: received[..<end.lowerBound], as: UTF8.self)
        var response = Response(head: head, body: [])
        let isBodyless = !hasBody || response.status == 204 || response.status == 304 || response.status < 200
        if isBodyless {
            received.removeSubrange(..<end.upperBound)
            return response
        }
        if let length = response.field("Content-Length").flatMap(Int.init) {
            guard received.count >= end.upperBound + length else { return nil }
            response.body = Array(received[end.upperBound..<end.upperBound + length])
            received.removeSubrange(..<(end.upperBound + length))
            return response
        }
        if response.field("Transfer-Encoding") == "chunked" {
            var position = end.upperBound
            while let line = received[position...].firstRange(of: Array("\r\n".utf8)) {
                let text = String(decoding: received[position..<line.lowerBound], as: UTF8.self)
                guard let size = Int(text.prefix { $0 != ";" }, radix: 16) else {
                    throw Failure(description: "chunk size \(text)")
                }
                if size == 0 {
                    guard let close = received[line.lowerBound...].firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
                    response.trailers = String(
                        decoding: received[line.upperBound..<max(line.upperBound, close.lowerBound)], as: UTF8.self)
                    received.removeSubrange(..<close.upperBound)
                    return response
                }
                guard received.count >= line.upperBound + size + 2 else { return nil }
                response.body += received[line.upperBound..<line.upperBound + size]
                position = line.upperBound + size + 2
            }
            return nil
        }
        guard isClosedByPeer else { return nil }
        response.body = Array(received[end.upperBound...])
        received = []
        return response
    }

    public struct Response: Sendable {
        public let head: String
        public var body: [UInt8]
        public var trailers = ""

        public var status: Int { Int(head.split(separator: " ").dropFirst().first ?? "") ?? 0 }
        public var text: String { String(decoding: body, as: UTF8.self) }

        /// All values of that name, joined as a list.
        public func field(_ name: String) -> String? {
            let values = head.split(separator: "\r\n").dropFirst().compactMap { line -> String? in
                guard let colon = line.firstIndex(of: ":"), line[..<colon].lowercased() == name.lowercased() else { return nil }
                return line[line.index(after: colon)...].drop { $0 == " " }.description
            }
            return values.isEmpty ? nil : values.joined(separator: ", ")
        }
    }

    /// A request and its response on a connection of their own.
    public static func exchange(port: Int, _ request: String, hasBody: Bool = true, seconds: Double = 20) throws -> Response {
        let client = try RawClient(port: port)
        client.send(request)
        return try client.readResponse(hasBody: hasBody, seconds: seconds)
    }

    /// GET with some field lines.
    public static func get(
        port: Int, _ target: String, _ fields: [String] = [], host: String = "a.example", seconds: Double = 20
    ) throws -> Response {
        let lines = ["GET \(target) HTTP/1.1", "Host: \(host)"] + fields
        return try exchange(port: port, lines.joined(separator: "\r\n") + "\r\n\r\n", seconds: seconds)
    }

    /// A page of the edge's own, as whoever sits at this machine asks for it.
    public static func getOwnPage(port: Int, _ target: String, _ fields: [String] = []) throws -> Response {
        try get(port: port, target, fields, host: "localhost")
    }
}
