import Foundation

/// What a keyspace says of itself in `INFO`.
struct KeyspaceNumbers: Sendable {
    var hits: Int
    var misses: Int
    var bytes: Int

    /// The share of lookups that found their key, 0…1.
    var hitRate: Double { Double(hits) / Double(max(hits + misses, 1)) }

    init(hits: Int, misses: Int, bytes: Int) {
        self.hits = hits
        self.misses = misses
        self.bytes = bytes
    }

    /// Asks the keyspace at a port of loopback.
    init(port: Int) throws {
        let text = try Self.ask(port: port, "INFO")
        func field(_ name: String) throws -> Int {
            let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix(name + ":") }
            guard let value = line.flatMap({ Int($0.dropFirst(name.count + 1)) }) else {
                throw Demo.Failure(description: "the keyspace does not say \(name)")
            }
            return value
        }
        hits = try field("keyspace_hits")
        misses = try field("keyspace_misses")
        bytes = try field("used_memory")
    }

    /// The same, counted from an earlier time on; memory is what it is.
    func since(_ earlier: KeyspaceNumbers) -> KeyspaceNumbers {
        var change = self
        change.hits -= earlier.hits
        change.misses -= earlier.misses
        return change
    }

    /// Sends one inline command and reads all that is answered to it and to the `QUIT` behind it.
    static func ask(port: Int, _ command: String) throws -> String {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw Demo.Failure(description: "no socket: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var time = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let isConnected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        let request = Array("\(command)\r\nQUIT\r\n".utf8)
        guard isConnected, send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else {
            throw Demo.Failure(description: "the keyspace at port \(port) does not answer: \(String(cString: strerror(errno)))")
        }
        var answer: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        // An INFO has some 10 KB.
        while answer.count < 1 << 20 {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            guard count > 0 else { break }
            answer += chunk[..<count]
        }
        return String(decoding: answer, as: UTF8.self)
    }
}
