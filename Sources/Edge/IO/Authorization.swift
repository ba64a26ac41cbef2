import HTTPSemantics
import NIOCore

// What stands between a route and its answer: maintenance, who may ask and how often, name and password, and another server's word. All of it comes before the
// response cache is asked, so that nothing stored is given to somebody who may not have it.
//
// While an answer is waited for nothing of the request's body is read but what comes with its head, up to ``pendingBytesMax``.

extension HTTPServerHandler {
    /// A name and password are compared at most so long; it is more a bound for a stalled machine than a limit.
    private static let passwordTime = TimeAmount.seconds(30)

    /// Follows a route from its beginning.
    func follow(_ route: RoutePlan, _ head: RequestHead, now: NIODeadline) {
        self.route = route
        exchange.route = route.title
        if let maintenance = route.maintenance, !maintenance.isExcepted(identity) {
            return respond(
                status: 503, contentType: "text/html; charset=utf-8", maintenance.page, now: now, retryAfter: maintenance.retrySeconds,
                reason: .edge(.maintenance))
        }
        // What was begun goes on; and whoever looks after it has to see something.
        if worker.pressure.level >= .requests, route.route.page == nil {
            keepsAlive = false
            return respondError(503, reason: .edge(.memory), now: now)
        }
        if !route.strippedPrefix.isEmpty, route.strippedPrefix.isHidden(in: head.fields.bytes.span.extracting(head.target)) {
            return respondError(400, reason: .edge(.pathAmbiguous), now: now)
        }
        if let clients = route.clients, !clients.admits(identity.ip) { return respondError(403, reason: .edge(.clientDenied), now: now) }
        if let limiter = route.limiter {
            switch limiter.take(head.fields, identity, now: now) {
            case .accepted(let left): exchange.requestsLeft = left
            case .refused(let wait): return respondError(429, reason: .edge(.rateLimit), now: now, lines: limiter.lines(wait: wait))
            }
        }
        if let bytesMax = route.route.requestBodyBytesMax, let error = connection.limitBody(to: bytesMax) {
            return refuse(error, now: now)
        }
        guard let basic = route.basic else { return authorize(route, head, now: now) }
        switch basic.authenticator.verdict(head.fields) {
        case .accepted(let user):
            exchange.user = user
            authorize(route, head, now: now)
        case .missing: demandPassword(basic, now: now)
        case .unknown(let credentials): verify(credentials, basic, now: now)
        }
    }

    private func demandPassword(_ basic: RoutePlan.Basic, now: NIODeadline) {
        // RFC 7617 §2.1: the charset in which we read what comes.
        respondError(
            401, reason: .edge(.basicAuth), now: now, lines: "WWW-Authenticate: Basic realm=\"\(basic.realm)\", charset=\"UTF-8\"\r\n")
    }

    private func verify(_ credentials: BasicAuthenticator.Credentials, _ basic: RoutePlan.Basic, now: NIODeadline) {
        guard let verified = worker.passwords.isRight(credentials, basic.authenticator, on: worker.eventLoop) else {
            return respondError(503, reason: .edge(.basicAuthBusy), now: now)
        }
        source = .verify
        arm(.authorization, for: Self.passwordTime, from: now)
        let bound = NIOLoopBound((handler: self, basic: basic), eventLoop: worker.eventLoop)
        let serial = exchange.trace.parentID
        let user = credentials.user
        verified.whenComplete { result in
            let (handler, basic) = bound.value
            handler.verified((try? result.get()) ?? false ? user : nil, basic, serial: serial)
        }
    }

    /// - Parameter user: `nil` when name and password do not belong together.
    private func verified(_ user: String?, _ basic: RoutePlan.Basic, serial: UInt64) {
        guard case .verify = source, exchange.trace.parentID == serial, isOpen, let route else { return }
        source = .none
        turn {
            let now = NIODeadline.now()
            endAuthorization(now: now)
            guard let user else { return demandPassword(basic, now: now) }
            exchange.user = user
            authorize(route, connection.head, now: now)
        }
        flushAndResume()
    }

    /// Asks the server whose word the route wants, if it wants any.
    private func authorize(_ route: RoutePlan, _ head: RequestHead, now: NIODeadline) {
        guard let forward = route.forward else { return proceed(route, head, now: now) }
        guard let upstream = forward.plan.upstream else { return respondError(502, reason: .edge(.forwardAuth), now: now) }
        let fetch = Fetch(
            worker: worker, route: forward.plan, origin: .application(upstream), asker: Fetch.Asker(self), client: self,
            request: ForwardAuthRequest.make(head, path: forward.path), isSubrequest: true, lease: nil, stale: nil, now: now)
        source = .authorize(fetch)
        isAuthorized = false
        arm(.authorization, for: forward.timeout, from: now)
        fetch.start(now: now)
    }

    /// The head of the other server's answer.
    /// - Returns: whether it is dealt with here; otherwise it is what the client gets.
    func authorizationBegan(status: Int, _ fields: FieldSection, now: NIODeadline) -> Bool {
        guard case .authorize(let fetch) = source, let forward = route?.forward else { return false }
        switch status {
        case 200..<300:
            isAuthorized = true
            authorizedRules = ForwardAuthRequest.rules(copying: forward.copiedFields, from: fields)
            return true
        case 300..<400, 401, 403:
            source = .fetch(fetch)
            exchange.reason = .edge(.forwardAuth)
            arm(.none, for: .zero, from: now)
            return false
        default:
            // What is left of it is read first: the connection is in the middle of it.
            return true
        }
    }

    /// The other server's answer is whole.
    /// - Returns: whether it is dealt with here.
    func authorizationEnded(now: NIODeadline) -> Bool {
        guard case .authorize = source else { return false }
        source = .none
        turn {
            endAuthorization(now: now)
            if isAuthorized, let route {
                proceed(route, connection.head, now: now)
            } else {
                respondError(502, reason: .edge(.forwardAuth), now: now)
            }
        }
        return true
    }

    private func endAuthorization(now: NIODeadline) {
        if connection.isRequestComplete {
            arm(.none, for: .zero, from: now)
        } else {
            arm(.requestBody, for: worker.configuration.deadlines.requestBody, from: now)
        }
    }

    /// The request may have what the route gives.
    private func proceed(_ route: RoutePlan, _ head: RequestHead, now: NIODeadline) {
        switch route.action {
        case .origin:
            lookUp(head, route, now: now)
        case .redirect(let redirect):
            let location = redirect.location(for: head, of: route.route.match)
            respond(
                status: redirect.status, contentType: "text/plain; charset=utf-8", "\(location)\n", now: now, location: location,
                isKept: true)
        case .page(.metrics) where worker.pages == nil:
            respond(status: 200, contentType: "text/plain; version=0.0.4; charset=utf-8", worker.report.text(), now: now)
        case .page(.health):
            let (status, word) = worker.isDraining ? (503, "draining") : (200, "ok")
            respond(status: status, contentType: "text/plain; charset=utf-8", "\(word)\n", now: now)
        case .page(let page): answer(page, route, head, now: now)
        case .respond(let response):
            respond(status: response.status ?? 200, contentType: response.contentType, response.body, now: now, isKept: true)
        }
    }
}
