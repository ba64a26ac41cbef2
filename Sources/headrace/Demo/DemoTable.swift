import Foundation

/// What the demo measured, and the table of it.
///
/// A figure is the median over the rounds. The two ways are measured in turn within each round, so that the ratio of a round is one of
/// neighbours; the ratio's spread is its smallest and largest over the rounds.
struct DemoTable {
    /// How the pages were asked for.
    enum Way: String, CaseIterable, Sendable {
        case application = "application alone"
        case edge = "through the edge"
    }

    /// One measurement of one way at one number of users.
    struct Measurement: Sendable {
        let users: Int
        let way: Way
        let level: BenchDocument.Level
    }

    private(set) var measurements: [Measurement] = []

    mutating func add(_ measurement: Measurement) { measurements.append(measurement) }

    var failed: Int { measurements.reduce(0) { $0 + $1.level.failed } }
    var users: [Int] { Set(measurements.map(\.users)).sorted() }

    func levels(_ users: Int, _ way: Way) -> [BenchDocument.Level] {
        measurements.filter { $0.users == users && $0.way == way }.map(\.level)
    }

    /// Requests per second through the edge over those of the application, round by round.
    func ratios(_ users: Int) -> [Double] {
        zip(levels(users, .edge), levels(users, .application)).map { $0.requestsPerSecond / max($1.requestsPerSecond, 0.001) }
    }

    static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return 0 }
        return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
    }

    func rendered() -> String {
        var table = TextTable(columns: [
            .left("load"), .right("users"), .left("way"), .right("requests/s"), .right("mean ms"), .right("p50 ms"), .right("p95 ms"),
            .right("p99 ms"), .right("bytes/request"), .right("failed"), .right("ratio (spread)"),
        ])
        for users in users {
            for way in Way.allCases {
                let levels = levels(users, way)
                func median(_ value: (BenchDocument.Level) -> Double) -> Double { Self.median(levels.map(value)) }
                let ratios = ratios(users)
                let ratio =
                    way == .application
                    ? "1 ×"
                    : "\(Self.number(Self.median(ratios))) × (\(Self.number(ratios.min() ?? 0))…\(Self.number(ratios.max() ?? 0)))"
                table.add([
                    Self.load(users), "\(users)", way.rawValue, Self.number(median(\.requestsPerSecond)), Self.number(median(\.meanMs)),
                    Self.number(median(\.p50Ms)), Self.number(median(\.p95Ms)), Self.number(median(\.p99Ms)),
                    "\(Int(median(\.bytesPerRequest)))", "\(levels.reduce(0) { $0 + $1.failed })", ratio,
                ])
            }
        }
        return table.rendered()
    }

    /// The names that the old hourly job had for its loads.
    static func load(_ users: Int) -> String {
        switch users {
        case ...5: "light"
        case ...20: "medium"
        default: "heavy"
        }
    }

    /// Three digits that say something.
    static func number(_ value: Double) -> String {
        switch value {
        case ..<10: String(format: "%.2f", value)
        case ..<100: String(format: "%.1f", value)
        default: String(format: "%.0f", value)
        }
    }
}

/// The bytes of one page in each coding.
struct PageSizes {
    let target: String
    /// By coding; `identity` first.
    let sizes: [(coding: String, bytes: Int)]

    /// The share that gzip saves, 0…1.
    var savedByGzip: Double { saved("gzip") }

    private func saved(_ coding: String) -> Double {
        guard let plain = sizes.first?.bytes, plain > 0, let packed = sizes.first(where: { $0.coding == coding })?.bytes else { return 0 }
        return 1 - Double(packed) / Double(plain)
    }

    func rendered() -> String {
        var table = TextTable(columns: [.left("page \(target)"), .right("bytes"), .right("saved")])
        for (coding, bytes) in sizes {
            let name = coding == "identity" ? "without compression" : coding
            table.add([name, "\(bytes)", coding == "identity" ? "" : "\(Int((saved(coding) * 100).rounded())) %"])
        }
        return table.rendered()
    }
}
