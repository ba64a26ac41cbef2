/// How many server connections there are of each database, of each user and in all, and whether there may be one more: the limits that pools share.
/// What a pool may have for itself is ``PoolMachine``'s.
struct SharedLimits: Sendable {
    /// Whose a connection is.
    struct Owner: Equatable, Sendable {
        fileprivate(set) var database: Int
        fileprivate(set) var user: Int
    }

    var limits: PoolerConfiguration.Limits
    private var databases = Names()
    private var users = Names()
    private(set) var total = 0

    /// Names, as numbers that stay, and what each has.
    private struct Names: Sendable {
        private var indices: [String: Int] = [:]
        var counts: [Int] = []

        mutating func index(_ name: String) -> Int {
            if let index = indices[name] { return index }
            counts.append(0)
            indices[name] = counts.count - 1
            return counts.count - 1
        }
    }

    init(_ limits: PoolerConfiguration.Limits) {
        self.limits = limits
    }

    mutating func owner(database: String, user: String) -> Owner {
        Owner(database: databases.index(database), user: users.index(user))
    }

    mutating func taken(_ owner: Owner) {
        databases.counts[owner.database] += 1
        users.counts[owner.user] += 1
        total += 1
    }

    mutating func givenBack(_ owner: Owner) {
        databases.counts[owner.database] -= 1
        users.counts[owner.user] -= 1
        total -= 1
    }

    func haveRoom(for owner: Owner) -> Bool { total < limits.serverConnectionsMax && !isDatabaseFull(owner) && !isUserFull(owner) }

    /// Whether there are more than there may be, since a limit was lowered.
    func isOver(_ owner: Owner) -> Bool {
        total > limits.serverConnectionsMax || Self.isOver(databases.counts[owner.database], limits.databaseConnectionsMax)
            || Self.isOver(users.counts[owner.user], limits.userConnectionsMax)
    }

    /// Whether there is room when a connection of the other's is gone: all limits that are reached are the other's, too.
    func wouldHaveRoom(for owner: Owner, without other: Owner) -> Bool {
        !haveRoom(for: owner) && (!isDatabaseFull(owner) || owner.database == other.database) && (!isUserFull(owner) || owner.user == other.user)
    }

    private func isDatabaseFull(_ owner: Owner) -> Bool { Self.isFull(databases.counts[owner.database], limits.databaseConnectionsMax) }
    private func isUserFull(_ owner: Owner) -> Bool { Self.isFull(users.counts[owner.user], limits.userConnectionsMax) }

    private static func isFull(_ count: Int, _ max: Int) -> Bool { max > 0 && count >= max }
    private static func isOver(_ count: Int, _ max: Int) -> Bool { max > 0 && count > max }

    /// For tests.
    /// - Parameter mayBeOver: a limit was lowered.
    func checkInvariants(mayBeOver: Bool) -> String? {
        if !mayBeOver {
            if total > limits.serverConnectionsMax { return "over the limit of all" }
            if let index = databases.counts.firstIndex(where: { Self.isOver($0, limits.databaseConnectionsMax) }) { return "database \(index) over its limit" }
            if let index = users.counts.firstIndex(where: { Self.isOver($0, limits.userConnectionsMax) }) { return "user \(index) over its limit" }
        }
        return databases.counts.reduce(0, +) == total && users.counts.reduce(0, +) == total ? nil : "the counts of databases, users and all are not one"
    }
}
