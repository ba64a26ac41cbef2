import HTTP1Wire
import HTTPSemantics
import NIOCore

// The request's way to a member of the group, and to another one after it.

extension Fetch {
    func startAsking(_ upstream: UpstreamConnector, now: NIODeadline) {
        plan.host = upstream.host
        totalDeadline = upstream.group.totalTimeout.map { now + $0 } ?? .distantFuture
        watchDeadlines()
        if !request.framing.isEmpty {
            // By HTTP/2 also what is not idempotent may come back unprocessed.
            let isKept = isIdempotent || upstream.group.version == .h2
            requestBody = HeldRequestBody(keptBytesMax: isKept ? max(Self.requestBytesMax, upstream.group.requestBufferBytesMax) : 0)
            isBuffering = upstream.group.requestBufferBytesMax > 0 && !isRequestEnded
        }
        if !isSubrequest { client?.hintEarly() }
        // Nobody is asked yet who could say that the body is wanted.
        // The turn's own stamp is from before the look-up.
        let now = NIODeadline.now()
        if isBuffering {
            enters(.write, now: now)
            client?.continueIfExpected()
        } else {
            ask(now: now)
        }
    }

    /// Whoever waits for it is in this stage from now on. Another server's word is part of the look-up.
    func enters(_ stage: StageTimes.Stage, now: NIODeadline) {
        if !isSubrequest { client?.noteStage(stage, now: now) }
    }

    func ask(now: NIODeadline) {
        guard case .application(let upstream) = origin else { return }
        enters(.queue, now: now)
        attempts += 1
        isWaiting = true
        upstream.lease(self, now: now)
    }

    func watchDeadlines() {
        guard min(continueDeadline, totalDeadline) < .distantFuture, sweepPosition < 0 else { return }
        worker.sweep.add(self)
    }

    var deadline: NIODeadline { min(continueDeadline, totalDeadline) }

    func deadlinePassed(now: NIODeadline) {
        if now >= continueDeadline {
            continueDeadline = .distantFuture
            client?.continueIfExpected()
        }
        guard now >= totalDeadline, !isOver else { return }
        abandonOrigin()
        failed(.totalTimeout)
    }

    func drainBegan(now: NIODeadline) {}

    /// Nothing more is to be done, whatever comes.
    func end() {
        isOver = true
        if isAhead {
            isAhead = false
            worker.refreshesAhead -= 1
        }
        continueDeadline = .distantFuture
        totalDeadline = .distantFuture
        worker.sweep.remove(self)
        requestBody.forget()
    }

    func connected(_ connection: any UpstreamLink, now: NIODeadline) {
        isWaiting = false
        guard !isOver else { return connection.unused(now: now) }
        // A connection that others share may be an old one again; that it was closed is forgiven once.
        wasReused = connection.exchangeCount > 0 && !wantsNewConnection
        if connection.exchangeCount == 0 { client?.noteConnected() }
        connection.isForOne = isOnItsOwn
        guard connection.isOpen else { return failed(.closedEarly, at: connection.member) }
        self.connection = connection
        started = now
        enters(.firstByte, now: now)
        plan.expectsContinue = request.expectsContinue && !isRequestEnded && requestBody.bytes == 0
        var head = worker.takeOutput()
        plan.write(request, client: identity, trace: trace, into: &head)
        connection.send(
            head, request.method, offersUpgrade: plan.offersUpgrade, isWhole: isRequestEnded && requestBody.bytes == 0 && requestTrailers == nil, for: self)
        if plan.expectsContinue {
            continueDeadline = started + Self.continueTimeout
            watchDeadlines()
        }
        for part in requestBody.parts { write(part) }
        requestBody.sent()
        if isRequestEnded { endRequest(now: now) } else { connection.flush() }
        worker.giveBack(head)
        client?.resumeReading()
    }

    var wantsRequestBody: Bool {
        if let connection { return connection.isWritable }
        guard isBuffering, case .application(let upstream) = origin else { return requestBody.bytes < Self.requestBytesMax }
        return requestBody.bytes < upstream.group.requestBufferBytesMax
    }

    func sendRequestBody(_ part: ByteBuffer) {
        guard !isOver, !isSubrequest else { return }
        continueDeadline = .distantFuture
        requestBody.received(part, isSent: connection != nil)
        if let connection {
            write(part)
            connection.flush()
        } else if isBuffering, case .application(let upstream) = origin, requestBody.bytes >= upstream.group.requestBufferBytesMax {
            isBuffering = false
            ask(now: .now())
        }
    }

    func requestBodyEnded(trailers: FieldSection, now: NIODeadline) {
        guard !isOver, !isSubrequest else { return }
        continueDeadline = .distantFuture
        isRequestEnded = true
        requestTrailers = trailers
        if isBuffering {
            isBuffering = false
            ask(now: now)
        } else if connection != nil {
            endRequest(now: now)
        }
    }

    private func write(_ part: ByteBuffer) {
        connection?.sendBody(part, isChunked: request.framing == .chunked)
    }

    func endRequest(now: NIODeadline) {
        connection?.requestEnded(trailers: requestTrailers, isChunked: request.framing == .chunked, now: now)
    }

    func upstreamWritable() {
        client?.resumeReading()
    }

    func attempt(_ failure: GatewayFailure?) -> RetryPolicy.Attempt {
        var hasResponse = false
        if case .undecided = way {} else { hasResponse = true }
        return RetryPolicy.Attempt(
            failure: failure, method: request.method, count: attempts, wasSent: connection != nil, wasReused: wasReused,
            isBodyHeld: request.framing.isEmpty || requestBody.isFromStart, hasResponse: hasResponse)
    }

    /// Sends the request once more, if it may be.
    func retries(_ attempt: RetryPolicy.Attempt, at member: Int?, now: NIODeadline) -> Bool {
        guard case .application(let upstream) = origin else { return false }
        // A client that left is not worth another try, unless others wait for the same.
        guard client != nil || lease != nil else { return false }
        switch RetryPolicy.verdict(attempt, attemptsMax: upstream.group.retry.attemptsMax) {
        case .giveUp:
            return false
        case .onNewConnection:
            wantsNewConnection = true
        case .onAnotherMember:
            if let member { tried.append(member) }
            guard upstream.allowsRetry(tried: tried, now: now) != nil else { return false }
        case .onAnyMember:
            let all = tried + (member.map { [$0] } ?? [])
            guard let place = upstream.allowsRetry(tried: all, mayBeSame: true, now: now) else { return false }
            if place == .another { tried = all }
        }
        ask(now: now)
        return true
    }

    /// A status upon which another member is tried: this response is dropped.
    func asksAnotherInstead(of status: Int, now: NIODeadline) -> Bool {
        guard case .application(let upstream) = origin, upstream.group.retry.statuses.contains(status), let connection else { return false }
        let attempt = attempt(nil)
        guard RetryPolicy.verdict(attempt, attemptsMax: upstream.group.retry.attemptsMax) == .onAnotherMember else { return false }
        let isFailure = upstream.group.passiveHealth.failureStatuses.contains(status)
        guard retries(attempt, at: connection.member, now: now) else { return false }
        connection.abandon(isFailure ? .failure : .success)
        return true
    }
}
