import NIOCore
import PostgresWire

/// LISTEN and NOTIFY: what the client hears, whichever server connection it has.
extension ClientHandler {
    /// LISTEN and UNLISTEN by themselves need no server connection: the pooler listens for all.
    /// - Returns: whether it was such a query; it is taken then.
    @inline(__always)
    func listenRequested(_ head: MessageFraming.Head) -> Bool {
        let start = pending.readerIndex + MessageFraming.headBytes
        // One comparison tells most queries apart.
        guard let first = pending.getInteger(at: start, as: UInt8.self), first | 0x20 == UInt8(ascii: "l") || first | 0x20 == UInt8(ascii: "u")
        else { return false }
        return listenRequested(head, at: start)
    }

    private func listenRequested(_ head: MessageFraming.Head, at start: Int) -> Bool {
        guard head.bytes <= 1024, head.bytes <= pending.readableBytes, statements.session != nil, worker.configuration.mode != .session,
            let sql = pending.getSlice(at: start, length: head.bytes - MessageFraming.headBytes),
            let text = sql.withUnsafeReadableBytes({ worker.texts.find($0) }), text.statements.count == 1, text.effects.count == 1
        else { return false }
        switch text.effects[0] {
        case .listen(let channel):
            guard channels.count < SessionState.channelsMax || channels.contains(channel) else {
                pending.moveReaderIndex(forwardBy: head.bytes)
                listened(ErrorFields(severity: "ERROR", sqlState: SQLState.programLimitExceeded.rawValue, message: "too many channels"))
                return true
            }
            phase = .listening
            phaseSince = .now()
            channelAsked = channel
            let key = worker.runner.inspect { [pool] in PoolMachine.PoolKey(database: $0.pools[pool].database, user: $0.pools[pool].user) }
            let listener = ListenChannels.Listener(loop: worker.index, client: id)
            pending.moveReaderIndex(forwardBy: head.bytes)
            // Not within this turn: the answer may come before it returns.
            worker.runner.run(on: PoolerWorker.listenLoop) { $0.listenHub.listen(key, channel, listener) }
        case .unlisten(let channel):
            pending.moveReaderIndex(forwardBy: head.bytes)
            unlisten(.channels([channel]))
            complete("UNLISTEN")
        case .unlistenAll:
            pending.moveReaderIndex(forwardBy: head.bytes)
            unlisten(.all)
            complete("UNLISTEN")
        default: return false
        }
        activeSince = .now()
        return true
    }

    func complete(_ tag: String) {
        var reply = ByteBuffer()
        BackendMessage.commandComplete(tag, to: &reply)
        BackendMessage.readyForQuery(.idle, to: &reply)
        write(reply)
    }

    /// The pooler listens, or cannot.
    func listened(_ error: ErrorFields?) {
        if phase == .listening { phase = .idle } else if phase != .idle { return }
        activeSince = .now()
        if let channelAsked, error == nil { channels.insert(channelAsked) }
        channelAsked = nil
        if var error {
            error.severity = "ERROR"
            var reply = ByteBuffer()
            error.write(to: &reply)
            BackendMessage.readyForQuery(.idle, to: &reply)
            write(reply)
        } else {
            complete("LISTEN")
        }
        understand()
    }

    func unlisten(_ unlistened: SessionState.Unlistened?) {
        guard let unlistened, !channels.isEmpty, let identity else { return }
        let listener = ListenChannels.Listener(loop: worker.index, client: id)
        switch unlistened {
        case .all:
            channels = []
            worker.runner.run(on: PoolerWorker.listenLoop) { $0.listenHub.unlisten(identity.startup.database, nil, listener) }
        case .channels(let names):
            for name in names where channels.remove(name) != nil {
                worker.runner.run(on: PoolerWorker.listenLoop) { $0.listenHub.unlisten(identity.startup.database, name, listener) }
            }
        }
    }

    /// As PostgreSQL does, a client is told between its transactions.
    var mayBeNotified: Bool {
        switch phase {
        case .startup, .welcoming, .closed: false
        case .idle, .waiting, .settingUp, .probing, .listening: true
        case .serving: server?.session.isQuiescent ?? false
        }
    }

    /// - Parameter message: the whole NotificationResponse.
    func notified(_ channel: String, _ message: ByteBuffer) {
        guard channels.contains(channel) || channelAsked == channel, phase != .closed else { return }
        guard notifications.readableBytes + message.readableBytes <= Self.notificationBytesMax else {
            return fail(.programLimitExceeded, "too many notifications that were not read")
        }
        notifications.writeImmutableBuffer(message)
        if mayBeNotified, isWritable { writeNotifications() }
    }

    func writeNotifications() {
        write(notifications)
        notifications = ByteBuffer()
    }

    func listenLost() {
        guard !channels.isEmpty || channelAsked != nil else { return }
        channels = []
        fail(.connectionFailure, "the server connection that listened for this client is gone")
    }
}
