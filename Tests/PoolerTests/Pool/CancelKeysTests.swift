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
    }
}
