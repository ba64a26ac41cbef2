import Foundation
import Glibc
import NIOCore
import Synchronization
import Testing

@testable import LoadGenerator

/// Sockets past NIO's channels, and kernels' sockets at their other end: one that reads slowly, one that goes away, one that never answers, one
/// that never lets anybody in.
@Suite struct PlainSocketsTests {
    private func bytes(_ count: Int, seed: UInt8) -> [UInt8] {
        // A prime: no piece of a round length is like the one before it.
        let some = (0..<65_521).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) ^ seed }
        var all: [UInt8] = []
        while all.count < count { all += some.prefix(count - all.count) }
        return all
    }

    /// Waits for what happens on the sockets until something has.
    private func wait(_ sockets: PlainSockets, until isDone: () -> Bool) {
        for _ in 0..<20_000 where !isDone() { sockets.wait(nanoseconds: 1_000_000) }
    }

    @Test func `what a slow reader's kernel does not take at once goes out later: in order, whole, and without waiting for anybody`() throws {
        let peer = try ListeningPeer()
        let sockets = try #require(PlainSockets(ReadBuffers()))
        defer { sockets.end() }
        let connection = LoadConnection(HTTP1Conversation(), isSecure: false)
        var isMade = false
        sockets.begin(connection, to: try peer.address, now: 0) { isMade = (try? $0.get()) != nil }
        wait(sockets) { isMade }
        let transport = try #require(connection.transport)
        let server = try peer.accept()
        defer { close(server) }
        // More than the kernels of both ends hold; then what comes while that waits.
        let parts = [bytes(24 << 20, seed: 0), bytes(70_000, seed: 0x55), bytes(3, seed: 0xAA)]
        for part in parts { transport.write(ByteBuffer(bytes: part)) }
        var received: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 200_000)
        func read() -> Int {
            let count = recv(server, &chunk, chunk.count, Int32(MSG_DONTWAIT))
            if count > 0 { received += chunk[..<count] }
            return count
        }
        while read() > 0 {}
        var expected: [UInt8] = []
        for part in parts { expected += part }
        #expect(received.count < expected.count, "all was taken at once: nothing is shown")
        // A piece for each turn of the client.
        wait(sockets) {
            _ = read()
            return received.count >= expected.count
        }
        #expect(received.count == expected.count && received == expected)
        // What comes next goes out at once again.
        transport.write(ByteBuffer(string: "next"))
        received = []
        for _ in 0..<20_000 where received.isEmpty { if read() < 0 { usleep(1000) } }
        #expect(String(decoding: received, as: UTF8.self) == "next")
    }

    private static func plan(_ peer: ListeningPeer, bodyBytes: Int, users: Int = 1, requests: Int, timeout: Duration) throws -> LoadPlan {
        let body = [UInt8](repeating: UInt8(ascii: "x"), count: bodyBytes)
        let request = RequestSpecification(try HTTPURL("http://127.0.0.1:\(peer.port)/"), method: "POST", body: body)
        return LoadPlan(workload: try Workload([request]), users: users, warmUp: .zero, duration: .seconds(60), requestsMax: requests, timeout: timeout)
    }

    /// Reads a request's head and body, with a pause behind each piece.
    /// - Returns: bytes of the body; `nil` when the connection ended first.
    private static func readSlowly(_ socket: CInt, bodyBytes: Int) -> Int? {
        var head: [UInt8] = []
        var (chunk, body) = ([UInt8](repeating: 0, count: 256 << 10), 0)
        var isInBody = false
        while !isInBody || body < bodyBytes {
            let count = recv(socket, &chunk, chunk.count, 0)
            guard count > 0 else { return nil }
            usleep(1000)
            if isInBody {
                body += count
            } else {
                head += chunk[..<count]
                guard let end = head.firstRange(of: Array("\r\n\r\n".utf8)) else { continue }
                isInBody = true
                body = head.count - end.upperBound
            }
        }
        return body
    }

    @Test func `large requests reach a server that reads slowly, one behind the other on a connection, and its answers count`() async throws {
        let peer = try ListeningPeer()
        let bodyBytes = 8 << 20
        let bodies = Mutex<[Int]>([])
        peer.serve { socket in
            while let body = Self.readSlowly(socket, bodyBytes: bodyBytes) {
                bodies.withLock { $0.append(body) }
                _ = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".withCString { send(socket, $0, strlen($0), Int32(MSG_NOSIGNAL)) }
            }
        }
        let report = try await LoadRun(Self.plan(peer, bodyBytes: bodyBytes, requests: 3, timeout: .seconds(50))).run()
        #expect(report.failures == [:] && report.succeeded == 3)
        #expect(bodies.withLock { $0 } == [bodyBytes, bodyBytes, bodyBytes])
    }

    @Test func `a server that goes away in the middle of a request is a failure of that request, and the next one has another connection`() async throws {
        let peer = try ListeningPeer()
        peer.serve { socket in
            var chunk = [UInt8](repeating: 0, count: 4096)
            // What is not read makes of the end a reset.
            _ = recv(socket, &chunk, chunk.count, 0)
        }
        let report = try await LoadRun(Self.plan(peer, bodyBytes: 8 << 20, requests: 4, timeout: .seconds(50))).run()
        #expect(report.succeeded == 0 && report.failed == 4)
        #expect(Set(report.failures.keys).isSubset(of: [.reset, .closed]), "\(report.failures)")
    }

    @Test func `a server that reads nothing and never answers costs each request its time, and the run ends`() async throws {
        let peer = try ListeningPeer()
        // In the queue of those that nobody has accepted, as far as the kernel is concerned connected.
        let report = try await LoadRun(Self.plan(peer, bodyBytes: 8 << 20, users: 3, requests: 6, timeout: .milliseconds(150))).run()
        #expect(report.failures == [.timeout: 6] && report.succeeded == 0)
    }

    @Test func `who is not let in is given up when its time is over, with its socket, and who came later is not`() throws {
        final class Witness { var isTold = false }
        let peer = try ListeningPeer(backlog: 0)
        let fillers = try peer.fill()
        defer { for filler in fillers { close(filler) } }
        #expect(try peer.haveAskedToConnect(1))
        let sockets = try #require(PlainSockets(ReadBuffers()))
        func begin(now: UInt64) throws -> Witness {
            let witness = Witness()
            sockets.begin(LoadConnection(HTTP1Conversation(), isSecure: false), to: try peer.address, now: now) { _ in witness.isTold = true }
            return witness
        }
        // Known to nobody but what waits for it.
        weak let old = try begin(now: 100)
        weak let young = try begin(now: 200)
        #expect(try peer.haveAskedToConnect(3))
        for _ in 0..<3 { sockets.wait(nanoseconds: 5_000_000) }
        sockets.expire(before: 100)
        #expect(old?.isTold == false && young?.isTold == false)
        sockets.expire(before: 101)
        sockets.wait(nanoseconds: 0)
        #expect(old == nil && young?.isTold == false)
        #expect(try peer.haveAskedToConnect(2))
        sockets.end()
        sockets.wait(nanoseconds: 0)
        #expect(young == nil)
        #expect(try peer.haveAskedToConnect(1))
    }
}

/// A listening socket of the kernel, without anybody behind it but who a test puts there.
private final class ListeningPeer: Sendable {
    struct Failure: Error { let code = errno }

    private let descriptor: CInt
    let port: Int

    init(backlog: CInt = 64) throws {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        // Not made larger by the kernel: what is accepted has it, too.
        var size: CInt = 256 << 10
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<CInt>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && listen(descriptor, backlog) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard descriptor >= 0, isBound else { throw Failure() }
        self.descriptor = descriptor
        port = Int(UInt16(bigEndian: address.sin_port))
    }

    deinit { close(descriptor) }

    var address: SocketAddress { get throws { try SocketAddress(ipAddress: "127.0.0.1", port: port) } }

    func accept() throws -> CInt {
        let socket = Glibc.accept(descriptor, nil, nil)
        guard socket >= 0 else { throw Failure() }
        return socket
    }

    /// Accepts whoever comes, each for a thread of its own, for as long as this is there.
    func serve(_ connection: @escaping @Sendable (CInt) -> Void) {
        let listener = dup(descriptor)
        Thread.detachNewThread { [weak self] in
            while self != nil {
                var poll = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
                guard Glibc.poll(&poll, 1, 20) > 0 else { continue }
                let socket = Glibc.accept(listener, nil, nil)
                guard socket >= 0 else { continue }
                Thread.detachNewThread {
                    connection(socket)
                    close(socket)
                }
            }
            close(listener)
        }
    }

    /// Connects until nobody is let in any more.
    /// - Returns: descriptors, to be closed.
    func fill() throws -> [CInt] {
        var all: [CInt] = []
        while all.count < 64 {
            let one = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0)
            all.append(one)
            _ = try address.withSockAddr { connect(one, $0, socklen_t($1)) }
            var poll = pollfd(fd: one, events: Int16(POLLOUT), revents: 0)
            if Glibc.poll(&poll, 1, 100) == 0 { return all }
        }
        throw Failure()
    }

    /// Whether so many sockets have asked to be let in, and have no answer. The kernel's table is no picture of one moment, with what is opened and
    /// closed elsewhere meanwhile: it is looked at again where it does not say so.
    /// - Source: proc(5), /proc/net/tcp: "rem_address" and "st", where 02 is SYN_SENT.
    func haveAskedToConnect(_ expected: Int) throws -> Bool {
        let address = "0100007F:" + String(format: "%04X", port)
        for _ in 0..<100 {
            guard let table = fopen("/proc/self/net/tcp", "r") else { throw Failure() }
            defer { fclose(table) }
            var (line, count) = ([CChar](repeating: 0, count: 512), 0)
            while fgets(&line, CInt(line.count), table) != nil {
                let words = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(separator: " ", maxSplits: 4)
                if words.count > 3, words[2] == address, words[3] == "02" { count += 1 }
            }
            if count == expected { return true }
            usleep(50_000)
        }
        return false
    }
}
