import Testing

@testable import Pooler

@Suite struct SharedLimitsTests {
    private func limits(all: Int = 100, database: Int = 0, user: Int = 0) -> SharedLimits {
        var limits = PoolerConfiguration.Limits()
        (limits.serverConnectionsMax, limits.databaseConnectionsMax, limits.userConnectionsMax) = (all, database, user)
        return SharedLimits(limits)
    }

    @Test func `of each limit as many as it says, over all pools that share it`() {
        for (shared, other) in [(limits(all: 2), ("b", "y")), (limits(database: 2), ("a", "y")), (limits(user: 2), ("b", "x"))] {
            var shared = shared
            let (one, two) = (shared.owner(database: "a", user: "x"), shared.owner(database: other.0, user: other.1))
            shared.taken(one)
            #expect(shared.haveRoom(for: two))
            shared.taken(two)
            #expect(!shared.haveRoom(for: one) && !shared.haveRoom(for: two))
            #expect(shared.checkInvariants(mayBeOver: false) == nil)
            shared.givenBack(two)
            #expect(shared.haveRoom(for: one))
            shared.taken(two)
            shared.taken(one)
            #expect(shared.checkInvariants(mayBeOver: false) != nil)
        }
    }

    @Test func `a limit of zero is none`() {
        var shared = limits()
        let owner = shared.owner(database: "a", user: "x")
        for _ in 0..<100 {
            #expect(shared.haveRoom(for: owner))
            shared.taken(owner)
        }
        #expect(!shared.haveRoom(for: owner))
    }

    @Test func `another's connection makes room where it counts against the limit that is reached`() {
        var shared = limits(database: 1)
        let (mine, sameDatabase, sameUser) = (shared.owner(database: "a", user: "x"), shared.owner(database: "a", user: "y"), shared.owner(database: "b", user: "x"))
        #expect(!shared.wouldHaveRoom(for: mine, without: sameDatabase), "there is room already")
        shared.taken(sameDatabase)
        shared.taken(sameUser)
        #expect(shared.wouldHaveRoom(for: mine, without: sameDatabase))
        #expect(!shared.wouldHaveRoom(for: mine, without: sameUser))
    }
}
