import Foundation
import LoadGenerator
import Telemetry

/// What visitors with browsers saw, as a table and as JSON.
struct VisitorDocument: Codable, Sendable {
    struct View: Codable, Sendable {
        var views: Int
        var failed: Int
        var requestsPerView: Double
        var notModifiedPerView: Double
        var fromCachePerView: Double
        var bytesPerView: Double
        /// Until all of it was there, and until the page itself was.
        var viewMs: BenchDocument.Times
        var pageMs: BenchDocument.Times

        init(_ report: ViewReport) {
            views = report.views
            failed = report.failed
            let count = Double(max(report.views + report.failed, 1))
            requestsPerView = Double(report.requests) / count
            notModifiedPerView = Double(report.notModified) / count
            fromCachePerView = Double(report.fromCache) / count
            bytesPerView = Double(report.bytes) / count
            viewMs = .init(report.times)
            pageMs = .init(report.pageTimes)
        }
    }

    var headrace = "bench"
    var schema = 2
    var model = "visitors"
    var url: [String]
    var visitorsPerSecond: Double
    var seconds: Double
    var startedAt: Double
    var isCutShort: Bool
    var first: View
    var repeated: View
    var failures: [String: Int]

    init(urls: [String], rate: Double, _ report: VisitorReport) {
        url = urls
        visitorsPerSecond = rate
        seconds = report.seconds
        startedAt = Double(report.startedAt) / 1e9
        isCutShort = report.isCutShort
        first = View(report.first)
        repeated = View(report.repeated)
        failures = report.failures
    }

    func rendered() -> String {
        var table = TextTable(columns: [
            .left("view"), .right("views"), .right("p50 ms"), .right("p95 ms"), .right("p99 ms"), .right("page p50 ms"), .right("requests"),
            .right("not modified"), .right("from its cache"), .right("bytes"), .right("failed"),
        ])
        for (name, view) in [("first", first), ("repeated", repeated)] where view.views + view.failed > 0 {
            func number(_ value: Double) -> String { String(format: "%.1f", value) }
            table.add([
                name, "\(view.views)", number(view.viewMs.p50), number(view.viewMs.p95), number(view.viewMs.p99), number(view.pageMs.p50),
                number(view.requestsPerView), number(view.notModifiedPerView), number(view.fromCachePerView), String(format: "%.0f", view.bytesPerView),
                "\(view.failed)",
            ])
        }
        let failed = failures.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "failed: \($0.key), \($0.value) times\n" }.joined()
        return "\(String(format: "%.1f", visitorsPerSecond)) visitors/s, requests and bytes per view\n\n" + table.rendered() + failed
    }
}
