import Testing

@testable import Edge

@Suite struct OriginClockTests {
    /// A response each second, whose dates are so far ahead in turn.
    private func clock(_ ahead: [Int64], seconds: Range<Int64>) -> OriginClock {
        var clock = OriginClock()
        for second in seconds {
            #expect(clock.isDue(now: second))
            clock.answered(date: second + ahead[Int(second) % ahead.count], now: second)
            #expect(!clock.isDue(now: second), "one a second is enough")
        }
        return clock
    }

    @Test func `a clock that is off is found after a window, and dates of old responses are not taken for one`() {
        #expect(clock([-90], seconds: 1000..<1005).ahead(now: 1005) == nil)
        #expect(clock([-90], seconds: 1000..<1015).ahead(now: 1015) == -90)
        #expect(clock([-600, -45, 0, -3600], seconds: 1000..<1015).ahead(now: 1015) == 0)
        #expect(clock([30, 31], seconds: 1000..<1015).ahead(now: 1015) == 30)
    }

    @Test func `what was found long ago is not said of now`() {
        let clock = clock([7], seconds: 1000..<1015)
        #expect(clock.ahead(now: 1010 + OriginClock.keptSeconds) == 7)
        #expect(clock.ahead(now: 1016 + OriginClock.keptSeconds) == nil)
        #expect(clock.ahead(now: 900) == nil)
    }

    @Test func `no date overflows`() {
        var clock = OriginClock()
        for second in 0..<30 as Range<Int64> { clock.answered(date: second % 2 == 0 ? .min : .max, now: second) }
        _ = clock.ahead(now: 30)
    }

    @Test func `a window without traffic for long ends without a finding`() {
        var clock = OriginClock()
        clock.answered(date: 900, now: 1000)
        clock.answered(date: 2000, now: 2000)
        #expect(clock.ahead(now: 2000) == nil)
    }
}
