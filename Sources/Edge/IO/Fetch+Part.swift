import HTTPSemantics
import NIOCore

// A part of a response that is stored as one (RFC 9111 §3.3): it goes to the client as it comes, at the client's pace, and a copy to the store.

extension Fetch {
    struct PartInProgress {
        let range: ContentRange
        let verdict: SharedVerdict
        /// The fields that came with it.
        let fields: FieldSection
        let body = GrowingBody {}
        var byteCount = 0
    }

    /// A 206 to a range that was asked for in order to store it.
    func partBegan(_ head: ResponseHead, now: NIODeadline) {
        guard client != nil else { return endForNobody() }
        codings = []
        switch partToStore(head) {
        case .success(let found): part = found
        case .failure(let refusal):
            client?.noteNotStored(refusal.reason)
            // The form of a part says nothing about the whole.
            finish(refusal.reason.isForOneClient ? .notShareable : .notStored)
        }
        way = .pass
        beginPassing(isCompressed: false, now: now)
    }

    private struct Refusal: Error {
        let reason: NotStoredReason
    }

    /// A part is stored if the whole might be, but for its size; if it will be fresh, for parts are not asked about, but asked for; and if it
    /// says which bytes of which version it is.
    private func partToStore(_ head: ResponseHead) -> Result<PartInProgress, Refusal> {
        let fields = head.fields
        guard fields.count(of: .contentRange) == 1, let index = fields.firstIndex(of: .contentRange),
            let range = ContentRange(fields.value(at: index))
        else { return .failure(Refusal(reason: .partial)) }
        switch head.framing {
        case .length(let count) where count == range.range.count: break
        case .chunked: break
        case .untilClose: return .failure(Refusal(reason: .lengthUnknown))
        case .length, .none: return .failure(Refusal(reason: .partial))
        }
        let cacheControl = CacheControl.forSharedCache(fields)
        let whole = wholeHead(fields, count: range.count)
        let refused = Storability.decide(
            request: request, response: whole, cacheControl: cacheControl, rules: route.storing, received: worker.unixSeconds(headReceived))
        if let refused { return .failure(Refusal(reason: refused)) }
        if DependencyTags(fields).isOverLimit { return .failure(Refusal(reason: .tags)) }
        let verdict = SharedVerdict(
            lifetimeSeconds: lifetimeSeconds(whole, cacheControl), cacheControl: cacheControl, isStored: true,
            withheld: WithheldFields(fields, cacheControl))
        guard verdict.lifetimeSeconds > 0, !cacheControl.noCache, StoredParts.isCombinable(response(whole, verdict)) else {
            return .failure(Refusal(reason: .partial))
        }
        return .success(PartInProgress(range: range, verdict: verdict, fields: fields))
    }

    /// What the whole would say, by what a part says.
    private func wholeHead(_ fields: FieldSection, count: Int) -> ResponseHead {
        var whole = ResponseHead()
        whole.status = 200
        whole.framing = .length(count)
        for index in fields.lines.indices where fields.lines[index].name != .contentRange && fields.lines[index].name != .contentLength {
            whole.fields.append(name: fields.name(at: index), value: fields.value(at: index))
        }
        return whole
    }

    /// The whole as it would be stored. What this fetch knows of its own response stays.
    private func response(_ whole: ResponseHead, _ verdict: SharedVerdict) -> StoredResponse {
        let own = (head, codings, browserCaching)
        defer { (head, codings, browserCaching) = own }
        head = whole
        codings = CompressionPolicy.codings(
            for: whole, cacheControl: verdict.cacheControl, configuration: route.compression, types: route.compressibleTypes)
        adviseBrowser()
        return storedResponse(verdict)
    }

    /// More of a part has come.
    func collect(_ bytes: ByteBuffer) {
        guard let byteCount = part?.byteCount, let count = part?.range.range.count else { return }
        let sum = byteCount + bytes.readableBytes
        guard sum <= count else {
            // It is not what it said it was.
            part = nil
            return finish(.notStored)
        }
        // What has come up to here is a part as well.
        guard sum <= objectBytesMax, reserve(bytes.readableBytes + Self.partBytes, isSlow: true) else { return storePart(now: .now()) }
        part?.body.append(bytes)
        part?.byteCount = sum
    }

    func partEnded(now: NIODeadline) {
        guard let part else { return }
        if part.byteCount == part.range.range.count { return storePart(now: now) }
        self.part = nil
        finish(.notStored)
    }

    /// Stores what has come of a part, together with what there is of its version.
    func storePart(now: NIODeadline) {
        guard let part, let lease else { return }
        self.part = nil
        self.lease = nil
        let body = part.body.stored()
        worker.store.finish(lease, key: key, request, now: now) { known in
            body.byteCount == 0 ? .notStored : outcome(part, body, known)
        }
        unreserve()
    }

    private func outcome(_ part: PartInProgress, _ body: StoredBody, _ known: StoredParts?) -> ResponseShard.FetchOutcome {
        let own = response(wholeHead(part.fields, count: part.range.count), part.verdict)
        let combined: StoredParts
        if let known, known.isSameVersion(as: own, count: part.range.count) {
            // RFC 9111 §3.4: the newer fields count.
            var newest = known.response
            if newest.received <= headReceived {
                let fields = StoredFields.updated(known.response.fields, by: part.fields, date: worker.httpDate(now: headReceived))
                newest = response(wholeHead(fields, count: part.range.count), part.verdict)
            }
            combined = known.adding(body, at: part.range.range.lowerBound, response: newest, bytesMax: objectBytesMax)
        } else {
            // RFC 9110 §15.3.7: upon If-Range a part may leave out what the client has from before, and we do not.
            if request.fields.contains(.ifRange) { return .notStored }
            combined = StoredParts(own, count: part.range.count, body: body, at: part.range.range.lowerBound, bytesMax: objectBytesMax)
        }
        guard let whole = combined.whole else { return .storeParts(combined, requestFields: request.fields) }
        let plain = ResponseCodec.representation(of: combined.response, coding: .identity, effort: .asReceived, body: whole)
        return .store(plain, requestFields: request.fields)
    }

    /// A response to HEAD shows that what parts are stored of has changed.
    /// - Source: RFC 9111 §4.3.5.
    func dropPartsOfAnother(_ head: ResponseHead) {
        let (key, request) = (key, request)
        guard let parts = worker.store.withShard(key, { $0.findParts(key, request) }),
            !StoredFields.isSameRepresentation(parts.response.fields, byteCount: parts.count, as: head.fields)
        else { return }
        worker.store.withShard(key) { $0.drop(parts.response, key: key) }
    }
}
