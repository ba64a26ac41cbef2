public import HTTPSemantics
import NIOCore

/// What a request would get and why, for `headrace explain`: the same table and the same questions as for a real one, told.
public struct RouteExplanation: Sendable, Equatable {
    /// A route that was looked at.
    public struct Step: Sendable, Equatable, Encodable {
        public let name: String
        /// Which part of its match did not hold; `nil` for the route that is taken.
        public let lacks: String?
        public let gives: String
    }

    public struct Policy: Sendable, Equatable, Encodable {
        public let name: String
        public let value: String
    }

    /// In the order in which they are tried, up to the one that is taken.
    public let steps: [Step]
    /// What is decided before any route, or where there is none.
    public let refusal: String?
    /// In the order in which they are applied.
    public let policies: [Policy]
}

extension EdgeConfiguration {
    /// - Parameters:
    ///   - request: as it would come from the client.
    ///   - peer: where the connection would come from; `nil` for a Unix socket.
    public func explain(_ request: RequestHead, peer: String?) -> RouteExplanation {
        let table = routeTable
        let client = ForwardedPolicy.client(request.fields, peer: ClientIdentity(peer: peer), forwarding)
        let router = Router(self)
        let mismatches = router.mismatches(request, from: client)
        let steps = mismatches.enumerated().map { index, mismatch in
            RouteExplanation.Step(
                name: table[index].title(index, of: self), lacks: mismatch?.rawValue, gives: table[index].actionText)
        }
        switch router.route(request, from: client) {
        case .tunnel:
            return RouteExplanation(steps: [], refusal: "501: CONNECT makes no tunnel here", policies: [])
        case .ambiguous:
            return RouteExplanation(
                steps: steps, refusal: "400: other servers read this path differently, and it would lead to another route", policies: [])
        case .none:
            return RouteExplanation(steps: steps, refusal: "404: no route is for it", policies: [])
        case .route(let number):
            return RouteExplanation(steps: steps, refusal: nil, policies: policies(of: table[number], request, client))
        }
    }

    /// In the order in which a request meets them: what is read of it, who sent it, whether it may have anything, what the application
    /// is sent, and what becomes of the answer on its way out.
    private func policies(
        of route: RouteConfiguration, _ request: RequestHead, _ client: ClientIdentity
    ) -> [RouteExplanation.Policy] {
        var policies: [RouteExplanation.Policy] = []
        func add(_ name: String, _ value: String) { policies.append(.init(name: name, value: value)) }
        add(
            "head", """
                at most \(limits.headBytesMax) bytes, \(limits.requestLineBytesMax) of them in its first line, and \(limits.fieldCountMax) fields, \
                within \(deadlines.requestHead.spoken)
                """)
        let address = String(decoding: client.address, as: UTF8.self)
        add("client", client.chain.count > 1 ? "\(address), by \(client.chain.count - 1) trusted" : address)
        if route.maintenance.isEnabled {
            let isExcepted = route.maintenance.exceptions.contains { $0.contains(client.ip) }
            add("maintenance", isExcepted ? "on, but not for this client" : "503 for this client, whatever else the route says")
            if !isExcepted { return policies + delivery(of: route) }
        }
        if !route.clients.isOpen {
            let isAdmitted = route.clients.admits(client.ip)
            add("clients", isAdmitted ? "answered" : "403 for this client, whatever else the route says")
            if !isAdmitted { return policies + delivery(of: route) }
        }
        if let limit = route.rateLimit.rate {
            let who =
                switch route.rateLimit.client {
                case .address: "address"
                case .header(let name): "value of \(name)"
                case .cookie(let name): "value of the cookie \(name)"
                }
            add("rate", "\(limit.count) in \(limit.period.spoken) for each \(who), \(route.rateLimit.burstMax) of them at once; 429 beyond")
        }
        add(
            "body", """
                at most \(min(limits.requestBodyBytesMax, route.requestBodyBytesMax ?? .max)) bytes, \(deadlines.requestBody.spoken) between \
                two reads\(transferRateText)
                """)
        if let file = route.basicAuth.file {
            let hasCredentials = request.fields.string(.authorization)?.lowercased().hasPrefix("basic ") ?? false
            add("basic_auth", "\(route.basicAuth.realm), \(file): 401 " + (hasCredentials ? "if name and password are not in it" : "for this request, which has no name and password"))
        }
        if let group = route.forwardAuth.upstream { add("forward_auth", "\(group)\(route.forwardAuth.path), within \(route.forwardAuth.timeout.spoken)") }
        if route.isForOrigin {
            var cache = cache
            cache.isEnabled = route.isCached ?? cache.isEnabled
            route.caching.apply(to: &cache)
            let isPersonal = !route.forwardAuth.copiedFields.isEmpty
            let bypass = isPersonal ? .forwardAuth : SharedCachePolicy.bypassReason(request, cache)
            add(
                "cache", bypass.map { "past it: \($0.rawValue)" }
                    ?? (request.fields.contains(.authorization)
                        ? "looked up, for what is stored and public; what comes is not kept, for the request has Authorization"
                        : "looked up; kept if the application lets it be, up to \(cache.objectBytesMax) bytes"))
            if let hints = EarlyHints(route.earlyHints.applied(to: earlyHints)) { add("early_hints", Self.text(of: hints, request)) }
            addRules("request_headers", route.requestRules, &policies)
        }
        let isRead = request.method == .get || request.method == .head
        if route.isForOrigin, route.files.root != nil, !isRead {
            add("answer", (route.upstream.map { "group \($0)" } ?? "405") + ": files are for GET and HEAD alone")
        } else {
            add("answer", route.actionText)
        }
        if let name = route.upstream, let group = upstreams[name] { add("upstream", Self.text(of: group)) }
        if route.isForOrigin {
            add("compression", compressionText(route, request))
            add("browser_caching", browserCachingText(route, request))
        }
        return policies + delivery(of: route)
    }

    /// What holds for every answer on its way out, a refusal too.
    private func delivery(of route: RouteConfiguration) -> [RouteExplanation.Policy] {
        var policies: [RouteExplanation.Policy] = []
        addRules("response_headers", route.responseRules, &policies)
        policies.append(.init(name: "delivery", value: "given up when the client takes nothing for \(deadlines.write.spoken)\(transferRateText)"))
        return policies
    }

    private var transferRateText: String {
        limits.transferRateMin > 0 ? ", \(limits.transferRateMin) bytes per second at least" : ""
    }

    private static func text(of hints: EarlyHints, _ request: RequestHead) -> String {
        let sources = (hints.links.isEmpty ? [] : ["\(hints.links.count) links"]) + (hints.learns ? ["what the page said last"] : [])
        let isPage = hints.areFor(request, isHTTP2: true)
        let clients = isPage ? hints.includesHTTP1 ? "" : ", by HTTP/2" : ", but not for this request, which asks for no page"
        return sources.joined(separator: " and ") + " while the application is asked" + clients
    }

    private static func text(of group: UpstreamGroup) -> String {
        """
        \(group.connectTimeout.spoken) to connect, \(group.firstByteTimeout.spoken) to the first byte, \(group.readTimeout.spoken) between two \
        reads\(group.totalTimeout.map { ", \($0.spoken) in all" } ?? ""); \(group.retry.attemptsMax) attempts at most
        """
    }

    /// Whether responses are compressed, and in what for this client.
    private func compressionText(_ route: RouteConfiguration, _ request: RequestHead) -> String {
        let order = CompressionPolicy.serverOrder(compression)
        guard route.isCompressed ?? compression.isEnabled, !order.isEmpty else { return "off" }
        let codings = order.reduce(into: CodingSet(.identity)) { $0.insert(CodingSet($1)) }
        let best = AcceptedCodings(request.fields).best(of: codings, serverOrder: order) ?? .identity
        let client = best == .identity ? "this client accepts none" : "\(best.token) for this client"
        return "text-like types of \(compression.bytesMin) bytes and more, in \(order.map { "\($0.token)" }.joined(separator: ", ")): \(client)"
    }

    /// What browsers would be told of an answer that is what the path looks like.
    private func browserCachingText(_ route: RouteConfiguration, _ request: RequestHead) -> String {
        let name = route.browserCaching ?? browserCaching
        guard let caching = browserCachingPolicy(named: name).flatMap(BrowserCaching.init) else { return "off" }
        guard request.method == .get || request.method == .head else { return "\(name), which is for GET alone" }
        let text = request.fields.bytes
        let target = text.span.extracting(request.target)
        let path = String(copying: target).prefix { $0 != "?" }
        let file = path.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        let type = file.contains(".") ? MediaType.forFileName(String(file)) : "text/html"
        var fields = FieldSection()
        fields.append("Content-Type", type)
        let advice = caching.advice(
            target: target, status: 200, fields: fields,
            isForEverybody: route.files.root != nil && route.basicAuth.file == nil && route.forwardAuth.upstream == nil, isGuarded: route.isGuarded)
        let lines = String(decoding: advice?.lines(for: request.fields) ?? [], as: UTF8.self).split(separator: "\r\n")
        let said = lines.isEmpty ? "nothing" : lines.joined(separator: "; ")
        return "\(name): a 200 of \(type.prefix { $0 != ";" }) that says nothing of it gets \(said)"
    }

    private func addRules(_ name: String, _ rules: HeaderRules, _ policies: inout [RouteExplanation.Policy]) {
        let lines = rules.removed.map { "remove \($0)" } + rules.set.map { "set \($0.name): \($0.value)" }
            + rules.added.map { "add \($0.name): \($0.value)" }
        if !lines.isEmpty { policies.append(.init(name: name, value: lines.joined(separator: "; "))) }
    }
}

extension RouteConfiguration {
    fileprivate var isForOrigin: Bool { redirect.location == nil && page == nil && respond.status == nil }

    /// The name, or where it stands in the file.
    /// - Parameter index: in ``EdgeConfiguration/routeTable``.
    func title(_ index: Int, of edge: EdgeConfiguration) -> String {
        if !name.isEmpty { return name }
        return "edge.routes[\(index + 1 - edge.ownPages.count)]"
    }

    fileprivate var actionText: String {
        if let location = redirect.location { return "\(redirect.status) to \(location)" }
        if let page { return "the page \(page.rawValue)" }
        if let status = respond.status { return "\(status), written in the file" }
        let stripped = strippedPrefix.map { ", without \($0) before the path" } ?? ""
        if let root = files.root { return "files of \(root)" + (upstream.map { ", then group \($0)" } ?? "") + stripped }
        return "group \(upstream ?? "")" + stripped
    }
}

extension TimeAmount {
    /// `5 s`, `1500 ms`.
    fileprivate var spoken: String {
        let milliseconds = nanoseconds / 1_000_000
        return milliseconds % 1000 == 0 ? "\(milliseconds / 1000) s" : "\(milliseconds) ms"
    }
}
