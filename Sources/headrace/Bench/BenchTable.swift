import Foundation
import LoadGenerator

/// The results as a table for people.
enum BenchTable {
    private static let model = "closed loop: each user waits for its response before the next request; stalls are under-reported"

    static func text(_ reports: [LoadReport]) -> String {
        var table = TextTable(columns: [
            .right("users"), .right("requests"), .right("requests/s"), .right("mean ms"), .right("p50 ms"), .right("p95 ms"),
            .right("p99 ms"), .right("max ms"), .right("bytes/request"), .right("seconds"), .right("generator CPU"), .right("failed"),
        ])
        for report in reports {
            let times = [
                report.meanMilliseconds, report.milliseconds(percentile: 50), report.milliseconds(percentile: 95),
                report.milliseconds(percentile: 99), report.maxMilliseconds,
            ]
            let rate = ["\(report.users)", "\(report.requests)", number(report.requestsPerSecond, digits: 1)]
            let rest = [
                number(report.bytesPerRequest, digits: 0), number(report.seconds, digits: 1),
                number(report.generatorCPUShare * 100, digits: 0) + " %", failures(report),
            ]
            table.add(rate + times.map { report.succeeded > 0 ? number($0, digits: 2) : "–" } + rest)
        }
        return "\(model)\n\n\(table.rendered())"
    }

    private static func failures(_ report: LoadReport) -> String {
        let kinds = FailureKind.allCases.compactMap { kind in report.failures[kind].map { "\(kind.rawValue) \($0)" } }
        return kinds.isEmpty ? "0" : "\(report.failed) (\(kinds.joined(separator: ", ")))"
    }

    private static func number(_ value: Double, digits: Int) -> String {
        String(format: "%.\(digits)f", value)
    }
}
