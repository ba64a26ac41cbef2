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
    /// - Throws: when there is no whole response within the time.
    func get(_ target: String, _ fields: [(String, String)] = [], method: String = "GET") async throws -> Response {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(with: Result { try exchange(method, target, fields) })
            }
        }
    }

    /// Says something in another protocol than HTTP, on a thread of its own.
    /// - Parameter bytesMax: of the answer; it is what comes until then, or until the other side closes.
    /// - Throws: when nobody is there, or nothing more comes within the time.
    func say(_ request: [UInt8], bytesMax: Int) async throws -> [UInt8] {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(
                    with: Result {
                        let socket = try connected(request)
                        var answer = ByteBuffer()
                        while answer.readableBytes < bytesMax, try socket.receive(into: &answer) {}
                        return Array(answer.readableBytesView.prefix(bytesMax))
                    })
            }
        }
    }

    private func exchange(_ method: String, _ target: String, _ fields: [(String, String)]) throws -> Response {
        let lines = ["\(method) \(target) HTTP/1.1", "Host: 127.0.0.1:\(port)"] + fields.map { "\($0): \($1)" } + ["Connection: close"]
        return try read(try connected(Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)), method: method == "HEAD" ? .head : .get)
    }

    /// A connection on which the request is sent.
    private func connected(_ request: [UInt8]) throws -> BlockingSocket {
        let socket = try BlockingSocket(.tcp(host: isIPv6 ? "::1" : "127.0.0.1", port: port), seconds: seconds)
        try socket.send(ByteBuffer(bytes: request))
        return socket
    }

    private func read(_ socket: BlockingSocket, method: Method) throws -> Response {
        var buffer = ByteBuffer()
        var parser = HTTP1ResponseParser(limits: HTTP1Limits())
        var head = ResponseHead()
        while try !parser.parse(&buffer, into: &head, answering: method) || head.status < 200 {
            guard try socket.receive(into: &buffer) else { throw Failure(description: "port \(port): closed before a response") }
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
                if try !socket.receive(into: &buffer) { try decoder.inputClosed() }
            }
        }
    }
}
