import NIOCore
import Transport

/// A group of servers as all event loops see it together: who is asked next, how many connections there are, who waits for one. No
/// I/O, no clock; behind a lock, two calls for each request.
///
/// A connection belongs to the event loop that made it, and only its count is here. One that may be open is a *slot*:
///
/// ```
/// requested ─► connect ───► in use ─► released ─► idle (on its loop) ─► in use …
///     │                       │                    │
///     ├► wait ─► granted      └► closed            ├► expired, closed by the member
///     └► refused                                   └► evicting: a request of another loop needs the slot
/// ```
///
/// By HTTP/2 many requests share a connection, of which nothing is known here: a slot is an exchange then, made by `connect` and ended by
/// `closed`, and never idle. So there are never more connections than slots.
///
/// Waiting requests are served in the order in which they came, with one liberty: a connection that becomes free goes to the first
/// waiter of its own loop, unless the first of all came ``orderSlack`` earlier. Strict order would have most connections closed and made
/// again, because the first waiter is mostly on another loop.
struct UpstreamMachine {
    /// A request, wherever it is.
    struct Ticket: Hashable, Sendable {
        let loop: Int
        let serial: UInt64
    }

    /// What a request brings to the choice of a member.
    struct Request {
        var ticket: Ticket
        /// For consistent hashing; `nil` spreads it by round robin.
        var key: UInt64?
        /// Members that it was sent to already.
        var tried: [Int] = []
        var random: UInt64 = 0
        /// It wants a connection that nobody used before, as long as there is room for one: idle ones are left to others.
        var isOnItsOwn = false
    }

    enum Leased: Equatable {
        /// Use one of this loop's idle connections to the member.
        case idle(Int)
        /// Make a connection to the member.
        case connect(Int)
        /// ``Message/granted(_:_:isIdle:)`` will come.
        case wait
        /// As many wait as may.
        case full
        /// Nobody is left who could be asked: all are down, or were tried.
        case nobody
    }

    /// What an event loop has to be told.
    enum Message: Equatable, Sendable {
        /// The request that waited has its slot: of an idle connection of its loop to that member, or for a new one.
        case granted(Ticket, Int, isIdle: Bool)
        /// Nobody is left who could be asked.
        case refused(Ticket)
        /// Close an idle connection to that member, if ``evicted(loop:member:now:)`` says so.
        case evict(loop: Int, member: Int)

        /// Which event loop.
        var loop: Int {
            switch self {
            case .granted(let ticket, _, _), .refused(let ticket): ticket.loop
            case .evict(let loop, _): loop
            }
        }
    }

    /// How an exchange went, as far as the member is to blame.
    enum Outcome {
        case success
        case failure
        /// It says nothing about the member: the client left, an old connection was found closed.
        case neutral
    }

    struct Member {
        var endpoint: SocketEndpoint
        /// See ``Resolved/secureName``.
        var secureName: String?
        var weight: Int
        var rank = 0
        var health = MemberHealth()
        /// Since when it gets requests, for slow start; `nil` when it does not start slowly.
        var since: NIODeadline?
        /// It is no member any more; its connections end with their exchanges.
        var isRemoved = false
        /// Connections: in use, being made, idle, and being evicted.
        var open = 0
        /// Connections that wait for use, by event loop.
        var idle: [Int]
        /// Of those that no longer count as idle, how many a loop is to close.
        var evicting: [Int]
        var requests = 0
        var failures = 0

        var isFree: Bool { isRemoved && open == 0 }
    }

    private struct Waiter {
        let request: Request
        let since: NIODeadline
    }

    /// 50 ms: shorter than anybody notices, and longer than it takes for a connection of the waiter's own loop to become free.
    static let orderSlack = TimeAmount.milliseconds(50)

    private(set) var group: UpstreamGroup
    private(set) var members: [Member] = []
    private(set) var open = 0
    private var standings: [Balancer.Standing] = []
    private var waiting: [Waiter] = []
    /// Whether some are asked only when others cannot be.
    private var hasRanks = false
    private var budget = RetryBudget()
    private let loops: Int
    private(set) var retries = 0
    /// Retries that the budget did not allow.
    private(set) var retriesRefused = 0

    var waitingCount: Int { waiting.count }

    init(_ group: UpstreamGroup, loops: Int) {
        self.group = group
        self.loops = max(1, loops)
    }

    // MARK: Members

    struct Resolved: Hashable, Sendable {
        var endpoint: SocketEndpoint
        /// With TLS: the name that its certificate has to have, empty for its address. `nil` without.
        var secureName: String?
        var weight = 1
        /// Who has a higher one is asked while nobody of a lower one can be; those who are only busy are waited for.
        var rank = 0
    }

    /// Takes over a changed configuration; what is known of the members stays.
    mutating func reconfigured(_ group: UpstreamGroup) {
        let hadCheck = self.group.healthCheck.path != nil
        self.group = group
        guard hadCheck, group.healthCheck.path == nil else { return }
        for index in members.indices { _ = members[index].health.probesEnded() }
    }

    /// These are the members now. Who was one before keeps its health and its connections.
    mutating func resolved(_ list: [Resolved], now: NIODeadline) -> [Message] {
        let isFirst = members.allSatisfy(\.isFree)
        var messages: [Message] = []
        let wanted = Dictionary(list.map { ($0.endpoint, $0) }) { known, again in
            var both = known.rank <= again.rank ? known : again
            if known.rank == again.rank { both.weight = known.weight + again.weight }
            return both
        }
        hasRanks = Set(wanted.values.map(\.rank)).count > 1
        for index in members.indices {
            if let new = wanted[members[index].endpoint] {
                (members[index].weight, members[index].rank, members[index].secureName) = (new.weight, new.rank, new.secureName)
                guard members[index].isRemoved else { continue }
                members[index].isRemoved = false
                members[index].since = now
            } else if !members[index].isRemoved {
                members[index].isRemoved = true
                for loop in 0..<loops {
                    while members[index].idle[loop] > 0 { messages.append(evict(loop: loop, member: index)) }
                }
            }
        }
        let known = Set(members.filter { !$0.isRemoved }.map(\.endpoint))
        var added: Set<SocketEndpoint> = []
        var room = UpstreamGroup.membersMax - known.count
        for new in list where !known.contains(new.endpoint) && room > 0 && added.insert(new.endpoint).inserted {
            room -= 1
            add(wanted[new.endpoint] ?? new, since: isFirst ? nil : now)
        }
        return messages + served(now: now)
    }

    private mutating func add(_ new: Resolved, since: NIODeadline?) {
        let none = [Int](repeating: 0, count: loops)
        let member = Member(endpoint: new.endpoint, secureName: new.secureName, weight: new.weight, rank: new.rank, since: since, idle: none, evicting: none)
        let standing = Balancer.Standing(weight: Double(max(1, new.weight)), hash: Balancer.hash(new.endpoint.description.utf8))
        if let place = members.firstIndex(where: \.isFree) {
            members[place] = member
            standings[place] = standing
        } else {
            members.append(member)
            standings.append(standing)
        }
    }

    // MARK: Requests

    /// A request wants a connection.
    mutating func requested(_ request: Request, now: NIODeadline) -> (Leased, Message?) {
        if request.tried.isEmpty { budget.requested(now: now) }
        switch choose(request, now: now) {
        case .member(let index):
            return (take(index, request), nil)
        case .nobody:
            return (.nobody, nil)
        case .busy:
            guard waiting.count < group.waitingMax else { return (.full, nil) }
            waiting.append(Waiter(request: request, since: now))
            return (.wait, evictForFirst(now: now))
        }
    }

    /// Asks whether a request that failed may be sent to another member.
    /// - Parameters:
    ///   - tried: those that it was sent to already, the last one included.
    ///   - mayBeSame: whether the last one will do if there is no other.
    /// - Returns: where to; `nil` for nowhere.
    mutating func allowsRetry(tried: [Int], mayBeSame: Bool = false, now: NIODeadline) -> RetryPlace? {
        let hasOther = members.indices.contains {
            !tried.contains($0) && !members[$0].isRemoved && members[$0].health.isAvailable(now: now)
        }
        guard hasOther || mayBeSame else { return nil }
        let isAllowed = budget.allowsRetry(group.retry, now: now)
        if isAllowed { retries += 1 } else { retriesRefused += 1 }
        return isAllowed ? hasOther ? .another : .same : nil
    }

    enum RetryPlace {
        case another
        case same
    }

    /// A request waits no longer.
    /// - Returns: whether it did wait; if not, its grant is on the way.
    mutating func gaveUp(_ ticket: Ticket) -> Bool {
        guard let index = waiting.firstIndex(where: { $0.request.ticket == ticket }) else { return false }
        waiting.remove(at: index)
        return true
    }

    // MARK: Connections

    /// An exchange has ended and left its connection fit for another.
    /// - Parameter isKept: whether the loop would keep it.
    /// - Returns: whether the loop is to keep it as idle; else it closes it, which needs no further word.
    mutating func released(loop: Int, member: Int, _ outcome: Outcome, isKept: Bool, now: NIODeadline) -> (keeps: Bool, [Message]) {
        ended(member, outcome, now: now)
        let loopIdle = members.reduce(0) { $0 + $1.idle[loop] }
        // With somebody waiting it is kept at any rate, to be handed on.
        guard isKept, !members[member].isRemoved, loopIdle < group.idleConnectionsMax || !waiting.isEmpty else {
            members[member].open -= 1
            open -= 1
            return (false, served(now: now))
        }
        members[member].idle[loop] += 1
        return (true, served(freedOn: loop, now: now))
    }

    /// A request was given an idle connection of its loop, and the loop has none to that member that it can use.
    /// - Returns: whether they stay idle and it makes another, for which there is room; else the loop closes one for it.
    mutating func leavesIdle(loop: Int, member: Int) -> Bool {
        guard !members[member].isRemoved, hasRoomForMore(member) else { return false }
        members[member].idle[loop] += 1
        members[member].open += 1
        open += 1
        return true
    }

    /// A connection in use is gone, or could not be made; or an exchange of HTTP/2 has ended, whose connection is counted by its exchanges.
    mutating func closed(member: Int, _ outcome: Outcome, now: NIODeadline) -> [Message] {
        ended(member, outcome, now: now)
        members[member].open -= 1
        open -= 1
        assert(open >= 0 && members[member].open >= 0)
        return served(now: now)
    }

    /// An idle connection was closed by the member.
    /// - Returns: whether it was promised to a request, which is to make a connection of its own in its slot, even if others of the
    ///   loop have become idle by then: those count for themselves.
    mutating func idleClosed(loop: Int, member: Int, now: NIODeadline) -> (wasPromised: Bool, [Message]) {
        if members[member].idle[loop] > 0 {
            members[member].idle[loop] -= 1
        } else if members[member].evicting[loop] > 0 {
            members[member].evicting[loop] -= 1
        } else {
            return (true, [])
        }
        members[member].open -= 1
        open -= 1
        return (false, served(now: now))
    }

    /// A loop would close an idle connection that is too old.
    /// - Returns: whether it may: if not, the connection is promised to somebody.
    mutating func idleExpired(loop: Int, member: Int, now: NIODeadline) -> (closes: Bool, [Message]) {
        guard members[member].idle[loop] > 0 else { return (false, []) }
        members[member].idle[loop] -= 1
        members[member].open -= 1
        open -= 1
        return (true, served(now: now))
    }

    /// A loop has got ``Message/evict(loop:member:)``.
    /// - Returns: whether there still is a connection to close for it.
    mutating func evicted(loop: Int, member: Int, now: NIODeadline) -> (closes: Bool, [Message]) {
        guard members[member].evicting[loop] > 0 else { return (false, []) }
        members[member].evicting[loop] -= 1
        members[member].open -= 1
        open -= 1
        return (true, served(now: now))
    }

    private mutating func ended(_ member: Int, _ outcome: Outcome, now: NIODeadline) {
        standings[member].active -= 1
        assert(standings[member].active >= 0)
        judge(member, outcome, now: now)
    }

    /// What an exchange says about its member.
    mutating func judge(_ member: Int, _ outcome: Outcome, now: NIODeadline) {
        guard members.indices.contains(member) else { return }
        switch outcome {
        case .success: members[member].health.succeeded(group.passiveHealth, now: now)
        case .failure:
            members[member].failures += 1
            _ = members[member].health.failed(group.passiveHealth, now: now)
        case .neutral: break
        }
    }

    func active(_ member: Int) -> Int { standings[member].active }

    // MARK: Probes

    /// Whom to probe.
    var probed: [Resolved] {
        members.filter { !$0.isRemoved }.map { Resolved(endpoint: $0.endpoint, secureName: $0.secureName, weight: $0.weight, rank: $0.rank) }
    }

    mutating func probed(_ endpoint: SocketEndpoint, isGood: Bool, now: NIODeadline) -> (MemberHealth.Change, [Message]) {
        guard group.healthCheck.path != nil,
            let index = members.firstIndex(where: { $0.endpoint == endpoint && !$0.isRemoved })
        else { return (.none, []) }
        let change = members[index].health.probed(isGood: isGood, group.healthCheck)
        if change == .returned { members[index].since = now }
        return (change, change == .none ? [] : served(now: now))
    }

    // MARK: Choice

    private enum Choice {
        case member(Int)
        /// There is somebody, but no connection to be had.
        case busy
        case nobody
    }

    private mutating func choose(_ request: Request, now: NIODeadline) -> Choice {
        let loop = request.ticket.loop
        var hasAnybody = false
        var hasCapacity = false
        for isLastResort in [false, true] {
            let rank = leastRank(request, isLastResort: isLastResort, now: now)
            for index in members.indices {
                if members[index].health.timePassed(now: now) == .returned { members[index].since = now }
                let isAble = members[index].rank == rank ?? members[index].rank && isAble(index, request, isLastResort: isLastResort, now: now)
                let hasRoom = isAble && hasRoom(index, loop: loop)
                standings[index].isCandidate = hasRoom
                hasAnybody = hasAnybody || isAble
                hasCapacity = hasCapacity || hasRoom
                if hasRoom { standings[index].weight = weight(index, now: now) }
            }
            if hasAnybody { break }
        }
        guard hasAnybody else { return .nobody }
        guard hasCapacity else { return .busy }
        let chosen: Int? =
            switch group.balancing {
            case .roundRobin: Balancer.roundRobin(&standings)
            case .leastConnections: Balancer.leastConnections(&standings)
            case .randomOfTwo: Balancer.randomOfTwo(standings, random: request.random)
            case .consistentHash:
                if let key = request.key { Balancer.rendezvous(standings, key: key) } else { Balancer.roundRobin(&standings) }
            }
        return chosen.map { .member($0) } ?? .busy
    }

    /// The rank of those who are asked now; `nil` when all have the same.
    private func leastRank(_ request: Request, isLastResort: Bool, now: NIODeadline) -> Int? {
        guard hasRanks else { return nil }
        var least: Int?
        for index in members.indices where isAble(index, request, isLastResort: isLastResort, now: now) {
            least = min(least ?? members[index].rank, members[index].rank)
        }
        return least
    }

    /// Whether a member may be asked. When nobody is trusted, those that only their own responses have put out are asked after all:
    /// a guess is better than a refusal. Those that probes call down are not.
    private func isAble(_ index: Int, _ request: Request, isLastResort: Bool, now: NIODeadline) -> Bool {
        let member = members[index]
        guard !member.isRemoved, !request.tried.contains(index) else { return false }
        return isLastResort ? !member.health.isDown : member.health.isAvailable(now: now)
    }

    private func hasRoom(_ index: Int, loop: Int) -> Bool {
        members[index].idle[loop] > 0 || hasRoomForMore(index)
    }

    private func hasRoomForMore(_ index: Int) -> Bool {
        open < group.connectionsMax && members[index].open < group.memberConnectionsMax ?? .max
    }

    private func weight(_ index: Int, now: NIODeadline) -> Double {
        let whole = Double(max(1, members[index].weight))
        guard let since = members[index].since, group.slowStart > .zero else { return whole }
        let share = Double((now - since).nanoseconds) / Double(group.slowStart.nanoseconds)
        // A twentieth from the start: with nothing it would never be tried.
        return whole * min(1, max(0.05, share))
    }

    private mutating func take(_ index: Int, _ request: Request) -> Leased {
        let loop = request.ticket.loop
        standings[index].active += 1
        members[index].requests += 1
        if members[index].idle[loop] > 0, !request.isOnItsOwn || !hasRoomForMore(index) {
            members[index].idle[loop] -= 1
            return .idle(index)
        }
        members[index].open += 1
        open += 1
        return .connect(index)
    }

    // MARK: Waiters

    /// Serves who can be served now.
    private mutating func served(freedOn loop: Int? = nil, now: NIODeadline) -> [Message] {
        guard !waiting.isEmpty else { return [] }
        var messages: [Message] = []
        if let loop, let first = waiting.first, first.request.ticket.loop != loop,
            let own = waiting.firstIndex(where: { $0.request.ticket.loop == loop }),
            waiting[own].since < first.since + Self.orderSlack, let message = serve(at: own, now: now)
        {
            messages.append(message)
        }
        // One that cannot be served (who is left for it has no room) does not hold up the others.
        var index = 0
        while index < waiting.count {
            // When all slots are taken, what is left are idle connections: nobody takes one before who came much earlier.
            if index > 0, open >= group.connectionsMax, waiting[index].since >= waiting[0].since + Self.orderSlack { break }
            if let message = serve(at: index, now: now) {
                messages.append(message)
            } else {
                index += 1
                // What keeps one from a connection mostly keeps all: no walk through a thousand for every response.
                if index == Self.passedOverMax { break }
            }
        }
        if let message = evictForFirst(now: now) { messages.append(message) }
        return messages
    }

    /// 8: they were tried at members that others were not tried at yet.
    private static let passedOverMax = 8

    private mutating func serve(at index: Int, now: NIODeadline) -> Message? {
        let request = waiting[index].request
        switch choose(request, now: now) {
        case .busy: return nil
        case .nobody:
            waiting.remove(at: index)
            return .refused(request.ticket)
        case .member(let member):
            waiting.remove(at: index)
            let isIdle = take(member, request) == .idle(member)
            return .granted(request.ticket, member, isIdle: isIdle)
        }
    }

    /// All slots are taken, and some by idle connections of loops on which nobody waits: the longest waiter gets one of those.
    private mutating func evictForFirst(now: NIODeadline) -> Message? {
        guard let first = waiting.first?.request else { return nil }
        // One at a time: what is being evicted will be somebody's soon.
        guard !members.contains(where: { $0.evicting.contains { $0 > 0 } }) else { return nil }
        let isGroupFull = open >= group.connectionsMax
        let rank = leastRank(first, isLastResort: false, now: now) ?? leastRank(first, isLastResort: true, now: now)
        for index in members.indices
        where isGroupFull || members[index].rank == rank ?? members[index].rank && isAble(index, first, isLastResort: true, now: now) {
            for loop in 0..<loops where members[index].idle[loop] > 0 { return evict(loop: loop, member: index) }
        }
        return nil
    }

    private mutating func evict(loop: Int, member: Int) -> Message {
        members[member].idle[loop] -= 1
        members[member].evicting[loop] += 1
        return .evict(loop: loop, member: member)
    }

    // MARK: Tests

    /// What must hold between any two events.
    func checkInvariants() {
        precondition(open == members.reduce(0) { $0 + $1.open }, "the group's connections are its members'")
        precondition(members.count == standings.count)
        for (member, standing) in zip(members, standings) {
            let resting = member.idle.reduce(0, +) + member.evicting.reduce(0, +)
            precondition(member.idle.allSatisfy { $0 >= 0 } && member.evicting.allSatisfy { $0 >= 0 })
            precondition(member.open == resting + standing.active, "a connection is in use or at rest")
        }
        precondition(waiting.count <= group.waitingMax)
    }
}
