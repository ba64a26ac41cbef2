import NIOCore
import Testing

@testable import Transport

/// When an event loop polls before it sleeps.
@Suite struct BusyPollTests {
    private static let limit = TimeAmount.microseconds(100)

    /// A client and a server take turns until that is a conversation.
    private static func conversing(_ shared: BusyPoll = BusyPoll(limit: limit)) -> BusyPoll.Turn {
        var turn = BusyPoll.Turn(shared, loop: 1)
        turn.woken()
        for index in 0..<BusyPoll.streakMin + 2 {
            #expect(!turn.isDue)
            turn.happened(index % 2 == 0 ? 7 : 8)
        }
        return turn
    }

    /// A clock that goes on with each look at it.
    private final class Clock {
        var time = NIODeadline.uptimeNanoseconds(1)
        let step: TimeAmount

        init(step: TimeAmount) { self.step = step }

        func now() -> NIODeadline {
            time = time + step
            return time
        }
    }

    @Test func `it polls while two sockets take turns`() {
        var turn = Self.conversing()
        #expect(turn.isDue)
        var looks = 0
        let count = turn.poll {
            looks += 1
            return looks == 3 ? 1 : 0
        }
        #expect(count == 1)
        #expect(turn.isDue)
        turn.happened(7)
        #expect(turn.isDue)
    }

    @Test func `it sleeps when a third socket has something to say`() {
        var turn = Self.conversing()
        turn.happened(9)
        #expect(!turn.isDue)
    }

    @Test func `it sleeps when two have something to say at once`() {
        var turn = Self.conversing()
        turn.othersHappened()
        #expect(!turn.isDue)
    }

    @Test func `it sleeps when another loop is woken`() {
        let shared = BusyPoll(limit: Self.limit)
        let turn = Self.conversing(shared)
        var other = BusyPoll.Turn(shared, loop: 2)
        other.woken()
        #expect(!turn.isDue)
    }

    @Test func `a poll ends at its limit, and a conversation is needed again`() {
        var turn = Self.conversing()
        let clock = Clock(step: .microseconds(1))
        var looks = 0
        let count = turn.poll(now: clock.now) {
            looks += 1
            return 0
        }
        #expect(count == 0)
        #expect(looks == 100)
        #expect(!turn.isDue)
    }

    @Test func `there is none for a while when the core is taken away`() {
        var turn = Self.conversing()
        let clock = Clock(step: BusyPoll.lookMax + .nanoseconds(1))
        var looks = 0
        func look() -> CInt {
            looks += 1
            return 0
        }
        #expect(turn.poll(now: clock.now, look) == 0)
        #expect(looks == 1)
        #expect(turn.poll(now: clock.now, look) == 0)
        #expect(looks == 1, "no look within the pause")
        clock.time = clock.time + BusyPoll.pause
        #expect(turn.poll(now: clock.now, look) == 0)
        #expect(looks == 2)
    }
}
