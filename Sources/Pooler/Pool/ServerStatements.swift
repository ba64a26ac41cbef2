/// What is prepared on one server connection, with what was used longest ago.
struct ServerStatements {
    private var lastUse: [Int: UInt64] = [:]
    private var uses: UInt64 = 0
    let max: Int

    init(max: Int) {
        self.max = max
    }

    var count: Int { lastUse.count }
    var isFull: Bool { lastUse.count >= Swift.max(1, max) }

    /// Whether it is there; it counts as used now.
    mutating func use(_ id: Int) -> Bool {
        uses += 1
        guard let index = lastUse.index(forKey: id) else { return false }
        lastUse.values[index] = uses
        return true
    }

    /// One more is prepared.
    /// - Returns: who must be closed first.
    mutating func add(_ id: Int) -> Int? {
        var victim: Int?
        // Of those that were restored, the oldest: what a session does hangs on nothing but what it was asked.
        if isFull { victim = lastUse.min { ($0.value, $0.key) < ($1.value, $1.key) }?.key }
        if let victim { lastUse[victim] = nil }
        uses += 1
        lastUse[id] = uses
        return victim
    }

    /// It was not prepared after all, or is gone.
    mutating func remove(_ id: Int) { lastUse[id] = nil }

    /// It was to be closed, and was not.
    mutating func restore(_ id: Int) { lastUse[id] = 0 }

    mutating func removeAll() { lastUse = [:] }
}
