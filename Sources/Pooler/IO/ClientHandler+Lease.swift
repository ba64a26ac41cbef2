import NIOCore
import PostgresWire

/// The server connection that the client has for a while, and what comes from it.
extension ClientHandler {
    // MARK: The lease

    func lease(now: NIODeadline) {
        phaseSince = now
        if phase == .waiting, worker.runner.dedication.isOn(now), leasesOwn(now: now) { return }
        worker.lease(self, pool: pool, now: now)
    }

    func waits(_ ticket: UInt64, since now: NIODeadline) {
        self.ticket = ticket
    }

    func leased(_ server: ServerHandler, now: NIODeadline) {
        ticket = nil
        self.server = server
        server.begin(self)
        worker.metrics.leases.add()
        if !isProbe { worker.metrics.waited(now - phaseSince) }
        let wait = Self.microseconds(now - phaseSince)
        leaseWait = wait
        if !isProbe {
            worker.counts.add(pool) {
                $0.serverAssignments &+= 1
                $0.waitTime &+= wait
            }
        }
        phaseSince = now
        activeSince = now
        server.session.leaseBegan()
        server.session.renamesStatements = worker.configuration.mode != .session
        // Mostly they are the same, which their numbers tell: the sets are copied where they are not.
        if parameters.id != server.session.parameters.id, let statement = parameters.statement(from: server.session.parameters) {
            if phase == .waiting { phase = .settingUp }
            worker.metrics.parameterChanges.add()
            worker.metrics.ownTransactions.add()
            var bytes = ByteBuffer()
            server.session.setupSent(statement, to: &bytes)
            server.send(bytes)
        } else {
            settledUp(server, now: now)
        }
    }

    /// The server connection has this client's parameters.
    func settledUp(_ server: ServerHandler, now: NIODeadline) {
        if server.session.parameters.id != parameters.id { server.session.parameters = parameters }
        switch phase {
        case .welcoming:
            let reported = PoolRunner.Welcome(server.session.reported)
            worker.runner.welcomed(pool, parameters, with: reported)
            endLease(isReusable: true, now: now)
            welcome(reported)
            understand(now: now)
        case .waiting, .settingUp:
            phase = .serving
            understand(now: now)
        case .startup, .idle, .serving, .probing, .listening, .closed: break
        }
    }

    /// It waited for nothing.
    func leaseRefused(_ error: ErrorFields) {
        ticket = nil
        fail(error)
    }

    /// The connection that it was to have is gone: it waits again.
    func leaseLost() {
        ticket = nil
        worker.lease(self, pool: pool, now: .now())
    }

    func releaseIfDone(now: NIODeadline) {
        guard phase == .serving, let server, server.isQuiescent, worker.configuration.mode != .session, !isReplication else { return }
        settle(statements.session?.settled() ?? .release(isKnown: true), server, now: now)
    }

    /// No transaction is open: what becomes of the server connection.
    func settle(_ verdict: SessionState.Verdict, _ server: ServerHandler, now: NIODeadline) {
        if !channels.isEmpty {
            unlisten(statements.session?.takeUnlistened())
            // What it listens to on a connection of its own is not to come twice.
            if let own = statements.session?.channels, !own.isEmpty { unlisten(.channels(own)) }
        }
        if notifications.readableBytes > 0 { writeNotifications() }
        switch verdict {
        case .keep: return
        case .probe:
            phase = .probing
            worker.metrics.probes.add()
            worker.metrics.ownTransactions.add()
            var bytes = ByteBuffer()
            server.session.probeSent(to: &bytes)
            server.send(bytes)
            return
        case .pinned(let cause):
            phase = .serving
            phaseSince = now
            if pin == nil {
                guard worker.runner.pinned(server.slot) else {
                    return fail(.configurationLimitExceeded, "too many server connections are kept for clients (pooler.limits.pinned): \(cause.rawValue)")
                }
                worker.metrics.pins.add()
            }
            if pin?.cause != cause { pin = (cause, now) }
        case .release where keepsOwn(server, now: now): return
        case .release(let isKnown):
            phase = .idle
            pin = nil
            if let settings = statements.session?.takeNewSettings() {
                (parameters, server.session.parameters) = worker.runner.parameterSets.withLock { sets in
                    (sets.make(settings.client), sets.make(settings.server))
                }
            }
            endLease(isReusable: true, resets: !isKnown, now: now)
        }
        if worker.isDraining, pending.readableBytes == 0 { fail(.adminShutdown, "terminating connection due to administrator command") }
    }

    func endLease(isReusable: Bool, resets: Bool = false, now: NIODeadline) {
        guard let server else { return }
        self.server = nil
        server.end(isReusable: isReusable, resets: resets, now: now)
    }

    // MARK: The server's side

    /// The server's bytes are read with what is known of this client.
    func repliesReceived(_ input: inout ByteBuffer, from server: ServerHandler, to output: inout ByteBuffer) -> ServerSession.ReplyOutcome {
        server.session.repliesReceived(&input, client: &statements, to: &output)
    }

    /// The server has said what its session holds.
    func probed(_ server: ServerHandler) {
        guard phase == .probing else { return }
        guard server.session.setupError == nil, let answer = server.session.probeAnswer, let verdict = statements.session?.probed(answer) else {
            return fail(.connectionFailure, "the server does not tell what the session holds")
        }
        settle(verdict, server, now: .now())
        understand()
    }

    func replied(_ output: ByteBuffer, _ outcome: ServerSession.ReplyOutcome, server: ServerHandler) {
        if output.readableBytes > 0 { write(output) }
        guard !outcome.isLost else { return fail(.connectionFailure, "the server sent what is no answer") }
        if isReplication { return replicated(server) }
        if outcome.hasParameters { parametersReported(server.session.takeReportedChanges(), server) }
        if let setup = outcome.setup {
            switch setup {
            case .done: settledUp(server, now: .now())
            case .failed:
                guard var error = server.session.setupError else { return }
                error.severity = "FATAL"
                fail(error)
            }
            return
        }
        if outcome.isProbed { return probed(server) }
        guard outcome.readyCount > 0 else {
            if outcome.hasBegunCopy, pending.readableBytes > 0 { understand() }
            return
        }
        let now = NIODeadline.now()
        let queryTime = Self.microseconds(now - activeSince)
        activeSince = now
        if worker.isSlow(wait: leaseWait, server: queryTime) { logSlowStatements(server: queryTime) }
        statements.countEnded(wait: leaseWait, server: queryTime, traces: worker.traced, sessionTraceID: sessionTraceID)
        leaseWait = 0
        let (readyCount, idleCount) = (outcome.readyCount, outcome.idleCount)
        // A session begins many of them: there the last query stands for its transaction.
        let since = worker.configuration.mode == .session ? queryTime : Self.microseconds(now - phaseSince)
        let transactionTime = idleCount > 0 ? since : 0
        if !isProbe {
            // However many of a pipeline's come in one read. PgBouncer counts as one what comes before the first of it is answered.
            worker.counts.add(pool) {
                $0.queries &+= UInt64(readyCount)
                $0.queryTime &+= queryTime
                $0.transactions &+= UInt64(idleCount)
                $0.transactionTime &+= transactionTime
            }
        }
        if readyCount != idleCount, worker.configuration.mode == .statement {
            return fail(.featureNotSupported, "transaction blocks are not allowed in statement pooling mode")
        }
        if idleCount > 0 {
            statements.forgetUntracedWait()
            // What the client has sent ahead is the next transaction.
            phaseSince = now
        }
        releaseIfDone(now: now)
        if pending.readableBytes > 0 { understand(now: now) } else { resumeReading() }
    }

    /// The client goes, or its server connection: what is open is rolled back there and counted, and so it is here. PgBouncer counts a
    /// transaction when it begins.
    func countUnfinished(on server: ServerHandler) {
        guard phase == .serving, !isReplication, !isProbe, server.session.isInTransaction else { return }
        let now = NIODeadline.now()
        let isAnswerDue = !server.session.queue.isEmpty
        let queryTime = isAnswerDue ? Self.microseconds(now - activeSince) : 0
        let transactionTime = worker.configuration.mode == .session ? queryTime : Self.microseconds(now - phaseSince)
        worker.counts.add(pool) {
            $0.queries &+= isAnswerDue ? 1 : 0
            $0.queryTime &+= queryTime
            $0.transactions &+= 1
            $0.transactionTime &+= transactionTime
        }
    }

    /// What has just ended was slow.
    /// - Parameter server: microseconds.
    func logSlowStatements(server: UInt64) {
        for (index, unit) in statements.ended.enumerated() {
            worker.log(
                slowStatement(
                    unit.statistics, unit.traceID, wait: index == 0 ? leaseWait : 0, server: server, rows: unit.rows,
                    end: unit.hasFailed ? .failed : .complete))
        }
    }

    /// What is under way will not end; when that was slow already, it is what an operator looks for.
    func logUnfinishedStatement() {
        guard let unit = statements.current else { return }
        let server = Self.microseconds(.now() - activeSince)
        guard worker.isSlow(wait: leaseWait, server: server) else { return }
        worker.log(slowStatement(unit.statistics, unit.traceID, wait: leaseWait, server: server, rows: unit.rows, end: .unfinished))
    }

    private func slowStatement(
        _ statistics: QueryStatistics, _ traceID: String?, wait: UInt64, server: UInt64, rows: UInt64, end: SlowStatements.End
    ) -> SlowStatements.Line {
        let applicationName = parameters.value("application_name") ?? ""
        return .init(
            database: identity?.startup.database ?? "", user: identity?.startup.user ?? "", applicationName: String(applicationName.prefix(64)), wait: wait,
            server: server, rows: rows, end: end, traceID: traceID ?? TraceParent.find(inName: applicationName), text: statistics.text)
    }

    /// The client, or its transaction's end, has changed parameters that the server reports: they are its own from now on.
    func parametersReported(_ reported: [StartupMessage.Parameter], _ server: ServerHandler) {
        guard worker.configuration.mode != .session else { return }
        let base = parameters
        parameters = worker.runner.parameterSets.withLock { sets in
            reported.filter { !SessionState.notSettable.contains($0.name.lowercased()) }
                .reduce(base) { sets.make($0, setting: $1.name, to: $1.value) }
        }
        server.session.parameters = parameters
    }

    func serverWritable() {
        if pending.readableBytes > 0 { understand() } else { resumeReading() }
    }

    /// The server connection ended while the client had it.
    func serverGone() {
        let wasTold = server?.session.isEnding ?? false
        if let server { countUnfinished(on: server) }
        server = nil
        if phase == .probing, pin == nil {
            // Its transaction has ended; what there may have been is gone with the connection.
            statements.session?.connectionReset()
            phase = .idle
            return understand()
        }
        if wasTold { return close() }
        fail(.connectionFailure, "server connection closed unexpectedly")
    }
}
