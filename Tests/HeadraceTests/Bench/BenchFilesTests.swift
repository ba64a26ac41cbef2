import Foundation
@testable import LoadGenerator
import Telemetry
import Testing

@testable import headrace

@Suite struct BenchFilesTests {
    private func report() -> LoadReport {
        let histogram = Histogram()
        for time in 1...1000 { histogram.record(nanoseconds: UInt64(time) * 100_000) }
        var report = LoadReport(users: 10)
        report.open = .init(scheduledRate: 500, shape: .constant, seed: 1, connectionsMax: 10)
        report.seconds = 2
        report.succeeded = 1000
        report.responseTimes = histogram.snapshot()
        report.serviceTimes = histogram.snapshot()
        report.classes = [.init(name: "/<a>"), .init(name: "/b")]
        for second in 1...3 {
            report.samples.append(
                .init(seconds: Double(second), length: 1, isWarmUp: second == 1, succeeded: 500, failed: 2, p50: 1.5, p95: 2, p99: 30))
        }
        return report
    }

    @Test func `the percentile file has HdrHistogram's lines, rising, and its foot`() throws {
        let lines = BenchFiles.hdr(report().responseTimes).split(separator: "\n")
        #expect(lines[0] == "       Value     Percentile TotalCount 1/(1-Percentile)")
        let rows = lines.dropFirst().filter { !$0.hasPrefix("#") }.map { $0.split(separator: " ").compactMap { Double($0) } }
        #expect(rows.first?[1] == 0 && rows.last?[1] == 1 && rows.last?[2] == 1000)
        #expect(zip(rows, rows.dropFirst()).allSatisfy { $0[0] <= $1[0] && $0[1] < $1[1] && $0[2] <= $1[2] })
        let median = try #require(rows.first { $0[1] == 0.5 })
        #expect(abs(median[0] - 50) < 0.5 && median[3] == 2)
        #expect(lines.contains { $0.hasPrefix("#[Mean    =       50.050") && $0.contains("28.8") })
        #expect(lines.contains { $0.hasPrefix("#[Max     =      100.000") && $0.contains("1000") })
        #expect(BenchFiles.hdr(HistogramSnapshot()).contains("#[Max     =        0.000"))
    }

    @Test func `the course has a line per second`() {
        let lines = BenchFiles.csv([report()]).split(separator: "\n")
        #expect(lines.count == 4)
        #expect(lines[1] == "1,1.000,true,500.0,2,1.500,2.000,30.000")
    }

    @Test func `the page is whole, loads nothing, and lets no text become markup`() {
        let page = BenchPage.text(title: "http://a/?x=<script>", [report()])
        #expect(page.hasPrefix("<!doctype html>") && page.hasSuffix("</html>\n"))
        #expect(page.contains("&lt;script&gt;") && !page.contains("<script") && page.contains("/&lt;a&gt;"))
        #expect(page.components(separatedBy: "<svg").count == 4)
        #expect(!page.contains("src=") && !page.contains("@import") && !page.contains("nan"))
        #expect(BenchPage.text(title: "", [LoadReport(users: 1)]).contains("nothing succeeded"))
    }

    @Test func `the table says what limited the generator before any figure`() {
        var report = report()
        report.socketShortages = 1
        #expect(BenchTable.text([report]).hasPrefix("generator-limited: "))
        #expect(!BenchTable.text([self.report()]).contains("generator-limited"))
        #expect(BenchTable.text([self.report()]).contains("response time, from the intended start"))
        #expect(BenchTable.text([self.report()]).contains("service time, from the send"))
    }

    @Test func `a document keeps what both loops have to say`() throws {
        let document = try BenchDocument(text: try BenchDocument(urls: ["http://a/"], reports: [report()]).text())
        #expect(document.model == "open-loop" && document.schema == 2)
        #expect(document.levels[0].scheduledPerSecond == 500)
        #expect(document.levels[0].course.count == 3)
        #expect(document.levels[0].serviceMs.p50 > 49)
        #expect(try BenchDocument(urls: [], reports: [LoadReport(users: 5)]).text().contains("\"model\" : \"closed-loop\""))
    }

    @Test func `the line of a run that goes on`() {
        let sample = LoadSample(seconds: 12.4, length: 1, isWarmUp: false, succeeded: 998, failed: 2, p50: 1.25, p95: 3, p99: 9)
        #expect(LiveView.line(sample, planned: 30) == "12 s (of 30 s)  998 requests/s  p50 1.25  p95 3.00  p99 9.00 ms  2 failed")
        #expect(LiveView.cut("12 s ▁█", columns: 7) == "12 s ▁" && LiveView.cut("12 s", columns: 80) == "12 s")
    }

    @Test func `over HTTP-2 it is requests that are under way, and not connections`() {
        var report = self.report()
        #expect(BenchTable.text([report]).contains(" busy on average") && !BenchTable.text([report]).contains("under way"))
        report.streams = 10
        #expect(BenchTable.text([report]).contains(" requests under way on average"))
    }
}

@Suite struct CompareDocumentsTests {
    private func level(_ start: Double, _ p50: Double) -> BenchDocument.Level {
        var level = BenchDocument.Level(LoadReport(users: 1))
        (level.startedAt, level.seconds, level.p50Ms) = (start, 1, p50)
        return level
    }

    @Test func `runs that took turns give a finding, others none`() throws {
        let first = (0..<8).map { level(Double($0) * 10, 10 + Double($0) / 100) }
        let turns = (0..<8).map { level(Double($0) * 10 + 3, 20 + Double($0 % 3) / 100) }
        let later = (0..<8).map { level(Double($0) * 10 + 1000, 20) }
        #expect(try CompareCommand.finding(first, turns, .median).hasPrefix("B is slower by 99") || CompareCommand.finding(first, turns, .median).hasPrefix("B is slower by 100"))
        #expect(try CompareCommand.finding(first, later, .median).hasPrefix("No finding: "))
        #expect(try CompareCommand.finding([first[0]], [turns[0]], .median).hasPrefix("No finding: "))
    }
}
