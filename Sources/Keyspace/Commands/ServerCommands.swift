import RESPWire
import Telemetry

/// What operators and tools ask for.
/// - Source: redis.io/commands, "Server management".
enum ServerCommands {
    /// What we say that we are: the last Redis whose commands we have, short of hash-field expiry.
    static let redisVersion = "7.2.5"

    static let rows: [Command] = [
        .init(
            "info", -1, [.loading, .stale], .server, keys: .none, locks: .none, "1.0.0",
            "Returns information and statistics about the server.", InfoSections.info),
        .init(
            "config", -2, [.admin, .noscript, .loading, .stale], .server, keys: .none, locks: .none, "2.0.0",
            "A container for server configuration commands.", config),
        .init(
            "command", -1, [.loading, .stale], .server, keys: .none, locks: .none, "2.8.13",
            "Returns detailed information about all commands.", CommandCommand.command),
        .init(
            "dbsize", 1, [.readonly, .fast], .server, keys: .none, locks: .none, "1.0.0",
            "Returns the number of keys in the database.", dbsize),
        .init(
            "flushdb", -1, [.write], .server, keys: .none, locks: .all, "1.0.0",
            "Removes all keys from the current database."
        ) { call throws(CommandFailure) in
            try flush(call, call.database..<call.database + 1)
        },
        .init(
            "flushall", -1, [.write], .server, keys: .none, locks: .all, "1.0.0",
            "Removes all keys from all databases."
        ) { call throws(CommandFailure) in
            try flush(call, 0..<call.keyspace.configuration.databases)
        },
        .init("swapdb", 3, [.write, .fast], .server, keys: .none, locks: .all, "4.0.0", "Swaps two Redis databases.", swapdb),
        .init(
            "time", 1, [.loading, .stale, .fast], .server, keys: .none, locks: .none, "2.6.0",
            "Returns the server time.", time),
        .init(
            "memory", -2, [.readonly], .server, keys: .range(first: 2, last: 2, step: 1), "4.0.0",
            "A container for memory diagnostics commands.", memory),
        .init(
            "slowlog", -2, [.admin, .loading, .stale], .server, keys: .none, locks: .none, "2.2.12",
            "A container for slow log commands.", slowlog),
        .init(
            "latency", -2, [.admin, .noscript, .loading, .stale], .server, keys: .none, locks: .none, "2.8.13",
            "A container for latency diagnostics commands.", LatencyCommand.latency),
        .init(
            "monitor", 1, [.admin, .noscript, .loading, .stale], .server, keys: .none, locks: .none, "1.0.0",
            "Listens for all requests received by the server in real-time."
        ) { call in
            call.session.isMonitor = true
            call.out.ok()
        },
        .init(
            "role", 1, [.noscript, .loading, .stale, .fast], .server, keys: .none, locks: .none, "2.8.12",
            "Returns the replication role.", role),
        .init(
            "replicaof", 3, [.noAsyncLoading, .admin, .noscript, .stale], .server, keys: .none, locks: .none, "5.0.0",
            "Configures a server as replica of another, or promotes it to a master.", replicaof),
        .init(
            "debug", -2, [.admin, .noscript, .loading, .stale], .server, keys: .range(first: 2, last: 2, step: 1), "1.0.0",
            "A container for debugging commands.", debug),
        .init(
            "lolwut", -1, [.readonly, .fast], .server, keys: .none, locks: .none, "5.0.0",
            "Displays the version."
        ) { call throws(CommandFailure) in
            if call.count > 2, call.matches(1, "version") { _ = try call.integer(2) }
            call.out.verbatim("Headrace, Redis ver. \(redisVersion)\n")
        },
    ]

    static func help(_ call: Call, _ name: String, _ lines: [String]) {
        call.out.array(lines.count + 1)
        call.out.simple("\(name) <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
        for line in lines { call.out.simple(line) }
    }

    // MARK: CONFIG

    private static func config(_ call: Call) throws(CommandFailure) {
        switch (call.lowercased(1), call.count) {
        case ("get", 3...):
            let patterns = (2..<call.count).map { index in
                GlobPattern(UnsafeRawBufferPointer(rebasing: call[index][...]))
            }
            let found = ServerSettings.rows.filter { row in
                var name = row.name
                return name.withUTF8 { bytes in patterns.contains { $0.matches(UnsafeRawBufferPointer(bytes)) } }
            }
            call.out.map(found.count)
            for row in found {
                call.out.bulk(row.name)
                call.out.bulk(row.get(call.keyspace))
            }
        case ("set", 4...):
            guard call.count % 2 == 0 else { throw .err("wrong number of arguments for 'config|set' command") }
            var changes: [(row: ServerSettings.Row, value: String)] = []
            var names: Set<String> = []
            for index in stride(from: 2, to: call.count, by: 2) {
                let name = call.lowercased(index)
                guard let row = ServerSettings.rows.first(where: { $0.name == name }) else {
                    throw .err("Unknown option or number of arguments for CONFIG SET - '\(call.text(index))'")
                }
                guard names.insert(name).inserted else { throw .err("CONFIG SET failed (possibly related to argument '\(name)') - duplicate parameter") }
                guard row.set != nil else {
                    // What it is already may be said again: clients and provisioning scripts do.
                    if row.get(call.keyspace) == call.text(index + 1) { continue }
                    let kind = ["dir", "dbfilename"].contains(name) ? "protected" : "immutable"
                    throw .err("CONFIG SET failed (possibly related to argument '\(name)') - can't set \(kind) config")
                }
                changes.append((row, call.text(index + 1)))
            }
            if let (name, problem) = call.keyspace.settings.set(changes, call.keyspace, roomTime: call.holdsAll ? nil : call.roomTime) {
                throw .err("CONFIG SET failed (possibly related to argument '\(name)') - \(problem)")
            }
            call.out.ok()
        case ("resetstat", 2):
            call.keyspace.resetStatistics(call)
            call.out.ok()
        case ("rewrite", 2):
            guard let rewrite = call.keyspace.rewriteConfiguration else { throw .err("The server is running without a config file") }
            do {
                // The loop waits, as for SAVE: whoever is told OK finds it in the file.
                try rewrite(call.keyspace.currentConfiguration, call.keyspace.settings.changed.withLock { $0 })
            } catch {
                throw .err("Rewriting config file: \(error)")
            }
            call.out.ok()
        case ("help", 2): help(call, "CONFIG", ["GET <pattern>", "SET <directive> <value>", "RESETSTAT", "REWRITE"])
        default: throw Subcommands.misused(call)
        }
    }

    // MARK: Databases

    private static func dbsize(_ call: Call) throws(CommandFailure) {
        call.out.integer(call.keyspace.keyCount(call.database, call).keys)
    }

    private static func flush(_ call: Call, _ databases: Range<Int>) throws(CommandFailure) {
        guard call.count == 1 || call.count == 2 && (call.matches(1, "async") || call.matches(1, "sync")) else { throw .syntax }
        var taken: [Discarder.Keys] = []
        for shard in call.keyspace.shards {
            for database in databases {
                if !shard.watches.isEmpty {
                    shard.watches.changedAll(database: database) { key in
                        key.withUnsafeBytes { shard[database].find(Key($0)) != nil }
                    }
                }
                call.changes += shard[database].count
                taken.append(Discarder.Keys(shard.takeAll(database)))
            }
        }
        call.keyspace.discard(consume taken)
        // Told even when nothing was there: the append log must not bring back what a replica or a file still has.
        call.changes = max(call.changes, 1)
        call.keyspace.hub.flushed()
        call.out.ok()
    }

    private static func swapdb(_ call: Call) throws(CommandFailure) {
        guard let first = DecimalText.parse(call[1]) else { throw .err("invalid first DB index") }
        guard let second = DecimalText.parse(call[2]) else { throw .err("invalid second DB index") }
        let count = Int64(call.keyspace.configuration.databases)
        guard (0..<count).contains(first), (0..<count).contains(second) else { throw .err("DB index is out of range") }
        for shard in call.keyspace.shards where first != second {
            for database in [Int(first), Int(second)] {
                // A key that neither has is as it was.
                shard.watches.changedAll(database: database) { key in
                    key.withUnsafeBytes { shard[Int(first)].find(Key($0)) != nil || shard[Int(second)].find(Key($0)) != nil }
                }
                for waiter in shard.waiters.all { for key in waiter.keys where key.database == database { call.readyKeys.append(key) } }
            }
            shard.swap(Int(first), Int(second))
        }
        call.changes += 1
        call.out.ok()
    }

    private static func time(_ call: Call) throws(CommandFailure) {
        let microseconds = WallClock.nanoseconds() / 1000
        call.out.array(2)
        call.out.bulk(microseconds / 1_000_000)
        call.out.bulk(microseconds % 1_000_000)
    }

    // MARK: Memory

    private static func memory(_ call: Call) throws(CommandFailure) {
        switch (call.lowercased(1), call.count) {
        case ("usage", 3), ("usage", 5):
            if call.count == 5 {
                guard call.matches(3, "samples"), try call.integer(4) >= 0 else { throw .syntax }
            }
            guard let entry = call.peek(call.key(2)) else { return call.out.null() }
            // The slot that leads to it, at the table's usual load.
            let bytes = entry.bytes + 13 + (entry.expires ? 16 : 0)
            call.out.integer(entry.type == .string ? bytes : bytes + entry.object(as: StoredObject.self).bytes)
        case ("stats", 2):
            MemoryReports.stats(call)
        case ("usage", _): throw .syntax
        case ("doctor", 2): call.out.verbatim(MemoryReports.doctor(MemoryFigures(call), call))
        case ("purge", 2):
            OwnProcess.giveBack()
            call.out.ok()
        case ("malloc-stats", 2): call.out.verbatim("the C library's malloc, counted block by block\n")
        case ("help", 2): help(call, "MEMORY", ["DOCTOR", "MALLOC-STATS", "PURGE", "STATS", "USAGE <key> [SAMPLES <count>]"])
        default: throw Subcommands.misused(call)
        }
    }

    // MARK: What was slow

    private static func slowlog(_ call: Call) throws(CommandFailure) {
        switch (call.lowercased(1), call.count) {
        case ("get", 2), ("get", 3):
            var count = 10
            if call.count == 3 {
                guard let value = DecimalText.parse(call[2]), value >= -1 else { throw .err("count should be greater than or equal to -1") }
                count = value < 0 ? .max : Int(value)
            }
            let items = call.keyspace.slowLog.items.prefix(count)
            call.out.array(items.count)
            for item in items {
                call.out.array(6)
                call.out.integer(item.id)
                call.out.integer(item.time)
                call.out.integer(item.microseconds)
                call.out.array(item.arguments.count)
                for argument in item.arguments { call.out.bulk(argument) }
                call.out.bulk(item.client)
                call.out.bulk(item.clientName)
            }
        case ("len", 2): call.out.integer(call.keyspace.slowLog.count)
        case ("reset", 2):
            call.keyspace.slowLog.reset()
            call.out.ok()
        case ("help", 2): help(call, "SLOWLOG", ["GET [<count>]", "LEN", "RESET"])
        default: throw Subcommands.misused(call)
        }
    }

    private static func role(_ call: Call) throws(CommandFailure) {
        call.out.array(3)
        call.out.bulk("master")
        call.out.integer(0)
        call.out.array(0)
    }

    /// There is no replication; to be a master is what it is already.
    private static func replicaof(_ call: Call) throws(CommandFailure) {
        guard call.matches(1, "no"), call.matches(2, "one") else { throw .err("this server does not replicate; only REPLICAOF NO ONE is known") }
        call.out.ok()
    }

    private static func debug(_ call: Call) throws(CommandFailure) {
        switch (call.lowercased(1), call.count) {
        case ("object", 3):
            guard let entry = call.peek(call.key(2)) else { throw .noSuchKey }
            let idle = Int64(KeyEviction.tick(call.now) &- entry.lastUse) * 128 / 1000
            call.out.simple(
                "Value at:0x0 refcount:1 encoding:\(KeyCommands.encoding(entry)) serializedlength:\(entry.valueCount) lru:\(entry.lastUse) lru_seconds_idle:\(idle)")
        case ("sleep", 3):
            let seconds = try call.double(2)
            guard (0...60).contains(seconds) else { throw .outOfRange }
            OwnProcess.sleep(seconds: seconds)
            call.out.ok()
        case ("help", 2): help(call, "DEBUG", ["OBJECT <key>", "SLEEP <seconds>"])
        default: throw Subcommands.misused(call)
        }
    }
}
