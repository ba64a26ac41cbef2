import Foundation
import Synchronization
import TestSupport
import Testing

/// Rate limits that several processes keep together, in a keyspace of ours and in a real Redis.
@Suite struct RateStoreTests {
    private static let (rate, burst) = (20, 10)

    private static func edge(_ store: String, _ more: [String] = [], rate: Int = RateStoreTests.rate) throws -> (HeadraceProcess, TemporaryFile) {
        let file = try TemporaryFile(
            """
            edge:
              limits: {rate_store: "\(store)"}
              routes:
                - {name: limited, match: {path: [/limited]}, respond: {status: 200, body: ok}, limits: {rate: \(rate)/s, burst: \(burst), per: "header:X-Api-Key"}}
            """, name: "headrace.yaml")
        return (try HeadraceProcess(["--config", file.path] + more.flatMap { ["--set", $0] }), file)
    }

    /// Asks as fast as it can.
    /// - Returns: how many were let through; `nil` when a request went wrong.
    private static func flood(_ edge: HeadraceProcess, seconds: Double) -> Int? {
        guard let client = try? RawClient(port: edge.port) else { return nil }
        let end = Date().addingTimeInterval(seconds)
        var admitted = 0
        while Date() < end {
            client.send("GET /limited HTTP/1.1\r\nHost: a\r\nX-Api-Key: one\r\n\r\n")
            guard let response = try? client.readResponse() else { return nil }
            if response.status == 200 { admitted += 1 }
        }
        return admitted
    }

    /// What two processes let through of a client that asks both for much more than its rate gives. Threads of their own ask: those of the tests may all wait.
    private static func admitted(_ edges: [HeadraceProcess], seconds: Double) throws -> (count: Int, seconds: Double) {
        for edge in edges {
            #expect(try eventually { try edge.metric("headrace_edge_rate_store_up") == 1 }, "\(edge.errorOutput)")
        }
        let start = Date()
        let counts = Counts()
        for edge in edges { Thread.detachNewThread { counts.add(flood(edge, seconds: seconds)) } }
        #expect(eventually(seconds: 120) { counts.all.count == edges.count })
        let time = Date().timeIntervalSince(start)
        return (try counts.all.reduce(0) { $0 + (try #require($1)) }, time)
    }

    private final class Counts: Sendable {
        private let counts = Mutex<[Int?]>([])
        var all: [Int?] { counts.withLock { $0 } }
        func add(_ count: Int?) { counts.withLock { $0.append(count) } }
    }

    /// `docs/edge.md`, with two processes and an answer that takes a second at most, beyond which the store is away.
    private static func bound(seconds: Double) -> Double { 2 * Double(burst) + Double(rate) * (seconds + 1.1) }

    private static func check(_ edges: [HeadraceProcess]) throws {
        let (count, seconds) = try admitted(edges, seconds: 6)
        // Each by itself would let through twice (10 + 20 × 6) = 260.
        #expect(Double(count) <= bound(seconds: seconds), "\(count) in \(seconds) s")
        #expect(count >= rate * 3, "\(count) in \(seconds) s")
        for edge in edges {
            #expect(try edge.metric("headrace_edge_rate_store_up") == 1, "\(edge.errorOutput)")
            #expect(try edge.metric("headrace_edge_rate_store_requests_total{known=\"shared\"}") >= 1)
        }
    }

    @Test func `two processes and the keyspace of one of them`() throws {
        let folder = try TemporaryFolder()
        let socket = "unix:\(folder.path)/k"
        let one = try Self.edge("keyspace", ["keyspace.listen=\(socket)"])
        // The layers of a process begin side by side.
        #expect(eventually { (try? RedisClient(path: "\(folder.path)/k")) != nil })
        let store = try RedisClient(path: "\(folder.path)/k")
        let two = try Self.edge(socket)
        try Self.check([one.0, two.0])
        // It is there until the bucket is full.
        #expect(try eventually {
            _ = Self.flood(one.0, seconds: 0.3)
            return try store.call("KEYS", "headrace:rate:limited:*").array?.count == 1
        })
    }

    @Test(.enabled(if: RedisPeer.isInstalled, "redis-server is not installed: run scripts/setup")) func `a clock of the store that was set back denies nobody for that long`() throws {
        let redis = try RedisPeer()
        let (edge, file) = try Self.edge("unix:" + redis.socketPath)
        defer { _ = file }
        let store = try redis.client()
        #expect(try eventually { try edge.metric("headrace_edge_rate_store_up") == 1 })
        var key: String?
        #expect(try eventually {
            _ = Self.flood(edge, seconds: 0.3)
            key = try store.call("KEYS", "headrace:rate:limited:*").array?.first?.text
            return key != nil
        })
        let name = try #require(key)
        try store.call("SET", name, "9000000000000000")
        // Eight bursts of half a second, and half a minute.
        #expect(try eventually {
            _ = try RawClient.get(port: edge.port, "/limited", ["X-Api-Key: one"])
            return try (1...34_000).contains(store.call("PTTL", name).integer ?? 0)
        })
    }

    @Test(.enabled(if: RedisPeer.isInstalled, "redis-server is not installed: run scripts/setup")) func `two processes and Redis`() throws {
        let redis = try RedisPeer()
        let edges = try (0..<2).map { _ in try Self.edge("unix:" + redis.socketPath) }
        try Self.check(edges.map(\.0))
        // A bucket that is full needs no key.
        let store = try redis.client()
        #expect(eventually { (try? store.call("KEYS", "headrace:rate:limited:*")) == .array([]) })
    }

    @Test(.enabled(if: RedisPeer.isInstalled, "redis-server is not installed: run scripts/setup")) func `limits go on without their store, and with it when it is back`() throws {
        let folder = try TemporaryFolder()
        // So slow that the time which sixty answers take gives nothing.
        let (edge, file) = try Self.edge("unix:\(folder.path)/redis.sock", rate: 1)
        defer { _ = file }
        func ask(_ key: String) throws -> Int { try RawClient.get(port: edge.port, "/limited", ["X-Api-Key: \(key)"]).status }
        func admitted(_ key: String, of count: Int = 60) throws -> Int {
            let client = try RawClient(port: edge.port)
            client.send(String(repeating: "GET /limited HTTP/1.1\r\nHost: a\r\nX-Api-Key: \(key)\r\n\r\n", count: count))
            return try (0..<count).count { _ in try client.readResponse().status == 200 }
        }
        #expect(try edge.metric("headrace_edge_rate_store_up") == 0)
        let alone = try admitted("one")
        #expect(alone >= Self.burst && alone < 60, "\(alone)")
        #expect(try eventually { try edge.metric("headrace_edge_rate_store_requests_total{known=\"local\"}") >= Double(alone) })
        #expect(try edge.metric("headrace_edge_rate_store_failures_total") >= 1)
        #expect(edge.errorOutput.contains("their store is away"))
        let redis = try RedisPeer(folder: folder.url)
        #expect(try eventually { try edge.metric("headrace_edge_rate_store_up") == 1 })
        #expect(try ask("two") == 200)
        #expect(try eventually { try edge.metric("headrace_edge_rate_store_requests_total{known=\"shared\"}") >= 1 })
        try redis.shutdown(saving: false)
        #expect(try eventually { try edge.metric("headrace_edge_rate_store_up") == 0 })
        #expect(try ask("three") == 200)
        let again = try admitted("four")
        #expect(again >= Self.burst && again < 60, "\(again)")
    }

    @Test func `a store that is no store changes nothing`() throws {
        let impostor = try ScriptedOrigin(readsBodies: false) { _ in [.send("HTTP/1.1 400 Bad Request\r\n\r\n"), .close] }
        let (edge, file) = try Self.edge("redis://127.0.0.1:\(impostor.port)")
        defer { _ = file }
        for _ in 0..<5 { #expect(try RawClient.get(port: edge.port, "/limited", ["X-Api-Key: one"]).status == 200) }
        #expect(try edge.metric("headrace_edge_rate_store_up") == 0)
    }
}
