import Edge

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
        let rows = families(MetricsExample.text()).map { family in
            "| `\(family.name)` | \(family.type) | \(family.labels.map { "`\($0)`" }.joined(separator: ", ")) | \(family.help) |"
        }
        return """
            # Metrics

            Printed by `headrace reference metrics`; a test holds this page to the program. `edge.metrics_path` serves them in Prometheus' text \
            format. Units are seconds and bytes; labels come from closed lists and from the configuration, so that no client makes a new series.

            | family | type | labels | |
            |---|---|---|---|
            \(rows.joined(separator: "\n"))

            """
    }
}
