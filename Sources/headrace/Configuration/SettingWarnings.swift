import Edge

/// What works, and may be meant otherwise: `headrace check` says it, nothing is refused.
enum SettingWarnings {
    static func all(_ settings: Settings) -> [String] {
        let edge = settings.edge
        let uses = [("edge.browser_caching", Optional(edge.browserCaching))]
            + edge.routes.enumerated().map { ("edge.routes[\($0.offset + 1)].browser_caching", $0.element.browserCaching) }
        return uses.compactMap { path, name in
            guard let name, edge.browserCachingPolicy(named: name)?.overrides == true else { return nil }
            return """
                \(path) is \(name), which overrides: where the application says how long browsers may keep a response, it is not \
                listened to
                """
        }
    }
}
