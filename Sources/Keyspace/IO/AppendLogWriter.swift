import NIOPosix
import Telemetry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Writes the append log from a thread of its own: no event loop waits for the disk.
///
/// A command is appended in memory, under a lock, in the order in which its shard applied it. The thread takes all that waits, writes it
/// with one call, and syncs it as the policy says; many commands share one sync. Under `always` a client's replies wait until
/// ``whenSafe(_:_:)`` calls back. Otherwise commands are gathered for a millisecond: what a killed process loses of it, and a second's
/// worth when the machine goes down under `everysec`; a disk that is slow makes both longer.
///
/// When the disk refuses, what waits is kept and tried again once a second. Under `always` writes are refused meanwhile, so that nothing
/// acknowledged is lost. Otherwise the keyspace is a cache that goes on in memory; when more waits than may, the log is
/// ``Health/broken``: it ends where the disk first refused, and only a rewrite, whose base has everything again, mends it. A disk that is slow, and does not
/// refuse, slows down who writes: ``waitForRoom()``.
final class AppendLogWriter: Sendable {
    /// How the log is.
    enum Health: Equatable, Sendable {
        case good
        /// The disk refuses; what waits is tried again.
        case retrying(DiskError)
        /// Commands are missing behind the end of the log.
        case broken(DiskError)
    }

    /// Of all files of the log.
    struct Size: Equatable, Sendable {
        var byteCount = 0
        /// After the last rewrite, or at the start.
        var rewrittenByteCount = 0
    }

    private struct State {
        var log: AppendLog
        var policy: FsyncPolicy
        var health = Health.good
        /// Bytes of the log, counted as `AppendLog.appendedCount`, that are on disk.
        var safeCount: UInt64 = 0
        /// Taken from the log, refused by the disk.
        var unwrittenByteCount = 0
        var isScheduled = false
        /// A second has passed: what `everysec` has written is to be synced.
        var isSyncDue = false
        /// When it was synced last for that reason, in nanoseconds.
        var synced = MonotonicClock.nanoseconds()
        var size = Size()
        var isRewriting = false
        /// One per thread that waits: the event loops, mostly.
        var waiters: [(count: UInt64, callback: @Sendable (Bool) -> Void)] = []
        var droppedByteCount: UInt64 = 0
        var isClosed = false

        var isFull: Bool { log.pendingByteCount + unwrittenByteCount >= log.pendingBytesMax }
    }

    /// Nobody waits, so commands are gathered: woken for each turn of an event loop, the writer took 11 µs and two switches of its core each time.
    private static let gatherMicroseconds: UInt32 = 1000
    /// After so long a sync is due without ``tick()``: the event loop from which that comes may be in a command that takes long.
    private static let tickMaxNanoseconds: UInt64 = 1_100_000_000

    private let state: Lock<State>
    /// Locked by the writer's thread while it writes, and by whoever asks for sizes.
    private let files: Lock<AppendLogFiles>
    private let pool = NIOThreadPool(numberOfThreads: 1)
    private let healthChanged: @Sendable (Health) -> Void
    /// Where a rewrite's base is to be written.
    let temporaryBasePath: String

    /// - Parameters:
    ///   - directory: opened and replayed.
    ///   - healthChanged: called when the disk begins to refuse, takes everything again, or too much was refused; from the writer's thread.
    init(
        _ directory: consuming AppendLogDirectory, policy: FsyncPolicy, pendingBytesMax: Int = 64 << 20,
        healthChanged: @escaping @Sendable (Health) -> Void
    ) {
        temporaryBasePath = directory.temporaryBasePath
        let opened = AppendLogFiles(directory: directory)
        let size = Size(byteCount: opened.directory.byteCount, rewrittenByteCount: opened.rewrittenByteCount)
        files = Lock(opened)
        state = Lock(State(log: AppendLog(pendingBytesMax: pendingBytesMax), policy: policy, size: size))
        self.healthChanged = healthChanged
        pool.start()
    }

    var health: Health { state.withLock { $0.health } }
    var policy: FsyncPolicy { state.withLock { $0.policy } }
    var isRewriting: Bool { state.withLock { $0.isRewriting } }
    /// Bytes of commands that are in no file and will be in none before the next rewrite.
    var droppedByteCount: UInt64 { state.withLock { $0.droppedByteCount } }
    var pendingByteCount: Int { state.withLock { $0.log.pendingByteCount + $0.unwrittenByteCount } }
    /// As the writer's thread left them: nobody waits for it to ask.
    var size: Size { state.withLock { $0.size } }

    func setPolicy(_ policy: FsyncPolicy) { state.withLock { $0.policy = policy } }

    /// Why a command that writes must be refused now, as an error line; `nil` when it need not be.
    func refusal() -> String? {
        state.withLock { state in
            guard state.policy == .always else { return nil }
            switch state.health {
            case .good: break
            // Broken under another policy.
            case .retrying(let error), .broken(let error): return "MISCONF Errors writing to the AOF file: \(error.description)"
            }
            // What has come behind a gap is worth nothing before the rewrite has mended that.
            guard state.droppedByteCount == 0 else { return "MISCONF Errors writing to the AOF file: commands are missing in it until it is rewritten" }
            return state.isFull ? "MISCONF Errors writing to the AOF file: the disk does not keep up" : nil
        }
    }

    /// Appends a command. Called with its shard locked, so that the log has the shard's order.
    /// - Returns: what to give to ``whenSafe(_:_:)``.
    func append(_ words: [[UInt8]], database: Int) -> UInt64 {
        appending { $0.append(words, database: database) }
    }

    func appendTransaction(_ commands: [AppendLogReplay.Command]) -> UInt64 {
        appending { $0.appendTransaction(commands) }
    }

    private func appending(_ body: (inout AppendLog) -> UInt64) -> UInt64 {
        let (count, mustSchedule) = state.withLock { state -> (UInt64, Bool) in
            let before = state.log.appendedCount
            let count = body(&state.log)
            if case .broken = state.health {
                state.droppedByteCount &+= count &- before
                _ = state.log.takeBatch()
                return (count, false)
            }
            defer { state.isScheduled = true }
            return (count, !state.isScheduled)
        }
        if mustSchedule { schedule() }
        return count
    }

    /// Calls back once so many bytes of the log are on disk, from the writer's thread; at once unless the policy is `always`. With
    /// `false` when the disk refuses them: they are tried again, but nobody may be told that they are safe.
    func whenSafe(_ count: UInt64, _ callback: @escaping @Sendable (Bool) -> Void) {
        let isSafe = state.withLock { state -> Bool? in
            if state.policy != .always { return true }
            // Behind a gap it is safe only once that is mended.
            if state.safeCount >= count { return state.droppedByteCount == 0 }
            // The writer has failed meanwhile, and whoever asks may be the event loop without whose tick it does not try again; or it has ended.
            guard state.health == .good, state.droppedByteCount == 0, !state.isClosed else { return false }
            state.waiters.append((count, callback))
            return nil
        }
        if let isSafe { callback(isSafe) }
    }

    /// What whoever has appended waits for before its client is answered.
    enum Wait { case nothing, safety, room }

    var wait: Wait { state.withLock { $0.policy == .always ? .safety : $0.isFull ? .room : .nothing } }

    /// Under another policy than `always` waits while more is in memory than may be, since the disk takes what was written before; a second at most, for what
    /// is read is to be answered, too. In that time each event loop adds what one turn brings.
    func waitForRoom() {
        for _ in 0..<1000 {
            guard wait == .room else { return }
            usleep(1000)
        }
    }

    /// To be called once a second: syncs what was written, and tries again what the disk refused.
    func tick() {
        let mustSchedule = state.withLock { state -> Bool in
            if case .broken = state.health { return false }
            state.isSyncDue = true
            defer { state.isScheduled = true }
            return !state.isScheduled
        }
        if mustSchedule { schedule() }
    }

    private func schedule() {
        pool.submit { [self] submitted in
            guard case .active = submitted else { return }
            if policy != .always { usleep(Self.gatherMicroseconds) }
            writeBatch()
        }
    }

    /// On the writer's thread: all that waits, in one write, synced if its time has come.
    private func writeBatch() {
        let taken = state.withLock { state -> (AppendLog.Batch, FsyncPolicy, UInt64, Bool)? in
            state.isScheduled = false
            // Asked for before it broke; nothing is behind the gap.
            if case .broken = state.health { return nil }
            let now = MonotonicClock.nanoseconds()
            let isSyncDue = state.isSyncDue || now &- state.synced > Self.tickMaxNanoseconds
            if isSyncDue { (state.isSyncDue, state.synced) = (false, now) }
            return (state.log.takeBatch(), state.policy, state.log.appendedCount, isSyncDue)
        }
        guard let (batch, policy, count, isSyncDue) = taken else { return }
        let (failure, unwrittenByteCount, size) = files.withLock { files -> (DiskError?, Int, Size) in
            var failure: DiskError?
            do throws(DiskError) { try files.write(batch, policy: policy, isSyncDue: isSyncDue) } catch { failure = error }
            return (failure, files.unwritten.byteCount, Self.size(files))
        }
        let (told, news, mustDrop) = state.withLock { state -> ([@Sendable (Bool) -> Void], Health?, Bool) in
            let before = state.health
            state.unwrittenByteCount = unwrittenByteCount
            state.size = size
            guard let failure else {
                state.health = .good
                state.safeCount = count
                // Of two event loops the one that appended last may have asked first.
                let safe = state.waiters.filter { $0.count <= count }.map(\.callback)
                state.waiters.removeAll { $0.count <= count }
                return (safe, before == .good ? nil : .good, false)
            }
            state.health = .retrying(failure)
            let refused = state.waiters.map(\.callback)
            state.waiters = []
            guard state.policy != .always, state.isFull else { return (refused, before == .good ? state.health : nil, false) }
            state.health = .broken(failure)
            state.droppedByteCount &+= UInt64(unwrittenByteCount + state.log.pendingByteCount)
            state.unwrittenByteCount = 0
            _ = state.log.takeBatch()
            return (refused, state.health, true)
        }
        if mustDrop { files.withLock { $0.drop() } }
        if let news { healthChanged(news) }
        for callback in told { callback(failure == nil) }
    }

    private static func size(_ files: borrowing AppendLogFiles) -> Size {
        Size(byteCount: files.directory.byteCount, rewrittenByteCount: files.rewrittenByteCount)
    }

    // MARK: Rewrite

    /// Begins a rewrite: what is appended from now on goes to a new increment. Called with all shards locked, at the instant that the
    /// base will show.
    /// - Returns: `false` when one is under way.
    func beginRewrite() -> Bool {
        state.withLock { state in
            guard !state.isRewriting else { return false }
            state.isRewriting = true
            // After a break the log begins anew here: the base has all that was dropped.
            if case .broken(let error) = state.health { state.health = .retrying(error) }
            state.log.beginFile()
            return true
        }
    }

    /// The files that go when the rewrite succeeds.
    var replacedPaths: [String] { files.withLock { $0.directory.replacedPaths } }

    /// The base is there, whole and synced, or will not be: the rewrite ends.
    /// - Parameters:
    ///   - failure: why there is no base.
    ///   - done: called from the writer's thread.
    func finishRewrite(_ failure: SnapshotFailure?, done: @escaping @Sendable (SnapshotFailure?) -> Void) {
        pool.submit { [self] submitted in
            guard case .active = submitted else { return done(failure ?? .closed) }
            var failure = failure
            if failure == nil {
                // The new increment must be there before the base takes the place of all that was before it.
                writeBatch()
                switch health {
                case .good: failure = attempt { (files) throws(DiskError) in try files.finishRewrite() }.map { .disk($0) }
                case .retrying(let error), .broken(let error): failure = .disk(error)
                }
                if failure != nil { try? Disk.remove(temporaryBasePath) }
            }
            endRewrite(failure)
            done(failure)
        }
    }

    private func attempt(_ body: (inout AppendLogFiles) throws(DiskError) -> Void) -> DiskError? {
        files.withLock { files -> DiskError? in
            do throws(DiskError) { try body(&files) } catch { return error }
            return nil
        }
    }

    private func endRewrite(_ failure: SnapshotFailure?) {
        let size = files.withLock { Self.size($0) }
        let mustDrop = state.withLock { state -> Bool in
            state.isRewriting = false
            state.size = size
            guard let failure else {
                state.droppedByteCount = 0
                return false
            }
            // The gap is still there: without its base the new increment means nothing.
            guard state.droppedByteCount > 0 else { return false }
            state.health = .broken(failure.diskError)
            // Nor what has come since and is not written yet: the next rewrite would have it written behind the gap.
            state.droppedByteCount &+= UInt64(state.log.pendingByteCount)
            _ = state.log.takeBatch()
            return true
        }
        if mustDrop { files.withLock { $0.drop() } }
    }

    /// Writes and syncs all that waits, and ends the thread.
    func close() {
        try? pool.syncShutdownGracefully()
        state.withLock { $0.isClosed = true }
        writeBatch()
        _ = attempt { (files) throws(DiskError) in try files.sync() }
    }
}
