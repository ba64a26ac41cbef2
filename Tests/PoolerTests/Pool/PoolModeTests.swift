import Pooler
import Testing

@Suite struct PoolModeTests {
    @Test func `modes are called as PgBouncer's users call them`() {
        #expect(PoolMode.allCases.map(\.rawValue) == ["session", "transaction", "statement"])
    }
}
