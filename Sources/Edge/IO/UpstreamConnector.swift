import NIOCore
import NIOPosix
import Transport

/// Connections to a group of servers for one event loop: leases, connects, keeps and closes them. Who is asked and who waits is
/// ``UpstreamMachine``'s, for all loops together; which connection is used next is ``IdleConnections``'. A request and its upstream
/// connection live on one event loop, so that no byte hops.
final class UpstreamConnector {
    private(set) var group: UpstreamGroup
    let shared: SharedUpstream
    private unowned let worker: EdgeWorker
    private var loop = 0
    private var idle = IdleConnections<UpstreamHandler>()
    /// Requests that wait for a slot.
    private var waiting: [UInt64: (fetch: Fetch, deadline: NIODeadline)] = [:]
    private var serial: UInt64 = 0
    private var openCount = 0
    /// Idle connections that were closed while a request's grant of them was on its way, by member.
    private var brokenPromises: [Int: Int] = [:]

    init(_ group: UpstreamGroup, shared: SharedUpstream, worker: EdgeWorker) {
        self.group = group
        self.shared = shared
        self.worker = worker
        loop = shared.add(self, on: worker.eventLoop)
    }

    var host: String? { group.host }
    /// Whether nothing is open, and nobody waits.
    var isUnused: Bool { openCount == 0 && waiting.isEmpty }

    /// The group was taken away, and its last connection is gone.
    func end() {
        shared.remove(loop: loop)
    }

    /// Takes over a changed configuration, for exchanges that begin from here on.
    func reconfigure(_ group: UpstreamGroup) {
        self.group = group
    }

    // MARK: Requests

    /// Gets a connection for a fetch, which is told by `connected` or `failed`, perhaps before this returns.
    func lease(_ fetch: Fetch, now: NIODeadline) {
        serial &+= 1
        fetch.ticket = serial
        let request = UpstreamMachine.Request(
            ticket: .init(loop: loop, serial: serial), key: fetch.balancingKey, tried: fetch.tried, random: worker.randomNumber(),
            isOnItsOwn: fetch.isOnItsOwn)
        let (leased, message) = shared.withMachine { $0.requested(request, now: now) }
        if let message { shared.deliver([message]) }
        switch leased {
        case .idle(let member): use(member, for: fetch, now: now)
        case .connect(let member): connect(member, for: fetch)
        case .wait: waiting[serial] = (fetch, now + group.waitTimeout)
        case .full: fetch.failed(.queueFull)
        case .nobody: fetch.failed(.noMember)
        }
    }

    /// A fetch that waits has lost its client.
    func gaveUp(_ fetch: Fetch) {
        guard waiting[fetch.ticket]?.fetch === fetch else { return }
        let ticket = UpstreamMachine.Ticket(loop: loop, serial: fetch.ticket)
        // If its grant is on the way, it is dealt with when it is here.
        if shared.withMachine({ $0.gaveUp(ticket) }) { waiting[fetch.ticket] = nil }
    }

    /// Whether a fetch that failed may ask another member.
    func allowsRetry(tried: [Int], now: NIODeadline) -> Bool {
        shared.withMachine { $0.allowsRetry(tried: tried, now: now) }
    }

    func received(_ message: UpstreamMachine.Message) {
        switch message {
        case .granted(let ticket, let member, let isIdle):
            guard let fetch = waiting.removeValue(forKey: ticket.serial)?.fetch else { return giveBack(member, isIdle: isIdle) }
            if fetch.isOver { return giveBack(member, isIdle: isIdle) }
            if isIdle, !isPromiseBroken(member) { use(member, for: fetch, now: .now()) } else { connect(member, for: fetch) }
        case .refused(let ticket):
            waiting.removeValue(forKey: ticket.serial)?.fetch.failed(.noMember)
        case .evict(_, let member):
            let now = NIODeadline.now()
            let (closes, messages) = shared.withMachine { [loop] in $0.evicted(loop: loop, member: member, now: now) }
            if closes { idle.takeOldest(member)?.closeUncounted() }
            shared.deliver(messages)
        }
    }

    /// Whether one that was promised is gone; asked once for each grant.
    private func isPromiseBroken(_ member: Int) -> Bool {
        guard let count = brokenPromises[member] else { return false }
        brokenPromises[member] = count > 1 ? count - 1 : nil
        return true
    }

    private func use(_ member: Int, for fetch: Fetch, now: NIODeadline) {
        guard let connection = idle.takeNewest(member) else {
            assertionFailure("a slot without its connection")
            return connect(member, for: fetch)
        }
        if fetch.wantsNewConnection || !fetch.isIdempotent && connection.isClosedByPeer {
            connection.closeUncounted()
            return connect(member, for: fetch)
        }
        fetch.connected(connection, now: now)
    }

    /// The slot of a request that is gone.
    private func giveBack(_ member: Int, isIdle: Bool) {
        let now = NIODeadline.now()
        if isIdle, !isPromiseBroken(member), let connection = idle.takeNewest(member) { return release(connection, .neutral, now: now) }
        shared.deliver(shared.withMachine { $0.closed(member: member, .neutral, now: now) })
    }

    // MARK: Connections

    /// A connection has done its exchange and can be used again.
    func release(_ connection: UpstreamHandler, _ outcome: UpstreamMachine.Outcome, now: NIODeadline) {
        let end = group.connectionLifetime.map { connection.opened + $0 } ?? .distantFuture
        let isKept = !worker.isDraining && now < end && connection.isOpen && !connection.isForOne
        let member = connection.member
        let (keeps, messages) = shared.withMachine { [loop] in
            $0.released(loop: loop, member: member, outcome, isKept: isKept, now: now)
        }
        if keeps {
            idle.add(connection, member: member, until: min(now + group.idleTimeout, end))
        } else {
            connection.closeUncounted()
        }
        shared.deliver(messages)
    }

    /// A connection is gone.
    func closed(_ connection: UpstreamHandler, _ outcome: UpstreamMachine.Outcome) {
        openCount -= 1
        let (member, now) = (connection.member, NIODeadline.now())
        guard idle.remove(where: { $0 === connection }) else {
            return shared.deliver(shared.withMachine { $0.closed(member: member, outcome, now: now) })
        }
        let (wasPromised, messages) = shared.withMachine { [loop] in $0.idleClosed(loop: loop, member: member, now: now) }
        if wasPromised { brokenPromises[member, default: 0] += 1 }
        shared.deliver(messages)
    }

    /// A connection that counts no more was closed.
    func closedUncounted() {
        openCount -= 1
    }

    func swept(now: NIODeadline) {
        for (connection, member) in idle.expired(now: now) {
            let (closes, messages) = shared.withMachine { [loop] in $0.idleExpired(loop: loop, member: member, now: now) }
            guard closes else { continue }
            _ = idle.remove { $0 === connection }
            connection.closeUncounted()
            shared.deliver(messages)
        }
        for (serial, waiter) in waiting where waiter.deadline <= now {
            let ticket = UpstreamMachine.Ticket(loop: loop, serial: serial)
            guard shared.withMachine({ $0.gaveUp(ticket) }) else { continue }
            waiting[serial] = nil
            waiter.fetch.failed(.queueTimeout)
        }
    }

    var counts: (open: Int, idle: Int) { (openCount, idle.count) }

    func closeIdle() {
        let now = NIODeadline.now()
        for (connection, member) in idle.all {
            guard shared.withMachine({ [loop] in $0.idleExpired(loop: loop, member: member, now: now).closes }) else { continue }
            _ = idle.remove { $0 === connection }
            connection.closeUncounted()
        }
    }

    private func connect(_ member: Int, for fetch: Fetch) {
        let worker = self.worker
        let bootstrap = ClientBootstrap(group: worker.eventLoop)
            .connectTimeout(group.connectTimeout)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(UpstreamHandler())
                }
            }
        worker.metrics.upstreamConnects.add(1)
        let endpoint = shared.withMachine { $0.members[member].endpoint }
        let attempt = Self.connect(bootstrap, to: endpoint)
        let bound = NIOLoopBound((connector: self, fetch: fetch), eventLoop: worker.eventLoop)
        attempt.hop(to: worker.eventLoop).whenComplete { result in
            let (connector, fetch) = bound.value
            switch result {
            case .success(let channel):
                guard let handler = try? channel.pipeline.syncOperations.handler(type: UpstreamHandler.self) else {
                    channel.close(promise: nil)
                    return connector.connectFailed(member, .connectFailed, for: fetch)
                }
                connector.openCount += 1
                let now = NIODeadline.now()
                handler.opened(connector: connector, worker: connector.worker, member: member, now: now)
                fetch.connected(handler, now: now)
            case .failure(let error):
                if case .connectTimeout? = error as? ChannelError {
                    connector.connectFailed(member, .connectTimeout, for: fetch)
                } else {
                    connector.connectFailed(member, .connectFailed, for: fetch)
                }
            }
        }
    }

    private func connectFailed(_ member: Int, _ failure: GatewayFailure, for fetch: Fetch) {
        let now = NIODeadline.now()
        shared.deliver(shared.withMachine { $0.closed(member: member, .failure, now: now) })
        fetch.failed(failure, at: member)
    }

    static func connect(_ bootstrap: ClientBootstrap, to endpoint: SocketEndpoint) -> EventLoopFuture<any Channel> {
        switch endpoint {
        case .tcp(let host, let port):
            let bootstrap = bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1)
            // An address is not looked up; of a name that is left as one (`localhost`), all addresses are tried.
            if let address = try? SocketAddress(ipAddress: host, port: port) { return bootstrap.connect(to: address) }
            return bootstrap.connect(host: host, port: port)
        case .unix(let path):
            return bootstrap.connect(unixDomainSocketPath: path)
        }
    }
}
