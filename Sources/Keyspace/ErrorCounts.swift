import Telemetry

/// Errors by their code, for `INFO errorstats`.
final class ErrorCounts: Sendable {
    /// Codes that are told apart; scripts can make up any number.
    static let codesMax = 128

    private let counts = Lock<[String: Int]>([:])

    func failed(_ text: String) {
        let code = String(text.prefix { $0 != " " })
        counts.withLock { counts in
            if counts[code] != nil || counts.count < Self.codesMax { counts[code, default: 0] += 1 }
        }
    }

    func snapshot() -> [(code: String, count: Int)] {
        counts.withLock { $0 }.map { ($0.key, $0.value) }.sorted { $0.0 < $1.0 }
    }

    func reset() { counts.withLock { $0 = [:] } }
}
