import NIOCore
import Testing

@testable import Edge

@Suite struct RetryBudgetTests {
    private let t0 = NIODeadline.uptimeNanoseconds(1000 * 1_000_000_000)

    private func retry(share: Double, perSecond: Int) -> UpstreamGroup.Retry {
        var retry = UpstreamGroup.Retry()
        retry.budgetShare = share
        retry.budgetPerSecondMin = perSecond
        return retry
    }

    private func allowed(_ budget: inout RetryBudget, _ retry: UpstreamGroup.Retry, now: NIODeadline) -> Int {
        var count = 0
        while count < 10_000, budget.allowsRetry(retry, now: now) { count += 1 }
        return count
    }

    @Test func `a share of the requests may be sent again, and not one more`() {
        var budget = RetryBudget()
        for _ in 0..<1000 { budget.requested(now: t0) }
        #expect(allowed(&budget, retry(share: 0.2, perSecond: 0), now: t0) == 200)
    }

    @Test func `a few per second are allowed without any requests`() {
        var budget = RetryBudget()
        #expect(allowed(&budget, retry(share: 0, perSecond: 3), now: t0) == 3 * RetryBudget.secondsCount)
        #expect(allowed(&budget, retry(share: 0, perSecond: 0), now: t0) == 0)
    }

    @Test func `what was ten seconds ago counts no more`() {
        var budget = RetryBudget()
        for _ in 0..<100 { budget.requested(now: t0) }
        let half = retry(share: 0.5, perSecond: 0)
        #expect(allowed(&budget, half, now: t0 + .seconds(9)) == 50)
        #expect(allowed(&budget, half, now: t0 + .seconds(10)) == 0, "the requests are forgotten, the retries not yet")
        for _ in 0..<100 { budget.requested(now: t0 + .seconds(19)) }
        #expect(allowed(&budget, half, now: t0 + .seconds(19)) == 50)
    }

    @Test func `a pause of any length leaves nothing over`() {
        var budget = RetryBudget()
        for second in 0..<30 { budget.requested(now: t0 + .seconds(Int64(second))) }
        #expect(allowed(&budget, retry(share: 1, perSecond: 0), now: t0 + .hours(1000)) == 0)
    }
}
