public import HTTPSemantics

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

    private func policies(
        of route: RouteConfiguration, _ request: RequestHead, _ client: ClientIdentity
    ) -> [RouteExplanation.Policy] {
        var policies: [RouteExplanation.Policy] = []
        func add(_ name: String, _ value: String) { policies.append(.init(name: name, value: value)) }
        let address = String(decoding: client.address, as: UTF8.self)
        add("client", client.chain.count > 1 ? "\(address), by \(client.chain.count - 1) trusted" : address)
        if route.maintenance.isEnabled {
            let isExcepted = route.maintenance.exceptions.contains { $0.contains(client.ip) }
            add("maintenance", isExcepted ? "on, but not for this client" : "503 for this client, and nothing of what follows")
        }
        add("body", "at most \(min(limits.requestBodyBytesMax, route.requestBodyBytesMax ?? .max)) bytes")
        if let file = route.basicAuth.file { add("basic_auth", "\(route.basicAuth.realm), \(file)") }
        if let group = route.forwardAuth.upstream { add("forward_auth", "\(group)\(route.forwardAuth.path)") }
        if route.isForOrigin {
            var cache = cache
            cache.isEnabled = route.isCached ?? cache.isEnabled
            let isPersonal = !route.forwardAuth.copiedFields.isEmpty
            let bypass = isPersonal ? .forwardAuth : SharedCachePolicy.bypassReason(request, cache)
            add("cache", bypass.map { "past it: \($0.rawValue)" } ?? "looked up; kept if the application lets it be")
            addRules("request_headers", route.requestRules, &policies)
        }
        add("answer", route.actionText)
        if route.isForOrigin { add("compression", route.isCompressed ?? compression.isEnabled ? "on" : "off") }
        addRules("response_headers", route.responseRules, &policies)
        return policies
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
        return "edge.routes[\(index + (edge.metricsPath == nil ? 1 : 0))]"
    }

    fileprivate var actionText: String {
        if let location = redirect.location { return "\(redirect.status) to \(location)" }
        if let page { return "the page \(page.rawValue)" }
        if let status = respond.status { return "\(status), written in the file" }
        if let root = files.root { return "files of \(root)" + (upstream.map { ", then group \($0)" } ?? "") }
        return "group \(upstream ?? "")"
    }
}
