import Keyspace
import Testing

@Suite struct SnapshotValueTests {
    @Test func `values of different types differ`() {
        #expect(SnapshotValue.list([[1]]) != .set([[1]]))
    }
}
