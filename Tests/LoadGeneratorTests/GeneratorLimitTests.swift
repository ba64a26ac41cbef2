import Telemetry
import Testing

@testable import LoadGenerator

@Suite struct GeneratorLimitTests {
    private func times(_ milliseconds: [Double]) -> HistogramSnapshot {
        let histogram = Histogram()
        for time in milliseconds { histogram.record(nanoseconds: UInt64(time * 1e6)) }
        return histogram.snapshot()
    }

    /// 100 requests/s over a second.
    private func report(
        service: [Double] = [10], lag: [Double] = [0.01], cpuShare: Double = 0.2, connectionsMax: Int = 100, threads: Int = 1
    ) -> LoadReport {
        var report = LoadReport(users: connectionsMax)
        report.seconds = 1
        report.succeeded = 100
        report.threads = threads
        report.generatorSeconds = 1
        report.generatorCPUSeconds = cpuShare
        report.responseTimes = times(Array(repeating: 10, count: 100))
        report.serviceTimes = times(service)
        report.open = .init(scheduledRate: 100, shape: .constant, seed: 1, connectionsMax: connectionsMax)
        report.open?.scheduleLag = times(lag)
        return report
    }

    @Test func `a generator at ease is no limit`() {
        #expect(report().limits == [])
        #expect(report().busyConnections > 0.99 && report().busyConnections < 1.01)
    }

    @Test func `more than nine tenths of a core for each thread is`() {
        #expect(report(cpuShare: 0.89).limits == [])
        #expect(report(cpuShare: 0.91).limits == [.cpu])
        #expect(report(cpuShare: 1.7, threads: 2).limits == [])
        #expect(report(cpuShare: 1.9, threads: 2).limits == [.cpu])
    }

    @Test func `lag counts when it is more than a millisecond and a tenth of what is measured`() {
        #expect(report(lag: [0.9]).limits == [])
        #expect(report(lag: [1.2]).limits == [.scheduleLag])
        var slow = report(lag: [1.2])
        slow.responseTimes = times([13])
        #expect(slow.limits == [], "1.2 ms of 13 do not change it")
    }

    @Test func `Little's law names connections as the limit, unless the server queues`() {
        // 100 requests/s × 10 ms keep one connection busy.
        #expect(report(connectionsMax: 1).limits == [.connections])
        #expect(report(connectionsMax: 2).limits == [])
        let queueing = report(service: [1] + Array(repeating: 10.1, count: 99), connectionsMax: 1)
        #expect(queueing.limits == [], "the fastest answer took a tenth of the median: requests waited in the server")
    }

    @Test func `a shortage of sockets is`() {
        var report = report()
        report.socketShortages = 1
        #expect(report.limits == [.sockets] && report.isGeneratorLimited)
    }
}
