import NIOCore
import Testing

@testable import Edge

@Suite struct DeadlineSweepTests {
    private final class Holder: DeadlineHolder {
        let deadline: NIODeadline
        var sweepPosition = -1

        init(_ seconds: UInt64) { deadline = .uptimeNanoseconds(seconds * 1_000_000_000) }

        func deadlinePassed(now: NIODeadline) {}
        func drainBegan(now: NIODeadline) {}
    }

    @Test func `those whose deadline has passed are overdue, and no others`() {
        var sweep = DeadlineSweep()
        let holders = (1...5).map { Holder($0) }
        for holder in holders { sweep.add(holder) }
        #expect(sweep.overdue(now: .uptimeNanoseconds(3_000_000_000)).count == 3)
        #expect(sweep.overdue(now: .uptimeNanoseconds(2_999_999_999)).count == 2)
    }

    @Test func `removing one, in any order and twice, leaves the others`() {
        for first in 0..<4 {
            for second in 0..<4 {
                var sweep = DeadlineSweep()
                let holders = (0..<4).map { Holder(UInt64($0)) }
                for holder in holders { sweep.add(holder) }
                sweep.remove(holders[first])
                sweep.remove(holders[first])
                sweep.remove(holders[second])
                let left = holders.indices.filter { $0 != first && $0 != second }
                #expect(sweep.count == left.count)
                for index in left { #expect(sweep.all[holders[index].sweepPosition] === holders[index]) }
            }
        }
    }
}
