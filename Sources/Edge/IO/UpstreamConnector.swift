import NIOCore
import NIOPosix
import Transport

/// Connections to the application for one event loop: leases, connects, keeps and closes them. What is decided is
/// ``IdleConnections``'; a request and its upstream connection live on one event loop, so that no byte hops.
final class UpstreamConnector {
    /// Requests that may wait for a connection, per event loop; more get 503 at once.
    static let waitingMax = 1024

    let group: UpstreamGroup
    private unowned let worker: EdgeWorker
    private var connections: IdleConnections<UpstreamHandler, Fetch>

    init(_ configuration: UpstreamGroup, threads: Int, worker: EdgeWorker) {
        group = configuration
        self.worker = worker
        let share = max(1, threads)
        connections = IdleConnections(
            connectionsMax: max(1, configuration.connectionsMax / share), idleMax: configuration.idleConnectionsMax,
            waitingMax: Self.waitingMax, idleTimeout: configuration.idleTimeout)
    }

    var host: String? { group.host }
    var firstByteTimeout: TimeAmount { group.firstByteTimeout }
    var readTimeout: TimeAmount { group.readTimeout }
    /// Whether nothing is open, and nobody waits.
    var isUnused: Bool { connections.open == 0 && connections.waitingCount == 0 }

    /// Gets a connection for a fetch, which is told by `connected` or `failed`, perhaps before this returns.
    func lease(_ fetch: Fetch, fresh: Bool, now: NIODeadline) {
        switch connections.lease(fetch, fresh: fresh, deadline: now + group.connectTimeout) {
        case .connection(let connection): fetch.connected(connection)
        case .connect: connect(for: fetch)
        case .wait: break
        case .full: fetch.failed(.queueFull)
        }
    }

    /// A connection has done its exchange.
    func release(_ connection: UpstreamHandler, now: NIODeadline) {
        guard !worker.isDraining || connections.waitingCount > 0 else { return connection.close() }
        switch connections.released(connection, now: now) {
        case .serve(let fetch): serve(fetch) { fetch.connected(connection) }
        case .keep: break
        case .close: connection.close()
        }
    }

    /// A connection is gone.
    func closed(_ connection: UpstreamHandler?) {
        if let fetch = connections.closed(where: { $0 === connection }) { serve(fetch) { self.connect(for: fetch) } }
    }

    /// Brings up a waiter in a tick of its own: the caller is in the middle of another exchange.
    private func serve(_ fetch: Fetch, _ action: @escaping () -> Void) {
        let bound = NIOLoopBound(action, eventLoop: worker.eventLoop)
        worker.eventLoop.execute { bound.value() }
    }

    func swept(now: NIODeadline) {
        let (expired, late) = connections.swept(now: now)
        for connection in expired { connection.close() }
        for fetch in late { fetch.failed(.queueTimeout) }
        worker.metrics.upstreamConnections.set(connections.open)
        worker.metrics.upstreamIdle.set(connections.idleCount)
    }

    func closeIdle() {
        for connection in connections.takeIdle() { connection.close() }
    }

    private func connect(for fetch: Fetch) {
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
        let attempt =
            switch group.members[0].address {
            case .endpoint(.tcp(let host, let port)):
                bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1).connect(host: host, port: port)
            case .endpoint(.unix(let path)): bootstrap.connect(unixDomainSocketPath: path)
            case .service: preconditionFailure("a service that is not resolved")
            }
        let bound = NIOLoopBound((connector: self, fetch: fetch), eventLoop: worker.eventLoop)
        attempt.hop(to: worker.eventLoop).whenComplete { result in
            let (connector, fetch) = bound.value
            switch result {
            case .success(let channel):
                do {
                    let handler = try channel.pipeline.syncOperations.handler(type: UpstreamHandler.self)
                    handler.opened(connector: connector, worker: connector.worker)
                    fetch.connected(handler)
                } catch {
                    channel.close(promise: nil)
                    connector.closed(nil)
                    fetch.failed(.connectFailed)
                }
            case .failure(let error):
                connector.closed(nil)
                if case .connectTimeout? = error as? ChannelError {
                    fetch.failed(.connectTimeout)
                } else {
                    fetch.failed(.connectFailed)
                }
            }
        }
    }
}
