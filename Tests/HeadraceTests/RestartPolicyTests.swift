import Testing

@testable import headrace

@Suite struct RestartPolicyTests {
    @Test func `a few ends in a row are answered at once, more by longer and longer pauses`() {
        var policy = RestartPolicy()
        let now = ContinuousClock.now
        let pauses = (0..<12).map { _ in policy.ended(now: now) }
        #expect(pauses.prefix(5).allSatisfy { $0 == .zero })
        #expect(Array(pauses.dropFirst(5)) == [100, 200, 400, 800, 1600, 2000, 2000].map { Duration.milliseconds($0) })
    }

    @Test func `one that has served for a while is answered at once again`() {
        var policy = RestartPolicy()
        let now = ContinuousClock.now
        for _ in 0..<8 { _ = policy.ended(now: now) }
        #expect(policy.ended(now: now + .seconds(5)) == .milliseconds(800))
        #expect(policy.ended(now: now + .seconds(15)) == .zero)
        #expect(policy.ended(now: now + .seconds(16)) == .milliseconds(100))
        #expect(policy.ended(now: now + .seconds(1000)) == .zero)
    }
}
