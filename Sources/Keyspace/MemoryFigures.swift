/// What the keyspace takes, as `INFO memory`, `MEMORY STATS` and `MEMORY DOCTOR` say it; in bytes.
struct MemoryFigures {
    /// Keys, values, and the tables that lead to them: what `maxmemory` bounds.
    var used = 0
    var peak = 0
    /// Of the whole process, all of its layers.
    var resident = 0
    var tables = 0
    /// What clients have sent and is not whole, and answers that they have not taken.
    var clients = 0
    /// What waits for the disk.
    var log = 0
    /// Removed, and not freed yet.
    var freeing = 0
    var keys = 0

    init() {}

    init(_ call: Call) {
        let keyspace = call.keyspace
        used = keyspace.exactBytes(call)
        tables = min(keyspace.tableBytes(call), used)
        peak = max(keyspace.peakBytes.load(ordering: .relaxed), used)
        resident = OwnProcess.residentBytes()
        clients = keyspace.clients.all.reduce(0) { $0 + $1.inputBytes.load(ordering: .relaxed) + $1.outputBytes.load(ordering: .relaxed) }
        log = keyspace.persistence.writer?.pendingByteCount ?? 0
        freeing = keyspace.discarder.pendingBytes
        for database in 0..<keyspace.configuration.databases { keys += keyspace.keyCount(database, call).keys }
    }

    var peakPercentage: Double { peak > 0 ? Double(used) * 100 / Double(peak) : 0 }
    var datasetPercentage: Double { used > 0 ? Double(used - tables) * 100 / Double(used) : 0 }
}
