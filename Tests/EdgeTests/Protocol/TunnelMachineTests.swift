import NIOCore
import Testing

@testable import Edge

@Suite struct TunnelMachineTests {
    private let t0 = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func make(idle: Int64 = 60, total: Int64? = nil) -> TunnelMachine {
        var configuration = UpstreamGroup.Tunnel()
        configuration.idleTimeout = .seconds(idle)
        configuration.totalTimeout = total.map { .seconds($0) }
        return TunnelMachine(configuration, now: t0)
    }

    @Test func `a side that ends leaves the other open, and both ends close it`() {
        for side in [TunnelMachine.Side.client, .server] {
            var tunnel = make()
            #expect(tunnel.inputEnded(side) == .finishWriting(side.other))
            #expect(tunnel.inputEnded(side) == .none, "it ends once")
            #expect(tunnel.inputEnded(side.other) == .close && tunnel.isClosed)
            #expect(tunnel.inputEnded(side.other) == .none)
        }
    }

    @Test func `a connection that is gone closes the other, once`() {
        var tunnel = make()
        #expect(tunnel.closed(.server) == .close)
        #expect(tunnel.closed(.client) == .none && tunnel.inputEnded(.client) == .none)
        #expect(tunnel.deadlinePassed(now: t0 + .hours(9)) == .none)
    }

    @Test func `bytes of either side put the idle deadline off, never the total one`() {
        var tunnel = make(idle: 60, total: 100)
        #expect(tunnel.deadlinePassed(now: t0 + .seconds(59)) == .none)
        tunnel.bytesReceived(5, from: .client, now: t0 + .seconds(59))
        #expect(tunnel.deadline == t0 + .seconds(100))
        tunnel.bytesReceived(7, from: .server, now: t0 + .seconds(99))
        #expect(tunnel.deadlinePassed(now: t0 + .seconds(99)) == .none)
        #expect(tunnel.deadlinePassed(now: t0 + .seconds(100)) == .close)
        #expect(tunnel.bytesToServer == 5 && tunnel.bytesToClient == 7 && tunnel.deadline == .distantFuture)
    }

    @Test func `half open it is idle, too`() {
        var tunnel = make(idle: 60)
        _ = tunnel.inputEnded(.client)
        #expect(tunnel.deadlinePassed(now: t0 + .seconds(60)) == .close)
    }
}
