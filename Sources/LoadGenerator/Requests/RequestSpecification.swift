/// One request that a workload is made of, before it is bytes.
public struct RequestSpecification: Sendable {
    /// A token, as it is sent.
    public var method: String
    public var url: HTTPURL
    /// Field lines of this request alone, behind those of the workload.
    public var fields: [Workload.Field]
    public var body: [UInt8]
    /// How often it is sent, beside the weights of the others; at least 1.
    public var weight: Int
    /// Requests of one class share a histogram.
    public var className: String

    public init(
        _ url: HTTPURL, method: String = "GET", fields: [Workload.Field] = [], body: [UInt8] = [], weight: Int = 1,
        className: String? = nil
    ) {
        self.url = url
        self.method = method
        self.fields = fields
        self.body = body
        self.weight = weight
        self.className = className ?? Self.className(url.target)
    }

    /// A path without its query, in which what looks like a key is `*`: `/scans/400?page=2` and `/scans/7` are both `/scans/*`.
    ///
    /// A key is a segment of digits, or one of 16 and more hexadecimal digits and hyphens.
    public static func className(_ target: String) -> String {
        let path = target.prefix { $0 != "?" }
        let segments = path.split(separator: "/", omittingEmptySubsequences: false).map { segment in
            let isNumber = !segment.isEmpty && segment.utf8.allSatisfy { $0 &- 0x30 < 10 }
            let isHexadecimal = segment.utf8.count >= 16
                && segment.utf8.allSatisfy { $0 &- 0x30 < 10 || ($0 | 0x20) &- 0x61 < 6 || $0 == UInt8(ascii: "-") }
            return isNumber || isHexadecimal ? "*" : segment
        }
        return segments.joined(separator: "/")
    }
}

/// The order in which requests of different weights follow each other: each as often as its weight says, and as evenly as that goes.
///
/// The scheme is nginx's smooth weighted round robin: in each step every request gains its weight, the richest is sent and pays the sum
/// of all. Weights 5, 1, 1 give `a a b a c a a`, not `a a a a a b c`.
enum WeightedOrder {
    /// A sum of weights beyond this is scaled down: the order is kept in memory.
    static let countMax = 10_000

    static func indices(weights: [Int]) -> [Int32] {
        guard let first = weights.first else { return [] }
        // In rotation, without the square of a log's many lines.
        if weights.allSatisfy({ $0 == first }) { return (0..<Int32(clamping: weights.count)).map { $0 } }
        var weights = weights.map { max($0, 1) }
        let sum = weights.reduce(0) { $0.addingReportingOverflow($1).overflow ? Int.max : $0 + $1 }
        if sum > countMax {
            let scale = Double(countMax) / Double(sum)
            weights = weights.map { max(1, Int((Double($0) * scale).rounded())) }
        }
        let total = weights.reduce(0, +)
        var wealth = Array(repeating: 0, count: weights.count)
        return (0..<total).map { _ in
            var best = 0
            for index in weights.indices {
                wealth[index] += weights[index]
                if wealth[index] > wealth[best] { best = index }
            }
            wealth[best] -= total
            return Int32(clamping: best)
        }
    }
}
