import Telemetry

/// Who watches: each is handed the same bytes once a second, operators theirs, everybody else theirs. What one does not take in time it does not get: the next second says it anew.
final class LiveFeed: Sendable {
    typealias Send = @Sendable ([UInt8]) -> Void

    private struct State {
        var next: UInt64 = 1
        /// Without a client: operators.
        var watchers: [UInt64: (client: String?, send: Send)] = [:]
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
    var audiences: [Bool] { state.withLock { state in [true, false].filter { isOperator in state.watchers.values.contains { ($0.client == nil) == isOperator } } } }

    /// - Parameter client: whose place it takes; `nil` for an operator, who is bound by the whole only.
    /// - Returns: `nil` when there are too many.
    func add(client: String?, _ send: @escaping Send) -> UInt64? {
        state.withLock { state in
            guard state.watchers.count < countMax else { return nil }
            if let client {
                guard state.clients[client, default: 0] < clientCountMax else { return nil }
                state.clients[client, default: 0] += 1
            }
            defer { state.next += 1 }
            state.watchers[state.next] = (client, send)
            return state.next
        }
    }

    func remove(_ number: UInt64) {
        state.withLock { state in
            guard let client = state.watchers.removeValue(forKey: number)?.client, let count = state.clients[client] else { return }
            state.clients[client] = count > 1 ? count - 1 : nil
        }
    }

    func send(_ bytes: [UInt8], toOperators: Bool) {
        for watcher in state.withLock({ Array($0.watchers.values) }) where (watcher.client == nil) == toOperators { watcher.send(bytes) }
    }
}
