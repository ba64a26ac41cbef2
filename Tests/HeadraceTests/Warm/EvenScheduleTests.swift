import Testing

@testable import headrace

@Suite struct EvenScheduleTests {
    @Test func `each has its time, which what came before does not move`() {
        let schedule = EvenSchedule(rate: 4, start: 1_000)
        #expect(schedule.wait(before: 0, now: 1_000) == 0)
        #expect(schedule.wait(before: 1, now: 1_000) == 250_000_000)
        #expect(schedule.wait(before: 4, now: 500_001_000) == 500_000_000)
        // Behind the schedule nothing waits until it is caught up with.
        #expect(schedule.wait(before: 4, now: 3_000_001_000) == 0)
        #expect(EvenSchedule(rate: nil, start: 1_000).wait(before: 1_000_000, now: 0) == 0)
        #expect(EvenSchedule(rate: 0.001, start: .max - 1).wait(before: .max, now: .max) == 0, "nothing overflows")
    }
}
