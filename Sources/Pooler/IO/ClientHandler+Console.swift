import NIOCore
import PostgresWire
import Transport

/// What the console shows of the client.
extension ClientHandler {
    func consoleID(loop: Int) -> UInt64 { UInt64(loop) << 48 | id }

    /// By an operator's command.
    func kill() { fail(.adminShutdown, "terminating connection due to administrator command") }

    /// Its row in the console; `nil` before its login.
    func describe(loop: Int, now: NIODeadline, time: (NIODeadline) -> String) -> ConsoleSnapshot.Socket? {
        guard let identity, channel.isActive else { return nil }
        let isWaiting = phase == .waiting || phase == .welcoming
        let (remote, local) = (self.remote, channel.localAddress)
        return ConsoleSnapshot.Socket(
            type: "C", user: identity.startup.user, database: identity.startup.database, replication: replication.rawValue, state: isWaiting ? "waiting" : "active",
            address: remote?.address ?? "unix", port: remote?.port ?? 0, localAddress: local?.ipAddress ?? "unix", localPort: local?.port ?? 0,
            connectTime: time(openedAt), requestTime: time(activeSince),
            wait: isWaiting ? UInt64(clamping: (now - phaseSince).nanoseconds / 1000) : 0, link: server?.consoleID(loop: loop),
            tls: context.flatMap { TLSPeer.version(of: $0.pipeline) } ?? "", applicationName: parameters.value("application_name") ?? "",
            preparedStatements: statements.count, id: consoleID(loop: loop), isActive: server != nil)
    }

    /// What the console shows of it besides: in the tables that PgBouncer has not.
    func describeState(in snapshot: inout ConsoleSnapshot, _ row: ConsoleSnapshot.Socket, now: NIODeadline) {
        let client = ConsoleSnapshot.Client(
            database: row.database, user: row.user, applicationName: row.applicationName, address: row.address, port: row.port, id: row.id)
        if phase == .waiting {
            snapshot.waiters.append(.init(client: client, wait: Self.microseconds(now - phaseSince), position: 0))
        }
        guard let server else { return }
        if server.session.status != .idle, server.session.queue.isEmpty {
            snapshot.leaks.append(
                .init(
                    client: client, idleInTransaction: Self.microseconds(now - activeSince), query: statements.last?.statistics.text ?? "",
                    traceID: statements.last?.traceID ?? TraceParent.find(inName: row.applicationName), remotePID: Int(server.session.processID)))
        }
        if let pin {
            snapshot.pins.append(
                .init(
                    client: client, cause: pin.cause.rawValue, since: Self.microseconds(now - pin.since), query: statements.session?.pinText ?? "",
                    remotePID: Int(server.session.processID)))
        }
    }
}
