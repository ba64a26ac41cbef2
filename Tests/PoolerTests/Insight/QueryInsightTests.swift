import TestSupport
import Testing

@testable import Pooler

@Suite struct QueryInsightTests {
    private func text(_ sql: String) -> String { Array(sql.utf8).withUnsafeBytes { QueryFingerprint.text($0, bytesMax: 1_000) } }
    private func hash(_ sql: String) -> UInt64 { Array(sql.utf8).withUnsafeBytes { QueryFingerprint.hash($0) } }

    @Test(arguments: [
        ("SELECT abalance FROM accounts WHERE aid = 12345;", "select abalance from accounts where aid=?"),
        ("select  a1 , b_2\n\tfrom t where c = 'it''s' and d=E'\\'' and e in (1, 2,3.5e-7)", "select a1,b_2 from t where c=? and d=e? and e in(?)"),
        ("select 1 /* a 'comment' /* within */ */ -- and\n + 2", "select ?+?"),
        ("insert into t values (1,'x'),(2,'y')", "insert into t values(?),(?)"),
        ("select \"A b\", $1 from t limit 5", "select \"A b\",$1 from t limit ?"),
        ("select $$it's$$, $1 from $a$b$c$a$ where $2=$$", "select ?,$1 from ? where $2=?"), ("update t set a = 1, b = 2", "update t set a=?,b=?"), ("", ""), ("'", "?"), ("/*", ""),
    ])
    func `literals, space, comments and case are normalised`(sql: String, expected: String) {
        #expect(text(sql) == expected)
    }

    @Test func `what differs in literals only has one fingerprint, what differs otherwise another`() {
        #expect(hash("SELECT a FROM t WHERE b = 1") == hash("select a\n from t where b = 'x' -- c"))
        #expect(hash("select a from t where b in (1)") == hash("select a from t where b in (1, 2, 3)"))
        #expect(hash("select a from t") != hash("select b from t"))
        #expect(hash("select \"A\" from t") != hash("select \"a\" from t"))
    }

    @Test func `what is known of a beginning changes nothing of what is said of a text`() {
        let pieces = [
            "select a from t where b = ", "SELECT  a,b from t where c in (", "begin", "temp", " t", "em", "=", "12", "'x", "''y' ", "\"q\" ", "$1", "$$ z $$", "/* c ", "*/", "--", "\n", ";", ", ", "(",
            " and d='1'", "E'\\''", "3.5e-7", "update t set a=", "é=5 ",
        ]
        var random = SeededRandom(seed: 5)
        var beginning = QueryBeginning()
        for _ in 0..<5_000 {
            // Often the same beginning, with something else behind it.
            let sql = Array(((random.chance(oneIn: 2) ? pieces[0] : "") + (0..<Int.random(in: 0...5, using: &random)).map { _ in random.pick(pieces) }.joined()).utf8)
            sql.withUnsafeBytes {
                #expect(beginning.fingerprint($0) == QueryFingerprint.hash($0), "\(String(decoding: sql, as: UTF8.self))")
                #expect(beginning.isHarmless($0) == HarmlessGlance.passes($0), "\(String(decoding: sql, as: UTF8.self))")
            }
        }
    }

    @Test func `500 statements are kept, then the cheaper half goes`() {
        let insight = QueryInsight()
        for number in 0..<QueryInsight.statementsMax {
            insight.find(fingerprint: UInt64(number), pool: 0) { "q\(number)" }.ended(wait: 0, server: UInt64(number), rows: 1, hasFailed: false)
        }
        #expect(insight.all.count == QueryInsight.statementsMax)
        _ = insight.find(fingerprint: 1_000, pool: 0) { "new" }
        #expect(insight.all.count == QueryInsight.statementsMax / 2)
        #expect(insight.find(fingerprint: 499, pool: 0) { "again" }.text == "q499")
        #expect(insight.find(fingerprint: 0, pool: 0) { "again" }.text == "again")
        #expect(insight.find(fingerprint: 499, pool: 1) { "another pool" }.calls == 0)
    }

    @Test func `percentiles are right to within a fifth`() {
        var times = QueryTimes()
        #expect(times.percentile(50) == 0)
        for value in 1...1_000 { times.record(UInt64(value)) }
        for (percentile, value) in [(50.0, 500.0), (95, 950), (99, 990)] {
            let found = Double(times.percentile(percentile))
            #expect(found >= value && found <= value * 1.25, "\(percentile): \(found)")
        }
        var other = QueryTimes()
        other.merge(times)
        #expect(other == times)
        times.record(.max)
        #expect(times.percentile(100) > 1_000_000_000)
        for value in 0..<100_000 as Range<UInt64> { #expect(QueryTimes.last(QueryTimes.bucket(value)) >= value) }
    }

    @Test(arguments: [
        ("select 1 /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/", "0af7651916cd43dd8448eb211c80319c"),
        ("select 1 /*db='x',traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',route='y'*/; ", "0af7651916cd43dd8448eb211c80319c"),
        ("select 1", nil), ("select 1 /* x */", nil), ("/*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/ select 1", nil),
        ("select 1 /*traceparent='00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/", nil), ("*/", nil), ("/*traceparent='00-0af7*/", nil),
    ] as [(String, String?)])
    func `the trace of sqlcommenter is found`(sql: String, expected: String?) {
        #expect(Array(sql.utf8).withUnsafeBytes { TraceParent.find(in: $0) } == expected)
    }

    @Test func `queries, batches and errors are counted where they belong`() {
        let insight = QueryInsight()
        var talk = Talk(mode: .strict, insight: insight)
        _ = talk.ask("Q:select a from t where b = 1", "Q:select a from t where b = 2", "P:|select 7", "B:||", "E:\0xxxx", "S:", "P:s1|select 8", "B:|s1|", "E:\0xxxx", "S:")
        _ = talk.answer("C:SELECT 5", "Z:I", "E:22012", "Z:I", "1:", "2:", "C:SELECT 1", "Z:I", "1:", "2:", "C:SELECT 12", "Z:I")
        talk.client.countEnded(wait: 3, server: 10)
        let simple = insight.find(fingerprint: hash("select a from t where b = 3"), pool: 0) { "" }
        #expect(simple.calls == 2 && simple.rows == 5 && simple.errors == 1 && simple.wait == 3)
        // SELECT 7 and SELECT 8 are one: the text is normalised, whether it was prepared or not.
        let extended = insight.find(fingerprint: hash("select 7"), pool: 0) { "" }
        #expect(extended.calls == 2 && extended.rows == 13 && extended.errors == 0)
        // What the four have taken together, once.
        #expect(simple.server == 6 && extended.server == 4)
        #expect(talk.client.last?.statistics === extended)
    }

    @Test(arguments: [0, 1]) func `who begins with another's habit is counted where it asks itself`(pool: Int) {
        let insight = QueryInsight()
        var first = Talk(mode: .strict, insight: insight)
        _ = first.ask("Q:select a from t where b = 1")
        _ = first.answer("C:SELECT 5", "Z:I")
        first.client.countEnded(wait: 0, server: 10)
        var second = Talk(mode: .strict, insight: insight)
        second.client.insight = (insight, pool)
        second.client.habit = first.client.habit
        #expect(second.client.last == nil)
        _ = second.ask("Q:select a from t where b = 2", "Q:select a from t where c = 2")
        _ = second.answer("C:SELECT 1", "Z:I", "C:SELECT 1", "Z:I")
        second.client.countEnded(wait: 0, server: 10)
        func calls(_ sql: String, _ pool: Int) -> UInt64 { insight.find(fingerprint: hash(sql), pool: pool) { "" }.calls }
        #expect(calls("select a from t where b = 3", 0) == (pool == 0 ? 2 : 1) && calls("select a from t where b = 3", 1) == (pool == 0 ? 0 : 1))
        #expect(calls("select a from t where c = 3", pool) == 1)
    }

    @Test func `what an untraced BEGIN has waited is the wait of the transaction's first statement that says its request`() {
        let insight = QueryInsight()
        let traces = TracedStatements()
        var talk = Talk(mode: .strict, insight: insight)
        let one = String(repeating: "1", count: 32)
        func run(_ sql: String, _ status: String, wait: UInt64) {
            _ = talk.ask("Q:" + sql)
            _ = talk.answer("C:SELECT 1", "Z:" + status)
            talk.client.countEnded(wait: wait, server: 10, traces: traces)
            if status == "I" { talk.client.forgetUntracedWait() }
        }
        run("BEGIN", "T", wait: 500)
        run("select a /*traceparent='00-\(one)-b7ad6b7169203331-01'*/", "T", wait: 0)
        run("select b /*traceparent='00-\(one)-b7ad6b7169203331-01'*/", "T", wait: 0)
        run("COMMIT", "I", wait: 0)
        #expect(traces.wait == 500 && traces.server == 20)
        // Nobody of that transaction says a request: its wait is nobody's, and none of the next one's.
        run("BEGIN", "T", wait: 70)
        run("COMMIT", "I", wait: 0)
        run("select a /*traceparent='00-\(one)-b7ad6b7169203331-01'*/", "I", wait: 3)
        #expect(traces.wait == 503)
        let taken = traces.take().traces
        #expect(taken.count == 1 && taken[one]?.wait == 503 && taken[one]?.calls == 3)
    }

    @Test func `statements are counted by the request that they say, a pipeline's time once`() {
        let insight = QueryInsight()
        let traces = TracedStatements()
        var talk = Talk(mode: .strict, insight: insight)
        let (one, other) = (String(repeating: "1", count: 32), String(repeating: "2", count: 32))
        func comment(_ id: String) -> String { "/*traceparent='00-\(id)-b7ad6b7169203331-01'*/" }
        _ = talk.ask("Q:select a from t where b = 1 \(comment(one))", "Q:select a from t where b = 2 \(comment(one))", "Q:select c \(comment(one))", "Q:select d")
        _ = talk.answer("C:SELECT 5", "Z:I", "C:SELECT 5", "Z:I", "C:SELECT 1", "Z:I", "C:SELECT 1", "Z:I")
        talk.client.countEnded(wait: 3, server: 10, traces: traces)
        #expect(traces.server == 10 && traces.wait == 3)
        // What says nothing is of the request that the session's name says.
        _ = talk.ask("Q:select d")
        _ = talk.answer("C:SELECT 1", "Z:I")
        talk.client.countEnded(wait: 0, server: 7, traces: traces, sessionTraceID: other)
        let (taken, isComplete) = traces.take()
        #expect(isComplete && Set(taken.keys) == [one, other])
        #expect(taken[one]?.calls == 3 && taken[one]?.server == 10 && taken[one]?.statements.map(\.calls) == [2, 1])
        #expect(taken[other]?.calls == 1 && taken[other]?.server == 7 && taken[other]?.statements.first?.statistics.text == "select d")
        #expect(traces.take().traces.isEmpty)
    }

    @Test func `traces have a bound, and say when there were more`() {
        let traces = TracedStatements()
        let statistics = (0..<100).map { QueryStatistics(fingerprint: UInt64($0), pool: 0, text: "q\($0)") }
        for number in 0..<TracedStatements.tracesMax { traces.ended("\(number)", statistics[0], wait: 0, server: 1) }
        for one in statistics { traces.ended("0", one, wait: 0, server: 1) }
        let full = traces.take()
        #expect(full.isComplete && full.traces.count == TracedStatements.tracesMax)
        #expect(full.traces["0"]?.calls == 101 && full.traces["0"]?.statements.count == TracedStatements.statementsMax)
        for number in 0...TracedStatements.tracesMax { traces.ended("\(number)", statistics[0], wait: 0, server: 1) }
        #expect(!traces.take().isComplete)
        #expect(traces.take().isComplete, "that was then")
    }
}
