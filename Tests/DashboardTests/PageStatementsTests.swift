import Testing

@testable import Dashboard

@Suite struct PageStatementsTests {
    private func trace(_ id: String, _ calls: Double, text: String = "select ?") -> PageStatements.Trace {
        .init(id: id, calls: calls, seconds: calls / 1000, statements: [(text, "shop", calls)])
    }

    @Test func `statements and pages meet by their trace, whichever comes first and in however many parts`() {
        var joined = PageStatements()
        joined.statementsEnded([trace("a", 20)], isComplete: true, now: 100)
        joined.pagesEnded([("a", "/scans/*"), ("b", "/scans/*"), ("c", "/quiet")], now: 101)
        joined.statementsEnded([trace("a", 4), trace("b", 12)], isComplete: true, now: 102)
        joined.secondPassed(now: 102)
        #expect(joined.page("/scans/*") == nil, "more of them may come")
        joined.secondPassed(now: 110)
        let page = joined.page("/scans/*")
        #expect(page?.pages == 2 && page?.calls == 36 && page?.perPage == 18)
        #expect(abs((page?.seconds ?? 0) - 0.036) < 1e-9)
        #expect(joined.page("/quiet") == nil, "it may ask nothing, or say no trace: nobody knows")
        #expect(joined.statement("select ?", database: "shop") == .init(pages: 2, calls: 36, worst: "/scans/*", worstCalls: 24))
        #expect(joined.statement("select ?", database: "other") == nil)
        joined.secondPassed(now: 200)
        #expect(joined.page("/scans/*")?.pages == 2, "each is counted once")
    }

    @Test func `a trace of two requests is nobody's, and one without a request is forgotten`() {
        var joined = PageStatements()
        joined.pagesEnded([("a", "/one"), ("a", "/two")], now: 100)
        joined.statementsEnded([trace("a", 3), trace("job", 1000)], isComplete: true, now: 100)
        joined.secondPassed(now: 100 + PageStatements.forgetSeconds)
        joined.pagesEnded([("job", "/late")], now: 200)
        joined.secondPassed(now: 300)
        #expect(joined.page("/one") == nil && joined.page("/two") == nil && joined.page("/late") == nil)
    }

    @Test func `one page with more statements than are kept of all is no end of anything`() {
        var joined = PageStatements()
        joined.pagesEnded([("a", "/export"), ("b", "/list")], now: 100)
        for number in 0..<2 * PageStatements.statementsMax { joined.statementsEnded([trace("a", 1, text: "select \(number)")], isComplete: true, now: 100) }
        joined.secondPassed(now: 110)
        #expect(joined.page("/export")?.calls == Double(2 * PageStatements.statementsMax), "all are counted")
        #expect(joined.statement("select 0", database: "shop") != nil)
        #expect(joined.statement("select \(PageStatements.statementsPerPageMax)", database: "shop") == nil, "of so many nothing is said one by one")
    }

    @Test func `what is not whole is not counted`() {
        var joined = PageStatements()
        joined.pagesEnded([("a", "/one")], now: 100)
        joined.statementsEnded([trace("a", 3)], isComplete: true, now: 100)
        joined.statementsEnded([trace("a", 3)], isComplete: false, now: 101)
        joined.secondPassed(now: 120)
        #expect(joined.page("/one") == nil)
    }

    @Test func `traces, patterns and statements have bounds`() {
        var joined = PageStatements()
        for second in 0..<100 as Range<Int64> {
            let ids = (0..<1000).map { "\(second)-\($0)" }
            joined.pagesEnded(ids.map { ($0, "/p\($0)") }, now: 1000 + second)
            joined.statementsEnded(ids.map { trace($0, 1, text: "q\($0)") }, isComplete: true, now: 1000 + second)
            joined.secondPassed(now: 1000 + second)
        }
        let found = (0..<100).reduce(0) { sum, second in sum + (0..<1000).count { joined.page("/p\(second)-\($0)") != nil } }
        #expect(found > 0 && found <= PageStatements.patternsMax, "\(found)")
        // One more than may wait: none of them is known as a whole.
        var full = PageStatements()
        full.statementsEnded((0...PageStatements.openMax).map { trace("\($0)", 1) }, isComplete: true, now: 1)
        full.pagesEnded([("0", "/first")], now: 1)
        full.secondPassed(now: 50)
        #expect(full.page("/first") == nil)
    }

    @Test func `a clock that is set back gives up what is open`() {
        var joined = PageStatements()
        joined.pagesEnded([("a", "/one")], now: 1000)
        joined.secondPassed(now: 10)
        joined.statementsEnded([trace("a", 1)], isComplete: true, now: 11)
        joined.secondPassed(now: 70)
        #expect(joined.page("/one") == nil)
    }
}
