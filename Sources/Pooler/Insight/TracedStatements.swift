/// Which statements came of which HTTP request, as far as they say so (see ``TraceParent``), until somebody takes it. Belongs to its event
/// loop: not Sendable.
///
/// Bounded, whatever clients write into their comments: once full it takes nothing more until it is taken, and says so, because half of a
/// request's statements would look like all of them.
final class TracedStatements {
    /// Requests between two takings, which are a second apart.
    static let tracesMax = 2_000
    /// Different statements of one request; all are counted, those beyond are not told apart.
    static let statementsMax = 30

    struct Trace {
        var calls: UInt64 = 0
        /// Microseconds.
        var server: UInt64 = 0
        var wait: UInt64 = 0
        var statements: [(statistics: QueryStatistics, calls: UInt64)] = []
    }

    private var traces: [String: Trace] = [:]
    private var isIncomplete = false
    /// Microseconds since the start.
    private(set) var server: UInt64 = 0
    private(set) var wait: UInt64 = 0

    func ended(_ traceID: String, _ statistics: QueryStatistics, wait: UInt64, server: UInt64) {
        self.server &+= server
        self.wait &+= wait
        guard let index = traces.index(forKey: traceID) ?? added(traceID) else { return isIncomplete = true }
        traces.values[index].calls += 1
        traces.values[index].server &+= server
        traces.values[index].wait &+= wait
        if let known = traces.values[index].statements.firstIndex(where: { $0.statistics === statistics }) {
            traces.values[index].statements[known].calls += 1
        } else if traces.values[index].statements.count < Self.statementsMax {
            traces.values[index].statements.append((statistics, 1))
        }
    }

    private func added(_ traceID: String) -> Dictionary<String, Trace>.Index? {
        guard traces.count < Self.tracesMax else { return nil }
        traces[traceID] = Trace()
        return traces.index(forKey: traceID)
    }

    /// Hands over what there is, and forgets it.
    /// - Returns: `isComplete` is false when there was more than it can hold.
    func take() -> (traces: [String: Trace], isComplete: Bool) {
        defer { (traces, isIncomplete) = ([:], false) }
        return (traces, !isIncomplete)
    }
}
