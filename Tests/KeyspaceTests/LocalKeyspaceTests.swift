import TestSupport
import Testing

@testable import Keyspace

@Suite struct LocalKeyspaceTests {
    @Test func `the same keys are there without a socket, for many threads at once`() async throws {
        let served = try await ServedKeyspace()
        let local = served.server.local
        let client = try served.client()
        try client.call("SET", "from", "a client")
        #expect(local.get(Array("from".utf8)) == Array("a client".utf8))
        #expect(local.set(Array("k".utf8), [0, 13, 10], lifetime: .seconds(60)))
        #expect(try client.call("GET", "k") == .bytes([0, 13, 10]))
        #expect(try (59_000...60_000).contains(client.call("PTTL", "k").integer ?? 0))
        #expect(local.delete(Array("k".utf8)) && !local.delete(Array("k".utf8)) && local.get(Array("k".utf8)) == nil)
        #expect(local.set(Array("empty".utf8), []) && local.get(Array("empty".utf8)) == [])
        try client.call("RPUSH", "list", "x")
        #expect(local.get(Array("list".utf8)) == nil)
        #expect(local.execute([Array("BLPOP".utf8), Array("none".utf8), Array("0".utf8)]) == Array("*-1\r\n".utf8))
        #expect(local.execute([]).first == UInt8(ascii: "-"))
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 { group.addTask { for _ in 0..<500 { _ = local.execute([Array("INCR".utf8), Array("n".utf8)]) } } }
        }
        #expect(try client.call("GET", "n").text == "2000")
        await served.stop()
    }
}
