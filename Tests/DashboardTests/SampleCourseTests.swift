import Foundation
import History
import Testing

@testable import Dashboard

@Suite struct SampleCourseTests {
    @Test func `a report reads beside the server that writes, and changes nothing`() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "course-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "samples.sqlite").path
        let times: Range<Int64> = 1_700_000_040..<1_700_000_040 + 3600
        #expect(throws: SampleHistory.Unusable.self) { try SampleCourse(path: path, times) }
        // A server of another version: some series are unknown to it, and it has one more.
        let names = Series.allCases.map(\.rawValue).filter { $0 != Series.stage_queue_seconds.rawValue } + ["other"]
        let history = try SampleHistory(path: path, values: names, distributions: [Timed.response.rawValue])
        let samples = (0..<10).map { minute -> (SampleTier, Sample) in
            var values = Array(repeating: Double.nan, count: names.count)
            for (series, value) in [(Series.requests, 60.0), (.responses_5xx, 6), (.cache_hits, 30), (.stage_first_byte_seconds, 3), (.saved_by_compression_bytes, 1000)] {
                if let place = names.firstIndex(of: series.rawValue) { values[place] = value }
            }
            var distribution = Distribution()
            distribution.append(place: 40, count: 60)
            return (.minute, Sample(time: times.lowerBound + Int64(minute) * 60, seconds: 60, values: values, distributions: [distribution]))
        }
        try history.add(samples.map { (tier: $0.0, sample: $0.1) }, now: times.upperBound)
        let course = try SampleCourse(path: path, times)
        #expect(course.requests == 600 && course.failed == 60 && course.savedBytes == 10_000)
        #expect(course.points.count == 10)
        #expect(course.points.allSatisfy { $0.requestsPerSecond == 1 && $0.failedShare == 0.1 && $0.cacheShare == 0.5 && $0.p95Ms != nil })
        #expect(course.stages.first { $0.name == "first_byte" }?.seconds == 30 && course.stages.first { $0.name == "queue" }?.seconds == 0)
        // It goes on writing.
        try history.add([(tier: .minute, sample: samples[0].1)], now: times.upperBound)
        #expect(SampleCourse([], times).points.isEmpty && SampleCourse([], times).requests == 0)
    }
}
