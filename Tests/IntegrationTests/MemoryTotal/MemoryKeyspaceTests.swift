import Foundation
import TestSupport
import Testing

extension MemoryTotalTests {
    /// Requests that do not end, transactions that are not carried out, answers that are not taken.
    @Suite struct Keyspace {
        private static let isLong = MemoryStand.isLong

        private let folder: TemporaryFolder
        private let stand: MemoryStand
        private let port: Int
        private let count: Int
        /// There before anything is given up.
        private let other: RawClient

        init() throws {
            folder = try TemporaryFolder()
            try Data("page".utf8).write(to: folder.url.appending(path: "page"))
            count = Self.isLong ? 10_000 : 200
            stand = try MemoryStand(
                total: Self.isLong ? 512 : 128, ["--root", folder.path, "--keyspace", "127.0.0.1:0"],
                ["keyspace.maxmemory=16MB", "keyspace.clients=\(count + 100)", "edge.limits.connections=1000"])
            port = try stand.port(of: "keyspace")
            other = try RawClient(port: port)
            #expect(call(other, "SET large \(String(repeating: "x", count: 60_000))") == "+OK\r\n")
            for _ in 0..<5 { _ = call(other, "APPEND large \(String(repeating: "x", count: 60_000))") }
        }

        /// What a client is told, in one line.
        private func call(_ client: RawClient, _ command: String) -> String {
            client.send(command + "\r\n")
            var answer = ""
            _ = eventually(seconds: 20) {
                answer += String(decoding: client.takeBytes(milliseconds: 20), as: UTF8.self)
                return answer.hasSuffix("\r\n") || client.isClosedByPeer
            }
            return answer
        }

        private func expectServes(_ what: String) {
            #expect(call(other, "PING") == "+PONG\r\n", "\(what)")
            #expect(stand.answers(), "\(what)")
            stand.expectBounded(what)
        }

        private func expectRecovers() {
            #expect(stand.recovers("/page"))
            #expect(eventually(seconds: 60) { (try? RawClient(port: port)).map { call($0, "PING") == "+PONG\r\n" } ?? false })
        }

        private var cuts: Double {
            get throws { try stand.metric("headrace_keyspace_memory_cut_total") }
        }

        @Test func `huge arguments that do not come whole`() throws {
            let part = Array("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000000\r\n".utf8) + [UInt8](repeating: 1, count: 2 << 20)
            var clients: [RawClient] = []
            for number in 0..<count {
                guard let client = try? RawClient(port: port, from: MemoryStand.address(number)) else { continue }
                client.send(part)
                clients.append(client)
            }
            #expect(stand.settles())
            expectServes("\(count) clients that send 2 of 100 MB")
            #expect(try cuts > 0)
            clients = []
            expectRecovers()
        }

        @Test func `transactions that are never carried out`() throws {
            let set = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n\(String(repeating: "x", count: 1_000_000))\r\n"
            let all = Array(("MULTI\r\n" + set + set).utf8)
            var clients: [RawClient] = []
            for number in 0..<count {
                guard let client = try? RawClient(port: port, from: MemoryStand.address(number)) else { continue }
                client.send(all)
                clients.append(client)
            }
            #expect(stand.settles())
            expectServes("\(count) clients that queue 2 MB")
            #expect(try cuts > 0)
            clients = []
            expectRecovers()
        }

        @Test func `answers that are not taken`() throws {
            // 7 MB each in one answer.
            let asking = Array(("MGET" + String(repeating: " large", count: 20) + "\r\n").utf8)
            var clients: [RawClient] = []
            for number in 0..<count {
                guard let client = try? RawClient(port: port, from: MemoryStand.address(number), receiveBuffer: 4096) else { continue }
                for _ in 0..<4 { client.send(asking) }
                clients.append(client)
            }
            #expect(stand.settles())
            expectServes("\(count) clients that do not take 28 MB of answers")
            #expect(try cuts > 0)
            clients = []
            expectRecovers()
        }

        @Test func `one answer that is longer than all that there is`() throws {
            let client = try RawClient(port: port)
            // 3.6 GB.
            client.send("MGET" + String(repeating: " large", count: 10_000) + "\r\n")
            #expect(client.isClosed(seconds: 20))
            expectServes("an answer of 3.6 GB")
            #expect(try cuts == 1)
            expectRecovers()
        }
    }
}
