import NIOCore
import PostgresWire

/// A server connection of the client's own, while it is measured what sharing them is worth (``Dedication``).
///
/// It is made for the client with its first request, kept between transactions, and closed with the client, or when the time is over and no
/// transaction is open. Where none can be made, the client shares as ever: nobody fails because something is measured.
extension ClientHandler {
    /// - Returns: whether a connection of its own is on its way; then ``leased(_:now:)``, or a lease of the usual kind.
    func leasesOwn(now: NIODeadline) -> Bool {
        guard worker.runner.dedication.mayConnect(now) else { return false }
        let (runner, shared) = (worker.runner, pool)
        var key = runner.inspect { PoolMachine.PoolKey(database: $0.pools[shared].database, user: $0.pools[shared].user) }
        let startup = StartupMessage(user: key.user, database: key.database)
        let login = key
        key.kind = .dedicated
        guard let own = runner.pool(key), let slot = runner.ownRequested(own, loop: worker.index) else { return false }
        dedicationAttempt += 1
        awaitsOwn = true
        let attempt = dedicationAttempt
        ServerConnector.connect(
            .client(
                startup, slot, pool: own,
                ready: { [self] server in
                    let now = NIODeadline.now()
                    guard awaitsOwn, attempt == dedicationAttempt else { return worker.release(server, isReusable: false, now: now) }
                    awaitsOwn = false
                    server.isDedicated = true
                    worker.metrics.dedications.add()
                    leased(server, now: now)
                },
                failed: { [self] _ in
                    runner.dedication.failed(.now())
                    if attempt == dedicationAttempt { sharesAgain(now: .now()) }
                }), key: login, worker: worker)
        return true
    }

    /// It waits for none of its own any more.
    private func sharesAgain(now: NIODeadline) {
        guard awaitsOwn else { return }
        awaitsOwn = false
        worker.lease(self, pool: pool, now: now)
    }

    /// A server that takes its time to let somebody in is no reason to wait while others' connections are idle.
    func sweepAwaited(now: NIODeadline) {
        guard awaitsOwn, phaseSince + Dedication.patience <= now else { return }
        worker.runner.dedication.failed(now)
        sharesAgain(now: now)
    }

    /// No transaction is open on a connection that nothing else keeps.
    /// - Returns: whether it stays with the client.
    func keepsOwn(_ server: ServerHandler, now: NIODeadline) -> Bool {
        guard server.isDedicated, !worker.isDraining, worker.runner.dedication.isOn(now), worker.runner.mayKeepOwn(server.slot, now: now) else { return false }
        phase = .serving
        phaseSince = now
        if pin?.cause != .dedication { pin = (.dedication, now) }
        return true
    }

    /// Shares again when the time is over, also when it asks nothing.
    func sweepOwn(now: NIODeadline) {
        if pin?.cause == .dedication, pending.readableBytes == 0 { releaseIfDone(now: now) }
    }
}
