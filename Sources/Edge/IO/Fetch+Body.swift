import HTTPSemantics
import NIOCore

// The body of a response on its way to the client and the store.

extension Fetch {
    func responseBody(_ part: ByteBuffer) {
        switch way {
        case .undecided:
            assertionFailure("a body before its head")
        case .hold(let verdict):
            body.writeImmutableBuffer(part)
            // A body of known length is held only if it may be; this one has turned out to be longer.
            if body.readableBytes > Self.heldBytesMax, head.framing == .chunked { beginFilling(verdict, now: .now()) }
        case .fill(_, let live):
            live.body.append(part)
            // Parts of a few bytes take more than those.
            filledBytes += part.readableBytes + Self.partBytes
            let isTooLarge = filledBytes > objectBytesMax
            guard isTooLarge || !reserve(max(0, filledBytes - reservedBytes)) else { return }
            (client ?? readingClient)?.noteNotStored(isTooLarge ? .tooLarge : .buffersFull)
            finish(isTooLarge ? .tooLarge : .notStored)
            unreserve()
            way = .spill(live)
            if !live.body.keepNoMore() {
                end()
                abandonOrigin()
            }
        case .spill(let live):
            live.body.append(part)
        case .pass:
            if self.part != nil { collect(part) }
            pass(part)
        }
    }

    /// Whether the client gets the bytes as they are, so that they need not come through here.
    var takesRegions: Bool {
        // What TLS has to encrypt comes through here, and what goes into frames.
        if case .pass = way, let client { stream == nil && client.arrival != .tls && client.link == nil } else { false }
    }

    /// The next bytes of the body, which lie in a file.
    func responseRegion(of file: StaticFiles.OpenFile, _ range: Range<Int>, isLast: Bool) {
        client?.sendRegion(of: file, range, isLast: isLast)
    }

    func pass(_ part: ByteBuffer) {
        guard let client else { return }
        guard let stream else { return client.sendBody(part) }
        var compressed = ByteBuffer()
        do {
            try stream.compress(part, flush: false, into: &compressed)
            client.noteCompressed(by: stream)
            client.sendBody(compressed)
        } catch {
            abandonBroken()
        }
    }

    /// Runs what one read brings, so that the client gets it in one piece.
    func gather(_ body: () -> Void) {
        if let client = client ?? readingClient { client.gather(body) } else { body() }
    }

    /// All that was there has been read: what a compressor holds back goes out, so that an event stream is not delayed.
    func responsePaused() {
        guard !isOver else { return }
        switch way {
        case .fill(_, let live), .spill(let live): return live.body.wake()
        case .hold where isHoldLimited:
            isHoldLimited = false
            let bound = NIOLoopBound(self, eventLoop: worker.eventLoop)
            worker.eventLoop.scheduleTask(in: Self.holdTime) { bound.value.holdTimePassed() }
        case .undecided, .hold, .pass: break
        }
        guard let client else { return }
        if flushesStream, let stream {
            var compressed = ByteBuffer()
            do {
                try stream.compress(ByteBuffer(), flush: true, into: &compressed)
                client.noteCompressed(by: stream)
                client.sendBody(compressed)
            } catch {
                return abandonBroken()
            }
        }
        client.flush()
    }

    /// The body does not come at once: the client gets what is there, and the rest as it comes.
    private func holdTimePassed() {
        guard !isOver, case .hold(let verdict) = way else { return }
        let now = NIODeadline.now()
        gather {
            if verdict.isStored {
                filledBytes = body.readableBytes
                return beginFilling(verdict, now: now)
            }
            let held = body
            unreserve()
            way = .pass
            beginPassing(isCompressed: true, now: now)
            pass(held)
        }
        responsePaused()
    }

    /// A compressor failed in mid-body: what was sent cannot be completed.
    func abandonBroken() {
        abandonOrigin()
        failed(.truncated)
    }

    func responseEnded(trailers: FieldSection?, now: NIODeadline) {
        guard !isOver else { return }
        end()
        connection = nil
        source = nil
        switch way {
        case .undecided:
            fail(.truncated, now: now)
        case .hold(let verdict):
            deliverHeld(verdict, now: now)
        case .fill(let verdict, let live):
            store(verdict, live.response, live.body.stored(), now: now)
            live.body.end(trailers: trailers)
            readingClient = nil
        case .spill(let live):
            live.body.end(trailers: trailers)
            readingClient = nil
        case .pass:
            partEnded(now: now)
            endPassing(trailers: trailers, now: now)
        }
        unreserve()
    }

    func endPassing(trailers: FieldSection?, now: NIODeadline) {
        guard let client else { return }
        self.client = nil
        if let stream {
            var rest = ByteBuffer()
            do {
                try stream.finish(into: &rest)
                client.noteCompressed(by: stream)
                client.sendBody(rest)
                client.noteSaved(bytes: stream.bytesIn - stream.bytesOut)
            } catch {
                return client.failResponse(.truncated, now: now)
            }
        }
        client.endResponse(trailers: trailers, now: now)
    }

    func deliverHeld(_ verdict: SharedVerdict, now: NIODeadline) {
        let stored = confirmedBody ?? StoredBody(body)
        let representation = verdict.isStored ? store(verdict, storedResponse(verdict), stored, now: now) : nil
        guard let client else { return }
        self.client = nil
        // Fields that are for this client alone are not among those that are stored.
        if let representation, verdict.withheld.isEmpty { return client.deliverFetched(representation, key: key, now: now) }
        var coding = accepted.best(of: codings.union(CodingSet(.identity)), serverOrder: worker.codec.order) ?? .identity
        if !stored.pieces.isEmpty { coding = .identity }
        let before = worker.codec.nanoseconds
        let compressed = coding == .identity ? nil : worker.codec.compressFast(stored.whole, as: coding).map { StoredBody($0) }
        client.noteCompressed(nanoseconds: worker.codec.nanoseconds - before)
        if let compressed { client.noteSaved(bytes: stored.byteCount - compressed.byteCount) }
        var writer = ResponseHeadWriter(framing: .length((compressed ?? stored).byteCount))
        writer.coding = compressed == nil ? .identity : coding
        writer.variesByCoding = !codings.isEmpty
        writer.entityTag = worker.codec.entityTag(of: head.fields, coding: writer.coding, effort: .fast)
        writer.browserCaching = browserCaching
        client.deliverOnce(status: head.status, head.fields, writer, compressed ?? stored, now: now)
    }

    /// The response as it is stored.
    func storedResponse(_ verdict: SharedVerdict) -> StoredResponse {
        let age = Freshness.initialAgeSeconds(
            response: head, requestSent: worker.unixSeconds(started), responseReceived: worker.unixSeconds(headReceived))
        let fields = StoredFields.make(head.fields, date: worker.httpDate(now: headReceived), withheld: verdict.withheld)
        var lifetime = verdict.lifetimeSeconds
        if route.storing.jitterShare > 0 {
            lifetime = Freshness.jittered(lifetime, age: age, share: route.storing.jitterShare, random: .random(in: .min ... .max))
        }
        return StoredResponse(
            head: head, fields: fields, cacheControl: verdict.cacheControl, lifetimeSeconds: lifetime,
            initialAgeSeconds: age, received: headReceived, codings: codings, wasAskedForPlain: plan.wantsIdentity && !variesByFile,
            browserCaching: browserCaching, hasKeyedLanguage: route.keying.hasLanguages, urlTag: route.keying.urlTag(request, client: identity))
    }

    /// Stores what was fetched and lets the followers go.
    /// - Returns: what suits the client best of what is ready.
    @discardableResult
    func store(_ verdict: SharedVerdict, _ response: StoredResponse, _ body: StoredBody, now: NIODeadline) -> Representation {
        let plain = ResponseCodec.representation(of: response, coding: .identity, effort: .asReceived, body: body)
        let coded = confirmed.map {
            ResponseCodec.representation(
                of: response, coding: $0.coding, effort: $0.effort, body: $0.body, plainBytes: body.byteCount)
        }
        if let lease {
            self.lease = nil
            let isStored = worker.store.finish(
                lease, .store(plain, coded: coded, requestFields: request.fields), key: key, now: now)
            client?.noteStored(isStored)
            worker.store.forecast.noted(key, request, isForOneClient: false)
        }
        let best = accepted.best(of: codings.union(CodingSet(.identity)), serverOrder: worker.codec.order)
        return coded.first { $0.coding == best } ?? plain
    }
}
