/// What PostgreSQL had to do lately, by what it and the kernel have counted at some moments. Counts in, figures out; no I/O, no clock.
public struct DatabaseLoad: Sendable {
    /// Since PostgreSQL began, or its statistics.
    public struct Count: Sendable {
        /// Seconds since 1970.
        public var time: Int64
        /// When PostgreSQL began: what it counted before is gone.
        public var startedAt: Int64?
        /// Transactions of all its databases.
        public var transactions: Double?
        /// Of those, what was asked to find out how it is, and what the pooler does for itself: `SELECT 1`, logins, resets. Nobody's traffic.
        public var asked: Double
        /// Of those, what came through the pooler.
        public var pooled: Double
        /// CPU time of its processes; `nil` where they are not seen.
        public var cpuSeconds: Double?

        public init(time: Int64, startedAt: Int64?, transactions: Double?, asked: Double, pooled: Double, cpuSeconds: Double?) {
            self.time = time
            self.startedAt = startedAt
            self.transactions = transactions
            self.asked = asked
            self.pooled = pooled
            self.cpuSeconds = cpuSeconds
        }
    }

    /// Figures are of the last so many seconds. PostgreSQL's own counters come up to ten seconds late: over a minute that hardly shows.
    static let windowSeconds: Int64 = 60
    /// Of fewer transactions its own (autovacuum) are a good part.
    static let transactionsMin = 50.0

    private var counts: [Count] = []

    public init() {}

    public mutating func counted(_ count: Count) {
        if let last = counts.last {
            let isAnew = if let now = count.transactions, let before = last.transactions { now < before } else { false }
            if isAnew || count.time <= last.time || count.startedAt != last.startedAt || count.pooled < last.pooled { counts = [] }
        }
        counts.append(count)
        while counts.count > 2, counts[1].time <= count.time - Self.windowSeconds { counts.removeFirst() }
    }

    private var ends: (first: Count, last: Count)? {
        guard let first = counts.first, let last = counts.last, last.time > first.time else { return nil }
        return (first, last)
    }

    /// Cores that its processes kept busy; `nil` before two moments are known.
    public var cores: Double? {
        guard let (first, last) = ends, let before = first.cpuSeconds, let now = last.cpuSeconds else { return nil }
        return max(0, now - before) / Double(last.time - first.time)
    }

    /// Of its transactions, the share that came through the pooler, 0…1; `nil` when there were next to none.
    public var pooledShare: Double? {
        guard let (all, pooled) = transactions, all >= Self.transactionsMin else { return nil }
        return min(pooled / all, 1)
    }

    private var transactions: (all: Double, pooled: Double)? {
        guard let (first, last) = ends, let before = first.transactions, let now = last.transactions else { return nil }
        return (now - before - (last.asked - first.asked), last.pooled - first.pooled)
    }

    /// Why ``pooledShare`` is not known, in words.
    var shareNote: String {
        guard ends != nil else { return "known after half a minute" }
        guard let (_, pooled) = transactions else { return "it does not tell" }
        // From PostgreSQL 15 on a session counts those that touch no table once another one does.
        return pooled < Self.transactionsMin ? "it had next to nothing to do" : "its statements touch no table, and are counted late"
    }
}
