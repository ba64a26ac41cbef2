import Testing

@testable import headrace

@Suite struct DemoTableTests {
    private func level(_ users: Int, _ rate: Double, failed: Int = 0) -> BenchDocument.Level {
        BenchDocument.Level(
            users: users, seconds: 1, requests: Int(rate), requestsPerSecond: rate, meanMs: 1, p50Ms: 1, p95Ms: 2, p99Ms: 3, maxMs: 4,
            bytesPerRequest: 8273, failed: failed, failures: [:], generatorCpuShare: 0.5)
    }

    private func table() -> DemoTable {
        var table = DemoTable()
        for (alone, edge) in [(100.0, 1000.0), (50, 1000), (100, 3000)] {
            table.measured.add(.init(users: 5, way: .application, level: level(5, alone), note: ()))
            table.measured.add(.init(users: 5, way: .edge, level: level(5, edge, failed: 1), note: ()))
        }
        return table
    }

    @Test func `a ratio is one of neighbours, round by round`() {
        #expect(table().measured.ratios(5) == [10, 20, 30])
    }

    @Test func `the ways take turns at being first`() {
        let turns = MeasuredWays<DemoTable.Way, Void>.turns(rounds: 2, users: [5, 20])
        #expect(turns.map(\.way) == [.application, .edge, .application, .edge, .edge, .application, .edge, .application])
        #expect(turns.map(\.users) == [5, 5, 20, 20, 5, 5, 20, 20])
        #expect(turns.map(\.round) == [1, 1, 1, 1, 2, 2, 2, 2])
    }

    @Test func `the table gives medians, the ratio's spread, and all that failed`() {
        let text = table().rendered()
        #expect(text.contains("light      5  application alone         100"))
        #expect(text.contains("20.0 × (10.0…30.0)"))
        #expect(table().measured.failed() == 3)
        #expect(table().measured.failed([.application]) == 0)
        #expect(text.contains("  3  20.0 ×"))
    }

    @Test(arguments: [([3, 1, 2], 2), ([4, 1], 2.5), ([], 0)] as [([Double], Double)])
    func `a median is the middle`(values: [Double], median: Double) {
        #expect(Median.of(values) == median)
    }

    @Test func `the saving is what gzip leaves off`() {
        let sizes = PageSizes(target: "/", sizes: [("identity", 38_995), ("gzip", 8273), ("br", 7000)])
        #expect(sizes.rendered().contains("gzip                  8273   79 %"))
        #expect(sizes.savedByGzip > 0.78 && sizes.savedByGzip < 0.79)
        #expect(sizes.saved("zstd") == 0)
    }

    @Test(arguments: [(7999, false), (8000, false), (8001, true)])
    func `less than 80 % saved is a problem`(gzip: Int, isProblem: Bool) {
        let sizes = PageSizes(target: "/page", sizes: [("identity", 40_000), ("gzip", gzip)])
        #expect((sizes.problem != nil) == isProblem)
        if isProblem { #expect(sizes.problem?.hasPrefix("gzip saves 79 % of /page, less than 80 %") == true) }
    }

    @Test func `a measurement is read as it was written`() throws {
        var document = BenchDocument(urls: ["http://a/"], reports: [])
        document.levels = [level(5, 12.5)]
        let read = try BenchDocument(text: try document.text())
        #expect(read.levels.first?.requestsPerSecond == 12.5)
        #expect(read.levels.first?.p99Ms == 3)
        #expect(read.url == ["http://a/"])
    }
}
