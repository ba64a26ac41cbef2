import Logging
import Telemetry

/// Fills a keyspace with what is on disk. Blocks; nobody else has the keyspace yet.
final class KeyspaceLoader {
    /// A string that waits to be stored, and the hash of its key.
    private struct Gathered {
        var string: MappedString
        var hash: UInt64
    }

    /// Strings that are stored together: each waits for the memory of the table, and they can wait together.
    private static let gatheredMax = 64
    /// For those of them that are compressed in the file.
    private static let unpackedBytesMax = 256 << 10

    private let keyspace: Keyspace
    private let logger: Logger
    private let call: Call
    private let now = WallClock.nanoseconds() / 1_000_000
    private var gathered: [Gathered] = []
    private let unpacked = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: unpackedBytesMax)
    private var unpackedByteCount = 0

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

    deinit { unpacked.deallocate() }

    func loadSnapshot() throws -> AppendLogDirectory.Recovery {
        let found = try SnapshotFile.load(snapshotPath, databaseCount: configuration.databases, now: now, into: target)
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
            cutsTornTail: configuration.cutsTornTail, now: now, into: AppendLogDirectory.Target(base: target, commands: run), recovery: &found)
        publish()
        logger.notice("\(found.entryCount) keys and \(found.commandCount) commands loaded from the append log")
        if found.cutByteCount > 0 { logger.warning("the append log ended within a command: its last \(found.cutByteCount) bytes were cut off") }
        warn(found)
        return directory
    }

    private func publish() {
        for database in 0..<configuration.databases {
            for shard in keyspace.shards { shard[database].giveBackReserve() }
            keyspace.publish(Keyspace.allShards, database)
        }
    }

    private func warn(_ found: AppendLogDirectory.Recovery) {
        if found.functionCount > 0 { logger.warning("\(found.functionCount) libraries of functions were left out: there are no functions here") }
        if found.fieldExpiryCount > 0 {
            logger.warning("\(found.fieldExpiryCount) fields of hashes had an expiry of their own, which was dropped: they stay with their key")
        }
    }

    private var target: SnapshotFile.Target {
        SnapshotFile.Target(
            sizes: { [keyspace] database, keyCount in
                for shard in keyspace.shards { shard[database].reserve(keyCount / keyspace.shards.count) }
            }, string: gather, entry: store, end: storeGathered)
    }

    private func store(_ entry: SnapshotEntry) -> String? {
        if entry.value.isEmptyCollection { return nil }
        call.database = entry.database
        entry.key.withUnsafeBytes {
            StoredValues.store(entry.value, at: Key($0), entry.expiry.map { .set($0) } ?? .clear, call)
        }
        return nil
    }

    private func gather(_ string: MappedString) -> String? {
        var string = string
        if let count = string.unpackedCount {
            if count > unpacked.count - unpackedByteCount { storeGathered() }
            guard count <= unpacked.count else { return storeLarge(string) }
            let part = UnsafeMutableBufferPointer(rebasing: unpacked[unpackedByteCount..<unpackedByteCount + count])
            guard LZF.decompress(string.value, into: part) else { return Self.malformed }
            string.value = UnsafeRawBufferPointer(part)
            unpackedByteCount += count
        }
        let hash = KeyHash.hash(string.key)
        keyspace.shard(of: hash)[string.database].prefetchDirectory(hash)
        gathered.append(Gathered(string: string, hash: hash))
        if gathered.count == Self.gatheredMax { storeGathered() }
        return nil
    }

    private static let malformed = "a compressed string is malformed"

    private func storeLarge(_ string: MappedString) -> String? {
        guard let bytes = string.copiedValue else { return Self.malformed }
        return store(SnapshotEntry(database: string.database, key: [UInt8](string.key), value: .string(bytes), expiry: string.expiry))
    }

    private func storeGathered() {
        for entry in gathered { keyspace.shard(of: entry.hash)[entry.string.database].prefetchSegment(entry.hash) }
        for entry in gathered {
            call.database = entry.string.database
            call.setString(Key(entry.string.key, hash: entry.hash), entry.string.value, entry.string.expiry.map { .set($0) } ?? .clear)
        }
        gathered.removeAll(keepingCapacity: true)
        unpackedByteCount = 0
    }

    private func run(_ commands: [AppendLogReplay.Command]) -> String? {
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
