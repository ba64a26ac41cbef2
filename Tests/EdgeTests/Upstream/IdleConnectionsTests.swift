import NIOCore
import Testing

@testable import Edge

@Suite struct IdleConnectionsTests {
    private let t0 = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func make(connectionsMax: Int = 2, idleMax: Int = 2, waitingMax: Int = 2) -> IdleConnections<Int, String> {
        IdleConnections(
            connectionsMax: connectionsMax, idleMax: idleMax, waitingMax: waitingMax, idleTimeout: .seconds(60))
    }

    private func describe(_ leased: IdleConnections<Int, String>.Leased) -> String {
        switch leased {
        case .connection(let connection): "connection \(connection)"
        case .connect: "connect"
        case .wait: "wait"
        case .full: "full"
        }
    }

    @Test func `connects up to its limit, then waits up to its limit, then is full`() {
        var pool = make()
        let answers = (0..<5).map { describe(pool.lease("w\($0)", fresh: false, deadline: t0)) }
        #expect(answers == ["connect", "connect", "wait", "wait", "full"])
    }

    @Test func `the connection that was used last is used next`() {
        var pool = make()
        _ = pool.lease("a", fresh: false, deadline: t0)
        _ = pool.lease("b", fresh: false, deadline: t0)
        _ = pool.released(1, now: t0)
        _ = pool.released(2, now: t0)
        #expect(describe(pool.lease("c", fresh: false, deadline: t0)) == "connection 2")
    }

    @Test func `a second attempt gets no connection that was used before`() {
        var pool = make()
        _ = pool.lease("a", fresh: false, deadline: t0)
        _ = pool.released(1, now: t0)
        #expect(describe(pool.lease("b", fresh: true, deadline: t0)) == "connect")
    }

    @Test func `who waits first is served first`() {
        var pool = make(connectionsMax: 1)
        _ = pool.lease("a", fresh: false, deadline: t0)
        _ = pool.lease("b", fresh: false, deadline: t0)
        _ = pool.lease("c", fresh: false, deadline: t0)
        guard case .serve("b") = pool.released(1, now: t0), case .serve("c") = pool.released(1, now: t0),
            case .keep = pool.released(1, now: t0)
        else {
            Issue.record("not in order")
            return
        }
    }

    @Test func `a connection that is gone lets a waiter connect`() {
        var pool = make(connectionsMax: 1)
        _ = pool.lease("a", fresh: false, deadline: t0)
        _ = pool.lease("b", fresh: false, deadline: t0)
        #expect(pool.closed { $0 == 1 } == "b")
        #expect(pool.open == 1)
    }

    @Test func `idle connections beyond the limit are closed, and old ones too`() {
        var pool = make(connectionsMax: 3, idleMax: 2)
        for name in ["a", "b", "c"] { _ = pool.lease(name, fresh: false, deadline: t0) }
        _ = pool.released(1, now: t0)
        _ = pool.released(2, now: t0)
        guard case .close = pool.released(3, now: t0) else {
            Issue.record("one too many is kept")
            return
        }
        #expect(pool.swept(now: t0 + .seconds(59)).expired.isEmpty)
        #expect(pool.swept(now: t0 + .seconds(60)).expired == [1, 2])
    }

    @Test func `a waiter whose deadline has passed is told`() {
        var pool = make(connectionsMax: 1)
        _ = pool.lease("a", fresh: false, deadline: t0)
        _ = pool.lease("b", fresh: false, deadline: t0 + .seconds(5))
        #expect(pool.swept(now: t0 + .seconds(4)).late.isEmpty)
        #expect(pool.swept(now: t0 + .seconds(5)).late == ["b"])
        #expect(pool.waitingCount == 0)
    }
}
