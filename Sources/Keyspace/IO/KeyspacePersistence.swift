import Logging
import NIOPosix
import Synchronization
import Telemetry

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What of the keyspace is on disk: a snapshot, or an append log; loaded at the start, written while clients are served.
///
/// Lock order: shards, then the log's. Snapshots and rewrites are written piece by piece from ``ShardSnapshot``s (see ``SnapshotWriter``).
final class KeyspacePersistence: Sendable {
    /// Why a background job was not begun. The texts are Redis'.
    enum Refusal: String {
        case busy = "ERR Background save already in progress"
        case rewriting = "ERR Background append only file rewriting already in progress"
        case off = "ERR this keyspace has no directory to save to"
    }

    /// Whether a snapshot is written at the end of the process: where there are save points, or as `SHUTDOWN SAVE` and `NOSAVE` say.
    enum LastSave { case withSavePoints, always, never }

    struct Status: Sendable {
        /// Seconds since 1970 of the last snapshot that succeeded, or of the start.
        var lastSave: Int64 = 0
        var lastSaveFailed = false
        var saveCount = 0
        var changesAtLastSave: UInt64 = 0
        var lastRewriteFailed = false
        /// Seconds since 1970 of the last attempts.
        var lastAttempt: Int64 = 0
        var lastRewriteAttempt: Int64 = 0
        /// Seconds that the last ones took; -1 before the first.
        var saveSeconds: Int64 = -1
        var rewriteSeconds: Int64 = -1
        var rewriteCount = 0
        var rewriteFailuresInARow = 0
        /// When the one under way began, in seconds since 1970; `nil` when none is.
        var began: Int64?
        /// What the last ones copied ahead of themselves, in bytes.
        var saveCopiedBytes = 0
        var rewriteCopiedBytes = 0
        /// At the start.
        var keysLoaded = 0
        var keysExpiredAtLoad = 0
    }

    /// How far the snapshot or rewrite is that is under way.
    struct Progress: Sendable {
        var keysDone = 0
        var keysTotal = 0
        /// Values that clients changed before they were reached: what is taken twice meanwhile.
        var copiedBytes = 0
    }

    /// Another process has the directory: two that write one log would destroy it.
    struct InUse: Error, CustomStringConvertible {
        let directory: String
        var description: String { "\(directory) is used by another process" }
    }

    /// Redis' own: a disk that refused is asked again after so long (`CONFIG_BGSAVE_RETRY_DELAY`), a rewrite that failed after a minute,
    /// for it writes as much each time; one that has a gap to mend sooner.
    private static let saveRetrySeconds: Int64 = 5
    private static let rewriteRetrySeconds: Int64 = 60
    private static let mendSeconds: Int64 = 10

    private let hasLog = Atomic(false)
    private let hasSnapshot = Atomic(false)
    /// Why the snapshot that is under way must end.
    private let interruption = Lock<SnapshotFailure?>(nil)
    private let log = Lock<AppendLogWriter?>(nil)
    private let statusBox = Lock(Status())
    private let isBusy = Lock(false)
    private let progressBox = Lock(Progress())
    /// Waits while ``snapshots`` writes.
    private let pool = NIOThreadPool(numberOfThreads: 1)
    let snapshots = SnapshotWriter()
    private let logger = Lock<Logger?>(nil)
    private let directoryLock = Lock<DirectoryLock?>(nil)
    /// A job was ended by a flush, through nobody's fault, or asked for within a transaction: it begins with the next tick.
    private let mustSaveAgain = Atomic(false)
    private let mustRewriteAgain = Atomic(false)
    private let lastSaveBox = Lock(LastSave.withSavePoints)

    var status: Status { statusBox.withLock { $0 } }
    var progress: Progress { isSaving ? progressBox.withLock { $0 } : Progress() }
    var isSaving: Bool { hasSnapshot.load(ordering: .relaxed) }
    /// Asked before every command that writes: one load.
    var isSnapshotting: Bool { hasSnapshot.load(ordering: .acquiring) }
    var isLogging: Bool { hasLog.load(ordering: .relaxed) }
    var writer: AppendLogWriter? { isLogging ? log.withLock { $0 } : nil }

    // MARK: Start and end

    /// Loads what is on disk and begins to log. Blocks; before any client is served.
    /// - Throws: when what is there cannot be read: nothing is changed then.
    func open(_ keyspace: Keyspace, _ logger: Logger) throws {
        self.logger.withLock { $0 = logger }
        let configuration = keyspace.configuration
        statusBox.withLock { $0.lastSave = WallClock.nanoseconds() / 1_000_000_000 }
        guard !configuration.directory.isEmpty else { return }
        try Disk.makeDirectory(configuration.directory)
        guard let lock = try DirectoryLock(configuration.directory) else { throw InUse(directory: configuration.directory) }
        directoryLock.withLock { $0 = lock }
        do { try load(keyspace, logger) } catch {
            directoryLock.withLock { $0 = nil }
            throw error
        }
    }

    private func load(_ keyspace: Keyspace, _ logger: Logger) throws {
        pool.start()
        // A limit of the files' size is a disk that refuses: an error of the write, not the end of the process.
        signal(SIGXFSZ, SIG_IGN)
        let loader = KeyspaceLoader(keyspace, logger)
        guard keyspace.configuration.appendOnly else {
            let found = try loader.loadSnapshot()
            statusBox.withLock { ($0.keysLoaded, $0.keysExpiredAtLoad) = (found.entryCount, found.expiredCount) }
            return
        }
        var found = AppendLogDirectory.Recovery()
        let directory = try loader.loadLog(&found)
        statusBox.withLock { [found] in $0.keysLoaded = found.entryCount }
        let writer = AppendLogWriter(directory, policy: keyspace.configuration.fsync) { health in
            switch health {
            case .good: logger.notice("the append log is written again")
            case .retrying(let error): logger.error("the append log is not written: \(error)")
            case .broken(let error):
                logger.error("the append log has a gap until it is rewritten; the keyspace goes on in memory: \(error)")
            }
        }
        log.withLock { $0 = writer }
        hasLog.store(true, ordering: .relaxed)
    }

    /// The end: a last snapshot where there are save points, as Redis does at SIGTERM, and all of the log that waits.
    func close(_ keyspace: Keyspace) {
        let saves =
            switch lastSaveBox.withLock({ $0 }) {
            case .withSavePoints: keyspace.settings.values.withLock { !$0.savePoints.isEmpty }
            case .always: true
            case .never: false
            }
        if directoryLock.withLock({ $0 != nil }) {
            interrupt()
            while isBusy.withLock({ $0 }) { usleep(10_000) }
            func write(rewrites: Bool) {
                let done = Completion()
                if begin(keyspace, nil, rewrites: rewrites, isHurried: true, done: { done.finish($0) }) == nil { _ = done.wait() }
            }
            if let writer, writer.droppedByteCount > 0 { write(rewrites: true) }
            if saves, keyspace.changeCount > status.changesAtLastSave { write(rewrites: false) }
        }
        log.withLock { $0 }?.close()
        directoryLock.withLock { $0 = nil }
    }

    /// The process is about to end: what is under way shows an earlier instant than what will be written, and nobody waits for it. But a rewrite that
    /// mends a gap in the log.
    func interrupt() {
        if writer?.droppedByteCount ?? 0 == 0 { interruption.withLock { $0 = .closed } }
    }

    /// Begins with the next tick.
    func schedule(rewrites: Bool) {
        if rewrites { mustRewriteAgain.store(true, ordering: .relaxed) } else { mustSaveAgain.store(true, ordering: .relaxed) }
    }

    /// What `SHUTDOWN` wants of the end.
    func setLastSave(_ lastSave: LastSave) { lastSaveBox.withLock { $0 = lastSave } }

    /// Once a second: syncs the log, and begins what is due.
    func tick(_ keyspace: Keyspace) {
        writer?.tick()
        let now = WallClock.nanoseconds() / 1_000_000_000
        if mustBeginSave(keyspace, now: now) {
            let isScheduled = mustSaveAgain.exchange(false, ordering: .relaxed)
            if begin(keyspace, nil, rewrites: false, done: { _ in }) != nil, isScheduled { schedule(rewrites: false) }
        }
        if mustBeginRewrite(keyspace, now: now) {
            let isScheduled = mustRewriteAgain.exchange(false, ordering: .relaxed)
            if begin(keyspace, nil, rewrites: true, done: { _ in }) != nil, isScheduled { schedule(rewrites: true) }
        }
    }

    private func mustBeginSave(_ keyspace: Keyspace, now: Int64) -> Bool {
        if mustSaveAgain.load(ordering: .relaxed) { return true }
        let points = keyspace.settings.values.withLock { $0.savePoints }
        guard !points.isEmpty else { return false }
        let status = status
        if status.lastSaveFailed, now - status.lastAttempt < Self.saveRetrySeconds { return false }
        let changes = keyspace.changeCount &- status.changesAtLastSave
        return points.contains { changes >= UInt64($0.changes) && now - status.lastSave > Int64($0.seconds) } && changes > 0
    }

    private func mustBeginRewrite(_ keyspace: Keyspace, now: Int64) -> Bool {
        guard let writer else { return false }
        if mustRewriteAgain.load(ordering: .relaxed) { return true }
        let status = status
        // With a gap the log is worth nothing: as soon as the disk takes it again, it begins anew.
        if case .broken = writer.health { return now - status.lastRewriteAttempt >= Self.mendSeconds }
        if status.lastRewriteFailed, now - status.lastRewriteAttempt < Self.rewriteRetrySeconds { return false }
        let (percentage, bytesMin) = keyspace.settings.values.withLock { ($0.rewritePercentage, $0.rewriteBytesMin) }
        let size = writer.size
        guard percentage > 0, size.byteCount > bytesMin else { return false }
        return Double(size.byteCount) >= Double(max(size.rewrittenByteCount, 1)) * (1 + Double(percentage) / 100)
    }

    // MARK: The log

    /// Under `appendfsync always` waits until so much of the log is on disk. The event loop stands still for that time, as all of Redis
    /// does; what other loops append meanwhile goes with the next write.
    /// - Returns: `false` when the disk refused it: the client must not be told that its command is safe.
    func waitUntilSafe(_ position: UInt64) -> Bool {
        guard position > 0, let writer else { return true }
        switch writer.wait {
        case .nothing: return true
        case .room:
            writer.waitForRoom()
            return true
        case .safety:
            let done = Completion()
            writer.whenSafe(position) { done.finish($0) }
            return done.wait()
        }
    }

    /// Why a command that writes must be refused, as an error line.
    func refusal() -> String? { writer?.refusal() }

    /// A command was carried out; its shards are locked.
    func executed(_ call: Call) {
        guard let writer else { return }
        let database = call.database
        let commands = (call.rewritten ?? [call.arguments.map { [UInt8]($0) }]).map { AppendLogReplay.Command($0, database: database) }
        if call.holdsAll {
            call.effects += commands
        } else {
            // Several in a command's place belong together.
            call.logPosition = writer.appendTransaction(commands)
        }
    }

    /// A key went by itself: the log must say so, for another clock would let it live longer.
    func removed(_ key: UnsafeRawBufferPointer, database: Int, call: Call?) {
        guard let writer else { return }
        let words = [Array("DEL".utf8), [UInt8](key)]
        if let call, call.holdsAll {
            call.effects.append(AppendLogReplay.Command(words, database: database))
        } else {
            _ = writer.append(words, database: database)
        }
    }

    /// The locks are about to be released: what was done under them is one transaction.
    func groupEnded(_ call: Call) {
        guard !call.effects.isEmpty, let writer else { return }
        call.logPosition = writer.appendTransaction(call.effects)
        call.effects = []
    }

    // MARK: Snapshots

    /// A command that writes is about to run, with its keys' shards locked.
    func willRun(_ call: Call) {
        var places: ContiguousArray<Int> = []
        call.command.keyPlaces(call, &places)
        if places.isEmpty, call.command.locks == .all {
            // FLUSHALL, FLUSHDB, SWAPDB: from now on the databases are others.
            interruption.withLock { $0 = .flushed }
            return
        }
        // COPY and MOVE name a second database.
        let databases =
            call.command.name == "copy" || call.command.name == "move"
            ? 0..<call.keyspace.configuration.databases : call.database..<call.database + 1
        for place in places {
            let key = Key(call[place])
            let shard = call.shard(key)
            for database in databases {
                let copied = shard.snapshot?.willChange(key, database: database, in: shard) ?? 0
                if copied > 0 { progressBox.withLock { $0.copiedBytes += copied } }
            }
        }
    }

    /// `BGSAVE`, and `BGREWRITEAOF` where there is a log.
    /// - Parameters:
    ///   - isHurried: everybody waits for it: see ``SnapshotWriter``.
    ///   - done: called from another thread, with whether it succeeded.
    /// - Returns: why not.
    func begin(_ keyspace: Keyspace, _ call: Call?, rewrites: Bool, isHurried: Bool = false, done: @escaping @Sendable (Bool) -> Void) -> Refusal? {
        let configuration = keyspace.configuration
        guard !configuration.directory.isEmpty else { return .off }
        let writer = self.writer
        if rewrites, writer == nil { return .off }
        let isFree = isBusy.withLock { busy in
            defer { busy = true }
            return !busy
        }
        guard isFree else { return rewrites ? .rewriting : .busy }
        var isBegun = true
        var changes: UInt64 = 0
        func freeze() {
            if rewrites { isBegun = writer?.beginRewrite() ?? false }
            guard isBegun else { return }
            changes = keyspace.changeCount
            interruption.withLock { $0 = nil }
            var progress = Progress()
            for shard in keyspace.shards {
                shard.snapshot = ShardSnapshot(databaseCount: configuration.databases)
                for database in 0..<configuration.databases { progress.keysTotal += shard[database].count }
            }
            progressBox.withLock { [progress] in $0 = progress }
            hasSnapshot.store(true, ordering: .releasing)
        }
        if let call { keyspace.withAllShards(call, freeze) } else { keyspace.withShards(Keyspace.allShards, freeze) }
        guard isBegun else {
            isBusy.withLock { $0 = false }
            return .rewriting
        }
        let began = WallClock.nanoseconds() / 1_000_000_000
        statusBox.withLock {
            if rewrites { $0.lastRewriteAttempt = began } else { $0.lastAttempt = began }
            $0.began = began
        }
        let finished: @Sendable (SnapshotFailure?) -> Void = { [self, changes] failure in
            end(keyspace)
            report(failure, rewrites: rewrites)
            let failed = failure != nil
            let isDiskFailure = if case .disk = failure { true } else { false }
            let now = WallClock.nanoseconds() / 1_000_000_000
            let copiedBytes = progressBox.withLock { $0.copiedBytes }
            statusBox.withLock { status in
                status.began = nil
                if rewrites {
                    status.lastRewriteFailed = isDiskFailure
                    status.rewriteSeconds = now - began
                    status.rewriteCopiedBytes = copiedBytes
                    if !failed { status.rewriteCount += 1 }
                    status.rewriteFailuresInARow = status.lastRewriteFailed ? status.rewriteFailuresInARow + 1 : 0
                } else {
                    status.lastSaveFailed = isDiskFailure
                    status.saveSeconds = now - began
                    status.saveCopiedBytes = copiedBytes
                    if !failed {
                        status.lastSave = now
                        status.saveCount += 1
                        status.changesAtLastSave = changes
                    }
                }
            }
            isBusy.withLock { $0 = false }
            done(!failed)
        }
        let path = "\(configuration.directory)/\(configuration.snapshotName)"
        pool.submit { [self] _ in
            func write(to path: String, replacing: @Sendable () -> [String]) -> SnapshotFailure? {
                snapshots.write(
                    keyspace, to: path, isBase: rewrites, isHurried: isHurried, replacing: replacing, interruption: { interruption.withLock { $0 } },
                    wrote: { keyCount in progressBox.withLock { $0.keysDone += keyCount } })
            }
            if rewrites, let writer {
                writer.finishRewrite(write(to: writer.temporaryBasePath) { writer.replacedPaths }, done: finished)
            } else {
                finished(write(to: path + ".new") { [path] } ?? replace(path))
            }
        }
        return nil
    }

    private func report(_ failure: SnapshotFailure?, rewrites: Bool) {
        let logger = logger.withLock { $0 }
        let what = rewrites ? "the append log was not rewritten" : "the snapshot was not written"
        switch failure {
        case nil: break
        case .disk(let error): logger?.error("\(what): \(error)")
        case .flushed:
            schedule(rewrites: rewrites)
            logger?.notice("\(what): all keys of a database went meanwhile; it begins again")
        case .closed: logger?.notice("\(what): the process ends")
        }
    }

    private func replace(_ path: String) -> SnapshotFailure? {
        do throws(DiskError) { try Disk.move(path + ".new", to: path) } catch {
            try? Disk.remove(path + ".new")
            return .disk(error)
        }
        return nil
    }

    private func end(_ keyspace: Keyspace) {
        hasSnapshot.store(false, ordering: .releasing)
        for shard in keyspace.shards { shard.withLock { shard.snapshot = nil } }
    }
}
