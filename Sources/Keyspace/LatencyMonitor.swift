import Synchronization
import Telemetry

/// What took longer than `latency-monitor-threshold`: by event, the worst of each second, the latest 160 of them.
/// - Source: Redis `latency.c`.
final class LatencyMonitor: Sendable {
    struct Sample: Sendable {
        /// Since 1970.
        var seconds: Int64
        var milliseconds: Int
    }

    struct Event: Sendable {
        var samples: [Sample] = []
        var worst = 0
    }

    static let samplesMax = 160

    private let threshold = Atomic<Int>(0)
    private let events = Lock<[String: Event]>([:])

    /// 0 watches nothing.
    var thresholdMilliseconds: Int {
        get { threshold.load(ordering: .relaxed) }
        set { threshold.store(newValue, ordering: .relaxed) }
    }

    /// - Parameter event: `command` or `fast-command`, so that there are few.
    func add(_ event: String, seconds: Int64, milliseconds: Int) {
        events.withLock { events in
            var known = events[event] ?? Event()
            known.worst = max(known.worst, milliseconds)
            if let last = known.samples.last, last.seconds == seconds {
                known.samples[known.samples.count - 1].milliseconds = max(last.milliseconds, milliseconds)
            } else {
                known.samples.append(Sample(seconds: seconds, milliseconds: milliseconds))
                if known.samples.count > Self.samplesMax { known.samples.removeFirst() }
            }
            events[event] = known
        }
    }

    var all: [(name: String, event: Event)] { events.withLock { $0.map { ($0.key, $0.value) } }.sorted { $0.name < $1.name } }

    /// - Returns: how many there were.
    func reset(_ names: [String]) -> Int {
        events.withLock { events in
            let gone = names.isEmpty ? Array(events.keys) : names.filter { events[$0] != nil }
            for name in gone { events[name] = nil }
            return gone.count
        }
    }
}

/// `LATENCY` and its subcommands.
enum LatencyCommand {
    static func latency(_ call: Call) throws(CommandFailure) {
        let monitor = call.keyspace.latency
        switch (call.lowercased(1), call.count) {
        case ("latest", 2):
            let events = monitor.all
            call.out.array(events.count)
            for (name, event) in events {
                call.out.array(4)
                call.out.bulk(name)
                call.out.integer(event.samples.last?.seconds ?? 0)
                call.out.integer(event.samples.last?.milliseconds ?? 0)
                call.out.integer(event.worst)
            }
        case ("history", 3):
            let samples = monitor.all.first { $0.name == call.text(2) }?.event.samples ?? []
            call.out.array(samples.count)
            for sample in samples {
                call.out.array(2)
                call.out.integer(sample.seconds)
                call.out.integer(sample.milliseconds)
            }
        case ("reset", _): call.out.integer(monitor.reset((2..<call.count).map { call.text($0) }))
        case ("doctor", 2): call.out.verbatim(report(monitor))
        case ("graph", 3):
            guard let event = monitor.all.first(where: { $0.name == call.text(2) })?.event else {
                throw .err("No samples available for event '\(call.text(2))'")
            }
            call.out.verbatim(graph(call.text(2), event))
        case ("histogram", _): histogram(call)
        case ("help", 2):
            ServerCommands.help(
                call, "LATENCY", ["DOCTOR", "GRAPH <event>", "HISTOGRAM [COMMAND ...]", "HISTORY <event>", "LATEST", "RESET [<event> ...]"])
        default: throw Subcommands.misused(call)
        }
    }

    /// By command, how many took at most 1, 2, 4, … µs: each row that has more than the one before it.
    private static func histogram(_ call: Call) {
        let (table, totals) = (CommandTable.shared, call.keyspace.commandTotals)
        var indices = call.count == 2 ? Array(table.commands.indices) : []
        for place in 2..<max(call.count, 2) {
            if let index = table.index(call[place]), !indices.contains(index) { indices.append(index) }
        }
        indices = indices.filter { totals.calls[$0] > 0 }
        call.out.map(indices.count)
        for index in indices {
            var rows: [(microseconds: Int64, count: Int64)] = []
            var sum: Int64 = 0
            for (bucket, count) in call.keyspace.durations(of: index).counts.enumerated() {
                sum += Int64(clamping: count)
                let isLast = bucket % 8 == 7
                if isLast, sum > rows.last?.count ?? 0 { rows.append((Int64(clamping: (DurationScale.end(bucket) + 1) / 1000), sum)) }
            }
            call.out.bulk(table.commands[index].name)
            call.out.map(2)
            call.out.bulk("calls")
            call.out.integer(Int64(clamping: totals.calls[index]))
            call.out.bulk("histogram_usec")
            call.out.map(rows.count)
            for row in rows {
                call.out.integer(row.microseconds)
                call.out.integer(row.count)
            }
        }
    }

    private static func report(_ monitor: LatencyMonitor) -> String {
        let threshold = monitor.thresholdMilliseconds
        guard threshold > 0 else {
            return "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Redis instance. You may use \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to enable it.\n"
        }
        let events = monitor.all
        guard !events.isEmpty else { return "Dave, no latency spike was observed during the lifetime of this Redis instance, not in the slightest bit.\n" }
        return events.map { name, event in
            let average = event.samples.reduce(0) { $0 + $1.milliseconds } / max(event.samples.count, 1)
            return "\(name): \(event.samples.count) latency spikes (average \(average)ms, worst \(event.worst)ms) at or above \(threshold)ms.\n"
        }.joined()
    }

    /// A row of characters, one for a second with a sample: the higher the worse.
    private static func graph(_ name: String, _ event: LatencyMonitor.Event) -> String {
        let samples = event.samples.suffix(80)
        let (least, worst) = (samples.map(\.milliseconds).min() ?? 0, samples.map(\.milliseconds).max() ?? 0)
        let levels = Array("_.-=o#")
        let row = samples.map { levels[($0.milliseconds - least) * (levels.count - 1) / max(worst - least, 1)] }
        return "\(name) - high \(worst) ms, low \(least) ms (all time high \(event.worst) ms)\n\(String(row))\n"
    }
}
