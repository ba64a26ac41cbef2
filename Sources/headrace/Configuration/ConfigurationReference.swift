/// `docs/configuration.md` and `headrace.example.yaml`, as the table of keys gives them; `make docs` writes them, and a test
/// compares them.
enum ConfigurationReference {
    static func markdown() -> String {
        let defaults = Settings()
        var text = """
            # Configuration

            Everything is optional, but there must be something to serve: `edge.app`, `edge.root` or `edge.routes`, a pooler, or a keyspace. What is said on the command line counts before the environment, that
            before the file, that before the defaults.

            ```
            headrace serve --app http://127.0.0.1:3000                      # flags
            headrace serve --config headrace.yaml --set edge.cache.size=1GB
            HEADRACE_EDGE_CACHE_SIZE=1GB headrace serve                     # the environment
            headrace check --config headrace.yaml                           # says what is wrong, or what would run
            headrace init                                                   # writes a commented file
            ```

            Without `--config` the file is what `HEADRACE_CONFIG` names, or else `headrace.yaml` in the current folder, if it is there. In it
            each part of a key's name is a level: `edge.cache.size` is `size` within `cache` within `edge`; the whole is
            [headrace.example.yaml](../headrace.example.yaml).

            Durations and sizes carry their unit (`30s`, `1m30s`; `8KB`, `256MB`; 1 KB is 1024 bytes), shares a `%`. Lists are YAML lists;
            elsewhere their members are parted by commas. A secret never stands in the file or on the command line itself: write
            `env:NAME` or `file:/PATH`; its own variable in the environment holds it as it is. It is printed as `(redacted)`.

            SIGHUP reads everything anew: a file with a mistake changes nothing and says why; keys marked ↻ take effect at once, and a change
            of any other key is named as one that needs a restart. The log says what has changed: of routes, which are known by their name or else
            by what they match, those that are new, gone, moved or changed; and files that are read anew with them and differ (passwords,
            maintenance pages, certificates).

            `headrace check`, and every start and reload, say all mistakes at once, each with its line: values, values that do not go together, and
            folders, files of passwords and maintenance pages that are not there. A variable `HEADRACE_…` that is nearly a key's is a warning.

            This page is printed from the table of keys (`headrace reference configuration`).


            """
        var section: String?
        for key in ConfigurationKeys.all {
            let own = key.path.split(separator: ".").dropLast().joined(separator: ".")
            if own != section {
                section = own
                text += "\n## \(own.isEmpty ? "The whole" : own)\n\n| key | format | default | what it does |\n|---|---|---|---|\n"
            }
            let units = [key.units, key.range].filter { !$0.isEmpty }.joined(separator: "; ")
            let format = units.isEmpty ? key.format : "\(key.format): \(units)"
            let standard = key.render(defaults)
            let reload = key.isReloadable ? " ↻" : ""
            let secret = key.isSecret ? " Secret." : ""
            text += "| `\(key.name)`\(reload) | \(format) | \(standard.isEmpty ? "–" : "`\(standard)`") | \(key.help)\(secret) |\n"
        }
        for section in ConfigurationKeys.table.repeated {
            let (name, form) = section.isNamed ? ("NAME", "mapping of names") : ("[]", "list")
            text += "\n## \(section.path)\(section.isNamed ? "." : "")\(name)\n\nA \(form), in the file only. \(section.help)\n\n"
            text += "```yaml\n\(fileLines(section).joined(separator: "\n"))\n```\n\n"
            text += "| key | format | default | what it does |\n|---|---|---|---|\n"
            for row in section.rows {
                let standard = row.standard.isEmpty ? "–" : "`\(row.standard)`"
                text += "| `\(row.path)`\(row.isReloadable ? " ↻" : "") | \(row.format) | \(standard) | \(row.help) |\n"
            }
        }
        return text.replacing("\n\n\n", with: "\n\n")
    }

    /// Every key with its default, commented out.
    /// - Parameters: what `headrace init` gives of what it found running:
    ///   - found: values that are set in the file, by path.
    ///   - suggested: values that stand in the place of the default, commented out as that is, by path.
    ///   - notes: what is said at the beginning of a product's section.
    static func example(
        found: [String: String] = [:], suggested: [String: String] = [:], notes: [String: [String]] = [:],
        heading: [String] = ["Headrace, with every key at its default; a key that has none shows an example, and says so."]
    ) -> String {
        let defaults = Settings()
        var lines = heading.map { "# \($0)" } + ["# `headrace check` says what is wrong with it; docs/configuration.md says more.", ""]
        var section: [Substring] = []
        for key in ConfigurationKeys.all {
            let parts = key.path.split(separator: ".")
            let own = Array(parts.dropLast())
            // A product's repeated sections stand behind its keys, within the same mapping.
            if let product = section.first, product != own.first { lines += repeatedExamples(of: product) }
            let shared = zip(own, section).prefix { $0 == $1 }.count
            for level in own.indices where level >= shared {
                if level > 0 { lines.append("") }
                lines.append(indent(level) + "\(own[level]):")
                if level == 0 { lines += (notes[String(own[0])] ?? []).map { indent(1) + "# \($0)" } }
            }
            section = own
            lines.append(indent(own.count) + "# \(key.help)")
            if let value = found[key.path] {
                lines.append(indent(own.count) + "\(key.name): \(value)")
            } else {
                let standard = key.render(defaults)
                let value = suggested[key.path] ?? (standard.isEmpty ? sample(key) + "  # no default; for example" : standard)
                lines.append(indent(own.count) + "# \(key.name): \(value)")
            }
        }
        if let product = section.first { lines += repeatedExamples(of: product) }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The examples of a product's repeated sections, commented out.
    private static func repeatedExamples(of product: Substring) -> [String] {
        ConfigurationKeys.table.repeated.filter { $0.path.hasPrefix("\(product).") }.flatMap { section in
            let level = section.path.split(separator: ".").count - 1
            return ["", indent(level) + "# \(section.help)"]
                + fileLines(section).dropFirst(level).map { indent(level) + "# " + $0.dropFirst(2 * level) }
        }
    }

    /// A repeated section's example as it would stand in a file of its own.
    static func fileLines<Root>(_ section: RepeatedSection<Root>) -> [String] {
        let parts = section.path.split(separator: ".")
        return parts.enumerated().map { indent($0.offset) + "\($0.element):" } + section.example.map { indent(parts.count) + $0 }
    }

    private static func indent(_ level: Int) -> String { String(repeating: "  ", count: level) }

    /// What a key without a default could look like.
    private static func sample(_ key: ConfigurationKey) -> String {
        switch key.path {
        case "edge.app": "http://127.0.0.1:3000"
        case "edge.upstream.nameserver": "127.0.0.53"
        case "edge.upstream.max_member_connections": "100"
        case "edge.limits.buffered_responses": "64MB"
        case "edge.upstream.connection_lifetime": "1h"
        case "edge.upstream.total_timeout": "2m"
        case "edge.upstream.probe.path": "/healthz"
        case "edge.upstream.probe.host": "app.internal"
        case "edge.upstream.tunnel.total_timeout": "24h"
        case "edge.root": "./public"
        case "edge.files.fallback": "/index.html"
        case "edge.metrics_token": "file:/etc/headrace/metrics-token"
        case "edge.purge.token": "file:/etc/headrace/purge-token"
        case "edge.upstream.host": "app.internal"
        case "pooler.postgres": "postgres://app@127.0.0.1:5432/shop"
        case "pooler.password": "file:/etc/headrace/postgres-password"
        case "keyspace.password": "file:/etc/headrace/keyspace-password"
        case "prove.secret": "file:/etc/headrace/prove-secret"
        case "keyspace.directory": "/var/lib/headrace"
        case "dashboard.traffic_price": "0.08EUR"
        case "schedule.lock": "redis://10.0.0.5:6379/0"
        case "schedule.lock_password": "file:/etc/headrace/lock-password"
        case "edge.limits.rate_store_password": "file:/etc/headrace/rate-store-password"
        default: "…"
        }
    }
}
