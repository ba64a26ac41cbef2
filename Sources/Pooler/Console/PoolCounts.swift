/// What the pools of one event loop have done, for SHOW STATS. One writer, its event loop.
struct PoolCounts {
    typealias Counts = ConsoleSnapshot.Stats.Counts

    /// PgBouncer's `stats_period`.
    static let periodSeconds: UInt64 = 60

    /// By pool.
    private(set) var totals: [Counts] = []
    private var periodStart: [Counts] = []
    /// What came of the last period: see ``Counts/averages(since:seconds:)``.
    private(set) var averages: [Counts] = []

    mutating func add(_ pool: Int, _ change: (inout Counts) -> Void) {
        while totals.count <= pool { totals.append(Counts()) }
        change(&totals[pool])
    }

    /// A period has ended.
    mutating func periodEnded() {
        averages = totals.indices.map { pool in
            totals[pool].averages(since: pool < periodStart.count ? periodStart[pool] : Counts(), seconds: Self.periodSeconds)
        }
        periodStart = totals
    }
}

extension ConsoleSnapshot.Stats.Counts {
    /// Per second, but for the times of transactions and queries, which are per transaction and per query: as PgBouncer has them.
    func averages(since start: Self, seconds: UInt64) -> Self {
        func perSecond(_ value: KeyPath<Self, UInt64>) -> UInt64 { (self[keyPath: value] &- start[keyPath: value]) / max(1, seconds) }
        func mean(_ time: KeyPath<Self, UInt64>, _ count: KeyPath<Self, UInt64>) -> UInt64 {
            (self[keyPath: time] &- start[keyPath: time]) / max(1, self[keyPath: count] &- start[keyPath: count])
        }
        var averages = Self()
        averages.serverAssignments = perSecond(\.serverAssignments)
        averages.transactions = perSecond(\.transactions)
        averages.queries = perSecond(\.queries)
        averages.bytesReceived = perSecond(\.bytesReceived)
        averages.bytesSent = perSecond(\.bytesSent)
        averages.transactionTime = mean(\.transactionTime, \.transactions)
        averages.queryTime = mean(\.queryTime, \.queries)
        averages.waitTime = perSecond(\.waitTime)
        averages.clientParses = perSecond(\.clientParses)
        averages.serverParses = perSecond(\.serverParses)
        averages.binds = perSecond(\.binds)
        averages.clientLogins = perSecond(\.clientLogins)
        return averages
    }

    /// Two loops' figures for the same database. Means are added as they are only where one of them is zero; else they are weighted
    /// by what they are the mean of.
    mutating func merge(_ other: Self, areAverages: Bool) {
        func weighted(_ time: KeyPath<Self, UInt64>, _ count: KeyPath<Self, UInt64>) -> UInt64 {
            guard areAverages else { return self[keyPath: time] &+ other[keyPath: time] }
            let (own, theirs) = (self[keyPath: count], other[keyPath: count])
            guard own &+ theirs > 0 else { return max(self[keyPath: time], other[keyPath: time]) }
            return (self[keyPath: time] &* own &+ other[keyPath: time] &* theirs) / (own &+ theirs)
        }
        (transactionTime, queryTime) = (weighted(\.transactionTime, \.transactions), weighted(\.queryTime, \.queries))
        serverAssignments &+= other.serverAssignments
        transactions &+= other.transactions
        queries &+= other.queries
        bytesReceived &+= other.bytesReceived
        bytesSent &+= other.bytesSent
        waitTime &+= other.waitTime
        clientParses &+= other.clientParses
        serverParses &+= other.serverParses
        binds &+= other.binds
        clientLogins &+= other.clientLogins
    }
}
