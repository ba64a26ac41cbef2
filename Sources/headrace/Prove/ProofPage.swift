import Foundation

/// What `headrace prove` found, as one page: a forest plot of the layers, and the tables. It loads nothing, so that it can be mailed and kept.
enum ProofPage {
    /// A row of the plot: what a layer does to the response time, with its interval.
    struct Effect: Sendable {
        var name: String
        /// Negative: faster.
        var percent: (low: Double, middle: Double, high: Double)?
        var words: String
        var isControl = false
    }

    /// - Parameter tables: the report as the terminal has it.
    static func text(_ document: ProofReport.Document, tables: String) -> String {
        let title = "headrace prove: \(document.application)"
        let stamp = document.isTooNoisy ? "<p class=\"stamp\">\(BenchPage.escaped(ComparisonTable.stamp.uppercased()))</p>" : ""
        let alone = document.alone.map { rows in
            "<h2>Each layer alone, beside none of the others</h2>\n" + plot(rows.map(effect), label: "each layer alone")
        }
        return """
            <!doctype html>
            <html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
            <title>\(BenchPage.escaped(title))</title>
            <style>\(style)</style>
            <h1>\(BenchPage.escaped(title))</h1>
            \(stamp)
            <h2>What each layer does to the response time (\(BenchPage.escaped(document.measurements.measure)), \(document.rounds) rounds)</h2>
            \(plot(effects(document), label: "what each layer does to the response time"))
            <p>Left of the line: faster with the layer. The bar is the 95 % interval; what lies within the grey band, 3 % to either side, matters to nobody.
            Layers overlap: what each is worth beside all others does not add up.</p>
            \(alone ?? "")
            <h2>Figures</h2>
            <pre>\(BenchPage.escaped(tables))</pre>
            </html>

            """
    }

    /// The layers, and the control behind them.
    static func effects(_ document: ProofReport.Document) -> [Effect] {
        let control = document.measurements.arms.first(where: \.isControl).map { arm in
            Effect(
                name: "control: \(arm.name)", percent: interval(arm.changePercentLow, arm.changePercent, arm.changePercentHigh), words: arm.words ?? "no data",
                isControl: true)
        }
        return document.layers.map(effect) + (control.map { [$0] } ?? [])
    }

    private static func effect(_ row: ProofReport.Row) -> Effect {
        let percent = row.isUsed ? interval(row.changePercentLow, row.changePercent, row.changePercentHigh) : nil
        return Effect(name: row.layer, percent: percent, words: row.words)
    }

    private static func interval(_ low: Double?, _ middle: Double?, _ high: Double?) -> (Double, Double, Double)? {
        guard let middle else { return nil }
        return (low ?? -100, middle, high ?? .infinity)
    }

    static let style = """
        body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
        h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}pre{overflow-x:auto;font-size:12px;background:#f5f5f5;padding:.75rem}\
        svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:currentColor}.small{font-size:11px;opacity:.75}\
        .axis{stroke:#ccc;stroke-width:1}.zero{stroke:currentColor;stroke-width:1}.band{fill:#888;opacity:.15}\
        .faster{stroke:#0a7;fill:#0a7}.slower{stroke:#c24;fill:#c24}.open{stroke:#777;fill:#777}.bar{stroke-width:2}\
        .stamp{font-weight:bold;color:#c24}\
        @media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#222}.axis{stroke:#444}.stamp{color:#f76}}\
        @media print{body{max-width:none;margin:0}}
        """

    /// Changes in per cent lie where their logarithms do: twice as fast is as far from nothing as half as fast.
    static func plot(_ effects: [Effect], label: String) -> String {
        let (width, left, right, rowHeight, top) = (1040.0, 190.0, 420.0, 30.0, 8.0)
        let height = top + Double(effects.count) * rowHeight + 26
        func place(_ percent: Double) -> Double { log(max(1 + percent / 100, 0.001)) }
        let known = effects.compactMap(\.percent).flatMap { [$0.low, $0.middle, $0.high] }.filter(\.isFinite).map { abs(place($0)) }
        let extent = min(max((known.max() ?? 0) * 1.1, log(1.2)), log(100))
        func x(_ percent: Double) -> Double {
            let share = (min(max(percent.isFinite ? place(percent) : extent, -extent), extent) + extent) / (2 * extent)
            return left + (width - left - right) * share
        }
        func number(_ value: Double) -> String { String(format: "%.1f", value) }
        let bottom = top + Double(effects.count) * rowHeight
        var parts = [
            "<rect class=\"band\" x=\"\(number(x(-3)))\" y=\"\(number(top))\" width=\"\(number(x(3) - x(-3)))\" height=\"\(number(bottom - top))\"/>"
        ]
        var free = -Double.infinity
        for tick in [-98.0, -95, -90, -75, -50, -25, -10, 0, 10, 33, 100, 300, 900, 1900, 4900] where abs(place(tick)) <= extent {
            // Where labels would overlap, the middle's stays.
            guard x(tick) >= free, tick >= 0 || x(tick) <= x(0) - 36 else { continue }
            free = x(tick) + 42
            parts.append(
                "<line class=\"\(tick == 0 ? "zero" : "axis")\" x1=\"\(number(x(tick)))\" x2=\"\(number(x(tick)))\" y1=\"\(number(top))\" y2=\"\(number(bottom))\"/>"
                    + "<text class=\"small\" x=\"\(number(x(tick)))\" y=\"\(number(bottom + 18))\" text-anchor=\"middle\">\(tick > 0 ? "+" : "")\(Int(tick)) %</text>")
        }
        for (index, effect) in effects.enumerated() {
            let y = top + (Double(index) + 0.5) * rowHeight
            parts.append("<text x=\"\(number(left - 10))\" y=\"\(number(y + 4))\" text-anchor=\"end\">\(BenchPage.escaped(effect.name))</text>")
            parts.append("<text class=\"small\" x=\"\(number(width - right + 12))\" y=\"\(number(y + 4))\">\(BenchPage.escaped(effect.words))</text>")
            guard let percent = effect.percent else { continue }
            let kind = percent.high < 0 ? "faster" : percent.low > 0 ? "slower" : "open"
            parts.append(
                "<line class=\"bar \(kind)\" x1=\"\(number(x(percent.low)))\" x2=\"\(number(x(percent.high)))\" y1=\"\(number(y))\" y2=\"\(number(y))\"/>"
                    + (effect.isControl
                        ? "<circle class=\"\(kind)\" cx=\"\(number(x(percent.middle)))\" cy=\"\(number(y))\" r=\"4\"/>"
                        : "<rect class=\"\(kind)\" x=\"\(number(x(percent.middle) - 5))\" y=\"\(number(y - 5))\" width=\"10\" height=\"10\"/>"))
        }
        return "<svg viewBox=\"0 0 \(Int(width)) \(Int(height))\" role=\"img\" aria-label=\"\(BenchPage.escaped(label))\">\(parts.joined(separator: "\n"))</svg>"
    }
}
