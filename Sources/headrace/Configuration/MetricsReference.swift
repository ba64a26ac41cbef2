/// `docs/metrics.md`: every family of metrics, as the program itself says it.
enum MetricsReference {
    struct Family: Equatable {
        var name: String
        var type: String
        var help: String
        var labels: [String] = []
    }

    /// Reads families off a page in Prometheus' text format.
    static func families(_ text: String) -> [Family] {
        var families: [Family] = []
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 3)
            if words.count == 4, words[0] == "#", words[1] == "HELP" {
                families.append(Family(name: String(words[2]), type: "", help: String(words[3])))
            } else if words.count == 4, words[0] == "#", words[1] == "TYPE", let last = families.indices.last {
                families[last].type = String(words[3])
            } else if let last = families.indices.last, let open = line.firstIndex(of: "{"), let close = line.lastIndex(of: "}") {
                for pair in line[line.index(after: open)..<close].split(separator: ",") {
                    let name = String(pair.prefix { $0 != "=" })
                    if name != "le", !families[last].labels.contains(name) { families[last].labels.append(name) }
                }
            }
        }
        return families
    }

    static func markdown() -> String {
        let rows = families(MetricsPage.example()).map { family in
            "| `\(family.name)` | \(family.type) | \(family.labels.map { "`\($0)`" }.joined(separator: ", ")) | \(family.help) |"
        }
        return """
            # Metrics

            Printed by `headrace reference metrics`; a test holds this page to the program. `edge.metrics_path` serves them in Prometheus' text \
            format, or as OpenMetrics when `Accept` asks for it: to this machine, and to whoever sends `edge.metrics_token`. Units are seconds and \
            bytes; labels come from closed lists, from the configuration, and for pools from databases and users that logged in, so that no \
            client makes a new series. Families of layers that are not there are left out.

            `pgbouncer_…` and `redis_…` are the names of prometheus-community's pgbouncer_exporter and of redis_exporter: dashboards that were made \
            for those go on. `process_…` are those of every Prometheus client.

            | family | type | labels | |
            |---|---|---|---|
            \(rows.joined(separator: "\n"))

            """
    }
}
