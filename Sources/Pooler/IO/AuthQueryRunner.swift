import Logging
import NIOCore
import PostgresWire

/// Asks databases for users' passwords, on connections of its own: one per database and event loop, closed when it is not used.
///
/// Who waits is told when the query has answered, cannot be asked, or ``patience`` is over.
final class AuthQueryRunner {
    private static let patience = TimeAmount.seconds(10)
    private static let idleMax = TimeAmount.seconds(30)
    /// Logins that may wait for one connection; more are refused, and come again.
    private static let waitersMax = 1_000

    private unowned let worker: PoolerWorker
    private var connections: [String: AuthQueryConnection] = [:]
    /// Databases that are asked at a time, on each event loop.
    private static let connectionsMax = 16

    init(worker: PoolerWorker) {
        self.worker = worker
    }

    /// - Parameter done: called on the event loop, perhaps before this returns, once. `nil`: the database could not be asked.
    func ask(_ client: HostRules.Client, _ done: @escaping (AuthQuery.Answer?) -> Void) {
        let authentication = worker.configuration.authentication
        guard let query = authentication.query, let user = authentication.queryUser else { return done(nil) }
        let database = authentication.queryDatabase ?? client.database
        // Who asks has proved nothing yet, and names the database.
        guard connections[database] != nil || connections.count < Self.connectionsMax else { return done(nil) }
        let connection =
            connections[database]
            ?? AuthQueryConnection(.init(database: database, user: user), query, worker: worker) { [unowned self] ended in
                if connections[database] === ended { connections[database] = nil }
            }
        connections[database] = connection
        guard connection.waitingCount < Self.waitersMax else { return done(nil) }
        connection.ask(client.user, now: .now(), done)
    }

    func swept(now: NIODeadline) {
        for connection in Array(connections.values) { connection.swept(waitingSince: now - Self.patience, unusedSince: now - Self.idleMax) }
    }

    func stop() {
        for connection in Array(connections.values) { connection.end() }
    }
}

/// One connection for `auth_query`.
final class AuthQueryConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// A row has a name and a password.
    private static let messageBytesMax = 64 << 10
    /// Of an answer: one is right, two are one too many.
    private static let rowsMax = 2

    private struct Waiter {
        var user: String
        var since: NIODeadline
        var done: (AuthQuery.Answer?) -> Void
    }

    private let key: PoolMachine.PoolKey
    private let query: String
    private unowned let worker: PoolerWorker
    private let ended: (AuthQueryConnection) -> Void
    private var context: ChannelHandlerContext?
    private var isEnded = false
    private var usedSince = NIODeadline.now()
    /// In the order in which they were, or will be, asked.
    private var waiters: [Waiter] = []
    private var rows: [[[UInt8]?]] = []
    private var error: ErrorFields?
    private var messages = WholeMessages(bytesMax: messageBytesMax)

    var waitingCount: Int { waiters.count }

    init(_ key: PoolMachine.PoolKey, _ query: String, worker: PoolerWorker, ended: @escaping (AuthQueryConnection) -> Void) {
        self.key = key
        self.query = query
        self.worker = worker
        self.ended = ended
        ServerConnector.connect(
            .own(make: { [self] _ in self }, failed: { [self] error in
                worker.runner.logger.error("auth_query: no connection as \(key.user) to \(key.database)\(error.map { ": \($0.message)" } ?? "")")
                end()
            }), key: key, worker: worker)
    }

    func ask(_ user: String, now: NIODeadline, _ done: @escaping (AuthQuery.Answer?) -> Void) {
        guard !isEnded else { return done(nil) }
        usedSince = now
        waiters.append(Waiter(user: user, since: now, done: done))
        if context != nil { send(user) }
    }

    func swept(waitingSince: NIODeadline, unusedSince: NIODeadline) {
        if let first = waiters.first, first.since <= waitingSince { return end() }
        if waiters.isEmpty, usedSince <= unusedSince { end() }
    }

    func handlerAdded(context: ChannelHandlerContext) {
        guard !isEnded else { return context.close(promise: nil) }
        self.context = context
        for waiter in waiters { send(waiter.user) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    /// As PgBouncer does: the name is a parameter, so that it is never read as SQL.
    private func send(_ user: String) {
        guard let context else { return }
        var bytes = ByteBuffer()
        BackendMessage.write(FrontendKind.parse, to: &bytes) {
            $0.writeNullTerminatedString("")
            $0.writeNullTerminatedString(query)
            $0.writeInteger(Int16(0))
        }
        BackendMessage.write(FrontendKind.bind, to: &bytes) {
            $0.writeNullTerminatedString("")
            $0.writeNullTerminatedString("")
            $0.writeInteger(Int16(0))
            $0.writeInteger(Int16(1))
            $0.writeInteger(Int32(clamping: user.utf8.count))
            $0.writeString(user)
            $0.writeInteger(Int16(0))
        }
        BackendMessage.write(FrontendKind.execute, to: &bytes) {
            $0.writeNullTerminatedString("")
            $0.writeInteger(Int32(Self.rowsMax))
        }
        FrontendMessage.sync(to: &bytes)
        worker.metrics.ownTransactions.add()
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        messages.received(unwrapInboundIn(data))
        while true {
            switch messages.next() {
            case .wait: return
            case .lost: return end()
            case .message(let kind, var payload):
                payload.moveReaderIndex(forwardBy: MessageFraming.headBytes)
                received(kind, payload)
            }
        }
    }

    private func received(_ kind: UInt8, _ payload: ByteBuffer) {
        switch kind {
        case BackendKind.dataRow: if rows.count < Self.rowsMax, let row = BackendMessage.dataRow(payload: payload) { rows.append(row) }
        case BackendKind.errorResponse: error = ErrorFields(payload: payload)
        case BackendKind.readyForQuery:
            defer { (rows, error) = ([], nil) }
            guard !waiters.isEmpty else { return }
            let waiter = waiters.removeFirst()
            if let error {
                worker.runner.logger.error("auth_query fails: \(error.message)")
                return waiter.done(nil)
            }
            let answer = AuthQuery.answer(user: waiter.user, rows: rows)
            if case .unusable(let reason) = answer { worker.runner.logger.error("auth_query gives what is no answer: \(reason.rawValue)") }
            waiter.done(answer)
        default: break
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        end()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    /// Who waits is told that the database cannot be asked.
    func end() {
        guard !isEnded else { return }
        isEnded = true
        ended(self)
        context?.close(promise: nil)
        let waiters = self.waiters
        self.waiters = []
        for waiter in waiters { waiter.done(nil) }
    }
}
