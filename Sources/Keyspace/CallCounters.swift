import Telemetry

/// What one event loop counts of the commands that it carries out. Its loop alone writes; anybody may read.
final class CallCounters: Sendable {
    /// Commands that were carried out, by their place in the table.
    let calls = CounterRow(count: CommandTable.rows.count)
    /// Refused before they began: by their form, the client's rights, the memory.
    let rejected = CounterRow(count: CommandTable.rows.count)
    /// Ended in an error.
    let failed = CounterRow(count: CommandTable.rows.count)
    let nanoseconds = CounterRow(count: CommandTable.rows.count)
    /// ``DurationScale/bucketCount`` of each command, one row for all: no object to retain, and a command touches two or three lines of it.
    let durations = CounterRow(count: CommandTable.rows.count * DurationScale.bucketCount)
    /// Changes since the start, as `rdb_changes_since_last_save` counts them.
    let changes = Counter()
    let bytesIn = Counter()
    let bytesOut = Counter()
    let reads = Counter()
    let writes = Counter()
    let connections = Counter()
    let refusedConnections = Counter()
    /// Clients that were cut for what they held while the process was short of memory.
    let memoryCuts = Counter()
    let tlsHandshakes = Counter()
    let tlsFailures = Counter()
    /// Of the loop's own thread, in nanoseconds.
    let cpuTime = Gauge()
    /// What looking for keys whose time has passed took, in nanoseconds, and how often it left the rest for the next time.
    let expiryTime = Counter()
    let expiryCutShort = Counter()

    /// A command was carried out.
    @inline(__always)
    func ran(_ index: Int, nanoseconds time: UInt64) {
        calls.add(index)
        nanoseconds.add(index, time)
        durations.add(index * DurationScale.bucketCount + DurationScale.bucket(time))
    }
}

/// Which bucket a command's duration counts in: eight for each power of two, so that it is known to within an eighth; up to 17 s.
///
/// Coarser than ``Histogram``, of which one for each of two hundred commands would take 7 MB an event loop; here it is 0.3.
enum DurationScale {
    /// Below 1,024 ns there are eight of 128 ns.
    private static let firstExponent = 10
    static let bucketCount = 8 + 24 * 8

    static func bucket(_ nanoseconds: UInt64) -> Int {
        let exponent = 63 - (nanoseconds | 1).leadingZeroBitCount
        guard exponent >= firstExponent else { return Int(nanoseconds >> 7) }
        let place = 8 * (exponent - firstExponent + 1) + Int(nanoseconds >> UInt64(exponent - 3)) - 8
        return min(place, bucketCount - 1)
    }

    /// The largest value of a bucket.
    static func end(_ bucket: Int) -> UInt64 {
        guard bucket >= 8 else { return UInt64(bucket + 1) << 7 - 1 }
        let exponent = UInt64(bucket / 8 - 1 + firstExponent)
        return (UInt64(8 + bucket % 8 + 1) << (exponent - 3)) - 1
    }
}

/// What all event loops have counted of commands, since the start or the last `CONFIG RESETSTAT`.
struct CommandTotals: Sendable {
    /// By the command's place in the table.
    var calls = [UInt64](repeating: 0, count: CommandTable.rows.count)
    var rejected = [UInt64](repeating: 0, count: CommandTable.rows.count)
    var failed = [UInt64](repeating: 0, count: CommandTable.rows.count)
    var nanoseconds = [UInt64](repeating: 0, count: CommandTable.rows.count)

    init() {}

    init(_ loops: [CallCounters]) {
        for loop in loops {
            Self.add(loop.calls, to: &calls)
            Self.add(loop.rejected, to: &rejected)
            Self.add(loop.failed, to: &failed)
            Self.add(loop.nanoseconds, to: &nanoseconds)
        }
    }

    private static func add(_ row: CounterRow, to sums: inout [UInt64]) {
        for (index, value) in row.values().enumerated() { sums[index] &+= value }
    }

    func since(_ earlier: CommandTotals) -> CommandTotals {
        // A reader may be a command ahead in one row and not yet in another.
        func difference(_ now: [UInt64], _ then: [UInt64]) -> [UInt64] { zip(now, then).map { $0 > $1 ? $0 - $1 : 0 } }
        var part = CommandTotals()
        part.calls = difference(calls, earlier.calls)
        part.rejected = difference(rejected, earlier.rejected)
        part.failed = difference(failed, earlier.failed)
        part.nanoseconds = difference(nanoseconds, earlier.nanoseconds)
        return part
    }
}

/// How long the calls of one command took, by the buckets of ``DurationScale``.
struct CommandDurations: Sendable {
    var counts: [UInt64]

    /// The duration below which this share lies, in nanoseconds: the end of its bucket.
    /// - Parameter percentile: 0…100.
    func percentile(_ percentile: Double) -> UInt64 {
        let rank = max(1, UInt64((Double(counts.reduce(0, +)) * percentile / 100).rounded(.up)))
        var seen: UInt64 = 0
        for (bucket, count) in counts.enumerated() {
            seen += count
            if seen >= rank { return DurationScale.end(bucket) }
        }
        return 0
    }
}
