import NIOCore
import Testing

@testable import Edge

@Suite struct IdleConnectionsTests {
    private let t0 = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func make(_ entries: [(connection: Int, member: Int, seconds: Int64)]) -> IdleConnections<Int> {
        var idle = IdleConnections<Int>()
        for entry in entries { idle.add(entry.connection, member: entry.member, until: t0 + .seconds(entry.seconds)) }
        return idle
    }

    @Test func `the connection that was used last is used next, and only for its member`() {
        var idle = make([(1, 0, 60), (2, 1, 60), (3, 0, 60)])
        #expect(idle.takeNewest(0) == 3)
        #expect(idle.takeNewest(0) == 1)
        #expect(idle.takeNewest(0) == nil)
        #expect(idle.takeNewest(1) == 2)
        #expect(idle.count == 0)
    }

    @Test func `of those that are fit the one that was used last is used`() {
        var idle = make([(1, 0, 60), (2, 0, 60), (3, 0, 60), (5, 1, 60)])
        #expect(idle.takeNewest(0) { $0 < 3 } == 2)
        #expect(idle.takeNewest(0) { $0 > 3 } == nil)
        #expect(idle.contains { $0 == 5 } && !idle.contains { $0 == 2 })
        #expect(idle.count == 3)
    }

    @Test func `what must go goes from the other end`() {
        var idle = make([(1, 0, 60), (2, 1, 60), (3, 0, 60)])
        #expect(idle.takeOldest(0) == 1)
        #expect(idle.takeOldest(2) == nil)
    }

    @Test func `a connection is too old at its time, not before`() {
        let idle = make([(1, 0, 60), (2, 1, 61)])
        #expect(idle.expired(now: t0 + .seconds(59)).isEmpty)
        #expect(idle.expired(now: t0 + .seconds(60)).map(\.connection) == [1])
        #expect(idle.expired(now: t0 + .seconds(61)).map(\.member) == [0, 1])
        #expect(idle.count == 2, "they stay until somebody says that they may go")
    }

    @Test func `a connection that is gone is found once`() {
        var idle = make([(1, 0, 60), (2, 1, 60)])
        let removed = (0..<2).map { _ in idle.remove { $0 == 2 } }
        #expect(removed == [true, false])
        #expect(idle.all.map(\.connection) == [1])
    }
}
