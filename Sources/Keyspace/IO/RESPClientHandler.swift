import NIOCore
import RESPWire
import Telemetry
import Transport

/// One client: bytes in, commands carried out, one write per turn unless its answers are many.
///
/// What the bytes mean is ``RESPWire/RequestParser``'s, what a command does ``Dispatcher``'s. This class keeps what is not whole
/// yet, writes, and waits: it reads nothing while the client waits for a key, while commands are paused, and while the client does
/// not take its answers; one that lets more of them pile up than the configuration allows is closed. While the process is short of memory a request that has not come
/// whole and answers that are not taken have smaller bounds.
final class RESPClientHandler: ChannelInboundHandler, SocketReader {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Answers of one turn; beyond, they are written before the next command is looked at. 48 KB: the kernel copies them while they are in the nearest
    /// caches, and on the loopback with an answer of 8 KB more they are one segment. 16 GETs of 8 KB in a pipeline take 2.95 µs each, 4.1 with one write
    /// for all of them (128 KB), 3.4 with 64 KB and 4.6 with 16.
    private static let turnBytesMax = 48 << 10
    /// A request of so many bytes takes no time worth counting to be understood: its command begins when the one before it has ended, which saves a look
    /// at the clock.
    private static let quickBytesMax = 4 << 10
    /// Of a request that has not come whole, and of answers that are not taken, what is kept while new requests are given up for want of memory.
    private static let (smallRequestBytes, smallAnswerBytes) = (16 << 10, 256 << 10)
    /// An answer may be as long as that however short the memory is.
    private static let answerBytesLeast = 1 << 20
    /// What a connection takes whose handshake of TLS has not ended.
    private static let handshakeBytes = 32 << 10

    private let worker: KeyspaceWorker
    private let release: @Sendable () -> Void
    private var parser = RequestParser()
    private var context: ChannelHandlerContext?
    private var session: ClientSession
    private var port: ClientPort?
    private var pending = ByteBuffer()
    /// `nil` with TLS.
    private var writer: SocketWriter?
    /// Whether the client takes more answers now: what the channel said last, since asking it costs more than to remember.
    private var isWritable = true
    /// For whom nothing is read on: see the type's comment.
    private var waiter: Waiter?
    private var waitTimeout: Scheduled<Void>?
    private var isPaused = false
    /// Since when the next request waits for room, in nanoseconds; 0: it does not.
    private var roomAwaitedSince: UInt64 = 0
    /// As long as a client with TLS has not shown that it speaks it.
    private var handshakeTimeout: Scheduled<Void>?
    private let isSecure: Bool
    private var isMonitor = false
    /// ``ClientSession/keptBytes`` after the last turn.
    private var keptBytes = 0
    private var isInputClosed = false
    private var isClosing = false
    /// For want of memory.
    private var isCut = false

    init(worker: KeyspaceWorker, isSecure: Bool = false, release: @escaping @Sendable () -> Void) {
        self.worker = worker
        self.isSecure = isSecure
        self.release = release
        session = worker.call.session
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        context.eventLoop.preconditionInEventLoop()
        self.context = context
        isWritable = context.channel.isWritable
        if !isSecure { writer = SocketWriter(context, isPlain: true) }
        let keyspace = worker.keyspace
        let port = ClientPort(eventLoop: context.eventLoop)
        port.handler = NIOLoopBound(WeakHandler(self), eventLoop: context.eventLoop)
        self.port = port
        let record = ClientRecord(
            id: keyspace.clients.nextID(), address: Self.text(context.channel.remoteAddress),
            localAddress: Self.text(context.channel.localAddress), created: WallClock.nanoseconds() / 1_000_000, port: port)
        session = ClientSession(
            id: record.id, record: record, user: keyspace.access.standard, isAuthenticated: keyspace.access.isOpen)
        updateLimits()
        keyspace.clients.add(record)
        worker.add(self)
        worker.counters.connections.add()
        guard isSecure else { return }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        handshakeTimeout = context.eventLoop.scheduleTask(in: keyspace.configuration.tls.handshakeTimeout) { bound.value.close() }
    }

    func channelActive(context: ChannelHandlerContext) {
        // Not known before.
        let address = Self.text(context.channel.localAddress)
        session.record.text.withLock { $0.localAddress = address }
        context.fireChannelActive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        worker.remove(self)
        worker.keyspace.clients.remove(session.id)
        worker.keyspace.hub.closed(session.id)
        if let waiter { _ = worker.keyspace.cancel(waiter) }
        waitTimeout?.cancel()
        handshakeTimeout?.cancel()
        // Not who was cut off because the server ends.
        if handshakeTimeout != nil, !worker.isDraining { worker.counters.tlsFailures.add() }
        worker.call.session = session
        TransactionCommands.forgetWatched(worker.call)
        self.context = nil
        writer = nil
        release()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if isSecure, TLSPeer.isHandshakeEnd(event) {
            handshakeTimeout?.cancel()
            handshakeTimeout = nil
            worker.counters.tlsHandshakes.add()
        }
        guard let event = event as? ChannelEvent, event == .inputClosed else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        // Who says no more reads on: what was asked is answered first. But who waits for an element may have gone, and what it would be given would be lost:
        // as in Redis it gets none.
        isInputClosed = true
        if let waiter, !waiter.keys.isEmpty, worker.keyspace.cancel(waiter) { self.waiter = nil }
        closeIfAllIsSaid()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { take(unwrapInboundIn(data)) }

    /// Without TLS, past the pipeline.
    func received(_ bytes: ByteBuffer) -> Bool {
        take(bytes)
        return wantsInput
    }

    private func take(_ bytes: ByteBuffer) {
        var incoming = bytes
        let count = incoming.readableBytes
        worker.counters.bytesIn.add(count)
        worker.counters.reads.add()
        defer { noteInput() }
        guard !isClosing else { return }
        if pending.readableBytes == 0 {
            receive(&incoming)
            // What waits is kept, and the memory that it was read into is not.
            pending = incoming.readableBytes > 0 ? incoming.inOwnMemory() : ByteBuffer()
        } else {
            if pending.writableBytes < incoming.readableBytes, var larger = worker.takeInput(pending.readableBytes + incoming.readableBytes) {
                larger.writeBuffer(&pending)
                pending = larger
            }
            pending.writeBuffer(&incoming)
            guard pending.readableBytes <= worker.keyspace.configuration.inputBytesMax else { return close() }
            goOn()
        }
        guard pending.readableBytes > Self.smallRequestBytes else { return }
        // A review would come too late for thousands that grow at the same time.
        worker.pressure.grew(by: count)
        if worker.pressure.level >= .requests { memoryShort() }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        if isWritable {
            session.record.outputBytes.store(0, ordering: .relaxed)
            goOn()
        }
        updateReading()
    }

    private func noteInput() {
        let count = pending.readableBytes
        if session.record.inputBytes.load(ordering: .relaxed) != count { session.record.inputBytes.store(count, ordering: .relaxed) }
    }

    /// Carries out what was read and not yet looked at.
    private func goOn() {
        defer { noteInput() }
        guard pending.readableBytes > 0 else { return }
        var bytes = ByteBuffer()
        swap(&bytes, &pending)
        receive(&bytes)
        if bytes.readableBytes > 0 {
            if bytes.readerIndex > 64 << 10 { bytes.discardReadBytes() }
            pending = bytes
        } else {
            worker.giveBackInput(consume bytes)
        }
        closeIfAllIsSaid()
    }

    private var wantsInput: Bool { waiter == nil && !isPaused && !isClosing && isWritable }

    private func updateReading() {
        guard let context else { return }
        let option = context.channel.syncOptions
        if (try? option?.getOption(.autoRead)) != wantsInput { try? option?.setOption(.autoRead, value: wantsInput) }
    }

    private func updateLimits() {
        parser.isAuthenticated = session.isAuthenticated
        parser.limits = session.isAuthenticated ? RESPLimits() : .unauthenticated
    }

    // MARK: Commands

    private func receive(_ buffer: inout ByteBuffer) {
        guard waiter == nil, !isPaused, !isClosing else { return }
        let call = worker.call
        call.session = session
        call.now = WallClock.nanoseconds() / 1_000_000
        call.out.isRESP3 = session.isRESP3
        if worker.pressure.bytesMax > 0 {
            // Once gathered it is copied for the channel, and other loops answer, too.
            call.out.bytesMax = min(worker.keyspace.configuration.outputBytesMax, max(worker.pressure.roomBytes / 8, Self.answerBytesLeast))
        }
        call.ended = 0
        var taken = 0
        buffer.withUnsafeReadableBytes { taken = understand($0, call) }
        buffer.moveReaderIndex(forwardBy: taken)
        session.record.lastUse.store(call.now, ordering: .relaxed)
        flush(call)
        let kept = session.keptBytes
        if kept > keptBytes { worker.pressure.grew(by: kept - keptBytes) }
        keptBytes = kept
        if session.isClosing { closeAfterAnswers() }
    }

    /// - Returns: how many bytes were understood.
    private func understand(_ bytes: UnsafeRawBufferPointer, _ call: Call) -> Int {
        var offset = 0
        while offset < bytes.count, waiter == nil, !session.isClosing {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
            do {
                switch try parser.next(rest) {
                case .wait: return offset
                case .nothing(let count): offset += count
                case .request(let count):
                    if worker.keyspace.pause.isOn(now: call.now), mustPause(rest) {
                        // Read anew once the pause is over.
                        return offset
                    }
                    call.requestBytes = count
                    let isDone = parser.isUnquoted ? parser.unquoted.withUnsafeBytes { execute($0, call) } : execute(rest, call)
                    // Read anew once there is room.
                    guard isDone else { return offset }
                    offset += count
                }
            } catch {
                call.out.error("ERR " + error.text)
                session.isClosing = true
            }
            if call.out.count >= Self.turnBytesMax {
                flush(call)
                call.ended = 0
                // The rest waits until the client has taken this.
                guard isWritable, context != nil else { return offset }
            }
        }
        return offset
    }

    /// - Returns: `false` when nothing was done, since there is no room yet.
    private func execute(_ bytes: UnsafeRawBufferPointer, _ call: Call) -> Bool {
        call.setArguments(parser.arguments, in: bytes)
        let slow = worker.keyspace.settings.slowMicroseconds.load(ordering: .relaxed)
        let latencyThreshold = worker.keyspace.latency.thresholdMilliseconds
        let start = call.out.count
        if roomAwaitedSince != 0 { call.mayPostpone = !hasAwaitedRoomLongEnough }
        call.started = call.requestBytes <= Self.quickBytesMax ? call.ended : 0
        // Of one that is not carried out there is no end.
        call.ended = 0
        Dispatcher.execute(call)
        call.mayPostpone = true
        if call.isPostponed {
            call.isPostponed = false
            if roomAwaitedSince == 0 { roomAwaitedSince = MonotonicClock.nanoseconds() }
            isPaused = true
            updateReading()
            worker.awaitRoom(self, bytes: call.requestBytes)
            return false
        }
        if roomAwaitedSince != 0 { roomAwaitedSince = 0 }
        session.record.command.store(call.commandIndex, ordering: .relaxed)
        let microseconds = Int64(clamping: call.nanoseconds / 1000)
        if slow >= 0 || latencyThreshold > 0 {
            if latencyThreshold > 0, microseconds >= Int64(latencyThreshold) * 1000, call.waiter == nil {
                call.ended = 0
                worker.keyspace.latency.add(
                    call.command.flags.contains(.fast) ? "fast-command" : "command", seconds: call.now / 1000,
                    milliseconds: Int(microseconds / 1000))
            }
            if slow >= 0, microseconds >= slow, call.waiter == nil, !call.command.flags.contains(.skipSlowlog) {
                call.ended = 0
                let countMax = worker.keyspace.settings.slowCountMax.load(ordering: .relaxed)
                worker.keyspace.slowLog.add(call, microseconds: microseconds, countMax: countMax)
            }
        }
        if session.isAuthenticated != parser.isAuthenticated { updateLimits() }
        if session.isMonitor != isMonitor {
            isMonitor = session.isMonitor
            worker.keyspace.hub.setMonitor(session.id, isMonitor)
        }
        switch session.reply {
        case .on: break
        case .off: call.out.truncate(to: start)
        case .skipNext:
            call.out.truncate(to: start)
            session.reply = .skip
        case .skip:
            call.out.truncate(to: start)
            session.reply = .on
        }
        if let waiter = call.waiter {
            call.waiter = nil
            begin(waiter, now: call.now)
        }
        return true
    }

    /// See ``KeyspaceWorker/roomWaitMax``.
    var hasAwaitedRoomLongEnough: Bool {
        roomAwaitedSince != 0 && MonotonicClock.nanoseconds() &- roomAwaitedSince >= KeyspaceWorker.roomWaitMax
    }

    private func mustPause(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let first = parser.arguments.first ?? RESPArgument(offset: 0, count: 0)
        func command(_ source: UnsafeRawBufferPointer) -> Command? {
            CommandTable.shared.command(UnsafeRawBufferPointer(rebasing: source[first.offset..<first.offset + first.count]))
        }
        let found = parser.isUnquoted ? parser.unquoted.withUnsafeBytes { command($0) } : command(bytes)
        guard worker.keyspace.pause.concerns(found), let context else { return false }
        isPaused = true
        updateReading()
        // Looked at again now and then: the pause may be ended, or made longer, from any other client.
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: .milliseconds(10)) { bound.value.pausePassed() }
        return true
    }

    /// The pause is over, or there is room: what was read is looked at again. A client that has gone meanwhile wants nothing any more.
    func pausePassed() {
        isPaused = false
        guard context != nil else { return }
        goOn()
        updateReading()
    }

    // MARK: Waiting

    private func begin(_ waiter: Waiter, now: Int64) {
        self.waiter = waiter
        session.record.isBlocked.store(true, ordering: .relaxed)
        session.record.hasDeadline.store(waiter.deadline != nil, ordering: .relaxed)
        updateReading()
        guard let deadline = waiter.deadline, let context else { return }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        waitTimeout = context.eventLoop.scheduleTask(in: .milliseconds(max(deadline - now, 0))) { [waiter] in
            guard bound.value.worker.keyspace.cancel(waiter) else { return }
            bound.value.answered(waiter, waiter.answerWhenLate)
        }
    }

    /// The command that waited has its answer.
    fileprivate func answered(_ waiter: Waiter, _ bytes: [UInt8]) {
        guard self.waiter === waiter, context != nil else { return }
        self.waiter = nil
        waitTimeout?.cancel()
        waitTimeout = nil
        session.record.isBlocked.store(false, ordering: .relaxed)
        session.record.hasDeadline.store(false, ordering: .relaxed)
        if session.reply == .on { send(bytes) }
        guard !worker.isDraining else { return closeAfterAnswers() }
        goOn()
        updateReading()
        closeIfAllIsSaid()
    }

    // MARK: Output

    private func send(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { write($0) }
    }

    /// On its way a notice was overtaken by what the client has said meanwhile: behind the answer to its UNSUBSCRIBE it would be taken for the next one.
    fileprivate func push(_ notice: Notice) {
        switch notice.kind {
        case .message(let name, let kind):
            if session.hasUnsubscribed, !worker.keyspace.hub.pubSub.withLock({ $0.isSubscribed(session.id, to: name, kind) }) { return }
            var bytes = notice.bytes
            // All that the two versions differ in here.
            let mark = UInt8(ascii: session.isRESP3 ? ">" : "*")
            if bytes[0] != mark { bytes[0] = mark }
            send(bytes)
        case .invalidation: if session.isRESP3 { send(notice.bytes) }
        case .command: if session.isMonitor { send(notice.bytes) }
        }
    }

    private func flush(_ call: Call) {
        let position = call.logPosition
        call.logPosition = 0
        guard !call.out.isTooLong else {
            worker.logger.warning("a client is closed whose answer is too long", metadata: ["bytes": "over \(call.out.bytesMax)"])
            call.out.clear()
            memoryShort()
            return
        }
        guard call.out.count > 0 else { return }
        // Log first, then reply; what the disk did not take is answered to nobody.
        guard position == 0 || worker.keyspace.persistence.waitUntilSafe(position) else {
            call.out.clear()
            return close()
        }
        write(call.out.bytes)
        call.out.clear()
    }

    private func write(_ bytes: UnsafeRawBufferPointer) {
        guard let context, bytes.count > 0 else { return }
        worker.counters.bytesOut.add(bytes.count)
        worker.counters.writes.add()
        if let writer {
            writer.writeAndFlush(bytes)
        } else {
            let output = worker.takeOutput(bytes)
            context.writeAndFlush(wrapOutboundOut(output), promise: nil)
            worker.giveBack(output)
        }
        guard !isWritable else { return }
        let unsent = (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        session.record.outputBytes.store(unsent, ordering: .relaxed)
        worker.pressure.grew(by: bytes.count)
        if unsent > Self.smallAnswerBytes && worker.pressure.level >= .requests || worker.pressure.excessBytes > 0 {
            memoryShort()
            return
        }
        if unsent > worker.keyspace.configuration.outputBytesMax {
            worker.logger.warning("a client is closed that does not take its answers", metadata: ["bytes": "\(unsent)"])
            return close()
        }
        updateReading()
    }

    /// Who says no more is closed when all is carried out that was asked. What is left then is no whole request; but as long as the client takes no more
    /// answers it may be many.
    private func closeIfAllIsSaid() {
        if isInputClosed, waiter == nil, !isPaused, isWritable || pending.readableBytes == 0 { closeAfterAnswers() }
    }

    /// Ends the connection once all that was written has gone out.
    private func closeAfterAnswers() {
        guard !isClosing, let context else { return }
        isClosing = true
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in bound.value.close(promise: nil) }
    }

    /// Whether the client has asked for nothing since then: milliseconds since 1970. Who waits for a key, listens or monitors is not idle.
    /// - Source: Redis `timeout.c`, `clientsCronHandleTimeout`.
    func isIdle(since deadline: Int64) -> Bool {
        waiter == nil && !isPaused && !isMonitor && !session.isSubscribed && session.record.lastUse.load(ordering: .relaxed) < deadline
    }

    func close() {
        isClosing = true
        context?.close(promise: nil)
    }

    // MARK: Memory

    /// What it holds for a client that sends or takes slowly, has queued commands, or is subscribed, watches or tracks.
    var heldBytes: Int {
        guard handshakeTimeout == nil else { return Self.handshakeBytes }
        let unsent = isWritable ? 0 : (try? context?.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        return unsent + pending.storageCapacity + session.keptBytes
    }

    /// - Returns: what it held.
    @discardableResult func memoryShort() -> Int {
        guard !isCut, let context else { return 0 }
        let bytes = heldBytes
        worker.pressure.cut(bytes)
        worker.counters.memoryCuts.add()
        (isClosing, isCut) = (true, true)
        // With TLS, too, what is not taken is not waited for.
        TLSPeer.close(context)
        return bytes
    }

    /// The server ends: what was asked has been answered by the end of each turn, and who waits for a key would wait for ever.
    func drainBegan() {
        // Who has not ended the handshake would get nothing.
        if handshakeTimeout != nil { return close() }
        // An element that another event loop has given it is on its way, and in the keyspace no more: the end comes behind it.
        if let waiter, !waiter.keys.isEmpty, !worker.keyspace.cancel(waiter) { return }
        closeAfterAnswers()
    }

    private static func text(_ address: SocketAddress?) -> String {
        guard let address, let port = address.port, let host = address.ipAddress else { return "/unixsocket:0" }
        return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}

/// A handler that may be gone.
private final class WeakHandler {
    weak var handler: RESPClientHandler?
    init(_ handler: RESPClientHandler) { self.handler = handler }
}

/// The way back to a client from any thread: everything hops to its event loop.
///
/// `@unchecked Sendable`: ``handler`` is set once, before anybody else knows the port.
private final class ClientPort: ReplyPort, @unchecked Sendable {
    private let eventLoop: any EventLoop
    var handler: NIOLoopBound<WeakHandler>?

    init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    private func run(_ body: @escaping @Sendable (RESPClientHandler) -> Void) {
        guard let handler else { return }
        eventLoop.execute { if let handler = handler.value.handler { body(handler) } }
    }

    func answer(_ waiter: Waiter, _ bytes: [UInt8]) { run { $0.answered(waiter, bytes) } }
    func push(_ notice: Notice) { run { $0.push(notice) } }
    func close() { run { $0.close() } }
}
