/// Writes metrics in Prometheus' text format: a HELP and a TYPE line for each family, once, then its series.
///
/// Families come out in the order in which they are first named; all series of a family must be written one after the other.
/// - Source: prometheus.io, "Exposition formats", text format version 0.0.4.
public struct PrometheusText {
    public typealias Labels = [(name: String, value: String)]

    private var text = ""
    private var families: Set<String> = []
    private var current = ""

    public init() {}

    public mutating func counter(_ name: String, help: String, labels: Labels = [], value: UInt64) {
        begin(name, help, "counter")
        series(name, labels, String(value))
    }

    /// A counter that is not counted in whole ones: seconds.
    public mutating func counter(_ name: String, help: String, labels: Labels = [], amount: Double) {
        begin(name, help, "counter")
        series(name, labels, Self.number(amount))
    }

    public mutating func gauge(_ name: String, help: String, labels: Labels = [], value: Double) {
        begin(name, help, "gauge")
        series(name, labels, Self.number(value))
    }

    /// A histogram of nanoseconds as one of seconds.
    /// - Parameter bounds: upper bounds in seconds, rising; `+Inf` is added.
    public mutating func histogram(
        _ name: String, help: String, labels: Labels = [], snapshot: HistogramSnapshot, bounds: [Double]
    ) {
        begin(name, help, "histogram")
        for bound in bounds {
            let count = snapshot.count(upTo: UInt64((bound * 1e9).rounded()))
            series(name + "_bucket", labels + [("le", Self.number(bound))], String(count))
        }
        series(name + "_bucket", labels + [("le", "+Inf")], String(snapshot.count))
        series(name + "_sum", labels, Self.number(Double(snapshot.sum) / 1e9))
        series(name + "_count", labels, String(snapshot.count))
    }

    public consuming func finish() -> String { text }

    private mutating func begin(_ name: String, _ help: String, _ type: String) {
        guard current != name else { return }
        precondition(families.insert(name).inserted, "the series of \(name) must follow each other")
        current = name
        text += "# HELP \(name) \(Self.escaped(help, quotes: false))\n# TYPE \(name) \(type)\n"
    }

    private mutating func series(_ name: String, _ labels: Labels, _ value: String) {
        text += name
        if !labels.isEmpty {
            text += "{" + labels.map { "\($0.name)=\"\(Self.escaped($0.value, quotes: true))\"" }.joined(separator: ",") + "}"
        }
        text += " \(value)\n"
    }

    /// By scalars, not characters: CRLF is one character, and so is a quote with an accent on it.
    private static func escaped(_ text: String, quotes: Bool) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result.append(contentsOf: "\\\\".unicodeScalars)
            case "\n": result.append(contentsOf: "\\n".unicodeScalars)
            case "\"" where quotes: result.append(contentsOf: "\\\"".unicodeScalars)
            default: result.append(scalar)
            }
        }
        return String(result)
    }

    private static func number(_ value: Double) -> String {
        if value == value.rounded(), value.magnitude < 1e15 { return String(Int64(value)) }
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return String(value)
    }
}
