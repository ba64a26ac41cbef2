import Synchronization
import Telemetry

/// What `CONFIG GET` shows and `CONFIG SET` changes, under Redis' names.
///
/// One row per name: how it is read and, where it can be changed while the server runs, how. What is nothing to us but is asked for
/// by clients (`save`, `appendonly`, …) has a row with its true value.
final class ServerSettings: Sendable {
    struct Values: Sendable {
        var timeout = 0
        var databases = 16
        /// `lfu-decay-time`, in minutes.
        var decayMinutes = 1
        var notifyEvents = ""
        var hashPackedEntries = 512
        var hashPackedBytes = 64
        var setIntegerEntries = 512
        var setPackedEntries = 128
        var setPackedBytes = 64
        var sortedSetPackedEntries = 128
        var sortedSetPackedBytes = 64
        var listPackedBytes = -2
        var savePoints: [KeyspaceConfiguration.SavePoint] = []
        var rewritePercentage = 100
        var rewriteBytesMin = 64 << 20
    }

    let values: Lock<Values>
    /// `maxclients`: who comes beyond is closed at once; who is there stays.
    let clientsMax: Atomic<Int>
    let slowMicroseconds = Atomic<Int>(10_000)
    let slowCountMax = Atomic<Int>(128)
    /// Names that `CONFIG SET` has set since the start: what `CONFIG REWRITE` is about.
    let changed = Lock<Set<String>>([])
    /// After so long a script is ended.
    let scriptMilliseconds = Atomic<Int>(5000)

    init(_ configuration: KeyspaceConfiguration) {
        var values = Values()
        values.databases = configuration.databases
        values.savePoints = configuration.directory.isEmpty ? [] : configuration.savePoints
        values.rewritePercentage = configuration.rewritePercentage
        values.rewriteBytesMin = configuration.rewriteBytesMin
        self.values = Lock(values)
        clientsMax = Atomic(configuration.clientsMax)
    }

    /// Sets rows, all or none.
    /// - Parameter roomTime: nanoseconds that may go into evicting at once; what is left then the loops evict by and by. `nil` for a caller that
    ///   has shards locked: they do all of it.
    /// - Returns: which one cannot be set, and why.
    func set(_ changes: [(row: Row, value: String)], _ keyspace: Keyspace, roomTime: UInt64? = .max) -> (name: String, problem: String)? {
        var before: [(row: Row, value: String)] = []
        for (row, value) in changes {
            before.append((row, row.get(keyspace)))
            guard let problem = row.set?(keyspace, value) else { continue }
            for (row, value) in before.dropLast().reversed() { _ = row.set?(keyspace, value) }
            return (row.name, problem)
        }
        changed.withLock { $0.formUnion(changes.map(\.row.name)) }
        // Only now: what has been evicted does not come back when a later name is refused.
        if let roomTime, changes.contains(where: { $0.row.name == "maxmemory" }) { _ = keyspace.makeRoom(now: WallClock.nanoseconds() / 1_000_000, time: roomTime) }
        return nil
    }

    /// Other names of the same values; only the first are written into a file.
    private static let aliases = [
        "hash-max-ziplist-entries": "hash-max-listpack-entries", "hash-max-ziplist-value": "hash-max-listpack-value",
        "zset-max-ziplist-entries": "zset-max-listpack-entries", "zset-max-ziplist-value": "zset-max-listpack-value",
        "lua-time-limit": "busy-reply-threshold",
    ]

    static func canonical(_ name: String) -> String { aliases[name] ?? name }

    struct Row: Sendable {
        let name: String
        let get: @Sendable (Keyspace) -> String
        /// - Returns: what is wrong with the value; `nil` when it has been set. No function: it cannot be changed.
        let set: (@Sendable (Keyspace, String) -> String?)?

        init(
            _ name: String, _ get: @escaping @Sendable (Keyspace) -> String, set: (@Sendable (Keyspace, String) -> String?)? = nil
        ) {
            self.name = name
            self.get = get
            self.set = set
        }

        /// A whole number of the values.
        static func number(
            _ name: String, _ place: any WritableKeyPath<Values, Int> & Sendable, _ range: ClosedRange<Int>
        ) -> Row {
            Row(name, { keyspace in String(keyspace.settings.values.withLock { $0[keyPath: place] }) }) { keyspace, text in
                let (value, problem) = integer(text, range)
                if let problem { return problem }
                keyspace.settings.values.withLock { $0[keyPath: place] = value }
                return nil
            }
        }

        static func fixed(_ name: String, _ value: String) -> Row { Row(name, { _ in value }) }
    }

    /// A value and, if it is none, what is wrong with it, in Redis' words.
    private static func integer(_ text: String, _ range: ClosedRange<Int>) -> (value: Int, problem: String?) {
        guard let value = Int(text) else { return (0, "argument couldn't be parsed into an integer") }
        guard range.contains(value) else { return (0, "argument must be between \(range.lowerBound) and \(range.upperBound) inclusive") }
        return (value, nil)
    }

    private static func scriptTime(_ name: String) -> Row {
        Row(name, { String($0.settings.scriptMilliseconds.load(ordering: .relaxed)) }) { keyspace, text in
            let (value, problem) = integer(text, 1...3_600_000)
            if let problem { return problem }
            keyspace.settings.scriptMilliseconds.store(value, ordering: .relaxed)
            return nil
        }
    }

    static let rows: [Row] = [
        Row("maxmemory", { String($0.bytesLimit) }) { keyspace, text in
            guard let bytes = memory(text) else { return "argument must be a memory value" }
            keyspace.bytesLimit = bytes
            return nil
        },
        Row("maxmemory-policy", { $0.eviction.policy.rawValue }) { keyspace, text in
            guard let policy = EvictionPolicy(rawValue: text.lowercased()) else {
                return "argument(s) must be one of the following: \(EvictionPolicy.allCases.map(\.rawValue).joined(separator: ", "))"
            }
            keyspace.eviction.policy = policy
            return nil
        },
        Row("slowlog-log-slower-than", { String($0.settings.slowMicroseconds.load(ordering: .relaxed)) }) { keyspace, text in
            let (value, problem) = integer(text, -1...Int.max)
            if let problem { return problem }
            keyspace.settings.slowMicroseconds.store(value, ordering: .relaxed)
            return nil
        },
        Row("slowlog-max-len", { String($0.settings.slowCountMax.load(ordering: .relaxed)) }) { keyspace, text in
            let (value, problem) = integer(text, 0...1_000_000)
            if let problem { return problem }
            keyspace.settings.slowCountMax.store(value, ordering: .relaxed)
            return nil
        },
        scriptTime("busy-reply-threshold"), scriptTime("lua-time-limit"),
        Row("requirepass", { $0.access.requiredPassword }) { keyspace, text in
            keyspace.access.requiredPassword = text
            return nil
        },
        .number("timeout", \.timeout, 0...Int(Int32.max)),
        .number("hash-max-listpack-entries", \.hashPackedEntries, 0...1 << 16),
        .number("hash-max-listpack-value", \.hashPackedBytes, 0...1 << 16),
        .number("hash-max-ziplist-entries", \.hashPackedEntries, 0...1 << 16),
        .number("hash-max-ziplist-value", \.hashPackedBytes, 0...1 << 16),
        .number("set-max-intset-entries", \.setIntegerEntries, 0...1 << 16),
        .number("set-max-listpack-entries", \.setPackedEntries, 0...1 << 16),
        .number("set-max-listpack-value", \.setPackedBytes, 0...1 << 16),
        .number("zset-max-listpack-entries", \.sortedSetPackedEntries, 0...1 << 16),
        .number("zset-max-listpack-value", \.sortedSetPackedBytes, 0...1 << 16),
        .number("zset-max-ziplist-entries", \.sortedSetPackedEntries, 0...1 << 16),
        .number("zset-max-ziplist-value", \.sortedSetPackedBytes, 0...1 << 16),
        .number("list-max-listpack-size", \.listPackedBytes, -5...1 << 16),
        Row("databases", { keyspace in String(keyspace.settings.values.withLock { $0.databases }) }),
        Row("maxclients", { String($0.settings.clientsMax.load(ordering: .relaxed)) }) { keyspace, text in
            let (value, problem) = integer(text, 1...1_000_000)
            if let problem { return problem }
            keyspace.settings.clientsMax.store(value, ordering: .relaxed)
            return nil
        },
        Row("save", { keyspace in keyspace.settings.values.withLock { savePointsText($0.savePoints) } }) { keyspace, text in
            guard let points = savePoints(text) else { return "Invalid save parameters" }
            guard points.isEmpty || !keyspace.configuration.directory.isEmpty else { return "this keyspace has no directory to save to" }
            keyspace.settings.values.withLock { $0.savePoints = points }
            return nil
        },
        .number("auto-aof-rewrite-percentage", \.rewritePercentage, 0...Int(Int32.max)),
        Row("auto-aof-rewrite-min-size", { keyspace in String(keyspace.settings.values.withLock { $0.rewriteBytesMin }) }) { keyspace, text in
            guard let bytes = memory(text) else { return "argument must be a memory value" }
            keyspace.settings.values.withLock { $0.rewriteBytesMin = bytes }
            return nil
        },
        .fixed("appendfilename", AppendLogDirectory.usualPrefix), .fixed("appenddirname", AppendLogDirectory.usualName),
        Row("aof-load-truncated", { $0.configuration.cutsTornTail ? "yes" : "no" }), .fixed("aof-use-rdb-preamble", "yes"),
        .fixed("rdbcompression", "yes"), .fixed("rdbchecksum", "yes"), .fixed("stop-writes-on-bgsave-error", "no"),
        .fixed("no-appendfsync-on-rewrite", "no"),
        Row("appendonly", { $0.configuration.appendOnly ? "yes" : "no" }), Row("dir", { $0.configuration.directory }),
        Row("dbfilename", { $0.configuration.snapshotName }),
        Row("appendfsync", { ($0.persistence.writer?.policy ?? $0.configuration.fsync).rawValue }) { keyspace, text in
            guard let policy = FsyncPolicy(rawValue: text.lowercased()) else {
                return "argument(s) must be one of the following: everysec, always, no"
            }
            keyspace.persistence.writer?.setPolicy(policy)
            return nil
        },
        .fixed("maxmemory-samples", "10"),
        Row("lfu-log-factor", { String($0.eviction.logFactor) }) { keyspace, text in
            let (value, problem) = integer(text, 0...Int(Int32.max))
            if let problem { return problem }
            keyspace.eviction.logFactor = value
            return nil
        },
        Row("lfu-decay-time", { keyspace in String(keyspace.settings.values.withLock { $0.decayMinutes }) }) { keyspace, text in
            let (value, problem) = integer(text, 0...Int(Int32.max))
            if let problem { return problem }
            keyspace.settings.values.withLock { $0.decayMinutes = value }
            keyspace.eviction.setDecay(minutes: value)
            return nil
        },
        .fixed("proto-max-bulk-len", "536870912"),
        Row("latency-monitor-threshold", { String($0.latency.thresholdMilliseconds) }) { keyspace, text in
            let (value, problem) = integer(text, 0...Int.max)
            if let problem { return problem }
            keyspace.latency.thresholdMilliseconds = value
            return nil
        },
        .fixed("acllog-max-len", String(AccessList.refusalsMax)), .fixed("acl-pubsub-default", "resetchannels"),
        .fixed("cluster-enabled", "no"), .fixed("replica-read-only", "yes"),
        Row("notify-keyspace-events", { $0.hub.events.text }) { keyspace, text in
            guard let events = KeyspaceEvents(parsing: text) else { return "Invalid event class character. Use 'Ag$lshzxeKEtmdn'." }
            keyspace.hub.events = events
            return nil
        },
        Row("tracking-table-max-keys", { keyspace in String(keyspace.hub.tracking.withLock { $0.keyCountMax }) }) { keyspace, text in
            let (value, problem) = integer(text, 1...Int.max)
            if let problem { return problem }
            keyspace.hub.tracking.withLock { $0.keyCountMax = value }
            return nil
        },
    ]

    /// `3600 1 300 100`: pairs of seconds and changes; empty for none.
    static func savePoints(_ text: String) -> [KeyspaceConfiguration.SavePoint]? {
        let words = text.split(separator: " ")
        // 32: nobody needs more, and they are looked through once a second.
        guard words.count % 2 == 0, words.count <= 64 else { return nil }
        var points: [KeyspaceConfiguration.SavePoint] = []
        for index in stride(from: 0, to: words.count, by: 2) {
            guard let seconds = Int(words[index]), seconds >= 1, let changes = Int(words[index + 1]), changes >= 0 else { return nil }
            points.append(.init(seconds: seconds, changes: changes))
        }
        return points
    }

    static func savePointsText(_ points: [KeyspaceConfiguration.SavePoint]) -> String {
        points.map { "\($0.seconds) \($0.changes)" }.joined(separator: " ")
    }

    /// `100mb`, `1g`, `2048`; nothing is 0.
    /// - Source: Redis `util.c`, `memtoull`.
    static func memory(_ text: String) -> Int? {
        guard !text.isEmpty else { return 0 }
        let digits = text.prefix { $0.isNumber }
        guard let value = Int(digits) else { return nil }
        let factor: Int
        switch text.dropFirst(digits.count).lowercased() {
        case "", "b": factor = 1
        case "k": factor = 1000
        case "kb": factor = 1 << 10
        case "m": factor = 1_000_000
        case "mb": factor = 1 << 20
        case "g": factor = 1_000_000_000
        case "gb": factor = 1 << 30
        default: return nil
        }
        let (bytes, isOver) = value.multipliedReportingOverflow(by: factor)
        return isOver ? nil : bytes
    }
}
