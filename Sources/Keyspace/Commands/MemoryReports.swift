import RESPWire

/// `MEMORY STATS` and `MEMORY DOCTOR`.
enum MemoryReports {
    private enum Value {
        case integer(Int)
        case double(Double)
    }

    /// The fields of Redis 7, in its order.
    /// - Source: redis.io/commands/memory-stats; Redis `object.c`, `memoryCommand`.
    static func stats(_ call: Call) {
        let keyspace = call.keyspace
        let figures = MemoryFigures(call)
        let (used, resident) = (figures.used, figures.resident)
        let ratio = used > 0 ? Double(resident) / Double(used) : 0
        let first: [(String, Value)] = [
            ("peak.allocated", .integer(figures.peak)), ("total.allocated", .integer(used)), ("startup.allocated", .integer(0)),
            ("replication.backlog", .integer(0)), ("clients.slaves", .integer(0)), ("clients.normal", .integer(figures.clients)),
            ("cluster.links", .integer(0)), ("aof.buffer", .integer(figures.log)), ("lua.caches", .integer(keyspace.scripts.figures.sourceBytes)),
            ("functions.caches", .integer(0)),
        ]
        let last: [(String, Value)] = [
            ("overhead.total", .integer(figures.tables)), ("keys.count", .integer(figures.keys)),
            ("keys.bytes-per-key", .integer(figures.keys > 0 ? used / figures.keys : 0)), ("dataset.bytes", .integer(used - figures.tables)),
            ("dataset.percentage", .double(figures.datasetPercentage)), ("peak.percentage", .double(figures.peakPercentage)),
            ("allocator.allocated", .integer(used)), ("allocator.active", .integer(resident)), ("allocator.resident", .integer(resident)),
            ("allocator-fragmentation.ratio", .double(ratio)), ("allocator-fragmentation.bytes", .integer(resident - used)),
            ("allocator-rss.ratio", .double(1)), ("allocator-rss.bytes", .integer(0)), ("rss-overhead.ratio", .double(1)),
            ("rss-overhead.bytes", .integer(0)), ("fragmentation", .double(ratio)), ("fragmentation.bytes", .integer(resident - used)),
        ]
        var databases: [(number: Int, tables: Int, expiry: Int)] = []
        for number in 0..<keyspace.configuration.databases where keyspace.keyCount(number, call).keys > 0 {
            var (tables, expiry) = (0, 0)
            for shard in keyspace.shards {
                keyspace.withShard(shard, call) {
                    tables += shard[number].tableBytes - shard[number].expiryBytes
                    expiry += shard[number].expiryBytes
                }
            }
            databases.append((number, tables, expiry))
        }
        call.out.map(first.count + databases.count + last.count)
        write(first, call)
        for database in databases {
            call.out.bulk("db.\(database.number)")
            call.out.map(3)
            write(
                [
                    ("overhead.hashtable.main", .integer(database.tables)), ("overhead.hashtable.expires", .integer(database.expiry)),
                    ("overhead.hashtable.slot-to-keys", .integer(0)),
                ], call)
        }
        write(last, call)
    }

    private static func write(_ fields: [(String, Value)], _ call: Call) {
        for (name, value) in fields {
            call.out.bulk(name)
            switch value {
            case .integer(let number): call.out.integer(number)
            case .double(let number): call.out.double(number)
            }
        }
    }

    /// Below it there is nothing to be said of ratios.
    private static let bytesMin = 5 << 20

    /// What is amiss with the memory, a paragraph each; Redis' first words, which tools look at.
    static func doctor(_ figures: MemoryFigures, _ call: Call) -> String {
        guard figures.used >= bytesMin else {
            return "Hi Sam, this instance is empty or is using very little memory: there is nothing to be said of it yet.\n"
        }
        let keyspace = call.keyspace
        let (limit, policy) = (keyspace.bytesLimit, keyspace.eviction.policy)
        var issues: [String] = []
        func human(_ bytes: Int) -> String { InfoSections.human(bytes) }
        if Double(figures.peak) > 1.5 * Double(figures.used) {
            issues.append("Peak memory: it was \(human(figures.peak)) once and is \(human(figures.used)) now. What the allocator has kept of the difference MEMORY PURGE gives back.")
        }
        if Double(figures.resident) > 1.4 * Double(figures.used), figures.resident - figures.used > 64 << 20 {
            issues.append("Resident memory: the process has \(human(figures.resident)), keys and values take \(human(figures.used)). Other layers of this process have part of it; what was freed in between is the rest, which MEMORY PURGE gives back.")
        }
        if limit > 0, figures.used * 100 >= limit * 98 {
            issues.append(
                policy == .noeviction
                    ? "Full: \(human(figures.used)) of maxmemory \(human(limit)), and with noeviction writes are refused."
                    : "Full: \(human(figures.used)) of maxmemory \(human(limit)). Keys make room for others by \(policy.rawValue).")
        }
        if limit == 0, figures.used > OwnProcess.systemBytes() / 2 {
            issues.append("No bound: maxmemory is 0, and keys take more than half of the machine's memory.")
        }
        if figures.clients > 32 << 20 {
            issues.append("Clients: \(human(figures.clients)) wait in their buffers. CLIENT LIST has them by qbuf and omem.")
        }
        if figures.log > 16 << 20 {
            issues.append("Append log: \(human(figures.log)) wait for the disk, which does not keep up.")
        }
        if keyspace.scripts.figures.scriptCount > 1000 {
            issues.append("Scripts: \(keyspace.scripts.figures.scriptCount) are kept. Values belong into ARGV, not into a script's text.")
        }
        guard !issues.isEmpty else { return "Hi Sam, I can't find any memory issue in your instance.\n" }
        return "Sam, I detected a few issues in this instance's memory:\n\n" + issues.map { " * \($0)\n\n" }.joined()
    }
}
