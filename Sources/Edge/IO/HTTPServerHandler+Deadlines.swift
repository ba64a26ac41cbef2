import HTTPSemantics
import NIOCore
import Transport

// What must have come or gone by when.

extension HTTPServerHandler {
    func arm(_ reason: DeadlineReason, for time: TimeAmount, from now: NIODeadline) {
        deadlineReason = reason
        deadline = reason == .none ? .distantFuture : now + time
        if reason == .write { takenBytes = takenBytesNow() }
    }

    func updateWriteDeadline(now: NIODeadline) {
        guard !isClosing else { return }
        if !isWritable {
            if deadlineReason != .write { arm(.write, for: worker.configuration.deadlines.write, from: now) }
        } else if deadlineReason == .write, link == nil || hasBegun {
            arm(.none, for: .zero, from: now)
            if connection.isAwaitingHead { awaitHead(hasBytes: pending.readableBytes > 0, now: now) }
        }
    }

    /// What was written and is not with the kernel yet.
    func unsentBytesNow() -> Int {
        if let link { return link.stream.queuedBytes }
        return (try? context?.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    }

    /// What the client has taken: a difference of two is what it took in between, whatever was written meanwhile.
    private func takenBytesNow() -> Int {
        if let link { return exchange.bodyBytes - link.stream.queuedBytes }
        return context?.acknowledgedBytes ?? exchange.bodyBytes - unsentBytesNow()
    }

    func deadlinePassed(now: NIODeadline) {
        var reason = deadlineReason
        if reason == .write {
            // A client that takes little is slow, not gone; one that takes next to nothing is held up on purpose.
            let taken = takenBytesNow() - takenBytes
            let (rate, time) = (worker.configuration.limits.transferRateMin, worker.configuration.deadlines.write)
            if taken > 0, !TransferRate.isBelow(rate, bytes: taken, nanoseconds: time.nanoseconds) { return arm(.write, for: time, from: now) }
            if taken > 0 { reason = .responseRate }
        }
        if reason == .requestBody, responseFraming == nil {
            // Reading stopped because the application takes no more: then it is not the client who is late.
            let isHeldUp = isReadSuppressed || link.map { $0.stream.receivedBytes > 0 } ?? false
            return giveUpRequestBody(.requestBody, status: isHeldUp ? 504 : 408, now: now)
        }
        worker.metrics.deadlinePassed(reason)
        let passed = deadlineReason
        // An answer has deadlines of its own.
        arm(.none, for: .zero, from: now)
        switch passed {
        case .requestHead where pending.readableBytes > 0:
            keepsAlive = false
            exchange = Exchange(started: now, trace: worker.trace(FieldSection()))
            route = nil
            connection.headGivenUp(pending)
            respondError(408, reason: .edge(.requestHeadDeadline), now: now)
            flush()
        case .authorization:
            if case .authorize(let fetch) = source { fetch.clientGone() }
            source = .none
            respondError(504, reason: .edge(.authorizationDeadline), now: now)
            return flushAndResume()
        case .page:
            guard case .page(nil) = source else { break }
            source = .none
            turn { respondError(504, reason: .edge(.pageDeadline), now: now) }
            return flushAndResume()
        case .write, .responseRate:
            clientGone(reason == .write ? .writeDeadline : .responseRate)
            cut()
        case .requestHead, .requestBody, .requestRate, .keepAlive, .linger, .drain:
            if link != nil { clientGone() }
            cut()
        case .none:
            break
        }
    }

    /// The rest of a request's body comes too slowly, or not at all: an error if that can be said still.
    func giveUpRequestBody(_ reason: DeadlineReason, status: Int, now: NIODeadline) {
        worker.metrics.deadlinePassed(reason)
        guard responseFraming == nil else {
            if link != nil { clientGone() }
            return cut()
        }
        if case .fetch(let fetch) = source { fetch.clientGone() }
        source = .none
        keepsAlive = false
        arm(.none, for: .zero, from: now)
        respondError(status, reason: .edge(reason == .requestRate ? .requestRate : .requestBodyDeadline), now: now)
        flush()
    }

    func drainBegan(now: NIODeadline) {
        if case .page(.some) = source { return endStream(now: now) }
        guard !hasBegun, pending.readableBytes == 0, deadlineReason == .keepAlive || deadlineReason == .requestHead else { return }
        arm(.drain, for: Self.drainIdleTime, from: now)
    }
}
