import NIOCore

/// All pools, all server connections, and who waits: what decides who gets which connection, and when one is made or closed.
///
/// It is a value behind one lock, shared by the event loops. The problem it solves has three sides that pull apart: limits hold
/// exactly over all loops; nobody starves while another loop has an idle connection; and the usual lease makes no hop. So:
///
/// - A connection lives on one loop. A lease takes an idle one of the client's own loop, whatever others have.
/// - If there is none, but another loop has an idle one, that one **moves**: its socket is registered with the client's loop, its
///   session goes along. A move costs a dozen system calls and two hops, once, and from then on the connection is local. A loop whose
///   connections had to be fetched ``movesPerConnect`` times gets one of its own while the pool has room. Where it has none, connections
///   would go to and fro between loops that are all short of them now and then: only one that nobody has asked for during ``rest``
///   moves, or one for somebody who has waited longer than ``patience``.
/// - Otherwise the client waits. A connection that becomes free goes to the oldest waiter of its own loop, unless somebody on
///   another loop, with no connection on its way there, has waited longer by more than ``patience``: then it moves there. So order
///   is kept to within that time, and in overload most connections stay where they are.
///
/// A connection's states (`closing` from each of them, when the peer closes or it is told to):
///
///     connecting → idle ⇄ leased
///                   ↓ ↖    ↓
///                   moving ←
///
/// Tests call ``checkInvariants()`` after each step.
struct PoolMachine: Sendable {
    /// A moved connection costs about a hundredth of a login.
    static let movesPerConnect = 16
    /// What nobody notices beside the wait itself.
    static let patience = TimeAmount.milliseconds(20)
    /// Without it, with two loops and twice as many clients as connections, a third of all short transactions moved one, and cost half as
    /// much again. In it a loop serves some dozens of them, and a wait that is longer by it is still shorter than a login.
    static let rest = TimeAmount.milliseconds(2)
    /// After a server that could not be reached: doubled with each failure, up to the second.
    static let retryDelays = (first: TimeAmount.milliseconds(100), last: TimeAmount.seconds(2))

    /// A connection's name: where it is kept, and which of those that were kept there it is.
    struct Slot: Hashable, Sendable {
        var index: Int
        var generation: Int
    }

    /// What the machine wants done. Each is done on the event loop that it names.
    enum Order: Equatable, Sendable {
        /// Make a connection for the pool; then ``connected(_:now:)`` or ``closed(_:now:)``.
        case connect(slot: Slot, pool: Int, loop: Int)
        /// Register the connection with another loop; then, there, ``moved(_:now:)`` or ``closed(_:now:)``.
        case move(slot: Slot, from: Int, to: Int)
        /// The waiter has this connection, which is on its loop.
        case serve(ticket: UInt64, slot: Slot, loop: Int)
        /// Close the connection; then ``closed(_:now:)``.
        case close(slot: Slot, loop: Int)
        /// Tell the waiter that it waited too long.
        case expire(ticket: UInt64, loop: Int)
        /// Somebody waits while connections rest on another loop: after ``rest``, ``rested(_:now:)``.
        case watch(pool: Int, loop: Int)
    }

    enum Lease: Equatable, Sendable {
        case use(slot: Slot)
        /// The client waits; a connection may have to be made or moved for it.
        case wait(ticket: UInt64, Order?)
    }

    private(set) var connections: [Connection] = []
    private(set) var pools: [Pool] = []
    private var shared: SharedLimits
    private var freeSlots: [Int] = []
    private var poolsByKey: [PoolKey: Int] = [:]
    private var lastTicket: UInt64 = 0
    private let loops: Int
    private var limits: PoolerConfiguration.Limits
    private var timeouts: PoolerConfiguration.Timeouts
    /// Limits have changed: there may be more connections than they allow, until those are free.
    private var mayBeOver = false

    init(loops: Int, limits: PoolerConfiguration.Limits, timeouts: PoolerConfiguration.Timeouts) {
        self.loops = loops
        self.limits = limits
        shared = SharedLimits(limits)
        self.timeouts = timeouts
    }

    /// The pool of a database and user, made when there is none.
    /// - Returns: `nil` when there are ``PoolerConfiguration/Limits/poolsMax`` already.
    mutating func pool(_ key: PoolKey) -> Int? {
        if let index = poolsByKey[key] { return index }
        guard pools.count < limits.poolsMax else { return nil }
        pools.append(Pool(key, owner: shared.owner(database: key.database, user: key.user), loops: loops))
        poolsByKey[key] = pools.count - 1
        return pools.count - 1
    }

    /// All that are not free.
    var total: Int { shared.total }

    // MARK: Events

    /// A client needs a connection.
    mutating func leaseRequested(_ pool: Int, loop: Int, now: NIODeadline) -> Lease {
        if !pools[pool].isPaused, let slot = pools[pool].idle[loop].popLast() {
            assert(pools[pool].waiters[loop].isEmpty, "nobody waits where a connection is idle")
            connections[slot].state = .leased
            return .use(slot: name(slot))
        }
        lastTicket += 1
        pools[pool].waiters[loop].append(Waiter(ticket: lastTicket, since: now))
        pools[pool].waiterCount += 1
        return .wait(ticket: lastTicket, orderForWaiter(pool, loop: loop, now: now))
    }

    /// A client needs a connection that is its own for as long as it is there. It is leased from the beginning, and kept; then ``closed(_:now:)``.
    /// - Returns: `nil` when there are as many as may be: nobody waits for what is not given back.
    mutating func ownRequested(_ pool: Int, loop: Int) -> Slot? {
        let state = pools[pool]
        guard !state.isPaused, shared.haveRoom(for: state.owner), state.pinned < pinnedMax(state), state.count < countMax(state) else { return nil }
        let slot = take(pool, loop: loop, state: .leased)
        connections[slot].isPinned = true
        pools[pool].pinned += 1
        return name(slot)
    }

    /// Whether a client may keep a connection of its own for its next transaction.
    func mayKeepOwn(_ own: Slot, now: NIODeadline) -> Bool {
        guard let slot = index(own) else { return false }
        return !connections[slot].isOutdated && now < connections[slot].expires && !pools[connections[slot].pool].isPaused
    }

    private func countMax(_ pool: Pool) -> Int { pool.kind == .dedicated ? limits.dedicatedMax : limits.poolSize + limits.reserveSize }

    private func pinnedMax(_ pool: Pool) -> Int { pool.kind == .dedicated ? limits.dedicatedMax : limits.pinnedMax }

    /// A client has done with its connection.
    /// - Parameter isReusable: whether another client may have it; otherwise it is closed.
    mutating func released(_ released: Slot, isReusable: Bool, now: NIODeadline) -> Order? {
        guard let slot = index(released) else { return nil }
        assert(connections[slot].state == .leased)
        unpin(slot)
        guard isReusable, now < connections[slot].expires else {
            connections[slot].state = .closing
            return .close(slot: name(slot), loop: connections[slot].loop)
        }
        return becameFree(slot, now: now)
    }

    /// A connection has logged in.
    mutating func connected(_ connected: Slot, now: NIODeadline) -> [Order] {
        guard let slot = index(connected) else { return [] }
        let pool = connections[slot].pool
        assert(connections[slot].state == .connecting)
        pools[pool].connecting -= 1
        pools[pool].coming[connections[slot].loop] -= 1
        pools[pool].failures = 0
        pools[pool].retryAt = .distantPast
        connections[slot].expires = expiry(slot, now: now)
        var orders: [Order] = []
        if let order = becameFree(slot, now: now) { orders.append(order) }
        // Others may log in now.
        orders += ordersForWaiters(pool, now: now)
        return orders
    }

    /// A connection has come to its new loop.
    mutating func moved(_ moved: Slot, now: NIODeadline) -> [Order] {
        guard let slot = index(moved) else { return [] }
        assert(connections[slot].state == .moving)
        let pool = connections[slot].pool
        pools[pool].coming[connections[slot].loop] -= 1
        let order = becameFree(slot, now: now)
        // It may have been too late for the one whom it was to serve.
        return (order.map { [$0] } ?? []) + ordersForWaiters(pool, now: now)
    }

    /// ``rest`` has passed since ``Order/watch(pool:loop:)``.
    mutating func rested(_ pool: Int, now: NIODeadline) -> [Order] {
        pools[pool].isWatched = false
        return ordersForWaiters(pool, now: now)
    }

    /// A connection is gone, or was never made.
    mutating func closed(_ closed: Slot, now: NIODeadline) -> [Order] {
        guard let slot = index(closed) else { return [] }
        let connection = connections[slot]
        let pool = connection.pool
        switch connection.state {
        case .free: return []
        case .connecting:
            pools[pool].connecting -= 1
            pools[pool].coming[connection.loop] -= 1
            pools[pool].failures += 1
            let factor = Int64(1) << Int64(min(pools[pool].failures - 1, 10))
            pools[pool].retryAt = now + min(Self.retryDelays.last, Self.retryDelays.first * factor)
        case .moving: pools[pool].coming[connection.loop] -= 1
        case .idle: pools[pool].idle[connection.loop].removeAll { $0 == slot }
        case .leased, .closing: break
        }
        unpin(slot)
        connections[slot] = Connection(generation: connection.generation + 1)
        freeSlots.append(slot)
        pools[pool].count -= 1
        shared.givenBack(pools[pool].owner)
        var orders = ordersForWaiters(pool, now: now)
        // What held this pool back may hold back others, too.
        for other in pools.indices where other != pool && pools[other].waiterCount > 0 { orders += ordersForWaiters(other, now: now) }
        return orders
    }

    /// A client that waited is gone.
    mutating func waiterGone(_ ticket: UInt64, pool: Int, loop: Int) {
        if pools[pool].waiters[loop].remove(ticket) { pools[pool].waiterCount -= 1 }
    }

    /// The server refuses logins of this pool: who waits is told, by the caller.
    /// - Returns: the tickets and loops of all who waited.
    mutating func loginRefused(_ pool: Int) -> [(ticket: UInt64, loop: Int)] {
        var refused: [(ticket: UInt64, loop: Int)] = []
        for loop in 0..<loops { refused += pools[pool].waiters[loop].removeAll().map { ($0.ticket, loop) } }
        pools[pool].waiterCount = 0
        return refused
    }

    /// Time has gone by: ends waits that were too long, closes connections that are old or not needed, keeps the minimum ready.
    mutating func swept(now: NIODeadline) -> [Order] {
        var orders: [Order] = []
        if mayBeOver { mayBeOver = pools.contains { $0.count > countMax($0) || $0.connecting > limits.loginsMax || $0.pinned > pinnedMax($0) || shared.isOver($0.owner) } }
        for pool in pools.indices {
            for loop in 0..<loops {
                while let first = pools[pool].waiters[loop].first, first.since + timeouts.queryWait <= now {
                    _ = pools[pool].waiters[loop].popFirst()
                    pools[pool].waiterCount -= 1
                    orders.append(.expire(ticket: first.ticket, loop: loop))
                }
                orders += closeUnneeded(pool, loop: loop, now: now)
            }
            orders += ordersForWaiters(pool, now: now)
            while pools[pool].count < limits.minPoolSize, !pools[pool].isPaused, pools[pool].kind == .shared, mayConnect(pool, now: now) {
                orders.append(connect(pool, loop: fewestConnections(pool)))
            }
        }
        return orders
    }

    // MARK: Operators' commands

    /// No connection is leased any more until ``resumed(_:now:)``.
    mutating func paused(_ pool: Int) {
        pools[pool].isPaused = true
    }

    mutating func resumed(_ pool: Int, now: NIODeadline) -> [Order] {
        pools[pool].isPaused = false
        return ordersForWaiters(pool, now: now)
    }

    /// Connections of before are not used again: idle ones are closed, others when they are released.
    mutating func reconnect(_ pool: Int) -> [Order] {
        for slot in connections.indices where connections[slot].pool == pool && connections[slot].state != .free {
            connections[slot].isOutdated = true
        }
        return closeIdle(pool)
    }

    /// Other limits and timeouts from now on. What is over a limit goes: at once if it is idle, otherwise when it becomes free.
    mutating func adopt(_ limits: PoolerConfiguration.Limits, _ timeouts: PoolerConfiguration.Timeouts, now: NIODeadline) -> [Order] {
        self.limits = limits
        self.timeouts = timeouts
        shared.limits = limits
        mayBeOver = true
        var orders: [Order] = []
        var after = afterClosing
        for pool in pools.indices {
            for loop in 0..<loops {
                while after.counts[pool] > countMax(pools[pool]) || after.shared.isOver(pools[pool].owner), !pools[pool].idle[loop].isEmpty {
                    let slot = pools[pool].idle[loop].removeFirst()
                    connections[slot].state = .closing
                    orders.append(.close(slot: name(slot), loop: loop))
                    after.shared.givenBack(pools[pool].owner)
                    after.counts[pool] -= 1
                }
            }
        }
        for pool in pools.indices { orders += ordersForWaiters(pool, now: now) }
        return orders
    }

    /// Whether a connection more than may be is there, without those that close already.
    private func isSurplus(_ pool: Int) -> Bool {
        let owner = pools[pool].owner
        guard mayBeOver, pools[pool].count > countMax(pools[pool]) || shared.isOver(owner) else { return false }
        let (after, counts) = afterClosing
        return counts[pool] > countMax(pools[pool]) || after.isOver(owner)
    }

    /// As it will be when those that close are gone: the shared limits, and the connections of each pool.
    private var afterClosing: (shared: SharedLimits, counts: [Int]) {
        var after = (shared: shared, counts: pools.map(\.count))
        for connection in connections where connection.state == .closing {
            after.shared.givenBack(pools[connection.pool].owner)
            after.counts[connection.pool] -= 1
        }
        return after
    }

    /// All of it has stood still for so long.
    mutating func postponed(by time: TimeAmount) {
        for pool in pools.indices {
            for loop in 0..<loops { pools[pool].waiters[loop].postpone(by: time) }
        }
    }

    /// Closes all idle connections of a pool.
    mutating func closeIdle(_ pool: Int) -> [Order] {
        var orders: [Order] = []
        for loop in 0..<loops {
            for slot in pools[pool].idle[loop] {
                connections[slot].state = .closing
                orders.append(.close(slot: name(slot), loop: loop))
            }
            pools[pool].idle[loop] = []
        }
        return orders
    }

    /// A client keeps its connection between transactions.
    /// - Returns: `false` when as many of the pool's are kept already as may be.
    mutating func pinned(_ pinned: Slot) -> Bool {
        guard let slot = index(pinned), connections[slot].state == .leased else { return false }
        if connections[slot].isPinned { return true }
        let pool = pools[connections[slot].pool]
        guard pool.pinned < pinnedMax(pool) else { return false }
        connections[slot].isPinned = true
        pools[connections[slot].pool].pinned += 1
        return true
    }

    private mutating func unpin(_ slot: Int) {
        guard connections[slot].isPinned else { return }
        connections[slot].isPinned = false
        pools[connections[slot].pool].pinned -= 1
    }

    /// Connections of a pool that somebody has now.
    func leasedCount(_ pool: Int) -> Int {
        connections.count { $0.pool == pool && $0.state == .leased }
    }

    private func name(_ slot: Int) -> Slot { Slot(index: slot, generation: connections[slot].generation) }

    /// - Returns: `nil` when that connection is gone.
    private func index(_ slot: Slot) -> Int? {
        connections.indices.contains(slot.index) && connections[slot.index].generation == slot.generation ? slot.index : nil
    }

    // MARK: Decisions

    /// Gives a connection to a waiter, or keeps it.
    private mutating func becameFree(_ slot: Int, now: NIODeadline) -> Order? {
        let (pool, loop) = (connections[slot].pool, connections[slot].loop)
        // The first question answers most; the second copies the machine to be asked.
        if connections[slot].isOutdated || mayBeOver && isSurplus(pool) {
            connections[slot].state = .closing
            return .close(slot: name(slot), loop: loop)
        }
        var isWaitedFor = false
        if pools[pool].waiterCount > 0, !pools[pool].isPaused, let oldest = pools[pool].oldest {
            let own = pools[pool].waiters[loop].first
            let isOldestNeedy = pools[pool].waiters[oldest.loop].count > pools[pool].coming[oldest.loop]
            if let own, !isOldestNeedy || own.since <= oldest.waiter.since + Self.patience {
                _ = pools[pool].waiters[loop].popFirst()
                pools[pool].waiterCount -= 1
                connections[slot].state = .leased
                return .serve(ticket: own.ticket, slot: name(slot), loop: loop)
            }
            let needy = isOldestNeedy ? oldest.loop : (0..<loops).first { pools[pool].waiters[$0].count > pools[pool].coming[$0] }
            if let needy {
                if hasRoom(pool) || isImpatient(pool, loop: needy, now: now) { return move(slot, to: needy) }
                isWaitedFor = true
            }
        }
        connections[slot].state = .idle
        connections[slot].idleSince = now
        pools[pool].idle[loop].append(slot)
        return isWaitedFor ? watch(pool, loop: loop) : nil
    }

    private func hasRoom(_ pool: Int) -> Bool { pools[pool].count < limits.poolSize && shared.haveRoom(for: pools[pool].owner) }

    private func isImpatient(_ pool: Int, loop: Int, now: NIODeadline) -> Bool {
        pools[pool].waiters[loop].first.map { $0.since + Self.patience < now } ?? false
    }

    private mutating func watch(_ pool: Int, loop: Int) -> Order? {
        guard !pools[pool].isWatched else { return nil }
        pools[pool].isWatched = true
        return .watch(pool: pool, loop: loop)
    }

    private mutating func move(_ slot: Int, to loop: Int) -> Order {
        let from = connections[slot].loop
        let pool = connections[slot].pool
        connections[slot].state = .moving
        connections[slot].loop = loop
        pools[pool].coming[loop] += 1
        pools[pool].moves += 1
        return .move(slot: name(slot), from: from, to: loop)
    }

    /// One connection for somebody who waits on a loop, if there is a way.
    private mutating func orderForWaiter(_ pool: Int, loop: Int, now: NIODeadline) -> Order? {
        guard !pools[pool].isPaused, pools[pool].waiters[loop].count > pools[pool].coming[loop] else { return nil }
        if let slot = pools[pool].idle[loop].first ?? longestIdle(pool) {
            let other = connections[slot].loop
            if other == loop, let waiter = pools[pool].waiters[loop].popFirst() {
                pools[pool].idle[other].removeFirst()
                pools[pool].waiterCount -= 1
                connections[slot].state = .leased
                return .serve(ticket: waiter.ticket, slot: name(slot), loop: loop)
            }
            if pools[pool].moves >= Self.movesPerConnect, mayConnect(pool, now: now) {
                pools[pool].moves = 0
                return connect(pool, loop: loop)
            }
            guard hasRoom(pool) || connections[slot].idleSince + Self.rest <= now || isImpatient(pool, loop: loop, now: now) else {
                return watch(pool, loop: loop)
            }
            pools[pool].idle[other].removeFirst()
            return move(slot, to: loop)
        }
        if mayConnect(pool, now: now) { return connect(pool, loop: loop) }
        return evictForeign(pool, now: now)
    }

    /// The warm ones are for those who are there.
    private func longestIdle(_ pool: Int) -> Int? {
        var found: Int?
        for loop in 0..<loops {
            guard let slot = pools[pool].idle[loop].first, found.map({ connections[slot].idleSince < connections[$0].idleSince }) ?? true else { continue }
            found = slot
        }
        return found
    }

    private mutating func ordersForWaiters(_ pool: Int, now: NIODeadline) -> [Order] {
        guard pools[pool].waiterCount > 0, !pools[pool].isPaused else { return [] }
        var orders: [Order] = []
        for loop in 0..<loops {
            while let order = orderForWaiter(pool, loop: loop, now: now) {
                orders.append(order)
                if case .close = order { break }
            }
        }
        return orders
    }

    private func mayConnect(_ pool: Int, now: NIODeadline) -> Bool {
        let state = pools[pool]
        guard now >= state.retryAt, state.connecting < (state.failures > 0 ? 1 : limits.loginsMax), shared.haveRoom(for: pools[pool].owner) else { return false }
        if state.count < limits.poolSize { return true }
        guard state.count < limits.poolSize + limits.reserveSize, let oldest = state.oldest else { return false }
        return oldest.waiter.since + timeouts.reserve <= now
    }

    /// Where a limit that pools share is in the way of one that has none at all, an idle connection of another pool goes.
    private mutating func evictForeign(_ pool: Int, now: NIODeadline) -> Order? {
        let mine = pools[pool]
        guard mine.count == 0, now >= mine.retryAt else { return nil }
        var victim: Int?
        for slot in connections.indices where connections[slot].state == .idle {
            guard shared.wouldHaveRoom(for: mine.owner, without: pools[connections[slot].pool].owner),
                victim.map({ connections[slot].idleSince < connections[$0].idleSince }) ?? true
            else { continue }
            victim = slot
        }
        guard let victim else { return nil }
        let (other, loop) = (connections[victim].pool, connections[victim].loop)
        pools[other].idle[loop].removeAll { $0 == victim }
        connections[victim].state = .closing
        return .close(slot: name(victim), loop: loop)
    }

    private mutating func connect(_ pool: Int, loop: Int) -> Order {
        let slot = take(pool, loop: loop, state: .connecting)
        pools[pool].connecting += 1
        pools[pool].coming[loop] += 1
        return .connect(slot: name(slot), pool: pool, loop: loop)
    }

    private mutating func take(_ pool: Int, loop: Int, state: State) -> Int {
        let slot: Int
        if let free = freeSlots.popLast() {
            slot = free
        } else {
            slot = connections.count
            connections.append(Connection())
        }
        connections[slot] = Connection(generation: connections[slot].generation, state: state, pool: pool, loop: loop)
        pools[pool].count += 1
        shared.taken(pools[pool].owner)
        return slot
    }

    private mutating func closeUnneeded(_ pool: Int, loop: Int, now: NIODeadline) -> [Order] {
        var orders: [Order] = []
        var kept: [Int] = []
        var leaving = 0
        for slot in pools[pool].idle[loop] {
            let connection = connections[slot]
            let isUnneeded =
                timeouts.serverIdle > .zero && pools[pool].count - leaving > limits.minPoolSize
                && connection.idleSince + timeouts.serverIdle <= now
            if isUnneeded || connection.expires <= now {
                leaving += 1
                connections[slot].state = .closing
                orders.append(.close(slot: name(slot), loop: loop))
            } else {
                kept.append(slot)
            }
        }
        if leaving > 0 { pools[pool].idle[loop] = kept }
        return orders
    }

    /// Connections that were made together do not end together: a tenth of the lifetime is spread over the slots.
    private func expiry(_ slot: Int, now: NIODeadline) -> NIODeadline {
        guard timeouts.serverLifetime > .zero else { return .distantFuture }
        let spread = timeouts.serverLifetime.nanoseconds / 10
        return now + .nanoseconds(timeouts.serverLifetime.nanoseconds - spread / 16 * Int64(slot % 16))
    }

    private func fewestConnections(_ pool: Int) -> Int {
        var counts = Array(repeating: 0, count: loops)
        for connection in connections where connection.state != .free && connection.pool == pool { counts[connection.loop] += 1 }
        return counts.indices.min { counts[$0] < counts[$1] } ?? 0
    }

    // MARK: Invariants

    /// For tests: what must hold between any two events.
    func checkInvariants() -> String? {
        var counts = Array(repeating: 0, count: pools.count)
        var connecting = counts
        var coming = Array(repeating: Array(repeating: 0, count: loops), count: pools.count)
        for (slot, connection) in connections.enumerated() where connection.state != .free {
            counts[connection.pool] += 1
            let isListed = pools[connection.pool].idle[connection.loop].contains(slot)
            if isListed != (connection.state == .idle) { return "slot \(slot) is \(connection.state), listed as idle: \(isListed)" }
            if connection.state == .connecting { connecting[connection.pool] += 1 }
            if connection.state == .connecting || connection.state == .moving { coming[connection.pool][connection.loop] += 1 }
        }
        if counts.reduce(0, +) != total { return "total \(total), counted \(counts.reduce(0, +))" }
        for (index, pool) in pools.enumerated() {
            if pool.count != counts[index] { return "pool \(index) counts \(pool.count), has \(counts[index])" }
            if pool.connecting != connecting[index] || pool.coming != coming[index] { return "pool \(index) miscounts those that come" }
            if pool.count > countMax(pool), !mayBeOver { return "pool \(index) over its limit" }
            if pool.count - connections.count(where: { $0.state == .closing && $0.pool == index }) > countMax(pool), pool.idleCount > 0 {
                return "pool \(index) keeps an idle one over its limit"
            }
            if pool.connecting > limits.loginsMax, !mayBeOver { return "pool \(index): too many logins at a time" }
            if pool.idle.flatMap({ $0 }).count != Set(pool.idle.flatMap { $0 }).count { return "pool \(index) lists one twice" }
            if pool.pinned != connections.count(where: { $0.isPinned && $0.pool == index }) { return "pool \(index) miscounts pins" }
            if pool.pinned > pinnedMax(pool), !mayBeOver { return "pool \(index): too many pins" }
            if pool.waiterCount != pool.waiters.reduce(0, { $0 + $1.count }) { return "pool \(index) miscounts waiters" }
            for loop in 0..<loops where !pool.isPaused && pool.waiters[loop].count > pool.coming[loop] {
                if !pool.idle[loop].isEmpty { return "pool \(index): somebody waits on loop \(loop) while a connection of the loop is idle" }
                if pool.idleCount > 0, !pool.isWatched { return "pool \(index): somebody waits on loop \(loop) while a connection is idle" }
            }
        }
        return shared.checkInvariants(mayBeOver: mayBeOver)
    }
}
