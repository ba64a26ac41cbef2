import NIOCore
import Synchronization
import Telemetry

/// A run as it goes, seen from outside its event loops: samples, the beginning of the measured time, the generator's own CPU.
final class LoadCourse: Sendable {
    private struct Seen {
        var responseTimes = HistogramSnapshot()
        var failed: UInt64 = 0
        var time: UInt64
    }

    /// Nanoseconds of the monotonic clock.
    let start: UInt64
    private let counts: [LoadCounts]
    private let shared: LoadWorker.Shared
    private let eventLoop: any EventLoop
    private let seen: Lock<Seen>
    private let cpuAtStart = Atomic<Int64>(-1)
    private let isOver = Atomic<Bool>(false)

    init(start: UInt64, counts: [LoadCounts], shared: LoadWorker.Shared, eventLoop: any EventLoop) {
        self.start = start
        self.counts = counts
        self.shared = shared
        self.eventLoop = eventLoop
        seen = Lock(Seen(time: start))
    }

    func end() { isOver.store(true, ordering: .relaxed) }

    /// Waits, in short steps: nobody should wait a second for a run that has ended.
    /// - Returns: `false` when the run is over.
    func wait(nanoseconds: UInt64) async -> Bool {
        let until = MonotonicClock.nanoseconds() + nanoseconds
        while !isOver.load(ordering: .relaxed) {
            let now = MonotonicClock.nanoseconds()
            if now >= until { return true }
            try? await Task.sleep(nanoseconds: min(until - now, 20_000_000))
            // A cancelled sleep does not wait; the run ends within its sweep.
            if Task.isCancelled { return false }
        }
        return false
    }

    func measuredTimeBegins(_ window: LoadWindow) {
        shared.begin(window)
        eventLoop.scheduleTask(deadline: .uptimeNanoseconds(window.measuredFrom)) { [self] in
            self.cpuAtStart.store(ProcessClock.nanoseconds(), ordering: .relaxed)
        }
    }

    /// CPU time of the process since the measured time began; 0 when it did not.
    func cpuNanoseconds() -> Int64 {
        let start = cpuAtStart.load(ordering: .relaxed)
        return start < 0 ? 0 : ProcessClock.nanoseconds() - start
    }

    /// What has ended since the last sample.
    /// - Returns: also the median response time in nanoseconds; `nil` when nothing succeeded.
    func sample() -> (LoadSample, median: UInt64?) {
        var all = HistogramSnapshot()
        var failed: UInt64 = 0
        for counts in counts {
            all.merge(counts.allResponseTimes.snapshot())
            failed &+= counts.allFailed.value
        }
        let now = MonotonicClock.nanoseconds()
        let new = Seen(responseTimes: all, failed: failed, time: now)
        let old = seen.withLock { seen in
            defer { seen = new }
            return seen
        }
        let part = all.since(old.responseTimes)
        func milliseconds(_ percentile: Double) -> Double { Double(part.percentile(percentile)) / 1e6 }
        var sample = LoadSample(
            seconds: Double(now - start) / 1e9, length: Double(now - old.time) / 1e9, isWarmUp: now < shared.window.measuredFrom,
            succeeded: Int(clamping: part.count), failed: Int(clamping: failed &- old.failed), p50: milliseconds(50),
            p95: milliseconds(95), p99: milliseconds(99))
        let upTo = LoadSample.histogramBounds.map { Int(clamping: part.count(upTo: UInt64($0 * 1e6))) }
        sample.histogram = zip(upTo, [0] + upTo).map { $0 - $1 }
        return (sample, part.count > 0 ? part.percentile(50) : nil)
    }
}
