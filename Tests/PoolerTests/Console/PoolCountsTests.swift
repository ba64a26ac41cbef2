import Testing

@testable import Pooler

@Suite struct PoolCountsTests {
    @Test func `averages are those of the last period, per second or per transaction`() {
        var counts = PoolCounts()
        counts.add(1) {
            $0.transactions = 600
            $0.transactionTime = 1_200
            $0.bytesSent = 60_000
        }
        counts.periodEnded()
        #expect(counts.totals.count == 2)
        #expect(counts.averages[1].transactions == 10)
        #expect(counts.averages[1].transactionTime == 2)
        #expect(counts.averages[1].bytesSent == 1_000)
        #expect(counts.averages[0] == .init())
        counts.add(1) { $0.transactions += 60 }
        counts.periodEnded()
        #expect(counts.averages[1].transactions == 1)
        #expect(counts.averages[1].bytesSent == 0)
        #expect(counts.totals[1].transactions == 660)
    }

    @Test func `loops' figures are added, means are weighted`() {
        var one = PoolCounts.Counts()
        (one.transactions, one.transactionTime, one.queries) = (10, 100, 5)
        var other = PoolCounts.Counts()
        (other.transactions, other.transactionTime, other.queries) = (30, 20, 7)
        var totals = one
        totals.merge(other, areAverages: false)
        #expect([totals.transactions, totals.transactionTime, totals.queries] == [40, 120, 12])
        var averages = one
        averages.merge(other, areAverages: true)
        #expect([averages.transactions, averages.transactionTime, averages.queries] == [40, 40, 12])
    }
}
