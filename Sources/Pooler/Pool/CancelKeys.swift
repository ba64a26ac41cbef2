import Telemetry

/// The keys that clients cancel their queries with: ours, not the server's, since a client's server connection changes.
///
/// Shared by all event loops. A process number is an index here, its secret is random: who does not know it cancels nothing.
final class CancelKeys: Sendable {
    struct Key: Hashable, Sendable {
        var processID: UInt32
        var secret: UInt32
    }

    /// Where the client is found.
    struct Place: Equatable, Sendable {
        var loop: Int
        var client: UInt64
    }

    private struct Table {
        /// By process number, from 1.
        var places: [(secret: UInt32, place: Place)?] = []
        var free: [UInt32] = []
    }

    private let table = Lock(Table())

    /// - Parameter secret: random.
    func issue(to place: Place, secret: UInt32) -> Key {
        table.withLock { table in
            if let number = table.free.popLast() {
                table.places[Int(number) - 1] = (secret, place)
                return Key(processID: number, secret: secret)
            }
            table.places.append((secret, place))
            return Key(processID: UInt32(table.places.count), secret: secret)
        }
    }

    func find(_ key: Key) -> Place? {
        table.withLock { table in
            let index = Int(key.processID) - 1
            guard table.places.indices.contains(index), let found = table.places[index], found.secret == key.secret else { return nil }
            return found.place
        }
    }

    func withdraw(_ key: Key) {
        table.withLock { table in
            table.places[Int(key.processID) - 1] = nil
            table.free.append(key.processID)
        }
    }
}
