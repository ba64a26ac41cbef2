import NIOCore
import PostgresWire

/// A client that replicates: it gets a server connection of its own, made with what it said at its start, for as long as it is there.
///
/// Such a connection speaks another language, which is not looked at; its ReadyForQuery says nothing of a transaction, and what it has set up
/// (a snapshot, a slot) is gone with it. So it is neither shared nor used again, and counts as one that is kept (`pooler.limits.pinned`).
///
/// - Source: PostgreSQL 15, "Streaming Replication Protocol".
extension ClientHandler {
    /// Of what a client wants the changes; the raw value is the console's word.
    enum Replication: String {
        case none
        /// One database, as its rows change.
        case logical
        /// A whole server, as its files do.
        case physical
    }

    /// - Parameter parameters: what the connection is to begin with.
    func admitToReplication(_ login: ClientStartup.Login, _ parameters: [StartupMessage.Parameter], _ key: PoolMachine.PoolKey) {
        replication = login.startup.isPhysicalReplication ? .physical : .logical
        guard let slot = worker.runner.ownRequested(pool, loop: worker.index) else {
            return fail(.tooManyConnections, "no more server connections may be kept for replication (pooler.limits.pinned), or the database is paused")
        }
        issueKey()
        phase = .welcoming
        var startup = login.startup
        startup.parameters = parameters
        // The users of both kinds of connections are the same, and so is what their logins left behind.
        let user = PoolMachine.PoolKey(database: login.startup.database, user: key.user)
        ServerConnector.connect(
            .client(
                startup, slot, pool: pool, ready: { [self] server in replicationBegan(server) },
                failed: { [self] error in
                    guard phase != .closed else { return }
                    fail(error ?? ErrorFields(severity: "FATAL", sqlState: SQLState.connectionFailure.rawValue, message: "no connection to the server"))
                }), key: user, worker: worker)
    }

    private func replicationBegan(_ server: ServerHandler) {
        guard phase == .welcoming, !worker.isDraining else {
            if phase == .welcoming { fail(.adminShutdown, "terminating connection due to administrator command") }
            return worker.release(server, isReusable: false, now: .now())
        }
        self.server = server
        server.begin(self)
        server.session.renamesStatements = false
        welcome(PoolRunner.Welcome(server.session.reported))
        phase = .serving
        understand()
    }

    /// The server has said something, which is on its way to the client.
    func replicated(_ server: ServerHandler) {
        activeSince = .now()
        _ = server.session.takeReportedChanges()
        if pending.readableBytes > 0 { understand() } else { resumeReading() }
    }
}
