import Glibc
import Synchronization
import Testing

@testable import Keyspace

/// Who makes the pieces of a snapshot.
@Suite struct SnapshotMakerTests {
    /// The thread that made it, in 8 bytes; and its priority.
    private static func piece() -> [UInt8] {
        withUnsafeBytes(of: UInt64(pthread_self())) { Array($0) } + [UInt8(clamping: getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0))]
    }

    @Test func `a thread makes them that makes way for all others`() throws {
        let maker = SnapshotMaker(longNanoseconds: .max)
        maker.start()
        let first = try #require(maker.make { Self.piece() })
        #expect(first.prefix(8) != Self.piece().prefix(8) && first.last == 19)
        for _ in 0..<20 { #expect(maker.make { Self.piece() } == first) }
        #expect(maker.make { nil } == nil)
    }

    @Test func `after one that took long whoever asks makes ten, and then that thread again`() throws {
        // Every one takes longer than that.
        let maker = SnapshotMaker(longNanoseconds: 0)
        maker.start()
        let first = try #require(maker.make { Self.piece() })
        let own = Self.piece()
        for _ in 0..<10 { #expect(maker.make { Self.piece() } == own) }
        #expect(maker.make { Self.piece() } == first && first != own)
    }
}
