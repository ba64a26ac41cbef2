public import Foundation

/// A real Redis of its own, in a folder of its own, behind a Unix socket.
public final class RedisPeer {
    public static let isInstalled = Command.find("redis-server") != nil
    public static let isMissing: String = "redis-server is not installed: run scripts/setup"

    public let folder: URL
    private let process: Program
    private let ownsFolder: Bool
    public var socketPath: String { folder.appending(path: "redis.sock").path }

    /// Starts it and waits until it answers: a snapshot or append log in the folder is loaded by then.
    /// - Parameters:
    ///   - folder: where its files are; a new one, removed at the end, unless given.
    ///   - password: that the arguments make it ask for.
    public init(folder given: URL? = nil, _ arguments: [String] = [], password: String? = nil) throws {
        guard let program = Command.find("redis-server") else { throw RawClient.Failure(description: Self.isMissing) }
        ownsFolder = given == nil
        folder = given ?? FileManager.default.temporaryDirectory.appending(path: "redis-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        process = Program()
        process.executableURL = program
        process.currentDirectoryURL = folder
        process.arguments =
            ["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--dir", folder.path, "--loglevel", "warning"] + arguments
        let log = folder.appending(path: "log")
        try Data().write(to: log)
        process.standardOutput = try FileHandle(forWritingTo: log)
        process.standardError = process.standardOutput
        process.standardInput = FileHandle.nullDevice
        try process.start()
        let answers = eventually(seconds: 20) {
            guard process.isRunning, let client = try? RedisClient(path: socketPath) else { return !process.isRunning }
            if let password { _ = try? client.call("AUTH", password) }
            return (try? client.call("PING")) == .status("PONG")
        }
        guard answers, process.isRunning else {
            let text = (try? String(contentsOf: log, encoding: .utf8)) ?? ""
            throw RawClient.Failure(description: "redis-server does not answer: \(text)")
        }
    }

    deinit {
        if process.isRunning {
            kill(process.processIdentifier, SIGKILL)
            process.waitForEnd()
        }
        if ownsFolder { try? FileManager.default.removeItem(at: folder) }
    }

    public func client() throws -> RedisClient { try RedisClient(path: socketPath) }

    /// Ends it as an operator does, and waits.
    public func shutdown(saving: Bool) throws {
        _ = try? client().call("SHUTDOWN", saving ? "SAVE" : "NOSAVE")
        process.waitForEnd()
    }
}

/// A client of the Redis protocol that blocks: one command, one reply.
public final class RedisClient {
    /// A reply of RESP2.
    public indirect enum Reply: Equatable, Sendable {
        case status(String)
        case error(String)
        case integer(Int64)
        case bytes([UInt8])
        case null
        case array([Reply])

        public var bytes: [UInt8]? {
            if case .bytes(let bytes) = self { bytes } else { nil }
        }
        public var text: String? { bytes.map { String(decoding: $0, as: UTF8.self) } }
        public var array: [Reply]? {
            if case .array(let replies) = self { replies } else { nil }
        }
        public var integer: Int64? {
            if case .integer(let value) = self { value } else { nil }
        }
    }

    private let descriptor: Int32
    private var received: [UInt8] = []
    private var readIndex = 0

    /// - Parameter path: of a Unix socket.
    public init(path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < capacity else { throw RawClient.Failure(description: "the path is too long: \(path)") }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        try connect(&address)
    }

    /// - Parameter port: of loopback.
    public init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        try connect(&address)
    }

    private func connect<Address>(_ address: inout Address) throws {
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<Address>.size))
            }
        }
        guard result == 0 else {
            throw RawClient.Failure(description: "connect: \(String(cString: strerror(errno)))")
        }
    }

    deinit {
        close(descriptor)
    }

    @discardableResult
    public func call(_ words: String...) throws -> Reply { try call(words.map { Array($0.utf8) }) }

    @discardableResult
    public func call(_ words: [[UInt8]]) throws -> Reply {
        try send(words)
        return try reply()
    }

    /// Commands, all in one write when they are small.
    public func send(_ commands: [[UInt8]]...) throws {
        var bytes: [UInt8] = []
        for words in commands {
            bytes += Array("*\(words.count)\r\n".utf8)
            for word in words { bytes += Array("$\(word.count)\r\n".utf8) + word + [0x0D, 0x0A] }
        }
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard sent > 0 else { throw RawClient.Failure(description: "the server has closed the connection") }
            rest = rest.dropFirst(sent)
        }
    }

    /// Waits for the next reply, at most 20 s.
    public func reply() throws -> Reply {
        let line = String(decoding: try readLine(), as: UTF8.self)
        let rest = String(line.dropFirst())
        switch line.first {
        case "+": return .status(rest)
        case "-": return .error(rest)
        case ":": return .integer(Int64(rest) ?? 0)
        case "$":
            guard let count = Int(rest), count >= 0 else { return .null }
            let bytes = try read(count)
            _ = try read(2)
            return .bytes(bytes)
        case "*":
            guard let count = Int(rest), count >= 0 else { return .null }
            return .array(try (0..<count).map { _ in try reply() })
        default: throw RawClient.Failure(description: "no reply of RESP2: \(line)")
        }
    }

    private func readLine() throws -> [UInt8] {
        var end = readIndex
        while true {
            while end < received.count {
                if received[end] == 0x0A {
                    defer { readIndex = end + 1 }
                    return Array(received[readIndex..<max(readIndex, end - 1)])
                }
                end += 1
            }
            try receive()
        }
    }

    private func read(_ count: Int) throws -> [UInt8] {
        while received.count - readIndex < count { try receive() }
        defer { readIndex += count }
        return Array(received[readIndex..<readIndex + count])
    }

    private func receive() throws {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard Glibc.poll(&poll, 1, 20_000) > 0 else { throw RawClient.Failure(description: "no reply within 20 s") }
        var chunk = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &chunk, chunk.count, 0)
        guard count > 0 else { throw RawClient.Failure(description: "the server has closed the connection") }
        received += chunk[..<count]
    }
}
