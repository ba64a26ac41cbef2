import NIOCore
import Testing

@testable import Edge

@Suite struct MemberHealthTests {
    private let t0 = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private let policy = UpstreamGroup.PassiveHealth()

    private func failing(_ count: Int, _ health: MemberHealth = MemberHealth(), at now: NIODeadline) -> MemberHealth {
        var health = health
        for _ in 0..<count { _ = health.failed(policy, now: now) }
        return health
    }

    @Test func `so many failures in a row eject, one fewer does not`() {
        #expect(failing(policy.failuresMax - 1, at: t0).isAvailable(now: t0))
        #expect(!failing(policy.failuresMax, at: t0).isAvailable(now: t0))
    }

    @Test func `a success in between begins the count anew`() {
        var health = failing(policy.failuresMax - 1, at: t0)
        health.succeeded(policy, now: t0)
        #expect(failing(policy.failuresMax - 1, health, at: t0).isAvailable(now: t0))
    }

    @Test func `an ejection ends at its time, not before`() {
        var health = failing(policy.failuresMax, at: t0)
        #expect(health.timePassed(now: t0 + policy.ejection - .nanoseconds(1)) == .none)
        #expect(!health.isAvailable(now: t0 + policy.ejection - .nanoseconds(1)))
        #expect(health.timePassed(now: t0 + policy.ejection) == .returned)
        #expect(health.isAvailable(now: t0 + policy.ejection))
        #expect(health.timePassed(now: t0 + policy.ejection) == .none, "it returns once")
    }

    @Test func `who is back is ejected by one failure, each time for twice as long, up to the maximum`() {
        var health = failing(policy.failuresMax, at: t0)
        var now = t0
        var time = policy.ejection.nanoseconds
        for round in 0..<70 {
            now = now + .nanoseconds(time)
            #expect(health.timePassed(now: now) == .returned, "round \(round)")
            #expect(health.failed(policy, now: now) == .left)
            time = min(time * 2, policy.ejectionMax.nanoseconds)
            #expect(!health.isAvailable(now: now + .nanoseconds(time - 1)) && !health.isEjected(now: now + .nanoseconds(time)))
        }
        #expect(health.ejections == 71)
    }

    @Test func `so many successes make it trusted again, and the next ejection as short as the first`() {
        var health = failing(policy.failuresMax, at: t0)
        var now = t0 + policy.ejection
        _ = health.timePassed(now: now)
        _ = health.failed(policy, now: now)
        now = now + policy.ejection + policy.ejection
        _ = health.timePassed(now: now)
        for _ in 0..<policy.successesMin { health.succeeded(policy, now: now) }
        #expect(health.failed(policy, now: now) == .none, "one failure of a trusted member is nothing")
        health = failing(policy.failuresMax - 1, health, at: now)
        #expect(!health.isAvailable(now: now) && !health.isEjected(now: now + policy.ejection))
    }

    @Test func `one success fewer does not`() {
        var health = failing(policy.failuresMax, at: t0)
        let now = t0 + policy.ejection
        _ = health.timePassed(now: now)
        for _ in 1..<policy.successesMin { health.succeeded(policy, now: now) }
        #expect(health.failed(policy, now: now) == .left)
    }

    @Test func `failures of requests that were under way when it was ejected do not make it longer`() {
        let health = failing(policy.failuresMax + 20, at: t0)
        #expect(!health.isEjected(now: t0 + policy.ejection) && health.ejections == 1)
    }

    @Test func `what is switched off ejects nobody`() {
        var off = policy
        off.isEnabled = false
        var health = MemberHealth()
        for _ in 0..<100 { #expect(health.failed(off, now: t0) == .none) }
        #expect(health.isAvailable(now: t0))
    }

    @Test func `probes call down after so many bad ones in a row, and up after so many good ones`() {
        let check = UpstreamGroup.HealthCheck()
        var health = MemberHealth()
        for _ in 1..<check.fall { #expect(health.probed(isGood: false, check) == .none) }
        #expect(health.probed(isGood: true, check) == .none, "a good one between them begins the count anew")
        for _ in 1..<check.fall { #expect(health.probed(isGood: false, check) == .none) }
        #expect(health.probed(isGood: false, check) == .left && !health.isAvailable(now: t0))
        for _ in 1..<check.rise { #expect(health.probed(isGood: true, check) == .none) }
        #expect(!health.isAvailable(now: t0))
        #expect(health.probed(isGood: true, check) == .returned && health.isAvailable(now: t0))
    }

    @Test func `when probes are made no more, what they said counts no more`() {
        let check = UpstreamGroup.HealthCheck()
        var health = MemberHealth()
        for _ in 0..<check.fall { _ = health.probed(isGood: false, check) }
        #expect(health.probesEnded() == .returned && health.isAvailable(now: t0))
        #expect(health.probesEnded() == .none)
    }
}
