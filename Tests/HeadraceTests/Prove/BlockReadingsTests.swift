import Testing

@testable import headrace

@Suite struct BlockReadingsTests {
    @Test func `each arm is divided by its own blocks, and keeps its place`() {
        var sums = BlockSums(armCount: 3)
        sums.add(BlockReadings(databaseSeconds: 2, transactions: 30), arm: 0)
        sums.add(BlockReadings(databaseSeconds: 4, transactions: 10), arm: 0)
        // The round that was cut short had this one only.
        sums.add(BlockReadings(databaseSeconds: 4, transactions: 10), arm: 2)
        let readings = sums.perRequest(10)
        #expect(readings.count == 3 && readings[1] == nil)
        #expect(readings[0] == BlockReadings(databaseSeconds: 0.3, transactions: 2))
        #expect(readings[2] == BlockReadings(databaseSeconds: 0.4, transactions: 1))
    }
}
