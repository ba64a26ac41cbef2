import NIOCore

/// What the machine keeps account of.
extension PoolMachine {
    enum State: Equatable, Sendable {
        /// The slot is nobody's.
        case free
        /// Waiting for the server. Next: `idle`, `leased`, `free`.
        case connecting
        /// Next: `leased`, `moving`, `closing`, `free`.
        case idle
        /// Next: `idle`, `leased`, `moving`, `closing`, `free`.
        case leased
        /// On its way to the loop that `loop` says already. Next: `idle`, `leased`, `free`.
        case moving
        /// Counted until it is closed. Next: `free`.
        case closing
    }

    struct Connection: Sendable {
        /// Grows each time the slot is used again: an order that comes late must not meet the slot's next connection.
        var generation = 0
        var state = State.free
        var pool = 0
        var loop = 0
        var expires = NIODeadline.distantFuture
        var idleSince = NIODeadline.distantPast
        /// Its pool was told to use new ones.
        var isOutdated = false
        /// Its client keeps it between transactions.
        var isPinned = false
    }

    struct Pool: Sendable {
        var database: String
        var user: String
        let kind: Kind
        let owner: SharedLimits.Owner
        /// Slots by loop, the last used last: it is the warmest, and the others grow old and are closed.
        var idle: [[Int]]
        var waiters: [WaiterQueue]
        var waiterCount = 0
        /// Connections that are made for, or move to, each loop.
        var coming: [Int]
        var connecting = 0
        /// All that are not free.
        var count = 0
        var moves = 0
        var failures = 0
        var retryAt = NIODeadline.distantPast
        var isPaused = false
        /// ``PoolMachine/rested(_:now:)`` is to come.
        var isWatched = false
        var pinned = 0

        init(_ key: PoolKey, owner: SharedLimits.Owner, loops: Int) {
            database = key.database
            user = key.user
            kind = key.kind
            self.owner = owner
            idle = Array(repeating: [], count: loops)
            waiters = Array(repeating: WaiterQueue(), count: loops)
            coming = Array(repeating: 0, count: loops)
        }

        /// Who has waited longest, and where.
        var oldest: (waiter: Waiter, loop: Int)? {
            var found: (waiter: Waiter, loop: Int)?
            for loop in waiters.indices {
                guard let first = waiters[loop].first, found.map({ first.ticket < $0.waiter.ticket }) ?? true else { continue }
                found = (first, loop)
            }
            return found
        }

        var idleCount: Int { idle.reduce(0) { $0 + $1.count } }
    }

    struct PoolKey: Hashable, Sendable {
        var database: String
        var user: String
        var kind = Kind.shared
    }

    /// Whose the connections of a pool are.
    enum Kind: Hashable, Sendable {
        /// Any client's, one after the other.
        case shared
        /// Made for one client that replicates, and closed with it.
        case replication
        /// Made for one client, while it is measured what sharing is worth: see ``Dedication``.
        case dedicated
    }
}
