import Telemetry

/// Who watches: each is handed the same bytes once a second. What one does not take in time it does not get: the next second says it anew.
final class LiveFeed: Sendable {
    typealias Send = @Sendable ([UInt8]) -> Void

    private struct State {
        var next: UInt64 = 1
        var watchers: [UInt64: (client: String, send: Send)] = [:]
        var clients: [String: Int] = [:]
    }

    private let countMax: Int
    private let clientCountMax: Int
    private let state = Lock(State())

    /// - Parameter clientCountMax: of those, for one client; without it a single address could take the places of all.
    init(countMax: Int, clientCountMax: Int) {
        self.countMax = countMax
        self.clientCountMax = clientCountMax
    }

    var count: Int { state.withLock { $0.watchers.count } }

    /// Which documents those who watch ask for: an operator's, everybody's.
    var audiences: [Bool] { state.withLock { state in [true, false].filter { isOperator in state.watchers.values.contains { $0.client.isEmpty == isOperator } } } }

    /// - Parameter client: whose place it takes; `nil` for an operator, who is bound by the whole only.
    /// - Returns: `nil` when there are too many.
    func add(client: String?, _ send: @escaping Send) -> UInt64? {
        state.withLock { state in
            let client = client ?? ""
            guard state.watchers.count < countMax, client.isEmpty || state.clients[client, default: 0] < clientCountMax else { return nil }
            defer { state.next += 1 }
            state.watchers[state.next] = (client, send)
            state.clients[client, default: 0] += 1
            return state.next
        }
    }

    func remove(_ number: UInt64) {
        state.withLock { state in
            guard let watcher = state.watchers.removeValue(forKey: number), let count = state.clients[watcher.client] else { return }
            state.clients[watcher.client] = count > 1 ? count - 1 : nil
        }
    }

    func send(_ bytes: [UInt8]) {
        for watcher in state.withLock({ Array($0.watchers.values) }) { watcher.send(bytes) }
    }
}
