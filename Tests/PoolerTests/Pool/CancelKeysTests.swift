import Testing

@testable import Pooler

@Suite struct CancelKeysTests {
    @Test func `a key finds its client, and only with its secret, and only as long as it is there`() {
        let keys = CancelKeys()
        let first = keys.issue(to: .init(loop: 0, client: 1), secret: 11)
        let second = keys.issue(to: .init(loop: 1, client: 2), secret: 22)
        #expect(first.processID != second.processID)
        #expect(keys.find(second) == .init(loop: 1, client: 2))
        #expect(keys.find(.init(processID: second.processID, secret: 11)) == nil)
        keys.withdraw(first)
        #expect(keys.find(first) == nil)
        // The next one may have its number, which the old secret does not open.
        let third = keys.issue(to: .init(loop: 0, client: 3), secret: 33)
        #expect(keys.find(first) == nil && keys.find(third) == .init(loop: 0, client: 3) && keys.find(second) == .init(loop: 1, client: 2))
        for number in [0, 4, UInt32.max] { #expect(keys.find(.init(processID: number, secret: 33)) == nil) }
    }
}
