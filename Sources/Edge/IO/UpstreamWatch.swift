import Logging
import NIOCore
import Transport

/// Looks up the names of the groups' members again and again, and probes those of the groups that want it. On one event loop, for the
/// whole process.
final class UpstreamWatch {
    /// Before a look-up that failed is tried again; each failure doubles it, up to the group's own interval.
    private static let firstRetry = TimeAmount.seconds(1)

    private final class Watched {
        let shared: SharedUpstream
        var group: UpstreamGroup
        var answers: [UpstreamGroup.Address: ResolvedMembers.Answer] = [:]
        var failuresInRow = 0
        var nextLookUp: Scheduled<Void>?
        var isLookingUp = false
        /// Its names have changed while others were looked up.
        var isLookUpDue = false
        var probing: RepeatedTask?
        var probes: [UpstreamGroup.SocketEndpoint: HealthProbe] = [:]

        init(_ shared: SharedUpstream, _ group: UpstreamGroup) {
            self.shared = shared
            self.group = group
        }
    }

    private let eventLoop: any EventLoop
    private let logger: Logger
    /// Made when there is a name to look up: it has threads.
    private var resolver: NameResolver?
    private var watched: [String: Watched] = [:]
    private var isStopped = false

    init(eventLoop: any EventLoop, logger: Logger) {
        self.eventLoop = eventLoop
        self.logger = logger
    }

    /// Watches these groups and no others.
    /// - Returns: succeeds when each name was looked up once, found or not.
    func adopt(_ groups: [(shared: SharedUpstream, group: UpstreamGroup)]) -> EventLoopFuture<Void> {
        let old = watched
        watched = [:]
        var first: [EventLoopFuture<Void>] = []
        for (shared, group) in groups {
            let known = old[shared.name].flatMap { $0.shared === shared ? $0 : nil }
            let one = known ?? Watched(shared, group)
            let isChanged = known.map { $0.group != group } ?? true
            one.group = group
            watched[shared.name] = one
            guard isChanged else { continue }
            one.nextLookUp?.cancel()
            // Until new names are looked up those of before serve.
            if known == nil || names(of: one).isSubset(of: one.answers.keys) { tell(one) }
            first.append(lookUp(one))
            probeFromNowOn(one)
        }
        for (name, one) in old where watched[name] !== one { end(one) }
        return EventLoopFuture.andAllComplete(first, on: eventLoop)
    }

    func stop() {
        isStopped = true
        for one in watched.values { end(one) }
        watched = [:]
        resolver?.stop()
    }

    private func end(_ one: Watched) {
        one.nextLookUp?.cancel()
        one.probing?.cancel()
        for probe in one.probes.values { probe.cancel() }
        one.probes = [:]
        // It is no group any more: its idle connections are closed by the loops that have them.
        one.shared.deliver(one.shared.withMachine { $0.resolved([], now: .now()) })
    }

    // MARK: Names

    private func tell(_ one: Watched) {
        let list = ResolvedMembers.list(one.group, one.answers)
        // Names of which none can be looked up: those of before, if there were any, are the best guess.
        if list.isEmpty, !one.group.members.isEmpty, !names(of: one).isSubset(of: one.answers.keys) { return }
        one.shared.deliver(one.shared.withMachine { $0.resolved(list, now: .now()) })
    }

    private func names(of one: Watched) -> Set<UpstreamGroup.Address> {
        Set(one.group.members.map(\.address).filter { ResolvedMembers.fixed($0) == nil })
    }

    private func lookUp(_ one: Watched) -> EventLoopFuture<Void> {
        let names = names(of: one)
        one.answers = one.answers.filter { names.contains($0.key) }
        one.isLookUpDue = one.isLookingUp
        guard !names.isEmpty, !one.isLookingUp, !isStopped else { return eventLoop.makeSucceededVoidFuture() }
        one.isLookingUp = true
        let resolver = self.resolver ?? NameResolver()
        self.resolver = resolver
        let bound = NIOLoopBound((watch: self, one: one), eventLoop: eventLoop)
        let lookUps = names.map { name in
            resolver.lookUp(name, nameserver: one.group.nameserver, on: eventLoop).map { Result<_, any Error>.success($0) }
                .recover { .failure($0) }.map { (name, $0) }
        }
        return EventLoopFuture.whenAllSucceed(lookUps, on: eventLoop).map { results in
            let (watch, one) = bound.value
            watch.lookedUp(one, results)
        }
    }

    private func lookedUp(_ one: Watched, _ results: [(UpstreamGroup.Address, Result<ResolvedMembers.Answer, any Error>)]) {
        one.isLookingUp = false
        guard watched[one.shared.name] === one, !isStopped else { return }
        if one.isLookUpDue {
            _ = lookUp(one)
            return
        }
        var hasFailed = false
        for (name, result) in results {
            switch result {
            case .success(let answer): one.answers[name] = answer
            // What was known before is still the best guess, even if the name is said not to exist: names come and go in a
            // deployment, and a group without members serves nobody.
            case .failure(let error):
                hasFailed = true
                logger.warning(
                    "name not found", metadata: ["group": "\(one.shared.name)", "member": "\(name)", "error": "\(error)"])
            }
        }
        one.failuresInRow = hasFailed ? one.failuresInRow + 1 : 0
        tell(one)
        let interval = ResolvedMembers.interval(Array(one.answers.values), one.group)
        // 10 doublings are 17 minutes.
        let retry = TimeAmount.nanoseconds(Self.firstRetry.nanoseconds << Int64(min(one.failuresInRow, 10) - (hasFailed ? 1 : 0)))
        let bound = NIOLoopBound((watch: self, one: one), eventLoop: eventLoop)
        one.nextLookUp = eventLoop.scheduleTask(in: hasFailed ? min(retry, interval) : interval) {
            let (watch, one) = bound.value
            _ = watch.lookUp(one)
        }
    }

    // MARK: Probes

    private func probeFromNowOn(_ one: Watched) {
        one.probing?.cancel()
        one.probing = nil
        let check = one.group.healthCheck
        guard check.path != nil else { return }
        let bound = NIOLoopBound((watch: self, one: one), eventLoop: eventLoop)
        one.probing = eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: check.interval) { _ in
            let (watch, one) = bound.value
            watch.probe(one, check)
        }
    }

    private func probe(_ one: Watched, _ check: UpstreamGroup.HealthCheck) {
        for member in one.shared.withMachine({ $0.probed }) where one.probes[member.endpoint] == nil {
            let endpoint = member.endpoint
            let host = check.host ?? one.group.host ?? endpoint.description
            let opening = one.group.proxyProtocol.map { version in
                var header = ByteBuffer()
                ProxyHeader.writeItself(version, into: &header)
                return header
            }
            let dial = UpstreamDial(
                endpoint: endpoint, secureName: member.secureName, tls: one.shared.tls, wanted: one.group.version == .h2 ? .http2 : .http1,
                opening: opening, timeout: check.timeout, eventLoop: eventLoop)
            let probe = HealthProbe(dial, check, host: host)
            one.probes[endpoint] = probe
            let bound = NIOLoopBound((watch: self, one: one), eventLoop: eventLoop)
            probe.run().whenComplete { result in
                let (watch, one) = bound.value
                one.probes[endpoint] = nil
                guard watch.watched[one.shared.name] === one else { return }
                watch.probed(one, endpoint, isGood: (try? result.get()) ?? false)
            }
        }
    }

    private func probed(_ one: Watched, _ endpoint: UpstreamGroup.SocketEndpoint, isGood: Bool) {
        let (change, messages) = one.shared.withMachine { $0.probed(endpoint, isGood: isGood, now: .now()) }
        one.shared.deliver(messages)
        guard change != .none else { return }
        logger.warning(
            "\(change == .left ? "member down" : "member up")", metadata: ["group": "\(one.shared.name)", "member": "\(endpoint)"])
    }
}
