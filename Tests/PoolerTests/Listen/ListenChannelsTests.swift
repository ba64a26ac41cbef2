import NIOCore
import Testing

@testable import Pooler

@Suite struct ListenChannelsTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private let a = ListenChannels.Listener(loop: 0, client: 1)
    private let b = ListenChannels.Listener(loop: 1, client: 1)

    @Test func `the first listener has the server asked, all are answered when it has confirmed`() {
        var channels = ListenChannels()
        #expect(channels.listenReceived("x", from: a, now: Self.start) == .wait(.listen(channel: "x", number: 1)))
        #expect(channels.listenReceived("x", from: b, now: Self.start) == .wait(nil))
        #expect(channels.listeners(of: "x") == [])
        #expect(channels.confirmed("x", number: 1) == [a, b])
        #expect(channels.listeners(of: "x") == [a, b])
        #expect(channels.listenReceived("x", from: b, now: Self.start) == .confirmed)
    }

    @Test func `the last one who leaves has the server told`() {
        var channels = ListenChannels()
        _ = channels.listenReceived("x", from: a, now: Self.start)
        _ = channels.listenReceived("x", from: b, now: Self.start)
        _ = channels.listenReceived("y", from: b, now: Self.start)
        _ = channels.confirmed("x", number: 1)
        #expect(channels.unlistenReceived("x", from: a) == nil)
        #expect(channels.unlistenReceived("z", from: a) == nil)
        #expect(channels.listenerGone(b) == [.unlisten(channel: "x"), .unlisten(channel: "y")])
        #expect(channels.isEmpty)
    }

    @Test func `an answer to a LISTEN that was given up answers no later one`() {
        var channels = ListenChannels()
        _ = channels.listenReceived("x", from: a, now: Self.start)
        #expect(channels.unlistenReceived("x", from: a) == .unlisten(channel: "x"))
        #expect(channels.listenReceived("x", from: b, now: Self.start) == .wait(.listen(channel: "x", number: 2)))
        #expect(channels.confirmed("x", number: 1) == [])
        #expect(channels.confirmed("x", number: 2) == [b])
    }

    @Test func `who waits too long for a connection is told, a refused channel is gone`() {
        var channels = ListenChannels()
        _ = channels.listenReceived("x", from: a, now: Self.start)
        _ = channels.listenReceived("x", from: b, now: Self.start + .seconds(2))
        #expect(channels.expired(before: Self.start + .seconds(1)) == [a])
        #expect(channels.orders == [.listen(channel: "x", number: 1)])
        #expect(channels.refused("x", number: 1) == [b])
        #expect(channels.isEmpty && channels.everybody == [])
    }

    @Test func `10000 channels are listened to, not one more`() {
        var channels = ListenChannels()
        for number in 0..<ListenChannels.channelsMax { _ = channels.listenReceived("c\(number)", from: a, now: Self.start) }
        #expect(channels.listenReceived("x", from: a, now: Self.start) == .tooMany)
        #expect(channels.count == ListenChannels.channelsMax)
        #expect(channels.listenReceived("c0", from: b, now: Self.start) == .wait(nil))
    }
}
