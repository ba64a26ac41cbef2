import HTTP1Wire
import HTTP2Wire
import HTTPSemantics
import NIOCore

/// Where an exchange goes that came by HTTP/2.
struct StreamLink {
    let connection: HTTP2Handler
    let stream: HTTP2Stream
}

// An exchange that goes over a stream of HTTP/2: where its request comes from and its response goes to. All in between is as with HTTP/1.

extension HTTPServerHandler {
    /// For streams of one connection, one after the other.
    convenience init(worker: EdgeWorker, arrival: Arrival) {
        self.init(worker: worker, arrival: arrival, limit: ConnectionRelease {})
    }

    // MARK: Request

    /// Begins an exchange.
    /// - Parameters:
    ///   - head: taken; the memory of the last one is given for it.
    ///   - refusal: what is wrong with the head.
    func beginStream(_ link: StreamLink, peer: ClientIdentity, head: inout RequestHead, refusal: HTTP1Error?, now: NIODeadline) {
        self.link = link
        self.peer = peer
        identity = peer
        isWritable = true
        isUnflushed = false
        isClosing = false
        isInputClosed = false
        keepsAlive = true
        responseFraming = nil
        let tooLong = connection.headGiven(&head)
        worker.sweep.add(self)
        turn {
            if let refused = refusal ?? tooLong { refuse(refused, now: now) } else { begin(connection.head, now: now) }
        }
    }

    /// A part of the request's body has come.
    func streamReceived(_ part: ByteBuffer, _ link: StreamLink) {
        if part.readableBytes > 0 { link.stream.hold(part) }
        takeHeldBody(link)
    }

    /// Takes what was held of the request's body, as far as somebody wants it.
    func takeHeldBody(_ link: StreamLink) {
        // A tunnel's request is complete from its beginning, and ends when the tunnel is told.
        let isTunnel = if case .tunnel = source { true } else { false }
        let isEndWanted = isTunnel ? !isInputClosed : !connection.isRequestComplete
        guard link.stream.receivedBytes > 0 || link.stream.isRequestEnded && isEndWanted else { return }
        if isInTurn {
            // Behind the turn: nobody asks again.
            let bound = NIOLoopBound((handler: self, link: link), eventLoop: worker.eventLoop)
            return worker.eventLoop.execute {
                if bound.value.handler.link?.stream === bound.value.link.stream { bound.value.handler.takeHeldBody(bound.value.link) }
            }
        }
        if case .tunnel(let tunnel) = source { return takeTunnelled(tunnel, link) }
        while self.link?.stream === link.stream, !link.stream.isClosed, takesBody {
            guard let part = link.stream.takeReceived() else { break }
            let now = NIODeadline.now()
            link.connection.bodyTaken(part.readableBytes, of: link.stream)
            if hasBegun, !connection.isRequestComplete, let error = connection.bodyGiven(part.readableBytes) {
                turn { refuse(error, now: now) }
                return flush()
            }
            bodyRate.received(part.readableBytes, wasHeldUp: wasHeldUp, now: now)
            wasHeldUp = link.stream.receivedBytes > 0
            if case .fetch(let fetch) = source { fetch.sendRequestBody(part) }
            guard hasBegun, !connection.isRequestComplete else { continue }
            let configuration = worker.configuration
            if bodyRate.isBelow(configuration.limits.transferRateMin, grace: configuration.deadlines.requestBody) {
                return giveUpRequestBody(.requestRate, status: 408, now: now)
            }
            if deadlineReason == .requestBody || deadlineReason == .none { arm(.requestBody, for: configuration.deadlines.requestBody, from: now) }
        }
        guard self.link?.stream === link.stream, link.stream.isRequestEnded, link.stream.receivedBytes == 0, hasBegun, !isSuspended,
            !connection.isRequestComplete
        else { return }
        connection.bodyEndGiven(trailers: link.stream.receivedTrailers)
        let now = NIODeadline.now()
        if deadlineReason == .requestBody { arm(.none, for: .zero, from: now) }
        if case .fetch(let fetch) = source { fetch.requestBodyEnded(trailers: connection.trailers, now: now) }
    }

    /// Whether a part of the request's body can go on now, or is for nobody.
    private var takesBody: Bool {
        guard !isSuspended else { return false }
        if case .fetch(let fetch) = source, !connection.isRequestComplete { return fetch.wantsRequestBody }
        // What a tunnel will be given is no body of the request.
        return !isTunnelWish
    }

    private var isTunnelWish: Bool { hasBegun && connection.isRequestComplete && responseFraming == nil }

    private func takeTunnelled(_ tunnel: Tunnel, _ link: StreamLink) {
        let now = NIODeadline.now()
        while self.link?.stream === link.stream, case .tunnel = source, tunnel.wantsInput(from: .client) {
            guard let part = link.stream.takeReceived() else { break }
            link.connection.bodyTaken(part.readableBytes, of: link.stream)
            tunnel.received(part, from: .client, now: now)
        }
        guard self.link?.stream === link.stream, link.stream.isRequestEnded, link.stream.receivedBytes == 0, !isInputClosed else { return }
        isInputClosed = true
        tunnel.inputEnded(.client, now: now)
    }

    /// The client has given the stream up, or the connection is gone.
    func streamGone() {
        clientGone()
    }

    // MARK: Response

    /// Sends the head that lies in ``output``: what a stored response, a fetch or the edge itself has said in lines of HTTP/1.
    func sendHead(_ framing: ResponseHeadWriter.Framing, _ link: StreamLink) {
        let hasBody = framing != .noBody && framing != .length(0) && connection.head.method != .head
        if framing == .chunked { responseFraming = .untilClose }
        let start = output.readerIndex + headStart
        // A tunnel's head does not come by here: what speaks no other protocol must not say that it does.
        if link.stream.isExtendedConnect, (200..<300).contains(exchange.status) {
            exchange.status = 502
            output.setString("502", at: start + "HTTP/1.1 ".utf8.count)
        }
        if let head = output.getSlice(at: start, length: output.writerIndex - start) {
            link.connection.sendHead(head, on: link.stream, endsStream: !hasBody)
        }
        output.moveWriterIndex(to: start)
        isUnflushed = true
    }

    func append(_ buffer: ByteBuffer, to link: StreamLink) {
        link.stream.append(buffer)
        if !link.stream.hasRoom, isWritable {
            isWritable = false
            worker.pressure.grew(by: HTTP2Stream.queuedBytesMax)
        }
        link.connection.added(to: link.stream)
    }

    /// The response is made; the rest of it goes out at the client's pace.
    func endStream(_ link: StreamLink, now: NIODeadline) {
        emit()
        connection.streamEnded()
        link.stream.complete()
        link.connection.added(to: link.stream)
        isUnflushed = true
        arm(.write, for: worker.configuration.deadlines.write, from: now)
    }
}
