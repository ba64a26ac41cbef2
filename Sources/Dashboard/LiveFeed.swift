import Telemetry

/// Who watches: each is handed the same bytes once a second. What one does not take in time it does not get: the next second says it anew.
final class LiveFeed: Sendable {
    typealias Send = @Sendable ([UInt8]) -> Void

    private struct State {
        var next: UInt64 = 1
        var watchers: [UInt64: Send] = [:]
    }

    private let countMax: Int
    private let state = Lock(State())

    init(countMax: Int) {
        self.countMax = countMax
    }

    var count: Int { state.withLock { $0.watchers.count } }

    /// - Returns: `nil` when there are too many.
    func add(_ send: @escaping Send) -> UInt64? {
        state.withLock { state in
            guard state.watchers.count < countMax else { return nil }
            defer { state.next += 1 }
            state.watchers[state.next] = send
            return state.next
        }
    }

    func remove(_ number: UInt64) {
        state.withLock { _ = $0.watchers.removeValue(forKey: number) }
    }

    func send(_ bytes: [UInt8]) {
        for watcher in state.withLock({ Array($0.watchers.values) }) { watcher(bytes) }
    }
}
