import Glibc
import Synchronization
import Testing

@testable import Keyspace

/// Who makes the pieces of a snapshot.
@Suite struct SnapshotMakerTests {
    /// The thread that made it, in 8 bytes; and its priority.
    private static func piece(taking microseconds: UInt32 = 0) -> [UInt8] {
        usleep(microseconds)
        return withUnsafeBytes(of: UInt64(pthread_self())) { Array($0) } + [UInt8(clamping: getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0))]
    }

    @Test func `a thread that makes way for all others, and after a piece that took long whoever asks, for ten`() throws {
        let maker = SnapshotMaker()
        maker.start()
        let own = Self.piece().prefix(8)
        let first = try #require(maker.make { Self.piece() })
        #expect(first.prefix(8) != own && first.last == 19)
        #expect(maker.make { nil } == nil)
        _ = maker.make { Self.piece(taking: 60_000) }
        for _ in 0..<10 { #expect(maker.make { Self.piece() }?.prefix(8) == own) }
        #expect(maker.make { Self.piece() }?.prefix(8) == first.prefix(8))
    }
}
