import HTTPSemantics
import NIOCore

// Answers that are read along while somebody fetches them, and parts of answers.

extension HTTPServerHandler {
    /// Answers from a response that has begun.
    /// - Parameter fields: what the client gets that asked for it: the application's own. Others get what is stored.
    func read(_ live: LiveResponse, fields: FieldSection? = nil, now: NIODeadline) {
        turn { begin(live, fields: fields, now: now) }
    }

    private func begin(_ live: LiveResponse, fields: FieldSection?, now: NIODeadline) {
        let head = connection.head
        let response = live.response
        let isFirst = fields != nil
        exchange.ageSeconds = response.ageSeconds(now: now)
        let found = live.withoutBody
        switch ConditionalPolicy.evaluate(head, found) {
        case .proceed: break
        case .notModified: return answerNotModified(found, head, now: now)
        case .failed: return respondError(412, reason: .edge(.preconditionFailed), now: now)
        }
        var use = LiveReader.Use.all(nil, flushes: false)
        var writer = ResponseHeadWriter(framing: .chunked)
        var status = response.status
        if asksForRange(head), response.status == 200 {
            switch live.byteCount.map({ range(head, of: response, count: $0, tag: response.entityTag) }) {
            case .whole?: break
            case .part(let range)?:
                status = 206
                use = .part(range)
                writer.framing = .length(range.count)
                writer.contentRange = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(live.byteCount ?? 0)"
            case .unsatisfiable?: return refuseRange(count: live.byteCount ?? 0, now: now)
            // Where it ends decides what is meant, or several pieces are: it is answered once all of it is there.
            case .parts?, nil: use = .whole
            }
        }
        if case .all = use {
            writer.framing = live.byteCount.map { .length($0) } ?? (head.minorVersion == 0 ? .untilClose : .chunked)
            let codings = response.codings.union(CodingSet(.identity))
            if let best = exchange.accepted.best(of: codings, serverOrder: worker.codec.order), best != .identity,
                let stream = worker.codec.stream(best)
            {
                use = .all(stream, flushes: live.byteCount == nil)
                writer.framing = head.minorVersion == 0 ? .untilClose : .chunked
                writer.coding = best
                if let own = response.entityTag {
                    // Where a stream is flushed depends on when its parts come: the same tag would name other bytes the next time.
                    var tag = EntityTagVariants.variant(of: own, coding: best, effort: .fast)
                    tag.isWeak = true
                    writer.entityTag = tag
                }
            }
        }
        guard let reader = LiveReader(live.body, use, for: self) else { return fetch(lease: nil, stale: nil, now: now) }
        source = .read(reader)
        if case .whole = use { return reader.pump() }
        writer.variesByCoding = !response.codings.isEmpty
        writer.browserCaching = response.browserCaching
        writer.dropsAge = !isFirst
        beginResponse(status: status, fields ?? response.fields, writer, age: isFirst ? nil : exchange.ageSeconds, now: now)
        reader.pump()
    }

    /// What a reader waited for is whole, and stored unless something came in between.
    func wholeIsThere(now: NIODeadline) {
        guard case .read = source else { return }
        source = .none
        turn { follow(.lookAgain, now: now) }
    }

    // MARK: Parts

    func asksForRange(_ head: borrowing RequestHead) -> Bool { head.method == .get && head.fields.contains(.range) }

    private func range(_ head: borrowing RequestHead, of response: StoredResponse, count: Int, tag: EntityTag?) -> RangePolicy.Answer {
        RangePolicy.answer(head, count: count, entityTag: tag, lastModified: response.strongLastModified)
    }

    /// Answers with parts of a stored response, if that is what is asked for.
    /// - Returns: whether it did.
    /// - Source: RFC 9110 §14, §15.3.7; RFC 9111 §3.3: a complete response may answer them.
    func answerRange(_ representation: Representation, _ head: RequestHead, now: NIODeadline) -> Bool {
        let response = representation.response
        let body = representation.body
        guard response.status == 200 else { return false }
        switch range(head, of: response, count: body.byteCount, tag: representation.entityTag) {
        case .whole: return false
        case .unsatisfiable: refuseRange(count: body.byteCount, now: now)
        case .part(let range): send([range], [body.slices(range)], of: response, count: body.byteCount, isLarge: !body.pieces.isEmpty, now: now)
        case .parts(let ranges):
            send(ranges, ranges.map(body.slices), of: response, count: body.byteCount, isLarge: !body.pieces.isEmpty, now: now)
        }
        return true
    }

    /// Answers from the parts of what is not stored as a whole, if they are all that is asked for.
    /// - Returns: whether it did.
    /// - Source: RFC 9111 §3.3: an incomplete response answers nothing but ranges that lie within it.
    func answerFromParts(_ head: RequestHead, _ route: RoutePlan, now: NIODeadline) -> Bool {
        guard asksForRange(head), !PartWish.hasOtherConditions(head.fields) else { return false }
        let key = worker.key
        guard let parts = worker.store.withShard(key, { $0.findParts(key, head) }), SharedCachePolicy.mayAnswer(parts.response, head),
            case .fresh(let secondsLeft) = RevalidationPolicy.verdict(
                parts.response, exchange.requestCacheControl, head.fields, route.reuse, now: now)
        else { return false }
        let response = parts.response
        var ranges: [Range<Int>] = []
        switch range(head, of: response, count: parts.count, tag: response.entityTag) {
        case .whole: return false
        case .unsatisfiable: break
        case .part(let range): ranges = [range]
        case .parts(let several): ranges = several
        }
        let slices = ranges.compactMap(parts.slices)
        guard slices.count == ranges.count else { return false }
        exchange.cacheResult = .hit
        exchange.secondsFresh = secondsLeft
        exchange.ageSeconds = response.ageSeconds(now: now)
        turn {
            if ranges.isEmpty {
                refuseRange(count: parts.count, now: now)
            } else {
                send(ranges, slices, of: response, count: parts.count, isLarge: true, now: now)
            }
        }
        return true
    }

    /// - Parameters:
    ///   - slices: the bytes of each range.
    ///   - isLarge: they go out at the client's pace.
    private func send(
        _ ranges: [Range<Int>], _ slices: [[ByteBuffer]], of response: StoredResponse, count: Int, isLarge: Bool, now: NIODeadline
    ) {
        var writer = ResponseHeadWriter(framing: .noBody)
        writer.dropsAge = true
        writer.variesByCoding = !response.codings.isEmpty
        writer.browserCaching = response.browserCaching
        var pieces: [ByteBuffer] = []
        if ranges.count == 1 {
            writer.framing = .length(ranges[0].count)
            writer.contentRange = "bytes \(ranges[0].lowerBound)-\(ranges[0].upperBound - 1)/\(count)"
            pieces = slices[0]
        } else {
            let type = response.fields.string(.contentType) ?? "application/octet-stream"
            let multipart = MultipartRanges(ranges, of: count, contentType: type, number: worker.randomNumber())
            writer.framing = .length(multipart.byteCount)
            writer.contentType = "multipart/byteranges; boundary=\(multipart.boundary)"
            for (part, slices) in zip(multipart.heads, slices) { pieces += [ByteBuffer(bytes: part)] + slices }
            pieces.append(ByteBuffer(bytes: multipart.heads[ranges.count]))
        }
        beginResponse(status: 206, response.fields, writer, age: exchange.ageSeconds, now: now)
        if isLarge { return send(pieces) }
        for piece in pieces { sendBody(piece) }
        finishExchange(now: now)
    }

    /// Sends a body that lies ready in several pieces, at the client's pace, and ends the response. What the client has not taken is held for
    /// it, whatever becomes of what is stored; what it has taken is not.
    func send(_ pieces: [ByteBuffer]) {
        let held = pieces.reduce(0) { $0 + $1.readableBytes }
        guard let reader = LiveReader(GrowingBody(whole: pieces), .all(nil, flushes: false), for: self, held: held) else { return }
        source = .read(reader)
        reader.pump()
    }

    /// - Source: RFC 9110 §15.5.17.
    private func refuseRange(count: Int, now: NIODeadline) {
        exchange.coding = .identity
        respondError(416, reason: .edge(.rangeNotSatisfiable), now: now, lines: "Content-Range: bytes */\(count)\r\n")
    }
}
