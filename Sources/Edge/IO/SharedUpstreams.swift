import Logging
import NIOCore
import Telemetry

/// All groups of servers, with what is shared of each by the event loops, and the watch over their names and health.
///
/// What a reload leaves unchanged lives on: members keep their health, connections and waiters.
final class SharedUpstreams: Sendable {
    /// How long the start waits for names. 5 s: longer than a resolver's first try; a group without addresses answers 503 until it has.
    private static let firstLookUpMax = TimeAmount.seconds(5)

    private let loops: Int
    private let eventLoop: any EventLoop
    private let logger: Logger
    private let groups = Lock<[String: SharedUpstream]>([:])
    private let watch = Lock<NIOLoopBound<UpstreamWatch>?>(nil)

    init(loops: Int, group: any EventLoopGroup, logger: Logger) {
        self.loops = loops
        self.logger = logger
        eventLoop = group.next()
    }

    subscript(name: String) -> SharedUpstream? { groups.withLock { $0[name] } }

    /// Makes the groups, and waits a while for their names to be looked up.
    func start(_ configuration: [String: UpstreamGroup], _ tls: [String: UpstreamTLS]) async {
        let groups = adopt(configuration, tls)
        let (eventLoop, logger) = (eventLoop, logger)
        let first = eventLoop.makePromise(of: Void.self)
        eventLoop.scheduleTask(in: Self.firstLookUpMax) { first.succeed() }
        let made = try? await eventLoop.submit {
            let made = UpstreamWatch(eventLoop: eventLoop, logger: logger)
            made.adopt(groups).whenComplete { _ in first.succeed() }
            return NIOLoopBound(made, eventLoop: eventLoop)
        }.get()
        watch.withLock { $0 = made }
        try? await first.futureResult.get()
    }

    func reload(_ configuration: [String: UpstreamGroup], _ tls: [String: UpstreamTLS]) {
        let groups = adopt(configuration, tls)
        guard let watch = watch.withLock({ $0 }) else { return }
        eventLoop.execute { _ = watch.value.adopt(groups) }
    }

    func stop() {
        guard let watch = watch.withLock({ $0 }) else { return }
        eventLoop.execute { watch.value.stop() }
    }

    var snapshots: [(name: String, machine: UpstreamMachine)] {
        groups.withLock { $0 }.sorted { $0.key < $1.key }.map { ($0.key, $0.value.snapshot) }
    }

    /// Groups of a name that is there already get their new configuration.
    private func adopt(_ configuration: [String: UpstreamGroup], _ tls: [String: UpstreamTLS]) -> [(SharedUpstream, UpstreamGroup)] {
        groups.withLock { groups in
            let old = groups
            groups = [:]
            for (name, group) in configuration {
                let shared = old[name] ?? SharedUpstream(name: name, group, loops: loops)
                shared.withMachine { $0.reconfigured(group) }
                shared.tls = tls[name]
                groups[name] = shared
            }
            return groups.map { ($0.value, configuration[$0.key] ?? UpstreamGroup(members: [])) }
        }
    }
}
