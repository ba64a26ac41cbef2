import Telemetry
import Testing

@testable import LoadGenerator

@Suite struct ConditionTests {
    private func report() -> LoadReport {
        let histogram = Histogram()
        for time in 1...100 { histogram.record(nanoseconds: UInt64(time) * 1_000_000) }
        var report = LoadReport(users: 1)
        report.seconds = 2
        report.succeeded = 100
        report.failures = [.status: 1]
        report.responseTimes = histogram.snapshot()
        return report
    }

    @Test(arguments: [
        ("p99<250ms", true), ("p95>300ms", false), ("p50>=49ms", true), ("p50 < 52 ms", true), ("max<=0.1s", true), ("max<100ms", false),
        ("mean>50ms", true), ("mean<51000us", true), ("errors<1%", true), ("errors<0.9%", false), ("rate>=50", true), ("rate>50", false),
        ("p99.9<101ms", true),
    ])
    func `a condition is held against a report`(text: String, holds: Bool) throws {
        #expect(try Condition(text).holds(report()) == holds)
    }

    @Test(arguments: ["", "p99", "p99<", "p99<250", "p101<1s", "p-1<1s", "errors<1", "errors<x%", "rate<1ms", "q<1s", "p99=1s", "p99<1d", "p99<<1s"])
    func `what is no condition is refused`(text: String) {
        #expect(throws: Condition.Invalid.self) { try Condition(text) }
    }

    @Test func `several are parted by commas`() throws {
        #expect(try Condition.list("p99<250ms,errors<0.1%").count == 2)
        #expect(throws: Condition.Invalid.self) { try Condition.list("p99<250ms,") }
    }

    @Test func `a run in which nothing succeeded holds no time and no share of errors`() throws {
        var report = LoadReport(users: 1)
        report.failures = [.connect: 3]
        #expect(try !Condition("p99<10s").holds(report))
        #expect(try Condition("p99>10s").holds(report))
        #expect(try Condition("errors>99%").holds(report))
        #expect(try Condition("errors>99%").holds(LoadReport(users: 1)))
    }
}

@Suite struct KneeSearchTests {
    /// Searches on a server that holds the objective up to a rate.
    private func search(start: Double, holdsUpTo knee: Double, generatorMax: Double = .infinity, hiccups: Set<Int> = []) -> (KneeSearch.Knee, Int) {
        var search = KneeSearch(start: start)
        for count in 0..<100 {
            switch search.step {
            case .done(let knee): return (knee, count)
            case .measure(let rate):
                let isHiccup = hiccups.contains(count)
                search.judged(rate > generatorMax ? .unknown : rate <= knee && !isHiccup ? .holds : .fails)
            }
        }
        Issue.record("no end")
        return (.init(isGeneratorLimited: false), 0)
    }

    @Test(arguments: [(10.0, 777.0), (1000, 777), (50, 50), (50, 51), (1, 90_000)])
    func `the bracket holds the knee, within five per cent`(start: Double, knee: Double) throws {
        let (found, count) = search(start: start, holdsUpTo: knee)
        let low = try #require(found.holds)
        let high = try #require(found.fails)
        #expect(low <= knee && knee < high && high / low <= 1.05)
        #expect(!found.isGeneratorLimited && count < 45)
    }

    @Test func `one hiccup is not believed`() throws {
        for hiccup in 0..<6 {
            let (found, _) = search(start: 10, holdsUpTo: 777, hiccups: [hiccup])
            #expect(try #require(found.fails) > 777, "hiccup at \(hiccup)")
        }
    }

    @Test func `a server that holds nothing has no knee`() {
        let (found, _) = search(start: 10, holdsUpTo: 0)
        #expect(found.holds == nil && found.fails != nil)
    }

    @Test func `a generator that can do no more ends the search and is named`() {
        let (found, _) = search(start: 10, holdsUpTo: 1e9, generatorMax: 100)
        #expect(found == .init(holds: 80, fails: nil, isGeneratorLimited: true))
    }

    @Test func `the search has an end above, too`() {
        #expect(search(start: 1000, holdsUpTo: 1e12).0 == .init(holds: KneeSearch.rateMax, fails: nil, isGeneratorLimited: false))
    }
}
