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
    /// Requests that waited for HTTP/2 are being given their streams.
    private var isServing = false
    /// Idle connections that were closed while a request's grant of them was on its way, by member.
    private var brokenPromises: [Int: Int] = [:]
    private var http2 = HTTP2Connections<HTTP2UpstreamHandler, Slot>()

    /// A request with the slot that it was given.
    private struct Slot {
        let fetch: Fetch
        let member: Int
    }

    init(_ group: UpstreamGroup, shared: SharedUpstream, worker: EdgeWorker) {
        self.group = group
        self.shared = shared
        self.worker = worker
        loop = shared.add(self, on: worker.eventLoop)
    }

    var host: String? { group.host }
    /// Whether nothing is open, and nobody waits.
    var isUnused: Bool { openCount == 0 && waiting.isEmpty && http2.isEmpty }

    /// The group was taken away, and its last connection is gone.
    func end() {
        shared.remove(loop: loop)
    }

    /// Takes over a changed configuration, for exchanges that begin from here on.
    func reconfigure(_ group: UpstreamGroup) {
        let isOther = group.version != self.group.version || group.tls != self.group.tls || group.proxyProtocol != self.group.proxyProtocol
        self.group = group
        for connection in http2.all {
            if isOther { connection.retire() } else { connection.reconfigure(streamsMax: group.connectionStreamsMax) }
        }
    }

    // MARK: Requests

    /// Gets a connection for a fetch, which is told by `connected` or `failed`, perhaps before this returns.
    func lease(_ fetch: Fetch, now: NIODeadline) {
        serial &+= 1
        fetch.ticket = serial
        fetch.proxyHeader = group.proxyProtocol.map { fetch.identity.proxyHeader($0) }
        // While there is room for another, connections that speak for other clients are left to those.
        let isStranger = fetch.proxyHeader != nil && !idle.contains { $0.proxyHeader == fetch.proxyHeader }
        let request = UpstreamMachine.Request(
            ticket: .init(loop: loop, serial: serial), key: fetch.balancingKey, tried: fetch.tried, random: worker.randomNumber(),
            isOnItsOwn: fetch.isOnItsOwn || isStranger)
        let (leased, message) = shared.withMachine { $0.requested(request, now: now) }
        if let message { shared.deliver([message]) }
        switch leased {
        case .idle(let member): use(member, for: fetch, now: now)
        case .connect(let member): connect(member, for: fetch, now: now)
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
    func allowsRetry(tried: [Int], mayBeSame: Bool = false, now: NIODeadline) -> UpstreamMachine.RetryPlace? {
        shared.withMachine { $0.allowsRetry(tried: tried, mayBeSame: mayBeSame, now: now) }
    }

    func received(_ message: UpstreamMachine.Message) {
        switch message {
        case .granted(let ticket, let member, let isIdle):
            guard let fetch = waiting.removeValue(forKey: ticket.serial)?.fetch else { return giveBack(member, isIdle: isIdle) }
            if fetch.isOver { return giveBack(member, isIdle: isIdle) }
            let now = NIODeadline.now()
            if isIdle, !isPromiseBroken(member) { use(member, for: fetch, now: now) } else { connect(member, for: fetch, now: now) }
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
        guard let connection = idle.takeNewest(member, where: { $0.proxyHeader == fetch.proxyHeader }) else {
            // There are only those that speak for others, of which the oldest makes room where there is none.
            if !shared.withMachine({ [loop] in $0.leavesIdle(loop: loop, member: member) }) {
                let other = idle.takeOldest(member)
                assert(other != nil, "a slot without its connection")
                other?.closeUncounted()
            }
            return connect(member, for: fetch, now: now)
        }
        if fetch.wantsNewConnection || !fetch.isIdempotent && connection.isClosedByPeer {
            connection.closeUncounted()
            return connect(member, for: fetch, now: now)
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
        if !http2.members.isEmpty { sweepHTTP2(now: now) }
    }

    var counts: (open: Int, idle: Int) { (openCount, idle.count + (http2.members.isEmpty ? 0 : http2.all.count { $0.isUnused })) }

    func closeIdle() {
        for connection in http2.all { connection.end() }
        let now = NIODeadline.now()
        for (connection, member) in idle.all {
            guard shared.withMachine({ [loop] in $0.idleExpired(loop: loop, member: member, now: now).closes }) else { continue }
            _ = idle.remove { $0 === connection }
            connection.closeUncounted()
        }
    }

    private func connect(_ member: Int, for fetch: Fetch, now: NIODeadline) {
        fetch.enters(.connect, now: now)
        let (endpoint, secureName) = shared.withMachine { ($0.members[member].endpoint, $0.members[member].secureName) }
        // A tunnel has its connection for itself, which is what HTTP/1.1 gives it.
        let mayShare = group.version == .h2 && !fetch.plan.offersUpgrade && !fetch.wantsHTTP1 && fetch.proxyHeader == nil
        if mayShare, !http2[endpoint].speaksHTTP1 { return share(endpoint, secureName, Slot(fetch: fetch, member: member)) }
        dial(endpoint, secureName, mayShare ? .http2 : .http1, for: Slot(fetch: fetch, member: member))
    }

    /// Makes a connection for one request alone, unless it turns out to be one that others can share.
    private func dial(_ endpoint: SocketEndpoint, _ secureName: String?, _ wanted: UpstreamDial.Spoken, for slot: Slot) {
        let header = slot.fetch.proxyHeader
        dial(endpoint, secureName, wanted, opening: header) { connector, result in
            let (fetch, member) = (slot.fetch, slot.member)
            switch result {
            case .success((let channel, .http1)):
                guard let handler = try? channel.pipeline.syncOperations.handler(type: UpstreamHandler.self) else {
                    channel.close(promise: nil)
                    return connector.connectFailed(member, .connectFailed, for: fetch)
                }
                connector.openCount += 1
                let now = NIODeadline.now()
                handler.opened(connector: connector, worker: connector.worker, member: member, proxyHeader: header, now: now)
                fetch.connected(handler, now: now)
            case .success((_, .http2)):
                // The member has changed its mind: the connection is among those that are shared, and serves who waits.
                connector.http2[endpoint].speaksHTTP1 = false
                connector.http2[endpoint].dials += 1
                connector.http2[endpoint].waiting.append(slot)
            case .failure(let error):
                connector.connectFailed(member, Self.failure(error), for: fetch)
            }
        }
    }

    private static func failure(_ error: any Error) -> GatewayFailure {
        if case .connectTimeout? = error as? ChannelError { .connectTimeout } else { .connectFailed }
    }

    private func dial(
        _ endpoint: SocketEndpoint, _ secureName: String?, _ wanted: UpstreamDial.Spoken, opening: ByteBuffer? = nil,
        _ made: @escaping (UpstreamConnector, Result<(channel: any Channel, spoken: UpstreamDial.Spoken), any Error>) -> Void
    ) {
        let worker = self.worker
        worker.metrics.upstreamConnects.add(1)
        let dial = UpstreamDial(
            endpoint: endpoint, secureName: secureName, tls: shared.tls, wanted: wanted, opening: opening, timeout: group.connectTimeout,
            eventLoop: worker.eventLoop)
        let attempt = dial.connect { [self] channel, spoken in
            let handler: any ChannelInboundHandler =
                switch spoken {
                case .http1: UpstreamHandler()
                case .http2: HTTP2UpstreamHandler(endpoint, isSecure: secureName != nil, connector: self, worker: worker, now: .now())
                }
            try channel.pipeline.syncOperations.addHandler(handler)
        }
        let bound = NIOLoopBound((connector: self, made: made), eventLoop: worker.eventLoop)
        attempt.whenComplete { bound.value.made(bound.value.connector, $0) }
    }

    // MARK: HTTP/2

    /// Sends a request on a connection that has room, or has it wait for one.
    private func share(_ endpoint: SocketEndpoint, _ secureName: String?, _ slot: Slot) {
        let now = NIODeadline.now()
        if !slot.fetch.isOnItsOwn, let connection = roomy(endpoint, for: slot.fetch, now: now) { return begin(slot, on: connection, now: now) }
        http2[endpoint].waiting.append(slot)
        dialHTTP2(endpoint, secureName)
    }

    private func roomy(_ endpoint: SocketEndpoint, for fetch: Fetch, now: NIODeadline) -> HTTP2UpstreamHandler? {
        for connection in http2[endpoint].connections where connection.roomCount > 0 && !connection.isForOne {
            if now >= end(of: connection) || !fetch.isIdempotent && connection.isUnused && connection.isClosedByPeer {
                connection.retire()
            } else {
                return connection
            }
        }
        return nil
    }

    private func end(of connection: HTTP2UpstreamHandler) -> NIODeadline {
        group.connectionLifetime.map { connection.opened + $0 } ?? .distantFuture
    }

    private func begin(_ slot: Slot, on connection: HTTP2UpstreamHandler, now: NIODeadline) {
        let exchange = HTTP2Exchange(connection, connector: self, worker: worker, member: slot.member)
        slot.fetch.connected(exchange, now: now)
    }

    /// Makes as many connections as those need who wait.
    private func dialHTTP2(_ endpoint: SocketEndpoint, _ secureName: String?) {
        while http2[endpoint].needsDial {
            http2[endpoint].dials += 1
            dial(endpoint, secureName, .http2) { connector, result in
                switch result {
                // It says itself when it can be used, or not.
                case .success((_, .http2)): break
                case .success((let channel, .http1)): connector.agreedOnHTTP1(endpoint, secureName, channel)
                case .failure(let error): connector.http2DialFailed(endpoint, Self.failure(error))
                }
            }
        }
    }

    /// The member speaks HTTP/1.1 alone: each request gets a connection of its own.
    private func agreedOnHTTP1(_ endpoint: SocketEndpoint, _ secureName: String?, _ channel: any Channel) {
        http2[endpoint].dials -= 1
        http2[endpoint].speaksHTTP1 = true
        let slots = http2[endpoint].waiting
        http2[endpoint].waiting = []
        let now = NIODeadline.now()
        var handler = try? channel.pipeline.syncOperations.handler(type: UpstreamHandler.self)
        for slot in slots {
            guard let first = handler else {
                dial(endpoint, secureName, .http2, for: slot)
                continue
            }
            handler = nil
            openCount += 1
            first.opened(connector: self, worker: worker, member: slot.member, proxyHeader: nil, now: now)
            slot.fetch.connected(first, now: now)
        }
        handler?.close()
    }

    private func http2DialFailed(_ endpoint: SocketEndpoint, _ failure: GatewayFailure) {
        http2[endpoint].dials -= 1
        // Who waits for those that are still being made goes on waiting.
        let hopeful = http2[endpoint].dials * max(1, http2[endpoint].room ?? 1)
        let slots = Array(http2[endpoint].waiting.dropLast(hopeful))
        http2[endpoint].waiting.removeFirst(slots.count)
        let now = NIODeadline.now()
        // One connection has failed, however many waited for it.
        for (index, slot) in slots.enumerated() {
            shared.deliver(shared.withMachine { $0.closed(member: slot.member, index == 0 ? .failure : .neutral, now: now) })
        }
        for slot in slots { slot.fetch.failed(failure, at: slot.member) }
    }

    /// A member has said what it takes.
    func http2Established(_ connection: HTTP2UpstreamHandler, now: NIODeadline) {
        openCount += 1
        let endpoint = connection.endpoint
        guard connection.roomCount > 0 || connection.isLeaving else {
            // One that takes no request is none.
            connection.end()
            return http2DialFailed(endpoint, .refused)
        }
        http2[endpoint].dials -= 1
        http2[endpoint].room = max(1, connection.roomCount)
        http2[endpoint].speaksHTTP1 = false
        http2[endpoint].connections.append(connection)
        serve(connection, now: now)
    }

    /// There is room on a connection: who waits for one need not any more.
    func http2HasRoom(_ connection: HTTP2UpstreamHandler, now: NIODeadline) {
        if !http2[connection.endpoint].waiting.isEmpty { serve(connection, now: now) }
    }

    private func serve(_ connection: HTTP2UpstreamHandler, now: NIODeadline) {
        let endpoint = connection.endpoint
        // A request whose client has left gives its slot back in here, and asks who else waits.
        guard !isServing else { return }
        isServing = true
        defer { isServing = false }
        while connection.roomCount > 0, !connection.isForOne, !http2[endpoint].waiting.isEmpty {
            let index = http2[endpoint].waiting.firstIndex { !$0.fetch.isOnItsOwn || connection.isUnused } ?? 0
            let slot = http2[endpoint].waiting[index]
            guard !slot.fetch.isOnItsOwn || connection.isUnused && connection.exchangeCount == 0 else { break }
            http2[endpoint].waiting.remove(at: index)
            begin(slot, on: connection, now: now)
        }
        guard let slot = http2[endpoint].waiting.first else { return }
        dialHTTP2(endpoint, shared.withMachine { $0.members[slot.member].secureName })
    }

    /// It was not established in time; it is closed behind this.
    func http2TimedOut(_ connection: HTTP2UpstreamHandler) {
        guard http2[connection.endpoint].dials > 0 else { return }
        connection.isAbandoned = true
        http2DialFailed(connection.endpoint, .connectTimeout)
    }

    /// A connection is gone; what was under way is told behind this.
    func http2Closed(_ connection: HTTP2UpstreamHandler) {
        guard connection.isEstablished else {
            if !connection.isAbandoned { http2DialFailed(connection.endpoint, .connectFailed) }
            return
        }
        openCount -= 1
        http2[connection.endpoint].connections.removeAll { $0 === connection }
    }

    /// An exchange is over, and its slot free.
    func exchangeEnded(on connection: HTTP2UpstreamHandler, member: Int, _ outcome: UpstreamMachine.Outcome) {
        let now = NIODeadline.now()
        shared.deliver(shared.withMachine { $0.closed(member: member, outcome, now: now) })
        http2HasRoom(connection, now: now)
        guard connection.isUnused else { return }
        let isKept = !worker.isDraining && !connection.isForOne && !connection.isLeaving && now < end(of: connection)
        // What is under way is counted with those that are idle: it will be.
        if !isKept || idle.count + http2.all.count > group.idleConnectionsMax { connection.end() }
    }

    /// Ends connections that are idle for too long or too old, and those to members that are none any more.
    private func sweepHTTP2(now: NIODeadline) {
        let endpoints = shared.withMachine { Set($0.members.filter { !$0.isRemoved }.map(\.endpoint)) }
        http2.forget(except: endpoints)
        for connection in http2.all {
            if !endpoints.contains(connection.endpoint) || now >= end(of: connection) || worker.isDraining && connection.isUnused {
                connection.retire()
            } else if connection.isUnused, now >= connection.idleSince + group.idleTimeout {
                connection.end()
            }
        }
    }

    private func connectFailed(_ member: Int, _ failure: GatewayFailure, for fetch: Fetch) {
        let now = NIODeadline.now()
        shared.deliver(shared.withMachine { $0.closed(member: member, .failure, now: now) })
        fetch.failed(failure, at: member)
    }

    /// Whether the member has closed a connection, and that has not been read yet. A system call: for requests that must not be sent twice.
    /// - Source: tcp(7), `TCP_INFO`; only an established connection is of use.
    static func isClosedByPeer(_ channel: any Channel) -> Bool {
        guard let options = channel as? any SocketOptionProvider, channel.remoteAddress?.port != nil else { return false }
        let established: UInt8 = 1
        var state = established
        // Complete at once, on the channel's own loop.
        options.getTCPInfo().assumeIsolated().whenSuccess { state = $0.tcpi_state }
        return state != established
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
