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
        var places: [UInt32: (secret: UInt32, place: Place)] = [:]
        var last: UInt32 = 0
    }

    private let table = Lock(Table())

    /// - Parameter secret: random.
    func issue(to place: Place, secret: UInt32) -> Key {
        table.withLock { table in
            repeat { table.last &+= 1 } while table.last == 0 || table.places[table.last] != nil
            table.places[table.last] = (secret, place)
            return Key(processID: table.last, secret: secret)
        }
    }

    func find(_ key: Key) -> Place? {
        table.withLock { table in
            guard let found = table.places[key.processID], found.secret == key.secret else { return nil }
            return found.place
        }
    }

    func withdraw(_ key: Key) {
        table.withLock { _ = $0.places.removeValue(forKey: key.processID) }
    }
}
