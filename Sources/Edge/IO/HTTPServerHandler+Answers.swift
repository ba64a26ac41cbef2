import HTTP1Wire
import HTTPSemantics
import NIOCore

// Answers as they go out: from the store, from a fetch in one piece or in parts, and of the edge's own making.

extension HTTPServerHandler {
    /// Says that the client may send the request's body now.
    /// - Source: RFC 9110 §10.1.1.
    func continueIfExpected() {
        guard !isSuspended, connection.head.expectsContinue, !connection.isRequestComplete, responseFraming == nil else { return }
        if let link { return link.connection.sendInterim(ByteBuffer(string: "HTTP/1.1 100 Continue\r\n"), on: link.stream) }
        // The answers before it are gathered yet.
        emit()
        var buffer = ByteBuffer()
        buffer.writeStaticString("HTTP/1.1 100 Continue\r\n\r\n")
        writer?.writeAndFlush(buffer)
    }

    /// Passes on what the application says before its response: `102 Processing`, `103 Early Hints`.
    /// - Source: RFC 9110 §15.2: a client of HTTP/1.0 gets none.
    func forwardInterim(_ head: ResponseHead) {
        guard connection.head.minorVersion > 0, responseFraming == nil else { return }
        let hinted = head.status == 103 ? exchange.hints : []
        guard InterimResponse.addsHints(head.fields, to: hinted) else { return }
        if let link {
            var buffer = ByteBuffer()
            InterimResponse.write(status: head.status, head.fields, hinted: hinted, into: &buffer)
            return link.connection.sendInterim(buffer, on: link.stream)
        }
        turn { InterimResponse.write(status: head.status, head.fields, hinted: hinted, into: &output) }
        flush()
    }

    /// Answers from a stored response.
    func deliver(_ found: ResponseShard.Found, _ head: RequestHead, now: NIODeadline) {
        turn { answer(found, head, now: now) }
    }

    private func answer(_ found: ResponseShard.Found, _ head: RequestHead, now: NIODeadline) {
        let representation = found.isReady ? found.representation : best(found, now: now)
        let response = representation.response
        exchange.coding = representation.coding
        exchange.ageSeconds = response.ageSeconds(now: now)
        let isConditional = head.fields.contains(.ifNoneMatch) || head.fields.contains(.ifModifiedSince)
            || head.fields.contains(.ifMatch) || head.fields.contains(.ifUnmodifiedSince)
        if isConditional {
            switch ConditionalPolicy.evaluate(head, representation) {
            case .proceed: break
            case .notModified: return answerNotModified(representation, head, now: now)
            case .failed: return respondError(412, reason: .edge(.preconditionFailed), now: now)
            }
        }
        if head.fields.contains(.range), asksForRange(head), answerRange(representation, head, now: now) { return }
        exchange.status = response.status
        headStart = output.readableBytes
        output.writeImmutableBuffer(representation.head)
        if let advice = response.browserCaching, !exchange.without.contains(.browserCaching) { output.writeBytes(advice.lines(for: head.fields)) }
        finishHead(.length(representation.body.byteCount), age: exchange.ageSeconds, now: now)
        if head.method != .head {
            exchange.savedBytes = representation.savedBytes
            if !representation.body.pieces.isEmpty { return send(representation.body.pieces) }
            exchange.bodyBytes = representation.body.byteCount
            if representation.body.byteCount <= Self.copiedBodyBytesMax, link == nil {
                output.writeImmutableBuffer(representation.body.whole)
            } else {
                emit()
                write(representation.body.whole)
            }
        }
        finishExchange(now: now)
    }

    private func best(_ found: ResponseShard.Found, now: NIODeadline) -> Representation {
        let before = worker.codec.nanoseconds
        defer { exchange.stages.compressed(nanoseconds: worker.codec.nanoseconds - before) }
        return worker.codec.best(found, key: worker.key, now: now)
    }

    /// - Source: RFC 9110 §15.4.5.
    func answerNotModified(_ representation: Representation, _ head: RequestHead, now: NIODeadline) {
        let response = representation.response
        exchange.status = 304
        if exchange.cacheResult == .hit || exchange.cacheResult == .servedStale || exchange.cacheResult == .revalidated {
            exchange.savedBytes = representation.body.byteCount
        }
        headStart = output.readableBytes
        let known = response.entityTag.flatMap { EntityTagVariants.known(head.fields, as: $0) }
        ResponseHeadWriter.writeNotModified(representation, entityTag: known, date: worker.httpDate(now: now), into: &output)
        if let advice = response.browserCaching, !exchange.without.contains(.browserCaching) { output.writeBytes(advice.lines(for: head.fields)) }
        finishHead(.noBody, age: exchange.ageSeconds, now: now)
        finishExchange(now: now)
    }

    /// Answers from what a fetch has just brought, and stored or would have stored.
    func deliverFetched(_ representation: Representation, key: CacheKey, now: NIODeadline) {
        let coding = exchange.accepted.best(
            of: representation.response.codings.union(.identity), serverOrder: worker.codec.order) ?? .identity
        worker.key = key
        let found = ResponseShard.Found(
            representation: representation,
            missingCoding: coding == .identity || coding == representation.coding ? nil : coding, deservesHighEffort: false)
        turn { answer(found, connection.head, now: now) }
        flushAndResume()
    }

    /// Answers with a body that is at hand as a whole and not stored.
    func deliverOnce(
        status: Int, _ fields: FieldSection, _ writer: ResponseHeadWriter, _ body: StoredBody, now: NIODeadline
    ) {
        assert(!isSuspended, "another server's word is passed on, never held")
        turn {
            beginResponse(status: status, fields, writer, now: now)
            if !body.pieces.isEmpty, connection.head.method != .head { return send(body.pieces) }
            sendBody(body.whole)
            finishExchange(now: now)
        }
        flushAndResume()
    }

    // MARK: Notes that a fetch makes in the exchange

    func noteConnected() { exchange.hasConnected = true }

    func noteUpstream(nanoseconds: Int64) { exchange.upstreamNanoseconds = max(nanoseconds, 1) }
    func noteStage(_ stage: StageTimes.Stage, now: NIODeadline) { exchange.stages.entered(stage, now: now) }
    func noteCompressed(nanoseconds: Int64) { exchange.stages.compressed(nanoseconds: nanoseconds) }
    /// What a compressor did for this client since the last time.
    func noteCompressed(by stream: StreamingCompressor) {
        let work = stream.takeWork()
        worker.metrics.compressed(from: work.bytesIn, to: work.bytesOut, nanoseconds: work.nanoseconds)
        exchange.stages.compressed(nanoseconds: work.nanoseconds)
    }
    /// Whether the store was asked and could not answer, and nothing is said yet of why what comes is not stored.
    var isLookedUp: Bool {
        guard exchange.cacheResult == .miss || exchange.cacheResult == .stale else { return false }
        return switch exchange.reason {
        case nil, .forwarded: true
        default: false
        }
    }

    func noteNotStored(_ reason: NotStoredReason) { exchange.reason = .notStored(reason) }
    func noteStored(_ isStored: Bool) { exchange.isStored = isStored }
    /// What compressing it has spared of a body.
    func noteSaved(bytes: Int) { exchange.savedBytes += max(0, bytes) }
    func noteRevalidated() { exchange.cacheResult = .revalidated }

    /// Begins a response whose body follows in parts.
    func beginResponse(status: Int, _ fields: FieldSection, _ writer: ResponseHeadWriter, age: Int? = nil, now: NIODeadline) {
        if authorizationBegan(status: status, fields, now: now) { return }
        exchange.status = status
        exchange.coding = writer.coding
        turn {
            headStart = output.readableBytes
            writer.write(status: status, fields, date: worker.httpDate(now: now), into: &output)
            if let advice = writer.browserCaching, !exchange.without.contains(.browserCaching) { output.writeBytes(advice.lines(for: connection.head.fields)) }
            if writer.framing == .untilClose { keepsAlive = false }
            finishHead(writer.framing, age: age, now: now)
        }
    }

    func sendBody(_ part: ByteBuffer) {
        guard part.readableBytes > 0, connection.head.method != .head, !isSuspended else { return }
        exchange.bodyBytes += part.readableBytes
        turn {
            if responseFraming == .chunked { output.writeChunkHeader(byteCount: part.readableBytes) }
            if part.readableBytes <= Self.copiedBodyBytesMax, link == nil {
                output.writeImmutableBuffer(part)
            } else {
                emit()
                write(part)
            }
            if responseFraming == .chunked { output.writeStaticString("\r\n") }
        }
        if !isWritable || deadlineReason == .write { updateWriteDeadline(now: .now()) }
    }

    /// Bytes of a response's body that the kernel takes from a file. They go out behind all that was written before.
    /// - Parameter isLast: the body's last ones, which the kernel gets at once. Of others the channel sees to it that a client who takes them as
    ///   fast as they come does not keep the loop for itself.
    func sendRegion(of file: StaticFiles.OpenFile, _ range: Range<Int>, isLast: Bool) {
        guard connection.head.method != .head, let writer else { return }
        exchange.bodyBytes += range.count
        turn {
            if responseFraming == .chunked { output.writeChunkHeader(byteCount: range.count) }
            emit()
            let taken = isLast ? writer.sendNow(range, ofFile: file.descriptor) : 0
            if taken < range.count { write(file, range.dropFirst(taken)) }
            if responseFraming == .chunked { output.writeStaticString("\r\n") }
        }
        flush()
        if !isWritable || deadlineReason == .write { updateWriteDeadline(now: .now()) }
    }

    private func write(_ file: StaticFiles.OpenFile, _ range: Range<Int>) {
        guard let context, let writer else { return }
        isUnflushed = true
        // The descriptor is the file's, which lives until the kernel has read it and closes it then.
        let handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: file.descriptor)
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.whenComplete { _ in
            _ = try? handle.takeDescriptorOwnership()
            withExtendedLifetime(file) {}
        }
        writer.write(FileRegion(fileHandle: handle, readerIndex: range.lowerBound, endIndex: range.upperBound), promise: written)
    }

    /// Has what was written go out, unless a turn is still gathering it: whoever began the turn flushes behind it.
    func flush() {
        guard isUnflushed, !isInTurn else { return }
        isUnflushed = false
        if let link { return link.connection.flush() }
        writer?.flush()
    }

    /// Sends all that comes of one read from the application in one piece: a head and a body that came together go out
    /// together.
    func gather(_ body: () -> Void) {
        guard !isInTurn else { return body() }
        turn(body)
        flush()
        resume()
    }

    /// What follows an answer that was not made while reading: out with it, then on to what the client sent meanwhile.
    func flushAndResume() {
        flush()
        resume()
    }

    func endResponse(trailers: FieldSection?, now: NIODeadline) {
        if authorizationEnded(now: now) { return flushAndResume() }
        turn {
            let trailers = trailers.map { ResponseHeadWriter.trailers($0, ofCoded: exchange.coding) }
            if let link {
                link.stream.trailers = connection.head.method == .head ? nil : trailers
            } else if responseFraming == .chunked, connection.head.method != .head {
                output.writeLastChunk(trailers: trailers)
            }
            finishExchange(now: now)
        }
        flushAndResume()
    }

    /// The response cannot be completed. Before its head it becomes an error page; after it, the connection is cut, so that
    /// the client cannot take what it has for the whole.
    func failResponse(_ failure: GatewayFailure, now: NIODeadline) {
        exchange.failure = failure
        guard responseFraming != nil else {
            turn { answerFailure(failure, now: now) }
            return flushAndResume()
        }
        if responseFraming == .untilClose { abortivelyClose() }
        count(now: now)
        hasBegun = false
        source = .none
        cut()
    }

    /// A small answer of our own.
    /// - Parameters:
    ///   - isKept: Clients may keep it as long as its status says; otherwise it is of this moment alone.
    ///   - retryAfter: Seconds, said with a 503.
    ///   - lines: Whole field lines.
    func respond(
        status: Int, contentType: String, _ body: String, now: NIODeadline, location: String? = nil, isKept: Bool = false,
        retryAfter: Int = 1, lines: String = "", reason: AnswerReason? = nil
    ) {
        exchange.status = status
        if let reason { exchange.reason = reason }
        turn {
            headStart = output.readableBytes
            output.writeStatusLine(status)
            // RFC 9110 §8.6: a 204 has no body and says no length.
            let body = status == 204 ? "" : body
            if status != 204 {
                output.writeField(.contentType, contentType)
                output.writeField(.contentLength, body.utf8.count)
            }
            if !isKept { output.writeField(.cacheControl, "no-store" as StaticString) }
            if let location { output.writeField(.location, location) }
            output.writeField(.date, worker.httpDate(now: now).span)
            if status == 405 { output.writeStaticString("Allow: GET, HEAD\r\n") }
            if exchange.method == .options, status == 200 { output.writeStaticString(MaxForwards.allow) }
            if status == 503 { output.writeString("Retry-After: \(retryAfter)\r\n") }
            if !lines.isEmpty { output.writeString(lines) }
            finishHead(.length(body.utf8.count), age: nil, now: now)
            if connection.head.method != .head {
                output.writeString(body)
                exchange.bodyBytes = body.utf8.count
            }
            finishExchange(now: now)
        }
    }

    func respondError(_ status: Int, reason: AnswerReason, now: NIODeadline, lines: String = "") {
        exchange.reason = reason
        respond(
            status: status, contentType: "text/html; charset=utf-8",
            ErrorPage.body(status: status, title: ErrorPage.title(status), reason: reason.word), now: now, lines: lines)
    }

    /// Answers what could not be understood, and closes.
    func refuse(_ error: HTTP1Error, now: NIODeadline) {
        worker.metrics.refused(error)
        keepsAlive = false
        if hasBegun {
            // In the middle of a request's body: the exchange fails, and if its response has begun it is cut short.
            if case .fetch(let fetch) = source { fetch.clientGone() }
            if case .read(let reader) = source { reader.leave() }
            if case .page(let stream) = source { stream?.leave() }
            if responseFraming != nil {
                // A connection's end tells that its exchange has ended; a stream's does not.
                if link != nil { clientGone() }
                return cut()
            }
        } else {
            exchange = Exchange(started: now, trace: worker.trace(FieldSection()))
            hasBegun = true
            route = nil
        }
        source = .none
        respondError(error.status, reason: .refused(error.code), now: now)
    }

    /// Writes what is said of this one answer, and the empty line.
    private func finishHead(_ framing: ResponseHeadWriter.Framing, age: Int?, now: NIODeadline) {
        responseFraming = framing
        if let age {
            output.writeText(bytesMax: 32) { output in
                output.text("Age: ")
                output.decimal(age)
                output.text("\r\n")
            }
        }
        if let left = exchange.requestsLeft, let limiter = route?.limiter { output.writeString(limiter.lines(left: left)) }
        exchange.appendCacheStatus(to: &output)
        let written = NIODeadline.now()
        exchange.headNanoseconds = (written - exchange.started).nanoseconds
        exchange.appendServerTiming(now: written, to: &output)
        exchange.stages.entered(.write, now: written)
        route?.responseRules?.apply(to: &output, from: headStart)
        if !exchange.proofAnswer.isEmpty { output.writeString("\(ProofField.name): \(exchange.proofAnswer)\r\n") }
        if arrival == .tls { worker.strictTransportSecurity?.apply(to: &output, from: headStart) }
        if let link { return sendHead(framing, link) }
        let isLast = isInputClosed && pending.readableBytes == 0 && !hasMoreInput
        if keepsAlive, !connection.mayKeepAlive || worker.isDraining || isLast { keepsAlive = false }
        if !keepsAlive {
            output.writeStaticString("Connection: close\r\n\r\n")
        } else if connection.head.minorVersion == 0 {
            output.writeStaticString("Connection: keep-alive\r\n\r\n")
        } else {
            output.writeStaticString("\r\n")
        }
    }
}
