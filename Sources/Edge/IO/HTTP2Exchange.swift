import HTTP2Wire
import HTTPSemantics
import NIOCore

/// One exchange on a connection of HTTP/2 to a member of a group, as its ``Fetch`` sees it. Belongs to the connection's event loop.
///
/// What comes of the response while the fetch wants none (``Fetch/wantsResponse``) is held, up to the stream's window: that is what bounds it,
/// and no other stream waits for it.
final class HTTP2Exchange: UpstreamLink, DeadlineHolder {
    private let connection: HTTP2UpstreamHandler
    private let connector: UpstreamConnector
    private let worker: EdgeWorker
    let member: Int
    let exchangeCount: Int
    private(set) var stream: HTTP2ClientStream?
    private(set) var fetch: Fetch?
    private(set) var deadline = NIODeadline.distantFuture
    var sweepPosition = -1
    private var started = NIODeadline.distantPast
    private var isRequestSent = false
    private var isAwaitingFirstByte = false
    private var status = 0
    /// The slot that it has with the group was given back.
    private var isSettled = false
    /// The fetch is being told something: it is told no more before it returns.
    private var isTelling = false
    /// Something has come for it since the last pause.
    var isTouched = false

    init(_ connection: HTTP2UpstreamHandler, connector: UpstreamConnector, worker: EdgeWorker, member: Int) {
        (self.connection, self.connector, self.worker, self.member) = (connection, connector, worker, member)
        exchangeCount = connection.exchangeCount
    }

    // MARK: The fetch's side

    var isForOne: Bool {
        get { connection.isForOne }
        set { if newValue { connection.isForOne = true } }
    }

    var isOpen: Bool { connection.isOpen && stream.map { !$0.isClosed } ?? true }
    var isWritable: Bool { isOpen && stream?.hasRoom ?? false }

    func send(_ head: ByteBuffer, _ method: Method, offersUpgrade: Bool, isWhole: Bool, for fetch: Fetch) {
        self.fetch = fetch
        guard let stream = connection.open(method, self, head, endsStream: isWhole) else {
            // The fetch is in the middle of asking.
            let bound = NIOLoopBound(self, eventLoop: worker.eventLoop)
            return worker.eventLoop.execute { bound.value.failed(.goingAway, .neutral) }
        }
        self.stream = stream
        started = .now()
        worker.sweep.add(self)
    }

    func sendBody(_ part: ByteBuffer, isChunked: Bool) {
        if let stream { connection.bodyMade(part, of: stream) }
    }

    func flush() {
        connection.flush()
    }

    func requestEnded(trailers: FieldSection?, isChunked: Bool, now: NIODeadline) {
        guard let stream else { return }
        isRequestSent = true
        connection.requestMade(stream, trailers: trailers)
        guard fetch != nil, !stream.hasHead else { return }
        isAwaitingFirstByte = true
        deadline = now + connector.group.firstByteTimeout
    }

    func resumeReading() {
        guard !isTelling, let stream, let fetch, fetch.wantsResponse else { return }
        let now = NIODeadline.now()
        if stream.hasHead { deadline = now + connector.group.readTimeout }
        guard stream.heldBytes > 0 || stream.isResponseEnded else { return }
        while self.fetch === fetch, fetch.wantsResponse, let part = stream.takeHeld() {
            connection.bodyTaken(part.readableBytes, of: stream)
            // Sending that may have ended the connection, and this with it.
            guard self.fetch === fetch else { return }
            tell { fetch.responseBody(part) }
        }
        guard self.fetch === fetch else { return }
        if stream.isResponseEnded, stream.heldBytes == 0 { finish(fetch, stream, now: now) } else { fetch.responsePaused() }
    }

    func abandon(_ outcome: UpstreamMachine.Outcome) {
        fetch = nil
        if let stream { connection.reset(stream, .cancel) }
        settle(outcome)
    }

    func unused(now: NIODeadline) {
        settle(.neutral)
    }

    // MARK: The connection's side

    private func heard(now: NIODeadline) {
        isAwaitingFirstByte = false
        deadline = now + connector.group.readTimeout
    }

    func interimReceived(_ head: ResponseHead, now: NIODeadline) {
        heard(now: now)
        // While the request is still coming it is not late.
        if !isRequestSent { deadline = .distantFuture }
        fetch?.interimReceived(head)
    }

    func headReceived(_ head: ResponseHead, now: NIODeadline) {
        heard(now: now)
        guard let fetch, let stream else { return }
        status = head.status
        tell { fetch.responseBegan(head, now: now) }
        guard self.fetch === fetch, stream.isResponseEnded else { return }
        finish(fetch, stream, now: now)
    }

    func bodyReceived(_ part: ByteBuffer, now: NIODeadline) {
        guard let stream else { return }
        heard(now: now)
        guard let fetch else { return connection.bodyTaken(part.readableBytes, of: stream) }
        guard fetch.wantsResponse, stream.heldBytes == 0 else {
            stream.hold(part)
            return
        }
        connection.bodyTaken(part.readableBytes, of: stream)
        if part.readableBytes > 0 { tell { fetch.responseBody(part) } }
        guard self.fetch === fetch, stream.isResponseEnded else { return }
        finish(fetch, stream, now: now)
    }

    func trailersReceived(now: NIODeadline) {
        guard let stream, let fetch, stream.heldBytes == 0 else { return }
        finish(fetch, stream, now: now)
    }

    private func tell(_ body: () -> Void) {
        isTelling = true
        body()
        isTelling = false
    }

    /// No whole response comes.
    func failed(_ failure: GatewayFailure, _ outcome: UpstreamMachine.Outcome) {
        let fetch = self.fetch
        self.fetch = nil
        settle(outcome)
        fetch?.failed(failure, at: member)
    }

    /// The server does not answer this by HTTP/2.
    func http1Required() {
        fetch?.wantsHTTP1 = true
        failed(.refused, .neutral)
    }

    /// The connection takes more of the request.
    func becameWritable() {
        fetch?.upstreamWritable()
    }

    /// All that was there has been read.
    func paused() {
        isTouched = false
        fetch?.responsePaused()
    }

    private func finish(_ fetch: Fetch, _ stream: HTTP2ClientStream, now: NIODeadline) {
        self.fetch = nil
        connection.finish(stream)
        let isFailure = connector.group.passiveHealth.failureStatuses.contains(status)
        fetch.responseEnded(trailers: stream.receivedTrailers, now: now)
        settle(isFailure ? .failure : .success)
    }

    /// Gives the slot back, once.
    private func settle(_ outcome: UpstreamMachine.Outcome) {
        guard !isSettled else { return }
        isSettled = true
        deadline = .distantFuture
        worker.sweep.remove(self)
        connector.exchangeEnded(on: connection, member: member, outcome)
    }

    // MARK: Deadlines

    func deadlinePassed(now: NIODeadline) {
        deadline = .distantFuture
        // The client has the word; when it takes more, the time begins anew.
        guard let fetch, fetch.wantsResponse, let stream else { return }
        self.fetch = nil
        connection.reset(stream, .cancel)
        connection.timedOut(since: started)
        settle(.failure)
        fetch.failed(isAwaitingFirstByte ? .firstByteTimeout : .readTimeout, at: member)
    }

    func drainBegan(now: NIODeadline) {}
}

extension HTTP2ClientStream {
    /// The exchange that it carries.
    var exchange: HTTP2Exchange? {
        get { owner.map { unsafeDowncast($0, to: HTTP2Exchange.self) } }
        set { owner = newValue }
    }
}
