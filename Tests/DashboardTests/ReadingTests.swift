import History
import Telemetry
import Testing

@testable import Dashboard

@Suite struct ReadingTests {
    @Test func `a sample has what was counted in between, and levels as they are`() {
        var (first, second) = (Reading(time: 100), Reading(time: 102))
        (first[.requests], second[.requests]) = (1000, 1250)
        (first[.connections], second[.connections]) = (7, 3)
        let sample = second.sample(since: first)
        #expect(sample.time == 100 && sample.seconds == 2)
        #expect(sample[.requests] == 250)
        #expect(sample[.connections] == 3)
        #expect(sample[.pool_queries].isNaN)
    }

    @Test func `a counter that began anew counts from nothing`() {
        var (first, second) = (Reading(time: 1), Reading(time: 2))
        (first[.keyspace_hits], second[.keyspace_hits]) = (1000, 20)
        #expect(second.sample(since: first)[.keyspace_hits] == 20)
    }

    @Test func `times are those that were recorded in between, to within an eighth`() throws {
        let histogram = Histogram()
        for _ in 0..<50 { histogram.record(nanoseconds: 900_000_000) }
        var first = Reading(time: 1)
        first[.response] = histogram.snapshot()
        for milliseconds in 1...100 { histogram.record(nanoseconds: UInt64(milliseconds) * 1_000_000) }
        var second = Reading(time: 2)
        second[.response] = histogram.snapshot()
        let distribution = second.sample(since: first).distributions[Timed.response.place]
        #expect(distribution.total == 100)
        for percentile in [50.0, 95, 99] {
            let value = try #require(distribution.percentile(percentile))
            #expect(abs(value - percentile / 1000) <= percentile / 1000 / 8, "\(percentile): \(value)")
        }
    }

    @Test func `no records have no percentile`() {
        #expect(Distribution().percentile(50) == nil)
    }
}

@Suite struct ServiceHealthTests {
    @Test func `the first probe decides; then it takes three failures and two successes`() {
        var health = ServiceHealth()
        #expect(health.state == .unknown)
        health.probed(error: nil, now: 10)
        #expect(health.state == .up && health.since == 10)
        health.probed(error: "refused", now: 11)
        health.probed(error: "refused", now: 12)
        #expect(health.state == .up)
        health.probed(error: "Connection refused", now: 13)
        #expect(health.state == .down && health.since == 13)
        health.probed(error: nil, now: 14)
        #expect(health.state == .down)
        health.probed(error: nil, now: 15)
        #expect(health.state == .up && health.since == 15)
        #expect(health.lastError == "Connection refused" && health.lastErrorAt == 13, "what was wrong stays to be read")
    }

    @Test func `what answers every other time does not swing`() {
        var health = ServiceHealth()
        health.probed(error: nil, now: 0)
        for time in 1...20 { health.probed(error: time % 2 == 0 ? "no" : nil, now: Int64(time)) }
        #expect(health.state == .up && health.since == 0)
    }

    @Test func `a peer's words are cut`() {
        var health = ServiceHealth()
        health.probed(error: String(repeating: "x", count: 10_000), now: 1)
        #expect(health.lastError?.utf8.count == ServiceHealth.errorBytesMax)
    }
}
