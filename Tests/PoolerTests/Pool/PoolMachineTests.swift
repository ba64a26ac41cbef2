import NIOCore
import Testing

@testable import Pooler

/// The pools' decisions one by one; what must hold whatever happens is `SimulationTests`' to show.
@Suite struct PoolMachineTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    /// Two loops, one pool of two connections unless told otherwise.
    private static func machine(
        loops: Int = 2, poolSize: Int = 2, minPoolSize: Int = 0, reserveSize: Int = 0, _ change: (inout PoolerConfiguration) -> Void = { _ in }
    ) -> PoolMachine {
        var configuration = PoolerConfiguration()
        configuration.limits.poolSize = poolSize
        configuration.limits.minPoolSize = minPoolSize
        configuration.limits.reserveSize = reserveSize
        change(&configuration)
        var machine = PoolMachine(loops: loops, limits: configuration.limits, timeouts: configuration.timeouts)
        _ = machine.pool(.init(database: "shop", user: "app"))
        return machine
    }

    /// A connection that was made for a client of a loop, who has it.
    private static func leased(_ machine: inout PoolMachine, loop: Int = 0, pool: Int = 0) throws -> PoolMachine.Slot {
        guard case .wait(let ticket, .connect(let slot, pool, loop)?) = machine.leaseRequested(pool, loop: loop, now: start) else {
            throw Unexpected()
        }
        let orders = machine.connected(slot, now: start)
        #expect(orders == [.serve(ticket: ticket, slot: slot, loop: loop)])
        return slot
    }

    private struct Unexpected: Error {}

    @Test func `an idle connection of the client's own loop is used, the last used first`() throws {
        var machine = Self.machine()
        let first = try Self.leased(&machine)
        let second = try Self.leased(&machine)
        #expect(machine.released(first, isReusable: true, now: Self.start) == nil)
        #expect(machine.released(second, isReusable: true, now: Self.start) == nil)
        #expect(machine.leaseRequested(0, loop: 0, now: Self.start) == .use(slot: second))
    }

    @Test(arguments: [1, 2, 25]) func `a pool grows to its size and not beyond`(size: Int) throws {
        var machine = Self.machine(poolSize: size)
        for _ in 0..<size { _ = try Self.leased(&machine) }
        guard case .wait(_, nil) = machine.leaseRequested(0, loop: 0, now: Self.start) else { throw Unexpected() }
        #expect(machine.pools[0].count == size)
    }

    @Test func `as many connections are pinned as may be, until they go back or are closed`() throws {
        var machine = Self.machine(poolSize: 4) { $0.limits.pinnedMax = 2 }
        let slots = try (0..<4).map { _ in try Self.leased(&machine) }
        var answers = [0, 0, 1, 2].map { machine.pinned(slots[$0]) }
        #expect(answers == [true, true, true, false])
        _ = machine.released(slots[0], isReusable: true, now: Self.start)
        // Nobody has the first.
        answers = [0, 2, 3].map { machine.pinned(slots[$0]) }
        #expect(answers == [false, true, false])
        _ = machine.closed(slots[1], now: Self.start)
        answers = [machine.pinned(slots[3])]
        #expect(answers == [true])
        #expect(machine.checkInvariants() == nil)
    }

    @Test func `an idle connection of another loop moves to who lacks one`() throws {
        var machine = Self.machine()
        let slot = try Self.leased(&machine)
        _ = machine.released(slot, isReusable: true, now: Self.start)
        guard case .wait(let ticket, let order) = machine.leaseRequested(0, loop: 1, now: Self.start) else { throw Unexpected() }
        #expect(order == .move(slot: slot, from: 0, to: 1))
        #expect(machine.moved(slot, now: Self.start) == [.serve(ticket: ticket, slot: slot, loop: 1)])
    }

    @Test func `connections of one client each count, are bounded, and are never another's`() throws {
        var machine = Self.machine(minPoolSize: 2) {
            $0.limits.pinnedMax = 2
            $0.limits.userConnectionsMax = 4
        }
        guard let pool = machine.pool(.init(database: "shop", user: "app", kind: .replication)), pool != 0,
            let first = machine.ownRequested(pool, loop: 0), let second = machine.ownRequested(pool, loop: 1)
        else { throw Unexpected() }
        let third = machine.ownRequested(pool, loop: 0)
        #expect(third == nil, "two are as many as may be kept")
        #expect(machine.total == 2 && machine.pools[pool].pinned == 2)
        #expect(machine.checkInvariants() == nil)
        // None is made that nobody asked for, and the user's limit holds for both kinds.
        let orders = machine.swept(now: Self.start)
        #expect(orders.count == 2 && !orders.contains { if case .connect(_, pool, _) = $0 { true } else { false } })
        let another = machine.ownRequested(pool, loop: 0)
        #expect(another == nil)
        let order = machine.released(first, isReusable: false, now: Self.start)
        #expect(order == .close(slot: first, loop: 0))
        _ = machine.closed(first, now: Self.start)
        _ = machine.closed(second, now: Self.start)
        #expect(machine.pools[pool].pinned == 0 && machine.pools[pool].count == 0)
        machine.paused(pool)
        let whilePaused = machine.ownRequested(pool, loop: 0)
        #expect(whilePaused == nil)
        #expect(machine.checkInvariants() == nil)
    }

    @Test func `while sharing is measured each client has one of its own, beside the pool and within a bound of their own`() throws {
        var machine = Self.machine(minPoolSize: 2) {
            $0.limits.pinnedMax = 1
            $0.limits.dedicatedMax = 3
        }
        guard let pool = machine.pool(.init(database: "shop", user: "app", kind: .dedicated)), pool != 0 else { throw Unexpected() }
        let own = (0..<4).map { machine.ownRequested(pool, loop: $0 % 2) }
        #expect(own.map { $0 != nil } == [true, true, true, false], "three, whatever the pool's size is")
        let kept = try #require(own[0])
        #expect(machine.mayKeepOwn(kept, now: Self.start) && machine.checkInvariants() == nil)
        // RECONNECT, PAUSE and the lifetime are heeded at the end of a transaction.
        _ = machine.reconnect(pool)
        #expect(!machine.mayKeepOwn(kept, now: Self.start))
        machine.paused(pool)
        let whilePaused = machine.ownRequested(pool, loop: 0)
        #expect(whilePaused == nil)
        let order = machine.released(kept, isReusable: false, now: Self.start)
        #expect(order == .close(slot: kept, loop: 0))
        _ = machine.closed(kept, now: Self.start)
        #expect(!machine.mayKeepOwn(kept, now: Self.start) && machine.pools[pool].count == 2)
        // The clients' usual pool is as it was.
        let slot = try Self.leased(&machine)
        #expect(machine.released(slot, isReusable: true, now: Self.start) == nil)
        #expect(machine.checkInvariants() == nil)
    }

    @Test func `a loop that needed others' connections often gets one of its own`() throws {
        var machine = Self.machine()
        let slot = try Self.leased(&machine)
        for move in 0..<PoolMachine.movesPerConnect {
            _ = machine.released(slot, isReusable: true, now: Self.start)
            guard case .wait(_, .move?) = machine.leaseRequested(0, loop: 1 - move % 2, now: Self.start) else { throw Unexpected() }
            _ = machine.moved(slot, now: Self.start)
        }
        _ = machine.released(slot, isReusable: true, now: Self.start)
        guard case .wait(_, .connect(_, 0, 1)?) = machine.leaseRequested(0, loop: 1, now: Self.start) else { throw Unexpected() }
    }

    @Test func `waiters of the connection's own loop go first, but nobody is passed over for longer than the patience`() throws {
        for (late, isOwn) in [(PoolMachine.patience, true), (PoolMachine.patience + .nanoseconds(1), false)] {
            var machine = Self.machine(poolSize: 1)
            let slot = try Self.leased(&machine)
            guard case .wait(_, nil) = machine.leaseRequested(0, loop: 1, now: Self.start),
                case .wait(let own, nil) = machine.leaseRequested(0, loop: 0, now: Self.start + late)
            else { throw Unexpected() }
            let order = machine.released(slot, isReusable: true, now: Self.start + late)
            #expect(order == (isOwn ? .serve(ticket: own, slot: slot, loop: 0) : .move(slot: slot, from: 0, to: 1)))
        }
    }

    @Test func `in a full pool a connection moves when nobody has asked for it on its loop for a while`() throws {
        var machine = Self.machine(poolSize: 1)
        let slot = try Self.leased(&machine)
        let released = Self.start + .seconds(1)
        #expect(machine.released(slot, isReusable: true, now: released) == nil)
        guard case .wait(let ticket, .watch(0, 1)?) = machine.leaseRequested(0, loop: 1, now: released) else { throw Unexpected() }
        #expect(machine.checkInvariants() == nil)
        #expect(machine.leaseRequested(0, loop: 0, now: released) == .use(slot: slot))
        #expect(machine.released(slot, isReusable: true, now: released + .microseconds(1)) == nil)
        // It has not rested yet: once more.
        #expect(machine.rested(0, now: released + PoolMachine.rest) == [.watch(pool: 0, loop: 1)])
        #expect(machine.rested(0, now: released + .microseconds(1) + PoolMachine.rest) == [.move(slot: slot, from: 0, to: 1)])
        #expect(machine.moved(slot, now: released + .milliseconds(3)) == [.serve(ticket: ticket, slot: slot, loop: 1)])
        #expect(machine.checkInvariants() == nil)
    }

    @Test func `a connection that is freed in a full pool stays, unless somebody on another loop has lost patience`() throws {
        for (wait, stays) in [(PoolMachine.patience, true), (PoolMachine.patience + .nanoseconds(1), false)] {
            var machine = Self.machine(poolSize: 1)
            let slot = try Self.leased(&machine)
            guard case .wait(_, nil) = machine.leaseRequested(0, loop: 1, now: Self.start) else { throw Unexpected() }
            let order = machine.released(slot, isReusable: true, now: Self.start + wait)
            #expect(order == (stays ? .watch(pool: 0, loop: 0) : .move(slot: slot, from: 0, to: 1)))
            // Its own loop's clients have it meanwhile, and nobody looks after it twice.
            guard stays else { continue }
            #expect(machine.leaseRequested(0, loop: 0, now: Self.start + wait) == .use(slot: slot))
            #expect(machine.released(slot, isReusable: true, now: Self.start + wait) == nil)
            #expect(machine.checkInvariants() == nil)
        }
    }

    @Test func `the reserve is touched after a wait, and not before`() throws {
        var machine = Self.machine(poolSize: 1, reserveSize: 1) { $0.timeouts.reserve = .seconds(5) }
        _ = try Self.leased(&machine)
        guard case .wait(_, nil) = machine.leaseRequested(0, loop: 0, now: Self.start) else { throw Unexpected() }
        #expect(machine.swept(now: Self.start + .nanoseconds(4_999_999_999)).isEmpty)
        guard case .connect? = machine.swept(now: Self.start + .seconds(5)).first else { throw Unexpected() }
        #expect(machine.pools[0].count == 2)
    }

    @Test func `who waits too long is told`() throws {
        var machine = Self.machine(poolSize: 1) { $0.timeouts.queryWait = .seconds(2) }
        _ = try Self.leased(&machine)
        guard case .wait(let ticket, nil) = machine.leaseRequested(0, loop: 1, now: Self.start) else { throw Unexpected() }
        #expect(machine.swept(now: Self.start + .nanoseconds(1_999_999_999)).isEmpty)
        #expect(machine.swept(now: Self.start + .seconds(2)) == [.expire(ticket: ticket, loop: 1)])
        #expect(machine.pools[0].waiterCount == 0)
    }

    @Test func `a server that cannot be reached is tried again, less and less often`() throws {
        var machine = Self.machine()
        guard case .wait(_, .connect(let slot, 0, 0)?) = machine.leaseRequested(0, loop: 0, now: Self.start) else { throw Unexpected() }
        #expect(machine.closed(slot, now: Self.start).isEmpty)
        #expect(machine.swept(now: Self.start + .milliseconds(99)).isEmpty)
        guard case .connect(let again, 0, 0)? = machine.swept(now: Self.start + .milliseconds(100)).first else { throw Unexpected() }
        #expect(machine.closed(again, now: Self.start + .milliseconds(100)).isEmpty)
        #expect(machine.swept(now: Self.start + .milliseconds(299)).isEmpty)
        #expect(machine.swept(now: Self.start + .milliseconds(300)).count == 1)
    }

    @Test func `an old connection is closed when it is released, and an unused one beyond the minimum when it is idle`() throws {
        var machine = Self.machine(minPoolSize: 1) {
            $0.timeouts.serverLifetime = .seconds(100)
            $0.timeouts.serverIdle = .seconds(10)
        }
        let (first, second) = (try Self.leased(&machine), try Self.leased(&machine))
        _ = machine.released(first, isReusable: true, now: Self.start)
        #expect(machine.swept(now: Self.start + .seconds(10)) == [.close(slot: first, loop: 0)])
        #expect(machine.closed(first, now: Self.start + .seconds(10)).isEmpty)
        #expect(machine.released(second, isReusable: true, now: Self.start + .seconds(100)) == .close(slot: second, loop: 0))
    }

    @Test func `the minimum is kept ready`() throws {
        var machine = Self.machine(poolSize: 4, minPoolSize: 3)
        let orders = machine.swept(now: Self.start)
        #expect(orders.count == 3)
        #expect(machine.checkInvariants() == nil)
        for case .connect(let slot, _, _) in orders { _ = machine.connected(slot, now: Self.start) }
        #expect(machine.pools[0].idleCount == 3)
        #expect(machine.swept(now: Self.start).isEmpty)
    }

    @Test func `limits of a database, of a user and of all hold over pools; an idle connection of another pool makes room`() throws {
        let limits: [(inout PoolerConfiguration) -> Void] = [
            { $0.limits.databaseConnectionsMax = 1 }, { $0.limits.userConnectionsMax = 1 }, { $0.limits.serverConnectionsMax = 1 },
        ]
        for (index, limit) in limits.enumerated() {
            var machine = Self.machine(limit)
            let other = index == 0 ? ("shop", "other") : index == 1 ? ("other", "app") : ("other", "other")
            let made = machine.pool(.init(database: other.0, user: other.1))
            let pool = try #require(made)
            let slot = try Self.leased(&machine)
            guard case .wait(let ticket, nil) = machine.leaseRequested(pool, loop: 0, now: Self.start) else { throw Unexpected() }
            machine.waiterGone(ticket, pool: pool, loop: 0)
            _ = machine.released(slot, isReusable: true, now: Self.start)
            guard case .wait(_, .close(slot, 0)?) = machine.leaseRequested(pool, loop: 0, now: Self.start) else { throw Unexpected() }
            guard case .connect(_, pool, 0)? = machine.closed(slot, now: Self.start).first else { throw Unexpected() }
        }
    }

    @Test func `a late order does not meet the slot's next connection`() throws {
        var machine = Self.machine(poolSize: 1)
        let slot = try Self.leased(&machine)
        _ = machine.closed(slot, now: Self.start)
        let next = try Self.leased(&machine)
        #expect(next.index == slot.index && next != slot)
        #expect(machine.released(slot, isReusable: true, now: Self.start) == nil)
        #expect(machine.closed(slot, now: Self.start).isEmpty)
        #expect(machine.pools[0].count == 1)
    }

    @Test(arguments: [(2, true), (3, false)]) func `pools have a bound`(number: Int, isMade: Bool) {
        var machine = Self.machine { $0.limits.poolsMax = 2 }
        for index in 2...number {
            #expect((machine.pool(.init(database: "d\(index)", user: "u")) != nil) == (index <= 2))
        }
    }

    @Test func `a paused pool lends nothing until it is resumed`() throws {
        var machine = Self.machine()
        let slot = try Self.leased(&machine)
        machine.paused(0)
        #expect(machine.released(slot, isReusable: true, now: Self.start) == nil)
        guard case .wait(let ticket, nil) = machine.leaseRequested(0, loop: 0, now: Self.start) else { throw Unexpected() }
        #expect(machine.resumed(0, now: Self.start) == [.serve(ticket: ticket, slot: slot, loop: 0)])
    }

    @Test func `a limit that is lowered closes what is idle at once, and the rest when it is free`() throws {
        var machine = Self.machine(loops: 1, poolSize: 4)
        let slots = try (0..<4).map { _ in try Self.leased(&machine) }
        for slot in slots[..<2] { _ = machine.released(slot, isReusable: true, now: Self.start) }
        var limits = PoolerConfiguration.Limits()
        (limits.poolSize, limits.minPoolSize, limits.reserveSize) = (1, 0, 0)
        #expect(machine.adopt(limits, .init(), now: Self.start) == [.close(slot: slots[0], loop: 0), .close(slot: slots[1], loop: 0)])
        for slot in slots[..<2] { #expect(machine.closed(slot, now: Self.start) == []) }
        #expect(machine.released(slots[2], isReusable: true, now: Self.start) == .close(slot: slots[2], loop: 0))
        #expect(machine.closed(slots[2], now: Self.start) == [])
        #expect(machine.released(slots[3], isReusable: true, now: Self.start) == nil)
        #expect(machine.pools[0].count == 1 && machine.checkInvariants() == nil)
    }

    @Test func `a limit that is raised serves who waits`() throws {
        var machine = Self.machine(loops: 1, poolSize: 1)
        _ = try Self.leased(&machine)
        guard case .wait(_, nil) = machine.leaseRequested(0, loop: 0, now: Self.start) else { throw Unexpected() }
        var limits = PoolerConfiguration.Limits()
        limits.poolSize = 2
        let orders = machine.adopt(limits, .init(), now: Self.start)
        guard orders.count == 1, case .connect = orders[0] else { throw Unexpected() }
    }

    @Test func `connections of a database that has too many go, whichever pool's they are, and no more than that`() throws {
        var machine = Self.machine(loops: 1, poolSize: 4)
        guard let other = machine.pool(.init(database: "shop", user: "other")) else { throw Unexpected() }
        let slots = try [0, 0, other, other].map { try Self.leased(&machine, pool: $0) }
        for slot in slots { _ = machine.released(slot, isReusable: true, now: Self.start) }
        var limits = PoolerConfiguration.Limits()
        limits.databaseConnectionsMax = 3
        #expect(machine.adopt(limits, .init(), now: Self.start) == [.close(slot: slots[0], loop: 0)])
        // Before it is gone, it is not counted again.
        #expect(machine.adopt(limits, .init(), now: Self.start) == [])
    }

    @Test func `those that close already are not counted as too many`() throws {
        var machine = Self.machine(loops: 1, poolSize: 3)
        let slots = try (0..<3).map { _ in try Self.leased(&machine) }
        var limits = PoolerConfiguration.Limits()
        (limits.poolSize, limits.minPoolSize, limits.reserveSize) = (2, 0, 0)
        #expect(machine.adopt(limits, .init(), now: Self.start) == [])
        #expect(machine.released(slots[0], isReusable: true, now: Self.start) == .close(slot: slots[0], loop: 0))
        #expect(machine.released(slots[1], isReusable: true, now: Self.start) == nil)
        #expect(machine.closed(slots[0], now: Self.start) == [] && machine.checkInvariants() == nil)
    }

    @Test func `time that stood still is nobody's wait`() throws {
        var machine = Self.machine(loops: 1, poolSize: 1) { $0.timeouts.queryWait = .seconds(5) }
        _ = try Self.leased(&machine)
        guard case .wait(let ticket, nil) = machine.leaseRequested(0, loop: 0, now: Self.start) else { throw Unexpected() }
        machine.postponed(by: .seconds(60))
        #expect(machine.swept(now: Self.start + .seconds(64)) == [])
        #expect(machine.swept(now: Self.start + .seconds(66)) == [.expire(ticket: ticket, loop: 0)])
    }
}
