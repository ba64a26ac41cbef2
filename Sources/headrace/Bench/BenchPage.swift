import Foundation
import LoadGenerator
import Telemetry

/// The results as one page: tables, and charts drawn inline. It loads nothing, so that it can be mailed and kept.
enum BenchPage {
    static func text(title: String, _ reports: [LoadReport]) -> String {
        let runs = reports.enumerated().map { index, report in
            """
            <section><h2>\(escaped(heading(report, index)))</h2>
            <pre>\(escaped(BenchTable.text([report])))</pre>
            <h3>Over time, by the second in which requests ended</h3>
            \(chart(
                "requests/s", report.samples.map { ($0.seconds, [$0.requestsPerSecond, $0.length > 0 ? Double($0.failed) / $0.length : 0]) },
                ["succeeded", "failed"], isLogarithmic: false))
            \(chart("response time, ms", report.samples.map { ($0.seconds, [$0.p50, $0.p95, $0.p99]) }, ["p50", "p95", "p99"], isLogarithmic: true))
            <h3>Percentiles: response time from the intended start, service time from the send</h3>
            \(distribution(report))
            </section>
            """
        }
        return """
            <!doctype html>
            <html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
            <title>headrace bench: \(escaped(title))</title>
            <style>\(style)</style>
            <h1>headrace bench</h1><p>\(escaped(title))</p>
            \(runs.joined(separator: "\n"))
            </html>

            """
    }

    static let style = """
        body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
        pre{overflow-x:auto;font-size:12px;background:#f5f5f5;padding:.75rem}svg{width:100%;height:auto}\
        svg text{font:11px system-ui,sans-serif;fill:currentColor}.axis{stroke:#ccc;stroke-width:1}\
        .s0{stroke:#0b6}.s1{stroke:#e80}.s2{stroke:#c24}polyline{fill:none;stroke-width:1.5}\
        @media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#222}.axis{stroke:#444}}
        """

    private static func heading(_ report: LoadReport, _ index: Int) -> String {
        if let open = report.open { return "\(index + 1). \(String(format: "%.1f", open.scheduledRate)) requests/s, open loop" }
        return "\(index + 1). \(report.users) users, closed loop"
    }

    private static func distribution(_ report: LoadReport) -> String {
        guard report.responseTimes.count > 0 else { return "<p>nothing succeeded</p>" }
        // Half the rest of the way each: 0, 50, 75, 87.5 …, on an axis of their number.
        var points: [(Double, [Double])] = []
        var rest = 100.0
        var place = 0.0
        while true {
            let percentile = 100 - rest
            points.append((place, [report.responseTimes, report.serviceTimes].map { Double($0.percentile(percentile)) / 1e6 }))
            guard rest / 100 * Double(report.responseTimes.count) > 1 else { break }
            rest /= 2
            place += 1
        }
        return chart(
            "ms, at 1 − ½ⁿ of the requests", points, ["response time", "service time"], isLogarithmic: true)
    }

    /// Lines over a common axis.
    static func chart(_ title: String, _ points: [(x: Double, y: [Double])], _ names: [String], isLogarithmic: Bool) -> String {
        let (width, height, left, bottom, top) = (800.0, 220.0, 60.0, 24.0, 24.0)
        let all = points.flatMap(\.y).filter { $0 > 0 }
        guard points.count > 1, let highest = all.max(), let lowest = all.min() else { return "<p>\(escaped(title)): too few points</p>" }
        let low = isLogarithmic ? pow(10, floor(log10(lowest))) : 0
        let high = isLogarithmic ? max(pow(10, ceil(log10(highest))), low * 10) : highest * 1.05
        let (first, last) = (points[0].x, points[points.count - 1].x)
        func x(_ value: Double) -> Double { left + (width - left - 10) * (value - first) / max(last - first, 1e-9) }
        func y(_ value: Double) -> Double {
            let share =
                isLogarithmic ? (log10(max(value, low)) - log10(low)) / (log10(high) - log10(low)) : (value - low) / max(high - low, 1e-9)
            return height - bottom - (height - bottom - top) * min(max(share, 0), 1)
        }
        func number(_ value: Double) -> String { String(format: "%.1f", value) }
        let ticks = isLogarithmic ? Array(sequence(first: low) { $0 * 10 <= high * 1.001 ? $0 * 10 : nil }) : [0, high / 2, high]
        var parts = ticks.map { tick in
            """
            <line class="axis" x1="\(number(left))" x2="\(number(width - 10))" y1="\(number(y(tick)))" y2="\(number(y(tick)))"/>\
            <text x="\(number(left - 6))" y="\(number(y(tick) + 4))" text-anchor="end">\(String(format: "%g", (tick * 100).rounded() / 100))</text>
            """
        }
        for index in names.indices {
            let line = points.map { "\(number(x($0.x))),\(number(y($0.y[index])))" }.joined(separator: " ")
            parts.append("<polyline class=\"s\(index)\" points=\"\(line)\"/>")
            parts.append(
                "<line class=\"s\(index)\" stroke-width=\"2\" x1=\"\(number(left + 240 + Double(index) * 130))\" x2=\"\(number(left + 260 + Double(index) * 130))\" y1=\"10\" y2=\"10\"/>"
                    + "<text x=\"\(number(left + 266 + Double(index) * 130))\" y=\"14\">\(escaped(names[index]))</text>")
        }
        parts.append("<text x=\"\(number(left))\" y=\"14\">\(escaped(title))</text>")
        for value in [first, (first + last) / 2, last] {
            parts.append("<text x=\"\(number(x(value)))\" y=\"\(number(height - 6))\" text-anchor=\"middle\">\(String(format: "%g", (value * 10).rounded() / 10))</text>")
        }
        return "<svg viewBox=\"0 0 \(Int(width)) \(Int(height))\" role=\"img\" aria-label=\"\(escaped(title))\">\(parts.joined())</svg>"
    }

    static func escaped(_ text: String) -> String {
        var result = ""
        for character in text.unicodeScalars {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }
}
