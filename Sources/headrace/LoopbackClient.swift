import Foundation
import HTTP1Wire
import HTTPSemantics
import NIOCore

/// One request, in HTTP or another protocol, to a port of this machine on a blocking socket: for the commands that ask once, never for what serves.
struct LoopbackClient: Sendable {
    struct Response: Sendable {
        var status = 0
        /// Names in lower case; of fields that come several times, the last.
        var fields: [String: String] = [:]
        /// As sent: content codings are not undone.
        var body: [UInt8] = []
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Of a response; more than any page that is asked for here.
    static let bytesMax = 64 << 20

    let port: Int
    var isIPv6 = false
    /// Between two reads.
    var seconds = 10

    init(port: Int, isIPv6: Bool = false, seconds: Int = 10) {
        self.port = port
        self.isIPv6 = isIPv6
        self.seconds = seconds
    }

    /// - Parameter url: `http://127.0.0.1:PORT`; what has no port is refused by the kernel.
    init(url: String) {
        self.init(port: url.split(separator: ":").last.flatMap { Int($0) } ?? 0)
    }

    /// Asks on a thread of its own and waits for the whole response.
    /// - Throws: `Failure` when there is no whole response within the time.
    func get(_ target: String, _ fields: [(String, String)] = [], method: String = "GET") async throws -> Response {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(with: Result { try exchange(method, target, fields) })
            }
        }
    }

    /// Says something in another protocol than HTTP, on a thread of its own.
    /// - Parameter bytesMax: of the answer; it is what comes until then, or until the other side closes.
    /// - Throws: `Failure` when nobody is there, or nothing more comes within the time.
    func say(_ request: [UInt8], bytesMax: Int) async throws -> [UInt8] {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(
                    with: Result {
                        try connected(request) { descriptor in
                            var answer = ByteBuffer()
                            while answer.readableBytes < bytesMax, try receive(descriptor, into: &answer) {}
                            return Array(answer.readableBytesView.prefix(bytesMax))
                        }
                    })
            }
        }
    }

    private func exchange(_ method: String, _ target: String, _ fields: [(String, String)]) throws -> Response {
        let lines = ["\(method) \(target) HTTP/1.1", "Host: 127.0.0.1:\(port)"] + fields.map { "\($0): \($1)" } + ["Connection: close"]
        return try connected(Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)) { descriptor in
            try read(descriptor, method: method == "HEAD" ? .head : .get)
        }
    }

    /// A connection on which the request is sent, for as long as its answer is read.
    private func connected<Answer>(_ request: [UInt8], _ read: (Int32) throws -> Answer) throws -> Answer {
        let descriptor = socket(isIPv6 ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(description: "no socket: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var time = timeval(tv_sec: seconds, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
        }
        guard connect(descriptor) else { throw Failure(description: "port \(port): \(String(cString: strerror(errno)))") }
        guard send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else {
            throw Failure(description: "port \(port): the request could not be sent")
        }
        return try read(descriptor)
    }

    private func read(_ descriptor: Int32, method: Method) throws -> Response {
        var buffer = ByteBuffer()
        var parser = HTTP1ResponseParser(limits: HTTP1Limits())
        var head = ResponseHead()
        while try !parser.parse(&buffer, into: &head, answering: method) || head.status < 200 {
            guard try receive(descriptor, into: &buffer) else { throw Failure(description: "port \(port): closed before a response") }
        }
        var response = Response(status: head.status)
        for index in head.fields.lines.indices {
            response.fields[String(copying: head.fields.name(at: index)).lowercased()] = String(copying: head.fields.value(at: index))
        }
        var decoder = HTTP1BodyDecoder(head.framing)
        while true {
            switch try decoder.next(&buffer) {
            case .bytes(let part): response.body.append(contentsOf: part.readableBytesView)
            case .end: return response
            case .needMore:
                guard response.body.count <= Self.bytesMax else { throw Failure(description: "port \(port): the response is too large") }
                if try !receive(descriptor, into: &buffer) { try decoder.inputClosed() }
            }
        }
    }

    /// - Returns: `false` at the end of the stream.
    private func receive(_ descriptor: Int32, into buffer: inout ByteBuffer) throws -> Bool {
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        guard count >= 0 else { throw Failure(description: "port \(port): \(String(cString: strerror(errno)))") }
        buffer.writeBytes(bytes[..<count])
        return count > 0
    }

    private func connect(_ descriptor: Int32) -> Bool {
        func connect<Address>(_ address: Address) -> Bool {
            withUnsafePointer(to: address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<Address>.size)) == 0
                }
            }
        }
        if isIPv6 {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = UInt16(clamping: port).bigEndian
            address.sin6_addr = in6addr_loopback
            return connect(address)
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(clamping: port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return connect(address)
    }
}
