import Logging
import NIOCore
import PostgresWire

/// Listens for clients in transaction mode: one server connection per database for all channels and all clients of all event loops.
///
/// Lives on the first event loop; notifications hop once to each loop that has a listener, with one copy of their bytes. When the
/// connection is lost, something may have been notified that nobody heard: its listeners are disconnected, as they would be without a
/// pooler, and come again.
final class ListenHub {
    private unowned let worker: PoolerWorker
    private var connections: [String: ListenConnection] = [:]

    init(worker: PoolerWorker) {
        self.worker = worker
    }

    /// What a client is told by ``ClientHandler/listened(_:)``.
    func listen(_ key: PoolMachine.PoolKey, _ channel: String, _ listener: ListenChannels.Listener) {
        let connection = connections[key.database] ?? ListenConnection(key, worker: worker) { [unowned self] in connections[key.database] = nil }
        connections[key.database] = connection
        connection.listen(channel, listener)
    }

    /// - Parameter channel: `nil`: all.
    func unlisten(_ database: String, _ channel: String?, _ listener: ListenChannels.Listener) {
        connections[database]?.unlisten(channel, listener)
    }

    func stop() {
        for connection in Array(connections.values) { connection.stop() }
    }
}

/// The listening connection of one database. Not the pools': it is in none of their limits.
final class ListenConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// A channel's name has 63 bytes, a payload at most 8,000.
    private static let messageBytesMax = 64 << 10
    private static let retryInterval = TimeAmount.milliseconds(200)

    private let key: PoolMachine.PoolKey
    private unowned let worker: PoolerWorker
    private let ended: () -> Void
    private var channels = ListenChannels()
    private var context: ChannelHandlerContext?
    private var isConnecting = false
    private var isEnded = false
    /// Said, and not answered.
    private var orders: [ListenChannels.Order] = []
    private var error: ErrorFields?
    private var messages = WholeMessages(bytesMax: messageBytesMax)

    init(_ key: PoolMachine.PoolKey, worker: PoolerWorker, ended: @escaping () -> Void) {
        self.key = key
        self.worker = worker
        self.ended = ended
    }

    // MARK: Clients

    func listen(_ channel: String, _ listener: ListenChannels.Listener) {
        switch channels.listenReceived(channel, from: listener, now: .now()) {
        case .confirmed: answer([listener], nil)
        case .wait(let order):
            if let order, context != nil { send([order]) }
            connect()
        case .tooMany:
            answer([listener], ErrorFields(severity: "ERROR", sqlState: SQLState.programLimitExceeded.rawValue, message: "too many channels"))
        }
    }

    func unlisten(_ channel: String?, _ listener: ListenChannels.Listener) {
        let orders = channel.map { [channels.unlistenReceived($0, from: listener)].compactMap { $0 } } ?? channels.listenerGone(listener)
        if context != nil { send(orders) }
        if channels.isEmpty { stop() }
    }

    private func answer(_ listeners: [ListenChannels.Listener], _ error: ErrorFields?) {
        for listener in listeners {
            worker.runner.run(on: listener.loop, from: worker) { $0.clients[listener.client]?.listened(error) }
        }
    }

    // MARK: The connection

    private func connect() {
        guard context == nil, !isConnecting, !isEnded else { return }
        isConnecting = true
        ServerConnector.connect(
            .own(make: { [self] _ in self }, failed: { [self] error in failed(error) }), key: key, worker: worker)
    }

    /// - Parameter error: what will not change by itself; `nil`: the server may come back.
    private func failed(_ error: ErrorFields?) {
        isConnecting = false
        let now = NIODeadline.now()
        let late = error == nil ? now - worker.configuration.timeouts.queryWait : now
        answer(
            channels.expired(before: late),
            error ?? ErrorFields(severity: "ERROR", sqlState: SQLState.connectionFailure.rawValue, message: "no connection to listen on"))
        guard !channels.isEmpty else { return stop() }
        let bound = NIOLoopBound(self, eventLoop: worker.eventLoop)
        worker.eventLoop.scheduleTask(in: Self.retryInterval) { bound.value.connect() }
    }

    func handlerAdded(context: ChannelHandlerContext) {
        isConnecting = false
        guard !isEnded else { return context.close(promise: nil) }
        self.context = context
        send(channels.orders)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    private func send(_ orders: [ListenChannels.Order]) {
        guard let context, !orders.isEmpty else { return }
        var bytes = ByteBuffer()
        for order in orders {
            switch order {
            case .listen(let channel, _): FrontendMessage.query("LISTEN \(Self.quoted(channel))", to: &bytes)
            case .unlisten(let channel): FrontendMessage.query("UNLISTEN \(Self.quoted(channel))", to: &bytes)
            }
        }
        self.orders += orders
        worker.metrics.ownTransactions.add(orders.count)
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    private static func quoted(_ name: String) -> String { "\"\(name.replacing("\"", with: "\"\""))\"" }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        messages.received(unwrapInboundIn(data))
        while true {
            switch messages.next() {
            case .wait: return
            case .lost: return context.close(promise: nil)
            case .message(let kind, let message): received(kind, message)
            }
        }
    }

    private func received(_ kind: UInt8, _ message: ByteBuffer) {
        switch kind {
        case BackendKind.notificationResponse:
            var payload = message
            payload.moveReaderIndex(forwardBy: min(message.readableBytes, MessageFraming.headBytes + 4))
            guard let channel = payload.readNullTerminatedString() else { return }
            notified(channel, message)
        case BackendKind.errorResponse:
            var payload = message
            payload.moveReaderIndex(forwardBy: MessageFraming.headBytes)
            error = ErrorFields(payload: payload)
            // The server ends: it says so before it closes.
        case BackendKind.readyForQuery:
            defer { error = nil }
            guard !orders.isEmpty, case .listen(let channel, let number) = orders.removeFirst() else { return }
            if let error {
                answer(channels.refused(channel, number: number), error)
            } else {
                answer(channels.confirmed(channel, number: number), nil)
            }
        default: break
        }
    }

    /// The message goes on as it came.
    private func notified(_ channel: String, _ message: ByteBuffer) {
        worker.metrics.notifications.add()
        for (loop, listeners) in Dictionary(grouping: channels.listeners(of: channel), by: \.loop) {
            worker.runner.run(on: loop, from: worker) { worker in
                for listener in listeners { worker.clients[listener.client]?.notified(channel, message) }
            }
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        lost()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func lost() {
        guard !isEnded else { return }
        worker.runner.logger.warning("the connection that listens in \(key.database) is gone: its clients are disconnected")
        let everybody = channels.everybody
        channels = ListenChannels()
        orders = []
        stop()
        for listener in everybody { worker.runner.run(on: listener.loop, from: worker) { $0.clients[listener.client]?.listenLost() } }
    }

    /// Nobody listens any more.
    func stop() {
        guard !isEnded else { return }
        isEnded = true
        ended()
        guard let context else { return }
        var goodbye = ByteBuffer()
        FrontendMessage.terminate(to: &goodbye)
        context.writeAndFlush(wrapOutboundOut(goodbye), promise: nil)
        context.close(promise: nil)
    }
}
