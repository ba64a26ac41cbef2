import NIOCore

/// Which kept-alive connection is used next, which are too old, and who waits when all are busy: one event loop's share of
/// an upstream. Connections are known by a number; no I/O here.
///
/// The one that was used last is used next: the rest grow old and are closed, and what is left fits the load.
struct IdleConnections<Connection, Waiter> {
    private struct Idle {
        let connection: Connection
        let until: NIODeadline
    }

    private struct Waiting {
        let waiter: Waiter
        let deadline: NIODeadline
    }

    enum Leased {
        case connection(Connection)
        /// Make a new connection, and say ``closed()`` when it goes or fails.
        case connect
        /// The request waits; ``released(_:now:)`` or ``closed()`` will bring it up.
        case wait
        /// As many wait as may.
        case full
    }

    private var idle: [Idle] = []
    private var waiting: [Waiting] = []
    private(set) var open = 0
    private let connectionsMax: Int
    private let idleMax: Int
    private let waitingMax: Int
    private let idleTimeout: TimeAmount

    /// - Parameters:
    ///   - connectionsMax: open connections, idle and busy; at least 1.
    ///   - idleMax: connections kept without use.
    ///   - waitingMax: requests that may wait for a connection.
    init(connectionsMax: Int, idleMax: Int, waitingMax: Int, idleTimeout: TimeAmount) {
        self.connectionsMax = max(1, connectionsMax)
        self.idleMax = idleMax
        self.waitingMax = waitingMax
        self.idleTimeout = idleTimeout
    }

    var idleCount: Int { idle.count }
    var waitingCount: Int { waiting.count }

    /// Asks for a connection.
    /// - Parameter fresh: Not one that was used before: the last one was closed under a request.
    mutating func lease(_ waiter: @autoclosure () -> Waiter, fresh: Bool, deadline: NIODeadline) -> Leased {
        if !fresh, let last = idle.popLast() { return .connection(last.connection) }
        if open < connectionsMax {
            open += 1
            return .connect
        }
        guard waiting.count < waitingMax else { return .full }
        waiting.append(Waiting(waiter: waiter(), deadline: deadline))
        return .wait
    }

    enum Released {
        /// Give the connection to this waiter.
        case serve(Waiter)
        case keep
        /// There are enough idle ones: close it (which says ``closed()``).
        case close
    }

    /// A connection is free again.
    mutating func released(_ connection: Connection, now: NIODeadline) -> Released {
        if !waiting.isEmpty { return .serve(waiting.removeFirst().waiter) }
        guard idle.count < idleMax else { return .close }
        idle.append(Idle(connection: connection, until: now + idleTimeout))
        return .keep
    }

    /// A connection is gone, or could not be made.
    /// - Returns: who waited first and may connect now; its connection is counted already.
    mutating func closed(where isSame: (Connection) -> Bool) -> Waiter? {
        idle.removeAll { isSame($0.connection) }
        open -= 1
        assert(open >= 0)
        guard !waiting.isEmpty, open < connectionsMax else { return nil }
        open += 1
        return waiting.removeFirst().waiter
    }

    /// Connections that were idle for too long and waiters whose deadline has passed.
    mutating func swept(now: NIODeadline) -> (expired: [Connection], late: [Waiter]) {
        let expired = idle.filter { $0.until <= now }.map(\.connection)
        idle.removeAll { $0.until <= now }
        let late = waiting.filter { $0.deadline <= now }.map(\.waiter)
        waiting.removeAll { $0.deadline <= now }
        return (expired, late)
    }

    /// Takes out all idle connections, to close them.
    mutating func takeIdle() -> [Connection] {
        defer { idle.removeAll() }
        return idle.map(\.connection)
    }
}
