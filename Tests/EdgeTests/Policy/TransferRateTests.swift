import NIOCore
import Testing

@testable import Edge

@Suite struct TransferRateTests {
    private func rate(_ parts: [(count: Int, seconds: Int64, wasHeldUp: Bool)]) -> TransferRate {
        var rate = TransferRate(now: .uptimeNanoseconds(0))
        for part in parts { rate.received(part.count, wasHeldUp: part.wasHeldUp, now: .uptimeNanoseconds(0) + .seconds(part.seconds)) }
        return rate
    }

    @Test func `exactly the rate is enough, a byte less is not`() {
        #expect(!rate([(5000, 10, false)]).isBelow(500, grace: .seconds(9)))
        #expect(rate([(4999, 10, false)]).isBelow(500, grace: .seconds(9)))
    }

    @Test func `nothing is said before the grace is over`() {
        #expect(!rate([(1, 9, false)]).isBelow(500, grace: .seconds(9)))
        #expect(rate([(1, 10, false)]).isBelow(500, grace: .seconds(9)))
    }

    @Test func `time in which we did not read is not the peer's`() {
        #expect(!rate([(1000, 2, false), (1000, 1000, true), (1000, 1004, false)]).isBelow(500, grace: .seconds(1)))
        #expect(rate([(1000, 2, false), (1000, 1000, false)]).isBelow(500, grace: .seconds(1)))
    }

    @Test func `no rate is never too slow, and no number overflows`() {
        #expect(!rate([(0, 1_000_000, false)]).isBelow(0, grace: .zero))
        #expect(!rate([(.max, 1_000_000, false), (1, 1_000_001, false)]).isBelow(0, grace: .zero))
        #expect(rate([(1, 1_000_000, false)]).isBelow(.max, grace: .zero))
    }
}
