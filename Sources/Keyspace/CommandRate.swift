import Telemetry

/// Commands and bytes per second, over the last second or so, for `instantaneous_ops_per_sec` and its like.
final class CommandRate: Sendable {
    struct Rates: Sendable {
        var commands: UInt64 = 0
        var bytesIn: UInt64 = 0
        var bytesOut: UInt64 = 0
    }

    private let last = Lock((totals: Rates(), rates: Rates()))

    /// Of each second.
    var rates: Rates { last.withLock { $0.rates } }

    /// Told once a second by one event loop.
    func counted(_ sums: Keyspace.Sums) {
        // After CONFIG RESETSTAT there is less than before.
        func difference(_ now: UInt64, _ then: UInt64) -> UInt64 { now > then ? now - then : 0 }
        last.withLock { last in
            last.rates = Rates(
                commands: difference(sums.commands, last.totals.commands), bytesIn: difference(sums.bytesIn, last.totals.bytesIn),
                bytesOut: difference(sums.bytesOut, last.totals.bytesOut))
            last.totals = Rates(commands: sums.commands, bytesIn: sums.bytesIn, bytesOut: sums.bytesOut)
        }
    }
}
