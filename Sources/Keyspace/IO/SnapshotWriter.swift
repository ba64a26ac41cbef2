import Dispatch
import NIOCore
import Telemetry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Why a snapshot, or the base of a rewrite, did not come to be.
enum SnapshotFailure: Error, Equatable, Sendable {
    case disk(DiskError)
    /// All keys of a database went meanwhile: it would show neither before nor after.
    case flushed
    /// The process ends.
    case closed

    var diskError: DiskError {
        if case .disk(let error) = self { error } else { DiskError(operation: "finish", path: "the rewrite", number: ECANCELED) }
    }
}

/// Writes snapshots while clients are served, and holds up none of them for long.
///
/// The event loops take the keys, some between two of their turns: another thread would have the core from them as often, and could lose it, to anybody, with a
/// shard's lock. All else, most of the work, is done without a lock and when nobody else wants the core (``SnapshotThread``).
/// While snapshots are written over and over p99.9 of SET is 1.3 times that of quiet; by a thread like any other, with rests, 4.5 times.
final class SnapshotWriter: Sendable {
    /// Of who asks a loop. One that does not come to it is busy with a long command, or waits for this very snapshot.
    private static let waitMax = DispatchTimeInterval.milliseconds(20)
    private static let restMicroseconds: UInt32 = 50

    private let loops = Lock<[any EventLoop]>([])

    /// - Parameter loops: those of the keyspace; none any more before they end.
    func setLoops(_ loops: [any EventLoop]) { self.loops.withLock { $0 = loops } }

    /// Writes a file, whole and synced; or leaves none. Blocks.
    /// - Parameters:
    ///   - isBase: of an append log.
    ///   - isHurried: everybody waits for it: it is done at once and here.
    ///   - replacing: the files in whose place it will come: they leave the page cache a part at a time.
    ///   - interruption: why it must end.
    ///   - wrote: so many keys more.
    func write(
        _ keyspace: Keyspace, to path: String, isBase: Bool, isHurried: Bool, replacing: @Sendable () -> [String], interruption: () -> SnapshotFailure?,
        wrote: (Int) -> Void
    ) -> SnapshotFailure? {
        let failure = write(keyspace, to: path, isBase: isBase, isHurried: isHurried, interruption: interruption, wrote: wrote)
        if failure != nil {
            try? Disk.remove(path)
        } else if !isHurried {
            for path in replacing() where interruption() == nil { Disk.uncache(path) { usleep(Self.restMicroseconds) } }
        }
        return failure
    }

    private func write(
        _ keyspace: Keyspace, to path: String, isBase: Bool, isHurried: Bool, interruption: () -> SnapshotFailure?, wrote: (Int) -> Void
    ) -> SnapshotFailure? {
        do throws(DiskError) {
            let job = Lock(try SnapshotJob(of: keyspace, to: path, isBase: isBase))
            let take = { @Sendable in job.withLock { $0.take() } }
            let write = { @Sendable () throws(DiskError) in try job.withLock { (job) throws(DiskError) in try job.write() } }
            let thread = isHurried ? nil : SnapshotThread()
            defer { thread?.end() }
            var patience = SnapshotPatience()
            var turn = 0
            while !job.withLock({ $0.isDone }) {
                let loops = isHurried ? [] : loops.withLock { $0 }
                if !loops.isEmpty, patience.mayAsk() {
                    patience.asked(isLong: !Self.doAll(take, on: loops[turn % loops.count]))
                    turn += 1
                }
                while take() {}
                // What a flush came before of is no part of a snapshot.
                if let interruption = interruption() { return interruption }
                let count = if let thread { try thread.run(write) } else { try write() }
                wrote(count)
                job.withLock { $0.forgetWritten() }
            }
            try job.withLock { (job) throws(DiskError) in try job.sync() }
            return nil
        } catch { return .disk(error) }
    }

    /// Has a loop do something with others' turns in between until there is nothing more to do.
    /// - Returns: `false` when it does not come to it; it does nothing any more then.
    private static func doAll(_ some: @escaping @Sendable () -> Bool, on loop: any EventLoop) -> Bool {
        let isLoops = Lock(true)
        let isDone = DispatchSemaphore(value: 0)
        @Sendable func turn() {
            if isLoops.withLock({ $0 && some() }) { loop.execute(turn) } else { isDone.signal() }
        }
        loop.execute(turn)
        guard isDone.wait(timeout: .now() + waitMax) == .timedOut else { return true }
        isLoops.withLock { $0 = false }
        return false
    }
}
