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
}
