import Logging
import NIOCore
import NIOPosix
import NIOTLS
import PostgresWire
import Telemetry
import Transport

/// Makes a server connection for a pool: connects to its hosts in turn, logs in, and puts a ``ServerHandler`` in its own place.
/// The pooler's own connections are made in the same way.
final class ServerConnector: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Whom the connection is for.
    enum Purpose {
        /// A ``ServerHandler`` takes the connector's place.
        case pool(PoolMachine.Slot, pool: Int)
        /// One client, for as long as it is there: what it said at its start is said to the server, and a ``ServerHandler`` takes the
        /// connector's place. Or it fails, with the server's words if it has said any.
        case client(StartupMessage, PoolMachine.Slot, pool: Int, ready: (ServerHandler) -> Void, failed: (ErrorFields?) -> Void)
        /// The pooler itself: what is made takes its place. Or it fails, with the server's words when another try would not help.
        case own(make: (ServerLogin.Result) -> any ChannelHandler, failed: (ErrorFields?) -> Void)
    }

    private let purpose: Purpose
    private let worker: PoolerWorker
    private let database: PoolerConfiguration.Database
    private let host: Int
    private var endpoint: SocketEndpoint { database.hosts[host % database.hosts.count] }
    private let key: PoolMachine.PoolKey
    private var login: ServerLogin
    private var pending = ByteBuffer()
    private var deadline: Scheduled<Void>?
    private var isEnded = false
    private var isAskingForTLS = false
    private var isInHandshake = false

    private init(
        _ purpose: Purpose, worker: PoolerWorker, key: PoolMachine.PoolKey, _ database: PoolerConfiguration.Database, host: Int
    ) {
        self.purpose = purpose
        self.worker = worker
        self.database = database
        self.host = host
        self.key = key
        login = ServerLogin(
            user: key.user,
            credential: database.password.map { .password(Array($0.utf8)) } ?? worker.runner.authenticator.credential(for: key),
            nonce: SCRAMNonce.make())
    }

    /// Ends in ``PoolRunner/connected(_:now:)`` or ``PoolRunner/closed(_:now:)``.
    static func connect(_ slot: PoolMachine.Slot, pool: Int, worker: PoolerWorker) {
        let key = worker.runner.inspect { PoolMachine.PoolKey(database: $0.pools[pool].database, user: $0.pools[pool].user) }
        connect(.pool(slot, pool: pool), key: key, worker: worker)
    }

    static func connect(_ purpose: Purpose, key: PoolMachine.PoolKey, worker: PoolerWorker, host: Int = 0) {
        let databases = worker.configuration.databases
        var offered = databases[key.database] ?? databases["*"]
        if case .client(let startup, _, _, _, _) = purpose { offered = worker.configuration.offered(startup)?.database }
        guard let database = offered, host < database.hosts.count * database.target.rounds else {
            worker.metrics.serverLoginFailures.add()
            // A tick of its own: the caller is in the middle of a lease.
            let bound = NIOLoopBound((worker, purpose), eventLoop: worker.eventLoop)
            worker.eventLoop.execute { closed(bound.value.1, nil, bound.value.0) }
            return
        }
        let bound = NIOLoopBound((worker, purpose), eventLoop: worker.eventLoop)
        let endpoint = database.hosts[host % database.hosts.count]
        endpoint.connect(on: worker.eventLoop, timeout: worker.configuration.timeouts.serverConnect) { channel in
            try channel.pipeline.syncOperations.addHandler(ServerConnector(bound.value.1, worker: bound.value.0, key: key, database, host: host))
        }.whenFailure { error in
            let (worker, purpose) = bound.value
            worker.runner.logger.warning("cannot connect to PostgreSQL at \(endpoint): \(error)")
            connect(purpose, key: key, worker: worker, host: host + 1)
        }
    }

    private static func closed(_ purpose: Purpose, _ error: ErrorFields?, _ worker: PoolerWorker) {
        switch purpose {
        case .pool(let slot, _): worker.closed(slot)
        case .client(_, let slot, _, _, let failed):
            worker.closed(slot)
            failed(error)
        case .own(_, let failed): failed(error)
        }
    }

    func channelActive(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        deadline = context.eventLoop.scheduleTask(in: worker.configuration.timeouts.serverLogin) {
            let (connector, context) = bound.value
            connector.failed(.timeout, context)
        }
        if worker.runner.tls.servers != nil, case .tcp = endpoint {
            isAskingForTLS = true
            var request = ByteBuffer()
            StartupPacket.writeTLSRequest(to: &request)
            context.writeAndFlush(wrapOutboundOut(request), promise: nil)
        } else {
            start(context)
        }
        context.fireChannelActive()
    }

    private func start(_ context: ChannelHandlerContext) {
        var buffer = ByteBuffer()
        var message = StartupMessage(user: key.user, database: database.name ?? key.database)
        if case .client(let startup, _, _, _, _) = purpose {
            message.replication = startup.replication
            message.parameters = startup.parameters
        }
        message.write(to: &buffer)
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
    }

    /// The answer to the request for TLS: one byte, or an error of a server that is too old to know it.
    private func tlsAnswered(_ answer: ByteBuffer, _ context: ChannelHandlerContext) {
        isAskingForTLS = false
        switch answer.getInteger(at: answer.readerIndex, as: UInt8.self) {
        // More than the byte would be somebody else's, put before what is encrypted: CVE-2021-23222.
        case UInt8(ascii: "S")? where answer.readableBytes == 1:
            do {
                guard let tls = worker.runner.tls.servers, case .tcp(let name, _) = endpoint else { return failed(.tlsRefused, context) }
                let handler = try tls.handler(host: IPAddress(name) == nil ? name : nil)
                isInHandshake = true
                try context.pipeline.syncOperations.addHandler(handler, position: .first)
            } catch {
                failed(.tlsFailed, context)
            }
        case UInt8(ascii: "N")? where answer.readableBytes == 1 && worker.runner.tls.serverMode == .prefer: start(context)
        default: failed(.tlsRefused, context)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? TLSUserEvent, case .handshakeCompleted = event {
            isInHandshake = false
            let certificate = TLSPeer.certificate(of: context.pipeline)
            if let binding = certificate.flatMap({ TLSServerEndPoint.binding(certificate: $0) }) { login.channelBinding = .prefer(binding) }
            start(context)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var incoming = unwrapInboundIn(data)
        if isAskingForTLS { return tlsAnswered(incoming, context) }
        pending.writeBuffer(&incoming)
        goOn(context)
    }

    func channelInactive(context: ChannelHandlerContext) {
        failed(.closedEarly, context)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if isInHandshake { worker.runner.logger.warning("no TLS with PostgreSQL at \(endpoint): \(error)") }
        failed(isInHandshake ? .tlsFailed : .closedEarly, context)
    }

    private func goOn(_ context: ChannelHandlerContext) {
        while !isEnded {
            guard perform(login.received(&pending), context) else { return }
        }
    }

    /// - Returns: whether the next message may be looked at.
    private func perform(_ action: ServerLogin.Action, _ context: ChannelHandlerContext) -> Bool {
        switch action {
        case .wait: return false
        case .send(let bytes):
            context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
            return true
        case .derive(let derivation):
            derive(derivation, context)
            return false
        case .ready(let result):
            ready(result, context)
            return false
        case .refused(let error):
            refused(error, context)
            return false
        case .failed(let failure):
            failed(failure, context)
            return false
        }
    }

    /// 4,096 rounds of SHA-256 take milliseconds: they are run where nobody waits for them, and once per password.
    private func derive(_ derivation: SCRAMKeyDerivation, _ context: ChannelHandlerContext) {
        if let keys = worker.runner.scramKeys(derivation) {
            if perform(login.keysDerived(keys), context) { goOn(context) }
            return
        }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        NIOThreadPool.singleton.runIfActive(eventLoop: context.eventLoop) { derivation.run() }.whenComplete { result in
            let (connector, context) = bound.value
            guard !connector.isEnded else { return }
            switch result {
            case .success(let keys):
                connector.worker.runner.derived(derivation, keys)
                if connector.perform(connector.login.keysDerived(keys), context) { connector.goOn(context) }
            case .failure: connector.failed(.scram, context)
            }
        }
    }

    private func ready(_ result: ServerLogin.Result, _ context: ChannelHandlerContext) {
        guard database.target.accepts(result.parameters, isSecondRound: host >= database.hosts.count) else { return failed(.notTheTarget, context) }
        isEnded = true
        deadline?.cancel()
        worker.metrics.serverLogins.add()
        worker.metrics.ownTransactions.add()
        let handler: any ChannelHandler
        var server: ServerHandler?
        switch purpose {
        case .pool(let slot, let pool), .client(_, let slot, let pool, _, _):
            let session = ServerSession(result, limits: worker.configuration.limits)
            let made = ServerHandler(
                .init(session: session, endpoint: endpoint, pool: pool, target: database.target, descriptor: -1), slot: slot, worker: worker)
            (handler, server) = (made, made)
        case .own(let make, _): handler = make(result)
        }
        do {
            try context.pipeline.syncOperations.addHandler(handler)
        } catch {
            context.close(promise: nil)
            return Self.closed(purpose, nil, worker)
        }
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
        switch purpose {
        case .pool(let slot, _): worker.runner.perform(worker.runner.connected(slot, now: .now()), from: worker)
        case .client(_, _, _, let ready, _): if let server { ready(server) }
        case .own: break
        }
    }

    /// The server answers, and says no. Where that will not change by itself, who waits is told.
    private func refused(_ error: ErrorFields, _ context: ChannelHandlerContext) {
        guard !isEnded else { return }
        worker.runner.logger.warning("PostgreSQL at \(endpoint) refuses \(key.user) for \(key.database): \(error.message)")
        let isFinal = error.sqlState.hasPrefix("28") || error.sqlState.hasPrefix("3D")
        if isFinal, case .pool(_, let pool) = purpose { worker.runner.loginRefused(pool, error, from: worker) }
        // A client of its own hears what is in the way, such as max_wal_senders, and tries again when it likes.
        let isToldAll = if case .client = purpose { true } else { false }
        end(context, triesNext: !isFinal, isFinal || isToldAll ? error : nil)
    }

    private func failed(_ failure: ServerLogin.Failure, _ context: ChannelHandlerContext) {
        guard !isEnded else { return }
        worker.runner.logger.warning("login to PostgreSQL at \(endpoint) as \(key.user) failed: \(failure.rawValue)")
        let isFinal = failure == .passwordMissing || failure == .methodUnsupported || failure == .scram || failure == .tlsRefused || failure == .tlsFailed
        if isFinal {
            let error = ErrorFields(
                severity: "FATAL", sqlState: SQLState.invalidAuthorization.rawValue, message: "server login failed: \(failure.rawValue)")
            if case .pool(_, let pool) = purpose { worker.runner.loginRefused(pool, error, from: worker) }
            return end(context, triesNext: false, error)
        }
        end(context, triesNext: true, nil)
    }

    private func end(_ context: ChannelHandlerContext, triesNext: Bool, _ error: ErrorFields?) {
        isEnded = true
        deadline?.cancel()
        worker.metrics.serverLoginFailures.add()
        context.close(promise: nil)
        if triesNext, host + 1 < database.hosts.count * database.target.rounds {
            Self.connect(purpose, key: key, worker: worker, host: host + 1)
        } else {
            Self.closed(purpose, error, worker)
        }
    }
}
