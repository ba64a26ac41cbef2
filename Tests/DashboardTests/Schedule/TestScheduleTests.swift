import Testing

@testable import Dashboard

/// A day of scheduled measurements, by a clock that the test has.
@Suite struct TestScheduleTests {
    /// A full hour.
    private let start: Int64 = 1_800_000_000

    private func make(_ jobs: [(TestSchedule.Kind, String)] = [(.load, "@hourly")], _ change: (inout TestSchedule.Limits) -> Void = { _ in }) throws -> TestSchedule {
        var limits = TestSchedule.Limits()
        limits.jitterSeconds = 0
        change(&limits)
        return TestSchedule(try jobs.map { ($0.0, try CronExpression($0.1)) }, limits: limits, now: start) { _ in limits.jitterSeconds }
    }

    /// Seconds pass up to a moment, exclusive.
    private func pass(_ schedule: inout TestSchedule, _ times: Range<Int64>, traffic: TestSchedule.Traffic = .init()) -> [(Int64, TestSchedule.Action)] {
        var actions: [(Int64, TestSchedule.Action)] = []
        for time in times {
            let action = schedule.secondPassed(now: start + time, traffic: traffic) { $0 }
            if action != .wait { actions.append((time, action)) }
        }
        return actions
    }

    @Test func `a job begins at its time, once, and again at the next`() throws {
        var schedule = try make()
        #expect(schedule.jobs[0].nextAt == start + 3600)
        let first = pass(&schedule, 1..<4000)
        #expect(first.count == 1 && first.first?.0 == 3600 && first.first?.1 == .start(.load))
        #expect(schedule.isRunning == .load)
        schedule.ended(problem: nil, log: ["done"], now: start + 4000)
        #expect(schedule.jobs[0].last?.ending == .finished && schedule.jobs[0].last?.log == ["done"])
        #expect(schedule.jobs[0].last?.startedAt == start + 3600)
        #expect(pass(&schedule, 4000..<7300).map(\.0) == [7200])
    }

    @Test func `the jitter is added, and never more than it may be`() throws {
        var schedule = try make { $0.jitterSeconds = 90 }
        #expect(schedule.jobs[0].nextAt == start + 3690)
        #expect(pass(&schedule, 1..<3700).map(\.0) == [3690])
    }

    @Test func `one at a time: what is due meanwhile comes next`() throws {
        var schedule = try make([(.load, "@hourly"), (.proof, "10 * * * *")]) { $0.seconds = 7200 }
        // The start is a full hour: ten past comes first.
        #expect(pass(&schedule, 1..<3700).map(\.0) == [600])
        schedule.ended(problem: nil, log: [], now: start + 3700)
        let next = pass(&schedule, 3700..<3800)
        #expect(next.map(\.0) == [3700] && next.first?.1 == .start(.load))
    }

    @Test(arguments: [TestSchedule.Traffic(p99: 2.1), .init(errorShare: 0.06)])
    func `a run ends when live traffic suffers for three seconds, and does not begin while it does`(traffic: TestSchedule.Traffic) throws {
        var schedule = try make()
        _ = pass(&schedule, 1..<3601)
        #expect(pass(&schedule, 3601..<3603, traffic: traffic).isEmpty)
        // It recovers, and suffers anew.
        #expect(pass(&schedule, 3603..<3604).isEmpty)
        #expect(pass(&schedule, 3604..<3615, traffic: traffic).map(\.0) == [3606])
        // Told again after ten seconds, if it has not ended.
        #expect(pass(&schedule, 3615..<3620, traffic: traffic).map(\.0) == [3616])
        schedule.ended(problem: "it ended with status 130", log: [], now: start + 3620)
        #expect(schedule.jobs[0].last?.ending == .aborted)
        #expect(schedule.jobs[0].last?.words.contains("live traffic suffered") == true)
        #expect(pass(&schedule, 3620..<7300, traffic: traffic).isEmpty)
        #expect(schedule.jobs[0].last?.ending == .skipped && schedule.jobs[0].last?.startedAt == start + 7200)
        #expect(schedule.jobs[0].nextAt == start + 10_800)
    }

    @Test func `traffic at the bound does not suffer`() throws {
        var schedule = try make()
        #expect(pass(&schedule, 1..<3700, traffic: .init(p99: 2, errorShare: 0.05)).count == 1)
    }

    @Test func `a run that takes too long is ended`() throws {
        var schedule = try make { $0.seconds = 100 }
        #expect(pass(&schedule, 1..<3701).count == 1)
        #expect(pass(&schedule, 3701..<3702).map(\.1) == [.stop])
        schedule.ended(problem: "", log: [], now: start + 3702)
        #expect(schedule.jobs[0].last?.ending == .tooLong)
    }

    @Test func `what failed says why`() throws {
        var schedule = try make()
        _ = pass(&schedule, 1..<3602)
        schedule.ended(problem: "it ended with status 69", log: [], now: start + 3602)
        #expect(schedule.jobs[0].last?.ending == .failed && schedule.jobs[0].last?.words == "it ended with status 69")
        // An end that nobody waits for changes nothing.
        schedule.ended(problem: nil, log: [], now: start + 3603)
        #expect(schedule.jobs[0].last?.ending == .failed)
    }

    @Test func `a clock that is set back makes nobody wait for the old time`() throws {
        var schedule = try make()
        #expect(schedule.secondPassed(now: start - 86_400, traffic: .init()) { $0 } == .wait)
        #expect(schedule.jobs[0].nextAt == start - 82_800)
    }

    @Test func `a clock that jumps forward starts one run, not one for each hour`() throws {
        var schedule = try make()
        #expect(schedule.secondPassed(now: start + 36_000, traffic: .init()) { $0 } == .start(.load))
        schedule.ended(problem: nil, log: [], now: start + 36_001)
        #expect(schedule.jobs[0].nextAt == start + 39_600)
    }

    @Test func `what another instance's run keeps from beginning is left out, and the next time stands`() throws {
        var schedule = try make()
        #expect(pass(&schedule, 1..<3601).map(\.0) == [3600])
        schedule.refused("another instance measures: b", now: start + 3601)
        #expect(schedule.isRunning == nil)
        #expect(schedule.jobs[0].last?.ending == .skipped && schedule.jobs[0].last?.words == "another instance measures: b")
        #expect(pass(&schedule, 3601..<7300).map(\.0) == [7200])
    }

    @Test func `who has lost the lock ends its run, and is told once`() throws {
        var schedule = try make()
        #expect(schedule.lost("early", now: start) == .wait, "nothing runs")
        #expect(pass(&schedule, 1..<3601).map(\.0) == [3600])
        #expect(schedule.lost("it ran out", now: start + 3700) == .stop)
        #expect(schedule.lost("again", now: start + 3701) == .wait)
        schedule.ended(problem: "it was ended by signal 15", log: [], now: start + 3702)
        #expect(schedule.jobs[0].last?.ending == .aborted && schedule.jobs[0].last?.words == "it ran out")
        schedule.refused("nothing is to be refused", now: start + 3703)
        #expect(schedule.jobs[0].last?.ending == .aborted)
    }
}
