import NIOCore
import TestSupport
import Testing

@testable import Edge

/// Event loops that share an ``UpstreamMachine``, with every interleaving that a seed can find.
///
/// How it works:
/// 1. A world has some loops, some members, and limits so tight that requests wait. It keeps what the machine must never be told wrong:
///    the real connections of each loop, and who waits where.
/// 2. Each step does one thing that can happen: a request, an end, a connection closed by either side, a message that arrives (late,
///    but in order on each loop), a name that resolves anew, a probe.
/// 3. After each step the machine's invariants hold, and no limit is passed. In the end everything is let finish: then nobody waits and
///    no connection is counted that is not there.
@Suite struct UpstreamSimulationTests {
    @Test(arguments: 0..<200)
    func `no connection is lost, counted twice or over a limit, and nobody waits for ever`(seed: Int) {
        var world = World(seed: UInt64(seed))
        for _ in 0..<600 { world.step() }
        world.finish()
    }

    private struct World {
        private struct Loop {
            /// Real connections at rest, by member.
            var idle: [Int: Int] = [:]
            /// Real connections in use, by member.
            var busy: [Int] = []
            var waiting: Set<UInt64> = []
            /// Idle connections that were closed while they were promised, by member.
            var broken: [Int: Int] = [:]
            var inbox: [UpstreamMachine.Message] = []
        }

        private let seed: UInt64
        private var random: SeededRandom
        private var machine: UpstreamMachine
        private var loops: [Loop]
        private var now = NIODeadline.uptimeNanoseconds(1_000_000_000_000)
        private var serial: UInt64 = 0
        private let group: UpstreamGroup
        private let endpoints: [UpstreamGroup.SocketEndpoint]
        /// Some are backups.
        private let ranks: [Int]

        init(seed: UInt64) {
            self.seed = seed
            random = SeededRandom(seed: seed)
            endpoints = (0..<Int.random(in: 1...4, using: &random)).map { .tcp(host: "10.0.0.\($0)", port: 80) }
            var group = UpstreamGroup(members: endpoints.map { .init($0) })
            group.connectionsMax = Int.random(in: 1...6, using: &random)
            group.waitingMax = Int.random(in: 0...8, using: &random)
            group.idleConnectionsMax = Int.random(in: 0...3, using: &random)
            if random.chance(oneIn: 2) { group.memberConnectionsMax = Int.random(in: 1...3, using: &random) }
            group.balancing = random.pick([.roundRobin, .leastConnections, .randomOfTwo, .consistentHash(.target)])
            if random.chance(oneIn: 2) { group.healthCheck.path = "/" }
            self.group = group
            loops = [Loop](repeating: Loop(), count: Int.random(in: 1...3, using: &random))
            machine = UpstreamMachine(group, loops: loops.count)
            var ranks: [Int] = []
            for _ in endpoints { ranks.append(random.chance(oneIn: 3) ? 1 : 0) }
            self.ranks = ranks
            _ = machine.resolved(zip(endpoints, ranks).map { .init(endpoint: $0, rank: $1) }, now: now)
        }

        mutating func step() {
            now = now + .milliseconds(Int64.random(in: 0...200, using: &random))
            let loop = Int.random(in: 0..<loops.count, using: &random)
            switch Int.random(in: 0..<20, using: &random) {
            case 0..<7: request(on: loop)
            case 7..<11: release(on: loop, isKept: true)
            case 11: release(on: loop, isKept: false)
            case 12: breakBusy(on: loop)
            case 13: breakIdle(on: loop)
            case 14: expire(on: loop)
            case 15: giveUp(on: loop)
            case 16: resolve(some: true)
            case 17: probe()
            default: receive(on: loop)
            }
            check()
        }

        /// Lets everything come to its end.
        mutating func finish() {
            resolve(some: false)
            for _ in 0..<1000 where !loops.allSatisfy({ $0.inbox.isEmpty && $0.busy.isEmpty }) || machine.waitingCount > 0 {
                for loop in loops.indices {
                    while !loops[loop].inbox.isEmpty { receive(on: loop) }
                    while !loops[loop].busy.isEmpty { release(on: loop, isKept: true) }
                }
                // Members that probes called down come back, or those who wait for them would rightly wait.
                for endpoint in endpoints { for _ in 0..<3 { deliver(machine.probed(endpoint, isGood: true, now: now).1) } }
                check()
            }
            #expect(machine.waitingCount == 0 && loops.allSatisfy { $0.waiting.isEmpty }, "seed \(seed): somebody waits for ever")
            for loop in loops.indices { while expire(on: loop) {} }
            for loop in loops.indices { while !loops[loop].inbox.isEmpty { receive(on: loop) } }
            check()
            #expect(machine.open == 0 && loops.allSatisfy { $0.idle.values.allSatisfy { $0 == 0 } }, "seed \(seed)")
        }

        private func check() {
            machine.checkInvariants()
            let real = loops.reduce(0) { $0 + $1.busy.count + $1.idle.values.reduce(0, +) }
            #expect(real <= group.connectionsMax, "seed \(seed): \(real) connections")
            if let most = group.memberConnectionsMax {
                for member in machine.members.indices {
                    let count = loops.reduce(0) { $0 + $1.busy.count { $0 == member } + ($1.idle[member] ?? 0) }
                    #expect(count <= most, "seed \(seed): \(count) connections to \(member)")
                }
            }
        }

        private mutating func deliver(_ messages: [UpstreamMachine.Message]) {
            for message in messages { loops[message.loop].inbox.append(message) }
        }

        private mutating func request(on loop: Int) {
            serial += 1
            let tried = random.chance(oneIn: 4) ? [Int.random(in: 0..<4, using: &random)] : []
            let request = UpstreamMachine.Request(
                ticket: .init(loop: loop, serial: serial), key: random.chance(oneIn: 2) ? random.next() : nil, tried: tried,
                random: random.next())
            let (leased, message) = machine.requested(request, now: now)
            if let message { deliver([message]) }
            switch leased {
            case .idle(let member): use(member, on: loop)
            case .connect(let member): loops[loop].busy.append(member)
            case .wait: loops[loop].waiting.insert(serial)
            case .full, .nobody: break
            }
        }

        private mutating func use(_ member: Int, on loop: Int) {
            #expect(loops[loop].idle[member, default: 0] > 0, "seed \(seed): a slot without its connection")
            loops[loop].idle[member, default: 0] -= 1
            loops[loop].busy.append(member)
        }

        private mutating func release(on loop: Int, isKept: Bool) {
            guard !loops[loop].busy.isEmpty else { return }
            let member = loops[loop].busy.remove(at: Int.random(in: 0..<loops[loop].busy.count, using: &random))
            let outcome = random.pick([UpstreamMachine.Outcome.success, .success, .failure, .neutral])
            let (keeps, messages) = machine.released(loop: loop, member: member, outcome, isKept: isKept, now: now)
            if keeps { loops[loop].idle[member, default: 0] += 1 }
            deliver(messages)
        }

        private mutating func breakBusy(on loop: Int) {
            guard let member = loops[loop].busy.popLast() else { return }
            deliver(machine.closed(member: member, .failure, now: now))
        }

        private mutating func breakIdle(on loop: Int) {
            guard let member = loops[loop].idle.filter({ $0.value > 0 }).keys.sorted().first else { return }
            loops[loop].idle[member, default: 0] -= 1
            let (wasPromised, messages) = machine.idleClosed(loop: loop, member: member, now: now)
            if wasPromised { loops[loop].broken[member, default: 0] += 1 }
            deliver(messages)
        }

        @discardableResult
        private mutating func expire(on loop: Int) -> Bool {
            for member in loops[loop].idle.filter({ $0.value > 0 }).keys.sorted() {
                let (closes, messages) = machine.idleExpired(loop: loop, member: member, now: now)
                deliver(messages)
                guard closes else { continue }
                loops[loop].idle[member, default: 0] -= 1
                return true
            }
            return false
        }

        private mutating func giveUp(on loop: Int) {
            guard let ticket = loops[loop].waiting.sorted().first else { return }
            if machine.gaveUp(.init(loop: loop, serial: ticket)) { loops[loop].waiting.remove(ticket) }
        }

        private mutating func resolve(some: Bool) {
            let chosen = zip(endpoints, ranks).filter { _ in !some || !random.chance(oneIn: 3) }
            deliver(machine.resolved(chosen.map { .init(endpoint: $0, rank: $1) }, now: now))
        }

        private mutating func probe() {
            let isGood = random.chance(oneIn: 2)
            let endpoint = random.pick(endpoints)
            for _ in 0..<3 { deliver(machine.probed(endpoint, isGood: isGood, now: now).1) }
        }

        private mutating func receive(on loop: Int) {
            guard !loops[loop].inbox.isEmpty else { return }
            switch loops[loop].inbox.removeFirst() {
            case .granted(let ticket, let member, let isIdle):
                let isWanted = loops[loop].waiting.remove(ticket.serial) != nil
                #expect(isWanted, "seed \(seed): nobody waited for it")
                if isIdle, loops[loop].broken[member, default: 0] > 0 {
                    // As UpstreamConnector does: the slot serves for a new one.
                    loops[loop].broken[member, default: 0] -= 1
                    loops[loop].busy.append(member)
                } else if isIdle {
                    use(member, on: loop)
                } else {
                    loops[loop].busy.append(member)
                }
            case .refused(let ticket):
                #expect(loops[loop].waiting.remove(ticket.serial) != nil, "seed \(seed): nobody waited for it")
            case .evict(_, let member):
                let (closes, messages) = machine.evicted(loop: loop, member: member, now: now)
                if closes {
                    #expect(loops[loop].idle[member, default: 0] > 0, "seed \(seed): nothing there to close")
                    loops[loop].idle[member, default: 0] -= 1
                }
                deliver(messages)
            }
        }
    }
}
