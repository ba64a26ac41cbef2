import Logging
import Telemetry

/// Fills a keyspace with what is on disk. Blocks; nobody else has the keyspace yet.
final class KeyspaceLoader {
    /// Entries that are stored together: where the table is read for each of them is read for all first, since each waits for memory, and they can
    /// wait together.
    private static let gatheredMax = 32

    private let keyspace: Keyspace
    private let logger: Logger
    private let call: Call
    private let now = WallClock.nanoseconds() / 1_000_000
    private var gathered: [SnapshotEntry] = []
    private var touched: UInt64 = 0

    private var configuration: KeyspaceConfiguration { keyspace.configuration }
    private var snapshotPath: String { "\(configuration.directory)/\(configuration.snapshotName)" }

    init(_ keyspace: Keyspace, _ logger: Logger) {
        (self.keyspace, self.logger) = (keyspace, logger)
        call = Call(keyspace: keyspace, session: ClientSession(internalOf: keyspace), counters: CallCounters())
        call.now = now
        call.mayBlock = false
        // Commands must not ask for locks that they then hold twice.
        call.holdsAll = true
        gathered.reserveCapacity(Self.gatheredMax)
    }

    func loadSnapshot() throws -> AppendLogDirectory.Recovery {
        let shards = keyspace.shards
        let found = try SnapshotFile.load(snapshotPath, databaseCount: configuration.databases, now: now) { database, keyCount in
            for shard in shards { shard[database].reserve(keyCount / shards.count) }
        } entry: { store($0) }
        storeGathered()
        for shard in shards {
            for database in 0..<configuration.databases { shard[database].giveBackReserve() }
        }
        publish()
        guard let found else { return AppendLogDirectory.Recovery() }
        logger.notice("\(found.entryCount) keys loaded from \(snapshotPath)")
        warn(found)
        return found
    }

    func loadLog(_ found: inout AppendLogDirectory.Recovery) throws -> AppendLogDirectory {
        let folder = "\(configuration.directory)/\(AppendLogDirectory.usualName)"
        switch try AppendLogDirectory.adoptPredecessor(
            directory: folder, prefix: AppendLogDirectory.usualPrefix,
            singleFile: "\(configuration.directory)/\(AppendLogDirectory.usualPrefix)", snapshot: snapshotPath)
        {
        case .none: break
        case .singleFile: logger.notice("the append log of one file was moved into \(folder)")
        case .snapshot: logger.notice("the append log begins with what \(snapshotPath) has")
        }
        // What has expired since is not gone for the commands that saw it: it goes when all have been replayed.
        call.now = 1
        let directory = try AppendLogDirectory(
            directory: folder, prefix: AppendLogDirectory.usualPrefix, databaseCount: configuration.databases,
            cutsTornTail: configuration.cutsTornTail, now: now, into: AppendLogDirectory.Target(entry: store, commands: run), recovery: &found)
        storeGathered()
        publish()
        logger.notice("\(found.entryCount) keys and \(found.commandCount) commands loaded from the append log")
        if found.cutByteCount > 0 { logger.warning("the append log ended within a command: its last \(found.cutByteCount) bytes were cut off") }
        warn(found)
        return directory
    }

    private func publish() {
        for database in 0..<configuration.databases { keyspace.publish(Keyspace.allShards, database) }
    }

    private func warn(_ found: AppendLogDirectory.Recovery) {
        if found.functionCount > 0 { logger.warning("\(found.functionCount) libraries of functions were left out: there are no functions here") }
        if found.fieldExpiryCount > 0 {
            logger.warning("\(found.fieldExpiryCount) fields of hashes had an expiry of their own, which was dropped: they stay with their key")
        }
    }

    /// - Returns: why an entry is not taken; `nil` when it is.
    private func store(_ entry: SnapshotEntry) -> String? {
        if entry.value.isEmptyCollection { return nil }
        gathered.append(entry)
        if gathered.count == Self.gatheredMax { storeGathered() }
        return nil
    }

    private func storeGathered() {
        for entry in gathered {
            entry.key.withUnsafeBytes { key in
                let key = Key(key)
                touched ^= call.shard(key)[entry.database].touch(key)
            }
        }
        for entry in gathered {
            call.database = entry.database
            entry.key.withUnsafeBytes {
                StoredValues.store(entry.value, at: Key($0), entry.expiry.map { .set($0) } ?? .clear, call)
            }
        }
        gathered.removeAll(keepingCapacity: true)
    }

    private func run(_ commands: [AppendLogReplay.Command]) -> String? {
        storeGathered()
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
}
