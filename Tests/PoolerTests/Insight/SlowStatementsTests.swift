import Testing

@testable import Pooler

@Suite struct SlowStatementsTests {
    private static func line(_ change: (inout SlowStatements.Line) -> Void = { _ in }) -> SlowStatements.Line {
        var line = SlowStatements.Line(
            database: "shop", user: "app", applicationName: "web", wait: 1_200, server: 2_000_034, rows: 3, end: .complete, traceID: nil, text: "select ?")
        change(&line)
        return line
    }

    @Test(arguments: [(0, 0, false), (499, 500, false), (500, 500, true), (0, 1_000, true), (1_000, 0, true)])
    func `the wait counts with the run, from the limit on`(wait: UInt64, server: UInt64, isSlow: Bool) {
        #expect(SlowStatements(limit: 1_000).isSlow(wait: wait, server: server) == isSlow)
        #expect(!SlowStatements(limit: 0).isSlow(wait: wait, server: server))
    }

    @Test func `a line says wait and run apart, to the microsecond`() {
        #expect(
            Self.line().fields.map { "\($0.name)=\($0.value)" } == [
                "database=shop", "user=app", "application_name=web", "wait_ms=1.200", "run_ms=2000.034", "rows=3", "end=complete", "query=select ?",
            ])
        let fields = Self.line { $0.traceID = "0af7651916cd43dd8448eb211c80319c" }.fields
        #expect(fields.contains { $0.name == "trace_id" && $0.value == "0af7651916cd43dd8448eb211c80319c" })
    }

    @Test func `a line stays one line, whatever a name has in it`() {
        let fields = Self.line {
            $0.applicationName = "web\nnotice: all is well"
            $0.text = "select \"a\u{1B}[2J\r\n\""
        }.fields
        #expect(!fields.contains { $0.value.unicodeScalars.contains { $0.value < 0x20 } })
        #expect(fields.contains { $0.value == "web notice: all is well" })
    }

    @Test func `lines have a bound, and what is left out is counted`() {
        var log = SlowStatements(limit: 1)
        let admitted = (0..<(SlowStatements.linesMax + 2)).map { _ in log.admitsLine() }
        #expect(admitted == Array(repeating: true, count: SlowStatements.linesMax) + [false, false])
        let omitted = log.periodEnded()
        #expect(omitted == 2)
        let isAdmittedAgain = log.admitsLine()
        #expect(isAdmittedAgain)
        let omittedAgain = log.periodEnded()
        #expect(omittedAgain == 0)
    }

    @Test(arguments: [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c"),
        ("web 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c"),
        ("web", nil), ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", nil), ("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", nil),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333x-01", nil), ("", nil),
    ] as [(String, String?)])
    func `a trace in application_name is found`(name: String, expected: String?) {
        #expect(TraceParent.find(inName: name) == expected)
    }
}
