import NIOCore
import Testing

@testable import Edge

@Suite struct UpstreamMachineTests {
    private let t0 = NIODeadline.uptimeNanoseconds(1000 * 1_000_000_000)

    private func make(
        members: Int = 2, loops: Int = 2, _ change: (inout UpstreamGroup) -> Void = { _ in }
    ) -> UpstreamMachine {
        var group = UpstreamGroup(members: (0..<members).map { .init(.tcp(host: "10.0.0.\($0)", port: 80)) })
        change(&group)
        var machine = UpstreamMachine(group, loops: loops)
        #expect(machine.resolved(ResolvedMembers.list(group, [:]), now: t0).isEmpty)
        return machine
    }

    private func request(_ serial: UInt64, loop: Int = 0, tried: [Int] = [], key: UInt64? = nil) -> UpstreamMachine.Request {
        .init(ticket: .init(loop: loop, serial: serial), key: key, tried: tried)
    }

    private func granted(_ serial: UInt64, loop: Int = 0, _ member: Int, isIdle: Bool) -> UpstreamMachine.Message {
        .granted(.init(loop: loop, serial: serial), member, isIdle: isIdle)
    }

    // MARK: Slots

    @Test func `connects up to the group's limit, then waits up to its limit, then is full`() {
        var machine = make { $0.connectionsMax = 2; $0.waitingMax = 2 }
        let leased = (0..<5).map { machine.requested(request(UInt64($0)), now: t0).0 }
        #expect(leased == [.connect(0), .connect(1), .wait, .wait, .full])
        machine.checkInvariants()
    }

    @Test func `a member's own limit sends requests to the others, and then makes them wait`() {
        var machine = make { $0.memberConnectionsMax = 1 }
        let leased = (0..<3).map { machine.requested(request(UInt64($0)), now: t0).0 }
        #expect(leased == [.connect(0), .connect(1), .wait])
    }

    @Test func `an idle connection is used again, by its own loop alone`() {
        var machine = make(members: 1)
        #expect(machine.requested(request(1), now: t0).0 == .connect(0))
        let (keeps, messages) = machine.released(loop: 0, member: 0, .success, isKept: true, now: t0)
        #expect(keeps && messages.isEmpty)
        #expect(machine.requested(request(2, loop: 1), now: t0).0 == .connect(0))
        #expect(machine.requested(request(3, loop: 0), now: t0).0 == .idle(0))
        machine.checkInvariants()
    }

    @Test func `who wants a connection of its own leaves idle ones to others, as long as there is room`() {
        var machine = make(members: 1, loops: 1) { $0.connectionsMax = 2 }
        _ = machine.requested(request(1), now: t0)
        _ = machine.released(loop: 0, member: 0, .success, isKept: true, now: t0)
        var own = request(2)
        own.isOnItsOwn = true
        #expect(machine.requested(own, now: t0).0 == .connect(0))
        // No room for more: the idle one's slot is taken, and the loop makes a new connection in it.
        own.ticket = .init(loop: 0, serial: 3)
        #expect(machine.requested(own, now: t0).0 == .idle(0))
        machine.checkInvariants()
    }

    @Test func `an idle connection that does not fit is left to others, as long as there is room`() {
        var machine = make(members: 1, loops: 1) { $0.connectionsMax = 2 }
        _ = machine.requested(request(1), now: t0)
        _ = machine.released(loop: 0, member: 0, .success, isKept: true, now: t0)
        #expect(machine.requested(request(2), now: t0).0 == .idle(0))
        let isLeft = machine.leavesIdle(loop: 0, member: 0)
        #expect(isLeft)
        #expect(machine.open == 2)
        machine.checkInvariants()
        #expect(machine.requested(request(3), now: t0).0 == .idle(0))
        let isLeftAgain = machine.leavesIdle(loop: 0, member: 0)
        #expect(!isLeftAgain)
        #expect(machine.open == 2)
        machine.checkInvariants()
    }

    @Test func `so many idle connections of a loop are kept, and not one more`() {
        var machine = make(members: 1) { $0.idleConnectionsMax = 2 }
        for serial in UInt64(0)..<3 { _ = machine.requested(request(serial), now: t0) }
        let kept = (0..<3).map { _ in machine.released(loop: 0, member: 0, .success, isKept: true, now: t0).keeps }
        #expect(kept == [true, true, false])
        #expect(machine.open == 2)
    }

    // MARK: Waiters

    @Test func `who waits first is served first`() {
        var machine = make(members: 1, loops: 1) { $0.connectionsMax = 1 }
        for serial in UInt64(0)..<3 { _ = machine.requested(request(serial), now: t0) }
        #expect(machine.released(loop: 0, member: 0, .success, isKept: true, now: t0).1 == [granted(1, 0, isIdle: true)])
        #expect(machine.released(loop: 0, member: 0, .success, isKept: true, now: t0).1 == [granted(2, 0, isIdle: true)])
        #expect(machine.released(loop: 0, member: 0, .success, isKept: true, now: t0).1.isEmpty)
        machine.checkInvariants()
    }

    @Test func `a connection that is gone lets a waiter make one`() {
        var machine = make(members: 1) { $0.connectionsMax = 1 }
        _ = machine.requested(request(0), now: t0)
        _ = machine.requested(request(1, loop: 1), now: t0)
        #expect(machine.closed(member: 0, .failure, now: t0) == [granted(1, loop: 1, 0, isIdle: false)])
        #expect(machine.open == 1)
        machine.checkInvariants()
    }

    @Test func `a waiter of another loop gets the slot of an idle connection, which is closed for it`() {
        var machine = make(members: 1) { $0.connectionsMax = 1 }
        _ = machine.requested(request(0), now: t0)
        _ = machine.released(loop: 0, member: 0, .success, isKept: true, now: t0)
        let (leased, message) = machine.requested(request(1, loop: 1), now: t0)
        #expect(leased == .wait && message == .evict(loop: 0, member: 0))
        machine.checkInvariants()
        let (closes, messages) = machine.evicted(loop: 0, member: 0, now: t0)
        #expect(closes && messages == [granted(1, loop: 1, 0, isIdle: false)])
        #expect(machine.evicted(loop: 0, member: 0, now: t0).closes == false, "there is nothing more to close")
        machine.checkInvariants()
    }

    @Test func `a free connection goes to its own loop's waiter, unless another came much earlier`() {
        for (later, isOwn) in [(UpstreamMachine.orderSlack - .nanoseconds(1), true), (UpstreamMachine.orderSlack, false)] {
            var machine = make(members: 1) { $0.connectionsMax = 1 }
            _ = machine.requested(request(0, loop: 0), now: t0)
            _ = machine.requested(request(1, loop: 1), now: t0)
            _ = machine.requested(request(2, loop: 0), now: t0 + later)
            let messages = machine.released(loop: 0, member: 0, .success, isKept: true, now: t0 + later).1
            #expect(messages == [isOwn ? granted(2, 0, isIdle: true) : .evict(loop: 0, member: 0)])
            machine.checkInvariants()
        }
    }

    @Test func `who gives up waits no longer, and gives up once`() {
        var machine = make(members: 1) { $0.connectionsMax = 1 }
        _ = machine.requested(request(0), now: t0)
        _ = machine.requested(request(1), now: t0)
        #expect(machine.gaveUp(.init(loop: 0, serial: 1)) == true)
        #expect(machine.gaveUp(.init(loop: 0, serial: 1)) == false)
        #expect(machine.closed(member: 0, .neutral, now: t0).isEmpty)
    }

    @Test func `an idle connection that its member closed while it was promised costs no slot twice`() {
        var machine = make(members: 1, loops: 1) { $0.connectionsMax = 1 }
        _ = machine.requested(request(0), now: t0)
        _ = machine.requested(request(1), now: t0)
        #expect(machine.released(loop: 0, member: 0, .success, isKept: true, now: t0).1 == [granted(1, 0, isIdle: true)])
        #expect(machine.idleClosed(loop: 0, member: 0, now: t0).wasPromised)
        #expect(machine.open == 1, "the one who was promised it makes a connection of its own")
        machine.checkInvariants()
        #expect(machine.closed(member: 0, .neutral, now: t0).isEmpty && machine.open == 0)
    }

    // MARK: Backups

    private func makeWithBackup(_ change: (inout UpstreamGroup) -> Void = { _ in }) -> UpstreamMachine {
        make(members: 0) { group in
            group.members = [.init(.unix(path: "/a")), .init(.unix(path: "/b")), .init(.unix(path: "/c"), isBackup: true)]
            change(&group)
        }
    }

    @Test func `a backup gets nothing while another can be asked, and all when none can`() {
        var machine = makeWithBackup { $0.healthCheck.path = "/up" }
        for serial in UInt64(0)..<6 { #expect(machine.requested(request(serial), now: t0).0 != .connect(2)) }
        for member in 0..<2 {
            let endpoint = machine.members[member].endpoint
            for _ in 0..<machine.group.healthCheck.fall { _ = machine.probed(endpoint, isGood: false, now: t0) }
            let isForBackup = machine.requested(request(7), now: t0).0 == .connect(2)
            #expect(isForBackup == (member == 1))
        }
        let endpoint = machine.members[1].endpoint
        for _ in 0..<machine.group.healthCheck.rise { _ = machine.probed(endpoint, isGood: true, now: t0) }
        #expect(machine.requested(request(8), now: t0).0 == .connect(1))
        machine.checkInvariants()
    }

    @Test func `a request that was tried at all others goes to the backup`() {
        var machine = makeWithBackup()
        #expect(machine.requested(request(0, tried: [0]), now: t0).0 == .connect(1))
        #expect(machine.requested(request(0, tried: [0, 1]), now: t0).0 == .connect(2))
        #expect(machine.requested(request(0, tried: [0, 1, 2]), now: t0).0 == .nobody)
    }

    @Test func `a backup that is well comes before others that have failed`() {
        var machine = makeWithBackup()
        for member in 0..<2 {
            for _ in 0..<machine.group.passiveHealth.failuresMax { machine.judge(member, .failure, now: t0) }
        }
        #expect(machine.requested(request(0), now: t0).0 == .connect(2))
        for _ in 0..<machine.group.passiveHealth.failuresMax { machine.judge(2, .failure, now: t0) }
        #expect(machine.requested(request(1), now: t0).0 == .connect(0), "when nobody is trusted, the first are asked first")
    }

    @Test func `who is only busy is waited for`() {
        var machine = makeWithBackup { $0.memberConnectionsMax = 1 }
        #expect((UInt64(0)..<3).map { machine.requested(request($0), now: t0).0 } == [.connect(0), .connect(1), .wait])
        #expect(machine.released(loop: 0, member: 1, .success, isKept: true, now: t0).1 == [granted(2, 1, isIdle: true)])
        machine.checkInvariants()
    }

    @Test func `an address that is named twice has the better of its ranks`() {
        var machine = make(members: 0)
        let path = UpstreamGroup.SocketEndpoint.unix(path: "/a")
        _ = machine.resolved([.init(endpoint: path, weight: 5, rank: 1), .init(endpoint: path, weight: 2), .init(endpoint: path)], now: t0)
        #expect(machine.members.map(\.weight) == [3] && machine.members.map(\.rank) == [0])
    }

    // MARK: Health

    @Test func `a member that fails again and again gets nothing until its time is over`() {
        var machine = make(loops: 1)
        for _ in 0..<machine.group.passiveHealth.failuresMax {
            let member = 0
            guard case .connect = machine.requested(request(9, tried: [1]), now: t0).0 else { return #expect(Bool(false)) }
            _ = machine.closed(member: member, .failure, now: t0)
        }
        for serial in UInt64(0)..<4 { #expect(machine.requested(request(serial), now: t0).0 == .connect(1)) }
        let later = t0 + machine.group.passiveHealth.ejection
        let members = (UInt64(4)..<8).map { machine.requested(request($0), now: later).0 }
        #expect(members.contains(.connect(0)))
    }

    @Test func `when all have failed they are asked all the same, but those that probes call down are not`() {
        var machine = make(members: 1, loops: 1) { $0.healthCheck.path = "/up" }
        for _ in 0..<20 {
            #expect(machine.requested(request(1), now: t0).0 == .connect(0))
            _ = machine.closed(member: 0, .failure, now: t0)
        }
        let endpoint = machine.members[0].endpoint
        for _ in 0..<machine.group.healthCheck.fall { _ = machine.probed(endpoint, isGood: false, now: t0) }
        #expect(machine.requested(request(2), now: t0).0 == .nobody)
        for _ in 0..<machine.group.healthCheck.rise { _ = machine.probed(endpoint, isGood: true, now: t0) }
        #expect(machine.requested(request(3), now: t0).0 == .connect(0))
    }

    @Test func `who waits when the last member goes down is told, and does not wait for nothing`() {
        var machine = make(members: 1, loops: 1) { $0.connectionsMax = 1; $0.healthCheck.path = "/up" }
        _ = machine.requested(request(0), now: t0)
        _ = machine.requested(request(1), now: t0)
        let messages = (0..<machine.group.healthCheck.fall).flatMap { _ in
            machine.probed(machine.members[0].endpoint, isGood: false, now: t0).1
        }
        #expect(messages == [.refused(.init(loop: 0, serial: 1))])
    }

    @Test func `a member that was tried is not asked again, and when all were there is nobody`() {
        var machine = make(loops: 1)
        #expect(machine.requested(request(0, tried: [0]), now: t0).0 == .connect(1))
        #expect(machine.requested(request(0, tried: [0, 1]), now: t0).0 == .nobody)
        #expect(machine.allowsRetry(tried: [0], now: t0) == .another)
        #expect(machine.allowsRetry(tried: [0, 1], now: t0) == nil, "and it costs nothing of the budget")
        #expect(machine.retries == 1 && machine.retriesRefused == 0)
        #expect(machine.allowsRetry(tried: [0, 1], mayBeSame: true, now: t0) == .same)
    }

    @Test func `slow start gives a new member little at first, and all in the end`() {
        var machine = make(loops: 1) { $0.slowStart = .seconds(100) }
        let list = ResolvedMembers.list(machine.group, [:])
        _ = machine.resolved(list + [.init(endpoint: .tcp(host: "10.0.0.9", port: 80))], now: t0)
        func share(_ now: NIODeadline) -> Int {
            (0..<420).count { _ in machine.requested(request(1), now: now).0 == .connect(2) }
        }
        #expect((5...15).contains(share(t0)), "a twentieth of a whole share")
        machine = make(loops: 1) { $0.slowStart = .seconds(100) }
        _ = machine.resolved(list + [.init(endpoint: .tcp(host: "10.0.0.9", port: 80))], now: t0)
        #expect((80...90).contains(share(t0 + .seconds(50))), "half a share of two and a half")
        #expect((138...142).contains(share(t0 + .seconds(100))))
    }

    // MARK: Members

    @Test func `who is no member any more gets nothing new, and its idle connections are closed`() {
        var machine = make(loops: 2)
        _ = machine.requested(request(0, tried: [1]), now: t0)
        _ = machine.requested(request(1, tried: [1]), now: t0)
        _ = machine.released(loop: 0, member: 0, .success, isKept: true, now: t0)
        let messages = machine.resolved([.init(endpoint: .tcp(host: "10.0.0.1", port: 80))], now: t0)
        #expect(messages == [.evict(loop: 0, member: 0)])
        for serial in 2..<5 { #expect(machine.requested(request(UInt64(serial)), now: t0).0 == .connect(1)) }
        #expect(machine.released(loop: 0, member: 0, .success, isKept: true, now: t0).keeps == false)
        #expect(machine.evicted(loop: 0, member: 0, now: t0).closes)
        #expect(machine.members[0].isFree)
        machine.checkInvariants()
    }

    @Test func `who stays keeps its health and its place; who comes back is the same`() {
        var machine = make(members: 2, loops: 1)
        for _ in 0..<5 {
            _ = machine.requested(request(1, tried: [1]), now: t0)
            _ = machine.closed(member: 0, .failure, now: t0)
        }
        let both = ResolvedMembers.list(machine.group, [:])
        _ = machine.resolved(both.reversed(), now: t0)
        #expect(machine.members[0].health.isEjected(now: t0) && machine.members.count == 2)
        _ = machine.resolved([both[1]], now: t0)
        _ = machine.resolved(both, now: t0)
        #expect(machine.members.count == 2 && machine.members[0].failures == 5)
    }

    @Test func `a group has so many members, and not one more`() {
        var machine = make(members: 0)
        let many = (0...UpstreamGroup.membersMax).map { UpstreamMachine.Resolved(endpoint: .unix(path: "/\($0)")) }
        _ = machine.resolved(many, now: t0)
        #expect(machine.members.count == UpstreamGroup.membersMax)
        machine.checkInvariants()
    }

    @Test func `names that resolve anew for ever do not make it grow`() {
        var machine = make(members: 0)
        for round in 0..<1000 { _ = machine.resolved([.init(endpoint: .unix(path: "/\(round)"))], now: t0) }
        #expect(machine.members.count <= 2)
    }

    @Test func `a group without members has nobody, and says so`() {
        var machine = make(members: 0)
        #expect(machine.requested(request(0), now: t0).0 == .nobody)
    }

    @Test func `the same key goes to the same member, and elsewhere while that one is out`() {
        var machine = make(members: 5, loops: 1) { $0.balancing = .consistentHash(.client) }
        for key in 0..<50 {
            let key = Balancer.mixed(UInt64(key))
            guard case .connect(let home) = machine.requested(request(0, key: key), now: t0).0 else { return #expect(Bool(false)) }
            #expect(machine.requested(request(0, key: key), now: t0).0 == .connect(home))
            guard case .connect(let other) = machine.requested(request(0, tried: [home], key: key), now: t0).0 else { continue }
            #expect(other != home)
        }
    }
}
