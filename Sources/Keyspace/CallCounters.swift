import Telemetry

/// What one event loop counts of the commands that it carries out. Its loop alone writes; anybody may read.
final class CallCounters: Sendable {
    /// By the command's place in the table.
    let calls = CounterRow(count: CommandTable.rows.count)
    let nanoseconds = CounterRow(count: CommandTable.rows.count)
    /// Changes since the start, as `rdb_changes_since_last_save` counts them.
    let changes = Counter()
    let bytesIn = Counter()
    let bytesOut = Counter()
    let connections = Counter()
    let refusedConnections = Counter()
    /// Of the loop's own thread, in nanoseconds.
    let cpuTime = Gauge()
}
