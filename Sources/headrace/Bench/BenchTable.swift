import Foundation
import LoadGenerator
import Telemetry

/// The results as tables for people.
enum BenchTable {
    private static let closed = "closed loop: each user waits for its response before the next request; stalls are under-reported"

    static func text(_ reports: [LoadReport]) -> String {
        reports.contains { $0.open != nil } ? reports.map { open($0) }.joined(separator: "\n") : closedLoop(reports)
    }

    private static func closedLoop(_ reports: [LoadReport]) -> String {
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
        return "\(headline(reports))\(closed)\(streams(reports))\n\n\(table.rendered())"
    }

    private static func open(_ report: LoadReport) -> String {
        guard let open = report.open else { return "" }
        let shape = open.shape == .poisson ? "Poisson arrivals, seed \(open.seed)" : "even distances"
        var times = TextTable(columns: [
            .left("ms"), .right("mean"), .right("p50"), .right("p90"), .right("p95"), .right("p99"), .right("p99.9"), .right("max"),
        ])
        func add(_ name: String, _ snapshot: HistogramSnapshot) {
            let values = [50, 90, 95, 99, 99.9].map { Double(snapshot.percentile($0)) / 1e6 }
            let all = [snapshot.mean / 1e6] + values + [Double(snapshot.max) / 1e6]
            times.add([name] + all.map { snapshot.count > 0 ? number($0, digits: 2) : "–" })
        }
        add("response time, from the intended start", report.responseTimes)
        add("service time, from the send", report.serviceTimes)
        add("schedule lag of the generator", open.scheduleLag)
        let busy = report.streams == nil ? "busy" : "requests under way"
        let lines = [
            "\(headline([report]))open loop: \(number(open.scheduledRate, digits: 1)) requests/s scheduled, \(shape); \(warmUp(report))\(streams([report]))",
            "\(open.scheduled) begun, \(report.succeeded) succeeded (\(number(report.requestsPerSecond, digits: 1))/s), "
                + "\(failures(report)) failed, \(open.delayed) waited for a connection; \(number(report.bytesPerRequest, digits: 0)) bytes/request; "
                + "\(report.connections) connections made, \(number(report.busyConnections, digits: 1)) \(busy) on average; "
                + "generator CPU \(number(report.generatorCPUShare * 100, digits: 0)) %",
        ]
        return lines.joined(separator: "\n") + "\n\n" + times.rendered() + classes(report)
    }

    private static func classes(_ report: LoadReport) -> String {
        guard report.classes.count > 1 else { return "" }
        var table = TextTable(columns: [
            .left("class"), .right("requests"), .right("p50 ms"), .right("p95 ms"), .right("p99 ms"), .right("bytes/request"), .right("failed"),
        ])
        for one in report.classes {
            let succeeded = Int(clamping: one.responseTimes.count)
            let times = [50, 95, 99].map { succeeded > 0 ? number(Double(one.responseTimes.percentile($0)) / 1e6, digits: 2) : "–" }
            let bytes = succeeded > 0 ? number(Double(one.bodyBytes) / Double(succeeded), digits: 0) : "–"
            table.add([one.name, "\(succeeded + one.failed)"] + times + [bytes, "\(one.failed)"])
        }
        return "\n" + table.rendered()
    }

    private static func warmUp(_ report: LoadReport) -> String {
        guard let warmUp = report.warmUp else { return "it never left its warm-up" }
        let time = "\(number(warmUp.seconds, digits: 1)) s of warm-up"
        switch warmUp.isSteady {
        case nil: return time
        case true?: return "\(time), until two blocks agreed"
        case false?: return "\(time), and no two blocks agreed: still warming, or unsteady"
        }
    }

    /// What must be known before the figures are read.
    private static func headline(_ reports: [LoadReport]) -> String {
        var lines: [String] = []
        for limit in Set(reports.flatMap(\.limits)).sorted() { lines.append("generator-limited: \(limit.advice)") }
        if reports.contains(where: \.isCutShort) { lines.append("cut short: what follows is what was measured until then") }
        return lines.map { $0 + "\n" }.joined()
    }

    private static func streams(_ reports: [LoadReport]) -> String {
        reports.compactMap(\.streams).max().map { "; HTTP/2, up to \($0) requests at once on a connection" } ?? ""
    }

    private static func failures(_ report: LoadReport) -> String {
        let kinds = FailureKind.allCases.compactMap { kind in report.failures[kind].map { "\(kind.rawValue) \($0)" } }
        return kinds.isEmpty ? "0" : "\(report.failed) (\(kinds.joined(separator: ", ")))"
    }

    private static func number(_ value: Double, digits: Int) -> String {
        String(format: "%.\(digits)f", value)
    }
}
