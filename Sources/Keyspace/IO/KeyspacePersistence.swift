import NIOPosix
import Synchronization
import Telemetry

/// What of the keyspace is on disk: a snapshot, or an append log; loaded at the start, written while clients are served.
///
/// Lock order: shards, then the log's. Snapshots and rewrites are written on a thread of their own, piece by piece from
/// ``ShardSnapshot``s; of a shard's time they take a few hundred keys' worth at once.
final class KeyspacePersistence: Sendable {
    /// Why a background job was not begun. The texts are Redis'.
    enum Refusal: String {
        case busy = "ERR Background save already in progress"
        case rewriting = "ERR Background append only file rewriting already in progress"
        case off = "ERR this keyspace has no directory to save to"
    }

    struct Status: Sendable {
        /// Seconds since 1970 of the last snapshot that succeeded, or of the start.
        var lastSave: Int64 = 0
        var lastSaveFailed = false
        var saveCount = 0
        var changesAtLastSave: UInt64 = 0
        var lastRewriteFailed = false
    }

    /// Keys taken from a shard under one holding of its lock: some 100 µs of small ones.
    private static let pieceCount = 256
    /// Bytes that are gathered before they are written.
    private static let pieceBytes = 1 << 20

    private let hasLog = Atomic(false)
    private let hasSnapshot = Atomic(false)
    /// A flush came in between: the snapshot would show neither before nor after.
    private let isAborted = Atomic(false)
    private let log = Lock<AppendLogWriter?>(nil)
    private let statusBox = Lock(Status())
    private let isBusy = Lock(false)
    /// Effects of the transaction or script that holds all shards.
    private let group = Lock<[AppendLogReplay.Command]>([])
    private let pool = NIOThreadPool(numberOfThreads: 1)

    var status: Status { statusBox.withLock { $0 } }
    var isSaving: Bool { hasSnapshot.load(ordering: .relaxed) }
    /// Asked before every command that writes: one load.
    var isSnapshotting: Bool { hasSnapshot.load(ordering: .acquiring) }
    var isLogging: Bool { hasLog.load(ordering: .relaxed) }
    var writer: AppendLogWriter? { isLogging ? log.withLock { $0 } : nil }

    // MARK: Start and end

    /// Loads what is on disk and begins to log. Blocks; before any client is served.
    /// - Returns: lines for the log.
    /// - Throws: when what is there cannot be read: nothing is changed then.
    func open(_ keyspace: Keyspace, _ healthChanged: @escaping @Sendable (AppendLogWriter.Health) -> Void) throws -> [String] {
        let configuration = keyspace.configuration
        statusBox.withLock { $0.lastSave = WallClock.nanoseconds() / 1_000_000_000 }
        guard !configuration.directory.isEmpty else { return [] }
        pool.start()
        let now = WallClock.nanoseconds() / 1_000_000
        let record = ClientRecord(id: 0, address: "", localAddress: "", created: 0, port: nil)
        let call = Call(
            keyspace: keyspace, session: ClientSession(id: 0, record: record, isAuthenticated: true), counters: CallCounters())
        call.now = now
        call.mayBlock = false
        // Nobody else is there yet; commands must not ask for locks that they then hold twice.
        call.holdsAll = true
        func store(_ entry: SnapshotEntry) -> String? {
            if entry.value.isEmptyCollection { return nil }
            call.database = entry.database
            entry.key.withUnsafeBytes {
                StoredValues.store(entry.value, at: Key($0), entry.expiry.map { .set($0) } ?? .clear, call)
            }
            return nil
        }
        func run(_ commands: [AppendLogReplay.Command]) -> String? {
            for command in commands {
                let words = command.words
                call.session.database = command.database
                call.database = command.database
                call.out.clear()
                guard let name = words.first, name.withUnsafeBytes({ CommandTable.shared.command($0) }) != nil else {
                    return "unknown command \(String(decoding: words.first ?? [], as: UTF8.self))"
                }
                call.run(words)
                if call.out.bytes.first == UInt8(ascii: "-") { return String(decoding: call.out.bytes.dropFirst(), as: UTF8.self) }
            }
            return nil
        }
        var lines: [String] = []
        guard configuration.appendOnly else {
            let path = "\(configuration.directory)/\(configuration.snapshotName)"
            if let found = try SnapshotFile.load(path, databaseCount: configuration.databases, now: now, entry: store) {
                lines.append("\(found.entryCount) keys loaded from \(path)")
                lines += Self.warnings(found)
            }
            for database in 0..<configuration.databases { keyspace.publish(Keyspace.allShards, database) }
            return lines
        }
        // What has expired since is not gone for the commands that saw it: it goes when all have been replayed.
        call.now = 1
        var recovery = AppendLogDirectory.Recovery()
        let directory = try AppendLogDirectory(
            directory: "\(configuration.directory)/appendonlydir", prefix: "appendonly.aof", databaseCount: configuration.databases, now: now,
            into: AppendLogDirectory.Target(entry: store, commands: run), recovery: &recovery)
        for database in 0..<configuration.databases { keyspace.publish(Keyspace.allShards, database) }
        lines.append("\(recovery.entryCount) keys and \(recovery.commandCount) commands loaded from the append log")
        if recovery.cutByteCount > 0 { lines.append("the append log ended within a command: \(recovery.cutByteCount) bytes were cut off") }
        lines += Self.warnings(recovery)
        let writer = AppendLogWriter(directory, policy: configuration.fsync, healthChanged: healthChanged)
        log.withLock { $0 = writer }
        hasLog.store(true, ordering: .relaxed)
        return lines
    }

    private static func warnings(_ recovery: AppendLogDirectory.Recovery) -> [String] {
        var lines: [String] = []
        if recovery.functionCount > 0 { lines.append("\(recovery.functionCount) libraries of functions were left out: there are no functions here") }
        if recovery.fieldExpiryCount > 0 {
            lines.append("\(recovery.fieldExpiryCount) fields of hashes had an expiry of their own, which was dropped: they stay with their key")
        }
        return lines
    }

    /// Writes all that waits.
    func close() {
        guard let writer = log.withLock({ $0 }) else { return }
        writer.close()
    }

    /// Once a second.
    func tick() { writer?.tick() }

    // MARK: The log

    /// Under `appendfsync always` waits until so much of the log is on disk. The event loop stands still for that time, as all of Redis
    /// does; what other loops append meanwhile goes with the next write.
    /// - Returns: `false` when the disk refused it: the client must not be told that its command is safe.
    func waitUntilSafe(_ position: UInt64) -> Bool {
        guard position > 0, let writer, writer.policy == .always else { return true }
        let done = Completion()
        writer.whenSafe(position) { done.finish($0) }
        return done.wait()
    }

    /// Why a command that writes must be refused, as an error line.
    func refusal() -> String? { writer?.refusal() }

    /// A command was carried out; its shards are locked.
    func executed(_ call: Call) {
        guard let writer else { return }
        let database = call.database
        let commands = (call.rewritten ?? [call.arguments.map { [UInt8]($0) }]).map { AppendLogReplay.Command($0, database: database) }
        if call.holdsAll {
            group.withLock { $0 += commands }
        } else {
            // Several in a command's place belong together.
            call.logPosition = writer.appendTransaction(commands)
        }
    }

    /// A key went by itself: the log must say so, for another clock would let it live longer.
    func removed(_ key: UnsafeRawBufferPointer, database: Int, call: Call?) {
        guard let writer else { return }
        let words = [Array("DEL".utf8), [UInt8](key)]
        if call?.holdsAll == true {
            group.withLock { $0.append(AppendLogReplay.Command(words, database: database)) }
        } else {
            _ = writer.append(words, database: database)
        }
    }

    /// All shards are about to be released: what was done under them is one transaction.
    func groupEnded(_ call: Call) {
        guard let writer else { return }
        let effects = group.withLock { group in
            defer { group = [] }
            return group
        }
        guard !effects.isEmpty else { return }
        call.logPosition = writer.appendTransaction(effects)
    }

    // MARK: Snapshots

    /// A command that writes is about to run, with its keys' shards locked.
    func willRun(_ call: Call) {
        if call.command.locks == .all {
            // FLUSHALL, SWAPDB: from now on the databases are others.
            isAborted.store(true, ordering: .relaxed)
            return
        }
        var places: ContiguousArray<Int> = []
        call.command.keyPlaces(call, &places)
        // COPY and MOVE name a second database.
        let databases =
            call.command.name == "copy" || call.command.name == "move"
            ? 0..<call.keyspace.configuration.databases : call.database..<call.database + 1
        for place in places {
            let key = Key(call[place])
            let shard = call.shard(key)
            for database in databases { shard.snapshot?.willChange(key, database: database, in: shard) }
        }
    }

    /// `BGSAVE`, and `BGREWRITEAOF` where there is a log.
    /// - Parameter done: called from another thread, with whether it succeeded.
    /// - Returns: why not.
    func begin(_ keyspace: Keyspace, _ call: Call?, rewrites: Bool, done: @escaping @Sendable (Bool) -> Void) -> Refusal? {
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
        func freeze() {
            if rewrites { isBegun = writer?.beginRewrite() ?? false }
            guard isBegun else { return }
            isAborted.store(false, ordering: .relaxed)
            for shard in keyspace.shards { shard.snapshot = ShardSnapshot(databaseCount: configuration.databases) }
            hasSnapshot.store(true, ordering: .releasing)
        }
        if let call { keyspace.withAllShards(call, freeze) } else { keyspace.withShards(Keyspace.allShards, freeze) }
        guard isBegun else {
            isBusy.withLock { $0 = false }
            return .rewriting
        }
        let changes = keyspace.changeCount
        let source = Lock(Source(rewrites: rewrites))
        let finished: @Sendable (DiskError?) -> Void = { [self] failure in
            end(keyspace)
            let failed = failure != nil || isAborted.load(ordering: .relaxed)
            statusBox.withLock { status in
                if rewrites {
                    status.lastRewriteFailed = failed
                } else {
                    status.lastSaveFailed = failed
                    if !failed {
                        status.lastSave = WallClock.nanoseconds() / 1_000_000_000
                        status.saveCount += 1
                        status.changesAtLastSave = changes
                    }
                }
            }
            isBusy.withLock { $0 = false }
            done(!failed)
        }
        let next: @Sendable () -> [UInt8]? = { [self] in source.withLock { piece(keyspace, &$0) } }
        if rewrites, let writer {
            writer.writeBase(isAborted: { [self] in isAborted.load(ordering: .relaxed) }, next: next, done: finished)
        } else {
            let path = "\(configuration.directory)/\(configuration.snapshotName)"
            pool.submit { [self] _ in finished(write(path, next)) }
        }
        return nil
    }

    private func write(_ path: String, _ next: () -> [UInt8]?) -> DiskError? {
        do throws(DiskError) {
            var file = try SnapshotFile(path: path)
            while let piece = next() { try file.append(piece) }
            if !isAborted.load(ordering: .relaxed) { try file.finish() }
            return nil
        } catch { return error }
    }

    /// Where a snapshot is while it is written.
    private struct Source: Sendable {
        var shard = 0
        var rdb: RDBWriter?

        init(rewrites: Bool) {
            rdb = RDBWriter(auxiliary: [("redis-ver", "7.2.0"), ("redis-bits", "64"), ("aof-base", rewrites ? "1" : "0")])
        }
    }

    /// The next bytes; `nil` at the end.
    private func piece(_ keyspace: Keyspace, _ source: inout Source) -> [UInt8]? {
        guard source.rdb != nil else { return nil }
        while source.shard < keyspace.shards.count, !isAborted.load(ordering: .relaxed) {
            let shard = keyspace.shards[source.shard]
            let (entries, isDone) = shard.lock.withLock { _ -> ([SnapshotEntry], Bool) in
                guard let entries = shard.snapshot?.proceed(shard, countMax: Self.pieceCount) else { return ([], true) }
                let isDone = shard.snapshot?.isDone ?? true
                if isDone { shard.snapshot = nil }
                return (entries, isDone)
            }
            for entry in entries { source.rdb?.write(entry) }
            if isDone { source.shard += 1 }
            if let count = source.rdb?.pendingByteCount, count >= Self.pieceBytes { return source.rdb?.takeBytes() }
        }
        return source.rdb.take()?.finish()
    }

    private func end(_ keyspace: Keyspace) {
        hasSnapshot.store(false, ordering: .releasing)
        for shard in keyspace.shards { shard.lock.withLock { _ in shard.snapshot = nil } }
    }
}
