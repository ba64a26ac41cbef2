import Telemetry
import Testing

@testable import LoadGenerator

@Suite struct LoadReportTests {
    private static func report(milliseconds: [UInt64], failures: [FailureKind: Int] = [:], seconds: Double = 2) -> LoadReport {
        let histogram = Histogram()
        for time in milliseconds { histogram.record(nanoseconds: time * 1_000_000) }
        var report = LoadReport(users: 5)
        report.seconds = seconds
        report.succeeded = milliseconds.count
        report.failures = failures
        report.bodyBytes = milliseconds.count * 100
        report.responseTimes = histogram.snapshot()
        report.generatorCPUSeconds = 0.5
        report.generatorSeconds = seconds
        return report
    }

    @Test func `failures count as requests, but not in the rate, the times or the bytes`() {
        let report = Self.report(milliseconds: [10, 20, 30, 40], failures: [.timeout: 3, .status: 1])
        #expect(report.requests == 8)
        #expect(report.failed == 4)
        #expect(report.requestsPerSecond == 2)
        #expect(report.bytesPerRequest == 100)
        #expect(report.meanMilliseconds == 25)
        #expect(report.maxMilliseconds == 40)
        #expect(abs(report.milliseconds(percentile: 50) - 20) < 0.16)
        #expect(report.generatorCPUShare == 0.25)
    }

    @Test func `a report of nothing has zeros, not traps`() {
        let report = LoadReport(users: 1)
        #expect(report.requests == 0)
        #expect(report.requestsPerSecond == 0)
        #expect(report.bytesPerRequest == 0)
        #expect(report.meanMilliseconds == 0)
        #expect(report.maxMilliseconds == 0)
        #expect(report.milliseconds(percentile: 99) == 0)
        #expect(report.generatorCPUShare == 0)
    }

    @Test func `two rounds add up`() {
        var report = Self.report(milliseconds: [10, 20], failures: [.timeout: 1])
        report.merge(Self.report(milliseconds: [30, 40], failures: [.timeout: 1, .reset: 2], seconds: 4))
        #expect(report.seconds == 6)
        #expect(report.succeeded == 4)
        #expect(report.failures == [.timeout: 2, .reset: 2])
        #expect(report.bodyBytes == 400)
        #expect(report.meanMilliseconds == 25)
        #expect(report.maxMilliseconds == 40)
    }
}
