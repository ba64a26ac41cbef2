import Synchronization

/// Commands per second, over the last second or so, for `instantaneous_ops_per_sec`.
final class CommandRate: Sendable {
    private let last = Atomic<Int>(0)
    private let rate = Atomic<Int>(0)

    var commandsPerSecond: Int { rate.load(ordering: .relaxed) }

    /// Told once a second by one event loop.
    func counted(_ commands: Int) {
        let before = last.exchange(commands, ordering: .relaxed)
        rate.store(max(commands - before, 0), ordering: .relaxed)
    }
}
