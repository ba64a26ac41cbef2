import Edge
import Pooler

/// What works, and may be meant otherwise: `headrace check` says it, and the log at the start; nothing is refused.
enum SettingWarnings {
    static func all(_ loaded: ConfigurationSources.Loaded) -> [String] {
        let settings = loaded.settings
        let edge = settings.edge
        let uses = [("edge.browser_caching", Optional(edge.browserCaching))]
            + edge.routes.enumerated().map { ("edge.routes[\($0.offset + 1)].browser_caching", $0.element.browserCaching) }
        let trusting = settings.poolerConfiguration?.trustingAddresses ?? []
        let pooler = trusting.map { endpoint in
            """
            pooler.listen has \(endpoint), which others reach, and pooler.auth.method is trust: whoever connects is believed to be whatever \
            user he says, and with a password in pooler.postgres needs none
            """
        }
        var tls: [String] = []
        if edge.tls.listen.isEmpty, !edge.tls.certificates.isEmpty || edge.tls.strictTransportSecurity != nil {
            tls.append("edge.tls.certificates or edge.tls.hsts is set, but TLS is spoken nowhere: edge.tls.listen")
        }
        var proxies: [String] = []
        if edge.isProxy("127.0.0.1") || edge.isProxy("::1") {
            proxies.append(
                "edge.proxies has this machine: what connects from it without a PROXY header is closed, headrace's own commands and probes, too")
        }
        return loaded.warnings + tls + proxies + (settings.poolerRulesFile == nil ? pooler : []) + uses.compactMap { path, name in
            guard let name, edge.browserCachingPolicy(named: name)?.overrides == true else { return nil }
            return """
                \(path) is \(name), which overrides: where the application says how long browsers may keep a response, it is not \
                listened to
                """
        }
    }
}
