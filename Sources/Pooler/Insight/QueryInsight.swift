/// What one normalised statement has cost on one event loop, which alone writes it.
final class QueryStatistics {
    let fingerprint: UInt64
    let pool: Int
    /// Normalised, so that no value of anybody's is shown.
    let text: String
    var calls: UInt64 = 0
    var rows: UInt64 = 0
    var errors: UInt64 = 0
    /// Microseconds.
    var wait: UInt64 = 0
    var server: UInt64 = 0
    var times = QueryTimes()
    /// Of the HTTP request that called it last and said so.
    var traceID: String?
    /// It made room for another: who still holds it looks it up anew.
    var isForgotten = false

    init(fingerprint: UInt64, pool: Int, text: String) {
        self.fingerprint = fingerprint
        self.pool = pool
        self.text = text
    }

    func ended(wait: UInt64, server: UInt64, rows: UInt64, hasFailed: Bool) {
        calls &+= 1
        self.wait &+= wait
        self.server &+= server
        self.rows &+= rows
        if hasFailed { errors &+= 1 }
        times.record(server)
    }
}

/// The statements that one event loop's clients ask for, by what they cost. Belongs to its event loop: not Sendable.
///
/// Bounded: when it is full, the half that took the least time at the server goes, and what comes again begins anew.
final class QueryInsight {
    static let statementsMax = 500
    static let textBytesMax = 1_000

    private struct Key: Hashable {
        var fingerprint: UInt64
        var pool: Int
    }

    private var statements: [Key: QueryStatistics] = [:]

    var all: some Collection<QueryStatistics> { statements.values }

    func find(fingerprint: UInt64, pool: Int, text: () -> String) -> QueryStatistics {
        let key = Key(fingerprint: fingerprint, pool: pool)
        if let found = statements[key] { return found }
        if statements.count >= Self.statementsMax {
            let median = statements.values.map(\.server).sorted()[Self.statementsMax / 2]
            for statistics in statements.values where statistics.server <= median { statistics.isForgotten = true }
            statements = statements.filter { !$0.value.isForgotten }
        }
        let made = QueryStatistics(fingerprint: fingerprint, pool: pool, text: text())
        statements[key] = made
        return made
    }
}
