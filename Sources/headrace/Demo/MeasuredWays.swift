import Foundation

/// The two ways on which a part of the demo is measured: the one without the layer first.
protocol DemoWay: CaseIterable, RawRepresentable<String>, Hashable, Sendable {}

/// What one part of the demo measured.
///
/// A figure is the median over the rounds. The two ways are measured in turn within each round, so that the ratio of a round is one of
/// neighbours; the ratio's spread is its smallest and largest over the rounds.
struct MeasuredWays<Way: DemoWay, Note: Sendable>: Sendable {
    /// One measurement of one way at one number of users.
    struct Measurement: Sendable {
        let users: Int
        let way: Way
        let level: BenchDocument.Level
        /// What was counted beside it.
        let note: Note
    }

    /// What is measured when.
    struct Turn: Equatable, Sendable {
        let round: Int
        let users: Int
        let way: Way
    }

    private(set) var measurements: [Measurement] = []

    mutating func add(_ measurement: Measurement) { measurements.append(measurement) }

    /// Whoever comes second finds a warmer machine: the ways take turns from round to round.
    static func turns(rounds: Int, users: [Int]) -> [Turn] {
        (0..<rounds).flatMap { round in
            let ways = round % 2 == 0 ? Array(Way.allCases) : Way.allCases.reversed()
            return users.flatMap { users in ways.map { Turn(round: round + 1, users: users, way: $0) } }
        }
    }

    var users: [Int] { Set(measurements.map(\.users)).sorted() }

    func of(_ users: Int, _ way: Way) -> [Measurement] { measurements.filter { $0.users == users && $0.way == way } }

    /// Requests that failed on these ways.
    func failed(_ ways: [Way] = Array(Way.allCases)) -> Int {
        measurements.filter { ways.contains($0.way) }.reduce(0) { $0 + $1.level.failed }
    }

    /// Requests per second with the layer over those without it, round by round.
    func ratios(_ users: Int) -> [Double] {
        let (without, with) = (Way.allCases.first, Array(Way.allCases).last)
        guard let without, let with else { return [] }
        return zip(of(users, with), of(users, without)).map { $0.level.requestsPerSecond / max($1.level.requestsPerSecond, 0.001) }
    }

    /// The rows of the table, without what a part adds to them of its own.
    func rows() -> [(row: DemoRow, notes: [Note])] {
        users.flatMap { users in
            Way.allCases.map { way in
                let measurements = of(users, way)
                func median(_ value: (BenchDocument.Level) -> Double) -> Double { Median.of(measurements.map { value($0.level) }) }
                var row = DemoRow(
                    users: users, way: way.rawValue, requestsPerSecond: median(\.requestsPerSecond), meanMs: median(\.meanMs),
                    p50Ms: median(\.p50Ms), p95Ms: median(\.p95Ms), p99Ms: median(\.p99Ms), bytesPerRequest: median(\.bytesPerRequest),
                    failed: measurements.reduce(0) { $0 + $1.level.failed })
                let ratios = ratios(users)
                if way != Way.allCases.first {
                    row.ratio = Median.of(ratios)
                    row.ratioLow = ratios.min()
                    row.ratioHigh = ratios.max()
                }
                return (row, measurements.map(\.note))
            }
        }
    }
}

/// A row of one of the demo's tables, as it is printed and as it stands in the document.
struct DemoRow: Encodable, Equatable, Sendable {
    var users: Int
    var way: String
    var requestsPerSecond: Double
    var meanMs: Double
    var p50Ms: Double
    var p95Ms: Double
    var p99Ms: Double
    var bytesPerRequest: Double
    var failed: Int
    /// Of requests per second, to the way without the layer; `nil` for that way itself.
    var ratio: Double?
    var ratioLow: Double?
    var ratioHigh: Double?
    /// Of the edge's part: what the old hourly job called this number of users.
    var load: String?
    /// Of the pooler's part: the most that PostgreSQL had at a time.
    var serverConnections: Int?
    /// Of the keyspace's part: shares are 0…1, the memory is the most that was seen.
    var queriesPerRequest: Double?
    var queriesSaved: Double?
    var hitRate: Double?
    var keyspaceBytes: Int?

    var ratioText: String {
        guard let ratio else { return "1 ×" }
        return "\(Self.number(ratio)) × (\(Self.number(ratioLow ?? 0))…\(Self.number(ratioHigh ?? 0)))"
    }

    /// Three digits that say something.
    static func number(_ value: Double) -> String {
        switch value {
        case ..<10: String(format: "%.2f", value)
        case ..<100: String(format: "%.1f", value)
        default: String(format: "%.0f", value)
        }
    }

    static func percent(_ share: Double) -> String { String(format: "%.1f %%", share * 100) }
}

enum Median {
    /// The middle, or the middle of the two in the middle; 0 of nothing.
    static func of(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return 0 }
        return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }
}
