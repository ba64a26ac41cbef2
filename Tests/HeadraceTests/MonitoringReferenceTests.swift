import Foundation
import Testing

@testable import headrace

/// `Monitoring/` is held to the program, and what it asks for to the table of metrics.
@Suite struct MonitoringReferenceTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Monitoring")

    @Test func `each file is what the program prints, and there is no other`() throws {
        let paths = MonitoringReference.files.map(\.path)
        for file in MonitoringReference.files {
            let text = try String(contentsOf: Self.folder.appending(path: file.path), encoding: .utf8)
            #expect(text == file.text, "\(file.path): run `make docs`")
        }
        let found = FileManager.default.enumerator(atPath: Self.folder.path)?.compactMap { $0 as? String } ?? []
        #expect(Set(found.filter { $0.hasSuffix(".yml") || $0.hasSuffix(".json") }) == Set(paths + ["rules_test.yml"]))
    }

    /// Names of metrics in an expression, labels left out.
    private func names(_ expression: String) -> [String] {
        let bare = expression.replacing(/\{[^}]*\}/, with: "").replacing(/(by|on) \([^)]*\)/, with: "")
        return bare.matches(of: /(?:headrace|pgbouncer|redis|process)_[a-z0-9_]+|instance:[a-z0-9_:]+/).map { String($0.output) }
    }

    @Test func `every metric that is asked for is in the table`() throws {
        var known = Set(AlertRules.recordings.map(\.name))
        for family in MetricsReference.families(MetricsPage.example()) {
            if family.type == "histogram" {
                known.formUnion(["_bucket", "_sum", "_count"].map { family.name + $0 })
            } else {
                known.insert(family.name)
            }
        }
        let panels = GrafanaDashboards.all.flatMap { board in board.panels.flatMap { $0.queries.map(\.0) } }
        let rules = AlertRules.recordings.map(\.expression) + AlertRules.groups.flatMap { $0.alerts.map(\.expression) }
        #expect(panels.count > 60 && rules.count > 25)
        for expression in panels + rules {
            let names = names(expression)
            #expect(!names.isEmpty || expression.hasPrefix("up{"), "\(expression)")
            for name in names { #expect(known.contains(name), "\(name) in \(expression)") }
        }
    }

    /// Each label that is matched, grouped by or written is one of the metrics that the expression names, and each value that is matched is one
    /// that it can have.
    @Test func `every label that is asked for is in the table, with that value`() throws {
        let example = MetricsPage.example()
        var labels: [String: Set<String>] = [:]
        // What Prometheus itself adds.
        let added: Set = ["job", "instance"]
        for recording in AlertRules.recordings { labels[recording.name] = added }
        for family in MetricsReference.families(example) {
            let own = added.union(family.labels)
            guard family.type == "histogram" else { labels[family.name] = own; continue }
            labels[family.name + "_bucket"] = own.union(["le"])
            for suffix in ["_sum", "_count"] { labels[family.name + suffix] = own }
        }
        labels["up"] = added
        // These are there once somebody has counted; the layers of a proof are its own.
        let open: Set = ["headrace_postgresql_sessions", "headrace_proof_change_ratio"]
        let panels = GrafanaDashboards.all.flatMap { board in board.panels.flatMap(\.queries) }
        let rules = AlertRules.groups.flatMap { $0.alerts.map { ($0.expression, $0.summary.replacing("$labels.", with: "")) } }
        for (expression, words) in panels + rules + AlertRules.recordings.map({ ($0.expression, "") }) {
            let named = names(expression) + (expression.hasPrefix("up{") ? ["up"] : [])
            let all = named.reduce(into: Set<String>()) { $0.formUnion(labels[$1] ?? []) }
            for selector in expression.matches(of: /([a-z][a-z0-9_:]*)\{([^}]*)\}/) {
                let metric = String(selector.1)
                for matcher in selector.2.matches(of: /([a-z_]+)(=~|!=|=)"([^"]*)"/) where matcher.3 != "$instance" && matcher.1 != "job" {
                    let label = String(matcher.1)
                    #expect(labels[metric]?.contains(label) == true, "\(metric) has no \(label): \(expression)")
                    guard !open.contains(metric) else { continue }
                    for value in matcher.3.split(separator: "|") {
                        let isThere = example.split(separator: "\n").contains { $0.hasPrefix(metric + "{") && $0.contains("\(label)=\"\(value)\"") }
                        #expect(isThere, "\(metric) never has \(label) \(value): \(expression)")
                    }
                }
            }
            for list in expression.matches(of: /(?:by|on) \(([^)]*)\)/) {
                for label in list.1.split(separator: ",") { #expect(all.contains(label.trimmingCharacters(in: .whitespaces)), "\(label): \(expression)") }
            }
            for label in words.matches(of: /\{\{ ?([a-z_]+) ?\}\}/) { #expect(all.contains(String(label.1)), "\(label.1) in words of \(expression)") }
        }
    }

    @Test func `each alert is made to fire by promtool's test`() throws {
        let text = try String(contentsOf: Self.folder.appending(path: "rules_test.yml"), encoding: .utf8)
        let fired = Set(text.matches(of: /alertname: (\w+)\n +exp_alerts:\n +- exp_labels/).map { String($0.1) })
        #expect(fired == Set(AlertRules.groups.flatMap(\.alerts).map(\.name)))
    }

    @Test func `each rule and each panel has a name of its own and says what it is`() {
        let alerts = AlertRules.groups.flatMap(\.alerts)
        #expect(Set(alerts.map(\.name)).count == alerts.count)
        for alert in alerts { #expect(!alert.summary.isEmpty && alert.description.hasSuffix(".")) }
        for board in GrafanaDashboards.all { #expect(Set(board.panels.map(\.title)).count == board.panels.count, "\(board.title)") }
    }

    @Test func `panels lie beside each other and not one on the other`() throws {
        for board in GrafanaDashboards.all {
            let document = try #require(try JSONSerialization.jsonObject(with: Data(GrafanaDashboards.json(board).utf8)) as? [String: Any])
            let places = try #require(document["panels"] as? [[String: Any]]).compactMap { $0["gridPos"] as? [String: Int] }
            #expect(places.count == board.panels.count)
            var taken: Set<[Int]> = []
            for place in places {
                let (x, y, w, h) = (place["x"] ?? 0, place["y"] ?? 0, place["w"] ?? 0, place["h"] ?? 0)
                #expect(w > 0 && h > 0 && x + w <= 24)
                for column in x..<x + w { for row in y..<y + h { #expect(taken.insert([column, row]).inserted) } }
            }
        }
    }
}
