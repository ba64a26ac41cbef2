import Testing

@testable import LoadGenerator

@Suite struct WarmUpBlocksTests {
    private func end(_ medians: [UInt64?], blocksMax: Int = 5) -> WarmUpBlocks.Step? {
        var blocks = WarmUpBlocks(blocksMax: blocksMax)
        for (index, median) in medians.enumerated() {
            let step = blocks.blockEnded(median: median)
            if step != .goOn {
                #expect(index == medians.count - 1, "it ended too early")
                return step
            }
        }
        return nil
    }

    @Test func `two blocks that agree end it`() {
        #expect(end([9_000_000, 4_000_000, 2_000_000, 2_100_000]) == .begin(isSteady: true, blocks: 4))
        #expect(end([2_000_000, 2_000_000]) == .begin(isSteady: true, blocks: 2))
    }

    @Test func `a tenth is agreement, more is not`() {
        #expect(end([10_000_000, 10_900_000]) != nil)
        #expect(end([10_000_000, 11_200_000]) == nil)
    }

    @Test func `differences that no timer can tell are agreement`() {
        #expect(end([60_000, 100_000]) == .begin(isSteady: true, blocks: 2))
    }

    @Test func `blocks without a response agree with nothing, and the bound ends it`() {
        #expect(end([nil, nil, 5_000_000, nil, nil]) == .begin(isSteady: false, blocks: 5))
        #expect(end([1_000_000, 2_000_000, 4_000_000], blocksMax: 3) == .begin(isSteady: false, blocks: 3))
        #expect(end([1_000_000, 2_000_000, 4_000_000], blocksMax: 4) == nil)
    }
}
