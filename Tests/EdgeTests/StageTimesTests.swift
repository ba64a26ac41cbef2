import NIOCore
import Testing

@testable import Edge

@Suite struct StageTimesTests {
    private func at(_ microseconds: UInt64) -> NIODeadline { .uptimeNanoseconds(microseconds * 1000) }
    private func microseconds(_ times: StageTimes, end: NIODeadline?) -> [Int64] {
        StageTimes.Stage.allCases.map { times.nanoseconds($0, end: end) / 1000 }
    }

    @Test func `a hit is looked up and written, and nothing else`() {
        var times = StageTimes(started: at(100))
        times.entered(.write, now: at(109))
        #expect(times.isPlain)
        #expect(microseconds(times, end: at(112)) == [9, 0, 0, 0, 0, 3])
    }

    @Test func `an exchange is in one stage at a time, and all of them add up to the whole`() {
        var times = StageTimes(started: at(0))
        times.entered(.queue, now: at(10))
        times.entered(.connect, now: at(30))
        times.entered(.firstByte, now: at(130))
        // Closed early: once more.
        times.entered(.queue, now: at(200))
        times.entered(.firstByte, now: at(205))
        times.entered(.write, now: at(300))
        times.compressed(nanoseconds: 40_000)
        #expect(!times.isPlain)
        let all = microseconds(times, end: at(400))
        #expect(all == [10, 25, 100, 165, 40, 60])
        #expect(all.reduce(0, +) == 400)
    }

    @Test func `what lasts yet is counted where the end is known`() {
        var times = StageTimes(started: at(0))
        times.entered(.firstByte, now: at(10))
        #expect(microseconds(times, end: nil) == [10, 0, 0, 0, 0, 0])
        #expect(microseconds(times, end: at(15)) == [10, 0, 0, 5, 0, 0])
    }

    @Test func `a stamp that is older than the last takes nothing away`() {
        var times = StageTimes(started: at(50))
        times.entered(.queue, now: at(60))
        times.entered(.firstByte, now: at(50))
        times.entered(.write, now: at(90))
        #expect(microseconds(times, end: at(80)) == [10, 0, 0, 30, 0, 0])
    }
}
