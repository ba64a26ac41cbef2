/// Something that can be said of a result: `p99<250ms`, `errors<0.1%`, `rate>=1000`.
public struct Condition: Sendable, Equatable, CustomStringConvertible {
    public enum Metric: Sendable, Equatable {
        /// 0…100; of response times, in milliseconds.
        case percentile(Double)
        case mean
        case max
        /// The share of requests that failed, in per cent.
        case errors
        /// Successful requests per second.
        case rate
    }

    public enum Relation: String, Sendable, CaseIterable {
        // The longer ones first: they are looked for in this order.
        case atMost = "<="
        case atLeast = ">="
        case less = "<"
        case more = ">"
    }

    /// Why a text is no condition; the description is for the operator.
    public struct Invalid: Error, Equatable, CustomStringConvertible {
        public let text: String
        public var description: String {
            "\"\(text)\" is no condition such as p99<250ms, errors<0.1%, mean<50ms, max<2s or rate>1000"
        }
    }

    public let metric: Metric
    public let relation: Relation
    /// Milliseconds, per cent or requests per second.
    public let bound: Double
    /// As it was written.
    public let description: String

    public init(_ text: some StringProtocol) throws(Invalid) {
        let written = String(text.filter { $0 != " " })
        description = written
        guard let relation = Relation.allCases.first(where: { written.contains($0.rawValue) }) else { throw Invalid(text: written) }
        // No word of a metric has a sign of relation in it, so that the first one parts it from the bound.
        let name = written.prefix { $0 != "<" && $0 != ">" }
        let value = written.dropFirst(name.count + relation.rawValue.count)
        self.relation = relation
        switch name {
        case "mean": metric = .mean
        case "max": metric = .max
        case "errors": metric = .errors
        case "rate": metric = .rate
        default:
            guard name.first == "p", let number = Double(name.dropFirst()), (0...100).contains(number) else {
                throw Invalid(text: written)
            }
            metric = .percentile(number)
        }
        switch metric {
        case .percentile, .mean, .max:
            let digits = value.prefix { $0.isNumber || $0 == "." }
            guard let number = Double(digits), let scale = ["us": 0.001, "µs": 0.001, "ms": 1, "s": 1000][value.dropFirst(digits.count)]
            else { throw Invalid(text: written) }
            bound = number * scale
        case .errors:
            guard value.hasSuffix("%"), let number = Double(value.dropLast()), number >= 0 else { throw Invalid(text: written) }
            bound = number
        case .rate:
            guard let number = Double(value), number >= 0 else { throw Invalid(text: written) }
            bound = number
        }
    }

    /// Several, parted by commas.
    public static func list(_ text: String) throws(Invalid) -> [Condition] {
        var conditions: [Condition] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) { conditions.append(try Condition(part)) }
        return conditions
    }

    /// What the report says of the metric, in the bound's unit. A time of requests of which none succeeded is infinite.
    public func value(_ report: LoadReport) -> Double {
        switch metric {
        case .percentile(let percentile): report.succeeded > 0 ? report.milliseconds(percentile: percentile) : .infinity
        case .mean: report.succeeded > 0 ? report.meanMilliseconds : .infinity
        case .max: report.succeeded > 0 ? report.maxMilliseconds : .infinity
        case .errors: report.requests > 0 ? report.failedShare * 100 : 100
        case .rate: report.requestsPerSecond
        }
    }

    public func holds(_ report: LoadReport) -> Bool {
        let value = value(report)
        return switch relation {
        case .less: value < bound
        case .atMost: value <= bound
        case .more: value > bound
        case .atLeast: value >= bound
        }
    }
}
