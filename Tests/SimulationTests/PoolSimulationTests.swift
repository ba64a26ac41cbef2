import Foundation
import NIOCore
import TestSupport
import Testing

@testable import Pooler

/// The pools in a world of their own.
///
/// How it works:
/// 1. One seed makes one world: event loops, pools, clients that want, hold, return and vanish, servers that accept, refuse and die.
/// 2. Orders of the machine's are kept in a list and carried out later, in random order between loops and in order within one, as
///    event loops do; time is a number that goes forward.
/// 3. After each step the machine's own invariants hold, and what the world knows besides: no connection is held by two clients or on
///    two loops; who waits is served or told within `query_wait_timeout` and a sweep. In every other world an operator changes limits,
///    too.
/// 4. At the end everybody returns what he holds, time goes on, and nobody may be waiting, nothing be over its limit.
///
/// A failure names its seed: `HEADRACE_SEED=… swift test --filter PoolSimulationTests`.
@Suite struct PoolSimulationTests {
    private static let seeds: [UInt64] = {
        if let seed = ProcessInfo.processInfo.environment["HEADRACE_SEED"].flatMap(UInt64.init) { return [seed] }
        return Array(1...60)
    }()

    @Test(arguments: seeds) func `whatever the order of events, limits hold and nobody is forgotten`(seed: UInt64) {
        var world = World(seed: seed)
        for step in 0..<4_000 {
            world.step()
            if let problem = world.problem {
                Issue.record("seed \(seed), step \(step): \(problem)")
                return
            }
        }
        world.settle()
        if let problem = world.problem { Issue.record("seed \(seed), at the end: \(problem)") }
        #expect(world.served > 20, "seed \(seed): a world in which something happens")
    }
}

private struct World {
    private struct Client {
        var pool: Int
        var loop: Int
        var ticket: UInt64?
        var since = NIODeadline.distantPast
        var slot: PoolMachine.Slot?
    }

    private var random: SeededRandom
    private let hasOperator: Bool
    private var machine: PoolMachine
    private let loops: Int
    private var configuration = PoolerConfiguration()
    private var now = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private var clients: [Client] = []
    /// Orders on their way, for each loop in the order in which they were given.
    private var orders: [[PoolMachine.Order]]
    private var connecting: [PoolMachine.Slot] = []
    private var moving: [PoolMachine.Slot] = []
    /// Where each open connection is.
    private var open: [PoolMachine.Slot: Int] = [:]
    private(set) var served = 0
    private(set) var problem: String?
    private var lastSweep: NIODeadline
    /// Pools that are to be looked at again, and when.
    private var watched: [(pool: Int, at: NIODeadline)] = []

    init(seed: UInt64) {
        random = SeededRandom(seed: seed)
        loops = Int.random(in: 1...4, using: &random)
        hasOperator = seed.isMultiple(of: 2)
        configuration.limits = Self.limits(&random)
        configuration.timeouts.queryWait = .seconds(3)
        configuration.timeouts.reserve = .seconds(1)
        configuration.timeouts.serverLifetime = .seconds(20)
        configuration.timeouts.serverIdle = .seconds(5)
        machine = PoolMachine(loops: loops, limits: configuration.limits, timeouts: configuration.timeouts)
        orders = Array(repeating: [], count: loops)
        lastSweep = now
        for (database, user) in [("a", "x"), ("a", "y"), ("b", "x")] { _ = machine.pool(.init(database: database, user: user)) }
        for _ in 0..<Int.random(in: 2...30, using: &random) {
            clients.append(Client(pool: Int.random(in: 0..<3, using: &random), loop: Int.random(in: 0..<loops, using: &random)))
        }
    }

    private static func limits(_ random: inout SeededRandom) -> PoolerConfiguration.Limits {
        var limits = PoolerConfiguration.Limits()
        limits.poolSize = Int.random(in: 1...6, using: &random)
        limits.minPoolSize = Int.random(in: 0...limits.poolSize, using: &random)
        limits.reserveSize = Int.random(in: 0...2, using: &random)
        limits.pinnedMax = Int.random(in: 0...2, using: &random)
        limits.loginsMax = Int.random(in: 1...4, using: &random)
        limits.serverConnectionsMax = Int.random(in: 3...12, using: &random)
        limits.databaseConnectionsMax = Bool.random(using: &random) ? 0 : Int.random(in: 2...8, using: &random)
        limits.userConnectionsMax = Bool.random(using: &random) ? 0 : Int.random(in: 2...8, using: &random)
        return limits
    }

    mutating func step() {
        now = now + .microseconds(Int64.random(in: 0...20_000, using: &random))
        if now >= lastSweep + .milliseconds(250) { sweep() }
        lookAgain()
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<40: clientActs(Int.random(in: clients.indices, using: &random))
        case 40..<75: carryOut(Int.random(in: 0..<loops, using: &random))
        case 75..<85: finishLogin(succeeds: Int.random(in: 0..<5, using: &random) > 0)
        case 85..<93: finishMove(succeeds: Int.random(in: 0..<20, using: &random) > 0)
        case 93..<95: serverDies()
        case 95..<97: clientVanishes(Int.random(in: clients.indices, using: &random))
        case 97: give(machine.reconnect(Int.random(in: 0..<3, using: &random)))
        case 98: if let slot = clients.randomElement(using: &random)?.slot { _ = machine.pinned(slot) }
        case 99 where hasOperator && Int.random(in: 0..<4, using: &random) == 0:
            configuration.limits = Self.limits(&random)
            give(machine.adopt(configuration.limits, configuration.timeouts, now: now))
        default: break
        }
        check()
    }

    /// Everybody returns what he has; all that is on its way arrives; who still waits is forgotten.
    mutating func settle() {
        for _ in 0..<2_000 where problem == nil {
            now = now + .milliseconds(5)
            for index in clients.indices where clients[index].slot != nil { clientActs(index) }
            for loop in 0..<loops { while !orders[loop].isEmpty { carryOut(loop) } }
            while !connecting.isEmpty { finishLogin(succeeds: true) }
            while !moving.isEmpty { finishMove(succeeds: true) }
            if now >= lastSweep + .milliseconds(250) { sweep() }
            lookAgain()
            check()
        }
        if problem == nil, let waiter = clients.firstIndex(where: { $0.ticket != nil }) { problem = "client \(waiter) waits for ever" }
        let countMax = configuration.limits.poolSize + configuration.limits.reserveSize
        if problem == nil, machine.total > configuration.limits.serverConnectionsMax || machine.pools.contains(where: { $0.count > countMax }) {
            problem = "a limit that was lowered does not hold"
        }
    }

    private mutating func clientActs(_ index: Int) {
        if let slot = clients[index].slot {
            clients[index].slot = nil
            guard open[slot] != nil else { return }
            give(machine.released(slot, isReusable: Int.random(in: 0..<20, using: &random) > 0, now: now).map { [$0] } ?? [])
        } else if clients[index].ticket == nil {
            switch machine.leaseRequested(clients[index].pool, loop: clients[index].loop, now: now) {
            case .use(let slot): hold(index, slot)
            case .wait(let ticket, let order):
                clients[index].ticket = ticket
                clients[index].since = now
                give(order.map { [$0] } ?? [])
            }
        }
    }

    private mutating func clientVanishes(_ index: Int) {
        if let ticket = clients[index].ticket {
            machine.waiterGone(ticket, pool: clients[index].pool, loop: clients[index].loop)
            clients[index].ticket = nil
        } else if clients[index].slot != nil {
            clientActs(index)
        }
        clients[index].loop = Int.random(in: 0..<loops, using: &random)
    }

    private mutating func hold(_ index: Int, _ slot: PoolMachine.Slot) {
        served += 1
        if clients.contains(where: { $0.slot == slot }) { problem = "two clients hold \(slot)" }
        if open[slot] != clients[index].loop { problem = "client \(index) got \(slot), which is not on its loop" }
        if machine.connections[slot.index].pool != clients[index].pool { problem = "a connection of another pool" }
        clients[index].ticket = nil
        clients[index].slot = slot
    }

    private mutating func give(_ new: [PoolMachine.Order]) {
        for order in new {
            switch order {
            case .connect(_, _, let loop), .serve(_, _, let loop), .close(_, let loop), .expire(_, let loop), .watch(_, let loop):
                orders[loop].append(order)
            case .move(_, let from, _): orders[from].append(order)
            }
        }
    }

    private mutating func carryOut(_ loop: Int) {
        guard !orders[loop].isEmpty else { return }
        switch orders[loop].removeFirst() {
        case .connect(let slot, _, let loop):
            connecting.append(slot)
            open[slot] = loop
        case .move(let slot, let from, let to):
            guard open[slot] != nil else { return }
            if open[slot] != from { problem = "\(slot) moves from where it is not" }
            open[slot] = to
            moving.append(slot)
        case .serve(let ticket, let slot, _):
            let index = clients.firstIndex { $0.ticket == ticket }
            if let index, open[slot] != nil {
                hold(index, slot)
            } else if let index {
                clients[index].ticket = nil
            } else if open[slot] != nil {
                give(machine.released(slot, isReusable: true, now: now).map { [$0] } ?? [])
            }
        case .close(let slot, _):
            guard open.removeValue(forKey: slot) != nil else { return }
            give(machine.closed(slot, now: now))
        case .expire(let ticket, _):
            for index in clients.indices where clients[index].ticket == ticket { clients[index].ticket = nil }
        case .watch(let pool, _): watched.append((pool, now + PoolMachine.rest))
        }
    }

    private mutating func finishLogin(succeeds: Bool) {
        guard let index = connecting.indices.randomElement(using: &random) else { return }
        let slot = connecting.remove(at: index)
        if succeeds {
            give(machine.connected(slot, now: now))
        } else {
            open[slot] = nil
            give(machine.closed(slot, now: now))
        }
    }

    private mutating func finishMove(succeeds: Bool) {
        guard let index = moving.indices.randomElement(using: &random) else { return }
        let slot = moving.remove(at: index)
        if succeeds {
            give(machine.moved(slot, now: now))
        } else {
            open[slot] = nil
            give(machine.closed(slot, now: now))
        }
    }

    private mutating func serverDies() {
        let candidates = open.keys.filter { !connecting.contains($0) && !moving.contains($0) }.sorted { $0.index < $1.index }
        guard let slot = candidates.randomElement(using: &random) else { return }
        open[slot] = nil
        for index in clients.indices where clients[index].slot == slot { clients[index].slot = nil }
        give(machine.closed(slot, now: now))
    }

    private mutating func lookAgain() {
        let due = watched.filter { $0.at <= now }
        watched.removeAll { $0.at <= now }
        for (pool, _) in due { give(machine.rested(pool, now: now)) }
    }

    private mutating func sweep() {
        lastSweep = now
        give(machine.swept(now: now))
    }

    private mutating func check() {
        if problem == nil { problem = machine.checkInvariants() }
        // An order may be on its way, and sweeps are a quarter of a second apart.
        let limit = configuration.timeouts.queryWait + .milliseconds(600)
        for (index, client) in clients.enumerated() where client.ticket != nil && client.since + limit < now {
            let isOnItsWay = orders.joined().contains { order in
                switch order {
                case .expire(let ticket, _), .serve(let ticket, _, _): ticket == client.ticket
                case .connect, .move, .close, .watch: false
                }
            }
            if !isOnItsWay, problem == nil { problem = "client \(index) has waited too long" }
        }
    }
}
