import HTTPSemantics
import Testing

@testable import Edge

@Suite struct TrafficInsightTests {
    @Test(arguments: [
        ("/", "/"), ("/scans/400", "/scans/*"), ("/scans/400?page=2", "/scans/*"), ("/a/12/b/34", "/a/*/b/*"), ("/v2/x", "/v2/x"),
        ("/f/3f2a9c1b4d5e6f70", "/f/*"), ("/u/550e8400-e29b-41d4-a716-446655440000", "/u/*"), ("/facade", "/facade"),
        ("/" + String(repeating: "x", count: 41), "/*"), ("*", "*"), ("", ""),
    ])
    func `targets that differ in numbers only have one pattern`(target: String, expected: String) {
        #expect(TrafficInsight.pattern(Array(target.utf8).span) == expected)
    }

    @Test func `a pattern is bounded whatever is asked for`() {
        let target = String(repeating: "/abc", count: 5000)
        #expect(TrafficInsight.pattern(Array(target.utf8).span).utf8.count <= TrafficInsight.pathBytesMax)
    }

    /// One exchange after the other, as the loop tells them.
    private func insight(_ exchanges: [(target: String, result: Exchange.CacheResult, reason: AnswerReason?)]) throws -> TrafficInsight {
        let insight = TrafficInsight()
        for (target, result, reason) in exchanges {
            var exchange = Exchange(started: .now(), trace: TraceParent(traceID: (1, 1), parentID: 1, flags: 0))
            exchange.cacheResult = result
            exchange.reason = reason
            exchange.status = 200
            insight.ended(exchange, try .parsed("GET \(target) HTTP/1.1"), nanoseconds: 1000)
        }
        return insight
    }

    @Test func `misses count each, hits one in so many for so many, and the edge's own answers not at all`() throws {
        let stride = TrafficInsight.hitStride
        let insight = try insight(
            [("/a/1", .miss, .notStored(.noStore)), ("/a/2?x", .miss, nil), ("/b", .none, .edge(.noRoute))]
                + Array(repeating: ("/c", .hit, nil), count: 2 * stride + 1))
        let paths = Dictionary(uniqueKeysWithValues: insight.paths.map { ($0.pattern, $0) })
        #expect(Set(paths.keys) == ["/a/*", "/c"])
        #expect(paths["/a/*"]?.requests == 2 && paths["/a/*"]?.hits == 0 && paths["/a/*"]?.nanoseconds == 2000)
        #expect(paths["/a/*"]?.reason == .notStored(.noStore))
        #expect(paths["/c"]?.requests == 2 * stride && paths["/c"]?.hits == 2 * stride)
    }

    @Test func `reasons are counted by outcome`() throws {
        let insight = try insight([("/a", .miss, .notStored(.noStore)), ("/b", .miss, .notStored(.noStore)), ("/c", .bypass, .edge(.forwardAuth)), ("/d", .miss, nil)])
        let reasons = insight.reasons.map { "\($0.outcome.rawValue) \($0.reason.word) \($0.count)" }
        #expect(reasons == ["miss \(NotStoredReason.noStore.rawValue) 2", "bypass forward-auth 1"])
    }

    @Test func `the table of paths has a bound`() throws {
        let insight = try insight((0..<1000).map { ("/word" + String($0, radix: 36) + "x", .miss, nil) })
        #expect(insight.paths.count <= TrafficInsight.pathsMax)
    }

    @Test func `a case's number is its place`() {
        for (place, result) in Exchange.CacheResult.allCases.enumerated() { #expect(caseNumber(result) == place) }
        for (place, reason) in AnswerReason.allCases.enumerated() { #expect(reason.number == place) }
    }

    @Test func `requests that the application answered are handed over by their trace, from the first on, and with a bound`() throws {
        let insight = TrafficInsight()
        func ended(_ target: String, _ trace: UInt64, _ result: Exchange.CacheResult = .miss, upstream: Int64 = 1000) throws {
            var exchange = Exchange(started: .now(), trace: TraceParent(traceID: (trace, 7), parentID: 1, flags: 0))
            (exchange.cacheResult, exchange.status, exchange.upstreamNanoseconds) = (result, 200, upstream)
            insight.ended(exchange, try .parsed("GET \(target) HTTP/1.1"), nanoseconds: 1000)
        }
        try ended("/b/1", 1)
        #expect(insight.takeTraces().map(\.pattern) == ["/b/*"], "from the first request on")
        try ended("/a/2", 2)
        try ended("/a/3", 3, .hit, upstream: 0)
        try ended("/a/4", 4, .coalesced, upstream: 0)
        let taken = insight.takeTraces()
        #expect(taken.count == 1 && taken.first?.pattern == "/a/*" && taken.first?.trace.0 == 2)
        #expect(insight.takeTraces().isEmpty)
        for number in 0..<UInt64(TrafficInsight.tracesMax + 10) { try ended("/a/5", number) }
        #expect(insight.takeTraces().count == TrafficInsight.tracesMax)
    }
}
