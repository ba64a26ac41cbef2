import Glibc
import NIOCore
import Testing

@testable import Transport

/// When an event loop gives up taking the core from others.
@Suite struct BatchSchedulingTests {
    private struct Loop {
        var scheduling = BatchScheduling()
        var time = NIODeadline.uptimeNanoseconds(0) + .hours(1)

        /// Turns for so long.
        /// - Returns: how often it has changed.
        mutating func run(for duration: TimeAmount, turnEvery step: TimeAmount) -> Int {
            let end = time + duration
            var changes = 0
            while time < end {
                time = time + step
                if scheduling.turned(now: { time }) { changes += 1 }
            }
            return changes
        }
    }

    @Test func `it is for a loop with many turns, and for no other`() {
        var loop = Loop()
        #expect(loop.run(for: .seconds(1), turnEvery: .microseconds(300)) == 0)
        #expect(!loop.scheduling.isOn)
        #expect(loop.run(for: .seconds(3), turnEvery: .microseconds(150)) == 1)
        #expect(loop.scheduling.isOn)
        #expect(loop.run(for: .seconds(1), turnEvery: .microseconds(300)) == 1)
        #expect(!loop.scheduling.isOn)
    }

    @Test func `one wait for a slice does not end it`() {
        var loop = Loop()
        _ = loop.run(for: .seconds(3), turnEvery: .microseconds(20))
        #expect(loop.run(for: .milliseconds(6), turnEvery: .milliseconds(6)) == 0)
        #expect(loop.run(for: .seconds(1), turnEvery: .microseconds(20)) == 0)
        #expect(loop.scheduling.isOn)
    }

    @Test func `it begins at once again after it was on for long`() {
        var loop = Loop()
        _ = loop.run(for: .seconds(3), turnEvery: .microseconds(20))
        _ = loop.run(for: .milliseconds(300), turnEvery: .milliseconds(1))
        #expect(!loop.scheduling.isOn)
        _ = loop.run(for: .milliseconds(60), turnEvery: .microseconds(20))
        #expect(loop.scheduling.isOn)
    }

    @Test func `who computes on the core makes it wait 16 turns, and the next time no sooner than twice as late, up to a minute`() {
        var loop = Loop()
        for pause in [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 60_000, 60_000] {
            let began = loop.time
            // Otherwise it has as many turns as ever.
            while !loop.scheduling.isOn { _ = loop.run(for: .milliseconds(1), turnEvery: .microseconds(20)) }
            #expect(.milliseconds(Int64(pause)) ... .milliseconds(Int64(pause)) + BatchScheduling.window * 3 ~= loop.time - began)
            // It waits for others' slices.
            let turned = loop.time
            while loop.scheduling.isOn { _ = loop.run(for: .milliseconds(2), turnEvery: .milliseconds(2)) }
            #expect(loop.time - turned <= .milliseconds(2) * 2 * BatchScheduling.turnsPerLook + BatchScheduling.window)
        }
    }

    @Test func `a busy loop of several is scheduled so by the kernel, one that is alone is not`() async throws {
        for isOneOfMany in [true, false] {
            let loop = SocketLoop(isOneOfMany: isOneOfMany)
            let policy = try await Self.policy(of: loop, turnsMax: isOneOfMany ? 50_000_000 : 200_000)
            #expect(policy == (isOneOfMany ? 3 : 0))
            try await loop.shutdownGracefully()
        }
    }

    /// Has the loop turn until it is scheduled in another way, or so often.
    private static func policy(of loop: SocketLoop, turnsMax: Int) async throws -> CInt {
        let found = loop.makePromise(of: CInt.self)
        @Sendable func turn(_ left: Int) {
            let policy = sched_getscheduler(0)
            if policy != 0 || left == 0 { found.succeed(policy) } else { loop.execute { turn(left - 1) } }
        }
        loop.execute { turn(turnsMax) }
        return try await found.futureResult.get()
    }
}
