import TestSupport
import Testing

@testable import Edge

@Suite struct BalancerTests {
    private func members(_ weights: [Double]) -> [Balancer.Standing] {
        weights.enumerated().map { .init(weight: $1, hash: Balancer.hash("10.0.0.\($0):80".utf8)) }
    }

    @Test func `round robin spreads evenly by weight: the example of its authors`() {
        var members = members([5, 1, 1])
        let order = (0..<7).map { _ in Balancer.roundRobin(&members) }
        #expect(order == [0, 0, 1, 0, 2, 0, 0])
        #expect(members.allSatisfy { $0.credit == 0 }, "after a whole round all is even")
    }

    @Test func `round robin passes over who is no candidate, and nobody gets the turn of nobody`() {
        var members = members([1, 1, 1])
        members[1].isCandidate = false
        #expect((0..<4).map { _ in Balancer.roundRobin(&members) } == [0, 2, 0, 2])
        for index in members.indices { members[index].isCandidate = false }
        #expect(Balancer.roundRobin(&members) == nil)
        #expect(Balancer.leastConnections(&members) == nil)
        #expect(Balancer.randomOfTwo(members, random: 7) == nil)
        #expect(Balancer.rendezvous(members, key: 7) == nil)
    }

    @Test func `least connections goes by the load for the weight, and among equals one after the other`() {
        var members = members([1, 1, 4])
        members[0].active = 1
        members[1].active = 1
        members[2].active = 3
        #expect(Balancer.leastConnections(&members) == 2, "3 and one more of 4 are less than 1 and one more of 1")
        members[2].active = 8
        #expect((0..<4).map { _ in Balancer.leastConnections(&members) } == [0, 1, 0, 1])
    }

    @Test func `random of two takes who has less to do, and draws by weight`() {
        var random = SeededRandom(seed: 1)
        var members = members([1, 1])
        members[0].active = 3
        for _ in 0..<100 { #expect(Balancer.randomOfTwo(members, random: random.next()) == 1) }
        members = self.members([1, 1, 1, 1, 1, 1, 1, 1])
        members[3].active = 100
        var counts = [Int](repeating: 0, count: 8)
        for _ in 0..<8000 { counts[Balancer.randomOfTwo(members, random: random.next()) ?? 0] += 1 }
        #expect(counts[3] == 0 && counts.enumerated().allSatisfy { $0 == 3 || (900...1400).contains($1) }, "\(counts)")
    }

    @Test func `a key has its member, in every process the same`() {
        let members = members([1, 1, 1])
        let keys = ["a", "b", "c", "d", "e", "f", "g", "h"].map { Balancer.hash($0.utf8) }
        // What an edge that is started anew must find again: a change here moves every client.
        #expect(keys.map { Balancer.rendezvous(members, key: $0) } == Self.places)
    }

    private static let places: [Int?] = [2, 0, 0, 0, 0, 2, 1, 1]

    @Test func `keys are spread by weight`() {
        let members = members([1, 2, 1])
        var counts = [0, 0, 0]
        for key in 0..<40_000 { counts[Balancer.rendezvous(members, key: Balancer.mixed(UInt64(key))) ?? 0] += 1 }
        #expect(abs(counts[0] - 10_000) < 500 && abs(counts[1] - 20_000) < 500 && abs(counts[2] - 10_000) < 500, "\(counts)")
    }

    @Test func `when a member goes its keys move and no others; when it gains weight keys move to it alone`() {
        let before = members([1, 1, 1, 1])
        var without = before
        without[2].isCandidate = false
        var heavier = before
        heavier[1].weight = 2
        for key in 0..<10_000 {
            let key = Balancer.mixed(UInt64(key))
            let place = Balancer.rendezvous(before, key: key)
            if place != 2 { #expect(Balancer.rendezvous(without, key: key) == place) }
            let later = Balancer.rendezvous(heavier, key: key)
            #expect(later == place || later == 1)
        }
    }

    @Test func `a die of one and of nothing are both a number`() {
        var members = members([1, 1])
        members[0].hash = 0
        for key in [UInt64.min, .max, 1, 1 << 63] { #expect(Balancer.rendezvous(members, key: key) != nil) }
    }
}
