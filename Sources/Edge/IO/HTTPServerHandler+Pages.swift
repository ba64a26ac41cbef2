import HTTP1Wire
import HTTPSemantics
import NIOCore

// Pages that another part of the process makes: ``BuiltInPages``.

/// What the exchange in progress waits for, or is sent from.
final class PageStream {
    private let events: BuiltInPages.Events
    private let number: UInt64

    init(_ events: BuiltInPages.Events, number: UInt64) {
        self.events = events
        self.number = number
    }

    func leave() { events.end(number) }
}

extension HTTPServerHandler {
    /// Bodies of pages are compressed up to here while the loop waits: about 3 ms.
    private static let compressedPageBytesMax = OneShotCompressor.loopBytesMax

    /// Whoever makes a page may wait for the disk, and for those who asked before. Nobody waits longer than this.
    private static let pageTime = TimeAmount.seconds(10)

    /// Who came through the password of the page's own route, or by another server's word, is an operator. A page of somebody else's that
    /// makes a browser ask gets no answer to see, and a POST that a browser sends for a page changes nothing.
    private func isLoggedIn(_ plan: RoutePlan) -> Bool { plan.basic != nil || plan.forward != nil }

    /// Whose place a stream takes: who has an IPv6 address has a whole /64 of them (RFC 6177).
    private static func place(_ identity: ClientIdentity) -> String {
        guard let ip = identity.ip, !ip.isIPv4 else { return String(decoding: identity.address, as: UTF8.self) }
        return String(ip.high, radix: 16) + "::/64"
    }

    /// All lines of the field as one.
    /// - Source: RFC 9110 §5.2.
    private static func accept(_ head: RequestHead) -> String {
        guard head.fields.contains(.accept) else { return "" }
        return head.fields.lines.indices.filter { head.fields.lines[$0].name == .accept }.map { String(copying: head.fields.value(at: $0)) }
            .joined(separator: ",")
    }

    private static func post(_ head: RequestHead) -> BuiltInPages.Post {
        let mark = head.fields.value(named: "Headrace-Mark").map { String(copying: head.fields.bytes.span.extracting($0)) } ?? ""
        return BuiltInPages.Post(mark: mark, isFromPage: ["Origin", "Sec-Fetch-Site"].contains { head.fields.value(named: $0) != nil })
    }

    func answer(_ page: RouteConfiguration.BuiltInPage, _ plan: RoutePlan, _ head: RequestHead, now: NIODeadline) {
        guard let pages = worker.pages else { return respondError(404, reason: .edge(.noRoute), now: now) }
        // What may be changed by the dashboard, and by whom, the dashboard says.
        guard head.method == .get || head.method == .head || page == .dashboard && head.method == .post else {
            return respondError(405, reason: .edge(.method), now: now)
        }
        let (path, query) = Self.parts(String(copying: head.fields.bytes.span.extracting(head.target)), behind: plan.route.match)
        let request = BuiltInPages.Request(
            page: page, post: head.method == .post ? Self.post(head) : nil, path: path, query: query, isOperator: isLoggedIn(plan) || !exchange.proofAnswer.isEmpty || worker.routing.router.isOperator(head, identity),
            isDraining: worker.isDraining, client: Self.place(identity), accept: Self.accept(head),
            metrics: page == .metrics ? worker.report.text() : "")
        source = .page(nil)
        if connection.isRequestComplete { arm(.page, for: Self.pageTime, from: now) }
        let bound = NIOLoopBound(self, eventLoop: worker.eventLoop)
        let (eventLoop, serial) = (worker.eventLoop, exchange.trace.parentID)
        pages.answer(request) { answer in
            eventLoop.execute { bound.value.pageAnswered(answer, serial: serial) }
        }
    }

    /// What of a target comes behind the route's own path, and its query.
    private static func parts(_ target: String, behind match: RouteMatch) -> (path: String, query: String) {
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let whole = String(parts.first ?? "")
        let own = (match.paths + match.exactPaths).filter { whole.hasPrefix($0) }.max { $0.count < $1.count } ?? ""
        var path = String(whole.dropFirst(own.count))
        if own.hasSuffix("/"), !path.isEmpty { path = "/" + path }
        return (path, parts.count > 1 ? String(parts[1]) : "")
    }

    private func pageAnswered(_ answer: BuiltInPages.Answer, serial: UInt64) {
        guard case .page(nil) = source, exchange.trace.parentID == serial, isOpen else { return }
        if deadlineReason == .page { arm(.none, for: .zero, from: .now()) }
        switch answer {
        case .whole(let status, let contentType, let fields, let body):
            source = .none
            let now = NIODeadline.now()
            turn { answerPage(status, contentType, fields, ByteBuffer(bytes: body), now: now) }
            flushAndResume()
        case .events(let events): stream(events)
        }
    }

    private func answerPage(_ status: Int, _ contentType: String, _ fields: [(String, String)], _ body: ByteBuffer, now: NIODeadline) {
        var body = body
        var writer = ResponseHeadWriter(framing: .noBody)
        writer.variesByCoding = true
        if status == 200, body.readableBytes <= Self.compressedPageBytesMax,
            let best = exchange.accepted.best(of: CodingSet(.identity).union(.gzip), serverOrder: [.gzip]), best == .gzip,
            let smaller = worker.codec.compressOwn(body, as: .gzip)
        {
            exchange.savedBytes = body.readableBytes - smaller.readableBytes
            body = smaller
            writer.coding = .gzip
        }
        writer.framing = .length(body.readableBytes)
        beginResponse(status: status, Self.fields(contentType, fields), writer, now: now)
        sendBody(body)
        finishExchange(now: now)
    }

    private static func fields(_ contentType: String, _ fields: [(String, String)]) -> FieldSection {
        var section = FieldSection()
        section.append("Content-Type", contentType)
        section.append("Cache-Control", "no-store")
        for (name, value) in fields { section.append(name, value) }
        return section
    }

    // MARK: Events

    private func stream(_ events: BuiltInPages.Events) {
        let now = NIODeadline.now()
        let isHead = connection.head.method == .head
        let (eventLoop, serial) = (worker.eventLoop, exchange.trace.parentID)
        let bound = NIOLoopBound(Weak(self), eventLoop: eventLoop)
        let number = isHead || worker.isDraining
            ? nil
            : events.begin { bytes in
                eventLoop.execute { bound.value.handler?.sendEvent(bytes, serial: serial) }
            }
        guard let number else {
            source = .none
            if isHead {
                turn {
                    beginResponse(status: 200, Self.fields("text/event-stream", []), ResponseHeadWriter(framing: .noBody), now: now)
                    finishExchange(now: now)
                }
            } else {
                turn { respondError(503, reason: .edge(worker.isDraining ? .draining : .tooManyWatchers), now: now) }
            }
            return flushAndResume()
        }
        source = .page(PageStream(events, number: number))
        exchange.isStream = true
        let framing: ResponseHeadWriter.Framing = connection.head.minorVersion == 0 ? .untilClose : .chunked
        // Two seconds until a browser asks anew, once a stream ends.
        beginResponse(
            status: 200, Self.fields("text/event-stream; charset=utf-8", [("X-Accel-Buffering", "no")]), ResponseHeadWriter(framing: framing),
            now: now)
        sendBody(ByteBuffer(string: "retry: 2000\n\n"))
        flush()
    }

    private struct Weak {
        weak var handler: HTTPServerHandler?

        init(_ handler: HTTPServerHandler) {
            self.handler = handler
        }
    }

    private func sendEvent(_ bytes: [UInt8], serial: UInt64) {
        // The client has not taken the last one yet: it gets the next.
        guard case .page(.some) = source, exchange.trace.parentID == serial, isOpen, isWritable else { return }
        sendBody(ByteBuffer(bytes: bytes))
        flush()
    }

    /// Streams end when draining begins: their clients come back to whoever serves then.
    func endStream(now: NIODeadline) {
        guard case .page(let stream?) = source else { return }
        stream.leave()
        source = .none
        keepsAlive = false
        endResponse(trailers: nil, now: now)
    }
}
