import Edge
import Transport

/// What is found to be wrong with values that were read, each at the place of what it is about.
struct SettingFindings {
    let places: [String: ConfigurationProblem.Place]
    let refused: Set<String>
    private(set) var problems: [ConfigurationProblem] = []

    init(places: [String: ConfigurationProblem.Place], refused: Set<String>) {
        (self.places, self.refused) = (places, refused)
    }

    /// - Parameter keys: what it hangs on. It is said where the first of them was written; not at all while one of them is refused, since with
    ///   what was meant there it may go away.
    mutating func add(_ keys: [String], _ text: String) {
        guard !keys.contains(where: isRefused) else { return }
        problems.append(ConfigurationProblem(place: keys.lazy.compactMap { [places] in places[$0] }.first ?? .together, text: text))
    }

    func isWritten(_ path: String) -> Bool { places[path] != nil }

    private func isRefused(_ key: String) -> Bool {
        refused.contains { $0.isEmpty || key == $0 || key.hasPrefix($0 + ".") || key.hasPrefix($0 + "[") }
    }
}

/// Values that are right one by one and wrong together.
enum SettingContradictions {
    static func add(_ loaded: ConfigurationSources.Loaded, to findings: inout SettingFindings) {
        let settings = loaded.settings
        if !settings.hasEdge, settings.pooler.listen.isEmpty, settings.postgres == nil, !settings.hasKeyspace {
            findings.add(
                ["edge.app", "edge.root", "edge.routes", "pooler.listen", "pooler.postgres", "keyspace.listen", "keyspace.tls.listen"],
                "there is nothing to serve: set edge.app (--app http://127.0.0.1:3000), edge.root (--root ./public), edge.routes, "
                    + "pooler.listen with pooler.postgres (--pooler, --postgres) or keyspace.listen (--keyspace 127.0.0.1:6379)")
        }
        pooler(settings, &findings)
        if settings.keyspace.appendOnly, settings.keyspace.directory.isEmpty {
            findings.add(
                ["keyspace.append_only", "keyspace.directory"], "keyspace.append_only is on, but there is nowhere to write: keyspace.directory")
        }
        let pages = settings.edge.pages
        for (key, path) in [("path", pages.dashboard), ("ready_path", pages.ready)] where path == "/" {
            findings.add(["dashboard.\(key)"], "dashboard.\(key) is /, below which is everything: it would take all requests")
        }
        if settings.schedule.proof != nil, settings.application == nil {
            findings.add(["schedule.proof", "edge.app"], "schedule.proof is set, but no application to prove anything on: edge.app")
        }
        if !settings.schedule.jobs.isEmpty, pages.access == .off || !settings.hasEdge {
            findings.add(
                ["schedule.load", "schedule.proof", "dashboard.access", "edge.app", "edge.root", "edge.routes"],
                "schedule.load or schedule.proof is set, but no dashboard to watch over it: an edge, and dashboard.access other than off")
        }
        // A part that nobody set shrinks with its whole: see Settings.edgeConfiguration.
        if findings.isWritten("edge.limits.request_line"), settings.edge.limits.requestLineBytesMax > settings.edge.limits.headBytesMax {
            findings.add(
                ["edge.limits.request_line", "edge.limits.head"], "edge.limits.request_line is larger than edge.limits.head, of which it is a part")
        }
        if findings.isWritten("edge.cache.max_object_size"), settings.edge.cache.objectBytesMax > settings.edge.cache.bytesMax {
            findings.add(["edge.cache.max_object_size", "edge.cache.size"], "edge.cache.max_object_size is larger than edge.cache.size")
        }
        if let application = settings.application {
            for endpoint in settings.edge.listen where AddressText.isSamePlace(application, asListening: endpoint) {
                let other = endpoint == application ? "" : " (\(endpoint))"
                findings.add(["edge.app", "edge.listen"], "edge.app is \(application), on which the edge itself listens\(other)")
            }
        }
        if settings.application != nil, settings.edge.application != nil {
            findings.add(
                ["edge.upstreams.app", "edge.app"], "edge.app makes the group app, which edge.upstreams.app describes too: leave one of them out")
        }
        groups(settings, &findings)
        if settings.rateStore == .keyspace, settings.rateStore.resolved(settings.keyspace, password: nil) == nil {
            findings.add(
                ["edge.limits.rate_store", "keyspace.listen"],
                "edge.limits.rate_store is keyspace, but there is none that has an address known beforehand: keyspace.listen")
        }
        if let problem = MemoryBudget.problem(settings) {
            findings.add(
                [
                    "memory.total", "edge.cache.size", "edge.limits.buffered_responses", "edge.limits.connections", "pooler.limits.client_connections",
                    "keyspace.maxmemory", "keyspace.clients",
                ], problem)
        }
        routes(settings, &findings)
        let (edge, keyspace) = (settings.edge.tls, settings.keyspace.tls)
        tls(
            "edge.tls", isOn: !edge.listen.isEmpty, certificates: edge.certificates, keys: edge.keys, clients: edge.clientCertificates,
            authorities: edge.clientAuthorities, &findings)
        tls(
            "keyspace.tls", isOn: !keyspace.listen.isEmpty, certificates: keyspace.certificates, keys: keyspace.keys,
            clients: keyspace.clientCertificates, authorities: keyspace.clientAuthorities, &findings)
        browserCaching(settings.edge, &findings)
        cacheKey(settings.edge.cache.key, "edge.cache.key", &findings)
        earlyHints(settings.edge.earlyHints.links, "edge.early_hints.links", &findings)
        negative(settings.edge.cache.negative, "edge.cache.negative", &findings)
    }

    private static func pooler(_ settings: Settings, _ findings: inout SettingFindings) {
        if settings.pooler.authentication.query != nil, settings.pooler.authentication.queryUser == nil {
            findings.add(
                ["pooler.auth.query", "pooler.auth.query_user"], "pooler.auth.query is set, but not as whom it is asked: pooler.auth.query_user")
        }
        if !settings.pooler.listen.isEmpty, settings.postgres == nil {
            findings.add(
                ["pooler.listen", "pooler.postgres"],
                "pooler.listen is set, but no server: pooler.postgres (--postgres postgres://app@127.0.0.1:5432/shop)")
        }
        if settings.postgres != nil, settings.pooler.listen.isEmpty {
            findings.add(
                ["pooler.postgres", "pooler.listen"], "pooler.postgres is set, but no address for its clients: pooler.listen (--pooler 127.0.0.1:6432)")
        }
        for host in settings.postgres?.hosts ?? [] {
            for endpoint in settings.pooler.listen where AddressText.isSamePlace(host, asListening: endpoint) {
                let other = endpoint == host ? "" : " (\(endpoint))"
                findings.add(["pooler.postgres", "pooler.listen"], "pooler.postgres is \(host), on which the pooler itself listens\(other)")
            }
        }
    }

    private static func groups(_ settings: Settings, _ findings: inout SettingFindings) {
        for (name, group) in settings.edge.upstreams.sorted(by: { $0.key < $1.key }) {
            let path = "edge.upstreams.\(name)"
            if group.members.isEmpty { findings.add(["\(path).members", path], "\(path) has no members") }
            if (group.tls.files.certificate == nil) != (group.tls.files.key == nil) {
                findings.add(
                    ["\(path).tls.certificate", "\(path).tls.key"], "\(path).tls.certificate and \(path).tls.key go together: one of them is missing")
            }
        }
        for (name, group) in settings.edgeConfiguration.upstreams.sorted(by: { $0.key < $1.key }) where group.proxyProtocol != nil && group.version == .h2 {
            let path = settings.edge.upstreams[name] == nil ? "edge.upstream" : "edge.upstreams.\(name)"
            findings.add(
                ["\(path).proxy_protocol", "\(path).protocol"],
                "\(path).proxy_protocol names one client for a connection, which by \(path).protocol h2 serves many")
        }
    }

    private static func tls(
        _ path: String, isOn: Bool, certificates: [String], keys: [String], clients: TLSServerContext.ClientCertificates, authorities: String?,
        _ findings: inout SettingFindings
    ) {
        if isOn, certificates.isEmpty {
            findings.add(["\(path).listen", "\(path).certificates"], "\(path).listen is set, but no certificate: \(path).certificates")
        }
        if !keys.isEmpty, keys.count != certificates.count {
            findings.add(
                ["\(path).keys", "\(path).certificates"],
                "\(path).keys has \(keys.count) members and \(path).certificates \(certificates.count): one for each, or none")
        }
        let most = EdgeTLSConfiguration.certificatesMax
        if certificates.count > most {
            findings.add(["\(path).certificates"], "\(path).certificates has \(certificates.count) members; \(most) is the most")
        }
        if clients != .ignored, authorities == nil {
            findings.add(
                ["\(path).client_certificates", "\(path).client_authorities"],
                "\(path).client_certificates is \(clients.rawValue), but nobody is believed: \(path).client_authorities")
        }
    }

    private static func cacheKey(_ rules: CacheKeyRules, _ path: String, _ findings: inout SettingFindings) {
        for (name, list) in [
            ("ignore_query", rules.ignoredParameters), ("select_query", rules.selectedParameters), ("headers", rules.fields),
            ("cookies", rules.cookies), ("languages", rules.languages),
        ] where list.count > CacheKeyRules.namesMax {
            findings.add(["\(path).\(name)"], "\(path).\(name) has \(list.count) members; \(CacheKeyRules.namesMax) is the most")
        }
    }

    private static func earlyHints(_ links: [String], _ path: String, _ findings: inout SettingFindings) {
        let (countMax, bytesMax) = (EarlyHintsConfiguration.linksMax, EarlyHintsConfiguration.bytesMax)
        let bytes = links.reduce(0) { $0 + $1.utf8.count }
        if links.count > countMax {
            findings.add([path], "\(path) has \(links.count) members; \(countMax) is the most")
        } else if bytes > bytesMax {
            findings.add([path], "\(path) has \(bytes) bytes; \(bytesMax) is the most")
        }
    }

    private static func negative(_ list: [EdgeConfiguration.NegativeCaching], _ path: String, _ findings: inout SettingFindings) {
        let most = EdgeConfiguration.NegativeCaching.countMax
        guard list.count <= most else { return findings.add([path], "\(path) has \(list.count) members; \(most) is the most") }
        let twice = Set(list.map(\.status)).filter { status in list.count { $0.status == status } > 1 }
        for status in twice.sorted() { findings.add([path], "\(path): \(status) is there more than once") }
    }

    private static func browserCaching(_ edge: EdgeConfiguration, _ findings: inout SettingFindings) {
        let uses = [("edge.browser_caching", Optional(edge.browserCaching))]
            + edge.routes.enumerated().map { ("edge.routes[\($0.offset + 1)].browser_caching", $0.element.browserCaching) }
        for (path, name) in uses {
            guard let name, edge.browserCachingPolicy(named: name) == nil else { continue }
            let names = ["off", "standard"] + edge.browserCachingPolicies.keys.sorted()
            let guess = Spelling.nearest(name, in: names).map { ": did you mean \($0)?" } ?? ""
            findings.add(
                [path, "edge.policies.browser_caching.\(name)"], "\(path): there is no table \"\(name)\" in edge.policies.browser_caching\(guess)")
        }
        for (name, policy) in edge.browserCachingPolicies.sorted(by: { $0.key < $1.key }) {
            let path = "edge.policies.browser_caching.\(name)"
            if name == "off" || name == "standard" { findings.add([path], "\(path): the name is taken") }
            for problem in policy.problems { findings.add([path], "\(path): \(problem)") }
        }
    }

    private static func routes(_ settings: Settings, _ findings: inout SettingFindings) {
        let groups = Set(settings.edgeConfiguration.upstreams.keys)
        let routes = settings.edge.routes
        if routes.count > RouteConfiguration.countMax {
            findings.add(["edge.routes[\(RouteConfiguration.countMax + 1)]", "edge.routes"], "edge.routes has \(routes.count) routes; \(RouteConfiguration.countMax) is the most")
        }
        let hosts = Set(routes.flatMap(\.match.hosts))
        if hosts.count > RouteMatch.hostsMax {
            findings.add(["edge.routes"], "edge.routes name \(hosts.count) hosts; \(RouteMatch.hostsMax) is the most")
        }
        var names: Set<String> = []
        for (index, route) in routes.enumerated() {
            let path = "edge.routes[\(index + 1)]"
            if !route.name.isEmpty, !names.insert(route.name).inserted {
                findings.add(["\(path).name"], "\(path).name: more than one route is named \(route.name)")
            }
            if route.match.paths.count + route.match.exactPaths.count > RouteMatch.pathsMax {
                findings.add(["\(path).match.path", "\(path).match.path_exact"], "\(path).match has more than \(RouteMatch.pathsMax) paths")
            }
            if route.respond.status == 204, !route.respond.body.isEmpty {
                findings.add(["\(path).respond.body", "\(path).respond.status"], "\(path).respond: a 204 has no body")
            }
            cacheKey(route.cacheKey, "\(path).cache.key", &findings)
            earlyHints(route.earlyHints.links, "\(path).early_hints.links", &findings)
            negative(route.caching.negative, "\(path).cache.negative", &findings)
            guards(route, path, &findings)
            action(route, path, &findings)
            for (key, name) in [("upstream", route.upstream), ("forward_auth.upstream", route.forwardAuth.upstream)] {
                guard let name, !groups.contains(name) else { continue }
                let guess = Spelling.nearest(name, in: groups.sorted()).map { ": did you mean \($0)?" } ?? ""
                findings.add(
                    ["\(path).\(key)", "edge.app", "edge.upstreams.\(name)"], "\(path).\(key): there is no group \"\(name)\" in edge.upstreams\(guess)")
            }
        }
    }

    /// Rules that keep clients out and lack what they go by: such a route would let everybody in. A section that is there counts, with nothing in it too.
    private static func guards(_ route: RouteConfiguration, _ path: String, _ findings: inout SettingFindings) {
        if route.basicAuth.file == nil, findings.isWritten("\(path).basic_auth") {
            findings.add(
                ["\(path).basic_auth", "\(path).basic_auth.file"],
                "\(path).basic_auth asks nobody for a password without its file: \(path).basic_auth.file")
        }
        if route.forwardAuth.upstream == nil, findings.isWritten("\(path).forward_auth") {
            findings.add(
                ["\(path).forward_auth", "\(path).forward_auth.upstream"],
                "\(path).forward_auth asks nobody without a group: \(path).forward_auth.upstream")
        }
        for key in ["burst", "per"] where route.rateLimit.rate == nil && findings.isWritten("\(path).limits.\(key)") {
            findings.add(
                ["\(path).limits.\(key)", "\(path).limits.rate"], "\(path).limits.\(key) bounds nothing without a rate: \(path).limits.rate")
        }
    }

    private static func action(_ route: RouteConfiguration, _ path: String, _ findings: inout SettingFindings) {
        var actions: [(key: String, text: String)] = []
        if route.files.root != nil { actions.append(("files.root", "files")) } else if route.upstream != nil { actions.append(("upstream", "upstream")) }
        if route.redirect.location != nil { actions.append(("redirect.to", "redirect")) }
        if route.page != nil { actions.append(("page", "page")) }
        if route.respond.status != nil { actions.append(("respond.status", "respond")) }
        let keys = ["upstream", "files.root", "redirect.to", "page", "respond.status"].map { "\(path).\($0)" }
        if actions.isEmpty {
            findings.add([path] + keys, "\(path) says nothing of what requests get: one of upstream, files.root, redirect.to, page, respond.status")
        } else if actions.count > 1 {
            findings.add(
                ["\(path).\(actions[1].key)"] + keys,
                "\(path) says more than one thing of what requests get: \(actions.map(\.text).joined(separator: ", "))")
        }
    }
}
