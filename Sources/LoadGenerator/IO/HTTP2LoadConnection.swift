import HTTP2Wire
import HTTPSemantics
import NIOCore
import Transport

/// One connection of HTTP/2 that several clients ask on, each by an ``HTTP2LoadStream`` of its own.
///
/// The machine is ``HTTP2ClientConnection``, which the edge uses to its origins, too. What the server's SETTINGS_MAX_CONCURRENT_STREAMS, or our
/// own number of streams, does not let out waits here in the order in which it was asked for; its client measures from its own intended
/// start, so that the wait counts. Before the server's SETTINGS nothing is sent.
///
/// It never stops reading, and takes what it gets at once: windows are opened as parts come. What is written in one turn of the event loop goes
/// out together; a request costs no allocation once its client has asked before.
final class HTTP2LoadConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Connections with something to send, or with room again, while their worker lets more requests begin or gives some up.
    final class Gathering {
        private var depth = 0
        private var connections: [HTTP2LoadConnection] = []

        init() {}

        func begin() { depth += 1 }

        func end() {
            depth -= 1
            guard depth == 0 else { return }
            while let connection = connections.popLast() {
                connection.isGathered = false
                connection.admit()
                connection.flush()
                connection.closeIfLeft()
            }
        }

        fileprivate func add(_ connection: HTTP2LoadConnection) -> Bool {
            guard depth > 0 else { return false }
            if !connection.isGathered {
                connection.isGathered = true
                connections.append(connection)
            }
            return true
        }
    }

    /// How the connection began.
    enum Opening: Equatable {
        case ready
        /// The peer answers, but not in HTTP/2.
        case otherProtocol
        /// It broke, or TLS did, before the server had said anything.
        case failed
    }

    private enum Stage {
        case connecting
        /// Until the handshake is done.
        case securing
        /// Until the server's SETTINGS are here.
        case opening
        case ready
        case closed
    }

    /// Bytes of bodies that go into one write, and in one turn.
    private static let writeBytes = 64 << 10
    private static let turnBytesMax = 512 << 10

    private var stage: Stage
    private let isSecure: Bool
    private var machine: HTTP2ClientConnection
    private let gathering: Gathering
    private var context: ChannelHandlerContext?
    /// What no frame could be made of yet; bounded by a frame's size.
    private var pending = HTTP2Input()
    /// Used again for each write.
    private var spare = ByteBuffer()
    /// Those whose requests wait, in their order; as many as there are clients, at most.
    private var waiting: [HTTP2LoadStream] = []
    private var firstWaiting = 0
    private var isReading = false
    /// Somebody's time was up before the server had said anything.
    private var isGivenUp = false
    fileprivate var isGathered = false
    private let keepsFields: Bool
    /// Told once.
    var onOpening: ((Opening) -> Void)?

    /// - Parameters:
    ///   - streamsMax: requests that are under way at a time, at most.
    ///   - keepsFields: whether somebody looks at more of a response's head than its status.
    init(streamsMax: Int, isSecure: Bool, keepsFields: Bool, gathering: Gathering = Gathering()) {
        self.isSecure = isSecure
        self.keepsFields = keepsFields
        self.gathering = gathering
        stage = .connecting
        machine = HTTP2ClientConnection(streamsMax: streamsMax, keepsFields: keepsFields, now: .now())
    }

    /// Whether requests may be asked for on it, now or later.
    var isOpen: Bool { stage != .closed && !machine.isLeaving && !machine.isFailed }
    var isReady: Bool { stage == .ready }

    func place() -> HTTP2LoadStream { HTTP2LoadStream(self) }

    /// Ends it; nobody is told.
    func close() {
        guard stage != .closed else { return }
        stage = .closed
        machine.close()
        write()
        context?.close(promise: nil)
        for stream in machine.streams { stream.owner = nil }
        waiting.removeAll()
        firstWaiting = 0
    }

    // MARK: The clients' side

    fileprivate func ask(_ place: HTTP2LoadStream) {
        guard isOpen else { return place.end(.closed) }
        guard stage == .ready, firstWaiting == waiting.count, machine.roomCount > 0 else {
            place.isWaiting = true
            return waiting.append(place)
        }
        begin(place)
        flushSoon()
    }

    /// A client has given its request up, or wants nothing more.
    fileprivate func giveUp(_ place: HTTP2LoadStream) {
        if place.isWaiting {
            place.isWaiting = false
            if let index = waiting[firstWaiting...].firstIndex(where: { $0 === place }) { waiting.remove(at: index) }
            guard stage != .ready, stage != .closed, place.isOverdue else { return }
            isGivenUp = true
            // Not before all have been given up whose time is up: else they would be on their way to another connection.
            if !gathering.add(self) { closeIfLeft() }
            return
        }
        guard let stream = place.stream, stream.owner === place else { return }
        stream.owner = nil
        machine.reset(stream, .cancel)
        // Not before all have been given up whose time is up: else they would be sent now.
        if gathering.add(self) { return }
        admit()
        flushSoon()
        closeIfLeft()
    }

    private func begin(_ place: HTTP2LoadStream) {
        place.isWaiting = false
        guard let request = place.request, let http = request.http, let stream = machine.open(http.method, reusing: place.stream) else {
            return place.end(.closed)
        }
        place.begin(stream, http)
        let bodyCount = request.bytes.readableBytes - http.headByteCount
        // With what is said of the connection, so that nothing is said of the stream before it.
        var control = ByteBuffer()
        swap(&control, &machine.control)
        if let cookies = place.cookies {
            let head = request.bytes(adding: cookies)
            machine.writeHead(head, isSecure: isSecure, of: stream, endsStream: bodyCount == 0, into: &control)
        } else {
            machine.writeBlock(http.block, of: stream, endsStream: bodyCount == 0, into: &control)
        }
        swap(&control, &machine.control)
        if bodyCount > 0, let body = request.bytes.getSlice(at: request.bytes.readerIndex + http.headByteCount, length: bodyCount) {
            machine.bodyMade(body, of: stream)
            machine.requestMade(stream, trailers: nil)
        }
        place.owner?.requestWritten()
        guard machine.isExhausted else { return }
        // That was the last number of a stream.
        machine.retire()
        passOnWaiting()
    }

    /// Lets those go that wait, as far as there is room.
    fileprivate func admit() {
        while stage == .ready, firstWaiting < waiting.count, machine.roomCount > 0 {
            let place = waiting[firstWaiting]
            firstWaiting += 1
            if firstWaiting == waiting.count {
                waiting.removeAll(keepingCapacity: true)
                firstWaiting = 0
            } else if firstWaiting >= 1024 {
                waiting.removeFirst(firstWaiting)
                firstWaiting = 0
            }
            begin(place)
        }
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        if stage == .connecting {
            if isSecure { stage = .securing } else { greet() }
        }
        context.fireChannelActive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if isSecure, stage == .securing || stage == .connecting, TLSClient.isHandshakeCompleted(event) {
            if TLSClient.negotiatedProtocol(event) == "h2" {
                greet()
            } else {
                opened(.otherProtocol)
                // First: who fails may ask again at once, and not here.
                end()
                failAll(.tls)
            }
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// Says the preface and our SETTINGS.
    private func greet() {
        stage = .opening
        flush()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isReading = true
        var bytes = pending.joined(unwrapInboundIn(data))
        let now = NIODeadline.now()
        while stage != .closed, understand(machine.next(&bytes, now: now)) {}
        pending.keep(bytes)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        flush()
        closeIfLeft()
        context.fireChannelReadComplete()
    }

    func channelInactive(context: ChannelHandlerContext) {
        lost(stage == .securing ? .tls : .closed)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        lost(stage == .securing || stage == .connecting && isSecure ? .tls : .reset)
        context.close(promise: nil)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { flush() }
        context.fireChannelWritabilityChanged()
    }

    /// - Returns: whether there may be more.
    private func understand(_ input: HTTP2ClientConnection.Input) -> Bool {
        switch input {
        case .wait: return false
        case .handled, .interim, .windowOpened: break
        case .established:
            stage = .ready
            opened(.ready)
            admit()
        case .limitChanged: admit()
        case .head(let stream):
            guard let place = stream.owner.map({ unsafeDowncast($0, to: HTTP2LoadStream.self) }) else { break }
            place.status = machine.head.status
            if keepsFields { place.head = machine.head }
            if stream.isResponseEnded { complete(stream, place) }
        case .body(let stream, let part):
            machine.bodyTaken(part.readableBytes, of: stream)
            guard let place = stream.owner.map({ unsafeDowncast($0, to: HTTP2LoadStream.self) }) else { break }
            place.check.take(part)
            if stream.isResponseEnded { complete(stream, place) }
        case .trailers(let stream):
            if let place = stream.owner.map({ unsafeDowncast($0, to: HTTP2LoadStream.self) }) { complete(stream, place) }
        case .ended(let stream, let end):
            let place = take(stream)
            admit()
            switch end {
            case .malformed: place?.end(.malformed)
            case .refused, .http1Required, .reset: place?.end(.reset)
            }
        case .leaving(let unprocessed): leave(unprocessed)
        case .failed:
            // Before the first frame of the server's: it is another protocol.
            if stage == .opening { opened(.otherProtocol) }
            failAll(.malformed)
            end()
        }
        return true
    }

    private func complete(_ stream: HTTP2ClientStream, _ place: HTTP2LoadStream) {
        stream.owner = nil
        machine.finish(stream)
        // Who waited comes before who has just been answered.
        admit()
        place.end(place.check.verdict(status: place.status))
    }

    private func take(_ stream: HTTP2ClientStream) -> HTTP2LoadStream? {
        defer { stream.owner = nil }
        return stream.owner.map { unsafeDowncast($0, to: HTTP2LoadStream.self) }
    }

    /// The server takes no more requests. It has not looked at some of them: these, and those that wait, are asked on another connection, as
    /// browsers do.
    /// - Source: RFC 9113 §6.8, §8.7.
    private func leave(_ unprocessed: [HTTP2ClientStream]) {
        let places = unprocessed.compactMap { take($0) } + takeWaiting()
        for place in places { place.passOn() }
    }

    private func takeWaiting() -> [HTTP2LoadStream] {
        let places = Array(waiting[firstWaiting...])
        waiting.removeAll(keepingCapacity: true)
        firstWaiting = 0
        for place in places { place.isWaiting = false }
        return places
    }

    private func passOnWaiting() {
        for place in takeWaiting() { place.passOn() }
    }

    private func opened(_ opening: Opening) {
        onOpening?(opening)
        onOpening = nil
    }

    /// All requests end; a response that has begun is cut off, and what follows no request is nobody's.
    private func failAll(_ failure: FailureKind, begun: FailureKind? = nil) {
        let streams = machine.streams.compactMap { stream in take(stream).map { (stream, $0) } }
        let places = takeWaiting()
        for (stream, place) in streams { place.end(stream.hasHead ? begun ?? failure : failure) }
        for place in places { place.end(failure) }
    }

    private func lost(_ failure: FailureKind) {
        guard stage != .closed else { return }
        let wasReady = stage == .ready
        stage = .closed
        opened(.failed)
        // What was never sent can be asked for on another connection; unless this one never was one.
        if wasReady { passOnWaiting() }
        failAll(failure, begun: failure == .closed ? .truncated : nil)
    }

    /// Says why, if something is to be said, and closes.
    private func end() {
        guard stage != .closed else { return }
        stage = .closed
        write()
        context?.close(promise: nil)
    }

    /// The server, or both, have had enough, and everything is answered; or nothing will be.
    fileprivate func closeIfLeft() {
        guard stage != .closed else { return }
        if isGivenUp {
            // They would wait in vain here.
            let places = takeWaiting()
            close()
            for place in places { place.passOn() }
        } else if machine.isLeaving, machine.streams.isEmpty, !isReading {
            close()
        }
    }

    // MARK: Frames out

    private func flushSoon() {
        if !isReading, !gathering.add(self) { flush() }
    }

    fileprivate func flush() {
        guard stage == .opening || stage == .ready else { return }
        write()
    }

    private func write() {
        guard let context, context.channel.isActive, !isSecure || stage != .securing else { return }
        var sent = 0
        while true {
            var output = spare
            spare = ByteBuffer()
            output.clear()
            swap(&output, &machine.control)
            if context.channel.isWritable, stage == .ready { machine.writeBodies(into: &output, bytesMax: Self.writeBytes) }
            _ = machine.takeRelieved()
            let count = output.readableBytes
            if count > 0 { context.writeAndFlush(wrapOutboundOut(output), promise: nil) }
            spare = output
            sent += count
            // What is left goes out when the channel has room again, or with the next frames.
            guard count > 0, sent < Self.turnBytesMax else { return }
        }
    }
}

/// A client's place on an ``HTTP2LoadConnection``: one request at a time.
final class HTTP2LoadStream: RequestLink {
    private let connection: HTTP2LoadConnection
    /// The last request's, used again for the next.
    fileprivate private(set) var stream: HTTP2ClientStream?
    fileprivate private(set) var owner: (any LoadConnectionOwner)?
    fileprivate private(set) var request: Workload.Request?
    fileprivate private(set) var cookies: String?
    fileprivate var check = ResponseCheck()
    fileprivate var status = 0
    fileprivate var isWaiting = false
    /// Its time was up before anything could be sent.
    fileprivate private(set) var isOverdue = false
    /// The connection is for this client alone, and for one request.
    var isAlone = false
    fileprivate(set) var head: ResponseHead?

    fileprivate init(_ connection: HTTP2LoadConnection) {
        self.connection = connection
    }

    var isOpen: Bool { connection.isOpen }

    var overdueKind: FailureKind { isWaiting && connection.isReady ? .unsent : .timeout }

    func send(_ request: Workload.Request, cookies: String?, for client: any LoadConnectionOwner) {
        owner = client
        self.request = request
        self.cookies = cookies
        connection.ask(self)
    }

    func close() {
        isOverdue = owner != nil
        owner = nil
        connection.giveUp(self)
        if isAlone { connection.close() }
    }

    fileprivate func begin(_ stream: HTTP2ClientStream, _ http: Workload.HTTPRequest) {
        self.stream = stream
        stream.owner = self
        status = 0
        head = nil
        check.begin(http.expectation)
    }

    fileprivate func end(_ failure: FailureKind?) {
        let owner = self.owner
        self.owner = nil
        owner?.requestEnded(failure: failure, bodyByteCount: check.bodyByteCount, isReusable: connection.isOpen)
    }

    fileprivate func passOn() {
        let owner = self.owner
        self.owner = nil
        owner?.requestUnprocessed()
    }
}
