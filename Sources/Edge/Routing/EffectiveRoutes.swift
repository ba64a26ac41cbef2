extension EdgeConfiguration {
    /// All routes in the order in which they are tried: the edge's own pages, ``routes``, the folder of files, the application.
    ///
    /// The flat settings are routes, too: what they say is said in one way, here, and everything behind it knows routes only.
    public var routeTable: [RouteConfiguration] {
        var table = ownPages
        table += routes
        let hasApplication = application != nil
        if let root {
            var route = RouteConfiguration()
            route.name = "edge.root"
            // What changes something is the application's, if there is one.
            if hasApplication { route.match.methods = ["GET"] }
            route.files.root = root
            route.files.options = files
            route.upstream = hasApplication ? Self.applicationName : nil
            table.append(route)
        }
        if hasApplication {
            var route = RouteConfiguration()
            route.name = "edge.app"
            route.upstream = Self.applicationName
            table.append(route)
        }
        return table
    }

    /// Pages that the edge makes or serves for the rest of the process.
    var ownPages: [RouteConfiguration] {
        var table: [RouteConfiguration] = []
        func add(_ name: String, _ page: RouteConfiguration.BuiltInPage, _ path: String?, isPrefix: Bool, isForOperators: Bool) {
            guard let path else { return }
            var route = RouteConfiguration()
            route.name = name
            if isPrefix { route.match.paths = [path] } else { route.match.exactPaths = [path] }
            route.page = page
            route.isForOperators = isForOperators
            table.append(route)
        }
        add("edge.metrics_path", .metrics, metricsPath, isPrefix: false, isForOperators: true)
        guard pages.access != .off else { return table }
        let isForOperators = pages.access == .local
        add("dashboard.path", .dashboard, pages.dashboard, isPrefix: true, isForOperators: isForOperators)
        add("dashboard.alive_path", .health, pages.alive, isPrefix: false, isForOperators: isForOperators)
        add("dashboard.ready_path", .ready, pages.ready, isPrefix: true, isForOperators: isForOperators)
        return table
    }
}

extension RouteConfiguration {
    /// What tells the responses of this route from those of another for the same URL: who makes them, and of what request. It is part
    /// of the key of the response cache, so no route is ever answered with another's.
    ///
    /// Empty for the application and nothing else, which is most of what is ever stored.
    var cacheScope: String {
        if let root = files.root { return "files \(root) \(upstream ?? "") \(files.options.scope)" + ruleText }
        return (upstream == EdgeConfiguration.applicationName ? "" : upstream ?? "") + ruleText
    }

    private var ruleText: String {
        // What is stored compressed has no place in a route that does not compress; what browsers are told is kept with a response.
        (isCompressed.map { $0 ? "\ncompressed" : "\nplain" } ?? "") + (browserCaching.map { "\nbrowser \($0)" } ?? "")
            + (strippedPrefix.map { "\nwithout \($0)" } ?? "") + requestRuleText
    }

    private var requestRuleText: String {
        guard !requestRules.isEmpty else { return "" }
        let lines = requestRules.removed.map { "-\($0)" } + requestRules.set.map { "=\($0.name): \($0.value)" }
            + requestRules.added.map { "+\($0.name): \($0.value)" }
        return "\n" + lines.joined(separator: "\n")
    }
}
