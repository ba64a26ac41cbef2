import Foundation
import LoadGenerator
import Telemetry

/// The results in the forms that other programs read.
enum BenchFiles {
    /// The course of the runs, a second per line, with a first line that names the columns.
    static func csv(_ reports: [LoadReport]) -> String {
        var lines = ["run,seconds,warm_up,requests_per_second,failed,p50_ms,p95_ms,p99_ms"]
        for (index, report) in reports.enumerated() {
            for sample in report.samples {
                let numbers = [sample.p50, sample.p95, sample.p99].map { String(format: "%.3f", $0) }
                lines.append(
                    "\(index + 1),\(String(format: "%.3f", sample.seconds)),\(sample.isWarmUp),"
                        + "\(String(format: "%.1f", sample.requestsPerSecond)),\(sample.failed),\(numbers.joined(separator: ","))")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The percentile distribution of response times in milliseconds, as HdrHistogram's tools write it and its plotters read it.
    /// - Source: HdrHistogram, `outputPercentileDistribution`, five ticks per half distance.
    static func hdr(_ times: HistogramSnapshot) -> String {
        let count = times.count
        var text = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n"
        func line(_ percentile: Double) {
            let value = Double(times.percentile(percentile)) / 1e6
            let below = times.count(upTo: times.percentile(percentile))
            text += String(format: "%12.3f %2.12f %10llu", value, percentile / 100, below)
            text += percentile < 100 ? String(format: " %14.2f\n", 1 / (1 - percentile / 100)) : "\n"
        }
        if count > 0 {
            // Half the rest of the way is five steps, until a step is less than one record.
            var rest = 100.0
            line(0)
            while rest / 100 * Double(count) > 1 {
                for tick in 1...5 { line(100 - rest + rest / 2 * Double(tick) / 5) }
                rest /= 2
            }
            line(100)
        }
        let mean = times.mean / 1e6
        text += String(format: "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", mean, deviation(times) / 1e6)
        text += String(format: "#[Max     = %12.3f, Total count    = %12llu]\n", Double(times.max) / 1e6, count)
        text += "#[Buckets = \(times.counts.count / 128), SubBuckets     = 128]\n"
        return text
    }

    /// From the buckets, so to within their width; in nanoseconds.
    private static func deviation(_ times: HistogramSnapshot) -> Double {
        let count = Double(times.count)
        guard count > 0 else { return 0 }
        var squares = 0.0
        for (bucket, number) in times.counts.enumerated() where number > 0 {
            let range = HistogramSnapshot.range(ofBucket: bucket)
            let distance = (Double(range.lowerBound) + Double(range.upperBound)) / 2 - times.mean
            squares += distance * distance * Double(number)
        }
        return (squares / count).squareRoot()
    }
}
