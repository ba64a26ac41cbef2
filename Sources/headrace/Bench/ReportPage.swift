import Dashboard
import Foundation
import History

/// What was measured in a stretch of days, as one page: visitors' traffic, runs, and the last proof. It loads nothing, so that it can be mailed
/// and kept.
enum ReportPage {
    /// - Parameters:
    ///   - table: the runs as the terminal has them.
    ///   - course: what a server has kept beside the runs; `nil` when there is none.
    ///   - courseError: why it cannot be read, where there is some.
    static func text(
        since: String, now: Double, runs: [RunHistory.Run], table: String, course: SampleCourse?, courseError: String? = nil
    ) -> String {
        let title = "headrace report: the last \(since)"
        return """
            <!doctype html>
            <html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
            <title>\(BenchPage.escaped(title))</title>
            <style>\(BenchPage.style)</style>
            <h1>\(BenchPage.escaped(title))</h1><p>Until \(when(now)) UTC.</p>
            \(course.map { traffic($0) } ?? noTraffic(courseError))
            \(benches(runs))
            \(proof(runs))
            <h2>Runs</h2>
            <pre>\(BenchPage.escaped(table))</pre>
            </html>

            """
    }

    private static func when(_ time: Double) -> String {
        Date(timeIntervalSince1970: time).formatted(.iso8601.dateSeparator(.dash).timeSeparator(.colon).year().month().day().time(includingFractionalSeconds: false))
    }

    private static func noTraffic(_ error: String?) -> String {
        guard let error else { return "<p>There are no numbers of visitors' traffic beside the history: dashboard.state keeps them.</p>" }
        return "<p>The numbers of visitors' traffic beside the history cannot be read: \(BenchPage.escaped(error))</p>"
    }

    private static func traffic(_ course: SampleCourse) -> String {
        guard let first = course.points.first?.time, course.requests > 0 else { return "<h2>Traffic</h2><p>No request in this time.</p>" }
        func days(_ time: Int64) -> Double { Double(time - first) / 86_400 }
        let timed = course.points.compactMap { point in
            point.p50Ms.flatMap { p50 in point.p95Ms.flatMap { p95 in point.p99Ms.map { (x: days(point.time), y: [p50, p95, $0]) } } }
        }
        let whole = course.stages.reduce(0) { $0 + $1.seconds }
        var stages = TextTable(columns: [.left("stage"), .right("ms per request"), .right("share")])
        for (name, seconds) in course.stages where whole > 0 {
            stages.add([name, String(format: "%.3f", seconds / course.requests * 1000), String(format: "%.1f %%", seconds / whole * 100)])
        }
        let summary = String(
            format: "%.0f requests, %.0f of them failed; %.1f MB were not sent thanks to compression and 304s.", course.requests, course.failed,
            course.savedBytes / 1e6)
        return """
            <h2>Traffic</h2><p>\(summary) Since \(when(Double(first))) UTC; the axes are days from there.</p>
            \(BenchPage.chart("requests/s", course.points.map { (days($0.time), [$0.requestsPerSecond, $0.requestsPerSecond * $0.failedShare]) }, ["all", "failed"], isLogarithmic: false))
            \(BenchPage.chart("response time, ms", timed, ["p50", "p95", "p99"], isLogarithmic: true))
            \(BenchPage.chart("% from the response cache", course.points.map { (days($0.time), [$0.cacheShare * 100]) }, ["share"], isLogarithmic: false))
            <h3>Where requests' time goes</h3>
            <pre>\(BenchPage.escaped(stages.rendered()))</pre>
            """
    }

    /// What was measured of each subject, by itself: another page, or another rate, is no course.
    private static func benches(_ runs: [RunHistory.Run]) -> String {
        let subjects = Dictionary(grouping: runs.compactMap(KeptRuns.bench), by: \.subject).sorted { $0.key < $1.key }
        let charts = subjects.compactMap { subject, benches in
            course(benches).map { "<h3>\(BenchPage.escaped(subject))</h3>\n\($0)" }
        }
        return charts.isEmpty ? "" : "<h2>headrace bench</h2>\n" + charts.joined(separator: "\n")
    }

    /// Requests per second of each number of users, run by run; `nil` when there is one run only.
    private static func course(_ benches: [Facts.BenchRun]) -> String? {
        // What the page has names for.
        let users = Array(Set(benches.flatMap { $0.levels.map(\.users) }).sorted().prefix(3))
        let whole = benches.filter { bench in users.allSatisfy { number in bench.levels.contains { $0.users == number } } }
        guard whole.count > 1, let first = whole.first?.startedAt else { return nil }
        let points = whole.map { bench in
            (x: (bench.startedAt - first) / 86_400, y: users.map { number in bench.levels.first { $0.users == number }?.requestsPerSecond ?? 0 })
        }
        return BenchPage.chart("requests/s, by days", points, users.map { "\($0) users" }, isLogarithmic: false)
    }

    private static func proof(_ runs: [RunHistory.Run]) -> String {
        guard let proof = runs.filter({ $0.kind == .prove }).compactMap(KeptRuns.proof).last else { return "" }
        let effects = proof.rows.map { row in
            ProofPage.Effect(name: row.layer, percent: row.change.map { (row.low ?? -100, $0, row.high ?? .infinity) }, words: row.words)
        }
        let stamp = proof.isTooNoisy ? "<p class=\"stamp\">\(BenchPage.escaped(ComparisonTable.stamp.uppercased()))</p>" : ""
        return """
            <style>\(ProofPage.style)</style>
            <h2>What each layer does to the response time: run \(proof.number), \(when(proof.startedAt)) UTC</h2>
            \(stamp)\(ProofPage.plot(effects, label: "what each layer does to the response time"))
            """
    }
}
