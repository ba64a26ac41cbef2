import Edge
import Transport

/// Values that are right one by one and wrong together.
enum SettingContradictions {
    static func all(_ loaded: ConfigurationSources.Loaded) -> [ConfigurationProblem] {
        let settings = loaded.settings
        var texts: [String] = []
        if !settings.hasEdge, settings.pooler.listen.isEmpty, settings.postgres == nil, !settings.hasKeyspace {
            texts.append(
                "there is nothing to serve: set edge.app (--app http://127.0.0.1:3000), edge.root (--root ./public), edge.routes, "
                    + "pooler.listen with pooler.postgres (--pooler, --postgres) or keyspace.listen (--keyspace 127.0.0.1:6379)")
        }
        if settings.pooler.authentication.query != nil, settings.pooler.authentication.queryUser == nil {
            texts.append("pooler.auth.query is set, but not as whom it is asked: pooler.auth.query_user")
        }
        if !settings.pooler.listen.isEmpty, settings.postgres == nil {
            texts.append("pooler.listen is set, but no server: pooler.postgres (--postgres postgres://app@127.0.0.1:5432/shop)")
        }
        if settings.postgres != nil, settings.pooler.listen.isEmpty {
            texts.append("pooler.postgres is set, but no address for its clients: pooler.listen (--pooler 127.0.0.1:6432)")
        }
        for endpoint in settings.pooler.listen where settings.postgres?.hosts.contains(endpoint) == true {
            texts.append("pooler.postgres is \(endpoint), on which the pooler itself listens")
        }
        if settings.keyspace.appendOnly, settings.keyspace.directory.isEmpty {
            texts.append("keyspace.append_only is on, but there is nowhere to write: keyspace.directory")
        }
        let pages = settings.edge.pages
        for (key, path) in [("path", pages.dashboard), ("ready_path", pages.ready)] where path == "/" {
            texts.append("dashboard.\(key) is /, below which is everything: it would take all requests")
        }
        if settings.schedule.proof != nil, settings.application == nil {
            texts.append("schedule.proof is set, but no application to prove anything on: edge.app")
        }
        if !settings.schedule.jobs.isEmpty, pages.access == .off || !settings.hasEdge {
            texts.append("schedule.load or schedule.proof is set, but no dashboard to watch over it: an edge, and dashboard.access other than off")
        }
        // A part that nobody set shrinks with its whole: see Settings.edgeConfiguration.
        func isSet(_ path: String) -> Bool { loaded.origins[path] != nil }
        if isSet("edge.limits.request_line"), settings.edge.limits.requestLineBytesMax > settings.edge.limits.headBytesMax {
            texts.append("edge.limits.request_line is larger than edge.limits.head, of which it is a part")
        }
        if isSet("edge.cache.max_object_size"), settings.edge.cache.objectBytesMax > settings.edge.cache.bytesMax {
            texts.append("edge.cache.max_object_size is larger than edge.cache.size")
        }
        for endpoint in settings.edge.listen where endpoint == settings.application {
            texts.append("edge.app is \(endpoint), on which the edge itself listens")
        }
        if settings.application != nil, settings.edge.application != nil {
            texts.append("edge.app makes the group app, which edge.upstreams.app describes too: leave one of them out")
        }
        for (name, group) in settings.edge.upstreams.sorted(by: { $0.key < $1.key }) where group.members.isEmpty {
            texts.append("edge.upstreams.\(name) has no members")
        }
        for (name, group) in settings.edge.upstreams.sorted(by: { $0.key < $1.key })
        where (group.tls.files.certificate == nil) != (group.tls.files.key == nil) {
            texts.append("edge.upstreams.\(name).tls.certificate and edge.upstreams.\(name).tls.key go together: one of them is missing")
        }
        for (name, group) in settings.edgeConfiguration.upstreams.sorted(by: { $0.key < $1.key }) where group.proxyProtocol != nil && group.version == .h2 {
            let path = settings.edge.upstreams[name] == nil ? "edge.upstream" : "edge.upstreams.\(name)"
            texts.append("\(path).proxy_protocol names one client for a connection, which by \(path).protocol h2 serves many")
        }
        if settings.rateStore == .keyspace, settings.rateStore.resolved(settings.keyspace, password: nil) == nil {
            texts.append("edge.limits.rate_store is keyspace, but there is none that has an address known beforehand: keyspace.listen")
        }
        if let problem = MemoryBudget.problem(settings) { texts.append(problem) }
        texts += routes(settings)
        let (edge, keyspace) = (settings.edge.tls, settings.keyspace.tls)
        texts += tls(
            "edge.tls", isOn: !edge.listen.isEmpty, certificates: edge.certificates, keys: edge.keys, clients: edge.clientCertificates,
            authorities: edge.clientAuthorities)
        texts += tls(
            "keyspace.tls", isOn: !keyspace.listen.isEmpty, certificates: keyspace.certificates, keys: keyspace.keys,
            clients: keyspace.clientCertificates, authorities: keyspace.clientAuthorities)
        texts += browserCaching(settings.edge)
        texts += cacheKey(settings.edge.cache.key, "edge.cache.key")
        texts += earlyHints(settings.edge.earlyHints.links, "edge.early_hints.links")
        texts += negative(settings.edge.cache.negative, "edge.cache.negative")
        return texts.map { ConfigurationProblem(place: .together, text: $0) }
    }

    private static func tls(
        _ path: String, isOn: Bool, certificates: [String], keys: [String], clients: TLSServerContext.ClientCertificates, authorities: String?
    ) -> [String] {
        var texts: [String] = []
        if isOn, certificates.isEmpty { texts.append("\(path).listen is set, but no certificate: \(path).certificates") }
        if !keys.isEmpty, keys.count != certificates.count {
            texts.append("\(path).keys has \(keys.count) members and \(path).certificates \(certificates.count): one for each, or none")
        }
        let most = EdgeTLSConfiguration.certificatesMax
        if certificates.count > most { texts.append("\(path).certificates has \(certificates.count) members; \(most) is the most") }
        if clients != .ignored, authorities == nil {
            texts.append("\(path).client_certificates is \(clients.rawValue), but nobody is believed: \(path).client_authorities")
        }
        return texts
    }

    private static func cacheKey(_ rules: CacheKeyRules, _ path: String) -> [String] {
        [
            ("ignore_query", rules.ignoredParameters), ("select_query", rules.selectedParameters), ("headers", rules.fields),
            ("cookies", rules.cookies), ("languages", rules.languages),
        ].compactMap { name, list in
            list.count > CacheKeyRules.namesMax ? "\(path).\(name) has \(list.count) members; \(CacheKeyRules.namesMax) is the most" : nil
        }
    }

    private static func earlyHints(_ links: [String], _ path: String) -> [String] {
        let (countMax, bytesMax) = (EarlyHintsConfiguration.linksMax, EarlyHintsConfiguration.bytesMax)
        if links.count > countMax { return ["\(path) has \(links.count) members; \(countMax) is the most"] }
        let bytes = links.reduce(0) { $0 + $1.utf8.count }
        return bytes > bytesMax ? ["\(path) has \(bytes) bytes; \(bytesMax) is the most"] : []
    }

    private static func negative(_ list: [EdgeConfiguration.NegativeCaching], _ path: String) -> [String] {
        let most = EdgeConfiguration.NegativeCaching.countMax
        if list.count > most { return ["\(path) has \(list.count) members; \(most) is the most"] }
        let twice = Set(list.map(\.status)).filter { status in list.count { $0.status == status } > 1 }
        return twice.sorted().map { "\(path): \($0) is there more than once" }
    }

    private static func browserCaching(_ edge: EdgeConfiguration) -> [String] {
        var texts: [String] = []
        let uses = [("edge.browser_caching", Optional(edge.browserCaching))]
            + edge.routes.enumerated().map { ("edge.routes[\($0.offset + 1)].browser_caching", $0.element.browserCaching) }
        for (path, name) in uses {
            guard let name, edge.browserCachingPolicy(named: name) == nil else { continue }
            let names = ["off", "standard"] + edge.browserCachingPolicies.keys.sorted()
            let guess = Spelling.nearest(name, in: names).map { ": did you mean \($0)?" } ?? ""
            texts.append("\(path): there is no table \"\(name)\" in edge.policies.browser_caching\(guess)")
        }
        for (name, policy) in edge.browserCachingPolicies.sorted(by: { $0.key < $1.key }) {
            let path = "edge.policies.browser_caching.\(name)"
            if name == "off" || name == "standard" { texts.append("\(path): the name is taken") }
            texts += policy.problems.map { "\(path): \($0)" }
        }
        return texts
    }

    private static func routes(_ settings: Settings) -> [String] {
        var texts: [String] = []
        let groups = Set(settings.edgeConfiguration.upstreams.keys)
        if settings.edge.routes.count > RouteConfiguration.countMax {
            texts.append("edge.routes has \(settings.edge.routes.count) routes; \(RouteConfiguration.countMax) is the most")
        }
        let hosts = Set(settings.edge.routes.flatMap(\.match.hosts))
        if hosts.count > RouteMatch.hostsMax {
            texts.append("edge.routes name \(hosts.count) hosts; \(RouteMatch.hostsMax) is the most")
        }
        for (index, route) in settings.edge.routes.enumerated() {
            if route.match.paths.count + route.match.exactPaths.count > RouteMatch.pathsMax {
                texts.append("edge.routes[\(index + 1)].match has more than \(RouteMatch.pathsMax) paths")
            }
            if route.respond.status == 204, !route.respond.body.isEmpty {
                texts.append("edge.routes[\(index + 1)].respond: a 204 has no body")
            }
            let path = "edge.routes[\(index + 1)]"
            texts += cacheKey(route.cacheKey, "\(path).cache.key")
            texts += earlyHints(route.earlyHints.links, "\(path).early_hints.links")
            texts += negative(route.caching.negative, "\(path).cache.negative")
            var actions: [String] = []
            if route.files.root != nil { actions.append("files") } else if route.upstream != nil { actions.append("upstream") }
            if route.redirect.location != nil { actions.append("redirect") }
            if route.page != nil { actions.append("page") }
            if route.respond.status != nil { actions.append("respond") }
            if actions.isEmpty {
                texts.append("\(path) says nothing of what requests get: one of upstream, files.root, redirect.to, page, respond.status")
            } else if actions.count > 1 {
                texts.append("\(path) says more than one thing of what requests get: \(actions.joined(separator: ", "))")
            } else if route.upstream != nil, actions != ["files"], actions != ["upstream"] {
                texts.append("\(path): an upstream goes with files only, not with \(actions[0])")
            }
            for (key, name) in [("upstream", route.upstream), ("forward_auth.upstream", route.forwardAuth.upstream)] {
                guard let name, !groups.contains(name) else { continue }
                let guess = Spelling.nearest(name, in: groups.sorted()).map { ": did you mean \($0)?" } ?? ""
                texts.append("\(path).\(key): there is no group \"\(name)\" in edge.upstreams\(guess)")
            }
        }
        let names = settings.edge.routes.map(\.name).filter { !$0.isEmpty }
        for name in Set(names).sorted() where names.count(where: { $0 == name }) > 1 {
            texts.append("edge.routes: more than one route is named \(name)")
        }
        return texts
    }
}
