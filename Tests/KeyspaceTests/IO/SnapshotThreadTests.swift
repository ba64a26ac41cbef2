import Foundation
import TestSupport
import Testing

@testable import Keyspace

/// Who writes the pieces of a snapshot.
@Suite struct SnapshotThreadTests {
    /// `SCHED_IDLE` of sched.h, which has it only under _GNU_SOURCE.
    private static let idle: CInt = 5

    private struct Piece: Equatable {
        var thread = UInt64(pthread_self())
        var policy = sched_getscheduler(0)
    }

    @Test func `a thread writes them that has a core when nobody else wants it`() {
        let thread = SnapshotThread(longNanoseconds: .max)
        defer { thread.end() }
        let first = thread.run { Piece() }
        #expect(first.thread != Piece().thread && first.policy == Self.idle)
        for _ in 0..<20 { #expect(thread.run { Piece() } == first) }
    }

    /// One that has a core only when nobody else wants it holds up the end of its process, and who serves in its place.
    @Test func `it ends with its snapshot`() throws {
        let thread = SnapshotThread(longNanoseconds: .max)
        let path = try "/proc/" + thread.run { try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self") }
        #expect(FileManager.default.fileExists(atPath: path))
        thread.end()
        #expect(eventually { !FileManager.default.fileExists(atPath: path) })
    }

    @Test func `after one that took long whoever asks writes ten, after the next twice as many, and then that thread again`() {
        // Every one takes longer than that.
        let thread = SnapshotThread(longNanoseconds: 0)
        defer { thread.end() }
        let first = thread.run { Piece() }
        let own = Piece()
        #expect(first != own)
        for count in [10, 20, 40, 80, 160, 320, 640, 1280, 1280] {
            for _ in 0..<count { #expect(thread.run { Piece() } == own) }
            #expect(thread.run { Piece() } == first)
        }
    }
}
