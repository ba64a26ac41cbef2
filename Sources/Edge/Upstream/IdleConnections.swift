import NIOCore

/// The connections of one event loop that wait for use: which is used next, and which are too old. No I/O, no clock.
///
/// The one that was used last is used next: the rest grow old and are closed, and what is left fits the load.
struct IdleConnections<Connection> {
    private struct Idle {
        let connection: Connection
        let member: Int
        let until: NIODeadline
    }

    private var idle: [Idle] = []

    var count: Int { idle.count }

    /// - Parameter until: when it is too old for use.
    mutating func add(_ connection: Connection, member: Int, until: NIODeadline) {
        idle.append(Idle(connection: connection, member: member, until: until))
    }

    /// Takes out the connection to a member that was used last.
    mutating func takeNewest(_ member: Int) -> Connection? {
        idle.lastIndex { $0.member == member }.map { idle.remove(at: $0).connection }
    }

    /// Takes out the connection to a member that was used last, of those that are fit.
    mutating func takeNewest(_ member: Int, where isFit: (Connection) -> Bool) -> Connection? {
        idle.lastIndex { $0.member == member && isFit($0.connection) }.map { idle.remove(at: $0).connection }
    }

    func contains(where isFit: (Connection) -> Bool) -> Bool { idle.contains { isFit($0.connection) } }

    /// Takes out the connection to a member that was not used for longest.
    mutating func takeOldest(_ member: Int) -> Connection? {
        idle.firstIndex { $0.member == member }.map { idle.remove(at: $0).connection }
    }

    /// - Returns: whether it was here.
    mutating func remove(where isSame: (Connection) -> Bool) -> Bool {
        guard let index = idle.firstIndex(where: { isSame($0.connection) }) else { return false }
        idle.remove(at: index)
        return true
    }

    /// Connections that are too old, with their members; they stay until they are removed.
    func expired(now: NIODeadline) -> [(connection: Connection, member: Int)] {
        idle.filter { $0.until <= now }.map { ($0.connection, $0.member) }
    }

    /// All of them, with their members; they stay until they are removed.
    var all: [(connection: Connection, member: Int)] { idle.map { ($0.connection, $0.member) } }
}
