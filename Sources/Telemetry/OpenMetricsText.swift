/// A page in Prometheus' text format as one of OpenMetrics: a counter's family loses `_total` where its name stands alone, units are said,
/// bounds of buckets are written as numbers with a point, quotes in a help text are escaped, and the end is marked.
///
/// It is made of what ``PrometheusText`` writes, families whole and in a row, and of nothing else.
/// - Source: OpenMetrics 1.0.0, "ABNF", "Counter", "Histogram".
public enum OpenMetricsText {
    public static let contentType = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    public static let plainContentType = "text/plain; version=0.0.4; charset=utf-8"

    public static func made(of text: String) -> String {
        var result = ""
        result.reserveCapacity(text.utf8.count + 4096)
        var help = ""
        for line in text.split(separator: "\n") {
            if line.hasPrefix("# HELP ") {
                help = String(line)
            } else if line.hasPrefix("# TYPE ") {
                let words = line.split(separator: " ", maxSplits: 3)
                guard words.count == 4 else { continue }
                var name = String(words[2])
                let isCounter = words[3] == "counter"
                if isCounter, name.hasSuffix("_total") { name.removeLast(6) }
                let said = help.split(separator: " ", maxSplits: 3)
                if said.count == 4 {
                    result += "# HELP \(name) "
                    for scalar in said[3].unicodeScalars { result += scalar == "\"" ? "\\\"" : String(scalar) }
                    result += "\n"
                }
                result += "# TYPE \(name) \(words[3])\n"
                if let unit = units.first(where: { name.hasSuffix("_" + $0) }) { result += "# UNIT \(name) \(unit)\n" }
            } else if let start = bound(in: line) {
                let bound = line[start...].prefix { $0 != "\"" }
                result += line[..<start]
                result += bound + (bound.allSatisfy(\.isNumber) ? ".0" : "")
                result += line[bound.endIndex...] + "\n"
            } else {
                result += line + "\n"
            }
        }
        return result + "# EOF\n"
    }

    /// Where the bound of a bucket begins: its label comes last.
    private static func bound(in line: Substring) -> Substring.Index? {
        guard let end = line.lastIndex(of: "}"), line.prefix(while: { $0 != "{" }).hasSuffix("_bucket") else { return nil }
        let value = line[..<end].dropLast()
        guard let quote = value.lastIndex(of: "\""), line[..<quote].hasSuffix("le=") else { return nil }
        return line.index(after: quote)
    }

    private static let units = ["seconds", "bytes", "ratio"]

    /// Whether a client would rather have it than the plain text: it names it, with a weight that is no smaller.
    /// - Parameter accept: what `Accept` says.
    /// - Source: RFC 9110 §12.5.1; what names nothing of ours leaves the plain text.
    public static func isPreferred(_ accept: String) -> Bool {
        var weights: [String: Double] = [:]
        for range in accept.split(separator: ",").prefix(50) {
            let parts = range.split(separator: ";").map { part in part.drop { $0 == " " || $0 == "\t" } }
            guard let type = parts.first?.lowercased().split(separator: " ").first.map(String.init) else { continue }
            var weight = 1.0
            for part in parts.dropFirst() {
                let text = part.lowercased()
                if text.hasPrefix("q=") { weight = Double(text.dropFirst(2).prefix { $0 != " " }) ?? 0 }
            }
            weights[type] = max(weights[type] ?? 0, weight)
        }
        guard let own = weights["application/openmetrics-text"], own > 0 else { return false }
        return own >= weights["text/plain"] ?? 0
    }
}
