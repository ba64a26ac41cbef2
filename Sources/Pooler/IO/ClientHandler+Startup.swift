import NIOCore
import NIOTLS
import PostgresWire
import Transport

/// From the first byte to the first query: TLS, who it is, where it wants to; and the request to cancel, which is a connection of its own.
extension ClientHandler {
    // MARK: Start-up

    /// The client's address; `nil` on a Unix socket.
    var remote: (address: String, port: Int)? {
        guard let remote = proxied ?? channel.remoteAddress, let address = remote.ipAddress else { return nil }
        return (address, remote.port ?? 0)
    }

    func startUp() {
        if awaitsProxyHeader {
            switch ProxyHeader.read(from: &pending) {
            case .incomplete: return
            case .malformed(let malformation):
                worker.runner.logger.notice("no PROXY header (\(malformation.rawValue)) from \(remote?.address ?? "unix")")
                return close()
            case .itself, .unknown: awaitsProxyHeader = false
            case .client(let client):
                awaitsProxyHeader = false
                proxied = client.address
            }
            guard pending.readableBytes > 0 else { return }
        }
        if let authentication {
            do {
                if let message = try ClientAuthentication.take(from: &pending) { authentication.received(message) }
            } catch {
                authentication.refuse(error)
            }
            return
        }
        if let login = worker.recentLogin.take(from: &pending) { return loginAsked(login) }
        let input = pending
        switch startup.received(&pending) {
        case .wait: break
        case .decline: write(ByteBuffer(bytes: [UInt8(ascii: "N")]))
        case .encrypt:
            write(ByteBuffer(bytes: [UInt8(ascii: "S")]))
            encrypt(isDirect: false)
        case .encryptDirectly: encrypt(isDirect: true)
        case .close: close()
        case .cancel(let key): cancel(key)
        case .refuse(let error): fail(error)
        case .login(let login):
            if let packet = input.getSlice(at: input.readerIndex, length: pending.readerIndex - input.readerIndex) { worker.recentLogin.keep(login, of: packet) }
            loginAsked(login)
        }
    }

    private func loginAsked(_ login: ClientStartup.Login) {
        self.login = login
        authenticate(login)
    }

    /// All that follows is encrypted.
    func encrypt(isDirect: Bool) {
        guard let tls = worker.runner.tls.clients else { return close() }
        encryption = .handshake(isDirect: isDirect)
        do {
            try channel.pipeline.syncOperations.addHandler(self)
            channel.owner = nil
            tlsBuffers = try tls.addFirstWithBuffers(to: channel)
        } catch {
            return close()
        }
        guard pending.readableBytes > 0 else { return }
        // What was read is the beginning of the handshake: it starts again, from the front.
        let bytes = pending
        pending = ByteBuffer()
        worker.eventLoop.execute { [channel] in
            channel.pipeline.syncOperations.fireChannelRead(NIOAny(bytes))
            channel.pipeline.syncOperations.fireChannelReadComplete()
        }
    }

    func encrypted(_ negotiated: String?) {
        guard case .handshake(let isDirect) = encryption else { return }
        // Without a request the name of the protocol is all that keeps other protocols' clients out (PostgreSQL 17 asks for it, too).
        guard !isDirect || negotiated == PoolerTLS.applicationProtocol else { return close() }
        encryption = .established
    }

    /// The client has to show who it is.
    func authenticate(_ login: ClientStartup.Login) {
        guard !isOverLimit else { return fail(.tooManyConnections, "no more connections allowed (max_client_connections)") }
        let remote = proxied ?? channel.remoteAddress
        let hasTLS = if case .established = encryption { true } else { false }
        // A Unix socket, which has no port, needs no TLS: nobody is in between.
        guard hasTLS || remote?.port == nil || worker.runner.tls.clientMode == .disable || worker.runner.tls.clientMode == .allow else {
            return fail(.invalidAuthorization, "TLS required")
        }
        let authenticator = worker.runner.authenticator
        if authenticator.believesAll { return admit(login, isConsole: isConsole(login)) }
        let client = HostRules.Client(
            user: login.startup.user, database: login.startup.database, isReplication: login.startup.isPhysicalReplication,
            address: IPAddress(remote), hasTLS: hasTLS)
        let certificate = hasTLS ? context.flatMap { TLSPeer.certificate(of: $0.pipeline) } : nil
        let applicant = ClientLogin.Applicant(
            client: client, certificateName: certificate.flatMap { CertificateSubject.commonName(certificate: $0) },
            channelBinding: hasTLS ? worker.runner.tls.channelBinding : nil)
        let isConsole = isConsole(login)
        let authentication = ClientAuthentication(
            applicant, authenticator: authenticator, eventLoop: worker.eventLoop,
            askDatabase: { [worker] client, done in
                // Of the console, and of databases that are not offered, there is nobody to ask.
                let databases = worker.configuration.databases
                guard !isConsole || worker.configuration.authentication.queryDatabase != nil, databases[client.database] ?? databases["*"] != nil
                else { return done(nil) }
                worker.authQueries.ask(client, done)
            }
        ) { [unowned self] step in
            switch step {
            case .send(let bytes): write(bytes)
            case .accept(let bytes):
                if bytes.readableBytes > 0 { write(bytes) }
                self.authentication = nil
                admit(login, isConsole: isConsole)
                // What came with the proof waits to be understood, when it was a derivation that took its time.
                understand()
            case .refuse(let refusal):
                worker.runner.logger.notice(
                    "login refused: \(refusal.rawValue)", metadata: ["user": "\(client.user)", "database": "\(client.database)"])
                fail(ErrorFields(severity: "FATAL", sqlState: refusal.sqlState, message: refusal.message(for: client)))
            }
        }
        self.authentication = authentication
        authentication.begin()
    }

    private func isConsole(_ login: ClientStartup.Login) -> Bool {
        // Mostly it goes where the one before it went.
        worker.recentAdmission?.login !== login && worker.isConsole(login.startup.database) && !login.startup.isReplication
    }

    /// The client may come in; what is left is to tell it where it is.
    private func admit(_ login: ClientStartup.Login, isConsole: Bool) {
        identity = login
        if isConsole { return admitToConsole(login.startup.user) }
        guard !worker.isDraining else { return fail(.cannotConnectNow, "the pooler is shutting down") }
        if let recent = worker.recentAdmission, recent.login === login { admitAgain(recent) } else { admit(login) }
    }

    private func admit(_ login: ClientStartup.Login) {
        guard let (name, database) = worker.configuration.offered(login.startup) else {
            return fail(.invalidCatalogName, "no such database: \(login.startup.database)")
        }
        let poolKey = PoolMachine.PoolKey(database: name, user: database.user ?? login.startup.user, kind: login.startup.isReplication ? .replication : .shared)
        guard isEnabled(name) else { return }
        guard let pool = worker.runner.pool(poolKey) else { return fail(.tooManyConnections, "too many pools of server connections") }
        self.pool = pool
        var asked = login.parameters
        isProbe = asked.contains { $0.name == "application_name" && $0.value == worker.runner.probeName }
        // No statement is worth it that the server knows the name by.
        if isProbe { asked.removeAll { $0.name == "application_name" } }
        if worker.configuration.addsClientAddress {
            ClientStartup.Login.addClientAddress(remote.map { "\($0.address):\($0.port)" } ?? "unix", to: &asked)
        }
        if poolKey.kind == .replication { return admitToReplication(login, asked, poolKey) }
        parameters = worker.runner.parameterSets.withLock { [asked] in $0.make(asked) }
        statements.session = worker.newSession(asked)
        beginSession()
        guard let known = worker.runner.welcome(pool, parameters) else { return lease(now: .now()) }
        // What a client has besides its packet is its own.
        if !isProbe, !worker.configuration.addsClientAddress {
            worker.recentAdmission = .init(login: login, database: name, pool: pool, parameters: parameters, session: statements.session, welcome: known)
        }
        welcome(known)
    }

    /// As the last one who began with the same packet.
    private func admitAgain(_ admission: PoolerWorker.Admission) {
        guard isEnabled(admission.database) else { return }
        pool = admission.pool
        parameters = admission.parameters
        statements.session = admission.session
        beginSession()
        welcome(admission.welcome)
    }

    private func isEnabled(_ database: String) -> Bool {
        guard worker.runner.disabledDatabases.withLock({ !$0.isEmpty && $0.contains(database) }) else { return true }
        fail(.cannotConnectNow, "database \"\(database)\" is disabled")
        return false
    }

    /// What is left is to tell it of the server.
    private func beginSession() {
        statements.texts = worker.texts
        if !isProbe {
            statements.insight = (worker.queries, pool)
            statements.habit = worker.recentHabit
        }
        issueKey()
        phase = .welcoming
    }

    func issueKey() {
        key = worker.runner.cancelKeys.issue(to: .init(loop: worker.index, client: id), secret: worker.secret())
    }

    private func admitToConsole(_ user: String) {
        guard ConsoleAccess(worker.configuration.authentication).mayConnect(user) else {
            return fail(.invalidAuthorization, "the console is not for user \"\(user)\": see pooler.auth.admins")
        }
        console = ConsoleRunner(worker: worker, user: user) { [unowned self] bytes in
            write(bytes)
            understand()
        }
        issueKey()
        phase = .welcoming
        welcome(PoolRunner.Welcome(Dictionary(uniqueKeysWithValues: ConsoleRunner.parameters.map { ($0.name, $0.value) })))
    }

    func welcome(_ welcome: PoolRunner.Welcome) {
        guard phase == .welcoming, let login, let key else { return }
        phase = .idle
        self.login = nil
        if login.needsNegotiation {
            var reply = ByteBuffer()
            BackendMessage.negotiateProtocolVersion(minor: 0, unknownOptions: login.startup.protocolOptions, to: &reply)
            write(reply)
        }
        write(welcome.messages(for: key))
        worker.metrics.clientLogins.add()
        if console == nil, !isProbe { worker.counts.add(pool) { $0.clientLogins &+= 1 } }
        statements.session?.baseline = welcome.reported
        activeSince = .now()
    }

    // MARK: Cancelling

    /// This connection was made to cancel another client's query.
    func cancel(_ key: CancelKeys.Key) {
        phase = .closed
        guard let place = worker.runner.cancelKeys.find(key) else { return close() }
        let eventLoop = worker.eventLoop
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        worker.runner.run(on: place.loop, from: worker) { worker in
            let done: @Sendable () -> Void = { eventLoop.execute { bound.value.close() } }
            guard let client = worker.clients[place.client] else { return done() }
            client.cancelRequested(done)
        }
    }

    func cancelRequested(_ done: @escaping @Sendable () -> Void) {
        if phase == .waiting, ticket != nil || awaitsOwn, WaitingRequest.drop(from: &pending) {
            if let ticket { worker.waiterGone(ticket, pool: pool) }
            ticket = nil
            awaitsOwn = false
            phase = .idle
            var reply = ByteBuffer()
            ErrorFields(
                severity: "ERROR", sqlState: SQLState.queryCanceled.rawValue, message: "canceling statement due to user request"
            ).write(to: &reply)
            BackendMessage.readyForQuery(.idle, to: &reply)
            write(reply)
            understand()
            return done()
        }
        guard phase == .serving, let server, !server.session.queue.isEmpty else { return done() }
        server.cancel(done)
    }
}
